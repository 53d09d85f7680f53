"""A calibration as a notebook shows it: its table with intervals, and its warnings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metasci.markup import captioned, notes, table
from metasci.words import number, pretty_unit, words

if TYPE_CHECKING:
    from metasci.fits.base import Fit

__all__ = ["fit_html"]

_PAIRS = {"lower": "90 % interval", "prior_lower": "of the prior"}


def fit_html(fit: Fit) -> str:
    """The rows of `Fit.table`, each interval in one cell."""
    frame = fit.table()
    names = [str(name) for name in frame.columns if not str(name).endswith("upper")]
    if len(fit.tasks) == 1:
        names = [name for name in names if name != "task"]
    rows = [[_cell(name, row) for name in names] for row in frame.to_dict("records")]
    header = [_PAIRS.get(name, words(name)) for name in names]
    title = f"{', '.join(fit.batch.names[:3])}{' and others' if len(fit.batch) > 3 else ''}"
    text = f"{fit.prior.model.name}, calibrated with the prior '{fit.prior.name}'"
    return captioned(title, text, table(header, rows), notes(f"warning: {each}" for each in fit.warnings))


def _cell(name: str, row: dict[Any, Any]) -> str:
    value = row[name]
    if name.endswith("lower"):
        return f"{number(value)} to {number(row[name.removesuffix('lower') + 'upper'])}"
    if name == "unit":
        return pretty_unit(value)
    return words(value) if isinstance(value, str) else number(value)
