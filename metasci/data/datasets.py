"""Datasets at the door: of the form that `TaskSet.dataset` has, with units, in the wanted units; refused otherwise."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from metasci.data.arrays import limit_names, present, upper_name
from metasci.data.cards import Card, Column
from metasci.data.checks import Faults, check_contents, check_limits, check_names
from metasci.data.hardness import scale_of
from metasci.data.headers import check_unit
from metasci.data.quantities import target_units
from metasci.data.readings import Readings, converted
from metasci.errors import InputError

if TYPE_CHECKING:
    from metasci.model import Model

__all__ = ["check_dataset"]

_LAST_LETTER = 0x10FFFF


def check_dataset(dataset: xr.Dataset, card: Card, where: str, model: Model | None = None) -> xr.Dataset:
    """The Dataset with texts and floats as `TaskSet.dataset` has them, in the model's units or, without one, its own.

    Raises
    ------
    InputError
        If it has another form, a variable does not say its unit, or values do not make sense.
    """
    if "task" not in dataset.coords or dataset["task"].dims != ("task",):
        raise InputError(f"{where} has no coordinate 'task' with the tasks' names.")
    if dataset.sizes.get("observation") == 0:  # as of a table in which nobody has a measurement yet
        dataset = dataset.pad(observation=(0, 1), keep_attrs=True)
    labels = _texts(dataset.variables["task"].values)
    if len(set(labels.tolist())) < len(labels):
        twice = next(name for name, count in Counter(labels.tolist()).items() if count > 1)
        raise InputError(f"{where} has two tasks of the name '{twice}'.")
    variables = _variables(dataset, card)
    for name in card.covariates:
        if name not in dataset:
            dataset = dataset.assign(
                {name: ("task", np.full(len(labels), np.nan), {"units": card.column(name).unit})}
            )
    for name, (expected, column) in variables.items():
        _check_variable(dataset, name, expected, column, labels, where)
    _check_places(dataset, card, labels, where)
    named = {str(name): dataset.variables[name] for name in dataset.coords}
    named = {name: variable for name, variable in named.items() if variable.dims == ("task",)}
    texts = {name: _texts(variable.values) for name, variable in named.items()}
    fault = Faults(where, {name: name for name in named}, {}, labels, kind="task")
    for name, values in texts.items():
        check_names(name, values, fault)
    other = {
        name: dataset[name].astype(np.float64)
        for name in variables
        if dataset.variables[name].dtype != np.float64
    }
    dataset = dataset.assign(other) if other else dataset
    if any(variable.dtype.kind != "U" for variable in named.values()):
        dataset = dataset.assign_coords(
            {name: ("task", texts[name], variable.attrs) for name, variable in named.items()}
        )
    return _in_units_of(dataset, card, where, model)


def _variables(dataset: xr.Dataset, card: Card) -> dict[str, tuple[tuple[str, ...], Column]]:
    """Dimensions and column of every variable that the card asks for, or that the Dataset has of what it may have."""
    observed, event = ("task", "observation"), ("task", "event")
    variables: dict[str, tuple[tuple[str, ...], Column]] = {
        name: (observed, card.column(name)) for name in (*card.inputs, card.output.name)
    }
    variables |= {name: (("task",), card.column(name)) for name in card.covariates}
    for name in card.histories:
        variables[name] = (event, card.column(name))
        variables[f"{name}_time"] = (event, card.column(card.column(name).at))
        variables |= {
            column.name: (event, column) for column in card.event_columns(name) if column.name in dataset
        }
    for name in limit_names(card):
        if name in dataset:
            flag = Column(name, name, "output", "1")
            variables[name] = (observed, card.output if name == upper_name(card) else flag)
    return variables


def _check_variable(
    dataset: xr.Dataset,
    name: str,
    expected: tuple[str, ...],
    column: Column,
    labels: NDArray[np.str_],
    where: str,
) -> None:
    """Refuse a variable of another form, with infinite values, or in a unit that does not fit or is not said."""
    if name not in dataset:
        raise InputError(f"{where} has no variable '{name}'.")
    variable = dataset.variables[name]  # a DataArray would be made of coordinates that nobody asks for here
    if variable.dims != expected or variable.dtype.kind not in "fiu":
        raise InputError(f"{where}: '{name}' must hold numbers with the dimensions {', '.join(expected)}.")
    if np.isinf(variable.values).any():
        task = labels[int(np.argwhere(np.isinf(variable.values))[0][0])]
        raise InputError(f"{where}: '{name}' of task '{task}' has an infinite value.")
    stated = variable.attrs.get("units", "1" if column.unit == "1" else None)
    if not isinstance(stated, str) or not (
        stated.strip() or column.unit == "1"
    ):  # an empty text says none, too
        raise InputError(
            f"{where}: '{name}' does not say its unit; set its .attrs['units'], to '{column.unit}' or alike."
        )
    check_unit(column, stated, f"{where}, '{name}'")


def _check_places(dataset: xr.Dataset, card: Card, labels: NDArray[np.str_], where: str) -> None:
    """Refuse observations without a condition, events without an amount or a time, structures that are none."""
    measured = present(dataset, card)
    for name in card.inputs:
        values = dataset.variables[name].values
        lacking = np.argwhere(measured & np.isnan(values))
        if len(lacking):
            raise InputError(
                f"{where}: '{name}' of task '{labels[lacking[0][0]]}' is unknown for one observation."
            )
        if card.column(name).kind:
            listed = len(
                np.atleast_1d(np.asarray(dataset.variables[name].attrs.get("structures", []), dtype=object))
            )
            odd = np.argwhere(measured & ((values < 0) | (values >= listed) | (values != np.floor(values))))
            if len(odd):
                raise InputError(
                    f"{where}: '{name}' of task '{labels[odd[0][0]]}' is no place in its list of structures."
                )
    for name in card.histories:
        amounts, times = (dataset.variables[key].values for key in (name, f"{name}_time"))
        wrong = np.argwhere((np.isnan(amounts) != np.isnan(times)) | (amounts < 0))
        if len(wrong):
            raise InputError(
                f"{where}: each '{name}' of task '{labels[wrong[0][0]]}' needs an amount, not negative, and a time."
            )


def _texts(values: NDArray[Any]) -> NDArray[np.str_]:
    """Texts of fixed width, also from those of any width, which NumPy converts by way of objects.

    Raises
    ------
    InputError
        If a text holds what is no letter, as broken bytes of a store do.
    """
    texts = (values.astype(object) if values.dtype.kind == "T" else values).astype(str, copy=False)
    codes = np.ascontiguousarray(texts).view(np.uint32)
    if bool((codes > _LAST_LETTER).any()):
        raise InputError("a text of the data is broken: it holds what is no letter; copy the file anew.")
    return texts


def _in_units_of(dataset: xr.Dataset, card: Card, where: str, model: Model | None) -> xr.Dataset:
    """The Dataset in the model's units (or its own, without a model), its values within limits."""
    wanted = target_units(card, model)
    own = {str(name): dataset.variables[name].attrs.get("units", "1") for name in dataset.data_vars}
    if model is None:
        wanted = {name: own.get(name, unit) for name, unit in wanted.items()}
    wanted |= {f"{name}_time": wanted[card.column(name).at] for name in card.histories}
    wanted |= {upper_name(card): wanted[card.output.name]}
    units = {name: unit for name, unit in wanted.items() if name in dataset}
    checked: dict[str, Any] = {}
    changed: dict[str, Any] = {}  # no copy is made of what is as it should be
    tasks = dataset.variables["task"].values
    for name, unit in units.items():
        variable = dataset.variables[name]
        fault = Faults(where, {name: name}, {}, _TaskOf(tasks, variable.size), kind="task")
        flat = Readings.exact(variable.values.ravel())
        if scale_of(own[name]) != scale_of(unit) and set(limit_names(card)) & set(dataset.variables):
            raise InputError(
                f"{where}: '{name}' holds limits, which are not converted from {own[name]} to {unit}; give a table."
            )
        read, _ = converted(flat, own[name], unit, f"{where}, '{name}'", partial(fault, name), False)
        units_said = {**variable.attrs, "units": unit}
        checked[name] = (variable.dims, read.low.reshape(variable.shape), units_said)
        if read.low is not flat.low or variable.attrs.get("units") != unit:
            changed[name] = checked[name]
    longest = dataset.sizes["observation"]
    flat_values = {
        name: values.ravel() if values.ndim == 2 else np.repeat(values, longest)
        for name, (dims, values, _) in checked.items()
        if "event" not in dims
    }
    rows = _TaskOf(tasks, len(tasks) * longest)
    faults = Faults(where, {name: name for name in flat_values}, flat_values, rows, kind="task")
    check_limits(card, model, flat_values, units, faults)
    check_contents(card, flat_values, units, faults)
    return dataset.assign(changed) if changed else dataset


@dataclass(frozen=True)
class _TaskOf:
    """The task of each value of a variable, in the order of the flattened values."""

    tasks: NDArray[Any]
    size: int

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, at: int) -> Any:
        return self.tasks[at // (self.size // len(self.tasks))]
