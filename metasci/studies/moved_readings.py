"""What studies of wrong readings share: the data, how far readings are moved, intervals over tasks, and the figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metasci.priors.load import load

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DATA", "MOVED", "READINGS", "error_figure", "mean_in_words"]

READINGS = 5
"""Of each task, which calibrate."""
MOVED = (0.0, 3.0, 6.0, 10.0)
"""Standard deviations of the noise by which readings are wrong."""
DATA = {"theophylline": ("subject", 4), "steel_tempering": ("steel", 4)}
"""The column by which tasks are left out, and in how many parts."""


def mean_in_words(off: NDArray[np.float64]) -> str:
    """The mean over tasks with its 90 % interval, by drawing tasks again.

    Examples
    --------
    >>> mean_in_words(np.ones(5))
    '1.00 (1.00 to 1.00)'
    """
    means = off[np.random.default_rng(0).integers(len(off), size=(2000, len(off)))].mean(1)
    low, high = np.quantile(means, (0.05, 0.95))
    return f"{off.mean():.2f} ({low:.2f} to {high:.2f})"


def error_figure(found: dict[str, pd.DataFrame], moved: str) -> Figure:
    """Error by way of calibrating against how far readings are wrong, a panel for each data set.

    Parameters
    ----------
    found : dict of DataFrame
        By data set: a row for each way, a column for each distance.
    moved : str
        What the distance is of, as the axis begins.
    """
    from matplotlib.figure import Figure

    from metasci.report.style import PALETTE, styled

    @styled
    def draw() -> Figure:
        drawing = Figure(figsize=(3.8 * len(found), 3.8), layout="constrained")
        panels = drawing.subplots(1, len(found), squeeze=False)[0]
        styles = [*((colour, "o-") for colour in PALETTE), *((colour, "s--") for colour in PALETTE)]
        for axes, (name, table) in zip(panels, found.items(), strict=True):
            for (colour, style), (way, row) in zip(styles, table.iterrows(), strict=False):
                axes.plot(table.columns, row, style, color=colour, label=way, ms=4)
            axes.set(title=name.replace("_", " "), xlabel=f"{moved} by (sd of the noise)")
            axes.set(ylabel=f"error ({load(name).model.output.unit})", ylim=(0.0, None))
        drawing.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
        return drawing

    return draw()
