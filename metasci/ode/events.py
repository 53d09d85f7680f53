"""Doses, and the timeline of breaks that they make: every task has its own.

Amounts may depend on parameters, and so may times and durations (lags, absorption at an even rate): `jumps`, `supplies`
and `moved` carry their gradients. The order of events is that of their numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from metasci.errors import InputError

__all__ = ["Doses", "Timeline", "jumps", "moved", "supplies", "timeline"]

KEEP, INITIAL = -1, 0


@dataclass(frozen=True, eq=False)
class Doses:
    """Amounts given to states of a system.

    Parameters
    ----------
    amount : Tensor, (task, event)
        Added to the state, in its unit; may carry gradients. An event of amount zero is none at all: padding.
    time : Tensor, (task, event)
        When it is given, or when its infusion starts.
    duration : Tensor, (task, event), optional
        The amount enters at a constant rate for so long; zero, the default, is at once.
    interval : Tensor, (task, event), optional
        Above zero: at this event the system is as if the dose had been given every so often since forever; the dose
        of the event itself is still given. What earlier doses have left of themselves is added, as far as the state
        differs from the initial one, unless `until` has ended them all. Zero, the default, is a single dose.
    until : Tensor, (task, event), optional
        When the whole system goes back to its initial state and the dose no longer counts; never, by default.
    into : int or Tensor
        The state it enters, one for all or (task, event).
    held : mapping of str to Tensor, (task, event)
        Parameters of the rate that change with events: the value in force from the event on. Before the first event
        that tells, its values hold; at a steady state those of its own event.
    tells : Tensor of bool, (task, event), optional
        Which events tell such values, or are to be halted at, be their amount zero or not; those with an amount, by
        default.

    Raises
    ------
    InputError
        If shapes differ, a time is not a number, a duration or interval is not finite or below zero, or an infusion
        is longer than the interval of its repetition.

    Examples
    --------
    >>> Doses(torch.tensor([[100.0]]), torch.tensor([[0.0]])).duration
    tensor([[0.]])
    """

    amount: Tensor
    time: Tensor
    duration: Any = None
    interval: Any = None
    until: Any = None
    into: Any = 0
    held: Mapping[str, Tensor] = field(default_factory=dict)
    tells: Any = None

    def __post_init__(self) -> None:
        zero = torch.zeros_like(self.time)
        for name, default in (("duration", zero), ("interval", zero), ("until", zero + torch.inf)):
            value = getattr(self, name)
            object.__setattr__(self, name, default if value is None else value.to(self.time))
        into = torch.as_tensor(self.into, device=self.time.device)
        object.__setattr__(self, "into", into.expand(self.time.shape).to(torch.int64))
        for name in ("time", "duration", "interval", "until"):
            values = getattr(self, name)
            if values.shape != self.amount.shape:
                raise InputError(
                    f"doses: '{name}' of shape {tuple(values.shape)} does not fit amounts {tuple(self.amount.shape)}."
                )
            if bool(torch.isnan(values).any()):
                raise InputError(f"doses: '{name}' has values that are not numbers.")
        if self.tells is None:
            object.__setattr__(self, "tells", self.counts)
        for name in ("duration", "interval"):
            values = getattr(self, name)
            if not bool(((values >= 0.0) & torch.isfinite(values)).all()):
                raise InputError(f"doses: '{name}' must be finite and not below zero.")
        if bool(((self.interval > 0.0) & (self.duration > self.interval) & self.counts).any()):
            raise InputError("doses: an infusion at steady state must not be longer than its interval.")

    @property
    def counts(self) -> Tensor:
        """Which events are not padding, (task, event)."""
        return (self.amount.detach() != 0.0) & (self.until > self.time)

    def select(self, tasks: Tensor, events: Tensor | None = None) -> Doses:
        """The same for some of the tasks, or one event of each of them."""
        columns = (self.amount, self.time, self.duration, self.interval, self.until, self.into)

        def some(column: Tensor) -> Tensor:
            return column[tasks] if events is None else column[tasks, events][:, None]

        held = {name: some(values) for name, values in self.held.items()}
        amount, time, duration, interval, until, into = (some(column) for column in columns)
        return Doses(amount, time, duration, interval, until, into, held, some(self.tells))

    @classmethod
    def none(cls, time: Tensor) -> Doses:
        """No event in any task."""
        empty = time.detach().new_zeros(len(time), 0)
        return cls(empty, empty)


@dataclass(frozen=True, eq=False)
class Timeline:
    """Where the walk through each task's time must halt.

    Attributes
    ----------
    breaks : Tensor, (task, break)
        Rising; a task with fewer repeats its last.
    count : Tensor of int, (task,)
        How many breaks a task has.
    reset : Tensor of int, (task, break)
        -1: the state goes on; 0: it goes back to the initial state; k: to the k-th steady state of the task.
    arrival : Tensor of int, (task, event)
        The break at which an event is.
    bolus : Tensor of bool, (task, event)
    active : Tensor of bool, (task, break, event), or None
        Whether an infusion runs from that break to the next; None where there are no infusions.
    added : Tensor of bool, (task, break)
        Whether that steady state, less the initial one, is added to the state and does not take its place.
    steady : Tensor of int, (task, repetition)
        The events that start from a steady state, in the order of time; -1 where a task has fewer.
    source : Tensor of int, (task, break)
        Which of the halts (`_halts`) a break is.
    teller : Tensor of int, (task, break), or None
        The event whose values are in force from that break on; None where nothing is told.
    """

    breaks: Tensor
    count: Tensor
    reset: Tensor
    arrival: Tensor
    bolus: Tensor
    active: Tensor | None
    added: Tensor
    steady: Tensor
    source: Tensor
    teller: Tensor | None


def _halts(times: Tensor, doses: Doses, start: Tensor) -> Tensor:
    """Where a walk must halt: at doses, at the ends of infusions, at resets; at the last time; at the start."""
    counts, dose_times = doses.counts, doses.time
    acts = counts | doses.tells
    first = torch.where(counts, dose_times, torch.inf)
    start = torch.cat([start[:, None], first], 1).amin(1, keepdim=True)
    infused = counts & (doses.duration > 0.0)
    over = counts & torch.isfinite(doses.until)
    if not bool(torch.isfinite(torch.where(acts, dose_times, start)).all()):
        raise InputError("differential equation: times of doses must be finite numbers.")
    latest = torch.maximum(times.detach().amax(1, keepdim=True), start) if times.shape[1] else start
    halts = torch.cat(
        [
            torch.where(acts, torch.maximum(dose_times, start), start),
            torch.where(infused, torch.minimum(dose_times + doses.duration, doses.until), start),
            torch.where(over, doses.until, start),
            latest,
            start,
        ],
        1,
    )
    # what comes after the last observation is not walked
    return torch.minimum(halts, latest)


def timeline(times: Tensor, doses: Doses, start: Tensor) -> Timeline:
    """Merge start, events and the last of the observations (task, observation) into breaks.

    A task starts at `start` (task,) or at its first dose, whichever is earlier.

    Raises
    ------
    InputError
        If a time is not finite, or two doses at steady state fall on one time.
    """
    times = times.detach()
    if not bool(torch.isfinite(times).all()):
        raise InputError("differential equation: times of observation must be finite numbers.")
    counts, dose_times = doses.counts, doses.time
    halts = _halts(times, doses, start)
    breaks, count, rank, source = _merged(halts)
    arrival, end, back = rank[:, :-2].split(3 * [dose_times.shape[1]], 1)
    latest = halts[:, -2:-1]
    infused = counts & (doses.duration > 0.0)
    over = counts & torch.isfinite(doses.until)
    # what lies after the last observation has no break of its own
    seen = counts & (dose_times <= latest)
    places = torch.arange(breaks.shape[1], device=times.device)
    active = None
    if bool((infused & seen).any()):
        stop = torch.where(infused, end, breaks.shape[1])[:, None, :]
        active = (infused & seen)[:, None, :] & (places[:, None] >= arrival[:, None, :])
        active = active & (places[:, None] < stop)
    reset = torch.full_like(count[:, None].expand(-1, breaks.shape[1]), KEEP)
    returns = over & seen & (doses.until <= latest)
    reset = torch.where(_marked(back, returns, breaks.shape[1]), INITIAL, reset)
    repeated = seen & (doses.interval > 0.0)
    steady = _ranked(repeated, dose_times)
    added = torch.zeros_like(reset, dtype=torch.bool)
    for position in range(steady.shape[1]):
        event = steady[:, position : position + 1]
        at = arrival.gather(1, event.clamp(min=0))
        taken = _marked(at, event >= 0, breaks.shape[1])
        if bool((taken & (reset > INITIAL)).any()):
            raise InputError("doses: two doses at steady state are given at one time.")
        reset = torch.where(taken, position + 1, reset)
        now = dose_times.gather(1, event.clamp(min=0))
        lasting = (seen & (dose_times < now) & (doses.until > now)).any(1, keepdim=True)
        added = added | (taken & lasting)
    teller = _tellers(doses, arrival, latest, breaks.shape[1]) if doses.held else None
    return Timeline(breaks, count, reset, arrival, seen & ~infused, active, added, steady, source, teller)


def _tellers(doses: Doses, arrival: Tensor, latest: Tensor, width: int) -> Tensor:
    """Of each break the event whose values are in force from it on, (task, break)."""
    updates = doses.tells & (doses.time <= latest)
    places = torch.arange(width, device=arrival.device)
    # of several at one break the last in order of time, and then of events, counts
    order = torch.argsort(torch.where(updates, doses.time.detach(), torch.inf), dim=1, stable=True)
    late = updates[:, None, :] & (arrival[:, None, :] <= places[:, None])
    rank = torch.argsort(order, dim=1)
    last = torch.where(late, rank[:, None, :], -1).amax(2)
    return order.gather(1, last.clamp(min=0))


def _merged(halts: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Distinct times of each row, how many there are, which of them each time is, and one of the times of each."""
    order = torch.argsort(halts.detach(), dim=1, stable=True)
    rising = halts.detach().gather(1, order)
    # nothing is merged that is not equal: a rounding error is all that tells a trough from the dose after it
    fresh = torch.cat([torch.ones_like(order[:, :1], dtype=torch.bool), rising.diff(dim=1) > 0.0], 1)
    index = fresh.to(torch.int64).cumsum(1) - 1
    count = index[:, -1] + 1
    width = int(count.max())
    breaks = rising[:, -1:].expand(-1, width)
    breaks = breaks.scatter_reduce(1, index, rising, "amin", include_self=True)
    places = torch.arange(halts.shape[1], device=halts.device).expand_as(order)
    begins = torch.full_like(order, halts.shape[1] - 1).scatter_reduce(1, index, places, "amin")
    begins = begins.gather(1, torch.minimum(places[:, :width], count[:, None] - 1))
    return breaks, count, torch.zeros_like(index).scatter(1, order, index), order.gather(1, begins)


def moved(line: Timeline, times: Tensor, doses: Doses, start: Tensor) -> Tensor | None:
    """By how much breaks differ from where the timeline has them, (task, break): zero, but with gradients.

    None where no time of a dose has any. Along a plan that was made for other parameters it is not zero.
    """
    halts = _halts(times, doses, start)
    off = halts.gather(1, line.source) - line.breaks
    moving = off.requires_grad or forward_ad.unpack_dual(off).tangent is not None
    return off if moving or bool((off != 0.0).any()) else None


def _marked(places: Tensor, chosen: Tensor, width: int) -> Tensor:
    """(task, width), true at those of the `places` (task, event) that are chosen."""
    marks = torch.zeros(len(places), width, dtype=torch.int64, device=places.device)
    return marks.scatter_add(1, places, chosen.to(torch.int64)) > 0


def _ranked(chosen: Tensor, time: Tensor) -> Tensor:
    """Chosen events of each task in the order of time, (task, most of any), -1 where there are fewer."""
    width = int(chosen.sum(1).max()) if chosen.numel() else 0
    order = torch.argsort(torch.where(chosen, time, torch.full_like(time, torch.inf)), dim=1, stable=True)
    return torch.where(chosen.gather(1, order), order, -1)[:, :width]


def jumps(line: Timeline, doses: Doses, states: int) -> Tensor | None:
    """What is added to the state at each break, (task, break, state); None where nothing ever is."""
    if not bool(line.bolus.any()):
        return None
    tasks, width = line.breaks.shape
    amount = torch.where(line.bolus, doses.amount, torch.zeros_like(doses.amount))
    empty = torch.zeros(tasks, width * states, dtype=amount.dtype, device=amount.device)
    return empty.scatter_add(1, line.arrival * states + doses.into, amount).reshape(tasks, width, states)


def supplies(line: Timeline, doses: Doses, states: int) -> Tensor | None:
    """What runs into the state from each break to the next, (task, break, state), and what is held beside it.

    None where nothing ever runs or is held; the held parameters stand behind the states, in their order.
    """
    running = None
    if line.active is not None:
        runs = line.active.any(1)
        speed = doses.amount / torch.where(runs, doses.duration, torch.ones_like(doses.duration))
        target = doses.into[..., None] == torch.arange(states, device=speed.device)
        speed = torch.where(runs, speed, torch.zeros_like(speed))[..., None] * target
        running = torch.einsum("tbe,tes->tbs", line.active.to(speed.dtype), speed)
    if line.teller is None:
        return running
    held = torch.stack([values.gather(1, line.teller) for values in doses.held.values()], -1)
    if running is None:
        running = torch.zeros(*line.breaks.shape, states, dtype=held.dtype, device=held.device)
    return torch.cat([running, held], -1)
