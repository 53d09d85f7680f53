"""Adaptation: how a task moves from the start towards its measurements, all tasks at once.

Adaptation is a rule, applied some times. A rule is an (init, update) pair (`metasci.meta.adaptation.rules`). Tasks do
not touch each other, so the gradient of the summed loss is every task's own gradient, whatever the
forward pass was made of.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from metasci.meta.adaptation.slopes import slopes as slopes_of

__all__ = ["InnerRule", "Loss", "Memory", "Parameters", "Visit", "by_step", "takes", "unroll", "walk"]

Parameters = dict[str, Tensor]
"""Adaptable tensors by name, the first dimension of each being the task."""

Memory = dict[str, Tensor]
"""What a rule carries from one step to the next, by name; empty for plain descent."""

Loss = Callable[..., Tensor]
"""Loss of every task, (task,), of the parameters and, where it takes ``step``, of the step's number, from 0 on."""

Visit = Callable[[int, Parameters], None]
"""Called with the number of steps made, from 0 on, and where they have led."""


class InnerRule(Protocol):
    """What a step of adaptation is made of."""

    def init(self, parameters: Parameters) -> Memory:
        """The rule's memory before the first step."""

    def update(self, gradient: Parameters, memory: Memory, step: int) -> tuple[Parameters, Memory]:
        """The change to add to the parameters, and the memory for the next step.

        A rule whose `update` also takes ``parameters`` is told where the step sets out from, for weight decay, bounds
        or a pull to somewhere; in first order that is a constant, as the gradient is.
        """


def takes(function: Callable[..., object], name: str) -> bool:
    """Whether a function has a parameter of that name.

    Examples
    --------
    >>> takes(lambda parameters, step: step, "step"), takes(lambda parameters: parameters, "step")
    (True, False)
    """
    return name in inspect.signature(function).parameters


def by_step(loss: Loss) -> Callable[[Parameters, int], Tensor]:
    """The loss as a function of parameters and step, whether it looks at the step or not."""
    if takes(loss, "step"):
        return lambda parameters, step: loss(parameters, step=step)
    return lambda parameters, step: loss(parameters)


def unroll(
    loss: Loss,
    start: Parameters,
    rule: InnerRule,
    steps: int,
    second_order: bool = True,
    visit: Visit | None = None,
) -> Parameters:
    """Adapt every task by some steps of a rule, differentiably.

    Parameters
    ----------
    loss : callable
        Maps parameters to the loss of every task, (task,); if it takes ``step``, the step's number, too.
    start : dict of Tensor
        Parameters of every task, (task, ...).
    rule : InnerRule
    steps : int
    second_order : bool
        Whether the result is differentiable through the gradients themselves (MAML, Finn et al. 2017,
        arXiv 1703.03400, eq. 1) or takes them as constants (first order, ibid. section 5.2). In first order
        a rule without learned tensors needs the same memory for any number of steps.
    visit : callable, optional
        Called at the start and after every step.

    Examples
    --------
    One step on ½(θ − a)² with step size α moves to (1 − α)θ + αa:

    >>> from metasci.meta import GradientDescent
    >>> target = torch.tensor([[1.0], [3.0]])
    >>> rule = GradientDescent({"theta": torch.tensor(0.25)})
    >>> moved = unroll(lambda p: 0.5 * ((p["theta"] - target) ** 2).sum(1), {"theta": torch.zeros(2, 1)}, rule, 1)
    >>> moved["theta"].ravel().tolist()
    [0.25, 0.75]
    """
    if second_order:
        return walk(loss, dict(start), rule, rule.init(start), range(steps), True, visit)[0]
    # A walk from a start without a graph holds nothing of the way; adding zero times the start's graph gives
    # the end its derivative, one, and leaves its value alone to the bit.
    still = {name: value.detach() for name, value in start.items()}
    graphs = {name: value - value.detach() for name, value in start.items() if value.requires_grad}
    see = None if visit is None else lambda step, here: visit(step, _with(here, graphs))
    return _with(walk(loss, still, rule, rule.init(still), range(steps), False, see)[0], graphs)


def walk(
    loss: Loss,
    here: Parameters,
    rule: InnerRule,
    memory: Memory,
    steps: range,
    second_order: bool = True,
    visit: Visit | None = None,
) -> tuple[Parameters, Memory]:
    """Some steps from anywhere on the way: where they lead, and the rule's memory there."""
    cost, sees = by_step(loss), takes(rule.update, "parameters")
    if visit is not None:
        visit(steps.start, here)
    with torch.enable_grad():
        for step in steps:
            at = {name: _differentiable(value, second_order) for name, value in here.items()}
            slopes = slopes_of(
                cost(at, step).sum(), list(at.values()), create_graph=second_order, allow_unused=True
            )
            gradient = {
                name: torch.zeros_like(value) if slope is None else slope
                for (name, value), slope in zip(at.items(), slopes, strict=True)
            }
            seen: dict[str, Parameters] = {}
            if sees:
                seen = {"parameters": at if second_order else {n: value.detach() for n, value in at.items()}}
            change, memory = rule.update(gradient, memory, step, **seen)
            here = {name: (at if second_order else here)[name] + change[name] for name in here}
            if visit is not None:
                visit(step + 1, here)
    return here, memory


def _with(here: Parameters, graphs: Parameters) -> Parameters:
    return {name: value + graphs[name] if name in graphs else value for name, value in here.items()}


def _differentiable(value: Tensor, keep: bool) -> Tensor:
    return value if keep and value.requires_grad else value.detach().requires_grad_()
