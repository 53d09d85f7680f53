"""What only one of the three faces shows: a patient's time line, an alloy's maps, the structures of a family."""

from __future__ import annotations

import re
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metasci.app.drawing import Axes, Chart, figure_of, path_of
from metasci.errors import InputError
from metasci.extras import needed
from metasci.fits.equation import EquationFit
from metasci.heat_treatment.diagrams import transformation_diagram
from metasci.priors.calibrated import Calibration
from metasci.report.curves import axis_of, given_along, has_map, measurements, span, values_of
from metasci.report.html import paragraph
from metasci.report.panels import Field, Panel, Series
from metasci.units import convert
from metasci.words import duration, label, number, pretty_unit, with_unit, words

__all__ = ["members", "structures", "tempering", "timeline", "transformation"]

Array = NDArray[np.float64]

_ACROSS, _DOWN = 36, 26  # cells of the map
_SHORTEST, _LONGEST = 60.0, 86400.0  # seconds: a minute to a day, the times that a furnace is set to
_MOST_MEMBERS = 60  # each has a row of its own, and the chart grows with every one
_MARGIN = 12.0  # pixels that half a number takes
_LEVELS = 8  # lines of equal value at most: more would run into each other's numbers
_STOPS = (
    *(0x2F6C8E, 0x2A788E, 0x25848E, 0x21918C, 0x1E9C89, 0x22A884, 0x2FB47C),
    *(0x44BF70, 0x5EC962, 0x7AD151, 0x9BD93C, 0xBDDF26, 0xDFE318, 0xFDE725),
)
"""Viridis (Smith and van der Walt, 2015) without its dark third, on which the contours' numbers are not legible."""
_COLOURS = np.array(_STOPS)
_TEMPERATURES, _DRAWS = 19, 200  # of the transformation diagram: enough for its bands, and quick


def timeline(fit: Any, width: float) -> str:
    """Doses and samples of one patient on a line of time, and as a list in words."""
    if not isinstance(fit, EquationFit) or len(fit.batch) != 1 or "time" not in fit.prior.model.inputs:
        return ""
    axis = axis_of(fit, "time")
    low, high = (float(end) for end in axis.show(np.array(span(fit, "time"))))
    sampled = axis.show(values_of(fit, "time"))
    doses = _doses(fit)
    largest = max((amount for _, _, amount in doses), default=1.0)
    unit_of = {name: pretty_unit(each.unit) for name, each in fit.prior.model.histories.items()}
    symbol = next(iter(unit_of.values()), "")

    def under(across: Any, down: Any) -> str:
        parts = []
        for begin, end, amount in doses:
            top = down(0.25 + 0.6 * amount / largest)
            wide = max(across(end) - across(begin), 3.0)
            parts.append(
                f'<rect class="given" x="{across(begin):.1f}" y="{top:.1f}" width="{wide:.1f}" '
                f'height="{down(0.0) - top:.1f}"/>'
            )
        if len(doses) <= 8:
            parts += [
                f'<text class="tick" x="{across(begin):.1f}" y="{down(0.3 + 0.6 * amount / largest):.1f}">'
                f"{number(amount)} {escape(symbol)}</text>"
                for begin, _, amount in doses
            ]
        parts += [
            f'<circle class="point" cx="{across(float(at)):.1f}" cy="{down(0.12):.1f}" r="4"/>'
            for at in sampled
        ]
        return "".join(parts)

    what = [
        f"{number(amount)} {symbol} at {number(begin)} {axis.shown}"
        + (f", given over {number(end - begin)} {axis.shown}" if end > begin else "")
        for begin, end, amount in doses
    ]
    levels = [
        f"{with_unit(number(float(value)), fit.prior.model.output.unit)} at {number(float(at))} {axis.shown}"
        for at, value in zip(sampled, measurements(fit), strict=True)
    ]
    series = (Series("sampled", sampled, measurements(fit), points=True),)
    panel = Panel("", axis.label, words(fit.prior.model.output.name), series)
    chart = Chart(
        "", axis.label, "", Axes((low, high), (0.0, 1.15)), (), under=under, height=138.0, panel=panel
    )
    sentences = "Doses: " + ("; ".join(what) if what else "as the table's columns say, at time 0") + ". "
    sentences += "Samples: " + ("; ".join(levels) if levels else "none") + "."
    return figure_of([chart], width, "Time line of doses (bars) and samples (dots).").replace(
        'class="chart"', 'class="chart bare"'
    ) + paragraph(sentences, "note")


def tempering(fit: Any, width: float) -> str:
    """The calibrated median over time and temperature, with lines of equal value and the measurements."""
    if not isinstance(fit, EquationFit) or len(fit.batch) != 1 or not has_map(fit):
        return ""
    import contourpy

    output, axis = fit.prior.model.output, axis_of(fit, "temperature")
    time, kelvin = np.geomspace(_SHORTEST, _LONGEST, _ACROSS), np.linspace(*span(fit, "temperature"), _DOWN)
    predicted = fit.predict(time=_in_model(fit, time)[None, :], temperature=kelvin[:, None]).isel(task=0)
    values = predicted["median"].to_numpy()
    shown = axis.show(kelvin)
    low, high = float(values.min()), float(values.max())
    step = shown[1] - shown[0]
    edges = np.sqrt(time[1:] * time[:-1])
    ends = np.concatenate([[time[0]], edges, [time[-1]]])
    lines = contourpy.contour_generator(np.log(time), shown, values)
    levels = _round_levels(low, high)
    seconds = np.asarray(values_of(fit, "time")) * (
        3600.0 if fit.prior.model.inputs["time"].unit == "h" else 1.0
    )
    at, degrees = seconds, axis.show(values_of(fit, "temperature"))

    def under(across: Any, down: Any) -> str:
        parts = []
        for row, degree in enumerate(shown.tolist()):
            top, bottom = down(degree + 0.5 * step), down(degree - 0.5 * step)
            for column in range(_ACROSS):
                colour = _colour((values[row, column] - low) / ((high - low) or 1.0))
                left, right = across(ends[column]), across(ends[column + 1])
                parts.append(
                    f'<rect fill="{colour}" x="{left:.1f}" y="{top:.1f}" width="{right - left + 0.6:.1f}" '
                    f'height="{bottom - top + 0.6:.1f}"/>'
                )
        for level in levels:
            for line in lines.lines(level):
                corners = np.asarray(line, dtype=float)
                x = [across(float(np.exp(each))) for each in corners[:, 0]]
                y = [down(float(each)) for each in corners[:, 1]]
                parts.append(f'<path class="contour" d="{path_of(x, y)}"/>')
                # a number at the edge would be cut in two
                inside = [each for each in range(len(x)) if _is_inside(x[each], y[each], across, down, shown)]
                if inside:
                    middle = inside[len(inside) // 2]
                    parts.append(
                        f'<text class="contour" x="{x[middle]:.1f}" y="{y[middle] + 4:.1f}">{number(level)}</text>'
                    )
        parts += [
            f'<circle class="test" cx="{across(float(second)):.1f}" cy="{down(float(degree)):.1f}" r="5"/>'
            for second, degree in zip(at, degrees, strict=True)
            if second > 0.0
        ]
        return "".join(parts)

    title = label(output.label or words(output.name), output.unit)
    field = Field(title, time, shown, values)
    panel = Panel("", "time", axis.label, (), field=field, durations=True)
    chart = Chart(
        title,
        "time",
        axis.label,
        Axes((_SHORTEST, _LONGEST), (float(shown[0]), float(shown[-1])), x_is_log=True),
        (),
        under=under,
        durations=True,
        panel=panel,
    )
    drawn = figure_of([chart], width, "Map over time and temperature; circles are your tests.")
    return drawn.replace('class="chart"', 'class="chart fixed"')


def transformation(fit: Any, width: float) -> str:
    """When the output reaches some values at every temperature, with 90 % bands: a TTT diagram."""
    if not isinstance(fit, Calibration) or len(fit.batch) != 1 or not has_map(fit):
        return ""
    output, axis = fit.prior.model.output, axis_of(fit, "temperature")
    kelvin = np.linspace(*span(fit, "temperature"), _TEMPERATURES)
    seconds = 3600.0 if fit.prior.model.inputs["time"].unit == "h" else 1.0
    if output.unit == "1":
        reaches = [0.01, 0.5, 0.99]
    else:
        corners = fit.predict(
            time=_in_model(fit, np.array([_SHORTEST, _LONGEST]))[None, :],
            temperature=np.quantile(kelvin, (0.1, 0.9))[:, None],
        )["median"]
        reaches = _round_levels(float(corners.min()), float(corners.max()), 4)
    diagram = transformation_diagram(fit, kelvin, reaches=reaches, draws=_DRAWS)
    looks = ("curve", "other", "third", "fourth", "prior")
    shown = axis.show(kelvin)
    parts = []
    series = []
    for place, value in enumerate(reaches):
        median, lower, upper = (
            np.clip(diagram[name].isel(reaches=place).to_numpy() * seconds, 1e-3, 1e12)
            for name in ("median", "lower", "upper")
        )
        name = f"{number(100 * value)} %" if output.unit == "1" else with_unit(number(value), output.unit)
        parts.append((name, looks[place % len(looks)], median, lower, upper))
        inside = (median >= _SHORTEST) & (median <= _LONGEST)
        series.append(Series(name, np.where(inside, median, np.nan), shown, points=True))

    def under(across: Any, down: Any) -> str:
        texts = []
        for name, look, median, lower, upper in parts:
            around = [(across(low), down(degree)) for low, degree in zip(lower, shown, strict=True)]
            around += [(across(high), down(degree)) for high, degree in zip(upper, shown, strict=True)][::-1]
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in around)
            texts.append(f'<polygon class="band {look}" points="{points}"/>')
            x, y = [across(float(at)) for at in median], [down(float(degree)) for degree in shown]
            texts.append(f'<path class="line {look}" d="{path_of(x, y)}"/>')
            inside = np.flatnonzero((median > 1.3 * _SHORTEST) & (median < 0.6 * _LONGEST))
            if len(inside):
                spot = inside[len(inside) // 2]
                texts.append(
                    f'<text class="contour" x="{x[spot] + 5:.1f}" y="{y[spot] + 4:.1f}">{escape(name)}</text>'
                )
        return "".join(texts)

    seen = tuple(line for line in series if np.isfinite(line.x).any())
    panel = Panel("", "time", axis.label, seen, durations=True)
    chart = Chart(
        f"time until {output.label or words(output.name)} is reached",
        "time",
        axis.label,
        Axes((_SHORTEST, _LONGEST), (float(shown[0]), float(shown[-1])), x_is_log=True),
        (),
        under=under,
        durations=True,
        panel=panel,
    )
    last = [(line.name, np.flatnonzero(np.isfinite(line.x))[-1], line.x) for line in seen]
    words_of = "; ".join(
        f"{name} after {duration(float(times[at]))} at {number(float(shown[at]))} °C"
        for name, at, times in last
    )
    return figure_of([chart], width, f"Time–temperature diagram with 90 % bands. {words_of}.")


def members(fit: Any, width: float) -> str:
    """Members of a family: what was measured, what is predicted with its interval, what the prior alone said."""
    if isinstance(fit, EquationFit):
        return ""
    output = fit.prior.model.output
    frame = fit.table().head(_MOST_MEMBERS)
    count = len(frame)
    place = np.arange(count, dtype=float)
    ends = frame[["lower", "upper", "prior", output.name]].to_numpy(dtype=float)
    low, high = float(np.nanmin(ends)), float(np.nanmax(ends))
    margin = 0.05 * (high - low) or 1.0
    names = [_name(row, fit) for row in frame.to_dict("records")]
    columns = {
        name: frame[name].to_numpy(dtype=float)
        for name in ("lower", "upper", "predicted", "prior", output.name)
    }

    def under(across: Any, down: Any) -> str:
        parts = []
        for row in range(count):
            y = down(row)
            low_end, high_end = across(columns["lower"][row]), across(columns["upper"][row])
            parts.append(f'<path class="interval" d="M{low_end:.1f} {y + 6:.1f}H{high_end:.1f}"/>')
            parts.append(f'<path class="tickmark" d="M{across(columns["prior"][row]):.1f} {y + 1:.1f}v10"/>')
            parts.append(
                f'<circle class="curve" cx="{across(columns["predicted"][row]):.1f}" cy="{y + 6:.1f}" r="4"/>'
            )
            if np.isfinite(columns[output.name][row]):
                x = across(columns[output.name][row])
                parts.append(f'<path class="diamond" d="M{x:.1f} {y:.1f}l5 6l-5 6l-5 -6z"/>')
            parts.append(
                f'<text class="tick" x="{across(low - margin) + 2:.1f}" y="{y - 3:.1f}">{escape(names[row])}</text>'
            )
        return "".join(parts)

    series = (
        Series(
            "90 % interval",
            0.5 * (columns["lower"] + columns["upper"]),
            place,
            columns["lower"],
            columns["upper"],
        ),
        Series("predicted", columns["predicted"], place, points=True),
        Series("measured", columns[output.name], place, points=True),
        Series("prior alone", columns["prior"], place, points=True),
    )
    title = label(output.label or words(output.name), output.unit)
    panel = Panel("", title, "", series, rows=tuple(names))
    chart = Chart(
        "",
        title,
        "",
        Axes((low - margin, high + margin), (count - 0.3, -0.8)),
        (),
        under=under,
        height=34.0 * count + 80.0,
        panel=panel,
    )
    what = "Members: bars are 90 % intervals, dots predictions, diamonds measurements, ticks the prior alone."
    return figure_of([chart], width, what).replace('class="chart"', 'class="chart bare"') + paragraph(
        what, "note"
    )


def structures(fit: Any) -> str:
    """The molecules of a family, drawn by RDKit, with what is predicted of them."""
    if isinstance(fit, EquationFit):
        return ""
    inputs = [name for name in fit.prior.model.inputs if fit.tasks.card.column(name).kind == "smiles"]
    if not inputs:
        return ""
    try:
        chemistry = needed("rdkit.Chem", "materials", "drawing structures")
        drawing = needed("rdkit.Chem.Draw.rdMolDraw2D", "materials", "drawing structures")
    except InputError as error:
        return paragraph(str(error), "note")
    output = fit.prior.model.output
    parts = []
    for row in fit.table().head(_MOST_MEMBERS).to_dict("records"):
        text = str(row[inputs[0]])
        molecule = chemistry.MolFromSmiles(text)
        if molecule is None:
            continue
        canvas = drawing.MolDraw2DSVG(190, 130)
        drawing.PrepareAndDrawMolecule(canvas, molecule)
        canvas.FinishDrawing()
        picture = re.sub(r"<\?xml.*?\?>|<!--.*?-->", "", canvas.GetDrawingText(), flags=re.DOTALL).strip()
        alternative = f"Structure of {text}"
        picture = picture.replace(
            "<svg ", f'<svg role="img" aria-label="{escape(alternative)}" class="fixed" ', 1
        )
        measured = row[output.name]
        value = (
            f"measured {with_unit(number(measured, 4), output.unit)}"
            if measured == measured
            else f"predicted {number(row['predicted'], 4)} ({number(row['lower'], 4)} to {number(row['upper'], 4)}) "
            f"{pretty_unit(output.unit)}"
        )
        parts.append(
            f"<li>{picture}<span>{escape(text)}</span><span class='note'>{escape(value)}</span></li>"
        )
    return f'<ul class="structures">{"".join(parts)}</ul>'


def _name(row: dict[Any, Any], fit: Any) -> str:
    """A member's structure with its conditions."""
    inputs = fit.prior.model.inputs
    parts = [
        row[name] if isinstance(row[name], str) else with_unit(number(row[name]), each.unit)
        for name, each in inputs.items()
    ]
    return ", ".join(str(part) for part in parts)[:60]


def _doses(fit: EquationFit) -> list[tuple[float, float, float]]:
    """Begin, end and amount of every dose of a single patient, on the axis of time."""
    axis = axis_of(fit, "time")
    doses = []
    for name, (begins, ends) in given_along(fit, axis).items():
        amounts = fit.batch.inputs[name].cpu().numpy().ravel()
        doses += list(zip(begins.tolist(), ends.tolist(), amounts[amounts != 0.0].tolist(), strict=True))
    return sorted(doses)


def _round_levels(low: float, high: float, most: int = _LEVELS) -> list[float]:
    from metasci.app.drawing import ticks_of

    return [level for level in ticks_of(low, high, most) if low < level < high]


def _is_inside(x: float, y: float, across: Any, down: Any, shown: Array) -> bool:
    """Whether the number of a contour has its place there."""
    left, right = across(_SHORTEST) + _MARGIN, across(_LONGEST) - _MARGIN
    top, bottom = down(float(shown[-1])) + _MARGIN, down(float(shown[0])) - _MARGIN
    return bool(left <= x <= right and top <= y <= bottom)


def _in_model(fit: Any, seconds: Array) -> Array:
    """Times in the unit of the model."""
    return convert(seconds, "s", fit.prior.model.inputs["time"].unit)


def _colour(share: float) -> str:
    """The colour of a value by its share of the range, between two stops."""
    place = share * (len(_COLOURS) - 1)
    red, green, blue = (
        round(float(np.interp(place, np.arange(len(_COLOURS)), _COLOURS >> bits & 255)))
        for bits in (16, 8, 0)
    )
    return f"#{red:02x}{green:02x}{blue:02x}"
