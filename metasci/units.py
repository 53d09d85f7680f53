"""Units: one registry, a grammar before it, and conversion that says in a sentence what does not fit.

On top of pint's units there are the hardness scales (``HRC``, ``HRB``, ``HV``, ``HB``, ``HK``), each a dimension of its
own because no factor leads from one to the other (tables do, for steels: `metasci.data.hardness`), ``cycle``, a plain
count (pint's own cycle is an angle, which brings a stray 2 pi into conversions), and ``at%``, which only a whole
composition converts to per cent by weight.

What a unit may look like is decided here and not by pint, which drops characters that it does not know and computes
numbers to a power: names, ``*``, ``/`` and small powers, in at most 60 characters.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Any

import numpy as np
import pint
from numpy.typing import ArrayLike, NDArray

from metasci.errors import InputError

__all__ = ["convert", "magnitude", "registry", "same_dimension", "stated", "unfit", "unit"]


def _registry() -> pint.UnitRegistry[Any]:
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


registry = _registry()
_WAVENUMBER = registry.parse_units("1/m")

_LONGEST = 60
_SPELLINGS = (
    (re.compile(r"\b(wt|weight|mass)[ _.]*(%|percent\b)"), "percent"),
    (re.compile(r"\b(at|atomic|mol|mole)[ _.]*(%|percent\b)"), "atomic_percent"),
    (re.compile(r"^deg(?:rees?)?\.? ?([CF])$"), r"deg\1"),
    (re.compile("℃"), "degC"),
    (re.compile("℉"), "degF"),
    # the load and the ball do not change the scale: HV10, HV 0.5, HBW 10/3000, HRBW
    (re.compile(r"^HV ?[\d.]*$"), "HV"),
    (re.compile(r"^HK ?[\d.]*$"), "HK"),
    (re.compile(r"^HB[WS]?( ?[\d.]+(/[\d.]+){0,2})?$"), "HB"),
    (re.compile(r"^HRB[WS]$"), "HRB"),
)
_SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
_DIGITS_ABOVE = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_NAME = rf"(?:[^\W\d{_DIGITS_ABOVE}]|[%°‰])(?:[^\W{_DIGITS_ABOVE}])*"
# no power above 9 and no fraction finer than a hundredth has a meaning here
_POWER = r"-?\d(?:\.\d{1,2})?"
_FACTOR = re.compile(
    rf"(?P<name>{_NAME})"
    rf"(?:\s*(?:\*\*|\^)\s*(?P<power>{_POWER}|\(\s*{_POWER}\s*\))"
    rf"|(?P<raised>⁻?[{_DIGITS_ABOVE}])(?![⁻{_DIGITS_ABOVE}])"
    r"|(?P<minus>-\d))?"
)
_BLANKS = " \xa0"
_ONE = re.compile(r"1\s*(?:$|/)")
_NUMBERED = re.compile(r"(?P<name>[^\W\d]+)(?P<power>[2-9])")
_MISTAKEN = {"C": ("coulomb", "degC"), "F": ("farad", "degF")}
_AMOUNT = re.compile(r"\s*(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(?P<unit>.*)", re.DOTALL)


@lru_cache(maxsize=1024)
def unit(text: str) -> pint.Unit:
    """The unit that a text names; multiply numbers with it to get a quantity.

    Parameters
    ----------
    text : str
        Names of units with ``*``, ``/`` and small powers (``"mg/L"``, ``"degC"``, ``"1/s"``, ``"kg/m**2"``, ``"N/mm2"``,
        ``"cm-1"``, ``"MPa*m^0.5"``), or ``"wt%"``, ``"at%"``, ``"HRC"``, ``"HV10"``, ``"HBW"``; ``"1"`` or an empty
        text is the dimensionless unit.

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
    >>> unit("N/mm2") == unit("N/mm**2"), unit("HV10") == unit("HV")
    (True, True)
    """
    factors = _factors(text)
    if len(factors) == 1 and factors[0][1] == 1.0 and factors[0][0].startswith("delta_"):
        raise InputError(
            f"'{text}' is a difference of temperatures and no temperature; write 'degC', 'degF' or 'K'."
        )
    try:
        product = "*".join(f"{name}**{power:g}" for name, power in factors)
        return registry.parse_units(product.removesuffix("**1") if len(factors) == 1 else product)
    except Exception:  # pint raises many kinds: not defined, ambiguous, offset units
        raise InputError(f"'{_shown(text)}' is not a unit.") from None


def _factors(text: str) -> list[tuple[str, float]]:
    """Names and powers of a unit's factors, in order."""
    refused = InputError(f"'{_shown(text)}' is not a unit.")
    cleaned = text.strip()
    if len(cleaned) > _LONGEST:
        raise refused
    for pattern, spelling in _SPELLINGS:
        cleaned = pattern.sub(spelling, cleaned)
    factors: list[tuple[str, float]] = []
    place, sign, in_brackets, wants_factor = 0, 1.0, False, bool(cleaned)
    while place < len(cleaned):
        character = cleaned[place]
        if character in _BLANKS:
            place += 1
        elif wants_factor and (matched := _FACTOR.match(cleaned, place)):
            power = (
                matched["power"] or matched["minus"] or (matched["raised"] or "1").translate(_SUPERSCRIPTS)
            )
            factors.append(_named(matched["name"], sign * float(power.strip("() "))))
            place, wants_factor = matched.end(), False
        elif wants_factor and _ONE.match(cleaned, place) and not factors:
            place, wants_factor = place + 1, False
        elif wants_factor and character == "(" and not in_brackets:
            place, in_brackets = place + 1, True
        elif wants_factor:
            raise refused
        elif character == ")" and in_brackets:
            place, in_brackets, sign = place + 1, False, 1.0
        elif character in "*·⋅" or (
            character == "/" and not in_brackets
        ):  # nobody knows what J/(mol/K) means
            sign = sign if in_brackets else -1.0 if character == "/" else 1.0
            place, wants_factor = place + 1, True
        elif cleaned[place - 1] in _BLANKS and sign > 0.0:  # 'J mol-1 K-1', but 'W/m K' has two readings
            wants_factor = True
        else:
            raise refused
    if in_brackets or wants_factor:
        raise refused
    return factors


def _named(name: str, power: float) -> tuple[str, float]:
    """A factor; of a name such as mm2 that is no unit the number is a power."""
    numbered = _NUMBERED.fullmatch(name)
    if numbered and power in (1.0, -1.0) and name not in registry:
        return numbered["name"], power * float(numbered["power"])
    return name, power


def _shown(text: str) -> str:
    """A text in a sentence: printable, and not longer than a line."""
    printable = "".join(character if character.isprintable() else "?" for character in text)
    return printable if len(printable) <= _LONGEST else f"{printable[:_LONGEST]}…"


def same_dimension(first: str, second: str) -> bool:
    """Whether values in one unit can be converted to the other.

    A wavenumber may also be said as its frequency in hertz or its energy in electron volts.

    Examples
    --------
    >>> same_dimension("h", "s"), same_dimension("h", "kg"), same_dimension("HRC", "HV"), same_dimension("THz", "1/cm")
    (True, False, False, True)
    """
    source, target = unit(first), unit(second)
    return bool(source.dimensionality == target.dimensionality) or _of_light(source, target)


def _of_light(source: pint.Unit, target: pint.Unit) -> bool:
    """Whether both say the same of light or of a vibration, and one is a wavenumber."""
    kinds = {_kind_of_light(source), _kind_of_light(target)}
    return "" not in kinds and "wavenumber" in kinds


def _kind_of_light(of: pint.Unit) -> str:
    """By name and not by dimension: 1/s may be a rate and kJ a heat, where THz and meV are neither."""
    if of.dimensionality == _WAVENUMBER.dimensionality:
        return "wavenumber"
    name = str(of)
    return "frequency" if name.endswith("hertz") else "energy" if name.endswith("electron_volt") else ""


def _wavenumber(quantity: pint.Quantity[Any]) -> pint.Quantity[Any]:
    """The wavenumber of a frequency ν, ν/c, or of an energy E, E/(hc)."""
    kind = _kind_of_light(quantity.units)
    if kind == "wavenumber":
        return quantity
    light = registry.Quantity(1.0, "speed_of_light")
    return quantity / (light if kind == "frequency" else light * registry.Quantity(1.0, "planck_constant"))


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
    >>> convert(1.0, "THz", "1/cm").round(3).tolist()
    33.356
    """
    numbers = np.asarray(values, dtype=np.float64)
    opening = f"{where}: " if where else ""
    try:
        source, target = unit(from_unit), unit(to_unit)
    except InputError as error:
        raise InputError(f"{opening}{error}") from None
    if source == target:
        return numbers
    quantity = registry.Quantity(numbers, source)
    if source.dimensionality != target.dimensionality:
        if not _of_light(source, target):
            raise InputError(
                f"{opening}'{from_unit}'{_hint(from_unit, to_unit)} cannot be converted to '{to_unit}'."
            )
        quantity = _wavenumber(quantity)
        if _kind_of_light(target) != "wavenumber":
            quantity = (
                quantity
                / _wavenumber(registry.Quantity(1.0, target)).to("1/m")
                * registry.Quantity(1.0, target)
            )
    converted = quantity.to(target).magnitude
    return np.asarray(converted, dtype=np.float64)


def stated(value: Any, asked: str) -> tuple[float, str]:
    """A number and its unit, from a number, a text such as ``"64 kg"``, or a quantity; no unit where none is said.

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
            unit(symbol)
            return float(amount["number"]), symbol
        except InputError:
            raise InputError(
                f"{asked}: '{_shown(value)}' is not a number with a unit, such as '64 kg'."
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
