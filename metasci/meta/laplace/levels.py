"""What a prior does not know of its own scales, integrated out on a grid: a new task's noise and the spread of tasks.

The noise's precision has a factor w, the covariance between tasks a factor τ. Given both, everything is Gaussian; the
mixture over them has Student's tails. w differs from one since tasks differ in how noisy they are, or since few
measurements told the noise; τ since few tasks told the spread (τ⁻¹ ~ Gamma(f/2, f/2) makes a new task's coordinates
Student's t with f degrees of freedom).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metasci.meta.adapted import NoiseMixture
from metasci.meta.laplace.estimate import Estimate
from metasci.meta.laplace.gauss_newton import normal_equations
from metasci.meta.laplace.gaussian_state import GaussianState
from metasci.meta.laplace.task_noise import noise_levels
from metasci.meta.problem import Problem

__all__ = ["Levels", "level_posteriors", "levels_of"]

# beyond so many degrees of freedom Student's t is a Gaussian to two thousandths of an interval's width
_AS_GOOD_AS_KNOWN = 300.0
# of a scale that is uncertain, not learned: about one standard deviation of its logarithm apart, which integrates a
# density as smooth as these to six digits
_FEW = 7
# of one known by less than two degrees of freedom, whose logarithm spreads wider: seven then lack a fifteenth of the
# half that lies within the quartiles
_MORE, _HARDLY_KNOWN = 11, 2.0


@dataclass(frozen=True)
class Levels:
    """Possible scales of a new task, and how probable each pair is beforehand.

    Attributes
    ----------
    noise_precision, spread : Tensor, (level,)
        Factors on the noise's precision, and on the covariance between tasks.
    probability : Tensor, (level,)
    """

    noise_precision: Tensor
    spread: Tensor
    probability: Tensor

    def __len__(self) -> int:
        return len(self.probability)

    def before(self, covariance: Tensor) -> NoiseMixture:
        """The prior's mixture, of its covariance (task, parameter, parameter): the same mean at every level."""
        tasks, size = covariance.shape[:2]
        return NoiseMixture(
            (1.0 / self.noise_precision)[:, None].expand(-1, tasks),
            self.probability[:, None].expand(-1, tasks),
            covariance.new_zeros(len(self), tasks, size),
            self.spread[:, None, None, None] * covariance,
        )


def levels_of(state: GaussianState, task_noise: bool) -> Levels:
    """The grid of a learned state; one level where both scales are known."""
    if task_noise:
        noise, of_noise = noise_levels(state.noise_shape)
    else:
        noise, of_noise = _uncertain(state.noise_freedom)
    narrow, of_spread = _uncertain(state.spread_freedom)
    count, each = len(noise), len(narrow)
    return Levels(
        noise.repeat_interleave(each),
        (1.0 / narrow).repeat(count),
        (of_noise[:, None] * of_spread).ravel(),
    )


def _uncertain(freedom: Tensor) -> tuple[Tensor, Tensor]:
    """Factors on a precision that is known with so many degrees of freedom, and their probabilities."""
    if float(freedom) > _AS_GOOD_AS_KNOWN:
        return torch.ones_like(freedom)[None], torch.ones_like(freedom)[None]
    return noise_levels(0.5 * freedom, _MORE if float(freedom) < _HARDLY_KNOWN else _FEW)


def level_posteriors(
    problem: Problem,
    estimate: Estimate,
    mean: Tensor,
    precision: Tensor,
    log_noise: Tensor,
    levels: Levels,
) -> NoiseMixture:
    """Posterior of every task's coordinates at each level, and of the level itself.

    Parameters
    ----------
    problem : Problem
    estimate : Estimate
        Where the model is linearised.
    mean, precision : Tensor, (task, parameter), (task, parameter, parameter)
        Of the prior where the spread's factor is one.
    log_noise : Tensor
    levels : Levels
    """
    at, factor, spread = estimate.coordinates, levels.noise_precision, levels.spread
    nothing, certain = torch.zeros_like(precision), torch.ones_like(at[:, 0])
    slope, curvature, squared, _ = normal_equations(
        problem, at, at, nothing, log_noise, certain, estimate.line
    )
    pull = torch.einsum("tij,tj->ti", precision, at - mean)
    w, tight = factor[:, None, None], (1.0 / spread)[:, None, None]
    hessian = tight[..., None] * precision + w[..., None] * curvature
    gradient = tight * pull + w * slope
    root = torch.linalg.cholesky_ex(hessian).L
    step = torch.cholesky_solve(gradient[..., None], root)[..., 0]
    misfit = squared.sum(1) + 2.0 * problem.penalty_cost(at).detach()
    off = at - mean
    prior = torch.einsum("ti,tij,tj->t", off, precision, off) / spread[:, None]
    count = (problem.batch.mask & problem.batch.numbers).sum(
        1
    )  # a limit has no density that scales with the noise
    log_evidence = (
        -0.5 * (factor[:, None] * misfit + prior)
        + 0.5 * (gradient * step).sum(-1)
        + 0.5 * count * factor[:, None].log()
        - 0.5 * at.shape[1] * spread[:, None].log()
        - root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    )
    weight = torch.softmax(log_evidence + levels.probability[:, None].log(), 0)
    return NoiseMixture(
        (1.0 / factor)[:, None].expand_as(weight), weight, -step, torch.cholesky_inverse(root)
    )
