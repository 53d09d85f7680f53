"""From records to histories: additional doses written out, resets dated, what changes told when it changes.

A history is a list of events that hold from their time on. So are values of covariates that the table carries
backward: what stands on a row holds in the interval before it, and is told at the beginning of that interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metasci.data.events.records import Records
from metasci.data.events.table import Flags, Floats

__all__ = [
    "Carried",
    "Events",
    "clock",
    "events_of",
    "filled",
    "just_after",
    "order_at_equal_times",
    "packed",
]

AFTER_ZERO = 1e-300
"""A time that is after zero, and nothing else."""
# times that differ by less, relative to the interval, differ by rounding: additional doses are sums of intervals
_SAME_TIME = 1e-10
_BLANK = {
    "amount": 0.0,
    "duration": 0.0,
    "interval": 0.0,
    "until": np.nan,
    "compartment": np.nan,
    "modelled": 0.0,
}


@dataclass(frozen=True)
class Carried:
    """What the history is told at every event, at every row, and whether it holds before the row or after it."""

    values: Mapping[str, Floats]
    backward: bool


@dataclass(frozen=True)
class Events:
    """Everything that happens to the patients, one element a dose or change, patient by patient in order of time.

    Attributes
    ----------
    codes : array of int
        The patient.
    values : dict of str to array
        ``amount``, ``time``, ``duration``, ``interval``, ``until``, ``compartment``, ``modelled`` and what is carried,
        NaN where nothing is said.
    additional, cut_off, at_measurements : int
        How many doses come from ADDL; how many more were due after a reset or steady state and are thus not given; how
        many measurements are made at the very time of an additional dose.
    """

    codes: NDArray[np.intp]
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
    moved = just_after(time[row], crossed - crossed[starts])
    measured, doses = time.copy(), time.copy()
    measured[row[~act]] = moved[~act]
    doses[row[act]] = moved[act]
    return measured, doses


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


def filled(codes: NDArray[np.intp], values: Floats, backward: bool) -> Floats:
    """Values at every row: the last one known of the same patient, or the next one, and the last where none follows."""
    each = pd.Series(values).groupby(codes)
    if backward:
        each = each.bfill().groupby(codes)
    return np.asarray(each.ffill().to_numpy(), dtype=np.float64)


def events_of(
    records: Records, time: Floats, observed: Floats, given_time: Floats, carried: Carried
) -> Events:
    """Every dose, additional ones written out, and every change of what is carried.

    Parameters
    ----------
    records : Records
    time, observed, given_time : array
        Of every row; of what it measures; of what it gives or resets.
    carried : Carried
    """
    doses = np.flatnonzero(records.gives)
    before = _doses_before(records, time)
    repeats = records.additional[doses].astype(np.intp) + 1 + before[doses]
    row = np.repeat(doses, repeats)
    rank = np.arange(len(row)) - np.repeat(np.cumsum(repeats) - repeats, repeats) - before[row]
    other = rank != 0
    at = np.where(other, time[row] + rank * records.interval[row], given_time[row])
    at = _among_records(records, time, at, row, other)
    spans = _spans(records, time)
    until = _until(records, given_time - spans)[row]
    kept = (rank <= 0) | ~(at >= until)
    steady = np.where((rank == -before[row]) & (records.steady[row] > 0), records.interval[row], 0.0)
    carried_values = {name: values[row] for name, values in carried.values.items()}
    named = {
        "amount": np.where(records.endless, records.rate * spans, records.amount)[row],
        "time": at - spans[row],
        "duration": np.where(records.endless, spans, records.duration)[row],
        "interval": np.where(records.endless[row], spans[row], steady),
        "until": until,
        "compartment": np.where(records.compartment[row] > 0, records.compartment[row], np.nan),
        "modelled": records.modelled[row],
        **carried_values,
    }
    parts = [(row[kept], {name: values[kept] for name, values in named.items()})]
    if carried.values:
        parts.append(_changes(records, observed, given_time, carried))
        parts.append(_back_to(records, time, carried, row[kept & other], at[kept & other]))
    where = np.concatenate([rows for rows, _ in parts])
    values = {name: np.concatenate([part[name] for _, part in parts]) for name in named}
    order = np.lexsort((where, values["time"], records.codes[where]))
    extra = kept & (rank > 0)
    added = _pairs(records.codes[row[extra]], at[extra])
    return Events(
        codes=records.codes[where][order],
        values={name: each[order] for name, each in values.items()},
        additional=int(extra.sum()),
        cut_off=int((~kept).sum()),
        at_measurements=int((records.measures & _pairs(records.codes, time).isin(added)).sum()),
    )


def _doses_before(records: Records, time: Floats) -> NDArray[np.intp]:
    """How many doses before a row have to be written out since a patient was measured before them.

    Only where the patient's first dose is at steady state: it has been given since forever, so that the ones before it
    are known.
    """
    before = np.zeros(len(time), dtype=np.intp)
    for row in np.flatnonzero(records.leads & ~records.endless):
        mine = np.flatnonzero(records.measures[:row] & (records.codes[:row] == records.codes[row]))
        if len(mine):
            before[row] = int(np.floor((time[row] - time[mine[0]]) / records.interval[row])) + 1
    return before


def _spans(records: Records, time: Floats) -> Floats:
    """How long before the row of an endless infusion the last of the infusions begins as which it is written.

    An infusion since forever is one that is repeated without a gap. The last begins before the patient's first record
    where nothing was given earlier, else just before its row, so that nothing else happens in between.
    """
    spans = np.zeros(len(time))
    for row in np.flatnonzero(records.endless):
        earlier = time[:row][(records.codes[:row] == records.codes[row]) & (time[:row] < time[row])]
        if not len(earlier):
            spans[row] = 1.0
        else:
            spans[row] = (
                time[row] - earlier[0] + 1.0 if records.leads[row] else 0.01 * (time[row] - earlier[-1])
            )
    return spans


def _until(records: Records, given_time: Floats) -> Floats:
    """When what a row gives is forgotten: at the next reset or steady state of the same patient, NaN if never."""
    cuts = np.flatnonzero(records.resets | (records.gives & (records.steady == 1)))
    until = np.full(len(given_time), np.nan)
    if len(cuts):
        place = np.searchsorted(cuts, np.arange(len(until)), side="right")
        following = cuts[np.minimum(place, len(cuts) - 1)]
        applies = (place < len(cuts)) & (records.codes[following] == records.codes)
        until[applies] = given_time[following[applies]]
    return until


def _among_records(records: Records, time: Floats, at: Floats, row: NDArray[np.intp], other: Flags) -> Floats:
    """Times of doses without a row of their own, equal to that of a record if they differ from it by rounding alone."""
    at = at.copy()
    added = np.flatnonzero(other)
    patients = records.codes[row[added]]
    for patient in np.unique(patients):
        begin, end = np.searchsorted(records.codes, (patient, patient + 1))
        here = added[slice(*np.searchsorted(patients, (patient, patient + 1)))]
        known, wanted = time[begin:end], at[here]
        tolerance = _SAME_TIME * np.maximum(np.abs(wanted), records.interval[row[here]])
        near = known[np.maximum(np.searchsorted(known, wanted + tolerance, side="right") - 1, 0)]
        at[here] = np.where(np.abs(near - wanted) <= tolerance, near, wanted)
    return at


def _pairs(codes: NDArray[np.intp], time: Floats) -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays([codes, time])


def _changes(
    records: Records, observed: Floats, given_time: Floats, carried: Carried
) -> tuple[NDArray[np.intp], dict[str, Floats]]:
    """Events without a dose, and their rows: where something new holds from then on."""
    same = np.diff(records.codes, prepend=-1) == 0
    if carried.backward:  # what stands on the next row holds from just after this one
        following = np.append(same[1:], False)
        news = {name: np.append(values[1:], np.nan) for name, values in carried.values.items()}
        changed = np.zeros(len(same), dtype=bool)
        for name, values in carried.values.items():
            changed |= following & (news[name] != values)
        rows = np.flatnonzero(changed)
        at = just_after(np.maximum(observed, given_time)[rows], np.ones(len(rows), dtype=np.intp))
        return rows, _without_dose(at, {name: values[rows] for name, values in news.items()})
    changed = np.zeros(len(same), dtype=bool)
    for values in carried.values.values():
        changed |= same & (np.diff(values, prepend=np.nan) != 0)
    # a row that neither measures nor gives is there to tell of a change
    rows = np.flatnonzero((changed | ~records.measures) & ~records.gives)
    return rows, _without_dose(
        given_time[rows], {name: values[rows] for name, values in carried.values.items()}
    )


def _back_to(
    records: Records, time: Floats, carried: Carried, row: NDArray[np.intp], at: Floats
) -> tuple[NDArray[np.intp], dict[str, Floats]]:
    """Events that tell what holds after doses without rows of their own, which come with their row's values."""
    pairs = pd.DataFrame({"code": records.codes, "time": time})
    rows = np.empty(len(row), dtype=np.intp)
    for patient, mine in pairs.groupby("code"):
        here = records.codes[row] == patient
        begin, end = int(mine.index[0]), int(mine.index[-1])
        place = begin + np.searchsorted(mine["time"].to_numpy(), at[here], side="right")
        rows[here] = np.clip(place if carried.backward else place - 1, begin, end)
    news = {name: values[rows] for name, values in carried.values.items()}
    differs = np.zeros(len(row), dtype=bool)
    for name, values in carried.values.items():
        differs |= news[name] != values[row]
    return row[differs], _without_dose(at[differs], {name: values[differs] for name, values in news.items()})


def _without_dose(at: Floats, carried_values: Mapping[str, Floats]) -> dict[str, Floats]:
    blank = {name: np.full(len(at), value) for name, value in _BLANK.items()}
    return {**blank, "time": at, **carried_values}


def packed(codes: NDArray[np.intp], count: int, *columns: Floats) -> list[Floats]:
    """Each column as (patient, place), NaN where a patient has fewer than the longest."""
    place = pd.Series(codes).groupby(codes).cumcount().to_numpy()
    shape = (count, int(place.max()) + 1 if len(place) else 0)
    arrays = [np.full(shape, np.nan) for _ in columns]
    for array, values in zip(arrays, columns, strict=True):
        array[codes, place] = values
    return arrays
