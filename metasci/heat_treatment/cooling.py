"""Cooling curves: of one rate, of a Jominy specimen by the distance from its quenched end, or as measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erfcinv

from metasci.errors import InputError
from metasci.units import magnitude
from metasci.words import number

__all__ = ["JOMINY_RATES", "CoolingCurve", "constant_rate", "end_quench", "jominy_rate", "measured_cooling"]

Array = NDArray[np.float64]
_ROOM = 293.15
_FINEST = 2.0  # kelvin from one point of a curved line to the next
_AT = 973.15  # kelvin; hardness is tabulated against the rate there
_STANDARD = 977.15  # kelvin, 704 °C or 1300 °F, at which the hardenability chart states rates
_INCH = 25.4

JOMINY_RATES: dict[float, float] = {
    sixteenths * _INCH / 16.0: fahrenheit / 1.8
    for sixteenths, fahrenheit in (
        (1, 490.0), (2, 305.0), (3, 195.0), (4, 125.0), (5, 77.0), (6, 56.0), (7, 42.0), (8, 33.0), (10, 21.4),
        (12, 16.3), (14, 12.4), (16, 10.0), (18, 8.3), (20, 7.0), (24, 5.1), (28, 4.0), (32, 3.5),
    )
}  # fmt: skip
"""Distance from the quenched end (mm) to the cooling rate at 704 °C (K/s), as the hardenability chart of ASTM A255 and
SAE J406 states it (there in sixteenths of an inch and °F/s)."""


@dataclass(frozen=True)
class CoolingCurve:
    """Points of time and temperature, joined by straight lines.

    Attributes
    ----------
    name : str
        For tables and figures.
    time : array, s
        From zero, in order.
    temperature : array, K
    """

    name: str
    time: Array
    temperature: Array

    def __post_init__(self) -> None:
        time = magnitude_of(self.time, "s", "time")
        kelvin = magnitude_of(self.temperature, "K", "temperature")
        if time.ndim != 1 or time.shape != kelvin.shape or len(time) < 2:
            raise InputError(f"cooling curve '{self.name}': give two points or more of time and temperature.")
        if not (np.isfinite(time).all() and np.isfinite(kelvin).all() and (kelvin > 0.0).all()):
            raise InputError(
                f"cooling curve '{self.name}': a point is no time, or no temperature above absolute zero."
            )
        if (np.diff(time) <= 0.0).any():
            raise InputError(f"cooling curve '{self.name}': its points must be in order of time.")
        object.__setattr__(self, "time", time - time[0])
        object.__setattr__(self, "temperature", kelvin)

    @property
    def rate(self) -> float:
        """Cooling rate at 700 °C, K/s; NaN where the curve does not pass it."""
        falling = (self.temperature[:-1] > _AT) & (self.temperature[1:] <= _AT)
        if not falling.any():
            return float("nan")
        at = int(np.flatnonzero(falling)[0])
        fall = self.temperature[at] - self.temperature[at + 1]
        return float(fall / (self.time[at + 1] - self.time[at]))


def constant_rate(
    rate: Any, start: Any = "850 degC", end: Any = "20 degC", *, name: str = ""
) -> CoolingCurve:
    """A curve of one rate.

    Parameters
    ----------
    rate : number, quantity or str
        K/s unless it says otherwise: ``"3 K/min"``.
    start, end : number, quantity or str
        Kelvin unless they say otherwise.
    name : str, optional

    Examples
    --------
    >>> curve = constant_rate("60 K/min")
    >>> curve.name, float(curve.time[-1]), round(curve.rate, 9)
    ('1 K/s', 830.0, 1.0)
    """
    speed, first, last = magnitude(rate, "K/s", "rate"), _kelvin(start, "start"), _kelvin(end, "end")
    if not speed > 0.0:
        raise InputError(f"a cooling rate is above zero, not {speed:g} K/s.")
    if not first > last:
        raise InputError(f"cooling from {first:g} K cannot end at {last:g} K.")
    time = np.array([0.0, (first - last) / speed])
    return CoolingCurve(name or f"{number(speed)} K/s", time, np.array([first, last]))


def measured_cooling(time: Any, temperature: Any, name: str = "measured") -> CoolingCurve:
    """A measured curve, such as a thermocouple's: times in seconds, temperatures in kelvin, or quantities."""
    return CoolingCurve(
        name,
        np.atleast_1d(magnitude_of(time, "s", "time")),
        np.atleast_1d(magnitude_of(temperature, "K", "temperature")),
    )


def magnitude_of(values: Any, unit: str, name: str) -> Array:
    """Numbers in a unit, of numbers or quantities."""
    from metasci.quantities import in_unit

    return np.asarray(in_unit(values, unit, name), dtype=np.float64)


def jominy_rate(distance: Any) -> Array:
    """Cooling rate at 704 °C in a Jominy specimen, K/s, by the distance from its quenched end (mm).

    Between the distances of `JOMINY_RATES` is interpolated on logarithms.

    Raises
    ------
    InputError
        If a distance lies outside of 1.6 to 50.8 mm.

    Examples
    --------
    >>> jominy_rate([1.5875, 12.7, 25.4]).round(1).tolist()
    [272.2, 18.3, 5.6]
    """
    millimetres = magnitude_of(distance, "mm", "distance")
    known, rates = np.array(list(JOMINY_RATES)), np.array(list(JOMINY_RATES.values()))
    if not ((millimetres >= known[0] - 0.1) & (millimetres <= known[-1] + 0.1)).all():
        raise InputError(f"distances from {known[0]:.1f} to {known[-1]:.1f} mm have a stated cooling rate.")
    return np.exp(np.interp(np.log(millimetres), np.log(known), np.log(rates)))


def end_quench(distance: Any, start: Any = "850 degC", water: Any = "20 degC") -> CoolingCurve:
    """The curve of a Jominy specimen at a distance from its quenched end.

    T = T_w + (T_0 − T_w)·erf(√(τ/t)), the half-space whose surface is held at the water's temperature, with τ such that
    the rate at 704 °C is that of the standard chart (`jominy_rate`). The chart carries what the half-space leaves out
    near the end, where heat passes into water only so fast, and far from it, where the side of the bar cools in air.

    Parameters
    ----------
    distance : number, quantity or str
        mm unless it says otherwise.
    start, water : number, quantity or str
        Kelvin unless they say otherwise; the start above 704 °C.

    Notes
    -----
    Sources: ASTM A255 for the rates; Carslaw and Jaeger, Conduction of Heat in Solids (1959), section 2.4, for the
    shape.

    Examples
    --------
    >>> curve = end_quench("25.4 mm")
    >>> fall, passed = -np.diff(curve.temperature), np.diff(curve.time)
    >>> at = np.searchsorted(-curve.temperature, -977.15)
    >>> round(float(fall[at - 1] / passed[at - 1]), 1)
    5.6
    """
    millimetres = magnitude(distance, "mm", "distance")
    rate = float(jominy_rate(millimetres))
    first, last = _kelvin(start, "start"), _kelvin(water, "water")
    if not first > _STANDARD + _FINEST:
        raise InputError(
            f"a Jominy specimen is quenched from above 704 °C, not from {first - 273.15:.0f} °C."
        )
    if not last < _STANDARD:
        raise InputError(f"water of {last - 273.15:.0f} °C does not quench.")
    # erf(u) = share of the temperature that is left, t = τ/u²
    share = (_STANDARD - last) / (first - last)
    at = float(erfcinv(1.0 - share))
    slope = (first - last) * at**3 * np.exp(-(at**2)) / np.sqrt(np.pi)  # rate times τ
    tau = slope / rate
    steps = max(8, int(np.ceil((first - last) / _FINEST)))
    left = np.linspace(1.0, 0.0, steps + 1)[1:-1]
    time = np.array([0.0, *(tau / erfcinv(1.0 - left) ** 2)])
    return CoolingCurve(f"{number(millimetres)} mm", time, np.array([first, *(last + left * (first - last))]))


def _kelvin(value: Any, name: str) -> float:
    kelvin = magnitude(value, "K", name)
    if not (np.isfinite(kelvin) and kelvin > 0.0):
        raise InputError(f"{name}: {kelvin:g} K is no temperature.")
    return kelvin


def curves_of(given: CoolingCurve | Sequence[CoolingCurve] | ArrayLike) -> tuple[CoolingCurve, ...]:
    """Curves as they may be given: one, several, or rates in K/s."""
    if isinstance(given, CoolingCurve):
        return (given,)
    listed = list(given) if isinstance(given, list | tuple) else list(np.atleast_1d(given))  # type: ignore[arg-type]
    if not listed:
        raise InputError("give at least one cooling curve.")
    return tuple(each if isinstance(each, CoolingCurve) else constant_rate(each) for each in listed)
