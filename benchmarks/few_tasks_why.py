"""Why intervals hold too little or too much where few tasks were learned from: ``python benchmarks/few_tasks_why.py``.

First the share of simulated measurements that lie in the 90 % intervals of the very population that they are drawn
from, known without error: as noise carries them, and with none beyond the limit of a law. Then, before a task is
measured, how much intervals hold and how wide they are of priors that were learned from few steels, with their
contents as covariates and without. A few minutes.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from few_tasks import FORECAST, certain, within_limits

import metasci as ms
from metasci.data.tasks import TaskSet
from metasci.evaluation.protocol import Protocol, split_tasks
from metasci.priors.equation import Prior
from metasci.report.simulation import simulated_like

SIMULATIONS = 20


def held(prior: Prior, made: TaskSet, shots: int) -> tuple[float, float]:
    """Share of the measurements that are not told which lie in the intervals, and the intervals' mean width."""
    batch = prior.batch(made)
    split = split_tasks(batch.mask, shots, Protocol(shots=(shots,)), 1)
    chosen = batch.select(split.task)
    lower, upper = prior.forecasters(made)["prior"](chosen, split.support, split.query).interval(0.9)
    inside = (lower <= chosen.output) & (chosen.output <= upper)
    return float(inside[split.query].double().mean()), float((upper - lower)[split.query].mean())


def of_a_known_population(name: str, shots: int) -> None:
    """Print how much the population's own intervals hold."""
    prior = certain(ms.load(name))
    tasks = ms.dataset(name, model=prior.model)
    tasks = tasks.select(np.asarray(tasks.counts) > shots + 2)
    made = [simulated_like(prior, tasks, seed) for seed in range(SIMULATIONS)]
    shares = {
        "as simulated": [held(prior, each, shots)[0] for each in made],
        "none beyond a limit": [held(prior, within_limits(prior, each), shots)[0] for each in made],
    }
    for what, found in shares.items():
        error = np.std(found, ddof=1) / np.sqrt(len(found))
        print(f"{name}, {shots} known, {what}: {100 * np.mean(found):.1f} ± {100 * error:.1f} %", flush=True)


def of_few_steels(count: int) -> None:
    """Print how much intervals hold before a steel is measured, and how wide they are."""
    prior = ms.load("steel_tempering")
    tasks = ms.dataset("steel_tempering", model=prior.model)
    for what, how in (("with contents", {}), ("without", {"covariates": []})):
        found = []
        for seed in range(SIMULATIONS):
            random = np.random.default_rng(seed)
            some = tasks.select(np.sort(random.permutation(len(tasks))[: count + FORECAST]))
            made = within_limits(prior, simulated_like(certain(prior), some, seed))
            old = np.isin(np.arange(len(made)), random.permutation(len(made))[:count])
            learned = ms.meta_calibrate(prior.model, made.select(old), prior.method, **how)
            found.append(held(learned, made.select(~old), 0))
        share, width = np.mean(found, 0)
        error = np.std(found, 0, ddof=1)[0] / np.sqrt(len(found))
        print(
            f"{count} steels, {what}: {100 * share:.1f} ± {100 * error:.1f} %, {width:.0f} HRC wide",
            flush=True,
        )


def main() -> None:
    """Print both."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for name in ("alloy_fatigue", "theophylline"):
        of_a_known_population(name, 3)
    for count in (3, 10):
        of_few_steels(count)


if __name__ == "__main__":
    main()
