"""A value of an output that somebody asks about: a number, a quantity or a text, of a hardness on another scale too."""

from __future__ import annotations

from typing import Any

import numpy as np

from metasci.data.hardness import between_scales, range_of, scale_of
from metasci.errors import InputError
from metasci.units import convert, stated

__all__ = ["asked_value"]


def asked_value(value: Any, unit: str, what: str) -> float:
    """A value in a unit; a number is in it already.

    Hardness goes from one scale to another by ASTM E140, for steels that are not austenitic.

    Raises
    ------
    InputError
        If it is no number in that unit, or a hardness for which the tables have none on the other scale.

    Examples
    --------
    >>> asked_value("30 min", "h", "over"), asked_value(0.5, "h", "over"), asked_value("302 HV", "HRC", "value")
    (0.5, 0.5, 30.0)
    """
    number, symbol = stated(value, what, f"40 {unit}" if unit != "1" else "0.5")
    if not symbol:
        return number
    scales = scale_of(symbol), scale_of(unit)
    if not all(scales) or scales[0] == scales[1]:
        return float(convert(number, symbol, unit, what))
    converted = float(between_scales(number, *scales))
    if np.isnan(converted):
        low, high = range_of(*scales)
        raise InputError(
            f"{what}: {number:g} {scales[0]} lies outside {low:g} to {high:g}, where ASTM E140 leads to {scales[1]}; "
            f"give it in {scales[1]}."
        )
    return converted
