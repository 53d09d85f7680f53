"""Tasks as a notebook shows them: each column with its unit, its role and its range."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from metasci.markup import captioned, notes, table
from metasci.words import number, pretty_unit, words

if TYPE_CHECKING:
    from metasci.data.tasks import TaskSet

__all__ = ["tasks_html"]

_ROLES = ("input", "output", "covariate", "history", "event")


def tasks_html(tasks: TaskSet) -> str:
    """A table of the columns, with a row for each quantity."""
    dataset, card = tasks.dataset, tasks.card
    rows = []
    for column in card.columns:
        if column.role not in _ROLES or column.name not in dataset:
            continue
        values = dataset[column.name].values
        if column.kind:
            value_range = (
                f"{len(tasks.structures(column.name))} {'structures' if column.structural else 'sources'}"
            )
        elif column.codes:
            value_range = ", ".join(column.codes)
        elif np.isnan(values).all():
            value_range = "not given"
        else:
            value_range = f"{number(float(np.nanmin(values)))} to {number(float(np.nanmax(values)))}"
        unit = str(dataset[column.name].attrs.get("units", column.unit))
        rows.append([words(column.name), column.role, pretty_unit(unit), value_range, column.description])
    count = int(tasks.counts.sum())
    title = f"{card.title or card.name}: {len(tasks)} task{'s' * (len(tasks) != 1)}, {count} measurements"
    header = ["column", "role", "unit", "range", "meaning"]
    return captioned(title, card.source, table(header, rows), notes(tasks.notes))
