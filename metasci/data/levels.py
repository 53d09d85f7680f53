"""Levels above the task: the laboratory, study or heat of each task, as a column says that is constant within it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from metasci.data.cards import Card
from metasci.errors import InputError

__all__ = ["group_numbers", "groups_of", "known_groups"]


def groups_of(dataset: xr.Dataset, card: Card, level: str) -> list[str]:
    """The group of every task, empty where the data do not say.

    Parameters
    ----------
    dataset : xarray.Dataset
    card : Card
    level : str
        Name or header of a column.

    Raises
    ------
    InputError
        If there is no such column, or it varies within a task.
    """
    name = card.column(level).name
    dropped = {part.strip() for part in str(dataset.attrs.get("dropped", "")).split(",")}
    if name in dropped or (name in dataset and dataset[name].dims != ("task",)):
        raise InputError(
            f"'{level}' cannot be a level of '{card.name}': it varies within a task; make tasks of one {level} each."
        )
    if name not in dataset:
        return [""] * int(dataset.sizes["task"])
    values = np.asarray(dataset[name].values)
    if values.dtype.kind == "f":  # a category's number
        return ["" if np.isnan(value) else f"{value:.12g}" for value in values]
    return [str(value).strip() for value in values]


def known_groups(
    dataset: xr.Dataset, card: Card, levels: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """The groups of each level: those that are known, then those that the data add, in their order.

    Examples
    --------
    >>> from metasci.data.cards import Column
    >>> card = Card("c", columns=(Column("lab", "lab", "note"), Column("y", "y", "output", "1")))
    >>> data = xr.Dataset(coords={"task": ["a", "b", "c"], "lab": ("task", ["north", "", "south"])})
    >>> known_groups(data, card, {"lab": ("south",)})
    {'lab': ('south', 'north')}
    """
    return {
        level: tuple(dict.fromkeys([*known, *filter(None, groups_of(dataset, card, level))]))
        for level, known in levels.items()
    }


def group_numbers(
    dataset: xr.Dataset, card: Card, levels: Mapping[str, Sequence[str]]
) -> NDArray[np.float64]:
    """The place of each task's group among the known ones and those that the data add, (task, level); NaN if unsaid.

    Examples
    --------
    >>> from metasci.data.cards import Column
    >>> card = Card("c", columns=(Column("lab", "lab", "note"), Column("y", "y", "output", "1")))
    >>> data = xr.Dataset(coords={"task": ["a", "b", "c"], "lab": ("task", ["north", "", "south"])})
    >>> group_numbers(data, card, {"lab": ("south",)}).ravel().tolist()
    [1.0, nan, 0.0]
    """
    numbers = np.full((int(dataset.sizes["task"]), len(levels)), np.nan)
    for at, (level, known) in enumerate(known_groups(dataset, card, levels).items()):
        place = {group: float(number) for number, group in enumerate(known)}
        numbers[:, at] = [place.get(group, np.nan) for group in groups_of(dataset, card, level)]
    return numbers
