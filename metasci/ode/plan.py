"""A plan of steps for every task, and the solution along it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from metasci.ode.events import Timeline
from metasci.ode.mesh import Mesh, Tolerance
from metasci.ode.methods import Step
from metasci.ode.steady import Repetition

__all__ = ["Plan", "Solution"]


@dataclass(frozen=True, eq=False)
class Plan:
    """Steps for every task, chosen so that each meets the tolerance; free of gradients.

    Attributes
    ----------
    step : Step
        The method's (`metasci.ode.methods`).
    tolerance : Tolerance
    line : Timeline
    mesh : Mesh
    nodes : Tensor, (task, node, state)
        The states along the mesh as it was found.
    repetitions : tuple of Repetition
        The intervals of doses at steady state.
    error : Tensor, (task,)
        Greatest estimate of a step's local error in units of the tolerance; infinite where the state is lost.
    converged : Tensor of bool, (task,)
    copies : int
        How many copies there are of every task, to be followed on arrays; zero where it is followed on tensors.
    """

    step: Step
    tolerance: Tolerance
    line: Timeline
    mesh: Mesh
    nodes: Tensor
    repetitions: tuple[Repetition, ...]
    error: Tensor
    converged: Tensor
    copies: int = 0

    @property
    def steps(self) -> Tensor:
        """Number of steps of each task, those of steady states not counted."""
        return (self.mesh.size > 0.0).sum(1)

    def halved(self) -> Plan:
        """The same with two steps in the place of each: how much a solution moves is about its true error."""
        finer = tuple(replace(each, mesh=each.mesh.halved()) for each in self.repetitions)
        return replace(self, mesh=self.mesh.halved(), repetitions=finer)

    def repeated(self, copies: int) -> Plan:
        """The same for so many copies of all tasks."""
        tasks = len(self.nodes)
        again = tuple(
            replace(
                _copied(each, copies),
                tasks=torch.cat([each.tasks + tasks * copy for copy in range(copies)]),
                line=_copied(each.line, copies),
                mesh=_copied(each.mesh, copies),
            )
            for each in self.repetitions
        )
        whole = _copied(self, copies)
        return replace(
            whole,
            line=_copied(self.line, copies),
            mesh=_copied(self.mesh, copies),
            repetitions=again,
            copies=copies,
        )


def _copied(of_tasks: Any, copies: int) -> Any:
    """Anything whose tensors have a row a task, with their rows so many times over."""
    tensors = {name: value for name, value in vars(of_tasks).items() if isinstance(value, Tensor)}
    return replace(of_tasks, **{n: v.repeat(copies, *(1 for _ in v.shape[1:])) for n, v in tensors.items()})


@dataclass(frozen=True, eq=False)
class Solution:
    """States where they were asked for, and how far to trust them.

    Attributes
    ----------
    states : Tensor, (task, observation, state)
        NaN for a task whose state could not be followed to the end.
    error : Tensor, (task,)
        Greatest estimate of any step's local error, in units of ``absolute + relative·|state|``: at most one
        where the tolerance is met.
    steps : Tensor of int, (task,)
    converged : Tensor of bool, (task,)
        Whether every step met the tolerance and every steady state was found.
    """

    states: Tensor
    error: Tensor
    steps: Tensor
    converged: Tensor
