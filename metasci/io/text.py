"""The cells of a CSV file, as texts; a file that is not plainly one is refused."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd

from metasci.errors import InputError

__all__ = ["bytes_of", "cells_of"]


def bytes_of(path: str | Path) -> bytes:
    """What is in a file."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"there is no file '{path}'.") from None
    except IsADirectoryError:
        raise InputError(f"'{path}' is a folder, not a file.") from None
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}.") from None


def cells_of(content: bytes, where: str) -> pd.DataFrame:
    """The cells as texts, indexed by the line of the file on which the row starts."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{where} is not UTF-8 text (line {line}); save it as CSV in UTF-8.") from None
    if "\0" in text:
        raise InputError(f"{where} is not a text file; save it as CSV in UTF-8.")
    rows: list[list[str]] = []
    lines: list[int] = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    start = 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):  # blank lines, and rows of commas only, hold nothing
                rows.append([cell.strip() for cell in row])
                lines.append(start)
            start = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{where}, row {start}: the quotes do not match ({error}).") from None
    if not rows:
        raise InputError(f"{where} is empty.")
    header = rows[0]
    for separator, called in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and separator in header[0]:
            raise InputError(
                f"{where} is separated by {called}; save it with commas between cells and points in numbers."
            )
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(header):
            raise InputError(
                f"{where}, row {line}: the row has {len(row)} cells where the header has {len(header)}."
            )
    return pd.DataFrame(rows[1:], columns=header, index=lines[1:], dtype=object)
