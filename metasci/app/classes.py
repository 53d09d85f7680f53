"""A fit whose outcomes are classes: the probability of every class as curves, as a table, and as an answer."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from metasci.app.drawing import Axes, Chart, Mark, figure_of
from metasci.fits.equation import EquationFit
from metasci.outcomes import Categorical
from metasci.report.curves import axis_of, coordinates, measurements, name_of, only, span, values_of
from metasci.report.html import table
from metasci.report.panels import Series
from metasci.words import label, number, words

__all__ = ["class_charts", "class_predictions", "classes_figure", "likeliest_in_words", "names_of_classes"]

_LOOKS = ("curve", "other", "third", "fourth")
_MOST_CHARTS = 6  # as of other fits
_POINTS = 60  # of a curve: probabilities are means over many points each


def names_of_classes(fit: Any) -> tuple[str, ...]:
    """The classes of a fit, none where its outcomes are no classes."""
    noise = fit.prior.model.noise
    return noise.classes if isinstance(noise, Categorical) and isinstance(fit, EquationFit) else ()


def classes_figure(fit: EquationFit, width: float) -> str:
    """The charts of `class_charts`, and which line is which class."""
    lines = "".join(
        f'<span><svg class="strip" aria-hidden="true" width="26" height="10"><path class="line {_look(at)}" '
        f'd="M2 5H24"/></svg>{escape(name)}</span> '
        for at, name in enumerate(names_of_classes(fit))
    )
    what = "Probability of every class with its 90 % band; dots: what came, on the line of its class."
    legend = f'<p class="legend">{lines}<span><i class="swatch point"></i>what came</span></p>'
    return figure_of(class_charts(fit), width, what) + legend


def class_charts(fit: EquationFit) -> list[Chart]:
    """A chart for each task: along its input the probability of every class, with 90 % bands, and what came.

    Where there is no single input to draw along, measurements stand in the order of their rows.
    """
    tasks = [only(fit, place) for place in range(min(len(fit.batch), _MOST_CHARTS))]
    names = coordinates(fit)
    if len(names) != 1:
        return [_by_rows(one, name_of(one) if len(tasks) > 1 else "") for one in tasks]
    axis = axis_of(fit, names[0])
    charts = []
    for one in tasks:
        low, high = span(one, names[0])
        points = np.unique(np.concatenate([np.linspace(low, high, _POINTS), values_of(one, names[0])]))
        conditions: dict[str, Any] = {names[0]: points}
        predicted = one.predict(**conditions).isel(task=0)
        x = axis.show(points)
        curves = {name: predicted[f"probability_{name}"].to_numpy() for name in names_of_classes(fit)}
        bands = [
            Mark(
                Series(
                    name,
                    x,
                    values,
                    predicted[f"probability_{name}_lower"].to_numpy(),
                    predicted[f"probability_{name}_upper"].to_numpy(),
                ),
                _look(at),
            )
            for at, (name, values) in enumerate(curves.items())
        ]
        at = axis.show(values_of(one, names[0]))
        along = np.array([np.interp(at, x, values) for values in curves.values()])
        came = along[measurements(one).astype(int), np.arange(len(at))] if len(at) else at
        marks = (*bands, Mark(Series("what came", at, came, points=True), "points"))
        title = name_of(one) if len(tasks) > 1 else ""
        charts.append(Chart(title, axis.label, _probability(fit), Axes(_ends(x), (0.0, 1.0)), marks))
    return charts


def class_predictions(fit: EquationFit) -> str:
    """What came, the likeliest class, and the probability of every class, a row for each measurement."""
    frame, output = fit.at_measurements(), fit.prior.model.output
    inputs = [name for name in fit.prior.model.inputs if name in frame]
    classes = names_of_classes(fit)
    units = [label(words(name), fit.prior.model.inputs[name].unit) for name in inputs]
    header = [*units, output.label or words(output.name), "likeliest", *(f"P({name})" for name in classes)]
    rows = [
        [
            *(row[name] if isinstance(row[name], str) else number(row[name], 4) for name in inputs),
            str(row[output.name]),
            str(row["predicted"]),
            *(number(row[f"predicted_probability_{name}"], 2) for name in classes),
        ]
        for row in frame.to_dict("records")
    ]
    return table(header, rows, range(len(inputs) + 2, len(header)))


def likeliest_in_words(
    predicted: xr.Dataset, classes: tuple[str, ...]
) -> tuple[str, tuple[tuple[str, ...], ...]]:
    """Of a prediction of one task at one point: the likeliest class in words, and a row for each class."""
    likeliest = str(predicted["likeliest"].values.squeeze())
    rows = []
    for name in classes:
        middle, low, high, prior = (
            float(predicted[key].squeeze())
            for key in (
                f"probability_{name}",
                f"probability_{name}_lower",
                f"probability_{name}_upper",
                f"prior_probability_{name}",
            )
        )
        rows.append((name, number(middle, 2), f"{number(low, 2)} to {number(high, 2)}", number(prior, 2)))
    best = next(row for row in rows if row[0] == likeliest)
    return f"{best[0]}, with probability {best[1]} (90 % interval {best[2]})", tuple(rows)


def _by_rows(one: EquationFit, title: str) -> Chart:
    """The probability of every class, measurement by measurement."""
    frame = one.at_measurements()
    x = np.arange(1.0, len(frame) + 1.0)
    curves = {name: frame[f"predicted_probability_{name}"].to_numpy(float) for name in names_of_classes(one)}
    marks = [Mark(Series(name, x, values), _look(at)) for at, (name, values) in enumerate(curves.items())]
    each = np.array(list(curves.values()))
    came = each[measurements(one).astype(int), np.arange(len(x))] if len(x) else x
    marks.append(Mark(Series("what came", x, came, points=True), "points"))
    return Chart(title, "row", _probability(one), Axes(_ends(x), (0.0, 1.0)), tuple(marks))


def _ends(x: NDArray[np.float64]) -> tuple[float, float]:
    return (float(x[0]), float(x[-1])) if len(x) > 1 else (0.0, 2.0)


def _probability(fit: EquationFit) -> str:
    output = fit.prior.model.output
    return f"probability of {output.label or words(output.name)}"


def _look(place: int) -> str:
    return _LOOKS[place % len(_LOOKS)]
