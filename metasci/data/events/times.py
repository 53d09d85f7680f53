"""The time of every record: numbers, clock times, dates.

Numbers count from an origin that all of a patient's records share. Clocks and dates are hours since the patient's first
record. A day is written year first, since 3/1/2024 is a day in March to some and one in January to others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metasci.data.checks import Faults
from metasci.data.events.cells import first, numbers, texts
from metasci.errors import InputError
from metasci.units import convert

__all__ = ["by_clock", "times"]

Floats = NDArray[np.float64]

_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d+)?))?")
_DAY = re.compile(r"(?P<year>\d{4})(?P<mark>[-/])(?P<month>\d{1,2})(?P=mark)(?P<date>\d{1,2})")
_STAMP = re.compile(
    rf"(?P<day>{_DAY.pattern})[ T](?P<clock>{_CLOCK.pattern}) *(?P<zone>Z|[-+]\d\d(:?\d\d)?)?"
)
_SOME_DAY = re.compile(r"\d[-/]\d")
_SOME_TIME = re.compile(r"\d[-/:]\d")
_EPOCH = datetime(1970, 1, 1)


def by_clock(cells: pd.Series[Any]) -> bool:
    """Whether a column holds dates or clock times."""
    return not pd.api.types.is_numeric_dtype(cells.dtype) and any(
        _SOME_TIME.search(str(cell)) for cell in cells
    )


def times(fault: Faults, codes: NDArray[np.intp], unit: str) -> tuple[Floats, bool]:
    """The time of every record.

    Parameters
    ----------
    fault : Faults
    codes : array of int
        Which patient a record is of.
    unit : str
        In which numbers are; hours for dates and clock times.

    Returns
    -------
    times : array
    is_hours : bool
        Whether they are in hours since the first record, in whatever unit they were written.
    """
    names = fault.headers
    if "DATETIME" in names and "TIME" in names:
        raise InputError(
            f"{fault.where}: time is given twice, by '{names['TIME']}' and by '{names['DATETIME']}'; take one of them "
            "out, or say which counts, columns={'TIME': '...'}, or in the [events] of a card."
        )
    name = "TIME" if "TIME" in names else "DATETIME"
    if name not in names:
        raise InputError(
            f"{fault.where} has no column 'TIME'; say which it is, columns={{'TIME': '...'}}, or in the [events] of a "
            "card."
        )
    written = [] if pd.api.types.is_numeric_dtype(fault.cells[name].dtype) else texts(fault.cells[name])
    stamped = name == "DATETIME" or any(_SOME_DAY.search(text) for text in written)
    clocked = not stamped and any(":" in text for text in written)
    if (stamped or clocked) and unit != "h":
        raise InputError(
            f"{fault.where}, column '{names[name]}': a date or clock time is not in '{unit}'; leave the unit out."
        )
    if stamped:
        return _since_first(_stamps(written or texts(fault.cells[name]), name, fault), codes), True
    if clocked:
        seconds = np.array([_seconds(text, at, name, fault) for at, text in enumerate(written)])
        if "DATE" in names:
            seconds = seconds + _days(fault)
        else:  # all of one day, which it cannot be if the clock goes back
            _check_one_day(seconds, codes, written, name, fault)
        return _since_first(seconds, codes), True
    values = numbers(name, fault)
    if (at := first(np.isnan(values))) is not None:
        raise fault(name, at, "the cell is empty, but every record needs a time")
    if "DATE" not in names:
        return values, False
    values = convert(values, unit, "h")
    if (at := first((values < 0) | (values > 24))) is not None:
        raise fault(
            name,
            at,
            f"beside a DATE the time is that of the day, 0 to 24 h, which {fault.shown(name, at)} is not",
        )
    return _since_first(_days(fault) + values * 3600.0, codes), True


def _check_one_day(
    seconds: Floats, codes: NDArray[np.intp], written: Sequence[str], name: str, fault: Faults
) -> None:
    back = (np.diff(codes, prepend=-1) == 0) & (np.diff(seconds, prepend=0.0) < 0)
    if (at := first(back)) is not None:
        raise fault(
            name,
            at,
            f"the clock goes back from {written[at - 1]} to {written[at]}, which needs a column DATE to say the day",
        )


def _since_first(seconds: Floats, codes: NDArray[np.intp]) -> Floats:
    """Hours since the first record of the same patient."""
    starts = np.unique(codes, return_index=True)[1]
    return np.asarray((seconds - seconds[starts][codes]) / 3600.0, dtype=np.float64)


def _days(fault: Faults) -> Floats:
    """Seconds from 1970 to the beginning of the day."""
    written = [text.removesuffix(" 00:00:00") for text in texts(fault.cells["DATE"])]
    return np.array([_day(text, at, "DATE", fault) for at, text in enumerate(written)])


def _day(text: str, at: int, name: str, fault: Faults) -> float:
    day = _DAY.fullmatch(text)
    if day is None:
        problem = f"'{text}' may be read in several ways, or is no date" if text else "the cell is empty"
        raise fault(name, at, f"{problem}; write it as 2024-03-01")
    try:
        date = datetime(int(day["year"]), int(day["month"]), int(day["date"]))
    except ValueError:
        raise fault(name, at, f"there is no day '{text}'") from None
    return (date - _EPOCH).total_seconds()


def _stamps(written: Sequence[str], name: str, fault: Faults) -> Floats:
    """Seconds since 1970; a date alone is its midnight, and a time with a zone is moved to Greenwich's."""
    full = [f"{text} 00:00" if _DAY.fullmatch(text) else text for text in written]
    matches = [_STAMP.fullmatch(text) for text in full]
    zoned = [stamp is not None and stamp["zone"] is not None for stamp in matches]
    seconds = np.empty(len(full))
    for at, (text, stamp) in enumerate(zip(full, matches, strict=True)):
        if stamp is None:
            problem = f"'{text}' is no date with a time of the day" if text else "the cell is empty"
            raise fault(name, at, f"{problem}; write it as 2024-03-01 08:30")
        if zoned[at] != zoned[0]:
            raise fault(
                name, at, "some times say their zone and others do not; write all of them with one, or none"
            )
        local = _day(stamp["day"], at, name, fault) + _seconds(stamp["clock"], at, name, fault)
        seconds[at] = local - _offset(stamp["zone"])
    return seconds


def _offset(zone: str | None) -> float:
    """Seconds by which the clocks of a zone, ``+02:00``, are ahead."""
    if zone is None or zone == "Z":
        return 0.0
    ahead = 3600.0 * int(zone[1:3]) + 60.0 * int(zone[3:].removeprefix(":") or 0)
    return -ahead if zone[0] == "-" else ahead


def _seconds(text: str, at: int, name: str, fault: Faults) -> float:
    """Seconds since midnight."""
    clock = _CLOCK.fullmatch(text)
    if clock:
        hours, minutes, rest = int(clock[1]), int(clock[2]), float(clock[3] or 0.0)
        if hours < 24 and minutes < 60 and rest < 60.0:
            return hours * 3600.0 + minutes * 60.0 + rest
    problem = f"'{text}' is no time of the day" if text else "the cell is empty"
    raise fault(name, at, f"{problem}; write it as 08:30")
