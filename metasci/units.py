"""Units: one registry, a grammar before it, and conversion that says in a sentence what does not fit.

On top of pint's units there are the hardness scales (``HRC``, ``HRB``, ``HV``, ``HB``, ``HK``), each a dimension of its
own because no factor leads from one to the other (tables do, for steels: `metasci.data.hardness`), ``cycle``, a plain
count (pint's own cycle is an angle, which brings a stray 2 pi into conversions), and ``at%``, which only a whole
composition converts to per cent by weight.

What a unit may look like is decided by `metasci.unit_grammar` and not by pint, which drops characters that it does not
know and computes numbers to a power.
"""

from __future__ import annotations

import math
import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metasci import common_units
from metasci.errors import InputError
from metasci.unit_grammar import factors_of, shown

if TYPE_CHECKING:
    import pint

__all__ = [
    "check",
    "convert",
    "magnitude",
    "registry",
    "same_dimension",
    "same_unit",
    "stated",
    "unfit",
    "unit",
]


@cache
def registry() -> pint.UnitRegistry[Any]:
    """The registry of all units, made when it is first needed: reading pint's definitions takes half a second."""
    import pint

    defined: pint.UnitRegistry[Any] = pint.UnitRegistry(
        # so that `[200, 400] * unit("degC")` is a quantity in degC instead of an error
        autoconvert_offset_to_baseunit=True,
        on_redefinition="ignore",  # `cycle` is meant to be redefined
    )
    defined.define("rockwell_c_hardness = [rockwell_c_hardness] = HRC")
    defined.define("rockwell_b_hardness = [rockwell_b_hardness] = HRB")
    defined.define("vickers_hardness = [vickers_hardness] = HV")
    defined.define("brinell_hardness = [brinell_hardness] = HB")
    defined.define("knoop_hardness = [knoop_hardness] = HK")
    defined.define("atomic_percent = [atomic_percent]")
    defined.define("cycle = [] = _ = cycles")
    return defined


_MISTAKEN = {"C": ("coulomb", "degC"), "F": ("farad", "degF")}
_AMOUNT = re.compile(r"\s*(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(?P<unit>.*)", re.DOTALL)


@lru_cache(maxsize=1024)
def unit(text: str) -> pint.Unit:
    """The unit that a text names; multiply numbers with it to get a quantity.

    Parameters
    ----------
    text : str
        Names of units with ``*``, ``/`` and small powers (``"mg/L"``, ``"degC"``, ``"1/s"``, ``"kg/m**2"``,
        ``"N/mm2"``, ``"cm-1"``, ``"MPa*m^0.5"``), or ``"wt%"``, ``"at%"``, ``"HRC"``, ``"HV10"``, ``"HBW"``; ``"1"``
        or an empty text is the dimensionless unit.

    Raises
    ------
    InputError
        If there is no such unit.

    Examples
    --------
    >>> ([200, 400] * unit("degC")).to("K").magnitude.tolist()
    [473.15, 673.15]
    >>> print(3 * unit("wt%"))
    3 percent
    >>> unit("N/mm2") == unit("N/mm**2"), unit("HV10") == unit("HV")
    (True, True)
    """
    units = registry()
    factors = factors_of(text, known=lambda name: name in units)
    if len(factors) == 1 and factors[0][1] == 1.0 and factors[0][0].startswith("delta_"):
        raise InputError(
            f"'{text}' is a difference of temperatures and no temperature; write 'degC', 'degF' or 'K'."
        )
    try:
        product = "*".join(f"{name}**{power:g}" for name, power in factors)
        named = units.parse_units(product.removesuffix("**1") if len(factors) == 1 else product)
        logarithmic = _is_logarithmic(named)
    except Exception:  # pint raises many kinds: not defined, ambiguous, offset units
        raise InputError(f"'{shown(text)}' is not a unit.") from None
    if logarithmic:
        raise InputError(f"'{shown(text)}' is a logarithm of a quantity; give the quantity itself.")
    return named


def _is_logarithmic(named: pint.Unit) -> bool:
    """Whether thrice the number is not thrice the quantity, as of decibels; temperatures have a zero of their own."""
    if named.dimensionality == {"[temperature]": 1.0}:
        return False
    one, three = (float((number * named).to_base_units().magnitude) for number in (1.0, 3.0))
    return not math.isclose(three, 3.0 * one)


def check(text: str) -> None:
    """Refuse what is no unit.

    Raises
    ------
    InputError
        If it is none.
    """
    if common_units.alike(text, text) is None:
        unit(text)


def same_unit(first: str, second: str) -> bool:
    """Whether two texts name the same unit.

    Examples
    --------
    >>> same_unit("N/mm2", "N/mm**2"), same_unit("h", "hour"), same_unit("h", "s")
    (True, True, False)
    """
    alike = common_units.alike(first, second)
    return unit(first) == unit(second) if alike is None else alike


def same_dimension(first: str, second: str) -> bool:
    """Whether values in one unit can be converted to the other.

    A wavenumber may also be said as its frequency in hertz or its energy in electron volts.

    Examples
    --------
    >>> same_dimension("h", "s"), same_dimension("h", "kg"), same_dimension("HRC", "HV"), same_dimension("THz", "1/cm")
    (True, False, False, True)
    """
    known = common_units.same_kind(first, second)
    if known is not None:
        return known
    source, target = unit(first), unit(second)
    return bool(source.dimensionality == target.dimensionality) or _of_light(source, target)


def _of_light(source: pint.Unit, target: pint.Unit) -> bool:
    """Whether both say the same of light or of a vibration, and one is a wavenumber."""
    kinds = {_kind_of_light(source), _kind_of_light(target)}
    return "" not in kinds and "wavenumber" in kinds


def _kind_of_light(of: pint.Unit) -> str:
    """By name and not by dimension: 1/s may be a rate and kJ a heat, where THz and meV are neither."""
    if of.dimensionality == {"[length]": -1}:
        return "wavenumber"
    name = str(of)
    return "frequency" if name.endswith("hertz") else "energy" if name.endswith("electron_volt") else ""


def _wavenumber(quantity: pint.Quantity[Any]) -> pint.Quantity[Any]:
    """The wavenumber of a frequency ν, ν/c, or of an energy E, E/(hc)."""
    units = registry()
    kind = _kind_of_light(units.Unit(quantity.units))
    if kind == "wavenumber":
        return quantity
    light = units.Quantity(1.0, "speed_of_light")
    return quantity / (light if kind == "frequency" else light * units.Quantity(1.0, "planck_constant"))


def unfit(name: str, stated: str, wanted: str) -> str:
    """A clause that says that something cannot be in a unit, and what was mistaken for a temperature's.

    Examples
    --------
    >>> print(unfit("temperature", "C", "degC"))
    temperature cannot be in 'C' (the coulomb; for temperatures say 'degC'); it is to be in 'degC' or alike
    """
    return f"{name} cannot be in '{stated}'{_hint(stated, wanted)}; it is to be in '{wanted}' or alike"


def _hint(stated: str, wanted: str) -> str:
    if unit(stated) == unit("at%") and same_dimension(wanted, "percent"):
        return " (per cent of atoms; take the whole composition to per cent by weight)"
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
    >>> convert(1.0, "THz", "1/cm").round(3).tolist()
    33.356
    """
    numbers = np.asarray(values, dtype=np.float64)
    opening = f"{where}: " if where else ""
    if (factor := common_units.factor(from_unit, to_unit)) is not None:
        return numbers if factor == 1.0 else numbers * factor
    if (shift := common_units.shift(from_unit, to_unit)) is not None:
        return np.asarray(numbers + shift)
    units = registry()
    try:
        source, target = unit(from_unit), unit(to_unit)
    except InputError as error:
        raise InputError(f"{opening}{error}") from None
    if source == target:
        return numbers
    quantity = units.Quantity(numbers, source)
    if source.dimensionality != target.dimensionality:
        if not _of_light(source, target):
            raise InputError(
                f"{opening}'{from_unit}'{_hint(from_unit, to_unit)} cannot be converted to '{to_unit}'."
            )
        quantity = _wavenumber(quantity)
        if _kind_of_light(target) != "wavenumber":
            quantity = (
                quantity / _wavenumber(units.Quantity(1.0, target)).to("1/m") * units.Quantity(1.0, target)
            )
    converted = quantity.to(target).magnitude
    return np.asarray(converted, dtype=np.float64)


def stated(value: Any, asked: str, like: str = "64 kg") -> tuple[float, str]:
    """A number and its unit, from a number, a text such as ``"64 kg"``, or a quantity; no unit where none is said.

    `like` is the example that the sentence of an error gives.

    Examples
    --------
    >>> stated("64 kg", "weight"), stated("64kg", "weight"), stated(3, "sex")
    ((64.0, 'kg'), (64.0, 'kg'), (3.0, ''))
    """
    if isinstance(value, str):
        amount = _AMOUNT.fullmatch(value.strip())
        try:
            if amount is None or not math.isfinite(float(amount["number"])):
                raise InputError("no number")
            symbol = amount["unit"].strip()
            check(symbol)
            return float(amount["number"]), symbol
        except InputError:
            raise InputError(
                f"{asked}: '{shown(value)}' is not a number with a unit, such as '{like}'."
            ) from None
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
