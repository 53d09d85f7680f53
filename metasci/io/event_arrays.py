"""From checked records to labelled arrays: observations and events of every patient, padded with NaN."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from metasci.errors import InputError
from metasci.io.cards import Card
from metasci.io.event_columns import DOSING, Wanted
from metasci.io.event_records import Records

if TYPE_CHECKING:
    from metasci.model import Model

__all__ = ["arrays_of"]

_FIRST = 1e-300  # the first moment after zero


def arrays_of(records: Records, model: Model, wanted: Wanted, where: str) -> tuple[xr.Dataset, Card]:
    """The Dataset and the card of checked records.

    A dose that stands after a sample of the same time is given one rounding error later, so that the sample does not
    see it.
    """
    tasks, output = len(records.labels), model.output.name
    observed = np.flatnonzero(records.observes)
    if not len(observed):
        raise InputError(f"{where}: there is no measurement.")
    variables: dict[str, Any] = {}

    def put(name: str, dims: tuple[str, ...], values: NDArray[Any], unit: str) -> None:
        variables[name] = (dims, values, {"units": unit})

    def pack(codes: NDArray[np.intp], *columns: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        place = pd.Series(codes).groupby(codes).cumcount().to_numpy() if len(codes) else codes
        shape = (tasks, int(place.max()) + 1 if len(codes) else 0)
        packed = [np.full(shape, np.nan) for _ in columns]
        for array, values in zip(packed, columns, strict=True):
            array[codes, place] = values
        return packed

    mine, seen = records.codes[observed], ("task", "observation")
    time, values = pack(mine, records.time[observed], records.output[observed])
    put(wanted.time, seen, time, model.inputs[wanted.time].unit)
    put(output, seen, values, model.output.unit)
    if records.censored[observed].any():
        put(f"{output}_below", seen, pack(mine, records.censored[observed].astype(float))[0], "1")
    constant = {}
    for name, unit in wanted.quantities.items():
        told = _told(records, name, model, wanted, where)
        if told is None:
            continue
        if name not in wanted.carried and _is_constant(records, told):
            constant[name] = unit
            put(name, ("task",), pd.Series(told).groupby(records.codes).first().to_numpy(), unit)
        elif name in model.inputs:
            put(name, seen, pack(mine, told[observed])[0], unit)
        else:  # it may shift a parameter, once and for all: its first value does
            constant[name] = unit
            put(name, ("task",), pd.Series(told).groupby(records.codes).first().to_numpy(), unit)
    if wanted.dose is not None:
        history = model.histories[wanted.dose]
        events = _events(records, wanted)
        codes = events.pop("code").astype(np.intp)
        units = {"": history.unit, "_time": model.inputs[history.at].unit}
        units |= {f"_{name}": column.unit for name, column in history.columns.items()}
        for suffix, unit in units.items():
            put(wanted.dose + suffix, ("task", "event"), pack(codes, events[suffix])[0], unit)
    card = Card.from_model(model, covariates=constant)
    coords = {"task": records.labels}
    attrs = {"name": card.name, "output": output, "title": card.title}
    return xr.Dataset(variables, coords, attrs), card


def _told(
    records: Records, name: str, model: Model, wanted: Wanted, where: str
) -> NDArray[np.float64] | None:
    """What is known of a quantity at every record; refused where the model cannot do without."""
    needed = name in model.inputs
    if name not in records.known:
        if needed:
            raise InputError(
                f"{where} has no column '{name}', which model '{model.name}' needs; say which it is, columns."
            )
        return None
    told = records.known[name]
    lacking = np.isnan(told) & (records.observes | (records.gives if name in wanted.carried else False))
    if needed and lacking.any():
        at = int(np.argmax(lacking))
        label = records.labels[records.codes[at]]
        raise InputError(
            f"{where}: {name} of patient '{label}' is unknown at the first record that needs it; give it there."
        )
    return told


def _is_constant(records: Records, told: NDArray[np.float64]) -> bool:
    grouped = pd.Series(told).groupby(records.codes)
    return bool((grouped.nunique() <= 1).all())


def _events(records: Records, wanted: Wanted) -> dict[str, NDArray[np.float64]]:
    """Doses written out one by one, and changes of what is carried as doses of nothing."""
    values, gives = records.values, records.gives.copy()
    changes = np.zeros_like(gives)
    for name in wanted.carried:
        if name in records.known:
            told = records.known[name]
            before = np.concatenate([[np.nan], told[:-1]])
            before[np.flatnonzero(np.diff(records.codes, prepend=-1) != 0)] = np.nan
            changes |= (told != before) & ~np.isnan(told)
    index = np.flatnonzero(gives | changes)
    more = np.where(gives & (values["ADDL"] > 0.0), values["ADDL"], 0.0)[index].astype(int)
    source = np.repeat(index, 1 + more)
    nth = np.arange(len(source)) - np.repeat(np.cumsum(1 + more) - (1 + more), 1 + more)
    rate = np.nan_to_num(values["RATE"])
    amount = np.where(gives, np.nan_to_num(values["AMT"]), 0.0)
    duration = np.where(gives & (rate > 0.0), amount / np.where(rate > 0.0, rate, 1.0), 0.0)
    steady = gives & (values["SS"] > 0.0)
    interval = np.where(steady, np.nan_to_num(values["II"]), 0.0)
    start = _after_samples(records)[source] + nth * np.nan_to_num(values["II"])[source]
    found = {
        "code": records.codes[source].astype(float),
        "": amount[source],
        "_time": start,
        "_duration": duration[source],
        "_interval": np.where(nth == 0, interval[source], 0.0),
        "_until": _ends(records, source, start),
    }
    for name in wanted.carried:
        if name in records.known:
            found[f"_{name}"] = records.known[name][source]
    order = np.lexsort((start, records.codes[source]))
    missing = {f"_{name}" for name in DOSING} - set(found)
    return {name: column[order] for name, column in found.items()} | {
        name: np.full(len(source), np.nan) for name in missing
    }


def _after_samples(records: Records) -> NDArray[np.float64]:
    """When each dose is given: just after a sample of the same time that stands before it in the table."""
    frame = pd.DataFrame({"code": records.codes, "time": records.time})
    seen = (
        pd.Series(records.observes.astype(float)).groupby([frame["code"], frame["time"]]).cummax().to_numpy()
        > 0.0
    )
    later = np.where(records.time == 0.0, _FIRST, np.nextafter(records.time, np.inf))
    return np.where(seen & records.gives, later, records.time)


def _ends(records: Records, source: NDArray[np.intp], start: NDArray[np.float64]) -> NDArray[np.float64]:
    """When each dose is forgotten: at the patient's next reset or steady state after its own record; NaN for never."""
    forgets = records.resets | (records.gives & (records.values["SS"] == 1.0))
    at = _after_samples(records)
    end = np.full(len(source), np.nan)
    positions = np.flatnonzero(forgets)
    following = np.searchsorted(positions, source, side="right")
    has = following < len(positions)
    which = (
        positions[np.minimum(following, max(len(positions) - 1, 0))]
        if len(positions)
        else np.zeros_like(source)
    )
    same = has & (records.codes[which] == records.codes[source])
    end[same] = at[which][same]
    return end
