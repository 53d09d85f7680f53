"""The columns of an event table: what is known of each, and which of them a model asks for.

`COLUMNS` declares their names, what else they are called, what they say, in which unit they are where nobody says, and
what an empty cell means. Everything else goes by the model's names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metasci.errors import InputError

if TYPE_CHECKING:
    from metasci.data.cards import Card
    from metasci.model import Model

__all__ = [
    "COLUMNS",
    "LONG_ALIASES",
    "Column",
    "Wanted",
    "bare_header",
    "has_headers_of",
    "looks_like_events",
    "tells_events",
    "wanted_by",
]

DOSING = ("duration", "interval", "until", "compartment", "modelled")
"""Columns of a history that say how a dose was given; any other one is told at every event."""
_BRACKET = re.compile(r"^(?P<name>[^\[\]]+?)\s*\[(?P<unit>[^\[\]]*)\]$")
_EMPTY = math.nan


@dataclass(frozen=True)
class Column:
    """What is known of a column that NONMEM, or a program that reads its tables, reserves.

    Attributes
    ----------
    name : str
    says : str
        What stands in it.
    unit : str
        ``"text"``, ``"1"`` for codes and counts, or of what its unit is by default: ``"time"``, ``"output"``,
        ``"amount"``, ``"amount/time"``.
    aliases : tuple of str
        What it is called elsewhere: by Monolix, rxode2, posologyr.
    empty : float
        What an empty cell means; NaN where that is nothing at all.
    """

    name: str
    says: str
    unit: str = "1"
    aliases: tuple[str, ...] = ()
    empty: float = 0.0


_DECLARED = (
    Column("ID", "whose record it is", "text"),
    Column("TIME", "when", "time", empty=_EMPTY),
    Column("DATE", "the day of a clock time", "text"),
    Column("DATETIME", "when, as a date with a time of the day", "text"),
    Column("DV", "what was measured", "output", empty=_EMPTY),
    Column("AMT", "how much was given", "amount"),
    Column("RATE", "how fast it was infused", "amount/time"),
    Column("DUR", "how long it was infused", "time", ("DURATION", "TINF")),
    Column("EVID", "what the row is", empty=_EMPTY),
    Column("MDV", "whether DV is no measurement", empty=_EMPTY),
    Column("CMT", "where a dose goes, or what is measured", "code"),
    Column("ADDL", "how many more doses follow"),
    Column("II", "how far apart they are", "time", ("TAU", "INTERVAL")),
    Column("SS", "whether it has been given so since forever"),
    Column("DVID", "which output is measured", "code", ("YTYPE",), _EMPTY),
    Column("OCC", "the occasion", empty=_EMPTY),
    Column("LLOQ", "the limit of quantification", "output", ("LIMIT", "LOQ"), _EMPTY),
    Column("BLQ", "whether the value lies below it", aliases=("CENS", "BLOQ", "BQL")),
    Column("TAD", "time after the last dose, which TIME says already", "text"),
)
COLUMNS = {column.name: column for column in _DECLARED}
_BY_ALIAS = {alias: column.name for column in _DECLARED for alias in column.aliases}
LONG_ALIASES = {alias: name for alias, name in _BY_ALIAS.items() if len(alias) > 4}
"""Those that are long enough for a slip in them to be told from another word."""


@dataclass(frozen=True)
class Wanted:
    """What a model asks of an event table.

    Attributes
    ----------
    time : str
        The input that dates the records.
    dose : str or None
        The history that takes the doses.
    units : dict of str to str
        Of what the reserved columns are about: ``time``, ``output``, ``amount``, ``amount/time``.
    quantities : dict of str to str
        Inputs, carried properties and covariates, with their units.
    carried : tuple of str
        What the history is told at every event beside how a dose was given.
    own : dict of str to str
        The reserved column for names of the model: of its output, its time and its dose.
    """

    time: str
    dose: str | None
    units: dict[str, str]
    quantities: dict[str, str]
    carried: tuple[str, ...]
    own: dict[str, str]

    @property
    def numbered(self) -> dict[str, str]:
        """The model's name for a reserved column of numbers, where it has one."""
        names = {"OCC": "occasion", "DVID": "dvid" if "dvid" in self.quantities else "output"}
        return {key: name for key, name in names.items() if name in self.quantities}

    def name(self, text: str) -> str | None:
        """The name under which a column is kept, from any name that may be given for it."""
        upper = text.upper()
        if upper in COLUMNS:
            return upper
        for known in (*self.quantities, *self.own):
            if text.lower() == known.lower():
                return self.own.get(known, known)
        return _BY_ALIAS.get(upper)


def looks_like_events(headers: Sequence[str]) -> bool:
    """Whether a table has the columns of an event table, as NONMEM names them.

    Examples
    --------
    >>> looks_like_events(["id", "TIME [h]", "Amt [mg]", "dv"]), looks_like_events(["task", "time [h]", "dose [mg]"])
    (True, False)
    >>> looks_like_events(["TIME [h]", "AMT [mg]", "DV [mg/L]"])  # of one patient
    True
    """
    names = {bare_header(header)[0].upper().lstrip("#").strip() for header in headers}
    return (
        bool(names & {"ID", "DV"})
        and bool(names & {"TIME", "DATETIME", "TAD"})
        and bool(names & {"AMT", "EVID"})
    )


def tells_events(headers: Sequence[str], card: Card | None = None) -> bool:
    """Whether a table has NONMEM's columns, or those that a card of events names."""
    return looks_like_events(headers) or (card is not None and has_headers_of(card, headers))


def has_headers_of(card: Card, headers: Sequence[str]) -> bool:
    """Whether a table is of the form that a card of events describes; one with tasks has metasci's own columns."""
    named = {bare_header(str(card.events[name]))[0] for name in ("ID", "TIME", "AMT") if name in card.events}
    there = {bare_header(header)[0] for header in headers}
    return bool(named) and named <= there and ("task" in named or "task" not in there)


def bare_header(header: str) -> tuple[str, str]:
    """A header without its unit, and the unit."""
    bracket = _BRACKET.match(header.strip())
    return (bracket["name"].strip(), bracket["unit"].strip()) if bracket else (header.strip(), "")


def wanted_by(model: Model, where: str) -> Wanted:
    """What a model asks for; refused if it has several histories or no time."""
    if len(model.histories) > 1:
        raise InputError(
            f"{where}: an event table tells of one kind of dose, but model '{model.name}' takes "
            f"{', '.join(model.histories)}."
        )
    dose, history = next(iter(model.histories.items()), (None, None))
    time = history.at if history else "time"
    if time not in model.inputs:
        raise InputError(
            f"{where}: an event table needs a model with the input '{time}', which '{model.name}' lacks."
        )
    columns = history.columns if history else {}
    own_units = {name: item.unit for name, item in columns.items() if name not in DOSING}
    inputs = {name: item.unit for name, item in model.inputs.items() if name != time}
    amount, hours = history.unit if history else "1", model.inputs[time].unit
    units = {
        "time": hours,
        "output": model.output.unit,
        "amount": amount,
        "amount/time": f"({amount})/({hours})",
    }
    own = {model.output.name: "DV", time: "TIME", **({dose: "AMT"} if dose else {})}
    return Wanted(time, dose, units, {**model.covariates, **own_units, **inputs}, tuple(own_units), own)
