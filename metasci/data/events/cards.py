"""Event tables whose headers a card explains: which is which, what texts stand for, what is told of whole patients."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import xarray as xr

from metasci.data.cards import Card
from metasci.data.events.cells import read_cells, texts
from metasci.data.events.read import read_events
from metasci.errors import InputError

if TYPE_CHECKING:
    from metasci.model import Model

__all__ = ["described"]

_GIVEN = " > 0"
_HEADER = re.compile(r"^(?P<header>[^\[\]]+?)\s*(\[(?P<unit>[^\[\]]*)\])?$")


def described(
    source: str | Path | pd.DataFrame, model: Model, card: Card | None, options: Mapping[str, Any]
) -> tuple[xr.Dataset, Card]:
    """The Dataset of an event table and the card it has from then on.

    Parameters
    ----------
    source : path or DataFrame
    model : Model
    card : Card, optional
        Its `events` name headers; those that the table does not have are not looked for.
    options : mapping
        Of `read_events`, which go before what the card says.
    """
    if card is None:
        return read_events(source, model, **options)
    where = str(options.get("where", source if not isinstance(source, pd.DataFrame) else "table"))
    checksum = ""
    if not isinstance(source, pd.DataFrame):
        source, _, checksum = read_cells(source)
    frame = _coded(source, card, where)
    columns, units = _named(card, [str(header) for header in frame.columns])
    dataset, made = read_events(
        frame,
        model,
        columns={**columns, **dict(options.get("columns") or {})},
        units={**units, **dict(options.get("units") or {})},
        where=where,
        **{name: value for name, value in options.items() if name not in ("columns", "units", "where")},
    )
    mine = {column.header for column in card.columns}
    renamed = [column for column in made.with_role("note") if column.header in mine]
    made = replace(made, columns=tuple(column for column in made.columns if column not in renamed))
    dataset = dataset.drop_vars([column.name for column in renamed], errors="ignore")
    dataset = _with_notes(dataset, frame, card, columns.get("ID", "ID"))
    told: dict[str, Any] = {
        "name": card.name,
        "title": card.title,
        "source": card.source,
        "licence": card.licence,
    }
    simulated = str(card.simulated).lower()
    dataset = dataset.assign_attrs(**told, checksum=checksum, rows=len(frame), simulated=simulated)
    own = replace(
        made, **told, description=card.description, traps=card.traps, protocol=card.protocol, events=card.events,
        model=model.name, minimum_rows=card.minimum_rows, simulated=card.simulated,
        tasks=card.tasks, rows=card.rows, sha256=card.sha256,
        columns=(*made.columns, *_notes(dataset, card, made)),
    )  # fmt: skip
    return dataset, own


def _named(card: Card, headers: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Headers and units by name, of those columns that the table has."""
    columns, units = {}, {}
    for name, text in card.events.items():
        if text.endswith(_GIVEN):
            if text in headers:
                columns[name] = text
            continue
        found = _HEADER.match(text)
        if found is None:
            raise InputError(f"the card of '{card.name}' names the header '{text}', which cannot be read.")
        if found["header"] in headers:
            columns[name] = found["header"]
            if found["unit"]:
                units[name] = found["unit"]
    return columns, units


def _coded(frame: pd.DataFrame, card: Card, where: str) -> pd.DataFrame:
    """The table with numbers for the texts of its categories."""
    frame = frame.copy()
    for column in card.columns:
        if not column.codes or column.header not in frame:
            continue
        written = texts(frame[column.header])
        for at, text in enumerate(written):
            if text and text not in column.codes:
                known = ", ".join(column.codes)
                raise InputError(
                    f"{where}, column '{column.header}', row {frame.index[at]}: '{text}' is none of {known}."
                )
        frame[column.header] = [str(column.codes[text]) if text else "" for text in written]
    for text in card.events.values():  # such as a steady state wherever an interval is given
        header = text.removesuffix(_GIVEN)
        if text.endswith(_GIVEN) and header in frame:
            frame[text] = ["1" if cell not in ("", "0") else "0" for cell in texts(frame[header])]
    return frame


def _with_notes(dataset: xr.Dataset, frame: pd.DataFrame, card: Card, identity: str) -> xr.Dataset:
    """The Dataset with what notes say of whole tasks, for grouping."""
    if identity not in frame:
        return dataset
    names = pd.Series(texts(frame[identity]), index=frame.index)
    for column in (*card.with_role("task"), *card.with_role("note")):
        if column.header not in frame or column.name in dataset.variables:
            continue
        said = pd.Series(texts(frame[column.header]), index=frame.index).groupby(names)
        if int(said.nunique().max()) == 1:
            first = said.first()
            labels = [str(name) for name in dataset["task"].values]
            dataset = dataset.assign_coords(
                {
                    column.name: (
                        "task",
                        first.reindex(labels).to_numpy().astype(str),
                        {"long_name": column.description} if column.description else {},
                    )
                }
            )
    return dataset


def _notes(dataset: xr.Dataset, card: Card, made: Card) -> list[Any]:
    known = {column.name for column in made.columns}
    headers = {column.header for column in made.columns}
    return [
        column
        for column in (*card.with_role("task"), *card.with_role("note"))
        if column.name in dataset.coords and column.name not in known and column.header not in headers
    ]
