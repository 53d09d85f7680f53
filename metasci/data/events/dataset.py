"""From a checked event table to the Dataset that `metasci.TaskSet` holds, and its card."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from metasci.data.arrays import below_name
from metasci.data.cards import Card, Column
from metasci.data.events.arrays import Events, packed
from metasci.data.events.columns import Columns, Wanted
from metasci.data.events.records import Floats, Records

if TYPE_CHECKING:
    from metasci.model import Model

__all__ = ["Table", "assemble_events"]


@dataclass(frozen=True)
class Table:
    """A checked table: what each row is, measurement times, events, and quantities by the model's names."""

    labels: list[str]
    records: Records
    observed: Floats
    events: Events
    quantities: dict[str, Floats]
    constant: dict[str, bool]
    notes: dict[str, NDArray[Any]]
    counts: dict[str, Any]
    dropped: list[str]


def assemble_events(table: Table, known: Columns, model: Model, wanted: Wanted) -> tuple[xr.Dataset, Card]:
    """The Dataset and its card."""
    count, records = len(table.labels), table.records
    fixed = {name: wanted.quantities[name] for name, same in table.constant.items() if same}
    card = Card.from_model(model, fixed)
    taken = {column.name for column in card.columns} | {"observation", "event"}
    free = [item for item in known.unused if item.header in table.notes and item.bare not in taken]
    columns = tuple(Column(item.header, item.bare, "note") for item in free)
    card = replace(card, columns=(*card.columns, *columns))
    rows = _places(records)
    codes = records.codes[rows]
    varying = [name for name in card.inputs if name != wanted.time]
    value = np.where(records.measures, records.value, np.nan)
    here = [_times(table, rows), value[rows], records.below[rows].astype(float)]
    arrays = packed(codes, count, *here, *(table.quantities[name][rows] for name in varying))
    below = below_name(card)
    observed = dict(zip((wanted.time, card.output.name, below, *varying), arrays, strict=True))
    if not records.below.any():
        del observed[below]
    units = {column.name: column.unit for column in card.columns} | {below: "1"}
    variables: dict[str, Any] = {
        name: (("task", "observation"), values, {"units": units[name]}) for name, values in observed.items()
    }
    if wanted.dose:
        keys = {wanted.dose: "amount", f"{wanted.dose}_time": "time"}
        keys |= {f"{wanted.dose}_{name}": name for name in model.histories[wanted.dose].columns}
        units |= {f"{wanted.dose}_time": units[wanted.time]}
        told = packed(table.events.codes, count, *(table.events.values[key] for key in keys.values()))
        variables |= {
            name: (("task", "event"), values, {"units": units[name]})
            for name, values in zip(keys, told, strict=True)
            if name in (wanted.dose, f"{wanted.dose}_time") or not np.isnan(values).all()
        }
    starts = np.searchsorted(records.codes, np.arange(count))
    for name in card.covariates:
        values = table.quantities[name][starts] if name in table.quantities else np.full(count, np.nan)
        variables[name] = (("task",), values, {"units": units[name]})
    coords: dict[str, Any] = {"task": np.array(table.labels).astype(str)}
    coords |= {item.bare: ("task", table.notes[item.header].astype(str)) for item in free}
    missing = [name for name in card.covariates if np.isnan(variables[name][1]).any()]
    attrs = {
        "name": card.name,
        "output": card.output.name,
        "title": card.title,
        "source": card.source,
        "licence": card.licence,
        "simulated": str(card.simulated).lower(),
        "missing_covariates": ", ".join(missing),
        "dropped": ", ".join(item.header for item in known.unused if item not in free),
    }
    return xr.Dataset(variables, coords, attrs), card


def _places(records: Records) -> NDArray[np.intp]:
    """Rows of measurements, and the last row of a patient without any: a place to predict at."""
    measured = np.zeros(int(records.codes.max()) + 1, dtype=bool)
    measured[records.codes[records.measures]] = True
    last = np.diff(records.codes, append=-1) != 0
    return np.flatnonzero(records.measures | (last & ~measured[records.codes]))


def _times(table: Table, rows: NDArray[np.intp]) -> Floats:
    """When measurements were made; where nothing was measured, one unit of time after the last record or dose."""
    last = np.zeros(len(table.labels))
    np.maximum.at(last, table.records.codes, table.observed)
    np.maximum.at(last, table.events.codes, table.events.values["time"])
    return np.where(table.records.measures[rows], table.observed[rows], last[table.records.codes[rows]] + 1.0)
