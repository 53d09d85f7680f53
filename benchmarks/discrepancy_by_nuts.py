"""A prior with a discrepancy against the same model sampled by NUTS, on part of the steels.

    python benchmarks/discrepancy_by_nuts.py [DRAWS]

Eight steels with eight readings each are learned from, drawn at random, with four of their contents; six others tell
three readings each, and are forecast at eight more. Both sides have the same readings, the same covariances and the
same beliefs; PyMC samples the scales and the equation's parameters, the learned prior takes its scales as known and
linearises. The steels' source is a level for both. What it printed is in ``discrepancy_by_nuts.md``.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import pandas as pd
import torch
from scipy import stats

import metasci as ms
from metasci.bayes.discrepancy import forecast_with_discrepancy, with_discrepancy
from metasci.bayes.sampling import sample
from metasci.data.tasks import TaskSet
from metasci.fits.predictive import predictive
from metasci.meta import DiscrepancyPrior

OLD, NEW, EACH, TOLD, ASKED = 8, 6, 8, 3, 8
COVARIATES = ("carbon", "manganese", "chromium", "molybdenum")


def some(tasks: TaskSet, names: list[str], count: int, random: np.random.Generator) -> TaskSet:
    """Some tasks with so many readings each, drawn at random."""
    chosen = tasks.select(names)
    frame = chosen.to_frame(units=True)
    parts = [
        rows.iloc[random.permutation(len(rows))[:count]]
        for _, rows in frame.groupby(frame.columns[0], sort=False)
    ]
    return TaskSet.from_frame(pd.concat(parts), tasks.card)


def scored(
    measured: np.ndarray, mean: np.ndarray, lower: np.ndarray, upper: np.ndarray, log_density: np.ndarray
) -> str:
    """RMSE, coverage and negative log density as text."""
    rmse = float(np.sqrt(((measured - mean) ** 2).mean()))
    covered = float(((measured >= lower) & (measured <= upper)).mean())
    held = f"90 % intervals hold {100 * covered:.0f} %"
    return f"RMSE {rmse:.2f} HRC, {held}, negative log density {-log_density.mean():.3f}"


def main(draws: int = 300) -> None:
    """Print both sides' figures."""
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    tasks = ms.dataset("steel_tempering")
    names = [name for name, count in zip(tasks.names, tasks.counts, strict=True) if count >= EACH + TOLD]
    order = random.permutation(len(names))
    old = some(tasks, [names[i] for i in order[:OLD]], EACH, random)
    new = some(tasks, [names[i] for i in order[OLD : OLD + NEW]], TOLD + ASKED, random)
    began = time.perf_counter()
    prior = ms.meta_calibrate(ms.kinetics.tempering_rockwell, old, DiscrepancyPrior(), covariates=COVARIATES)
    print(f"learned in {time.perf_counter() - began:.1f} s")
    both = TaskSet.from_frame(pd.concat([old.to_frame(units=True), new.to_frame(units=True)]), tasks.card)
    batch = prior.batch(both)
    support = batch.mask.clone()
    support[OLD:, TOLD:] = False
    query = batch.mask & ~support
    fresh = batch.select(torch.arange(OLD, OLD + NEW))
    measured = batch.output[query].numpy()
    adapted = prior.adapt(fresh.with_mask(support[OLD:]))
    forecast = predictive(prior.problem(fresh.with_mask(query[OLD:])), adapted)
    lower, upper = (each[query[OLD:]].numpy() for each in forecast.interval(0.9))
    density = forecast.log_density()[query[OLD:]].numpy()
    print(
        "learned prior:",
        scored(measured, forecast.median[query[OLD:]].numpy(), lower, upper, density),
        flush=True,
    )
    built = with_discrepancy(prior, batch, support=support)
    posterior = sample(built, draws=draws, tune=draws, progress=sys.stderr.isatty(), cores=1)
    print(
        f"PyMC: {posterior.seconds:.0f} s and {posterior.compile_seconds:.0f} s of compiling. {posterior.verdict}"
    )
    parts = forecast_with_discrepancy(posterior, prior, batch, support, query)
    mean, sd = (np.concatenate([part[at] for part in parts], 1) for at in range(2))
    drawn = mean + sd * random.standard_normal(mean.shape)
    density = np.logaddexp.reduce(stats.norm.logpdf(measured, mean, sd), 0) - np.log(len(mean))
    low, high = np.quantile(drawn, (0.05, 0.95), 0)
    print("PyMC:", scored(measured, np.median(mean, 0), low, high, density))
    for name in prior.state.scales:
        learned, found = prior.state.scales[name].numpy(), posterior.draws[f"scales_{name}"]
        inside = stats.norm.cdf((learned - found.mean(0)) / found.std(0))
        print(
            f"{name}: learned {np.round(learned, 2).tolist()}, sampled {np.round(found.mean(0), 2).tolist()}, "
            f"sd {np.round(found.std(0), 2).tolist()}, {(np.abs(inside - 0.5) < 0.475).mean():.0%} within 95 %"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
