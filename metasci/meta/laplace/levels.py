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

__all__ = ["Levels", "level_posteriors", "level_weights", "levels_of"]

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
        wider = covariance.expand(len(self), -1, -1, -1)  # the same numbers at every level take no memory
        if bool((self.spread != 1.0).any()):
            wider = self.spread[:, None, None, None] * wider
        return NoiseMixture(
            (1.0 / self.noise_precision)[:, None].expand(-1, tasks),
            self.probability[:, None].expand(-1, tasks),
            covariance.new_zeros(len(self), tasks, size),
            wider,
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
    apart = _Apart.of(problem, estimate, mean, precision, log_noise)
    size = mean.shape[1]
    products = (apart.axes.mT[..., :, None] * apart.axes.mT[..., None, :]).flatten(2)  # (task, axis, pair)
    covariance = apart.variance(levels).transpose(0, 1) @ products  # (task, level, pair)
    step = apart.step(levels).transpose(0, 1) @ apart.axes.mT
    weight = apart.weight(levels)
    return NoiseMixture(
        (1.0 / levels.noise_precision)[:, None].expand_as(weight),
        weight,
        -step.transpose(0, 1),
        covariance.unflatten(2, (size, size)).transpose(0, 1),
    )


def level_weights(
    problem: Problem,
    estimate: Estimate,
    mean: Tensor,
    precision: Tensor,
    log_noise: Tensor,
    levels: Levels,
) -> Tensor:
    """How probable each level is, (level, task): the weights of `level_posteriors`, which takes the same."""
    return _Apart.of(problem, estimate, mean, precision, log_noise).weight(levels)


@dataclass(frozen=True)
class _Apart:
    """A task's prior and its linearised measurements, seen along axes on which neither ties one to another.

    One decomposition of a task serves all of its levels: P = L Lᵀ, L⁻¹ C L⁻ᵀ = U κ Uᵀ and V = L⁻ᵀ U give
    (P/s + w C)⁻¹ = V (1/s + w κ)⁻¹ Vᵀ, of the prior's precision P and the measurements' curvature C.

    Attributes
    ----------
    axes : Tensor, (task, parameter, axis)
        V.
    curvature : Tensor, (task, axis)
        κ; the prior's precision is one.
    pull, slope : Tensor, (task, axis)
        Of the prior and of the measurements at the estimate.
    misfit, distance : Tensor, (task,)
        Squared residuals, and the squared distance from the prior's mean.
    count : Tensor, (task,)
        How many measurements' densities scale with the noise.
    """

    axes: Tensor
    curvature: Tensor
    pull: Tensor
    slope: Tensor
    misfit: Tensor
    distance: Tensor
    count: Tensor

    @classmethod
    def of(
        cls, problem: Problem, estimate: Estimate, mean: Tensor, precision: Tensor, log_noise: Tensor
    ) -> _Apart:
        at = estimate.coordinates
        nothing, certain = torch.zeros_like(precision), torch.ones_like(at[:, 0])
        slope, curvature, squared, _ = normal_equations(
            problem, at, at, nothing, log_noise, certain, estimate.line
        )
        root = torch.linalg.cholesky_ex(precision).L
        white = torch.linalg.solve_triangular(root, curvature, upper=False)
        white = torch.linalg.solve_triangular(root, white.mT, upper=False)
        sound = torch.isfinite(white).all(-1).all(-1)  # a task that was lost is decomposed as nothing
        kappa, turned = torch.linalg.eigh(torch.where(sound[:, None, None], white, 0.0))
        axes = torch.linalg.solve_triangular(root.mT, turned, upper=True)
        off = at - mean
        pull = torch.einsum("tij,tj->ti", precision, off)
        along = axes.mT @ torch.stack([pull, slope], -1)
        return cls(
            axes,
            kappa.clamp(min=0.0),
            along[..., 0],
            along[..., 1],
            squared.sum(1) + 2.0 * problem.penalty_cost(at).detach(),
            (off * pull).sum(1),
            (problem.batch.mask & problem.batch.numbers).sum(1),  # a limit's density does not scale
        )

    def variance(self, levels: Levels) -> Tensor:
        """Of the posterior along each axis, (level, task, axis)."""
        w, tight = levels.noise_precision[:, None, None], (1.0 / levels.spread)[:, None, None]
        return 1.0 / (tight + w * self.curvature)

    def gradient(self, levels: Levels) -> Tensor:
        """Of the negative log posterior along each axis, (level, task, axis)."""
        w, tight = levels.noise_precision[:, None, None], (1.0 / levels.spread)[:, None, None]
        return tight * self.pull + w * self.slope

    def step(self, levels: Levels) -> Tensor:
        """Back to each level's estimate, along each axis, (level, task, axis)."""
        return self.gradient(levels) * self.variance(levels)

    def weight(self, levels: Levels) -> Tensor:
        """Posterior probability of each level, (level, task)."""
        factor, spread = levels.noise_precision[:, None], levels.spread[:, None]
        variance, gradient = self.variance(levels), self.gradient(levels)
        log_evidence = (
            -0.5 * (factor * self.misfit + self.distance / spread)
            + 0.5 * (gradient.square() * variance + variance.log()).sum(-1)
            + 0.5 * self.count * factor.log()
            - 0.5 * self.axes.shape[1] * spread.log()
        )
        return torch.softmax(log_evidence + levels.probability[:, None].log(), 0)
