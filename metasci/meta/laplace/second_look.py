"""A second look at tasks that fit far worse than their noise: the search may have ended in the wrong valley.

From one start, steps that reach too far can cross into a region where the model is something else, such as a crack
that has failed, and stay there. A misfit tells; such a task is sought again from far out on either side of the prior,
along each of its axes, and the best of all ends is kept.
"""

from __future__ import annotations

import torch
from torch import Tensor

from metasci.meta.laplace.gauss_newton import Estimate, map_estimate
from metasci.meta.problem import Linearisation, Problem

__all__ = ["deeper", "look_again", "posterior_cost", "with_rows"]

_POOR = 6.0  # standard deviations of χ² above its mean
_FAR = 2.5  # of the prior
_VALLEY = 1e-6  # nats: ends that differ by no more are of one valley
_ROWS = 4000  # of tasks times starts at once, so that memory stays small


def look_again(
    problem: Problem,
    mean: Tensor,
    covariance: Tensor,
    log_noise: Tensor,
    found: Estimate,
    tolerance: float,
    explained: float = 1.0,
) -> Estimate:
    """The estimates, those of tasks that fit badly replaced where another search ends lower.

    Parameters
    ----------
    problem : Problem
    mean : Tensor, (task, parameter)
    covariance : Tensor, (task, parameter, parameter)
    log_noise : Tensor, (scale,)
    found : Estimate
        From the prior's mean.
    tolerance : float
        Of `map_estimate`.
    explained : float
        By what factor on the noise's variance a task may scatter without being looked at again.
    """
    poor = _misfit(problem, found, log_noise, explained).nonzero()[:, 0]
    for chosen in torch.split(poor, max(1, _ROWS // (2 * mean.shape[1]))):
        if len(chosen):
            found = _sought(problem, mean, covariance, log_noise, found, tolerance, chosen)
    return found


def _sought(
    problem: Problem,
    mean: Tensor,
    covariance: Tensor,
    log_noise: Tensor,
    found: Estimate,
    tolerance: float,
    chosen: Tensor,
) -> Estimate:
    """Some tasks, all from either side of every axis at once."""
    variance, axes = torch.linalg.eigh(covariance[chosen])
    far = _FAR * variance.clamp(min=0.0).sqrt()[:, None, :] * axes  # (task, parameter, axis)
    away = torch.stack([far, -far]).movedim(3, 0).flatten(0, 1)  # (start, task, parameter)
    rows = chosen.repeat(len(away))
    precision = torch.linalg.inv(covariance[chosen])
    part, centre, known = problem.select(rows), mean[rows], precision.repeat(len(away), 1, 1)
    start = centre + away.flatten(0, 1)
    other = map_estimate(part, centre, known, log_noise, start=start, tolerance=tolerance)
    value = posterior_cost(part, centre, known, log_noise, other.coordinates)
    value = torch.where(other.finite, value, torch.inf).view(len(away), -1)
    least = value.min(0).values
    best = (value <= least + _VALLEY).int().argmax(0)  # the first in that valley: rounding is not to choose
    before = posterior_cost(
        problem.select(chosen), mean[chosen], precision, log_noise, found.coordinates[chosen]
    )
    lower = deeper(least, before, found.converged[chosen]).nonzero()[:, 0]
    return with_rows(found, chosen[lower], other, best[lower] * len(chosen) + lower)


def deeper(after: Tensor, before: Tensor, arrived: Tensor) -> Tensor:
    """Whether another end is in a deeper valley, (task,); what had not arrived is left for an end no higher.

    What had arrived is kept to the last digit: which of two ends of one valley is lower is a matter of rounding.

    Examples
    --------
    >>> before, rounded = torch.tensor([120.0, 120.0]), torch.tensor([120.0, 119.0])
    >>> deeper(rounded, before, torch.tensor([True, True])).tolist()
    [False, True]
    >>> deeper(rounded - 1e-9, before, torch.tensor([False, False])).tolist()
    [True, True]
    """
    return torch.where(arrived, after < before - _VALLEY, after <= before)


def _misfit(problem: Problem, estimate: Estimate, log_noise: Tensor, explained: float) -> Tensor:
    """Whether the squared residuals of a task are far more than its noise explains, (task,)."""
    seen = problem.batch.mask
    seen = seen & problem.batch.numbers
    squared = problem.residual(estimate.line, log_noise).square() / estimate.line.variance
    count = seen.sum(1)
    ordinary = torch.maximum(count + _POOR * (2.0 * count).sqrt(), explained * count)
    return torch.where(seen, squared, 0.0).sum(1) > ordinary


def posterior_cost(
    problem: Problem, mean: Tensor, precision: Tensor, log_noise: Tensor, at: Tensor
) -> Tensor:
    """Negative log posterior, (task,); what is not finite is the worst."""
    with torch.no_grad():
        cost = problem.negative_log_likelihood(at, log_noise) + problem.penalty_cost(at)
    off = at - mean
    return torch.nan_to_num(cost + 0.5 * torch.einsum("ti,tij,tj->t", off, precision, off), nan=torch.inf)


def with_rows(found: Estimate, rows: Tensor, other: Estimate, chosen: Tensor) -> Estimate:
    """The estimates, some rows of them from another."""

    def merged(whole: Tensor, part: Tensor) -> Tensor:
        return whole.index_copy(0, rows, part[chosen])

    line = Linearisation(
        merged(found.line.prediction, other.line.prediction),
        merged(found.line.jacobian, other.line.jacobian),
        merged(found.line.variance, other.line.variance),
    )
    return Estimate(
        merged(found.coordinates, other.coordinates),
        merged(found.covariance, other.covariance),
        merged(found.squared, other.squared),
        line,
        merged(found.converged, other.converged),
        merged(found.finite, other.finite),
    )
