"""Where the numbers of contour lines are written: apart from one another, from the edges, and from what is drawn."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.contour import ContourSet
from numpy.typing import NDArray

__all__ = ["label_places"]

Array = NDArray[np.float64]
_ROOM = np.array(
    [0.14, 0.08]
)  # of the axes' width and height: what a number of four letters takes, and a gap
_EDGE = np.array([0.08, 0.05])


def label_places(axes: Axes, lines: ContourSet, taken: Array, barred: Array) -> list[tuple[float, float]]:
    """A place on each contour line, in data coordinates; a line without room has none.

    Parameters
    ----------
    axes : Axes
        With its limits and scales as they stay.
    lines : ContourSet
    taken, barred : array, (point, 2)
        Points that are drawn, and points of an area in which nothing is to be read off.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> axes = Figure().subplots()
    >>> x = np.linspace(0.0, 1.0, 50)
    >>> lines = axes.contour(x, x, np.tile(x[:, None], 50), [0.5, 0.51])
    >>> none = np.zeros((0, 2))
    >>> [round(y, 2) for _, y in label_places(axes, lines, np.array([[0.1, 0.5]]), none)]
    [0.5, 0.51]
    """
    to_axes = axes.transScale + axes.transLimits
    kept = to_axes.transform(taken) if len(taken) else np.zeros((0, 2))
    shut = to_axes.transform(barred) if len(barred) else np.zeros((0, 2))
    places = []
    for path in lines.get_paths():
        corners = np.asarray(path.vertices, float)
        spots = corners[np.isfinite(corners).all(1)]
        within = to_axes.transform(spots) if len(spots) else np.zeros((0, 2))
        free = ((within > _EDGE) & (within < 1.0 - _EDGE)).all(1) & (_nearest(within, shut) > 0.5)
        room = np.where(free, _nearest(within, kept), 0.0)
        if len(spots) and room.max() > 1.0:
            best = int(room.argmax())
            kept = np.vstack([kept, within[best]])
            places.append((float(spots[best, 0]), float(spots[best, 1])))
    return places


def _nearest(spots: Array, others: Array) -> Array:
    """How far each spot is from the nearest of others, in sizes of a number; no more than three count."""
    if not len(others):
        return np.full(len(spots), 3.0)
    apart = (spots[:, None] - others[None]) / _ROOM
    return np.minimum(np.sqrt((apart**2).sum(-1)).min(1), 3.0)
