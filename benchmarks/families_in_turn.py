"""Networks of graphs that learn aliphatic families first and aromatic ones later; prints ``families_in_turn.md``.

    python benchmarks/families_in_turn.py choose
    python benchmarks/families_in_turn.py judge [SEEDS]

Boiling points, real. Of every family a third of the members, at random, is kept from all networks, and judges: five of
them calibrate the family, the others are forecast. ``choose`` asks how many times what online Laplace keeps should
count, on the aliphatic families' other members alone, of which again a third judges: those named first are learned
first. ``judge`` compares, with that, learning from aliphatic families alone, then from aromatic ones by plain
fine-tuning and by `NetworkPrior.update`, and learning from all together.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

import metasci as ms
from metasci.data.tasks import TaskSet
from metasci.evaluation.protocol import Protocol, split_tasks
from metasci.learned.networks import NetworkMethod
from metasci.learned.ways import WAYS
from metasci.materials.architectures import Architecture
from metasci.materials.properties import boiling_point
from metasci.priors.networks import NetworkPrior, learn_networks

TIMES = (0.0, 1.0, 10.0, 100.0, 1000.0)
SHOTS, FEWEST = 5, 7
CHOSEN_WAYS = ("network, not adapted", "Gaussian-process head")
METHOD = NetworkMethod(
    Architecture("smiles", width=16, layers=1),
    ways={name: WAYS[name] for name in CHOSEN_WAYS},
    networks=1,
)
PROTOCOL = Protocol(support="random", query="rest", shots=(SHOTS,), query_from=SHOTS, aggregate="mean")


def of_members(tasks: TaskSet, seed: int) -> tuple[TaskSet, TaskSet]:
    """Two thirds of each family's members, and the others."""
    rows = tasks.to_frame(units=True)
    generator = np.random.default_rng(seed)
    rank = rows.groupby("task")["task"].transform(lambda each: generator.permutation(len(each)))
    parts = [rows[rank % 3 != 0], rows[rank % 3 == 0]]
    teach, judge = (TaskSet.from_frame(part, tasks.card, model=boiling_point) for part in parts)
    return teach, judge


def error(prior: NetworkPrior, tasks: TaskSet, way: str) -> float:
    """Mean over families of the mean absolute error (K), five members known; ten draws of these."""
    tasks = tasks.select(np.flatnonzero(np.asarray(tasks.counts) >= FEWEST))
    batch = prior.batch(tasks)
    split = split_tasks(batch.mask, SHOTS, PROTOCOL, 10)
    chosen = batch.select(split.task)
    said = prior.forecasters(tasks)[way](chosen, split.support, split.query)
    off = torch.where(split.query, (said.median - chosen.output).abs(), 0.0).sum(1) / split.query.sum(1)
    return float(off.mean())


def errors(prior: NetworkPrior, sides: Sequence[TaskSet]) -> dict[str, list[float]]:
    """Of each way, on each side."""
    return {way: [error(prior, side, way) for side in sides] for way in prior.ways}


def show(rows: list[dict[str, Any]], sides: Sequence[str]) -> None:
    """Means over seeds, and their range where there are several."""

    def told(errors: pd.Series) -> str:
        range_of = f" ({errors.min():.1f} to {errors.max():.1f})" if len(errors) > 1 else ""
        return f"{errors.mean():.1f}{range_of}"

    for (way, how), each in pd.DataFrame(rows).groupby(["way", "how"], sort=False):
        print(f"| {way} | {how} | {' | '.join(told(each[side]) for side in sides)} |", flush=True)


def choose(tasks: TaskSet) -> None:
    """Errors on the halves of the aliphatic families by how many times what is kept counts."""
    teach, judge = of_members(of_members(tasks, 0)[0], 1)
    aliphatic = [name for name in teach.names if name.startswith("al")]
    halves = aliphatic[: len(aliphatic) // 2], aliphatic[len(aliphatic) // 2 :]
    sides = [judge.select(half) for half in halves]
    first = learn_networks(boiling_point, teach.select(halves[0]), METHOD)
    priors = {"first half alone": first}
    for times in TIMES:
        held = first.update(teach.select(halves[1]), times=times)
        priors[f"then second half, kept counts {times:g} times"] = held
    rows = [
        {"way": way, "how": how, "first": old, "second": new}
        for how, prior in priors.items()
        for way, (old, new) in errors(prior, sides).items()
    ]
    show(rows, ("first", "second"))


def judge(tasks: TaskSet, seeds: int) -> None:
    """Errors on aliphatic and aromatic families by how they were learned from."""
    teach, judges = of_members(tasks, 0)
    groups = [[name for name in teach.names if name.startswith(start)] for start in ("al", "ar")]
    sides, newer = [judges.select(group) for group in groups], teach.select(groups[1])
    rows = []
    for seed in range(seeds):
        method = replace(METHOD, seed=seed)
        first = learn_networks(boiling_point, teach.select(groups[0]), method)
        priors = {
            "aliphatic alone": first,
            "then aromatic, fine-tuned": first.update(newer, times=0.0),
            "then aromatic, `update`": first.update(newer),
            "all together": learn_networks(boiling_point, teach, method),
        }
        for how, prior in priors.items():
            for way, (old, new) in errors(prior, sides).items():
                rows.append({"way": way, "how": how, "aliphatic": old, "aromatic": new})
    show(rows, ("aliphatic", "aromatic"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    families = ms.dataset("boiling_points", model=boiling_point)
    if sys.argv[1:2] == ["judge"]:
        judge(families, int(sys.argv[2]) if len(sys.argv) > 2 else 3)
    else:
        choose(families)
