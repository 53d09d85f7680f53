"""A mesh of steps for every task, and the walk along it, without gradients (`metasci.ode.trajectory` has them)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from metasci.ode.events import INITIAL, KEEP, Doses, Timeline, jumps, supplies
from metasci.ode.methods import Step, System

__all__ = ["Forcing", "Mesh", "Tolerance", "find_mesh", "follow", "forced", "walk"]


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
    initial : Tensor, (task, state)
    kept : Tensor of bool, (task, break)
        Whether the state goes on at a break, or is lost.
    push : Tensor, (task, break, state)
        What is added to it then.
    supply : Tensor, (task, break, state + held), or None
        What runs in until the next break, and the parameters that are held until then.
    """

    initial: Tensor
    kept: Tensor
    push: Tensor
    supply: Tensor | None

    def detach(self) -> Forcing:
        """The same without gradients or tangents."""
        supply = None if self.supply is None else self.supply.detach()
        return Forcing(self.initial.detach(), self.kept, self.push.detach(), supply)

    def arrived(self, place: Tensor, state: Tensor) -> Tensor:
        """The state just after each task's break `place` (task,)."""
        kept = self.kept.gather(1, place[:, None])
        return torch.where(kept, state, 0.0) + _at(self.push, place)


def forced(line: Timeline, initial: Tensor, steady: list[Tensor], doses: Doses) -> Forcing:
    """What doses do to a system that starts at `initial`, and whose repeated doses lead to the `steady` states."""
    states = initial.shape[1]
    push = jumps(line, doses, states)
    if push is None:
        push = torch.zeros_like(initial)[:, None].expand(-1, line.reset.shape[1], -1)
    kept = line.reset == KEEP
    if not bool(kept.all()):
        onto = torch.stack([initial, *steady], 1)
        onto = onto.gather(1, line.reset.clamp(min=INITIAL)[..., None].expand(-1, -1, states))
        push = push + torch.where(kept[..., None], 0.0, onto)
        push = torch.where(line.added[..., None], push - initial[:, None], push)
    return Forcing(initial, kept | line.added, push, supplies(line, doses, states))


@dataclass(frozen=True, eq=False)
class Mesh:
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

    def before(self, times: Tensor) -> Tensor:
        """The last node not after each of some times, (task, time)."""
        begins = self.time.detach().contiguous()
        return (torch.searchsorted(begins, times.detach().contiguous(), right=True) - 1).clamp(min=0)

    def moved(self, breaks: Tensor, off: Tensor) -> Mesh:
        """The same with its breaks (task, break) moved by so much, and the nodes between them in proportion."""
        following = torch.minimum(self.place + 1, self.place.new_tensor(breaks.shape[1] - 1))
        begin, length = (
            breaks.gather(1, self.place),
            breaks.gather(1, following) - breaks.gather(1, self.place),
        )
        length = torch.where(length > 0.0, length, torch.ones_like(length))
        here = off.gather(1, self.place)
        stretch = (off.gather(1, following) - here) / length
        time = self.time + here + (self.time - begin) * stretch
        return replace(self, time=time, size=self.size * (1.0 + stretch))

    def detach(self) -> Mesh:
        """The same without gradients or tangents."""
        return replace(self, time=self.time.detach(), size=self.size.detach())

    def halved(self) -> Mesh:
        """The same with two steps in the place of each."""
        size = 0.5 * self.size.repeat_interleave(2, 1)
        second = torch.arange(size.shape[1], device=size.device) % 2 == 1
        time = self.time.repeat_interleave(2, 1) + torch.where(second, size, torch.zeros_like(size))
        return Mesh(
            self.place.repeat_interleave(2, 1), time, size, self.first.repeat_interleave(2, 1) & ~second
        )

    def stopped(self, tasks: Tensor) -> Mesh:
        """The same with steps of size zero in some of the tasks."""
        return replace(self, size=torch.where(tasks[:, None], torch.zeros_like(self.size), self.size))


def _at(values: Tensor, place: Tensor) -> Tensor:
    """Of (task, break, state) those at one break of each task, or at (task, node) many."""
    index = place[..., None] if place.dim() == 2 else place[:, None, None]
    picked = values.gather(1, index.expand(-1, -1, values.shape[2]))
    return picked if place.dim() == 2 else picked[:, 0]


def walk(
    step: Step, system: System, mesh: Mesh, forcing: Forcing, tolerance: Tolerance
) -> tuple[Tensor, Tensor]:
    """States at the nodes, (task, node, state), and the greatest local error in units of the tolerance, (task,)."""
    with torch.no_grad():
        state = forcing.initial
        worst = torch.zeros_like(state[:, 0])
        states = []
        for node in range(mesh.place.shape[1]):
            place = mesh.place[:, node]
            state = torch.where(mesh.first[:, node, None], forcing.arrived(place, state), state)
            states.append(state)
            supply = None if forcing.supply is None else _at(forcing.supply, place)
            after, error = step(system, mesh.time[:, node], state, mesh.size[:, node], supply, True)
            assert error is not None
            worst = torch.maximum(worst, tolerance.ratio(error, state, after))
            state = after
        return torch.stack(states, 1), worst


def follow(step: Step, system: System, mesh: Mesh, forcing: Forcing) -> Tensor:
    """States at the nodes, (task, node, state), step after step, with all their derivatives."""
    state, states = forcing.initial, []
    for node in range(mesh.place.shape[1]):
        place = mesh.place[:, node]
        state = torch.where(mesh.first[:, node, None], forcing.arrived(place, state), state)
        states.append(state)
        supply = None if forcing.supply is None else _at(forcing.supply, place)
        state, _ = step(system, mesh.time[:, node], state, mesh.size[:, node], supply, False)
    return torch.stack(states, 1)


# the next step is a tenth shorter than its error lets it be, so that few are tried in vain; and as one error is a
# poor guide far away, it changes by a factor of five at most
SAFETY, SHRINK, GROW = 0.9, 0.2, 5.0
SMALLEST = 1e-14  # of the span walked: shorter steps are lost in the rounding of time


def find_mesh(
    step: Step, system: System, line: Timeline, forcing: Forcing, tolerance: Tolerance
) -> tuple[Mesh, Tensor, Tensor]:
    """Mesh, states at its nodes (task, node, state), and greatest local error in units of the tolerance, (task,).

    A task that has used up its attempts, or whose steps have become too small to matter, goes on to the end in one
    step from break to break, whatever the error; it shows in the error.
    """
    with torch.no_grad():
        place = torch.zeros_like(line.count)
        time = line.breaks[:, 0]
        span = line.breaks[:, -1] - time
        state = forcing.arrived(place, forcing.initial)
        size = _first_size(system, time, state, span, forcing, tolerance)
        worst, attempts, given_up = torch.zeros_like(time), torch.zeros_like(place), span < 0.0
        fresh = ~given_up
        records = []
        live = place < line.count - 1
        while bool(live.any()):
            end = line.breaks.gather(1, (place + live)[:, None])[:, 0]
            left = end - time
            given_up = given_up | (attempts >= tolerance.most) | (size < SMALLEST * span)
            chosen = torch.where(size < left, torch.minimum(size, 0.5 * left), left)
            chosen = torch.where(live, torch.where(given_up, left, chosen), torch.zeros_like(left))
            supply = None if forcing.supply is None else _at(forcing.supply, place)
            after, error = step(system, time, state, chosen, supply, True)
            assert error is not None
            ratio = tolerance.ratio(error, state, after)
            accepted = live & ((ratio <= 1.0) | given_up)
            records.append((place, time, chosen, fresh, state, accepted))
            worst = torch.where(accepted, torch.maximum(worst, ratio), worst)
            factor = (SAFETY * ratio.clamp(min=1e-30) ** (-1.0 / step.order)).clamp(SHRINK, GROW)
            next_size = chosen * factor
            # a step cut short by a break says nothing against the longer one that was planned
            next_size = torch.where(accepted & (factor >= 1.0), torch.maximum(size, next_size), next_size)
            size = torch.where(live, next_size, size)
            arrived = accepted & (chosen >= left)
            time = torch.where(arrived, end, torch.where(accepted, time + chosen, time))
            state = torch.where(accepted[:, None], after, state)
            place = place + arrived
            state = torch.where(arrived[:, None], forcing.arrived(place, state), state)
            fresh = torch.where(accepted, arrived, fresh)
            attempts = torch.where(arrived, 0, attempts + 1)
            live = place < line.count - 1
        records.append((place, time, torch.zeros_like(time), fresh, state, torch.ones_like(fresh)))
        columns = (torch.stack(column, 1) for column in zip(*records, strict=True))
        return *compact(*columns), worst


def _first_size(
    system: System, time: Tensor, state: Tensor, span: Tensor, forcing: Forcing, tolerance: Tolerance
) -> Tensor:
    """A careful first step: one that changes no state by more than a hundredth (Hairer, Nørsett and Wanner, II.4)."""
    supply = None if forcing.supply is None else forcing.supply[:, 0]
    system, supply = system.within(supply)
    slope = system.slope(time, state, supply)
    scale = tolerance.absolute + tolerance.relative * state.abs()
    height, speed = (state.abs() / scale).amax(1), (slope.abs() / scale).amax(1)
    guess = torch.where((height < 1e-5) | (speed < 1e-5), 1e-4 * span, 0.01 * height / speed)
    return torch.where(torch.isfinite(guess), torch.minimum(guess, span), 1e-6 * span)


def compact(
    place: Tensor, time: Tensor, size: Tensor, first: Tensor, state: Tensor, accepted: Tensor
) -> tuple[Mesh, Tensor]:
    """The accepted steps of each task, (task, attempt) moved together, and the states from which they set out."""
    width = int(accepted.sum(1).max())
    order = torch.argsort((~accepted).to(torch.int8), dim=1, stable=True)[:, :width]
    kept = accepted.gather(1, order)
    mesh = Mesh(
        torch.where(kept, place.gather(1, order), place[:, -1:]),
        torch.where(kept, time.gather(1, order), time[:, -1:]),
        torch.where(kept, size.gather(1, order), 0.0),
        kept & first.gather(1, order),
    )
    return mesh, torch.where(kept[..., None], _at(state, order), state[:, -1:])
