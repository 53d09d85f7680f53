"""Parameters against the prior, predictions and warnings, as parts of the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from metasci.app.choices import columns_needed, of_molecules, prior_named
from metasci.app.classes import class_predictions, names_of_classes
from metasci.fits.equation import EquationFit
from metasci.fits.individual import reference_label
from metasci.report.html import bullets, paragraph, table
from metasci.words import label, number, pretty_unit, words

__all__ = ["needs", "parameters", "predictions", "warned"]

_STRIP = 150.0  # pixels of the strip on which a parameter's intervals lie
_MOST_TASKS = 6  # as many as have a chart


_LARGEST = (
    '<label><input id="largest_molecule" type="checkbox"> Of a salt or a solvate take the largest molecule, and say so'
    "</label>"
)


def needs(name: str) -> str:
    """What a prior needs: its columns with units and ranges, and where it comes from."""
    prior = prior_named(name)
    rows = [
        [each["column"], "needed" if each["needed"] else "may be left out", each["meaning"]]
        for each in columns_needed(name)
    ]
    model = prior.model
    training = prior.training
    learned = (
        f"Learned from {training['tasks']} tasks with {training['measurements']} measurements. "
        if "measurements" in training
        else ""
    )
    source = str(training.get("published", {}).get("source", "")) or prior.card.source
    return (
        paragraph(f"{model.name}: {model.description.partition(chr(10))[0]}".replace("`", ""))
        + table(["column", "", "what it is"], rows)
        + (_LARGEST if of_molecules(prior) else "")
        + paragraph(f"{learned}Source: {source}", "note")
    )


def parameters(fit: Any) -> str:
    """Every parameter with its 90 % interval beside the prior's, and a strip that shows both; or a family's members."""
    if not isinstance(fit, EquationFit):
        return f"<h3>Members</h3>{predictions(fit)}"
    frame = fit.table()
    kept = list(fit.batch.names[:_MOST_TASKS])
    several = len(fit.batch) > 1
    head = [
        *(["task"] if several else []),
        "parameter",
        "calibrated (90 % interval)",
        "",
        "prior (90 % interval)",
        "unit",
    ]
    rows = []
    for row in frame[frame["task"].isin(kept)].to_dict("records"):
        cells = [
            words(row["name"]),
            _estimate(row, "estimate", ""),
            _strip(row, fit.prior.model.parameters),
            _estimate(row, "prior", "prior_"),
            pretty_unit(row["unit"]),
        ]
        texts = [str(row["task"]), *cells] if several else cells
        strip = len(texts) - 3
        rows.append(
            "".join(
                f"<td>{text if place == strip else escape(text)}</td>" for place, text in enumerate(texts)
            )
        )
    header = "".join(f'<th scope="col">{escape(text)}</th>' for text in head)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    whom = reference_label(fit)
    note = paragraph(f"These are the parameters of the {whom}.", "note") if whom else ""
    more = f"{len(fit.batch) - _MOST_TASKS} further tasks are in the tables to download."
    note += paragraph(more, "note") if len(fit.batch) > _MOST_TASKS else ""
    return (
        '<h3>Parameters</h3><div class="scroll" role="region" tabindex="0" '
        'aria-label="Table of parameters; it scrolls sideways where it is wide">'
        f"<table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table></div>{note}"
    )


def predictions(fit: Any) -> str:
    """Measured and predicted values, or the members of a family."""
    if names_of_classes(fit):
        return class_predictions(fit)
    output = fit.prior.model.output
    units = {name: each.unit for name, each in fit.prior.model.inputs.items()}
    if isinstance(fit, EquationFit):
        frame = fit.at_measurements()
        columns = [name for name in fit.prior.model.inputs if name in frame]
    else:
        frame, columns = fit.table(), list(fit.prior.model.inputs)
    header = [
        *(label(words(name), units[name]) for name in columns),
        label("measured", output.unit),
        "predicted",
        "90 % interval",
    ]
    low, high = ("predicted_lower", "predicted_upper") if "predicted_lower" in frame else ("lower", "upper")
    rows = [
        [
            *(row[name] if isinstance(row[name], str) else number(row[name], 4) for name in columns),
            _measured(row, output.name),
            number(row["predicted"], 4),
            f"{number(row[low])} to {number(row[high])}",
        ]
        for row in frame.to_dict("records")
    ]
    return table(header, rows, range(len(columns), len(header)))


def _measured(row: dict[Any, Any], name: str) -> str:
    """A measured value, a yes or no as it was written, a time that was not waited out as more than that."""
    if isinstance(row[name], str):
        return row[name]
    return f"{'> ' if row.get(f'{name}_above') == 1.0 else ''}{number(row[name], 4)}"


def warned(messages: Sequence[str]) -> str:
    """Warnings as a list; what is well is said, too."""
    # a table without names of tasks is one task, and the page shows no other
    own = [message.removeprefix("task task: ") for message in messages]
    return (
        bullets([each[:1].upper() + each[1:] for each in own]) if own else paragraph("No warnings.", "note")
    )


def _estimate(row: dict[Any, Any], name: str, prefix: str) -> str:
    return (
        f"{number(row[name], trim=False)} ({number(row[f'{prefix}lower'], trim=False)} to "
        f"{number(row[f'{prefix}upper'], trim=False)})"
    )


def _strip(row: dict[Any, Any], declared: Any) -> str:
    """The prior's interval, and the calibrated one above it, on a scale of their own."""
    positive = any(each.positive for each in declared if each.name == row["name"])
    ends = [row[name] for name in ("lower", "upper", "prior_lower", "prior_upper")]
    if not all(math.isfinite(end) for end in ends) or (positive and min(ends) <= 0.0):
        return ""

    def scaled(value: float) -> float:
        return math.log(value) if positive else value

    least, most = scaled(min(ends)), scaled(max(ends))
    width = (most - least) or 1.0

    def at(value: float) -> float:
        return 4.0 + (_STRIP - 8.0) * (scaled(value) - least) / width

    lines = [
        f'<path class="line {look}" d="M{at(row[low]):.1f} {y}H{at(row[high]):.1f}"/>'
        f'<circle class="{look}" cx="{at(row[middle]):.1f}" cy="{y}" r="3.5"/>'
        for look, low, middle, high, y in (
            ("curve", "lower", "estimate", "upper", 7),
            ("prior", "prior_lower", "prior", "prior_upper", 17),
        )
    ]
    return f'<svg class="strip" aria-hidden="true" width="{_STRIP:.0f}" height="24">{"".join(lines)}</svg>'
