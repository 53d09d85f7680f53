"""What a regimen that is recommended would do: the forecast after its doses, with its band and the target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from metasci.dosing.course import Course, concentrations, corner_times, next_due
from metasci.dosing.recommendation import dosed
from metasci.dosing.targets import Target
from metasci.fits.posterior import posterior_draws
from metasci.report.curves import Axis, measurements, name_of, values_of
from metasci.report.marks import draw_band, draw_given, draw_measured, draw_within, legend_below, titled
from metasci.report.style import BLUE, styled
from metasci.units import magnitude
from metasci.words import label, number as numbered, words

if TYPE_CHECKING:
    from metasci.fits.equation import EquationFit

__all__ = ["regimen_figure"]

_POINTS, _EARLY = 300, 24  # along the whole course, and closer and closer to each dose, where the curve bends


@styled
def regimen_figure(
    calibration: EquationFit,
    target: Target,
    *,
    dose: float | str,
    interval: float | str,
    number: int = 10,
    start: float | str | None = None,
    duration: float | str = 0.0,
    first: float | str | None = None,
    draws: int = 500,
    seed: int = 0,
) -> Figure:
    """The forecast of a regimen after what a patient was given so far: median and 90 % band of the curve; the target.

    Parameters
    ----------
    calibration : EquationFit
        Of one patient.
    target : Target
        Drawn as a range where it is one of concentrations, and judged in the shaded interval after the last dose.
    dose, interval, number, start, duration, first
        The regimen, as `metasci.dosing.solve_dose` takes it.
    draws, seed : int

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import metasci as ms
    >>> infant = ms.load("phenobarbital").calibrate(ms.dataset("phenobarbital").select(["1"]))
    >>> figure = regimen_figure(infant, Target("trough", 15.0, 25.0), dose=3.0, interval="24 h", number=4, draws=50)
    >>> float(figure.axes[0].get_ylim()[0])
    0.0
    """
    model, history = dosed(calibration)
    unit, time = model.histories[history].unit, model.inputs["time"].unit
    gap, lasting = magnitude(interval, time, "interval"), magnitude(duration, time, "duration")
    size = magnitude(dose, unit, "dose")
    loading = None if first is None else magnitude(first, unit, "first")
    begins = next_due(calibration, history, gap) if start is None else magnitude(start, time, "start")
    course = Course(begins, gap, int(number), lasting, loading)
    ends = begins + gap * number
    planned = begins + gap * np.arange(number)
    inputs = calibration.batch.inputs
    before = (inputs[history] > 0.0) & (inputs[f"{history}_time"] < begins)
    earlier = inputs[f"{history}_time"][before].numpy()
    took = inputs[f"{history}_duration"][before].numpy() if f"{history}_duration" in inputs else 0.0 * earlier
    every = np.concatenate([earlier, planned])
    early = (every[:, None] + gap * np.geomspace(1e-4, 1.0, _EARLY)).ravel()
    peaks = np.concatenate([earlier + took, planned + lasting])
    drawn = posterior_draws(calibration, draws=draws, seed=seed).coordinates
    corners = corner_times(calibration, history, course, [size], drawn, 0.0, ends)
    times = np.unique(
        np.concatenate([np.linspace(0.0, ends, _POINTS), every, every - 1e-6 * gap, peaks, early, corners])
    )
    times = times[(times >= 0.0) & (times <= ends)]
    (curves,) = concentrations(calibration, history, course, [size], drawn, times)
    low, middle, high = np.quantile(curves, (0.05, 0.5, 0.95), axis=0)
    axis = Axis("time", time, time)
    figure = Figure(figsize=(6.4, 3.7), layout="constrained")
    place = figure.subplots()
    place.axvspan(ends - gap, ends, color="0.5", alpha=0.08, lw=0, label="interval judged")
    levels = target.kind in ("trough", "peak", "concentration")
    if levels:
        draw_within(place, target.low, target.high if np.isfinite(target.high) else 1.25 * float(high.max()))
    elif target.threshold is not None:
        place.axhline(target.threshold, color="0.3", lw=1.0, ls=(0, (4, 2.5)), label="threshold")
    draw_band(place, times, middle, low, high, BLUE, "forecast, 90 % band of the curve")
    seen, value = values_of(calibration, "time"), measurements(calibration)
    if model.outputs:
        here = values_of(calibration, "output") == 1.0
        seen, value = seen[here], value[here]
    if len(seen):
        draw_measured(place, seen, value, np.zeros(len(seen), bool), np.full(len(seen), np.nan))
    draw_given(place, every, np.concatenate([earlier + took, planned + lasting]), words(history))
    output = model.first_output
    top = max(
        float(high.max()), target.high if levels and np.isfinite(target.high) else 0.0, *value.tolist(), 0.0
    )
    place.set_xlim(0.0, ends)
    place.set_ylim(0.0, 1.06 * top)
    place.set_xlabel(axis.label)
    place.set_ylabel(label(output.label or words(output.name), output.unit))
    what = f"{numbered(size)} {unit} every {numbered(gap)} {time}"
    if loading is not None:
        what = f"{numbered(loading)} {unit}, then {what}"
    place.set_title(titled(f"{name_of(calibration)}: {what}", False, 60))
    legend_below(figure, place, columns=3)
    return figure
