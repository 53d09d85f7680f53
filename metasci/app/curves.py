"""The fit as curves with bands: a chart for each task, or for each value of a second input."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metasci.app.drawing import Axes, Chart, Mark, figure_of
from metasci.fits.equation import EquationFit
from metasci.report.curves import (
    Axis,
    Curve,
    axis_of,
    coordinates,
    curve,
    given_along,
    is_wide,
    measurements,
    name_of,
    only,
    values_of,
)
from metasci.report.panels import Series
from metasci.words import label, words

__all__ = ["curves_figure", "curves_of", "overlaid"]

Array = NDArray[np.float64]

# charts one below the other on a page; further tasks are in the tables to download
_MOST_CHARTS = 6
_ROOM = 1.6  # of the range of what matters, which a band may take beyond it


def curves_figure(fit: EquationFit, width: float) -> str:
    """Measurements, the calibrated median with its 90 % band, and what the prior alone says.

    Where the model has more inputs than a chart has axes: predicted against measured values.
    """
    count = len(fit.batch)
    first = f" The first {_MOST_CHARTS} of {count} tasks." if count > _MOST_CHARTS else ""
    what = f"Measurements with the calibrated curve, its 90 % band, and the prior alone.{first}"
    return figure_of(curves_of(fit), width, what) + (f'<p class="note">{first}</p>' if first else "")


def curves_of(fit: EquationFit) -> list[Chart]:
    """The charts of `curves_figure`."""
    names = coordinates(fit)
    tasks = [only(fit, place) for place in range(min(len(fit.batch), _MOST_CHARTS))]
    if not 1 <= len(names) <= 2:
        return [_parity(fit)]
    axis = axis_of(fit, names[0])
    shown: list[tuple[str, EquationFit, dict[str, float]]] = []
    for task_fit in tasks:
        if len(names) == 1:
            shown.append((name_of(task_fit) if len(tasks) > 1 else "", task_fit, {}))
            continue
        other = axis_of(fit, names[1])
        values = np.unique(values_of(task_fit, other.name))
        if not 1 <= len(values) <= _MOST_CHARTS:
            return [_parity(fit)]
        who = f"{name_of(task_fit)}, " if len(tasks) > 1 else ""
        shown += [
            (f"{who}{words(other.name)} {other.text(float(value))}", task_fit, {other.name: float(value)})
            for value in values
        ]
    shown = shown[:_MOST_CHARTS]
    drawn = [(title, task_fit, fixed, curve(task_fit, axis, fixed)) for title, task_fit, fixed in shown]
    logarithmic = is_wide([task_fit for _, task_fit, _, _ in drawn]) if len(measurements(fit)) else False
    limits = [_limits(predicted, measurements(task_fit)) for _, task_fit, _, predicted in drawn]
    low, high = min(pair[0] for pair in limits), max(pair[1] for pair in limits)
    if _from_zero(fit):
        low = 0.0
    if logarithmic:
        low = 0.5 * float(measurements(fit).min())
    y = label(fit.prior.model.output.label or words(fit.prior.model.output.name), fit.prior.model.output.unit)
    return [
        _chart(title, task_fit, fixed, predicted, axis, y, (low, high), logarithmic)
        for title, task_fit, fixed, predicted in drawn
    ]


def _from_zero(fit: EquationFit) -> bool:
    """Whether the axis starts at zero: levels of what was given, none of which is below."""
    measured = measurements(fit)
    return "dose" in fit.prior.model.histories and bool((measured[np.isfinite(measured)] >= 0.0).all())


def overlaid(chart: Chart, other: Chart, names: tuple[str, str]) -> Chart:
    """Two fits in one chart: the first one's curve and the other's, each with its band."""
    ours = [mark for mark in chart.marks if mark.look in ("curve", "points")]
    theirs = [mark for mark in other.marks if mark.look == "curve"]
    marks = [
        *(Mark(_named(mark.series, names[1]), "other") for mark in theirs),
        *(Mark(_named(mark.series, names[0]), mark.look) if mark.look == "curve" else mark for mark in ours),
    ]
    ends = [
        (min(a[0], b[0]), max(a[1], b[1]))
        for a, b in ((chart.axes.x, other.axes.x), (chart.axes.y, other.axes.y))
    ]
    axes = Axes(ends[0], ends[1], chart.axes.x_is_log, chart.axes.y_is_log)
    return Chart(chart.title, chart.x, chart.y, axes, tuple(marks))


def _named(series: Series, name: str) -> Series:
    return Series(name, series.x, series.y, series.lower, series.upper, series.points)


def _chart(
    title: str,
    task_fit: EquationFit,
    fixed: dict[str, float],
    predicted: Curve,
    axis: Axis,
    y: str,
    limits: tuple[float, float],
    logarithmic: bool,
) -> Chart:
    here = np.ones(len(measurements(task_fit)), dtype=bool)
    for name, value in fixed.items():
        here &= np.isclose(values_of(task_fit, name), value, rtol=1e-6)
    x, measured = axis.show(values_of(task_fit, axis.name))[here], measurements(task_fit)[here]
    marks = [
        Mark(
            Series("prior alone", predicted.x, predicted.prior, predicted.prior_lower, predicted.prior_upper),
            "prior",
        ),
        Mark(Series("calibrated", predicted.x, predicted.median, predicted.lower, predicted.upper), "curve"),
        Mark(Series("measured", x, measured, points=True), "points"),
    ]
    ends = float(predicted.x[0]), float(predicted.x[-1])
    dose_times = given_along(task_fit, axis)

    def doses(across: Any, down: Any) -> str:
        floor = down(limits[0])
        return "".join(
            f'<path class="dose" d="M{across(float(begin)):.1f} {floor:.1f}v-9"/>'
            if end <= begin
            else f'<path class="infusion" d="M{across(float(begin)):.1f} {floor - 3:.1f}H{across(float(end)):.1f}"/>'
            for begins, ends_at in dose_times.values()
            for begin, end in zip(begins.tolist(), ends_at.tolist(), strict=True)
        )

    return Chart(
        title,
        axis.label,
        y,
        Axes(ends, limits, y_is_log=logarithmic),
        tuple(marks),
        under=doses if dose_times else None,
    )


def _parity(fit: EquationFit) -> Chart:
    forecast, mask = fit.forecast(), fit.batch.mask
    predicted = forecast.median[mask].numpy()
    lower, upper = (end[mask].numpy() for end in forecast.interval(0.9))
    measured = measurements(fit)
    order = np.argsort(measured)
    both = np.concatenate([measured, predicted])
    both = both[np.isfinite(both)] if len(both) else np.array([0.0, 1.0])
    margin = 0.08 * float(np.ptp(both)) or 1.0
    ends = float(both.min()) - margin, float(both.max()) + margin
    line = np.array(ends)
    output = fit.prior.model.output
    quantity = output.label or words(output.name)
    marks = (
        Mark(Series("as measured", np.linspace(*ends, 3), np.linspace(*ends, 3)), "prior"),
        Mark(
            Series("predicted", measured[order], predicted[order], lower[order], upper[order], points=True),
            "points",
        ),
    )
    return Chart(
        "",
        label(f"measured {quantity}", output.unit),
        label(f"predicted {quantity}", output.unit),
        Axes((float(line[0]), float(line[1])), ends),
        marks,
    )


def _limits(predicted: Curve, measured: Array) -> tuple[float, float]:
    """Range worth showing: all of measurements and curves, and of the bands what does not run away from them."""
    core = np.concatenate([measured, predicted.median, np.quantile(predicted.prior, (0.2, 0.8))])
    core = core[np.isfinite(core)]
    if not len(core):
        return 0.0, 1.0
    low, high = float(core.min()), float(core.max())
    room = _ROOM * (high - low) or 1.0
    bands = np.concatenate([predicted.lower, predicted.upper, predicted.prior_lower, predicted.prior_upper])
    bands = bands[np.isfinite(bands)]
    least = max(float(bands.min(initial=low)), low - room)
    most = min(float(bands.max(initial=high)), high + room)
    margin = 0.04 * (most - least) or 0.5
    return (least if least == 0.0 else min(least, low) - margin), max(most, high) + margin
