"""What a reader of data has to mind before calibrating to them: how they were read, and what they repeat."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import xarray as xr

from metasci.data.arrays import limit_names, present
from metasci.data.cards import Card

__all__ = ["notes_of", "repeated"]

_MOST_NAMED = 3  # tasks that a sentence names


def notes_of(dataset: xr.Dataset, card: Card) -> tuple[str, ...]:
    """One sentence each."""
    try:
        reading = json.loads(dataset.attrs.get("reading", "[]"))
    except (TypeError, ValueError):  # a Dataset of the user's own, who means something else by it
        reading = []
    notes = [f"{text}." for text in reading if isinstance(text, str)] if isinstance(reading, list) else []
    if (copies := repeated(dataset, card)).any():
        tasks = [str(name) for name in dataset["task"].values[np.flatnonzero(copies)]]
        named = ", ".join(tasks[:_MOST_NAMED]) + (
            f" and {len(tasks) - _MOST_NAMED} more" * (len(tasks) > _MOST_NAMED)
        )
        count = int(copies.sum())
        notes.append(
            f"{count} measurement{'s' * (count > 1)} repeat{'s' * (count == 1)} another of the same task to the digit, "
            f"under the same conditions (task{'s' * (len(tasks) > 1)} {named}): if rows were copied, intervals are too "
            "narrow; leave the copies out."
        )
    return tuple(notes)


def repeated(dataset: xr.Dataset, card: Card) -> np.ndarray:
    """How many measurements of each task are exact copies of an earlier one of it, (task,)."""
    output = dataset[card.output.name].values
    task, place = np.nonzero(present(dataset, card) & ~np.isnan(output))
    names = (*card.inputs, card.output.name, *(name for name in limit_names(card) if name in dataset))
    rows = pd.DataFrame({"task": task} | {name: dataset[name].values[task, place] for name in names})
    return np.bincount(task[rows.duplicated().to_numpy()], minlength=dataset.sizes["task"])
