"""The cells of an event table: numbers, labels, and times that are numbers, clocks or dates.

A dot and an empty cell hold nothing. Comment lines start with ``#``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metasci.data.cells import bytes_of, cells_of, unpacked
from metasci.data.checks import Faults
from metasci.data.events.columns import looks_like_events
from metasci.errors import InputError
from metasci.units import convert

__all__ = ["first", "numbers", "read_cells", "texts", "times", "without_comments"]

_MISSING = {"", ".", "na", "n/a", "nan", "<na>", "nat", "none", "null"}
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d+)?))?")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_STAMP = re.compile(r"\d{4}-\d{2}-\d{2}[ T]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?")


def first(mask: NDArray[np.bool_]) -> int | None:
    """Position of the first that is true."""
    return int(np.argmax(mask)) if mask.any() else None


def read_cells(path: str | Path) -> tuple[pd.DataFrame, int, str]:
    """The cells of a CSV file, also a gzipped one, how many comment lines it has, and its checksum.

    A first line that starts with ``#`` but holds the headers of an event table is no comment.
    """
    content = bytes_of(path)
    checksum = hashlib.sha256(content).hexdigest()
    content = unpacked(content, path)
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    comments, header_seen = 0, False
    for at, line in enumerate(lines):
        stripped = line.lstrip(b' \t"')
        if stripped.startswith(b"#"):
            names = stripped.decode("utf-8", "replace").replace('"', "").split(",")
            if not header_seen and looks_like_events(names):
                lines[at] = line.replace(b"#", b"", 1).lstrip()
                header_seen = True
            else:
                lines[at] = b""
                comments += 1
        elif stripped.strip():
            header_seen = True
    frame, more = without_comments(cells_of(b"\n".join(lines), str(path)))
    return frame, comments + more, checksum


def without_comments(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The rows that are no comments, and how many are.

    A comment starts with ``#``, or has a lone ``C`` in a first column that is headed so.
    """
    if not len(frame.columns) or pd.api.types.is_numeric_dtype(frame.dtypes.iloc[0]):
        return frame, 0
    cells = texts(frame.iloc[:, 0])
    marks = ("#", "C") if str(frame.columns[0]).strip().upper() == "C" else ("#",)
    comment = np.array([cell.startswith("#") or cell in marks for cell in cells], dtype=bool)
    return (frame[~comment], int(comment.sum())) if comment.any() else (frame, 0)


def texts(cells: pd.Series[Any]) -> list[str]:
    """The cells as texts, empty where nothing stands; 7.0 is 7."""
    found = [
        str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()
        for cell in cells
    ]
    return ["" if text.lower() in _MISSING else text for text in found]


def numbers(name: str, fault: Faults) -> NDArray[np.float64]:
    """The cells of a column as numbers, NaN where nothing stands."""
    cells = fault.cells[name]
    if pd.api.types.is_numeric_dtype(cells.dtype) and not pd.api.types.is_bool_dtype(cells.dtype):
        values = cells.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        written = texts(cells)
        try:
            if any("_" in text for text in written):  # 1_000 is a number to Python only
                raise ValueError
            values = np.array([text or "nan" for text in written], dtype=object).astype(np.float64)
        except (ValueError, OverflowError):
            values = np.array([_number(text, at, name, fault) for at, text in enumerate(written)])
    if (at := first(np.isinf(values))) is not None:
        raise fault(name, at, f"'{fault.shown(name, at)}' is not a finite number")
    return values


def _number(text: str, at: int, name: str, fault: Faults) -> float:
    try:
        if "_" in text:
            raise ValueError
        return float(text or "nan")
    except ValueError:
        hint = " (write a point for the decimals)" if re.fullmatch(r"[-+]?\d+,\d+", text) else ""
        raise fault(name, at, f"'{text}' is not a number{hint}") from None


def times(fault: Faults, codes: NDArray[np.intp], unit: str) -> tuple[NDArray[np.float64], bool]:
    """The time of every record: as numbers, or in hours since the patient's first record, from dates and clocks.

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
            "out, or say which counts, columns={'TIME': '...'}."
        )
    name = "TIME" if "TIME" in names else "DATETIME"
    if name not in names:
        raise InputError(f"{fault.where} has no column 'TIME'; say which it is, columns={{'TIME': '...'}}.")
    is_number = pd.api.types.is_numeric_dtype(fault.cells[name].dtype)
    written = [] if is_number else texts(fault.cells[name])
    stamped = name == "DATETIME" or any(_DAY.match(text) for text in written)
    clocked = not stamped and any(":" in text for text in written)
    if (stamped or clocked) and unit != "h":
        raise InputError(
            f"{fault.where}, column '{names[name]}': a date or clock time is not in '{unit}'; leave the unit out."
        )
    if stamped:
        return _since_first(_stamps(written or texts(fault.cells[name]), name, fault), codes), True
    if clocked and "DATE" not in names:
        clock = next(place for place, text in enumerate(written) if ":" in text)
        raise fault(name, clock, f"the clock time '{written[clock]}' needs a column DATE to say the day")
    if not clocked:
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
        return _since_first(_days(fault) * 86400.0 + values * 3600.0, codes), True
    seconds = np.array([_seconds(text, at, name, fault) for at, text in enumerate(written)])
    return _since_first(_days(fault) * 86400.0 + seconds, codes), True


def _since_first(seconds: NDArray[np.float64], codes: NDArray[np.intp]) -> NDArray[np.float64]:
    """Hours since the first record of the same patient."""
    starts = np.unique(codes, return_index=True)[1]
    return np.asarray((seconds - seconds[starts][codes]) / 3600.0, dtype=np.float64)


def _days(fault: Faults) -> NDArray[np.float64]:
    return _dates([text.removesuffix(" 00:00:00") for text in texts(fault.cells["DATE"])], "DATE", fault)


def _dates(written: Sequence[str], name: str, fault: Faults) -> NDArray[np.float64]:
    """Days since 1970."""
    for place, text in enumerate(written):
        if not _DAY.fullmatch(text):
            said = f"'{text}' may be read in several ways, or is no date" if text else "the cell is empty"
            raise fault(name, place, f"{said}; write it as 2024-03-01")
    days = pd.to_datetime(pd.Series(written), format="%Y-%m-%d", errors="coerce").to_numpy(
        dtype="datetime64[s]"
    )
    if (at := first(np.isnat(days))) is not None:
        raise fault(name, at, f"there is no day '{written[at]}'")
    return np.asarray(days.astype("datetime64[D]").astype(np.int64), dtype=np.float64)


def _stamps(written: Sequence[str], name: str, fault: Faults) -> NDArray[np.float64]:
    """Seconds since 1970; a date alone is its midnight."""
    full = [f"{text} 00:00" if _DAY.fullmatch(text) else text for text in written]
    for at, text in enumerate(full):
        if not _STAMP.fullmatch(text):
            said = f"'{text}' is no date with a time of the day" if text else "the cell is empty"
            raise fault(name, at, f"{said}; write it as 2024-03-01 08:30")
    days = _dates([text[:10] for text in full], name, fault)
    return days * 86400.0 + np.array([_seconds(text[11:], at, name, fault) for at, text in enumerate(full)])


def _seconds(text: str, at: int, name: str, fault: Faults) -> float:
    """Seconds since midnight."""
    clock = _CLOCK.fullmatch(text)
    if clock:
        hours, minutes, rest = int(clock[1]), int(clock[2]), float(clock[3] or 0.0)
        if hours < 24 and minutes < 60 and rest < 60.0:
            return hours * 3600.0 + minutes * 60.0 + rest
    said = f"'{text}' is no time of the day" if text else "the cell is empty"
    raise fault(name, at, f"{said}; write it as 08:30")
