"""A Gaussian process over groups: what all groups share, and what each has of its own; learned by leaving groups out.

y = g(x) + d(x) + e for a member x of a group. The function g is one for all groups, d is drawn anew for each, and e is
noise. With Gaussian processes for g and d everything is closed form: a new group's prior is the posterior of g given
the known groups, plus the spread of d; calibration conditions it on the group's few measurements, exactly.

What is learned are the covariance functions: amplitudes, and a length for every descriptor. The objective is the
density of each whole group given all others, Σ ln p(y_f | y_others), which factorises into predictions of each member
after 0, 1, 2, … members of its group: the very thing that calibration is to be good at. All groups' densities come from
one inverse, by the group version of leave-one-out (Sundararajan and Keerthi, Neural Comput 13 (2001) 1103).

Groups differ in how far they scatter. What can be said of that beforehand the descriptors say: the logarithm of the
noise is linear in them, with slopes that are learned, and believed to be small. The rest shows in the measurements,
which have outliers, too. So a group's joint distribution is Student's
instead of Gaussian, with learned degrees of freedom: still in closed form, with the same mean; but its intervals widen
for a group whose measurements surprise, and narrow for one where all is as expected (Shah, Wilson and Ghahramani,
AISTATS 2014).

Many known members are condensed into some that stand for all: each group is exact within itself, and knows the others
through these (the partially independent conditional of Snelson and Ghahramani, AISTATS 2007).

Source of the calculus: Rasmussen and Williams, Gaussian Processes for Machine Learning (MIT Press 2006).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.meta.given_groups import given_others, terms_of
from metasci.meta.group_covariance import (
    GroupCovariance,
    Points,
    basis_of,
    covariances,
    noise_levels,
    noise_variance,
    overlap,
)
from metasci.meta.group_state import ProcessState, Standardisation
from metasci.meta.outlook import Outlook

__all__ = ["GroupProcess", "Outlook", "Points", "condensed", "left_out_cost"]


@dataclass(frozen=True)
class GroupProcess:
    """How the process is learned.

    Parameters
    ----------
    members : int
        Of each group, drawn at random, on which the covariances are learned, and which then stand for all.
    iterations : int
        Steps of Adam on the logarithms of amplitudes and lengths.
    learning_rate : float
    length_spread : float
        Standard deviation of the belief that descriptors matter alike, on the logarithm of their lengths.
    noise_spread : float
        Standard deviation of the belief that descriptors say nothing of the noise, on the slopes of its logarithm.
    noise_levels : bool
        Whether groups differ in their noise beyond what descriptors say: readings that agree then say that the next
        one will, too.

    Examples
    --------
    >>> x = torch.linspace(0, 3, 40, dtype=torch.float64)
    >>> group = torch.arange(40) % 4
    >>> points = Points(torch.ones(40, 1, dtype=torch.float64), x[:, None])
    >>> method = GroupProcess(iterations=20)
    >>> state = method.learn(points, torch.sin(x) + 0.3 * group, group)
    >>> new = method.outlook(points, state)
    >>> seen = torch.zeros(40, dtype=torch.bool).index_fill(0, torch.tensor([3]), True)
    >>> after = new.given(seen, torch.sin(x) + 2.0)
    >>> bool((after.mean - torch.sin(x) - 2.0).abs().mean() < (new.mean - torch.sin(x) - 2.0).abs().mean())
    True
    """

    members: int = 15
    iterations: int = 60
    learning_rate: float = 0.08
    length_spread: float = 1.0
    noise_spread: float = 0.3
    noise_levels: bool = False

    name = "Gaussian process over families"

    def learn(
        self,
        points: Points,
        values: Tensor,
        group: Tensor,
        seed: int = 0,
        advance: Callable[[int], None] = lambda iteration: None,
    ) -> ProcessState:
        """Learn from known groups.

        Parameters
        ----------
        points : Points
        values : Tensor, (point,)
        group : Tensor of int, (point,)
            Which group each point is a member of.
        seed : int
            Of the choice of members.
        advance : callable
            Called with the number of each iteration that is done.
        """
        labels, group = torch.unique(group, return_inverse=True)
        if len(labels) < 2:
            raise InputError("a process over families needs at least two of them to learn from.")
        standard = Standardisation.of(points, values)
        points, target = standard.points(points), standard.target(values)
        chosen = _some_of_each(group, self.members, seed)
        few = points.select(chosen)
        covariance = self._covariance(few, target[chosen], group[chosen], advance)
        weights, factor = condensed(points, target, group, few, covariance)
        return ProcessState(standard, covariance, few, weights, factor)

    def update(self, points: Points, values: Tensor, group: Tensor, state: ProcessState) -> ProcessState:
        """Learn from new groups on top of the old ones, under the same covariances.

        Given the few members that stand for all, groups tell of the shared function independently: precisions add.

        Parameters
        ----------
        points, values, group
            Of the new groups, as in `learn`.
        state : ProcessState
        """
        root = torch.linalg.inv(state.factor)  # the factor F has F Fᵀ as the weights' covariance
        known = root.T @ root, root.T @ root @ state.weights
        points, target = state.standard.points(points), state.standard.target(values)
        weights, factor = condensed(points, target, group, state.members, state.covariance, known)
        return replace(state, weights=weights, factor=factor)

    def _covariance(
        self, points: Points, target: Tensor, group: Tensor, advance: Callable[[int], None]
    ) -> GroupCovariance:
        """Amplitudes and lengths under which each group is most probable given the others."""
        start = GroupCovariance.start(points, self.noise_levels)
        free = GroupCovariance(**{name: value.requires_grad_() for name, value in start.tensors().items()})
        search = torch.optim.Adam(list(free.tensors().values()), lr=self.learning_rate)
        slower = torch.optim.lr_scheduler.CosineAnnealingLR(search, self.iterations)
        alike = overlap(points, points)
        together = group[:, None] == group[None]
        parts = [(group == label).nonzero()[:, 0] for label in group.unique()]
        with torch.enable_grad():
            for iteration in range(self.iterations):
                search.zero_grad()
                shared, own = covariances(points, points, free, alike)
                noise = noise_variance(points, free)
                whole = shared + torch.where(together, own, 0.0) + noise.diag()
                levels = (noise, *noise_levels(free)) if self.noise_levels else None
                cost = left_out_cost(whole, target, parts, free.degrees_of_freedom(), levels)
                belief = (free.lengths / self.length_spread).square().sum()
                belief = belief + (free.noise_slopes / self.noise_spread).square().sum()
                (cost + 0.5 * belief / len(target)).backward()
                search.step()
                slower.step()
                advance(iteration + 1)
        return GroupCovariance(**{name: value.detach() for name, value in free.tensors().items()})

    def outlook(self, points: Points, state: ProcessState) -> Outlook:
        """What is known of the members of a new group beforehand, in the units of the values."""
        free, points = state.covariance, state.standard.points(points)
        shared, own = covariances(points, points, free, overlap(points, points))
        basis = basis_of(points, state.members, free, state.root)
        spread = basis @ state.factor
        covariance = shared - basis @ basis.T + spread @ spread.T + own
        size = state.standard.target_scale
        mean = state.standard.target_centre + size * (basis @ state.weights)
        noise = size**2 * noise_variance(points, free)
        levels = None if free.noise_between is None else noise_levels(free)
        return Outlook(mean, size**2 * covariance, noise, float(free.degrees_of_freedom()), levels)


def left_out_cost(
    covariance: Tensor,
    target: Tensor,
    groups: Sequence[Tensor],
    freedom: Tensor | None = None,
    noise_levels: tuple[Tensor, Tensor, Tensor] | None = None,
) -> Tensor:
    """Sum over groups of −ln p(y_f | y_others), for each member.

    So a group counts by its members: of one with few little can be seen of how far its members scatter.

    With P the inverse of the covariance, y_f given the others has precision P_ff and lies (P_ff)⁻¹ (P y)_f from its
    expectation. Its density is Gaussian, or Student's of that location and scale.

    Parameters
    ----------
    covariance : Tensor, (point, point)
        Of the measurements, noise included; their mean is zero.
    target : Tensor, (point,)
    groups : sequence of Tensor of int
        The points of each group.
    freedom : Tensor, optional
        Degrees of freedom of a group; a Gaussian without.
    noise_levels : tuple of Tensor, optional
        Of each point the noise variance that stands in the covariance; by which that of a whole group may be more,
        (level,), and the levels' log probabilities. The group's density is the mixture's.

    Examples
    --------
    >>> covariance = torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    >>> target = torch.tensor([0.0, 0.0], dtype=torch.float64)
    >>> cost = left_out_cost(covariance, target, [torch.tensor([0]), torch.tensor([1])])
    >>> round(float(cost), 4), round(0.5 * math.log(2 * math.pi * 0.75), 4)
    (0.7751, 0.7751)
    """
    precision = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
    pulled = precision @ target
    cost = covariance.new_zeros(())
    for index in groups:
        if noise_levels is None:
            factor = torch.linalg.cholesky(precision[index][:, index])
            off = torch.linalg.solve_triangular(factor, pulled[index][:, None], upper=False)
            far, log_size = off.square().sum(), -factor.diagonal().log().sum()
            cost = cost + _improbability(far, log_size, len(index), freedom)
            continue
        noise, by, log_weight = noise_levels
        away, scatter = given_others(precision, pulled, index)
        of_level = torch.linalg.cholesky(scatter + (by - 1.0)[:, None, None] * noise[index].diag())
        off = torch.linalg.solve_triangular(of_level, away.expand(len(by), -1)[..., None], upper=False)
        log_sizes = of_level.diagonal(dim1=1, dim2=2).log().sum(1)
        each = _improbability(off.square().sum((1, 2)), log_sizes, len(index), freedom)
        cost = cost - torch.logsumexp(log_weight - each, 0)
    return cost / len(target)


def _improbability(far: Tensor, log_size: Tensor, count: int, freedom: Tensor | None) -> Tensor:
    """Minus the log density so far away, under a scale whose root has that log determinant."""
    if freedom is None:
        return 0.5 * (far + count * math.log(2.0 * math.pi)) + log_size
    more = 0.5 * (freedom + count)
    whole = torch.lgamma(0.5 * freedom) - torch.lgamma(more) + more * torch.log1p(far / freedom)
    return whole + 0.5 * count * (freedom * math.pi).log() + log_size


def condensed(
    points: Points,
    target: Tensor,
    group: Tensor,
    few: Points,
    free: GroupCovariance,
    known: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Posterior of the features' weights given all groups: mean, and a factor of the covariance.

    Parameters
    ----------
    points, few : Points
        Standardised: the groups' members, and those that span the features.
    target, group : Tensor, (point,)
    free : GroupCovariance
    known : pair of Tensor, optional
        What is known beforehand: a precision, and its product with the mean; the features' own spread without.

    Returns
    -------
    weights, factor : Tensor, (member,) and (member, member)
    """
    basis = basis_of(points, few, free)
    precision = torch.eye(len(few), dtype=basis.dtype)
    pulled = basis.new_zeros(len(few))
    if known is not None:
        precision, pulled = known
    noise = noise_variance(points, free)
    for label in group.unique():
        index = (group == label).nonzero()[:, 0]
        members, here = points.select(index), basis[index]
        shared, own = covariances(members, members, free, overlap(members, members))
        rest = shared - here @ here.T + own + noise[index].diag()
        more, towards = terms_of(here, rest, target[index])
        precision, pulled = precision + more, pulled + towards
    factor = torch.linalg.cholesky(precision)
    weights = torch.cholesky_solve(pulled[:, None], factor)[:, 0]
    # (L Lᵀ)⁻¹ = L⁻ᵀ L⁻¹
    inverse = torch.linalg.solve_triangular(factor, torch.eye(len(few), dtype=basis.dtype), upper=False)
    return weights, inverse.T.contiguous()


def _some_of_each(group: Tensor, count: int, seed: int) -> Tensor:
    """Positions of at most so many members of every group."""
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(group), generator=generator)
    taken = [shuffled[group[shuffled] == label][:count] for label in group.unique()]
    return torch.cat(taken).sort().values
