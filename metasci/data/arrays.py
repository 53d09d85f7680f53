"""From a tidy table to labelled arrays that end in NaN where a task is shorter than the longest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from metasci.data.cards import Card
from metasci.data.checks import Faults, check_limits
from metasci.data.tables import target_units
from metasci.errors import InputError
from metasci.units import convert, same_dimension, unfit

if TYPE_CHECKING:
    from metasci.model import Model

__all__ = ["assemble", "below_name", "check_dataset", "present", "width"]


def present(dataset: xr.Dataset, card: Card) -> NDArray[np.bool_]:
    """Where there is an observation and no padding."""
    there = ~np.isnan(dataset[card.output.name].values)
    for name in card.inputs:
        there |= ~np.isnan(dataset[name].values)
    return np.asarray(there)


def below_name(card: Card) -> str:
    """The variable that is 1 where a measurement is only known to lie below what stands there, its limit."""
    return f"{card.output.name}_below"


def width(there: NDArray[np.bool_]) -> int:
    """How many places the longest task takes."""
    columns = np.flatnonzero(there.any(axis=0))
    return int(columns[-1]) + 1 if len(columns) else 0


def assemble(table: pd.DataFrame, card: Card) -> xr.Dataset:
    """The Dataset of a tidy table."""
    codes, labels = pd.factorize(table["task"].to_numpy())
    output, units = card.output.name, table.attrs["units"]
    given = table[list(card.histories)].notna().any(axis=1).to_numpy()
    observed = table[output].notna().to_numpy() | ~given

    def pack(rows: NDArray[np.bool_], *names: str) -> list[NDArray[np.float64]]:
        task = codes[rows]
        place = pd.Series(task).groupby(task).cumcount().to_numpy()
        shape = (len(labels), int(place.max()) + 1 if len(place) else 0)
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
    below = below_name(card)
    if below in table:
        variables[below] = (("task", "observation"), pack(observed, below)[0], {"units": "1"})
    events: dict[str, tuple[str, NDArray[np.float64]]] = {}
    for name in card.histories:
        told = [column.name for column in card.event_columns(name) if table[column.name].notna().any()]
        keys, sources = (name, f"{name}_time", *told), (name, card.column(name).at, *told)
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
        said = table[column.name].to_numpy()
        if (said == said[first_row][codes]).all():
            coords[column.name] = ("task", said[first_row].astype(str), _attrs(card, column.name, {}))
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
    return xr.Dataset(variables, coords, attrs)


def _attrs(card: Card, name: str, units: dict[str, str]) -> dict[str, str]:
    column = card.column(name)
    attrs = {"units": units.get(name, column.unit), "long_name": column.description}
    return {key: value for key, value in attrs.items() if value}


def check_dataset(dataset: xr.Dataset, card: Card, where: str, model: Model | None = None) -> xr.Dataset:
    """The Dataset with texts and floats as `TaskSet.dataset` has them; refused if it has another form."""
    if "task" not in dataset.coords or dataset["task"].dims != ("task",):
        raise InputError(f"{where} has no coordinate 'task' with the tasks' names.")
    labels = pd.Index(_texts(dataset["task"].values))
    if labels.has_duplicates:
        raise InputError(f"{where} has two tasks of the name '{labels[labels.duplicated()][0]}'.")
    observed = ("task", "observation")
    dims: dict[str, tuple[str, ...]] = dict.fromkeys((*card.inputs, card.output.name), observed)
    dims |= dict.fromkeys(card.covariates, ("task",))
    units = {name: card.column(name).unit for name in dims}
    for name in card.histories:
        dims |= {name: ("task", "event"), f"{name}_time": ("task", "event")}
        units |= {name: card.column(name).unit, f"{name}_time": card.column(card.column(name).at).unit}
        more = [column for column in card.event_columns(name) if column.name in dataset]
        dims |= {column.name: ("task", "event") for column in more}
        units |= {column.name: column.unit for column in more}
    if (below := below_name(card)) in dataset:
        dims[below], units[below] = observed, "1"
    for name in card.covariates:
        if name not in dataset:
            dataset[name] = ("task", np.full(len(labels), np.nan), {"units": units[name]})
    for name, expected in dims.items():
        if name not in dataset:
            raise InputError(f"{where} has no variable '{name}'.")
        variable = dataset[name]
        if variable.dims != expected or variable.dtype.kind not in "fiu":
            raise InputError(
                f"{where}: '{name}' must hold numbers with the dimensions {', '.join(expected)}."
            )
        if np.isinf(variable.values).any():
            task = labels[int(np.argwhere(np.isinf(variable.values))[0][0])]
            raise InputError(f"{where}: '{name}' of task '{task}' has an infinite value.")
        stated = variable.attrs.get("units", "1")
        if not same_dimension(stated, units[name]):
            raise InputError(f"{where}: {unfit(repr(name), stated, units[name])}.")
    there = present(dataset, card)
    for name in card.inputs:
        lacking = np.argwhere(there & np.isnan(dataset[name].values))
        if len(lacking):
            raise InputError(
                f"{where}: '{name}' of task '{labels[lacking[0][0]]}' is unknown for one observation."
            )
    for name in card.histories:
        amounts, times = dataset[name].values, dataset[f"{name}_time"].values
        wrong = np.argwhere((np.isnan(amounts) != np.isnan(times)) | (amounts < 0))
        if len(wrong):
            raise InputError(
                f"{where}: each '{name}' of task '{labels[wrong[0][0]]}' needs an amount, not negative, and a time."
            )
    told = {
        name: ("task", _texts(coord.values), coord.attrs)
        for name, coord in dataset.coords.items()
        if coord.dims == ("task",)
    }
    other = {name: dataset[name].astype(np.float64) for name in dims if dataset[name].dtype != np.float64}
    dataset = (dataset.assign(other) if other else dataset).assign_coords(told)
    return _in_units_of(dataset, card, where, model)


def _texts(values: NDArray[Any]) -> NDArray[np.str_]:
    """Texts of fixed width, also from those of any width, which NumPy converts by way of objects."""
    return (values.astype(object) if values.dtype.kind == "T" else values).astype(str)


def _in_units_of(dataset: xr.Dataset, card: Card, where: str, model: Model | None) -> xr.Dataset:
    """The Dataset in the model's units (or its own, without a model), its values within limits."""
    units = target_units(card, model)
    if model is None:
        units = {name: dataset[name].attrs.get("units", "1") for name in units if name in dataset}
    units |= {f"{name}_time": units[card.column(name).at] for name in card.histories}
    units = {name: unit for name, unit in units.items() if name in dataset}
    converted = {}
    for name, unit in units.items():
        variable = dataset[name]
        values = convert(variable.values, variable.attrs.get("units", "1"), unit, f"{where}, '{name}'")
        converted[name] = (variable.dims, values, {**variable.attrs, "units": unit})
    longest = dataset.sizes["observation"]
    flat = {
        name: values.ravel() if values.ndim == 2 else np.repeat(values, longest)
        for name, (dims, values, _) in converted.items()
        if "event" not in dims
    }
    cells = {name: pd.Series(values) for name, values in flat.items()}
    rows = pd.Index(np.repeat(dataset["task"].values, longest))
    fault = Faults(where, {name: name for name in flat}, cells, rows, kind="task")
    check_limits(card, model, flat, units, fault)
    return dataset.assign(converted)
