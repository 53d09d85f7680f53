"""From a table to a tidy frame: columns known by name, numbers in the right units, every row sound.

`read_table` takes a CSV file, `tidy` a frame; both give a frame with one column for each name in the
card, in the unit of the model (or else of the card), with `task` in front. Its index names the rows:
lines of the file, or the labels of the frame that was given. Nothing is guessed or repaired: what does
not fit is an `InputError` of one sentence with table, column and row.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metasci.data.cards import UNKNOWN, Card, Column
from metasci.data.cells import bytes_of, table_of
from metasci.data.checks import Faults, check_amounts, check_limits, check_rows, check_tasks, first_of_copies
from metasci.errors import InputError
from metasci.units import convert, same_dimension, unfit, unit

if TYPE_CHECKING:
    from metasci.model import Model

__all__ = ["read_table", "target_units", "tidy"]

_QUANTITIES = ("input", "output", "covariate", "history", "event")
_WITH_UNIT = re.compile(r"^(?P<name>[^\[\]]+?)\s*\[(?P<unit>[^\[\]]*)\]$")
_EMPTY = {"", "na", "n/a", "nan", "<na>", "none", "null"}
_TASK = Column("task", "task", "task")


@dataclass(frozen=True)
class _Given:
    """A column of the table: what it is, where it stands, and the unit its header states."""

    column: Column
    position: int
    header: str
    unit: str


def read_table(
    path: str | Path, card: Card, model: Model | None = None, require_output: bool = True
) -> pd.DataFrame:
    """Read a CSV file (UTF-8, commas between cells, points in numbers; may be gzipped) by its card.

    Also a table in JSON; see `metasci.data.cells.table_of`.

    Headers are those of the card, or a name with its unit, ``time [h]``. A measurement of which is only known that it
    lies below a limit is written ``<0.1``. Tasks are named by a column
    ``task``, else by the card's task columns, else the whole file is one task with the file's name.

    Parameters
    ----------
    path : path
        The file.
    card : Card
        What the columns mean.
    model : Model, optional
        Its units are those of the result, and the limits of its inputs are checked.
    require_output : bool
        Whether every row must hold a measurement (or, with histories, an amount given).

    Returns
    -------
    DataFrame
        Columns by name; ``attrs`` holds ``units``, ``missing_covariates``, ``checksum`` and ``rows`` (as read).

    Raises
    ------
    InputError
        At the first thing that does not fit.
    """
    content = bytes_of(path)
    cells = _with_files_beside(table_of(content, path), card, Path(path).parent)
    table = tidy(cells, card, model, where=str(path), require_output=require_output, task=Path(path).stem)
    table.attrs["checksum"] = hashlib.sha256(content).hexdigest()
    return table


def _with_files_beside(cells: pd.DataFrame, card: Card, folder: Path) -> pd.DataFrame:
    """The cells, in which the name of a crystal's file that lies beside the table leads there."""
    for column in card.columns:
        for header in {column.header, column.name} & set(cells.columns) if column.kind == "crystal" else ():
            cells = cells.assign(**{header: [_beside(folder, _text(cell)) for cell in cells[header]]})
    return cells


def _beside(folder: Path, text: str) -> str:
    named = text.lower().endswith(".cif")
    return str(folder / text) if named and (folder / text).is_file() else text


def tidy(
    frame: pd.DataFrame,
    card: Card,
    model: Model | None = None,
    where: str = "table",
    require_output: bool = True,
    task: str = "task",
) -> pd.DataFrame:
    """Check and convert a frame of texts or numbers, as `read_table` does with a file.

    Units may also stand in ``frame.attrs["units"]``, by header. `task` names the one task of a table that
    names none.
    """
    if not len(frame.columns):
        raise InputError(f"{where} is empty.")
    if not len(frame):
        raise InputError(f"{where} has a header but no rows.")
    given = _resolve(
        [str(header).strip() for header in frame.columns], card, where, frame.attrs.get("units", {})
    )
    units = target_units(card, model)
    required = _required(card, model, require_output, where)
    for name in required:
        if name not in given:
            raise InputError(f"{where} has no column '{name}'; write it as '{_spelling(card.column(name))}'.")
    cells = {name: frame.iloc[:, column.position] for name, column in given.items()}
    fault = Faults(where, {name: column.header for name, column in given.items()}, cells, frame.index)

    numbers: dict[str, NDArray[np.float64]] = {}
    structures: dict[str, list[str]] = {}
    below = np.zeros(len(frame), dtype=bool)
    for column in card.columns:
        if column.role not in _QUANTITIES:
            continue
        if column.name not in given:
            numbers[column.name] = np.full(len(frame), column.codes.get(UNKNOWN, np.nan))
            continue
        found = given[column.name]
        if column.kind:
            numbers[column.name], structures[column.name] = _numbered(
                cells[column.name], column, partial(fault, column.name)
            )
            continue
        read = _coded(cells[column.name], column, partial(fault, column.name))
        if column.role == "output":
            read, below = _censored(read)
        values = _numbers(read, partial(fault, column.name))
        if column.limit is not None:
            at_limit = values <= column.limit
            below, values = below | at_limit, np.where(at_limit, column.limit, values)
        numbers[column.name] = convert(
            values, found.unit, units[column.name], f"{where}, column '{found.header}'"
        )
    for column in card.with_role(
        "event"
    ):  # an input's column may also tell it of the amounts: one for a cycle's number
        told = column.name.removeprefix(f"{column.at}_")
        if column.name not in given and told in card.inputs:
            numbers[column.name] = numbers[told]
    texts = {
        name: np.array([_text(cell) for cell in cells[name]], dtype=object)
        for name, column in given.items()
        if column.column.role not in _QUANTITIES
    }
    texts |= _families(card, texts, numbers, structures)
    labels = _labels(card, texts, numbers, units, fault, task)

    kept = check_rows(card, numbers, texts, fault, require_output)
    if card.without_copies:
        kept &= first_of_copies(card, labels, numbers)
    check_limits(card, model, numbers, units, fault)
    check_amounts(card, numbers, fault)
    notes = {name: values for name, values in texts.items() if name != "task"}
    limits = {f"{card.output.name}_below": below.astype(float)} if below.any() else {}
    table = pd.DataFrame({"task": labels, **numbers, **limits, **notes}, index=frame.index)
    check_tasks(card, model, table, kept, fault)
    table = table[kept]
    missing = [name for name in card.covariates if table[name].isna().any()]
    table.attrs = {"units": units, "missing_covariates": missing, "checksum": "", "rows": len(frame)}
    table.attrs["structures"] = structures
    return table


def target_units(card: Card, model: Model | None) -> dict[str, str]:
    """The unit of every quantity: the model's where it names one, else the card's."""
    units = {column.name: column.unit for column in card.columns if column.role in _QUANTITIES}
    if model is None:
        return units
    named = {
        **model.covariates,
        **{name: item.unit for name, item in model.inputs.items()},
        **{name: item.unit for name, item in model.histories.items()},
        **{
            f"{name}_{key}": told.unit
            for name, item in model.histories.items()
            for key, told in item.columns.items()
        },
        card.output.name: model.output.unit,
    }
    for name in units.keys() & named.keys():
        if not same_dimension(units[name], named[name]):
            raise InputError(
                f"model '{model.name}' wants {name} in '{named[name]}', but the data '{card.name}' have "
                f"it in '{units[name]}'."
            )
        units[name] = named[name]
    return units


def _resolve(headers: Sequence[str], card: Card, where: str, units: Mapping[str, str]) -> dict[str, _Given]:
    """Which column of the table is which, by name."""
    by_header = {column.header: column for column in card.columns}
    by_name = {_TASK.name: _TASK} | {column.name: column for column in card.columns}
    found: dict[str, _Given] = {}
    for position, header in enumerate(headers):
        if not header:
            raise InputError(f"{where}, column {position + 1}: the column has no header.")
        bracket = _WITH_UNIT.match(header)
        if header in by_header:
            column = by_header[header]
            stated = units.get(header, column.unit)
        elif bracket and bracket["name"] in by_name:
            column, stated = by_name[bracket["name"]], bracket["unit"].strip()
        elif header in by_name:
            column = by_name[header]
            stated = units.get(header, "" if column.role in _QUANTITIES else column.unit)
            if not stated and column.role in _QUANTITIES and column.unit != "1":
                raise InputError(
                    f"{where}, column '{header}': the header does not say the unit; "
                    f"write it as '{_spelling(column)}'."
                )
        else:
            known = ", ".join(_spelling(column) for column in card.columns)
            raise InputError(f"{where}, column '{header}': there is no such column; known are {known}.")
        _check_unit(column, stated, f"{where}, column '{header}'")
        if column.name in found:
            first = found[column.name].header
            raise InputError(f"{where}, column '{header}': {column.name} is given twice, also by '{first}'.")
        found[column.name] = _Given(column, position, header, stated or column.unit)
    return found


def _check_unit(column: Column, stated: str, where: str) -> None:
    if column.role not in _QUANTITIES:
        if stated != column.unit:
            raise InputError(f"{where}: this column is not converted; write it as '{_spelling(column)}'.")
        return
    try:
        unit(stated)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    if not same_dimension(stated, column.unit):
        raise InputError(f"{where}: {unfit(column.name, stated, column.unit)}.")


def _spelling(column: Column) -> str:
    """How to write the header of a column."""
    if column.unit in ("", "1") or "[" in column.header:
        return column.header
    return f"{column.name} [{column.unit}]"


def _required(card: Card, model: Model | None, require_output: bool, where: str) -> list[str]:
    known = {column.name for column in card.columns}
    optional = {column.name for column in card.columns if column.optional}
    required = [*card.inputs, *card.histories]
    if model is not None:
        for name in (*model.inputs, *model.histories):
            if name not in known:
                raise InputError(
                    f"{where}: model '{model.name}' needs '{name}', of which the data '{card.name}' know nothing."
                )
            required.append(name)
    if require_output:
        required.append(card.output.name)
    return [name for name in dict.fromkeys(required) if name not in optional]


def _text(cell: Any) -> str:
    """A cell as text; nothing at all is the empty text, and 7.0 is 7."""
    if cell is None or cell is pd.NA or cell is pd.NaT or (isinstance(cell, float) and np.isnan(cell)):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def _numbers(cells: pd.Series[Any], fault: Callable[[int, str], InputError]) -> NDArray[np.float64]:
    """The cells as numbers, NaN where empty."""
    if pd.api.types.is_numeric_dtype(cells.dtype) and not pd.api.types.is_bool_dtype(cells.dtype):
        values = cells.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        values = np.array([_number(cell, at, fault) for at, cell in enumerate(cells)], dtype=np.float64)
    for at in np.flatnonzero(np.isinf(values))[:1]:
        raise fault(int(at), f"'{cells.iloc[at]}' is not a finite number")
    return values


def _coded(cells: pd.Series[Any], column: Column, fault: Callable[[int, str], InputError]) -> pd.Series[Any]:
    """The numbers that stand for a column's texts."""
    if not column.codes:
        return cells
    texts = [_text(cell) for cell in cells]
    for at, text in enumerate(texts):
        if text and text not in column.codes:
            raise fault(at, f"'{text}' is none of {', '.join(column.codes)}")
    unsaid = column.codes.get(UNKNOWN, np.nan)
    return pd.Series([column.codes.get(text, unsaid) for text in texts], index=cells.index, dtype=float)


def _numbered(
    cells: pd.Series[Any], column: Column, fault: Callable[[int, str], InputError]
) -> tuple[NDArray[np.float64], list[str]]:
    """Chemical structures: for each cell the place of its structure in a list of different ones, and that list."""
    from metasci.materials.structures import canonical

    places: dict[str, int] = {}
    numbers = np.full(len(cells), np.nan)
    for at, cell in enumerate(cells):
        text = _text(cell)
        if not text:
            continue
        try:
            structure = canonical(column.kind, text)
        except InputError as error:
            raise fault(at, str(error).removesuffix(".")) from None
        numbers[at] = places.setdefault(structure, len(places))
    return numbers, list(places)


def _censored(cells: pd.Series[Any]) -> tuple[pd.Series[Any], NDArray[np.bool_]]:
    """The cells without the sign of a value below a limit, ``<0.1``, and which have it."""
    below = np.array([isinstance(cell, str) and cell.lstrip().startswith("<") for cell in cells], dtype=bool)
    if not below.any():
        return cells, below
    bare = [
        str(cell).strip().removeprefix("<").strip() if limit else cell
        for cell, limit in zip(cells, below, strict=True)
    ]
    return pd.Series(bare, index=cells.index, dtype=object), below


def _number(cell: Any, at: int, fault: Callable[[int, str], InputError]) -> float:
    text = str(cell).strip() if isinstance(cell, (str, bool)) else _text(cell)
    if text.lower() in _EMPTY:
        return np.nan
    try:
        if "_" in text:  # 1_000 is a number to Python only
            raise ValueError
        return float(cell) if isinstance(cell, (int, float)) and not isinstance(cell, bool) else float(text)
    except (ValueError, OverflowError):
        hint = " (write a point for the decimals)" if re.fullmatch(r"[-+]?\d+,\d+", text) else ""
        raise fault(at, f"'{text}' is not a number{hint}") from None


def _families(
    card: Card,
    texts: Mapping[str, NDArray[Any]],
    numbers: Mapping[str, NDArray[np.float64]],
    structures: Mapping[str, list[str]],
) -> dict[str, NDArray[Any]]:
    """The task columns that the table lacks and that structures say."""
    from metasci.materials.structures import family

    found = {}
    for column in card.with_role("task"):
        if column.of in structures and column.name not in texts and "task" not in texts:
            kind = card.column(column.of).kind
            says = np.array([*(family(kind, text) for text in structures[column.of]), ""], dtype=object)
            found[column.name] = says[np.nan_to_num(numbers[column.of], nan=-1.0).astype(int)]
    return found


def _labels(
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
