"""What a calibration was given beside its measurements, so that its report can be checked and made again."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import numpy as np

from metasci import __version__
from metasci.report.html import Section, definitions, paragraph, table
from metasci.words import label, number, with_unit, words

if TYPE_CHECKING:
    import xarray as xr

    from metasci.fits.equation import EquationFit

__all__ = ["calibrated_with", "what_was_given"]

_MOST_ROWS = 200  # as of the other tables of a report; the file itself holds all
_DIGITS = 6  # what was typed in is to be read again


def calibrated_with() -> str:
    """The version that calibrates, and the day; ``SOURCE_DATE_EPOCH`` sets the day where pages are to repeat.

    Examples
    --------
    >>> calibrated_with().startswith("metasci 0.1.0, ")
    True
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = float(epoch) if epoch.isdigit() else time.time()
    return f"metasci {__version__}, {time.strftime('%Y-%m-%d', time.gmtime(moment))}"


def what_was_given(calibration: EquationFit) -> list[Section]:
    """A section with what is constant within each task, such as weight or composition, and with all amounts given.

    Parameters
    ----------
    calibration : Calibration
    """
    data = calibration.tasks.dataset
    content = _constants(data) + _amounts(data)
    return [Section("What was given", content)] if content else []


def _constants(data: xr.Dataset) -> str:
    names = [str(name) for name in data.data_vars if data[name].dims == ("task",)]
    if not names:
        return ""
    if data.sizes["task"] == 1:
        return definitions({words(name): _said(data[name], 0, of_unit=True) for name in names})
    header = ["task", *(label(words(name), _unit(data[name])) for name in names)]
    rows = [
        [str(task), *(_said(data[name], place) for name in names)]
        for place, task in enumerate(data["task"].values[:_MOST_ROWS])
    ]
    return table(header, rows, range(1, len(header))) + _left_out(data.sizes["task"] - _MOST_ROWS)


def _amounts(data: xr.Dataset) -> str:
    """One table for each history: when, how much, and what is told of each amount."""
    text = ""
    variables = [str(name) for name in data.data_vars if data[name].dims == ("task", "event")]
    for history in (name for name in variables if f"{name}_time" in variables):
        names = [f"{history}_time", *(each for each in variables if _tells_of(history, each))]
        rows = [
            [
                str(data["task"].values[task]),
                *(number(data[name].values[task, event], _DIGITS) for name in names),
            ]
            for task, event in np.argwhere(np.isfinite(data[history].values))
        ]
        header = ["task", *(label(words(name), _unit(data[name])) for name in names)]
        text += table(header, rows[:_MOST_ROWS], range(1, len(header))) + _left_out(len(rows) - _MOST_ROWS)
    return text


def _tells_of(history: str, name: str) -> bool:
    return name == history or (name.startswith(f"{history}_") and name != f"{history}_time")


def _said(values: xr.DataArray, place: int, of_unit: bool = False) -> str:
    value = float(values.values[place])
    if not np.isfinite(value):
        return "not given"
    return with_unit(number(value, _DIGITS), _unit(values) if of_unit else "1")


def _unit(values: xr.DataArray) -> str:
    return str(values.attrs.get("units", "1"))


def _left_out(count: int) -> str:
    return paragraph(f"{count} further rows are in the file itself.", "note") if count > 0 else ""
