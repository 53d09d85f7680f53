"""Units: one registry, and conversion that says in a sentence what does not fit.

On top of pint's units there are Rockwell C (``HRC``) and Vickers (``HV``) hardness, each a dimension
of its own because no factor leads from one to the other, and ``cycle``, a plain count (pint's own
cycle is an angle, which brings a stray 2 pi into conversions).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import numpy as np
import pint
from numpy.typing import ArrayLike, NDArray

from metasci.errors import InputError

__all__ = ["convert", "magnitude", "registry", "same_dimension", "stated", "unfit", "unit"]


def _registry() -> pint.UnitRegistry[Any]:
    made: pint.UnitRegistry[Any] = pint.UnitRegistry(
        # so that `[200, 400] * unit("degC")` is a quantity in degC instead of an error
        autoconvert_offset_to_baseunit=True,
        on_redefinition="ignore",  # `cycle` is meant to be redefined
    )
    made.define("rockwell_c_hardness = [rockwell_c_hardness] = HRC")
    made.define("vickers_hardness = [vickers_hardness] = HV")
    made.define("cycle = [] = _ = cycles")
    return made


registry = _registry()

_WEIGHT_PERCENT = re.compile(r"\b(wt|weight|mass)[ _.]*(%|percent\b)")
_MISTAKEN = {"C": ("coulomb", "degC"), "F": ("farad", "degF")}
_NUMBER_TO_A_POWER = re.compile(r"\d\s*(\*\*|\^)")


@lru_cache(maxsize=1024)
def unit(text: str) -> pint.Unit:
    """The unit that a text names; multiply numbers with it to get a quantity.

    Parameters
    ----------
    text : str
        As pint reads it (``"mg/L"``, ``"degC"``, ``"1/s"``), or ``"wt%"``, ``"HRC"``, ``"HV"``; ``"1"`` or
        an empty text is the dimensionless unit.

    Raises
    ------
    InputError
        If there is no such unit.

    Examples
    --------
    >>> ([200, 400] * unit("degC")).to("K").magnitude.tolist()
    [473.15, 673.15]
    >>> 3 * unit("wt%")
    <Quantity(3, 'percent')>
    """
    cleaned = _WEIGHT_PERCENT.sub("percent", text.strip())
    if len(cleaned) > 60 or _NUMBER_TO_A_POWER.search(cleaned):  # 10**10**10 would be computed
        raise InputError(f"'{text}' is not a unit.")
    try:
        return registry.parse_units(cleaned)
    except Exception:  # pint and its tokenizer raise many kinds: not defined, syntax, type, division
        raise InputError(f"'{text}' is not a unit.") from None


def same_dimension(first: str, second: str) -> bool:
    """Whether values in one unit can be converted to the other.

    Examples
    --------
    >>> same_dimension("h", "s"), same_dimension("h", "kg"), same_dimension("HRC", "HV")
    (True, False, False)
    """
    return bool(unit(first).dimensionality == unit(second).dimensionality)


def unfit(name: str, stated: str, wanted: str) -> str:
    """A clause that says that something cannot be in a unit, and what was mistaken for a temperature's.

    Examples
    --------
    >>> print(unfit("temperature", "C", "degC"))
    temperature cannot be in 'C' (the coulomb; for temperatures say 'degC'); it is to be in 'degC' or alike
    """
    return f"{name} cannot be in '{stated}'{_hint(stated, wanted)}; it is to be in '{wanted}' or alike"


def _hint(stated: str, wanted: str) -> str:
    if stated not in _MISTAKEN or not same_dimension(wanted, "K"):
        return ""
    meaning, meant = _MISTAKEN[stated]
    return f" (the {meaning}; for temperatures say '{meant}')"


def convert(values: ArrayLike, from_unit: str, to_unit: str, where: str = "") -> NDArray[np.float64]:
    """Values in another unit, offset temperatures included.

    Parameters
    ----------
    values : array-like
        Numbers in `from_unit`.
    from_unit, to_unit : str
        Units as `unit` reads them.
    where : str
        What the values are, to open the sentence of an error.

    Raises
    ------
    InputError
        If a unit is unknown or the two have different dimensions.

    Examples
    --------
    >>> convert([0, 100], "degC", "K").tolist()
    [273.15, 373.15]
    >>> convert(2.0, "Mcycle", "cycle").tolist()
    2000000.0
    """
    numbers = np.asarray(values, dtype=np.float64)
    opening = f"{where}: " if where else ""
    try:
        source, target = unit(from_unit), unit(to_unit)
    except InputError as error:
        raise InputError(f"{opening}{error}") from None
    if source == target:
        return numbers
    if source.dimensionality != target.dimensionality:
        raise InputError(
            f"{opening}'{from_unit}'{_hint(from_unit, to_unit)} cannot be converted to '{to_unit}'."
        )
    converted = registry.Quantity(numbers, source).to(target).magnitude
    return np.asarray(converted, dtype=np.float64)


def stated(value: Any, asked: str) -> tuple[float, str]:
    """A number and its unit, from a number, a text such as ``"64 kg"``, or a quantity; no unit where none is said.

    Examples
    --------
    >>> stated("64 kg", "weight"), stated(3, "sex")
    ((64.0, 'kg'), (3.0, ''))
    """
    if isinstance(value, str):
        number, _, symbol = value.strip().partition(" ")
        try:
            unit(symbol.strip() or "1")
            return float(number), symbol.strip()
        except ValueError:
            raise InputError(f"{asked}: '{value}' is not a number with a unit, such as '64 kg'.") from None
    if hasattr(value, "magnitude"):
        return float(value.magnitude), str(value.units)
    try:
        return float(value), ""
    except (TypeError, ValueError):
        raise InputError(f"{asked}: {value!r} is not a number.") from None


def magnitude(value: Any, to_unit: str, asked: str) -> float:
    """A number in a unit, from a number that is in it already, a text with a unit, or a quantity.

    Examples
    --------
    >>> magnitude("30 min", "h", "over"), magnitude(0.5, "h", "over")
    (0.5, 0.5)
    """
    number, symbol = stated(value, asked)
    return float(convert(number, symbol, to_unit, asked)) if symbol else number
