"""Which column of an event table is which, and in what unit: headers in any case, with or without units.

The columns that NONMEM reserves are known by its names. Everything else, covariates above all, goes by the model's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from metasci.errors import InputError
from metasci.units import same_dimension, unfit, unit

if TYPE_CHECKING:
    from metasci.data.cards import Card
    from metasci.model import History, Model

__all__ = ["Columns", "Found", "Wanted", "find_columns", "looks_like_events", "tells_events", "wanted_by"]

DOSING = ("duration", "interval", "until", "compartment")
"""Columns of a history that say how a dose was given; any other one is told at every event."""
_RESERVED = (
    *("ID", "TIME", "DATE", "DATETIME", "DV", "AMT", "EVID", "MDV", "CMT", "RATE"),
    *("ADDL", "II", "SS", "DVID", "OCC", "LLOQ", "BLQ"),
)
_ALIASES = {"LIMIT": "LLOQ", "CENS": "BLQ"}
_TEXTS = ("ID", "DATE", "DATETIME")
_BY_CLOCK = re.compile(r"\d:\d|\d{4}-\d\d-\d\d")
_BRACKET = re.compile(r"^(?P<name>[^\[\]]+?)\s*\[(?P<unit>[^\[\]]*)\]$")


@dataclass(frozen=True)
class Found:
    """A column of the table: where it stands, its header without the unit, and the unit it is in."""

    position: int
    header: str
    bare: str
    unit: str


@dataclass(frozen=True)
class Wanted:
    """What a model asks of an event table.

    Attributes
    ----------
    time : str
        The input that dates the records.
    dose : str or None
        The history that takes the doses.
    quantities : dict of str to str
        Inputs, carried properties and covariates, with their units.
    carried : tuple of str
        What the history is told at every event beside how a dose was given.
    """

    time: str
    dose: str | None
    quantities: dict[str, str]
    carried: tuple[str, ...]

    @property
    def synonyms(self) -> dict[str, str]:
        """The reserved name for some names of the model, the other way round for what is numbered."""
        numbered = {"OCC": "occasion", "DVID": "dvid" if "dvid" in self.quantities else "output"}
        return {key: name for key, name in numbered.items() if name in self.quantities}


@dataclass(frozen=True)
class Columns:
    """The columns of a table.

    Attributes
    ----------
    found : dict of str to Found
        By name.
    assumed : dict of str to str
        Units that neither the table nor the user says, by name.
    unused : tuple of Found
        What nobody asked for.
    by_clock : bool
        Whether times are dates and clock times, and thus in hours.
    """

    found: dict[str, Found]
    assumed: dict[str, str]
    unused: tuple[Found, ...]
    by_clock: bool


def looks_like_events(headers: Sequence[str]) -> bool:
    """Whether a table has the columns of an event table, as NONMEM names them.

    Examples
    --------
    >>> looks_like_events(["id", "TIME [h]", "Amt [mg]", "dv"]), looks_like_events(["task", "time [h]", "dose [mg]"])
    (True, False)
    """
    names = {_bare(header)[0].upper().lstrip("#").strip() for header in headers}
    return "ID" in names and bool(names & {"TIME", "DATETIME"}) and bool(names & {"AMT", "EVID"})


def tells_events(headers: Sequence[str], card: Card | None = None) -> bool:
    """Whether a table has NONMEM's columns, or those that a card of events names."""
    bare = {_bare(header)[0] for header in headers}
    events = {} if card is None else card.events
    named = {_bare(text)[0] for name, text in events.items() if name in ("ID", "TIME", "AMT")}
    return looks_like_events(headers) or (bool(named) and named <= bare)


def wanted_by(model: Model, where: str) -> Wanted:
    """What a model asks for; refused if it has several histories or no time."""
    if len(model.histories) > 1:
        raise InputError(
            f"{where}: an event table tells of one kind of dose, but model '{model.name}' takes "
            f"{', '.join(model.histories)}."
        )
    dose = next(iter(model.histories), None)
    history: History | None = model.histories[dose] if dose else None
    time = history.at if history else "time"
    if time not in model.inputs:
        raise InputError(
            f"{where}: an event table needs a model with the input '{time}', which '{model.name}' lacks."
        )
    told = (
        {name: item.unit for name, item in history.columns.items() if name not in DOSING} if history else {}
    )
    quantities = {name: item.unit for name, item in model.inputs.items() if name != time}
    return Wanted(time, dose, {**model.covariates, **told, **quantities}, tuple(told))


def find_columns(
    frame: pd.DataFrame,
    model: Model,
    wanted: Wanted,
    columns: Mapping[str, str],
    units: Mapping[str, str],
    where: str,
) -> Columns:
    """Which column is which.

    Parameters
    ----------
    frame : DataFrame
        Headers as they stand in the table; units may also stand in ``frame.attrs["units"]``, by header.
    model : Model
    wanted : Wanted
    columns, units : mapping of str to str
        What the user says: name to header, and name or header to unit.
    where : str
        What errors call the table.
    """
    headers = [str(header).strip() for header in frame.columns]
    written = frame.attrs.get("units", {})
    bare = [(name, text or written.get(header, "")) for header in headers for name, text in [_bare(header)]]
    for position, (name, _) in enumerate(bare):
        if not name:
            raise InputError(f"{where}, column {position + 1}: the column has no header.")
    places = _places(bare, headers, model, wanted, columns, where)
    stated = _stated(places, bare, headers, model, wanted, units, where)
    cells = frame.iloc[:, places["TIME"]] if "TIME" in places else frame.iloc[:, :0]
    by_clock = bool({"DATE", "DATETIME"} & places.keys()) or any(
        _BY_CLOCK.search(str(cell)) for cell in _objects(cells)
    )
    assumed: dict[str, str] = {}
    in_use: dict[str, str] = {}
    defaults = {
        "TIME": "h" if by_clock else model.inputs[wanted.time].unit,
        "DV": model.output.unit,
        "AMT": model.histories[wanted.dose].unit if wanted.dose else "1",
    }
    for name in ("TIME", "DV", "AMT", "II", "LLOQ", "RATE", *places):
        if name not in places or name in _TEXTS or name in in_use:
            continue
        amount, time = (in_use.get(key, defaults[key]) for key in ("AMT", "TIME"))
        derived = {"II": time, "LLOQ": in_use.get("DV", defaults["DV"]), "RATE": f"({amount})/({time})"}
        default = defaults.get(name) or derived.get(name) or wanted.quantities.get(name, "1")
        at = f"{where}, column '{headers[places[name]]}'"
        if name in stated:
            _check(name, stated[name], default, at, wanted)
        elif name in defaults or name in derived:
            assumed |= {} if name == "TIME" and by_clock else {name: default}
        elif default != "1" and name not in _RESERVED:
            raise InputError(
                f"{at}: the header does not say the unit; write it as '{bare[places[name]][0]} [{default}]' "
                f"or give units={{'{name}': '{default}'}}."
            )
        in_use[name] = stated.get(name, default)
    found = {
        name: Found(place, headers[place], bare[place][0], in_use.get(name, ""))
        for name, place in places.items()
    }
    for reserved, name in wanted.synonyms.items():
        if reserved in found and name not in found:
            found[name] = found[reserved]
    used = {item.position for item in found.values()}
    unused = tuple(
        Found(place, headers[place], name, text)
        for place, (name, text) in enumerate(bare)
        if place not in used
    )
    return Columns(found, assumed, unused, by_clock)


def _objects(cells: Any) -> list[Any]:
    """The cells of a column that holds no plain numbers."""
    return [] if cells.ndim > 1 or pd.api.types.is_numeric_dtype(cells.dtype) else list(cells)


def _bare(header: str) -> tuple[str, str]:
    """A header without its unit, and the unit."""
    bracket = _BRACKET.match(header.strip())
    return (bracket["name"].strip(), bracket["unit"].strip()) if bracket else (header.strip(), "")


def _canonical(name: str, model: Model, wanted: Wanted) -> str | None:
    """The name under which a column is kept, from any name that may be given for it."""
    own = {model.output.name: "DV", wanted.time: "TIME", **({wanted.dose: "AMT"} if wanted.dose else {})}
    for known in (*wanted.quantities, *own):
        if name.lower() == known.lower() and name.upper() not in _RESERVED:
            return own.get(known, known)
    upper = _ALIASES.get(name.upper(), name.upper())
    return upper if upper in _RESERVED else None


def _places(
    bare: Sequence[tuple[str, str]],
    headers: Sequence[str],
    model: Model,
    wanted: Wanted,
    columns: Mapping[str, str],
    where: str,
) -> dict[str, int]:
    """Position by name: first what the user says, then what headers say."""
    places: dict[str, int] = {}
    for name, header in columns.items():
        key = _canonical(name, model, wanted)
        if key is None:
            known = ", ".join((*_RESERVED, *wanted.quantities))
            raise InputError(
                f"{where}: columns names '{name}', which is neither NONMEM's nor the model's; known are {known}."
            )
        asked = header.strip().lower()
        at = [
            place
            for place, (text, _) in enumerate(bare)
            if asked in (text.lower(), headers[place].strip().lower())
        ]
        if len(at) != 1:
            found = "there is no such column" if not at else "several columns are called so"
            raise InputError(
                f"{where}, column '{header}', given for {name}: {found}; the headers are {', '.join(headers)}."
            )
        if key in places:
            raise InputError(
                f"{where}, column '{header}': {name} is given twice, also by '{headers[places[key]]}'."
            )
        places[key] = at[0]
    chosen, told = set(places.values()), set(places)
    by_name = {name.lower(): name for name in wanted.quantities}
    for place, (text, _) in enumerate(bare):
        upper = _ALIASES.get(text.upper(), text.upper())
        key = upper if upper in _RESERVED else by_name.get(text.lower())
        if key is None or place in chosen or key in told:
            continue
        if key in places:
            raise InputError(
                f"{where}, column '{headers[place]}': {key} is given twice, also by '{headers[places[key]]}'; "
                f"say which counts, columns={{'{key}': '{headers[place]}'}}."
            )
        places[key] = place
    if "TIME" in told and "DATETIME" not in told:
        places.pop("DATETIME", None)
    return places


def _stated(
    places: Mapping[str, int],
    bare: Sequence[tuple[str, str]],
    headers: Sequence[str],
    model: Model,
    wanted: Wanted,
    units: Mapping[str, str],
    where: str,
) -> dict[str, str]:
    """The unit that a header or the user gives for each column."""
    stated = {name: bare[place][1] for name, place in places.items() if bare[place][1]}
    for asked, text in units.items():
        key = _canonical(asked, model, wanted)
        names = [
            name for name, place in places.items() if name == key or asked in (headers[place], bare[place][0])
        ]
        if not names and key is None:
            raise InputError(
                f"{where}: units names '{asked}', which is no column; the headers are {', '.join(headers)}."
            )
        for name in names:
            if unit(stated.get(name, text)) != unit(text):
                raise InputError(
                    f"{where}, column '{headers[places[name]]}': the header says '{stated[name]}', "
                    f"but units says '{text}'."
                )
            stated[name] = text
    return stated


def _check(name: str, stated: str, default: str, at: str, wanted: Wanted) -> None:
    try:
        fits = same_dimension(stated, default)
    except InputError as error:
        raise InputError(f"{at}: {error}") from None
    if not fits and not (wanted.dose is None and name in ("AMT", "RATE")):
        raise InputError(f"{at}: {unfit(name, stated, default)}.")
