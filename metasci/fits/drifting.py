"""Whether a sensor drifts: a task's calibration where its readings may go astray together, the further the later.

Readings are ordered as they were taken. A sensor may be sound; it may *drift* steadily, from some reading on, so that
the last is off by the most; or it may *wander*, each reading being off by as much as the one before and a little more,
at random. What a drift adds to the readings is one Gaussian, so each case is a calibration under the same prior whose
noise is correlated, and counts by how probable it makes the readings (Laplace's approximation; exact where the model is
linear in its coordinates).

Source: Bell and Cathey, IEEE Trans Autom Control 38 (1993) 294, for Gauss–Newton steps in the space of the readings.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.fits.cases import Cases, refuse_unable
from metasci.meta.problem import Problem

if TYPE_CHECKING:
    from metasci.data.tasks import Batch
    from metasci.learned.equation import LearnedEquation
    from metasci.meta.adapted import Adapted

__all__ = ["MayDrift", "drifts_of", "sensor_may_drift"]

_STEPS, _HALVINGS, _ARRIVED = 60, 8, 1e-8


class MayDrift(Cases):
    """Calibrations of some tasks whose sensor may be sound, or go astray in one of several ways: a case each."""

    @property
    def drifts(self) -> Tensor:
        """Probability that the sensor is not sound, (task,)."""
        return 1.0 - self.weight[0]


def sensor_may_drift(
    prior: LearnedEquation,
    batch: Batch,
    *,
    chance: float = 0.05,
    times: float = 10.0,
    how: Literal["steadily", "wandering"] = "steadily",
) -> MayDrift:
    """Calibrate tasks whose readings may go astray together, the further the later they stand: sort them by when they
    were taken.

    Parameters
    ----------
    prior : Prior
        A learned Gaussian prior with one noise for all tasks.
    batch : Batch
        As `prior.batch(tasks)` gives it.
    chance : float
        That a sensor goes astray; 1 where it always does.
    times : float
        Standard deviation of the last reading's drift, in those of the noise.
    how : "steadily" or "wandering"

    Raises
    ------
    InputError
        If the prior has no Gaussian noise, or each task has one of its own, which explains much of a drift; if `chance`
        is no probability above zero, `times` not above zero, or a sensor is to drift in no known way.

    Examples
    --------
    >>> import metasci as ms
    >>> from metasci.meta.problem import Problem
    >>> prior, tasks = ms.load("theophylline"), ms.dataset("theophylline").select(["1"])
    >>> batch = prior.batch(tasks)
    >>> found = sensor_may_drift(prior, batch)
    >>> found.drifts.shape, found.mean(Problem(prior.model, batch)).shape == batch.mask.shape
    (torch.Size([1]), True)
    """
    refuse_unable(prior, "a drift", times)
    if not 0.0 < chance <= 1.0:
        raise InputError(f"chance: {chance:g} is not above 0 and at most 1.")
    if how not in ("steadily", "wandering"):
        raise InputError(f"how: '{how}' is not a way to drift; say 'steadily' or 'wandering'.")
    problem, adapted = Problem(prior.model, batch), prior.adapt(batch)
    sound = torch.zeros(1, *batch.mask.shape, batch.mask.shape[1], dtype=adapted.coordinates.dtype)
    ways = _wandering(batch.mask) if how == "wandering" else _steadily(batch.mask)
    possible = ways.diagonal(dim1=2, dim2=3).sum(2) > 0.0  # (way, task)
    logs, coordinates = [], []
    for case, shape in enumerate([*sound, *ways]):
        here, evidence = _calibrated(problem, adapted, times**2 * shape)
        if case:
            share = chance / possible.sum(0).clamp(min=1)
            evidence = torch.where(possible[case - 1], evidence + share.log(), -torch.inf)
        else:
            # a single reading tells nothing of a drift: there is then no other case
            evidence = torch.where(possible.any(0), evidence + _log(1.0 - chance), evidence)
        logs.append(evidence)
        coordinates.append(here)
    weight = torch.softmax(torch.stack(logs), 0)
    return MayDrift(weight, torch.stack(coordinates))


def drifts_of(mask: Tensor) -> Tensor:
    """By what share of the last reading's drift each reading is off, (way, task, observation).

    One way for each reading from which a drift may begin: that one is still right.

    Examples
    --------
    >>> drifts_of(torch.tensor([[True, True, False, True]]))[:, 0].tolist()
    [[0.0, 0.5, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]]
    """
    rank = mask.cumsum(1) - 1.0
    last = rank.amax(1, keepdim=True)
    begins = torch.arange(mask.shape[1] - 1).reshape(-1, 1, 1)
    share = (rank - begins).clamp(min=0.0) / (last - begins).clamp(min=1.0)
    return torch.where(mask, share, 0.0)


def _steadily(mask: Tensor) -> Tensor:
    share = drifts_of(mask).double()
    return share[..., :, None] * share[..., None, :]


def _wandering(mask: Tensor) -> Tensor:
    """Covariance of a random walk that ends with variance one, as the one way, (1, task, observation, observation)."""
    rank = (mask.cumsum(1) - 1.0).double()
    last = rank.amax(1, keepdim=True).clamp(min=1.0)
    walk = torch.minimum(rank[:, :, None], rank[:, None, :]) / last[:, :, None]
    return torch.where(mask[:, :, None] & mask[:, None, :], walk, 0.0)[None]


def _calibrated(problem: Problem, adapted: Adapted, extra: Tensor) -> tuple[Tensor, Tensor]:
    """Estimates and ln p of the readings where a drift adds this covariance, in units of the noise's variance."""
    start, covariance = adapted.start, adapted.start_covariance
    here, log_noise = adapted.coordinates, adapted.log_noise
    mask = problem.batch.mask
    identity = torch.eye(mask.shape[1], dtype=here.dtype)

    def look(at: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Residuals, slopes, the readings' covariance, and minus the log density, (task,)."""
        line = problem.linearise(at, log_noise)
        residual = torch.where(mask, problem.residual(line, log_noise), 0.0)
        jacobian = torch.where(mask[..., None], line.jacobian, 0.0)
        sd = torch.where(mask, line.variance.expand(mask.shape).sqrt(), 1.0)
        spread = sd[:, :, None] * (identity + extra) * sd[:, None, :]
        off = at - start
        fit = (residual * torch.linalg.solve(spread, residual)).sum(1)
        pull = (off * torch.linalg.solve(covariance, off)).sum(1)
        readings = mask.sum(1) * math.log(2.0 * math.pi)
        return residual, jacobian, spread, 0.5 * (fit + torch.logdet(spread) + readings + pull)

    residual, jacobian, spread, cost = look(here)
    for _ in range(_STEPS):
        reach = covariance @ jacobian.mT
        told = residual + (jacobian @ (here - start)[..., None])[..., 0]
        step = start + (reach @ torch.linalg.solve(jacobian @ reach + spread, told[..., None]))[..., 0] - here
        length = torch.ones_like(cost)
        for _ in range(_HALVINGS):
            better = look(here + length[:, None] * step)[3] <= cost + 1e-12 * cost.abs()
            if bool(better.all()):
                break
            length = torch.where(better, length, 0.5 * length)
        length = torch.where(better, length, 0.0)
        here = here + length[:, None] * step
        residual, jacobian, spread, cost = look(here)
        moved = (length[:, None] * step).square() / covariance.diagonal(dim1=1, dim2=2)
        if float(moved.max()) < _ARRIVED**2:
            break
    known = torch.linalg.solve(spread, jacobian)
    shrunken = torch.logdet(torch.eye(here.shape[1], dtype=here.dtype) + covariance @ jacobian.mT @ known)
    return here.detach(), (-cost - 0.5 * shrunken).detach()


def _log(value: float) -> float:
    return math.log(value) if value > 0.0 else -math.inf
