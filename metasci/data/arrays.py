"""From a tidy table to labelled arrays that end in NaN where a task is shorter than the longest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from metasci.data.cards import Card
from metasci.errors import InputError

__all__ = [
    "above_name",
    "any_alike",
    "assemble",
    "below_name",
    "content_sum",
    "limit_names",
    "present",
    "upper_name",
    "width",
]

_MOST_PLACES = 50_000_000
"""Half a gigabyte for each variable: a table of few long tasks and many short ones is to be split."""


def present(dataset: xr.Dataset, card: Card) -> NDArray[np.bool_]:
    """Where there is an observation and no padding."""
    measured = ~np.isnan(dataset.variables[card.output.name].values)
    for name in card.inputs:
        measured |= ~np.isnan(dataset.variables[name].values)
    return np.asarray(measured)


def below_name(card: Card) -> str:
    """The variable that is 1 where a measurement is only known to lie below what stands there, its limit."""
    return f"{card.output.name}_below"


def above_name(card: Card) -> str:
    """The variable that is 1 where a measurement is only known to lie above what stands there, its limit."""
    return f"{card.output.name}_above"


def upper_name(card: Card) -> str:
    """The variable that holds the upper end where a measurement lies between what stands there and that; else NaN."""
    return f"{card.output.name}_upper"


def limit_names(card: Card) -> tuple[str, str, str]:
    """The variables that tell of measurements that are limits or intervals; each is there only where one is."""
    return below_name(card), above_name(card), upper_name(card)


def content_sum(dataset: xr.Dataset) -> str:
    """SHA-256 of what a Dataset holds: names, units, dimensions, labels and numbers, in order; not of its history.

    Examples
    --------
    >>> first = xr.Dataset({"y": ("task", [1.0, np.nan], {"units": "h"})}, {"task": ["a", "b"]})
    >>> content_sum(first) == content_sum(first.copy(deep=True).assign_attrs(title="the same"))
    True
    >>> content_sum(first) == content_sum(first.isel(task=[1, 0]))
    False
    """
    summed = hashlib.sha256()
    for name in sorted(map(str, dataset.variables)):
        variable = dataset.variables[name]
        values = np.asarray(variable.values)
        described = [
            name,
            *map(str, variable.dims),
            *map(str, values.shape),
            str(variable.attrs.get("units", "")),
        ]
        described += [
            str(text)
            for text in np.atleast_1d(np.asarray(variable.attrs.get("structures", []), dtype=object))
        ]
        summed.update("\x1f".join(described).encode("utf-8", "replace"))
        if values.dtype.kind in "fiub":
            numbers = values.astype("<f8") + 0.0  # one zero, and one NaN, for all processors
            summed.update(np.where(np.isnan(numbers), np.nan, numbers).tobytes())
        else:
            summed.update("\x1f".join(map(str, values.ravel())).encode("utf-8", "replace"))
    return summed.hexdigest()


def any_alike(columns: Sequence[NDArray[Any]]) -> bool:
    """Whether any two rows are the same in all columns; what is missing is like what is missing.

    Examples
    --------
    >>> any_alike([np.array([0, 0, 1]), np.array([2.0, np.nan, np.nan])])
    False
    >>> any_alike([np.array([0, 1, 0]), np.array([np.nan, 2.0, np.nan])])
    True
    """
    order = np.lexsort(columns)
    same = np.ones(max(0, len(order) - 1), dtype=bool)
    for values in columns:
        before, after = values[order[:-1]], values[order[1:]]
        same &= (before == after) | ((before != before) & (after != after))
    return bool(same.any())


def width(measured: NDArray[np.bool_]) -> int:
    """How many places the longest task takes."""
    columns = np.flatnonzero(measured.any(axis=0))
    return int(columns[-1]) + 1 if len(columns) else 0


def assemble(table: pd.DataFrame, card: Card) -> xr.Dataset:
    """The Dataset of a tidy table."""
    codes, labels = pd.factorize(table["task"].to_numpy())
    output, units = card.output.name, table.attrs["units"]
    has_amount = table[list(card.histories)].notna().any(axis=1).to_numpy()
    observed = table[output].notna().to_numpy() | ~has_amount
    if not observed.any():  # nothing is measured yet: the last dose is where a measurement is missing
        observed = ~table["task"].duplicated(keep="last").to_numpy()

    def pack(rows: NDArray[np.bool_], *names: str) -> list[NDArray[np.float64]]:
        task = codes[rows]
        place = pd.Series(task).groupby(task).cumcount().to_numpy()
        shape = (len(labels), int(place.max()) + 1 if len(place) else 0)
        if shape[0] * shape[1] > _MOST_PLACES:
            raise InputError(
                f"{shape[0]} tasks of up to {shape[1]} rows take too much memory side by side: split the table into "
                "tasks of like length."
            )
        packed = [np.full(shape, np.nan) for _ in names]
        for array, name in zip(packed, names, strict=True):
            array[task, place] = table[name].to_numpy()[rows]
        return packed

    variables: dict[str, Any] = {}
    names = (*card.inputs, output)
    for name, values in zip(names, pack(observed, *names), strict=True):
        variables[name] = (("task", "observation"), values, _attrs(card, name, units))
        if name in (structures := table.attrs.get("structures", {})):
            variables[name][2]["structures"] = structures[name]
    for name in limit_names(card):
        if name in table:
            unit = units[output] if name == upper_name(card) else "1"
            variables[name] = (("task", "observation"), pack(observed, name)[0], {"units": unit})
    events: dict[str, tuple[str, NDArray[np.float64]]] = {}
    for name in card.histories:
        filled_columns = [
            column.name for column in card.event_columns(name) if table[column.name].notna().any()
        ]
        keys, sources = (name, f"{name}_time", *filled_columns), (name, card.column(name).at, *filled_columns)
        packed = pack(table[name].notna().to_numpy(), *sources)
        events.update(zip(keys, zip(sources, packed, strict=True), strict=True))
    longest = max((values.shape[1] for _, values in events.values()), default=0)
    for key, (source, values) in events.items():
        padded = np.pad(values, ((0, 0), (0, longest - values.shape[1])), constant_values=np.nan)
        variables[key] = (("task", "event"), padded, _attrs(card, source, units))
    for name in card.covariates:
        values = table[name].groupby(codes).first().to_numpy()  # the first that is not NaN
        variables[name] = (("task",), values, _attrs(card, name, units))
    coords: dict[str, Any] = {"task": labels.astype(str)}
    dropped = []
    first_row = np.unique(codes, return_index=True)[1]
    for column in (*card.with_role("task"), *card.with_role("note")):
        if column.name == "task" or column.name not in table:
            continue
        spelled = table[column.name].to_numpy()
        if (spelled == spelled[first_row][codes]).all():
            coords[column.name] = ("task", spelled[first_row].astype(str), _attrs(card, column.name, {}))
        else:
            dropped.append(column.name)
    attrs = {
        "name": card.name,
        "output": output,
        "title": card.title,
        "source": card.source,
        "licence": card.licence,
        "simulated": str(card.simulated).lower(),
        "checksum": table.attrs["checksum"],
        "rows": table.attrs["rows"],
        "missing_covariates": ", ".join(table.attrs["missing_covariates"]),
        "dropped": ", ".join(dropped),
    }
    if written := table.attrs.get("written_units"):
        attrs["written_units"] = json.dumps(written)
    if reading := table.attrs.get("reading"):
        attrs["reading"] = json.dumps(reading)
    return xr.Dataset(variables, coords, attrs)


def _attrs(card: Card, name: str, units: dict[str, str]) -> dict[str, str]:
    column = card.column(name)
    attrs = {"units": units.get(name, column.unit), "long_name": column.description}
    return {key: value for key, value in attrs.items() if value}
