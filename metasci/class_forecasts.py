"""Forecasts of classes: the probability of each, averaged over what the log-odds of all may be, together.

The log-odds of a measurement are Gaussian under a task's Laplace posterior, correlated with each other; where the
spread between tasks is itself uncertain they are a mixture of Gaussians. The average is over points of Sobol' (1967),
which fill as many dimensions as there are log-odds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metasci.errors import check_level
from metasci.meta.mixtures import chosen_levels
from metasci.outcomes.classes import Categorical

__all__ = ["ClassForecast"]

Floats = NDArray[np.float64]

# in all, and of each scale of the spread at least: probabilities are then off by one or two in a thousand
_POINTS, _LEAST = 512, 128
_INSIDE = 1e-12  # no point lies at infinity


@dataclass(frozen=True)
class ClassForecast:
    """What classes are to be expected, (task, observation).

    Attributes
    ----------
    outcome : Categorical
    centre : Tensor, (task, observation, log-odds)
        At the adapted coordinates.
    shift : Tensor, (level, task, observation, log-odds)
        For each possible scale of the spread: how far they lie from the centre.
    covariance : Tensor, (level, task, observation, log-odds, log-odds)
    weight : Tensor, (level, task)
        Probability of each scale.
    measured : Tensor, (task, observation)
        The number of the class that was seen; one where none was.
    """

    outcome: Categorical
    centre: Tensor
    shift: Tensor
    covariance: Tensor
    weight: Tensor
    measured: Tensor

    @cached_property
    def probabilities(self) -> Tensor:
        """Of every class, (task, observation, class)."""
        share = self.weight.detach().numpy()[:, :, None, None]
        return torch.as_tensor((share * self._each.mean(1)).sum(0))

    @property
    def median(self) -> Tensor:
        """The number of the likeliest class: classes have no middle."""
        return self.probabilities.argmax(-1).to(self.centre.dtype)

    def bands(self, level: float = 0.9) -> tuple[Tensor, Tensor]:
        """Central intervals of the probability of every class, (task, observation, class)."""
        check_level(level)
        tail = 0.5 * (1.0 - level)
        each = self._each
        wide = np.broadcast_to(
            (self.weight.detach().numpy() / each.shape[1])[:, None, :, None, None], each.shape
        )
        each, wide = (values.reshape(-1, *values.shape[2:]) for values in (each, wide))
        order = each.argsort(0)
        reached = np.take_along_axis(wide, order, 0).cumsum(0)
        each = np.take_along_axis(each, order, 0)
        ends = ((reached < edge).sum(0).clip(max=len(each) - 1)[None] for edge in (tail, 1.0 - tail))
        lower, upper = (torch.as_tensor(np.take_along_axis(each, end, 0)[0]) for end in ends)
        return lower, upper

    def interval(self, level: float = 0.9, noise: bool = True) -> tuple[Tensor, Tensor]:
        """Of the probability of the likeliest class, with noise or without: classes themselves lie in no interval."""
        best = self.probabilities.argmax(-1, keepdim=True)
        lower, upper = (band.gather(-1, best)[..., 0] for band in self.bands(level))
        return lower, upper

    def log_density(self) -> Tensor:
        """Log probability of the class that was seen, (task, observation)."""
        seen = self.measured.long().clamp(0, len(self.outcome.classes) - 1)
        return self.probabilities.gather(-1, seen[..., None])[..., 0].log()

    def cumulative(self) -> Tensor:
        """Half the probability of the class that was seen, as if others lay half above and half below."""
        return 0.5 * self.log_density().exp()

    def sample(self, draws: int, seed: int = 0) -> Tensor:
        """Classes drawn at random, (draw, task, observation), by their numbers."""
        random = np.random.default_rng(seed)
        level = chosen_levels(self.weight, draws, torch.Generator().manual_seed(seed)).numpy()
        task = np.arange(len(self.centre))
        centre, root = (self.centre + self.shift).detach().numpy(), self._root
        normal = random.standard_normal((draws, *self.centre.shape))
        at = centre[level, task] + np.einsum("dtoij,dtoj->dtoi", root[level, task], normal)
        return torch.as_tensor(self.outcome.sample(at, (), None, random))

    @cached_property
    def _root(self) -> Floats:
        """A square root of each covariance, which may be singular."""
        values, axes = torch.linalg.eigh(self.covariance.detach())
        return np.asarray((axes * values.clamp(min=0.0).sqrt()[..., None, :]).numpy())

    @cached_property
    def _each(self) -> Floats:
        """Probabilities at the points, (level, point, task, observation, class)."""
        levels, asked = len(self.weight), self.outcome.predictors
        count = max(_POINTS // levels, _LEAST)
        points = torch.quasirandom.SobolEngine(asked, scramble=True, seed=0).draw(
            levels * count, dtype=torch.float64
        )
        normal = torch.special.ndtri(points.clamp(_INSIDE, 1.0 - _INSIDE)).reshape(levels, count, asked)
        centre = (self.centre + self.shift).detach().numpy()
        at = centre[:, None] + np.einsum("ltoij,lpj->lptoi", self._root, normal.numpy())
        return self.outcome.probabilities(at)
