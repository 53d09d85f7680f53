"""Parts of the page that are made anew as the table or the fit changes."""

from __future__ import annotations

from html import escape
from typing import Any

from metasci.app import faces
from metasci.app.classes import classes_figure, names_of_classes
from metasci.app.curves import curves_figure
from metasci.app.fitting import Fitted, Refused
from metasci.app.grammar import line_of
from metasci.app.questions import Answer, questions_for
from metasci.app.sheets import Sheet
from metasci.fits.equation import EquationFit
from metasci.report.html import bullets, notice, paragraph, table

__all__ = ["answered", "diagram", "example_lines", "face_of", "fit_part", "forms", "message", "sheet_part"]

_LEGEND = (
    '<p class="legend"><span><i class="swatch curve"></i>calibrated, 90 % band</span> '
    '<span><i class="swatch prior"></i>prior alone, 90 % band</span> '
    '<span><i class="swatch point"></i>measured</span></p>'
)


def sheet_part(sheet: Sheet) -> str:
    """The table as fields to type in, each with a label of its row and column."""
    head = "".join(
        f'<th scope="col"><input class="header" value="{escape(name)}" style="min-width: {max(len(name), 9) + 2.5}ch" '
        f'aria-label="Header of column {place}"></th>'
        for place, name in enumerate(sheet.header, 1)
    )
    rows = []
    for place, row in enumerate(sheet.rows, 1):
        cells = "".join(
            f'<td><input value="{escape(cell)}" aria-label="Row {place}, {escape(name)}" autocomplete="off"></td>'
            for name, cell in zip(sheet.header, row, strict=True)
        )
        rows.append(
            f'<tr><th scope="row">{place}</th>{cells}<td><button type="button" class="remove" '
            f'aria-label="Remove row {place}">×</button></td></tr>'
        )
    notes = bullets(sheet.notes) if sheet.notes else ""
    return (
        f'{notes}<div class="scroll" role="region" tabindex="-1" aria-label="Your table; it scrolls sideways where it '
        'is wide"><table id="cells"><caption class="visually-hidden">Your measurements</caption>'
        f'<thead><tr><th scope="col">row</th>{head}<th><span class="visually-hidden">remove</span></th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def message(outcome: Fitted | Refused | None) -> str:
    """What is wrong, with its row for the script that marks it; or that all is well."""
    if outcome is None:
        return ""
    if isinstance(outcome, Refused):
        row = f' data-row="{outcome.row}"' if outcome.row else ""
        column = f' data-column="{escape(outcome.column)}"' if outcome.column else ""
        return f'<p class="notice" id="error"{row}{column}>{escape(outcome.sentence)}</p>'
    count, tasks = int(outcome.fit.batch.mask.sum()), len(outcome.fit.batch)
    of = f" of {tasks} tasks" if tasks > 1 else ""
    return f'<p class="note" id="well">Calibrated from {count} measurement{"s" * (count != 1)}{of}.</p>'


def fit_part(fit: Any, width: float) -> str:
    """The curves with bands, the probabilities of classes, or the members of a family."""
    if names_of_classes(fit):
        return classes_figure(fit, width)
    if isinstance(fit, EquationFit):
        return curves_figure(fit, width) + _LEGEND
    return faces.members(fit, width)


def face_of(fit: Any, face: str, width: float) -> str:
    """What belongs to one face, under its heading; an outcome has nothing but its curves."""
    if face == "outcome":
        return ""
    title, draw = {
        "patient": ("Doses and samples", faces.timeline),
        "alloy": ("Map over time and temperature", faces.tempering),
        "family": ("Structures", lambda family, _: faces.structures(family)),
    }[face]
    body = draw(fit, width)
    mark = ' class="has-diagram"' if face == "alloy" else ""  # by which the page shows the box of the diagram
    return f"<h3{mark}>{title}</h3>{body}" if body else ""


def diagram(fit: Any, width: float) -> str:
    """The time–temperature diagram, or why there is none."""
    return faces.transformation(fit, width) or paragraph(
        "This needs one alloy and a prior of time and temperature.", "note"
    )


def forms(fit: Any) -> str:
    """A form for each question that suits the fit."""
    parts = []
    for question in questions_for(fit):
        fields = []
        for each in question.fields(fit):
            name = f"ask-{question.name}-{each.name}"
            label = f'<label for="{name}">{escape(each.label)}</label>'
            if each.choices:
                options = "".join(f"<option>{escape(choice)}</option>" for choice in each.choices)
                control = f'<select id="{name}" name="{each.name}" data-plain>{options}</select>'
            else:
                control = (
                    f'<input id="{name}" name="{each.name}" value="{escape(each.value)}" autocomplete="off">'
                )
            fields.append(f"<div>{label}{control}</div>")
        parts.append(
            f'<details class="question"><summary>{escape(question.title)}</summary>'
            f'<form data-question="{question.name}">'
            f'{"".join(fields)}<button type="submit">Ask</button></form></details>'
        )
    return "".join(parts)


def example_lines(fit: Any) -> str:
    """Lines that can be asked of a fit."""
    return "; ".join(f"“{line}”" for each in questions_for(fit) if (line := line_of(fit, each.name)))


def answered(asked: str, found: Answer | Refused) -> str:
    """An answer, or the sentence that says why there is none."""
    if isinstance(found, Refused):
        return notice(found.sentence)
    body = f'<p class="answer"><strong>{escape(found.words)}</strong></p>'
    if found.rows:
        body += table(found.header, found.rows)
    return (
        (paragraph(asked, "note") if asked else "")
        + body
        + (bullets(found.warnings) if found.warnings else "")
    )
