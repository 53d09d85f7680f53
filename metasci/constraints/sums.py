"""Laws about sums that are conserved: over a model's outputs, over some values of an input, over a range of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from metasci.constraints.law import Constraint, Predict, amount, given, shown
from metasci.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Conserved", "Integral"]


@dataclass(frozen=True)
class Conserved(Constraint):
    """A weighted sum of outputs has a known total, such as fractions that add up to one.

    Parameters
    ----------
    total : float or str
        The total, or the input that says it, such as an initial amount.
    over : str
        Sum over values of this input, such as the number of a phase or a species, everything else being equal. By
        default over a network's outputs.
    at : sequence of float
        Those values.
    weights : sequence of float
        Of each term, such as how many atoms a molecule has; all one by default.

    Raises
    ------
    InputError
        If there are not as many weights as terms, or nothing to sum over.

    Examples
    --------
    >>> import torch
    >>> shares = lambda at: torch.where(at["phase"] == 0.0, at["x"], 0.9 - at["x"])
    >>> law = Conserved(1.0, over="phase", at=(0.0, 1.0))
    >>> here = {"x": torch.tensor([[0.2, 0.5]]), "phase": torch.tensor([[0.0, 1.0]])}
    >>> law.violation(shares, here).round(decimals=6).tolist()
    [[0.1, 0.1]]
    """

    total: float | str = 1.0
    over: str = ""
    at: Sequence[float] = ()
    weights: Sequence[float] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.over) != bool(len(self.at)):
            raise InputError("a sum over an input needs both: `over`, its name, and `at`, the values.")
        if self.over and self.weights and len(self.weights) != len(self.at):
            raise InputError(f"a sum of {len(self.at)} terms cannot have {len(self.weights)} weights.")

    @property
    def law(self) -> str:
        over = f"summed over {self.over}" if self.over else "summed over outputs"
        return f"{'weighted and ' if self.weights else ''}{over} equal to {shown(self.total)}"

    def violation(self, predict: Predict, inputs: Mapping[str, Tensor]) -> Tensor:
        total = amount(self.total, inputs, self.law)
        if self.over:
            return (_weighted(predict, inputs, self.over, self.at, self.weights, self.law) - total).abs()
        prediction = predict(inputs)
        if prediction.dim() < 3:
            raise InputError(f"law '{self.law}': there is one output only; say `over` which input to sum.")
        if self.weights and len(self.weights) != prediction.shape[-1]:
            raise InputError(
                f"law '{self.law}': {prediction.shape[-1]} outputs cannot have {len(self.weights)} weights."
            )
        if self.weights:
            prediction = prediction * prediction.new_tensor(list(self.weights))
        return (prediction.sum(-1) - total).abs()

    def place(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return _without(inputs, self.over)


@dataclass(frozen=True)
class Integral(Constraint):
    """The integral of the output over a range of one input is known, everything else being equal.

    By Gauss and Legendre's rule. The violation is divided by the length of the range: by how much the mean over the
    range is off, in the output's unit.

    Examples
    --------
    >>> import torch
    >>> law = Integral("x", -1.0, 1.0, total=1.0)
    >>> law.violation(lambda at: at["x"] ** 2, {"x": torch.tensor([[0.3]])}).round(decimals=4).tolist()
    [[0.1667]]
    """

    input: str
    lower: float
    upper: float
    total: float | str
    nodes: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        if not -np.inf < self.lower < self.upper < np.inf:
            raise InputError(f"law '{self.law}': the range must be finite and not empty.")

    @property
    def law(self) -> str:
        return (
            f"integrated over {self.input} from {self.lower:g} to {self.upper:g} equal to {shown(self.total)}"
        )

    def violation(self, predict: Predict, inputs: Mapping[str, Tensor]) -> Tensor:
        nodes, weights = np.polynomial.legendre.leggauss(self.nodes)
        length = self.upper - self.lower
        at = (self.lower + 0.5 * length * (1.0 + nodes)).tolist()
        mean = _weighted(predict, inputs, self.input, at, (0.5 * weights).tolist(), self.law)
        return (mean - amount(self.total, inputs, self.law) / length).abs()

    def place(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return _without(inputs, self.input)


def _weighted(
    predict: Predict,
    inputs: Mapping[str, Tensor],
    over: str,
    at: Sequence[float],
    weights: Sequence[float],
    law: str,
) -> Tensor:
    """Weighted sum of predictions with one input at each of some values."""
    import torch

    like = given(inputs, over, law)
    terms = [
        weight * predict({**inputs, over: torch.full_like(like, value)})
        for value, weight in zip(at, weights or [1.0] * len(at), strict=True)
    ]
    return torch.stack(terms).sum(0)


def _without(inputs: Mapping[str, Tensor], summed: str) -> Mapping[str, Tensor]:
    """The points without what is summed over: a sum is not at one place of it."""
    return {name: values for name, values in inputs.items() if name != summed}
