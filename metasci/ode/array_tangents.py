"""Derivatives along the nodes of a mesh in forward mode, carried on duals of NumPy arrays.

What `metasci.ode.trajectory` does on tensors to any order and in any mode, where few tasks are solved together with a
copy of each for every direction: a task is then computed once, with all its directions at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metasci.duals import Dual
from metasci.ode.array_meshes import carried_along
from metasci.ode.arrays import STEPS, Array, ArraySystem
from metasci.ode.mesh import Forcing, Mesh
from metasci.ode.methods import Step, System

__all__ = ["nodes_along", "step_along"]


class _Along(torch.autograd.Function):
    """What some work makes of tensors, and in forward mode how that changes; the work sees arrays."""

    @staticmethod
    def forward(work: _Work, *values: Tensor) -> Tensor:
        work.given = [value.numpy() for value in values]
        return torch.from_numpy(work.values())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.work = inputs[0]

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: Tensor | None) -> Tensor:
        change: Tensor = _Change.apply(ctx.work, *tangents)
        return change


class _Change(torch.autograd.Function):
    """How the result changes, from tangents as they are beneath `torch.func.jvp`."""

    @staticmethod
    def forward(work: _Work, *tangents: Tensor | None) -> Tensor:
        return torch.from_numpy(work.change([None if each is None else each.numpy() for each in tangents]))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def jvp(ctx: Any, *_: Any) -> None:
        return None


class _Work(ABC):
    """Tasks of which there is a copy for every direction: computed once, with all directions at once.

    Attributes
    ----------
    names : tuple of str
        Of the tensors in their order; what is not among them is a parameter.
    given : list of Array
    """

    def __init__(self, step: Step, system: System, **tensors: Tensor | None) -> None:
        self.take, self.system, self.copies = STEPS[step.name], system, system.copies
        self.known = {name: value for name, value in tensors.items() if value is not None}
        self.moving = {n: v for n, v in system.parameters.items() if isinstance(v, Tensor)}
        self.given: list[Any] = []

    @abstractmethod
    def values(self) -> Array:
        """The result, of all copies."""

    @abstractmethod
    def change(self, tangents: list[Any]) -> Array:
        """How it changes with them."""

    def done(self) -> Tensor:
        """The result, with tangents."""
        result: Tensor = _Along.apply(self, *self.known.values(), *self.moving.values())
        return result

    def _once(self, tangents: list[Any] | None = None, before: int = 0) -> tuple[dict[str, Any], ArraySystem]:
        """What is known, and the system, of the first of the copies; with all their tangents behind directions in
        which they are still.
        """
        names, own = (*self.known, *self.moving), self.system.own or frozenset()
        values: dict[str, Any] = {}
        for name, value, tangent in zip(names, self.given, tangents or [None] * len(names), strict=True):
            if name in self.moving and name not in own:
                values[name] = value
                continue
            plain = value[: len(value) // self.copies]
            values[name] = plain
            if tangent is not None and tangent.any():
                slope = tangent.reshape(self.copies, *plain.shape)
                values[name] = Dual(plain, np.concatenate([np.zeros((before, *plain.shape)), slope]))
        parameters = {**self.system.parameters, **{name: values[name] for name in self.moving}}
        system = self.system
        arrays = ArraySystem(system.rate, parameters, own, system.states, system.held)
        return {name: values.get(name) for name in (*self.known, "supply")}, arrays


class _Nodes(_Work):
    """The states at the nodes, which are known, and how they change."""

    def values(self) -> Array:
        known: Array = self.given[0]
        return known

    def change(self, tangents: list[Any]) -> Array:
        states = self.system.states
        known, system = self._once(tangents, states)
        nodes, place, first, push = (known[name] for name in ("nodes", "place", "first", "push"))
        tasks, count, _ = nodes.shape
        kept = np.take_along_axis(known["kept"], place, 1) | ~first
        rows, width = np.repeat(np.arange(tasks), count - 1), states + self.copies
        unit = np.zeros((width, len(rows), states))
        unit[:states] = np.eye(states)[:, None]
        state = Dual(nodes[:, :-1].reshape(-1, states), unit)
        supply = known["supply"]
        running = None if supply is None else supply[rows, place[:, :-1].reshape(-1)]
        time, size = (known[name][:, :-1].reshape(-1) for name in ("time", "size"))
        with np.errstate(all="ignore"):
            new, _ = self.take(system.select(rows), time, state, size, running)
        slope = np.where(kept[:, 1:, None], new.slope.reshape(width, tasks, count - 1, states), 0.0)
        slope = np.nan_to_num(slope, nan=0.0, posinf=0.0, neginf=0.0).transpose(1, 2, 3, 0)
        by_state, change = slope[..., :states], np.zeros((tasks, count, states, self.copies))
        change[:, 1:] = slope[..., states:]
        if isinstance(known["initial"], Dual):
            begun = known["initial"].slope[states:].transpose(1, 2, 0)
            change[:, 0] = np.where(kept[:, 0, None, None], begun, 0.0)
        if isinstance(push, Dual):
            pushed = push.slope[states:, np.arange(tasks)[:, None], place]
            change += np.where(first[..., None], pushed, 0.0).transpose(1, 2, 3, 0)
        change = carried_along(by_state, change)
        return np.ascontiguousarray(change.transpose(3, 0, 1, 2)).reshape(-1, count, states)


class _Ends(_Work):
    """The ends of steps, side by side, and how they change."""

    def values(self) -> Array:
        known, system = self._once()
        return np.tile(self._taken(known, system), (self.copies, 1))

    def change(self, tangents: list[Any]) -> Array:
        known, system = self._once(tangents)
        if not isinstance(known["state"], Dual):
            known["state"] = Dual(known["state"], np.zeros((self.copies, *known["state"].shape)))
        slope: Array = self._taken(known, system).slope
        return slope.reshape(-1, slope.shape[2])

    def _taken(self, known: dict[str, Any], system: ArraySystem) -> Any:
        with np.errstate(all="ignore"):
            return self.take(system, known["time"], known["state"], known["size"], known["supply"])[0]


def nodes_along(step: Step, system: System, mesh: Mesh, nodes: Tensor, forcing: Forcing) -> Tensor:
    """The states at the nodes (task, node, state) with their tangents; see `metasci.ode.trajectory.Trajectory`."""
    of_mesh = {"place": mesh.place, "first": mesh.first, "time": mesh.time, "size": mesh.size}
    return _Nodes(step, system, nodes=nodes, **of_mesh, **vars(forcing)).done()


def step_along(
    step: Step, system: System, time: Tensor, state: Tensor, size: Tensor, supply: Tensor | None
) -> Tensor:
    """A step with its tangents, (task, state)."""
    return _Ends(step, system, time=time, state=state, size=size, supply=supply).done()
