"""Derivatives of all steps of a trajectory at once.

The states at the nodes of a mesh solve one equation, x₀ = start, xₙ₊₁ = kₙ₊₁·Φₙ(xₙ) + bₙ₊₁, with Φ the method's step.
Its solution is known without gradients (`metasci.ode.mesh`). So every step is taken once more, but all of them side by
side, and Newton's method with a frozen matrix carries what differs along the nodes. At a solution each of its steps
makes one more order of derivatives exact (implicit function theorem), in every mode.

Sources: Bellen and Zennaro, J Comput Appl Math 25 (1989) 341, for the parallel form; Hillis and Steele, Commun ACM 29
(1986) 1170, for the recurrence.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from metasci.ode.array_tangents import nodes_along
from metasci.ode.mesh import Forcing, Mesh
from metasci.ode.methods import Step, System
from metasci.ode.tangents import along

__all__ = ["Trajectory"]

ORDERS = 3
"""Derivatives are exact up to this order; up to the second where only forward mode is on."""


class Trajectory:
    """The steps along a mesh, to be taken side by side.

    Parameters
    ----------
    step : Step
    mesh : Mesh
    nodes : Tensor, (task, node, state)
        The states there, without gradients.
    """

    def __init__(self, step: Step, mesh: Mesh, nodes: Tensor) -> None:
        self.step, self.mesh, self.nodes = step, mesh, nodes.detach()
        tasks, count = mesh.place.shape
        self.task = torch.arange(tasks, device=nodes.device).repeat_interleave(count - 1)
        self.time, self.size = (values[:, :-1].reshape(-1) for values in (mesh.time, mesh.size))

    def windows(self, system: System, forcing: Forcing) -> list[Tensor]:
        """How a node depends on the one 1, 2, 4, … nodes before, (task, node, state, state) each; without gradients."""
        if not len(self.time):
            return []
        with torch.no_grad():
            before = self.nodes[:, :-1]
            plain = system.detach().select(self.task)
            supply = None if forcing.supply is None else self._supply(forcing.supply.detach())
            flat = before.reshape(-1, before.shape[2])
            time, size = self.time.detach(), self.size.detach()
            each = _jacobian(self.step, plain, time, flat, size, supply)
            each = each.reshape(*before.shape, before.shape[2])
            each = torch.where(self._kept(forcing)[:, 1:, None, None], each, 0.0)
            # what cannot be followed is not: the task is told of as lost
            window = torch.nan_to_num(torch.cat([torch.zeros_like(each[:, :1]), each], 1), 0.0, 0.0, 0.0)
            windows, reach = [window], 1
            while 2 * reach < window.shape[1]:
                further = torch.zeros_like(window)
                further[:, reach:] = window[:, reach:] @ window[:, :-reach]
                window, reach = torch.nan_to_num(further, 0.0, 0.0, 0.0), 2 * reach
                windows.append(window)
            return windows

    def states(self, system: System, forcing: Forcing) -> Tensor:
        """The states at the nodes (task, node, state), with derivatives by initial state, parameters and amounts."""
        if system.copies:
            return nodes_along(self.step, system, self.mesh, self.nodes, forcing)
        windows = self.windows(system, forcing)
        many = system.select(self.task) if windows else system
        time, size = many.dense(self.time), many.dense(self.size)
        supply = None if forcing.supply is None else self._supply(forcing.supply)
        supply = None if supply is None else many.dense(supply)
        first, kept = self.mesh.first[..., None], self._kept(forcing)[..., None]
        index = self.mesh.place[..., None].expand_as(self.nodes)
        push = torch.where(first, system.dense(forcing.push).gather(1, index), 0.0)
        start = system.dense(forcing.initial)[:, None]
        interpolated = system.dense(self.nodes)
        for _ in range(ORDERS if torch.is_grad_enabled() else 2):
            before = interpolated[:, :-1]
            reached = start
            if windows:
                after, _ = self.step(many, time, before.reshape(-1, before.shape[2]), size, supply, False)
                reached = torch.cat([start, after.reshape(before.shape)], 1)
            interpolated = interpolated + carried(
                windows, torch.where(kept, reached, 0.0) + push - interpolated
            )
        return interpolated

    def _kept(self, forcing: Forcing) -> Tensor:
        return forcing.kept.gather(1, self.mesh.place) | ~self.mesh.first

    def _supply(self, supply: Tensor) -> Tensor:
        index = self.mesh.place[:, :-1, None].expand(-1, -1, supply.shape[2])
        return supply.gather(1, index).reshape(-1, supply.shape[2])


def carried(windows: list[Tensor], change: Tensor) -> Tensor:
    """What changes (task, node, state[, direction]) at nodes amount to at all later ones, by the recurrence
    δₙ₊₁ = Aₙ δₙ + rₙ₊₁.

    Examples
    --------
    >>> half = torch.tensor([0.0, 0.5, 0.5])[None, :, None, None]
    >>> quarter = torch.tensor([0.0, 0.0, 0.25])[None, :, None, None]
    >>> carried([half, quarter], torch.tensor([4.0, 0.0, 1.0])[None, :, None]).ravel().tolist()
    [4.0, 2.0, 2.0]
    """
    for power, window in enumerate(windows):
        reach = 2**power
        if change.shape[1] > reach:
            moved = torch.einsum("tnij,tnj...->tni...", window[:, reach:], change[:, :-reach])
            change = torch.cat([change[:, :reach], change[:, reach:] + moved], 1)
    return change


def _jacobian(
    step: Step, system: System, time: Tensor, state: Tensor, size: Tensor, supply: Tensor | None
) -> Tensor:
    """Of a step by the state, (task, state, state): one forward pass through a copy of the tasks for each state."""
    tasks, states = state.shape
    copy = torch.arange(tasks, device=state.device).repeat(states)
    many = system.select(copy)
    moving = {name: value for name, value in many.parameters.items() if isinstance(value, Tensor)}
    directions = torch.eye(states, dtype=state.dtype, device=state.device).repeat_interleave(tasks, 0)

    def ending(here: Tensor, values: dict[str, Tensor]) -> Tensor:
        moved = replace(many, parameters={**many.parameters, **values}).with_tangents(here)
        supplied = None if supply is None else moved.dense(supply[copy])
        return step(moved, moved.dense(time[copy]), here, moved.dense(size[copy]), supplied, False)[0]

    zeros = {name: torch.zeros_like(value) for name, value in moving.items()}
    columns = along(ending, (state[copy], moving), (directions, zeros))[1]
    jacobian: Tensor = columns.reshape(states, tasks, states).permute(1, 2, 0)
    return jacobian
