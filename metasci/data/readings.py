"""What cells say of a quantity: a number, a limit that it lies below or above, an interval, or nothing.

Each reading is a pair of ends, low and high: equal for a number, −∞ below a limit ``<0.5``, ∞ above one ``>65``, both
finite for an interval ``10..20``, NaN where nothing is said.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metasci.data.decimals import two_readings
from metasci.data.hardness import between_scales, range_of, scale_of
from metasci.errors import InputError
from metasci.unit_grammar import shown
from metasci.units import convert

__all__ = ["Readings", "converted", "ends_of", "numbers_of", "readings_of", "text_of"]

_EMPTY = {"", "na", "n/a", "nan", "<na>", "none", "null"}
_LIMIT = re.compile(r"(?P<sign>[<>≤≥]=?)\s*(?P<number>.*)", re.DOTALL)
_BETWEEN = re.compile(r"(?P<low>.+?)\s*(?:\.\.\.?|…)\s*(?P<high>.+)", re.DOTALL)
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")

Floats = NDArray[np.float64]
Fault = Callable[[int, str], InputError]


@dataclass(frozen=True)
class Readings:
    """Readings of one quantity, one for each row.

    Attributes
    ----------
    low, high : ndarray, (row,)
        Ends of where the value lies.
    """

    low: Floats
    high: Floats

    @classmethod
    def exact(cls, values: Floats) -> Readings:
        """Numbers without limits."""
        return cls(values, values)

    @property
    def values(self) -> Floats:
        """The number; or the limit; or the lower end of an interval."""
        return np.where(np.isneginf(self.low), self.high, self.low)

    @property
    def below(self) -> NDArray[np.bool_]:
        """Where the value is only known to lie below `values`."""
        return np.isneginf(self.low)

    @property
    def above(self) -> NDArray[np.bool_]:
        """Where the value is only known to lie above `values`."""
        return np.isposinf(self.high)

    @property
    def upper(self) -> Floats:
        """Where the value lies between `values` and another end, that end; NaN elsewhere."""
        between = (self.low < self.high) & np.isfinite(self.low) & np.isfinite(self.high)
        return np.where(between, self.high, np.nan)

    def not_above(self, limit: float | None) -> Readings:
        """The same, where a number at or below a limit says no more than that it lies below it."""
        if limit is None:
            return self
        at_limit = (self.low == self.high) & (self.high <= limit)
        return Readings(np.where(at_limit, -np.inf, self.low), np.where(at_limit, limit, self.high))


def text_of(cell: Any) -> str:
    """A cell as text; nothing at all is the empty text, and 7.0 is 7."""
    if cell is None or cell is pd.NA or cell is pd.NaT or (isinstance(cell, float) and np.isnan(cell)):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def numbers_of(cells: pd.Series[Any], fault: Fault) -> Floats:
    """The cells as numbers, NaN where empty."""
    if pd.api.types.is_numeric_dtype(cells.dtype) and not pd.api.types.is_bool_dtype(cells.dtype):
        if pd.api.types.is_complex_dtype(cells.dtype):
            raise fault(0, "the numbers are complex")
        values = cells.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        values = np.array([_number(cell, at, fault) for at, cell in enumerate(cells)], dtype=np.float64)
    for at in np.flatnonzero(np.isinf(values))[:1]:
        raise fault(int(at), f"'{cells.iloc[at]}' is not a finite number")
    return values


def readings_of(cells: pd.Series[Any], fault: Fault) -> Readings:
    """The cells as numbers, limits and intervals.

    Examples
    --------
    >>> def fault(row, text): return InputError(f"row {row}: {text}.")
    >>> read = readings_of(pd.Series(["45.5", ">65", "<0.5", "10..20", ""]), fault)
    >>> read.low.tolist(), read.high.tolist()
    ([45.5, 65.0, -inf, 10.0, nan], [45.5, inf, 0.5, 20.0, nan])
    """
    if not any(
        isinstance(cell, str) and (_LIMIT.match(cell.strip()) or ".." in cell or "…" in cell)
        for cell in cells
    ):
        return Readings.exact(numbers_of(cells, fault))
    lows, highs, ends = list(cells), list(cells), np.zeros(len(cells))
    for at, cell in enumerate(cells):
        text = cell.strip() if isinstance(cell, str) else ""
        if text.lower() in _EMPTY or (parts := ends_of(text)) is None:
            continue
        if parts[0].lower() in _EMPTY:
            raise fault(at, f"'{shown(text)}' is not a number")
        lows[at], highs[at], ends[at] = parts
    low, high = (numbers_of(pd.Series(each, dtype=object), fault) for each in (lows, highs))
    for at in np.flatnonzero(low > high)[:1]:
        raise fault(
            int(at), f"'{shown(str(cells.iloc[at]))}' begins above its end; write the lower number first"
        )
    return Readings(np.where(ends < 0, -np.inf, low), np.where(ends > 0, np.inf, high))


def ends_of(text: str) -> tuple[str, str, float] | None:
    """What a limit or an interval says, as text: both ends, and −1 below a limit, 1 above one, 0 between two numbers.

    Examples
    --------
    >>> ends_of("<0.5"), ends_of("≥ 65"), ends_of("10..20"), ends_of("7.5")
    (('0.5', '0.5', -1.0), ('65', '65', 1.0), ('10', '20', 0.0), None)
    """
    if limit := _LIMIT.fullmatch(text):
        return limit["number"], limit["number"], -1.0 if limit["sign"][0] in "<≤" else 1.0
    between = _BETWEEN.fullmatch(text)
    return None if between is None else (between["low"], between["high"], 0.0)


def _number(cell: Any, at: int, fault: Fault) -> float:
    text = str(cell).strip() if isinstance(cell, (str, bool)) else text_of(cell)
    if text.lower() in _EMPTY:
        return np.nan
    try:
        if "_" in text or not text.isascii() or len(text) > 40:  # 1_000 and ١ are numbers to Python only
            raise ValueError
        return float(cell) if isinstance(cell, (int, float)) and not isinstance(cell, bool) else float(text)
    except (ValueError, OverflowError):
        if _THOUSANDS.fullmatch(text):
            raise fault(at, two_readings(text)) from None
        hint = " (write a point for the decimals)" if re.fullmatch(r"[-+]?\d+,\d+", text) else ""
        hint = hint or (
            " (write the number alone, without its error)" if "±" in text or "+/-" in text else ""
        )
        limit = " (only what is measured may be a limit or an interval)" if _LIMIT.fullmatch(text) else ""
        raise fault(at, f"'{shown(text)}' is not a number{hint or limit}") from None


def converted(
    readings: Readings, source: str, target: str, where: str, fault: Fault, may_be_limits: bool
) -> tuple[Readings, list[str]]:
    """Readings in another unit, or on another scale of hardness, and what is to be said of it.

    Parameters
    ----------
    readings : Readings
    source, target : str
        Units.
    where : str
        What the values are, to open a sentence.
    fault : callable
        Makes the error of a row.
    may_be_limits : bool
        Whether a hardness beyond the table may become a limit: what is measured may.

    Raises
    ------
    InputError
        If the units do not fit, or a hardness that may be no limit lies beyond the table.
    """
    scales = scale_of(source), scale_of(target)
    if not all(scales) or scales[0] == scales[1]:
        low = convert(readings.low, source, target, where)
        return Readings(
            low, low if readings.low is readings.high else convert(readings.high, source, target, where)
        ), []
    first, last = range_of(*scales)
    low, high = readings.low, readings.high
    nothing_left = (np.isneginf(low) & (high > last)) | (np.isposinf(high) & (low < first))
    beyond = (
        (low > last)
        | (high < first)
        | ((low < first) & np.isfinite(low))
        | ((high > last) & np.isfinite(high))
    )
    for at in np.flatnonzero(nothing_left | (beyond & (not may_be_limits)))[:1]:
        written = f"{low[at] if np.isfinite(low[at]) else high[at]:g}"
        raise fault(
            int(at),
            f"{written} {scales[0]} lies outside {first:g} to {last:g}, where ASTM E140 leads to {scales[1]}",
        )
    ends = between_scales([first, last], *scales)
    mapped_low, mapped_high = between_scales(low, *scales), between_scales(high, *scales)
    mapped_low = np.where(low < first, -np.inf, np.where(low > last, ends[1], mapped_low))
    mapped_high = np.where(high > last, np.inf, np.where(high < first, ends[0], mapped_high))
    notes = [
        f"{where}: converted from {scales[0]} to {scales[1]} by ASTM E140, for steels that are not austenitic"
    ]
    if count := int(beyond.sum()):
        notes.append(
            f"{where}: {count} of {int((~np.isnan(low)).sum())} values lie outside {first:g} to {last:g} {scales[0]}, "
            f"where the table ends, and count as below {ends[0]:g} or above {ends[1]:g} {scales[1]}"
        )
    return Readings(mapped_low, mapped_high), notes
