"""Grades of alloys by name: the composition in the middle of what their standard allows.

The table beside this module states ranges in weight per cent, as the standard named in each row has them. Elements of
which it states an upper limit only, such as silicon in stainless steel, are not among them; the base is the rest.
"""

from __future__ import annotations

import csv
import difflib
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from metasci.elements import NAMES
from metasci.errors import InputError

__all__ = ["Grade", "contents_of_grade", "grade_named", "grades", "is_numbered", "near_grades", "unknown"]

_TABLE = Path(__file__).with_name("grades.csv")
_SAID_BEFORE = re.compile(r"^(AISI|SAE|ASTM|UNS|DIN|EN|AA|TYPE|STEEL|ALLOY)+(?=[A-Z0-9])")
_NUMBERED = re.compile(r"\s*(AISI|SAE|ASTM|UNS|DIN|EN|AA)[\s\-]*[A-Z]?\d")
_FORMULA = re.compile(r"(?:[A-Z][a-z]?\d*\.?\d*){3,}")
_PART = re.compile(r"([A-Z][a-z]?) ([\d.]+)(?:-([\d.]+))?")
_CLOSE = 0.6  # of letters in common, from which a name may have been meant


@dataclass(frozen=True)
class Grade:
    """One grade.

    Attributes
    ----------
    name, standard : str
    base : str
        Symbol of the element that is the rest.
    ranges : mapping of str to tuple of float
        Symbols of the other elements to weight per cent, from and to.
    """

    name: str
    standard: str
    base: str
    ranges: Mapping[str, tuple[float, float]]

    @property
    def weight_percent(self) -> dict[str, float]:
        """Symbols, the base first, to weight per cent in the middle of the ranges."""
        middle = {symbol: 0.5 * (low + high) for symbol, (low, high) in self.ranges.items()}
        return {self.base: 100.0 - sum(middle.values()), **middle}


@functools.cache
def grades() -> dict[str, Grade]:
    """Every grade, by its name and by its other names, as they are compared."""
    known: dict[str, Grade] = {}
    with _TABLE.open(newline="", encoding="utf-8") as rows:
        for row in csv.DictReader(rows):
            ranges = {
                symbol: (float(low), float(high or low))
                for symbol, low, high in _PART.findall(row["contents"])
            }
            grade = Grade(row["grade"], row["standard"], row["base"], ranges)
            for name in (row["grade"], *filter(None, row["also"].split(";"))):
                known[_key(name)] = grade
    return known


def grade_named(text: str) -> Grade | None:
    """The grade of that name, or nothing; spaces, hyphens and who numbers it do not matter.

    Examples
    --------
    >>> grade_named("AISI 4340").weight_percent["Ni"], grade_named("316 l").standard, grade_named("CoCrFeNi")
    (1.825, 'ASTM A240', None)
    """
    grade = grades().get(_key(text))
    # without its hyphens Ti-6Al-4V is a formula of atoms
    return None if grade is not None and "-" in grade.name and _FORMULA.fullmatch(text.strip()) else grade


def near_grades(text: str) -> list[str]:
    """Names of grades that may have been meant, the nearest first.

    Examples
    --------
    >>> near_grades("4341")[0]
    '4340'
    """
    near = difflib.get_close_matches(_key(text), grades(), n=4, cutoff=_CLOSE)
    return list(dict.fromkeys(grades()[key].name for key in near))


def contents_of_grade(text: str, where: str = "") -> dict[str, float]:
    """Contents of a grade by the elements' English names, in weight per cent, without the base.

    Raises
    ------
    InputError
        If no such grade is known; the sentence names those that are near.

    Examples
    --------
    >>> {name: round(content, 3) for name, content in contents_of_grade("100Cr6").items()}
    {'carbon': 0.99, 'manganese': 0.35, 'silicon': 0.25, 'chromium': 1.475}
    """
    grade = grade_named(text)
    if grade is None:
        raise InputError(f"{where}: {unknown(text)}" if where else unknown(text))
    middle = grade.weight_percent
    return {NAMES[symbol]: middle[symbol] for symbol in grade.ranges}


def unknown(text: str) -> str:
    """The sentence that refuses a grade, and names those that are near."""
    near = near_grades(text)
    known = f"near are {', '.join(near)}" if near else "metasci.data.grades has those that are"
    return f"'{text}' is no grade that is known here ({known}); give the contents of its elements instead."


def is_numbered(text: str) -> bool:
    """Whether a text says that it is a grade by who numbers it, as ``AISI 4340`` does.

    Examples
    --------
    >>> is_numbered("AISI 4341"), is_numbered("AlSi10")
    (True, False)
    """
    return bool(_NUMBERED.match(text))


def _key(text: str) -> str:
    bare = re.sub(r"[\s\-_]+", "", text).upper()
    return _SAID_BEFORE.sub("", bare)
