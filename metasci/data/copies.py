"""Measurements that are written down more than once: ten copies of a number tell no more than the number."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from metasci.data.arrays import any_alike, limit_names, present, width
from metasci.data.cards import NAME, Card

__all__ = ["copies", "counted_once", "which_tasks", "without"]

_MOST_NAMED = 3  # tasks that a sentence names; the others are counted


def copies(dataset: xr.Dataset, card: Card) -> NDArray[np.bool_]:
    """Which measurements repeat an earlier one of their task to the digit, under the same conditions,
    (task, observation).
    """
    output = dataset.variables[card.output.name].values
    measured = present(dataset, card) & ~np.isnan(output)
    task, place = np.nonzero(measured)
    # what a row is called is no condition
    inputs = [column.name for column in card.with_role("input") if column.kind != NAME]
    names = (*inputs, card.output.name, *(name for name in limit_names(card) if name in dataset))
    rows = {"task": task} | {name: dataset.variables[name].values[task, place] for name in names}
    repeated = np.zeros(measured.shape, dtype=bool)
    if any_alike(list(rows.values())):
        repeated[task, place] = pd.DataFrame(rows).duplicated().to_numpy()
    return repeated


def counted_once(dataset: xr.Dataset, card: Card) -> xr.Dataset:
    """The Dataset without copies, which says so among what is told of its reading.

    Readings that repeat each other to the digit are one to a calibration, whether rows were copied or an instrument has
    shown the same number again: of an error that both share, as rounding is one, a second look tells nothing.
    """
    again = copies(dataset, card)
    if not again.any():
        return dataset
    kept = without(dataset, card, again)
    count = int(again.sum())
    sentence = (
        f"{count} measurement{'s' * (count > 1)} repeat{'s' * (count == 1)} another of the same task to the digit, "
        f"under the same conditions ({which_tasks(dataset, again)}), and count{'s' * (count == 1)} once"
    )
    try:
        reading = list(json.loads(dataset.attrs.get("reading", "[]")))
    except (TypeError, ValueError):  # a Dataset of the user's own, who means something else by it
        reading = []
    return kept.assign_attrs(reading=json.dumps([*reading, sentence]))


def without(dataset: xr.Dataset, card: Card, gone: NDArray[np.bool_]) -> xr.Dataset:
    """The Dataset without some measurements, (task, observation), and no wider than what is left."""
    order = np.argsort(gone, axis=1, kind="stable")
    empty = np.take_along_axis(gone, order, axis=1)
    changed: dict[str, Any] = {
        str(name): (
            variable.dims,
            np.where(empty, np.nan, np.take_along_axis(variable.values, order, axis=1)),
            variable.attrs,
        )
        for name, variable in dataset.data_vars.items()
        if variable.dims == ("task", "observation")
    }
    kept = dataset.assign(changed)
    return kept.isel(observation=slice(max(1, width(present(kept, card)))))


def which_tasks(dataset: xr.Dataset, again: NDArray[np.bool_]) -> str:
    """The tasks that hold copies, in words."""
    tasks = [str(name) for name in dataset["task"].values[np.flatnonzero(again.any(axis=1))]]
    more = len(tasks) - _MOST_NAMED
    named = ", ".join(tasks[:_MOST_NAMED]) + f" and {more} more" * (more > 0)
    return f"task{'s' * (len(tasks) > 1)} {named}"
