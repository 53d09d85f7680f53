"""From a table to a tidy frame: columns known by name, numbers in the right units, every row sound.

`read_table` takes a file, `tidy` a frame; both give a frame with one column for each name in the card, in the unit of
the model (or else of the card), with `task` in front. Its index names the rows: lines of the file, or the labels of the
frame that was given. Nothing is guessed or repaired: what does not fit is an `InputError` of one sentence with table,
column and row.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metasci.data.cards import Card
from metasci.data.cells import bytes_of, head_of, is_text, table_of, unpacked
from metasci.data.checks import (
    Faults,
    check_amounts,
    check_contents,
    check_limits,
    check_named_classes,
    check_names,
    check_outcomes,
    check_rows,
    check_tasks,
    first_of_copies,
)
from metasci.data.frames import written
from metasci.data.grade_columns import with_contents_of_grades
from metasci.data.headers import QUANTITIES, Given, resolve, spelling
from metasci.data.labels import families_of, labels_of, perhaps_several
from metasci.data.quantities import quantities_of, target_units
from metasci.data.readings import Readings, text_of
from metasci.data.text_tables import check_header
from metasci.errors import InputError
from metasci.regular_files import book_and_sheet, title_of

if TYPE_CHECKING:
    from metasci.model import Model

__all__ = ["measures_nothing", "read_table", "target_units", "tidy"]


def read_table(
    path: str | Path, card: Card, model: Model | None = None, require_output: bool = True
) -> pd.DataFrame:
    """Read a file by its card: a table of text (which may be gzipped), a workbook, or a table in JSON.

    Cells are separated by commas, semicolons or tabs; see `metasci.data.cells.table_of`. Headers are those of the card,
    or a name with its unit, ``time [h]``; see `metasci.data.headers.resolve`. A measurement of which is only known that
    it lies below or above a limit is written ``<0.1`` or ``>65``, one that lies between two numbers ``10..20``. Tasks
    are named by a column ``task``, else by the card's task columns, else the whole file is one task with the file's
    name.

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
        Columns by name; ``attrs`` holds ``units``, ``missing_covariates``, ``checksum`` (of the file), ``rows`` (as
        read) and ``reading``, a list of sentences on how the file was read.

    Raises
    ------
    InputError
        At the first thing that does not fit.
    """
    content = bytes_of(path)
    head = head_of(unpacked(content, path), str(path)) if is_text(path) else None
    if head is not None:
        _columns_of(head, card, model, str(path), require_output)
    cells = _with_files_beside(table_of(content, path), card, Path(path).parent)
    table = tidy(
        cells, card, model, where=str(path), require_output=require_output, task=_printable(title_of(path))
    )
    if not book_and_sheet(path)[1]:  # of a sheet the checksum of the workbook is not that of its data
        table.attrs["checksum"] = hashlib.sha256(content).hexdigest()
    return table


def measures_nothing(table: str | Path | pd.DataFrame, card: Card) -> bool:
    """Whether a table has a column for measurements in which no cell is filled: all is still to be measured."""
    frame = table if isinstance(table, pd.DataFrame) else table_of(bytes_of(table), table)
    stated = frame.attrs.get("units", {})
    headers = [str(header).strip() for header in frame.columns]
    columns = resolve(headers, card, "table", stated if isinstance(stated, Mapping) else {})
    if card.output.name not in columns:
        return False
    return all(text_of(cell) == "" for cell in frame.iloc[:, columns[card.output.name].position])


def _printable(name: str) -> str:
    """A file's name as text: bytes that are no UTF-8, which Python keeps as half characters, are shown as '�'."""
    return os.fsencode(name).decode("utf-8", "replace")


def _with_files_beside(cells: pd.DataFrame, card: Card, folder: Path) -> pd.DataFrame:
    """The cells, in which the name of a crystal's file that lies beside the table leads there."""
    for column in card.columns:
        for header in {column.header, column.name} & set(cells.columns) if column.kind == "crystal" else ():
            cells = cells.assign(**{header: [_beside(folder, text_of(cell)) for cell in cells[header]]})
    return cells


def _beside(folder: Path, text: str) -> str:
    """Where the file of that name lies; a table's text leads nowhere but into its own folder."""
    if not text.lower().endswith(".cif") or len(text) > 255:
        return text
    path = (folder / text).resolve()
    inside = path.is_relative_to(folder.resolve())
    return str(folder / text) if inside and path.is_file() else text


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
    frame, columns = _columns_of(frame, card, model, where, require_output)
    units = target_units(card, model)
    cells = {name: frame.iloc[:, column.position] for name, column in columns.items()}
    check_named_classes(card, model, cells.get(card.output.name, ()))
    written = {card.output.name: model.noise.written} if model is not None and model.noise.written else {}
    headers = {name: column.header for name, column in columns.items()}
    fault = Faults(where, headers, cells, frame.index, written=written)
    quantities = quantities_of(card, columns, cells, units, fault)
    numbers = {name: readings.values for name, readings in quantities.readings.items()}
    texts = {
        name: np.array([text_of(cell) for cell in cells[name]], dtype=object)
        for name, column in columns.items()
        if column.column.role not in QUANTITIES
    }
    texts |= families_of(card, texts, numbers, quantities.structures)
    for name, values in texts.items():
        check_names(name, values, fault)
    labels = labels_of(card, texts, numbers, units, fault, task)

    kept = check_rows(card, numbers, texts, fault, require_output)
    if card.without_copies:
        kept &= first_of_copies(card, labels, numbers)
    check_limits(card, model, numbers, units, fault)
    read = quantities.readings[card.output.name]
    check_outcomes(card, model, numbers, (read.low != read.high) & ~np.isnan(read.low), fault)
    check_contents(card, numbers, units, fault)
    check_amounts(card, numbers, fault)
    notes = {name: values for name, values in texts.items() if name != "task"}
    limits = _limits(card.output.name, quantities.readings[card.output.name])
    table = pd.DataFrame({"task": labels, **numbers, **limits, **notes}, index=frame.index)
    check_tasks(card, model, table, kept, fault)
    table = table[kept]
    missing = [name for name in card.covariates if table[name].isna().any()]
    reading = frame.attrs.get("reading", [])
    table.attrs = {"units": units, "missing_covariates": missing, "checksum": "", "rows": len(frame)}
    table.attrs["structures"] = quantities.structures
    table.attrs["written_units"] = {
        name: column.unit for name, column in columns.items() if column.column.role in QUANTITIES
    }
    several = perhaps_several(card, texts, numbers, units, fault)
    table.attrs["reading"] = [*(reading if isinstance(reading, list) else []), *quantities.notes, *several]
    return table


def _columns_of(
    frame: pd.DataFrame, card: Card, model: Model | None, where: str, require_output: bool
) -> tuple[pd.DataFrame, dict[str, Given]]:
    """The frame with limits in its cells, and what its headers mean; refused where a column is missing."""
    if not len(frame.columns):
        raise InputError(f"{where} is empty.")
    check_header(list(frame.columns), where)
    if not len(frame):
        raise InputError(f"{where} has a header but no rows.")
    frame = with_contents_of_grades(_with_limits_in_cells(frame, card.output.name), card, where)
    stated = frame.attrs.get("units", {})
    columns = resolve(
        [str(header).strip() for header in frame.columns],
        card,
        where,
        stated if isinstance(stated, Mapping) else {},
    )
    for name in _required(card, model, require_output, where):
        if name not in columns:
            raise InputError(f"{where} has no column '{name}'; write it as '{spelling(card.column(name))}'.")
    return frame, columns


def _with_limits_in_cells(frame: pd.DataFrame, output: str) -> pd.DataFrame:
    """The frame, in which limits that `TaskSet.to_frame` tells in columns of their own stand in the cells."""
    extra = [
        name for name in (f"{output}_below", f"{output}_above", f"{output}_upper") if name in frame.columns
    ]
    if not extra or output not in frame.columns:
        return frame
    limits = {name: np.asarray(frame[name], float) for name in extra}
    changed = frame.drop(columns=extra)
    changed[output] = written(np.asarray(frame[output], float), limits, output)
    return changed


def _limits(output: str, readings: Readings) -> dict[str, NDArray[np.float64]]:
    """What is to be told of measurements that are limits or intervals, by the name of its variable."""
    limits = {
        f"{output}_below": readings.below.astype(float),
        f"{output}_above": readings.above.astype(float),
        f"{output}_upper": readings.upper,
    }
    return {name: values for name, values in limits.items() if np.nan_to_num(values).any()}


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
