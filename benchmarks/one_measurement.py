"""Why a fit alone can be closer than a learned prior after one measurement: ``python benchmarks/one_measurement.py``.

Theophylline by default: twelve patients, each left out in turn. Priors are learned with and without covariates, with
and without correlations between parameters; which of the four to take is also chosen anew in every fold, by how
probable measurements of each remaining patient are under a prior of the other remaining ones (supports of one to three,
drawn at random): nothing of the patient left out has a part in that. The last column is the difference in RMSE from a
fit alone, with its 90 % interval over patients (paired bootstrap).

``python benchmarks/one_measurement.py regression`` prints what the patients, sampled at nearly the same times, tell of
each other without an equation: each time's concentration regressed on the sixth, and their mean curve scaled to it.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace

import numpy as np
import torch

import metasci as ms
from metasci.data.tasks import TaskSet
from metasci.evaluation.protocol import Protocol, split_tasks
from metasci.meta.episodes import sample_support

ALONE = "per-task least squares"
SHOTS, DRAWS = (0, 1, 3), 5
CANDIDATES = {
    "covariates, correlated": (True, True),
    "covariates, uncorrelated": (True, False),
    "no covariates, correlated": (False, True),
    "no covariates, uncorrelated": (False, False),
}


def learned(recipe: ms.Prior, tasks: TaskSet, candidate: str) -> ms.Prior:
    """The prior of some tasks."""
    with_covariates, correlated = CANDIDATES[candidate]
    assert isinstance(recipe.method, ms.GaussianPrior)
    covariates = recipe.covariates.names if with_covariates else ()
    return ms.meta_calibrate(
        recipe.model, tasks, replace(recipe.method, correlated=correlated), covariates=covariates
    )


def left_out_density(recipe: ms.Prior, tasks: TaskSet, candidate: str) -> float:
    """Mean log density of a measurement of a task that was left out, after one to three of its own."""
    found = []
    for name in tasks.names:
        prior = learned(recipe, tasks.select([each for each in tasks.names if each != name]), candidate)
        own = tasks.select([name])
        batch, forecast = prior.batch(own), dict(prior.forecasters(own))["prior"]
        for draw in range(DRAWS):
            support = sample_support(batch.mask, (1, 3), "random", draw)
            query = batch.mask & ~support
            found.append(float(forecast(batch, support, query).log_density()[query].mean()))
    return float(np.mean(found))


def squared_error(prior: ms.Prior, own: TaskSet, shots: int, which: str) -> float:
    """Mean square of one task's errors, by the protocol of the data's card."""
    batch = prior.batch(own)
    split = split_tasks(batch.mask, shots, Protocol.from_card(own.card), DRAWS)
    forecast = dict(prior.forecasters(own))[which](batch.select(split.task), split.support, split.query)
    off = (batch.output[split.task] - forecast.median)[split.query]
    return float(off.square().mean())


def difference(errors: np.ndarray, alone: np.ndarray) -> str:
    """RMSE less that of a fit alone, with its interval over tasks."""
    draws = np.random.default_rng(0).integers(len(errors), size=(20_000, len(errors)))
    off = np.sqrt(errors[draws].mean(1)) - np.sqrt(alone[draws].mean(1))
    low, high = np.quantile(off, (0.05, 0.95))
    return f"{np.sqrt(errors.mean()) - np.sqrt(alone.mean()):+.2f} ({low:+.2f} to {high:+.2f})"


def regression(sixth: int = 5) -> None:
    """Print the errors of what needs no equation, each patient left out."""
    tasks = ms.dataset("theophylline")
    values = tasks.dataset["concentration"].values
    judged = [at for at in range(1, values.shape[1]) if at != sixth]
    squares: dict[str, list[float]] = {"regressed on it": [], "scaled to it": []}
    for left_out, own in enumerate(values):
        others = np.delete(values, left_out, 0)
        mean, covariance = others.mean(0), np.cov(others.T)
        slope = covariance[:, sixth] / covariance[sixth, sixth]
        curves = (mean + slope * (own[sixth] - mean[sixth]), mean * own[sixth] / mean[sixth])
        for name, curve in zip(squares, curves, strict=True):
            squares[name].append(float(np.mean((own - curve)[judged] ** 2)))
    for name, errors in squares.items():
        print(f"other concentrations, {name}: RMSE {np.sqrt(np.mean(errors)):.3f}")


def main(data: str) -> None:
    """Print what was chosen in each fold, and the errors."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    recipe, tasks = ms.load(data), ms.dataset(data)
    nested = "chosen in each fold"
    errors: dict[str, dict[int, list[float]]] = {
        name: {k: [] for k in SHOTS} for name in (*CANDIDATES, nested, ALONE)
    }
    for name in tasks.names:
        others, own = tasks.select([each for each in tasks.names if each != name]), tasks.select([name])
        density = {candidate: left_out_density(recipe, others, candidate) for candidate in CANDIDATES}
        best = max(density, key=lambda candidate: density[candidate])
        print(f"without {name:>4}: {best}", flush=True)
        priors = {candidate: learned(recipe, others, candidate) for candidate in CANDIDATES}
        for k in SHOTS:
            for candidate, prior in priors.items():
                errors[candidate][k].append(squared_error(prior, own, k, "prior"))
            errors[nested][k].append(errors[best][k][-1])
            errors[ALONE][k].append(squared_error(priors[best], own, k, ALONE))
    print(
        f"\n{'RMSE by measurements':30}" + "".join(f"{k:>8}" for k in SHOTS) + "    at one, less a fit alone"
    )
    for name, by_shots in errors.items():
        figures = "".join(f"{np.sqrt(np.mean(by_shots[k])):8.3f}" for k in SHOTS)
        print(f"{name:30}{figures}    {difference(np.array(by_shots[1]), np.array(errors[ALONE][1]))}")


if __name__ == "__main__":
    if sys.argv[1:] == ["regression"]:
        regression()
    else:
        main(sys.argv[1] if len(sys.argv) > 1 else "theophylline")
