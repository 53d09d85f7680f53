"""Event tables as NONMEM reads them: doses and observations of many patients, in order of time.

Every record is checked before anything is made of it. Additional doses are written out, a steady state forgets what was
before, covariates are carried forward, and a sample that stands before a dose of the same time does not see it.

Source: Beal, Sheiner, Boeckmann and Bauer, NONMEM Users Guides, guide VI, PREDPP (1989–2018).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from metasci.errors import InputError
from metasci.io.cards import Card
from metasci.io.checks import Faults
from metasci.io.event_arrays import arrays_of
from metasci.io.event_cells import first, numbers, read_cells, texts, times, without_comments
from metasci.io.event_checks import check_first, check_order, check_records
from metasci.io.event_columns import Columns, Wanted, find_columns, looks_like_events, wanted_by
from metasci.io.event_records import Records, continued
from metasci.units import convert

if TYPE_CHECKING:
    from metasci.model import Model

__all__ = ["looks_like_events", "read_events"]

_NUMBERS = ("DV", "AMT", "EVID", "MDV", "CMT", "RATE", "ADDL", "II", "SS", "LLOQ", "BLQ")


def read_events(
    source: str | Path | pd.DataFrame,
    model: Model,
    *,
    columns: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    where: str | None = None,
) -> tuple[xr.Dataset, Card]:
    """Read an event table for a model.

    Parameters
    ----------
    source : path or DataFrame
        A CSV file, plain or gzipped, or a frame. Columns are known by NONMEM's names (ID, TIME, DATE, DV, AMT, EVID,
        MDV, CMT, RATE, ADDL, II, SS, DVID, OCC, LLOQ, BLQ) and by the model's names of inputs and covariates, in any
        case; headers may hold units, ``WEIGHT [kg]``. A dot and an empty cell hold nothing.
    model : Model
    columns : mapping of str to str, optional
        Where headers are others: NONMEM's or the model's name to the header.
    units : mapping of str to str, optional
        Units by name or header. Times, amounts and measurements without one are taken to be in the model's, which the
        Dataset's attribute ``assumed_units`` says.
    where : str, optional
        What errors call the table.

    Returns
    -------
    Dataset, Card
        As `metasci.tasks.TaskSet` holds them; attribute ``records`` counts what became of every record.

    Raises
    ------
    InputError
        At the first record that does not make sense.

    Examples
    --------
    >>> from metasci.patients import one_compartment
    >>> frame = pd.DataFrame({"ID": [1, 1, 1], "TIME": [0, 2, 12], "AMT": [100, 0, 100], "DV": [".", 2.1, "."]})
    >>> dataset, _ = read_events(frame, one_compartment)
    >>> dataset["concentration"].values, dataset["dose_time"].values
    (array([[2.1]]), array([[ 0., 12.]]))
    """
    checksum = ""
    if isinstance(source, pd.DataFrame):
        named = where or "table"
        frame, comments = without_comments(source)
    else:
        named = where or str(source)
        frame, comments, checksum = read_cells(source)
    if not len(frame):
        raise InputError(f"{named} has no records.")
    wanted = wanted_by(model, named)
    headers = [str(header).strip() for header in frame.columns]
    found = find_columns(headers, model, wanted, dict(columns or {}), dict(units or {}), named)
    records = _records(frame, model, wanted, found, named)
    dataset, card = arrays_of(records, model, wanted, named)
    counts = {"read": len(frame) + comments, "comments": comments, **records.passed_over}
    counts |= {
        "observations": int((~np.isnan(dataset[model.output.name].values)).sum()),
        "doses": 0 if wanted.dose is None else int((dataset[wanted.dose].values > 0).sum()),
        "censored": int(records.censored[records.observes].sum()),
    }
    unused = ", ".join(item.header for item in found.unused)
    return dataset.assign_attrs(
        records=json.dumps(counts), assumed_units=json.dumps(found.assumed), unused_columns=unused, checksum=checksum,
        rows=len(frame), simulated="false",
    ), card  # fmt: skip


def _records(frame: pd.DataFrame, model: Model, wanted: Wanted, found: Columns, where: str) -> Records:
    """Every record of the table, checked, in the model's units."""
    cells = {name: frame.iloc[:, item.position] for name, item in found.found.items()}
    fault = Faults(where, {name: item.header for name, item in found.found.items()}, cells, frame.index)
    if "ID" not in cells:
        raise InputError(f"{where} has no column 'ID'; say which it is, columns={{'ID': '...'}}.")
    names = np.array(texts(cells["ID"]), dtype=object)
    if (at := first(names == "")) is not None:
        raise fault("ID", at, "the cell is empty, so that nobody knows whose record it is")
    codes, labels = pd.factorize(names)
    time_unit = found.found["TIME"].unit if "TIME" in found.found else ""
    stated = "TIME" in found.found and "TIME" not in found.assumed
    time, in_hours = times(fault, codes, stated)
    own = model.inputs[wanted.time].unit
    time = convert(time, "h" if in_hours else time_unit or own, own, f"{where}, time")
    nothing = np.full(len(frame), np.nan)
    values = {name: numbers(name, fault) if name in cells else nothing.copy() for name in _NUMBERS}
    amount_unit = model.histories[wanted.dose].unit if wanted.dose else "1"
    to = {"DV": model.output.unit, "LLOQ": model.output.unit, "AMT": amount_unit, "II": own,
          "RATE": f"({amount_unit})/({own})"}  # fmt: skip
    check_records(values, fault, model, wanted)
    if wanted.dose is not None:
        for name, unit in to.items():
            if name in cells:
                values[name] = convert(
                    values[name], found.found[name].unit, unit, f"{where}, column '{name}'"
                )
    elif "DV" in cells:
        values["DV"] = convert(values["DV"], found.found["DV"].unit, to["DV"], f"{where}, column 'DV'")
    check_order(codes, time, values["EVID"], fault)
    known = {}
    for name, unit in wanted.quantities.items():
        if name in cells:
            known[name] = convert(
                numbers(name, fault), found.found[name].unit or unit, unit, f"{where}, '{name}'"
            )
    records = Records.of(labels.astype(str), codes, continued(codes, time), values, known, fault)
    if wanted.dose is not None:
        check_first(codes, records.gives, records.observes, fault)
    return records
