"""Time and temperature as one number, and activation energies read off peaks.

Functions of numbers in the units that each names, or of quantities, for tables and plots; the equations that are
calibrated are in the other modules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metasci.errors import InputError
from metasci.kinetics.arrhenius import GAS_CONSTANT
from metasci.quantities import takes_quantities

__all__ = [
    "Kissinger",
    "hollomon_jaffe",
    "hollomon_jaffe_time",
    "kissinger",
    "larson_miller",
    "larson_miller_time",
]

Array = NDArray[np.float64]


@takes_quantities(time="h", temperature="K", constant="1")
def hollomon_jaffe(time: ArrayLike, temperature: ArrayLike, constant: float = 20.0) -> Array:
    """The parameter of tempering, T·(C + lg t), in kelvin.

    Parameters
    ----------
    time : array, h
        Above zero.
    temperature : array, K
    constant : float
        C, near 20 with time in hours for steels of medium carbon.

    Notes
    -----
    Source: Hollomon and Jaffe, Trans AIME 162 (1945) 223.

    Examples
    --------
    One hour at 600 °C:

    >>> float(hollomon_jaffe(1.0, 873.15))
    17463.0
    >>> from metasci.units import unit
    >>> float(hollomon_jaffe(60 * unit("min"), 600 * unit("degC")))
    17463.0
    """
    hours, kelvin = _positive(time, "time"), _positive(temperature, "temperature")
    return np.asarray(kelvin * (constant + np.log10(hours)))


@takes_quantities(parameter="K", temperature="K", constant="1")
def hollomon_jaffe_time(parameter: ArrayLike, temperature: ArrayLike, constant: float = 20.0) -> Array:
    """Hours at a temperature (K) that make up a parameter: the inverse of `hollomon_jaffe`.

    Examples
    --------
    >>> float(hollomon_jaffe_time(17463.0, 873.15).round(12))
    1.0
    """
    return np.asarray(
        10.0 ** (_positive(parameter, "parameter") / _positive(temperature, "temperature") - constant)
    )


@takes_quantities(time="h", temperature="K", constant="1")
def larson_miller(time: ArrayLike, temperature: ArrayLike, constant: float = 20.0) -> Array:
    """The parameter of creep rupture, T·(C + lg t), in kelvin: that of `hollomon_jaffe`, of time to rupture.

    Source: Larson and Miller, Trans ASME 74 (1952) 765.
    """
    return hollomon_jaffe(time, temperature, constant)


@takes_quantities(parameter="K", temperature="K", constant="1")
def larson_miller_time(parameter: ArrayLike, temperature: ArrayLike, constant: float = 20.0) -> Array:
    """Hours to rupture at a temperature (K): the inverse of `larson_miller`."""
    return hollomon_jaffe_time(parameter, temperature, constant)


@dataclass(frozen=True)
class Kissinger:
    """An activation energy from peaks, in kJ/mol, with its standard error (NaN from two peaks)."""

    activation_energy: float
    standard_error: float


@takes_quantities(heating_rate="K/s", peak_temperature="K")
def kissinger(heating_rate: Sequence[float] | Array, peak_temperature: Sequence[float] | Array) -> Kissinger:
    """Activation energy from the temperatures of peaks at several heating rates: ln(β/T²) falls as Q/R over 1/T.

    Parameters
    ----------
    heating_rate : array, K per unit of time
    peak_temperature : array, K

    Notes
    -----
    Source: Kissinger, Anal Chem 29 (1957) 1702.

    Raises
    ------
    InputError
        If there are fewer than two heating rates or different peaks, numbers are not above zero, or peaks do not rise
        with the heating rate.

    Examples
    --------
    >>> found = kissinger([5.0, 10.0, 20.0], [700.0, 715.0, 730.5])
    >>> round(found.activation_energy), round(found.standard_error, 1)
    (181, 0.5)
    """
    rate, peak = _positive(heating_rate, "heating rate"), _positive(peak_temperature, "peak temperature")
    if rate.shape != peak.shape or rate.ndim != 1:
        raise InputError(f"give one peak temperature for each heating rate, not {peak.size} for {rate.size}.")
    if len(np.unique(peak)) < 2 or len(np.unique(rate)) < 2:
        raise InputError(
            "an activation energy needs two or more heating rates, with peaks at different temperatures."
        )
    x, y = 1.0 / peak, np.log(rate / peak**2)
    slope, intercept = np.polyfit(x, y, 1)
    error = np.nan
    if len(x) > 2:
        left = y - slope * x - intercept
        error = float(np.sqrt((left @ left) / (len(x) - 2) / ((x - x.mean()) ** 2).sum()))
    if slope >= 0.0:
        raise InputError("peaks must rise with the heating rate: these tell no activation energy above zero.")
    return Kissinger(float(-slope * GAS_CONSTANT), error * GAS_CONSTANT)


def _positive(values: Any, what: str) -> Array:
    numbers = np.asarray(values, dtype=float)
    if not (np.isfinite(numbers).all() and (numbers > 0.0).all()):
        raise InputError(f"{what}: numbers above zero are needed.")
    return numbers
