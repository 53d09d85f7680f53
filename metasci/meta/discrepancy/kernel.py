"""Covariances of an equation's parameters and of what it leaves out, between rows: places in tasks.

A row looks at its task's parameters through its slope, and at what the equation leaves out at its place. With a slope
of one parameter and no place it is that parameter itself, so that parameters and predictions are rows of one Gaussian.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

__all__ = ["FIRST_GROUP", "Kernel", "Rows", "first_scales", "matern", "squared_distance"]


# where learning begins and what is believed: groups differ by half as much as tasks of one group do
FIRST_GROUP = {"group_spread": 0.5, "group_level": 0.3, "group": 0.3}


def squared_distance(first: Tensor, second: Tensor) -> Tensor:
    """Squared Euclidean distances of (..., row, coordinate), (..., row, row').

    Examples
    --------
    >>> squared_distance(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]])).tolist()
    [[25.0, 1.0]]
    """
    squares = first.square().sum(-1)[..., :, None] + second.square().sum(-1)[..., None, :]
    return (squares - 2.0 * first @ second.mT).clamp(min=0.0)


def matern(squared: Tensor) -> Tensor:
    """Matérn covariance of smoothness 5/2 from squared distances (Rasmussen and Williams 2006, equation 4.17).

    Examples
    --------
    >>> matern(torch.tensor([0.0, 1.0], dtype=torch.float64)).round(decimals=4).tolist()
    [1.0, 0.524]
    """
    r = (5.0 * squared + 1e-12).sqrt()  # the root has no slope at zero
    return (1.0 + r + r * r / 3.0) * torch.exp(-r)


@dataclass(frozen=True)
class Rows:
    """Places in tasks, a row each; leading dimensions are batches of tasks.

    Attributes
    ----------
    place : Tensor, (..., row, coordinate)
        Standardised coordinates in which what the equation leaves out varies.
    slope : Tensor, (..., row, parameter)
        Of the linked prediction by the task's coordinates.
    covariates, unknown : Tensor, (..., row, covariate)
        Standardised covariates of the row's task, and their variance where they are not known.
    task : Tensor, (..., row)
        Which task a row is of: a number.
    seen : Tensor, (..., row)
        One for a place, zero for a row that looks at parameters only.
    group : Tensor, (..., row, level)
        Which group a row's task is of at each level, such as its laboratory: a number; NaN where nobody says.
    """

    place: Tensor
    slope: Tensor
    covariates: Tensor
    unknown: Tensor
    task: Tensor
    seen: Tensor
    group: Tensor

    def __len__(self) -> int:
        return self.task.shape[-1]

    def select(self, index: Tensor | int) -> Rows:
        """Some of the rows; of a batch some tasks, or, by a mask (task, row), rows one after the other."""
        return replace(self, **{item.name: getattr(self, item.name)[index] for item in fields(self)})

    def join(self, other: Rows) -> Rows:
        """These rows, then others of the same tasks."""
        each = {
            item.name: torch.cat([getattr(self, item.name), getattr(other, item.name)], self.task.dim() - 1)
            for item in fields(self)
        }
        return Rows(**each)

    def same_task(self, other: Rows) -> Tensor:
        """Which rows are of one task, (..., row, row')."""
        return self.task[..., :, None] == other.task[..., None, :]

    def same_group(self, other: Rows, level: int) -> Tensor:
        """Which rows are of one group at a level, (..., row, row'); those of one task always are."""
        alike = self.group[..., :, None, level] == other.group[..., None, :, level]
        return alike | self.same_task(other)


@dataclass(frozen=True)
class Kernel:
    """Covariance functions at given scales.

    Between rows of slopes J, places x and covariates c they are

    - J [v₀ I + B Bᵀ M(|c − c'|²)] J'ᵀ + a² M(|x − x'|² + |c − c'|²), which tasks share: how far the common start may
      lie from z₀, what covariates do to it, and δ;
    - J R² J'ᵀ + l_g² + o_g² M(|x − x'|²) for each level above the task at which they are of one group: what a
      laboratory, a study or a heat does to the parameters, and what it has of its own over the conditions;
    - J (U Uᵀ + T S Tᵀ) J'ᵀ + l² + o² exp(−½ |x − x'|²), which a task has of its own: its parameters, also as far as its
      covariates are not known, of a variance S, and d_t;

    with M the Matérn covariance of smoothness 5/2, and each coordinate and covariate divided by a length of its own.
    Distances of covariates are means over these, so that lengths about one make sense however many there are.

    Attributes
    ----------
    scales : mapping of Tensor
        Logarithms: ``shared`` (a), ``own_level`` (l) and ``own`` (o), in units of `unit`; ``shared_lengths``,
        ``own_lengths`` (coordinate,) and ``covariate_lengths`` (covariate,); ``effects`` (B) and ``spread`` (U) as
        the logarithms of a triangular factor's diagonal, then what stands below it, row by row. Where there are levels
        above the task, ``group_spread`` (level, parameter), by which the tasks' own standard deviations are multiplied
        in the diagonal R; ``group_level`` (l_g) and ``group`` (o_g), (level,), in units of `unit`; and
        ``group_lengths`` (level, coordinate).
    unit : Tensor, ()
        About the size of what the equation leaves out, on the linked scale.
    level : float
        v₀, in the parameters' scaled coordinates.
    trend : Tensor, (parameter, covariate), optional
        T, by which the parameters' mean moves with covariates.
    """

    scales: Mapping[str, Tensor]
    unit: Tensor
    level: float
    trend: Tensor | None = None

    def amplitude(self, name: str) -> Tensor:
        """A variance on the linked scale."""
        return self.unit.square() * (2.0 * self.scales[name]).exp()

    def factor(self, name: str) -> Tensor:
        """B or U, (parameter, parameter)."""
        return triangular(self.scales[name])

    def unlike(self, first: Rows, second: Rows) -> Tensor:
        """Mean squared distance of the rows' tasks that is to be expected, (..., row, row')."""
        near = (-self.scales["covariate_lengths"]).exp()
        count = max(len(near), 1)
        apart = squared_distance(first.covariates * near, second.covariates * near)
        unknown = (first.unknown @ near.square())[..., :, None] + (second.unknown @ near.square())[
            ..., None, :
        ]
        # a task is not unlike itself, however little of it is known
        return torch.where(first.same_task(second), 0.0, apart + unknown) / count

    def shared(self, first: Rows, second: Rows) -> Tensor:
        """What tasks tell of each other, (..., row, row')."""
        unlike = self.unlike(first, second)
        near, effects = (-self.scales["shared_lengths"]).exp(), self.factor("effects")
        apart = squared_distance(first.place * near, second.place * near) + unlike
        both = first.seen[..., :, None] * second.seen[..., None, :]
        left_out = self.amplitude("shared") * both * matern(apart)
        moved = ((first.slope @ effects) @ (second.slope @ effects).mT) * matern(unlike)
        common = left_out + moved + self.level * (first.slope @ second.slope.mT)
        for level in range(first.group.shape[-1]):
            common = common + self.grouped(first, second, level)
        return common

    def grouped(self, first: Rows, second: Rows, level: int) -> Tensor:
        """What tasks of one group of a level have in common beyond all tasks, (..., row, row')."""
        both = first.seen[..., :, None] * second.seen[..., None, :]
        spread, near = self.group_spread(level), (-self.scales["group_lengths"][level]).exp()
        close = matern(squared_distance(first.place * near, second.place * near))
        each, along = (self.amplitude(name)[level] for name in ("group_level", "group"))
        common = both * (each + along * close) + (first.slope * spread) @ (second.slope * spread).mT
        return torch.where(first.same_group(second, level), common, 0.0)

    def group_spread(self, level: int) -> Tensor:
        """R of a level: standard deviations of the parameters between its groups, (parameter,)."""
        return self.scales["group_spread"][level].exp() * self.factor("spread").square().sum(1).sqrt()

    def own(self, first: Rows, second: Rows) -> Tensor:
        """What a task has of its own, between rows of one task, (..., row, row')."""
        near, spread = (-self.scales["own_lengths"]).exp(), self.factor("spread")
        close = torch.exp(-0.5 * squared_distance(first.place * near, second.place * near))
        both = first.seen[..., :, None] * second.seen[..., None, :]
        left_out = both * (self.amplitude("own_level") + self.amplitude("own") * close)
        moved = (first.slope @ spread) @ (second.slope @ spread).mT
        if self.trend is not None:
            moved = moved + (first.slope @ self.trend * first.unknown) @ (second.slope @ self.trend).mT
        return left_out + moved

    def whole(self, first: Rows, second: Rows) -> Tensor:
        """All of it, between rows of several tasks."""
        return self.shared(first, second) + torch.where(first.same_task(second), self.own(first, second), 0.0)


def triangular(packed: Tensor) -> Tensor:
    """A lower triangular matrix of the logarithms of its diagonal and of what stands below it, row by row.

    Examples
    --------
    >>> triangular(torch.tensor([0.0, 0.0, 3.0])).tolist()
    [[1.0, 0.0], [3.0, 1.0]]
    """
    size = (math.isqrt(8 * len(packed) + 1) - 1) // 2
    row, column = torch.tril_indices(size, size, -1, device=packed.device)
    return torch.diag(packed[:size].exp()).index_put((row, column), packed[size:])


def packed(factor: Tensor) -> Tensor:
    """The reverse of `triangular`."""
    row, column = torch.tril_indices(factor.shape[0], factor.shape[1], -1, device=factor.device)
    return torch.cat([factor.diagonal().log(), factor[row, column]])


def first_scales(covariance: Tensor, coordinates: int, covariates: int, levels: int = 0) -> dict[str, Tensor]:
    """Where learning begins: a spread that is known of the equation alone, and a share for each other part.

    Parameters
    ----------
    covariance : Tensor, (parameter, parameter)
    coordinates, covariates, levels : int
    """
    root = torch.linalg.cholesky(covariance)

    def of(value: float, *shape: int) -> Tensor:
        return covariance.new_full(shape, math.log(value))

    of_groups = {
        "group_spread": of(FIRST_GROUP["group_spread"], levels, len(root)),
        "group_level": of(FIRST_GROUP["group_level"], levels),
        "group": of(FIRST_GROUP["group"], levels),
        "group_lengths": of(1.0, levels, coordinates),
    }
    # half of what the equation leaves out is shared and a third each task's own: learning moves all by several times
    return {
        "shared": of(0.5),
        "shared_lengths": of(1.0, coordinates),
        "covariate_lengths": of(1.0, covariates),
        "own_level": of(0.3),
        "own": of(0.3),
        "own_lengths": of(1.0, coordinates),
        "spread": packed(root),
        "effects": packed(0.5 * torch.diag(root.diagonal())),
        **(of_groups if levels else {}),
    }
