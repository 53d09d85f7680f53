"""Where the equation is to be linearised for a new task: its most probable parameters, the discrepancy integrated out.

Given the parameters, what the equation leaves out is Gaussian at the measurements. Integrated out it is noise that is
correlated over the places, with a covariance R beside the noise's own, and that leans with the parameters by a slope A.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metasci.meta.covariates import Design
from metasci.meta.discrepancy.places import rows_of
from metasci.meta.discrepancy.state import DiscrepancyState
from metasci.meta.problem import Problem

__all__ = ["most_probable"]

_HALVINGS = 8  # lengths of a step that are tried, each half of the one before, until the cost is no higher
_ROUNDING = 1e-9  # of the cost, by which a step may raise it
_LONGEST = 2.0  # in scaled coordinates: a typical spread is one, and slopes do not reach much farther


def most_probable(
    problem: Problem, design: Design, state: DiscrepancyState, steps: int = 30, tolerance: float = 1e-6
) -> tuple[Tensor, Tensor, Tensor]:
    """Coordinates (task, parameter), and which tasks converged and stayed finite.

    Gauss–Newton steps, halved for the tasks whose cost they would raise.

    Parameters
    ----------
    problem : Problem
    design : Design
    state : DiscrepancyState
    steps : int
    tolerance : float
        Length of the last step, in scaled coordinates.
    """
    cost = _Cost(problem, design, state)
    at = cost.mean
    here = cost(at)
    going = torch.ones_like(at[:, 0], dtype=torch.bool)
    for _ in range(steps):
        step = torch.linalg.solve(here.curvature, here.slope[..., None])[..., 0].clamp(-_LONGEST, _LONGEST)
        step = torch.where(going[:, None], torch.nan_to_num(step), 0.0)
        for halving in range(_HALVINGS):
            cost_there = cost(at - step, here.variance)
            worse = ~(cost_there.value <= here.value + _ROUNDING * here.value.abs())
            if not bool(worse.any()):
                break
            # a task that finds no better place stays where it is
            step = torch.where(worse[:, None], 0.0 if halving == _HALVINGS - 1 else 0.5 * step, step)
        at = at - step
        here = cost(at)
        going = going & (step.abs().amax(1) > tolerance)
        if not bool(going.any()):
            break
    finite = torch.isfinite(here.value)
    return torch.where(finite[:, None], at, cost.mean), ~going & finite, finite


@dataclass(frozen=True)
class _Evaluated:
    """The cost at some coordinates.

    Attributes
    ----------
    value : Tensor, (task,)
    slope : Tensor, (task, parameter)
    curvature : Tensor, (task, parameter, parameter)
        Gauss and Newton's.
    variance : Tensor, (task, observation)
        Of the noise.
    """

    value: Tensor
    slope: Tensor
    curvature: Tensor
    variance: Tensor


class _Cost:
    """Negative log density of the tasks' coordinates given their measurements, up to a constant."""

    def __init__(self, problem: Problem, design: Design, state: DiscrepancyState) -> None:
        self.problem, self.state = problem, state
        mask = problem.batch.mask
        tasks, count, size = *mask.shape, len(state.origin)
        some = problem.target
        eye = torch.eye(size, dtype=some.dtype, device=some.device).expand(tasks, -1, -1)
        place = state.places(problem)
        parameters = rows_of(place.new_zeros(tasks, size, place.shape[2]), eye, design, seen=0.0)
        places = rows_of(place, place.new_zeros(tasks, count, size), design)
        together = parameters.join(places)
        mean, covariance = state.mean_of(together), state.covariance(together, together)
        self.mean, self.left_out = state.origin_of(design.values) + mean[:, :size], mean[:, size:]
        self.precision = torch.linalg.inv(covariance[:, :size, :size])
        self.lean = covariance[:, size:, :size] @ self.precision
        self.rest = covariance[:, size:, size:] - self.lean @ covariance[:, :size, size:]

    def __call__(self, at: Tensor, variance: Tensor | None = None) -> _Evaluated:
        """The cost at some coordinates, under the noise there or under a given one."""
        line, mask = self.problem.linearise(at, self.state.log_noise), self.problem.batch.mask
        variance = line.variance if variance is None else variance
        off = at - self.mean
        expected = line.prediction + self.left_out + torch.einsum("top,tp->to", self.lean, off)
        quiet = torch.where(mask, 1.0 / variance.sqrt(), 0.0)
        residual = torch.where(mask, quiet * (self.problem.target - expected), 0.0)
        slopes = quiet[..., None] * torch.where(mask[..., None], line.jacobian + self.lean, 0.0)
        eye = torch.eye(mask.shape[1], dtype=off.dtype, device=off.device)
        scaled = eye + quiet[..., :, None] * self.rest * quiet[..., None, :]
        root, failed = torch.linalg.cholesky_ex(scaled)
        residual = torch.linalg.solve_triangular(root, residual[..., None], upper=False)
        slopes = torch.linalg.solve_triangular(root, slopes, upper=False)
        pull = torch.einsum("tpq,tq->tp", self.precision, off)
        value = 0.5 * (residual.square().sum((1, 2)) + (off * pull).sum(1))
        return _Evaluated(
            torch.where(failed == 0, value, torch.nan),
            pull - (slopes.mT @ residual)[..., 0],
            self.precision + slopes.mT @ slopes,
            variance,
        )
