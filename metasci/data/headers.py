"""Which column of a table is which: by the card's header, or by a name with its unit as laboratories write it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from metasci.data.cards import Card, Column
from metasci.data.hardness import range_of, scale_of
from metasci.elements import element_of
from metasci.errors import InputError
from metasci.unit_grammar import shown
from metasci.units import check, same_dimension, unfit

__all__ = ["QUANTITIES", "Given", "check_unit", "resolve", "spelling"]

QUANTITIES = ("input", "output", "covariate", "history", "event")
_TASK = Column("task", "task", "task")
_MOST_NAMED = 6  # spellings that a sentence lists: as many as it holds beside what to do
_LONGEST_NAMED = 32  # letters; a compilation's columns of notes are longer, and nobody means them
FORECAST = (
    "predicted",
    "predicted_lower",
    "predicted_upper",
    "lower",
    "upper",
    "prior",
    "prior_lower",
    "prior_upper",
)
"""Columns that a calibration adds to measurements where it saves them; all are in the output's unit."""
# in this order: 'force (peak)/N' is a name with brackets and a unit after the slash
_FORMS = tuple(
    re.compile(form, re.DOTALL)
    for form in (
        r"(?P<name>[^\[\]]+?)\s*\[(?P<unit>[^\[\]]*)\]",  # time [h]
        r"(?P<name>.+?)\s*\((?P<unit>[^()]*(?:\([^()]*\))?[^()]*)\)",  # Time (h)
        r"(?P<name>[^/]+?)\s*/\s*(?P<unit>.+)",  # time/h
        r"(?P<name>[^,]+?)\s*,\s*(?P<unit>.+)",  # time, h
        r"(?P<name>.+?)\s+in\s+(?P<unit>.+)",  # time in h
        r"(?P<name>.+?)\s+(?P<unit>\S+)",  # time h
    )
)


@dataclass(frozen=True)
class Given:
    """A column of the table: what it is, where it stands, and the unit its header states."""

    column: Column
    position: int
    header: str
    unit: str


def resolve(headers: Sequence[str], card: Card, where: str, units: Mapping[str, str]) -> dict[str, Given]:
    """The columns of a table by the card's names.

    A header is the card's own, where all that tell its tasks are there, too, so that the table is of the card's
    kind: a bare ``dose`` alone says nothing of mg or mg/kg. Or it is a name, in capitals or not, or an
    element's symbol, with a unit: ``time [h]``, ``Time (h)``, ``time/h``, ``C [wt%]``; or a scale of hardness,
    ``HV10``, where one column only is a hardness.

    Parameters
    ----------
    headers : sequence of str
    card : Card
    where : str
        What errors call the table.
    units : mapping of str to str
        Units of headers that do not state one.

    Raises
    ------
    InputError
        If a header is none of them, states no unit or another dimension's, or a column is given twice.
    """
    resolved: dict[str, Given] = {}
    results = _results(headers, card)
    of_its_kind = _of_its_kind(headers, card)
    for position, header in enumerate(headers):
        if header in results:
            continue
        if not header:
            raise InputError(f"{where}, column {position + 1}: the column has no header.")
        place = f"{where}, column '{shown(header)}'"
        column, stated = _meaning(header, card, units, place, of_its_kind)
        check_unit(column, stated, place)
        if column.name in resolved:
            first = resolved[column.name].header
            raise InputError(f"{place}: {column.name} is given twice, also by '{shown(first)}'.")
        resolved[column.name] = Given(column, position, header, stated or column.unit)
    return resolved


def _results(headers: Sequence[str], card: Card) -> set[str]:
    """Headers of forecasts in a table that a calibration has saved: such a table can be given again."""
    bare = {header: next((name for name, _, _ in _readings(header)), header) for header in headers}
    if not {"predicted", "prior"} <= set(bare.values()):
        return set()
    own = {column.name for column in card.columns} | {column.header for column in card.columns}
    return {header for header, name in bare.items() if name in FORECAST and name not in own}


def _of_its_kind(headers: Sequence[str], card: Card) -> bool:
    """Whether a table has all of the card's own headers that tell its tasks; its conditions, where none tells tasks."""
    roles = {column.role for column in card.columns}
    telling = "task" if "task" in roles else "input"
    return {column.header for column in card.columns if column.role == telling} <= set(headers)


def _meaning(
    header: str, card: Card, units: Mapping[str, str], place: str, of_its_kind: bool
) -> tuple[Column, str]:
    """The column that a header means, and the unit that it, or `units`, states."""
    by_header = {column.header: column for column in card.columns}
    # a header such as time_s or C_wt_percent says its unit itself
    if header in by_header and (of_its_kind or by_header[header].name != header):
        column = by_header[header]
        return column, _text(units.get(header, column.unit), place)
    names = _Names(card)
    if header == card.events.get("ID"):  # beside the tasks, in a table that was made of events
        return Column(header, header, "note"), ""
    if column_named := names.find(header):
        is_quantity = column_named.role in QUANTITIES
        stated = _text(units.get(header, "" if is_quantity else column_named.unit), place)
        return column_named, _said(stated, column_named, place)
    for name, stated, certain in _readings(header):
        column_named = names.find(name)
        if column_named and (certain or _is_unit_of(stated, column_named)):
            return column_named, _said(stated.strip(), column_named, place)
    if scale := scale_of(header):
        hard = [column for column in card.columns if column.role in QUANTITIES and scale_of(column.unit)]
        if len(hard) == 1:
            return hard[0], scale
    raise InputError(f"{place}: there is no such column; {_known(header, card)}.")


def _said(stated: str, column: Column, place: str) -> str:
    """The unit that a header states; empty brackets state none."""
    if not stated and column.role in QUANTITIES and column.unit != "1":
        raise InputError(f"{place}: the header does not say the unit; write it as '{spelling(column)}'.")
    return stated


def _readings(header: str) -> Iterator[tuple[str, str, bool]]:
    """Names and units that a header may be made of; in brackets it is a unit for certain, whatever it is."""
    blanks = re.sub(r"[\xa0\u2009\u202f]", " ", header)
    for place, form in enumerate(_FORMS):
        if matched := form.fullmatch(blanks):
            yield matched["name"], matched["unit"], place < 2


def _is_unit_of(stated: str, column: Column) -> bool:
    try:
        check_unit(column, stated.strip(), "")
    except InputError:
        return False
    return bool(stated.strip())


class _Names:
    """A card's columns by name, whatever the case, and by the symbol of an element."""

    def __init__(self, card: Card) -> None:
        self._exact = {_TASK.name: _TASK} | {column.name: column for column in card.columns}
        self._loose: dict[str, list[Column]] = {}
        for column in self._exact.values():
            self._loose.setdefault(_key(column.name), []).append(column)
        self._elements = {element: column for column in card.columns if (element := element_of(column.name))}

    def find(self, name: str) -> Column | None:
        """The column of that name, if it is one column's only."""
        if name in self._exact:
            return self._exact[name]
        loose = self._loose.get(_key(name), [])
        return loose[0] if len(loose) == 1 else self._elements.get(element_of(name.strip()))


def _key(name: str) -> str:
    return re.sub(r"[\s_\-\xa0]+", " ", name).strip().casefold()


def _text(stated: object, place: str) -> str:
    if not isinstance(stated, str):
        raise InputError(f"{place}: the unit is to be a text such as 'h', not {type(stated).__name__}.")
    return stated


def _known(header: str, card: Card) -> str:
    """What may have been meant, and what there is."""
    spellings = [spelling(column) for column in card.columns]
    bare = {_key(re.split(r"[\[(/,]", text)[0]): text for text in spellings}
    near = difflib.get_close_matches(_key(re.split(r"[\[(/,]", header)[0]), bare, n=1)
    # a compilation's columns of notes are many and long, and nobody has to give them: they come last
    by_need = sorted(card.columns, key=lambda column: column.role == "note")
    short = [
        min(spelling(column), column.name, key=len) if column.unit in ("", "1") else spelling(column)
        for column in by_need
    ]
    named = [text for text in short if len(text) <= _LONGEST_NAMED][:_MOST_NAMED]
    more = len(spellings) - len(named)
    listed = ", ".join(named) + (f" and {more} more" if more > 0 else "")
    return f"did you mean '{bare[near[0]]}'? Known are {listed}" if near else f"known are {listed}"


def check_unit(column: Column, stated: str, where: str) -> None:
    """Refuse a unit in which a column cannot be.

    Raises
    ------
    InputError
        If it is no unit, has another dimension, or a scale of hardness from which no table leads to the column's.
    """
    if column.role not in QUANTITIES:
        if stated != column.unit:
            raise InputError(f"{where}: this column is not converted; write it as '{spelling(column)}'.")
        return
    try:
        check(stated)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    scales = scale_of(stated), scale_of(column.unit)
    if all(scales):
        try:
            range_of(*scales)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
    elif not same_dimension(stated, column.unit):
        raise InputError(f"{where}: {unfit(column.name, stated, column.unit)}.")


def spelling(column: Column) -> str:
    """How to write the header of a column.

    Examples
    --------
    >>> spelling(Column("time_s", "time", "input", "s"))
    'time [s]'
    """
    if column.unit in ("", "1") or "[" in column.header:
        return column.header
    return f"{column.name} [{column.unit}]"
