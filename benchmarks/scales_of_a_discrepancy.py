"""Scales of a discrepancy taken as they were climbed to, and as they are to be expected: few tasks and many.

    python benchmarks/scales_of_a_discrepancy.py eights|theophylline|alloy_fatigue|steel_tempering

``eights`` learns from eight steels with eight readings each, drawn at random, ten times; the others leave tasks out in
parts. Readings are told and asked at random. What it printed is in ``scales_of_a_discrepancy.md``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from discrepancy_by_nuts import ASKED, COVARIATES, EACH, NEW, OLD, TOLD, some
from torch import Tensor

import metasci as ms
from metasci.data.tasks import TaskSet
from metasci.fits.predictive import predictive
from metasci.meta import DiscrepancyPrior
from metasci.meta.discrepancy import method

PARTS = {
    "theophylline": (6, (0, 1, 2, 3)),
    "alloy_fatigue": (7, (0, 1, 3, 5)),
    "steel_tempering": (5, (0, 1, 3, 5, 10)),
}


def as_climbed(problem: object, design: object, state: object, *_: object) -> dict[str, Tensor]:
    """In place of `expected_scales`: what the climb has led to."""
    return {**state.scales, "log_noise": state.log_noise}  # type: ignore[attr-defined]


def eights() -> Iterator[tuple[TaskSet, TaskSet, tuple[int, ...], tuple[str, ...] | None]]:
    """Eight steels to learn from, and six others."""
    tasks = ms.dataset("steel_tempering")
    names = [name for name, count in zip(tasks.names, tasks.counts, strict=True) if count >= EACH + TOLD]
    for seed in range(10):
        random = np.random.default_rng(seed)
        order = random.permutation(len(names))
        old = some(tasks, [names[i] for i in order[:OLD]], EACH, random)
        new = some(tasks, [names[i] for i in order[OLD : OLD + NEW]], TOLD + ASKED, random)
        yield old, new, (0, 1, TOLD), COVARIATES


def parts(name: str) -> Iterator[tuple[TaskSet, TaskSet, tuple[int, ...], tuple[str, ...] | None]]:
    """All tasks but a part, and that part."""
    tasks, (count, told) = ms.dataset(name), PARTS[name]
    order = np.random.default_rng(0).permutation(len(tasks.names))
    for part in range(count):
        new = [tasks.names[i] for i in order[part::count]]
        yield tasks.select([n for n in tasks.names if n not in new]), tasks.select(new), told, None


def judged(
    prior: ms.Prior, new: TaskSet, told: tuple[int, ...], seed: int
) -> Iterator[tuple[int, pd.DataFrame]]:
    """Measurements, and what was said of them after so many others."""
    batch = prior.batch(new)
    order = torch.rand(batch.mask.shape, generator=torch.Generator().manual_seed(seed))
    order = order.masked_fill(~batch.mask, 2.0).argsort(1).argsort(1)
    query = batch.mask & (order >= max(told))
    for count in told:
        adapted = prior.adapt(batch.with_mask(batch.mask & (order < count)))
        forecast = predictive(prior.problem(batch.with_mask(query)), adapted)
        low, high = forecast.interval(0.9)
        measured = batch.output
        columns = {
            "off": forecast.median - measured,
            "held": (measured >= low) & (measured <= high),
            "unlikely": -forecast.log_density(),
        }
        yield count, pd.DataFrame({name: values[query].numpy() for name, values in columns.items()})


def main(name: str) -> None:
    """Print the table of one design."""
    torch.set_num_threads(1)
    model = {"eights": ms.kinetics.tempering_rockwell, "steel_tempering": ms.kinetics.tempering_rockwell}
    rows = []
    for number, (old, new, told, covariates) in enumerate(eights() if name == "eights" else parts(name)):
        given = {} if covariates is None else {"covariates": covariates}
        for scales in ("as climbed to", "expected"):
            chosen = as_climbed if scales == "as climbed to" else method.expected_scales
            with (
                patch.object(method, "expected_scales", chosen),
                patch.object(method, "_FEW_TASKS", 10**6),  # however many there are
            ):
                prior = ms.meta_calibrate(
                    model.get(name) or ms.load(name).model, old, DiscrepancyPrior(), **given
                )
            for count, found in judged(prior, new, told, number):
                rows.append(found.assign(readings=count, scales=scales))
        print(f"part {number + 1}", file=sys.stderr, flush=True)
    print("| readings | scales | RMSE | 90 % intervals hold | negative log density |\n|---|---|---|---|---|")
    for (count, scales), group in pd.concat(rows).groupby(["readings", "scales"]):
        rmse, held = np.sqrt((group["off"] ** 2).mean()), 100 * group["held"].mean()
        print(f"| {count} | {scales} | {rmse:.3g} | {held:.0f} % | {group['unlikely'].mean():.2f} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
