"""A table that names grades instead of compositions: their contents as columns."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from metasci.data.cards import Card
from metasci.data.grades import contents_of_grade, grade_named
from metasci.data.headers import spelling
from metasci.data.readings import text_of
from metasci.elements import element_of

__all__ = ["with_contents_of_grades"]

_TRACES = frozenset({"phosphorus", "sulfur", "copper", "aluminium", "nitrogen"})
_HEADERS = ("grade", "steel grade", "alloy grade")


def with_contents_of_grades(frame: pd.DataFrame, card: Card, where: str) -> pd.DataFrame:
    """The frame with the contents of its column ``grade``; elements that have a column of their own keep it.

    A card that has a column of that name, or knows of no contents, is left alone, and so are empty cells.

    Raises
    ------
    InputError
        If a grade is not known; the sentence says in which row.
    """
    headers = {str(header).strip().casefold(): header for header in frame.columns}
    named = next((headers[header] for header in _HEADERS if header in headers), None)
    contents = {column.name: column for column in card.with_role("covariate") if element_of(column.name)}
    own = {name for column in card.columns for name in (column.name, column.header)}
    if named is None or not contents or str(named).strip() in own:
        return frame
    texts = [text_of(cell) for cell in frame[named]]
    middle = [
        contents_of_grade(text, f"{where}, column '{named}', row {row}") if text else {}
        for row, text in zip(frame.index, texts, strict=True)
    ]
    given = {element_of(str(header).partition("[")[0].strip()) for header in frame.columns}
    added = frame.drop(columns=[named])
    for name, column in contents.items():
        element = element_of(name)
        if element not in given:
            added[spelling(column)] = [_cell(part, element) for part in middle]
    told = {grade.name: grade.standard for text in texts if text and (grade := grade_named(text))}
    notes = [
        f"grade {name} is taken as the middle of {standard}; give contents where they are measured"
        for name, standard in told.items()
    ]
    before = frame.attrs.get("reading", [])
    added.attrs = {**frame.attrs, "reading": [*(before if isinstance(before, list) else []), *notes]}
    return added


def _cell(contents: Mapping[str, float], element: str) -> str:
    """A content as in a table; nothing of a grade that is not said, and of what only ever has an upper limit."""
    if not contents or (element in _TRACES and element not in contents):
        return ""
    return f"{contents.get(element, 0.0):g}"
