"""Laws about known limits: the output's value at a point of one input, or as that input goes to an end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metasci.constraints.law import Constraint, Predict, amount, given, has_size, shown

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Limit"]


@dataclass(frozen=True)
class Limit(Constraint):
    """The output has a known value at a point of one input, or tends to it.

    Parameters
    ----------
    input : str
    at : float
        The point; ``float("inf")`` or ``-float("inf")`` where the output only tends to the value.
    value : float or str
        The value, or the input that says it, such as an initial one.
    reach : float
        An end is looked at so many times beyond the task's greatest size of the input. Where the approach is slow, say
        with `Within` how near it has to be there.

    Examples
    --------
    >>> import torch
    >>> Limit("time", at=0.0, value=1.0).violation(lambda x: 0.8 + x["time"], {"time": torch.ones(1, 2)}).tolist()
    [[0.2, 0.2]]
    >>> Limit("time", at=float("inf"), value=0.0).law
    'tending to 0 as time grows'
    """

    input: str
    at: float
    value: float | str
    reach: float = 1000.0

    @property
    def law(self) -> str:
        if math.isinf(self.at):
            return f"tending to {shown(self.value)} as {self.input} {'grows' if self.at > 0 else 'falls'}"
        return f"equal to {shown(self.value)} at {self.input} {self.at:g}"

    def violation(self, predict: Predict, inputs: Mapping[str, Tensor]) -> Tensor:
        return (predict(self.place(inputs)) - amount(self.value, inputs, self.law)).abs()

    def place(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        import torch

        here = given(inputs, self.input, self.law)
        if not math.isinf(self.at):
            return {**inputs, self.input: torch.full_like(here, self.at)}
        end = math.copysign(self.reach, self.at) * here.detach().abs().amax(-1, keepdim=True)
        return {**inputs, self.input: end.expand_as(here)}

    def tells(self, inputs: Mapping[str, Tensor]) -> Tensor | bool:
        return has_size(inputs, self.input) if math.isinf(self.at) else True
