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

import numpy as np
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


def told(title: str, prior: NetworkPrior, sides: Sequence[TaskSet]) -> None:
    """A row of each way."""
    for way in prior.ways:
        figures = [error(prior, side, way) for side in sides]
        print(f"| {way} | {title} | {' | '.join(f'{figure:.2f}' for figure in figures)} |", flush=True)


def choose(tasks: TaskSet) -> None:
    """Errors on the halves of the aliphatic families by how many times what is kept counts."""
    teach, judge = of_members(of_members(tasks, 0)[0], 1)
    aliphatic = [name for name in teach.names if name.startswith("al")]
    halves = aliphatic[: len(aliphatic) // 2], aliphatic[len(aliphatic) // 2 :]
    sides = [judge.select(half) for half in halves]
    first = learn_networks(boiling_point, teach.select(halves[0]), METHOD)
    told("first half alone", first, sides)
    for times in TIMES:
        told(
            f"then second half, kept {times:g} times",
            first.update(teach.select(halves[1]), times=times),
            sides,
        )


def judge(tasks: TaskSet, seeds: int) -> None:
    """Errors on aliphatic and aromatic families by how they were learned from."""
    teach, judges = of_members(tasks, 0)
    groups = [[name for name in teach.names if name.startswith(start)] for start in ("al", "ar")]
    sides = [judges.select(group) for group in groups]
    for seed in range(seeds):
        method = replace(METHOD, seed=seed)
        first = learn_networks(boiling_point, teach.select(groups[0]), method)
        told(f"aliphatic alone, seed {seed}", first, sides)
        newer = teach.select(groups[1])
        told(f"fine-tuned, seed {seed}", first.update(newer, times=0.0), sides)
        told(f"online Laplace, seed {seed}", first.update(newer), sides)
        told(f"all together, seed {seed}", learn_networks(boiling_point, teach, method), sides)


if __name__ == "__main__":
    torch.set_num_threads(1)
    families = ms.dataset("boiling_points", model=boiling_point)
    if sys.argv[1:2] == ["judge"]:
        judge(families, int(sys.argv[2]) if len(sys.argv) > 2 else 3)
    else:
        choose(families)
