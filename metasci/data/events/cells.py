"""The cells of an event table, from a file or a frame: texts, and numbers where they are wanted.

A dot and an empty cell hold nothing. Comment lines start with ``#``. Cells are separated by commas, semicolons or tabs.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metasci.data.cells import bytes_of, cells_of, is_text, table_of, unpacked
from metasci.data.checks import Faults
from metasci.data.events.columns import looks_like_events
from metasci.errors import InputError
from metasci.regular_files import book_and_sheet

__all__ = ["Cells", "first", "headers_of", "numbers", "read_cells", "texts"]

_MISSING = {"", ".", "na", "n/a", "nan", "<na>", "nat", "none", "null"}
_LONGEST_HEADER = 2**20  # letters; a packed file without a line's end may be hundreds of megabytes long
_DECIMAL_COMMA = re.compile(r"[<\s]*[-+]?\d+,\d+\s*")


@dataclass(frozen=True)
class Cells:
    """The cells of a table, how many comment lines stood among them, and the checksum of the file."""

    frame: pd.DataFrame
    comments: int = 0
    checksum: str = ""


def first(mask: NDArray[np.bool_]) -> int | None:
    """Position of the first that is true."""
    return int(np.argmax(mask)) if mask.any() else None


def headers_of(source: str | Path | pd.DataFrame) -> list[str]:
    """The headers of a table; none where a file cannot be read, which whoever reads it will say."""
    if isinstance(source, pd.DataFrame):
        return [str(column) for column in source.columns]
    if not book_and_sheet(source)[0].is_file():  # a pipe might never end
        return []
    if not is_text(source):
        try:
            return [str(header) for header in table_of(bytes_of(source), source).columns]
        except InputError:
            return []
    opened = gzip.open if Path(source).suffix == ".gz" else open
    try:
        with opened(source, "rb") as marked:
            wide = marked.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        with opened(source, "rt", encoding="utf-16" if wide else "utf-8-sig", errors="replace") as file:
            line = file.readline(_LONGEST_HEADER)
    except (OSError, EOFError, zlib.error):
        return []
    return [header.strip().strip('"') for header in line.split(_separator(line))]


def read_cells(source: str | Path | pd.DataFrame, where: str) -> Cells:
    """The cells of a CSV file, also a gzipped one, or of a frame, without comments.

    A first line that starts with ``#`` but holds the headers of an event table is no comment. A row with a lone ``C``
    in a first column that is headed so is one.
    """
    if isinstance(source, pd.DataFrame):
        return _without_comments(source, 0, "")
    content = bytes_of(source)
    # of a sheet the checksum of the workbook is not that of its data
    checksum = "" if book_and_sheet(source)[1] else hashlib.sha256(content).hexdigest()
    if not is_text(source):
        return _without_comments(table_of(content, source), 0, checksum)
    lines = _in_utf_8(unpacked(content, source)).removeprefix(b"\xef\xbb\xbf").split(b"\n")
    comments, header = 0, b""
    for at, line in enumerate(lines):
        stripped = line.lstrip(b' \t"')
        if stripped.startswith(b"#"):
            if not header and looks_like_events(_names(stripped)):
                header = lines[at] = line.replace(b"#", b"", 1).lstrip()
            else:
                lines[at] = b""
                comments += 1
        elif stripped.strip():
            header = header or line
    plain = _with_commas(b"\n".join(lines), _separator(header.decode("utf-8", "replace")))
    return _without_comments(cells_of(plain, str(source)), comments, checksum)


def _in_utf_8(content: bytes) -> bytes:
    """Text as spreadsheets export it as "Unicode", in the usual encoding; any other as it is."""
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16", "replace").encode() if wide else content


def _separator(header: str) -> str:
    """What separates the cells of a header: a semicolon or a tab only where there is no comma."""
    return next((mark for mark in ",;\t" if mark in header), ",")


def _names(line: bytes) -> list[str]:
    text = line.decode("utf-8", "replace").replace('"', "")
    return text.strip().split(_separator(text))


def _with_commas(content: bytes, separator: str) -> bytes:
    """The same table with commas between cells, and points in numbers that are written with commas."""
    if separator == ",":
        return content
    try:
        text = content.decode("utf-8")
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        written = io.StringIO(newline="")
        csv.writer(written, lineterminator="\n").writerows(list(_points(rows)))
    except (UnicodeDecodeError, csv.Error):  # whoever reads the cells says what is wrong with them
        return content
    return written.getvalue().encode()


def _points(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    for row in rows:
        yield [cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell for cell in row]


def _without_comments(frame: pd.DataFrame, comments: int, checksum: str) -> Cells:
    if not len(frame.columns) or pd.api.types.is_numeric_dtype(frame.dtypes.iloc[0]):
        return Cells(frame, comments, checksum)
    cells = texts(frame.iloc[:, 0])
    marks = ("#", "C") if str(frame.columns[0]).strip().upper() == "C" else ("#",)
    comment = np.array([cell.startswith("#") or cell in marks for cell in cells], dtype=bool)
    kept = frame[~comment] if comment.any() else frame
    kept.attrs = frame.attrs
    return Cells(kept, comments + int(comment.sum()), checksum)


def texts(cells: pd.Series[Any]) -> list[str]:
    """The cells as texts, empty where nothing stands; 7.0 is 7."""
    written = [
        str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()
        for cell in cells
    ]
    return ["" if text.lower() in _MISSING else text for text in written]


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
