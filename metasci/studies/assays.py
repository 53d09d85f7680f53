"""Study: a new assay from a few molecules. ``metasci study assays`` (some forty minutes).

Toxicity assays of Tox21 and side effects of SIDER as tasks. Assays are left out, and molecules as well: whatever is
learned has seen neither the assay nor the molecules by which it is judged. Beside it stands the split that is usual, in
which only assays are left out, with the baseline that shows what leaks there: labels of the same molecules on the other
assays, and no structure.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from metasci.data.cards import Card
from metasci.data.frames import csv_bytes
from metasci.data.tasks import TaskSet
from metasci.evaluation.outcome_scores import area_under_curve, average_precision
from metasci.files import write_atomically
from metasci.meta import GaussianPrior
from metasci.model import Model
from metasci.priors.equation import Prior, meta_calibrate
from metasci.report.style import save_figure
from metasci.responses import linear_predictor
from metasci.studies.assay_data import Assays, assays, read_assays
from metasci.studies.assay_networks import (
    WAYS,
    Adapted,
    Molecules,
    learn_adapting,
    molecules,
    odds_of_networks,
)
from metasci.studies.baselines import sklearn_part

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Assays",
    "assays",
    "balanced_supports",
    "figure",
    "held_out_molecules",
    "learned",
    "log_odds",
    "parts_of",
    "read_assays",
    "scores",
]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.int_]
Forecast = Callable[[Places, Floats, Flags], Floats]
"""Log-odds (seed, molecule) of some molecules, by their labels and which of them are known, (seed, molecule)."""

DATA = {"tox21": "Tox21", "sider": "SIDER"}
"""Sets of assays, by the names of their files."""
SPLITS = {"assays and molecules left out": True, "assays left out (leaks)": False}
"""Ways to split, and whether molecules are left out as well."""
SHOTS = (0, 1, 5, 10)
SEEDS, PARTS = 10, 3
_HELD_OUT = 0.3  # of the molecules
_TREES, _LEAST = 100, 2
_MOST = 400  # molecules of each class of an assay that the prior is learned from
_ENOUGH = 20  # molecules of each class, to be told of an assay by ten and judged by others
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


def balanced_supports(labels: Floats, shots: int, seeds: int) -> Flags:
    """So many molecules of each class, drawn anew for every seed, (seed, molecule)."""
    drawn = np.zeros((seeds, len(labels)), bool)
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(labels))
        for kind in (0.0, 1.0):
            drawn[seed, order[labels[order] == kind][:shots]] = True
    return drawn


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


def scores(
    data: Assays, molecules_too: bool, shots: tuple[int, ...] = SHOTS, seeds: int = SEEDS
) -> pd.DataFrame:
    """Area under the curve and average precision of every assay, each left out with a third of the others.

    Parameters
    ----------
    data : Assays
    molecules_too : bool
        Whether the molecules that judge were held out of learning as well.
    shots : tuple of int
        Molecules of each class that are known of the new assay.
    seeds : int
        Draws of these.
    """
    count = len(data.labels)
    held_out = held_out_molecules(count)
    seen = ~held_out if molecules_too else np.ones(count, bool)
    judged = held_out if molecules_too else np.ones(count, bool)
    honest, repeated = log_odds(data, seen)
    of = molecules(data.smiles, data.described, seen) if data.smiles else None
    rows: list[dict[str, Any]] = []
    for part in parts_of(data):
        old = [at for at in range(len(data.names)) if at not in part]
        model = linear_predictor([f"assay_{at}" for at in old], name="studies.assays")
        ways: dict[str, Forecast] = {}
        for name, told in _sources(honest, of, data.labels, old, seen).items():
            prior = learned(model, told, data.labels, old, seen)
            ways[f"learned prior on {name} of other assays"] = partial(_by_prior, prior, told[:, old])
            ways[f"{name} of other assays, alone"] = partial(_by_regression, told[:, old])
        ways["structure alone"] = partial(_by_regression, data.described)
        if of is not None and molecules_too:
            for name, way in WAYS.items():
                adapting = learn_adapting(of, data.labels[:, old], seen, way)
                ways[f"graph network, {name}"] = partial(_by_networks, adapting, of)
        if not molecules_too:
            known = np.nan_to_num(2.0 * data.labels[:, old] - 1.0)
            ways["forests that saw the molecules, alone"] = partial(_by_regression, repeated[:, old])
            ways["labels of the same molecules, no structure"] = partial(_by_regression, known)
        for at in part:
            who = np.flatnonzero(judged & ~np.isnan(data.labels[:, at]))
            if min(np.bincount(data.labels[who, at].astype(int), minlength=2)) < _ENOUGH:
                print(f"{data.names[at]} has fewer than {_ENOUGH} molecules of a class, and is not judged")
                continue
            for k in shots:
                rows += _judged(ways, who, data.labels[who, at], k, seeds, data.names[at])
    return pd.DataFrame(rows)


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


def _judged(
    ways: Mapping[str, Forecast], who: Places, labels: Floats, shots: int, seeds: int, name: str
) -> list[dict[str, Any]]:
    supports = balanced_supports(labels, shots, seeds if shots else 1)
    rows = []
    for way, forecast in ways.items():
        for seed, (odds, support) in enumerate(zip(forecast(who, labels, supports), supports, strict=False)):
            asked = ~support
            figures = {
                "auc": area_under_curve(labels[asked], odds[asked]),
                "auprc": average_precision(labels[asked], odds[asked]),
            }
            rows.append({"assay": name, "method": way, "shots": shots, "seed": seed, **figures})
    return rows


_DRAWN = {
    "learned prior on forests and graph networks of other assays": "learned prior, forests and graph networks",
    "learned prior on forests of other assays": "learned prior, forests",
    "forests and graph networks of other assays, alone": "forests and graph networks, alone",
    "graph network, process head by Laplace": "graph network, process head",
    "graph network, MAML": "graph network, MAML",
    "structure alone": "structure alone",
    "labels of the same molecules, no structure": "labels of the same molecules",
}


def figure(table: pd.DataFrame) -> Figure:
    """Area under the curve against molecules of each class, a panel for each set of assays and way to split."""
    from matplotlib.figure import Figure

    from metasci.report.style import PALETTE, styled

    @styled
    def draw() -> Figure:
        sets, splits = (list(dict.fromkeys(table[name])) for name in ("data", "split"))
        drawing = Figure(figsize=(6.4, 2.4 * len(sets) + 0.9), layout="constrained")
        panels = drawing.subplots(len(sets), len(splits), sharex=True, sharey="row", squeeze=False)
        for row, data in zip(panels, sets, strict=True):
            for axes, split in zip(row, splits, strict=True):
                part = table[(table["data"] == data) & (table["split"] == split)]
                means = part.groupby(["method", "shots"])["auc"].mean()
                for (method, name), colour in zip(_DRAWN.items(), (*PALETTE, "black"), strict=False):
                    if method in means.index.get_level_values(0):
                        own = means[method]
                        axes.plot(own.index, own, "o-", color=colour, markersize=3, label=name)
                axes.set(title=f"{data}, {split}")
            row[0].set_ylabel("area under the curve")
        for axes in panels[-1]:
            axes.set_xlabel("molecules of each class")
        lines = {str(line.get_label()): line for axes in drawing.axes for line in axes.get_lines()}
        drawing.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=2)
        return drawing

    return draw()


def main(out: Path) -> None:
    """Print the tables, and write all scores and the figure into a folder; what a former run has written stays."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    tables = []
    for file, title in DATA.items():
        for split, too in SPLITS.items():
            kept = out / f"{file}-{'molecules-too' if too else 'leaks'}.csv"
            if not kept.exists():
                print(f"{title}, {split}", flush=True)
                write_atomically(kept, csv_bytes(scores(assays(name=file), too)))
            tables.append(pd.read_csv(kept).assign(data=title, split=split))
    table = pd.concat(tables)
    write_atomically(out / "assays.csv", csv_bytes(table))
    save_figure(figure(table), out / "assays.png", dpi=150)
    for title in DATA.values():
        for split in SPLITS:
            own = table[(table["data"] == title) & (table["split"] == split)]
            count = own["assay"].nunique()
            print(f"\n{title}, {split}: mean over {count} assays, {SEEDS} draws of the molecules known (%)")
            for score in ("auc", "auprc"):
                wide = own.pivot_table(score, "method", "shots", sort=False)
                print(f"\n{score}\n{(100.0 * wide).round(1).to_string()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("assays"))
