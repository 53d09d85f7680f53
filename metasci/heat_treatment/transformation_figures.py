"""Pictures of a steel's transformations: the TTT and CCT diagram with their bands, and hardness along a Jominy bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metasci.errors import InputError
from metasci.heat_treatment.figures import logarithmic_time
from metasci.report.marks import draw_band, headline, legend_below, titled
from metasci.report.style import BLUE, FAINT, GREY, INK, PALETTE, styled

if TYPE_CHECKING:
    from metasci.heat_treatment.cooled import Cooled
    from metasci.heat_treatment.cooling import CoolingCurve
    from metasci.heat_treatment.transformations import Martensite

__all__ = ["cooling_figure", "jominy_figure", "products_figure"]

_ICE = 273.15
_SHOWN = 7  # cooling curves that are drawn and named
_OFTEN = 0.5  # share of draws in which a product has to form, for its place to be drawn


@styled
def products_figure(
    diagram: xr.Dataset,
    *,
    martensite: Martensite | None = None,
    measured: pd.DataFrame | None = None,
    title: str = "",
) -> Figure:
    """A TTT diagram of several products: start and finish of each, with bands, and Ms with its uncertainty.

    Parameters
    ----------
    diagram : xarray.Dataset
        From `Transformations.diagram`.
    martensite : Martensite, optional
    measured : DataFrame, optional
        Columns ``product``, ``temperature`` (K) and ``time`` (s).
    title : str
    """
    figure = Figure(figsize=(6.2, 4.6), layout="constrained")
    axes = figure.subplots()
    celsius = diagram["temperature"].values - _ICE
    floor = -np.inf if martensite is None else martensite.start - _ICE
    reaches = diagram["reaches"].values
    drawn = np.isfinite(diagram["median"].values) & (celsius > floor)
    if not drawn.any():
        raise InputError("none of the products forms at any of these temperatures: there is nothing to draw.")
    latest = _latest(
        diagram["median"].values[drawn], None if measured is None else measured["time"].to_numpy()
    )
    for at, product in enumerate(diagram["product"].values):
        colour = PALETTE[at % len(PALETTE)]
        for place, reached in enumerate(reaches):
            line = diagram.isel(product=at, reaches=place)
            median, lower, upper = (line[name].values for name in ("median", "lower", "upper"))
            there = np.isfinite(median) & (celsius > floor)
            axes.fill_betweenx(
                celsius,
                np.where(there, lower, np.nan),
                np.where(np.isfinite(upper), upper, latest),
                where=there,
                color=colour,
                alpha=0.2,
                lw=0,
            )
            dashes = "-" if place == 0 else (0, (4, 2.5))
            axes.plot(
                np.where(there, median, np.nan),
                celsius,
                color=colour,
                ls=dashes,
                label=f"{product}, {100 * reached:g} %",
            )
        if measured is not None:
            own = measured[measured["product"] == product]
            axes.plot(
                own["time"],
                own["temperature"] - _ICE,
                "o",
                color=colour,
                ms=4.5,
                mec="white",
                mew=0.6,
                zorder=5,
            )
    earliest = min(float(diagram["lower"].values[drawn].min()), 1.0)
    logarithmic_time(axes, 0.7 * earliest, latest, "s")
    bottom = celsius.min() if martensite is None else min(celsius.min(), floor - 3.0 * martensite.sd - 20.0)
    axes.set_ylim(bottom, celsius.max())
    _draw_martensite(axes, martensite)
    axes.set_ylabel("temperature (°C)")
    legend_below(figure, axes)
    band = f"{100 * diagram.attrs['level']:.0f} % bands"
    shown = f"{title}, {band}" if title else f"Time–temperature–transformation, {band}"
    headline(figure, titled(shown, diagram.attrs["simulated"] == "true"))
    return figure


@styled
def cooling_figure(
    cooled: Cooled, *, martensite: Martensite | None = None, level: float = 0.9, title: str = ""
) -> Figure:
    """A CCT diagram: cooling curves, where each product begins and ends along them, and Ms.

    Parameters
    ----------
    cooled : Cooled
        From `Transformations.cool`, along five curves or more, slow and fast.
    martensite : Martensite, optional
    level : float
        Of the bands, in temperature.
    title : str
    """
    figure = Figure(figsize=(6.2, 4.6), layout="constrained")
    axes = figure.subplots()
    times = cooled.times(level)
    for at, product in enumerate(cooled.products):
        colour = PALETTE[at % len(PALETTE)]
        for event, dashes in (("begins", "-"), ("ends", (0, (4, 2.5)))):
            own = times[(times["product"] == product) & (times["event"] == event)]
            own = own[own["probability"] >= _OFTEN].sort_values("time [s]")
            if not len(own):
                continue
            x = own["time [s]"]
            axes.fill_between(
                x,
                own["temperature lower [degC]"],
                own["temperature upper [degC]"],
                color=colour,
                alpha=0.18,
                lw=0,
            )
            axes.plot(x, own["temperature [degC]"], color=colour, ls=dashes, label=f"{product} {event}")
    latest = 2.0 * float(times["time [s]"].max()) if len(times) else max(c.time[-1] for c in cooled.curves)
    earliest = min(float(np.interp(-900.0, -curve.temperature, curve.time)) for curve in cooled.curves)
    logarithmic_time(axes, max(0.3 * earliest, 1e-3), latest, "s")
    axes.set_ylim(0.0, max(float(curve.temperature[0]) for curve in cooled.curves) - _ICE)
    for curve in _some(cooled):
        _draw_curve(axes, curve.time, curve.temperature - _ICE, curve.name, latest)
    _draw_martensite(axes, martensite)
    axes.set_ylabel("temperature (°C)")
    legend_below(figure, axes)
    headline(figure, titled(title or "Continuous cooling by additivity", cooled.simulated))
    return figure


@styled
def jominy_figure(
    distance: np.ndarray,
    hardness: pd.DataFrame,
    *,
    measured: pd.DataFrame | None = None,
    title: str = "",
    simulated: bool = False,
) -> Figure:
    """Hardness of the mixture along a Jominy specimen, by the distance from its quenched end.

    Parameters
    ----------
    distance : array, mm
    hardness : DataFrame
        From `Cooled.hardness`, a row for each distance.
    measured : DataFrame, optional
        Columns ``distance`` (mm) and ``hardness`` (HRC).
    title : str
    simulated : bool
    """
    figure = Figure(figsize=(5.6, 3.9), layout="constrained")
    axes = figure.subplots()
    rockwell = hardness["hardness [HRC]"].notna().to_numpy()
    scale = "HRC" if rockwell.all() else "HV"
    middle, lower, upper = (
        hardness[f"{name} [{scale}]"].to_numpy() for name in ("hardness", "lower", "upper")
    )
    draw_band(axes, np.asarray(distance), middle, lower, upper, BLUE, "by the shares of the constituents")
    if measured is not None and scale == "HRC":
        axes.plot(
            measured["distance"], measured["hardness"], "o", color=INK, ms=4.8, mec="white", label="measured"
        )
        legend_below(figure, axes)
    axes.set_xlabel("distance from the quenched end (mm)")
    axes.set_ylabel(f"hardness ({scale})")
    axes.set_xlim(left=0.0)
    headline(figure, titled(title or "Jominy specimen, hardness from the diagram", simulated))
    return figure


def _latest(median: np.ndarray, measured: np.ndarray | None) -> float:
    """Where a TTT diagram ends: near equilibrium times grow beyond all bounds, and nobody waits for them."""
    if measured is not None and len(measured):
        return 30.0 * float(np.max(measured))
    return 3.0 * float(np.quantile(median, 0.8))


def _draw_martensite(axes: Axes, martensite: Martensite | None) -> None:
    if martensite is None:
        return
    celsius = martensite.start - _ICE
    if martensite.sd > 0.0:
        axes.axhspan(
            celsius - 1.645 * martensite.sd, celsius + 1.645 * martensite.sd, color=GREY, alpha=0.18, lw=0
        )
    axes.axhline(celsius, color=INK, lw=0.9)
    axes.annotate(
        "Ms", (1.0, celsius), xycoords=("axes fraction", "data"), xytext=(3, -3), textcoords="offset points"
    )


def _draw_curve(axes: Axes, time: np.ndarray, celsius: np.ndarray, name: str, latest: float) -> None:
    """A cooling curve with its name where it leaves the picture."""
    if len(time) == 2:  # a straight line is a bent one on a logarithm of time
        share = np.geomspace(1e-4, 1.0, 80)
        time, celsius = time[0] + share * (time[1] - time[0]), celsius[0] + share * (celsius[1] - celsius[0])
    axes.plot(time, celsius, color=FAINT, lw=0.8, zorder=1)
    inside = time <= latest
    if inside.any():
        at = int(np.flatnonzero(inside)[-1])
        low = float(np.interp(np.log(latest), np.log(np.maximum(time, 1e-9)), celsius))
        where = (min(float(time[at]), latest), max(low, 8.0))
        axes.annotate(
            name, where, fontsize=6.5, color=GREY, rotation=90, ha="right", va="bottom", annotation_clip=True
        )


def _some(cooled: Cooled) -> list[CoolingCurve]:
    """A few curves from the fastest to the slowest."""
    count = min(_SHOWN, len(cooled.curves))
    places = sorted({round(at) for at in np.linspace(0, len(cooled.curves) - 1, count)})
    return [cooled.curves[at] for at in places]
