"""The marks that figures share, so that a band or a measurement looks the same in all of them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import Container
from matplotlib.figure import Figure

from metasci.data.cards import owning_up
from metasci.report.style import GREEN, GREY, INK

__all__ = [
    "draw_band",
    "draw_given",
    "draw_limits",
    "draw_measured",
    "draw_parity",
    "draw_points",
    "draw_shaded",
    "draw_within",
    "headline",
    "legend_below",
    "outer_labels",
    "titled",
]


def titled(text: str, simulated: bool, width: int = 60) -> str:
    """A title that owns up to simulated data, in as many lines as it needs, broken between the parts of a name."""
    parts = text.split(" / ")
    joined = " / ".join(part.replace(" ", "\u00a0") if len(part) < width else part for part in parts)
    return textwrap.fill(owning_up(joined, simulated), width).replace("\u00a0", " ")


def draw_band(
    axes: Axes,
    x: np.ndarray,
    median: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    colour: str,
    name: str,
    dashed: bool = False,
    outlined: bool = False,
) -> None:
    """A median with its band; dashed and fainter for what is only held beside it, outlined where bands overlap."""
    if np.isfinite(lower).any():
        axes.fill_between(x, lower, upper, color=colour, alpha=0.16 if dashed else 0.22, lw=0, label=name)
    if outlined:
        axes.plot(x, np.stack([lower, upper], 1), color=colour, lw=0.8, alpha=0.7)
    style = {"ls": (0, (4, 2.5)), "lw": 1.2} if dashed else {"ls": "-", "lw": 1.7}
    axes.plot(x, median, color=colour, label=name, **style)  # type: ignore[arg-type]


def draw_points(
    axes: Axes, x: np.ndarray, y: np.ndarray, name: str = "measured", hollow: bool = False
) -> None:
    """Measurements, on top of everything; hollow where they were kept back."""
    axes.plot(
        x,
        y,
        "o",
        color="white" if hollow else INK,
        ms=4.8,
        mec=INK if hollow else "white",
        mew=1.0 if hollow else 0.7,
        zorder=5,
        label=name,
        clip_on=False,
    )


def draw_measured(axes: Axes, x: np.ndarray, y: np.ndarray, below: np.ndarray, upper: np.ndarray) -> None:
    """Measurements as what they are: points, limits that they lie below or above, and intervals.

    Where `below` says so a value is a limit. `upper` is the upper end of an interval, infinite above a limit, NaN of a
    number.
    """
    above, between = np.isposinf(upper), np.isfinite(upper)
    plain = ~(below | above | between)
    draw_points(axes, x[plain], y[plain])
    draw_limits(axes, x[below], y[below])
    draw_limits(axes, x[above], y[above], "^", label="above the limit")
    if between.any():
        middle = 0.5 * (y[between] + upper[between])
        reach = upper[between] - middle
        axes.errorbar(
            x[between], middle, reach, fmt="none", ecolor=INK, capsize=3, lw=1.1, label="between the ends"
        )


def draw_limits(
    axes: Axes,
    x: np.ndarray,
    y: np.ndarray,
    marker: str = "v",
    colour: str = INK,
    label: str = "below the limit",
) -> None:
    """Limits below which measurements lie: open triangles that point to where they are."""
    if len(x):
        axes.plot(
            x,
            y,
            marker,
            color="white",
            ms=5.2,
            mec=colour,
            mew=1.0,
            zorder=5,
            label=label,
            clip_on=False,
        )


def draw_given(axes: Axes, begin: np.ndarray, end: np.ndarray, what: str) -> None:
    """Amounts given, along the bottom: a tick for each that is given at once, a bar for one that lasts."""
    low, high = axes.get_xlim()
    shown = (end >= low) & (begin <= high)
    lasting = shown & (end > begin)
    at_once = begin[shown & ~lasting]
    along_bottom = axes.get_xaxis_transform()
    if len(at_once):
        axes.plot(
            at_once,
            np.zeros_like(at_once),
            "|",
            color=INK,
            ms=7,
            mew=1.1,
            transform=along_bottom,
            label=f"{what} given",
            clip_on=False,
            zorder=6,
        )
    if lasting.any():
        starts, ends = _joined(begin[lasting].clip(low), end[lasting].clip(max=high))
        axes.hlines(
            np.zeros_like(starts),
            starts,
            ends,
            colors=INK,
            lw=4.5,
            transform=along_bottom,
            label=f"{what} infused",
            clip_on=False,
            zorder=6,
        )


def draw_within(axes: Axes, low: float, high: float) -> None:
    """The range in which the output is to lie, behind everything else."""
    top = high if np.isfinite(high) else axes.get_ylim()[1]
    axes.axhspan(low, top, color=GREEN, alpha=0.13, lw=0, zorder=0, label="target")
    for edge in (low, high):
        if np.isfinite(edge) and edge > 0.0:
            axes.axhline(edge, color=GREEN, lw=0.8, alpha=0.7, zorder=0.5)


def _joined(begin: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spans without overlap: such as follow upon one another, to a thousandth of the whole, become one."""
    order = np.argsort(begin, kind="stable")
    begin, reached = begin[order], np.maximum.accumulate(end[order])
    parted = begin[1:] > reached[:-1] + 1e-3 * (reached[-1] - begin[0])
    return begin[np.r_[True, parted]], reached[np.r_[parted, True]]


def draw_shaded(axes: Axes, x: np.ndarray, y: np.ndarray, colours: Sequence[Any]) -> None:
    """Measurements in the colour of the value at which they were made."""
    axes.scatter(x, y, s=20, c=colours, edgecolors="white", linewidths=0.6, zorder=5)


def headline(figure: Figure, text: str) -> None:
    """A title over several panels, flush left as theirs."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=10, fontweight="bold")


def outer_labels(axes: Sequence[Axes], x: str, y: str) -> None:
    """Labels along the left and the lowest panels only."""
    lowest = {}
    for panel in axes:
        place = panel.get_subplotspec()
        if place is None or place.is_first_col():
            panel.set_ylabel(y)
        lowest[place.colspan.start if place else 0] = panel  # they come row by row
    for panel in lowest.values():
        panel.set_xlabel(x)


def draw_parity(
    axes: Axes,
    measured: np.ndarray,
    predicted: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    colour: str,
    name: str = "",
    below: np.ndarray | None = None,
    up_to: np.ndarray | None = None,
) -> None:
    """Predicted against measured values with intervals, on equal scales with the line of agreement.

    Where `below` says so the measured value is a limit, and the true one lies to the left of it; where `up_to` is a
    number, between the two; where it is infinite, to the right.
    """
    ends = np.concatenate([measured, predicted])
    ends = ends[np.isfinite(ends)]
    low, high = float(ends.min(initial=np.inf)), float(ends.max(initial=-np.inf))
    low, high = (low, high) if len(ends) else (0.0, 1.0)
    margin = 0.08 * (high - low) or 1.0
    line = [low - margin, high + margin]
    axes.plot(line, line, color=GREY, lw=0.9, zorder=1)
    axes.vlines(measured, lower, upper, color=colour, lw=1.0, alpha=0.35)
    under = np.zeros(len(measured), dtype=bool) if below is None else below
    until = np.full(len(measured), np.nan) if up_to is None else up_to
    over = np.isposinf(until)
    known = ~(under | over)
    axes.hlines(predicted, measured, np.where(np.isfinite(until), until, measured), color=colour, lw=1.0)
    axes.plot(
        measured[known],
        predicted[known],
        "o",
        color=colour,
        ms=4.2,
        mec="white",
        mew=0.6,
        label=name or None,
        zorder=4,
    )
    draw_limits(axes, measured[under], predicted[under], "<", colour)
    draw_limits(axes, measured[over], predicted[over], ">", colour, "above the limit")
    axes.set_xlim(*line)
    axes.set_ylim(*line)
    axes.set_aspect("equal")


def _depth(drawn: Any) -> float:
    """How far in front something is drawn; of a container, such as bars of intervals, its parts."""
    parts = drawn.get_children() if isinstance(drawn, Container) else [drawn]
    return float(max(part.get_zorder() for part in parts))


def legend_below(figure: Figure, axes: Axes | Sequence[Axes], columns: int = 3) -> None:
    """One legend for the whole figure, below it and outside of the data; a line and its band are one entry.

    Of several panels, each name is taken from the first that has it.
    """
    entries: dict[str, list[Artist]] = {}
    for place in [axes] if isinstance(axes, Axes) else axes:
        own: dict[str, list[Artist]] = {}
        for handle, name in zip(*place.get_legend_handles_labels(), strict=True):
            own.setdefault(name, []).append(handle)
        entries |= {name: handles for name, handles in own.items() if name not in entries}
    ordered = sorted(entries, key=lambda name: name.startswith("prior alone"))
    handles: list[Any] = [tuple(sorted(entries[name], key=_depth)) for name in ordered]
    columns = 2 if len(ordered) == 4 and columns == 3 else columns  # two rows of two, not three and a rest
    figure.legend(handles, ordered, loc="outside lower center", ncols=columns)
