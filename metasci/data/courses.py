"""Histories of several courses, such as the furnace cycles of several specimens of one steel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metasci.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from metasci.model import History

__all__ = ["put_in_order"]


def put_in_order(
    arrays: dict[str, NDArray[Any]],
    name: str,
    history: History,
    measured: NDArray[np.bool_],
    tasks: Sequence[str],
) -> None:
    """Put the amounts of a history in order of time within each course, padding last; the order of equals stays.

    Parameters
    ----------
    arrays : dict of array
        A model's inputs (task, observation) and history (task, 1, event); the latter are replaced.
    name : str
        Of the history.
    history : History
    there : array of bool, (task, observation)
        Where there is an observation.
    tasks : sequence of str
        Their names, for errors.

    Raises
    ------
    InputError
        If a course is no whole number, or a measurement is of one of which no amount is known.
    """
    keys = [name, f"{name}_time", *(f"{name}_{column}" for column in history.columns)]
    padding = arrays[name][:, 0] <= 0.0
    course = np.where(padding, np.inf, arrays[f"{name}_{history.course}"][:, 0])
    asked = arrays[history.course]
    _check_numbers(course, np.isfinite(course), history.course, tasks)
    _check_numbers(asked, measured, history.course, tasks)
    order = np.lexsort((arrays[f"{name}_time"][:, 0], course), axis=1)[:, None, :]
    for key in keys:
        arrays[key] = np.take_along_axis(arrays[key], order, 2)
    known = (asked[:, :, None] == course[:, None, :]).any(2)
    for task, place in np.argwhere(measured & ~known)[:1]:
        raise InputError(
            f"task '{tasks[task]}': a measurement is of {history.course} {asked[task, place]:g}, of which no "
            f"{name} is told."
        )


def _check_numbers(
    courses: NDArray[np.float64], measured: NDArray[np.bool_], name: str, tasks: Sequence[str]
) -> None:
    """Refuse 1.2: models take the nearest whole number for the course, and two would become one."""
    for task, place in np.argwhere(measured & (courses != np.round(courses)))[:1]:
        raise InputError(f"task '{tasks[task]}': {name} {courses[task, place]:g} is no whole number.")
