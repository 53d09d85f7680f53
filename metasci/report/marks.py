"""The marks that figures share, so that a band or a measurement looks the same in all of them."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metasci.report.style import GREY, INK

__all__ = ["draw_band", "draw_parity", "draw_points", "legend_below", "titled"]


def titled(text: str, simulated: bool) -> str:
    """A title that owns up to simulated data."""
    return f"{text} (simulated)" if simulated else text


def draw_band(
    axes: Axes,
    x: np.ndarray,
    median: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    colour: str,
    name: str,
    dashed: bool = False,
) -> None:
    """A median with its band; dashed and fainter for what is only held beside it."""
    axes.fill_between(
        x, lower, upper, color=colour, alpha=0.16 if dashed else 0.22, lw=0, label=f"{name}, 90 % band"
    )
    style = {"ls": (0, (4, 2.5)), "lw": 1.2} if dashed else {"ls": "-", "lw": 1.7}
    axes.plot(x, median, color=colour, label=name, **style)  # type: ignore[arg-type]


def draw_points(
    axes: Axes, x: np.ndarray, y: np.ndarray, name: str = "measured", hollow: bool = False
) -> None:
    """Measurements, on top of everything; hollow where they were kept back."""
    axes.plot(
        x, y, "o", color="white" if hollow else INK, ms=4.8, mec=INK if hollow else "white",
        mew=1.0 if hollow else 0.7, zorder=5, label=name, clip_on=False,
    )  # fmt: skip


def draw_parity(
    axes: Axes,
    measured: np.ndarray,
    predicted: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    colour: str,
    name: str = "",
) -> None:
    """Predicted against measured values with intervals, on equal scales with the line of agreement."""
    ends = np.concatenate([measured, predicted])
    low, high = float(ends.min()), float(ends.max())
    margin = 0.08 * (high - low) or 1.0
    line = [low - margin, high + margin]
    axes.plot(line, line, color=GREY, lw=0.9, zorder=1)
    axes.vlines(measured, lower, upper, color=colour, lw=1.0, alpha=0.35)
    axes.plot(
        measured, predicted, "o", color=colour, ms=4.2, mec="white", mew=0.6, label=name or None, zorder=4
    )
    axes.set_xlim(*line)
    axes.set_ylim(*line)
    axes.set_aspect("equal")


def legend_below(figure: Figure, axes: Axes, columns: int = 5) -> None:
    """One legend for the whole figure, below it and outside of the data; the same name stands once."""
    handles, names = axes.get_legend_handles_labels()
    first = {name: handle for handle, name in reversed(list(zip(handles, names, strict=True)))}
    ordered = sorted(first, key=lambda name: (name.startswith("prior"), names.index(name)))
    figure.legend([first[name] for name in ordered], ordered, loc="outside lower center", ncols=columns)
