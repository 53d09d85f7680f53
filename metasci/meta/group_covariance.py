"""Covariance functions of the process over groups: what members share, what groups have of their own, and the noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metasci.files import State

__all__ = ["START", "TREND", "Points", "basis_of", "covariances", "noise_variance", "overlap"]

# of unit variances: below what any measurement resolves, above what rounding takes from a Cholesky factor
_JITTER = 1e-6
START = {
    "shared_parts": 0.4,
    "shared_whole": 0.8,
    "own_level": 0.2,
    "own_parts": 0.1,
    "own_whole": 0.1,
    "own_length": 1.0,
    "noise": 0.1,
}
"""Standard deviations and a length, in units of the targets' spread, where learning starts."""
TREND = {"shared_trend": 1.0, "own_trend": 0.2}
"""Standard deviations of the slopes on what simulators say, where there are any: of all groups, each group's."""
_FARTHEST = 2.0
"""Of a member's noise from the common one, on the logarithm: an odd member's descriptors lie far outside."""


@dataclass(frozen=True)
class Points:
    """Members of groups as numbers.

    Attributes
    ----------
    counts : Tensor, (point, part)
        How often, or in which fraction, each kind of part occurs; not negative.
    descriptors : Tensor, (point, descriptor)
    simulated : Tensor, (point, simulator), optional
        What cheap models say of the target, on its scale.
    """

    counts: Tensor
    descriptors: Tensor
    simulated: Tensor | None = None

    def __len__(self) -> int:
        return len(self.counts)

    def select(self, index: Tensor) -> Points:
        """Some of the points."""
        simulated = None if self.simulated is None else self.simulated[index]
        return Points(self.counts[index], self.descriptors[index], simulated)


def overlap(one: Points, other: Points) -> Tensor:
    """Share of parts that two have in common, Σ min(a, b) / Σ max(a, b) (Ruzicka), (point, point)."""
    apart = torch.cdist(one.counts, other.counts, p=1.0)
    together = one.counts.sum(1)[:, None] + other.counts.sum(1)[None]
    return (together - apart) / (together + apart).clamp(min=1e-12)


def covariances(one: Points, other: Points, free: State, alike: Tensor) -> tuple[Tensor, Tensor]:
    """Covariances of the shared function and of a group's own; rational quadratic in the descriptors.

    Both are linear in what simulators say: one that is wrong by a factor is put right by learning it, and one whose
    factor differs between groups by a few members.
    """
    square = {name: (2.0 * free[name]).exp() for name in (*START, *TREND) if name in free}
    far = _apart(one.descriptors * (-free["lengths"]).exp(), other.descriptors * (-free["lengths"]).exp())
    shared = square["shared_parts"] * alike + square["shared_whole"] / (1.0 + 0.5 * far)
    closer = far * (-2.0 * free["own_length"]).exp()
    own = square["own_level"] + square["own_parts"] * alike + square["own_whole"] / (1.0 + 0.5 * closer)
    if one.simulated is not None and other.simulated is not None:
        trend = one.simulated @ other.simulated.T
        shared, own = shared + square["shared_trend"] * trend, own + square["own_trend"] * trend
    return shared, own


def noise_variance(points: Points, free: State) -> Tensor:
    """Squared scale of a measurement of each point."""
    slope = (points.descriptors @ free["noise_slopes"]).clamp(-_FARTHEST, _FARTHEST)
    return (2.0 * (free["noise"] + slope)).exp() + _JITTER


def _apart(one: Tensor, other: Tensor) -> Tensor:
    """Mean squared difference of descriptors, (point, point)."""
    squares = one.square().sum(1)[:, None] + other.square().sum(1)[None] - 2.0 * one @ other.T
    return squares.clamp(min=0.0) / max(one.shape[1], 1)


def basis_of(points: Points, few: Points, free: State) -> Tensor:
    """The shared function's features: uncorrelated, of unit variance, spanned by the few."""
    among = covariances(few, few, free, overlap(few, few))[0]
    factor = torch.linalg.cholesky(among + _JITTER * torch.eye(len(few), dtype=among.dtype))
    across = covariances(few, points, free, overlap(few, points))[0]
    return torch.linalg.solve_triangular(factor, across, upper=False).T
