"""At which temperature a law is to state its rates, so that the data can tell its parameters apart."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from metasci.kinetics.arrhenius import GAS_CONSTANT

if TYPE_CHECKING:
    from torch import Tensor

    from metasci.data.batch import Batch
    from metasci.model import Model

__all__ = ["reference_for"]

# of a rate between the reference and the nearest measurement: a learned rate takes up that much without trouble
_NEAR = math.log(20.0)
_ROUND = 10.0  # kelvin; a reference is a number to be read


def reference_for(model: Model, batch: Batch) -> Model:
    """The law with its rates stated at a temperature of the data.

    The reference stays where it is while measurements are made about it, or so near that a typical rate differs by less
    than a factor of twenty there. Else it moves into the middle of the data, by the mean of 1/T, where rate and
    activation energy are told apart best. A model that holds some parameter at a value keeps its reference, as the
    value may belong to it.

    Source: Box, Ann NY Acad Sci 86 (1960) 792, and Bates and Watts, Nonlinear Regression (1988), section 3.4, for a
    reference in the middle of the data.
    """
    own = model.reference
    if own is None or model.fixed or "activation_energy" not in model.parameters.names:
        return model
    kelvin = _temperatures(model, batch)
    if kelvin is None:
        return model
    low, high = float(kelvin.min()), float(kelvin.max())
    nearest = min(max(own.temperature, low), high)
    energy = next(p.typical for p in model.parameters if p.name == "activation_energy")
    if abs(energy / GAS_CONSTANT * (1.0 / nearest - 1.0 / own.temperature)) <= _NEAR:
        return model
    middle = 1.0 / float((1.0 / kelvin).mean())
    rounded = _ROUND * round(middle / _ROUND)
    return model.at_reference(min(rounded if low <= rounded <= high else middle, own.below - _ROUND))


def _temperatures(model: Model, batch: Batch) -> Tensor | None:
    """Temperatures at which anything was measured, or that anything has passed; None where there are none."""
    values = batch.inputs.get("temperature")
    if values is None:
        return None
    if "temperature" in model.inputs:
        values = values.expand(batch.mask.shape)[batch.mask]
    values = values[torch.isfinite(values) & (values > 1.0)]
    return values if len(values) else None
