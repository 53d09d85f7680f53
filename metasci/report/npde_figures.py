"""Figures of normalised prediction distribution errors against N(0, 1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from metasci.report.curves import Axis
from metasci.report.marks import headline
from metasci.report.residuals import running_median
from metasci.report.style import BLUE, GREY, RED, plain_log_axis, styled
from metasci.report.time_axis import spread_out
from metasci.words import enumerated, label, number

__all__ = ["npde_figure", "scatter_along"]

_QUIET: dict[str, Any] = {"fontweight": "normal", "fontsize": 8}


@styled
def npde_figure(errors: xr.Dataset) -> Figure:
    """NPDE as quantiles and as a histogram against N(0, 1), along time, and along the prediction.

    Parameters
    ----------
    errors : xarray.Dataset
        As `normalised_prediction_errors` gives it.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import metasci as ms
    >>> from metasci.report import normalised_prediction_errors
    >>> errors = normalised_prediction_errors(ms.load("theophylline"), ms.dataset("theophylline"), simulations=200)
    >>> npde_figure(errors).axes[2].get_xlabel()
    'time (h)'
    """
    figure = Figure(figsize=(6.8, 6.0), layout="constrained")
    quantiles, histogram, over_time, over_prediction = figure.subplots(2, 2).ravel().tolist()
    finite = np.isfinite(errors["npde"].values)
    values = errors["npde"].values[finite]
    axis = Axis(errors.attrs["along"], errors[errors.attrs["along"]].attrs["units"], errors.attrs["shown"])
    _draw_quantiles(quantiles, values)
    _draw_histogram(histogram, values)
    predicted = errors["prediction"].values[finite]
    at = axis.show(errors[axis.name].values[finite])
    scatter_along(over_time, at, values)
    spread_out(over_time, at)
    scatter_along(over_prediction, predicted, values)
    over_time.set_xlabel(axis.label)
    unit = errors["prediction"].attrs["units"]
    over_prediction.set_xlabel(label("population prediction", unit))
    if len(predicted) and (predicted > 0).all() and predicted.max() > 100.0 * predicted.min():
        plain_log_axis(over_prediction)
    for place in (over_time, over_prediction):
        place.set_ylabel("NPDE")
    origin = " (simulated data)" if errors.attrs["data_simulated"] else ""
    headline(figure, f"Normalised prediction distribution errors{origin}{_said(errors)}")
    attrs = errors.attrs
    quantiles.set_title(
        f"mean {number(attrs['mean'], 2)} ({_probability(attrs['p_mean'])}), "
        f"variance {number(attrs['variance'], 3)} ({_probability(attrs['p_variance'])})",
        **_QUIET,
    )
    histogram.set_title(f"{attrs['count']} errors, normal shape {_probability(attrs['p_normal'])}", **_QUIET)
    handles, names = quantiles.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4)
    return figure


def _said(errors: xr.Dataset) -> str:
    """From which prior they are, and how many tasks are not shown, and which."""
    provenance = (
        f"\n{errors.attrs['simulations']} simulations from the prior '{errors.attrs['simulated_from']}'"
    )
    if errors.attrs["learned_from_these"]:
        provenance += ", learned from the same data"
    if lost := list(errors.attrs["not_decorrelated"]):
        count = f"{len(lost)} of {errors.sizes['task']} tasks ({enumerated(lost)})"
        provenance += f"\nnot decorrelated and not shown: {count}"
    return provenance


def _probability(value: float) -> str:
    return "p < 0.001" if value < 1e-3 else f"p = {number(value, 2)}"


def _draw_quantiles(place: Axes, values: NDArray[np.float64]) -> None:
    """Sorted values against normal quantiles, with the pointwise 95 % band of as many independent normal numbers."""
    from scipy.special import ndtri
    from scipy.stats import beta

    count = len(values)
    rank = np.arange(1, count + 1)
    expected = ndtri((rank - 0.5) / max(count, 1))
    ends = [ndtri(beta.ppf(tail, rank, count + 1 - rank)) for tail in (0.025, 0.975)]
    place.fill_between(expected, ends[0], ends[1], color=GREY, alpha=0.25, lw=0, label="95 % of N(0, 1)")
    place.plot(expected, expected, color=GREY, lw=1.0, label="N(0, 1)")
    place.plot(expected, np.sort(values), "o", color=BLUE, ms=3.2, mew=0, alpha=0.75, label="measurements")
    place.plot([], [], color=RED, label="running median")
    place.set_xlabel("quantile of N(0, 1)")
    place.set_ylabel("NPDE, sorted")


def _draw_histogram(place: Axes, values: NDArray[np.float64]) -> None:
    reach = max(3.25, float(np.abs(values).max(initial=0.0)) + 0.25)
    edges = np.arange(-np.ceil(reach / 0.5) * 0.5, reach + 0.5, 0.5)
    place.hist(values, edges.tolist(), density=len(values) > 0, color=BLUE, alpha=0.55, ec="white", lw=0.6)
    line = np.linspace(-reach, reach, 200)
    place.plot(line, np.exp(-0.5 * line**2) / np.sqrt(2.0 * np.pi), color=GREY, lw=1.4)
    place.set_xlabel("NPDE")
    place.set_ylabel("density")


def scatter_along(place: Axes, x: NDArray[np.float64], values: NDArray[np.float64]) -> None:
    """Errors with their running median, the lines at zero and those that hold 95 % of N(0, 1)."""
    place.axhline(0.0, color=GREY, lw=1.0)
    for end in (-1.96, 1.96):
        place.axhline(end, color=GREY, lw=0.9, ls=(0, (4, 2.5)))
    place.plot(x, values, "o", color=BLUE, ms=3.2, mew=0, alpha=0.75)
    place.plot(*running_median(x, values), color=RED)
    reach = max(3.0, 1.08 * float(np.abs(values).max(initial=0.0)))
    place.set_ylim(-reach, reach)
    place.xaxis.set_major_locator(MaxNLocator(6))
