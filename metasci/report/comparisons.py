"""Figures that hold methods against each other: errors by number of shots, parity, and two bands over the same data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter, ScalarFormatter

from metasci.report.marks import draw_band, draw_parity, draw_points, legend_below, titled
from metasci.report.style import BLUE, GREY, PALETTE, styled
from metasci.words import label

__all__ = ["Band", "comparison_figure", "parity_figure", "shots_figure"]


@dataclass(frozen=True)
class Band:
    """What one method says along an axis.

    Attributes
    ----------
    name : str
        For the legend.
    x, median, lower, upper : array, (point,)
        In the units of the axes.
    reference : bool
        Whether it is only held beside the others: it is then grey and dashed.
    """

    name: str
    x: np.ndarray
    median: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    reference: bool = False


@styled
def comparison_figure(
    bands: Sequence[Band],
    x: np.ndarray,
    y: np.ndarray,
    support: np.ndarray,
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    simulated: bool = False,
) -> Figure:
    """Bands of several methods over the same data.

    Parameters
    ----------
    bands : sequence of Band
    x, y : array, (measurement,)
    support : array of bool, (measurement,)
        Which measurements calibrated (filled); the others were kept back (hollow).
    xlabel, ylabel : str
        With units, as `metasci.words.label` writes them.
    title : str
    simulated : bool
        Whether the data are simulated; the title then says so.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(5.8, 3.9), layout="constrained")
    axes = figure.subplots()
    colours = iter(PALETTE)
    for band in bands:
        colour = GREY if band.reference else next(colours)
        draw_band(
            axes,
            band.x,
            band.median,
            band.lower,
            band.upper,
            colour,
            band.name,
            band.reference,
            not band.reference,
        )
    used = np.asarray(support, dtype=bool)
    draw_points(axes, np.asarray(x)[~used], np.asarray(y)[~used], "kept back", hollow=True)
    draw_points(axes, np.asarray(x)[used], np.asarray(y)[used], "used to calibrate")
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.set_title(titled(title, simulated))
    low, high = _worth_showing(bands, np.asarray(y))
    axes.set_ylim(low if low == 0.0 else low - 0.04 * (high - low), high + 0.04 * (high - low))
    axes.set_xlim(min(float(band.x.min()) for band in bands), max(float(band.x.max()) for band in bands))
    legend_below(figure, axes, columns=3)
    return figure


def _worth_showing(bands: Sequence[Band], measured: np.ndarray) -> tuple[float, float]:
    """All of the data, and of the bands what does not run away from them."""
    low, high = float(measured.min()), float(measured.max())
    room = 0.6 * (high - low) or 1.0
    lowest = min(float(np.nanmin(band.lower)) for band in bands)
    highest = max(float(np.nanmax(band.upper)) for band in bands)
    return max(min(lowest, low), low - room), min(max(highest, high), high + room)


@styled
def parity_figure(
    measured: np.ndarray,
    predicted: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    *,
    quantity: str,
    unit: str,
    title: str = "",
    simulated: bool = False,
) -> Figure:
    """Predicted against measured values, with intervals.

    Parameters
    ----------
    measured, predicted, lower, upper : array, (measurement,)
    quantity, unit : str
        What they are, for the axes.
    title : str
    simulated : bool

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(4.2, 4.2), layout="constrained")
    axes = figure.subplots()
    draw_parity(axes, measured, predicted, lower, upper, BLUE)
    axes.set_xlabel(label(f"measured {quantity}", unit))
    axes.set_ylabel(label(f"predicted {quantity}", unit))
    axes.set_title(titled(title, simulated))
    return figure


@styled
def shots_figure(
    evaluation: Mapping[str, Any],
    *,
    title: str = "",
    reference: Mapping[str, Mapping[int, float]] | None = None,
) -> Figure:
    """Error against the number of measurements that calibrate, for each method.

    Parameters
    ----------
    evaluation : mapping
        As `metasci.evaluate` gives it: ``results`` with method, shots and rmse, and ``unit``.
    title : str
    reference : mapping, optional
        Figures from elsewhere, by name and number of shots; drawn grey.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(5.0, 3.5), layout="constrained")
    axes = figure.subplots()
    results = evaluation["results"]
    methods = list(dict.fromkeys(row["method"] for row in results))
    for method, colour, marker in zip(methods, (*PALETTE, *PALETTE), "os^Dvp<>hX*8", strict=False):
        rows = sorted((row["shots"], row["rmse"]) for row in results if row["method"] == method)
        axes.plot(
            *zip(*rows, strict=True), color=colour, marker=marker, ms=5, mec="white", mew=0.7, label=method
        )
    for name, values in (reference or {}).items():
        axes.plot(list(values), list(values.values()), "x", color=GREY, ms=5.5, mew=1.4, label=name)
    errors = np.array([row["rmse"] for row in results])
    if errors.max() > 8.0 * errors.min() > 0.0:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(0.0, None)
        axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_locator(FixedLocator(sorted({row["shots"] for row in results})))
    axes.set_xlabel("measurements that calibrate a new task")
    axes.set_ylabel(label("error on those kept back, RMSE", evaluation.get("unit", "1")))
    axes.set_title(title)
    legend_below(figure, axes, columns=3)
    return figure
