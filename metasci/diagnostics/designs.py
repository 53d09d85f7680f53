"""Conditions of measurements that were not made: what a design, a candidate or a target is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metasci.data.batch import Batch
from metasci.errors import InputError
from metasci.model import Model
from metasci.units import convert, unit

__all__ = ["conditions_batch", "read_conditions"]


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
        raise InputError(f"say at which {missing[0]} ({model.inputs[missing[0]].unit}) to measure.")
    values = {}
    for name, value in conditions.items():
        given = model.inputs[name]
        try:
            if isinstance(value, str):
                number, _, symbol = value.strip().partition(" ")
                value = float(number) * unit(symbol.strip() or "1")
            if hasattr(value, "magnitude"):
                value = convert(np.asarray(value.magnitude, float), str(value.units), given.unit, where=name)
            values[name] = np.atleast_1d(np.asarray(value, dtype=float)).ravel()
        except (TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{name}: {value!r} are not numbers in {given.unit}.") from None
        if not len(values[name]):
            raise InputError(f"{name}: give at least one number.")
        low, high = values[name].min(), values[name].max()
        if not (np.isfinite(values[name]).all() and given.lower <= low and high <= given.upper):
            raise InputError(
                f"{name} must be finite and between {given.lower:g} and {given.upper:g} {given.unit}."
            )
    try:
        size = np.broadcast_shapes(*(value.shape for value in values.values()))
    except ValueError:
        lengths = ", ".join(f"{len(value)} of {name}" for name, value in values.items())
        raise InputError(f"the conditions do not fit each other: {lengths}.") from None
    return {name: np.broadcast_to(value, size) for name, value in values.items()}


def conditions_batch(
    model: Model, values: Mapping[str, NDArray[np.float64]], like: Batch | None = None, covariates: int = 0
) -> Batch:
    """One task, or those of another batch, measured under these conditions; the outputs are blank.

    Parameters
    ----------
    model : Model
    values : mapping of array, (point,)
        In the model's units, as `read_conditions` gives them.
    like : Batch, optional
        Its tasks give what is missing: inputs that do not vary, histories, covariates.
    covariates : int
        How many covariates a single task is to have, all unknown.
    """
    size = len(next(iter(values.values())))
    tasks = 1 if like is None else len(like)
    inputs: dict[str, Tensor] = {} if like is None else dict(like.inputs)
    for name in model.inputs:
        if name in values:
            inputs[name] = torch.tensor(np.array(values[name]))[None].expand(tasks, size)
        elif name in inputs:
            inputs[name] = inputs[name][:, :1].expand(tasks, size)
    unknown = torch.full((1, covariates), torch.nan, dtype=torch.float64)
    return Batch(
        inputs=inputs,
        output=torch.ones(tasks, size, dtype=torch.float64),
        mask=torch.ones(tasks, size, dtype=torch.bool),
        covariates=unknown if like is None else like.covariates,
        names=("design",) if like is None else like.names,
    )
