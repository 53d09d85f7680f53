"""What is asked of an alloy: single numbers and ranges in the model's units, and the alloy itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metasci.data.asked_values import asked_value
from metasci.data.conditions import read_conditions
from metasci.errors import InputError
from metasci.words import label

if TYPE_CHECKING:
    from metasci.model import Model
    from metasci.priors.calibrated import Calibration

__all__ = ["constant_inputs", "curves", "in_output_unit", "one_alloy", "values"]

_AT_ONCE = 400_000  # numbers of one evaluation


def one_alloy(calibration: Calibration) -> Model:
    """The model of a calibration that has one task and depends on time and temperature.

    Raises
    ------
    InputError
        If it has several tasks, or other inputs.
    """
    model = calibration.prior.model
    if len(calibration.batch) != 1:
        raise InputError(
            f"one alloy is asked about, not {len(calibration.batch)}; calibrate one, or select it."
        )
    if not {"time", "temperature"} <= set(model.inputs):
        raise InputError(f"'{model.name}' is not a model of time and temperature.")
    return model


def values(model: Model, name: str, value: Any) -> NDArray[np.float64]:
    """One or more values of an input in its unit: numbers, quantities, or a text such as ``"2 h"``."""
    return read_conditions(model, {name: value}, ())[name]


def in_output_unit(model: Model, value: Any, what: str) -> float:
    """One value of the output in its unit: a number, a quantity, or a text such as ``"40 HRC"`` or ``"400 HV"``.

    Raises
    ------
    InputError
        If it is no finite number of that unit.
    """
    number = asked_value(value, model.output.unit, what)
    if not np.isfinite(number):
        raise InputError(f"{what} must be finite, not {number:g}.")
    return number


def constant_inputs(calibration: Calibration, conditions: dict[str, Any]) -> dict[str, Tensor]:
    """The inputs beside time and temperature, one number each: as said, or as the alloy was measured."""
    model, constants = calibration.prior.model, {}
    for name in model.inputs:
        if name in ("time", "temperature"):
            continue
        if name in conditions:
            constants[name] = torch.as_tensor(values(model, name, conditions[name]))
        else:
            own = calibration.batch.inputs[name][0]
            if not bool((own == own[0]).all()):
                raise InputError(f"say at which {label(name, model.inputs[name].unit)}.")
            constants[name] = own[:1]
        if len(constants[name]) != 1:
            raise InputError(f"{name}: give one number.")
    unknown = sorted(set(conditions) - set(constants))
    if unknown:
        raise InputError(f"'{unknown[0]}' is no input of {model.name} beside time and temperature.")
    return constants


def curves(
    model: Model, coordinates: Tensor, time: Tensor, temperature: Tensor, others: dict[str, Tensor]
) -> Tensor:
    """The output for every draw, (draw, point), at (1 or draw, point) of time and temperature."""
    pieces, step = [], max(1, _AT_ONCE // max(time.shape[-1], 1))
    with torch.no_grad():
        for first in range(0, len(coordinates), step):
            part = slice(first, first + step)
            own = {
                "time": time[part] if len(time) > 1 else time,
                "temperature": temperature[part] if len(temperature) > 1 else temperature,
            }
            pieces.append(model.at(coordinates[part][:, None, :], {**own, **others}))
    return torch.cat(pieces)
