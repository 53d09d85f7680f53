"""How probable a task's measurements are under a Gaussian prior, differentiably in the prior.

Two objectives for learning one: the support's marginal likelihood by Laplace's approximation (Tierney and Kadane 1986;
for these models Wolfinger, Biometrika 80 (1993) 791), and the density of query measurements predicted from the support.
In both, the estimate of a task moves with the prior by the implicit function theorem, not through the iterations that
found it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from metasci.meta.laplace.gauss_newton import full_curvature, map_estimate
from metasci.meta.outcomes import observed_information, outcome_of
from metasci.meta.problem import Problem
from metasci.meta.stages import staged

# Newton's steps at most, which double the digits near the end; and a slope that counts as none
_NEWTON, _FLAT = 8, 1e-9

__all__ = ["Population", "log_marginal", "log_predictive"]


@dataclass(frozen=True)
class Population:
    """A Gaussian prior of every task.

    Attributes
    ----------
    mean : Tensor, (task, parameter)
    factor : Tensor, (parameter, parameter)
        Cholesky factor of the covariance.
    log_noise : Tensor, (scale,)
    """

    mean: Tensor
    factor: Tensor
    log_noise: Tensor

    @property
    def precision(self) -> Tensor:
        """Inverse covariance, (parameter, parameter)."""
        return torch.cholesky_inverse(self.factor)


def log_marginal(
    problem: Problem, population: Population, start: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Laplace's approximation of ln ∫ p(y | z) N(z; μ, Σ) dz for each task, differentiable in the population.

    Parameters
    ----------
    problem : Problem
    population : Population
    start : Tensor, (task, parameter), optional
        Where to look for the modes first.

    Returns
    -------
    value : Tensor, (task,)
        Exact where the model is linear and the noise does not depend on the prediction.
    mode : Tensor, (task, parameter)
    """
    problem = staged(problem)
    mode = _mode(problem, population, start)
    _, hessian = _slope_and_hessian(problem, population, mode)
    off = mode - population.mean
    factor = population.factor
    scaled = torch.linalg.solve_triangular(factor, off.T, upper=False)
    objective = problem.negative_log_likelihood(mode, population.log_noise) + 0.5 * scaled.square().sum(0)
    objective = objective + problem.penalty_cost(mode)
    spread = factor.diagonal().log().sum() + 0.5 * torch.linalg.slogdet(hessian).logabsdet
    return -objective - spread, mode.detach()


def log_predictive(
    support: Problem, query: Problem, population: Population, start: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Mean log density of a query measurement, predicted from the support, (task,), and the modes.

    The model is linearised at the mode; the density is on the noise's linked scale.
    """
    mode = _mode(support, population, start)
    _, hessian = _slope_and_hessian(support, population, mode)
    covariance = torch.linalg.inv(hessian)
    line = query.linearise(mode, population.log_noise, create_graph=True)
    variance = line.variance + torch.einsum("toi,tij,toj->to", line.jacobian, covariance, line.jacobian)
    each = (query.target - line.prediction) ** 2 / variance + torch.log(variance) + math.log(2.0 * math.pi)
    mask = query.batch.mask
    value = torch.where(mask, -0.5 * each, 0.0).sum(1) / mask.sum(1).clamp(min=1)
    return value, mode.detach()


def _mode(problem: Problem, population: Population, start: Tensor | None) -> Tensor:
    """The estimates, moving with the population: one Newton step of full curvature from where the slope is zero."""
    with torch.no_grad():
        precision = population.precision.expand(len(problem), -1, -1)
    estimate = map_estimate(
        problem,
        population.mean.detach(),
        precision,
        population.log_noise.detach(),
        start=start,
        tolerance=1e-9,
    )
    at = estimate.coordinates
    for _ in range(_NEWTON):  # where residuals are large, Gauss–Newton steps creep; these do not
        slope, curvature = _curvature(problem, population, at)
        if float(slope.abs().max()) < _FLAT:
            break
        proposed = at - torch.linalg.solve_ex(curvature, slope[..., None]).result[..., 0]
        flatter = _curvature(problem, population, proposed)[0].norm(dim=1) < slope.norm(dim=1)
        at = torch.where(flatter[:, None], proposed, at)
    curvature = _curvature(problem, population, at)[1]
    with torch.enable_grad():
        moving = _slope(problem, population, at)
    return at - torch.linalg.solve(curvature, moving[..., None])[..., 0]


def _curvature(problem: Problem, population: Population, at: Tensor) -> tuple[Tensor, Tensor]:
    """Slope and full Hessian of the negative log posterior, without a graph."""
    precision = population.precision.expand(len(at), -1, -1)
    ones = torch.ones_like(at[:, 0])
    return full_curvature(problem, at, population.mean, precision, population.log_noise, ones)


def _slope(problem: Problem, population: Population, at: Tensor) -> Tensor:
    """Gradient of the negative log posterior at fixed coordinates, with a graph, (task, parameter)."""
    free = at if at.requires_grad else at.clone().requires_grad_()
    cost = problem.negative_log_likelihood(free, population.log_noise) + problem.penalty_cost(free)
    (slope,) = torch.autograd.grad(cost.sum(), free, create_graph=True)
    return slope + (free - population.mean) @ population.precision


def _slope_and_hessian(problem: Problem, population: Population, at: Tensor) -> tuple[Tensor, Tensor]:
    """Linked prediction and expected Hessian of the negative log posterior, with a graph."""
    line = problem.linearise(at, population.log_noise, create_graph=True)
    mask = problem.batch.mask
    relative = None
    if not problem.model.noise.gaussian:
        outcome = outcome_of(problem.model.noise)
        curve = (
            1.0 / line.variance
            if outcome.canonical
            else observed_information(outcome, problem.batch, line.prediction, population.log_noise)
        )
        return line.prediction, population.precision + torch.einsum(
            "toi,to,toj->tij", line.jacobian, torch.where(mask, curve, 0.0), line.jacobian
        )
    if not problem.model.noise.constant:
        linked = line.prediction
        variance = problem.variance(problem.model.noise.unlink(linked), population.log_noise)
        (slope,) = torch.autograd.grad(variance.sum(), linked, create_graph=True)
        relative = slope / variance
    residual = problem.residual(line, population.log_noise)
    _, curve = problem.pull_and_curvature(residual, line.variance, relative)
    curve = torch.where(mask, curve, 0.0)
    return line.prediction, population.precision + torch.einsum(
        "toi,to,toj->tij", line.jacobian, curve, line.jacobian
    )
