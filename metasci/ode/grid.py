"""A grid of steps for every task, and the walk along it.

The grid is found by step-size control without gradients; the walk along a given grid is a fixed smooth map of
initial state, parameters and amounts, whose derivatives of any order and mode are those of that map.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from metasci.ode.events import KEEP, Timeline
from metasci.ode.methods import ORDER, Step, System

__all__ = ["Forcing", "Grid", "Tolerance", "find_grid", "walk"]


@dataclass(frozen=True, eq=False)
class Tolerance:
    """What a step may err: ``absolute + relative·|state|`` in every state; `most` attempts from a break to the next."""

    relative: float
    absolute: Tensor | float
    most: int

    def ratio(self, error: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """Greatest error of any state in units of what is allowed, (task,); infinite where it is not a number."""
        eps = torch.finfo(error.dtype).eps
        allowed = self.absolute + max(self.relative, 20.0 * eps) * torch.maximum(before.abs(), after.abs())
        worst = (error.abs() / allowed).amax(1)
        sound = torch.isfinite(worst) & torch.isfinite(after).all(1)
        return torch.where(sound, worst, torch.full_like(worst, torch.inf))


@dataclass(frozen=True, eq=False)
class Forcing:
    """All that acts on the system from outside.

    Attributes
    ----------
    starts : Tensor, (task, 1 + repetition, state)
        The initial state and the steady states to which a reset leads.
    jumps, supplies : Tensor, (task, break, state), or None
        What is added at a break, and what runs in until the next.
    """

    starts: Tensor
    jumps: Tensor | None
    supplies: Tensor | None

    def detach(self) -> Forcing:
        """The same without gradients or tangents."""
        parts = (self.starts, self.jumps, self.supplies)
        starts, *rest = (part if part is None else part.detach() for part in parts)
        assert starts is not None
        return Forcing(starts, *rest)


@dataclass(frozen=True, eq=False)
class Grid:
    """Nodes at which the state is known; a step leads from each to the next.

    Attributes
    ----------
    place : Tensor of int, (task, node)
        The break from which the node's step sets out, or which it has passed.
    time, size : Tensor, (task, node)
        Where a step begins and how long it is; zero at the end and in padding.
    first : Tensor of bool, (task, node)
        Whether the node is at a break: resets and jumps act before its state is recorded.
    """

    place: Tensor
    time: Tensor
    size: Tensor
    first: Tensor

    def node_of(self, places: Tensor, breaks: int) -> Tensor:
        """The node at each of the given breaks."""
        number = torch.arange(self.place.shape[1], device=self.place.device).expand_as(self.place)
        empty = torch.zeros(len(self.place), breaks, dtype=torch.int64, device=self.place.device)
        # exactly one node of a task is first at each of its breaks
        nodes = empty.scatter_add(1, self.place, torch.where(self.first, number, 0))
        return nodes.gather(1, places)

    def halved(self) -> Grid:
        """The same with two steps in the place of each."""
        size = 0.5 * self.size.repeat_interleave(2, 1)
        second = torch.arange(size.shape[1], device=size.device) % 2 == 1
        time = self.time.repeat_interleave(2, 1) + torch.where(second, size, torch.zeros_like(size))
        return Grid(
            self.place.repeat_interleave(2, 1), time, size, self.first.repeat_interleave(2, 1) & ~second
        )

    def stopped(self, tasks: Tensor) -> Grid:
        """The same with steps of size zero in some of the tasks."""
        return replace(self, size=torch.where(tasks[:, None], torch.zeros_like(self.size), self.size))


def _arrive(state: Tensor, reset: Tensor | None, starts: Tensor, jump: Tensor | None) -> Tensor:
    """The state just after a break."""
    if reset is not None:
        index = reset.clamp(min=0)[:, None, None].expand(-1, 1, state.shape[1])
        state = torch.where((reset > KEEP)[:, None], starts.gather(1, index)[:, 0], state)
    return state if jump is None else state + jump


def _at(values: Tensor, place: Tensor) -> Tensor:
    """Of (task, break, state) those at one break of each task, or at (task, node) many."""
    index = place[..., None] if place.dim() == 2 else place[:, None, None]
    found = values.gather(1, index.expand(-1, -1, values.shape[2]))
    return found if place.dim() == 2 else found[:, 0]


def walk(
    step: Step,
    system: System,
    line: Timeline,
    grid: Grid,
    forcing: Forcing,
    tolerance: Tolerance | None = None,
) -> tuple[Tensor, Tensor | None]:
    """States at the nodes, (task, node, state), and with a tolerance the greatest local error in its units, (task,)."""
    nodes = grid.place.shape[1]
    reset = torch.where(grid.first, line.reset.gather(1, grid.place), KEEP)
    resets: list[Tensor | None] = list(reset.unbind(1))
    resets = [r if any_ else None for r, any_ in zip(resets, (reset > KEEP).any(0).tolist(), strict=True)]
    added: list[Tensor | None] = [None] * nodes
    if forcing.jumps is not None:
        jump = torch.where(grid.first[..., None], _at(system.dense(forcing.jumps), grid.place), 0.0)
        any_jump = (jump.detach() != 0.0).any(2).any(0).tolist()
        added = [j if some else None for j, some in zip(jump.unbind(1), any_jump, strict=True)]
    running: list[Tensor | None] = [None] * nodes
    if forcing.supplies is not None:
        supply = _at(system.dense(forcing.supplies), grid.place)
        any_supply = (supply.detach() != 0.0).any(2).any(0).tolist()
        running = [s if some else None for s, some in zip(supply.unbind(1), any_supply, strict=True)]
    times, sizes = system.dense(grid.time).unbind(1), system.dense(grid.size).unbind(1)
    state = forcing.starts[:, 0]
    worst = None if tolerance is None else torch.zeros_like(times[0])
    states = []
    for node in range(nodes):
        state = _arrive(state, resets[node], forcing.starts, added[node])
        states.append(state)
        if node == nodes - 1:
            break
        after, error = step(system, times[node], state, sizes[node], running[node], worst is not None)
        if tolerance is not None and worst is not None and error is not None:
            worst = torch.maximum(worst, tolerance.ratio(error, state.detach(), after.detach()))
        state = after
    return torch.stack(states, 1), worst


_SAFETY, _SHRINK, _GROW = 0.9, 0.2, 5.0
_SMALLEST = 1e-14


def find_grid(
    step: Step, system: System, line: Timeline, forcing: Forcing, tolerance: Tolerance
) -> tuple[Grid, Tensor]:
    """Grid and greatest local error in units of the tolerance, (task,), without gradients.

    A task that has used up its attempts, or whose steps have become too small to matter, goes on to the end in one
    step from break to break, whatever the error; it shows in the error.
    """
    with torch.no_grad():
        state = forcing.starts[:, 0]
        place = torch.zeros_like(line.count)
        time = line.breaks[:, 0]
        span = line.breaks[:, -1] - time
        state = _landed(line, forcing, place, state, torch.ones_like(place, dtype=torch.bool))
        size = _first_size(system, time, state, span, forcing, tolerance)
        worst, attempts, given_up = torch.zeros_like(time), torch.zeros_like(place), span < 0.0
        fresh = ~given_up
        records = []
        live = place < line.count - 1
        while bool(live.any()):
            end = line.breaks.gather(1, (place + live)[:, None])[:, 0]
            left = end - time
            given_up = given_up | (attempts >= tolerance.most) | (size < _SMALLEST * span)
            chosen = torch.where(size < left, torch.minimum(size, 0.5 * left), left)
            chosen = torch.where(live, torch.where(given_up, left, chosen), torch.zeros_like(left))
            supply = None if forcing.supplies is None else _at(forcing.supplies, place)
            after, error = step(system, time, state, chosen, supply, True)
            assert error is not None
            ratio = tolerance.ratio(error, state, after)
            accepted = live & ((ratio <= 1.0) | given_up)
            records.append((place, time, chosen, fresh, accepted))
            worst = torch.where(accepted, torch.maximum(worst, ratio), worst)
            factor = (_SAFETY * ratio.clamp(min=1e-30) ** (-1.0 / ORDER)).clamp(_SHRINK, _GROW)
            next_size = chosen * factor
            # a step cut short by a break says nothing against the longer one that was planned
            next_size = torch.where(accepted & (factor >= 1.0), torch.maximum(size, next_size), next_size)
            size = torch.where(live, next_size, size)
            arrived = accepted & (chosen >= left)
            time = torch.where(arrived, end, torch.where(accepted, time + chosen, time))
            state = torch.where(accepted[:, None], after, state)
            place = place + arrived
            state = _landed(line, forcing, place, state, arrived)
            fresh = torch.where(accepted, arrived, fresh)
            attempts = torch.where(arrived, 0, attempts + 1)
            live = place < line.count - 1
        records.append((place, time, torch.zeros_like(time), fresh, torch.ones_like(fresh)))
        return _compact(records), worst


def _landed(line: Timeline, forcing: Forcing, place: Tensor, state: Tensor, arrived: Tensor) -> Tensor:
    """The state with the actions of the break at which a task has arrived."""
    if not bool(arrived.any()):
        return state
    reset = torch.where(arrived, line.reset.gather(1, place[:, None])[:, 0], KEEP)
    jump = None if forcing.jumps is None else torch.where(arrived[:, None], _at(forcing.jumps, place), 0.0)
    return _arrive(state, reset, forcing.starts, jump)


def _first_size(
    system: System, time: Tensor, state: Tensor, span: Tensor, forcing: Forcing, tolerance: Tolerance
) -> Tensor:
    """A careful first step: one that changes no state by more than a hundredth (Hairer, Nørsett and Wanner, II.4)."""
    supply = None if forcing.supplies is None else forcing.supplies[:, 0]
    slope = system.slope(time, state, supply)
    scale = tolerance.absolute + tolerance.relative * state.abs()
    height, speed = (state.abs() / scale).amax(1), (slope.abs() / scale).amax(1)
    guess = torch.where((height < 1e-5) | (speed < 1e-5), 1e-4 * span, 0.01 * height / speed)
    return torch.where(torch.isfinite(guess), torch.minimum(guess, span), 1e-6 * span)


def _compact(records: list[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]) -> Grid:
    """The accepted steps of each task, moved together."""
    place, time, size, first, accepted = (torch.stack(column, 1) for column in zip(*records, strict=True))
    width = int(accepted.sum(1).max())
    order = torch.argsort((~accepted).to(torch.int8), dim=1, stable=True)[:, :width]
    kept = accepted.gather(1, order)
    return Grid(
        torch.where(kept, place.gather(1, order), place[:, -1:]),
        torch.where(kept, time.gather(1, order), time[:, -1:]),
        torch.where(kept, size.gather(1, order), 0.0),
        kept & first.gather(1, order),
    )
