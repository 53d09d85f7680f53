"""The maximisation step of empirical Bayes: the population that makes the tasks' estimates most likely."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from metasci.meta.laplace.gauss_newton import Estimate
from metasci.meta.laplace.gaussian_state import GaussianState
from metasci.meta.laplace.noise_scales import noise_scales
from metasci.meta.laplace.task_noise import gamma_shape
from metasci.meta.laplace.ties import free_means, is_tied, tied_covariance
from metasci.meta.problem import Problem
from metasci.parameters import ParameterSpace

__all__ = [
    "BELIEVED_VARIANCE",
    "most_likely_noise",
    "most_likely_population",
    "population_of_sums",
]

# nearly flat: a hundredth of a task's worth of belief that the mean is at the typical values
_INTERCEPT_PRECISION = 1e-2
# of the spread believed in beforehand, about a third of the typical one (√0.1), with the weight of `regularisation`
BELIEVED_VARIANCE = 0.1


def most_likely_population(
    state: GaussianState,
    estimate: Estimate,
    design: Tensor,
    space: ParameterSpace,
    regularisation: float,
    correlated: bool,
) -> GaussianState:
    """The state with new coefficients, their covariance over the design, the spread between tasks, and the relevance.

    Parameters
    ----------
    state : GaussianState
    estimate : Estimate
        Of every task; those that are not finite are left out.
    design : Tensor, (task, 1 + covariate)
    space : ParameterSpace
    regularisation : float
    correlated : bool
    """
    use = estimate.finite
    z, scatter, x = estimate.coordinates[use], estimate.covariance[use], design[use]

    def spread(coefficients: Tensor) -> Tensor:
        off = z - x @ coefficients.T
        return off.T @ off + scatter.sum(0)

    return population_of_sums(
        state, float(len(z)), x.T @ x, z.T @ x, spread, space, regularisation, correlated
    )


def population_of_sums(
    state: GaussianState,
    count: float,
    designs: Tensor,
    across: Tensor,
    spread: Callable[[Tensor], Tensor],
    space: ParameterSpace,
    regularisation: float,
    correlated: bool,
) -> GaussianState:
    """The same from sums over the tasks, which is all that it asks of them.

    Parameters
    ----------
    state : GaussianState
    count : float
        Of tasks.
    designs : Tensor, (1 + covariate, 1 + covariate)
        Σ x xᵀ.
    across : Tensor, (parameter, 1 + covariate)
        Σ z xᵀ, of expected coordinates.
    spread : callable
        Of coefficients B, the expected Σ (z − B x)(z − B x)ᵀ, (parameter, parameter).
    space, regularisation, correlated
        As for `most_likely_population`.
    """
    size, covariates, relevance = len(across), len(designs) - 1, state.relevance
    strength = torch.cat([relevance.new_full((1,), _INTERCEPT_PRECISION), relevance[0].expand(covariates)])
    design_covariance = torch.linalg.inv(designs + torch.diag(strength))
    coefficients = across @ design_covariance * free_means(space, across)[:, None]
    believed = regularisation * BELIEVED_VARIANCE * torch.eye(size, dtype=across.dtype, device=across.device)
    covariance = spread(coefficients) + believed
    covariance = covariance + (coefficients * strength) @ coefficients.T
    covariance = covariance / (count + regularisation)
    if not correlated:
        covariance = torch.diag(covariance.diagonal())
    if is_tied(space):
        covariance = tied_covariance(covariance, space)
    if covariates:
        effects = coefficients[:, 1:]
        explained = (effects * torch.linalg.solve(covariance, effects)).sum()
        uncertain = size * design_covariance.diagonal()[1:].sum()
        relevance = (size * covariates / (explained + uncertain)).expand_as(relevance).clone()
    return replace(
        state,
        coefficients=coefficients,
        design_covariance=design_covariance,
        covariance=covariance,
        relevance=relevance,
    )


def most_likely_noise(
    state: GaussianState, problem: Problem, estimate: Estimate, task_noise: bool
) -> GaussianState:
    """The state with new noise scales, and how tasks differ in them."""
    mask = problem.batch.mask & estimate.finite[:, None]
    squared = torch.where(mask, estimate.squared, torch.zeros_like(estimate.squared))
    shape, precision = state.noise_shape, torch.ones_like(estimate.coordinates[:, 0])
    if task_noise:
        posterior_shape = shape + 0.5 * mask.sum(1)
        posterior_rate = shape + 0.5 * squared.sum(1)
        precision = posterior_shape / posterior_rate
        expected_log = torch.digamma(posterior_shape) - torch.log(posterior_rate)
        shape = gamma_shape((expected_log - precision)[estimate.finite].mean())
    log_noise = noise_scales(problem, estimate, mask, precision, state.log_noise)
    return replace(state, log_noise=log_noise, noise_shape=shape, noise_precision=precision)
