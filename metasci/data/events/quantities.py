"""What a model is told beside time and doses: covariates between their records, outputs told by their measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from metasci.data.cards import Card
from metasci.data.checks import Faults, check_limits
from metasci.data.events.cells import first, numbers
from metasci.data.events.columns import Wanted
from metasci.data.events.headers import Located
from metasci.data.events.histories import filled
from metasci.data.events.records import Records
from metasci.data.events.table import Flags, Floats, Table
from metasci.units import convert

if TYPE_CHECKING:
    from metasci.model import Model

__all__ = ["Quantities", "check_quantities", "quantities_of"]


@dataclass(frozen=True)
class Quantities:
    """What the model is told beside time and doses, at every row.

    Attributes
    ----------
    values : dict of str to array
        By the model's names.
    constant : frozenset of str
        What every patient keeps throughout.
    """

    values: dict[str, Floats]
    constant: frozenset[str]


def quantities_of(
    table: Table, located: Located, model: Model, wanted: Wanted, records: Records, backward: bool
) -> Quantities:
    """What the model is told beside time and doses; an empty cell takes the next value of the patient, or the last.

    Parameters
    ----------
    backward : bool
        Whether the next observation is carried backward, as NONMEM does, and not the last one forward.
    """
    fault, codes, starts = table.fault, table.codes, table.starts
    values, constant = {}, set()
    for name, unit in wanted.quantities.items():
        if name not in located.found:
            continue
        item = located.found[name]
        converted = convert(numbers(name, fault), item.unit, unit, f"{fault.where}, column '{item.header}'")
        if name == wanted.numbered.get("DVID"):  # which output a measurement is of says nothing of other rows
            if (at := first(records.measures & np.isnan(converted))) is not None:
                raise fault(
                    name, at, "the cell is empty, but every measurement needs to say which output it is"
                )
            values[name] = np.where(records.measures, converted, np.nan)
            continue
        held = filled(codes, converted, backward)
        if name == wanted.numbered.get("OCC"):  # the first occasion begins before it is named
            held = filled(codes, held, True)
        _check_known(table, name, held, name in model.inputs or name in wanted.carried)
        changed = ~np.isnan(held) & (held != held[starts][codes])
        fixed = name in model.covariates or model.inputs[name].constant
        if fixed and (at := first(changed)) is not None:
            start = int(starts[codes[at]])
            raise fault(
                name,
                at,
                f"{name} of patient '{table.labels[codes[at]]}' changes from {fault.shown(name, start)} to "
                f"{fault.shown(name, at)}, but model '{model.name}' takes it as constant; leave one value, or take a "
                "model in which it changes",
            )
        values[name] = held
        if name in model.covariates or (name not in wanted.carried and not changed.any()):
            constant.add(name)
    return Quantities(values, frozenset(constant))


def _check_known(table: Table, name: str, held: Floats, needed: bool) -> None:
    """Refuse what is known from some record of a patient on only, or not at all where the model needs it."""
    unknown = np.isnan(held)
    nothing = np.ones(len(table.labels), dtype=bool)
    nothing[table.codes[~unknown]] = False
    if (at := first(unknown & (needed | ~nothing[table.codes]))) is not None:
        patient = table.labels[table.codes[at]]
        raise table.fault(name, at, f"{name} is missing at the first record of patient '{patient}'")


def check_quantities(
    fault: Faults,
    model: Model,
    wanted: Wanted,
    time: Floats,
    measures: Flags,
    quantities: Mapping[str, Floats],
) -> None:
    """Refuse inputs outside of the model's limits where something is measured."""
    by_clock = "TIME" not in fault.headers
    source = {wanted.time: "DATETIME" if by_clock else "TIME", **{name: name for name in quantities}}
    known = Faults(
        fault.where,
        {name: fault.headers[key] for name, key in source.items()},
        {name: fault.cells[key] for name, key in source.items()},
        fault.rows,
    )
    values = {wanted.time: np.where(measures, time, np.nan), **quantities}
    units = {name: item.unit for name, item in model.inputs.items()} | wanted.quantities
    check_limits(Card.from_model(model), model, values, units, known)
