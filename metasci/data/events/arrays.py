"""From checked records to labelled arrays: additional doses written out, resets dated, values carried forward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metasci.data.events.records import Flags, Floats, Records

__all__ = [
    "Events",
    "carried_forward",
    "clock",
    "given_events",
    "just_after",
    "order_at_equal_times",
    "packed",
]

AFTER_ZERO = 1e-300
"""A time that is after zero, and nothing else."""
_SAME_TIME = 1e-10


@dataclass(frozen=True)
class Events:
    """Everything that happens to the patients, one element a dose or change, patient by patient in order of time.

    Attributes
    ----------
    codes, row : array of int
        The patient; the row that tells of it.
    values : dict of str to array
        ``amount``, ``time``, ``duration``, ``interval``, ``until``, ``compartment`` and what is carried, NaN where
        nothing is said.
    additional, cut_off, at_measurements : int
        How many doses come from ADDL; how many more were due after a reset or steady state and are thus not given; how
        many measurements are made at the very time of an additional dose.
    """

    codes: NDArray[np.intp]
    row: NDArray[np.intp]
    values: dict[str, Floats]
    additional: int
    cut_off: int
    at_measurements: int


def clock(records: Records, time: Floats) -> tuple[Floats, int]:
    """Times that never go back: where a reset starts time anew, the patient's next part is laid behind the one before.

    It begins one unit of time after the last record. Also tells how often that happens.
    """
    same = np.diff(records.codes, prepend=-1) == 0
    step = np.diff(time, prepend=0.0)
    anew = same & (step < 0) & records.resets
    if not anew.any():
        return time, 0
    moved = pd.Series(np.where(anew, 1.0 - step, 0.0)).groupby(records.codes).cumsum().to_numpy()
    return time + moved, int(anew.sum())


def order_at_equal_times(records: Records, time: Floats) -> tuple[Floats, Floats]:
    """Times of the measurements and of the doses of each row, told apart where rows have the same time.

    A dose, reset or change that is recorded after a measurement of the same time is moved one rounding error up, so
    that the measurement does not see it.
    """
    acts = ~records.measures | records.gives | records.resets  # a row that only tells of a change acts, too
    steps = np.sort(np.concatenate([2 * np.flatnonzero(records.measures), 2 * np.flatnonzero(acts) + 1]))
    row, act = steps // 2, steps % 2 == 1
    joined = np.zeros(len(steps), dtype=bool)
    joined[1:] = (np.diff(records.codes[row]) == 0) & (np.diff(time[row]) == 0)
    crossed = np.cumsum(joined & act & ~np.concatenate([[True], act[:-1]]))
    starts = np.maximum.accumulate(np.where(joined, 0, np.arange(len(steps)))) if len(steps) else crossed
    levels = crossed - crossed[starts]
    moved = just_after(time[row], levels)
    measured, given = time.copy(), time.copy()
    measured[row[~act]] = moved[~act]
    given[row[act]] = moved[act]
    return measured, given


def just_after(time: Floats, levels: NDArray[np.intp]) -> Floats:
    """Times moved up by so many rounding errors.

    Examples
    --------
    >>> just_after(np.array([0.0, 2.0, 2.0]), np.array([1, 1, 0])).tolist()
    [1e-300, 2.0000000000000004, 2.0]
    """
    moved = time
    for level in range(int(levels.max()) if len(levels) else 0):
        up = np.where(moved == 0.0, AFTER_ZERO, np.nextafter(moved, np.inf))
        moved = np.where(levels > level, up, moved)
    return moved


def carried_forward(codes: NDArray[np.intp], values: Floats) -> Floats:
    """The last value known of the same patient."""
    return np.asarray(pd.Series(values).groupby(codes).ffill().to_numpy(), dtype=np.float64)


def given_events(
    records: Records, time: Floats, given_time: Floats, carried: Mapping[str, Floats], duration: Floats
) -> Events:
    """Every dose, additional ones written out, and with `carried` every change of what is carried.

    Parameters
    ----------
    records : Records
    time, given_time : array
        Of every row, and of what it gives or resets.
    carried : mapping of str to array
        What the history is told at every event, in force from each row on.
    duration : array
        Of the infusion of each row; zero for a bolus.
    """
    doses = np.flatnonzero(records.gives)
    repeats = records.additional[doses].astype(np.intp) + 1
    row = np.repeat(doses, repeats)
    rank = np.arange(len(row)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    extra = rank > 0
    at = np.where(extra, time[row] + rank * records.interval[row], given_time[row])
    at, tells = _among_records(records, time, at, row, extra)
    until = _until(records, given_time)[row]
    kept = ~extra | ~(at >= until)
    steady = np.where(~extra & (records.steady[row] > 0), records.interval[row], 0.0)
    named = {
        "amount": records.amount[row],
        "time": at,
        "duration": duration[row],
        "interval": steady,
        "until": until,
        "compartment": np.where(records.compartment[row] > 0, records.compartment[row], np.nan),
        **{name: values[tells] for name, values in carried.items()},
    }
    added = (records.codes[row[kept & extra]], at[kept & extra])
    named = {name: values[kept] for name, values in named.items()}
    row = row[kept]
    if carried:
        changes = np.flatnonzero(_changes(records, carried))
        blank = {"amount": 0.0, "duration": 0.0, "interval": 0.0, "until": np.nan, "compartment": np.nan}
        more = {name: np.full(len(changes), value) for name, value in blank.items()} | {
            "time": given_time[changes]
        }
        more |= {name: values[changes] for name, values in carried.items()}
        named = {name: np.concatenate([values, more[name]]) for name, values in named.items()}
        row = np.concatenate([row, changes])
    order = np.lexsort((row, named["time"], records.codes[row]))
    return Events(
        codes=records.codes[row][order],
        row=row[order],
        values={name: values[order] for name, values in named.items()},
        additional=int((extra & kept).sum()),
        cut_off=int((~kept).sum()),
        at_measurements=int((records.measures & _pairs(records.codes, time).isin(_pairs(*added))).sum()),
    )


def _until(records: Records, given_time: Floats) -> Floats:
    """When what a row gives is forgotten: at the next reset or steady state of the same patient, NaN if never."""
    cuts = np.flatnonzero(records.resets | (records.gives & (records.steady == 1)))
    until = np.full(len(given_time), np.nan)
    if len(cuts):
        place = np.searchsorted(cuts, np.arange(len(until)), side="right")
        following = cuts[np.minimum(place, len(cuts) - 1)]
        there = (place < len(cuts)) & (records.codes[following] == records.codes)
        until[there] = given_time[following[there]]
    return until


def _among_records(
    records: Records, time: Floats, at: Floats, row: NDArray[np.intp], extra: Flags
) -> tuple[Floats, NDArray[np.intp]]:
    """Where additional doses fall among the records.

    A time that differs from that of a record by rounding alone is made equal to it.

    Returns
    -------
    at : array
    tells : array of int
        The last row by then, whose values are in force.
    """
    at, tells = at.copy(), row.copy()
    added = np.flatnonzero(extra)
    patients = records.codes[row[added]]
    for patient in np.unique(patients):
        begin, end = np.searchsorted(records.codes, (patient, patient + 1))
        here = added[slice(*np.searchsorted(patients, (patient, patient + 1)))]
        known, wanted = time[begin:end], at[here]
        tolerance = _SAME_TIME * np.maximum(np.abs(wanted), records.interval[row[here]])
        last = np.searchsorted(known, wanted + tolerance, side="right") - 1
        at[here] = np.where(np.abs(known[last] - wanted) <= tolerance, known[last], wanted)
        tells[here] = begin + last
    return at, tells


def _pairs(codes: NDArray[np.intp], time: Floats) -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays([codes, time])


def _changes(records: Records, carried: Mapping[str, Floats]) -> Flags:
    """Rows without a dose that record something new, or are there to record it."""
    same = np.diff(records.codes, prepend=-1) == 0
    changed = np.zeros(len(same), dtype=bool)
    for values in carried.values():
        changed |= same & (np.diff(values, prepend=np.nan) != 0)
    other = ~records.measures & ~records.gives
    return (changed | other) & ~records.gives


def packed(codes: NDArray[np.intp], count: int, *columns: Floats) -> list[Floats]:
    """Each column as (patient, place), NaN where a patient has fewer than the longest."""
    place = pd.Series(codes).groupby(codes).cumcount().to_numpy()
    shape = (count, int(place.max()) + 1 if len(place) else 0)
    filled = [np.full(shape, np.nan) for _ in columns]
    for array, values in zip(filled, columns, strict=True):
        array[codes, place] = values
    return filled
