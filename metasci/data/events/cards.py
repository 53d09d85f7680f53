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
from metasci.data.events.columns import has_headers_of
from metasci.data.events.read import OPTIONS, EventReader
from metasci.errors import InputError

if TYPE_CHECKING:
    from metasci.model import Model

__all__ = ["described"]

_GIVEN = " > 0"
_HEADER = re.compile(r"^(?P<header>[^\[\]]+?)\s*(\[(?P<unit>[^\[\]]*)\])?$")
_TRUTH = {"yes": True, "no": False}


def described(
    source: str | Path | pd.DataFrame, model: Model, card: Card | None, options: Mapping[str, Any]
) -> tuple[xr.Dataset, Card]:
    """The Dataset of an event table and the card it has from then on.

    Parameters
    ----------
    source : path or DataFrame
    model : Model
    card : Card, optional
        Its `events` name headers, of which those that the table does not have are not looked for, and say how a table
        with these headers is read: ``carried``, ``molar_mass``, ``dose_rows_measure``, ``allow_before_dose``.
    options : mapping
        Of `EventReader`, which go before what the card says.
    """
    if card is None:
        return EventReader(model, **options).read(source)
    where = str(options.get("where", source if not isinstance(source, pd.DataFrame) else "table"))
    cells = read_cells(source, where)
    frame = _coded(cells.frame, card, where)
    headers = [str(header) for header in frame.columns]
    columns, units = _named(card, headers)
    own_form = _options(card) if has_headers_of(card, headers) else {}
    explained = tuple(column.header for column in card.columns)
    reader = EventReader(model, columns, units, where=where, explained=explained, **own_form)
    reader = replace(
        reader,
        **{
            **options,
            "columns": {**columns, **dict(options.get("columns") or {})},
            "units": {**units, **dict(options.get("units") or {})},
            "where": where,
        },
    )
    dataset, events_card = reader.read(frame)
    mine = {column.header for column in card.columns}
    renamed = [column for column in events_card.with_role("note") if column.header in mine]
    events_card = replace(
        events_card, columns=tuple(column for column in events_card.columns if column not in renamed)
    )
    dataset = dataset.drop_vars([column.name for column in renamed], errors="ignore")
    dataset = _with_notes(dataset, frame, card, columns.get("ID", "ID"))
    about: dict[str, Any] = {key: getattr(card, key) for key in ("name", "title", "source", "licence")}
    simulated = str(card.simulated).lower()
    dataset = dataset.assign_attrs(**about, checksum=cells.checksum, rows=len(frame), simulated=simulated)
    kept = (
        "description",
        "traps",
        "protocol",
        "events",
        "minimum_rows",
        "simulated",
        "tasks",
        "rows",
        "sha256",
    )
    about |= {key: getattr(card, key) for key in kept}
    return dataset, replace(
        events_card,
        **about,
        model=model.name,
        columns=(*events_card.columns, *_notes(dataset, card, events_card)),
    )


def _options(card: Card) -> dict[str, Any]:
    """What the card says of how a table is read, beside the names of its columns."""
    options: dict[str, Any] = {name: card.events[name] for name in OPTIONS if name in card.events}
    for name in ("dose_rows_measure", "allow_before_dose"):
        if name in options:
            if str(options[name]).lower() not in _TRUTH:
                raise InputError(
                    f"the card of '{card.name}' says {name} = '{options[name]}'; write yes or no."
                )
            options[name] = _TRUTH[str(options[name]).lower()]
    return options


def _named(card: Card, headers: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Headers and units by name, of those columns that the table has."""
    columns, units = {}, {}
    for name, text in card.events.items():
        if name in OPTIONS:
            continue
        if text.endswith(_GIVEN):
            if text in headers:
                columns[name] = text
            continue
        header = _HEADER.match(text)
        if header is None:
            raise InputError(f"the card of '{card.name}' names the header '{text}', which cannot be read.")
        if header["header"] in headers:
            columns[name] = header["header"]
            if header["unit"]:
                units[name] = header["unit"]
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
    for name, text in card.events.items():  # such as a steady state wherever an interval is given
        header = str(text).removesuffix(_GIVEN)
        if name not in OPTIONS and text.endswith(_GIVEN) and header in frame:
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
        by_patient = pd.Series(texts(frame[column.header]), index=frame.index).groupby(names)
        if int(by_patient.nunique().max()) == 1:
            first = by_patient.first()
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


def _notes(dataset: xr.Dataset, card: Card, events_card: Card) -> list[Any]:
    known = {column.name for column in events_card.columns}
    headers = {column.header for column in events_card.columns}
    return [
        column
        for column in (*card.with_role("task"), *card.with_role("note"))
        if column.name in dataset.coords and column.name not in known and column.header not in headers
    ]
