"""Do posteriors hold the truth as often as they say? ``python benchmarks/simulation_based_calibration.py``.

Everything is simulated from priors. First one task's posterior under the learned prior, by Laplace's approximation
and by draws weighted to prior times likelihood: every task's conditions, again and again. Then NUTS on the
hierarchical model of three tasks with five measurements each, population and noise drawn from its own priors; of a
prior with a discrepancy on the model of `with_discrepancy`, scales and all. What is printed: how probable ranks as
uneven as these are where the posterior is right (χ², the least of all quantities, times their number), how often 90 %
intervals hold the truth (the least and the most of the quantities), and the first again where the posterior is made
narrower on purpose, by two fifths.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from metasci import catalogue
from metasci.bayes import (
    hierarchical,
    importance_ranks,
    initial_point,
    laplace_ranks,
    no_pooling,
    nuts_ranks,
    uniformity,
    with_discrepancy,
)
from metasci.data.batch import Batch
from metasci.meta import DiscrepancyState, GaussianPrior
from metasci.priors.equation import Prior
from metasci.priors.load import load
from metasci.studies.ship import BESIDE

NUTS = {  # simulations of each
    "theophylline": 200, "phenobarbital": 200, "alloy_fatigue": 200, "steel_tempering": 200, "remifentanil": 120,
    "propofol": 200, "steel_tempering_discrepancy": 60,
}  # fmt: skip
LONG = 50  # doses; with histories of hundreds a simulation takes minutes, so the shorter half is taken
# where tests stop: beyond, cracks of the wide prior are a thousand times as long
PLAUSIBLE = {"alloy_fatigue": 2.0}
AT_ONCE = 40  # tasks whose conditions are taken


def line(
    name: str, method: str, ranks: np.ndarray, narrowed: np.ndarray | None, bins: int, took: float
) -> None:
    def least(values: np.ndarray) -> float:
        found = uniformity(values, bins)
        return float(min(1.0, len(found) * found.min()))

    held = ((ranks > 0.05) & (ranks < 0.95)).mean(0)
    caught = f"{'':>12}" if narrowed is None else f"{least(narrowed):12.0e}"
    print(
        f"{name:28}{method:10}{len(ranks):6}{ranks.shape[1]:4}{least(ranks):9.2g}"
        f"{f'{held.min():.3f} to {held.max():.3f}':>17}{caught}{took:7.0f} s",
        flush=True,
    )


def timed(made: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    began = time.perf_counter()
    return made(), time.perf_counter() - began


def one_task(name: str, prior: Prior, batch: Batch, simulations: int) -> None:
    """Laplace and weighted draws; tasks whose conditions are taken lie evenly in the data set."""
    chosen = torch.linspace(0, len(batch) - 1, min(AT_ONCE, len(batch))).long()
    batch = batch.select(chosen)
    repeats = simulations // len(batch)
    ranks, took = timed(lambda: laplace_ranks(prior, batch, repeats=repeats))
    narrow = laplace_ranks(prior, batch, repeats=repeats, narrowed=0.6)
    line(name, "Laplace", ranks, narrow, 20, took)
    ranks, took = timed(lambda: importance_ranks(prior, batch, repeats=repeats)[0])
    line(name, "weighted", ranks, None, 20, took)


def three_tasks(name: str, prior: Prior, batch: Batch, seed: int) -> None:
    """NUTS, from the three tasks with the most measurements."""
    histories = list(prior.model.event_names)
    if histories and batch.inputs[histories[0]].shape[-1] > LONG:
        doses = (batch.inputs[histories[0]] != 0).flatten(1).sum(1)
        batch = batch.select(doses <= doses.median())
    batch = batch.select(torch.argsort(batch.mask.sum(1), descending=True, stable=True)[:3])
    if histories:
        longest = int((batch.inputs[histories[0]] != 0).flatten(0, 1).any(0).nonzero().max()) + 1
        cut = {name: batch.inputs[name][..., :longest] for name in histories}
        batch = replace(batch, inputs=batch.inputs | cut)
    # five, evenly among those that were made
    order = batch.mask.cumsum(1)
    places = (torch.linspace(0, 1, 5) * (batch.mask.sum(1, keepdim=True) - 1)).round().long() + 1
    batch = batch.trimmed(batch.mask & (order[:, :, None] == places[:, None, :]).any(-1))

    def start(measured: np.ndarray) -> dict[str, np.ndarray]:
        """From every task's own estimate, as the simulated population is not the learned one."""
        output = torch.zeros_like(batch.output)
        output[batch.mask] = prior.model.noise.unlink(torch.as_tensor(measured))
        typical = np.log(prior.model.noise.typical)
        alone = no_pooling(prior.model, replace(batch, output=output), typical)
        return initial_point(np.clip(alone.coordinates, -6.0, 6.0), typical)

    def plausible(measured: np.ndarray) -> bool:
        values = prior.model.noise.unlink(measured)
        return bool(values.max() < PLAUSIBLE.get(name, np.inf))

    began = time.perf_counter()
    beside = isinstance(prior.state, DiscrepancyState)
    found = nuts_ranks(
        with_discrepancy(prior, batch) if beside else hierarchical(prior.model, batch),
        simulations=NUTS[name],
        narrowed=(1.0, 0.6),
        start=None if beside else start,
        plausible=plausible,
        seed=seed,
    )
    took = time.perf_counter() - began
    line(name, "NUTS", *(np.asarray(found.sel(narrowed=factor)) for factor in (1.0, 0.6)), 10, took)


def main(names: list[str], simulations: int, seed: int) -> None:
    """Print a row for each prior and method."""
    torch.set_num_threads(1)
    print(
        f"{'':28}{'':10}{'sims':>6}{'':4}{'p':>9}{'90 % hold':>17}{'p, narrowed':>12}{'seconds':>9}",
        flush=True,
    )
    for name in names:
        prior = load(name)
        # one noise for all tasks, as is simulated
        if isinstance(prior.method, GaussianPrior):
            prior = replace(prior, method=replace(prior.method, task_noise=False))
        data = {recipe.folder: recipe.data for recipe in BESIDE}.get(name, name)
        batch = prior.batch(catalogue.dataset(data, model=prior.model))
        if name != "propofol" and isinstance(prior.method, GaussianPrior):  # doses by the thousand
            one_task(name, prior, batch, simulations)
        if name in NUTS:
            three_tasks(name, prior, batch, seed)


if __name__ == "__main__":
    asked = argparse.ArgumentParser()
    asked.add_argument("names", nargs="*", default=list(NUTS))
    asked.add_argument("--simulations", type=int, default=6000, help="of one task")
    asked.add_argument("--seed", type=int, default=0, help="of NUTS and what it is asked about")
    main(**vars(asked.parse_args()))
