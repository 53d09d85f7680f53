"""Between masses and amounts of substance: units that a molar mass leads from one to the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metasci.errors import InputError
from metasci.units import convert, registry, same_dimension, stated, unfit, unit

if TYPE_CHECKING:
    from pint import Unit

__all__ = ["checked_molar_mass", "molar_factor", "molar_way"]


def checked_molar_mass(text: str) -> tuple[float, str]:
    """The number and the unit of a molar mass, ``"232.2 g/mol"``.

    Raises
    ------
    InputError
        If it is none.
    """
    number, mass = stated(text, "molar_mass")
    if not mass or not same_dimension(mass, "g/mol") or not number > 0.0:
        raise InputError(f"molar_mass is a mass per mole, such as '232.2 g/mol', not '{text}'.")
    return number, mass


def molar_way(from_unit: str, to_unit: str) -> str:
    """How a molar mass M leads from one unit to the other: ``*`` M or ``/`` M, or nothing where it does not."""
    for way in "*/":
        if _by_way(from_unit, way, "g/mol").dimensionality == unit(to_unit).dimensionality:
            return way
    return ""


def molar_factor(from_unit: str, to_unit: str, molar_mass: str, what: str) -> float:
    """By what a value is multiplied to be in another unit, by way of the molar mass if need be.

    Parameters
    ----------
    from_unit, to_unit : str
    molar_mass : str
        May be empty where nobody knows it.
    what : str
        What the value is, to open the sentence of an error.

    Raises
    ------
    InputError
        If the units are of different kinds, or the molar mass is missing.

    Examples
    --------
    >>> molar_factor("mg/L", "ng/mL", "", "level"), molar_factor("mmol/L", "mg/L", "232.2 g/mol", "level")
    (1000.0, 232.2)
    """
    if same_dimension(from_unit, to_unit):
        return float(convert(1.0, from_unit, to_unit))
    way = molar_way(from_unit, to_unit)
    if not way:
        raise InputError(f"{unfit(what, to_unit, from_unit)}.")
    if not molar_mass:
        raise InputError(
            f"{what}: from '{from_unit}' to '{to_unit}' the molar mass leads; give it, molar_mass='232.2 g/mol'."
        )
    number, mass = checked_molar_mass(molar_mass)
    value = registry().Quantity(number if way == "*" else 1.0 / number, _by_way(from_unit, way, mass))
    return float(value.to(unit(to_unit)).magnitude)


def _by_way(from_unit: str, way: str, mass: str) -> Unit:
    return unit(from_unit) * unit(mass) if way == "*" else unit(from_unit) / unit(mass)
