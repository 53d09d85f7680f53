"""Study: a sensor drifts while five readings are taken. ``metasci study drifting-sensors`` (some minutes).

Steels and patients are calibrated from five readings that go astray steadily, from one of them on, until the last is
off by 3, 6 or 10 standard deviations of the noise, up or down; the case that harms most counts. By a learned prior as
it is, with a reading in doubt, with a drift in doubt, with residuals that always drift, and with Huber's loss; and by
fits without a prior. What is done is kept in the folder: the same command goes on where it was interrupted.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from metasci import catalogue
from metasci.data.frames import csv_bytes
from metasci.data.tasks import Batch
from metasci.evaluation.evaluate import held_out
from metasci.files import write_atomically
from metasci.fits.broken import one_may_be_broken
from metasci.fits.drifting import drifts_of, sensor_may_drift
from metasci.meta import GaussianPrior
from metasci.meta.problem import Problem
from metasci.priors.equation import Prior
from metasci.priors.load import load
from metasci.report.style import save_figure
from metasci.studies.kept import kept_numbers
from metasci.studies.moved_readings import DATA, MOVED, READINGS, error_figure, mean_in_words
from metasci.studies.robust_fits import fit_alone, physical

__all__ = ["differences", "drifted", "errors", "main", "scores"]


def drifted(values: Tensor, support: Tensor, by: float) -> Tensor:
    """Copies of a task's values whose readings go astray, from each on, up and down, (2 × (reading - 1), observation).

    Examples
    --------
    >>> drifted(torch.zeros(4), torch.tensor([True, False, True, True]), 2.0).tolist()
    [[0.0, 0.0, 1.0, 2.0], [0.0, 0.0, -1.0, -2.0], [0.0, 0.0, 0.0, 2.0], [0.0, 0.0, 0.0, -2.0]]
    """
    share = drifts_of(support[None])[:, 0]
    share = share[share.abs().sum(1) > 0.0].to(values).unique(dim=0)
    share = share[share.sum(1).argsort(descending=True)]
    return values + by * torch.stack([share, -share], 1).flatten(0, 1)


def errors(
    prior: Prior, batch: Batch, support: Tensor, truth: Batch
) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
    """Root mean square error of each task on what is not in the support, by way of calibrating; and how probable
    each way of doubting says it is that a sensor is not sound.
    """
    known, whole = batch.with_mask(support), Problem(prior.model, truth)
    judged, narrow = truth.mask & ~support, known.trimmed(support)
    one = one_may_be_broken(prior, narrow)
    steady, wandering = sensor_may_drift(prior, narrow), sensor_may_drift(prior, narrow, how="wandering")
    always = sensor_may_drift(prior, narrow, chance=1.0, how="wandering")
    plain = prior.adapt(known)
    ways = {
        "learned prior": whole.predict(plain.coordinates),
        "learned prior, a reading in doubt": one.mean(whole),
        "learned prior, a drift in doubt": steady.mean(whole),
        "learned prior, wandering in doubt": wandering.mean(whole),
        "learned prior, residuals that wander": always.mean(whole),
        "learned prior, Huber": whole.predict(fit_alone(prior, known, "huber", plain)),
        "least squares alone": whole.predict(fit_alone(prior, known, "linear")),
        "Huber alone": whole.predict(fit_alone(prior, known, "huber")),
    }
    off = {name: torch.where(judged, (each - truth.output).square(), 0.0) for name, each in ways.items()}
    told = {"a drift": steady.drifts, "wandering": wandering.drifts, "one broken reading": one.broken.sum(1)}
    return (
        {name: (each.sum(1) / judged.sum(1)).sqrt().detach().numpy() for name, each in off.items()},
        {name: each.detach().numpy() for name, each in told.items()},
    )


def _cases(batch: Batch, sd: float, moved: float) -> tuple[Tensor, Tensor, Tensor]:
    """Which task each case is of, its readings, and which of these calibrate."""
    tasks, values, supports = [], [], []
    for at in range(len(batch)):
        measured = batch.mask[at].nonzero()[:, 0]
        if len(measured) <= READINGS:
            continue
        chosen = torch.as_tensor(np.random.default_rng(at).permutation(len(measured))[:READINGS])
        support = torch.zeros_like(batch.mask[at])
        support[measured[chosen]] = True
        copies = drifted(batch.output[at], support, moved * sd)
        copies = copies[:1] if moved == 0.0 else copies
        tasks += [at] * len(copies)
        values.append(copies)
        supports += [support] * len(copies)
    together = torch.cat(values)
    # what is measured stays physical: a concentration that drifts below zero is as good as none
    return (
        torch.tensor(tasks),
        together.clamp(min=1e-3) if physical(batch) else together,
        torch.stack(supports),
    )


def _of_fold(fold: Prior, batch: Batch) -> list[dict[str, Any]]:
    """Of every task and how far the last reading drifts: the worst case's errors, and how often a drift is told."""
    sd, rows = float(fold.state.log_noise.exp()[0]), []
    for moved in MOVED:
        task, values, support = _cases(batch, sd, moved)
        truth = batch.select(task)
        found, told = errors(fold, replace(truth, output=values), support, truth)
        for at in task.unique().tolist():
            own = (task == at).numpy()
            worst = {f"error, {way}": float(each[own].max()) for way, each in found.items()}
            doubted = {f"told, {way}": float((each[own] > 0.5).mean()) for way, each in told.items()}
            rows.append({"task": batch.names[at], "moved": moved, **worst, **doubted})
    return rows


def scores(name: str, keep: Path) -> pd.DataFrame:
    """One row for each task and how far its last reading drifts, tasks left out in parts."""
    group, folds = DATA[name]
    shipped, tasks = load(name), catalogue.dataset(name)
    # one noise for all tasks, as doubt needs it
    recipe = replace(shipped, method=GaussianPrior())
    rows: list[dict[str, Any]] = []
    for number, (fold, left_out) in enumerate(held_out(recipe, tasks, group, folds)):
        rows += kept_numbers(keep / f"{name}-{number}.json", partial(_of_fold, fold, fold.batch(left_out)))
    return pd.DataFrame(rows)


def _part(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    names = [column for column in table if str(column).startswith(f"{kind}, ")]
    return table[["task", "moved", *names]].rename(columns=lambda each: str(each).removeprefix(f"{kind}, "))


def differences(table: pd.DataFrame, other: str = "learned prior") -> pd.DataFrame:
    """How much more each way under the prior errs than another, with 90 % intervals over tasks, as texts."""
    wide = _part(table, "error").set_index(["moved", "task"])
    rows: dict[str, dict[float, str]] = {}
    for way in wide.columns.drop(other):
        for moved in MOVED:
            off = (wide[way] - wide[other]).loc[moved].to_numpy(float)
            rows.setdefault(f"{way}, less {other}", {})[moved] = mean_in_words(off)
    return pd.DataFrame(rows).T


def main(out: Path) -> None:
    """Print the tables, and write them and the figure into a folder."""
    torch.set_num_threads(1)
    found = {}
    for name in DATA:
        table = scores(name, out / "kept")
        write_atomically(out / f"{name}.csv", csv_bytes(table))
        found[name] = _part(table, "error").drop(columns="task").groupby("moved").mean().T
        unit = load(name).model.output.unit
        print(
            f"\n{name}: root mean square error ({unit}) on the rest, the worst drift of five readings, by its end (sd)"
        )
        print(found[name].round(3).to_string())
        print("\nDifferences, with 90 % intervals over tasks")
        print(differences(table).to_string())
        told = 100.0 * _part(table, "told").drop(columns="task").groupby("moved").mean().T
        print("\nTold with more than even odds, in % of the cases; at 0.0 nothing is wrong")
        print(told.round(1).to_string())
    save_figure(error_figure(found, "last of five readings off"), out / "drifting-sensors.png", dpi=150)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("drifting_sensors"))
