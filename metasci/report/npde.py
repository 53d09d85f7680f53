"""Normalised prediction distribution errors: where each measurement lies among those simulated from a learned prior."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from metasci.data.tasks import Batch, TaskSet
from metasci.errors import InputError
from metasci.fits.equation import EquationFit
from metasci.learned.equation import LearnedEquation
from metasci.report.predictive_check import are_simulated, were_learned_from
from metasci.report.simulation import Simulator, limits_of
from metasci.report.time_axis import abscissa

__all__ = ["normalised_prediction_errors"]

_HELD = 8_000_000  # numbers simulated at a time: 64 megabytes


def normalised_prediction_errors(
    prior: LearnedEquation, tasks: TaskSet, simulations: int = 1000, seed: int = 0, over: str | None = None
) -> xr.Dataset:
    """Rank of each measurement among simulated ones, decorrelated within its task, as a standard normal number.

    A task's measurements y and its simulated ones lose the simulated mean and are multiplied by the inverse Cholesky
    factor of the simulated covariance, on the scale on which the noise is Gaussian; the fraction of simulations
    below y is the prediction distribution error, and its normal quantile the NPDE. They are N(0, 1) where the prior
    holds for the tasks: a mean off zero tells of bias, a variance above one of a prior that is too narrow.

    Parameters
    ----------
    prior : Prior
    tasks : TaskSet
        Best not those that the prior was learned from: of those the variance comes out a little low.
    simulations : int
        At least 100; the greatest NPDE there can be is that of a fraction 1 − 1/(2 simulations).
    seed : int
    over : "time" or "time after last dose", optional
        Along which to draw; see `metasci.report.time_axis.abscissa` for the default.

    Returns
    -------
    xarray.Dataset
        ``npde``, ``npd`` (without decorrelation), ``prediction`` (at the prior's mean), ``measured`` and the input
        along which to draw, all (task, observation), NaN where nothing was measured; ``decorrelated`` (task). In
        ``attrs`` the count, ``mean`` and ``variance`` of the NPDE, the p values ``p_mean`` (t test of mean 0),
        ``p_variance`` (Fisher's test of variance 1), ``p_normal`` (Shapiro and Wilk) and ``p_any`` (three times the
        least of them, at most 1), and ``not_decorrelated``, the names of tasks that have no NPDE because a simulated
        value is not finite or the simulated covariance is singular.

    Notes
    -----
    Below a limit of quantification, simulated values are shuffled among themselves, and a measurement takes one of
    them. Sources: Brendel, Comets, Laffont, Laveille and Mentré, Pharm Res 23 (2006) 2036; Comets, Brendel and
    Mentré, Comput Methods Programs Biomed 90 (2008) 154; Nguyen, Comets and Mentré, J Pharmacokinet Pharmacodyn 39
    (2012) 499, for limits of quantification.

    Examples
    --------
    >>> import metasci as ms
    >>> errors = normalised_prediction_errors(ms.load("theophylline"), ms.dataset("theophylline"), simulations=200)
    >>> errors.attrs["count"], errors.attrs["not_decorrelated"]
    (132, [])
    """
    if simulations < 100:
        raise InputError(f"simulations: give at least 100, not {simulations}.")
    tasks = prior.read(tasks)
    batch = prior.batch(tasks)
    whole = Simulator(prior, batch, seed)
    axis, at = abscissa(EquationFit(prior, tasks, batch, whole.adapted), over)
    errors = np.full((2, *batch.mask.shape), np.nan)
    limits = limits_of(batch)
    most = max(1, _HELD // (simulations * max(batch.mask.shape[1], 1)))
    for start in range(0, len(batch), most):
        here = np.arange(start, min(start + most, len(batch)))
        piece = batch.select(here)
        drawn = Simulator(prior, piece, seed).draw(simulations)
        for place, task in enumerate(here):
            errors[:, task] = _errors_of(prior, piece, place, drawn[:, place], limits[task], seed)
    mask = batch.mask.numpy()
    lost = (np.isnan(errors[0]) & mask).any(1)
    unit = {"units": prior.model.output.unit}
    shape = ("task", "observation")
    variables: dict[str, Any] = {
        "npde": (shape, errors[0]),
        "npd": (shape, errors[1]),
        "prediction": (shape, np.where(mask, whole.population(), np.nan), unit),
        "measured": (shape, np.where(mask, batch.output.numpy(), np.nan), unit),
        axis.name: (shape, np.where(mask, at, np.nan), {"units": axis.unit}),
        "decorrelated": ("task", ~lost),
    }
    attrs = {
        "model": prior.model.name,
        "simulated_from": prior.name,
        "simulations": simulations,
        "seed": seed,
        "data": tasks.card.name,
        "data_simulated": int(are_simulated(tasks)),
        "along": axis.name,
        "shown": axis.shown,
        "output": prior.model.output.label or prior.model.output.name.replace("_", " "),
        "not_decorrelated": [name for name, gone in zip(batch.names, lost, strict=True) if gone],
    }
    attrs["learned_from_these"] = int(were_learned_from(prior, tasks))
    attrs |= _tests(errors[0][np.isfinite(errors[0])])
    return xr.Dataset(variables, {"task": list(batch.names)}, attrs)


def _errors_of(
    prior: LearnedEquation,
    batch: Batch,
    task: int,
    drawn: NDArray[np.float64],
    limits: NDArray[np.float64],
    seed: int,
) -> NDArray[np.float64]:
    """NPDE and NPD of one task, (2, observation), from its simulations (simulation, observation)."""
    errors = np.full((2, drawn.shape[1]), np.nan)
    seen = batch.mask[task].numpy()
    measured, simulated = batch.output[task].numpy()[seen], drawn[:, seen]
    if not seen.any():
        return errors
    censored = np.zeros(len(measured), bool) if batch.censored is None else batch.censored[task].numpy()[seen]
    stream = np.random.default_rng([seed, zlib.crc32(batch.names[task].encode()), 1])
    measured, simulated = _below_limit(measured, simulated, limits[seen], censored, stream)
    with np.errstate(divide="ignore", invalid="ignore"):
        target, values = (prior.model.noise.link(each) for each in (measured, simulated))
    errors[1, seen] = _normalised(values, target)
    if np.isfinite(values).all() and np.isfinite(target).all():
        errors[0, seen] = _decorrelated(values, target)
    return errors


def _below_limit(
    measured: NDArray[np.float64],
    simulated: NDArray[np.float64],
    limits: NDArray[np.float64],
    censored: NDArray[np.bool_],
    stream: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shuffle what lies below a limit; a censored measurement takes one of those values, or the least simulated one."""
    measured, simulated = measured.copy(), simulated.copy()
    for place in np.flatnonzero(np.isfinite(limits)):
        below = np.flatnonzero(simulated[:, place] < limits[place])
        simulated[below, place] = stream.permutation(simulated[below, place])
        if censored[place]:
            choice = simulated[below, place] if len(below) else simulated[:, place].min(keepdims=True)
            measured[place] = stream.choice(choice)
    return measured, simulated


def _normalised(simulated: NDArray[np.float64], measured: NDArray[np.float64]) -> NDArray[np.float64]:
    """Normal quantile of the fraction of simulations below each measurement, ties counted half."""
    from scipy.special import ndtri

    count = len(simulated)
    below = (simulated < measured).mean(0) + 0.5 * (simulated == measured).mean(0)
    sound = ~np.isnan(simulated).any(0) & ~np.isnan(measured)
    quantile: NDArray[np.float64] = ndtri(below.clip(0.5 / count, 1.0 - 0.5 / count))
    return np.where(sound, quantile, np.nan)


def _decorrelated(simulated: NDArray[np.float64], measured: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same after decorrelation; NaN where the covariance is singular."""
    from scipy.linalg import solve_triangular

    mean = simulated.mean(0)
    covariance = np.atleast_2d(np.cov(simulated, rowvar=False))
    scale = np.sqrt(covariance.diagonal())
    if not (scale > 0.0).all():
        return np.full_like(measured, np.nan)
    correlation = covariance / np.outer(scale, scale)
    if np.linalg.eigvalsh(correlation)[0] < 1e-10:
        return np.full_like(measured, np.nan)
    root = scale[:, None] * np.linalg.cholesky(correlation)
    free = solve_triangular(root, (simulated - mean).T, lower=True).T
    return _normalised(free, solve_triangular(root, measured - mean, lower=True))


def _tests(values: NDArray[np.float64]) -> dict[str, float | int]:
    """Mean and variance, and how probable they and the shape are for N(0, 1)."""
    from scipy import stats

    count = len(values)
    if count < 3:
        nothing = ("mean", "variance", "p_mean", "p_variance", "p_normal", "p_any")
        return {"count": count, **dict.fromkeys(nothing, float("nan"))}
    variance = float(values.var(ddof=1))
    lower = float(stats.chi2.cdf(variance * (count - 1), count - 1))
    statistics = {
        "p_mean": float(stats.ttest_1samp(values, 0.0).pvalue),
        "p_variance": 2.0 * min(lower, 1.0 - lower),
        "p_normal": float(stats.shapiro(values).pvalue),
    }
    return {
        "count": count,
        "mean": float(values.mean()),
        "variance": variance,
        **statistics,
        "p_any": min(1.0, 3.0 * min(statistics.values())),
    }
