"""Tables of text as laboratories export them: commas, semicolons or tabs, UTF-8 or Windows, comments, empty rows.

What a table means is read only where it has one meaning: cells are split by the separator that gives every row as many
cells as the header has, decimal commas are read where the table shows that they are decimals.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence

import pandas as pd

from metasci.data.decimals import with_points
from metasci.errors import InputError
from metasci.unit_grammar import shown

__all__ = ["MOST_COLUMNS", "cells_of", "check_header", "head_of"]

MOST_COLUMNS = 1000  # a table with more is mostly one that was split at the wrong sign
_LONG, _HEAD = 2**20, 2**16  # bytes
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_STATED = re.compile(r"sep=(.)\s*", re.IGNORECASE)  # Excel's own first line
_NUMBER = re.compile(r"[<>≤≥]?\s*[-+]?[\d.,]*\d[\d.,]*(?:[eE][-+]?\d+)?")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

Rows = list[tuple[int, list[str]]]


def cells_of(content: bytes, where: str) -> pd.DataFrame:
    r"""The cells as texts, indexed by the line of the file on which the row starts.

    ``attrs["reading"]`` lists, one sentence each, what was read otherwise than as commas, points and UTF-8.

    Raises
    ------
    InputError
        If the content is no text, its rows differ in length, or its numbers can be read in two ways.

    Examples
    --------
    >>> frame = cells_of("# oven 3\ntime [h];hardness [HRC]\n1;55,0\n".encode(), "table.csv")
    >>> frame.columns.to_list(), frame.to_numpy().tolist(), frame.index.to_list()
    (['time [h]', 'hardness [HRC]'], [['1', '55.0']], [3])
    """
    text, notes = _decoded(content, where)
    if control := _CONTROL.search(text):
        if control.group() == "\0":
            raise InputError(f"{where} is not a text file; save it as CSV in UTF-8.")
        line = text.count("\n", 0, control.start()) + 1
        raise InputError(f"{where}, row {line}: the row holds a control character; remove it.")
    separator, rows = _split(text, where)
    rows = _without_comments(rows, separator)
    if not rows:
        raise InputError(f"{where} is empty.")
    header = rows[0][1]
    check_header(header, where)
    odd = next(((line, row) for line, row in rows if len(row) != len(header)), None)
    if (odd or len(header) == 1) and (begins := _begins_later(text)):
        raise InputError(
            f"{where}: the table seems to begin in line {begins[0]}, '{shown(begins[1])}'; delete the lines above it, "
            "or begin them with '#'."
        )
    if odd:
        raise InputError(
            f"{where}, row {odd[0]}: the row has {len(odd[1])} cells where the header has {len(header)}."
        )
    frame = pd.DataFrame(
        [row for _, row in rows[1:]], columns=header, index=[line for line, _ in rows[1:]], dtype=object
    )
    if separator != ",":
        frame, converted = with_points(frame, where)
        notes += [f"decimal commas of {where} were read as points"] * converted
    frame.attrs["reading"] = notes
    return frame


def head_of(content: bytes, where: str) -> pd.DataFrame | None:
    r"""The first rows of a table that takes long to read, where they can be told without the rest.

    A header that lacks a column is then refused at once. None of a short table, and where the first rows are no table
    by themselves or its separator is not sure: what reads the whole says what is wrong.

    Examples
    --------
    >>> rows = b"time [h],hardness [HRC]\n" + 200_000 * b"1,55.0\n"
    >>> head_of(rows, "long.csv").columns.to_list(), head_of(rows[:1000], "short.csv")
    (['time [h]', 'hardness [HRC]'], None)
    """
    if len(content) < _LONG:
        return None
    head, _, _ = content[:_HEAD].rpartition(b"\n")
    try:
        text, _ = _decoded(head, where)
        if len({separator for separator in _SEPARATORS if separator in text}) > 1:
            return None
        return cells_of(head, where)
    except InputError:
        return None


def check_header(header: Sequence[object], where: str) -> None:
    """Refuse more columns than any table of measurements has."""
    if len(header) > MOST_COLUMNS:
        raise InputError(f"{where} has {len(header)} columns; tables of up to {MOST_COLUMNS} are read.")


def _decoded(content: bytes, where: str) -> tuple[str, list[str]]:
    """The text, by its mark, as UTF-8, or as what Windows writes in western Europe (a superset of Latin-1)."""
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        raise InputError(f"{where} is an old workbook and no text; save it as .xlsx or as CSV.")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return content.decode("utf-16"), []
        except UnicodeDecodeError:
            raise InputError(f"{where} is not a text file; save it as CSV in UTF-8.") from None
    try:
        return content.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        raise InputError(f"{where} is not UTF-8 text (line {line}); save it as CSV in UTF-8.") from None
    return text, [f"{where} is not UTF-8 (line {line}) and was read as Windows-1252"]


def _split(text: str, where: str) -> tuple[str, Rows]:
    """The separator, and the rows with the lines on which they start."""
    first, _, rest = text.partition("\n")
    if stated := _STATED.fullmatch(first.strip("\r\ufeff")):
        if stated[1] not in _SEPARATORS:
            raise InputError(f"{where} is separated by '{stated[1]}'; save it with commas between cells.")
        return stated[1], [(line + 1, row) for line, row in _rows_of(rest, stated[1], where)]
    present = [separator for separator in _SEPARATORS if separator in text] or [","]
    # the first line that is no comment is the header; a separator that is not in it separates nothing
    header = next((line for line in text.splitlines() if line.strip(" ,;\t") and not _is_comment(line)), "")
    candidates = [separator for separator in present if separator in header] or [","]
    if len(candidates) == 1:
        return candidates[0], _rows_of(text, candidates[0], where)
    fitting = []
    for separator in candidates:
        try:
            rows = _rows_of(text, separator, where)
        except InputError:
            continue
        measured = _without_comments(rows, separator)
        if len({len(row) for _, row in measured}) == 1:
            fitting.append((separator, rows))
    if len(fitting) > 1:
        names = " or ".join(_SEPARATORS[separator] for separator, _ in fitting)
        raise InputError(f"{where} may be separated by {names}; save it with one of them only.")
    if fitting:
        return fitting[0]
    most = max(candidates, key=header.count)
    return most, _rows_of(text, most, where)


def _rows_of(text: str, separator: str, where: str) -> Rows:
    """The rows that hold anything, without the empty cells that a spreadsheet leaves at their ends."""
    rows: Rows = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    start = 1
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                rows.append((start, cells))
            start = reader.line_num + 1
    except csv.Error as error:
        called = "a cell is too long" if "limit" in str(error) else f"the quotes do not match ({error})"
        raise InputError(f"{where}, row {start}: {called}.") from None
    whole = len(next((cells for _, cells in rows if not _is_comment(cells[0])), []))
    width = max((_filled(cells) for _, cells in rows if len(cells) == whole), default=whole)
    return [
        (line, cells if len(cells) <= width else cells[: max(width, _filled(cells))]) for line, cells in rows
    ]


def _begins_later(text: str) -> tuple[int, str] | None:
    """The line from which on all lines have as many separators, where an instrument wrote lines of its own above it."""
    lines = [
        (place, line)
        for place, line in enumerate(text.splitlines(), 1)
        if line.strip(" ,;\t") and not _is_comment(line)
    ]
    for separator in (";", "\t", ","):
        counts = [line.count(separator) for _, line in lines]
        if not counts or not counts[-1]:
            continue
        above = max((place for place, count in enumerate(counts) if count != counts[-1]), default=-1) + 1
        # fewer cells above it: a table whose rows lack one is no heading
        if 0 < above <= len(lines) - 2 and not any(counts[:above]):
            return lines[above]
    return None


def _filled(cells: Sequence[str]) -> int:
    """How many cells a row has up to the last that holds anything."""
    count = len(cells)
    while count and not cells[count - 1]:
        count -= 1
    return count


def _is_comment(line: str) -> bool:
    return line.lstrip(' \t"\ufeff').startswith("#")


def _without_comments(rows: Rows, separator: str) -> Rows:
    """The rows from the header on, without comments: what starts with ``#`` above it, or below it and is no whole row.

    Where the first row is all numbers and a comment above it has as many cells, that comment is the header.
    """
    first = next((place for place, (_, row) in enumerate(rows) if not _is_comment(row[0])), len(rows))
    above, below = rows[:first], rows[first:]
    if above and below and all(not cell or _NUMBER.fullmatch(cell) for cell in below[0][1]):
        line, row = above[-1]
        header = [row[0].lstrip("# "), *row[1:]]
        below = [(line, header), *below] if len(header) == len(below[0][1]) else below
    if not below:
        return below
    width = len(below[0][1])
    return [(line, row) for line, row in below if len(row) == width or not _is_comment(row[0])]
