"""Hardness of steels from one scale to another, by the tables of ASTM E140, within their ranges.

Table 1 holds for the range of Rockwell C, Table 2 for that of Rockwell B, both for non-austenitic steels. Between two
rows is interpolated along a straight line. Where both tables hold a value, between Vickers, Brinell and Knoop, the
first is taken; the two differ by up to 5 % where they meet. Conversion is approximate: a unit of Rockwell or two.

Source: ASTM E140-12b, Standard Hardness Conversion Tables for Metals, Tables 1 and 2 (Brinell with 3000 kgf and a ball
of tungsten carbide, Knoop with 500 gf and more). ISO 18265, Table A.1, holds values of the same kind.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metasci.errors import InputError
from metasci.quantities import in_unit
from metasci.units import same_unit

__all__ = ["SCALES", "between_scales", "range_of", "scale_of"]

SCALES = ("HRC", "HRB", "HV", "HB", "HK")

# Tables in rows as the standard prints them, so that they can be read beside it: the formatter would give every
# number a line.
_NONE = np.nan  # Brinell's ball is itself too soft above 739
_ROCKWELL_C: Mapping[str, NDArray[np.float64]] = {
    "HRC": np.arange(20.0, 69.0),
    "HV": np.array(
        [238, 243, 248, 254, 260, 266, 272, 279, 286, 294, 302, 310, 318, 327, 336, 345, 354, 363, 372, 382, 392, 402,
         412, 423, 434, 446, 458, 471, 484, 498, 513, 528, 544, 560, 577, 595, 613, 633, 653, 674, 697, 720, 746, 772,
         800, 832, 865, 900, 940], dtype=np.float64,
    ),
    "HB": np.array(
        [226, 231, 237, 243, 247, 253, 258, 264, 271, 279, 286, 294, 301, 311, 319, 327, 336, 344, 353, 362, 371, 381,
         390, 400, 409, 421, 432, 443, 455, 469, 481, 496, 512, 525, 543, 560, 577, 595, 615, 634, 654, 670, 688, 705,
         722, 739, _NONE, _NONE, _NONE], dtype=np.float64,
    ),
    "HK": np.array(
        [251, 256, 261, 266, 272, 278, 284, 290, 297, 304, 311, 318, 326, 334, 342, 351, 360, 370, 380, 391, 402, 414,
         426, 438, 452, 466, 480, 495, 510, 526, 542, 558, 576, 594, 612, 630, 650, 670, 690, 710, 732, 754, 776, 799,
         822, 846, 870, 895, 920], dtype=np.float64,
    ),
}  # fmt: skip
_VICKERS_OF_B = np.array(
    [100, 101, 103, 104, 106, 107, 108, 110, 112, 114, 116, 117, 119, 121, 123, 125, 127, 130, 132, 135, 137, 139, 141,
     144, 147, 150, 153, 156, 159, 162, 165, 169, 172, 176, 180, 185, 190, 195, 200, 205, 210, 216, 222, 228, 234, 240],
    dtype=np.float64,
)  # fmt: skip
_ROCKWELL_B: Mapping[str, NDArray[np.float64]] = {
    "HRB": np.arange(55.0, 101.0),
    "HV": _VICKERS_OF_B,
    "HB": _VICKERS_OF_B,  # the same column in the standard
    "HK": np.array(
        [112, 114, 115, 117, 118, 120, 122, 124, 125, 127, 129, 131, 133, 135, 137, 139, 141, 143, 145, 147, 150, 152,
         155, 158, 161, 164, 167, 170, 173, 176, 180, 184, 188, 192, 196, 201, 206, 211, 216, 221, 226, 231, 236, 241,
         246, 251], dtype=np.float64,
    ),
}  # fmt: skip
_TABLES = (_ROCKWELL_C, _ROCKWELL_B)


def scale_of(text: str) -> str:
    """The scale of hardness that a unit names, or an empty text.

    Examples
    --------
    >>> scale_of("HV10"), scale_of("HBW 10/3000"), scale_of("MPa")
    ('HV', 'HB', '')
    """
    try:
        return next((scale for scale in SCALES if same_unit(text, scale)), "")
    except InputError:
        return ""


def range_of(source: str, target: str) -> tuple[float, float]:
    """The least and the greatest value of a scale for which the tables give another.

    Examples
    --------
    >>> range_of("HV", "HRC"), range_of("HB", "HV")
    ((238.0, 940.0), (100.0, 739.0))
    """
    ends = [rows[0][[0, -1]] for rows in _rows(source, target)]
    return float(min(low for low, _ in ends)), float(max(high for _, high in ends))


def between_scales(values: ArrayLike, source: str, target: str) -> NDArray[np.float64]:
    """Values of one scale on another; NaN where the tables end.

    Parameters
    ----------
    values : array-like
        On the scale `source`.
    source, target : str
        Of `SCALES`.

    Raises
    ------
    InputError
        If no table holds both scales, as none does Rockwell B and C.

    Examples
    --------
    >>> between_scales([595, 302, 150], "HV", "HRC").tolist()
    [55.0, 30.0, nan]
    """
    numbers = np.asarray(in_unit(values, source, "values"), dtype=np.float64)
    if source == target:
        return numbers
    converted = np.full(numbers.shape, np.nan)
    for known, wanted in _rows(source, target):
        inside = np.isnan(converted) & (numbers >= known[0]) & (numbers <= known[-1])
        converted = np.where(inside, np.interp(numbers, known, wanted), converted)
    return converted


def _rows(source: str, target: str) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """The columns of both scales, from each table that holds both."""
    both = [(table[source], table[target]) for table in _TABLES if source in table and target in table]
    if not both:
        over = " or ".join(scale for scale in ("HV", "HB", "HK") if scale not in (source, target))
        raise InputError(f"no table leads from {source} to {target}; give the values in {over}.")
    return [tuple(column[~np.isnan(known + wanted)] for column in (known, wanted)) for known, wanted in both]  # type: ignore[misc]
