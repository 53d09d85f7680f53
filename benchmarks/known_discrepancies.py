"""Known truths, with something left out of the equation or nothing: ``known_discrepancies.md``.

    python benchmarks/known_discrepancies.py

Simulated: exponential decays of 10 mg/L at 0.3 1/h, both scattering by three tenths, read with a noise of 0.2 mg/L at
eight places drawn at random. Left out is nothing; a bump that all tasks share; a drift of each task's own; or both.
Priors of the equation alone and with a discrepancy are learned from so many tasks, and forecast six of twelve readings
of forty others after none, one, three and six of the rest. Three simulations each; errors are from what is noise-free.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from meaning_of_parameters import decay

import metasci as ms
from metasci.fits.predictive import predictive
from metasci.meta import DiscrepancyPrior, GaussianPrior

SEEDS, TOLD, ASKED, NEW = 3, (0, 1, 3, 6), 6, 40
CASES = {
    "nothing": (0.0, 0.0),
    "a shared bump": (0.6, 0.0),
    "own drifts": (0.0, 0.4),
    "both": (0.6, 0.4),
}


def simulated(tasks: int, readings: int, left_out: tuple[float, float], seed: int) -> pd.DataFrame:
    """Readings with what is noise-free beside them."""
    (bump, drift), draw, rows = left_out, np.random.default_rng(seed), []
    for task in range(tasks):
        height, rate = np.array([10.0, 0.3]) * np.exp(0.3 * draw.normal(size=2))
        time = np.sort(draw.uniform(0.3, 10.0, readings))
        near = np.exp(-0.5 * ((time[:, None] - time) / 2.5) ** 2) + 1e-8 * np.eye(readings)
        true = height * np.exp(-rate * time) + bump * np.exp(-0.5 * ((time - 5.0) / 1.2) ** 2)
        true = true + drift * np.linalg.cholesky(near) @ draw.normal(size=readings)
        read = true + 0.2 * draw.normal(size=readings)
        rows += [(f"t{task}", *row) for row in zip(time, read, true, strict=True)]
    return pd.DataFrame(rows, columns=["task", "time [h]", "level [mg/L]", "true"])


def tasks_of(frame: pd.DataFrame) -> ms.TaskSet:
    """What is read."""
    return ms.TaskSet.from_frame(frame.drop(columns="true"), ms.Card.from_model(decay), model=decay)


def judged(prior: ms.Prior, new: pd.DataFrame, seed: int) -> list[tuple[float, float, float]]:
    """Root mean square error, share inside and negative log density after so many readings."""
    batch, true = prior.batch(tasks_of(new)), torch.tensor(new["true"].to_numpy()).reshape(NEW, -1)
    order = torch.rand(batch.mask.shape, generator=torch.Generator().manual_seed(seed)).argsort(1).argsort(1)
    query, found = order >= true.shape[1] - ASKED, []
    for told in TOLD:
        adapted = prior.adapt(batch.with_mask(order < told))
        forecast = predictive(prior.problem(batch.with_mask(query)), adapted)
        low, high = forecast.interval(0.9)
        inside = ((batch.output >= low) & (batch.output <= high))[query].double().mean()
        off = (forecast.median - true)[query].square().mean().sqrt()
        found.append((float(off), float(inside), -float(forecast.log_density()[query].mean())))
    return found


def main() -> None:
    """Print a row for each case, number of tasks, prior and number of readings."""
    torch.set_num_threads(1)
    print(
        "| left out | tasks | prior | height, mg/L | rate, 1/h | readings | RMSE, mg/L | 90 % hold | -ln p |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for case, left_out in CASES.items():
        for count in (10, 40):
            for title, method in (("equation alone", GaussianPrior()), ("discrepancy", DiscrepancyPrior())):
                starts, figures = [], []
                for seed in range(SEEDS):
                    prior = ms.meta_calibrate(decay, tasks_of(simulated(count, 8, left_out, seed)), method)
                    new = simulated(NEW, 12, left_out, 1000 + seed)
                    fit = prior.calibrate(tasks_of(new).select([0]))
                    starts.append(fit.table().set_index("name")["prior"])
                    figures.append(judged(prior, new, seed))
                height, rate = (np.mean([start[name] for start in starts]) for name in ("height", "rate"))
                for told, (off, inside, unlikely) in zip(TOLD, np.mean(figures, 0), strict=True):
                    learned = f"{height:.2f} | {rate:.3f}"
                    figures_of = f"{told} | {off:.3f} | {100 * inside:.0f} % | {unlikely:.2f}"
                    print(f"| {case} | {count} | {title} | {learned} | {figures_of} |", flush=True)


if __name__ == "__main__":
    main()
