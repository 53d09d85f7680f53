"""What was given to a patient, as an equation sees it: amounts, when, over what time, and how often before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metasci.model import EventColumn, History

__all__ = ["Doses", "doses"]


def doses(amount: str = "mg", time: str = "h", carried: Mapping[str, str] | None = None) -> History:
    """The history of a model that takes boluses, infusions, steady states and resets.

    Parameters
    ----------
    amount, time : str
        Units.
    carried : mapping of str to str
        Properties of the patient that may change with time and are told at every event: name to unit.

    Examples
    --------
    >>> list(doses("mg", "min").columns)
    ['duration', 'interval', 'until']
    """
    columns = {
        "duration": EventColumn(time, 0.0),
        "interval": EventColumn(time, 0.0),
        "until": EventColumn(time, float("inf")),
    }
    told = {name: EventColumn(unit, float("nan")) for name, unit in (carried or {}).items()}
    return History(amount, at="time", columns={**columns, **told})


@dataclass(frozen=True)
class Doses:
    """Arrays of doses, with a last axis for events that times of measurements lack.

    Attributes
    ----------
    amount : array
        Zero where there is none.
    time : array
        When it began.
    duration : array
        Of the infusion; zero for a bolus.
    interval : array
        Where above zero, the dose has been given every so long since forever, last at `time`.
    until : array
        When the patient was reset, from which time on the dose counts no more; infinite if never.
    """

    amount: Any
    time: Any
    duration: Any
    interval: Any
    until: Any
