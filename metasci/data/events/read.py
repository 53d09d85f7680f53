"""Event tables, as NONMEM reads them: doses, measurements and changes of a patient, one record a row.

`read_events` checks every record and gives labelled arrays for a model. Nothing is guessed or repaired: what does not
fit is an `InputError` of one sentence, and what is left out is counted in the attribute ``records``.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from metasci.data.cards import Card
from metasci.data.checks import Faults
from metasci.data.events.arrays import clock, given_events, order_at_equal_times
from metasci.data.events.cells import first, numbers, read_cells, texts, times, without_comments
from metasci.data.events.columns import (
    Columns,
    Wanted,
    find_columns,
    looks_like_events,
    tells_events,
    wanted_by,
)
from metasci.data.events.dataset import Table, assemble_events
from metasci.data.events.quantities import check_quantities, quantities_of
from metasci.data.events.records import Floats, check_doses, check_order, check_representable, records_of
from metasci.errors import InputError
from metasci.units import convert

if TYPE_CHECKING:
    from metasci.model import Model

__all__ = ["headers_of", "looks_like_events", "read_events", "tells_events"]


def headers_of(source: str | Path | pd.DataFrame) -> list[str]:
    """The headers of a table; none where a file cannot be read, which whoever reads it will say."""
    if isinstance(source, pd.DataFrame):
        return [str(column) for column in source.columns]
    opened = gzip.open if Path(source).suffix == ".gz" else open
    try:
        with opened(source, "rt", encoding="utf-8-sig", errors="replace") as file:
            return [header.strip().strip('"') for header in file.readline().split(",")]
    except (OSError, EOFError):
        return []


def read_events(
    source: str | Path | pd.DataFrame,
    model: Model,
    *,
    columns: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    where: str | None = None,
    allow_before_dose: bool = False,
    require_output: bool = True,
) -> tuple[xr.Dataset, Card]:
    """Read an event table with NONMEM's columns: ID, TIME, DV, AMT, EVID, MDV, CMT, RATE, ADDL, II, SS and more.

    Parameters
    ----------
    source : path or DataFrame
        A CSV file (may be gzipped), or a frame of numbers or texts. A dot and an empty cell hold nothing; lines that
        start with ``#`` are comments.
    model : Model
        Says which inputs, covariates and properties of doses are wanted.
    columns : mapping of str to str, optional
        NONMEM's or the model's name to the header in the table, where they differ: ``{"DV": "CP", "weight": "WGT"}``.
    units : mapping of str to str, optional
        Units of columns whose headers do not say them, by name or header.
    where : str, optional
        What errors call the table.
    allow_before_dose : bool
        Whether measurements before a patient's first dose are taken, as they are if the model has a baseline. One
        without predicts zero there.
    require_output : bool
        Whether every row of a measurement must hold one. Else rows without, or with MDV 1, ask for a prediction.

    Returns
    -------
    dataset : Dataset
        As `metasci.TaskSet` has it. ``attrs["records"]`` counts, as JSON, what was read and what was passed over,
        ``attrs["assumed_units"]`` names the units that nobody stated.
    card : Card

    Raises
    ------
    InputError
        At the first thing that does not fit.

    Notes
    -----
    Headers may be in any case and carry units, ``AMT [ug]``. An event table has no units: where nobody says them, TIME,
    AMT and DV are taken to be in the model's units (times by the clock in hours), RATE, II and LLOQ in what follows.
    Other columns need a unit, unless it is 1.

    *Kinds of records.* EVID 0 is a measurement, 1 a dose, 2 another event, 3 a reset, 4 a reset and dose. Without EVID
    a row with an amount is a dose, any other with a value a measurement; a row with both, and no MDV, is a measurement
    and then a dose. MDV 1 passes a measurement over. With BLQ (or CENS) 1 the true value lies below LLOQ (or LIMIT), or
    below DV if that is empty; ``<0.1`` in DV says the same, as does, where there is no BLQ, a value below LLOQ.

    *Order.* What is recorded first happens first. A dose recorded after a measurement of the same time is moved one
    rounding error up, so that the measurement does not see it. Additional doses (ADDL) come before whatever is recorded
    at the same time; end ADDL earlier and write such a dose in a row of its own if a sample was drawn before it.

    *Resets.* After EVID 3 or 4, and at a dose with SS 1, what was given before counts no more, and additional doses
    that were still due are not given. Time may begin anew at EVID 3 or 4: that part is then laid behind the one before,
    one unit of time after its last record.

    *Times.* Numbers, or dates and clocks: a column DATE (2024-03-01) with TIME (08:30, or hours of the day), or one
    column DATETIME or TIME (2024-03-01 08:30). Time then runs from the patient's first record.

    *Covariates* hold from the row on which they stand. Those that are the same throughout each patient become
    (task,); other inputs (task, observation). What a history is told at every event is told at every change, by an
    event of amount zero where there is no dose.

    Examples
    --------
    >>> from metasci.library import find
    >>> table = pd.DataFrame({"ID": [1, 1, 1], "TIME": [0, 2, 8], "AMT": [20, ".", "."], "DV": [".", 17.3, 16.8],
    ...                       "EVID": [1, 0, 0], "weight [g]": 1400})
    >>> dataset, card = read_events(table, find("patients.one_compartment_bolus"))
    >>> dataset["concentration"].values, dataset["dose_time"].values, dataset["weight"].values
    (array([[17.3, 16.8]]), array([[0.]]), array([1.4]))
    >>> dataset.attrs["assumed_units"]
    '{"TIME": "h", "DV": "mg/L", "AMT": "mg"}'
    """
    if isinstance(source, pd.DataFrame):
        where = where or "table"
        frame, comments = without_comments(source)
        frame.attrs, checksum = source.attrs, ""
    else:
        where = where or str(source)
        frame, comments, checksum = read_cells(source)
    if not len(frame.columns) or not len(frame):
        raise InputError(f"{where} has no rows.")
    wanted = wanted_by(model, where)
    known = find_columns(frame, model, wanted, columns or {}, units or {}, where)
    _need(known, model, wanted, require_output, where)
    table = _table(frame, known, model, wanted, where, allow_before_dose, require_output)
    dataset, card = assemble_events(table, known, model, wanted)
    dataset.attrs |= {
        "checksum": checksum,
        "rows": len(frame),
        "records": json.dumps({"rows": len(frame), "comments": comments, **table.counts}),
        "assumed_units": json.dumps(known.assumed),
    }
    given = {
        "ID": known.found["ID"].bare,
        **{key: _bare_of(known, frame, header) for key, header in (columns or {}).items()},
    }
    return dataset, replace(card, events=given)


def _need(known: Columns, model: Model, wanted: Wanted, require_output: bool, where: str) -> None:
    """Refuse a table that lacks a column."""
    names = [
        "ID",
        *(["DV"] if require_output else []),
        *(name for name in wanted.quantities if name in model.inputs),
    ]
    names += [name for name in wanted.carried if name not in names]
    for name in names:
        if name not in known.found:
            others = ", ".join(item.header for item in known.unused)
            raise InputError(
                f"{where} has no column '{name}', which is needed; if it is called otherwise, say "
                f"columns={{'{name}': '...'}}" + (f" (columns not in use: {others})." if others else ".")
            )


def _table(
    frame: pd.DataFrame,
    known: Columns,
    model: Model,
    wanted: Wanted,
    where: str,
    allow_before_dose: bool,
    require_output: bool,
) -> Table:
    """Read, check and convert everything."""
    found = known.found
    cells = {name: frame.iloc[:, item.position] for name, item in found.items()}
    fault = Faults(where, {name: item.header for name, item in found.items()}, cells, frame.index)
    names = np.array(texts(cells["ID"]), dtype=object)
    if (at := first(names == "")) is not None:
        raise fault("ID", at, "the cell is empty, so nobody knows whose record it is")
    codes, labels = pd.factorize(names)
    time, is_hours = times(fault, codes, found["TIME"].unit if "TIME" in found else "h")
    history = model.histories[wanted.dose] if wanted.dose else None
    records = records_of(fault, codes, require_output, history.lasts if history else "")
    check_order(
        fault,
        records,
        time,
        [str(label) for label in labels],
        allow_before_dose or (history is not None and history.baseline),
        wanted.dose is not None,
    )
    check_representable(fault, records, model)

    time_unit = model.inputs[wanted.time].unit

    def converted(values: Floats, name: str, to: str) -> Floats:
        unit = found[name].unit if name in found else to
        return convert(values, unit, to, f"{where}, column '{fault.headers.get(name, name)}'")

    time = convert(time, "h", time_unit) if is_hours else converted(time, "TIME", time_unit)
    amount_unit = (
        model.histories[wanted.dose].unit if wanted.dose else found["AMT"].unit if "AMT" in found else "1"
    )
    limited = (
        records.below & ~np.isnan(numbers("LLOQ", fault)) if "LLOQ" in found else np.zeros_like(records.below)
    )
    values = converted(records.value, "DV", model.output.unit)
    records = replace(
        records,
        value=np.where(limited, converted(records.value, "LLOQ", model.output.unit), values),
        amount=converted(records.amount, "AMT", amount_unit) if wanted.dose else records.amount,
        rate=converted(records.rate, "RATE", f"({amount_unit})/({time_unit})")
        if wanted.dose
        else records.rate,
        interval=converted(records.interval, "II", time_unit),
    )
    infused = records.rate > 0
    duration = np.where(infused, records.amount / np.where(infused, records.rate, 1.0), 0.0)
    check_doses(fault, records, duration)
    quantities, constant = quantities_of(fault, known, model, wanted, records, labels)
    check_quantities(fault, model, wanted, time, records.measures, quantities)
    time, restarts = clock(records, time)
    observed, given_time = order_at_equal_times(records, time)
    events = given_events(
        records, time, given_time, {name: quantities[name] for name in wanted.carried}, duration
    )
    told = {item.header: np.array(texts(frame.iloc[:, item.position]), dtype=object) for item in known.unused}
    starts = np.searchsorted(codes, np.arange(len(labels)))
    notes = {
        header: values[starts] for header, values in told.items() if (values == values[starts][codes]).all()
    }
    counts = {
        "patients": len(labels),
        "measurements": int((records.measures & ~np.isnan(records.value)).sum()),
        "below_limit": int(records.below.sum()),
        "doses": int(records.gives.sum()) + events.additional,
        "additional_doses": events.additional,
        "steady_states": int((records.gives & (records.steady > 0)).sum()),
        "resets": int(records.resets.sum()),
        "starts_of_time_anew": restarts,
        "measurements_at_additional_doses": events.at_measurements,
        "passed_over": {**records.passed_over, "additional doses due after a reset": events.cut_off},
    }
    dropped = [header for header in told if header not in notes]
    return Table(
        [str(label) for label in labels],
        records,
        observed,
        events,
        quantities,
        constant,
        notes,
        counts,
        dropped,
    )


def _bare_of(known: Columns, frame: pd.DataFrame, header: str) -> str:
    """The header that the user meant, without its unit."""
    asked = header.strip().lower()
    return next(
        (item.bare for item in known.found.values() if asked in (item.bare.lower(), item.header.lower())),
        header,
    )
