"""The cells of a file: tables of text, workbooks, tables in JSON; each bounded, and refused where it is none."""

from __future__ import annotations

import gzip
import json
import stat
import zlib
from pathlib import Path
from typing import Any

import pandas as pd

from metasci.data.text_tables import MOST_COLUMNS, cells_of
from metasci.errors import InputError

__all__ = ["MOST_BYTES", "bytes_of", "cells_of", "table_of", "unpacked"]

MOST_BYTES = 256 * 2**20
"""More text than this would take several gigabytes as cells."""


def bytes_of(path: str | Path) -> bytes:
    """What is in a regular file of up to `MOST_BYTES`.

    Raises
    ------
    InputError
        Also for a device or a pipe, which might never end.
    """
    try:
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"'{path}' is a folder, not a file.")
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"'{path}' is no regular file; give one with the data.")
        if status.st_size > MOST_BYTES:
            raise InputError(
                f"'{path}' has {status.st_size >> 20} MB; files of up to {MOST_BYTES >> 20} MB are read."
            )
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"there is no file '{path}'.") from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError("the name of the file holds a character that no file's name can hold.") from None
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}.") from None


def unpacked(content: bytes, path: str | Path) -> bytes:
    """The same, decompressed if the file's name ends in ``.gz``, up to `MOST_BYTES`."""
    if not str(path).endswith(".gz"):
        return content
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)  # 16: with gzip's header
    try:
        plain = inflater.decompress(content, MOST_BYTES)
        if inflater.unconsumed_tail:
            raise InputError(f"'{path}' unpacks to more than {MOST_BYTES >> 20} MB; split it.")
        return gzip.decompress(content) if inflater.unused_data or not inflater.eof else plain
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"'{path}' is not a gzip file: {error}.") from None


def table_of(content: bytes, path: str | Path) -> pd.DataFrame:
    """The cells of a table: text (see `metasci.data.text_tables`), ``.xlsx``, or ``.json`` as pandas splits it.

    Text and JSON may be gzipped. A cell of a JSON table that holds a dictionary or a list, such as a crystal, stays
    JSON.

    Raises
    ------
    InputError
        If the content is no such table.
    """
    name = str(path).lower()
    if name.endswith((".xls", ".ods", ".numbers", ".xlsb")):
        raise InputError(f"'{path}' is a kind of workbook that is not read; save it as .xlsx or as CSV.")
    if name.endswith((".xlsx", ".xlsm")):
        from metasci.data.workbooks import cells_of_workbook

        return cells_of_workbook(content, str(path))
    content = unpacked(content, path)
    if not name.removesuffix(".gz").endswith(".json"):
        return cells_of(content, str(path))
    try:
        table = json.loads(content)
        if len(table["columns"]) > MOST_COLUMNS:
            raise InputError(
                f"'{path}' has {len(table['columns'])} columns; tables of up to {MOST_COLUMNS} are read."
            )
        cells = [[_cell(value) for value in row] for row in table["data"]]
        return pd.DataFrame(cells, columns=table["columns"], index=table["index"], dtype=object)
    except RecursionError:
        raise InputError(
            f"'{path}' is no table in JSON with columns, index and data (nested too deep)."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split())[:80]
        raise InputError(f"'{path}' is no table in JSON with columns, index and data ({reason}).") from None


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value
