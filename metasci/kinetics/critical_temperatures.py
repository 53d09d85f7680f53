"""Critical temperatures of steels from their composition, by published regressions: one table, one function."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from metasci.elements import contents_by_name
from metasci.errors import InputError

__all__ = ["FORMULAS", "CriticalTemperature", "critical_temperature"]

_ICE = 273.15  # kelvin; the formulas are in degrees Celsius


@dataclass(frozen=True)
class Formula:
    """A regression on weight per cent: a constant in °C, a coefficient for each element, and its scatter.

    Attributes
    ----------
    meaning : str
    constant : float
        °C.
    coefficients : mapping of str to float
        K per weight per cent.
    sd : float
        Standard deviation of steels about it, K.
    ranges : mapping of str to tuple of float
        Contents for which it was made, where its source says so.
    source : str
    root : mapping of str to float
        K per square root of weight per cent.
    levelling : mapping of str to tuple of float
        Of a content c with (a, b), a(1 − exp(−b c)): K, and one over weight per cent.
    """

    meaning: str
    constant: float
    coefficients: Mapping[str, float]
    sd: float
    ranges: Mapping[str, tuple[float, float]]
    source: str
    root: Mapping[str, float]
    levelling: Mapping[str, tuple[float, float]] = field(default_factory=dict)


_STEVEN_HAYNES = {
    "carbon": (0.1, 0.55),
    "manganese": (0.2, 1.7),
    "silicon": (0.1, 0.35),
    "nickel": (0.0, 5.0),
    "chromium": (0.0, 3.5),
    "molybdenum": (0.0, 1.0),
}
_NINE_IN_TEN = 25.0 / 1.645  # nine steels in ten within 25 °C
FORMULAS: Mapping[str, Formula] = {
    "Ac1": Formula(
        "where austenite begins to form on heating",
        723.0,
        {
            "manganese": -10.7,
            "nickel": -16.9,
            "silicon": 29.1,
            "chromium": 16.9,
            "arsenic": 290.0,
            "tungsten": 6.38,
        },
        11.5,
        {"carbon": (0.0, 0.6)},
        "Andrews, J Iron Steel Inst 203 (1965) 721",
        {},
    ),
    "Ac3": Formula(
        "where ferrite is gone on heating",
        910.0,
        {"nickel": -15.2, "silicon": 44.7, "vanadium": 104.0, "molybdenum": 31.5, "tungsten": 13.1},
        16.7,
        {"carbon": (0.0, 0.6)},
        "Andrews, J Iron Steel Inst 203 (1965) 721",
        {"carbon": -203.0},
    ),
    "Bs": Formula(
        "where bainite begins to form on cooling",
        830.0,
        {"carbon": -270.0, "manganese": -90.0, "nickel": -37.0, "chromium": -70.0, "molybdenum": -83.0},
        _NINE_IN_TEN,
        _STEVEN_HAYNES,
        "Steven and Haynes, J Iron Steel Inst 183 (1956) 349",
        {},
    ),
    "Ms": Formula(
        "where martensite begins to form on cooling",
        561.0,
        {"carbon": -474.0, "manganese": -33.0, "nickel": -17.0, "chromium": -17.0, "molybdenum": -21.0},
        _NINE_IN_TEN,
        _STEVEN_HAYNES,
        "Steven and Haynes, J Iron Steel Inst 183 (1956) 349",
        {},
    ),
}
"""Of Ac1, Ac3, Bs and Ms, each a regression on low-alloy steels."""
_BOHEMEN = "van Bohemen, Mater Sci Technol 28 (2012) 487"
# the source was read second-hand, without its scatter and ranges: twice the scatter of the others is taken, and of all
# but carbon no more than what those have seen
_READ_SECOND_HAND = 2.0 * _NINE_IN_TEN
_FADES = 0.45  # weight per cent of carbon, to 1 %: over less of it Bs would rise with carbon
_VOUCHED_FOR = {**{name: (0.0, most) for name, (_, most) in _STEVEN_HAYNES.items()}, "carbon": (0.1, 1.9)}
_HIGH_CARBON: Mapping[str, Formula] = {
    "Bs": Formula(
        FORMULAS["Bs"].meaning,
        839.0,
        {"manganese": -86.0, "silicon": -23.0, "chromium": -67.0, "nickel": -33.0, "molybdenum": -75.0},
        _READ_SECOND_HAND,
        _VOUCHED_FOR,
        _BOHEMEN,
        {},
        {"carbon": (-270.0, 1.33)},
    ),
    "Ms": Formula(
        FORMULAS["Ms"].meaning,
        565.0,
        {"manganese": -31.0, "silicon": -13.0, "chromium": -10.0, "nickel": -18.0, "molybdenum": -12.0},
        _READ_SECOND_HAND,
        _VOUCHED_FOR,
        _BOHEMEN,
        {},
        {"carbon": (-600.0, 0.96)},
    ),
}
"""Of steels with more carbon than `FORMULAS` have seen: what carbon does levels off."""


@dataclass(frozen=True)
class CriticalTemperature:
    """A temperature and how far steels of that composition lie from it.

    Attributes
    ----------
    value, sd : float
        K.
    source : str
    outside : tuple of str
        Elements whose content the regression has not seen, each with its range.
    """

    value: float
    sd: float
    source: str
    outside: tuple[str, ...] = ()


def critical_temperature(which: str, composition: Mapping[str, float]) -> CriticalTemperature:
    """A critical temperature of a low-alloy steel.

    Parameters
    ----------
    which : str
        ``"Ac1"``, ``"Ac3"``, ``"Bs"`` or ``"Ms"``.
    composition : mapping of str to float
        Elements, by symbol or English name, to weight per cent; those not given count as none.

    Raises
    ------
    InputError
        If there is no such temperature or element, or a content is no number from 0 to 100.

    Notes
    -----
    Regressions on low-alloy steels, in °C and weight per cent (see `FORMULAS` for ranges and scatter):

    - Ac1 = 723 − 10.7 Mn − 16.9 Ni + 29.1 Si + 16.9 Cr + 290 As + 6.38 W;
    - Ac3 = 910 − 203 √C − 15.2 Ni + 44.7 Si + 104 V + 31.5 Mo + 13.1 W;
    - Bs = 830 − 270 C − 90 Mn − 37 Ni − 70 Cr − 83 Mo;
    - Ms = 561 − 474 C − 33 Mn − 17 Ni − 17 Cr − 21 Mo.

    With more than 0.55 % of carbon, which those of Bs and Ms have not seen and where carbon does less:

    - Bs = 839 − 270 (1 − e^(−1.33 C)) − 86 Mn − 23 Si − 67 Cr − 33 Ni − 75 Mo;
    - Ms = 565 − 600 (1 − e^(−0.96 C)) − 31 Mn − 13 Si − 10 Cr − 18 Ni − 12 Mo.

    Carbon is that of the austenite: what stays in carbides, as in bearing steels, does not count. Where the second
    formula takes over at 0.55 %, the two differ by some 20 K; up to 1 % this difference fades out along a straight
    line, so that no value jumps, and so does that of their scatter.

    Sources: Andrews, J Iron Steel Inst 203 (1965) 721, for Ac1 and Ac3; Steven and Haynes, J Iron Steel Inst 183 (1956)
    349, for Bs and Ms; van Bohemen, Mater Sci Technol 28 (2012) 487, for those of high carbon, typed in from others who
    use them. Ac3 is Andrews's formula as Krauss (Steels, ASM 2005) has it. His further terms, − 30 Mn − 11 Cr
    − 20 Cu + 700 P + 400 Al + 120 As + 400 Ti, balance one another in ordinary steels and are left out with one
    another: phosphorus and aluminium are seldom given, and manganese alone would lower Ac3 by what they raise it. An
    element of which the regression has no coefficient does not act.

    Examples
    --------
    >>> steel = {"carbon": 0.40, "manganese": 0.85, "silicon": 0.25, "chromium": 0.95, "molybdenum": 0.20}
    >>> found = critical_temperature("Ms", steel)
    >>> round(found.value - 273.15, 1), round(found.sd, 1)
    (323.0, 15.2)
    >>> found = critical_temperature("Ms", {"C": 1.0, "Mn": 0.35, "Si": 0.25, "Cr": 1.5})
    >>> round(found.value - 273.15), found.outside
    (166, ())
    """
    if which not in FORMULAS:
        raise InputError(f"there is no critical temperature '{which}'; known are {', '.join(FORMULAS)}.")
    formula, contents = FORMULAS[which], contents_by_name(composition)
    carbon, most = contents.get("carbon", 0.0), formula.ranges["carbon"][1]
    if which in _HIGH_CARBON and carbon > most:
        low, formula, border = formula, _HIGH_CARBON[which], {**contents, "carbon": most}
        share = max(0.0, 1.0 - (carbon - most) / _FADES)
        value = _celsius(formula, contents) + share * (_celsius(low, border) - _celsius(formula, border))
        sd = formula.sd + share * (low.sd - formula.sd)
        source = f"{formula.source}, and {low.source}" if share else formula.source
    else:
        value, sd, source = _celsius(formula, contents), formula.sd, formula.source
    outside = tuple(
        f"{element} {contents.get(element, 0.0):g} % ({low:g} to {high:g} %)"
        for element, (low, high) in formula.ranges.items()
        if not low <= contents.get(element, 0.0) <= high
    )
    return CriticalTemperature(value + _ICE, sd, source, outside)


def _celsius(formula: Formula, contents: Mapping[str, float]) -> float:
    """What a formula gives, in °C."""
    of = {element: contents.get(element, 0.0) for element in (*formula.coefficients, *formula.root)}
    value = formula.constant + sum(slope * of[element] for element, slope in formula.coefficients.items())
    value += sum(slope * math.sqrt(of[element]) for element, slope in formula.root.items())
    return value + sum(
        most * (1.0 - math.exp(-rate * contents.get(element, 0.0)))
        for element, (most, rate) in formula.levelling.items()
    )
