"""The one door: a path, a DataFrame, a Dataset or tasks become tasks, checked and converted by the same code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from metasci.data.cards import Card
from metasci.data.opening import opened
from metasci.data.tasks import TaskSet

if TYPE_CHECKING:
    import xarray as xr

    from metasci.model import Model

__all__ = ["read"]


def read(
    data: str | Path | TaskSet | pd.DataFrame | xr.Dataset,
    card: Card | None = None,
    model: Model | None = None,
    require_output: bool = True,
    where: str = "",
) -> TaskSet:
    """Tasks from whatever holds them, by a card, in the model's units.

    Parameters
    ----------
    data : path, DataFrame, Dataset or TaskSet
        A table of text, a workbook, a table in JSON, a NetCDF file (``.nc``); a frame with headers as in a file; a
        Dataset of the form that `TaskSet.dataset` has; or tasks, which are read by their own card. A table of events,
        as NONMEM reads them, is known by its headers where the model takes doses, or the card names them.
    card : Card, optional
        What the columns mean. A Dataset and a NetCDF file may hold their own.
    model : Model, optional
        Its units are those of the result, and the limits of its inputs are checked. Without it tables come in the
        card's units and Datasets in their own.
    require_output : bool
        Whether every row of a table must hold a measurement (or, with histories, an amount given).
    where : str
        What errors call the data.

    Raises
    ------
    InputError
        At the first thing that does not fit: one sentence.

    Examples
    --------
    >>> from metasci.data.cards import Column
    >>> card = Card("decay", columns=(Column("time", "time", "input", "h"), Column("y", "activity", "output", "Bq")))
    >>> tasks = read(pd.DataFrame({"Time (min)": [0, 30], "activity/kBq": [9.0, ">8.0"]}), card)
    >>> tasks.dataset["time"].values, tasks.dataset["activity"].values, tasks.dataset["activity_above"].values
    (array([[0. , 0.5]]), array([[9000., 8000.]]), array([[0., 1.]]))
    """
    return TaskSet(*opened(data, card, model, require_output, where))
