"""Hardness of martensite, bainite, ferrite and pearlite of low-alloy steels, by composition and cooling rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from metasci.data.grades import contents_of_grade
from metasci.elements import contents_by_name
from metasci.errors import InputError

__all__ = ["MAYNIER", "hardness_by_composition"]

_LIMITS = {
    "carbon": (0.1, 0.5),
    "silicon": (0.0, 1.0),
    "manganese": (0.0, 2.0),
    "nickel": (0.0, 4.0),
    "chromium": (0.0, 3.0),
    "molybdenum": (0.0, 1.0),
    "vanadium": (0.0, 0.2),
}


@dataclass(frozen=True)
class Regression:
    """HV = constant + Σ c_i·w_i + (slope + Σ s_i·w_i)·lg V, w in weight per cent and V in K/h at 700 °C."""

    constant: float
    contents: Mapping[str, float]
    slope: float
    slope_contents: Mapping[str, float]

    def __call__(self, composition: Mapping[str, float], rate: float) -> float:
        def summed(coefficients: Mapping[str, float]) -> float:
            return sum(factor * composition.get(element, 0.0) for element, factor in coefficients.items())

        return (
            self.constant
            + summed(self.contents)
            + (self.slope + summed(self.slope_contents)) * math.log10(rate)
        )


_FERRITE_PEARLITE = Regression(
    42.0,
    {"carbon": 223, "silicon": 53, "manganese": 30, "nickel": 12.6, "chromium": 7, "molybdenum": 19},
    10.0,
    {"silicon": -19, "nickel": 4, "chromium": 8, "vanadium": 130},
)
MAYNIER: Mapping[str, Regression] = {
    "martensite": Regression(
        127.0, {"carbon": 949, "silicon": 27, "manganese": 11, "nickel": 8, "chromium": 16}, 21.0, {}
    ),
    "bainite": Regression(
        -323.0,
        {"carbon": 185, "silicon": 330, "manganese": 153, "nickel": 65, "chromium": 144, "molybdenum": 191},
        89.0,
        {"carbon": 53, "silicon": -55, "manganese": -22, "nickel": -10, "chromium": -20, "molybdenum": -33},
    ),
    "ferrite": _FERRITE_PEARLITE,
    "pearlite": _FERRITE_PEARLITE,
}
"""Regressions by constituent; one for ferrite and pearlite together."""


def hardness_by_composition(composition: Mapping[str, float] | str) -> Callable[[float], dict[str, float]]:
    """Hardness of the constituents of a low-alloy steel, as a function of the cooling rate at 700 °C.

    Parameters
    ----------
    composition : mapping of str to float, or str
        Elements, by symbol or English name, to weight per cent; or a grade, such as ``"AISI 4140"``.

    Returns
    -------
    callable
        From the rate (K/s) to HV by constituent; to `Cooled.hardness`.

    Raises
    ------
    InputError
        If a content lies outside of those that the regressions were made of.

    Notes
    -----
    Source: Maynier, Dollet and Bastien, in Hardenability Concepts with Applications to Steel (AIME, 1978) 518; for 0.1
    to 0.5 % C and up to 1 % Si, 2 % Mn, 4 % Ni, 3 % Cr, 1 % Mo, 0.2 % V.

    Examples
    --------
    >>> steel = {"carbon": 0.40, "manganese": 0.85, "silicon": 0.25, "chromium": 0.95, "molybdenum": 0.20}
    >>> {name: round(value) for name, value in hardness_by_composition(steel)(30.0).items()}
    {'martensite': 644, 'bainite': 401, 'ferrite': 245, 'pearlite': 245}
    """
    if isinstance(composition, str):
        composition = contents_of_grade(composition)
    contents = contents_by_name(composition)
    for element, (low, high) in _LIMITS.items():
        content = contents.get(element, 0.0)
        if not low <= content <= high:
            raise InputError(
                f"{element} {content:g} %: the hardness of constituents is known from {low:g} to {high:g} %; give "
                "their hardness yourself."
            )

    def at(rate: float) -> dict[str, float]:
        if not rate > 0.0:
            raise InputError(
                "the hardness of constituents follows from a cooling rate at 700 °C, which the curve lacks."
            )
        return {name: regression(contents, 3600.0 * rate) for name, regression in MAYNIER.items()}

    return at
