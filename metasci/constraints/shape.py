"""Laws about a curve's shape along one input: rising or falling, convex or concave, even or odd.

Slopes and curvatures are brought to the output's unit by the greatest size that the input has in the task: they are
what the curve would do over that size if it went on so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metasci.constraints.derivatives import derivatives, largest
from metasci.constraints.law import Constraint, Predict, given, has_size

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Concave", "Convex", "Even", "Monotone", "Odd"]


@dataclass(frozen=True)
class Monotone(Constraint):
    """The output only rises (or only falls) with one input.

    The violation is the slope of the wrong sign times the task's greatest size of the input.

    Examples
    --------
    >>> import torch
    >>> falling = Monotone("x", increasing=False)
    >>> falling.violation(lambda at: 0.5 * at["x"], {"x": torch.tensor([[0.0, 1.0, 3.0]])}).tolist()
    [[1.5, 1.5, 1.5]]
    """

    input: str
    increasing: bool

    @property
    def law(self) -> str:
        return f"{'rising' if self.increasing else 'falling'} with {self.input}"

    def violation(self, predict: Predict, inputs: Mapping[str, Tensor]) -> Tensor:
        rise = derivatives(predict, inputs, self.law)(self.input)
        wrong = -rise if self.increasing else rise
        return wrong.clamp(min=0.0) * largest(inputs[self.input], rise)

    def tells(self, inputs: Mapping[str, Tensor]) -> Tensor | bool:
        return has_size(inputs, self.input)


@dataclass(frozen=True)
class Convex(Constraint):
    """The output curves upwards along one input.

    The violation is half the second derivative of the wrong sign times the square of the task's greatest size of the
    input: how far the curve would leave its tangent on the wrong side over that size. Where the second derivative is
    zero, as it is of what is linear piece by piece, it is how far the curve lies on the wrong side of a chord about
    the point, within the range of the task's points: one as wide as fits, and one as wide as points are apart.

    Examples
    --------
    >>> import torch
    >>> Convex("x").violation(lambda at: -(at["x"] ** 2), {"x": torch.tensor([[0.0, 2.0]])}).tolist()
    [[4.0, 4.0]]
    """

    input: str

    @property
    def law(self) -> str:
        return f"convex in {self.input}"

    def violation(self, predict: Predict, inputs: Mapping[str, Tensor]) -> Tensor:
        curvature = self._sign * derivatives(predict, inputs, self.law)(self.input, self.input)
        bent = 0.5 * (-curvature).clamp(min=0.0) * largest(inputs[self.input], curvature).square()
        straight = curvature == 0.0
        if not _any(straight):
            return bent
        return straight.logical_not() * bent + straight * self._beyond_chords(predict, inputs)

    def tells(self, inputs: Mapping[str, Tensor]) -> Tensor | bool:
        return has_size(inputs, self.input)

    def _beyond_chords(self, predict: Predict, inputs: Mapping[str, Tensor]) -> Tensor:
        """How far the curve lies on the wrong side of chords about each point, in the output's unit."""
        at = inputs[self.input].detach()
        least, most = at.amin(-1, keepdim=True), at.amax(-1, keepdim=True)
        room = (at - least).minimum(most - at)
        apart = (most - least) / max(at.shape[-1] - 1, 1)
        here = predict(inputs)
        worst = here.new_zeros(())
        for reach in (room, room.minimum(apart)):
            ends = predict({**inputs, self.input: at - reach}) + predict({**inputs, self.input: at + reach})
            beyond = (self._sign * (here - 0.5 * ends)).clamp(min=0.0)
            worst = worst.maximum(beyond)
        return worst

    @property
    def _sign(self) -> float:
        return 1.0


@dataclass(frozen=True)
class Concave(Convex):
    """The output curves downwards along one input; measured as for `Convex`."""

    @property
    def law(self) -> str:
        return f"concave in {self.input}"

    @property
    def _sign(self) -> float:
        return -1.0


@dataclass(frozen=True)
class Even(Constraint):
    """The output is the same at x and at its mirror image about `centre`; the violation is the difference.

    Examples
    --------
    >>> import torch
    >>> Even("x").violation(lambda at: at["x"] ** 2 + at["x"], {"x": torch.tensor([[0.0, 2.0]])}).tolist()
    [[0.0, 4.0]]
    """

    input: str
    centre: float = 0.0

    @property
    def law(self) -> str:
        return f"even in {self.input}{_about(self.centre)}"

    def violation(self, predict: Predict, inputs: Mapping[str, Tensor]) -> Tensor:
        mirrored = 2.0 * self.centre - given(inputs, self.input, self.law)
        return (predict(inputs) - predict({**inputs, self.input: mirrored})).abs()


@dataclass(frozen=True)
class Odd(Constraint):
    """The output changes its sign, and nothing else, from x to its mirror image about `centre`.

    The violation is the sum of the two.

    Examples
    --------
    >>> import torch
    >>> Odd("x").violation(lambda at: at["x"] + 1.0, {"x": torch.tensor([[0.0, 2.0]])}).tolist()
    [[2.0, 2.0]]
    """

    input: str
    centre: float = 0.0

    @property
    def law(self) -> str:
        return f"odd in {self.input}{_about(self.centre)}"

    def violation(self, predict: Predict, inputs: Mapping[str, Tensor]) -> Tensor:
        mirrored = 2.0 * self.centre - given(inputs, self.input, self.law)
        return (predict(inputs) + predict({**inputs, self.input: mirrored})).abs()


def _any(mask: Tensor) -> bool:
    """Whether anything is true; yes, where numbers are not known yet, as in a recording."""
    try:
        return bool(mask.any())
    except RuntimeError:
        return True


def _about(centre: float) -> str:
    return f" about {centre:g}" if centre else ""
