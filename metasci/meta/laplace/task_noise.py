"""Tasks that differ in how noisy they are: a factor w on the noise's precision, w ~ Gamma(a, a), for each.

The factor is integrated out on a grid of levels. At each level the posterior of the coordinates is the
Gaussian of the model linearised at the estimate, and the level's probability is its prior's times the evidence.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from metasci.meta.adapted import NoiseMixture
from metasci.meta.laplace.gauss_newton import Estimate, normal_equations
from metasci.meta.problem import Problem

__all__ = ["at_levels", "gamma_shape", "level_posteriors", "noise_levels"]

_LEVELS = 24  # of the factor, evenly on its logarithm: an integral over it becomes a sum of so many terms
_TAIL = 1e-3  # of the probability, left out at either end


def noise_levels(shape: Tensor) -> tuple[Tensor, Tensor]:
    """Precision factors evenly spaced in their logarithm, and their prior probabilities, (level,) each."""
    from scipy.special import gammaincinv  # loaded when it is used: scipy takes long

    a = float(shape)
    low, high = (math.log(float(gammaincinv(a, p)) / a) for p in (_TAIL, 1.0 - _TAIL))
    log_factor = torch.linspace(low, high, _LEVELS, dtype=shape.dtype, device=shape.device)
    return log_factor.exp(), torch.softmax(a * log_factor - a * log_factor.exp(), 0)


def at_levels(covariance: Tensor, levels: tuple[Tensor, Tensor]) -> NoiseMixture:
    """The prior's mixture: coordinates do not depend on the noise before any measurement."""
    tasks, (precision, probability) = len(covariance), levels
    return NoiseMixture(
        (1.0 / precision)[:, None].expand(-1, tasks),
        probability[:, None].expand(-1, tasks),
        covariance.new_zeros(len(precision), tasks, covariance.shape[1]),
        covariance[None].expand(len(precision), -1, -1, -1),
    )


def level_posteriors(
    problem: Problem,
    estimate: Estimate,
    mean: Tensor,
    precision: Tensor,
    log_noise: Tensor,
    levels: tuple[Tensor, Tensor],
) -> NoiseMixture:
    """Posterior of every task's coordinates at each noise level, and of the level itself.

    Parameters
    ----------
    problem : Problem
    estimate : Estimate
        Where the model is linearised.
    mean, precision : Tensor, (task, parameter), (task, parameter, parameter)
        Of the prior.
    log_noise : Tensor
    levels : tuple of Tensor, (level,)
        Precision factors and their prior probabilities.
    """
    at, (factor, probability) = estimate.coordinates, levels
    nothing, certain = torch.zeros_like(precision), torch.ones_like(at[:, 0])
    slope, curvature, squared, _ = normal_equations(
        problem, at, at, nothing, log_noise, certain, estimate.line
    )
    pull = torch.einsum("tij,tj->ti", precision, at - mean)
    w = factor[:, None, None]
    hessian = precision + w[..., None] * curvature
    gradient = pull + w * slope
    root = torch.linalg.cholesky_ex(hessian).L
    step = torch.cholesky_solve(gradient[..., None], root)[..., 0]
    misfit = squared.sum(1) + 2.0 * problem.penalty_cost(at).detach()
    off = at - mean
    prior = torch.einsum("ti,tij,tj->t", off, precision, off)
    count = problem.batch.mask.sum(1)
    log_evidence = (
        -0.5 * (factor[:, None] * misfit + prior)
        + 0.5 * (gradient * step).sum(-1)
        + 0.5 * count * factor[:, None].log()
        - root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    )
    weight = torch.softmax(log_evidence + probability[:, None].log(), 0)
    return NoiseMixture(
        (1.0 / factor)[:, None].expand_as(weight), weight, -step, torch.cholesky_inverse(root)
    )


def gamma_shape(mean_log_less_mean: Tensor) -> Tensor:
    """The most likely shape a of Gamma(a, a), given E[ln w − w].

    Examples
    --------
    >>> from scipy.special import digamma
    >>> round(float(gamma_shape(torch.tensor(digamma(3.0) - math.log(3.0) - 1.0))), 6)
    3.0
    """
    from scipy.optimize import brentq
    from scipy.special import digamma

    target = float(mean_log_less_mean)

    def slope(log_shape: float) -> float:
        return log_shape + 1.0 - float(digamma(math.exp(log_shape))) + target

    low, high = -2.0, 12.0
    if slope(low) <= 0.0 or slope(high) >= 0.0:
        edge = low if slope(low) <= 0.0 else high
        return mean_log_less_mean.new_tensor(math.exp(edge))
    return mean_log_less_mean.new_tensor(math.exp(brentq(slope, low, high, xtol=1e-12)))
