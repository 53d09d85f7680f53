"""Derivatives of a prediction in its inputs, themselves differentiable.

The prediction at a point may depend on that point's inputs only, as it does in every equation, and in every network
that does not look from one case at another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metasci.constraints.law import Predict, given

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Derivatives", "derivatives", "largest", "slope"]


@dataclass(frozen=True)
class Derivatives:
    """A prediction that can be differentiated in its inputs.

    Called with the names of inputs it gives the partial derivative, of any order: ``d("time")``, ``d("x", "x")``.

    Attributes
    ----------
    prediction : Tensor, (task, point) or (task, point, output)
    inputs : mapping of Tensor, (task, point)

    Examples
    --------
    >>> import torch
    >>> d = derivatives(lambda at: at["x"] ** 3, {"x": torch.tensor([[1.0, 2.0]])})
    >>> d("x").tolist(), d("x", "x").tolist()
    ([[3.0, 12.0]], [[6.0, 12.0]])
    """

    prediction: Tensor
    inputs: Mapping[str, Tensor]
    law: str = "derivative"

    def __call__(self, *names: str) -> Tensor:
        value = self.prediction
        for name in names:
            value = slope(value, given(self.inputs, name, self.law))
        return value


def derivatives(predict: Predict, inputs: Mapping[str, Tensor], law: str = "derivative") -> Derivatives:
    """Predict in a way that can be differentiated in the inputs."""
    import torch

    with torch.enable_grad():
        free = {
            name: values.detach().requires_grad_() if values.is_floating_point() else values
            for name, values in inputs.items()
        }
        return Derivatives(predict(free), free, law)


def slope(value: Tensor, at: Tensor) -> Tensor:
    """Derivative of each value in the same place of `at`, with a graph; zero where it does not depend on it."""
    import torch

    several = value.dim() > at.dim()
    columns = value.flatten(at.dim()).unbind(-1) if several else (value,)
    each = []
    with torch.enable_grad():
        for column in columns:
            derivative = None
            if column.requires_grad:
                (derivative,) = torch.autograd.grad(column.sum(), at, create_graph=True, allow_unused=True)
            each.append(torch.zeros_like(at) if derivative is None else derivative)
    return torch.stack(each, -1).reshape(*at.shape, *value.shape[at.dim() :]) if several else each[0]


def largest(at: Tensor, like: Tensor) -> Tensor:
    """The task's greatest size of an input, in a shape that multiplies `like`."""
    size = at.detach().abs().amax(-1, keepdim=True)
    return size.reshape(*size.shape, *[1] * (like.dim() - size.dim()))
