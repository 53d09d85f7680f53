"""Whether the records of an event table make sense, one rule after the other, and what each record then is.

`records_of` tells doses from measurements as NONMEM does: by EVID and MDV, or without EVID by the amount.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metasci.data.checks import Faults
from metasci.data.events.cells import first, numbers, texts
from metasci.errors import InputError

if TYPE_CHECKING:
    from metasci.model import Model

__all__ = ["Records", "check_doses", "check_order", "check_representable", "records_of"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

MOST_ADDITIONAL = 100_000


@dataclass(frozen=True)
class Records:
    """The rows of an event table, each array with one element for each.

    Attributes
    ----------
    codes : array of int
        The patient, by order of appearance.
    value : array
        What was measured, or the limit below which it lies.
    below, measures, gives, resets : array of bool
        Whether the value is a limit; whether something was measured, given, or set back to nothing. A row that measures
        and gives does so in this order.
    amount, rate, interval, additional, steady, compartment : array
        Of what is given; zero where nothing is said.
    passed_over : dict of str to int
        How many measurements or rows were left out, by reason.
    """

    codes: NDArray[np.intp]
    value: Floats
    below: Flags
    measures: Flags
    gives: Flags
    resets: Flags
    amount: Floats
    rate: Floats
    interval: Floats
    additional: Floats
    steady: Floats
    compartment: Floats
    passed_over: dict[str, int]


@dataclass(frozen=True)
class _Rule:
    """What must not be: where it is so, and what to say then; ``{}`` is the cell."""

    name: str
    broken: Flags
    sentence: str


def records_of(fault: Faults, codes: NDArray[np.intp], require_output: bool, lasts: str = "") -> Records:
    """What every row is, after checks of everything that a row says by itself.

    Parameters
    ----------
    fault : Faults
        With the cells by reserved name.
    codes : array of int
        Which patient a row is of.
    require_output : bool
        Whether rows of measurements must hold one; else those without are places where a prediction is wanted.
    lasts : str
        The parameter that says how long a dose takes to enter, which RATE -2 asks for.
    """
    count = len(codes)
    given = {name: numbers(name, fault) for name in _NUMBERS if name in fault.headers}
    if lasts and "RATE" in given:  # the model says so of every dose
        given["RATE"] = np.where(given["RATE"] == -2, 0.0, given["RATE"])
    if "DV" in fault.headers:
        value, below = _limits(fault, given)
    else:
        value, below = np.full(count, np.nan), np.zeros(count, dtype=bool)

    def filled(name: str) -> Floats:
        return np.nan_to_num(given[name]) if name in given else np.zeros(count)

    amount, mdv = filled("AMT"), given.get("MDV", np.full(count, np.nan))
    marked, empty = mdv == 1, np.isnan(value)
    if "EVID" in given:
        evid = filled("EVID")
        gives, measures = (evid == 1) | (evid == 4), evid == 0
    else:
        gives = amount != 0
        silent = ~gives & empty & (mdv != 0) & require_output
        evid = np.where(gives, 1.0, np.where(silent, 2.0, 0.0))
        measures = (evid == 0) | (gives & ~empty & ("MDV" not in given))
    _refuse(_row_rules(fault, given, evid, gives, value), fault)
    if require_output and (at := first(measures & empty & ~marked)) is not None:
        raise fault("DV", at, "the measurement is missing; write it, or mark the row with MDV 1")
    placed = measures & (marked | empty) & (not require_output)
    noted = ~measures & ~empty & (value != 0)
    passed_over = {
        "measurements marked by MDV 1": int((measures & marked & ~placed).sum()),
        "rows without dose or measurement": int((evid == 2).sum()),
        "values on rows of doses, resets and other events": int(noted.sum()),
    }
    measures = measures & (~marked | placed)
    return Records(
        codes=codes,
        value=np.where(marked & placed, np.nan, value),
        below=below & measures & ~(marked & placed),
        measures=measures,
        gives=gives,
        resets=(evid == 3) | (evid == 4),
        amount=amount,
        rate=filled("RATE"),
        interval=filled("II"),
        additional=filled("ADDL"),
        steady=filled("SS"),
        compartment=filled("CMT"),
        passed_over=passed_over,
    )


_NUMBERS = ("AMT", "EVID", "MDV", "CMT", "RATE", "ADDL", "II", "SS", "DVID", "OCC", "LLOQ", "BLQ")


def _refuse(rules: list[_Rule], fault: Faults) -> None:
    for rule in rules:
        if rule.name in fault.headers and (at := first(rule.broken)) is not None:
            raise fault(rule.name, at, rule.sentence.format(fault.shown(rule.name, at)))


def _limits(fault: Faults, given: dict[str, Floats]) -> tuple[Floats, Flags]:
    """Measurements, of those below a limit the limit, and which they are."""
    cells = fault.cells["DV"]
    signed = np.array([isinstance(cell, str) and cell.lstrip().startswith("<") for cell in cells], dtype=bool)
    if signed.any():
        bare = cells.astype(object).where(~signed, cells.astype(str).str.strip().str.removeprefix("<"))
        plain = Faults(fault.where, fault.headers, {**fault.cells, "DV": bare}, fault.rows)
        value = numbers("DV", plain)
    else:
        value = numbers("DV", fault)
    limit, flag = given.get("LLOQ", np.full(len(value), np.nan)), given.get("BLQ", np.zeros(len(value)))
    _refuse(
        [
            _Rule(
                "BLQ",
                ~np.isnan(flag) & (flag != 0) & (flag != 1),
                "'{}' is neither 0 nor 1 (below the limit)",
            )
        ],
        fault,
    )
    # without a column that says so, a value below its limit is one
    below = (flag == 1) | signed | (value < limit if "BLQ" not in given else False)
    holds = np.where(below & ~np.isnan(limit), limit, value)
    counts = (given.get("EVID", np.zeros(len(value))) == 0) & (given.get("MDV", np.zeros(len(value))) != 1)
    rules = [
        _Rule(
            "BLQ",
            counts & (flag == 1) & np.isnan(holds),
            "the value is below a limit, but neither LLOQ nor DV says which",
        ),
        _Rule(
            "DV",
            counts & (flag == 1) & (value > limit),
            "{} lies above the limit of quantification in LLOQ, but BLQ 1 says that it is below",
        ),
        _Rule(
            "DV",
            counts & below & np.isnan(limit) & (value == 0),
            "the value is marked as below a limit, but a limit is not 0; "
            "write the limit in DV or in a column LLOQ",
        ),
        _Rule(
            "DV",
            counts & ~below & (value < limit),
            "{} lies below the limit of quantification in LLOQ; mark it with "
            "BLQ 1, or leave the LLOQ of this row empty",
        ),
    ]
    _refuse(rules, fault)
    return holds, below


def _row_rules(
    fault: Faults, given: dict[str, Floats], evid: Floats, gives: Flags, value: Floats
) -> list[_Rule]:
    """What no row may say by itself."""
    blank = np.zeros(len(evid))
    amount, rate, interval, additional, steady, compartment = (
        np.nan_to_num(given.get(name, blank)) for name in ("AMT", "RATE", "II", "ADDL", "SS", "CMT")
    )
    mdv = given.get("MDV", np.full(len(evid), np.nan))
    told = {"RATE": rate, "ADDL": additional, "II": interval, "SS": steady}
    no_dose = "an amount of {} stands on a row that is no dose, EVID"
    rules = [
        _Rule("EVID", np.isnan(given.get("EVID", blank)), "the cell is empty; EVID is 0, 1, 2, 3 or 4"),
        _Rule("EVID", ~np.isin(evid, (0, 1, 2, 3, 4)), "EVID is 0, 1, 2, 3 or 4, not {}"),
        _Rule("MDV", ~np.isnan(mdv) & (mdv != 0) & (mdv != 1), "MDV is 0 or 1, not {}"),
        _Rule("AMT", amount < 0, "the amount {} is negative, which a dose cannot be"),
        *(
            _Rule("AMT", (evid == kind) & (amount > 0), f"{no_dose} {kind}; use EVID {to}")
            for kind, to in ((0, 1), (2, 1), (3, 4))
        ),
        _Rule(
            "RATE",
            (rate == -1) | (rate == -2),
            "RATE {} asks for a rate or duration that is estimated, which this model does not have; "
            "write the rate of the infusion, or 0 for a bolus (zero-order absorption takes RATE -2)",
        ),
        _Rule("RATE", rate < 0, "RATE {} is negative; write the rate of the infusion, or 0 for a bolus"),
        _Rule(
            "AMT",
            gives & (amount <= 0) & (steady > 0) & (rate > 0),
            "an endless infusion at steady state (no amount) "
            "cannot be read; write a long infusion with its amount",
        ),
        _Rule("AMT", gives & (amount <= 0), "the dose has no amount"),
        *(
            _Rule(name, ~gives & (told[name] != 0), f"{name} {{}} stands on a row that gives no dose")
            for name in told
        ),
        _Rule(
            "MDV",
            (evid > 0) & (mdv == 0) & ~np.isnan(value),
            "MDV 0 says that DV was measured, but the row is a dose or other event; write the measurement in a row of "
            "its own, or set MDV to 1",
        ),
        _Rule("SS", ~np.isin(steady, (0, 1, 2)), "SS is 0, 1 or 2, not {}"),
        _Rule("ADDL", (additional < 0) | (additional % 1 != 0), "ADDL {} is no number of doses"),
        _Rule("ADDL", additional > MOST_ADDITIONAL, f"ADDL {{}} is more than {MOST_ADDITIONAL} doses"),
        _Rule("II", interval < 0, "the interval {} is negative"),
        _Rule("ADDL", (additional > 0) & (interval <= 0), "ADDL {} needs II, the interval between the doses"),
        _Rule("SS", (steady > 0) & (interval <= 0), "SS {} needs II, the interval between the doses"),
        _Rule(
            "II",
            (interval > 0) & (additional <= 0) & (steady <= 0),
            "II {} needs ADDL or SS to say what is repeated",
        ),
        _Rule("CMT", (compartment < 0) | (compartment % 1 != 0), "CMT {} is no number of a compartment"),
        *(
            _Rule(name, given.get(name, blank) % 1 > 0, f"{name} {{}} is no whole number")
            for name in ("DVID", "OCC")
        ),
    ]
    if "AMT" not in given and gives.any():
        raise InputError(
            f"{fault.where} has doses, but no column 'AMT'; say which it is, columns={{'AMT': '...'}}."
        )
    return rules


def check_order(
    fault: Faults,
    records: Records,
    time: Floats,
    labels: list[str],
    allow_before_dose: bool,
    takes_doses: bool,
) -> None:
    """Refuse patients who come back, times that go back, and measurements before anything was given."""
    codes = records.codes
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
    back = same & (np.diff(time, prepend=0.0) < 0) & ~records.resets
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
    early = records.measures & (place <= dosed[codes])
    if (at := first(early)) is not None:
        if dosed[codes[at]] == len(codes):
            raise fault("ID", at, f"patient '{labels[codes[at]]}' is measured but was given no dose")
        name = "DV" if "DV" in fault.headers else "ID"
        raise fault(
            name,
            at,
            f"patient '{labels[codes[at]]}' is measured before the first dose; set MDV to 1 for this row, "
            "or allow it (allow_before_dose=True) if the model predicts what is there then",
        )


def _seen_before(values: NDArray[np.intp]) -> Flags:
    seen = np.ones(len(values), dtype=bool)
    seen[np.unique(values, return_index=True)[1]] = False
    return seen


def check_doses(fault: Faults, records: Records, duration: Floats) -> None:
    """Refuse an infusion at steady state that lasts longer than its interval."""
    long = records.gives & (records.steady > 0) & (duration > records.interval * (1 + 1e-12))
    if (at := first(long)) is not None:
        raise fault(
            "II", at, f"the infusion at steady state lasts longer than the interval {fault.shown('II', at)}"
        )


def check_representable(fault: Faults, records: Records, model: Model) -> None:
    """Refuse what the table tells and the model has no place for."""
    gives = records.gives
    history = next(iter(model.histories.values()), None)
    if history is None:
        if (at := first(gives)) is not None:
            raise fault(
                "AMT", at, f"the row is a dose, but model '{model.name}' takes no doses given at times"
            )
        return
    cut = records.resets | (gives & (records.steady == 1))
    place = np.arange(len(gives))
    earliest = np.full(int(records.codes.max()) + 1, len(gives))
    np.minimum.at(earliest, records.codes[gives], place[gives])
    forgets = cut & (place > earliest[records.codes])
    reset = "EVID" if "EVID" in fault.headers and records.resets[forgets].any() else "SS"
    lacking = {
        "duration": _Rule("RATE", gives & (records.rate > 0), "an infusion"),
        "interval": _Rule("SS", gives & (records.steady > 0), "a steady state"),
        "until": _Rule(reset, forgets & (records.resets | (reset == "SS")), "a reset of earlier doses"),
    }
    for column, rule in lacking.items():
        if column not in history.columns and (at := first(rule.broken)) is not None:
            raise fault(
                rule.name,
                at,
                f"{rule.sentence} needs a model whose doses tell their {column}, which "
                f"'{model.name}' does not",
            )
    if "compartment" in history.columns:
        _refuse(_routes(records), fault)
    outputs = {"dvid", "output"} & model.inputs.keys()
    for name, which, takes, what in (
        ("CMT", gives, "compartment" in history.columns, "doses go into compartment"),
        ("CMT", records.measures, bool(outputs), "measurements are of compartment"),
        ("DVID", records.measures, bool(outputs), "measurements are of output"),
    ):
        if name not in fault.headers or takes or not which.any():
            continue
        said = np.array(texts(fault.cells[name]))
        usual = said[which][0]
        if (at := first(which & (said != usual))) is not None:
            raise fault(
                name,
                at,
                f"{what} {said[at]} here and {usual} before, but model '{model.name}' knows only one; "
                "keep one kind, or take a model with several",
            )


def _routes(records: Records) -> list[_Rule]:
    """What a model of two ways in cannot be told: another way, or an infusion that is to be absorbed."""
    way, infused = records.compartment, records.gives & (records.rate > 0)
    return [
        _Rule(
            "CMT", records.gives & (way > 2), "CMT {} is no way in; it is 1 to be absorbed, 2 into the centre"
        ),
        _Rule(
            "RATE",
            infused & (way != 2),
            "an infusion that is to be absorbed is not modelled; for one into a vein write CMT 2, for a dose by mouth "
            "RATE 0",
        ),
    ]
