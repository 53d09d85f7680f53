"""The quantities of a table: numbers, codes and structures of every column, in the wanted units."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metasci.data.cards import NAME, SOURCE, UNKNOWN, Card, Column
from metasci.data.checks import Faults
from metasci.data.hardness import scale_of
from metasci.data.headers import QUANTITIES, Given
from metasci.data.kinds import kind_named
from metasci.data.readings import Readings, converted, numbers_of, readings_of, text_of
from metasci.data.simulators import Simulator, simulator_named
from metasci.errors import InputError
from metasci.unit_grammar import shown
from metasci.units import convert, same_dimension
from metasci.words import enumerated

if TYPE_CHECKING:
    from metasci.model import Model

__all__ = ["Quantities", "quantities_of", "target_units"]


@dataclass(frozen=True)
class Quantities:
    """Readings by name in the wanted units, structures by name, and what is to be said of the conversion."""

    readings: dict[str, Readings]
    structures: dict[str, list[str]]
    notes: list[str]


def quantities_of(
    card: Card,
    declared: Mapping[str, Given],
    cells: Mapping[str, pd.Series[Any]],
    units: Mapping[str, str],
    fault: Faults,
) -> Quantities:
    """Every quantity of the card, read and converted."""
    readings: dict[str, Readings] = {}
    structures: dict[str, list[str]] = {}
    notes: list[str] = []
    for column in card.columns:
        name = column.name
        if column.role not in QUANTITIES:
            continue
        if name not in declared and column.kind in (SOURCE, NAME):
            readings[name], structures[name] = Readings.exact(np.zeros(len(fault.rows))), [UNKNOWN]
            continue
        if name not in declared:
            readings[name] = Readings.exact(np.full(len(fault.rows), column.codes.get(UNKNOWN, np.nan)))
            continue
        here = partial(fault, name)
        if column.kind:
            places, structures[name], spelled = _numbered(cells[name], column, here)
            notes += spelled
            readings[name] = Readings.exact(places)
            continue
        is_output = column.role == "output"
        texts = _coded(cells[name], column, here)
        read = (
            readings_of(texts, here).not_above(column.limit)
            if is_output
            else Readings.exact(numbers_of(texts, here))
        )
        place = f"{fault.where}, column '{declared[name].header}'"
        readings[name], spelled = converted(read, declared[name].unit, units[name], place, here, is_output)
        notes += spelled
    for column in card.columns:
        if column.computed:
            readings[column.name] = _simulated(card, column, readings, structures, units, fault)
    for column in card.with_role("event"):
        # an input's column may also tell it of the amounts: one for a cycle's number
        shared = column.name.removeprefix(f"{column.at}_")
        if column.name not in declared and shared in card.inputs:
            readings[column.name] = readings[shared]
    return Quantities(readings, structures, notes)


def _simulated(
    card: Card,
    column: Column,
    readings: Mapping[str, Readings],
    structures: Mapping[str, list[str]],
    units: Mapping[str, str],
    fault: Faults,
) -> Readings:
    """What a simulator says of each row's structure, where the table does not say it."""
    simulator = simulator_named(column.simulator)
    structure = next(other.name for other in card.columns if other.kind == simulator.kind)
    values, places = readings[column.name].values.copy(), readings[structure].values
    lacking = np.isnan(values) & ~np.isnan(places)
    which = np.unique(places[lacking]).astype(int)
    if len(which):
        try:
            simulated = simulator.values([structures[structure][at] for at in which])
        except InputError as error:
            refused = which[_first_refused(simulator, [structures[structure][at] for at in which])]
            row = int(np.flatnonzero(lacking & (places == refused))[0])
            raise fault(structure, row, str(error).removesuffix(".")) from None
        simulated = convert(simulated, simulator.unit, units[column.name])
        values[lacking] = simulated[np.searchsorted(which, places[lacking].astype(int))]
    return Readings.exact(values)


def _first_refused(simulator: Simulator, texts: Sequence[str]) -> int:
    """Which of some structures a simulator does not take, one by one; the first if it is none by itself."""
    for place, text in enumerate(texts):
        try:
            simulator.values([text])
        except InputError:
            return place
    return 0


def target_units(card: Card, model: Model | None) -> dict[str, str]:
    """The unit of every quantity: the model's where it names one, else the card's."""
    units = {column.name: column.unit for column in card.columns if column.role in QUANTITIES}
    if model is None:
        return units
    named = {
        **model.covariates,
        **{name: item.unit for name, item in model.inputs.items()},
        **{name: item.unit for name, item in model.histories.items()},
        **{
            f"{name}_{key}": declared.unit
            for name, item in model.histories.items()
            for key, declared in item.columns.items()
        },
        card.output.name: model.output.unit,
    }
    for name in units.keys() & named.keys():
        if not (
            same_dimension(units[name], named[name]) or (scale_of(units[name]) and scale_of(named[name]))
        ):
            raise InputError(
                f"model '{model.name}' wants {name} in '{named[name]}', but the data '{card.name}' have "
                f"it in '{units[name]}'."
            )
        units[name] = named[name]
    return units


def _coded(cells: pd.Series[Any], column: Column, fault: Callable[[int, str], InputError]) -> pd.Series[Any]:
    """The numbers that stand for a column's texts."""
    if not column.codes:
        return cells
    texts = [text_of(cell) for cell in cells]
    for at, text in enumerate(texts):
        if text and text not in column.codes:
            raise fault(at, f"'{text}' is none of {', '.join(column.codes)}")
    unsaid = column.codes.get(UNKNOWN, np.nan)
    return pd.Series([column.codes.get(text, unsaid) for text in texts], index=cells.index, dtype=float)


def _numbered(
    cells: pd.Series[Any], column: Column, fault: Callable[[int, str], InputError]
) -> tuple[NDArray[np.float64], list[str], list[str]]:
    """Structures, or sources: for each cell the place of its text in a list of different ones, that list, and what is
    to be told of the reading.
    """
    places: dict[str, int] = {}
    taken: dict[str, str] = {}
    numbers = np.full(len(cells), np.nan)
    for at, cell in enumerate(cells):
        text = text_of(cell) or (UNKNOWN if column.kind in (SOURCE, NAME) else "")
        if not text:
            continue
        try:
            if column.largest_molecule:
                structure, *others = kind_named(column.kind).parts(text)
                taken |= {text: structure} if others else {}
            else:
                structure = kind_named(column.kind).canonical(text)
        except InputError as error:
            raise fault(at, str(error).removesuffix(".")) from None
        numbers[at] = places.setdefault(structure, len(places))
    told = [f"'{structure}' of '{shown(text)}'" for text, structure in taken.items()]
    notes = [f"of salts and solvates the largest molecule is taken: {enumerated(told)}"] if told else []
    return numbers, list(places), notes
