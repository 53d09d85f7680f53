"""The numbers of a figure, read back from what was drawn."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from metasci.report.panels import Field, Panel, Series

__all__ = ["frames_of", "panels_of", "remember_field"]

Array = NDArray[np.float64]

_MOST_POINTS = 160  # as many as a curve of a report has: thinned out beyond, to keep the page small
_FIELD_POINTS = 30  # along each side of a map, about: a reader asks for single values, not for its contours


# an axes does not keep the numbers of the contours on it
_FIELDS: WeakKeyDictionary[Axes, Field] = WeakKeyDictionary()


def remember_field(axes: Axes, name: str, x: Array, y: Array, values: Array) -> None:
    """Keep the numbers of a map with the axes it is drawn on, thinned out."""
    across, down = (max(len(along) // _FIELD_POINTS, 1) for along in (x, y))
    _FIELDS[axes] = Field(name, x[::across], y[::down], values[::down, ::across])


def panels_of(figure: Figure) -> tuple[Panel, ...]:
    """The panels of a figure in the order in which they were made.

    Examples
    --------
    >>> figure = Figure()
    >>> axes = figure.subplots()
    >>> _ = axes.fill_between([0, 1, 2], [1, 2, 3], [3, 4, 5], label="calibrated")
    >>> _ = axes.plot([0, 1, 2], [2, 3, 4], label="calibrated")
    >>> panels_of(figure)[0].series[0].upper.tolist()
    [3.0, 4.0, 5.0]
    """
    x_labels = [axes.get_xlabel() for axes in figure.axes]
    y_labels = [axes.get_ylabel() for axes in figure.axes]
    shared = next(filter(None, x_labels), ""), next(filter(None, y_labels), "")
    return tuple(
        _panel(axes, x or shared[0], y or shared[1])
        for axes, x, y in zip(figure.axes, x_labels, y_labels, strict=True)
    )


def frames_of(figure: Figure) -> list[list[float | bool]]:
    """Where each panel lies in a drawing, in points from its upper left, and the ends of its axes.

    Left, top, right, bottom; then x from, x to, whether it is logarithmic; the same of y. Right after the figure was
    drawn, when its layout is done.
    """
    width, height = 72.0 * figure.get_figwidth(), 72.0 * figure.get_figheight()
    frames: list[list[float | bool]] = []
    for axes in figure.axes:
        box = axes.get_position()
        corners = (box.x0 * width, (1.0 - box.y1) * height, box.x1 * width, (1.0 - box.y0) * height)
        ends = (*axes.get_xlim(), axes.get_xscale() == "log", *axes.get_ylim(), axes.get_yscale() == "log")
        frames.append([*(round(float(corner), 2) for corner in corners), *(_end(end) for end in ends)])
    return frames


def _panel(axes: Axes, x: str, y: str) -> Panel:
    bands = {
        str(each.get_label()): band
        for each in axes.collections
        if isinstance(each, PolyCollection) and _is_named(each) and (band := _band(each)) is not None
    }
    series: list[Series] = []
    rows = _rows(axes)
    for each in axes.collections:
        if isinstance(each, LineCollection) and _is_named(each) and rows:
            series += _intervals(each)
    for line in axes.get_lines():
        if _is_named(line) and (curve := _of_line(line, bands)) is not None:
            series.append(curve)
    field = _FIELDS.get(axes)
    return Panel(
        axes.get_title(loc="left"),
        x,
        y,
        tuple(series),
        rows,
        field,
        durations=field is not None and x == "time",
    )


def _is_named(artist: Any) -> bool:
    name = str(artist.get_label())
    return bool(name) and not name.startswith("_")


def _of_line(line: Line2D, bands: dict[str, tuple[Array, Array, Array]]) -> Series | None:
    x, y = (np.atleast_1d(np.asarray(values, dtype=float)) for values in line.get_data())
    name, is_points = str(line.get_label()), line.get_marker() not in ("None", "", None)
    if not len(x) or (not is_points and len(x) < 3):
        return None
    kept = np.arange(len(x)) if is_points else _thinned(len(x))
    band = bands.get(name)
    if is_points or band is None or len(band[0]) != len(x):
        return Series(name, x[kept], y[kept], points=is_points)
    return Series(name, x[kept], y[kept], band[1][kept], band[2][kept])


def _band(filled: PolyCollection) -> tuple[Array, Array, Array] | None:
    """x, lower and upper of what `Axes.fill_between` drew in one piece: once around, from the first point."""
    paths = filled.get_paths()
    if len(paths) != 1:
        return None
    corners = np.asarray(paths[0].vertices, dtype=float)
    count, odd = divmod(len(corners) - 3, 2)
    if odd or count < 1:
        return None
    first_edge, second_edge = corners[1 : count + 1], corners[count + 2 : 2 * count + 2][::-1]
    if not np.array_equal(first_edge[:, 0], second_edge[:, 0]):
        return None
    ends = np.stack([first_edge[:, 1], second_edge[:, 1]])
    return first_edge[:, 0], ends.min(0), ends.max(0)


def _intervals(lines: LineCollection) -> list[Series]:
    segments = np.array([segment[:2] for segment in lines.get_segments() if len(segment) >= 2], dtype=float)
    if not len(segments) or not np.allclose(segments[:, 0, 1], segments[:, 1, 1]):
        return []
    left, right, at = segments[:, 0, 0], segments[:, 1, 0], segments[:, 0, 1]
    return [Series(str(lines.get_label()), 0.5 * (left + right), at, left, right)]


def _rows(axes: Axes) -> tuple[str, ...]:
    """Names along a vertical axis that counts from the top; one empty name where it counts a single thing."""
    low, high = axes.get_ylim()
    if not low > high:
        return ()
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    return tuple(names) or ("",)


def _thinned(count: int) -> NDArray[np.intp]:
    return np.unique(np.linspace(0, count - 1, min(count, _MOST_POINTS)).round().astype(np.intp))


def _end(value: float | bool) -> float | bool:
    return value if isinstance(value, bool | np.bool_) else float(f"{float(value):.6g}")
