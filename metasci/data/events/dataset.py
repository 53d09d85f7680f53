"""From records and histories to the Dataset that `metasci.TaskSet` holds, and its card."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from metasci.data.arrays import limit_names
from metasci.data.cards import Card, Column
from metasci.data.events.columns import Wanted
from metasci.data.events.headers import Found
from metasci.data.events.histories import Events, packed
from metasci.data.events.quantities import Quantities
from metasci.data.events.records import Records
from metasci.data.events.table import Floats

if TYPE_CHECKING:
    from metasci.model import Model

__all__ = ["assemble_events"]


def assemble_events(
    labels: list[str],
    records: Records,
    observed: Floats,
    events: Events,
    quantities: Quantities,
    notes: dict[Found, NDArray[Any]],
    model: Model,
    wanted: Wanted,
) -> tuple[xr.Dataset, Card]:
    """The Dataset and its card.

    Parameters
    ----------
    labels : list of str
        Of the patients.
    records, events, quantities
    observed : array
        When each row's measurement was made.
    notes : dict of Found to array
        What columns that nobody asked for say of whole patients.
    model : Model
    wanted : Wanted
    """
    count, read_values = len(labels), quantities.values
    fixed = {name: unit for name, unit in wanted.quantities.items() if name in quantities.constant}
    card = Card.from_model(model, fixed)
    taken = {column.name for column in card.columns} | {"observation", "event"}
    notes = {item: text for item, text in notes.items() if item.bare not in taken}
    columns = tuple(Column(item.header, item.bare, "note") for item in notes)
    card = replace(card, columns=(*card.columns, *columns))
    rows = _places(records)
    codes = records.codes[rows]
    varying = [name for name in card.inputs if name != wanted.time]
    value = np.where(records.measures, records.value, np.nan)
    told = (records.below, records.above, ~np.isnan(records.upper))
    limits = {
        name: values[rows].astype(float)
        for name, which, values in zip(
            limit_names(card), told, (records.below, records.above, records.upper), strict=True
        )
        if which.any()
    }
    here = [_times(records, observed, events, rows), value[rows], *limits.values()]
    arrays = packed(codes, count, *here, *(read_values[name][rows] for name in varying))
    seen = dict(zip((wanted.time, card.output.name, *limits, *varying), arrays, strict=True))
    below, above, upper = limit_names(card)
    units = {column.name: column.unit for column in card.columns}
    units |= {below: "1", above: "1", upper: units[card.output.name]}
    variables: dict[str, Any] = {
        name: (("task", "observation"), values, {"units": units[name]}) for name, values in seen.items()
    }
    if wanted.dose:
        keys = {wanted.dose: "amount", f"{wanted.dose}_time": "time"}
        keys |= {f"{wanted.dose}_{name}": name for name in model.histories[wanted.dose].columns}
        units |= {f"{wanted.dose}_time": units[wanted.time]}
        packed_events = packed(events.codes, count, *(events.values[key] for key in keys.values()))
        variables |= {
            name: (("task", "event"), values, {"units": units[name]})
            for name, values in zip(keys, packed_events, strict=True)
            if name in (wanted.dose, f"{wanted.dose}_time") or not np.isnan(values).all()
        }
    starts = np.searchsorted(records.codes, np.arange(count))
    for name in card.covariates:
        values = read_values[name][starts] if name in read_values else np.full(count, np.nan)
        variables[name] = (("task",), values, {"units": units[name]})
    coords: dict[str, Any] = {"task": np.array(labels).astype(str)}
    coords |= {item.bare: ("task", text.astype(str)) for item, text in notes.items()}
    missing = [name for name in card.covariates if np.isnan(variables[name][1]).any()]
    attrs = {
        "name": card.name,
        "output": card.output.name,
        "title": card.title,
        "source": card.source,
        "licence": card.licence,
        "simulated": str(card.simulated).lower(),
        "missing_covariates": ", ".join(missing),
    }
    return xr.Dataset(variables, coords, attrs), card


def _places(records: Records) -> NDArray[np.intp]:
    """Rows of measurements, and the last row of a patient without any: a place to predict at."""
    measured = np.zeros(int(records.codes.max()) + 1, dtype=bool)
    measured[records.codes[records.measures]] = True
    last = np.diff(records.codes, append=-1) != 0
    return np.flatnonzero(records.measures | (last & ~measured[records.codes]))


def _times(records: Records, observed: Floats, events: Events, rows: NDArray[np.intp]) -> Floats:
    """When measurements were made; where nothing was measured, one unit of time after the last record or dose."""
    last = np.zeros(int(records.codes.max()) + 1)
    np.maximum.at(last, records.codes, observed)
    np.maximum.at(last, events.codes, events.values["time"])
    return np.where(records.measures[rows], observed[rows], last[records.codes[rows]] + 1.0)
