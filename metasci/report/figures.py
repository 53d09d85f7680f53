"""Figures of a calibration: the data with what the model says of them, and the parameters against the prior.

A figure is a `matplotlib.figure.Figure` of its own: nothing goes through pyplot, so none lingers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from metasci.report.curves import (
    Axis,
    Curve,
    axis_of,
    below_limit,
    coordinates,
    curve,
    given_along,
    is_simulated,
    is_wide,
    measurements,
    name_of,
    only,
    upper_ends,
    values_of,
)
from metasci.report.intervals import parameters_figure
from metasci.report.marks import (
    draw_band,
    draw_given,
    draw_measured,
    draw_parity,
    draw_shaded,
    draw_within,
    headline,
    legend_below,
    outer_labels,
    titled,
)
from metasci.report.style import BLUE, GREY, plain_log_axis, shades, styled
from metasci.words import label, words

if TYPE_CHECKING:
    from metasci.fits.equation import EquationFit

__all__ = ["Look", "calibration_figure", "parameters_figure"]

_MOST_TASKS = 6  # panels of a page
_MOST_GROUPS = 6  # curves in a panel that colours still tell apart
_MOST_COLOURS = 4  # conditions, evenly among all, that stand for many


@dataclass(frozen=True)
class Look:
    """What may be chosen of a figure.

    Attributes
    ----------
    within : pair of float, optional
        Where the output is to lie, in its unit: drawn as a range.
    until : float, optional
        How far to draw, in the unit of the input along which it is drawn.
    logarithmic : bool, optional
        The axis of the output; by default as noise and measurements suggest.
    """

    within: tuple[float, float] | None = None
    until: float | None = None
    logarithmic: bool | None = None


@styled
def calibration_figure(
    calibration: EquationFit, tasks: Sequence[int] | None = None, look: Look | None = None
) -> Figure:
    """Data, calibrated median with its 90 % band, and what the prior alone says, for up to six tasks.

    One panel for each task. Where two inputs vary, a single task has a panel for each value of the second
    (a tempering time), and several tasks have a colour for each. Where more than two vary, measured values
    are drawn against predicted ones. Amounts given are marked along the bottom; a limit below which a measurement
    lies is an open triangle. The axis of the output is logarithmic where noise is and the measurements of what is
    shown lie more than a factor of thirty apart. Where amounts are given over time it begins at zero and holds the
    whole curve; time goes on past the last measurement and the last amount.

    Parameters
    ----------
    calibration : Calibration
    tasks : sequence of int, optional
        Positions of the tasks to show; the first six by default.
    look : Look, optional
        A range to aim at, how far to draw, and the axis of the output.

    Returns
    -------
    matplotlib.figure.Figure
    """
    look = look or Look()
    chosen = list(range(len(calibration.batch)) if tasks is None else tasks)[:_MOST_TASKS]
    names = coordinates(calibration)
    shown = [only(calibration, index) for index in chosen]
    if not 1 <= len(names) <= 2:
        return _parities(shown)
    axis = axis_of(calibration, names[0])
    if len(names) == 1:
        return _panels(axis, [_Panel(_title(task_fit, len(shown)), task_fit) for task_fit in shown], look)
    other = axis_of(calibration, names[1])
    values = np.unique(values_of(shown[0], other.name)) if len(shown) == 1 else np.empty(0)
    if not 1 <= len(values) <= _MOST_GROUPS:
        return _coloured(axis, other, shown)
    outputs = shown[0].prior.model.outputs if other.name == "output" else ()
    panels = []
    for value in values:
        measured = outputs[int(value) - 1] if outputs else None
        title = f"{words(other.name)} {other.text(value)}"
        if measured is not None:
            title = label(measured.label or words(measured.name), measured.unit)
        panels.append(_Panel(title, shown[0], {other.name: float(value)}))
    figure = _panels(axis, panels, look, apart=bool(outputs))
    headline(figure, _title(shown[0], len(values)))
    return figure


@dataclass(frozen=True)
class _Panel:
    """A task, at fixed values of the inputs that are not drawn."""

    title: str
    calibration: EquationFit
    fixed: Mapping[str, float] = field(default_factory=dict)

    def here(self) -> np.ndarray:
        """Which measurements were made at the fixed values."""
        near = np.ones(len(measurements(self.calibration)), dtype=bool)
        for name, value in self.fixed.items():
            near &= np.isclose(values_of(self.calibration, name), value, rtol=1e-6)
        return near


def _title(task_fit: EquationFit, panels: int) -> str:
    return titled(name_of(task_fit), is_simulated(task_fit), 60 if panels == 1 else 32)


def _grid(count: int, share: bool = True) -> tuple[Figure, list[Axes]]:
    columns = count if count <= 3 else 2 if count == 4 else 3
    rows = -(-count // columns)
    size = (5.4, 3.7) if count == 1 else (2.7 * columns + 0.3, 2.3 * rows + 0.7)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=share).ravel().tolist()
    for unused in axes[count:]:
        unused.remove()
    for index, place in enumerate(axes[:count]):
        place.tick_params(labelleft=index % columns == 0 or not share)
    return figure, axes[:count]


def _panels(axis: Axis, panels: Sequence[_Panel], look: Look, apart: bool = False) -> Figure:
    """Each with the calibrated curve over the prior's, both with their bands, and the measurements on top.

    Outputs that are measured in units of their own stand `apart`, each with an axis of its own.
    """
    figure, axes = _grid(len(panels), share=not apart)
    logarithmic = (
        is_wide([panel.calibration for panel in panels]) if look.logarithmic is None else look.logarithmic
    )
    limits = []
    for place, panel in zip(axes, panels, strict=True):
        task_fit, here = panel.calibration, panel.here()
        predicted = curve(task_fit, axis, panel.fixed, look.until)
        x, y = axis.show(values_of(task_fit, axis.name))[here], measurements(task_fit)[here]
        if look.within is not None:
            draw_within(place, *look.within)
        below, upper = below_limit(task_fit)[here], upper_ends(task_fit)[here]
        prior = (predicted.prior, predicted.prior_lower, predicted.prior_upper)
        banded = "prior alone, 90 % band" if np.isfinite(predicted.prior_lower).any() else "prior alone"
        draw_band(place, predicted.x, *prior, GREY, banded, dashed=True)
        draw_band(
            place,
            predicted.x,
            predicted.median,
            predicted.lower,
            predicted.upper,
            BLUE,
            "calibrated, 90 % band",
        )
        draw_measured(place, x, y, below, upper)
        place.set_title(panel.title)
        place.set_xlim(predicted.x[0], predicted.x[-1])
        for name, begins_and_ends in given_along(task_fit, axis).items():
            draw_given(place, *begins_and_ends, words(name))
        given_over_time = bool(task_fit.prior.model.histories)
        limits.append(
            _wide_limits(predicted, y)
            if logarithmic
            else _whole(predicted, y, look)
            if given_over_time
            else _limits(predicted, y)
        )
    if apart:
        for place, pair in zip(axes, limits, strict=True):
            _finish([place], axis, panels[0].calibration, [pair], logarithmic)
            place.set_ylabel("")
        axes[0].set_ylabel("measured")
    else:
        _finish(axes, axis, panels[0].calibration, limits, logarithmic)
    legend_below(figure, axes, columns=5 if len(panels) > 2 else 3)
    return figure


def _whole(predicted: Curve, measured: np.ndarray, look: Look) -> tuple[float, float]:
    """From zero to above the highest of curve, measurements and range; bands as far as they do not run away."""
    curves = np.concatenate([predicted.median, predicted.prior, measured, [*(look.within or ())]])
    curves = curves[np.isfinite(curves)]
    bands = np.concatenate([predicted.lower, predicted.upper])
    bands = bands[np.isfinite(bands)]
    if not len(curves):
        return 0.0, 1.0
    high = float(curves.max())
    if len(bands):  # the band of the noise about a sharp peak may be several times as high as the peak
        high = max(high, min(float(bands.max()), 2.0 * high))
    low = float(min(curves.min(), 0.0))
    return low, high if high > low else low + 1.0


def _wide_limits(predicted: Curve, measured: np.ndarray) -> tuple[float, float]:
    """Range worth showing on a logarithmic axis: a curve may start from or fall to nothing."""
    if not len(measured):
        measured = predicted.median[predicted.median > 0.01 * predicted.median.max()]
    high = np.concatenate(
        [measured, predicted.median, predicted.upper[predicted.upper < 10.0 * measured.max()]]
    )
    return 0.5 * float(measured.min()), 1.2 * float(high[np.isfinite(high)].max())


def _coloured(axis: Axis, other: Axis, shown: Sequence[EquationFit]) -> Figure:
    """Several tasks, or many values of the second input: a colour for each of a few values."""
    figure, axes = _grid(len(shown))
    values = np.unique(np.concatenate([values_of(task_fit, other.name) for task_fit in shown]))
    few = values[np.unique(np.linspace(0, len(values) - 1, _MOST_COLOURS).round().astype(int))]
    limits = []
    for place, task_fit in zip(axes, shown, strict=True):
        for value, colour in zip(few, shades(few, values), strict=True):
            predicted = curve(task_fit, axis, {other.name: float(value)})
            name = f"{words(other.name)} {other.text(float(value))}"
            place.plot(predicted.x, predicted.prior, color=colour, lw=1.0, ls=(0, (4, 2.5)), alpha=0.8)
            place.fill_between(
                predicted.x, predicted.lower, predicted.upper, color=colour, alpha=0.12, lw=0, label=name
            )
            place.plot(predicted.x, predicted.median, color=colour, label=name)
            limits.append(_limits(predicted, measurements(task_fit)))
        x, colours = (
            axis.show(values_of(task_fit, axis.name)),
            shades(values_of(task_fit, other.name), values),
        )
        draw_shaded(place, x, measurements(task_fit), colours)
        place.set_title(_title(task_fit, len(shown)))
        place.set_xlim(predicted.x[0], predicted.x[-1])
    axes[0].plot([], [], color=GREY, lw=1.0, ls=(0, (4, 2.5)), label="prior alone")
    _finish(axes, axis, shown[0], limits)
    legend_below(figure, axes[0], columns=5 if len(shown) > 1 else 3)
    return figure


def _parities(shown: Sequence[EquationFit]) -> Figure:
    """Measured against predicted values, where there are too many inputs to draw along."""
    figure, axes = _grid(len(shown), share=False)
    output = shown[0].prior.model.output
    quantity = output.label or words(output.name)
    for place, task_fit in zip(axes, shown, strict=True):
        forecast, mask = task_fit.forecast(), task_fit.batch.mask
        both = [values[mask].numpy() for values in (forecast.median, *forecast.interval(0.9))]
        draw_parity(
            place,
            measurements(task_fit),
            both[0],
            both[1],
            both[2],
            BLUE,
            below=below_limit(task_fit),
            up_to=upper_ends(task_fit),
        )
        place.set_title(_title(task_fit, len(shown)))
    outer_labels(
        axes, label(f"measured {quantity}", output.unit), label(f"predicted {quantity}", output.unit)
    )
    return figure


def _limits(predicted: Curve, measured: np.ndarray) -> tuple[float, float]:
    """Range worth showing: all of data and bands, unless a band runs away from them."""
    finite = [values[np.isfinite(values)] for values in (measured, predicted.median, predicted.prior)]
    core = [finite[0], *(np.quantile(values, (0.2, 0.8)) for values in finite[1:] if len(values))]
    if not any(map(len, core)):
        return 0.0, 1.0
    low, high = float(np.concatenate(core).min()), float(np.concatenate(core).max())
    bands = np.concatenate(
        [
            predicted.lower,
            predicted.upper,
            predicted.prior_lower,
            predicted.prior_upper,
            predicted.median,
            measured,
        ]
    )
    bands = bands[np.isfinite(bands)]
    room = 1.6 * (high - low) or 1.0
    return max(float(bands.min()), low - room), min(float(bands.max()), high + room)


def _finish(
    axes: Sequence[Axes],
    axis: Axis,
    calibration: EquationFit,
    limits: Sequence[tuple[float, float]],
    logarithmic: bool = False,
) -> None:
    """Labels, limits and ticks."""
    low, high = min(pair[0] for pair in limits), max(pair[1] for pair in limits)
    margin = 0.0 if logarithmic else 0.04 * (high - low)
    axes[0].set_ylim(low if low == 0.0 else low - margin, high + margin)
    for place in axes if logarithmic else ():
        plain_log_axis(place, "y")
    output = calibration.prior.model.output
    outer_labels(axes, axis.label, label(output.label or words(output.name), output.unit))
    for place in axes:
        place.xaxis.set_major_locator(MaxNLocator(5 if len(axes) > 1 else 7, steps=[1, 2, 5, 10]))
