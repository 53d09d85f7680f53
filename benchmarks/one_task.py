"""What one patient's calibration costs, part by part. ``python benchmarks/one_task.py``.

Theophylline with three readings and propofol with two: medians over five patients of each one's best run, in
milliseconds of the processor. The first number behind it is that of runs.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from propofol_speed import two_samples

import metasci as ms


def best(call: Callable[[], object], runs: int) -> float:
    """Milliseconds of the processor that the quickest of some runs takes."""
    call()
    used = []
    for _ in range(runs):
        busy = time.process_time()
        call()
        used.append(1000.0 * (time.process_time() - busy))
    return min(used)


def parts(prior: Any, one: ms.TaskSet) -> dict[str, Callable[[], object]]:
    """The whole, and what it is made of."""
    read = prior.read(one)
    counted = prior.counted(read)
    batch = prior.batch(counted)
    return {
        "whole": partial(prior.calibrate, one),
        "reading and checks": partial(prior.read, one),
        "copies and repeats": partial(prior.counted, read),
        "batch": partial(prior.batch, counted),
        "adaptation": partial(prior.adapt, batch, together=True),
    }


def main(runs: int = 12) -> None:
    """Print a line for each data set."""
    torch.set_num_threads(1)
    theophylline = ms.dataset("theophylline")
    three = replace(theophylline, dataset=theophylline.dataset.isel(observation=slice(3)))
    for name, data in (("theophylline", three), ("propofol", two_samples(ms.dataset("propofol"), 5))):
        prior = ms.load(name)
        costs = [
            {part: best(call, runs) for part, call in parts(prior, data.select([place])).items()}
            for place in range(5)
        ]
        medians = {part: statistics.median(each[part] for each in costs) for part in costs[0]}
        print(
            f"{name}: " + ", ".join(f"{part} {value:.1f} ms" for part, value in medians.items()), flush=True
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
