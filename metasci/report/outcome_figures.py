"""Figures of outcomes that are no Gaussian measurements: stacked probabilities, counts with their intervals, the share
without an event, and whether probabilities mean what they say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta

from metasci.evaluation.outcome_scores import calibration_table
from metasci.outcome_forecasts import OutcomeForecast
from metasci.outcomes import Categorical, Mixed, Ordinal, TimeToEvent
from metasci.report.curves import is_simulated, name_of, only
from metasci.report.marks import legend_below, titled
from metasci.report.style import BLUE, GREY, INK, RED, shades, styled
from metasci.words import label, number, words

if TYPE_CHECKING:
    from metasci.fits.equation import EquationFit

__all__ = ["calibration_curve", "kaplan_meier", "outcome_caption", "outcome_figure", "survival_figure"]

Floats = NDArray[np.float64]

_ACROSS = 3  # tasks beside each other
_MOST_TASKS = 6  # as many panels as other figures of tasks have
_LETTERS = 30  # that fit beside each other above a panel
_NEAR = 0.5  # of the mean distance of bars: below, the narrowest of them are hard to see
_TICKS = 6
_TIMES = 120  # along the curves of survival: their steps look smooth
_DRAWS = 400  # 20 of them lie beyond each end of the 90 % band


def outcome_figure(calibration: EquationFit) -> Figure:
    """Outcomes and what is to be expected of them, for up to six tasks; of times, of all tasks together."""
    kind = getattr(calibration.prior.model.noise, "kind", "")
    if kind == "time":
        return survival_figure(calibration)
    if isinstance(calibration.prior.model.noise, Mixed):
        return _side_by_side_outputs(calibration, calibration.prior.model.noise)
    return _scattered(calibration) if kind in ("count", "deviation") else _probabilities(calibration)


def outcome_caption(calibration: EquationFit) -> str:
    """What the figure shows, in sentences."""
    return {
        "yes or no": "Height of the bars: calibrated probability of yes at each measurement; dashes: that of the prior "
        "alone. Points: what came, yes above and no below.",
        "class": "Areas: calibrated probability of each class at each measurement. Above: the class that came.",
        "grade": "Areas: calibrated probability of each grade at each measurement, lowest grade at the bottom. "
        "Numbers: the grade that came.",
        "count": "Points: counts. Bars: calibrated 90 % interval of a count, dashes its median. Dotted: what the prior "
        "alone expects.",
        "deviation": "Points: deviations. Bars: calibrated 90 % interval of a deviation, dashes its median. Dotted: "
        "the standard deviation that the prior alone expects.",
        "several kinds": "A row for each output. Points: what came. Bars: calibrated 90 % interval of it, of a yes or "
        "no of its probability; dashes: the median. Dotted: what the prior alone expects.",
        "time": "Steps: share without the event, by Kaplan and Meier, with ticks for times that are only known to lie "
        "above. Line and band: what is predicted for the same tasks and conditions, with the 90 % interval of such a "
        "share. Dashed: the prior alone.",
    }[str(getattr(calibration.prior.model.noise, "kind", ""))]


def kaplan_meier(time: ArrayLike, event: ArrayLike, entry: ArrayLike | None = None) -> tuple[Floats, Floats]:
    """Times of events, and the share that is without one just after each; starts at zero with one.

    Of times that are watched from an `entry` on, those count that had been entered by then.

    Source: Kaplan and Meier, JASA 53 (1958) 457; Tsai, Jewell and Wang, Biometrika 74 (1987) 883, for entries.

    Examples
    --------
    >>> times, share = kaplan_meier([1.0, 2.0, 3.0, 4.0], [True, False, True, True])
    >>> times.tolist(), share.tolist()
    ([0.0, 1.0, 3.0, 4.0], [1.0, 0.75, 0.375, 0.0])
    """
    times, came = np.asarray(time, float), np.asarray(event, bool)
    steps = np.unique(times[came])
    watched = times[None, :] >= steps[:, None]
    if entry is not None:
        watched &= np.asarray(entry, float) < steps[:, None]
    at_risk = watched.sum(1)
    events = ((times[None, :] == steps[:, None]) & came & watched).sum(1)
    return np.append(0.0, steps), np.append(1.0, np.cumprod(1.0 - events / np.maximum(at_risk, 1)))


@styled
def survival_figure(calibration: EquationFit) -> Figure:
    """The share without an event, and the predictive band of it."""
    batch, output = calibration.batch, calibration.prior.model.output
    mask = batch.mask.numpy()
    time = batch.output.numpy()[mask]
    came = np.ones_like(time, bool) if batch.upper is None else np.isnan(batch.upper.numpy()[mask])
    grid = np.linspace(0.0, 1.1 * float(time.max()), _TIMES)
    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    axes = figure.subplots()
    forecast, before = _forecasts(calibration)
    entry = _entries(forecast, mask)
    share = _shares_drawn(forecast, mask, grid, entry)
    low, high = np.quantile(share, (0.05, 0.95), axis=0)
    axes.fill_between(grid, low, high, color=BLUE, alpha=0.18, linewidth=0.0)
    if entry is None:
        expected, earlier = (each.survival(grid).numpy()[mask].mean(0) for each in (forecast, before))
    else:
        expected = np.median(share, 0)
        earlier = np.median(_shares_drawn(before, mask, grid, entry), 0)
    axes.plot(grid, expected, color=BLUE, label="predicted")
    axes.plot(grid, earlier, "--", color=GREY, linewidth=1.0, label="prior alone")
    steps, left = kaplan_meier(time, came, entry)
    axes.step(np.append(steps, grid[-1]), np.append(left, left[-1]), where="post", color=INK, label="seen")
    if (~came).any():
        at = left[np.searchsorted(steps, time[~came], side="right") - 1]
        axes.plot(time[~came], at, "|", color=INK, markersize=6)
    axes.set(xlim=(0.0, grid[-1]), ylim=(0.0, 1.02), ylabel="share without the event")
    axes.set_xlabel(label(output.label or words(output.name), output.unit))
    axes.legend(loc="upper right")
    return figure


def _entries(forecast: OutcomeForecast, mask: NDArray[np.bool_]) -> Floats | None:
    """From when on each time was watched; nothing where that is from zero on."""
    outcome = forecast.outcome
    if not (isinstance(outcome, TimeToEvent) and outcome.entry):
        return None
    return np.asarray(forecast.inputs[outcome.entry].expand(mask.shape).numpy()[mask])


def _shares_drawn(
    forecast: OutcomeForecast, mask: NDArray[np.bool_], grid: Floats, entry: Floats | None
) -> Floats:
    """Shares without the event along a grid, of outcomes that are drawn, (draw, time), as they would be seen."""
    drawn = forecast.sample(_DRAWS).numpy()[:, mask]
    if entry is None:
        return np.asarray((drawn[:, :, None] > grid).mean(1))
    shares = []
    for times in drawn:
        steps, left = kaplan_meier(times, np.ones_like(times, bool), entry)
        shares.append(left[np.searchsorted(steps, grid, side="right") - 1])
    return np.array(shares)


@styled
def calibration_curve(yes: ArrayLike, probability: ArrayLike, bins: int = 10) -> Figure:
    """How often yes came, against how often it was expected, with 90 % intervals of the shares.

    Parameters
    ----------
    yes : array
        0 or 1.
    probability : array
        Of yes.
    bins : int
    """
    expected, came, count = calibration_table(yes, probability, bins)
    hits = np.round(came * count)
    low = np.where(hits > 0, beta.ppf(0.05, np.maximum(hits, 1), count - hits + 1), 0.0)
    high = np.where(hits < count, beta.ppf(0.95, hits + 1, np.maximum(count - hits, 1)), 1.0)
    figure = Figure(figsize=(3.6, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.plot((0.0, 1.0), (0.0, 1.0), color=GREY, linewidth=0.8)
    axes.errorbar(
        expected, came, (came - low, high - came), fmt="o-", color=BLUE, markersize=4, linewidth=1.0
    )
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="probability of yes", ylabel="share of yes")
    axes.set_aspect("equal")
    return figure


def _forecasts(calibration: EquationFit) -> tuple[Any, Any]:
    """After and before adaptation, at the measured conditions: of outcomes, an `OutcomeForecast` or `ClassForecast`."""
    from metasci.fits.predictive import predictive

    after, before = (
        predictive(calibration.problem, calibration.adapted, prior=prior) for prior in (False, True)
    )
    return after, before


def _along(calibration: EquationFit, task: int, without: str = "") -> tuple[Floats, str, NDArray[np.int_]]:
    """Places of a task's measurements on an axis, its label, and their order.

    The first input that is different for all of them makes the axis; their number does where there is none.
    """
    batch, model = calibration.batch, calibration.prior.model
    here = batch.mask[task].numpy()
    for name, quantity in model.inputs.items():
        if name == without:
            continue
        values = batch.inputs[name].expand(batch.mask.shape)[task].numpy()[here]
        # where outputs take turns, two of them may have one place
        if len(values) > 1 and len(np.unique(values)) >= (2 if without else len(values)):
            order = np.argsort(values)
            return values[order], label(words(name), quantity.unit), np.flatnonzero(here)[order]
    return np.arange(1.0, here.sum() + 1.0), "measurement", np.flatnonzero(here)


def _panels(calibration: EquationFit) -> tuple[Figure, list[Axes]]:
    count = min(len(calibration.batch), _MOST_TASKS)
    wide = min(count, 3)
    high = -(-count // wide)
    figure = Figure(figsize=(2.6 * wide + 0.6, 2.1 * high + 0.4), layout="constrained")
    grid = figure.subplots(high, wide, squeeze=False, sharey=True)
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    return figure, list(grid.flat[:count])


@styled
def _probabilities(calibration: EquationFit) -> Figure:
    """Stacked probabilities of the grades, or of yes."""
    figure, panels = _panels(calibration)
    forecast, before = _forecasts(calibration)
    outcome = calibration.prior.model.noise
    names = outcome.classes if isinstance(outcome, Categorical) else ()
    stacked = isinstance(outcome, Ordinal | Categorical)
    whole, earlier = forecast.probabilities.numpy(), before.probabilities.numpy()
    levels = np.arange(float(whole.shape[-1]))
    colours = shades(levels, levels)
    for task, axes in enumerate(panels):
        values, axis, rows = _along(calibration, task)
        places = _side_by_side(axes, values)
        came = calibration.batch.output[task].numpy()[rows]
        if stacked:
            low = np.zeros(len(rows))
            for at, colour in enumerate(colours):
                bars = axes.bar(places, whole[task, rows, at], _width(places), low, color=colour)
                if names:
                    bars.patches[0].set_label(names[at])  # one of them is enough for the legend
                low = low + whole[task, rows, at]
            for place, grade in zip(places, came, strict=True):
                said = _short(names[int(grade)], len(places)) if names else f"{grade:.0f}"
                axes.text(place, 1.03, said, ha="center", va="bottom", fontsize=8)
        else:
            axes.bar(places, whole[task, rows, 1], _width(places), color=BLUE, alpha=0.35)
            axes.plot(places, earlier[task, rows, 1], "_", color=GREY, markersize=12)
            axes.plot(places, came, "o", color=RED, markersize=4, clip_on=False)
        axes.set_ylim(0.0, 1.12 if stacked else 1.05)
        axes.set_title(titled(name_of(only(calibration, task)), is_simulated(calibration)))
        axes.set_xlabel(axis)
    panels[0].set_ylabel("probability")
    if names:
        legend_below(figure, panels[0])
    return figure


def _side_by_side(axes: Axes, values: Floats) -> Floats:
    """Where bars stand: at their values, or side by side with their values below, where some are near each other."""
    gaps = np.diff(values)
    if len(values) < 3 or gaps.min() > _NEAR * gaps.mean():
        return values
    places = np.arange(1.0, len(values) + 1.0)
    step = -(-len(values) // _TICKS)
    axes.set_xticks(places[::step], [number(value, 2) for value in values[::step].tolist()])
    return places


def _short(name: str, among: int) -> str:
    """A class as it fits above one of some bars."""
    most = max(1, _LETTERS // max(among, 1))
    return name if len(name) <= most else name[:most]


@styled
def _scattered(calibration: EquationFit) -> Figure:
    """Counts or deviations with the intervals of such."""
    figure, panels = _panels(calibration)
    forecast, before = _forecasts(calibration)
    low, high = (each.numpy() for each in forecast.interval(0.9))
    median, earlier = forecast.quantile(0.5).numpy(), before.mean.numpy()
    for task, axes in enumerate(panels):
        places, axis, rows = _along(calibration, task)
        axes.vlines(places, low[task, rows], high[task, rows], color=BLUE, alpha=0.25, linewidth=7)
        axes.plot(places, median[task, rows], "_", color=BLUE, markersize=10)
        axes.plot(places, earlier[task, rows], ":", color=GREY, linewidth=1.0)
        axes.plot(places, calibration.batch.output[task].numpy()[rows], "o", color=INK, markersize=4)
        axes.set_title(titled(name_of(only(calibration, task)), is_simulated(calibration)))
        axes.set_xlabel(axis)
    if calibration.prior.model.noise.kind == "count":  # type: ignore[attr-defined]
        panels[0].set_ylim(bottom=-0.5)  # all panels have one axis, whose top follows from what is drawn
    output = calibration.prior.model.output
    panels[0].set_ylabel(label(output.label or words(output.name), output.unit))
    return figure


@styled
def _side_by_side_outputs(calibration: EquationFit, outcome: Mixed) -> Figure:
    """Each output in a row of its own, for up to three tasks."""
    forecast, before = _forecasts(calibration)
    low, high = (each.numpy() for each in forecast.interval(0.9))
    median, earlier = forecast.median.numpy(), before.mean.numpy()
    which, model = forecast.which.numpy(), calibration.prior.model
    tasks, outputs = min(len(calibration.batch), _ACROSS), len(outcome.parts)
    figure = Figure(figsize=(2.6 * tasks + 0.6, 2.1 * outputs + 0.4), layout="constrained")
    grid = figure.subplots(outputs, tasks, squeeze=False, sharex="col", sharey="row")
    for task in range(tasks):
        places, axis, rows = _along(calibration, task, without=outcome.by)
        for output in range(outputs):
            axes, own = grid[output, task], which[task, rows] == output
            at, here = places[own], rows[own]
            axes.vlines(at, low[task, here], high[task, here], color=BLUE, alpha=0.25, linewidth=7)
            axes.plot(at, median[task, here], "_", color=BLUE, markersize=10)
            axes.plot(at, earlier[task, here], ":", color=GREY, linewidth=1.0)
            axes.plot(at, calibration.batch.output[task].numpy()[here], "o", color=INK, markersize=4)
            if not task:
                axes.set_ylabel(f"{words(model.output.name)}, {outcome.parts[output].kind} ({output + 1})")
        grid[0, task].set_title(titled(name_of(only(calibration, task)), is_simulated(calibration)))
        grid[-1, task].set_xlabel(axis)
    return figure


def _width(places: Floats) -> float:
    """Of a bar: most of the way to the next."""
    return 0.85 * float(np.diff(places).min()) if len(places) > 1 else 0.85
