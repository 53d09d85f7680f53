"""Whether the records of an event table fit one another, and the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metasci.data.checks import Faults
from metasci.data.events.cells import first, texts
from metasci.data.events.records import Records
from metasci.data.events.rules import Rule, refuse
from metasci.data.events.table import Flags, Table

if TYPE_CHECKING:
    from metasci.model import Model

__all__ = ["check_order", "check_representable", "compartments_by_name"]

_ABSORBED = ("depot", "gut", "absorption", "oral", "po")
_CENTRAL = ("central", "centr", "center", "centre", "cent", "plasma", "blood", "iv", "vein")
_NOWHERE = 9999.0  # a number that no compartment has: a name that is not known is refused as such a number is


def compartments_by_name(model: Model) -> dict[str, float]:
    """Numbers for names of compartments; ``?`` stands for any other name.

    Where a model takes doses by two ways, 1 is to be absorbed and 2 is central. Where it takes them by one, that is 1.
    """
    history = next(iter(model.histories.values()), None)
    if history is not None and history.ways:
        return {**{name.lower(): float(number) for name, number in history.ways.items()}, "?": _NOWHERE}
    if history is not None and "compartment" in history.columns:
        return {**dict.fromkeys(_ABSORBED, 1.0), **dict.fromkeys(_CENTRAL, 2.0), "?": _NOWHERE}
    absorbs = any(name.startswith("absorption") for name in model.parameters.names)
    here, elsewhere = (_ABSORBED, _CENTRAL) if absorbs else (_CENTRAL, _ABSORBED)
    return {**dict.fromkeys(here, 1.0), **dict.fromkeys(elsewhere, 2.0), "?": _NOWHERE}


def check_order(table: Table, records: Records, *, allow_before_dose: bool, takes_doses: bool) -> None:
    """Refuse patients who come back, times that go back, and measurements before anything was given."""
    fault, codes, labels = table.fault, table.codes, table.labels
    same = np.diff(codes, prepend=-1) == 0
    starts = np.flatnonzero(~same)
    if len(starts) > len(labels):
        again = starts[first(_seen_before(codes[starts]))]
        before = int(np.flatnonzero(codes[:again] == codes[again])[-1])
        raise fault(
            "ID",
            int(again),
            f"patient '{labels[codes[again]]}' comes back after others (the last row was "
            f"{fault.rows[before]}); put the rows of a patient together, or give every patient a name of its own",
        )
    back = same & (np.diff(table.time, prepend=0.0) < 0) & ~records.resets
    if (at := first(back)) is not None:
        name = "TIME" if "TIME" in fault.headers else "DATETIME"
        raise fault(
            name,
            at,
            f"time goes back from {fault.shown(name, at - 1)} to {fault.shown(name, at)} within patient "
            f"'{labels[codes[at]]}'; sort the rows, or mark a new start with EVID 3 or 4",
        )
    if allow_before_dose or not takes_doses:
        return
    place = np.arange(len(codes))
    dosed = np.full(len(labels), len(codes))
    np.minimum.at(dosed, codes[records.gives], place[records.gives])
    known = np.isin(codes, codes[records.leads])  # what has been given since forever was there before, too
    early = records.measures & (place <= dosed[codes]) & ~known
    if (at := first(early)) is not None:
        if dosed[codes[at]] == len(codes):
            raise fault("ID", at, f"patient '{labels[codes[at]]}' is measured but was given no dose")
        name = "DV" if "DV" in fault.headers else "ID"
        raise fault(
            name,
            at,
            f"patient '{labels[codes[at]]}' is measured before the first dose; set MDV to 1 for this row, "
            "or allow it (allow_before_dose=True, a key of [events] in a card, too) if the model predicts what is "
            "there then",
        )


def _seen_before(values: NDArray[np.intp]) -> Flags:
    seen = np.ones(len(values), dtype=bool)
    seen[np.unique(values, return_index=True)[1]] = False
    return seen


def check_representable(table: Table, records: Records, model: Model) -> None:
    """Refuse what the table tells and the model has no place for."""
    fault, gives = table.fault, records.gives
    history = next(iter(model.histories.values()), None)
    if history is None:
        if (at := first(gives)) is not None:
            raise fault(
                "AMT", at, f"the row is a dose, but model '{model.name}' takes no doses given at times"
            )
        return
    cut = records.resets | (gives & (records.steady == 1))
    place = np.arange(len(gives))
    earliest = np.full(len(table.labels), len(gives))
    np.minimum.at(earliest, records.codes[gives], place[gives])
    forgets = cut & (place > earliest[records.codes])
    reset = "EVID" if "EVID" in fault.headers and records.resets[forgets].any() else "SS"
    lasting = gives & (records.duration > 0)
    lacking = {
        "duration": Rule(
            "RATE" if "RATE" in fault.headers else "DUR", lasting | records.endless, "an infusion"
        ),
        "interval": Rule("SS", gives & (records.steady > 0), "a steady state"),
        "until": Rule(reset, forgets & (records.resets | (reset == "SS")), "a reset of earlier doses"),
    }
    for column, rule in lacking.items():
        if column not in history.columns and (at := first(rule.broken)) is not None:
            raise fault(
                rule.name,
                at,
                f"{rule.sentence} needs a model whose doses tell their {column}, which "
                f"'{model.name}' does not",
            )
    routes = "compartment" in history.columns
    outputs = bool({"dvid", "output"} & model.inputs.keys())
    _check_alike(
        fault,
        model.name,
        {
            ("CMT", "doses go into compartment"): gives & (not routes),
            ("CMT", "measurements are of compartment"): records.measures & (not outputs),
            ("DVID", "measurements are of output"): records.measures & (not outputs),
        },
    )
    told = ("CMT", "is") if "CMT" in fault.headers else ("EVID", "names")  # in its hundreds
    ways = (
        _ways_of_own(records, history.ways, model.name, told)
        if history.ways
        else _ways_in(records, routes, model.name, told)
    )
    refuse([*ways, _sample_before_endless(table, records)], fault)
    if outputs and "DVID" in table and np.isnan(table["DVID"]).all():
        at = first(records.measures)
        raise fault(
            "DVID",
            at or 0,
            f"'{fault.shown('DVID', at or 0)}' is no number of an output of '{model.name}'; write 1, 2, or say in a "
            "card what the names stand for, codes = { name = 1 } of that column",
        )


def _check_alike(fault: Faults, model: str, kinds: dict[tuple[str, str], Flags]) -> None:
    """Refuse two kinds where the model knows one."""
    for (name, what), which in kinds.items():
        if name not in fault.headers or not which.any():
            continue
        written = np.array(texts(fault.cells[name]))
        usual = written[which][0]
        if (at := first(which & (written != usual))) is not None:
            raise fault(
                name,
                at,
                f"{what} {written[at]} here and {usual} before, but model '{model}' knows only one; "
                "keep one kind, or take a model with several",
            )


def _sample_before_endless(table: Table, records: Records) -> Rule:
    """A sample that would be of what came before and of the infusion since forever alike."""
    joined = (np.diff(table.codes, prepend=-1) == 0) & (np.diff(table.time, prepend=0.0) == 0)
    before = np.concatenate([[False], records.measures[:-1]])
    return Rule(
        "RATE",
        records.endless & ~records.leads & joined & before,
        "an endless infusion stands after a sample of the same time; put the sample below it, where it is in force",
    )


def _ways_of_own(records: Records, ways: Mapping[str, int], model: str, told: tuple[str, str]) -> list[Rule]:
    """Compartments that no dose goes into, of a model that names its own."""
    column, verb = told
    known = ", ".join(f"{number} ({name})" for name, number in ways.items())
    unknown = records.gives & (records.compartment > 0) & ~np.isin(records.compartment, list(ways.values()))
    return [Rule(column, unknown, f"{column} {{}} {verb} no way in of '{model}'; doses go into {known}")]


def _ways_in(records: Records, routes: bool, model: str, told: tuple[str, str]) -> list[Rule]:
    """Compartments that no dose goes into, and infusions that are to be absorbed."""
    column, verb = told
    way, gives = records.compartment, records.gives
    if not routes:
        sentence = f"{column} {{}} {verb} no compartment that doses of '{model}' go into; they go into 1"
        return [Rule(column, gives & (way > 1), f"{sentence} (2 is central where a drug is absorbed)")]
    infused = gives & ((records.duration > 0) | records.endless)
    absorbed = (
        "an infusion that is to be absorbed is not modelled; for one into a vein write CMT 2, for a dose by mouth "
        "RATE 0"
    )
    return [
        Rule(
            column,
            gives & (way > 2),
            f"{column} {{}} {verb} no way in; it is 1 to be absorbed, 2 into the centre",
        ),
        *(Rule(name, infused & (way != 2), absorbed) for name in ("RATE", "DUR")),
    ]
