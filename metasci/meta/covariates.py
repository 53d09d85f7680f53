"""Known properties of a task, put on a common scale so that they can shift where its calibration starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.files import State

__all__ = ["Covariates", "Design", "covariate_moments", "fault_of_moments", "moment_shapes"]

_MOST_TASKS = 1e9  # more than there are people with records; far below where whole numbers end


@dataclass(frozen=True)
class Design:
    """Standardised covariates of a batch of tasks, and what is not known of them.

    Attributes
    ----------
    values : Tensor, (task, covariate)
        Standardised values; where unknown, their expectation given those that are known.
    uncertainty : Tensor, (task, covariate, covariate)
        Their covariance: zero where known.
    group : Tensor, (task, level), optional
        Numbers of the groups that the tasks are of; NaN where nobody says.
    """

    values: Tensor
    uncertainty: Tensor
    group: Tensor | None = None

    @property
    def with_intercept(self) -> Tensor:
        """Values behind a column of ones, (task, 1 + covariate)."""
        return torch.nn.functional.pad(self.values, (1, 0), value=1.0)

    def select(self, index: Tensor) -> Design:
        """The design of some of the tasks."""
        group = None if self.group is None else self.group[index]
        return Design(self.values[index], self.uncertainty[index], group)

    def to(self, device: torch.device | str) -> Design:
        """The same at another place."""
        group = None if self.group is None else self.group.to(device)
        return Design(self.values.to(device), self.uncertainty.to(device), group)


@dataclass(frozen=True)
class Covariates:
    """Standardisation learned on the training tasks.

    Attributes
    ----------
    names : tuple of str
    transforms : tuple of str
        ``"identity"``, ``"log"`` or ``"sqrt"`` for each.
    centre, scale : Tensor, (covariate,)
        Mean and standard deviation after the transform; a covariate that does not vary has scale one.
    correlation : Tensor, (covariate, covariate)

    Examples
    --------
    >>> values = torch.tensor([[1.0], [3.0]], dtype=torch.float64)
    >>> Covariates.learn(("carbon",), ("identity",), values).design(values).values.ravel().tolist()
    [-1.0, 1.0]
    """

    names: tuple[str, ...]
    transforms: tuple[str, ...]
    centre: Tensor
    scale: Tensor
    correlation: Tensor

    @classmethod
    def learn(cls, names: tuple[str, ...], transforms: tuple[str, ...], values: Tensor) -> Covariates:
        """Learn centre, scale and correlation from the known values, (task, covariate) with NaN where unknown."""
        moved = _transform(names, transforms, values)
        known = torch.isfinite(moved)
        filled = torch.where(known, moved, torch.zeros_like(moved))
        count = known.sum(0).clamp(min=1)
        centre = filled.sum(0) / count
        deviation = torch.where(known, moved - centre, torch.zeros_like(moved))
        scale = (deviation.square().sum(0) / count).sqrt()
        scale = torch.where(scale > 1e-9 * (1.0 + centre.abs()), scale, torch.ones_like(scale))
        standard = deviation / scale
        # shrunken towards independence, as there may be fewer tasks than covariates
        weight = len(values) / (len(values) + 10.0)
        correlation = weight * standard.T @ standard / max(len(values), 1)
        correlation = correlation + torch.diag(1.0 - correlation.diagonal())
        return cls(names, transforms, centre, scale, correlation)

    @classmethod
    def of_moments(
        cls, names: tuple[str, ...], transforms: tuple[str, ...], moments: Sequence[State]
    ) -> Covariates:
        """What `learn` learns of all tasks at once, of sums over parts of them (`covariate_moments`)."""
        total = {name: torch.stack([each[name] for each in moments]).sum(0) for name in moments[0]}
        known, sums, tasks = total["known"], total["sums"], float(total["tasks"])
        count = known.diagonal().clamp(min=1.0)
        centre = sums.diagonal() / count
        # Σ (xᵢ − cᵢ)(xⱼ − cⱼ) over the tasks in which both are known
        shifted = sums * centre
        crossed = total["products"] - shifted - shifted.T + centre[:, None] * centre * known
        scale = (crossed.diagonal().clamp(min=0.0) / count).sqrt()
        scale = torch.where(scale > 1e-9 * (1.0 + centre.abs()), scale, torch.ones_like(scale))
        correlation = crossed / (scale[:, None] * scale) / (tasks + 10.0)  # shrunken, as `learn` does
        correlation = correlation + torch.diag(1.0 - correlation.diagonal())
        return cls(names, transforms, centre, scale, correlation)

    def design(self, values: Tensor) -> Design:
        """Standardise the covariates of a batch, (task, covariate) with NaN where unknown."""
        standard = (_transform(self.names, self.transforms, values) - self.centre) / self.scale
        known = torch.isfinite(standard)
        filled = torch.where(known, standard, torch.zeros_like(standard))
        uncertainty = torch.zeros(
            *standard.shape, standard.shape[1], dtype=standard.dtype, device=standard.device
        )
        if standard.shape[1] and not bool(known.all()):
            patterns, group = torch.unique(known, dim=0, return_inverse=True)
            for number, pattern in enumerate(patterns):
                rows = (group == number).nonzero()[:, 0]
                lost, measured = (~pattern).nonzero()[:, 0], pattern.nonzero()[:, 0]
                if not len(lost):
                    continue
                regression = torch.linalg.solve(
                    self.correlation[measured][:, measured], self.correlation[measured][:, lost]
                )  # (given, lost)
                filled[rows[:, None], lost] = filled[rows[:, None], measured] @ regression
                rest = self.correlation[lost][:, lost] - self.correlation[lost][:, measured] @ regression
                uncertainty[rows[:, None, None], lost[:, None], lost] = rest
        return Design(filled, uncertainty)


def covariate_moments(names: tuple[str, ...], transforms: tuple[str, ...], values: Tensor) -> State:
    """Sums over tasks from which covariates are standardised.

    Parameters
    ----------
    names, transforms : tuple of str
    values : Tensor, (task, covariate)
        NaN where unknown.

    Returns
    -------
    dict of Tensor
        ``tasks`` (), and over tasks that know both of a pair of covariates, (covariate, covariate): their number
        ``known``, ``sums`` of the first, ``products``.
    """
    moved = _transform(names, transforms, values)
    known = torch.isfinite(moved)
    filled, ones = torch.where(known, moved, torch.zeros_like(moved)), known.to(moved.dtype)
    return {
        "tasks": moved.new_tensor(float(len(moved))),
        "known": ones.T @ ones,
        "sums": filled.T @ ones,
        "products": filled.T @ filled,
    }


def moment_shapes(count: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of `covariate_moments` of so many covariates.

    Examples
    --------
    >>> moment_shapes(2)["products"]
    (2, 2)
    """
    return {"tasks": (), "known": (count, count), "sums": (count, count), "products": (count, count)}


def fault_of_moments(moments: State) -> str:
    """What sums over tasks cannot be, as the end of a sentence; empty where they may be.

    Examples
    --------
    >>> empty = torch.zeros(0, 0)
    >>> fault_of_moments({"tasks": torch.tensor(-3.0), "known": empty, "sums": empty, "products": empty})
    'it counts no tasks, or more of them than there are'
    """
    tasks, known = float(moments["tasks"]), moments["known"]
    if not 0.0 < tasks < _MOST_TASKS or bool(((known < 0.0) | (known > tasks)).any()):
        return "it counts no tasks, or more of them than there are"
    squares, sums = moments["products"].diagonal(), moments["sums"].diagonal()
    counts = known.diagonal()
    # Cauchy and Schwarz: (Σx)² ≤ n Σx², to rounding
    if bool((sums.square() > counts * squares * (1.0 + 1e-9) + 1e-300).any()):
        return "its sums over covariates are those of no tasks"
    return ""


def _transform(names: tuple[str, ...], transforms: tuple[str, ...], values: Tensor) -> Tensor:
    columns = []
    for index, (name, transform) in enumerate(zip(names, transforms, strict=True)):
        column = values[:, index]
        lowest = column[torch.isfinite(column)]
        if transform != "identity" and len(lowest) and float(lowest.min()) < 0.0:
            raise InputError(f"covariate '{name}' must not be below zero, but is {float(lowest.min()):g}.")
        if transform == "log" and len(lowest) and float(lowest.min()) == 0.0:
            raise InputError(f"covariate '{name}' acts through its logarithm and must be above zero.")
        columns.append({"identity": lambda x: x, "log": torch.log, "sqrt": torch.sqrt}[transform](column))
    return torch.stack(columns, 1) if columns else values[:, :0]
