"""A panel for each task of a calibration: measurements, its own curve, the population's, and when doses were given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from metasci.errors import InputError
from metasci.report.curves import (
    Axis,
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
from metasci.report.marks import (
    draw_band,
    draw_given,
    draw_measured,
    headline,
    legend_below,
    outer_labels,
    titled,
)
from metasci.report.style import BLUE, GREY, PALETTE, plain_log_axis, styled
from metasci.report.time_axis import along
from metasci.words import label, words

if TYPE_CHECKING:
    from metasci.fits.equation import EquationFit

__all__ = ["can_draw_individual_fits", "individual_fits_figure"]

_MOST_CURVES = 4  # of a panel: more lie on each other


def can_draw_individual_fits(calibration: EquationFit) -> bool:
    """Whether each task's curve can be drawn along time: nothing else varies in it, but perhaps a few values of one."""
    axis = along(calibration)
    others = [name for name in coordinates(calibration) if name != axis.name]
    return not others or (
        len(others) == 1 and len(np.unique(values_of(calibration, others[0]))) <= _MOST_CURVES
    )


@styled
def individual_fits_figure(
    calibration: EquationFit, tasks: Sequence[int | str] | None = None, most: int = 12
) -> Figure:
    """A panel for each task: its measurements, its own curve with the 90 % interval of a measurement, its doses.

    Dashed is the population's curve, at the prior's mean with the task's covariates. Ticks along the bottom are
    the times of doses, and bars those of infusions, where the model takes a history. A limit below which a measurement
    lies is an open triangle. Covariates that change with time are as they were last told. Where a second input takes a
    few values in a task, such as which output is measured, each of them has a colour. The axis of the output is
    logarithmic where noise is and the measurements shown lie more than a factor of thirty apart.

    Parameters
    ----------
    calibration : Calibration
    tasks : sequence of int or str, optional
        Positions or names; by default the first ones.
    most : int
        Panels at most; the title says of how many tasks.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If more varies in the tasks than curves can show; `goodness_of_fit_figure` is there for those.

    Examples
    --------
    >>> import metasci as ms
    >>> fit = ms.load("theophylline").calibrate(ms.dataset("theophylline"))
    >>> [axes.get_title(loc="left") for axes in individual_fits_figure(fit, ["2", "11"]).axes]
    ['subject 2', 'subject 11']
    """
    if not can_draw_individual_fits(calibration):
        raise InputError(
            f"more than {_MOST_CURVES} conditions vary along the tasks of '{calibration.prior.model.name}', so no "
            "curve can be drawn; goodness_of_fit_figure shows the predictions of each."
        )
    chosen = _positions(calibration, tasks)
    axis = along(calibration)
    others = [name for name in coordinates(calibration) if name != axis.name]
    values = np.unique(values_of(calibration, others[0])) if others else np.array([np.nan])
    shown = chosen[:most]
    columns = min(4 if len(shown) > 6 else 3, len(shown))
    rows = -(-len(shown) // columns)
    size = (max(2.1 * columns + 0.5, 4.2), 1.75 * rows + 1.1)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=not others).ravel().tolist()
    for unused in grid[len(shown) :]:
        unused.remove()
    places = grid[: len(shown)]
    tasks_shown = [only(calibration, index) for index in shown]
    for place, task in zip(places, tasks_shown, strict=True):
        _draw_individual(place, task, axis, others, values)
        place.tick_params(labelleft=bool(others) or place.get_subplotspec().is_first_col())
    if is_wide(tasks_shown) and not others:
        measured = np.concatenate([measurements(task) for task in tasks_shown])
        highest = min(places[0].get_ylim()[1], 10.0 * float(measured.max()))  # bands may run away
        places[0].set_ylim(0.5 * float(measured.min()), highest)
        for place in places:
            plain_log_axis(place, "y")
    output = calibration.prior.model.output
    outer_labels(places, axis.label, label(output.label or words(output.name), output.unit))
    if len(shown) < len(calibration.batch) or is_simulated(calibration):
        heading = f"Individual fits: {len(shown)} of {len(calibration.batch)} tasks"
        headline(figure, titled(heading, is_simulated(calibration), 90))
    legend_below(figure, places, columns=5 if columns > 2 else 2)
    return figure


def _positions(calibration: EquationFit, tasks: Sequence[int | str] | None) -> list[int]:
    """Positions of tasks given by position or name."""
    names = list(calibration.batch.names)
    if tasks is None:
        return list(range(len(names)))
    positions = []
    for task in tasks:
        if isinstance(task, str):
            if task not in names:
                raise InputError(f"there is no task '{task}' in this calibration.")
            positions.append(names.index(task))
        elif not 0 <= task < len(names):
            raise InputError(f"there is no task at {task}; there are {len(names)}, from 0 on.")
        else:
            positions.append(int(task))
    if not positions:
        raise InputError("tasks: name at least one.")
    return positions


def _draw_individual(
    place: Axes, task: EquationFit, axis: Axis, others: list[str], values: NDArray[np.float64]
) -> None:
    """One task; each value of another input has a colour."""
    x, y, below = axis.show(values_of(task, axis.name)), measurements(task), below_limit(task)
    upper = upper_ends(task)
    for value, colour in zip(values.tolist(), (BLUE, *PALETTE[1:]), strict=False):
        fixed = {others[0]: value} if others else {}
        here = np.isclose(values_of(task, others[0]), value) if others else np.ones(len(x), dtype=bool)
        if others and not here.any():
            continue
        suffix = f", {words(others[0])} {value:g}" if others else ""
        forecast = curve(task, axis, fixed)
        population = "population curve" + suffix
        place.plot(
            forecast.x,
            forecast.prior,
            color=colour if others else GREY,
            lw=1.2,
            ls=(0, (4, 2.5)),
            label=population,
        )
        draw_band(
            place,
            forecast.x,
            forecast.median,
            forecast.lower,
            forecast.upper,
            colour,
            f"individual, 90 % band{suffix}",
        )
        draw_measured(place, x[here], y[here], below[here], upper[here])
        place.set_xlim(forecast.x[0], forecast.x[-1])
    for name, occasions in given_along(task, axis).items():
        draw_given(place, *occasions, words(name))
    place.set_title(titled(name_of(task), False, 24))
    place.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
