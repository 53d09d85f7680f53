"""What each row of an event table is: a measurement, a dose, a reset, or nothing but news of a covariate.

Told as NONMEM tells it: by EVID and MDV, or without EVID by what is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metasci.data.events.cells import first, texts
from metasci.data.events.rules import Rule, refuse, rules_of_limits, rules_of_rows
from metasci.data.events.table import Flags, Floats, Table
from metasci.errors import InputError

__all__ = ["ON_OTHER_ROWS", "Records", "records_of"]

ON_OTHER_ROWS = "values on rows of doses, resets and other events"
"""Why a value in DV was passed over: by this name it is counted."""

_NO_FLAG = "'{}' is neither 0 nor 1 (below the limit)"


@dataclass(frozen=True)
class Records:
    """The rows of an event table, each array with one element for each.

    Attributes
    ----------
    codes : array of int
        The patient, by order of appearance.
    value : array
        What was measured, or the limit below or above which it lies, or the lower end of where it lies.
    below, above : array of bool
        Whether the value is a limit below or above which the true one lies.
    upper : array
        Where the true value lies between the value and this number; NaN elsewhere.
    measures, gives, resets : array of bool
        Whether something was measured, given, or set back to nothing. A row that measures and gives does so in this
        order.
    endless : array of bool
        Whether what is given is an infusion since forever, which ends at the row's time.
    amount, rate, duration, interval, additional, steady, compartment : array
        Of what is given; zero where nothing is said.
    modelled : array
        1 where the model says at what rate a dose enters (RATE -1), 2 where it says for how long (RATE -2), 0 where the
        row does, NaN in a table that has neither RATE nor a duration.
    passed_over : dict of str to int
        How many measurements or rows were left out, by reason.
    """

    codes: NDArray[np.intp]
    value: Floats
    below: Flags
    above: Flags
    upper: Floats
    measures: Flags
    gives: Flags
    resets: Flags
    endless: Flags
    amount: Floats
    rate: Floats
    duration: Floats
    interval: Floats
    additional: Floats
    steady: Floats
    compartment: Floats
    modelled: Floats
    passed_over: dict[str, int]

    @property
    def leads(self) -> Flags:
        """Doses that are a patient's first and at steady state: what was before them is known, too."""
        place = np.arange(len(self.codes))
        patients = int(self.codes.max()) + 1 if len(self.codes) else 0
        earliest = np.full(patients, len(place))
        touched = self.gives | self.resets
        np.minimum.at(earliest, self.codes[touched], place[touched])
        return self.gives & ~self.resets & (self.steady > 0) & (place == earliest[self.codes])


def records_of(
    table: Table,
    *,
    require_output: bool,
    dose_rows_measure: bool,
    lasts: str,
    flows: str = "",
    words: Mapping[str, float],
) -> Records:
    """What every row is, after checks of everything that a row says by itself.

    Parameters
    ----------
    table : Table
    require_output : bool
        Whether rows of measurements must hold one; else those without are places where a prediction is wanted.
    dose_rows_measure : bool
        Whether, where neither EVID nor MDV says so, DV on the row of a dose is a measurement before it.
    lasts : str
        The parameter that says how long a dose takes to enter, which RATE -2 asks for.
    flows : str
        The parameter that says at what rate a dose enters, which RATE -1 asks for.
    words : mapping of str to float
        Compartments that have names.
    """
    table = _with_compartments(_with_plain_codes(table), words)
    rate = table["RATE"]
    modelled = np.where(rate == -2, 2.0, np.where(rate == -1, 1.0, 0.0))
    if not {"RATE", "DUR"} & table.fault.headers.keys():
        modelled = np.full(len(rate), np.nan)
    for code, parameter in ((-2, lasts), (-1, flows)):
        if parameter:  # the model says so
            rate = np.where(rate == code, 0.0, rate)
    value, below, above, upper = _limits(table, dose_rows_measure)
    amount, steady, mdv, empty = table["AMT"], table["SS"], table["MDV"], np.isnan(value)
    endless = (amount == 0) & (rate > 0) & (steady > 0)
    if "EVID" in table:
        evid = table["EVID"]
        gives, measures = (evid == 1) | (evid == 4), evid == 0
    else:
        gives = (amount != 0) | endless
        silent = ~gives & empty & (mdv != 0) & require_output
        evid = np.where(gives, 1.0, np.where(silent, 2.0, 0.0))
        measures = (evid == 0) | (gives & ~empty & ("MDV" not in table) & dose_rows_measure)
    if "AMT" not in table and gives.any():
        raise InputError(
            f"{table.fault.where} has doses, but no column 'AMT'; say which it is, columns={{'AMT': '...'}}, or in the "
            "[events] of a card."
        )
    refuse(rules_of_rows(table, rate, evid, gives, endless, value), table.fault)
    if require_output and (at := first(measures & empty & ~(mdv == 1))) is not None:
        raise table.fault("DV", at, "the measurement is missing; write it, or mark the row with MDV 1")
    marked = mdv == 1
    placed = measures & (marked | empty) & (not require_output)
    noted = ~measures & ~empty & (value != 0)
    passed_over = {
        "measurements marked by MDV 1": int((measures & marked & ~placed).sum()),
        "rows without dose or measurement": int((evid == 2).sum()),
        ON_OTHER_ROWS: int(noted.sum()),
    }
    measures = measures & (~marked | placed)
    infused, told = rate > 0, measures & ~(marked & placed)
    return Records(
        codes=table.codes,
        value=np.where(marked & placed, np.nan, value),
        below=below & told,
        above=above & told,
        upper=np.where(told, upper, np.nan),
        measures=measures,
        gives=gives,
        resets=(evid == 3) | (evid == 4),
        endless=endless & gives,
        amount=amount,
        rate=rate,
        duration=np.where(infused, amount / np.where(infused, rate, 1.0), table["DUR"]),
        interval=table["II"],
        additional=table["ADDL"],
        steady=steady,
        compartment=table["CMT"],
        modelled=modelled,
        passed_over=passed_over,
    )


def _with_plain_codes(table: Table) -> Table:
    """rxode2's compound EVID, as nlmixr2data has it, in NONMEM's codes: 101 is a dose into compartment 1.

    The hundreds are the compartment, the last digits 01 a dose and 10 or 20 one at steady state. Tens of thousands mark
    infusions, whose AMT would be a rate: they are refused.
    """
    evid = table["EVID"]
    compound = evid >= 100
    if not compound.any():
        return table
    kind, compartment = np.mod(evid, 100), np.floor(np.mod(evid, 10000) / 100)
    compartments = table["CMT"]
    rules = [
        Rule(
            "EVID",
            compound & (evid >= 10000),
            "EVID {} is rxode2's code of an infusion, whose AMT is a rate; write EVID 1 with the amount in AMT and the "
            "rate in RATE",
        ),
        Rule(
            "EVID",
            compound & (~np.isin(kind, (1, 10, 20)) | (compartment < 1)),
            "EVID is 0, 1, 2, 3 or 4, not {}",
        ),
        Rule(
            "CMT",
            compound & (compartments > 0) & (compartments != compartment),
            "CMT {} is not the compartment that EVID names in its hundreds; leave one of them out",
        ),
    ]
    refuse(rules, table.fault)
    steady = np.where(compound & (kind >= 10), kind / 10, table["SS"])
    values = {
        "EVID": np.where(compound, 1.0, evid),
        "CMT": np.where(compound, compartment, compartments),
        "SS": steady,
    }
    return _with(table, values)


def _with_compartments(table: Table, words: Mapping[str, float]) -> Table:
    """Names of compartments, ``depot`` and ``central``, as numbers; `words` of ``?`` is for any other name."""
    if "CMT" not in table or not np.isnan(table.values["CMT"]).all():
        return table
    cells = [cell.lower() for cell in texts(table.fault.cells["CMT"])]
    return _with(table, {"CMT": np.array([words.get(cell, words["?"]) if cell else 0.0 for cell in cells])})


def _with(table: Table, values: dict[str, Floats]) -> Table:
    return replace(table, values={**table.values, **values})


def _limits(table: Table, dose_rows_measure: bool) -> tuple[Floats, Flags, Flags, Floats]:
    """Measurements, or what is known of them: limits below and above which they lie, and upper ends of intervals.

    Where a flag says so, DV or LLOQ holds the limit: LLOQ if there is one. Monolix, whose flag is CENS, has the limit
    in DV, CENS −1 where the value lies above it, and in LIMIT the other end of an interval: a LIMIT of zero or less
    beside a limit below which a value lies says nothing more.
    """
    value, limit = table["DV"], table["LLOQ"]
    if "DV" not in table:
        none = np.zeros(len(value), dtype=bool)
        return value, none, none, np.full(len(value), np.nan)
    flag = table["BLQ"]
    monolix = str(table.fault.headers.get("BLQ", "")).upper().startswith("CENS")
    odd = ~np.isin(flag, (-1, 0, 1) if monolix else (0, 1))
    words = "'{}' is neither 0, 1 (below the limit) nor -1 (above it)" if monolix else _NO_FLAG
    refuse([Rule("BLQ", odd, words)], table.fault)
    upper, above = table.upper, table.above | (flag == -1)
    if monolix:
        between = (flag == 1) & (limit > 0) & (value > limit)
        upper = np.where(between, value, np.where((flag == -1) & (limit > value), limit, upper))
        value = np.where(between, limit, value)
        flag = np.where(np.isnan(upper), flag, 0.0)
        limit = np.where((flag != 0) & (limit <= 0) & (value > 0), np.nan, limit)
        limit = np.where(np.isnan(upper) & ~above, limit, np.nan)
    above = above & np.isnan(upper)
    # without a column that says so, a value below its limit is one
    under = value < limit if "BLQ" not in table else False
    below = (flag == 1) | table.below | (under & ~above & np.isnan(upper))
    holds = np.where(below & ~np.isnan(limit), limit, value)
    samples = table["EVID"] == 0 if "EVID" in table else (table["AMT"] == 0) | dose_rows_measure
    counts = samples & (table["MDV"] != 1)
    refuse(rules_of_limits(value, limit, holds, below, flag, counts), table.fault)
    return holds, below, above, upper
