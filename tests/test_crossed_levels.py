"""Levels that cross: every laboratory has measured specimens of many heats, and heats of many laboratories."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

import metasci as ms
from metasci.data.tasks import TaskSet
from metasci.meta import DiscrepancyPrior

from test_levels import line  # isort: skip

LABORATORIES, HEATS, LEFT_OUT = 5, 6, 8
CARD = ms.Card.from_model(line, levels=("laboratory", "heat"))


def crossed(seed: int) -> tuple[TaskSet, np.ndarray, np.ndarray]:
    """A line of each laboratory and heat, both of which lift it; which is of which, (task, 2), and by how much."""
    rng = np.random.default_rng(seed)
    lifts = [rng.normal(0.0, 0.6, LABORATORIES), rng.normal(0.0, 0.6, HEATS)]
    cells = np.array([(at, of) for at in range(LABORATORIES) for of in range(HEATS)])
    high = 1.0 + lifts[0][cells[:, 0]] + lifts[1][cells[:, 1]] + rng.normal(0.0, 0.05, len(cells))
    rows = []
    for task, ((laboratory, heat), height) in enumerate(zip(cells, high, strict=True)):
        x = np.sort(rng.uniform(0.0, 3.0, 5))
        y = height + (0.5 + rng.normal(0.0, 0.05)) * x + rng.normal(0.0, 0.03, 5)
        rows += [
            (f"t{task}", f"laboratory {laboratory}", f"heat {heat}", *each) for each in zip(x, y, strict=True)
        ]
    frame = pd.DataFrame(rows, columns=["task", "laboratory", "heat", "x", "y"])
    return TaskSet.from_frame(frame, CARD), cells, high


def by_least_squares(cells: np.ndarray, high: np.ndarray, known: np.ndarray) -> np.ndarray:
    """What two-way analysis of variance without interaction says of every cell, from the heights known."""
    design = np.column_stack([np.eye(LABORATORIES)[cells[:, 0]], np.eye(HEATS)[cells[:, 1]]])
    effects = np.linalg.lstsq(design[known], high[known], rcond=None)[0]
    return design @ effects


def test_a_cell_nobody_measured_is_forecast_from_its_laboratory_and_its_heat() -> None:
    tasks, cells, high = crossed(1)
    left_out = np.random.default_rng(3).permutation(len(cells))[:LEFT_OUT]
    known = np.setdiff1d(np.arange(len(cells)), left_out)
    errors = {}
    for levels in (("laboratory", "heat"), ("laboratory",), ("heat",), ()):
        method = DiscrepancyPrior(levels=levels, iterations=50)
        prior = ms.meta_calibrate(line, tasks.select(known), method)
        batch = prior.batch(tasks.select(left_out))
        start = prior.adapt(batch.with_mask(torch.zeros_like(batch.mask))).start[:, 0].numpy()
        errors[levels] = float(np.sqrt(((start - high[left_out]) ** 2).mean()))
    classical = by_least_squares(cells, high, known)[left_out]
    best = float(np.sqrt(((classical - high[left_out]) ** 2).mean()))
    assert errors["laboratory", "heat"] < 2.0 * best
    assert errors["laboratory", "heat"] < 0.4 * min(errors["laboratory",], errors["heat",], errors[()])
