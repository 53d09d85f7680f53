"""Two fits side by side: one that was kept, and the present one."""

from __future__ import annotations

from typing import Any

from metasci.app.classes import names_of_classes
from metasci.app.curves import curves_of, overlaid
from metasci.app.drawing import figure_of
from metasci.app.fitting import Fitted
from metasci.fits.equation import EquationFit
from metasci.report.html import paragraph, table
from metasci.words import number, pretty_unit, words

__all__ = ["compared"]


def compared(kept: Fitted, now: Fitted, width: float) -> str:
    """The parameters, or the members, of two fits in one table, and their curves in one chart where they have the same.

    Each fit is told by its prior and its number of measurements.
    """
    names = f"now: {_told(now)}", f"kept: {_told(kept)}"
    if isinstance(now.fit, EquationFit) and isinstance(kept.fit, EquationFit):
        return _charts(kept.fit, now.fit, names, width) + _table(kept.fit, now.fit, names)
    if isinstance(now.fit, EquationFit) or isinstance(kept.fit, EquationFit):
        return paragraph("The two fits are of different kinds, so that there is nothing to lay side by side.")
    return _members(kept.fit, now.fit, names)


def _told(fitted: Fitted) -> str:
    count = int(fitted.fit.batch.mask.sum())
    return f"{fitted.prior}, {count} measurement{'s' * (count != 1)}"


def _charts(kept: Any, now: Any, names: tuple[str, str], width: float) -> str:
    if names_of_classes(now) or names_of_classes(kept):
        return paragraph("Classes have a curve each; the table compares the parameters.", "note")
    ours, theirs = curves_of(now), curves_of(kept)
    both = [
        overlaid(chart, other, names)
        for chart in ours
        for other in theirs
        if (chart.title, chart.x, chart.y) == (other.title, other.x, other.y)
        and any(m.look == "curve" for m in chart.marks)
    ]
    if not both:
        return paragraph(
            "The two fits have no curve along the same axes; the table compares their parameters.", "note"
        )
    return figure_of(both, width, f"Two fits: solid {names[0]}; dotted {names[1]}.") + paragraph(
        f"Solid: {names[0]}. Dotted: {names[1]}.", "note"
    )


def _table(kept: Any, now: Any, names: tuple[str, str]) -> str:
    tables = [
        {
            (row["name"], row["unit"]): row
            for row in fit.table().to_dict("records")
            if row["task"] == fit.batch.names[0]
        }
        for fit in (now, kept)
    ]
    rows = [
        [words(name), *(_interval(each.get((name, unit))) for each in tables), pretty_unit(unit)]
        for name, unit in dict.fromkeys([*tables[0], *tables[1]])
    ]
    return table(["parameter (90 % interval)", *names, "unit"], rows)


def _interval(row: Any) -> str:
    if row is None:
        return "—"
    return (
        f"{number(row['estimate'], trim=False)} ({number(row['lower'], trim=False)} to "
        f"{number(row['upper'], trim=False)})"
    )


def _members(kept: Any, now: Any, names: tuple[str, str]) -> str:
    keys = list(now.prior.model.inputs)
    if keys != list(kept.prior.model.inputs) or now.prior.model.output.unit != kept.prior.model.output.unit:
        return paragraph(
            "The two fits are of different properties, so that there is nothing to lay side by side."
        )
    tables = [
        {tuple(row[key] for key in keys): row for row in fit.table().to_dict("records")}
        for fit in (now, kept)
    ]
    rows = [
        [
            ", ".join(str(part) if isinstance(part, str) else number(part) for part in member),
            *(_prediction(each.get(member)) for each in tables),
        ]
        for member in dict.fromkeys([*tables[0], *tables[1]])
    ]
    return table(["member, predicted (90 % interval)", *names], rows)


def _prediction(row: Any) -> str:
    if row is None:
        return "—"
    return f"{number(row['predicted'], 4)} ({number(row['lower'], 4)} to {number(row['upper'], 4)})"
