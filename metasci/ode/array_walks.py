"""Meshes of steps for few tasks, searched for on NumPy arrays as `metasci.ode.mesh` does on tensors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metasci.ode.arrays import STEPS, Array, ArraySystem
from metasci.ode.events import Timeline
from metasci.ode.mesh import GROW, SAFETY, SHRINK, SMALLEST, Forcing, Mesh, Tolerance, compact, find_mesh
from metasci.ode.methods import Step, System

__all__ = ["as_array", "mesh_of", "on_arrays", "ratio"]


def as_array(value: Any) -> Any:
    """A tensor's numbers, and anything else as it is."""
    return value.detach().numpy() if isinstance(value, Tensor) else value


def on_arrays(system: System) -> ArraySystem:
    """The same system on NumPy arrays, without tangents."""
    parameters = {name: as_array(value) for name, value in system.parameters.items()}
    return ArraySystem(system.rate, parameters, system.own or frozenset(), system.states, system.held)


@dataclass(frozen=True)
class _Acting:
    """`Forcing` as arrays."""

    kept: Any
    push: Array
    supply: Array | None

    def arrived(self, place: Any, state: Array) -> Array:
        every = np.arange(len(place))
        return np.where(self.kept[every, place][:, None], state, 0.0) + self.push[every, place]

    def running(self, place: Any) -> Array | None:
        return None if self.supply is None else self.supply[np.arange(len(place)), place]

    def select(self, rows: Any) -> _Acting:
        supply = None if self.supply is None else self.supply[rows]
        return _Acting(self.kept[rows], self.push[rows], supply)


def ratio(tolerance: Tolerance, error: Array, before: Array, after: Array) -> Array:
    """As `Tolerance.ratio`."""
    relative = max(tolerance.relative, 20.0 * np.finfo(error.dtype).eps)
    absolute = as_array(tolerance.absolute)
    worst = (np.abs(error) / (absolute + relative * np.maximum(np.abs(before), np.abs(after)))).max(1)
    sound = np.isfinite(worst) & np.isfinite(after).all(1)
    return np.where(sound, worst, np.inf)


def _of_tasks(tolerance: Tolerance, rows: Any) -> Tolerance:
    """The tolerance of some of the tasks."""
    absolute = tolerance.absolute
    if isinstance(absolute, Tensor) and absolute.dim() == 2 and len(absolute) > 1:
        absolute = absolute[torch.from_numpy(rows)]
    return replace(tolerance, absolute=absolute)


def mesh_of(
    step: Step, system: System, line: Timeline, forcing: Forcing, tolerance: Tolerance
) -> tuple[Mesh, Tensor, Tensor]:
    """As `metasci.ode.mesh.find_mesh`, on arrays where the system is for them."""
    if not system.copies:
        return find_mesh(step, system, line, forcing, tolerance)
    with np.errstate(all="ignore"):
        return _search(step, on_arrays(system), line, forcing, tolerance)


@dataclass(frozen=True, eq=False)
class _Way:
    """What tasks go along, and where they are on it: every array has a row a task."""

    breaks: Array
    last: Any
    span: Array
    place: Any
    time: Array
    state: Array
    size: Array
    fresh: Any
    worst: Array
    attempts: Any
    given_up: Any

    def select(self, rows: Any) -> _Way:
        """The same for some of the tasks."""
        return _Way(**{name: value[rows] for name, value in vars(self).items()})

    @property
    def live(self) -> Any:
        return self.place < self.last


def _search(
    step: Step, system: ArraySystem, line: Timeline, forcing: Forcing, tolerance: Tolerance
) -> tuple[Mesh, Tensor, Tensor]:
    breaks, last = line.breaks.numpy(), line.count.numpy() - 1
    acting = _Acting(forcing.kept.numpy(), forcing.push.numpy(), as_array(forcing.supply))
    place, time = np.zeros_like(last), breaks[:, 0].copy()
    span = breaks[:, -1] - time
    state = acting.arrived(place, forcing.initial.numpy())
    size = _first_size(system, time, state, span, acting, tolerance)
    away = span < 0.0
    way = _Way(breaks, last, span, place, time, state, size, ~away, 0.0 * time, np.zeros_like(place), away)
    end = {name: getattr(way, name).copy() for name in ("place", "time", "state", "fresh", "worst")}
    rows, records = np.arange(len(last)), []
    # most tasks arrive in a few steps: those that take many are led on without them
    while (on := np.flatnonzero(way.live)).size:
        rows, way, system, acting = rows[on], way.select(on), system.select(on), acting.select(on)
        tolerance = _of_tasks(tolerance, on)
        way, walked = _walked(step, system, way, acting, tolerance)
        records.append((rows, walked))
        for name, whole in end.items():
            whole[rows] = getattr(way, name)
    attempts = [_spread(rows, walked, len(last)) for rows, walked in records]
    still, all_of_them = np.zeros((len(last), 1)), np.ones((len(last), 1), bool)
    place, time, state, fresh = (end[name][:, None] for name in ("place", "time", "state", "fresh"))
    together = zip(*attempts, (place, time, still, fresh, state, all_of_them), strict=True)
    columns = [torch.from_numpy(np.concatenate(column, 1)) for column in together]
    return *compact(*columns), torch.from_numpy(end["worst"])


def _walked(
    step: Step, system: ArraySystem, way: _Way, acting: _Acting, tolerance: Tolerance
) -> tuple[_Way, list[Any]]:
    """The tasks led on until half of them have arrived, and what was tried: columns (task, attempt)."""
    take, every = STEPS[step.name], np.arange(len(way.last))
    breaks, place, time, state, size = way.breaks, way.place, way.time, way.state, way.size
    fresh, worst, attempts, given_up, live = way.fresh, way.worst, way.attempts, way.given_up, way.live
    records = []
    while 2 * live.sum() > len(every):
        end = breaks[every, place + live]
        left = end - time
        given_up = given_up | (attempts >= tolerance.most) | (size < SMALLEST * way.span)
        chosen = np.where(size < left, np.minimum(size, 0.5 * left), left)
        chosen = np.where(live, np.where(given_up, left, chosen), 0.0)
        after, error = take(system, time, state, chosen, acting.running(place))
        errs = ratio(tolerance, error, state, after)
        accepted = live & ((errs <= 1.0) | given_up)
        records.append((place, time, chosen, fresh, state, accepted))
        worst = np.where(accepted, np.maximum(worst, errs), worst)
        factor = np.clip(SAFETY * np.maximum(errs, 1e-30) ** (-1.0 / step.order), SHRINK, GROW)
        next_size = chosen * factor
        next_size = np.where(accepted & (factor >= 1.0), np.maximum(size, next_size), next_size)
        size = np.where(live, next_size, size)
        arrived = accepted & (chosen >= left)
        time = np.where(arrived, end, np.where(accepted, time + chosen, time))
        state = np.where(accepted[:, None], after, state)
        if arrived.any():
            place = place + arrived
            state = np.where(arrived[:, None], acting.arrived(place, state), state)
            live = place < way.last
        fresh = np.where(accepted, arrived, fresh)
        attempts = np.where(arrived, 0, attempts + 1)
    reached = _Way(breaks, way.last, way.span, place, time, state, size, fresh, worst, attempts, given_up)
    return reached, [np.stack(column, 1) for column in zip(*records, strict=True)]


def _spread(rows: Any, walked: list[Any], tasks: int) -> list[Any]:
    """What some of the tasks tried, (task, attempt), with nothing tried of the others."""
    whole = []
    for column in walked:
        each = np.zeros((tasks, *column.shape[1:]), column.dtype)
        each[rows] = column
        whole.append(each)
    return whole


def _first_size(
    system: ArraySystem, time: Array, state: Array, span: Array, acting: _Acting, tolerance: Tolerance
) -> Array:
    """As in `metasci.ode.mesh`."""
    system, supply = system.within(acting.running(np.zeros(len(time), dtype=np.int64)))
    slope = system.slope(time, state, supply)
    scale = as_array(tolerance.absolute) + tolerance.relative * np.abs(state)
    height, speed = (np.abs(state) / scale).max(1), (np.abs(slope) / scale).max(1)
    guess = np.where((height < 1e-5) | (speed < 1e-5), 1e-4 * span, 0.01 * height / speed)
    return np.where(np.isfinite(guess), np.minimum(guess, span), 1e-6 * span)
