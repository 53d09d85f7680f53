"""Parameters against the prior."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from metasci.report.curves import is_simulated
from metasci.report.marks import legend_below
from metasci.report.style import BLUE, GREY, RULE, plain_log_axis, styled
from metasci.words import label, words

if TYPE_CHECKING:
    from metasci.fits.equation import EquationFit
    from metasci.parameters import Parameter

__all__ = ["parameters_figure"]

_MOST_ROWS = 12  # tasks of a figure, each a line of text high


@styled
def parameters_figure(
    calibration: EquationFit, tasks: Sequence[int] | None = None, level: float = 0.9
) -> Figure:
    """Intervals of the parameters against those of the prior, in physical units.

    Parameters
    ----------
    calibration : Calibration
    tasks : sequence of int, optional
        Positions of the tasks to show; the first twelve by default.
    level : float

    Returns
    -------
    matplotlib.figure.Figure
    """
    data = calibration.to_xarray(level=level, predictions=False)
    data = data.isel(task=list(range(len(data.task)) if tasks is None else tasks)[:_MOST_ROWS])
    parameters = list(calibration.prior.model.parameters)
    count, single = data.sizes["task"], data.sizes["task"] == 1
    columns = 1 if single else min(len(parameters), 4)
    rows = -(-len(parameters) // columns)
    height = 0.78 * rows + 0.5 if single else rows * (0.24 * count + 0.9) + 0.4
    figure = Figure(figsize=(5.4 if single else 2.0 * columns + 1.4, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=not single).ravel().tolist()
    for unused in axes[len(parameters) :]:
        unused.remove()
    for place, parameter in zip(axes, parameters, strict=False):
        _intervals(place, parameter, data.sel(parameter=parameter.name), single)
    if not single:
        axes[0].set_yticks(range(count), [str(name) for name in data.task.values])
        axes[0].set_ylim(count - 0.4, -0.6)
    legend_below(figure, axes[0])
    if is_simulated(calibration):
        figure.suptitle("Parameters (simulated data)", x=0.01, ha="left", fontsize=10, fontweight="bold")
    return figure


def _intervals(place: Axes, parameter: Parameter, values: Any, single: bool) -> None:
    """One parameter: a thin grey bar for the prior, a blue one with its estimate for the calibration."""
    count = values.sizes["task"]
    apart = 0.22 if single else 0.16
    for prefix, shift, name, colour in (
        ("", -apart, "calibrated", BLUE),
        ("prior", apart, "prior alone", GREY),
    ):
        at = np.arange(count) + shift
        lower, upper = (
            values["_".join(filter(None, (prefix, end)))].to_numpy() for end in ("lower", "upper")
        )
        place.hlines(at, lower, upper, color=colour, lw=3.0, alpha=0.45, label=name)
        place.plot(
            values[prefix or "estimate"].to_numpy(), at, "o", color=colour, ms=5.5, mec="white", mew=0.8
        )
    text = label(words(parameter.name), parameter.unit)
    if parameter.positive:
        plain_log_axis(place)
    else:
        place.xaxis.set_major_locator(MaxNLocator(4 if not single else 6))
    if single:
        place.set_ylim(0.65, -0.65)
        place.set_title(text, fontweight="normal", fontsize=8.5, pad=2)
        place.set_yticks([])
        place.spines["left"].set_visible(False)
    else:
        place.set_xlabel(text)
        place.grid(axis="y", color=RULE, lw=0.4, alpha=0.6)
        place.tick_params(axis="y", length=0)
