"""The sections of a calibration's report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metasci.report.curves import coordinates, is_simulated
from metasci.report.figures import calibration_figure, parameters_figure
from metasci.report.html import Section, bullets, definitions, figure, notice, paragraph, table
from metasci.report.maps import has_map, tempering_map
from metasci.report.text import enumerated, label, number, pretty_unit, words

if TYPE_CHECKING:
    from metasci.calibration import Calibration

__all__ = ["sections_of", "title_of"]

_MOST_TASKS = 20
_MOST_ROWS = 200
_SHRINKAGE = (
    "Shrinkage is the variance that is left over the variance that the prior had: near 1 the measurements say little "
    "and the estimate is the prior's; near 0 the estimate is the measurements' own."
)
_NO_DEVICE = (
    "This is not a medical device. It is a research calculation, it has not been validated for the care of patients, "
    "and no dose may be decided by it."
)
_SIMULATED = "The measurements in this report are simulated; none of them was made on a real thing."


def title_of(calibration: Calibration) -> tuple[str, str]:
    """Title and the sentence under it."""
    model, batch = calibration.prior.model, calibration.batch
    what = model.output.label or words(model.output.name)
    who = batch.names[0] if len(batch) == 1 else f"{len(batch)} tasks"
    count = int(batch.mask.sum())
    title = f"{what[:1].upper()}{what[1:]}: {who}" + (" (simulated)" if is_simulated(calibration) else "")
    measured = f"{count} measurement{'s' * (count != 1)}"
    return (
        title,
        f"{model.name} calibrated from {measured} with the learned prior '{calibration.prior.name}'.",
    )


def sections_of(calibration: Calibration) -> list[Section]:
    """All sections, in the order in which they are read."""
    return [
        Section("", _notices(calibration)),
        Section("Measurements and prediction", _pictures(calibration)),
        Section("Parameters", _parameters(calibration)),
        Section("Noise and physical laws", _noise(calibration) + _laws(calibration)),
        Section("Measured and predicted values", _predictions(calibration)),
        Section("Where it comes from", _provenance(calibration)),
    ]


def _notices(calibration: Calibration) -> str:
    parts = []
    if is_simulated(calibration):
        parts.append(notice(_SIMULATED))
    if calibration.prior.model.name.startswith("patients."):
        parts.append(notice(_NO_DEVICE))
    warnings = calibration.warnings
    said = bullets(warnings) if warnings else paragraph("None.")
    return "".join([*parts, "<h2>Warnings</h2>", said])


def _pictures(calibration: Calibration) -> str:
    count = len(calibration.batch)
    first = "" if count <= 6 else f" The first six of {count} tasks are shown."
    if 1 <= len(coordinates(calibration)) <= 2:
        caption = (
            "Points: measurements. Solid line and band: calibrated median and 90 % interval of a measurement. "
            "Dashed: what the prior alone would have said." + first
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


def _parameters(calibration: Calibration) -> str:
    frame = calibration.table()
    several = len(calibration.batch) > 1
    kept = frame[frame["task"].isin(list(calibration.batch.names[:_MOST_TASKS]))]
    about = {parameter.name: parameter.description for parameter in calibration.prior.model.parameters}
    rows = []
    for row in kept.to_dict("records"):
        text = words(row["name"]) + (f", {about[row['name']]}" if about[row["name"]] else "")
        cells = [
            text,
            number(row["estimate"], 4),
            f"{number(row['lower'])} to {number(row['upper'])}",
            f"{number(row['prior'])} ({number(row['prior_lower'])} to {number(row['prior_upper'])})",
            pretty_unit(row["unit"]),
            number(round(row["shrinkage"], 2), 2),
        ]
        rows.append([row["task"], *cells] if several else cells)
    header = ["parameter", "estimate", "90 % interval", "prior (90 % interval)", "unit", "shrinkage"]
    shift = int(several)
    made = table(["task"] * several + header, rows, [place + shift for place in (1, 2, 3, 5)])
    left_out = len(calibration.batch) - _MOST_TASKS
    more = (
        paragraph(f"{left_out} further tasks are in the tables written beside this page.", "note")
        if left_out > 0
        else ""
    )
    caption = "Estimates and 90 % intervals, calibrated and of the prior alone."
    return made + more + paragraph(_SHRINKAGE, "note") + figure(parameters_figure(calibration), caption)


def _noise(calibration: Calibration) -> str:
    model = calibration.prior.model
    unit = pretty_unit(model.output.unit)
    names = {
        "sd": f"standard deviation{f', {unit}' if unit else ''}",
        "cv": "fraction of the prediction",
        "log_sd": "on the logarithm",
    }
    pairs = {f"Noise, {names.get(name, name)}": number(value) for name, value in calibration.noise.items()}
    return definitions(pairs)


def _laws(calibration: Calibration) -> str:
    if not calibration.prior.model.constraints:
        return paragraph("The model states no physical law.")
    laws, unit, rows = calibration.laws(), pretty_unit(calibration.prior.model.output.unit), []
    for law, group in laws.groupby("law", sort=False):
        broken = group[~group["satisfied"].astype(bool)]
        tasks = enumerated([str(task) for task in broken["task"]], most=3)
        verdict = (
            "satisfied"
            if broken.empty
            else f"broken by up to {number(broken['violation'].max())} {unit}".rstrip()
        )
        rows.append([f"{calibration.prior.model.output.name} {law}".replace("_", " "), verdict, tasks])
    header = ["physical law, at the measured conditions", "verdict", "broken by"]
    if not any(row[2] for row in rows):
        header, rows = header[:2], [row[:2] for row in rows]
    return table(header, rows)


def _predictions(calibration: Calibration) -> str:
    frame, model = calibration.at_measurements(), calibration.prior.model
    units = dict(frame.attrs.get("units", {})) or {
        name: calibration.tasks.dataset[name].attrs.get("units", "1") for name in model.inputs
    }
    inputs = [name for name in model.inputs if name in frame]
    output = model.output
    several = len(calibration.batch) > 1
    header = ["task"] * several + [
        label(words(name), units.get(name, model.inputs[name].unit)) for name in inputs
    ]
    header += [
        f"measured {label(words(output.name), output.unit)}",
        "predicted (90 % interval)",
        "prior alone (90 % interval)",
    ]
    rows = []
    for record in frame.head(_MOST_ROWS).to_dict("records"):
        said = [
            f"{number(record[name])} ({number(record[f'{name}_lower'])} to {number(record[f'{name}_upper'])})"
            for name in ("predicted", "prior")
        ]
        row = [number(record[name], 4) for name in inputs] + [number(record[output.name], 4), *said]
        rows.append([record["task"], *row] if several else row)
    made = table(header, rows, range(int(several), len(header)))
    if len(frame) > _MOST_ROWS:
        made += paragraph(
            f"{len(frame) - _MOST_ROWS} further rows are in the tables written beside this page.", "note"
        )
    return made


def _provenance(calibration: Calibration) -> str:
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
    }
    versions = training.get("versions", {})
    learned = {
        "Model": f"{prior.model.name}: {_first_sentence(prior.model.description)}",
        "Prior": f"{prior.name}, {prior.method.name}",
        "Learned from": card.title or card.name,
        "Source": card.source,
        "Licence of the data": card.licence,
        "Tasks and measurements": f"{training.get('tasks', '?')} and {training.get('measurements', '?')}",
        "Covariates": ", ".join(words(name) for name in prior.covariates.names) or "none",
        "Seed": str(training.get("seed", "")),
        "Versions in training": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "SHA-256 of the data": str(training.get("data_sha256", "")),
    }
    return definitions(data) + definitions(learned)


def _first_sentence(text: str) -> str:
    return text.partition("\n\n")[0].replace("\n", " ")
