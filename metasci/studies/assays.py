"""Study: a new assay from a few molecules. ``metasci study assays`` (some ten minutes).

Toxicity assays of Tox21 as tasks. Assays are left out, and molecules as well: whatever is learned has seen neither the
assay nor the molecules by which it is judged. Beside it stands the split that is usual, in which only assays are left
out, with the baseline that shows what leaks there: labels of the same molecules on the other assays, and no structure.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
from metasci.errors import InputError
from metasci.evaluation.outcome_scores import area_under_curve, average_precision
from metasci.files import write_atomically
from metasci.materials.molecules import features
from metasci.meta import GaussianPrior
from metasci.model import Model
from metasci.priors.equation import Prior, meta_calibrate
from metasci.report.style import save_figure
from metasci.responses import linear_predictor
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

SHOTS = (0, 1, 5, 10)
SEEDS, PARTS = 10, 3
_HELD_OUT = 0.3  # of the molecules
_TREES, _LEAST = 100, 2
_MOST = 400  # molecules of each class of an assay that the prior is learned from
_SURE = 1e-3  # a forest of a hundred trees tells no probability closer to zero


@dataclass(frozen=True)
class Assays:
    """Molecules and what assays say of them.

    Attributes
    ----------
    names : tuple of str
    labels : array, (molecule, assay)
        One for active, zero for not, NaN where it was not measured.
    described : array, (molecule, feature)
        Of their structure.
    """

    names: tuple[str, ...]
    labels: Floats
    described: Floats


def read_assays(path: str | Path | None = None) -> tuple[tuple[str, ...], Floats, list[str]]:
    """Names of the assays, labels (molecule, assay) and SMILES.

    Parameters
    ----------
    path : path, optional
        ``few_shot_molecules/tox21.csv.gz`` under ``METASCI_DATA_DIR`` by default.
    """
    folder = os.environ.get("METASCI_DATA_DIR", "")
    file = Path(path) if path else Path(folder) / "few_shot_molecules" / "tox21.csv.gz"
    if not file.is_file():
        raise InputError(
            "the assays' data do not ship: set METASCI_DATA_DIR to the folder that holds few_shot_molecules/."
        )
    table = pd.read_csv(file)
    names = [str(name) for name in table if name not in ("mol_id", "smiles")]
    return tuple(names), table[names].to_numpy(float), table["smiles"].tolist()


def assays(path: str | Path | None = None) -> Assays:
    """The assays with their molecules described; a structure that cannot be read is left out, and told."""
    from metasci.materials.molecules import molecule_of

    names, labels, smiles = read_assays(path)
    kept = []
    for at, text in enumerate(smiles):
        try:
            molecule_of(text)
        except InputError:
            continue
        kept.append(at)
    if len(kept) < len(smiles):
        print(f"{len(smiles) - len(kept)} of {len(smiles)} structures cannot be read and are left out")
    parts = features([smiles[at] for at in kept])
    return Assays(names, labels[kept], np.hstack([np.minimum(parts.counts, 3.0), parts.descriptors]))


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
    rows: list[dict[str, Any]] = []
    for part in parts_of(data):
        old = [at for at in range(len(data.names)) if at not in part]
        model = linear_predictor([f"assay_{at}" for at in old], name="studies.assays")
        prior = learned(model, honest, data.labels, old, seen)
        ways: dict[str, Forecast] = {
            "learned prior on forests of other assays": partial(_by_prior, prior, honest[:, old]),
            "forests of other assays, alone": partial(_by_regression, honest[:, old]),
            "structure alone": partial(_by_regression, data.described),
        }
        if not molecules_too:
            known = np.nan_to_num(2.0 * data.labels[:, old] - 1.0)
            ways["forests that saw the molecules, alone"] = partial(_by_regression, repeated[:, old])
            ways["labels of the same molecules, no structure"] = partial(_by_regression, known)
        for at in part:
            who = np.flatnonzero(judged & ~np.isnan(data.labels[:, at]))
            for k in shots:
                rows += _judged(ways, who, data.labels[who, at], k, seeds, data.names[at])
    return pd.DataFrame(rows)


def _judged(
    ways: Mapping[str, Forecast], who: Places, labels: Floats, shots: int, seeds: int, name: str
) -> list[dict[str, Any]]:
    supports = balanced_supports(labels, shots, seeds if shots else 1)
    rows = []
    for way, forecast in ways.items():
        for seed, (odds, support) in enumerate(zip(forecast(who, labels, supports), supports, strict=True)):
            asked = ~support
            figures = {
                "auc": area_under_curve(labels[asked], odds[asked]),
                "auprc": average_precision(labels[asked], odds[asked]),
            }
            rows.append({"assay": name, "method": way, "shots": shots, "seed": seed, **figures})
    return rows


def figure(table: pd.DataFrame) -> Figure:
    """Area under the curve against molecules of each class, a panel for each way to split."""
    from matplotlib.figure import Figure

    from metasci.report.style import PALETTE, styled

    @styled
    def draw() -> Figure:
        drawing = Figure(figsize=(6.4, 3.0), layout="constrained")
        colours = dict(zip(dict.fromkeys(table["method"]), PALETTE, strict=False))
        splits = list(dict.fromkeys(table["split"]))
        panels = drawing.subplots(1, len(splits), sharey=True, squeeze=False)[0]
        for axes, split in zip(panels, splits, strict=True):
            means = table[table["split"] == split].groupby(["method", "shots"])["auc"].mean()
            for method, colour in colours.items():
                if method in means.index.get_level_values(0):
                    own = means[method]
                    axes.plot(own.index, own, "o-", color=colour, markersize=3, label=method)
            axes.set(title=split, xlabel="molecules of each class", ylim=(0.5, 0.9))
        panels[0].set_ylabel("area under the curve")
        lines = {line.get_label(): line for axes in panels for line in axes.get_lines()}
        drawing.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=2)
        return drawing

    return draw()


def main(out: Path) -> None:
    """Print the tables, and write all scores and the figure into a folder."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    data = assays()
    splits = {"assays and molecules left out": True, "assays left out (leaks)": False}
    table = pd.concat([scores(data, too).assign(split=name) for name, too in splits.items()])
    write_atomically(out / "assays.csv", csv_bytes(table))
    save_figure(figure(table), out / "assays.png", dpi=150)
    for name in splits:
        own = table[table["split"] == name]
        print(
            f"\n{name}: mean over {own['assay'].nunique()} assays, {SEEDS} draws of the molecules known (%)"
        )
        for score in ("auc", "auprc"):
            wide = own.pivot_table(score, "method", "shots", sort=False)
            print(f"\n{score}\n{(100.0 * wide).round(1).to_string()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("assays"))
