"""What was given to a patient, as an equation sees it: amounts, when, over what time, and how often before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metasci.model import EventColumn, History

__all__ = ["DoseArrays", "carried_along", "doses"]


def doses(
    amount: str = "mg",
    time: str = "h",
    carried: Mapping[str, str] | None = None,
    *,
    infusions: bool = True,
    routes: bool = False,
    ways: Mapping[str, int] | None = None,
    lasts: str = "",
    flows: str = "",
    asked: bool = False,
    baseline: bool = False,
) -> History:
    """The history of a model that takes boluses, infusions, steady states and resets.

    Parameters
    ----------
    amount, time : str
        Units.
    carried : mapping of str to str
        Properties of the patient that may change with time and are told at every event: name to unit.
    infusions : bool
        Whether doses may last; else they are given at once.
    routes : bool
        Whether doses enter by two ways, told by a column ``compartment``: 1 (where nothing is said) to be absorbed, 2
        into the central compartment.
    ways : mapping of str to int
        Names and numbers of the compartments that doses may enter, told by a column ``compartment``; the first one
        where nothing is said.
    lasts : str
        The parameter that says how long a dose takes to enter.
    flows : str
        The parameter that says at what rate a dose enters.
    asked : bool
        Whether each dose tells if it enters as these parameters say, by a column ``modelled``: 0 as its own duration
        says, 1 at the rate of the model (RATE -1), 2 for the duration of the model (RATE -2), 3 as the model says of
        its way in, which it does where a table says nothing.
    baseline : bool
        Whether there is something to measure before any dose.

    Examples
    --------
    >>> list(doses("mg", "min").columns)
    ['duration', 'interval', 'until']
    """
    columns = {"duration": EventColumn(time, 0.0)} if infusions else {}
    columns |= {
        "interval": EventColumn(time, 0.0),
        "until": EventColumn(time, float("inf")),
    }
    if routes or ways:
        columns["compartment"] = EventColumn("1", float(next(iter((ways or {"": 1}).values()))))
    if asked:
        columns["modelled"] = EventColumn("1", 3.0)
    carried_columns = {name: EventColumn(unit, float("nan")) for name, unit in (carried or {}).items()}
    return History(
        amount,
        at="time",
        columns={**columns, **carried_columns},
        lasts=lasts,
        flows=flows,
        baseline=baseline,
        ways=dict(ways or {}),
    )


@dataclass(frozen=True)
class DoseArrays:
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
    compartment : array, optional
        2 for doses into the central compartment of a drug that is else absorbed.
    modelled : array, optional
        Whether a dose enters at the rate or for the duration of the model, as `doses` has it.
    """

    amount: Any
    time: Any
    duration: Any
    interval: Any
    until: Any
    compartment: Any = None
    modelled: Any = None

    @classmethod
    def of(
        cls,
        amount: Any,
        time: Any,
        *,
        interval: Any,
        until: Any,
        duration: Any = None,
        compartment: Any = None,
        modelled: Any = None,
    ) -> DoseArrays:
        """Doses as a model's history tells them; without durations all are given at once."""
        lasting = 0.0 * time if duration is None else duration
        return cls(amount, time, lasting, interval, until, compartment, modelled)


def carried_along(
    what: DoseArrays, known: Mapping[str, Any], at_events: Mapping[str, Any], changing: Sequence[str]
) -> tuple[Any, dict[str, Any]]:
    """Which events tell covariates, (task, event), and every covariate at events followed by observations; torch only.

    Parameters
    ----------
    what : DoseArrays
        (task, 1, event).
    known : mapping of str to Tensor
        Covariates at observations, (task, observation).
    at_events : mapping of str to Tensor
        ``dose_NAME`` of those that change, (task, 1, event); NaN where an event tells nothing.
    changing : sequence of str
    """
    import torch

    observed = {key: values for key, values in known.items() if key in changing}
    width = max(values.shape[1] for values in observed.values())
    updates = torch.ones_like(what.time[:, 0], dtype=torch.bool)
    for values in at_events.values():
        updates = updates & torch.isfinite(values[:, 0])
    everywhere = {}
    for key, values in known.items():
        first = values[:, :1].expand(-1, updates.shape[1])
        before = torch.where(updates, at_events[f"dose_{key}"][:, 0], first) if key in changing else first
        everywhere[key] = torch.cat([before, values.expand(-1, width)], 1)
    return updates, everywhere
