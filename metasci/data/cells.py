"""The cells of a CSV file, as texts, or of a table in JSON; a file that is not plainly one is refused."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from pathlib import Path
from typing import Any

import pandas as pd

from metasci.errors import InputError

__all__ = ["bytes_of", "cells_of", "table_of", "unpacked"]


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


def unpacked(content: bytes, path: str | Path) -> bytes:
    """The same, decompressed if the file's name ends in ``.gz``."""
    if not str(path).endswith(".gz"):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"'{path}' is not a gzip file: {error}.") from None


def table_of(content: bytes, path: str | Path) -> pd.DataFrame:
    """The cells of a CSV file, or of a table in JSON as pandas splits it, ``.json``; either may be gzipped.

    A cell of a JSON table that holds a dictionary or a list, such as a crystal, stays JSON.
    """
    content = unpacked(content, path)
    if not str(path).removesuffix(".gz").endswith(".json"):
        return cells_of(content, str(path))
    try:
        table = json.loads(content)
        cells = [[_cell(value) for value in row] for row in table["data"]]
        return pd.DataFrame(cells, columns=table["columns"], index=table["index"], dtype=object)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"'{path}' is no table in JSON with columns, index and data ({error}).") from None


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value


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
