"""Conditions at which to predict: those that are asked for and, of what is left out, each task's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from metasci.data.batch import Batch
from metasci.errors import InputError
from metasci.model import Model
from metasci.unit_grammar import shown
from metasci.units import convert, stated, unit
from metasci.words import label

if TYPE_CHECKING:
    from torch import Tensor

    from metasci.data.cards import Card, Column
    from metasci.model import Input, Model

__all__ = ["asked_for", "batch_at", "coded", "followed", "last_known", "read_conditions", "runs_along"]


def followed(model: Model) -> tuple[str, ...]:
    """The inputs that the model follows along a task's records, as a history tells them at its events, too.

    Examples
    --------
    >>> from metasci.library import find
    >>> followed(find("patients.quinidine"))
    ('weight', 'alpha_1_acid_glycoprotein', 'creatinine_clearance', 'heart_failure')
    """
    columns = {column for history in model.histories.values() for column in history.columns}
    return tuple(name for name in model.inputs if name in columns)


def last_known(model: Model, batch: Batch, name: str, times: Tensor) -> Tensor:
    """A followed input at times (task, point): as the task's events and measurements told it last, or first told it."""
    key, history = next(
        (key, declared) for key, declared in model.histories.items() if name in declared.columns
    )
    carried, dated = batch.inputs[f"{key}_{name}"][:, 0], batch.inputs[f"{key}_time"][:, 0]
    observed, seen = (batch.inputs[each].expand(batch.mask.shape) for each in (name, history.at))
    never = torch.full_like(times[:, :1], torch.inf)
    known = torch.isfinite(carried)
    at = torch.cat([torch.where(known, dated, never), torch.where(batch.mask, seen, never)], 1)
    values = torch.cat([torch.where(known, carried, observed[:, :1]), observed], 1)
    at, order = torch.sort(at, dim=1, stable=True)
    last = torch.searchsorted(at, times.contiguous(), right=True) - 1
    return values.gather(1, order).gather(1, last.clamp(min=0))


def coded(card: Card, conditions: Mapping[str, Any]) -> dict[str, Any]:
    """The same conditions with numbers in the place of the texts that a card has codes for.

    Raises
    ------
    InputError
        If a text is none of those.

    Examples
    --------
    >>> import metasci as ms
    >>> coded(ms.dataset("wine").card, {"temperature": ["cold", "warm"], "contact": "yes"})
    {'temperature': [0.0, 1.0], 'contact': 1.0}
    """
    numbers = dict(conditions)
    for column in card.columns:
        if column.codes and column.name in conditions:
            numbers[column.name] = _code_of(column, conditions[column.name])
    return numbers


def _code_of(column: Column, value: Any) -> Any:
    if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.dtype.kind in "OUS"):
        return [_code_of(column, each) for each in value]
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text in column.codes:
        return column.codes[text]
    if text in {f"{code:g}" for code in column.codes.values()}:
        return float(text)
    raise InputError(f"{column.name}: '{shown(text)}' is none of {', '.join(column.codes)}.")


def asked_for(model: Model, batch: Batch, conditions: Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
    """What a user asks for, in the model's units, by input.

    Raises
    ------
    InputError
        If an input is unknown, is no number in its unit or outside its limits, or is left out although nobody can say
        what it would be.
    """
    if unknown := sorted(set(conditions) - set(model.inputs)):
        raise InputError(
            f"'{unknown[0]}' is not an input of {model.name}; its inputs are {', '.join(model.inputs)}."
        )
    own = followed(model)
    for name, declared in model.inputs.items():
        if name not in conditions and name not in own and not _is_constant(model, batch, name):
            raise InputError(f"say at which {label(name, declared.unit)} to predict.")
    return {
        name: _numbers(name, conditions[name], declared)
        for name, declared in model.inputs.items()
        if name in conditions
    }


def _numbers(name: str, value: Any, declared: Input) -> NDArray[np.float64]:
    """Numbers, texts such as ``"2 h"`` or a quantity, in the input's unit."""
    if isinstance(value, list | tuple) and any(isinstance(each, str) for each in value):
        try:
            return np.array([_numbers(name, each, declared) for each in value])
        except InputError as error:
            raise InputError(f"{name}: {value!r} are not numbers in {declared.unit}: {error}") from None
    if isinstance(value, str):
        number, symbol = stated(value, name, "2 h")
        value = number * unit(symbol)
    if hasattr(value, "magnitude"):
        value = convert(np.asarray(value.magnitude, float), str(value.units), declared.unit, where=name)
    try:
        numbers = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"{name}: {value!r} are not numbers in {declared.unit}.") from None
    if not np.isfinite(numbers).all() or (numbers < declared.lower).any():
        raise InputError(f"{name} must be finite and at least {declared.lower:g} {declared.unit}.")
    if (numbers > declared.upper).any():
        raise InputError(f"{name} must be at most {declared.upper:g} {declared.unit}.")
    return numbers


def runs_along(model: Model) -> frozenset[str]:
    """The inputs along which a task's curve runs, which a prediction must name even where they happen to be alike.

    They are the first one, as models declare it (time, cycles, stress), unless it is constant for a task, and those
    that date amounts.

    Examples
    --------
    >>> from metasci.library import find
    >>> [sorted(runs_along(find(name))) for name in ("kinetics.crack_growth", "kinetics.creep_strain_along")]
    [['cycles'], ['time']]
    """
    first = [name for name, declared in list(model.inputs.items())[:1] if not declared.constant]
    return frozenset([*first, *(history.at for history in model.histories.values())])


def _is_constant(model: Model, batch: Batch, name: str) -> bool:
    values = batch.inputs[name]
    return bool((values == values[:, :1]).all()) and name not in runs_along(model)


def batch_at(
    model: Model, batch: Batch, asked: Mapping[str, NDArray[np.float64]]
) -> tuple[Batch, tuple[int, ...]]:
    """The same tasks at what is asked for, (task, point), and the points' shape.

    Inputs that were left out are the task's own: those that are followed are as they were last told. The places at
    which the task was measured then come after the points, since they, too, tell of changes on the way.
    """
    shape = _common_shape(asked)
    size = int(np.prod(shape))
    wide = batch.mask.shape
    missing = [name for name in followed(model) if name not in asked]
    inputs = dict(batch.inputs)
    for name in model.inputs:
        if name in asked:
            flat = torch.as_tensor(np.broadcast_to(asked[name], shape).reshape(1, size).copy())
            inputs[name] = flat.to(batch.output).expand(len(batch), size)
        elif name not in missing:
            inputs[name] = batch.inputs[name][:, :1].expand(-1, size)
        if missing and name not in missing:
            inputs[name] = torch.cat([inputs[name], batch.inputs[name].expand(wide)], 1)
    for name in missing:
        history = next(declared for declared in model.histories.values() if name in declared.columns)
        inputs[name] = last_known(model, batch, name, inputs[history.at])
    width = size + (wide[1] if missing else 0)
    mask = torch.ones(len(batch), width, dtype=torch.bool)
    output = torch.ones(mask.shape, dtype=batch.output.dtype)
    return replace(batch, inputs=inputs, output=output, mask=mask, censored=None, upper=None), shape


def read_conditions(
    model: Model, conditions: Mapping[str, Any], needed: tuple[str, ...]
) -> dict[str, NDArray[np.float64]]:
    """Values in the model's units, broadcast against each other to (point,).

    Parameters
    ----------
    model : Model
    conditions : mapping
        Each a number, an array, a quantity such as ``[1, 2] * ms.unit("h")``, or a text such as ``"2 h"``.
    needed : tuple of str
        The inputs that must be given.

    Raises
    ------
    InputError
        If an input is unknown, missing, in a wrong unit, or outside of its range.

    Examples
    --------
    >>> import metasci as ms
    >>> read_conditions(ms.kinetics.avrami, {"time": "2 h", "temperature": [900.0, 950.0]}, ("time",))["time"]
    array([7200., 7200.])
    """
    if unknown := sorted(set(conditions) - set(model.inputs)):
        raise InputError(
            f"'{unknown[0]}' is not an input of {model.name}; its inputs are {', '.join(model.inputs)}."
        )
    if missing := [name for name in needed if name not in conditions]:
        raise InputError(f"say at which {label(missing[0], model.inputs[missing[0]].unit)} to measure.")
    values = {}
    for name, value in conditions.items():
        declared = model.inputs[name]
        try:
            if isinstance(value, str):
                number, symbol = stated(value, name, "2 h")
                value = number * unit(symbol)
            if hasattr(value, "magnitude"):
                value = convert(
                    np.asarray(value.magnitude, float), str(value.units), declared.unit, where=name
                )
            values[name] = np.atleast_1d(np.asarray(value, dtype=float)).ravel()
        except (TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{name}: {value!r} are not numbers in {declared.unit}.") from None
        if not len(values[name]):
            raise InputError(f"{name}: give at least one number.")
        low, high = values[name].min(), values[name].max()
        if not (np.isfinite(values[name]).all() and declared.lower <= low and high <= declared.upper):
            raise InputError(
                f"{name} must be finite and between {declared.lower:g} and {declared.upper:g} {declared.unit}."
            )
    shape = _common_shape(values)
    return {name: np.broadcast_to(value, shape) for name, value in values.items()}


def _common_shape(values: Mapping[str, NDArray[np.float64]]) -> tuple[int, ...]:
    """The shape of all conditions broadcast against each other."""
    try:
        return np.broadcast_shapes(*(value.shape for value in values.values()))
    except ValueError:
        lengths = ", ".join(f"{value.size} of {name}" for name, value in values.items())
        raise InputError(f"the conditions do not fit each other: {lengths}.") from None
