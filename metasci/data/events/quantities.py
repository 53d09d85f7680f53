"""What a model is told beside time and doses: covariates carried forward, outputs told by their measurements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metasci.data.cards import Card
from metasci.data.checks import Faults, check_limits
from metasci.data.events.arrays import carried_forward
from metasci.data.events.cells import first, numbers
from metasci.data.events.columns import Columns, Wanted
from metasci.data.events.records import Flags, Floats, Records
from metasci.units import convert

if TYPE_CHECKING:
    from metasci.model import Model

__all__ = ["check_quantities", "quantities_of"]


def quantities_of(
    fault: Faults, known: Columns, model: Model, wanted: Wanted, records: Records, labels: Any
) -> tuple[dict[str, Floats], dict[str, bool]]:
    """What the model is told beside time and doses, carried forward, and what of it a patient keeps throughout."""
    quantities, constant = {}, {}
    codes = records.codes
    starts = np.searchsorted(codes, np.arange(len(labels)))
    for name, unit in wanted.quantities.items():
        if name not in known.found:
            continue
        raw = numbers(name, fault)
        item = known.found[name]
        converted = convert(raw, item.unit, unit, f"{fault.where}, column '{item.header}'")
        if name == wanted.synonyms.get("DVID"):  # which output a measurement is of says nothing of other rows
            if (at := first(records.measures & np.isnan(converted))) is not None:
                raise fault(
                    name, at, "the cell is empty, but every measurement needs to say which output it is"
                )
            quantities[name], constant[name] = np.where(records.measures, converted, np.nan), False
            continue
        filled = carried_forward(codes, converted)
        if name == wanted.synonyms.get("OCC"):  # the first occasion begins before it is named
            filled = carried_forward(codes[::-1], filled[::-1])[::-1]
        _check_known(fault, name, filled, codes, labels, name in model.inputs or name in wanted.carried)
        changed = ~np.isnan(filled) & (filled != filled[starts][codes])
        fixed = name in model.covariates or model.inputs[name].constant
        if fixed and (at := first(changed)) is not None:
            raise fault(
                name,
                at,
                f"{name} of patient '{labels[codes[at]]}' changes from {fault.shown(name, int(starts[codes[at]]))} to "
                f"{fault.shown(name, at)}, but model '{model.name}' takes it as constant; leave one value, or take a "
                "model in which it changes",
            )
        quantities[name] = filled
        constant[name] = name in model.covariates or (name not in wanted.carried and not changed.any())
    return quantities, constant


def _check_known(
    fault: Faults, name: str, filled: Floats, codes: NDArray[np.intp], labels: Any, needed: bool
) -> None:
    """Refuse what is known from some record of a patient on only, or not at all where the model needs it."""
    unknown = np.isnan(filled)
    nothing = np.ones(len(labels), dtype=bool)
    nothing[codes[~unknown]] = False
    if (at := first(unknown & (needed | ~nothing[codes]))) is not None:
        raise fault(name, at, f"{name} is missing at the first record of patient '{labels[codes[at]]}'")


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
