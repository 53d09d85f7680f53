"""The numbers of a figure, read back from what was drawn: for the pointer, and for those who cannot see the figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from metasci.words import duration, number

__all__ = ["Panel", "Series", "described", "frames_of", "panels_of", "plain", "remember_field"]

Array = NDArray[np.float64]

_MOST_POINTS = 160  # as many as a curve of a report has: thinned out beyond, to keep the page small
_MOST_SAID = 6  # panels of which a description tells; a reader has the tables for the rest
_FIELD_POINTS = 30  # along each side of a map, about: a reader asks for single values, not for its contours


@dataclass(frozen=True)
class Series:
    """A curve, points or intervals by name; `lower` and `upper` are its band, or the ends of horizontal intervals."""

    name: str
    x: Array
    y: Array
    lower: Array | None = None
    upper: Array | None = None
    points: bool = False


@dataclass(frozen=True)
class Field:
    """A map: values (y, x)."""

    name: str
    x: Array
    y: Array
    values: Array


@dataclass(frozen=True)
class Panel:
    """What one pair of axes shows, in the units shown.

    `rows` are names along a vertical axis that counts things, empty texts where it has none; `durations` says that x is
    in seconds and written as minutes and hours.
    """

    title: str
    x: str
    y: str
    series: tuple[Series, ...]
    rows: tuple[str, ...] = ()
    field: Field | None = None
    durations: bool = False


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


def plain(panels: Sequence[Panel]) -> list[dict[str, Any]]:
    """Panels as plain lists and texts, for JSON; numbers to four digits, None where there is none."""
    return [
        {
            "title": panel.title,
            "x": panel.x,
            "y": panel.y,
            **({"rows": list(panel.rows)} if panel.rows else {}),
            **({"durations": True} if panel.durations else {}),
            **({"field": _plain_field(panel.field)} if panel.field else {}),
            "series": [
                {
                    "name": series.name,
                    "x": _rounded(series.x),
                    "y": _rounded(series.y),
                    **(
                        {}
                        if series.lower is None or series.upper is None
                        else {"lower": _rounded(series.lower), "upper": _rounded(series.upper)}
                    ),
                    **({"points": True} if series.points else {}),
                }
                for series in panel.series
            ],
        }
        for panel in panels
    ]


def described(panels: Sequence[Panel]) -> str:
    """What is seen, in sentences: ends and middle of every curve with its band there, and the range of points.

    Examples
    --------
    >>> curve = Series("calibrated", np.arange(3.0), np.array([9.0, 5.0, 1.0]), np.arange(3.0), 4 + np.arange(3.0))
    >>> described([Panel("", "time (h)", "level (mg/L)", (curve,))])
    'level (mg/L) against time (h). calibrated: 9 at 0, 5 (1 to 5) at 1, 1 at 2.'
    """
    sentences = [_described(panel) for panel in panels[:_MOST_SAID]]
    if len(panels) > _MOST_SAID:
        sentences.append(f"{len(panels) - _MOST_SAID} further panels.")
    return " ".join(filter(None, sentences))


def _described(panel: Panel) -> str:
    sentences = [f"{panel.title}:"] if panel.title else []
    if panel.field is not None:
        lowest, highest = float(np.nanmin(panel.field.values)), float(np.nanmax(panel.field.values))
        ends = [_along(panel, float(end)) for end in (panel.field.x[0], panel.field.x[-1])]
        sentences.append(
            f"{panel.field.name} from {number(lowest)} to {number(highest)}, over {panel.x} {ends[0]} to {ends[1]} and "
            f"{panel.y} {number(float(panel.field.y[0]))} to {number(float(panel.field.y[-1]))}."
        )
        return " ".join(sentences)
    if panel.rows:
        sentences += [_row(panel, at, name) for at, name in enumerate(panel.rows[:20])]
        return " ".join(filter(None, sentences))
    if panel.series:
        sentences.append(f"{panel.y} against {panel.x}.")
    sentences += [text for series in panel.series if (text := _of_series(panel, series))]
    return " ".join(sentences)


def _of_series(panel: Panel, series: Series) -> str:
    known = np.flatnonzero(np.isfinite(series.y))
    if not len(known):
        return ""
    if series.points:
        low, high = number(float(series.y[known].min())), number(float(series.y[known].max()))
        return f"{series.name}: {len(known)}, {f'from {low} to {high}' if low != high else low}."
    middle = int(known[len(known) // 2])
    top = int(known[np.argmax(series.y[known])])
    places = sorted({int(known[0]), middle, int(known[-1]), top})
    parts = []
    for at in places:
        band = ""
        if (
            at == middle
            and series.lower is not None
            and series.upper is not None
            and np.isfinite(series.lower[at])
        ):
            band = f" ({number(float(series.lower[at]))} to {number(float(series.upper[at]))})"
        parts.append(f"{number(float(series.y[at]))}{band} at {_along(panel, float(series.x[at]))}")
    return f"{series.name}: {', '.join(parts)}."


def _row(panel: Panel, at: int, name: str) -> str:
    parts = []
    for series in panel.series:
        here = np.flatnonzero(np.abs(series.y - at) < 0.45)
        for place in here[:1]:
            if series.lower is not None and series.upper is not None:
                parts.append(
                    f"{series.name} {number(float(series.lower[place]))} to {number(float(series.upper[place]))}"
                )
            elif np.isfinite(series.x[place]):
                parts.append(f"{series.name} {number(float(series.x[place]))}")
    return f"{name + ': ' if name else ''}{', '.join(parts)}." if parts else ""


def _along(panel: Panel, value: float) -> str:
    return duration(value) if panel.durations else number(value)


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


def _plain_field(field: Field) -> dict[str, Any]:
    return {
        "name": field.name,
        "x": _rounded(field.x),
        "y": _rounded(field.y),
        "values": [_rounded(row) for row in field.values],
    }


def _rounded(values: Array) -> list[float | None]:
    return [float(f"{value:.4g}") if np.isfinite(value) else None for value in values.tolist()]


def _end(value: float | bool) -> float | bool:
    return value if isinstance(value, bool | np.bool_) else float(f"{float(value):.6g}")
