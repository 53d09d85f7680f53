"""A user's data for a prior: whatever they are, as tasks in the units of its model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from metasci.catalogue import card as card_of, dataset
from metasci.data.cards import Card
from metasci.data.door import read
from metasci.data.events.read import headers_of, tells_events
from metasci.data.tables import measures_nothing
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.model import Model

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    Data = str | Path | TaskSet | pd.DataFrame | xr.Dataset

__all__ = ["read_for", "tell_events"]


def read_for(model: Model, card: Card, data: Data, *, require_output: bool = True) -> TaskSet:
    """Tasks from a CSV file, a folder with a card, a DataFrame, a Dataset or a TaskSet, in the model's units.

    Parameters
    ----------
    model : Model
    card : Card
        Says what columns and variables mean; a TaskSet has its own, and so has a folder with a `dataset.toml`.
    data : path, DataFrame, Dataset or TaskSet
    require_output : bool
        Whether every row of a table is to be measured; one in which none is may stand for what is still to be measured.

    Raises
    ------
    InputError
        If the data do not make sense, or there are none.
    """
    if _has_card(data):
        data = dataset(Path(str(data)).absolute(), model=model)
    if isinstance(data, TaskSet) and len(data) and data.card is card and data.is_in_units_of(model):
        return data  # these have been read by the same card
    try:
        tasks = read(data, card, model, require_output)
    except InputError:
        if not _is_still_to_be_measured(data, card):
            raise
        tasks = read(data, card, model, require_output=False)
    if not len(tasks):
        raise InputError("there is no task to calibrate in the data.")
    return tasks


def _is_still_to_be_measured(data: Data, card: Card) -> bool:
    """Whether data are a table of conditions and covariates, with an empty column for measurements."""
    import pandas as pd

    table = isinstance(data, pd.DataFrame) or (isinstance(data, str | Path) and Path(data).suffix != ".nc")
    try:
        return table and measures_nothing(data, card)  # type: ignore[arg-type]
    except InputError:  # what was wrong has been said better
        return False


def tell_events(data: Data, model: Model, card: Card) -> bool:
    """Whether data tell of doses at times: a table with columns of NONMEM or the card, or arrays that a model lacks."""
    import xarray as xr

    if _has_card(data):
        return bool(card_of(Path(str(data)).absolute()).events)
    if not isinstance(data, TaskSet | xr.Dataset):
        return tells_events(headers_of(data), card)
    dataset = data.dataset if isinstance(data, TaskSet) else data
    return bool(
        {name for name in dataset.data_vars if "event" in dataset[name].dims} - set(model.event_names)
    )


def _has_card(data: Data) -> bool:
    """Whether data are a folder that says itself what its table means."""
    return isinstance(data, str | Path) and (Path(data) / "dataset.toml").is_file()
