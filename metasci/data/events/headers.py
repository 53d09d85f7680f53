"""Which column of an event table is which, and in what unit: headers in any case, with or without units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metasci.data.events.columns import COLUMNS, LONG_ALIASES, Wanted, bare_header
from metasci.errors import InputError
from metasci.molar import molar_way
from metasci.units import same_dimension, unfit, unit

__all__ = ["Found", "Located", "locate"]

# TIME, DV and AMT first: the units of others follow from theirs
_ORDER = tuple(dict.fromkeys(("TIME", "DV", "AMT", *COLUMNS)))


@dataclass(frozen=True)
class Found:
    """A column of a table: where it stands, its header as written and without the unit, and the unit it is in."""

    position: int
    header: str
    bare: str
    unit: str


@dataclass(frozen=True)
class Located:
    """Which column is which.

    Attributes
    ----------
    found : dict of str to Found
        By name.
    assumed : dict of str to str
        Units that neither the table nor the user says, by name.
    unused : tuple of Found
        What nobody asked for.
    """

    found: dict[str, Found]
    assumed: dict[str, str]
    unused: tuple[Found, ...]


def locate(
    headers: Sequence[str],
    wanted: Wanted,
    columns: Mapping[str, str],
    units: Mapping[str, str],
    where: str,
    *,
    by_clock: Sequence[str] = (),
    explained: Sequence[str] = (),
    molar: bool = False,
) -> Located:
    """Which column is which, and in what unit.

    Parameters
    ----------
    headers : sequence of str
        As they stand in the table.
    wanted : Wanted
    columns, units : mapping of str to str
        What the user says: name to header, and name or header to unit.
    where : str
        What errors call the table.
    by_clock : sequence of str
        Headers of columns that hold dates or clock times.
    explained : sequence of str
        Headers that a card tells of: none of them is a slip of the pen.
    molar : bool
        Whether a molar mass leads from amounts of substance to masses.
    """
    table = _Headers(tuple(header.strip() for header in headers), wanted, where)
    places = table.places(columns)
    stated = table.stated(places, units)
    clocked = bool({"DATE", "DATETIME"} & places.keys()) or (
        "TIME" in places and table.headers[places["TIME"]] in by_clock
    )
    located: dict[str, Found] = {}
    assumed: dict[str, str] = {}
    for name in sorted(places, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER)):
        header, bare = table.headers[places[name]], table.bare[places[name]]
        kind = COLUMNS[name].unit if name in COLUMNS else ""
        default = _default(name, kind, wanted, located, clocked)
        if kind not in ("text", "code") and name in stated:
            table.check(name, stated[name], default, header, molar)
        elif kind in wanted.units:
            assumed |= {} if name == "TIME" and clocked else {name: default}
        elif name not in COLUMNS and default != "1":
            raise InputError(
                f"{where}, column '{header}': the header does not say the unit; write it as '{bare} [{default}]' "
                f"or give units={{'{name}': '{default}'}}, or the unit in the [events] of a card."
            )
        located[name] = Found(places[name], header, bare, "" if kind == "text" else stated.get(name, default))
    for reserved, name in wanted.numbered.items():
        if reserved in located and name not in located:
            located[name] = located[reserved]
    unused = tuple(
        Found(place, header, bare, text)
        for place, (header, bare, text) in enumerate(zip(table.headers, table.bare, table.units, strict=True))
        if place not in {item.position for item in located.values()}
        or COLUMNS.get(bare.upper()) is COLUMNS["TAD"]
    )
    table.refuse_slips([item for item in unused if item.header not in explained], located)
    return Located(located, assumed, unused)


def _default(name: str, kind: str, wanted: Wanted, located: Mapping[str, Found], clocked: bool) -> str:
    """The unit of a column where nobody says it."""
    if name == "TIME":
        return "h" if clocked else wanted.units["time"]
    of = {"time": "TIME", "output": "DV", "amount": "AMT"}
    known = {
        key: located[column].unit if column in located else wanted.units[key] for key, column in of.items()
    }
    if "TIME" not in located and clocked:
        known["time"] = "h"
    known["amount/time"] = f"({known['amount']})/({known['time']})"
    return known.get(kind, wanted.quantities.get(name, "1"))


@dataclass(frozen=True)
class _Headers:
    """The headers of one table."""

    headers: tuple[str, ...]
    wanted: Wanted
    where: str

    def __post_init__(self) -> None:
        for place, name in enumerate(self.bare):
            if not name:
                raise InputError(f"{self.where}, column {place + 1}: the column has no header.")

    @property
    def bare(self) -> list[str]:
        return [bare_header(header)[0] for header in self.headers]

    @property
    def units(self) -> list[str]:
        return [bare_header(header)[1] for header in self.headers]

    def places(self, columns: Mapping[str, str]) -> dict[str, int]:
        """Position by name: first what the user says, then what headers say."""
        places: dict[str, int] = {}
        for name, header in columns.items():
            key = self.wanted.name(name)
            if key is None:
                known = ", ".join((*COLUMNS, *self.wanted.quantities))
                raise InputError(
                    f"{self.where}: columns names '{name}', which is neither NONMEM's nor the model's; known are "
                    f"{known}."
                )
            self._place(places, key, self._position(name, header), f"{name} is given twice")
        chosen = dict(places)
        for place, text in enumerate(self.bare):
            key = self._of_header(text)
            if key is not None and place not in chosen.values() and key not in chosen:
                which = f"columns={{'{key}': '{self.headers[place]}'}}, or in the [events] of a card"
                self._place(places, key, place, f"{key} is given twice", f"; say which counts, {which}")
        if "TIME" in chosen and "DATETIME" not in chosen:
            places.pop("DATETIME", None)
        return places

    def _of_header(self, text: str) -> str | None:
        """Names of the output, the time and the dose are the user's to give, and no headers."""
        name = self.wanted.name(text)
        lowered = {known.lower() for known in self.wanted.own}
        return None if text.lower() in lowered and text.upper() not in COLUMNS else name

    def _place(self, places: dict[str, int], key: str, place: int, twice: str, hint: str = "") -> None:
        if key in places:
            raise InputError(
                f"{self.where}, column '{self.headers[place]}': {twice}, also by '{self.headers[places[key]]}'{hint}."
            )
        places[key] = place

    def _position(self, name: str, header: str) -> int:
        asked = header.strip().lower()
        named = [
            place
            for place, text in enumerate(self.bare)
            if asked in (text.lower(), self.headers[place].lower())
        ]
        if len(named) != 1:
            problem = "several columns are called so" if named else "there is no such column"
            raise InputError(
                f"{self.where}, column '{header}', given for {name}: {problem}; the headers are "
                f"{', '.join(self.headers)}."
            )
        return named[0]

    def stated(self, places: Mapping[str, int], units: Mapping[str, str]) -> dict[str, str]:
        """The unit that a header or the user gives for each column."""
        stated = {name: self.units[place] for name, place in places.items() if self.units[place]}
        for asked, text in units.items():
            key = self.wanted.name(asked)
            names = [
                name
                for name, place in places.items()
                if name == key or asked in (self.headers[place], self.bare[place])
            ]
            if not names and key is None:
                raise InputError(
                    f"{self.where}: units names '{asked}', which is no column; the headers are "
                    f"{', '.join(self.headers)}."
                )
            for name in names:
                if unit(stated.get(name, text)) != unit(text):
                    raise InputError(
                        f"{self.where}, column '{self.headers[places[name]]}': the header says '{stated[name]}', "
                        f"but units says '{text}'."
                    )
                stated[name] = text
        return stated

    def check(self, name: str, stated: str, default: str, header: str, molar: bool) -> None:
        """Refuse a unit of another dimension; one that a molar mass leads to is taken."""
        at = f"{self.where}, column '{header}'"
        try:
            fits = same_dimension(stated, default)
        except InputError as error:
            raise InputError(f"{at}: {error}") from None
        if fits or (self.wanted.dose is None and name in ("AMT", "RATE")):
            return
        of_drug = name in COLUMNS and COLUMNS[name].unit in ("amount", "amount/time", "output")
        if of_drug and molar_way(stated, default):
            if not molar:
                raise InputError(
                    f"{at}: from '{stated}' to '{default}' the molar mass leads; give it, molar_mass='232.2 g/mol', or "
                    "in the [events] of a card, or convert the column."
                )
            return
        raise InputError(f"{at}: {unfit(name, stated, default)}.")

    def refuse_slips(self, unused: Sequence[Found], located: Mapping[str, Found]) -> None:
        """Refuse a header that is nearly one that is known and absent: what it says would be lost."""
        for item in unused:
            for name in (*COLUMNS, *LONG_ALIASES, *self.wanted.quantities):
                absent = LONG_ALIASES.get(name, name) not in located
                if absent and item.bare.upper() not in COLUMNS and _is_slip(item.bare, name):
                    raise InputError(
                        f"{self.where}, column '{item.header}': '{item.bare}' is not known; did you mean {name}? "
                        "Call it otherwise if it is something else."
                    )


def _is_slip(written: str, meant: str) -> bool:
    """Whether one letter is wrong, missing or too many, or two have changed places.

    Short names have many neighbours (RACE is no slip of RATE): of reserved ones no strange letter may be in it.
    """
    reserved = meant in COLUMNS or meant in LONG_ALIASES
    written, meant = written.upper(), meant.upper()
    if len(meant) < 3 or (reserved and not set(written) <= set(meant)):
        return False
    swapped = {meant[:at] + meant[at + 1] + meant[at] + meant[at + 2 :] for at in range(len(meant) - 1)}
    if written in swapped - {meant}:
        return True
    if len(meant) < 4 + (not reserved):
        return written in {meant[:at] + meant[at] + meant[at:] for at in range(len(meant))}
    shorter, longer = sorted((written, meant), key=len)
    if len(shorter) == len(longer):
        return sum(a != b for a, b in zip(shorter, longer, strict=True)) == 1
    return len(longer) - len(shorter) == 1 and any(
        longer[:at] + longer[at + 1 :] == shorter for at in range(len(longer))
    )
