"""The sections of a calibration's report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from metasci.data.cards import owning_up
from metasci.data.conditions import followed
from metasci.fits.beside import beside_line
from metasci.fits.individual import reference_label
from metasci.report.curves import (
    Axis,
    axis_of,
    below_limit,
    coordinates,
    has_map,
    is_of_patients,
    is_simulated,
    measurements,
    name_of,
    upper_ends,
    values_of,
)
from metasci.report.figures import calibration_figure, parameters_figure
from metasci.report.html import Section, bullets, definitions, figure, notice, page, paragraph, table
from metasci.report.individual_fits import can_draw_individual_fits, individual_fits_figure
from metasci.report.inputs import calibrated_with, what_was_given
from metasci.report.maps import tempering_map
from metasci.report.patient_summary import exposure_rows, own_parameters, published_provenance
from metasci.report.pharmacometric import goodness_of_fit_figure
from metasci.report.reading import what_was_read
from metasci.words import enumerated, label, number, pretty_unit, with_unit, words

if TYPE_CHECKING:
    from metasci.fits.equation import EquationFit

__all__ = ["calibration_report", "sections_of", "title_of"]

_MOST_TASKS = 20  # whose numbers a reader compares by eye; `save` writes all
_MOST_FITS = 12  # panels: a page of them
_MOST_ROWS = 200  # of a table; `save` writes all
_SHRINKAGE = (
    "Shrinkage is the variance that is left over the variance that the prior had: near 1 the measurements say little "
    "and the estimate is the prior's; near 0 the estimate is the measurements' own."
)
_NO_DEVICE = (
    "This is not a medical device. It is a research calculation, it has not been validated for the care of patients, "
    "and no dose may be decided by it."
)
_SIMULATED = "The measurements in this report are simulated; none of them was made on a real thing."


def title_of(calibration: EquationFit) -> tuple[str, str]:
    """Title and the sentence under it."""
    model, batch = calibration.prior.model, calibration.batch
    what = model.output.label or words(model.output.name)
    who = name_of(calibration) if len(batch) == 1 else f"{len(batch)} tasks"
    count = int(batch.mask.sum())
    title = owning_up(f"{what[:1].upper()}{what[1:]}: {who}", is_simulated(calibration))
    measured = f"{count} measurement{'s' * (count != 1)}"
    kind = "published" if "published" in calibration.prior.training else "learned"
    return (
        title,
        f"{model.name} calibrated from {measured} with the {kind} prior '{calibration.prior.name}'.",
    )


def sections_of(calibration: EquationFit) -> list[Section]:
    """All sections, in the order in which they are read."""
    return [
        Section("", _notices(calibration)),
        Section("Measurements and prediction", _pictures(calibration)),
        *_population(calibration),
        Section("Parameters", _parameters(calibration)),
        Section(_second(calibration), _noise(calibration) + _laws(calibration)),
        Section("Measured and predicted values", _predictions(calibration)),
        *what_was_given(calibration),
        *what_was_read(calibration),
        Section("Where it comes from", _provenance(calibration)),
    ]


def _second(calibration: EquationFit) -> str:
    """What outcomes scatter by has a name of its own."""
    plain = calibration.prior.model.noise.measures
    return "Noise and physical laws" if plain else "The law of the outcomes, and physical laws"


def _notices(calibration: EquationFit) -> str:
    parts = []
    if is_simulated(calibration):
        parts.append(notice(_SIMULATED))
    if is_of_patients(calibration):
        parts.append(notice(_NO_DEVICE))
    warnings = calibration.warnings
    body = bullets(warnings) if warnings else paragraph("None.")
    return "".join([*parts, "<h2>Warnings</h2>", body])


def _pictures(calibration: EquationFit) -> str:
    count = len(calibration.batch)
    first = "" if count <= 6 else f" The first six of {count} tasks are shown."
    if not calibration.prior.model.noise.measures:
        from metasci.report.outcome_figures import outcome_caption, outcome_figure

        of_all = getattr(calibration.prior.model.noise, "kind", "") == "time"
        caption = outcome_caption(calibration) + ("" if of_all else first)
        return figure(outcome_figure(calibration), caption, "Outcomes with what the calibrated model expects")
    if 1 <= len(coordinates(calibration)) <= 2:
        caption = (
            "Points: measurements. Solid line and band: calibrated median and 90 % interval of a measurement. "
            "Dashed: what the prior alone would have said." + _marks(calibration) + first
        )
    else:
        caption = "Predicted against measured values, with 90 % intervals; on the line they agree." + first
    pictures = figure(
        calibration_figure(calibration), caption, "Measurements with the calibrated model and the prior"
    )
    if count == 1 and has_map(calibration):
        caption = (
            "Left: calibrated median over time and temperature, with the measurements coloured by what was measured. "
            "Right: how wide the 90 % interval of a measurement is; it is narrow where the measurements speak."
        )
        pictures += figure(tempering_map(calibration), caption, "Map over time and temperature")
    return pictures


def _marks(calibration: EquationFit) -> str:
    """What further marks a figure along time may have."""
    text = ""
    if calibration.prior.model.histories:
        text += " Marks along the bottom: amounts given."
    if followed(calibration.prior.model):
        text += " Covariates are as they were last told."
    if below_limit(calibration).any():
        text += " Open triangles: limits, below which the true values lie."
    upper = upper_ends(calibration)
    if np.isposinf(upper).any():
        text += " Triangles that point up: limits, above which the true values lie."
    if np.isfinite(upper).any():
        text += " Upright bars: intervals, within which the true values lie."
    return text


def _population(calibration: EquationFit) -> list[Section]:
    """Of several patients: each one's fit, and how good they are together."""
    count = len(calibration.batch)
    if not calibration.prior.model.noise.measures:
        return []
    if count == 1 or not is_of_patients(calibration):
        return []
    text = ""
    if can_draw_individual_fits(calibration):
        caption = (
            "Points: measurements. Solid line and band: each task's own curve and the 90 % interval of a measurement. "
            "Dashed: the population's curve with the task's covariates." + _marks(calibration)
        )
        first = "" if count <= _MOST_FITS else f" The first {_MOST_FITS} of {count} tasks are shown."
        fits = individual_fits_figure(calibration, most=_MOST_FITS)
        text = figure(fits, caption + first, "Measurements and curve of each task")
    caption = (
        "Above: measured against predicted values, of the population and of each task. Below: conditional weighted "
        "residuals, which scatter like N(0, 1) where the model holds."
    )
    goodness = figure(
        goodness_of_fit_figure(calibration), caption, "Measured against predicted values, and residuals"
    )
    return [Section("Individual fits and goodness of fit", text + goodness)]


def _parameters(calibration: EquationFit) -> str:
    own = own_parameters(calibration, _MOST_TASKS)
    if own is None:
        return _calibrated(calibration)
    header, rows, note = own
    rows_table = _task_table(header, rows, range(2, len(header) - 1), several=len(calibration.batch) > 1)
    return rows_table + paragraph(note, "note") + _exposure(calibration) + _calibrated(calibration)


def _exposure(calibration: EquationFit) -> str:
    """The patient's exposure in the last and the next dosing interval."""
    rows = exposure_rows(calibration)
    if not rows:
        return ""
    header = ["exposure", "interval", "estimate", "90 % interval", "unit"]
    return table(header, rows, (2, 3)) + paragraph(
        "Next: if the last dose is given again, an interval after it.", "note"
    )


def _calibrated(calibration: EquationFit) -> str:
    """The parameters that were calibrated, which are the reference's where covariates act on them."""
    frame = calibration.table()
    kept = frame[frame["task"].isin(list(calibration.batch.names[:_MOST_TASKS]))]
    about = {parameter.name: parameter.description for parameter in calibration.prior.model.parameters}
    rows = []
    for row in kept.to_dict("records"):
        text = ", ".join(filter(None, (words(row["name"]), about[row["name"]])))
        estimate = number(row["estimate"], 4, trim=False)
        shrinkage = f"{row['shrinkage']:.2f}" if row["shrinkage"] == row["shrinkage"] else "—"
        interval, prior = (
            _interval(row, ""),
            f"{number(row['prior'], trim=False)} ({_interval(row, 'prior_')})",
        )
        rows.append([row["task"], text, estimate, interval, prior, pretty_unit(row["unit"]), shrinkage])
    header = ["task", "parameter", "estimate", "90 % interval", "prior (90 % interval)", "unit", "shrinkage"]
    rows_table = _task_table(header, rows, (2, 3, 4, 6), several=len(calibration.batch) > 1)
    more = _left_out(len(calibration.batch) - _MOST_TASKS, "tasks")
    caption = "Estimates and 90 % intervals, calibrated and of the prior alone."
    whom = reference_label(calibration)
    if whom:
        caption += f" They are those of the {whom}; the patients' own stand in the table above."
    return rows_table + more + paragraph(_SHRINKAGE, "note") + figure(parameters_figure(calibration), caption)


def _interval(row: Mapping[Any, Any], prefix: str) -> str:
    return f"{number(row[f'{prefix}lower'], trim=False)} to {number(row[f'{prefix}upper'], trim=False)}"


def _task_table(header: list[str], rows: list[list[str]], numbers: Iterable[int], several: bool) -> str:
    """A table with the task in front, named once; without that column where there is one task only."""
    if not several:
        return table(header[1:], [row[1:] for row in rows], [place - 1 for place in numbers])
    before = ["", *(row[0] for row in rows)]
    named = [["" if row[0] == last else row[0], *row[1:]] for row, last in zip(rows, before, strict=False)]
    return table(header, named, numbers)


def _left_out(count: int, what: str) -> str:
    return (
        paragraph(f"{count} further {what} are in the tables written beside this page.", "note")
        if count > 0
        else ""
    )


def _noise(calibration: EquationFit) -> str:
    model = calibration.prior.model
    unit = pretty_unit(model.output.unit)
    names = {
        "sd": f"standard deviation{f', {unit}' if unit else ''}",
        "cv": "fraction of the prediction",
        "log_sd": "on the logarithm",
        "early": "times greater at first",
    }

    def said(name: str) -> str:
        scale, _, place = name.rpartition("_")
        return (
            f"output {place}, {names[scale]}" if place.isdigit() and scale in names else names.get(name, name)
        )

    pairs = {f"Noise, {said(name)}": number(value) for name, value in calibration.noise.items()}
    if not model.noise.measures:
        law = type(model.noise).__name__
        pairs = {"Outcomes": f"{getattr(model.noise, 'kind', '')}, {law}"}
        pairs |= {words(name): number(value) for name, value in calibration.noise.items()}
    if calibration.local_error is not None:
        worst = number(float(calibration.local_error.max()))
        pairs["Differential equation, greatest local error"] = f"{worst} of what the tolerance allows a step"
    for row in calibration.beside_equation.head(_MOST_TASKS).to_dict("records"):
        head, _, rest = beside_line(row, model.output.unit).partition(": ")
        of_task = "" if len(calibration.batch) == 1 else f", {row['task']}"
        pairs[f"{head[:1].upper()}{head[1:]}{of_task}"] = rest
    return definitions(pairs)


def _laws(calibration: EquationFit) -> str:
    if not calibration.prior.model.constraints:
        return paragraph("The model states no physical law.")
    model, laws, rows = calibration.prior.model, calibration.laws(), []
    axes = {name: axis_of(calibration, name) for name in model.inputs}
    for law, group in laws.groupby("law", sort=False):
        broken, checked = group[group["satisfied"].eq(False)], group["satisfied"].notna()
        tasks, verdict, where = enumerated([str(task) for task in broken["task"]], most=3), "satisfied", ""
        if not checked.all():
            verdict = "not checked: no point tells of it"
            if checked.any():
                verdict = (
                    f"satisfied in the {int(checked.sum())} of {len(group)} tasks in which it was checked"
                )
        if not broken.empty:
            worst = broken.to_dict("records")[int(np.argmax(broken["violation"].fillna(np.inf)))]
            verdict = "not satisfied: the curve is not a finite number"
            if np.isfinite(worst["violation"]):
                size = with_unit(number(worst["violation"]), model.output.unit)
                verdict = f"broken by up to {size}"
            at = {name: worst[name] for name in axes if np.isfinite(worst[name])}
            where = ", ".join(f"{words(name)} {axes[name].text(value)}" for name, value in at.items())
        rows.append([f"{model.output.name} {law}".replace("_", " "), verdict, where, tasks])
    header = [f"physical law, at {_looked_at(calibration)}", "verdict", "most at", "broken by"]
    if not any(row[3] for row in rows):
        header, rows = header[:2], [row[:2] for row in rows]
    return table(header, rows)


def _looked_at(calibration: EquationFit) -> str:
    """Where laws are checked, in words."""
    collocation = calibration.prior.model.collocation
    if collocation is None:
        return "the measured conditions"
    return f"the measured and {len(next(iter(collocation.points.values())))} further conditions"


def _predictions(calibration: EquationFit) -> str:
    frame, model = calibration.at_measurements(), calibration.prior.model
    axes = {name: axis_of(calibration, name) for name in model.inputs}
    input_values = {name: values_of(calibration, name) for name in model.inputs}
    measured, below, upper = measurements(calibration), below_limit(calibration), upper_ends(calibration)
    classes = tuple(model.noise.codes)
    rows = []
    for place, row in enumerate(frame.head(_MOST_ROWS).to_dict("records")):
        at = [_condition(axis, float(input_values[name][place])) for name, axis in axes.items()]
        if classes:
            spelled = [
                f"{row[name]} ({number(row[f'{name}_probability_{row[name]}'], 2)})"
                for name in ("predicted", "prior")
            ]
            rows.append([row["task"], *at, classes[int(measured[place])], *spelled])
            continue
        spelled = [
            f"{number(row[name], trim=False)} ({_interval(row, f'{name}_')})"
            for name in ("predicted", "prior")
        ]
        sign = "<" if below[place] else ">" if np.isposinf(upper[place]) else ""
        value = f"{sign}{number(measured[place], 4)}"
        if np.isfinite(upper[place]):
            value += f" to {number(upper[place], 4)}"
        rows.append([row["task"], *at, value, *spelled])
    conditions = [words(name) if axis.unit == "s" else axis.label for name, axis in axes.items()]
    header = ["task", *conditions, label("measured", model.output.unit)]
    beside = "its probability" if classes else "90 % interval"
    header += [f"predicted ({beside})", f"prior alone ({beside})"]
    rows_table = _task_table(header, rows, range(1, len(header)), several=len(calibration.batch) > 1)
    return rows_table + _left_out(len(frame) - _MOST_ROWS, "rows")


def _condition(axis: Axis, value: float) -> str:
    return axis.text(value) if axis.unit == "s" else number(float(axis.show(value)), 4)


def _provenance(calibration: EquationFit) -> str:
    prior, attrs = calibration.prior, calibration.tasks.dataset.attrs
    training, card = prior.training, prior.card
    checksum = str(attrs.get("checksum", ""))
    # a user's own file is read by the prior's card, whose source is not that of the file
    own = attrs.get("name") == card.name and checksum != (card.sha256 or training.get("data_sha256"))
    data = {
        "Measurements": "given by the user" if own else str(attrs.get("title", "") or attrs.get("name", "")),
        "Their source": "" if own else str(attrs.get("source", "")),
        "Their licence": "" if own else str(attrs.get("licence", "")),
        "Simulated": "yes" if is_simulated(calibration) else "no",
        "SHA-256 of the file": checksum,
        "Calibrated with": calibrated_with(),
    }
    versions = training.get("versions", {})
    if "published" in training:
        return definitions(data) + definitions(published_provenance(prior))
    within = [name for name in prior.model.inputs if name != "time"] if prior.model.individual else []
    learned = {
        "Model": f"{prior.model.name}: {_first_sentence(prior.model.description)}",
        "Prior": f"{prior.name}, {prior.method.name}",
        "Learned from": card.title or card.name,
        "Source": card.source,
        "Licence of the data": card.licence,
        "Tasks and measurements": f"{training.get('tasks', '?')} and {training.get('measurements', '?')}",
        "Covariates": ", ".join(words(name) for name in prior.covariates.names) or "none",
        "Covariates inside of the model": ", ".join(words(name) for name in within),
        "Seed": str(training.get("seed", "")),
        "Versions in training": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "SHA-256 of the data": str(training.get("data_sha256", "")),
    }
    return definitions(data) + definitions(learned)


def _first_sentence(text: str) -> str:
    return text.partition("\n\n")[0].replace("\n", " ").replace("`", "")


def calibration_report(calibration: EquationFit) -> str:
    """The report of a calibration as one HTML page.

    Parameters
    ----------
    calibration : Calibration

    Returns
    -------
    str
        Everything inside: style, figures as vector graphics, and a script that says what lies under the pointer.
        Nothing is fetched.
    """
    from metasci.report.sections import sections_of, title_of

    title, lead = title_of(calibration)
    return page(title, sections_of(calibration), lead)
