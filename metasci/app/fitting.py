"""From a table to a fit, or to the sentence that says what is wrong and in which row."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from metasci.app.choices import of_molecules, prior_named
from metasci.app.sheets import Sheet
from metasci.errors import InputError

__all__ = ["Fitted", "Refused", "refused", "try_to_fit"]

_ROW = re.compile(r"\b(?:row|line) (\d+)")


@dataclass(frozen=True)
class Fitted:
    """A calibration of a prior to a table."""

    prior: str
    sheet: Sheet
    fit: Any


@dataclass(frozen=True)
class Refused:
    """What is wrong with a table, in a sentence, and the row (from 1) and column that it names."""

    sentence: str
    row: int | None = None
    column: str = ""


def try_to_fit(prior: str, sheet: Sheet, largest_molecule: bool = False) -> Fitted | Refused:
    """Calibrate a prior to a table; of salts and solvates, where asked for, by the largest molecule.

    Examples
    --------
    >>> from metasci.app.choices import example_of
    >>> type(try_to_fit("steel_tempering", example_of("steel_tempering"))).__name__
    'Fitted'
    >>> header = ("time [h]", "temperature [degC]", "hardness [HRC]")
    >>> try_to_fit("steel_tempering", Sheet(header, (("1", "x", "50"),))).row
    1
    """
    if sheet.is_empty:
        return Refused("The table is empty: type values, paste a table, or choose a file.")
    try:
        learned = prior_named(prior)
        if largest_molecule and of_molecules(learned):
            learned = learned.of_largest_molecules()
        return Fitted(prior, sheet, learned.calibrate(sheet.frame()))
    except InputError as error:
        return refused(str(error), sheet)


def refused(sentence: str, sheet: Sheet) -> Refused:
    """An error's sentence with the place that it names."""
    named = _ROW.search(sentence)
    row = int(named[1]) if named else None
    if row is not None and not 1 <= row <= len(sheet.rows):
        row = None
    # the longest first: 'time [h]' and not 'time'
    spellings = [
        (spelling, header)
        for header in sheet.header
        for spelling in (header, header.partition(" [")[0])
        if spelling
    ]
    column = next(
        (
            header
            for spelling, header in sorted(spellings, key=lambda each: -len(each[0]))
            if f"'{spelling}'" in sentence
        ),
        "",
    )
    return Refused(sentence[:1].upper() + sentence[1:], row, column)
