"""What to measure next, and how long an alloy is to be in the furnace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from metasci.app.asked import Answer, Field, number_of, plain_number
from metasci.app.predictions import with_unit
from metasci.diagnostics.next_point import next_measurement
from metasci.errors import InputError
from metasci.fits.equation import EquationFit
from metasci.heat_treatment.furnace import furnace_time
from metasci.heat_treatment.planning import next_test
from metasci.priors.calibrated import Calibration
from metasci.report.curves import axis_of, coordinates, has_map, span
from metasci.words import number, pretty_unit, words

__all__ = ["can_plan", "furnace", "furnace_fields", "is_alloy", "next_one"]

_CANDIDATES = 25  # times that the next measurement is looked for at


def can_plan(fit: Any) -> bool:
    """Whether a next measurement can be looked for."""
    if not isinstance(fit, EquationFit):
        return True
    return len(fit.batch) == 1 and (has_map(fit) or len(coordinates(fit)) == 1)


def next_one(fit: Any, fields: Mapping[str, str]) -> Answer:
    """The measurement that tells most."""
    if not isinstance(fit, Calibration):
        return _next_member(fit)
    if has_map(fit):
        return Answer(str(next_test(fit).attrs["advice"]))
    name = coordinates(fit)[0]
    axis = axis_of(fit, name)
    places = np.linspace(*span(fit, name), _CANDIDATES)
    design = next_measurement(fit, {name: places})
    sharpest = int(design["best"][0])
    rows = tuple(
        (str(parameter), number(float(now)), number(float(later)))
        for parameter, now, later in zip(
            design["parameter"].values,
            design["sd"][0].values,
            design["expected_sd"][0, sharpest].values,
            strict=True,
        )
    )
    header = (
        "parameter",
        "standard deviation now",
        f"after a measurement at {axis.text(float(places[sharpest]))}",
    )
    return Answer(str(design.attrs["verdict"]), header, tuple((words(row[0]), *row[1:]) for row in rows))


def _next_member(fit: Any) -> Answer:
    output = fit.prior.model.output
    frame = fit.table()
    open_rows = frame[frame[output.name].isna()]
    if open_rows.empty:
        raise InputError(
            "every member is measured: add members that could be measured, with that cell left empty."
        )
    width = open_rows["upper"] - open_rows["lower"]
    ordered = open_rows.assign(width=width).sort_values("width", ascending=False)
    first = next(iter(fit.prior.model.inputs))
    rows = tuple(
        (str(row[first]), number(row["predicted"], 4), number(row["width"]))
        for row in ordered.to_dict("records")
    )
    return Answer(
        f"Measure {rows[0][0]} next: of the members not yet measured it is known least, with an interval "
        f"{rows[0][2]} {pretty_unit(output.unit)} wide.",
        (words(first), "predicted", "width of the 90 % interval"),
        rows[:10],
    )


def is_alloy(fit: Any) -> bool:
    """Whether it is one alloy over time and temperature."""
    return isinstance(fit, EquationFit) and has_map(fit) and len(fit.batch) == 1


def furnace_fields(fit: Any) -> tuple[Field, ...]:
    """The temperature, and what is required."""
    symbol = pretty_unit(fit.prior.model.output.unit)
    return (
        Field("temperature", "furnace temperature", "500 °C"),
        Field("at_most", f"at most, in {symbol}", "40"),
        Field("at_least", f"at least, in {symbol}"),
        Field("probability", "with which probability, in %", "90"),
    )


def furnace(fit: Any, fields: Mapping[str, str]) -> Answer:
    """How long in the furnace."""
    if not fields["at_most"] and not fields["at_least"]:
        raise InputError("say what is required: at most, at least, or both.")
    best = furnace_time(
        fit,
        with_unit(fit, "temperature", fields["temperature"]),
        at_least=_of_output(fit, fields["at_least"]),
        at_most=_of_output(fit, fields["at_most"]),
        probability=plain_number(fields["probability"], "probability") / 100.0,
        draws=1000,
    )
    return Answer(f"{best.words}.", warnings=best.warnings)


def _of_output(fit: Any, text: str) -> str | float | None:
    return number_of(text, "the requirement") if text else None
