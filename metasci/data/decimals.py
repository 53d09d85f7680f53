"""Decimal commas, in tables whose cells are not separated by commas: read where they have one meaning."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from metasci.errors import InputError

__all__ = ["two_readings", "with_points"]

_PLAIN = r"[-+]?\d+(?:[eE][-+]?\d+)?"
_COMMA = r"[-+]?(?:\d+|\d{1,3}(?:\.\d{3})+),\d+(?:[eE][-+]?\d+)?"
_POINT = r"[-+]?\d*\.\d+(?:[eE][-+]?\d+)?"
_ONE = rf"(?:{_COMMA}|{_POINT}|{_PLAIN})"
_CELL = re.compile(rf"[<>≤≥]?=?\s*{_ONE}(?:\s*(?:\.\.|…)\s*{_ONE})?")
_HAS_POINT = re.compile(rf"[<>≤≥]?=?\s*{_POINT}(?:\s*(?:\.\.|…)\s*{_ONE})?")
_FIND_COMMA = re.compile(_COMMA)
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}([.,]\d{3})")


def with_points(frame: pd.DataFrame, where: str) -> tuple[pd.DataFrame, bool]:
    """The frame with decimal points in its columns of numbers, and whether there was a comma.

    Raises
    ------
    InputError
        If a comma, or a point, may separate thousands as well as decimals.
    """
    numeric = [place for place in range(frame.shape[1]) if _is_numeric(frame.iloc[:, place])]
    cells = [
        (str(frame.columns[place]), row, cell)
        for place in numeric
        for row, cell in zip(frame.index, frame.iloc[:, place], strict=True)
        if isinstance(cell, str)
    ]
    commas = [(column, row, cell) for column, row, cell in cells if "," in cell]
    if not commas:
        return frame, False
    points = [triple for triple in cells if "," not in triple[2] and _HAS_POINT.fullmatch(triple[2])]
    shown = [triple for triple in commas if not _THOUSANDS.fullmatch(triple[2])]
    if not shown or any(_THOUSANDS.fullmatch(cell) for _, _, cell in points):
        column, row, cell = (
            commas[0] if not shown else next(triple for triple in points if _THOUSANDS.fullmatch(triple[2]))
        )
        raise InputError(f"{where}, column '{column}', row {row}: {two_readings(cell)}.")
    if points:
        column, row, cell = points[0]
        raise InputError(
            f"{where}, column '{column}', row {row}: '{cell}' has a decimal point where '{shown[0][2]}' in row "
            f"{shown[0][1]} has a decimal comma; write points throughout."
        )
    changed = frame.copy()
    for place in numeric:
        changed.isetitem(place, [_pointed(cell) for cell in frame.iloc[:, place]])
    return changed, True


def two_readings(cell: str) -> str:
    """A clause that names both readings of a number such as 1,234.

    Examples
    --------
    >>> two_readings("1,234")
    "'1,234' may be 1234 or 1.234; write the one that is meant"
    """
    return (
        f"'{cell}' may be {re.sub('[.,]', '', cell)} or {cell.replace(',', '.')}; write the one that is meant"
    )


def _is_numeric(cells: pd.Series[Any]) -> bool:
    """Whether most of a column's cells are numbers: one that is not will be told as it stands."""
    filled = [cell for cell in cells if isinstance(cell, str) and cell]
    return 2 * sum(_CELL.fullmatch(cell) is not None for cell in filled) > len(filled)


def _pointed(cell: object) -> object:
    if not isinstance(cell, str) or not _CELL.fullmatch(cell):
        return cell
    return _FIND_COMMA.sub(lambda match: match.group().replace(".", "").replace(",", "."), cell)
