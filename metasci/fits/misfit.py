"""Whether a law can bend as the measurements do: residuals against the noise, and how their signs run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from metasci.fits.adapted_tasks import AdaptedTasks
    from metasci.meta.adapted import Adapted
    from metasci.meta.problem import Problem

__all__ = ["Misfit", "misfits"]

# probability of residuals as large under the law; a true law is warned of in one task of a hundred
_RARE = 0.01
_ORDINARY = 0.05  # … with which the rest is in order, once a single measurement is left out
# the fit bends towards a slip, so that several of its neighbours may be further off than itself
_SUSPECTS = 6
_LEAST_FREE = 2.0  # degrees of freedom that are left to fit; of fewer any measurement could be the odd one
_FEW_RUNS = -3.3  # standard deviations: one-sided, one task in two thousand, as several inputs are tried
_ENOUGH = 10  # residuals, below which the number of runs is not near normal


@dataclass(frozen=True)
class Misfit:
    """Lack of fit of one task.

    Attributes
    ----------
    task : int
    times : float
        Mean square of residuals over that of the noise; NaN where the runs of signs alone tell.
    along : str
        The input along which residuals keep their sign for too long; empty where their size tells.
    outlier : int or None
        The place of the one measurement without which the rest fits.
    """

    task: int
    times: float
    along: str = ""
    outlier: int | None = None


def misfits(calibration: AdaptedTasks) -> list[Misfit]:
    """Tasks that their law does not fit.

    Residuals r at the estimate, in standard deviations of the learned noise, leave n − p degrees of freedom, where p is
    what the measurements say of the parameters, the sum of 1 − shrinkage. Their mean square is F-distributed with
    (n − p, 2a) degrees of freedom where tasks differ in noise by Gamma(a, a), χ²/(n − p) where they share one. The
    number of runs of equal signs along each input is near normal.

    Sources: Bates and Watts, Nonlinear Regression (1988), section 3.9, for the degrees of freedom; Wald and Wolfowitz,
    Ann Math Stat 11 (1940) 147, for runs.
    """
    if not calibration.prior.model.noise.gaussian:
        return []  # residuals of single outcomes follow no known law
    if calibration.adapted.discrepancy is not None:
        return []  # that the law cannot follow is part of what the prior expects
    faults = []
    adapted, batch = calibration.adapted, calibration.batch
    standard, known = _standardised(calibration.problem, adapted)
    seen = (batch.mask & batch.numbers).numpy()
    shape = float(getattr(calibration.prior.state, "noise_shape", math.inf))
    for task in range(len(batch)):
        places = np.flatnonzero(seen[task] & np.isfinite(standard[task]))
        residuals, free = standard[task, places], len(places) - float(known[task])
        if not bool(adapted.finite[task]) or free < 1.0:
            continue
        if _rarity(residuals, free, shape) < _RARE:
            times = float((residuals**2).sum() / free)
            faults.append(Misfit(task, times, outlier=_outlier(calibration, task, places, residuals, shape)))
        elif along := _along(calibration, task, places, residuals):
            faults.append(Misfit(task, math.nan, along=along))
    return faults


def _standardised(problem: Problem, adapted: Adapted) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Residuals in standard deviations of the learned noise, (task, observation), and p of each task."""
    line = problem.linearise(adapted.coordinates, adapted.log_noise)
    standard = (problem.residual(line, adapted.log_noise) / line.variance.sqrt()).detach().numpy()
    share = adapted.covariance.diagonal(dim1=1, dim2=2) / adapted.start_covariance.diagonal(dim1=1, dim2=2)
    return standard, (1.0 - share).clamp(0.0, 1.0).sum(1).numpy()


def _rarity(residuals: NDArray[np.float64], free: float, shape: float) -> float:
    """With which probability the law would leave residuals as large."""
    from scipy.special import chdtrc, fdtrc

    total = float((residuals**2).sum())
    return float(chdtrc(free, total) if shape > 1e6 else fdtrc(free, 2.0 * shape, total / free))


def _outlier(
    calibration: AdaptedTasks,
    task: int,
    places: NDArray[np.int_],
    residuals: NDArray[np.float64],
    shape: float,
) -> int | None:
    """The measurement without which the law fits the rest, if that is one: each suspect is left out in turn."""
    import torch

    part = calibration.batch.select(torch.tensor([task]))
    for place in places[np.argsort(-np.abs(residuals))[:_SUSPECTS]]:
        mask = part.mask.clone()
        mask[0, place] = False
        batch = part.with_mask(mask)
        standard, known = _standardised(calibration.prior.problem(batch), calibration.prior.adapt(batch))
        rest = standard[0, places[places != place]]
        free = len(rest) - float(known[0])
        if free >= _LEAST_FREE and _rarity(rest, free, shape) > _ORDINARY:
            return int(place)
    return None


def _along(
    calibration: AdaptedTasks, task: int, places: NDArray[np.int_], residuals: NDArray[np.float64]
) -> str:
    """The input along which residuals keep their sign for too long; empty if there is none."""
    batch = calibration.batch
    for name in calibration.prior.model.inputs:
        values = batch.inputs[name].expand(batch.mask.shape)[task].numpy()[places]
        if len(np.unique(values)) < _ENOUGH or len(np.unique(values)) < len(values):
            continue  # at equal conditions the order says nothing
        above = residuals[np.argsort(values, kind="stable")] > 0.0
        if _runs_score(above) < _FEW_RUNS:
            return name
    return ""


def _runs_score(above: NDArray[np.bool_]) -> float:
    """By how many standard deviations runs of equal signs are fewer than by chance (below zero)."""
    count, positive = len(above), int(above.sum())
    negative = count - positive
    if not positive or not negative:
        return -math.sqrt(count)
    runs = 1 + int((above[1:] != above[:-1]).sum())
    expected = 1.0 + 2.0 * positive * negative / count
    variance = (expected - 1.0) * (expected - 2.0) / (count - 1.0)
    return (runs - expected) / math.sqrt(variance) if variance > 0.0 else 0.0
