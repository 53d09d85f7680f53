"""States that repeated doses lead to: fixed points of the map over one interval of repetition.

Found by Newton's method without gradients. The derivatives come of two more Newton steps with a frozen matrix:
at a fixed point each of them makes one more order of derivatives exact (implicit function theorem).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from metasci.ode.array_walks import mesh_of
from metasci.ode.events import Doses, Timeline, moved, timeline
from metasci.ode.mesh import Forcing, Mesh, Tolerance, forced, walk
from metasci.ode.methods import Step, System
from metasci.ode.trajectory import Trajectory, carried

__all__ = ["Repetition", "find_repetition", "steady_state"]

# lived through at most: Newton's steps need a few, and where amounts pile up for ever no number suffices
_PERIODS = 25
# tolerances: where periods ran out before a step was as short as one, so short a last step is taken for the end
_ENOUGH = 10.0


@dataclass(frozen=True, eq=False)
class Repetition:
    """One interval of a repeated dose, for the tasks that have it.

    Attributes
    ----------
    tasks, events : Tensor of int, (chosen,)
        Which tasks, and which of their events.
    line, mesh : Timeline, Mesh
        Of the interval, from a dose to just before the next.
    state : Tensor, (chosen, state)
        Just before a dose.
    nodes : Tensor, (chosen, node, state)
        The states along the mesh.
    inverse : Tensor, (chosen, state, state)
        Inverse of one minus the Jacobian of the interval's map.
    error : Tensor, (chosen,)
        Greatest local error in units of the tolerance.
    converged : Tensor of bool, (chosen,)
        Whether the state comes back to itself within the tolerance.
    """

    tasks: Tensor
    events: Tensor
    line: Timeline
    mesh: Mesh
    state: Tensor
    nodes: Tensor
    inverse: Tensor
    error: Tensor
    converged: Tensor


def _one_interval(doses: Doses, tasks: Tensor, events: Tensor) -> tuple[Timeline, Doses, Tensor]:
    """The dose before an event that has been repeated, the timeline from it to the event, and when that is."""
    repeated_dose = doses.select(tasks, events)
    start = repeated_dose.time - repeated_dose.interval
    before = replace(repeated_dose, time=start, interval=None, until=None)
    return timeline(repeated_dose.time, before, start[:, 0]), before, repeated_dose.time


def find_repetition(
    step: Step,
    system: System,
    initial: Tensor,
    doses: Doses,
    events: Tensor,
    tolerance: Tolerance,
) -> Repetition:
    """The periodic state under one event of each task, (task,) and -1 where there is none, without gradients.

    A Newton step that does not bring the state nearer to itself is replaced by an interval lived through. What has
    converged is told by Newton's next step, not by how little an interval changes: where amounts pile up for
    ever, the relative change becomes small as well.
    """
    with torch.no_grad():
        tasks = torch.nonzero(events >= 0)[:, 0]
        system, chosen = system.select(tasks), events[tasks]
        line, dose_before, _ = _one_interval(doses, tasks, chosen)
        tolerance = replace(tolerance, absolute=_rows(tolerance.absolute, tasks))
        state = lived = candidate = initial[tasks]
        off = near = torch.full_like(dose_before.time[:, 0], torch.inf)
        unit, inverse = None, None
        for _ in range(_PERIODS):
            forcing = forced(line, candidate, [], dose_before)
            mesh, nodes, error = mesh_of(step, system, line, forcing, tolerance)
            after = nodes[:, -1]
            unit = after.abs() + candidate.abs() if unit is None else unit
            change = tolerance.ratio(after - candidate, unit, unit)
            # twice the same candidate: it is what was lived through, and is taken as it is
            taken = (change < 0.9 * off) | (candidate == lived).all(1) | (near <= 1.0)
            state = torch.where(taken[:, None], candidate, state)
            lived = torch.where(taken[:, None], after, lived)
            off = torch.where(taken, change, off)
            inverse = _newton_matrix(Trajectory(step, mesh, nodes), system, forcing)
            move = (inverse @ (after - candidate)[..., None])[..., 0]
            reach = tolerance.ratio(move, candidate, candidate + move)
            near = torch.where(taken, reach, near)
            if bool((taken & (near <= 1.0)).all()):
                break
            ahead = torch.where(torch.isfinite(reach)[:, None], candidate + move, lived)
            candidate = torch.where(taken[:, None], ahead, lived)
            candidate = torch.where((near <= 1.0)[:, None], state, candidate)
        assert inverse is not None
        state = torch.where(torch.isfinite(state), state, initial[tasks])
        inverse = torch.where(torch.isfinite(inverse), inverse, torch.zeros_like(inverse))
        lost = torch.isinf(error)
        nodes = torch.where(lost[:, None, None], state[:, None], nodes)
        return Repetition(
            tasks, chosen, line, mesh.stopped(lost), state, nodes, inverse, error, near <= _ENOUGH
        )


def _rows(values: Tensor | float, tasks: Tensor) -> Tensor | float:
    return values[tasks] if isinstance(values, Tensor) and values.dim() == 2 and len(values) > 1 else values


def _newton_matrix(path: Trajectory, system: System, forcing: Forcing) -> Tensor:
    """Inverse of one minus the Jacobian of an interval's end by its beginning, (task, state, state)."""
    tasks, nodes, states = path.nodes.shape
    identity = torch.eye(states, dtype=path.nodes.dtype, device=path.nodes.device)
    change = torch.cat(
        [identity.expand(tasks, 1, -1, -1), identity.new_zeros(tasks, nodes - 1, states, states)], 1
    )
    end = carried(path.windows(system, forcing), change)[:, -1]
    return torch.linalg.inv_ex(identity - end).inverse


def steady_state(
    step: Step,
    system: System,
    initial: Tensor,
    doses: Doses,
    repetition: Repetition,
    tolerance: Tolerance | None = None,
) -> Tensor:
    """The periodic state, (task, state), with first and second derivatives; the initial one where none is asked for.

    With a tolerance the repetition is that of other parameters, and its nodes are reached anew.
    """
    some, line, mesh = system.select(repetition.tasks), repetition.line, repetition.mesh
    _, dose_before, until = _one_interval(doses, repetition.tasks, repetition.events)
    off = moved(line, until, dose_before, dose_before.time[:, 0])
    mesh = mesh if off is None else mesh.moved(line.breaks, off)
    state, nodes = repetition.state, repetition.nodes
    for _ in range(2):
        forcing = forced(line, state, [], dose_before)
        if tolerance is not None:
            nodes, _ = walk(step, some.detach(), mesh.detach(), forcing.detach(), tolerance)
        end = Trajectory(step, mesh, nodes).states(some, forcing)[:, -1]
        state = state + (repetition.inverse @ (end - state)[..., None])[..., 0]
    return initial.index_copy(0, repetition.tasks, state)
