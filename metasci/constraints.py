"""Physical laws a prediction must obey, each with a violation that is zero where the law holds.

A violation is measured in the output's unit at every point of the inputs, so that it can be differentiated,
penalised during adaptation, and reported by place and size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    Predict = Callable[[Mapping[str, Tensor]], Tensor]

__all__ = ["Bounded", "Constraint", "Monotone", "NonNegative"]


@dataclass(frozen=True)
class Constraint:
    """Base of the physical laws."""

    @property
    def law(self) -> str:
        """The law in words."""
        raise NotImplementedError

    def violation(self, predict: Predict, inputs: Mapping[str, Tensor]) -> Tensor:
        """By how much the law is broken at each point, of the prediction's shape, never below zero."""
        raise NotImplementedError

    @property
    def limits(self) -> tuple[float, float]:
        """Range in which a lawful prediction lies."""
        return -float("inf"), float("inf")


@dataclass(frozen=True)
class Bounded(Constraint):
    """The output lies between two values.

    Examples
    --------
    >>> import torch
    >>> Bounded(0.0, 1.0).violation(lambda x: x["f"], {"f": torch.tensor([-0.5, 0.5, 1.25])}).tolist()
    [0.5, 0.0, 0.25]
    """

    lower: float = -float("inf")
    upper: float = float("inf")

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


@dataclass(frozen=True)
class Monotone(Constraint):
    """The output only rises (or only falls) with one input.

    The violation is the slope of the wrong sign times the task's greatest size of the input.
    """

    input: str
    increasing: bool

    @property
    def law(self) -> str:
        return f"{'rising' if self.increasing else 'falling'} with {self.input}"

    def violation(self, predict: Predict, inputs: Mapping[str, Tensor]) -> Tensor:
        import torch

        with torch.enable_grad():
            at = inputs[self.input].detach().requires_grad_()
            prediction = predict({**inputs, self.input: at})
            (slope,) = torch.autograd.grad(prediction.sum(), at, create_graph=True)
        wrong = -slope if self.increasing else slope
        return wrong.clamp(min=0.0) * at.detach().abs().amax(-1, keepdim=True)
