"""Charts drawn as SVG text, in a few milliseconds and at the width of the browser's window.

The report's figures go through matplotlib, which takes longer than a change in the app may. Colours are the report's
variables, so that charts follow the page in the dark; letters are text, escaped.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
from numpy.typing import NDArray

from metasci.report.panels import Panel, Series, described, plain
from metasci.words import duration, number

__all__ = ["Axes", "Chart", "Mark", "figure_of", "path_of", "ticks_of"]

Array = NDArray[np.float64]

# pixels about a panel: its left side holds numbers, its top the title, its bottom numbers and the axis's name
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 15.0, 24.0, 40.0
_GAP = 14.0  # pixels between two panels that stand beside each other
_TWO_COLUMNS = 620.0  # pixels from which on two panels stand beside each other
_TICKS = (1.0, 10.0, 60.0, 600.0, 3600.0, 36000.0, 360000.0, 3.6e6)


@dataclass(frozen=True)
class Mark:
    """How a series looks: ``curve``, ``prior`` (dashed and grey), ``other`` (a second fit), ``points``, ``below``."""

    series: Series
    look: str


@dataclass(frozen=True)
class Axes:
    """The ends of both axes, and whether they are logarithmic."""

    x: tuple[float, float]
    y: tuple[float, float]
    x_is_log: bool = False
    y_is_log: bool = False


@dataclass(frozen=True)
class Chart:
    """One panel: marks on axes; `under` is what lies under them, as SVG made by a function of the two scales."""

    title: str
    x: str
    y: str
    axes: Axes
    marks: tuple[Mark, ...]
    under: Callable[[Callable[[float], float], Callable[[float], float]], str] | None = None
    durations: bool = False
    height: float = 0.0
    panel: Panel | None = field(default=None)


def figure_of(charts: Sequence[Chart], width: float, what: str) -> str:
    """Charts as one figure of a page, below or beside each other, with their values under the pointer.

    Parameters
    ----------
    charts : sequence of Chart
    width : float
        Of the figure, in pixels.
    what : str
        What it is, plain text, for those who do not see it; what is seen is added, in numbers.
    """
    width = min(max(width, 260.0), 1100.0)
    columns = 2 if len(charts) > 1 and width >= _TWO_COLUMNS else 1
    each = (width - _GAP * (columns - 1)) / columns
    parts, frames, top, row_height = [], [], 0.0, 0.0
    for place, chart in enumerate(charts):
        if place and place % columns == 0:
            top, row_height = top + row_height, 0.0
        left = (place % columns) * (each + _GAP)
        high = chart.height or min(max(0.58 * each, 210.0), 380.0)
        row_height = max(row_height, high)
        box = (left + _LEFT, top + _TOP, left + each - _RIGHT, top + high - _BOTTOM)
        parts.append(_drawn(chart, box, place))
        axes = chart.axes
        frames.append([*(round(side, 1) for side in box), *axes.x, axes.x_is_log, *axes.y, axes.y_is_log])
    panels = [chart.panel or _panel(chart) for chart in charts]
    seen = " ".join(filter(None, (what, described(panels))))
    values = escape(json.dumps(plain(panels), ensure_ascii=False))
    height = top + row_height
    return (
        f'<figure data-values="{values}"><svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" tabindex="0" '
        f'aria-label="{escape(seen)}" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" '
        f"data-frames='{json.dumps(frames)}'>{''.join(parts)}</svg>"
        f'<p class="values" role="status">{_HINT}</p></figure>'
    )


_HINT = "Point at the chart, or go along it with the arrow keys, to read its values here."


def ticks_of(low: float, high: float, most: int = 6, logarithmic: bool = False) -> list[float]:
    """Round numbers between two ends.

    Examples
    --------
    >>> ticks_of(0.0, 23.0), ticks_of(0.2, 500.0, logarithmic=True)
    ([0.0, 5.0, 10.0, 15.0, 20.0], [1.0, 10.0, 100.0])
    """
    if not (math.isfinite(low) and math.isfinite(high)) or not low < high:
        return []
    if logarithmic:
        exponents = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
        if len(exponents) >= 2:
            every = -(-len(exponents) // most)
            return [10.0**each for each in list(exponents)[::every]]
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step: float = next(step * power for step in (1.0, 2.0, 2.5, 5.0, 10.0) if step * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(step * each, 12) for each in range(first, math.floor(high / step + 1e-9) + 1)]


def path_of(x: Sequence[float] | Array, y: Sequence[float] | Array) -> str:
    """A line through points, in the drawing's units; it breaks where a point is not finite."""
    text, pen = [], "M"
    for across, down in zip(np.asarray(x).tolist(), np.asarray(y).tolist(), strict=True):
        if math.isfinite(across) and math.isfinite(down):
            text.append(f"{pen}{across:.1f} {down:.1f}")
            pen = "L"
        else:
            pen = "M"
    return "".join(text)


def _drawn(chart: Chart, box: tuple[float, float, float, float], place: int) -> str:
    left, top, right, bottom = box
    axes = chart.axes
    across = _scale(*axes.x, left, right, axes.x_is_log)
    down = _scale(*axes.y, bottom, top, axes.y_is_log)
    clip = f"clip{place}-{abs(hash((box, chart.title))) % 10**8}"
    parts = [
        f'<clipPath id="{clip}"><rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
        f'height="{bottom - top:.1f}"/></clipPath>',
        f'<text class="title" x="{left - _LEFT + 2:.1f}" y="{top - 9:.1f}">{escape(chart.title)}</text>',
    ]
    inside = chart.under(across, down) if chart.under is not None else ""
    inside += "".join(_mark(mark, across, down, bottom) for mark in chart.marks if mark.look != "points")
    parts.append(f'<g clip-path="url(#{clip})">{inside}</g>')
    parts += [_mark(mark, across, down, bottom) for mark in chart.marks if mark.look == "points"]
    parts.append(f'<path class="axis" d="M{left:.1f} {top:.1f}V{bottom:.1f}H{right:.1f}"/>')
    parts += _ticks(chart, box, across, down)
    parts.append(
        f'<text class="label" text-anchor="middle" x="{0.5 * (left + right):.1f}" y="{bottom + 32:.1f}">'
        f"{escape(chart.x)}</text>"
    )
    if chart.y:
        middle = 0.5 * (top + bottom)
        parts.append(
            f'<text class="label" text-anchor="middle" transform="translate({left - 35:.1f} {middle:.1f}) rotate(-90)">'
            f"{escape(chart.y)}</text>"
        )
    return "".join(parts)


def _ticks(
    chart: Chart,
    box: tuple[float, float, float, float],
    across: Callable[[float], float],
    down: Callable[[float], float],
) -> list[str]:
    left, top, right, bottom = box
    parts = []
    if chart.durations:
        at_x = [tick for tick in (*_TICKS, 86400.0) if chart.axes.x[0] <= tick <= chart.axes.x[1]]
        text: Callable[[float], str] = duration
    else:
        at_x = ticks_of(*chart.axes.x, max(int((right - left) // 62), 2), chart.axes.x_is_log)
        text = number
    for tick in at_x:
        x = across(tick)
        parts.append(f'<path class="tick" d="M{x:.1f} {bottom:.1f}v4"/>')
        anchor = "end" if x > right - 12.0 else "middle"  # the last one would stand out of the drawing
        edge = right + _RIGHT if anchor == "end" else x
        parts.append(
            f'<text class="tick" text-anchor="{anchor}" x="{edge:.1f}" y="{bottom + 16:.1f}">{text(tick)}</text>'
        )
    at_y = ticks_of(*chart.axes.y, max(int((bottom - top) // 38), 2), chart.axes.y_is_log) if chart.y else []
    for tick in at_y:
        y = down(tick)
        parts.append(f'<path class="tick" d="M{left:.1f} {y:.1f}h-4"/>')
        parts.append(
            f'<text class="tick" text-anchor="end" x="{left - 7:.1f}" y="{y + 4:.1f}">{number(tick)}</text>'
        )
    return parts


def _mark(mark: Mark, across: Callable[[float], float], down: Callable[[float], float], bottom: float) -> str:
    series = mark.series
    x = [across(value) for value in series.x.tolist()]
    if mark.look == "points":
        return "".join(
            f'<circle class="point" cx="{at:.1f}" cy="{down(value):.1f}" r="4"/>'
            for at, value in zip(x, series.y.tolist(), strict=True)
            if math.isfinite(value)
        )
    parts = []
    if series.lower is not None and series.upper is not None:
        known = np.isfinite(series.lower) & np.isfinite(series.upper)
        upper_edge = [
            (at, down(value))
            for at, value, is_known in zip(x, series.upper.tolist(), known, strict=True)
            if is_known
        ]
        lower_edge = [
            (at, down(value))
            for at, value, is_known in zip(x, series.lower.tolist(), known, strict=True)
            if is_known
        ]
        around = upper_edge + lower_edge[::-1]
        if around:
            text = " ".join(f"{at:.1f},{value:.1f}" for at, value in around)
            parts.append(f'<polygon class="band {mark.look}" points="{text}"/>')
    parts.append(
        f'<path class="line {mark.look}" d="{path_of(x, [down(value) for value in series.y.tolist()])}"/>'
    )
    return "".join(parts)


def _scale(low: float, high: float, begin: float, end: float, logarithmic: bool) -> Callable[[float], float]:
    if logarithmic:
        lowest, range_of_logs = math.log(low), math.log(high / low)
        return lambda value: (
            begin + (end - begin) * ((math.log(value) - lowest) / range_of_logs if value > 0.0 else -1.0)
        )
    width = (high - low) or 1.0
    return lambda value: begin + (end - begin) * (value - low) / width


def _panel(chart: Chart) -> Panel:
    return Panel(
        chart.title, chart.x, chart.y, tuple(mark.series for mark in chart.marks), durations=chart.durations
    )
