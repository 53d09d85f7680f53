"""The cells of an event table by name, as numbers in the model's units: everything that its rows are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metasci.data.checks import Faults
from metasci.data.events.cells import Cells, first, numbers, texts
from metasci.data.events.columns import COLUMNS, Wanted
from metasci.data.events.headers import Located
from metasci.data.events.times import times
from metasci.data.readings import ends_of
from metasci.errors import InputError
from metasci.molar import molar_factor
from metasci.units import convert, same_dimension

__all__ = ["Flags", "Floats", "Table", "table_of"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Table:
    """The rows of an event table, each array with one element for each.

    Attributes
    ----------
    fault : Faults
        With the cells as they were written, by name.
    labels : list of str
        The patients, by order of appearance.
    codes : array of int
        Which patient a row is of.
    time : array
    values : dict of str to array
        Of the reserved columns that the table has, NaN where a cell is empty.
    below, above : array of bool
        Where DV is written ``<0.1``, and where ``>65``.
    upper : array
        Where DV is written ``10..20``, its upper end; NaN elsewhere.
    """

    fault: Faults
    labels: list[str]
    codes: NDArray[np.intp]
    time: Floats
    values: dict[str, Floats]
    below: Flags
    above: Flags
    upper: Floats

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def __getitem__(self, name: str) -> Floats:
        """The column, an empty cell meaning what the declaration says; all empty if there is none."""
        empty = COLUMNS[name].empty
        values = self.values.get(name, np.full(len(self.codes), np.nan))
        return values if np.isnan(empty) else np.nan_to_num(values, nan=empty)

    @property
    def starts(self) -> NDArray[np.intp]:
        """The first row of each patient, whose rows stand together."""
        return np.searchsorted(self.codes, np.arange(len(self.labels)))


def table_of(cells: Cells, located: Located, wanted: Wanted, molar_mass: str, where: str) -> Table:
    """Read and convert every reserved column.

    Raises
    ------
    InputError
        If a cell holds no number, or no patient's name.
    """
    frame, places = cells.frame, located.found
    columns = {name: frame.iloc[:, item.position] for name, item in places.items()}
    fault = Faults(where, {name: item.header for name, item in places.items()}, columns, frame.index)
    names = np.array(texts(columns["ID"]), dtype=object)
    if (at := first(names == "")) is not None:
        raise fault("ID", at, "the cell is empty, so nobody knows whose record it is")
    codes, labels = pd.factorize(names)
    time, is_hours = times(fault, codes, places["TIME"].unit if "TIME" in places else "h")
    from_unit = "h" if is_hours else places["TIME"].unit
    time = convert(
        time, from_unit, wanted.units["time"], f"{where}, column '{fault.headers.get('TIME', 'TIME')}'"
    )
    values: dict[str, Floats] = {}
    below = above = np.zeros(len(frame), dtype=bool)
    upper = np.full(len(frame), np.nan)
    for name in places.keys() & COLUMNS.keys():
        kind = COLUMNS[name].unit
        if kind == "text" or name == "TIME":
            continue
        if name == "DV":
            columns["DV"], ends, below, above = _ends(columns["DV"])
            read = numbers(name, Faults(where, fault.headers, columns, fault.rows))
            upper = numbers(name, Faults(where, fault.headers, {**columns, "DV": ends}, fault.rows))
            if (at := first(upper < read)) is not None:
                raise fault(
                    name, at, f"'{fault.shown(name, at)}' begins above its end; write the lower number first"
                )
            upper = np.where(upper > read, upper, np.nan)
        elif kind == "code":
            read = _code(name, fault)
        else:
            read = numbers(name, fault)
        if kind in wanted.units and (wanted.dose or kind == "output" or kind == "time"):
            what = f"{where}, column '{places[name].header}'"
            converted = in_units(read, places[name].unit, wanted.units[kind], molar_mass, what)
            if name == "DV":
                upper = in_units(upper, places[name].unit, wanted.units[kind], molar_mass, what)
            read = (
                np.where(read < 0.0, read, converted) if name == "RATE" else converted
            )  # -1 and -2 are codes
        values[name] = read
    return Table(fault, [str(label) for label in labels], codes, time, values, below, above, upper)


def in_units(values: Floats, from_unit: str, to_unit: str, molar_mass: str, where: str) -> Floats:
    """Values in another unit; between amounts of substance and masses by way of the molar mass.

    Examples
    --------
    >>> in_units(np.array([2.0]), "mmol/L", "mg/L", "232.2 g/mol", "table").tolist()
    [464.4]
    """
    if not molar_mass or same_dimension(from_unit, to_unit):
        return convert(values, from_unit, to_unit, where)
    return values * molar_factor(from_unit, to_unit, molar_mass, where)


def _ends(cells: pd.Series[Any]) -> tuple[pd.Series[Any], pd.Series[Any], Flags, Flags]:
    """The lower and the upper ends of what cells say, ``<0.1``, ``>65``, ``10..20``; which lie below, and above."""
    parts = [ends_of(cell.strip()) if isinstance(cell, str) else None for cell in cells]
    signs = np.array([0.0 if each is None else each[2] for each in parts])
    if not any(parts):
        return cells, cells, signs < 0.0, signs > 0.0
    lower, upper = (
        pd.Series([cell if each is None else each[end] for cell, each in zip(cells, parts, strict=True)],
                  index=cells.index, name=cells.name, dtype=object)
        for end in (0, 1)
    )  # fmt: skip
    return lower, upper, signs < 0.0, signs > 0.0


def _code(name: str, fault: Faults) -> Floats:
    """Numbers of compartments or outputs; NaN where they have names, which `rules` reads."""
    try:
        return numbers(name, fault)
    except InputError:
        return np.full(len(fault.rows), np.nan)
