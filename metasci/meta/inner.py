"""Inner rules: how a task moves from the start towards its measurements, all tasks at once.

A rule is an (init, update) pair. Tasks do not touch each other, so the gradient of the summed loss is
every task's own gradient, whatever the forward pass was made of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

__all__ = ["GradientDescent", "InnerRule", "Parameters", "unroll"]

Parameters = dict[str, Tensor]
"""Adaptable tensors by name, the first dimension of each being the task."""

Loss = Callable[[Parameters], Tensor]
"""Loss of every task, (task,)."""


class InnerRule(Protocol):
    """What a step of adaptation is made of."""

    def init(self, parameters: Parameters) -> Any:
        """The rule's memory before the first step."""

    def update(self, gradient: Parameters, memory: Any, step: int) -> tuple[Parameters, Any]:
        """The change to add to the parameters, and the memory for the next step."""


@dataclass(frozen=True)
class GradientDescent:
    """Plain gradient descent, Δ = −α∇, with a step size for all, for each parameter, or for each of the steps.

    Parameters
    ----------
    step_size : dict of Tensor
        By parameter name, of a shape that broadcasts against the parameter without its task dimension.
    """

    step_size: Parameters

    def init(self, parameters: Parameters) -> None:
        """No memory."""

    def update(self, gradient: Parameters, memory: None, step: int) -> tuple[Parameters, None]:
        """Step against the gradient."""
        return {name: -self.step_size[name] * slope for name, slope in gradient.items()}, None


def unroll(
    loss: Loss, start: Parameters, rule: InnerRule, steps: int, second_order: bool = True
) -> Parameters:
    """Adapt every task by some steps of a rule, differentiably.

    Parameters
    ----------
    loss : callable
        Maps parameters to the loss of every task, (task,).
    start : dict of Tensor
        Parameters of every task, (task, ...).
    rule : InnerRule
    steps : int
    second_order : bool
        Whether the result is differentiable through the gradients themselves (MAML, Finn et al. 2017,
        arXiv 1703.03400, eq. 1) or takes them as constants (first order, ibid. section 5.2).

    Examples
    --------
    One step on ½(θ − a)² with step size α moves to (1 − α)θ + αa:

    >>> target = torch.tensor([[1.0], [3.0]])
    >>> rule = GradientDescent({"theta": torch.tensor(0.25)})
    >>> moved = unroll(lambda p: 0.5 * ((p["theta"] - target) ** 2).sum(1), {"theta": torch.zeros(2, 1)}, rule, 1)
    >>> moved["theta"].ravel().tolist()
    [0.25, 0.75]
    """
    here = dict(start)
    memory = rule.init(here)
    with torch.enable_grad():
        for step in range(steps):
            if not second_order:
                at = {name: value.detach().requires_grad_() for name, value in here.items()}
            else:
                at = {
                    name: value if value.requires_grad else value.requires_grad_()
                    for name, value in here.items()
                }
            slopes = torch.autograd.grad(loss(at).sum(), list(at.values()), create_graph=second_order)
            change, memory = rule.update(dict(zip(at, slopes, strict=True)), memory, step)
            here = {name: here[name] + change[name] for name in here}
    return here
