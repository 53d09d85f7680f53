"""The units that most tables are written in, known without a registry: their kinds, and how some become others.

Reading pint's definitions takes as long as the rest of a small calibration, and most files are in the units that they
are wanted in. What is not known here is left to the registry; the factors are the registry's own, to the last bit, and
a test holds the two side by side.
"""

from __future__ import annotations

from collections import Counter
from functools import cache, lru_cache
from typing import Any

from metasci.errors import InputError
from metasci.unit_grammar import factors_of

__all__ = ["alike", "factor", "same_kind", "shift"]

_TIME, _MASS, _LENGTH, _AMOUNT, _TEMPERATURE = "time", "mass", "length", "amount", "temperature"
_ENERGY = {_MASS: 1, _LENGTH: 2, _TIME: -2}


def _all(names: tuple[str, ...], kind: dict[str, int]) -> dict[str, dict[str, int]]:
    return dict.fromkeys(names, kind)


_KINDS: dict[str, dict[str, int]] = {
    **_all(("s", "min", "h", "day", "year"), {_TIME: 1}),
    **_all(("ng", "ug", "mg", "g", "kg"), {_MASS: 1}),
    **_all(("um", "mm", "cm", "m"), {_LENGTH: 1}),
    **_all(("mL", "dL", "L"), {_LENGTH: 3}),
    **_all(("umol", "mmol", "mol"), {_AMOUNT: 1}),
    **_all(("J", "kJ"), _ENERGY),
    **_all(("Pa", "kPa", "MPa"), {_MASS: 1, _LENGTH: -1, _TIME: -2}),
    **_all(("K", "degC"), {_TEMPERATURE: 1}),
    "percent": {},
    **{scale: {scale: 1} for scale in ("HRC", "HRB", "HV", "HB", "HK")},
}
_FACTORS = {
    ("s", "h"): 1 / 3600,
    ("min", "h"): 1 / 60,
    ("day", "h"): 24.0,
    ("h", "s"): 3600.0,
    ("min", "s"): 60.0,
    ("day", "s"): 86400.0,
    ("h", "min"): 60.0,
    ("g", "mg"): 1000.0,
    ("ug", "mg"): 0.001,
    ("percent", "1"): 0.01,
    # as pint's factors multiply: not always a round number to the last bit
    ("mg/L", "ug/L"): 1000.0,
    ("mg/L", "ug/mL"): 1.0,
    ("mg/L", "ng/mL"): 999.9999999999999,
    ("ug/L", "ng/mL"): 0.9999999999999999,
    # a concentration by mass is held against the density of matter
    ("ng/mL", "kg/L"): 1.0000000000000003e-09,
    ("ng/L", "kg/L"): 1.0000000000000002e-12,
    ("ug/mL", "kg/L"): 1e-06,
    ("ug/L", "kg/L"): 1e-09,
    ("mg/mL", "kg/L"): 0.001,
    ("mg/L", "kg/L"): 1e-06,
    ("g/mL", "kg/L"): 1.0,
    ("g/L", "kg/L"): 0.001,
    ("kg/mL", "kg/L"): 1000.0,
}
_SHIFTS = {("degC", "K"): 273.15, ("K", "degC"): -273.15}


@lru_cache(maxsize=1024)
def _parsed(text: str) -> tuple[tuple[str, float], ...] | None:
    """Names and powers in order of the alphabet, each once; nothing where one is not known here."""
    try:
        factors = factors_of(text, known=_KINDS.__contains__)
    except InputError:
        return None
    powers: Counter[str] = Counter()
    for name, power in factors:
        if name not in _KINDS:
            return None
        powers[name] += power  # type: ignore[assignment]
    if "degC" in powers and powers != {"degC": 1}:
        return None  # a difference of temperatures
    return tuple(sorted((name, power) for name, power in powers.items() if power))


def alike(first: str, second: str) -> bool | None:
    """Whether two texts name the same units to the same powers; nothing where that is not known here.

    Examples
    --------
    >>> alike("(mg)/(L)", "mg/L"), alike("mg/L", "ng/mL"), alike("degF", "degF")
    (True, False, None)
    """
    first_units, second_units = _parsed(first), _parsed(second)
    return None if first_units is None or second_units is None else first_units == second_units


def same_kind(first: str, second: str) -> bool | None:
    """Whether one can be converted to the other; nothing where that is not known here.

    Examples
    --------
    >>> same_kind("mg/L", "ng/mL"), same_kind("h", "kg"), same_kind("1/cm", "J")
    (True, False, None)
    """
    first_units, second_units = _parsed(first), _parsed(second)
    if first_units is None or second_units is None:
        return None
    kinds = _kind(first_units), _kind(second_units)
    if kinds[0] != kinds[1] and (((_LENGTH, -1.0),) in kinds):
        return None  # a wavenumber may be said as a frequency or an energy
    return kinds[0] == kinds[1]


def _kind(factors: tuple[tuple[str, float], ...]) -> tuple[tuple[str, float], ...]:
    powers: dict[str, float] = {}
    for name, power in factors:
        for dimension, times in _KINDS[name].items():
            powers[dimension] = powers.get(dimension, 0.0) + power * times
    return tuple(sorted((name, power) for name, power in powers.items() if power))


def factor(first: str, second: str) -> float | None:
    """By what values in the first are multiplied to be in the second; nothing where that is not known here.

    Examples
    --------
    >>> factor("h", "h"), factor("day", "h"), factor("h", "kg")
    (1.0, 24.0, None)
    """
    first_units, second_units = _parsed(first), _parsed(second)
    if first_units is None or second_units is None:
        return None
    return 1.0 if first_units == second_units else _factors().get((first_units, second_units))


@cache
def _factors() -> dict[tuple[Any, Any], float]:
    return {(_parsed(source), _parsed(target)): value for (source, target), value in _FACTORS.items()}


def shift(first: str, second: str) -> float | None:
    """What is added to values in the first to be in the second; nothing where that is not known here.

    Examples
    --------
    >>> shift("degC", "K"), shift("K", "degC"), shift("degF", "K")
    (273.15, -273.15, None)
    """
    first_units, second_units = _parsed(first), _parsed(second)
    if first_units is None or second_units is None:
        return None
    return _shifts().get((first_units, second_units))


@cache
def _shifts() -> dict[tuple[Any, Any], float]:
    return {(_parsed(source), _parsed(target)): value for (source, target), value in _SHIFTS.items()}
