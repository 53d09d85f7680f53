"""What few tasks leave uncertain of the scales, integrated out: the variances to be expected, not the likeliest ones.

Scales are learned by a climb that ends where it ends. From few tasks many others are as likely, and most of these are
larger: a prior that takes the likeliest for known promises too much. So the scales' distribution, their likelihood
times the belief about them, is sampled, and each variance is its mean there; of a length it is the mean logarithm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from metasci.meta.covariates import Design
from metasci.meta.discrepancy.kernel import packed, triangular
from metasci.meta.discrepancy.objective import Sample, cost_and_slopes, sample
from metasci.meta.discrepancy.shares import drawn_tasks
from metasci.meta.discrepancy.state import DiscrepancyState
from metasci.meta.problem import Problem

__all__ = ["expected_scales", "hamiltonian_draws", "mean_scales"]

_DRAWN = 4  # sets of measurements, over which the log likelihood is averaged: one alone is learned by heart
_ROWS = 500  # of a set, at most
_DRAWS = 100  # of the scales
_LEAPS = 8  # of a draw
_FIRST_LENGTH, _TAKEN, _ADAPTING = 0.3, 0.75, 0.2  # of a leap; share of proposals to be taken
_CLIMB = 40  # steps to the most probable scales
_DIFFERENCE = 1e-4  # of a logarithm, for the curvature
_WIDEST = 3.0  # standard deviation of the Gaussian, where the density does not curve as it should
# variances whose mean is taken; those of a level's groups have a sharper rule of their own (`expected_spread`)
_AMPLITUDES, _FACTORS = ("shared", "own_level", "own", "log_noise"), ("spread", "effects")


def expected_scales(
    problem: Problem, design: Design, state: DiscrepancyState, at: Tensor, members: int, seed: int
) -> dict[str, Tensor]:
    """The scales and ``log_noise``, each variance as large as is to be expected given the measurements.

    Parameters
    ----------
    problem : Problem
    design : Design
    state : DiscrepancyState
        With the scales that the climb has led to.
    at : Tensor, (task, parameter)
        The tasks' estimates under these.
    members : int
        Measurements of each task that are looked at at once.
    seed : int
    """
    posterior = _Posterior.of(problem, design, state, at, members, seed)
    around, root = _gaussian(posterior)
    draws, _ = hamiltonian_draws(posterior.with_slopes, around, root, _DRAWS, seed)
    return mean_scales([posterior.named(each) for each in draws])


def mean_scales(draws: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Means over draws: of variances and covariance matrices, and of the logarithms of all else.

    Examples
    --------
    >>> low, high = torch.zeros(()), torch.tensor(7.0).log() / 2  # variances one and seven
    >>> some = {"spread": torch.zeros(1), "effects": torch.zeros(1)}
    >>> mean = mean_scales([{**some, "own": low}, {**some, "own": high}])
    >>> round((2 * mean["own"]).exp().item(), 5)
    4.0
    """
    means = {name: torch.stack([each[name] for each in draws]).mean(0) for name in draws[0]}
    for name in _AMPLITUDES:
        if name in means:
            variances = torch.stack([(2.0 * each[name]).exp() for each in draws])
            means[name] = 0.5 * variances.mean(0).log()
    for name in _FACTORS:
        factors = [triangular(each[name]) for each in draws]
        whole = torch.stack([factor @ factor.T for factor in factors]).mean(0)
        means[name] = packed(torch.linalg.cholesky(whole))
    return means


@dataclass(frozen=True)
class _Posterior:
    """Negative log density of the scales in a row, up to a constant.

    Attributes
    ----------
    state : DiscrepancyState
    sets : list of Sample
        Each stands for all measurements.
    weight : float
        By which the mean of the sets' log likelihoods is multiplied: all tasks over those of a set.
    """

    state: DiscrepancyState
    sets: list[Sample]
    weight: float

    @classmethod
    def of(
        cls, problem: Problem, design: Design, state: DiscrepancyState, at: Tensor, members: int, seed: int
    ) -> _Posterior:
        counts = problem.batch.mask.sum(1)
        held = counts.clamp(max=members)
        sets, tasks = [], []
        for drawn in range(_DRAWN):
            draw = seed * _DRAWN + drawn
            few = drawn_tasks(held, _ROWS, draw)
            # the density of all: given half of the tasks the size of what they share would tell little more
            sets.append(
                sample(problem.select(few), design.select(few), state, at[few], members, draw, halvings=0)
            )
            tasks.append(int((held[few] > 0).sum()))
        if all(len(some.chosen) == int(counts.sum()) for some in sets):
            sets = sets[:1]  # they are one set
        return cls(state, sets, float(int((held > 0).sum()) / np.mean(tasks)))

    @property
    def learned(self) -> dict[str, Tensor]:
        """Where the climb has led to."""
        return {**self.state.scales, "log_noise": self.state.log_noise}

    def named(self, row: Tensor) -> dict[str, Tensor]:
        """The scales by their names."""
        parts = torch.split(row, [value.numel() for value in self.learned.values()])
        return {
            name: part.reshape(value.shape)
            for (name, value), part in zip(self.learned.items(), parts, strict=True)
        }

    def with_slopes(self, row: Tensor) -> tuple[float, Tensor]:
        """The value, infinite where no covariance exists, and its derivatives by the row."""
        named = self.named(row)
        try:
            each = [cost_and_slopes(some, self.state, named, self.weight) for some in self.sets]
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
            return math.inf, torch.zeros_like(row)
        slopes = torch.stack([in_a_row(found) for _, found in each]).mean(0)
        return sum(float(value) for value, _ in each) / len(each), slopes


def in_a_row(named: Mapping[str, Tensor]) -> Tensor:
    """Tensors one after the other."""
    return torch.cat([value.reshape(-1) for value in named.values()])


def _gaussian(posterior: _Posterior) -> tuple[Tensor, Tensor]:
    """Mode, and a factor of the covariance, of a Gaussian near the scales' distribution (Laplace's)."""
    first = in_a_row(posterior.learned)

    def at(row: np.ndarray) -> tuple[float, np.ndarray]:
        value, slopes = posterior.with_slopes(torch.as_tensor(row))
        return value, slopes.numpy()

    found = minimize(at, first.numpy(), jac=True, method="L-BFGS-B", options={"maxiter": _CLIMB})
    steps = _DIFFERENCE * np.eye(len(first))
    rows = [(at(found.x + step)[1] - at(found.x - step)[1]) / (2.0 * _DIFFERENCE) for step in steps]
    curvature = torch.as_tensor(np.array(rows)).to(first)
    values, vectors = torch.linalg.eigh(0.5 * (curvature + curvature.T))
    return torch.as_tensor(found.x).to(first), vectors / values.clamp(min=_WIDEST**-2).sqrt()


def hamiltonian_draws(
    with_slopes: Callable[[Tensor], tuple[float, Tensor]], around: Tensor, root: Tensor, draws: int, seed: int
) -> tuple[Tensor, float]:
    """Draws (draw, coordinate) of a density that a Gaussian is near, and how many of the proposals were taken.

    Hamiltonian Monte Carlo (Neal, in Handbook of Markov Chain Monte Carlo 2011, chapter 5) in coordinates in which the
    Gaussian is standard normal, so that one length of step suits all; the length follows the share that is taken.

    Parameters
    ----------
    with_slopes : callable
        Negative log density of a row, up to a constant, and its derivatives.
    around : Tensor, (coordinate,)
        Mean of the Gaussian, where the first draw begins.
    root : Tensor, (coordinate, coordinate)
        A matrix whose product with its transpose is the Gaussian's covariance.
    draws : int
        After a fifth as many that only settle the length of a step.
    seed : int

    Examples
    --------
    >>> def far(x: Tensor) -> tuple[float, Tensor]:
    ...     return 2.0 * float((x - 1.0).square().sum()), 4.0 * (x - 1.0)
    >>> drawn, taken = hamiltonian_draws(far, torch.zeros(1), torch.eye(1), 1000, seed=0)
    >>> round(drawn.mean().item(), 1), round(drawn.std().item(), 1), taken > 0.6
    (1.0, 0.5, True)
    """
    generator = torch.Generator().manual_seed(seed)
    length, white, kept, taken = _FIRST_LENGTH, torch.zeros_like(around), [], 0
    settling = draws // 5

    def at(place: Tensor) -> tuple[float, Tensor]:
        value, slopes = with_slopes(around + root @ place)
        return value, root.T @ slopes

    here, slope = at(white)
    for number in range(settling + draws):
        momentum = torch.randn(len(white), generator=generator, dtype=white.dtype)
        jitter, chance = torch.rand(2, generator=generator, dtype=white.dtype).tolist()
        step, energy = length * (0.7 + 0.6 * jitter), here + 0.5 * float(momentum.square().sum())
        place, there, slope_there = white, here, slope
        momentum = momentum - 0.5 * step * slope_there
        for leap in range(_LEAPS):
            place = place + step * momentum
            there, slope_there = at(place)
            if not math.isfinite(there):
                break
            momentum = momentum - (0.5 if leap == _LEAPS - 1 else 1.0) * step * slope_there
        lost = there + 0.5 * float(momentum.square().sum()) - energy
        likely = math.exp(min(0.0, -lost)) if math.isfinite(lost) else 0.0
        if chance < likely:
            white, here, slope = place, there, slope_there
        if number < settling:
            length = length * math.exp(_ADAPTING * (likely - _TAKEN))
        else:
            kept.append(around + root @ white)
            taken += chance < likely
    return torch.stack(kept), taken / max(draws, 1)
