"""What a prior does not know of its own scales, integrated out on a grid: a new task's noise and the spread of tasks.

The noise's precision has a factor w, the covariance between tasks a factor τ. Given both, everything is Gaussian; the
mixture over them has Student's tails. w differs from one since tasks differ in how noisy they are, or since few
measurements told the noise; τ since few tasks told the spread (τ⁻¹ ~ Gamma(f/2, f/2) makes a new task's coordinates
Student's t with f degrees of freedom).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metasci import math
from metasci.meta.adapted import NoiseMixture
from metasci.meta.laplace.estimate import Estimate
from metasci.meta.laplace.few import few_equations
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
    like = state.noise_freedom
    shape = float(state.noise_shape) if task_noise else None
    noise, spread, probability = _grid(shape, float(like), float(state.spread_freedom))
    return Levels(*(each.to(like.device, like.dtype, copy=True) for each in (noise, spread, probability)))


@lru_cache(maxsize=64)
def _grid(shape: float | None, noise_freedom: float, spread_freedom: float) -> tuple[Tensor, Tensor, Tensor]:
    """The levels of `Levels`, in its order; `shape` is that of Gamma where tasks differ in how noisy they are."""
    double = torch.float64
    if shape is not None:
        noise, of_noise = noise_levels(torch.tensor(shape, dtype=double))
    else:
        noise, of_noise = _uncertain(torch.tensor(noise_freedom, dtype=double))
    narrow, of_spread = _uncertain(torch.tensor(spread_freedom, dtype=double))
    count, each = len(noise), len(narrow)
    return (
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
    turned = apart.axes.swapaxes(-1, -2)
    products = turned[..., :, None] * turned[..., None, :]  # (task, axis, parameter, parameter)
    products = products.reshape(*turned.shape[:2], size * size)
    covariance = apart.variance(levels).swapaxes(0, 1) @ products  # (task, level, pair)
    step = apart.step(levels).swapaxes(0, 1) @ turned
    weight = torch.as_tensor(apart.weight(levels))
    return NoiseMixture(
        (1.0 / levels.noise_precision)[:, None].expand_as(weight),
        weight,
        torch.as_tensor(-step.swapaxes(0, 1)),
        torch.as_tensor(covariance.reshape(*step.shape[:2], size, size).swapaxes(0, 1)),
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
    return torch.as_tensor(_Apart.of(problem, estimate, mean, precision, log_noise).weight(levels))


@dataclass(frozen=True)
class _Apart:
    """A task's prior and its linearised measurements, seen along axes on which neither ties one to another.

    One decomposition of a task serves all of its levels: P = L Lᵀ, L⁻¹ C L⁻ᵀ = U κ Uᵀ and V = L⁻ᵀ U give
    (P/s + w C)⁻¹ = V (1/s + w κ)⁻¹ Vᵀ, of the prior's precision P and the measurements' curvature C.

    Of a few plain tasks all are arrays, of which an operation costs a fifth of a tensor's.

    Attributes
    ----------
    axes : Tensor or ndarray, (task, parameter, axis)
        V.
    curvature : Tensor or ndarray, (task, axis)
        κ; the prior's precision is one.
    pull, slope : Tensor or ndarray, (task, axis)
        Of the prior and of the measurements at the estimate.
    misfit, distance : Tensor or ndarray, (task,)
        Squared residuals, and the squared distance from the prior's mean.
    count : Tensor or ndarray, (task,)
        How many measurements' densities scale with the noise.
    """

    axes: Any
    curvature: Any
    pull: Any
    slope: Any
    misfit: Any
    distance: Any
    count: Any

    @classmethod
    def of(
        cls, problem: Problem, estimate: Estimate, mean: Tensor, precision: Tensor, log_noise: Tensor
    ) -> _Apart:
        at = estimate.coordinates
        few = few_equations(problem, at, log_noise, estimate.line)
        if few is not None:
            count = problem.batch.mask.numpy().sum(1)
            return cls._turned(np, at.numpy(), mean.numpy(), precision.numpy(), *few, count)
        nothing, certain = torch.zeros_like(precision), torch.ones_like(at[:, 0])
        slope, curvature, squared, _ = normal_equations(
            problem, at, at, nothing, log_noise, certain, estimate.line
        )
        misfit = squared.sum(1) + 2.0 * problem.penalty_cost(at).detach()
        count = (problem.batch.mask & problem.batch.numbers).sum(1)  # a limit's density does not scale
        return cls._turned(torch, at, mean, precision, slope, curvature, misfit, count)

    @classmethod
    def _turned(
        cls,
        library: Any,
        at: Any,
        mean: Any,
        precision: Any,
        slope: Any,
        curvature: Any,
        misfit: Any,
        count: Any,
    ) -> _Apart:
        root = torch.linalg.cholesky_ex(precision).L if library is torch else np.linalg.cholesky(precision)
        white = _solved(root, curvature)
        white = _solved(root, white.swapaxes(-1, -2))
        sound = library.isfinite(white).all(-1).all(-1)  # a task that was lost is decomposed as nothing
        kappa, turned = library.linalg.eigh(library.where(sound[:, None, None], white, 0.0))
        axes = _solved(root.swapaxes(-1, -2), turned, upper=True)
        off = at - mean
        pull = (precision @ off[..., None])[..., 0]
        along = axes.swapaxes(-1, -2) @ library.stack([pull, slope], -1)
        return cls(axes, kappa.clip(0.0), along[..., 0], along[..., 1], misfit, (off * pull).sum(-1), count)

    def _scales(self, levels: Levels) -> tuple[Any, Any]:
        """Factors on the precision of the noise and on the spread, (level, 1)."""
        scales = levels.noise_precision[:, None], levels.spread[:, None]
        return scales if isinstance(self.axes, Tensor) else (scales[0].numpy(), scales[1].numpy())

    def variance(self, levels: Levels) -> Any:
        """Of the posterior along each axis, (level, task, axis)."""
        w, spread = self._scales(levels)
        return 1.0 / ((1.0 / spread)[..., None] + w[..., None] * self.curvature)

    def gradient(self, levels: Levels) -> Any:
        """Of the negative log posterior along each axis, (level, task, axis)."""
        w, spread = self._scales(levels)
        return (1.0 / spread)[..., None] * self.pull + w[..., None] * self.slope

    def step(self, levels: Levels) -> Any:
        """Back to each level's estimate, along each axis, (level, task, axis)."""
        return self.gradient(levels) * self.variance(levels)

    def weight(self, levels: Levels) -> Any:
        """Posterior probability of each level, (level, task)."""
        factor, spread = self._scales(levels)
        variance, gradient = self.variance(levels), self.gradient(levels)
        before: Any = levels.probability[:, None]
        before = before if isinstance(self.axes, Tensor) else before.numpy()
        log_evidence = (
            -0.5 * (factor * self.misfit + self.distance / spread)
            + 0.5 * (gradient * gradient * variance + math.log(variance)).sum(-1)
            + 0.5 * self.count * math.log(factor)
            - 0.5 * self.axes.shape[1] * math.log(spread)
            + math.log(before)
        )
        library = torch if isinstance(self.axes, Tensor) else np
        odds = math.exp(log_evidence - library.amax(log_evidence, 0))
        return odds / odds.sum(0)


def _solved(root: Any, right: Any, upper: bool = False) -> Any:
    """x of root · x = right, of a triangular root."""
    if isinstance(root, Tensor):
        return torch.linalg.solve_triangular(root, right, upper=upper)
    return np.linalg.solve(root, right)
