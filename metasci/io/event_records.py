"""Records of an event table, after the checks: whose, when, what was given, what was measured, what was known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metasci.io.checks import Faults
from metasci.io.event_cells import first

__all__ = ["Records", "continued"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Records:
    """Checked records, in the order of the table.

    Attributes
    ----------
    labels : array of str, (patient,)
    codes : array of int, (record,)
        Whose it is.
    time : array, (record,)
        In the model's unit; a restart goes on where the patient's last record was.
    values : dict of str to array
        By NONMEM's names.
    known : dict of str to array
        Covariates by the model's names, carried forward.
    gives, observes, resets : array of bool
        Doses; measurements that count; resets. A record may both observe and give: then it observes first.
    censored : array of bool
        Measurements that are limits.
    output : array
        What was measured, or the limit.
    passed_over : dict of str to int
        Records without effect, by reason.
    """

    labels: NDArray[np.str_]
    codes: NDArray[np.intp]
    time: Array
    values: dict[str, Array]
    known: dict[str, Array]
    gives: Flags
    observes: Flags
    resets: Flags
    censored: Flags
    output: Array
    passed_over: dict[str, int]

    @classmethod
    def of(
        cls, labels: NDArray[np.str_], codes: NDArray[np.intp], time: Array, values: dict[str, Array],
        known: Mapping[str, Array], fault: Faults,
    ) -> Records:  # fmt: skip
        """The records of checked columns."""
        kind, measured = values["EVID"], ~np.isnan(values["DV"])
        gives, resets = np.isin(kind, (1.0, 4.0)), np.isin(kind, (3.0, 4.0))
        told = "EVID" in fault.headers or "MDV" in fault.headers
        below_limit = ~np.isnan(values["LLOQ"])
        has_value = measured | (values["BLQ"] == 1.0) & below_limit
        observes = has_value & (kind == 0.0) if told else has_value
        missing = observes & (values["MDV"] == 1.0)
        observes = observes & ~missing
        output, censored = _limits(values, observes, fault)
        quiet = ~(gives | observes | resets)
        passed = {
            "marked as missing (MDV)": int(missing.sum()),
            "neither dose nor measurement": int((quiet & ~missing).sum()),
        }
        carried = {name: _carried(codes, column) for name, column in known.items()}
        return cls(labels, codes, time, values, carried, gives, observes, resets, censored, output, passed)


def continued(codes: NDArray[np.intp], time: Array) -> Array:
    """Times that go on where they start anew."""
    back = np.concatenate([[0.0], np.where(codes[1:] == codes[:-1], np.minimum(np.diff(time), 0.0), 0.0)])
    return time - pd.Series(back).groupby(codes).cumsum().to_numpy()


def _limits(values: Mapping[str, Array], observes: Flags, fault: Faults) -> tuple[Array, Flags]:
    """What was measured with limits in the place of values below them, and where."""
    measured, limit = values["DV"], values["LLOQ"]
    flagged = values["BLQ"] == 1.0
    if "BLQ" in fault.headers:
        censored = flagged
    else:
        censored = measured < limit
    censored = censored & observes
    lacking = censored & np.isnan(limit) & np.isnan(measured)
    if (at := first(lacking)) is not None:
        raise fault("BLQ", at, "below a limit that neither LLOQ nor DV says")
    return np.where(censored & ~np.isnan(limit), limit, measured), censored


def _carried(codes: NDArray[np.intp], column: Array) -> Array:
    """Values with the last known one in the place of what is missing."""
    return np.asarray(pd.Series(column).groupby(codes).ffill().to_numpy(), dtype=np.float64)
