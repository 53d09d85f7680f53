"""What a physical law is, and laws made of others: held to within a margin, or about one of several outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from metasci.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Constraint", "OfOutput", "Predict", "Within", "amount", "given", "has_size", "shown"]

Predict: TypeAlias = "Callable[[Mapping[str, Tensor]], Tensor]"
"""From inputs, each (task, point), to predictions, (task, point) or, with several outputs, (task, point, output)."""


@dataclass(frozen=True)
class Constraint(ABC):
    """Base of the physical laws.

    Parameters
    ----------
    weight : float
        Of this law's penalty, relative to the other laws'.

    Raises
    ------
    InputError
        If the weight is below zero.
    """

    weight: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        if not self.weight >= 0:
            raise InputError(f"law '{self.law}': its weight {self.weight:g} must not be below zero.")

    @property
    @abstractmethod
    def law(self) -> str:
        """The law in words."""

    @abstractmethod
    def violation(self, predict: Predict, inputs: Mapping[str, Tensor]) -> Tensor:
        """By how much the law is broken at each point, in the output's unit, never below zero."""

    def place(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Where the violations lie: the points themselves, unless the law is about other ones."""
        return inputs

    def tells(self, inputs: Mapping[str, Tensor]) -> Tensor | bool:
        """At which points the law can be checked: at all, unless it counts in the size of an input that is zero."""
        return True

    @property
    def limits(self) -> tuple[float, float]:
        """Range in which a lawful prediction lies."""
        return -float("inf"), float("inf")

    @property
    def reading_limits(self) -> tuple[float, float]:
        """Range beyond which nobody reads a value, whatever the noise."""
        return self.limits


@dataclass(frozen=True)
class Within(Constraint):
    """Another law, held to within a margin in the output's unit. Its weight is its own; the other law's does not count.

    Examples
    --------
    >>> import torch
    >>> from metasci.constraints import NonNegative
    >>> Within(NonNegative(), 0.1).violation(lambda x: x["f"], {"f": torch.tensor([-0.05, -0.5])}).tolist()
    [0.0, 0.4]
    """

    of: Constraint
    margin: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.margin < float("inf"):
            raise InputError(
                f"law '{self.of.law}': its margin {self.margin:g} must be finite and not below zero."
            )

    @property
    def law(self) -> str:
        return f"{self.of.law}, to within {self.margin:g}"

    @property
    def limits(self) -> tuple[float, float]:
        lower, upper = self.of.limits
        return lower - self.margin, upper + self.margin

    @property
    def reading_limits(self) -> tuple[float, float]:
        lower, upper = self.of.reading_limits
        return lower - self.margin, upper + self.margin

    def violation(self, predict: Predict, inputs: Mapping[str, Tensor]) -> Tensor:
        return (self.of.violation(predict, inputs) - self.margin).clamp(min=0.0)

    def place(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return self.of.place(inputs)

    def tells(self, inputs: Mapping[str, Tensor]) -> Tensor | bool:
        return self.of.tells(inputs)


@dataclass(frozen=True)
class OfOutput(Constraint):
    """Another law, about one of several outputs. Its weight is its own; the other law's does not count.

    Examples
    --------
    >>> import torch
    >>> from metasci.constraints import NonNegative
    >>> two = lambda x: torch.stack([x["f"], -x["f"]], -1)
    >>> OfOutput(1, NonNegative()).violation(two, {"f": torch.tensor([[-2.0, 3.0]])}).tolist()
    [[0.0, 3.0]]
    """

    output: int
    of: Constraint

    @property
    def law(self) -> str:
        return f"output {self.output} {self.of.law}"

    def violation(self, predict: Predict, inputs: Mapping[str, Tensor]) -> Tensor:
        def own(here: Mapping[str, Tensor]) -> Tensor:
            prediction = predict(here)
            count = prediction.shape[-1] if prediction.dim() > 2 else 1  # points are no outputs
            if not 0 <= self.output < count:
                raise InputError(f"law '{self.law}': outputs are counted from 0, and there are {count}.")
            return prediction[..., self.output] if prediction.dim() > 2 else prediction

        return self.of.violation(own, inputs)

    def place(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return self.of.place(inputs)

    def tells(self, inputs: Mapping[str, Tensor]) -> Tensor | bool:
        return self.of.tells(inputs)


def given(inputs: Mapping[str, Tensor], name: str, law: str) -> Tensor:
    """The input of that name.

    Raises
    ------
    InputError
        If there is none.
    """
    if name not in inputs:
        raise InputError(f"law '{law}': '{name}' is not an input; the inputs are {', '.join(inputs)}.")
    return inputs[name]


def has_size(inputs: Mapping[str, Tensor], name: str) -> Tensor:
    """Whether an input is anything but zero in a task, (task, 1)."""
    return (inputs[name] != 0.0).any(-1, keepdim=True)


def amount(value: float | str, inputs: Mapping[str, Tensor], law: str) -> float | Tensor:
    """A number, or the values of the input of that name."""
    return given(inputs, value, law) if isinstance(value, str) else value


def shown(value: float | str) -> str:
    """A number or a name, for a law's words."""
    return value if isinstance(value, str) else f"{value:g}"
