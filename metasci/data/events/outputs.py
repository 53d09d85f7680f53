"""Which of several outputs a measurement is of: told by DVID, by a column for each output, or by CMT.

However a table says it, its rows are brought into one form before they are read: DV, and DVID with a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from metasci.data.events.cells import Cells, texts
from metasci.data.events.columns import bare_header
from metasci.data.readings import ends_of
from metasci.errors import InputError
from metasci.units import convert

if TYPE_CHECKING:
    from metasci.model import Model

__all__ = ["with_numbered_outputs"]

_NUMBER = ("DVID", "YTYPE", "OUTPUT")


def with_numbered_outputs(cells: Cells, model: Model, columns: Mapping[str, str], where: str) -> Cells:
    """The cells with DV and a DVID of numbers, for a model with several outputs; else as they are.

    Parameters
    ----------
    cells : Cells
    model : Model
    columns : mapping of str to str
        What the user says of headers.
    where : str
        What errors call the table.
    """
    if not model.outputs:
        return cells
    frame = cells.frame
    bare = {bare_header(str(header))[0].upper(): header for header in frame.columns}
    named = columns.get("DVID", columns.get("output", ""))
    number = next((bare[name] for name in (named.upper(), *_NUMBER) if name and name in bare), None)
    if number is not None:
        return replace(cells, frame=_by_name(frame, number, model))
    wide = {each.name: bare[each.name.upper()] for each in model.outputs if each.name.upper() in bare}
    if wide and "DV" not in bare:
        return replace(cells, frame=_melted(frame, wide, model, where))
    if "CMT" in bare:
        return replace(cells, frame=_by_compartment(frame, bare["CMT"], model))
    outputs = ", ".join(each.name for each in model.outputs)
    raise InputError(
        f"{where} does not say which of the outputs ({outputs}) a measurement is of; give a column DVID (1, 2, … or "
        "their names), a column for each of them in the place of DV, or CMT."
    )


def _by_name(frame: pd.DataFrame, header: Any, model: Model) -> pd.DataFrame:
    """Numbers in the place of the outputs' names."""
    numbers = {each.name.lower(): str(place) for place, each in enumerate(model.outputs, 1)}
    numbered_cells = [numbers.get(cell.lower(), cell) for cell in texts(frame[header])]
    return _with(frame, {header: numbered_cells})


def _by_compartment(frame: pd.DataFrame, header: Any, model: Model) -> pd.DataFrame:
    """A column DVID from the compartments in which was measured, by number or name."""
    known = {each.name.lower(): str(place) for place, each in enumerate(model.outputs, 1)}
    for place, each in enumerate(model.outputs, 1):
        known |= {each.state.lower(): str(place), str(each.compartment): str(place)} if each.state else {}
    cells = [cell.lower().removesuffix(".0") for cell in texts(frame[header])]
    return _with(frame, {"DVID": [known.get(cell, "") for cell in cells]})


def _melted(frame: pd.DataFrame, wide: Mapping[str, Any], model: Model, where: str) -> pd.DataFrame:
    """A row for each measurement; doses keep their own."""
    rest = frame.drop(columns=list(wide.values()))
    bare = {bare_header(str(header))[0].upper(): header for header in rest.columns}
    columns = {name: texts(frame[header]) for name, header in wide.items()}
    doses = _gives(rest, bare)
    place, value, output = [], [], []
    for row in range(len(frame)):
        measured = [
            (number, columns[each.name][row], each)
            for number, each in enumerate(model.outputs, 1)
            if each.name in wide and columns[each.name][row]
        ]
        if doses[row] or not measured:
            place.append(row)
            value.append(measured[0][1] if measured else "")
            output.append("")
            continue
        for number, cell, each in measured:
            place.append(row)
            value.append(_in_unit(cell, wide[each.name], each.unit, where))
            output.append(str(number))
    unit = model.output.unit
    long = rest.iloc[place]
    return _with(long, {"DV" if unit == "1" else f"DV [{unit}]": value, "DVID": output})


def _gives(frame: pd.DataFrame, bare: Mapping[str, Any]) -> list[bool]:
    """Which rows are doses or other events."""
    if "EVID" in bare:
        return [cell not in ("", "0", "0.0") for cell in texts(frame[bare["EVID"]])]
    if "AMT" not in bare:
        return [False] * len(frame)
    amount = pd.to_numeric(pd.Series(texts(frame[bare["AMT"]])), errors="coerce").fillna(0.0)
    return [bool(value != 0.0) for value in amount]


def _in_unit(cell: str, header: Any, unit: str, where: str) -> str:
    """A cell in the output's unit; the sign of a limit stays, and so does what is no number."""
    written = bare_header(str(header))[1]
    if not written or written == unit:
        return cell
    low, high, side = ends_of(cell) or (cell, cell, 0.0)
    try:
        numbers = np.array([float(low), float(high)])
    except ValueError:
        return cell
    first, last = (
        repr(float(value)) for value in convert(numbers, written, unit, f"{where}, column '{header}'")
    )
    sign = {-1.0: "<", 1.0: ">"}.get(side, "")
    return f"{sign}{first}" if low == high else f"{first}..{last}"


def _with(frame: pd.DataFrame, columns: Mapping[Any, list[str]]) -> pd.DataFrame:
    """A frame with columns in the place of its own, or behind them; rows keep their numbers."""
    extended = frame.copy()
    for header, values in columns.items():
        extended[header] = pd.Series(values, index=extended.index, dtype=object)
    extended.attrs = dict(frame.attrs)
    return extended
