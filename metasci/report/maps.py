"""Time and temperature as a map: calibrated output, and how wide its interval is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from metasci.data.hardness import range_of, scale_of
from metasci.errors import InputError
from metasci.report.contour_labels import label_places
from metasci.report.curves import (
    Axis,
    axis_of,
    has_map,
    is_simulated,
    measurements,
    name_of,
    only,
    span,
    values_of,
)
from metasci.report.map_ends import (
    beyond_law,
    beyond_scale,
    hollomon_jaffe_after_an_hour,
    is_tempering,
    kelvin_of,
)
from metasci.report.marks import headline, titled
from metasci.report.style import GREY, INK, styled
from metasci.report.values import remember_field
from metasci.units import convert, unit
from metasci.words import duration, label, number, words

if TYPE_CHECKING:
    from metasci.fits.equation import EquationFit

Array = NDArray[np.float64]
__all__ = ["tempering_map"]

_TICKS = (1.0, 10.0, 60.0, 600.0, 3600.0, 36000.0, 360000.0)


@styled
def tempering_map(
    calibration: EquationFit,
    task: int = 0,
    *,
    shortest: float | None = None,
    longest: float | None = None,
    temperatures: tuple[float, float] | None = None,
    points: int = 60,
) -> Figure:
    """Median over time (logarithmic) and temperature with the measurements on it, and the 90 % interval's width.

    Parameters
    ----------
    calibration : Calibration
        Of a model whose inputs are ``time`` and ``temperature``.
    task : int
        Position of the task.
    shortest, longest : float, optional
        In seconds; by default from a minute to a day, and as far as was measured.
    temperatures : tuple of float, optional
        In kelvin; by default the range that the prior has seen.
    points : int
        Along each axis.

    Returns
    -------
    matplotlib.figure.Figure

    Notes
    -----
    Hatched is what lies off the scale of hardness, such as below 20 HRC, and, of a law of tempering, what lies above
    Ac1, where austenite forms (see `metasci.kinetics.critical_temperature`). Of a law of tempering the right edge is
    Hollomon and Jaffe's parameter after an hour, T·(20 + lg t): other times move it by T for every factor of ten.
    """
    if not has_map(calibration):
        raise InputError(
            f"a map of time and temperature needs these two inputs, which {calibration.prior.model.name} does not have."
        )
    single = only(calibration, task)
    output, axis = single.prior.model.output, axis_of(single, "temperature")
    quantity = output.label or words(output.name)
    seconds = convert(values_of(single, "time"), single.prior.model.inputs["time"].unit, "s")
    shortest = min([60.0, *seconds[seconds > 0.0]]) if shortest is None else shortest
    longest = max([86400.0, *seconds]) if longest is None else longest
    if not 0.0 < shortest < longest:
        raise InputError(f"shortest ({shortest:g}) must be above zero and below longest ({longest:g}).")
    time = np.geomspace(shortest, longest, points)
    temperature = np.linspace(*(temperatures or span(single, "temperature")), points)
    forecast = single.predict(time=time[None, :] * unit("s"), temperature=temperature[:, None]).isel(task=0)
    median, width = forecast["median"].to_numpy(), (forecast["upper"] - forecast["lower"]).to_numpy()
    off_scale = beyond_scale(output.unit, median)
    off_law = np.broadcast_to((temperature > beyond_law(single))[:, None], median.shape)
    off = off_scale | off_law
    figure = Figure(figsize=(8.2, 3.9), layout=ConstrainedLayoutEngine(wspace=0.05))
    left, right = figure.subplots(1, 2, sharey=True)
    inside = (seconds >= shortest) & (seconds <= longest)
    barred = np.stack(np.meshgrid(time, axis.show(temperature)), -1)[off]
    x, y = seconds[inside], axis.show(values_of(single, "temperature"))[inside]
    for place, values, colours, title in (
        (left, median, _part("viridis", 0.3, 1.0), label(quantity, output.unit)),
        (right, width, _part("BuPu", 0.0, 0.7), label("width of the 90 % interval", output.unit)),
    ):
        _time_axis(place, shortest, longest)
        levels = MaxNLocator(11).tick_values(float(values.min()), float(values.max()))
        mesh = (time, axis.show(temperature), values)
        filled = place.contourf(*mesh, levels, cmap=colours)
        filled.set_rasterized(True)
        lines = place.contour(*mesh, levels, colors=INK, linewidths=0.5, alpha=0.7)
        remember_field(place, title, time, axis.show(temperature), values)
        spots = label_places(place, lines, np.column_stack([x, y]), barred)
        for text in place.clabel(lines, fmt=number, fontsize=8, manual=spots):
            text.set_path_effects([withStroke(linewidth=2.2, foreground="white")])  # legible on every colour
        place.scatter(x, y, s=52, c=INK, zorder=5, linewidths=0)
        if place is left:  # where the model is right, a point has the colour of what lies around it
            shown = measurements(single)[inside]
            place.scatter(x, y, s=30, c=shown, cmap=colours, norm=filled.norm, zorder=6, linewidths=0)
        else:
            place.scatter(x, y, s=30, c="white", zorder=6, linewidths=0)
        place.set_title(title, fontweight="normal")
        place.set_xlabel("time")
        _hatch(place, time, axis.show(temperature), off)
    if off.any():
        _explain_hatch(figure, off_scale, off_law, output.unit)
    if is_tempering(calibration):
        _hollomon_jaffe_axis(right, axis)
    left.set_ylabel(axis.label)
    headline(figure, titled(name_of(single), is_simulated(calibration)))
    return figure


def _hatch(axes: Axes, time: Array, temperature: Array, off: NDArray[np.bool_]) -> None:
    """Mark where nothing is to be read off."""
    if off.any():
        axes.contourf(time, temperature, off.astype(float), [0.5, 1.5], colors="none", hatches=["////"])


def _explain_hatch(
    figure: Figure, off_scale: NDArray[np.bool_], off_law: NDArray[np.bool_], unit: str
) -> None:
    why = []
    if off_scale.any():
        low, high = range_of(scale_of(unit), "HV")
        why.append(f"outside of {number(low)} to {number(high)} {unit}")
    if off_law.any():
        why.append("above Ac1")
    figure.supxlabel(f"hatched: {' or '.join(why)}", fontsize=7.5, color=GREY)


def _hollomon_jaffe_axis(axes: Axes, shown: Axis) -> None:
    """Hollomon and Jaffe's parameter after an hour, on the right."""

    def to_parameter(value: ArrayLike) -> ArrayLike:
        return hollomon_jaffe_after_an_hour(convert(np.asarray(value, float), shown.shown, "K"))

    def back(parameter: ArrayLike) -> ArrayLike:
        return convert(kelvin_of(np.asarray(parameter, float)), "K", shown.shown)

    beside = axes.secondary_yaxis("right", functions=(to_parameter, back))
    beside.set_ylabel("T (20 + lg t/h) after 1 h, 10³ K")


def _part(name: str, low: float, high: float) -> ListedColormap:
    """Part of a colour map: dark enough or pale enough for what is written on it."""
    return ListedColormap(matplotlib.colormaps[name](np.linspace(low, high, 256)))


def _time_axis(axes: Axes, shortest: float, longest: float) -> None:
    axes.set_xscale("log")
    axes.set_xlim(shortest, longest)
    ticks = [tick for tick in (*_TICKS, 86400.0) if shortest <= tick <= longest]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
