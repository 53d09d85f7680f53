"""Workbooks, ``.xlsx``, through openpyxl, which is loaded when one is read."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pandas as pd

from metasci.data.decimals import with_points
from metasci.data.text_tables import MOST_COLUMNS, check_header
from metasci.errors import InputError
from metasci.extras import needed
from metasci.words import suggestion

__all__ = ["cells_of_workbook"]

_MOST_UNPACKED = 64 * 2**20  # bytes: a workbook of kilobytes may unpack to all of memory
_MOST_CELLS = 300_000  # openpyxl reads some hundred thousand a second
_MOST_EMPTY = 10_000  # rows without a cell, as below a table that was emptied: a sheet may declare a million


def cells_of_workbook(content: bytes, where: str, sheet: str = "") -> pd.DataFrame:
    """The cells of a sheet, or of the one that holds anything, as numbers and texts, indexed by the sheet's rows.

    Raises
    ------
    InputError
        If openpyxl is not installed, the content is no workbook, there is no such sheet, or several hold something and
        none is named.
    """
    openpyxl = needed("openpyxl", "tables", f"reading '{where}'")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            if sum(item.file_size for item in packed.infolist()) > _MOST_UNPACKED:
                raise InputError(f"'{where}' unpacks to more than {_MOST_UNPACKED >> 20} MB; split it.")
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        titles = [one.title for one in book.worksheets]
        if sheet and sheet not in titles:
            meant = suggestion(sheet, titles)
            raise InputError(f"'{where}' has no sheet '{sheet}'{meant}; its sheets are {', '.join(titles)}.")
        sheets = {
            one.title: _rows(one, where) for one in book.worksheets if one.title == (sheet or one.title)
        }
        book.close()
    except InputError:
        raise
    except Exception as error:  # openpyxl, zipfile and the XML parser raise many kinds on a broken file
        raise InputError(f"'{where}' is no workbook that can be read ({type(error).__name__}).") from None
    filled = {title: rows for title, rows in sheets.items() if rows}
    if len(filled) > 1:
        raise InputError(
            f"'{where}' has {len(filled)} sheets with cells ({', '.join(filled)}); say which, as "
            f"'{where}#{next(iter(filled))}'."
        )
    if not filled:
        raise InputError(f"{where}, sheet '{sheet}' is empty." if sheet else f"{where} is empty.")
    ((_, rows),) = filled.items()
    where = f"{where}#{sheet}" if sheet else where
    (_, header), *body = rows
    width = max(place + 1 for place, cell in enumerate(header) if cell is not None)
    for line, row in body:
        if any(cell is not None for cell in row[width:]):
            raise InputError(f"{where}, row {line}: the row has more cells than the header has.")
    frame = pd.DataFrame(
        [[*row[:width], *[None] * (width - len(row))] for _, row in body],
        columns=["" if cell is None else str(cell) for cell in header[:width]],
        index=[line for line, _ in body],
        dtype=object,
    )
    frame, converted = with_points(frame, where)
    frame.attrs["reading"] = [f"decimal commas of {where} were read as points"] * converted
    return frame


def _rows(sheet: Any, where: str) -> list[tuple[int, list[Any]]]:
    """The rows of a sheet that hold anything, without comments."""
    rows: list[tuple[int, list[Any]]] = []
    count = 0
    sheet.reset_dimensions()  # what a sheet says of its own size is believed else, up to 17 billion cells
    idle = 0
    for line, row in enumerate(sheet.iter_rows(values_only=True), 1):
        count += len(row)
        if count > _MOST_CELLS:
            raise InputError(f"'{where}' has more than {_MOST_CELLS} cells; save the sheet as CSV.")
        cells = [None if isinstance(cell, str) and not cell.strip() else cell for cell in row]
        while cells and cells[-1] is None:
            cells.pop()
        filled = [cell for cell in cells if cell is not None]
        idle = 0 if filled else idle + 1 + len(row) // MOST_COLUMNS
        if idle > _MOST_EMPTY:
            raise InputError(f"'{where}' has more than {_MOST_EMPTY} empty rows in a row; delete them.")
        if not filled or (len(filled) == 1 and str(filled[0]).startswith("#")):
            continue
        check_header(cells, where)
        rows.append((line, cells))
    return rows
