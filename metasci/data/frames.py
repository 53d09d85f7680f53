"""Tasks as a frame of rows, as a table would hold them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from metasci.data.arrays import limit_names, present
from metasci.data.cards import Card, Column
from metasci.units import convert, same_dimension

__all__ = ["csv_bytes", "frame_of", "in_written_units", "safe_for_spreadsheets", "structures_of", "written"]


def structures_of(dataset: xr.Dataset, name: str) -> list[str]:
    """The different structures of an input; its numbers are places in this list."""
    stored = dataset[name].attrs.get("structures", [])
    return [stored] if isinstance(stored, str) else [str(text) for text in stored]


def frame_of(ds: xr.Dataset, card: Card, units: bool = False) -> pd.DataFrame:
    """The frame that `TaskSet.to_frame` describes."""
    parts = []
    for name in card.histories:
        task, event = np.nonzero(~np.isnan(ds[name].values))
        renamed = {card.column(name).at: f"{name}_time", name: name}
        renamed |= {column.name: column.name for column in card.event_columns(name) if column.name in ds}
        parts.append(
            pd.DataFrame({"_": task, **{to: ds[key].values[task, event] for to, key in renamed.items()}})
        )
    task, observation = np.nonzero(present(ds, card))
    names = [*card.inputs, card.output.name]
    measured: dict[str, Any] = {name: ds[name].values[task, observation] for name in names}
    for name in names:
        if card.column(name).kind:  # written out again
            structures = np.array(structures_of(ds, name), dtype=object)
            measured[name] = structures[measured[name].astype(np.intp)]
        elif card.column(name).codes:
            measured[name] = _texts(measured[name], card.column(name))
    limits = {name: ds[name].values[task, observation] for name in limit_names(card) if name in ds}
    if units and limits:
        measured[card.output.name] = written(measured[card.output.name], limits, card.output.name)
    else:
        measured |= limits
    parts.append(pd.DataFrame({"_": task, **measured}))
    rows = pd.concat(parts, ignore_index=True).sort_values("_", kind="stable", ignore_index=True)
    task = rows.pop("_").to_numpy()
    labels = {str(name): coord for name, coord in ds.coords.items() if coord.dims == ("task",)}
    labels_of_task = {name: coord.values[task].astype(object) for name, coord in labels.items()}
    known: dict[str, Any] = {name: ds[name].values[task] for name in card.covariates}
    known |= {name: _texts(known[name], card.column(name)) for name in known if card.column(name).codes}
    frame = pd.DataFrame({"task": labels_of_task.pop("task"), **labels_of_task, **known})
    frame[list(rows.columns)] = rows
    columns = [column.name for column in card.with_role("event") if column.name in ds]
    stated = {name: ds[name].attrs["units"] for name in (*card.covariates, *names, *card.histories, *columns)}
    if not units:
        frame.attrs["units"] = stated
        return frame
    headers = {name: f"{name} [{unit}]" for name, unit in stated.items() if unit != "1"}
    for column in card.columns:
        if column.role in ("task", "note"):
            headers[column.name] = column.header
    return frame.rename(columns=headers)


def _texts(numbers: NDArray[np.float64], column: Column) -> list[str]:
    """The texts that a column's numbers stand for; nothing where a number is not known."""
    texts = {code: text for text, code in column.codes.items()}
    return ["" if np.isnan(number) else texts[number] for number in numbers]


def written(values: NDArray[np.float64], limits: Mapping[str, NDArray[np.float64]], output: str) -> list[Any]:
    """Measurements as cells: numbers, and texts where they are limits or intervals, as their variables tell."""
    nothing = np.full(len(values), np.nan)
    below, above, upper = (limits.get(f"{output}_{end}", nothing) for end in ("below", "above", "upper"))
    return [
        f"<{value!r}"
        if is_below == 1.0
        else f">{value!r}"
        if is_above == 1.0
        else value
        if np.isnan(end)
        else f"{value!r}..{end!r}"
        for value, is_below, is_above, end in zip(
            values.tolist(), below.tolist(), above.tolist(), upper.tolist(), strict=True
        )
    ]


def in_written_units(
    frame: pd.DataFrame, dataset: xr.Dataset, card: Card, forecasts: Collection[str]
) -> pd.DataFrame:
    """The frame in the units in which its columns were written down, with headers that say them.

    Parameters
    ----------
    frame : DataFrame
        Of `frame_of`, perhaps with further columns.
    dataset : xarray.Dataset
        Whose ``attrs["written_units"]`` tells how a file's headers had it; else the card's units are taken.
    card : Card
    forecasts : collection of str
        Further columns, which are in the output's unit.
    """
    try:
        written = json.loads(dataset.attrs.get("written_units", "{}"))
    except (TypeError, ValueError):  # a Dataset of the user's own, who means something else by it
        written = {}
    wanted = {column.name: column.unit for column in card.columns if column.unit} | written
    of_column = {str(name): str(name) for name in frame.columns} | dict.fromkeys(forecasts, card.output.name)
    changed, headers = frame.copy(), {}
    for name, source in of_column.items():
        if name not in frame or source not in dataset or source not in wanted:
            continue
        unit = str(dataset[source].attrs.get("units", "1"))
        if pd.api.types.is_numeric_dtype(frame[name]) and same_dimension(unit, wanted[source]):
            # thirteen digits: what a change of unit adds in the last places is nobody's measurement
            changed[name] = [
                float(f"{value:.13g}") for value in convert(frame[name], unit, wanted[source], name)
            ]
            unit = wanted[source]
        if unit != "1":
            headers[name] = f"{name} [{unit}]"
    return changed.rename(columns=headers)


def safe_for_spreadsheets(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame, in which no text begins as a formula does: a spreadsheet would carry it out.

    Examples
    --------
    >>> safe_for_spreadsheets(pd.DataFrame({"task": ["=1+1", "a"], "y": [-1.0, 2.0]}))["task"].tolist()
    ["'=1+1", 'a']
    """

    def quoted(cell: Any) -> Any:
        return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell

    changed = frame.map(quoted)
    changed.attrs = frame.attrs
    return changed.set_axis([quoted(str(column)) for column in frame.columns], axis=1)


def csv_bytes(frame: pd.DataFrame, digits: int | None = None) -> bytes:
    """The frame as a CSV file that a spreadsheet may open: no cell of it is a formula.

    Parameters
    ----------
    frame : DataFrame
        Its index is not written.
    digits : int, optional
        Significant digits of the numbers; all of them by default.

    Examples
    --------
    >>> csv_bytes(pd.DataFrame({"task": ["=1+1"], "y": [-1 / 3]}), digits=3).decode().split()
    ['task,y', "'=1+1,-0.333"]
    """
    text: str = safe_for_spreadsheets(frame).to_csv(
        index=False, float_format=f"%.{digits}g" if digits else None
    )
    return text.encode()
