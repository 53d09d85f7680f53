"""How honest intervals are where few tasks were learned from: ``python benchmarks/few_tasks.py [NAME ...]``.

Each shipped equation's data are simulated: tasks of the population that its shipped prior has learned, measured as
the real ones were; what noise carries beyond the limit of a law is reported as that limit. A prior is learned by the
shipped recipe from a few of them, and others are forecast from their first few measurements, in random order. Coverage
of 90 % intervals, with its standard error over simulations. Says so where a recipe refused the tasks. About an hour.
"""

from __future__ import annotations

import sys
import time
import warnings
from dataclasses import replace

import numpy as np
import torch

from metasci import catalogue
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.evaluation.protocol import Protocol, split_tasks
from metasci.meta.laplace.gaussian_state import KNOWN
from metasci.priors.equation import Prior
from metasci.priors.load import load
from metasci.report.simulation import lower_limit, simulated_like
from metasci.studies.ship import RECIPES

LEARNED_FROM = (3, 5, 10)
SHOTS = (0, 1, 3, 5)
FORECAST = 8
SIMULATIONS = 40
SLOW = ("quinidine", "remifentanil", "propofol")  # integrated, or hundreds of patients: fewer simulations


def certain(prior: Prior) -> Prior:
    """The same population, as if it were known."""
    state = prior.state
    known = torch.full_like(state.widening, KNOWN)
    sure = replace(
        state,
        design_covariance=torch.zeros_like(state.design_covariance),
        widening=torch.ones_like(state.widening),
        spread_freedom=known,
        noise_freedom=known,
    )
    return replace(prior, state=sure)


def within_limits(prior: Prior, made: TaskSet) -> TaskSet:
    """Measurements as a laboratory would report them: none beyond the limit of a law, where noise may carry it.

    Intervals end at that limit, too, and would miss every measurement beyond.
    """
    output = made.card.output.name
    kept = made.dataset[output].clip(min=lower_limit(prior), keep_attrs=True)
    return TaskSet(made.dataset.assign({output: kept}), made.card)


def coverages(prior: Prior, tasks: TaskSet, learned_from: int, seed: int) -> dict[int, float]:
    """Share of the forecasts that hold, by number of measurements, of one simulation."""
    random = np.random.default_rng(seed)
    chosen = random.permutation(len(tasks))[: learned_from + FORECAST]
    some = tasks.select(np.sort(chosen))
    made = within_limits(prior, simulated_like(certain(prior), some, seed))
    old = np.isin(np.arange(len(made)), random.permutation(len(made))[:learned_from])
    learned = prior.retrain(made.select(old))
    batch, held = learned.batch(made.select(~old)), {}
    forecaster = learned.forecasters(made)["prior"]
    most = int(batch.mask.sum(1).min()) - 1
    for shots in SHOTS:
        if shots > most:
            continue
        split = split_tasks(batch.mask, shots, Protocol(shots=(shots,)), 1)
        if len(split.task):
            chosen = batch.select(split.task)
            lower, upper = forecaster(chosen, split.support, split.query).interval(0.9)
            inside = (lower <= chosen.output) & (chosen.output <= upper)
            held[shots] = float(inside[split.query].double().mean())
    return held


def table(name: str) -> None:
    """Print a row for each number of tasks."""
    prior = load(name)
    tasks = catalogue.dataset(name, model=prior.model)
    measured = np.asarray(tasks.counts)
    tasks = tasks.select(measured >= min(max(SHOTS) + 1, int(np.median(measured))))
    count = SIMULATIONS // 3 if name in SLOW else SIMULATIONS
    for learned_from in LEARNED_FROM:
        if learned_from + 2 > len(tasks):
            continue
        began, held, refused = time.perf_counter(), [], 0
        for seed in range(count):
            try:
                held.append(coverages(prior, tasks, learned_from, seed))
            except InputError:
                refused += 1
        cells = []
        for shots in SHOTS:
            shares = np.array([each.get(shots, np.nan) for each in held])
            shares = shares[np.isfinite(shares)]
            error = shares.std(ddof=1) / np.sqrt(len(shares)) if len(shares) > 1 else np.nan
            cells.append(f"{100 * shares.mean():5.1f} ± {100 * error:3.1f}" if len(shares) else f"{'–':>11}")
        late = f"  {refused} refused" if refused else ""
        seconds = time.perf_counter() - began
        print(f"{name:18}{learned_from:6}   " + "   ".join(cells) + f"{late}   ({seconds:.0f} s)", flush=True)


def main() -> None:
    """Print the table of the named data, or of all whose measurements scatter about a curve."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    wanted = sys.argv[1:] or [recipe.data for recipe in RECIPES if load(recipe.data).model.noise.gaussian]
    print(f"{'':18}{'tasks':>6}   " + "   ".join(f"{shots:>11}" for shots in SHOTS))
    for name in wanted:
        table(name)


if __name__ == "__main__":
    main()
