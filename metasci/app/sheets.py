"""The table of measurements as the browser shows it: texts in rows, bounded, kept in memory only."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from metasci.app.guard import MOST_BYTES, MOST_ROWS
from metasci.data.cells import table_of
from metasci.data.decimals import with_points
from metasci.errors import InputError

__all__ = [
    "Sheet",
    "sheet_from",
    "sheet_of_cells",
    "sheet_of_file",
    "sheet_of_text",
]

MOST_COLUMNS = 40  # each cell is a field of the page, as for rows
MOST_LETTERS = 200  # a number, a unit, a name or a formula is shorter; a longer text is no such cell
_MOST_UNPACKED = 20 * 2**20  # a small workbook may unpack to anything; one with a single table stays below
_ENDINGS = (".csv", ".txt", ".tsv", ".dat", ".xlsx")


@dataclass(frozen=True)
class Sheet:
    """Headers and rows of texts; `notes` say how a file was read otherwise than it stood there."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether no cell holds anything."""
        return not any(cell.strip() for row in self.rows for cell in row)

    def frame(self) -> pd.DataFrame:
        """The rows that hold anything, numbered as the browser numbers them, decimal commas read as points.

        Raises
        ------
        InputError
            If a comma may separate thousands as well as decimals.
        """
        filled = {
            place: [cell.strip() or None for cell in row]
            for place, row in enumerate(self.rows, 1)
            if any(cell.strip() for cell in row)
        }
        frame = pd.DataFrame(
            list(filled.values()), columns=list(self.header), index=list(filled), dtype=object
        )
        points, _ = with_points(frame, "table")
        return points

    def text(self) -> str:
        """The table as CSV."""
        with io.StringIO(newline="") as written:
            csv.writer(written).writerows([self.header, *self.rows])
            return written.getvalue()


def sheet_of_text(text: str) -> Sheet:
    r"""A table that was pasted or typed: commas, semicolons with decimal commas, or tabs, as from a spreadsheet.

    Examples
    --------
    >>> sheet_of_text("time [h];hardness [HRC]\n1;55,5\n").rows
    (('1', '55.5'),)
    """
    content = text.encode("utf-8", errors="replace")
    if not text.strip():
        raise InputError("there is nothing in the field; paste a table with its headers.")
    return sheet_of_file("the text.csv", content, "the pasted text")


def sheet_of_file(name: str, content: bytes, where: str = "") -> Sheet:
    """A table from a file: CSV, semicolons with decimal commas, tabs, or a workbook.

    Raises
    ------
    InputError
        If it is none of these, too large, or its cells can be read in two ways; the sentence names the row.
    """
    where = where or f"'{name[:80]}'"
    if len(content) > MOST_BYTES:
        raise InputError(
            f"{where} has {len(content) / 1e6:.1f} MB; the app reads up to {MOST_BYTES / 1e6:.0f} MB. "
            "The command `metasci calibrate` reads more."
        )
    ending = f".{name.rpartition('.')[2].lower()}"
    if ending not in _ENDINGS:
        raise InputError(f"{where} is none of {', '.join(_ENDINGS)}; save the table as one of them.")
    if ending == ".xlsx":
        _check_unpacked(content, where)
    read_as = "table.xlsx" if ending == ".xlsx" else "table.csv"
    frame = table_of(content, read_as)
    notes = [str(note).replace(read_as, where) for note in frame.attrs.get("reading", [])]
    return sheet_from(frame, where, notes)


def sheet_of_cells(cells: Any) -> Sheet:
    """What the browser sends of its table: ``{"header": [...], "rows": [[...], ...]}``; anything else is refused."""
    if not isinstance(cells, Mapping):
        raise InputError("the table did not arrive whole; load the page again.")
    header, rows = cells.get("header"), cells.get("rows")
    if not _are_texts(header) or not isinstance(rows, Sequence) or not all(_are_texts(row) for row in rows):
        raise InputError("the table did not arrive whole; load the page again.")
    assert isinstance(header, Sequence)
    if any(len(row) != len(header) for row in rows):
        raise InputError("the table did not arrive whole; load the page again.")
    return _bounded(tuple(header), tuple(tuple(row) for row in rows), "the table", ())


def sheet_from(frame: pd.DataFrame, where: str, notes: Sequence[str] = ()) -> Sheet:
    """The cells of a frame as texts."""
    rows = tuple(tuple(_text(cell) for cell in row) for row in frame.itertuples(index=False, name=None))
    return _bounded(tuple(str(column) for column in frame.columns), rows, where, tuple(notes))


def _bounded(
    header: tuple[str, ...], rows: tuple[tuple[str, ...], ...], where: str, notes: tuple[str, ...]
) -> Sheet:
    for count, most, what in ((len(rows), MOST_ROWS, "rows"), (len(header), MOST_COLUMNS, "columns")):
        if count > most:
            raise InputError(
                f"{where} has {count} {what}; the app takes up to {most}. The command `metasci calibrate` reads more."
            )
    for place, row in enumerate((header, *rows)):
        if any(len(cell) > MOST_LETTERS for cell in row):
            raise InputError(f"{where}, row {place}: a cell has more than {MOST_LETTERS} letters.")
    return Sheet(header, rows, notes)


def _check_unpacked(content: bytes, where: str) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            size = sum(item.file_size for item in packed.infolist())
    except zipfile.BadZipFile:
        raise InputError(f"{where} is no workbook that can be read; save it as .xlsx or as CSV.") from None
    if size > _MOST_UNPACKED:
        raise InputError(
            f"{where} unpacks to more than {_MOST_UNPACKED >> 20} MB; keep one sheet with the table."
        )


def _are_texts(row: Any) -> bool:
    return (
        isinstance(row, Sequence) and not isinstance(row, str) and all(isinstance(cell, str) for cell in row)
    )


def _text(cell: Any) -> str:
    if cell is None or (isinstance(cell, float) and cell != cell):
        return ""
    return f"{cell:g}" if isinstance(cell, float) and float(f"{cell:g}") == cell else str(cell)
