"""Forecasts of what was held out, by the learned prior and by PyMC, and their figures."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from metasci.bayes.differences import Difference, difference, log_rmse
from metasci.bayes.folds import Fold
from metasci.bayes.forecast import predictive as forecast_of
from metasci.bayes.joint import Joint, posterior_of_new_task
from metasci.bayes.scores import LEVELS, HeldOut
from metasci.class_forecasts import ClassForecast
from metasci.data.batch import Batch
from metasci.evaluation.scores import off_by
from metasci.fits.predictive import predictive as learned_predictive
from metasci.forecasts import DrawsForecast
from metasci.learned.equation import LearnedEquation
from metasci.meta.problem import Problem
from metasci.mixed_forecasts import MixedForecast
from metasci.noise import Noise
from metasci.outcome_forecasts import OutcomeForecast
from metasci.outcomes.mixed import Mixed

__all__ = [
    "JOINT",
    "POPULATION",
    "against_pymc",
    "differences",
    "others",
    "score_learned",
    "score_pymc",
    "scores_of",
    "spreads",
]

JOINT, POPULATION = "PyMC, joint", "PyMC, population as prior"


def score_learned(
    score: HeldOut, prior: LearnedEquation, batch: Batch, support: Tensor, query: Tensor
) -> None:
    """Record the learned prior's forecasts."""
    for row in range(len(batch)):  # one at a time, as a user would
        task = batch.select([row])
        began = time.perf_counter()
        adapted = prior.adapt(task.with_mask(task.mask & support[[row]]))
        forecast = learned_predictive(Problem(prior.model, task.with_mask(query[[row]])), adapted)
        forecast.interval(0.9)
        score.seconds.append(time.perf_counter() - began)
        asked = query[row]
        limits = _limits(task, asked)
        if isinstance(forecast, ClassForecast):
            chances = forecast.probabilities[0, asked].numpy()
            score.add_classes(
                task.output[0, asked].numpy(), chances, forecast.log_density()[0, asked].numpy()
            )
            continue

        def interval(level: float, forecast: Any = forecast, asked: Tensor = asked) -> tuple[Any, Any]:
            ends = forecast.interval(level)
            # of an outcome, as draws have it, also where that is yes or no
            if isinstance(forecast, OutcomeForecast | MixedForecast):
                ends = tuple(forecast.quantile(0.5 + side * 0.5 * level) for side in (-1.0, 1.0))
            return tuple(values[0, asked].numpy() for values in ends)

        score.add(
            task.output[0, asked].numpy(),
            forecast.median[0, asked].numpy(),
            interval,
            forecast.sample(1000, seed=row)[:, 0, asked].numpy(),
            forecast.log_density()[0, asked].numpy(),
            forecast.cumulative()[0, asked].numpy(),
            *limits,
        )


def _limits(task: Batch, asked: Tensor) -> tuple[NDArray[np.bool_] | None, NDArray[np.float64] | None]:
    """Of one task, which of the measurements asked for lie below a limit, and up to where others lie above one."""
    censored = None if task.censored is None else task.censored[0, asked].numpy()
    return censored, None if task.upper is None else task.upper[0, asked].numpy()


def score_pymc(
    scores: Mapping[str, HeldOut],
    fold: Fold,
    batch: Batch,
    support: Tensor,
    query: Tensor,
    known: Joint,
    joint: Joint,
    *,
    seeds: int,
    seed: int,
) -> xr.Dataset:
    """Record PyMC's forecasts, and give those of every chain of the joint fit alone, (run, measurement)."""
    prior = fold.same
    runs: list[list[DrawsForecast]] = [[] for _ in range(joint.posterior.chains)]
    off: list[list[NDArray[np.float64]]] = [[] for _ in runs]
    for row in range(len(batch)):
        task = batch.select([row])
        forecasts: dict[str, DrawsForecast] = {JOINT: joint.forecast(prior, row, query[row])}
        if POPULATION in scores:
            began = time.perf_counter()
            own = posterior_of_new_task(
                known.posterior, prior, task.with_mask(task.mask & support[[row]]), seed=seed
            )
            forecasts[POPULATION] = forecast_of(own, prior.model, task.with_mask(query[[row]]), 0)
            scores[POPULATION].seconds.append(time.perf_counter() - began)
        asked = query[row]
        limits = _limits(task, asked)
        for name, forecast in forecasts.items():
            if forecast.probabilities is not None:
                scores[name].add_classes(
                    task.output[0, asked].numpy(), forecast.probabilities, forecast.log_density()
                )
                continue
            scores[name].add(
                task.output[0, asked].numpy(),
                forecast.median,
                forecast.interval,
                forecast.measurement,
                forecast.log_density(),
                forecast.cumulative(),
                *limits,
            )
        for number, run in enumerate(runs):
            alone = replace(joint, posterior=joint.posterior.chain(number))
            run.append(alone.forecast(prior, row, query[row]))
            off[number].append(_error(run[-1], task.output[0, asked].numpy(), *limits))
    scores[JOINT].seconds.append((joint.posterior.seconds + joint.posterior.compile_seconds) / seeds)
    each = ("run", "measurement")
    return xr.Dataset(
        {
            "run_median": (each, np.stack([np.concatenate([part.median for part in run]) for run in runs])),
            "run_error": (each, np.stack([np.concatenate(run) for run in off])),
            "run_log_density": (
                each,
                np.stack([np.concatenate([part.log_density() for part in run]) for run in runs]),
            ),
        }
    )


def _error(
    forecast: DrawsForecast,
    measured: NDArray[np.float64],
    censored: NDArray[np.bool_] | None,
    up_to: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Of one forecast, as `HeldOut` records it."""
    if forecast.probabilities is None:
        return off_by(measured, forecast.median, censored, up_to)
    score = HeldOut()
    score.add_classes(measured, forecast.probabilities, forecast.log_density())
    return score.stacked()["error"]


def spreads(noise: Noise, measured: xr.Dataset) -> NDArray[np.float64]:
    """What errors are counted in, (measurement,): one; of several kinds the standard deviation of their own output."""
    unit = np.ones(measured.sizes["measurement"])
    if not isinstance(noise, Mixed):
        return unit
    which, values = measured[noise.by].values, measured["measured"].values
    for place in range(1, len(noise.parts) + 1):
        own = which == place
        if own.sum() > 1 and (spread := values[own].std()) > 0.0:
            unit[own] = spread
    return unit


def scores_of(
    scores: Mapping[str, HeldOut],
    aggregate: str,
    parts: Sequence[xr.Dataset],
    unit: NDArray[np.float64] | None = None,
) -> xr.Dataset:
    """Every method's forecasts, and their figures over all of them, errors counted in a `unit` (measurement,)."""
    names = list(scores)
    columns = {name: score.stacked() for name, score in scores.items()}
    counts = np.concatenate([_counts(part) for part in parts])
    labels = np.repeat(np.arange(len(counts)), counts)
    data: dict[str, Any] = {}
    for name in ("median", "error", "lower", "upper", "log_density", "crps", "pit"):
        values = np.stack([columns[method][name] for method in names])
        if unit is not None and name in ("error", "crps"):
            values = values / unit
        data[name] = (("forecaster", "measurement"), values)
    covered = np.stack([columns[method]["covered"] for method in names])
    squares = data["error"][1] ** 2
    each = np.stack([[row[labels == at].mean() for at in range(len(counts))] for row in squares])
    rmse = {
        "mean": np.sqrt(each).mean(1),
        "root_mean_square": np.sqrt(each.mean(1)),
        "pooled": np.sqrt(squares.mean(1)),
    }[aggregate]
    data |= {
        "covered": (("forecaster", "measurement", "level"), covered),
        "coverage": (("forecaster", "level"), covered.mean(1)),
        "rmse": ("forecaster", rmse),
        "nlpd": ("forecaster", -data["log_density"][1].mean(1)),
        "mean_crps": ("forecaster", data["crps"][1].mean(1)),
        "seconds": ("forecaster", [float(np.median(scores[name].seconds)) for name in names]),
    }
    return xr.Dataset(data, {"forecaster": names, "level": list(LEVELS)})


def others(comparison: xr.Dataset) -> list[tuple[int, str]]:
    """Position and name of forecasters that are judged beside the first one; PyMC's are none of them."""
    names = [str(name) for name in comparison["forecaster"].values]
    return [(place, name) for place, name in enumerate(names) if place and name not in (JOINT, POPULATION)]


def _errors(compared: xr.Dataset, run: bool = False) -> np.ndarray:
    """Of forecasters, or of each chain alone, (…, measurement)."""
    if ("run_error" if run else "error") in compared:
        return np.asarray(compared["run_error" if run else "error"].values)
    # of one curve they are those of medians
    median = compared["run_median" if run else "median"].values
    below, up_to = (compared[name].values for name in ("below_limit", "up_to"))
    return off_by(compared["measured"].values, median, below, up_to)


def _counts(part: xr.Dataset) -> np.ndarray:
    """Held-out measurements of each task, in the tasks' order."""
    _, first, counts = np.unique(part["measured_task"].values, return_index=True, return_counts=True)
    return np.asarray(counts[np.argsort(first)])


def differences(comparison: xr.Dataset, place: int = 0, against: int = 1) -> tuple[Difference, Difference]:
    """A forecaster's error and log density against those of PyMC's joint fit, with their standard errors.

    Parameters
    ----------
    comparison : xarray.Dataset
        As `metasci.bayes.compare` gives it.
    place : int
        The forecaster's position; what the comparison judges comes first.
    against : int
        Position of what it is held against; only of the joint fit is the scatter between chains known.

    Returns
    -------
    error : Difference
        Logarithm of the ratio of the RMSEs.
    density : Difference
        Of the mean negative log densities, in nats a measurement.
    """
    labels = comparison["measured_task"].values
    aggregate, off = str(comparison.attrs["aggregate"]), _errors(comparison)
    log_density = comparison["log_density"].values

    def error_against(theirs: np.ndarray, kept: NDArray[np.bool_]) -> float:
        ours = log_rmse(off[place][kept], labels[kept], aggregate)
        return ours - log_rmse(theirs[kept], labels[kept], aggregate)

    def density_against(theirs: np.ndarray, kept: NDArray[np.bool_]) -> float:
        return float((theirs[kept] - log_density[place][kept]).mean())

    every = np.ones(len(labels), bool)
    runs = comparison.isel(run=slice(None if against == 1 else 0))
    run_off, run_density = _errors(runs, run=True), runs["run_log_density"].values
    error = difference(
        lambda kept: error_against(off[against], kept),
        labels,
        float(np.log1p(comparison.attrs["rmse_margin"])),
        [error_against(of_run, every) for of_run in run_off],
    )
    density = difference(
        lambda kept: density_against(log_density[against], kept),
        labels,
        float(comparison.attrs["nats_margin"]),
        [density_against(of_run, every) for of_run in run_density],
    )
    return error, density


def against_pymc(comparison: xr.Dataset) -> xr.Dataset:
    """Every forecaster's ratio of errors and difference of log densities to PyMC's joint fit (forecaster,)."""
    pairs = [differences(comparison, place) for place in range(comparison.sizes["forecaster"])]
    ratios = np.exp([(error.estimate, *error.interval) for error, _ in pairs])
    columns = {
        "rmse_ratio": ratios[:, 0],
        "rmse_ratio_lower": ratios[:, 1],
        "rmse_ratio_upper": ratios[:, 2],
        "nlpd_difference": [density.estimate for _, density in pairs],
        "nlpd_difference_se": [density.standard_error for _, density in pairs],
    }
    return xr.Dataset({name: ("forecaster", np.asarray(values)) for name, values in columns.items()})
