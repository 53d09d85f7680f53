"""How much of a calibration's predictions is the equation's, and how much is what the equation leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from metasci.words import number, with_unit

if TYPE_CHECKING:
    from metasci.fits.equation import EquationFit

__all__ = ["beside_line", "beside_table"]


def beside_table(fit: EquationFit) -> pd.DataFrame:
    """Of each task with measurements, how far its predictions there lie from its equation's alone.

    Returns
    -------
    DataFrame
        Columns task, size (root mean square, in the output's unit), least, most, and share: of the squares of the
        prediction about its mean, how much the equation leaves unexplained; above one where it explains less than a
        constant, and missing where the prediction does not vary. No rows where the prior knows the equation only.
    """
    rows = []
    if fit.adapted.discrepancy is not None:
        with torch.no_grad():
            alone = fit.problem.predict(fit.adapted.coordinates)
        median = fit.forecast().median
        for task, name in enumerate(fit.batch.names):
            seen = fit.batch.mask[task]
            if not bool(seen.any()):
                continue
            whole = median[task, seen]
            more = whole - alone[task, seen]
            varies = float((whole - whole.mean()).square().sum())
            rows.append(
                {
                    "task": name,
                    "size": float(more.square().mean().sqrt()),
                    "least": float(more.min()),
                    "most": float(more.max()),
                    "share": float(more.square().sum()) / varies if varies > 0.0 else float("nan"),
                }
            )
    return pd.DataFrame(rows, columns=["task", "size", "least", "most", "share"])


def beside_line(row: Mapping[Any, Any], unit: str) -> str:
    """A sentence of a row.

    Examples
    --------
    >>> beside_line({"size": 1.234, "least": -0.5, "most": 2.25, "share": 0.031}, "HRC")
    'beside the equation: 1.2 HRC (root mean square; -0.5 to +2.2), 3.1 % of how the predictions vary'
    >>> beside_line({"size": 2.0, "least": -3.0, "most": 1.0, "share": 61.0}, "HRC")
    'beside the equation: 2 HRC (root mean square; -3 to +1), more than the predictions vary'
    """
    ends = f"{row['least']:+.2g} to {row['most']:+.2g}"
    text = f"beside the equation: {with_unit(number(row['size'], 2), unit)} (root mean square; {ends})"
    if pd.isna(row["share"]):
        return text
    if row["share"] > 1.0:
        return f"{text}, more than the predictions vary"
    return f"{text}, {number(100.0 * row['share'], 2)} % of how the predictions vary"
