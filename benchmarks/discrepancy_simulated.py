"""Does a prior with a discrepancy hold the truth as often as it says? ``python benchmarks/discrepancy_simulated.py``.

Everything is simulated. First the package's own calibration: tasks with the conditions of data that ship, drawn from
the prior as it ships, parameters and one reading kept back. Then with ``--nuts SIMULATIONS`` the same model in PyMC: a
line of four tasks of two laboratories, four readings each, all scales drawn from what is believed of them, and sampled
by NUTS. Columns are those of `simulation_based_calibration.py`.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd
import torch
from simulation_based_calibration import line, timed

import metasci as ms
from metasci.bayes import nuts_ranks, process_ranks, with_discrepancy
from metasci.meta import DiscrepancyPrior

OWN = {"alloy_fatigue_discrepancy": "alloy_fatigue", "steel_tempering_discrepancy": "steel_tempering"}


@ms.equation(
    inputs={"x": "1"}, output=("y", "1"), name="benchmarks.line",
    parameters=[ms.Parameter("intercept", "1", 0.0, spread=1.0), ms.Parameter("slope", "1", 0.0, spread=1.0)],
    noise=ms.Additive((0.1,)),
)  # fmt: skip
def straight(x, *, intercept, slope):
    """A straight line."""
    return intercept + slope * x


def lines(tasks: int, places: int) -> ms.TaskSet:
    """Wavy lines of two laboratories, from which it is learned where beliefs about scales begin."""
    random = np.random.default_rng(0)
    rows = []
    for task in range(tasks):
        x = np.sort(random.uniform(0.0, 3.0, places))
        high = 0.3 * (-1.0) ** task
        y = 1.0 + random.normal(0.0, 0.3) + high + (0.5 + random.normal(0.0, 0.2)) * x + 0.2 * np.sin(2.0 * x)
        rows += [(f"t{task}", f"laboratory {task % 2}", *each) for each in zip(x, y, strict=True)]
    frame = pd.DataFrame(rows, columns=["task", "laboratory", "x", "y"])
    return ms.TaskSet.from_frame(frame, ms.Card.from_model(straight, levels=("laboratory",)))


def own(name: str, data: str, simulations: int) -> None:
    """The package's calibration under a prior that ships."""
    prior = ms.load(name)
    batch = prior.batch(ms.dataset(data))
    # readings as they are known of a new task: six of each, evenly among those that were made
    order = batch.mask.cumsum(1)
    places = (torch.linspace(0, 1, 6) * (batch.mask.sum(1, keepdim=True) - 1)).round().long() + 1
    batch = batch.trimmed(batch.mask & (order[:, :, None] == places[:, None, :]).any(-1))
    repeats = simulations // len(batch)
    ranks, took = timed(lambda: process_ranks(prior, batch, repeats=repeats))
    line(name, "own", ranks, process_ranks(prior, batch, repeats=repeats, narrowed=0.6), 20, took)


def by_nuts(simulations: int, seed: int) -> None:
    """Scales, tasks and readings from PyMC's own prior, sampled again."""
    tasks = lines(4, 4)
    prior = ms.meta_calibrate(straight, tasks, DiscrepancyPrior(iterations=4, members=4))
    began = time.perf_counter()
    found = nuts_ranks(
        with_discrepancy(prior, prior.batch(tasks)),
        simulations=simulations,
        narrowed=(1.0, 0.6),
        draws=400,
        tune=300,
        seed=seed,
    )
    took = time.perf_counter() - began
    line(
        "line, two laboratories", "NUTS", *(np.asarray(found.sel(narrowed=by)) for by in (1.0, 0.6)), 10, took
    )
    print(f"share of draws that diverged: {found.attrs['diverging']:.4f}")


def main(simulations: int, nuts: int, seed: int) -> None:
    """Print a row for each."""
    torch.set_num_threads(1)
    print(
        f"{'':28}{'':10}{'sims':>6}{'':4}{'p':>9}{'90 % hold':>17}{'p, narrowed':>12}{'seconds':>9}",
        flush=True,
    )
    if nuts:
        by_nuts(nuts, seed)
        return
    for name, data in OWN.items():
        own(name, data, simulations)


if __name__ == "__main__":
    asked = argparse.ArgumentParser()
    asked.add_argument("--simulations", type=int, default=3000, help="of one task, by the package itself")
    asked.add_argument("--nuts", type=int, default=0, help="simulations of the hierarchical model, by NUTS")
    asked.add_argument("--seed", type=int, default=0, help="of NUTS")
    main(**vars(asked.parse_args()))
