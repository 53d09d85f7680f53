"""What the tasks of a table are called: as a column says, as the card's columns say together, or by a structure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metasci.data.cards import Card
from metasci.data.checks import Faults
from metasci.data.kinds import kind_named
from metasci.units import convert, same_dimension

__all__ = ["families_of", "labels_of", "perhaps_several"]


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


def perhaps_several(
    card: Card,
    texts: Mapping[str, NDArray[Any]],
    numbers: Mapping[str, NDArray[np.float64]],
    units: Mapping[str, str],
    fault: Faults,
) -> list[str]:
    """What is to be said of a table that names no task, where it looks as if it held several, one below the other.

    Conditions that begin again, two rows of them, tell it; and of a table in which nothing but time or a number of
    cycles varies, one that goes back to smaller ones.
    """
    columns = card.with_role("input")
    named = "task" in texts or any(card.column(header).name in fault.headers for header in card.task)
    if named or card.histories or not columns or any(column.kind or column.codes for column in columns):
        return []
    names = [column.name for column in columns]
    rows = np.stack([numbers[name] for name in names], 1)
    at = _again(rows)
    varying = [place for place in range(len(names)) if len(np.unique(rows[:, place])) > 1]
    if at is None and len(varying) == 1 and _runs_on(units[names[varying[0]]]):
        at = _back(rows[:, varying[0]])
    if at is None:
        return []
    said = " and ".join(
        f"{name} {fault.shown(name, at)}" for place, name in enumerate(names) if place in varying
    )
    return [
        f"the table has no column 'task' and is read as one task, but its conditions begin again in row "
        f"{fault.rows[at]} ({said}): if it holds several, such as specimens, name each in a column 'task'"
    ]


def _again(rows: NDArray[np.float64]) -> int | None:
    """The first row from which on two rows repeat the first two, with others between."""
    if len(rows) < 4 or (rows[0] == rows[1]).all():
        return None
    same = (rows[2:-1] == rows[0]).all(1) & (rows[3:] == rows[1]).all(1)
    return int(np.argmax(same)) + 2 if same.any() else None


def _back(values: NDArray[np.float64]) -> int | None:
    """The first row at which rising values fall back to rise again, at least two of them on both sides."""
    falls = np.flatnonzero(np.diff(values) < 0) + 1
    ends = [0, *falls.tolist(), len(values)]
    return int(falls[0]) if len(falls) and min(np.diff(ends)) > 1 else None


def _runs_on(unit: str) -> bool:
    return same_dimension(unit, "s") or same_dimension(unit, "cycle")
