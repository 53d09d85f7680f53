"""Ways to tell a new assay from the molecules known of it, for the study `assays`.

What forests of other assays say of a molecule; a prior of how an assay follows from others, or a regression of the
support alone; and what leaks where molecules that judge were learned from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from metasci.data.cards import Card
from metasci.data.tasks import TaskSet
from metasci.meta import GaussianPrior
from metasci.model import Model
from metasci.priors.equation import Prior, meta_calibrate
from metasci.responses import linear_predictor
from metasci.studies.assay_data import Assays
from metasci.studies.assay_networks import (
    WAYS,
    Adapted,
    Molecules,
    learn_adapting,
    molecules,
    odds_of_networks,
)
from metasci.studies.baselines import sklearn_part

__all__ = [
    "PARTS",
    "Forecast",
    "Told",
    "held_out_molecules",
    "learned",
    "log_odds",
    "parts_of",
    "ways_to_tell",
]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.int_]
Forecast = Callable[[Places, Floats, Flags], Floats]
"""Log-odds (seed, molecule) of some molecules, by their labels and which of them are known, (seed, molecule)."""

PARTS = 3
"""Of the assays, which are left out together."""
_HELD_OUT = 0.3  # of the molecules
_TREES, _LEAST = 100, 2
_MOST = 400  # molecules of each class of an assay that the prior is learned from
_SURE = 1e-3  # a forest of a hundred trees tells no probability closer to zero


def log_odds(data: Assays, seen: Flags) -> tuple[Floats, Floats]:
    """What forests say of every molecule, one forest for each assay, learned from the molecules that are `seen`.

    Returns
    -------
    honest : array, (molecule, assay)
        Of a molecule that was learned from, those trees tell that did not see it. Standardised over what was seen.
    repeated : array, (molecule, assay)
        The same of all trees, which repeat what they have seen.
    """
    forest = sklearn_part("ensemble").RandomForestClassifier
    told, repeated = np.empty_like(data.labels), np.empty_like(data.labels)
    for at in range(len(data.names)):
        known = seen & ~np.isnan(data.labels[:, at])
        fit = forest(_TREES, min_samples_leaf=_LEAST, oob_score=True, random_state=0)
        fit.fit(data.described[known], data.labels[known, at])
        repeated[:, at] = fit.predict_proba(data.described)[:, 1]
        told[:, at] = repeated[:, at]
        told[known, at] = fit.oob_decision_function_[:, 1]
        told[np.isnan(told[:, at]), at] = data.labels[known, at].mean()  # every tree has seen it
    return _standard_odds(told, seen), _standard_odds(repeated, seen)


def _standard_odds(probability: Floats, seen: Flags) -> Floats:
    p = np.clip(probability, _SURE, 1.0 - _SURE)
    odds = np.log(p / (1.0 - p))
    return np.asarray((odds - odds[seen].mean(0)) / odds[seen].std(0))


def held_out_molecules(count: int) -> Flags:
    """Three molecules in ten, by which a study judges."""
    return np.asarray(np.random.default_rng(0).permutation(count) < int(_HELD_OUT * count))


def parts_of(data: Assays) -> list[list[int]]:
    """Assays that are left out together, by their places."""
    places = np.random.default_rng(0).permutation(len(data.names))
    return [part.tolist() for part in np.array_split(places, PARTS)]


def learned(model: Model, told: Floats, labels: Floats, old: list[int], seen: Flags) -> Prior:
    """A prior of how an assay follows from others, of assays `old` and molecules `seen`.

    Each assay is told by the others only: what its own forest says is set to zero, the mean.
    """
    draw, parts = np.random.default_rng(0), []
    for place, at in enumerate(old):
        rows = []
        for kind in (0.0, 1.0):
            rows.append(draw.permutation(np.flatnonzero(seen & (labels[:, at] == kind)))[:_MOST])
        chosen = np.concatenate(rows)
        features_of = told[chosen][:, old]
        features_of[:, place] = 0.0
        table = pd.DataFrame(features_of, columns=list(model.inputs))
        parts.append(table.assign(task=f"assay {at}", outcome=labels[chosen, at]))
    # eight assays tell little of how coefficients vary together
    method = GaussianPrior(objective="expectation", correlated=False)
    return meta_calibrate(model, _tasks(pd.concat(parts), model), method, covariates=())


def _tasks(table: pd.DataFrame, model: Model) -> TaskSet:
    return TaskSet.from_frame(table, Card.from_model(model), model=model)


def _by_prior(prior: Prior, told: Floats, who: Places, labels: Floats, supports: Flags) -> Floats:
    """Log-odds of the molecules `who` for each support, (seed, molecule)."""
    table = pd.DataFrame(told[who], columns=list(prior.model.inputs)).assign(task="new", outcome=labels)
    batch = prior.batch(_tasks(table, prior.model)).select(torch.zeros(len(supports), dtype=torch.long))
    adapted = prior.adapt(batch.with_mask(torch.as_tensor(supports)))
    with torch.no_grad():
        found = prior.model.at(adapted.coordinates[:, None, :], batch.inputs)
    return np.asarray(found.expand(len(supports), -1).numpy())


def _by_regression(told: Floats, who: Places, labels: Floats, supports: Flags) -> Floats:
    """The same by a ridge-penalised logistic regression of each support alone; without one nothing is known."""
    linear = sklearn_part("linear_model").LogisticRegression
    spread = told[who].std(0)
    scaled = (told[who] - told[who].mean(0)) / np.where(spread > 0.0, spread, 1.0)
    return np.stack(
        [
            linear(C=0.1, max_iter=1000).fit(scaled[s], labels[s]).decision_function(scaled)
            if s.any()
            else np.zeros(len(labels))
            for s in supports
        ]
    )


@dataclass(frozen=True)
class Told:
    """Assays, which of their molecules are learned from and which judge, and what forests and graphs tell of them.

    Attributes
    ----------
    data : Assays
    seen, judged : array of bool, (molecule,)
    honest, repeated : array, (molecule, assay)
        As `log_odds` gives them.
    of : Molecules, optional
        For networks of graphs; without structures there are none.
    """

    data: Assays
    seen: Flags
    judged: Flags
    honest: Floats
    repeated: Floats
    of: Molecules | None

    @property
    def molecules_too(self) -> bool:
        """Whether the molecules that judge were held out of learning as well."""
        return not self.seen.all()

    @classmethod
    def split(cls, data: Assays, molecules_too: bool) -> Told:
        """Learn the forests; molecules are held out if `molecules_too`."""
        held_out = held_out_molecules(len(data.labels))
        every = np.ones(len(held_out), bool)
        seen, judged = (~held_out, held_out) if molecules_too else (every, every)
        of = molecules(data.smiles, data.described, seen) if data.smiles else None
        return cls(data, seen, judged, *log_odds(data, seen), of)


def ways_to_tell(told: Told, old: list[int]) -> dict[str, Forecast]:
    """All ways to tell a new assay from the assays `old`, learned."""
    labels, of = told.data.labels, told.of
    model = linear_predictor([f"assay_{at}" for at in old], name="studies.assays")
    ways: dict[str, Forecast] = {}
    for name, source in _sources(told.honest, of, labels, old, told.seen).items():
        prior = learned(model, source, labels, old, told.seen)
        ways[f"learned prior on {name} of other assays"] = partial(_by_prior, prior, source[:, old])
        ways[f"{name} of other assays, alone"] = partial(_by_regression, source[:, old])
    ways["structure alone"] = partial(_by_regression, told.data.described)
    if of is not None and told.molecules_too:
        for name, way in WAYS.items():
            adapting = learn_adapting(of, labels[:, old], told.seen, way)
            ways[f"graph network, {name}"] = partial(_by_networks, adapting, of)
    if not told.molecules_too:
        known = np.nan_to_num(2.0 * labels[:, old] - 1.0)
        ways["forests that saw the molecules, alone"] = partial(_by_regression, told.repeated[:, old])
        ways["labels of the same molecules, no structure"] = partial(_by_regression, known)
    return ways


def _sources(
    honest: Floats, of: Molecules | None, labels: Floats, old: list[int], seen: Flags
) -> dict[str, Floats]:
    """What tells a new assay: log-odds of the old ones, (molecule, assay), by forests, by networks, and their mean."""
    sources = {"forests": honest}
    if of is not None:
        networks = np.zeros_like(honest)
        networks[:, old] = odds_of_networks(of, labels[:, old], seen)
        sources |= {"graph networks": networks, "forests and graph networks": 0.5 * (honest + networks)}
    return sources


def _by_networks(
    adapting: list[Adapted], of: Molecules, who: Places, labels: Floats, supports: Flags
) -> Floats:
    """Mean log-odds of some networks, each adapted to every support, (seed, molecule)."""
    return np.asarray(np.mean([one.odds(of, who, labels, supports) for one in adapting], axis=0))
