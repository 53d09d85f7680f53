"""Points at which laws are checked, beside the measured ones: a grid, or a quasi-random set."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from metasci.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Collocation", "Grid", "QuasiRandom", "with_measured"]


class Collocation(Protocol):
    """Points of some of the inputs, in the model's units."""

    @property
    def points(self) -> Mapping[str, NDArray[np.float64]]:
        """Each (point,); inputs that are not named keep the values that the task's measurements have."""


@dataclass(frozen=True)
class Grid:
    """Every combination of some values of the inputs.

    Raises
    ------
    InputError
        If there is no value, or one is not finite.

    Examples
    --------
    >>> Grid({"time": (0.0, 1.0), "temperature": (300.0, 400.0, 500.0)}).points["time"].tolist()
    [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    """

    values: Mapping[str, Sequence[float]]

    def __post_init__(self) -> None:
        if not self.values:
            raise InputError("collocation: name at least one input.")
        for name, values in self.values.items():
            if not len(values) or not np.isfinite(np.asarray(values, dtype=np.float64)).all():
                raise InputError(f"collocation: the values of {name} must be finite numbers, at least one.")

    @cached_property
    def points(self) -> Mapping[str, NDArray[np.float64]]:
        """Each (point,)."""
        axes = [np.asarray(axis, dtype=np.float64) for axis in self.values.values()]
        crossed = np.meshgrid(*axes, indexing="ij")
        return {name: axis.ravel() for name, axis in zip(self.values, crossed, strict=True)}


@dataclass(frozen=True)
class QuasiRandom:
    """Points that fill ranges of the inputs evenly: Halton's sequence (1960), scrambled by a seed.

    Parameters
    ----------
    ranges : mapping of str to (float, float)
    count : int
    seed : int
        The same seed gives the same points, to the bit.

    Raises
    ------
    InputError
        If a range is empty or not finite, or there is no point.

    Examples
    --------
    >>> QuasiRandom({"x": (-5.0, 5.0)}, count=3).points["x"].shape
    (3,)
    """

    ranges: Mapping[str, tuple[float, float]]
    count: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.ranges or self.count < 1:
            raise InputError("collocation: name at least one input, and at least one point.")
        for name, (lower, upper) in self.ranges.items():
            if not lower < upper:
                raise InputError(f"collocation: the range of {name}, {lower:g} to {upper:g}, is empty.")
            if not np.isfinite((lower, upper)).all():
                raise InputError(f"collocation: the range of {name}, {lower:g} to {upper:g}, has no end.")

    @cached_property
    def points(self) -> Mapping[str, NDArray[np.float64]]:
        """Each (point,)."""
        from scipy.stats import qmc

        unit = qmc.Halton(len(self.ranges), scramble=True, seed=self.seed).random(self.count)
        lower, upper = np.array(list(self.ranges.values()), dtype=np.float64).T
        return dict(zip(self.ranges, (lower + (upper - lower) * unit).T, strict=True))


def with_measured(
    inputs: Mapping[str, Tensor], mask: Tensor, collocation: Collocation | None, kept: Collection[str] = ()
) -> tuple[Mapping[str, Tensor], Tensor]:
    """The measured points of every task, then those of the collocation.

    Parameters
    ----------
    inputs : mapping of Tensor, (task, observation)
    mask : Tensor of bool, (task, observation)
    collocation : Collocation, optional
        Inputs that it does not name take the values of the task's measurements in turn.
    kept : collection of str
        Inputs that are not of points, such as a history of doses; they stay.

    Returns
    -------
    inputs : mapping of Tensor, (task, observation and point)
    mask : Tensor of bool, (task, observation and point)

    Raises
    ------
    InputError
        If an input is named that there is not.
    """
    import torch

    if collocation is None:
        return inputs, mask
    chosen = collocation.points
    if odd := sorted(set(chosen) - (set(inputs) - set(kept))):
        known = ", ".join(name for name in inputs if name not in kept)
        raise InputError(f"collocation: '{odd[0]}' is not an input; the inputs are {known}.")
    tasks, count = len(mask), len(next(iter(chosen.values())))
    first = torch.argsort((~mask).to(torch.int8), dim=1, stable=True)
    turn = torch.arange(count, device=mask.device) % mask.sum(1, keepdim=True).clamp(min=1)

    def more(name: str, values: Tensor) -> Tensor:
        if name in chosen:
            return torch.as_tensor(chosen[name]).to(values).expand(tasks, count)
        return values.gather(1, first.gather(1, turn))

    points = {}
    for name, values in inputs.items():
        if name in kept:
            points[name] = values
            continue
        whole = values.expand(mask.shape)
        points[name] = torch.cat([whole, more(name, whole)], 1)
    return points, torch.cat([mask, mask.new_ones(tasks, count)], 1)
