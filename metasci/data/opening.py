"""Whatever holds tasks, opened: a Dataset in the right units, and the card that says what its variables mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import pandas as pd

from metasci.data.cards import Card
from metasci.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from metasci.model import Model

__all__ = ["Labelled", "opened", "with_sums"]


@runtime_checkable
class Labelled(Protocol):
    """Tasks that have been read before, such as a `metasci.data.tasks.TaskSet`."""

    @property
    def dataset(self) -> xr.Dataset:
        """Measurements, conditions and covariates, with units."""

    @property
    def card(self) -> Card:
        """What the variables mean."""

    def __len__(self) -> int:
        """How many tasks there are."""


def opened(
    data: str | Path | Labelled | pd.DataFrame | xr.Dataset,
    card: Card | None = None,
    model: Model | None = None,
    require_output: bool = True,
    where: str = "",
) -> tuple[xr.Dataset, Card]:
    """The Dataset and the card of what `read` gives."""
    import xarray as xr

    if isinstance(data, pd.DataFrame):
        return _of_table(data, card, model, require_output, where or "table")
    if isinstance(data, xr.Dataset):
        return _of_dataset(data, card, where or "the Dataset", model)
    if isinstance(data, Labelled):
        if not len(data):
            raise InputError(f"there is no task to calibrate in the data '{data.card.name}'.")
        return _of_dataset(data.dataset, data.card, where or f"the data '{data.card.name}'", model)
    if isinstance(data, str | Path):
        if str(data).endswith(".nc"):
            from metasci.data.netcdf import read_netcdf

            return _of_dataset(read_netcdf(data), card, where or str(data), model)
        return _of_table(Path(data), card, model, require_output, where or str(data))
    raise InputError(f"data are a path, a DataFrame, a Dataset or a TaskSet, not {type(data).__name__}.")


def _of_table(
    table: Path | pd.DataFrame, card: Card | None, model: Model | None, require_output: bool, where: str
) -> tuple[xr.Dataset, Card]:
    from metasci.data.arrays import assemble
    from metasci.data.cells import bytes_of
    from metasci.data.tables import read_table, tidy

    if card is None:
        raise InputError(f"'{where}' needs a card that says what its columns mean.")
    if isinstance(table, Path):
        bytes_of(table)  # a pipe that never ends is refused before its headers are looked for
    if model is not None and (model.histories or card.events):
        from metasci.data.events.cards import described
        from metasci.data.events.read import headers_of, tells_events

        if tells_events(headers_of(table), card):
            dataset, own_card = described(
                table, model, card, {} if isinstance(table, Path) else {"where": where}
            )
            return with_sums(dataset), own_card
    if isinstance(table, Path):
        return with_sums(assemble(read_table(table, card, model, require_output), card)), card
    return with_sums(assemble(tidy(table, card, model, where, require_output), card)), card


def _of_dataset(
    dataset: xr.Dataset, card: Card | None, where: str, model: Model | None
) -> tuple[xr.Dataset, Card]:
    from metasci.data.arrays import content_sum
    from metasci.data.datasets import check_dataset

    dataset = dataset.copy()
    stored = dataset.attrs.pop("card", None)
    if card is None:
        if stored is None:
            raise InputError(f"{where} has no card; give one that says what its variables mean.")
        try:
            card = Card.from_dict(json.loads(stored), where=f"the card in {where}")
        except (TypeError, json.JSONDecodeError, RecursionError):
            raise InputError(f"the card in {where} is not JSON.") from None
    content = content_sum(dataset)
    checked = check_dataset(dataset, card, where, model)
    # the checksum stays while the values are those that it is of
    checksum = checked.attrs.get("checksum", "") if dataset.attrs.get("content") == content else ""
    if checked is not dataset:
        content = content_sum(checked)
    checked.attrs = {**checked.attrs, "checksum": checksum or content, "content": content}
    return checked, card


def with_sums(dataset: xr.Dataset) -> xr.Dataset:
    """The Dataset with the checksum of its content, which stands for that of a file where there is none."""
    from metasci.data.arrays import content_sum

    content = content_sum(dataset)
    return dataset.assign_attrs(checksum=dataset.attrs.get("checksum") or content, content=content)
