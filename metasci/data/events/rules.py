"""What the rows of an event table may not say: one rule after the other, each with its sentence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from metasci.data.checks import Faults
from metasci.data.events.cells import first
from metasci.data.events.table import Flags, Floats, Table

__all__ = ["Rule", "refuse", "rules_of_limits", "rules_of_rows"]

MOST_ADDITIONAL = 100_000
"""More doses than a life has hours: a slip, not a regimen."""


@dataclass(frozen=True)
class Rule:
    """What must not be: in which column, where it is so, and what to say then; ``{}`` is the cell."""

    name: str
    broken: Flags
    sentence: str


def refuse(rules: Iterable[Rule], fault: Faults) -> None:
    """Raise the sentence of the first rule that a row breaks; a column that the table lacks breaks none."""
    for rule in rules:
        if rule.name in fault.headers and (at := first(rule.broken)) is not None:
            raise fault(rule.name, at, rule.sentence.format(fault.shown(rule.name, at)))


def rules_of_limits(
    value: Floats, limit: Floats, holds: Floats, below: Flags, flag: Floats, counts: Flags
) -> list[Rule]:
    """What measurements below a limit may not say."""
    return [
        Rule(
            "BLQ",
            counts & (flag == 1) & np.isnan(holds),
            "the value is below a limit, but neither LLOQ nor DV says which",
        ),
        Rule(
            "DV",
            counts & (flag == 1) & (value > limit),
            "{} lies above the limit of quantification in LLOQ, but BLQ 1 says that it is below",
        ),
        Rule(
            "DV",
            counts & below & np.isnan(limit) & (value == 0),
            "the value is marked as below a limit, but a limit is not 0; "
            "write the limit in DV or in a column LLOQ",
        ),
        Rule(
            "DV",
            counts & ~below & (value < limit),
            "{} lies below the limit of quantification in LLOQ; mark it with "
            "BLQ 1, or leave the LLOQ of this row empty",
        ),
    ]


def rules_of_rows(
    table: Table, rate: Floats, evid: Floats, gives: Flags, endless: Flags, value: Floats
) -> list[Rule]:
    """What no row may say by itself."""
    amount, lasting, interval, additional, steady, compartment, mdv = (
        table[name] for name in ("AMT", "DUR", "II", "ADDL", "SS", "CMT", "MDV")
    )
    columns = {"RATE": rate, "DUR": lasting, "ADDL": additional, "II": interval, "SS": steady}
    no_dose = "an amount of {} stands on a row that is no dose, EVID"
    both = (rate > 0) & (lasting > 0) & ~np.isclose(amount, rate * lasting, rtol=1e-6, atol=0.0)
    return [
        Rule("EVID", np.isnan(evid), "the cell is empty; EVID is 0, 1, 2, 3 or 4"),
        Rule("EVID", ~np.isin(evid, (0, 1, 2, 3, 4)), "EVID is 0, 1, 2, 3 or 4, not {}"),
        Rule("MDV", ~np.isnan(mdv) & (mdv != 0) & (mdv != 1), "MDV is 0 or 1, not {}"),
        Rule("AMT", amount < 0, "the amount {} is negative, which a dose cannot be"),
        *(
            Rule("AMT", (evid == kind) & (amount > 0), f"{no_dose} {kind}; use EVID {to}")
            for kind, to in ((0, 1), (2, 1), (3, 4))
        ),
        Rule(
            "RATE",
            (rate == -1) | (rate == -2),
            "RATE {} asks for a rate or duration that is estimated, which this model does not have; "
            "write the rate of the infusion, or 0 for a bolus (zero-order absorption takes RATE -2)",
        ),
        Rule("RATE", rate < 0, "RATE {} is negative; write the rate of the infusion, or 0 for a bolus"),
        Rule("DUR", lasting < 0, "the duration {} is negative; write that of the infusion, or 0 for a bolus"),
        Rule("DUR", both, "the duration {} is not the amount over the rate; leave one of them out"),
        Rule("AMT", gives & (amount <= 0) & ~endless, "the dose has no amount"),
        Rule(
            "II",
            endless & (interval > 0),
            "the interval {} stands on an endless infusion (no amount, SS), which has none; write 0",
        ),
        *(
            Rule(name, ~gives & (columns[name] != 0), f"{name} {{}} stands on a row that gives no dose")
            for name in columns
        ),
        Rule(
            "MDV",
            (evid > 0) & (mdv == 0) & ~np.isnan(value),
            "MDV 0 says that DV was measured, but the row is a dose or other event; write the measurement in a row of "
            "its own, or set MDV to 1",
        ),
        Rule("SS", ~np.isin(steady, (0, 1, 2)), "SS is 0, 1 or 2, not {}"),
        Rule("ADDL", (additional < 0) | (additional % 1 != 0), "ADDL {} is no number of doses"),
        Rule("ADDL", additional > MOST_ADDITIONAL, f"ADDL {{}} is more than {MOST_ADDITIONAL} doses"),
        Rule("II", interval < 0, "the interval {} is negative"),
        Rule("ADDL", (additional > 0) & (interval <= 0), "ADDL {} needs II, the interval between the doses"),
        Rule(
            "SS", (steady > 0) & (interval <= 0) & ~endless, "SS {} needs II, the interval between the doses"
        ),
        Rule(
            "II",
            (interval > 0) & (additional <= 0) & (steady <= 0),
            "II {} needs ADDL or SS to say what is repeated",
        ),
        Rule("CMT", (compartment < 0) | (compartment % 1 != 0), "CMT {} is no number of a compartment"),
        *(Rule(name, table[name] % 1 > 0, f"{name} {{}} is no whole number") for name in ("DVID", "OCC")),
    ]
