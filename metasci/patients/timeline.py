"""Linear compartments whose parameters change with time: one patient's records in order, each interval solved exactly.

Between two records the parameters stay as they were last told, so that the amounts change by a matrix exponential,
with the rate of an infusion as one more, constant, state. All observations of a patient lie on one trajectory. A dose
that is absorbed after a lag, or evenly over a time, has records of its own for where it begins and ends.

Source: Jacquez, Compartmental Analysis in Biology and Medicine (1985); Van Loan, IEEE Trans Automat Contr 23 (1978)
395, for the constant state.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metasci.patients.moments import noted
from metasci.patients.regimen import DoseArrays

__all__ = ["Timeline", "amounts", "records"]


@dataclass(frozen=True)
class Timeline:
    """What happens to each patient, in order of time, (task, record) each.

    Attributes
    ----------
    time : Tensor
    source : Tensor of int
        Position among events followed by observations of the record that tells the parameters in force from then on.
    bolus, rate : Tensor
        Amount that goes in at once; change of the infusion's rate.
    steady, since : Tensor
        Interval of a steady state that begins here, zero for none; time since the dose before it took effect.
    amount, duration : Tensor
        Of the dose that is at steady state.
    reset : Tensor of bool
    central : Tensor of bool or None
        Whether what goes in at once goes into the central compartment; None where no dose says so.
    observation : Tensor of int, (task, observation)
        Position of each observation's record.
    """

    time: Tensor
    source: Tensor
    bolus: Tensor
    rate: Tensor
    steady: Tensor
    since: Tensor
    amount: Tensor
    duration: Tensor
    reset: Tensor
    central: Tensor | None
    observation: Tensor


@dataclass(frozen=True)
class _Block:
    """Records of one kind, one for each event, (task, event); what is left out is zero."""

    at: Tensor
    tells: bool = False
    reset: Tensor | None = None
    bolus: Tensor | None = None
    rate: Tensor | None = None
    steady: bool = False


def records(time: Tensor, doses: DoseArrays, updates: Tensor, lag: Tensor | None = None) -> Timeline:
    """Merge events and observations.

    At equal times an infusion ends first, then a reset acts, then a dose is given, then a sample is drawn.

    Parameters
    ----------
    time : Tensor, (task, observation)
    doses : DoseArrays
        Tensors (task, 1, event).
    updates : Tensor of bool, (task, event)
        Which events tell parameters; padding does not.
    lag : Tensor, (task, event), optional
        By how much each dose takes effect later than it is given.
    """
    amount, start, duration, interval, until = (
        values[:, 0] for values in (doses.amount, doses.time, doses.duration, doses.interval, doses.until)
    )
    # what is given, or would take effect, at the very time of a later reset is lost in it
    amount = torch.where(until <= start, torch.zeros_like(amount), amount)
    interval = torch.where(until <= start, torch.zeros_like(interval), interval)
    steady = interval > 0.0
    period = torch.where(steady, interval, torch.ones_like(interval))
    wait = torch.zeros_like(start) if lag is None else lag
    # a repeated dose that waits for longer than its interval is one that was given earlier
    late = torch.where(steady, torch.floor(wait / period), torch.zeros_like(wait)).detach()
    wait = wait - late * interval
    noted(start + wait, duration)
    infused = duration > 0.0
    blank = torch.zeros_like(start)
    speed = torch.where(infused, amount / torch.where(infused, duration, 1.0), blank)
    stops = torch.isfinite(until)
    # infusions that began before a steady state and still run when it does
    running = torch.where(steady, torch.ceil((duration + wait) / period) - 1.0, blank).clamp(min=0.0).detach()

    def entry(at: Tensor, counts: Tensor | None = None) -> tuple[_Block, _Block]:
        """A dose that takes effect at these times: where its infusion ends, and where it begins."""
        lost = (at >= until) if counts is None else (at >= until) | ~counts
        rate = speed if lag is None else torch.where(lost, blank, speed)
        bolus = torch.where(infused, blank, amount if lag is None else torch.where(lost, blank, amount))
        end = torch.where(infused, torch.minimum(at + duration, until), at)
        return _Block(end, rate=-rate), _Block(at, bolus=bolus, rate=rate)

    end, begin = entry(start + wait if lag is not None else start)
    ends, begins = [end], [begin]
    for count in range(1, int(late.max()) + 1 if late.numel() else 1):
        end, begin = entry(start + wait + count * interval, late >= count)
        ends, begins = [*ends, end], [*begins, begin]
    for count in range(1, int(running.max()) + 1 if running.numel() else 1):
        still = running >= count
        stop = torch.minimum(start + wait + duration - count * interval, until)
        ends.append(_Block(torch.where(still, stop, start), rate=-torch.where(still, speed, blank)))
    on = running * speed
    if lag is None:
        begins[0] = _Block(start, tells=True, bolus=begins[0].bolus, rate=speed + on, steady=True)
    else:
        begins.insert(0, _Block(start, tells=True, rate=on, steady=True))
    resets = _Block(torch.where(stops, until, start), reset=stops)
    return _in_order(
        time,
        updates,
        [*ends, resets, *begins],
        {"interval": interval, "since": interval - wait, "amount": amount, "duration": duration},
        doses.compartment,
    )


def _in_order(
    time: Tensor, updates: Tensor, blocks: list[_Block], steady: dict[str, Tensor], compartment: Tensor | None
) -> Timeline:
    """All records by time; those of earlier blocks first at equal times, observations last."""
    events, observed = updates.shape[1], time.shape[1]
    at = torch.cat([*(block.at for block in blocks), time], 1)
    order = torch.argsort(at, dim=1, stable=True)
    place = torch.argsort(order, dim=1)
    blank = torch.zeros_like(blocks[0].at)
    nobody = torch.full_like(blank, -torch.inf)

    def laid(values: list[Tensor]) -> Tensor:
        return torch.cat([*values, torch.zeros_like(time).to(values[0].dtype)], 1).gather(1, order)

    def of(name: str) -> Tensor:
        each = [getattr(block, name) for block in blocks]
        return laid([blank if values is None else values for values in each])

    def at_steady_state(name: str) -> Tensor:
        return laid([steady[name] if block.steady else blank for block in blocks])

    by_event = torch.where(updates, torch.arange(events).to(at).expand_as(blank), nobody)
    by_observation = (events + torch.arange(observed)).to(at).expand_as(time)
    tells = torch.cat([*(by_event if block.tells else nobody for block in blocks), by_observation], 1)
    moved = tells.gather(1, order)
    position = torch.arange(moved.shape[1], device=moved.device).expand_as(moved)
    last = torch.where(torch.isfinite(moved), position, -1).cummax(1).values
    # before the first record that tells anything, the first one's parameters hold
    first = torch.isfinite(moved).to(torch.int8).argmax(1, keepdim=True)
    no = torch.zeros_like(updates)
    central = None
    if compartment is not None and bool((compartment == 2.0).any()):
        central = laid([compartment[:, 0] == 2.0] * len(blocks))
    return Timeline(
        time=at.gather(1, order),
        source=moved.gather(1, torch.where(last < 0, first, last)).long(),
        bolus=of("bolus"),
        rate=of("rate"),
        steady=at_steady_state("interval"),
        since=at_steady_state("since"),
        amount=at_steady_state("amount"),
        duration=at_steady_state("duration"),
        reset=laid([no if block.reset is None else block.reset for block in blocks]),
        central=central,
        observation=place[:, -observed:] if observed else place[:, :0],
    )


def amounts(happened: Timeline, system: Tensor, entry: int) -> Tensor:
    """Amounts in the compartments at every record, (task, record, compartment).

    Parameters
    ----------
    happened : Timeline
    system : Tensor, (task, record, compartment, compartment)
        Rates of change from that record on, dx/dt = A x.
    entry : int
        The compartment that doses enter; those that say so enter the first, the central one, as does any infusion then.
    """
    count, size = system.shape[1:3]
    unit = torch.nn.functional.one_hot(torch.tensor(entry), size + 1).to(system)
    constant = torch.nn.functional.one_hot(torch.tensor(size), size + 1).to(system)
    infuses = unit
    if happened.central is not None:
        infuses = torch.nn.functional.one_hot(torch.tensor(0), size + 1).to(system)
        unit = torch.where(happened.central[..., None], infuses, unit)
    whole = torch.nn.functional.pad(system, (0, 1, 0, 1))
    whole = whole + infuses[:, None] * constant
    gaps = happened.time.diff(dim=1)
    steps = torch.linalg.matrix_exp(whole[:, :-1] * gaps[..., None, None])
    # a reset loses what was there before; what comes in does so afterwards
    steps = steps * (~happened.reset[:, 1:]).to(system)[..., None, None]
    enters = happened.bolus[..., None] * unit + happened.rate[..., None] * constant
    standing = _steady_states(happened, whole, unit)
    if standing is not None:
        enters = enters + standing
    state = enters[:, 0, :, None]
    path = [state]
    for record in range(1, count):
        state = enters[:, record, :, None] + torch.bmm(steps[:, record - 1], state)
        path.append(state)
    return torch.stack(path, 1)[..., :size, 0]


def _steady_states(happened: Timeline, whole: Tensor, unit: Tensor) -> Tensor | None:
    """What doses before have left where a steady state begins, (task, record, state); None where none does.

    Of infusions that began s, s + τ, s + 2τ, … ago those still run that began less than their duration ago. What the
    others have left is a geometric series of matrices.
    """
    begins = happened.steady > 0.0
    if not bool(begins.any()):
        return None
    at = begins.nonzero(as_tuple=True)
    matrix, interval, since = whole[at], happened.steady[at], happened.since[at]
    amount, duration = happened.amount[at], happened.duration[at]
    infused = duration > 0.0
    size = whole.shape[-1] - 1
    constant = torch.nn.functional.one_hot(torch.tensor(size), size + 1).to(whole)
    enters = torch.where(
        infused[:, None],
        (amount / torch.where(infused, duration, 1.0))[:, None] * constant,
        amount[:, None] * (unit if unit.dim() == 1 else unit[at]),
    )

    def after(time: Tensor) -> Tensor:
        """What an infusion has brought by then, or what has become of a bolus."""
        moved = torch.linalg.matrix_exp(matrix * time[:, None, None])
        return torch.einsum("nij,nj->ni", moved, enters)[:, :size]

    running = torch.where(infused, torch.ceil((duration - since) / interval), 0.0).clamp(min=0.0).detach()
    ended = torch.linalg.matrix_exp(
        matrix[:, :size, :size] * (since + running * interval - duration)[:, None, None]
    )
    left = torch.einsum("nij,nj->ni", ended, after(duration))
    cycle = torch.linalg.matrix_exp(matrix[:, :size, :size] * interval[:, None, None])
    identity = torch.eye(size, dtype=whole.dtype, device=whole.device)
    # without elimination there is no steady state: what comes out is not finite, and its task alone is lost
    standing = torch.linalg.solve_ex(identity - cycle, left[..., None])[0][..., 0]
    for count in range(int(running.max())):
        still = running > count
        brought = after(torch.where(still, since + count * interval, torch.zeros_like(since)))
        standing = standing + torch.where(still[:, None], brought, torch.zeros_like(brought))
    blank = torch.zeros(*happened.time.shape, size + 1, dtype=whole.dtype, device=whole.device)
    return blank.index_put(at, torch.nn.functional.pad(standing, (0, 1)))
