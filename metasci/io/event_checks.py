"""Whether the records of an event table make sense, one by one and in their order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metasci.errors import InputError
from metasci.io.checks import Faults
from metasci.io.event_cells import first
from metasci.io.event_columns import Wanted

if TYPE_CHECKING:
    from metasci.model import Model

__all__ = ["check_first", "check_order", "check_records"]

Array = NDArray[np.float64]


def check_records(values: dict[str, Array], fault: Faults, model: Model, wanted: Wanted) -> None:
    """Refuse records that contradict themselves, and write down the kind of each, ``values["EVID"]``.

    Without a column EVID, records with an amount are doses, others observations.
    """
    _known(values, fault)
    amount, rate, measured = values["AMT"], values["RATE"], ~np.isnan(values["DV"])
    has_amount = amount > 0.0
    if "EVID" not in fault.headers:
        values["EVID"] = np.where(has_amount | (rate != 0.0) & ~np.isnan(rate), 1.0, 0.0)
    kind = values["EVID"]
    doses = np.isin(kind, (1.0, 4.0))
    _refuse(fault, "EVID", np.isnan(kind), "the cell is empty; it is 0 for an observation and 1 for a dose")
    _refuse(fault, "AMT", amount < 0.0, "an amount cannot be below zero")
    _refuse(fault, "AMT", doses & ~has_amount, "a dose without an amount")
    _refuse(fault, "AMT", ~doses & has_amount, "an amount in a record that is no dose; set EVID to 1")
    _refuse(fault, "RATE", rate == -1.0, "RATE -1 asks for a rate that is estimated, which no model here has")
    _refuse(
        fault,
        "RATE",
        rate == -2.0,
        "RATE -2 asks for a duration that is estimated; see zero-order absorption",
    )
    _refuse(fault, "RATE", rate < 0.0, "a rate cannot be below zero")
    interval, more, steady = values["II"], values["ADDL"], values["SS"]
    repeats, lasting = more > 0.0, steady > 0.0
    _refuse(
        fault,
        "ADDL",
        (more < 0.0) | (np.mod(more, 1.0) > 0.0),
        "additional doses are a whole number, not below zero",
    )
    _refuse(fault, "ADDL", repeats & ~(interval > 0.0), "additional doses need the interval between them, II")
    _refuse(fault, "SS", lasting & ~(interval > 0.0), "a steady state needs the interval between doses, II")
    _refuse(
        fault,
        "II",
        (interval > 0.0) & ~repeats & ~lasting,
        "an interval without additional doses (ADDL) or a steady state (SS)",
    )
    _refuse(fault, "II", (interval > 0.0) & ~doses, "an interval in a record that is no dose")
    too_long = lasting & (rate > 0.0) & (amount > rate * interval * (1.0 + 1e-9))
    _refuse(fault, "RATE", too_long, "at steady state an infusion cannot last longer than the interval")
    told = measured | (values["MDV"] == 1.0) | (values["BLQ"] == 1.0)
    silent = (kind == 0.0) & ~told & _expects(fault, values)
    _refuse(fault, "DV", silent, "an observation without a measurement; set MDV to 1 if there is none")
    if wanted.dose is None and doses.any():
        name = "AMT" if "AMT" in fault.headers else "EVID"
        raise fault(name, int(np.argmax(doses)), f"model '{model.name}' takes no doses")
    if wanted.dose is not None:
        told = model.histories[wanted.dose].columns
        if "duration" not in told:
            _refuse(fault, "RATE", rate > 0.0, f"model '{model.name}' knows no infusions")
        if "interval" not in told:
            _refuse(fault, "SS", lasting, f"model '{model.name}' knows no steady state")
        if "until" not in told:
            _refuse(fault, "EVID", kind >= 3.0, f"model '{model.name}' cannot be reset")
    if "CMT" in fault.headers and "compartment" not in getattr(
        model.histories.get(wanted.dose or ""), "columns", {}
    ):
        ways = np.unique(values["CMT"][doses & ~np.isnan(values["CMT"])])
        if len(ways) > 1:
            raise InputError(
                f"{fault.where}, column '{fault.headers['CMT']}': doses enter {len(ways)} compartments, but model "
                f"'{model.name}' has one way in."
            )


def check_order(codes: NDArray[np.intp], time: Array, kind: Array, fault: Faults) -> None:
    """Refuse a patient that comes back after others, and time that goes back without a reset."""
    starts = np.flatnonzero(np.diff(codes, prepend=-1) != 0)
    if len(starts) > codes.max() + 1:
        seen: set[int] = set()
        for start in starts.tolist():
            if int(codes[start]) in seen:
                shown = fault.shown("ID", start)
                raise fault(
                    "ID",
                    start,
                    f"patient '{shown}' comes back after others; put all of a patient's records together",
                )
            seen.add(int(codes[start]))
    name = "TIME" if "TIME" in fault.headers else "DATETIME"
    same = codes[1:] == codes[:-1]
    back = np.concatenate([[False], same & (time[1:] < time[:-1]) & ~np.isin(kind[1:], (3.0, 4.0))])
    if (at := first(back)) is not None:
        was, now = fault.shown(name, at - 1), fault.shown(name, at)
        text = f"time goes back, from {was} to {now}; sort the patient's records, or mark a new start by EVID 3 or 4"
        raise fault(name, at, text)
    if (at := first(time < 0.0)) is not None:
        raise fault(name, at, f"{fault.shown(name, at)} lies before time zero")


def _known(values: Mapping[str, Array], fault: Faults) -> None:
    allowed = {"EVID": (0, 1, 2, 3, 4), "MDV": (0, 1), "SS": (0, 1, 2), "BLQ": (0, 1)}
    for name, known in allowed.items():
        odd = ~np.isnan(values[name]) & ~np.isin(values[name], known)
        _refuse(fault, name, odd, f"it is one of {', '.join(map(str, known))}")


def _expects(fault: Faults, values: Mapping[str, Array]) -> NDArray[np.bool_]:
    """Which records would be observations: without EVID and MDV one that says nothing only records covariates."""
    explicit = "EVID" in fault.headers or "MDV" in fault.headers
    return np.full(len(values["DV"]), explicit)


def _refuse(fault: Faults, name: str, wrong: NDArray[np.bool_], text: str) -> None:
    if (at := first(wrong)) is None:
        return
    if name not in fault.headers:  # what is wrong is that the column is missing
        other = next((key for key in ("EVID", "AMT", "TIME") if key in fault.headers), "ID")
        raise InputError(
            f"{fault.where}, row {fault.rows[at]}: {text} (there is no column {name}; see {other})."
        )
    shown = fault.shown(name, at)
    raise fault(name, at, f"{text} (it says '{shown}')" if shown else text)


def check_first(
    codes: NDArray[np.intp], gives: NDArray[np.bool_], observes: NDArray[np.bool_], fault: Faults
) -> None:
    """Refuse a measurement before the patient's first dose, of which a model of doses has nothing to say."""
    given = pd.Series(gives).groupby(codes).cummax().to_numpy()
    if (at := first(observes & ~given)) is not None:
        name = next(key for key in ("DV", "TIME", "ID") if key in fault.headers)
        raise fault(name, at, "a measurement before any dose; set MDV to 1 to pass it over")
