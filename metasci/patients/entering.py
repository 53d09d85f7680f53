"""Doses as they enter the states of a patient's own equations: by each way in its fraction, late, or over a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metasci.errors import InputError
from metasci.math import exp, log, log_gamma, where
from metasci.patients.entries import Entry, quantity
from metasci.patients.moments import noted
from metasci.patients.regimen import DoseArrays

if TYPE_CHECKING:
    from torch import Tensor

    from metasci import ode

__all__ = ["entered", "through_transit"]


@dataclass(frozen=True)
class _Block:
    """Doses into one state, each array (task, event)."""

    amount: Tensor
    time: Tensor
    duration: Tensor
    interval: Tensor
    state: int
    tells: Tensor


@dataclass(frozen=True)
class _Given:
    """What one way in makes of a patient's doses, each array (task, event).

    Attributes
    ----------
    amount, start, duration : Tensor
        Amount that enters here, zero for doses that take another way; from when on, and over how long.
    lag : Tensor or None
    repeated : Tensor of bool
        Which of them are at steady state.
    interval, time, until : Tensor
        As the doses have them.
    """

    amount: Tensor
    start: Tensor
    duration: Tensor
    lag: Tensor | None
    repeated: Tensor
    interval: Tensor
    time: Tensor
    until: Tensor

    @classmethod
    def by(cls, entry: Entry, doses: DoseArrays, p: Any) -> _Given:
        """Doses by an entry, with the parameters in force at each event."""
        import torch

        amount, time, duration, interval, until, way = (
            column[:, 0]
            for column in (
                doses.amount,
                doses.time,
                doses.duration,
                doses.interval,
                doses.until,
                doses.compartment,
            )
        )
        nothing = torch.zeros_like(amount)
        here = (way == float(entry.compartment)) & (amount != 0.0)
        fraction = quantity(entry.fraction, p) + nothing
        lasting = _lasting(entry, here, fraction, amount, duration, doses.modelled, p)
        lag = None if entry.lag is None else quantity(entry.lag, p) + nothing
        return cls(
            torch.where(here, fraction * amount, nothing),
            time if lag is None else time + lag,
            torch.where(here, lasting, nothing),
            lag,
            here & (interval > 0.0),
            interval,
            time,
            until,
        )

    def blocks(self, state: int) -> list[_Block]:
        """The doses, and where they have a lag and are at steady state the state just after the last one before."""
        import torch

        nothing, never = torch.zeros_like(self.amount), torch.zeros_like(self.repeated)
        if self.lag is None:
            interval = torch.where(self.repeated, self.interval, nothing)
            return [_Block(self.amount, self.start, self.duration, interval, state, never)]
        dose_blocks = [_Block(self.amount, self.start, self.duration, nothing, state, never)]
        if not bool(self.repeated.any()):
            return dose_blocks
        period = torch.where(self.repeated, self.interval, torch.ones_like(nothing))
        # of a dose that waits for longer than its interval several before it are still to take effect
        waiting = torch.where(self.repeated, torch.floor(self.lag / period), nothing).detach()
        for count in range(1, int(waiting.max()) + 2):
            counts = self.repeated & (waiting + 1.0 >= count)
            last = counts & (waiting + 1.0 == count)
            dose_blocks.append(
                _Block(
                    torch.where(counts, self.amount, nothing),
                    self.start - count * self.interval,
                    torch.where(counts, self.duration, nothing),
                    torch.where(last, self.interval, nothing),
                    state,
                    never,
                )
            )
        return dose_blocks


def _lasting(
    entry: Entry, here: Tensor, fraction: Tensor, amount: Tensor, duration: Tensor, modelled: Any, p: Any
) -> Tensor:
    """Over how long each dose enters: as its row says, or where it does not (or asks for it) as the model says.

    Raises
    ------
    InputError
        If a dose asks for a rate or duration that this way in does not have.
    """
    import torch

    by_row, nothing = fraction * duration, torch.zeros_like(amount)
    duration_of_model = None if entry.duration is None else quantity(entry.duration, p) + nothing
    rate_of_model = None if entry.rate is None else fraction * amount / (quantity(entry.rate, p) + nothing)
    by_model = rate_of_model if duration_of_model is None else duration_of_model
    if modelled is None:
        return by_row if by_model is None else torch.where(duration > 0.0, by_row, by_model)
    asked = modelled[:, 0]
    for code, lasts, what in ((1.0, rate_of_model, "rate"), (2.0, duration_of_model, "duration")):
        if lasts is not None:
            by_row = torch.where(asked == code, lasts, by_row)
        elif bool((here & (asked == code)).any()):
            raise InputError(
                f"a dose into '{entry.into}' asks for the {what} of the model (RATE {-int(code)}), which has none "
                "there; write the rate of the infusion, or 0 for a bolus."
            )
    return by_row if by_model is None else torch.where((asked == 3.0) & (duration <= 0.0), by_model, by_row)


def entered(
    entries: Sequence[Entry],
    states: Sequence[str],
    doses: DoseArrays,
    told: Tensor | None,
    p: Any,
    held: dict[str, Tensor],
) -> tuple[ode.Doses, dict[str, Tensor], Tensor]:
    """Every dose by each way in, as `metasci.ode.solve` takes them.

    Parameters
    ----------
    entries, states
    doses : DoseArrays
        (task, 1, event).
    told : Tensor of bool, (task, event), or None
        Which events tell values that change.
    p : Named
        Parameters in force at each event.
    held : dict of str to Tensor, (task, event)
        Values that change, for the rate.

    Returns
    -------
    doses : metasci.ode.Doses
    transits : dict of str to Tensor
        What passes through transit compartments, for `through_transit`.
    most : Tensor, (task, state)
        The greatest dose that enters each state.
    """
    import torch

    from metasci.ode import Doses as Given

    time = doses.time[:, 0]
    nothing, never = torch.zeros_like(time), torch.zeros_like(time, dtype=torch.bool)
    # the events themselves tell what changes; what they give comes behind, way by way
    blocks = [_Block(nothing, time, nothing, nothing, 0, never if told is None else told)]
    transits: dict[str, Tensor] = {}
    most = [nothing[:, :1].sum(1)] * len(states)
    for place, entry in enumerate(entries):
        entry_doses, state = _Given.by(entry, doses, p), states.index(entry.into)
        _check_repeated(entries, entry, entry_doses)
        most[state] = torch.maximum(most[state], entry_doses.amount.detach().abs().amax(1))
        if entry.transit is None:
            blocks += entry_doses.blocks(state)
            continue
        number, mean = (quantity(each, p) + nothing for each in entry.transit)
        columns = {
            "amount": entry_doses.amount,
            "start": entry_doses.start,
            "until": entry_doses.until,
            "number": number,
            "mean": mean,
        }
        transits |= {f"_{place}_{name}": values for name, values in columns.items()}
        # a halt where it begins; one that comes late must not tell anew what has changed since
        halts = entry_doses.amount != 0.0 if told is None or entry_doses.lag is None else never
        blocks.append(_Block(nothing, entry_doses.start, nothing, nothing, state, halts))
    joined = [
        torch.cat([getattr(block, name) for block in blocks], 1)
        for name in ("amount", "time", "duration", "interval")
    ]
    until = doses.until[:, 0].repeat(1, len(blocks))
    into = torch.cat([torch.full_like(time, block.state, dtype=torch.int64) for block in blocks], 1)
    carried = {name: values.repeat(1, len(blocks)) for name, values in held.items()}
    tells = torch.cat([block.tells for block in blocks], 1)
    amount, at, duration, interval = joined
    noted(at, duration)
    return Given(amount, at, duration, interval, until, into, carried, tells), transits, torch.stack(most, 1)


def _check_repeated(entries: Sequence[Entry], entry: Entry, entry_doses: _Given) -> None:
    """Refuse steady states that are not solved: their doses can be written out."""
    import torch

    again = entry_doses.repeated
    if not bool(again.any()):
        return
    instead = "write the doses before it out (ADDL) instead of SS"
    if entry.transit is not None:
        raise InputError(f"a steady state of doses through transit compartments is not solved; {instead}.")
    if bool((again & (entry_doses.duration > entry_doses.interval)).any()):
        raise InputError(f"a steady state of infusions that last longer than II is not solved; {instead}.")
    if sum(other.compartment == entry.compartment for other in entries) > 1:
        raise InputError(f"a steady state of doses that enter by several ways is not solved; {instead}.")
    earliest = torch.where(entry_doses.amount != 0.0, entry_doses.time, torch.inf).amin(1, keepdim=True)
    if entry_doses.lag is not None and bool((again & (entry_doses.time > earliest)).any()):
        raise InputError(f"a steady state after other doses, of doses with a lag, is not solved; {instead}.")


def through_transit(time: Any, parameters: Any, place: int) -> Any:
    """The rate at which doses arrive behind a chain of transit compartments, (task,).

    Source: Savic, Jonker, Kerbusch and Karlsson, J Pharmacokinet Pharmacodyn 34 (2007) 711, equation 12.
    """
    amount, start, until, number, mean = (
        parameters[f"_{place}_{name}"] for name in ("amount", "start", "until", "number", "mean")
    )
    since = time[:, None] - start
    counts = (since > 0.0) & (time[:, None] < until) & (amount != 0.0)
    speed = (number + 1.0) / mean
    passed = speed * where(counts, since, 1.0 + 0.0 * since)
    arriving = exp(number * log(passed) - passed - log_gamma(number + 1.0))
    return where(counts, amount * speed * arriving, 0.0 * arriving).sum(1)
