"""What is asked of a patient who is given doses: the level before the next one, and which dose reaches a target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from metasci.app.asked import Answer, Field, number_of, plain_number, several
from metasci.dosing.exposure import exposure
from metasci.dosing.recommendation import recommend
from metasci.dosing.solving import SolvedDose, loading_and_maintenance, solve_dose
from metasci.dosing.targets import Target
from metasci.errors import InputError
from metasci.fits.equation import EquationFit
from metasci.units import magnitude
from metasci.words import number, pretty_unit

__all__ = ["before_next", "dose", "dose_fields", "takes_doses"]

_SHARES = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)  # of the last dose, where none are named
_GAPS = "8, 12, 24 h"
_DRAWS = 600  # quick, and a probability is known to within two percent


def takes_doses(fit: Any) -> bool:
    """Whether it is one patient who is given doses."""
    return isinstance(fit, EquationFit) and len(fit.prior.model.histories) == 1 and len(fit.batch) == 1


def before_next(fit: Any, fields: Mapping[str, str]) -> Answer:
    """The level just before the next dose, and the exposure."""
    exposures = exposure(fit)
    if exposures.empty:
        raise InputError(
            "the time of the next dose is not known: it takes two doses, or an interval, in the table."
        )
    unit = fit.prior.model.inputs["time"].unit
    trough = exposures[(exposures["quantity"] == "trough") & (exposures["interval"] == "last")].iloc[0]
    rows = tuple(
        (
            f"{row['quantity']} of the {row['interval']} interval",
            f"{number(row['estimate'])} {pretty_unit(row['unit'])}",
            f"{number(row['lower'])} to {number(row['upper'])}",
        )
        for row in exposures.to_dict("records")
    )
    return Answer(
        f"Just before the next dose, at {number(trough['ends'])} {unit}: {number(trough['estimate'])} "
        f"{pretty_unit(trough['unit'])} (90 % interval {number(trough['lower'])} to {number(trough['upper'])}).",
        ("exposure", "estimate", "90 % interval"),
        rows,
        (
            f"The next dose is taken to be due an interval after the last one, at {number(trough['ends'])} {unit}.",
        ),
    )


def _last_dose(fit: Any) -> tuple[float, str]:
    history, about = next(iter(fit.prior.model.histories.items()))
    amounts = fit.batch.inputs[history].numpy().ravel()
    times = fit.batch.inputs[f"{history}_time"].numpy().ravel()
    is_dose = amounts > 0.0
    if not is_dose.any():
        return 1.0, about.unit
    return float(amounts[is_dose][np.argmax(times[is_dose])]), about.unit


def dose_fields(fit: Any) -> tuple[Field, ...]:
    """The target, and what can be given."""
    size, symbol = _last_dose(fit)
    time, output = fit.prior.model.inputs["time"].unit, pretty_unit(fit.prior.model.output.unit)
    sizes = ", ".join(f"{share * size:.3g}" for share in _SHARES)
    return (
        Field(
            "target",
            "what is to be reached",
            "trough",
            ("trough", "peak", "auc", "time_above", "concentration"),
        ),
        Field("low", f"from, in {output}", "10"),
        Field("high", f"to, in {output}", "15"),
        Field("doses", "doses that can be given", f"{sizes} {symbol}"),
        Field("intervals", "times between doses", _GAPS if time == "h" else f"6, 12, 24 {time}"),
        Field("duration", "length of each infusion", f"0 {time}"),
        Field("number", "doses before what is judged", "10"),
        Field("loading", "a loading dose first", "no", ("no", "yes")),
        Field("threshold", "time_above: above which level"),
        Field("at", f"concentration: how long after the dose begins, such as 1.5 {time}"),
        Field("probability", "with which probability, in %", "80"),
    )


def dose(fit: Any, fields: Mapping[str, str]) -> Answer:
    """The dose and interval that reach a target."""
    kind, time = fields["target"], fit.prior.model.inputs["time"].unit
    target = Target(
        kind,
        low=plain_number(fields["low"], "from") if fields["low"] else 0.0,
        high=plain_number(fields["high"], "to") if fields["high"] else float("inf"),
        threshold=plain_number(fields["threshold"], "threshold") if fields["threshold"] else None,
        per=24.0 if kind == "auc" and time == "h" else None,
        at=magnitude(number_of(fields["at"], "at"), time, "at") if fields["at"] else None,
    )
    sizes = several(fields["doses"], "doses")
    shared: dict[str, Any] = {
        "number": int(plain_number(fields["number"], "doses before what is judged")),
        "duration": fields["duration"] or 0.0,
        "draws": _DRAWS,
    }
    best = recommend(
        fit,
        target,
        doses=sizes,
        intervals=several(fields["intervals"], "times between doses"),
        probability=plain_number(fields["probability"], "probability") / 100.0,
        **shared,
    )
    sentences = [best.words]
    if np.isfinite(target.high) and target.low > 0.0:
        solve = loading_and_maintenance if fields["loading"] == "yes" else _alone
        solved = solve(fit, target, interval=best.interval, sizes=sizes, **shared)
        sentences += [f"solved for, {each.words}" for each in solved]
    ordered = best.table.sort_values("probability", ascending=False).head(8)
    rows = tuple(
        (
            number(row["dose"]),
            number(row["interval"]),
            f"{100 * row['probability']:.0f} %",
            f"{number(row['median'])} ({number(row['lower'])} to {number(row['upper'])})",
        )
        for row in ordered.to_dict("records")
    )
    symbol = _last_dose(fit)[1]
    header = (f"dose ({symbol})", f"every ({time})", "probability", f"{kind} (90 % interval)")
    return Answer(f"{'; '.join(sentences)}.", header, rows, best.warnings)


def _alone(fit: Any, target: Target, **asked: Any) -> tuple[SolvedDose, ...]:
    """The dose of a regimen without a loading dose."""
    return (solve_dose(fit, target, **asked),)
