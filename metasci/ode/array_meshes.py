"""Meshes of steps for few tasks that are kept from last time.

A search for the most probable parameters of a patient solves the same system some ten times, at parameters that hardly
differ in the end. The mesh of the last time will then do: the states along it are found for all steps side by side by
Newton's method, from those of last time, and the error of every step is measured anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from metasci.duals import Dual
from metasci.ode.array_walks import as_array, mesh_of, on_arrays, ratio
from metasci.ode.arrays import STEPS, Array, ArraySystem
from metasci.ode.events import Timeline
from metasci.ode.mesh import Forcing, Mesh, Tolerance
from metasci.ode.methods import Step, System

__all__ = ["SIDE_BY_SIDE", "carried_along", "keeping", "kept_mesh"]

SIDE_BY_SIDE = 64
"""Tasks at most whose steps are all held side by side, which takes memory."""
_SLACK = 0.25  # of the tolerance for a mesh that is to be kept: it shall do for parameters near by, too
_MORE = 2  # times the attempts, which a quarter of the tolerance may ask for
_NEWTON = 8  # steps at most
_ARRIVED = (
    1e-3  # of the tolerance: a Newton step so short is the last, as its successor would be a thousandth of it
)


@dataclass
class _Kept:
    """The last mesh that was found, for which timeline, and the states along it."""

    line: Timeline | None = None
    mesh: Mesh | None = None
    nodes: Tensor | None = None


_kept: ContextVar[_Kept | None] = ContextVar("kept", default=None)


@contextmanager
def keeping() -> Iterator[None]:
    """Within it a mesh that was found is tried first when the same tasks are solved for other parameters."""
    token = _kept.set(_Kept())
    try:
        yield
    finally:
        _kept.reset(token)


def kept_mesh(
    step: Step, system: System, line: Timeline, forcing: Forcing, tolerance: Tolerance
) -> tuple[Mesh, Tensor, Tensor]:
    """As `mesh_of`; within `keeping` the mesh of the last time, if its steps still meet the tolerance."""
    kept = _kept.get()
    if kept is None or not system.copies or system.tasks > SIDE_BY_SIDE:
        return mesh_of(step, system, line, forcing, tolerance)
    with np.errstate(all="ignore"):
        found = _renewed(kept, step, on_arrays(system), line, forcing, tolerance)
    if found is None:
        strict = replace(
            tolerance,
            relative=_SLACK * tolerance.relative,
            absolute=_SLACK * tolerance.absolute,
            most=_MORE * tolerance.most,
        )
        mesh, nodes, error = mesh_of(step, system, line, forcing, strict)
        found = mesh, nodes, _SLACK * error
        if not bool((found[2] <= 1.0).all()):  # nothing that can be kept: as it is without
            return mesh_of(step, system, line, forcing, tolerance)
    kept.line, kept.mesh, kept.nodes = line, *found[:2]
    return found


def _renewed(
    kept: _Kept, step: Step, system: ArraySystem, line: Timeline, forcing: Forcing, tolerance: Tolerance
) -> tuple[Mesh, Tensor, Tensor] | None:
    """The states along the kept mesh, or nothing where it will not do."""
    if kept.line is None or kept.mesh is None or kept.nodes is None or not _same_order(kept.line, line):
        return None
    off = line.breaks - kept.line.breaks
    mesh = kept.mesh.moved(kept.line.breaks, off) if bool(off.any()) else kept.mesh
    place, first = mesh.place.numpy(), mesh.first.numpy()
    nodes = kept.nodes.numpy().copy()
    tasks, count, states = nodes.shape
    if count < 2 or len(forcing.initial) != tasks:
        return None
    rows = np.repeat(np.arange(tasks), count - 1)
    stays = np.take_along_axis(forcing.kept.numpy(), place, 1) | ~first
    push = np.where(first[..., None], forcing.push.numpy()[np.arange(tasks)[:, None], place], 0.0)
    supply = None if forcing.supply is None else forcing.supply.numpy()[rows, place[:, :-1].reshape(-1)]
    some, time, size = system.select(rows), *(v[:, :-1].reshape(-1).numpy() for v in (mesh.time, mesh.size))
    unit = np.repeat(np.eye(states)[:, None], len(rows), 1)
    absolute = as_array(tolerance.absolute)
    absolute = absolute[:, None] if np.ndim(absolute) == 2 else absolute
    for _ in range(_NEWTON):
        before = nodes[:, :-1].reshape(-1, states)
        new, error = STEPS[step.name](some, time, Dual(before, unit), size, supply)
        reached = np.concatenate([forcing.initial.numpy()[:, None], new.value.reshape(tasks, -1, states)], 1)
        defect = np.where(stays[..., None], reached, 0.0) + push - nodes
        slope = np.where(stays[:, 1:, None], new.slope.reshape(states, tasks, -1, states), 0.0)
        move = carried_along(slope.transpose(1, 2, 3, 0), defect[..., None])[..., 0]
        nodes = nodes + move
        if not np.isfinite(nodes).all():
            return None
        if (np.abs(move) <= _ARRIVED * (absolute + tolerance.relative * np.abs(nodes))).all():
            flat = _each_step(tolerance, tasks, count - 1)
            errs = ratio(flat, error, before, new.value).reshape(tasks, -1).max(1)
            return (mesh, torch.from_numpy(nodes), torch.from_numpy(errs)) if (errs <= 1.0).all() else None
    return None


def _each_step(tolerance: Tolerance, tasks: int, steps: int) -> Tolerance:
    """The tolerance with a row for every step."""
    absolute = tolerance.absolute
    if isinstance(absolute, Tensor) and absolute.dim() == 2:
        absolute = absolute.expand(tasks, -1).repeat_interleave(steps, 0)
    return replace(tolerance, absolute=absolute)


def _same_order(one: Timeline, other: Timeline) -> bool:
    """Whether two timelines differ in the times of their breaks only."""
    return (
        all(
            (mine is None and its is None)
            or (mine is not None and its is not None and (name == "breaks" or torch.equal(mine, its)))
            for (name, mine), its in zip(vars(one).items(), vars(other).values(), strict=True)
        )
        and one.breaks.shape == other.breaks.shape
    )


def carried_along(by_state: Array, change: Array) -> Array:
    """Solve xₙ₊₁ = Aₙxₙ + cₙ₊₁, x₀ = c₀, of A (task, step, state, state) and c (task, node, state, column)."""
    carried = change.copy()
    for node in range(1, change.shape[1]):
        carried[:, node] += by_state[:, node - 1] @ carried[:, node - 1]
    return carried
