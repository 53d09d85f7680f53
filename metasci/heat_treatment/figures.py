"""Pictures for the metallurgist: a transformation diagram with bands, and the furnace time with its probability."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from metasci.errors import InputError
from metasci.report.marks import draw_band, headline, legend_below, titled
from metasci.report.style import BLUE, GREY, INK, PALETTE, styled
from metasci.words import duration, label, number, with_unit, words

if TYPE_CHECKING:
    from metasci.heat_treatment import FurnaceTime
    from metasci.priors.calibrated import Calibration

__all__ = ["furnace_figure", "logarithmic_time", "transformation_figure"]

_TICKS = (1.0, 10.0, 60.0, 600.0, 3600.0, 36000.0, 360000.0, 3.6e6)


@styled
def transformation_figure(diagram: xr.Dataset) -> Figure:
    """A time–temperature–transformation diagram: the median time to each fraction, with its band.

    Parameters
    ----------
    diagram : xarray.Dataset
        From `metasci.heat_treatment.transformation_diagram`.

    Raises
    ------
    InputError
        If nothing in it happens at any time that is neither zero nor infinite.
    """
    times = diagram["median"].values
    if not (np.isfinite(times) & (times > 0.0)).any():
        raise InputError(
            "none of these values is reached at any of these temperatures: there is nothing to draw."
        )
    diagram = diagram.sortby("temperature")
    figure = Figure(figsize=(5.6, 4.2), layout="constrained")
    axes = figure.subplots()
    celsius = diagram["temperature"].values - 273.15
    for place, value in enumerate(diagram["reaches"].values):
        line = diagram.isel(reaches=place)
        colour = PALETTE[place % len(PALETTE)]
        median, lower, upper = (line[name].values for name in ("median", "lower", "upper"))
        far = 1e3 * np.nanmax(np.where(np.isfinite(median), median, 0.0))
        drawable = np.isfinite(lower) & (lower > 0.0)
        axes.fill_betweenx(
            celsius[drawable],
            lower[drawable],
            np.where(np.isfinite(upper[drawable]), upper[drawable], far),
            color=colour,
            alpha=0.22,
            lw=0,
        )
        drawable = np.isfinite(median) & (median > 0.0)
        axes.plot(median[drawable], celsius[drawable], color=colour, label=_reached(diagram, float(value)))
    finite = diagram["median"].values[np.isfinite(diagram["median"].values)]
    earliest = diagram["lower"].values[diagram["lower"].values > 0.0].min()
    logarithmic_time(axes, 0.5 * float(earliest), 1.5 * float(finite.max()), diagram["median"].attrs["units"])
    axes.set_ylabel("temperature (°C)")
    axes.set_ylim(celsius.min(), celsius.max())
    axes.legend(loc="best")
    band = f"{100 * diagram.attrs['level']:.0f} % bands"
    headline(figure, titled(f"{diagram.attrs['task']}, {band}", diagram.attrs["simulated"] == "true"))
    return figure


@styled
def furnace_figure(
    calibration: Calibration, found: FurnaceTime, at_least: float | None = None, at_most: float | None = None
) -> Figure:
    """The output over time at the furnace's temperature with what is required of it, and the probability below.

    Parameters
    ----------
    calibration : Calibration
    found : FurnaceTime
        From `metasci.heat_treatment.furnace_time`.
    at_least, at_most : float, optional
        What to shade as required, in the output's unit; by default what `found` was asked for. A side without a
        requirement ends with the picture.
    """
    model, table = calibration.prior.model, found.table
    at_least = found.at_least if at_least is None else at_least
    at_most = found.at_most if at_most is None else at_most
    time = table["time"].to_numpy()
    figure = Figure(figsize=(5.6, 5.0), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2.0, 1.0))
    draw_band(
        upper,
        time,
        table["median"].to_numpy(),
        table["lower"].to_numpy(),
        table["upper"].to_numpy(),
        BLUE,
        "90 % interval",
    )
    bottom, top = upper.get_ylim()
    # where what is required lies beyond the curve, the picture reaches as far, or nothing or all of it would be shaded
    limits = [limit for limit in (at_least, at_most) if np.isfinite(limit)]
    margin = 0.05 * (top - bottom)
    bottom, top = (
        min([bottom, *(each - margin for each in limits)]),
        max([top, *(each + margin for each in limits)]),
    )
    if limits:
        required = (max(at_least, bottom), min(at_most, top))
        upper.axhspan(*required, color=PALETTE[2], alpha=0.14, lw=0, label="required")
    upper.set_ylim(bottom, top)
    upper.axvline(found.time, color=INK, lw=0.9, ls=(0, (4, 2.5)))
    upper.set_ylabel(label(model.output.label or words(model.output.name), model.output.unit))
    legend_below(figure, upper)
    lower.plot(time, table["probability"], color=INK)
    lower.axvline(found.time, color=INK, lw=0.9, ls=(0, (4, 2.5)))
    lower.axhline(found.probability, color=GREY, lw=0.8)
    lower.set_ylim(0.0, 1.02)
    lower.set_ylabel("probability")
    logarithmic_time(lower, float(time[0]), float(time[-1]), model.inputs["time"].unit)
    simulated = calibration.tasks.card.simulated
    headline(figure, titled(f"{calibration.batch.names[0]}, {found.temperature - 273.15:.0f} °C", simulated))
    return figure


def _reached(diagram: xr.Dataset, value: float) -> str:
    unit = diagram["reaches"].attrs["units"]
    return f"{100 * value:g} %" if unit == "1" else with_unit(number(value), unit)


def logarithmic_time(axes: Axes, shortest: float, longest: float, unit: str) -> None:
    """A logarithmic axis of time, in words where it is in seconds."""
    axes.set_xscale("log")
    axes.set_xlim(shortest, longest)
    if unit == "s":
        ticks = [tick for tick in _TICKS if shortest <= tick <= longest]
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
        axes.set_xlabel("time")
    else:
        axes.set_xlabel(label("time", unit))
