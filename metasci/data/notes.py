"""What a reader of data has to mind before calibrating to them: how they were read, and what they repeat."""

from __future__ import annotations

import json

import xarray as xr

from metasci.data.cards import Card
from metasci.data.copies import copies, which_tasks

__all__ = ["notes_of"]


def notes_of(dataset: xr.Dataset, card: Card) -> tuple[str, ...]:
    """One sentence each."""
    try:
        reading = json.loads(dataset.attrs.get("reading", "[]"))
    except (TypeError, ValueError):  # a Dataset of the user's own, who means something else by it
        reading = []
    notes = [f"{text}." for text in reading if isinstance(text, str)] if isinstance(reading, list) else []
    if (again := copies(dataset, card)).any():
        count = int(again.sum())
        notes.append(
            f"{count} measurement{'s' * (count > 1)} repeat{'s' * (count == 1)} another of the same task to the digit, "
            f"under the same conditions ({which_tasks(dataset, again)}): if rows were copied, leave the copies out."
        )
    return tuple(notes)
