"""Linear compartments whose parameters change with time: one patient's records in order, each interval solved exactly.

Between two records the parameters stay as they were last told, so that the amounts change by a matrix exponential,
with the rate of an infusion as one more, constant, state. All observations of a patient lie on one trajectory.

Source: Jacquez, Compartmental Analysis in Biology and Medicine (1985); Van Loan, IEEE Trans Automat Contr 23 (1978)
395, for the constant state.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metasci.patients.regimen import Doses

__all__ = ["Records", "amounts", "records"]


@dataclass(frozen=True)
class Records:
    """What happens to each patient, in order of time, (task, record) each.

    Attributes
    ----------
    time : Tensor
    source : Tensor of int
        Position among events followed by observations of the record that tells the parameters in force from then on.
    bolus, rate : Tensor
        Amount that goes in at once; change of the infusion's rate.
    steady : Tensor
        Interval of a steady state that begins here; zero for none.
    amount, duration : Tensor
        Of the dose that is at steady state.
    reset : Tensor of bool
    observation : Tensor of int, (task, observation)
        Position of each observation's record.
    """

    time: Tensor
    source: Tensor
    bolus: Tensor
    rate: Tensor
    steady: Tensor
    amount: Tensor
    duration: Tensor
    reset: Tensor
    observation: Tensor


def records(time: Tensor, doses: Doses, told: Tensor) -> Records:
    """Merge events and observations.

    At equal times an infusion ends first, then a reset acts, then a dose is given, then a sample is drawn.

    Parameters
    ----------
    time : Tensor, (task, observation)
    doses : Doses
        Tensors (task, 1, event).
    told : Tensor of bool, (task, event)
        Which events tell parameters; padding does not.
    """
    amount, start, duration, interval, until = (
        values[:, 0] for values in (doses.amount, doses.time, doses.duration, doses.interval, doses.until)
    )
    # what is given at the very time of a later reset is lost in it
    amount = torch.where(until <= start, torch.zeros_like(amount), amount)
    interval = torch.where(until <= start, torch.zeros_like(interval), interval)
    events, observed = start.shape[1], time.shape[1]
    blank = torch.zeros_like(start)
    infused = duration > 0.0
    rate = torch.where(infused, amount / torch.where(infused, duration, 1.0), blank)
    stops = torch.isfinite(until)
    end = torch.minimum(start + duration, until)
    nobody = torch.full_like(start, -torch.inf)
    # kinds of record: ends of infusions, resets, starts, observations
    at = torch.cat([torch.where(infused, end, start), torch.where(stops, until, start), start, time], 1)
    zeros = torch.zeros_like(time)

    def laid(ends: Tensor, resets: Tensor, starts: Tensor) -> Tensor:
        return torch.cat([ends, resets, starts, zeros.to(starts.dtype)], 1)

    order = torch.argsort(at, dim=1, stable=True)
    place = torch.argsort(order, dim=1)
    by_event = torch.where(told, torch.arange(events).to(at).expand_as(start), nobody)
    by_observation = (events + torch.arange(observed)).to(at).expand_as(time)
    tells = torch.cat([nobody, nobody, by_event, by_observation], 1)
    no, yes = torch.zeros_like(stops), stops

    def sorted_by_time(values: Tensor) -> Tensor:
        return values.gather(1, order)

    moved = sorted_by_time(tells)
    position = torch.arange(moved.shape[1]).expand_as(moved)
    last = torch.where(torch.isfinite(moved), position, -1).cummax(1).values
    # before the first record that tells anything, the first one's parameters hold
    first = torch.isfinite(moved).to(torch.int8).argmax(1, keepdim=True)
    source = moved.gather(1, torch.where(last < 0, first, last)).long()
    return Records(
        time=sorted_by_time(at),
        source=source,
        bolus=sorted_by_time(laid(blank, blank, torch.where(infused, blank, amount))),
        rate=sorted_by_time(laid(-rate, blank, rate)),
        steady=sorted_by_time(laid(blank, blank, interval)),
        amount=sorted_by_time(laid(blank, blank, amount)),
        duration=sorted_by_time(laid(blank, blank, duration)),
        reset=sorted_by_time(laid(no, yes, no)),
        observation=place[:, -observed:] if observed else place[:, :0],
    )


def amounts(happened: Records, system: Tensor, entry: int) -> Tensor:
    """Amounts in the compartments at every record, (task, record, compartment).

    Parameters
    ----------
    happened : Records
    system : Tensor, (task, record, compartment, compartment)
        Rates of change from that record on, dx/dt = A x.
    entry : int
        The compartment that doses enter.
    """
    count, size = system.shape[1:3]
    unit = torch.nn.functional.one_hot(torch.tensor(entry), size + 1).to(system)
    whole = torch.nn.functional.pad(system, (0, 1, 0, 1))
    whole = whole + unit[:, None] * torch.nn.functional.one_hot(torch.tensor(size), size + 1).to(system)
    gaps = happened.time.diff(dim=1)
    steps = torch.linalg.matrix_exp(whole[:, :-1] * gaps[..., None, None])
    # a reset loses what was there before; what comes in does so afterwards
    steps = steps * (~happened.reset[:, 1:]).to(system)[..., None, None]
    constant = torch.nn.functional.one_hot(torch.tensor(size), size + 1).to(system)
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


def _steady_states(happened: Records, whole: Tensor, unit: Tensor) -> Tensor | None:
    """What doses before have left where a steady state begins, (task, record, state); None where none does."""
    begins = happened.steady > 0.0
    if not bool(begins.any()):
        return None
    at = begins.nonzero(as_tuple=True)
    matrix, interval = whole[at], happened.steady[at]
    amount, duration = happened.amount[at], torch.minimum(happened.duration[at], interval)
    infused = duration > 0.0
    constant = torch.nn.functional.one_hot(torch.tensor(whole.shape[-1] - 1), whole.shape[-1]).to(whole)
    enters = torch.where(
        infused[:, None],
        (amount / torch.where(infused, duration, 1.0))[:, None] * constant,
        amount[:, None] * unit,
    )
    during = torch.linalg.matrix_exp(matrix * duration[:, None, None])
    after = torch.linalg.matrix_exp(matrix * (interval - duration)[:, None, None])
    size = whole.shape[-1] - 1
    inside = torch.einsum("nij,nj->ni", during, enters)[:, :size]
    left = torch.einsum("nij,nj->ni", after[:, :size, :size], inside)
    cycle = torch.linalg.matrix_exp(matrix[:, :size, :size] * interval[:, None, None])
    identity = torch.eye(size, dtype=whole.dtype, device=whole.device)
    # without elimination there is no steady state: what comes out is not finite, and its task alone is lost
    found = torch.linalg.solve_ex(identity - cycle, left[..., None])[0][..., 0]
    blank = torch.zeros(*happened.time.shape, size + 1, dtype=whole.dtype, device=whole.device)
    return blank.index_put(at, torch.nn.functional.pad(found, (0, 1)))
