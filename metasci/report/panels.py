"""The numbers that a figure shows, panel by panel: for the pointer, and in words for those who cannot see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metasci.words import duration, number

__all__ = ["Field", "Panel", "Series", "described", "plain"]

Array = NDArray[np.float64]

_MOST_SAID = 6  # panels of which a description tells; a reader has the tables for the rest


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


def _plain_field(field: Field) -> dict[str, Any]:
    return {
        "name": field.name,
        "x": _rounded(field.x),
        "y": _rounded(field.y),
        "values": [_rounded(row) for row in field.values],
    }


def _rounded(values: Array) -> list[float | None]:
    return [float(f"{value:.4g}") if np.isfinite(value) else None for value in values.tolist()]
