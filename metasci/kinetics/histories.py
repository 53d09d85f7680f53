"""Additivity: what a history of temperatures amounts to, as time at one reference temperature.

Where one rate alone carries a process, what has come about depends on ∫ s(T(t)) dt only, not on the order in which the
temperatures were passed (Scheil, Arch Eisenhüttenwes 8 (1935) 565; Cahn, Acta Metall 4 (1956) 572). Measured points of
temperature are joined by straight lines, and each line is integrated by Gauss and Legendre's rule with 24 points: the
speed of the steepest process here, across hundreds of kelvin in one line, is then met to some 1e-8. A line that
passes a corner of the speed, such as a solvus above which nothing moves, is integrated on either side of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from metasci.kinetics.clocks import Clock
from metasci.math import absolute, constant, maximum, minimum, sum, where
from metasci.model import EventColumn, History
from metasci.quantities import takes_quantities

__all__ = ["TEMPERATURE_HISTORY", "equivalent_time", "equivalent_time_of_ramp"]

TEMPERATURE_HISTORY = History("K", at="time", columns={"cycle": EventColumn("1", 1.0)}, course="cycle")
"""Points of time and temperature, each of a numbered cycle; a measurement says which cycle its piece went through."""

_GAUSS = np.polynomial.legendre.leggauss(24)
_LEVEL = 1e-30  # kelvin a unit of time, below which a line is level
_NODES, _WEIGHTS = 0.5 * (1.0 + _GAUSS[0]), 0.5 * _GAUSS[1]  # on a line from 0 to 1


@takes_quantities(temperature="K")
def equivalent_time_of_ramp(
    clock: Clock, duration: Any, temperature: Any, slope: Any, **parameters: Any
) -> Any:
    """Time at the reference temperature that a straight line of temperature amounts to.

    Parameters
    ----------
    clock : Clock
    duration : array
        Of the line, not below zero.
    temperature : array, K
        Where it begins.
    slope : array, K per unit of time
    **parameters : array
        Of the clock.

    Examples
    --------
    >>> from metasci.kinetics.clocks import Arrhenius
    >>> hold = equivalent_time_of_ramp(Arrhenius(900.0), np.array(60.0), 900.0, 0.0, activation_energy=200.0)
    >>> round(float(hold), 9)
    60.0
    """
    if clock.corner is None:
        return _smooth(clock, duration, temperature, slope, **parameters)
    level = absolute(slope) < _LEVEL
    until = (parameters[clock.corner] - temperature) / where(level, 1.0 + 0.0 * slope, slope)
    first = minimum(maximum(until, 0.0 * until), duration)
    rest = _smooth(clock, duration - first, temperature + slope * first, slope, **parameters)
    return _smooth(clock, first, temperature, slope, **parameters) + rest


def _smooth(clock: Clock, duration: Any, temperature: Any, slope: Any, **parameters: Any) -> Any:
    """The integral of the speed along a line without a corner."""
    values = (duration, temperature, slope, *parameters.values())
    nodes, weights = constant(_NODES, *values), constant(_WEIGHTS, *values)
    passed = nodes * duration[..., None]
    along = _with_axis(temperature) + _with_axis(slope) * passed
    speed = clock.speed(along, **{name: _with_axis(value) for name, value in parameters.items()})
    return sum(weights * speed) * duration


def _with_axis(value: Any) -> Any:
    """With an axis for the nodes; numbers need none."""
    return value[..., None] if hasattr(value, "ndim") and value.ndim else value


@takes_quantities(temperature="K")
def equivalent_time(
    clock: Clock,
    time: Any,
    cycle: Any,
    temperature: Any,
    temperature_time: Any,
    temperature_cycle: Any,
    **parameters: Any,
) -> Any:
    """Time at the reference temperature that a history amounts to, from its first point to each measurement.

    After the last point of a cycle its temperature stays.

    Parameters
    ----------
    clock : Clock
    time, cycle : array, (..., measurement)
    temperature, temperature_time, temperature_cycle : array, (..., 1, point)
        In order of time within each cycle; 0 K where there is no point.
    **parameters : array, (..., measurement)
        Of the clock.

    Examples
    --------
    A piece heated to 900 K in ten minutes and held there, at the end of heating and an hour later:

    >>> from metasci.kinetics.clocks import Arrhenius
    >>> points = dict(temperature=np.array([[300.0, 900.0]]), temperature_time=np.array([[0.0, 600.0]]),
    ...               temperature_cycle=np.array([[1.0, 1.0]]))
    >>> equivalent_time(Arrhenius(900.0), np.array([600.0, 4200.0]), np.array([1.0, 1.0]), **points,
    ...                 activation_energy=200.0).round(1).tolist()
    [31.3, 3631.3]
    """
    spread = {name: (value + 0.0 * time)[..., None] for name, value in parameters.items()}
    now, own = time[..., None], cycle[..., None]

    def passed(here: slice, end: Any, counts: Any) -> Any:
        counts = counts & (temperature[..., here] > 0.0) & _same(own, temperature_cycle[..., here])
        since = maximum(minimum(now, end) - temperature_time[..., here], 0.0)
        return where(counts, since, 0.0 * since)

    def kelvin(here: slice) -> Any:
        return where(temperature[..., here] > 0.0, temperature[..., here], 300.0)

    before, after, last = slice(None, -1), slice(1, None), slice(-1, None)
    same = _same(temperature_cycle[..., after], temperature_cycle[..., before]) & (
        temperature[..., after] > 0.0
    )
    gap = temperature_time[..., after] - temperature_time[..., before]
    rising = same & (gap > 0.0)
    slope = where(rising, (kelvin(after) - kelvin(before)) / where(rising, gap, 1.0), 0.0 * gap)
    line = passed(before, temperature_time[..., after], rising)
    lines = equivalent_time_of_ramp(clock, line, kelvin(before) + 0.0 * line, slope + 0.0 * line, **spread)
    ended = passed(before, now, ~same) * clock.speed(kelvin(before), **spread)
    held = passed(last, now, temperature[..., last] > 0.0) * clock.speed(kelvin(last), **spread)
    return sum(lines) + sum(ended) + sum(held)


def _same(first: Any, second: Any) -> Any:
    """Whether two numbers of cycles are equal, also in PyTensor, where == compares variables and not values."""
    return absolute(first - second) < 0.5
