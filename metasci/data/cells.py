"""The cells of a file: tables of text, workbooks, tables in JSON; each bounded, and refused where it is none."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pandas as pd

from metasci.data.text_tables import MOST_COLUMNS, cells_of, head_of
from metasci.errors import InputError
from metasci.regular_files import MOST_BYTES, book_and_sheet, bytes_of

__all__ = ["bytes_of", "cells_of", "head_of", "is_text", "table_of", "unpacked"]


_MOST_TIMES = (
    100  # tables of numbers shrink to a tenth, constant columns to a fiftieth; more is made to fill memory
)
_OTHER_WORKBOOKS = (".xls", ".ods", ".numbers", ".xlsb")
_SMALL = 16 * 2**20  # bytes that may unpack from however little


def unpacked(content: bytes, path: str | Path) -> bytes:
    """The same, decompressed if the file's name ends in ``.gz``, up to `MOST_BYTES`.

    Raises
    ------
    InputError
        If it is no gzip file, or unpacks to far more than a table would.
    """
    if not str(path).endswith(".gz"):
        return content
    most = min(MOST_BYTES, max(_SMALL, _MOST_TIMES * len(content)))
    parts, rest, size = [], content, 0
    try:
        while rest:  # a file may hold several streams, one after the other
            inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)  # 16: with gzip's header
            parts.append(inflater.decompress(rest, most - size + 1))
            size += len(parts[-1])
            if size > most:
                raise InputError(
                    f"'{path}' unpacks to more than {most >> 20} MB, far more than a table; split it."
                )
            if not inflater.eof:
                raise InputError(f"'{path}' is not a gzip file: it ends too early.")
            rest = inflater.unused_data.lstrip(b"\0")  # which pads some
    except zlib.error as error:
        raise InputError(f"'{path}' is not a gzip file: {error}.") from None
    return b"".join(parts)


def is_text(path: str | Path) -> bool:
    """Whether a table of that name is text between separators, packed or not.

    Examples
    --------
    >>> is_text("mine.csv.gz"), is_text("mine.xlsx")
    (True, False)
    """
    return (
        not str(book_and_sheet(path)[0])
        .lower()
        .removesuffix(".gz")
        .endswith((".json", ".xlsx", ".xlsm", *_OTHER_WORKBOOKS))
    )


def table_of(content: bytes, path: str | Path) -> pd.DataFrame:
    """The cells of a table: text (see `metasci.data.text_tables`), ``.xlsx``, or ``.json`` as pandas splits it.

    Of a workbook with several sheets the path says which: ``book.xlsx#sheet``.

    Text and JSON may be gzipped. A cell of a JSON table that holds a dictionary or a list, such as a crystal, stays
    JSON.

    Raises
    ------
    InputError
        If the content is no such table.
    """
    book, sheet = book_and_sheet(path)
    name = str(book).lower()
    if name.endswith(_OTHER_WORKBOOKS):
        raise InputError(f"'{path}' is a kind of workbook that is not read; save it as .xlsx or as CSV.")
    if name.endswith((".xlsx", ".xlsm")):
        from metasci.data.workbooks import cells_of_workbook

        return cells_of_workbook(content, str(book), sheet)
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
