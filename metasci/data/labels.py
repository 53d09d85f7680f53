"""What the tasks of a table are called: as a column says, as the card's columns say together, or by a structure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metasci.data.cards import Card
from metasci.data.checks import Faults
from metasci.data.kinds import kind_named
from metasci.units import convert

__all__ = ["families_of", "labels_of"]


def families_of(
    card: Card,
    texts: Mapping[str, NDArray[Any]],
    numbers: Mapping[str, NDArray[np.float64]],
    structures: Mapping[str, list[str]],
) -> dict[str, NDArray[Any]]:
    """The task columns that the table lacks and that structures say."""
    named = {}
    for column in card.with_role("task"):
        if column.of in structures and column.name not in texts and "task" not in texts:
            family = kind_named(card.column(column.of).kind).family
            says = np.array([*(family(text) for text in structures[column.of]), ""], dtype=object)
            named[column.name] = says[np.nan_to_num(numbers[column.of], nan=-1.0).astype(int)]
    return named


def labels_of(
    card: Card,
    texts: Mapping[str, NDArray[Any]],
    numbers: Mapping[str, NDArray[np.float64]],
    units: Mapping[str, str],
    fault: Faults,
    default: str,
) -> NDArray[Any]:
    """The name of every row's task."""
    if "task" in texts:  # said outright
        parts = [("task", texts["task"])]
    else:
        named_by = [card.column(header) for header in card.task]
        if not any(column.name in texts for column in named_by):
            return np.full(len(fault.rows), default, dtype=object)
        parts = [(column.name, texts[column.name]) for column in named_by if column.name in texts]
        for place, column in enumerate(named_by):
            if column.name in numbers and column.name in fault.headers:
                values = convert(numbers[column.name], units[column.name], column.unit)
                shown = np.array(
                    ["" if np.isnan(value) else f"{value:.12g}" for value in values], dtype=object
                )
                parts.insert(place, (column.name, shown))
    for name, values in parts:
        for at in np.flatnonzero(values == "")[:1]:
            if name in fault.headers:
                raise fault(name, int(at), "the cell is empty, so the task has no name")
    joined = [
        " / ".join(part for part in row if part) for row in zip(*(values for _, values in parts), strict=True)
    ]
    return np.array(joined, dtype=object)
