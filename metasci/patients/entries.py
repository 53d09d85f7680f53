"""How doses enter the states of a patient's own equations: what fraction of them, when, over how long, by which way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from metasci.errors import InputError

__all__ = ["Entry", "numbered"]

Quantity = float | str | Callable[[Any], Any]
"""A number, the name of a parameter, or a function of the parameters."""


@dataclass(frozen=True)
class Entry:
    """A state that doses enter, and how; each quantity is a number, a parameter's name, or a function ``p -> …``.

    Parameters
    ----------
    into : str
        The state.
    fraction : number, str or callable
        Of the dose that enters here (bioavailability). A fraction of an infusion leaves its rate and shortens it, as in
        NONMEM.
    lag : number, str or callable, optional
        By how much a dose takes effect later than it is given.
    duration : number, str or callable, optional
        Over how long a dose enters at an even rate (zero-order absorption), unless its row says how long it is infused.
    rate : number, str or callable, optional
        Instead, at what even rate it enters (NONMEM's R1).
    transit : pair of number, str or callable, optional
        Number n of transit compartments, not necessarily whole, and mean transit time: a dose enters at the rate
        F·D·k·(kt)ⁿ·e^(−kt)/Γ(n + 1), k = (n + 1)/MTT (Savic et al., J Pharmacokinet Pharmacodyn 34 (2007) 711).
    compartment : int, optional
        The number by which rows name this way in (CMT); that of the state by default. Of several entries with one
        number each takes its fraction of the same dose.
    name : str
        The name by which rows may call it; the state's by default.
    """

    into: str
    fraction: Quantity = 1.0
    lag: Quantity | None = None
    duration: Quantity | None = None
    rate: Quantity | None = None
    transit: tuple[Quantity, Quantity] | None = None
    compartment: int = 0
    name: str = ""

    def __post_init__(self) -> None:
        even = (self.duration, self.rate)
        if self.transit is not None and even != (None, None):
            raise InputError(
                f"doses into '{self.into}': they pass through transit compartments or enter at an even rate, not both."
            )


def numbered(doses_into: Sequence[str | Entry], states: tuple[str, ...]) -> tuple[Entry, ...]:
    """The entries, each with a number and a name.

    Examples
    --------
    >>> both = numbered(["gut", Entry("blood", compartment=1)], ("gut", "blood"))
    >>> [(entry.name, entry.compartment) for entry in both]
    [('gut', 1), ('gut', 1)]
    """
    entries: list[Entry] = []
    names: dict[int, str] = {}
    for state_or_entry in doses_into:
        entry = state_or_entry if isinstance(state_or_entry, Entry) else Entry(state_or_entry)
        if entry.into not in states:
            raise InputError(
                f"doses into '{entry.into}', which is no state; the states are {', '.join(states)}."
            )
        number = entry.compartment or states.index(entry.into) + 1
        name = names.setdefault(number, entry.name or entry.into)
        entries.append(replace(entry, compartment=number, name=name))
    return tuple(entries)


def quantity(what: Quantity, parameters: Any) -> Any:
    """The value of a number, a parameter's name, or a function of parameters."""
    if isinstance(what, str):
        return getattr(parameters, what)
    return what(parameters) if callable(what) else what
