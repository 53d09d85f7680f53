"""Laws about the output's value: bounds on it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metasci.constraints.law import Constraint, Predict
from metasci.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Bounded", "NonNegative"]


@dataclass(frozen=True)
class Bounded(Constraint):
    """The output lies between two values.

    Readings of what has both ends, such as a share, are ratios of signals: by their noise they lie beyond either
    end, and intervals of readings reach as far. What has one end, such as an amount, is not read beyond it.

    Examples
    --------
    >>> import torch
    >>> Bounded(0.0, 1.0).violation(lambda x: x["f"], {"f": torch.tensor([-0.5, 0.5, 1.25])}).tolist()
    [0.5, 0.0, 0.25]
    """

    lower: float = -float("inf")
    upper: float = float("inf")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.lower < self.upper:
            raise InputError(
                f"bounds {self.lower:g} and {self.upper:g}: the lower one must be below the upper."
            )

    @property
    def law(self) -> str:
        if self.upper == float("inf"):
            return f"not below {self.lower:g}"
        if self.lower == -float("inf"):
            return f"not above {self.upper:g}"
        return f"between {self.lower:g} and {self.upper:g}"

    @property
    def limits(self) -> tuple[float, float]:
        return self.lower, self.upper

    @property
    def reading_limits(self) -> tuple[float, float]:
        both = math.isfinite(self.lower) and math.isfinite(self.upper)
        return (-math.inf, math.inf) if both else self.limits

    def violation(self, predict: Predict, inputs: Mapping[str, Tensor]) -> Tensor:
        prediction = predict(inputs)
        return (self.lower - prediction).clamp(min=0.0) + (prediction - self.upper).clamp(min=0.0)


@dataclass(frozen=True)
class NonNegative(Bounded):
    """The output is never below zero."""

    lower: float = 0.0

    @property
    def law(self) -> str:
        return "not below zero"
