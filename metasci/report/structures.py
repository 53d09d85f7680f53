"""The report of calibrated families: their members with intervals."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from metasci.report.html import Section, bullets, definitions, figure, page, paragraph, table
from metasci.report.inputs import calibrated_with
from metasci.report.marks import legend_below
from metasci.report.style import BLUE, GREY, styled
from metasci.words import label, number, words

if TYPE_CHECKING:
    from metasci.fits.families import MembersFit

__all__ = ["members_figure", "structure_report"]

_MOST_MEMBERS = 40  # rows of a figure that can be read on a page


@styled
def members_figure(calibration: MembersFit, level: float = 0.9) -> Figure:
    """Members in order of their prediction: interval, measurement, and what the prior alone said."""
    model = calibration.prior.model
    rows = calibration.table(level).sort_values("predicted", ignore_index=True).iloc[:_MOST_MEMBERS]
    place = np.arange(len(rows))
    drawing = Figure(figsize=(6.6, 0.24 * len(rows) + 1.5), layout="constrained")
    axes = drawing.subplots()
    axes.hlines(
        place,
        rows["lower"],
        rows["upper"],
        color=BLUE,
        linewidth=5.0,
        alpha=0.3,
        label=f"{100 * level:.0f} % interval",
    )
    axes.plot(rows["predicted"], place, "o", color=BLUE, markersize=4.5, label="predicted")
    axes.plot(rows["prior"], place, "|", color=GREY, markersize=9, markeredgewidth=1.6, label="prior alone")
    axes.plot(
        rows[model.output.name],
        place,
        "D",
        color="#1a1a1a",
        markersize=4.5,
        fillstyle="none",
        label="measured",
    )
    axes.set_yticks(place, [_name(row, calibration) for row in rows.to_dict("records")])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel(label(model.output.label or words(model.output.name), model.output.unit))
    legend_below(drawing, axes)
    return drawing


def _name(row: Mapping[Hashable, Any], calibration: MembersFit) -> str:
    """A member's structure with its conditions."""
    parts = []
    for name, declared in calibration.shown_inputs.items():
        value = row[name]
        parts.append(value if isinstance(value, str) else f"{number(value)} {declared.unit}")
    text = ", ".join(parts)
    return text if len(text) <= 34 else f"{text[:33]}…"


def structure_report(calibration: MembersFit) -> str:
    """One self-contained HTML page."""
    model, prior = calibration.prior.model, calibration.prior
    rows = calibration.table()
    measured = int(rows[model.output.name].notna().sum())
    what = model.output.label or words(model.output.name)
    who = calibration.batch.names[0] if len(calibration.batch) == 1 else f"{len(calibration.batch)} families"
    conditions = [
        name if declared.unit in ("", "1") else f"{name} ({declared.unit})"
        for name, declared in calibration.shown_inputs.items()
    ]
    header = [*conditions, f"measured ({model.output.unit})", "predicted", "90 % interval", "prior alone"]
    cells = [
        [
            *(
                value if isinstance(value := row[name], str) else number(value)
                for name in calibration.shown_inputs
            ),
            number(row[model.output.name], 4),
            number(row["predicted"], 4),
            f"{number(row['lower'], 4)} to {number(row['upper'], 4)}",
            number(row["prior"], 4),
        ]
        for row in rows.to_dict("records")
    ]
    first = len(conditions)
    meaning = (
        "Intervals are of a measurement: of a member that was measured, of a second one. The prior alone is what was "
        "predicted before any member of this family was seen."
    )
    notices = bullets(calibration.warnings) if calibration.warnings else ""
    about = {
        "Prior": prior.name,
        "Property": f"{model.name}: {model.description}",
        "Learned from": f"{prior.training.get('tasks')} families, {prior.training.get('measurements')} members",
        "Data": prior.card.title,
        "Source": prior.card.source,
        "Licence of the data": prior.card.licence,
        "Calibrated with": calibrated_with(),
    }
    return page(
        f"{what[:1].upper()}{what[1:]}: {who}",
        [
            Section("", notices),
            Section("Members", figure(members_figure(calibration), f"{what} of the members. {meaning}")),
            Section("Values", table(header, cells, range(first, first + 4)) + paragraph(meaning, "note")),
            Section("Where it comes from", definitions(about)),
        ],
        f"{len(rows)} members, {measured} of them measured, with the learned prior '{prior.name}'.",
    )
