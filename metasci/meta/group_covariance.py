"""Covariance functions of the process over groups: what members share, what groups have of their own, and the noise."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from metasci.meta.discrepancy.kernel import squared_distance

__all__ = [
    "SOURCE",
    "START",
    "TREND",
    "GroupCovariance",
    "Points",
    "basis_of",
    "covariances",
    "noise_levels",
    "noise_variance",
    "overlap",
    "root_among",
]

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
SOURCE = {"source": 0.2, "source_alike": 0.2, "source_course": 0.1}
"""Standard deviations of what a source has of its own within a group, where sources are told: a level, a level of alike
members, and a course of these over the conditions."""
_BETWEEN = 0.5
"""Standard deviation of the logarithm of the noise between groups, where they may differ in it."""
_LEVELS = 5  # Gauss and Hermite's places: enough for a spread by a factor of three
_SAME = 1.0 - 1e-9  # of parts in common: all but rounding
_FREEDOM = 8.0
"""Degrees of freedom where learning starts: tails that outliers need, and a variance that exists."""
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
    source : Tensor of int, (point,), optional
        Who measured, such as a laboratory or a publication: points of one number have their measurements from one.
    """

    counts: Tensor
    descriptors: Tensor
    simulated: Tensor | None = None
    source: Tensor | None = None

    def __len__(self) -> int:
        return len(self.counts)

    def select(self, index: Tensor) -> Points:
        """Some of the points."""
        simulated = None if self.simulated is None else self.simulated[index]
        source = None if self.source is None else self.source[index]
        return Points(self.counts[index], self.descriptors[index], simulated, source)


@dataclass(frozen=True)
class GroupCovariance:
    """What the covariance functions leave free, each on its logarithm.

    Attributes
    ----------
    shared_parts, shared_whole : Tensor, ()
        Standard deviations of what all groups share: by parts in common, and by descriptors.
    own_level, own_parts, own_whole, own_length : Tensor, ()
        Standard deviations of what a group has of its own: a level, by parts, by descriptors; and by how much longer
        the descriptors' lengths are there.
    noise : Tensor, ()
        Scale of a measurement about it.
    freedom : Tensor, ()
        Degrees of freedom of a group's Student distribution, above one.
    lengths, noise_slopes : Tensor, (descriptor,)
        Over which a descriptor makes a difference, and by how much it raises the noise (a slope, no logarithm).
    shared_trend, own_trend : Tensor, (), optional
        Standard deviations of the slopes on what simulators say, where there are any: of all groups, each group's.
    source, source_alike, source_course : Tensor, (), optional
        Standard deviations of what a source has of its own in a group, where sources are told: a level; a level of
        members whose parts are the same, such as an alloy at several temperatures; and a course of these over the
        descriptors. As the noise they are larger where descriptors raise it.
    noise_between : Tensor, (), optional
        Standard deviation of the logarithm of the noise between groups, where they may differ in it.
    """

    shared_parts: Tensor
    shared_whole: Tensor
    own_level: Tensor
    own_parts: Tensor
    own_whole: Tensor
    own_length: Tensor
    noise: Tensor
    freedom: Tensor
    lengths: Tensor
    noise_slopes: Tensor
    shared_trend: Tensor | None = None
    own_trend: Tensor | None = None
    source: Tensor | None = None
    source_alike: Tensor | None = None
    source_course: Tensor | None = None
    noise_between: Tensor | None = None

    @classmethod
    def start(cls, points: Points, noise_levels: bool = False) -> GroupCovariance:
        """Where learning starts, for points whose descriptors are of unit variance."""
        descriptors = points.descriptors
        alike = descriptors.new_zeros(descriptors.shape[1])
        start = START | (TREND if points.simulated is not None else {})
        start |= SOURCE if points.source is not None else {}
        start |= {"noise_between": _BETWEEN} if noise_levels else {}
        amplitudes = {name: descriptors.new_tensor(math.log(value)) for name, value in start.items()}
        freedom = descriptors.new_tensor(math.log(_FREEDOM - 1.0))
        return cls(**amplitudes, freedom=freedom, lengths=alike, noise_slopes=torch.zeros_like(alike))

    def tensors(self) -> dict[str, Tensor]:
        """All of it by name."""
        every = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value for name, value in every.items() if value is not None}

    def degrees_of_freedom(self) -> Tensor:
        """Of a group's Student distribution, ()."""
        return 1.0 + self.freedom.exp()


def overlap(first: Points, second: Points) -> Tensor:
    """Share of parts that two have in common, Σ min(a, b) / Σ max(a, b) (Ruzicka), (point, point)."""
    apart = torch.cdist(first.counts, second.counts, p=1.0)
    together = first.counts.sum(1)[:, None] + second.counts.sum(1)[None]
    return (together - apart) / (together + apart).clamp(min=1e-12)


def covariances(first: Points, second: Points, free: GroupCovariance, alike: Tensor) -> tuple[Tensor, Tensor]:
    """Covariances of the shared function and of a group's own; rational quadratic in the descriptors.

    Both are linear in what simulators say: one that is wrong by a factor is put right by learning it, and one whose
    factor differs between groups by a few members. Where sources are told, members of one group that one source
    measured have more in common: several readings of one alloy in one laboratory say more of the next one there than
    scatter between laboratories would have it.
    """
    shorter = (-free.lengths).exp()
    far = _apart(first.descriptors * shorter, second.descriptors * shorter)
    shared = _variance(free.shared_parts) * alike + _variance(free.shared_whole) / (1.0 + 0.5 * far)
    closer = far * (-2.0 * free.own_length).exp()
    own = _variance(free.own_level) + _variance(free.own_parts) * alike
    own = own + _variance(free.own_whole) / (1.0 + 0.5 * closer)
    if first.simulated is not None and second.simulated is not None:
        trend = first.simulated @ second.simulated.T
        shared, own = shared + _slope(free.shared_trend) * trend, own + _slope(free.own_trend) * trend
    if first.source is not None and second.source is not None and free.source is not None:
        # a source scatters where its measurements do: where they are uncertain, so is its level
        louder = _loudness(first, free)[:, None] * _loudness(second, free)[None]
        together = (first.source[:, None] == second.source[None]) * louder
        same = (alike > _SAME) * together
        own = own + _slope(free.source) * together + _slope(free.source_alike) * same
        if free.source_course is not None:
            own = own + _slope(free.source_course) * same / (1.0 + 0.5 * closer)
    return shared, own


def noise_variance(points: Points, free: GroupCovariance) -> Tensor:
    """Squared scale of a measurement of each point."""
    return _variance(free.noise) * _loudness(points, free) ** 2 + _JITTER


def _loudness(points: Points, free: GroupCovariance) -> Tensor:
    """By which each point's noise is more than the common one."""
    return (points.descriptors @ free.noise_slopes).clamp(-_FARTHEST, _FARTHEST).exp()


def noise_levels(free: GroupCovariance) -> tuple[Tensor, Tensor]:
    """By which a group's noise variance may be more than the common one, (level,), and the levels' log probabilities.

    A log-normal law by Gauss and Hermite's places; one level where groups do not differ.
    """
    if free.noise_between is None:
        return free.noise.new_ones(1), free.noise.new_zeros(1)
    places, weights = np.polynomial.hermite_e.hermegauss(_LEVELS)
    spread = free.noise_between.exp()
    return (2.0 * spread * spread.new_tensor(places)).exp(), spread.new_tensor(
        np.log(weights / weights.sum())
    )


def _slope(log_sd: Tensor | None) -> Tensor:
    if log_sd is None:
        raise ValueError("the points have simulators, of which this covariance knows nothing.")
    return _variance(log_sd)


def _variance(log_sd: Tensor) -> Tensor:
    return (2.0 * log_sd).exp()


def _apart(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared difference of descriptors, (point, point)."""
    return squared_distance(first, second) / max(first.shape[1], 1)


def basis_of(points: Points, few: Points, free: GroupCovariance, root: Tensor | None = None) -> Tensor:
    """The shared function's features: uncorrelated, of unit variance, spanned by the few.

    Parameters
    ----------
    points, few : Points
    free : GroupCovariance
    root : Tensor, optional
        `root_among` the few, where it is known.
    """
    root = root_among(few, free) if root is None else root
    across = covariances(few, points, free, overlap(few, points))[0]
    return torch.linalg.solve_triangular(root, across, upper=False).T


def root_among(few: Points, free: GroupCovariance) -> Tensor:
    """Cholesky factor of the shared function's covariance at a few points."""
    among = covariances(few, few, free, overlap(few, few))[0]
    return torch.linalg.cholesky(among + _JITTER * torch.eye(len(few), dtype=among.dtype))
