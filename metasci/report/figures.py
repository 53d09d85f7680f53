"""Figures of a calibration: the data with what the model says of them, and the parameters against the prior.

A figure is a `matplotlib.figure.Figure` of its own: nothing goes through pyplot, so none lingers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from metasci.report.curves import (
    Axis,
    Curve,
    axis_of,
    coordinates,
    curve,
    is_simulated,
    measurements,
    only,
    values_of,
)
from metasci.report.intervals import parameters_figure
from metasci.report.marks import draw_band, draw_parity, draw_points, legend_below, titled
from metasci.report.style import BLUE, GREY, styled
from metasci.report.text import label, words

if TYPE_CHECKING:
    from metasci.calibration import Calibration

__all__ = ["calibration_figure", "parameters_figure"]

_MOST_TASKS = 6
_MOST_GROUPS = 6
_MOST_COLOURS = 4


@styled
def calibration_figure(calibration: Calibration, tasks: Sequence[int] | None = None) -> Figure:
    """Data, calibrated median with its 90 % band, and what the prior alone says, for up to six tasks.

    One panel for each task. Where two inputs vary, a single task has a panel for each value of the second
    (a tempering time), and several tasks have a colour for each. Where more than two vary, measured values
    are drawn against predicted ones.

    Parameters
    ----------
    calibration : Calibration
    tasks : sequence of int, optional
        Positions of the tasks to show; the first six by default.

    Returns
    -------
    matplotlib.figure.Figure
    """
    chosen = list(range(len(calibration.batch)) if tasks is None else tasks)[:_MOST_TASKS]
    names = coordinates(calibration)
    shown = [only(calibration, index) for index in chosen]
    titles = [titled(one.batch.names[0], is_simulated(calibration)) for one in shown]
    if not 1 <= len(names) <= 2:
        return _parities(shown, titles)
    axis = axis_of(calibration, names[0])
    if len(names) == 1:
        return _panels(axis, [_Panel(title, one) for title, one in zip(titles, shown, strict=True)])
    other = axis_of(calibration, names[1])
    values = np.unique(values_of(shown[0], other.name)) if len(shown) == 1 else np.empty(0)
    if not 1 <= len(values) <= _MOST_GROUPS:
        return _coloured(axis, other, shown, titles)
    figure = _panels(
        axis,
        [
            _Panel(f"{words(other.name)} {other.text(value)}", shown[0], {other.name: value})
            for value in values
        ],
    )
    figure.suptitle(titles[0], x=0.01, ha="left", fontsize=10, fontweight="bold")
    return figure


@dataclass(frozen=True)
class _Panel:
    """A task, at fixed values of the inputs that are not drawn."""

    title: str
    calibration: Calibration
    fixed: Mapping[str, float] = field(default_factory=dict)

    def here(self) -> np.ndarray:
        """Which measurements were made at the fixed values."""
        near = np.ones(len(measurements(self.calibration)), dtype=bool)
        for name, value in self.fixed.items():
            near &= np.isclose(values_of(self.calibration, name), value, rtol=1e-6)
        return near


def _grid(count: int) -> tuple[Figure, list[Axes]]:
    columns = count if count <= 3 else 2 if count == 4 else 3
    rows = -(-count // columns)
    figure = Figure(
        figsize=(5.4, 3.7) if count == 1 else (2.7 * columns, 2.3 * rows + 0.6), layout="constrained"
    )
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel().tolist()
    for unused in axes[count:]:
        unused.remove()
    for index, place in enumerate(axes[:count]):
        place.tick_params(labelleft=index % columns == 0)
    return figure, axes[:count]


def _panels(axis: Axis, panels: Sequence[_Panel]) -> Figure:
    """Each with the calibrated curve over the prior's, both with their bands, and the measurements on top."""
    figure, axes = _grid(len(panels))
    limits = []
    for place, panel in zip(axes, panels, strict=True):
        said, here = curve(panel.calibration, axis, panel.fixed), panel.here()
        x, y = axis.show(values_of(panel.calibration, axis.name))[here], measurements(panel.calibration)[here]
        draw_band(
            place, said.x, said.prior, said.prior_lower, said.prior_upper, GREY, "prior alone", dashed=True
        )
        draw_band(place, said.x, said.median, said.lower, said.upper, BLUE, "calibrated")
        draw_points(place, x, y)
        place.set_title(panel.title)
        place.set_xlim(said.x[0], said.x[-1])
        limits.append(_limits(said, y))
    _finish(figure, axes, axis, panels[0].calibration, limits)
    return figure


def _coloured(axis: Axis, other: Axis, shown: Sequence[Calibration], titles: Sequence[str]) -> Figure:
    """Several tasks, or many values of the second input: a colour for each of a few values."""
    figure, axes = _grid(len(shown))
    everything = np.unique(np.concatenate([values_of(one, other.name) for one in shown]))
    few = everything[np.unique(np.linspace(0, len(everything) - 1, _MOST_COLOURS).round().astype(int))]
    positive = bool((everything > 0).all())
    norm = (LogNorm if positive else Normalize)(
        everything[0], max(everything[-1], everything[0] * (1 + 1e-9) + 1e-300)
    )
    colours = matplotlib.colormaps["viridis"].resampled(256)
    limits = []
    for place, one, title in zip(axes, shown, titles, strict=True):
        at, y = values_of(one, other.name), measurements(one)
        x = axis.show(values_of(one, axis.name))
        for value in few:
            said, colour = (
                curve(one, axis, {other.name: float(value)}),
                colours(0.05 + 0.75 * float(norm(value))),
            )
            place.plot(said.x, said.prior, color=colour, lw=1.0, ls=(0, (4, 2.5)), alpha=0.8)
            place.fill_between(said.x, said.lower, said.upper, color=colour, alpha=0.10, lw=0)
            place.plot(
                said.x, said.median, color=colour, label=f"{words(other.name)} {other.text(float(value))}"
            )
            limits.append(_limits(said, y))
        place.scatter(
            x,
            y,
            s=20,
            c=[colours(0.05 + 0.75 * float(norm(v))) for v in at],
            edgecolors="white",
            lw=0.6,
            zorder=5,
        )
        place.set_title(title)
        place.set_xlim(said.x[0], said.x[-1])
    _finish(figure, axes, axis, shown[0], limits)
    return figure


def _parities(shown: Sequence[Calibration], titles: Sequence[str]) -> Figure:
    """Measured against predicted values, where there are too many inputs to draw along."""
    figure, axes = _grid(len(shown))
    output = shown[0].prior.model.output
    for place, one, title in zip(axes, shown, titles, strict=True):
        forecast = one.forecast()
        lower, upper = forecast.interval(0.9)
        mask = one.batch.mask
        median, low, high = (values[mask].numpy() for values in (forecast.median, lower, upper))
        draw_parity(place, measurements(one), median, low, high, BLUE)
        place.set_title(title)
    quantity = output.label or words(output.name)
    figure.supxlabel(label(f"measured {quantity}", output.unit), fontsize=8.5)
    figure.supylabel(label(f"predicted {quantity}", output.unit), fontsize=8.5)
    return figure


def _limits(said: Curve, measured: np.ndarray) -> tuple[float, float]:
    """Range worth showing: all of data and bands, unless a band runs away from them."""
    finite = [values[np.isfinite(values)] for values in (measured, said.median, said.prior)]
    core = [finite[0], *(np.quantile(values, (0.2, 0.8)) for values in finite[1:] if len(values))]
    low, high = float(np.concatenate(core).min()), float(np.concatenate(core).max())
    bands = np.concatenate(
        [said.lower, said.upper, said.prior_lower, said.prior_upper, said.median, measured]
    )
    bands = bands[np.isfinite(bands)]
    room = 1.2 * (high - low) or 1.0
    return max(float(bands.min()), low - room), min(float(bands.max()), high + room)


def _finish(
    figure: Figure,
    axes: Sequence[Axes],
    axis: Axis,
    calibration: Calibration,
    limits: Sequence[tuple[float, float]],
) -> None:
    """Labels, limits, and one legend outside of the data."""
    low, high = min(pair[0] for pair in limits), max(pair[1] for pair in limits)
    margin = 0.04 * (high - low)
    axes[0].set_ylim(low if low == 0.0 else low - margin, high + margin)
    output = calibration.prior.model.output
    text = label(output.label or words(output.name), output.unit)
    if len(axes) == 1:
        axes[0].set_xlabel(axis.label)
        axes[0].set_ylabel(text)
    else:
        figure.supxlabel(axis.label, fontsize=8.5)
        figure.supylabel(text, fontsize=8.5)
    for place in axes:
        place.xaxis.set_major_locator(MaxNLocator(5 if len(axes) > 1 else 7))
    legend_below(figure, axes[0])
