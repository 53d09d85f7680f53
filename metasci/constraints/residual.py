"""Laws stated as a differential equation that the output obeys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metasci.constraints.derivatives import Derivatives, derivatives, largest
from metasci.constraints.law import Constraint, Predict, given, has_size

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Residual"]


@dataclass(frozen=True)
class Residual(Constraint):
    """The output obeys a differential equation.

    Parameters
    ----------
    equation : str
        The equation in words, such as ``"dy/dt = -0.3 y"``, for reports.
    function : callable
        Of the inputs (a mapping), the prediction, and its derivatives: ``d("time")``, ``d("x", "x")``. Gives left side
        less right side at every point. A coefficient that differs from task to task is an input of the model.
    scale : float or str
        What brings it to the output's unit: a number, or the name of an input whose greatest size in the task
        multiplies it. An equation for a rate takes the input that the rate is in.

    Examples
    --------
    >>> import torch
    >>> law = Residual("dy/dt = -0.5 y", lambda at, y, d: d("t") + 0.5 * y, scale="t")
    >>> time = {"t": torch.tensor([[0.0, 1.0, 2.0]], dtype=torch.float64)}
    >>> bool((law.violation(lambda at: torch.exp(-0.5 * at["t"]), time) < 1e-12).all())
    True
    >>> law.violation(lambda at: torch.exp(-0.3 * at["t"]), time).detach().round(decimals=3).tolist()
    [[0.4, 0.296, 0.22]]
    """

    equation: str
    function: Callable[[Mapping[str, Tensor], Tensor, Derivatives], Tensor]
    scale: float | str = 1.0

    @property
    def law(self) -> str:
        return f"obeying {self.equation}"

    def violation(self, predict: Predict, inputs: Mapping[str, Tensor]) -> Tensor:
        import torch

        with torch.enable_grad():
            along = derivatives(predict, inputs, self.law)
            left = self.function(along.inputs, along.prediction, along).abs()
        if isinstance(self.scale, str):
            return left * largest(given(inputs, self.scale, self.law), left)
        return left * self.scale

    def tells(self, inputs: Mapping[str, Tensor]) -> Tensor | bool:
        return has_size(inputs, self.scale) if isinstance(self.scale, str) else True
