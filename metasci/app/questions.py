"""What can be asked of a fit, as functions of a fit and texts with units: each answers in a sentence, with a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metasci.app.classes import likeliest_in_words, names_of_classes
from metasci.diagnostics.next_point import next_measurement
from metasci.dosing.exposure import exposure
from metasci.dosing.recommendation import recommend
from metasci.dosing.solving import SolvedDose, loading_and_maintenance, solve_dose
from metasci.dosing.targets import Target
from metasci.errors import InputError
from metasci.fits.equation import EquationFit
from metasci.heat_treatment.furnace import furnace_time
from metasci.heat_treatment.planning import next_test
from metasci.priors.calibrated import Calibration
from metasci.report.curves import axis_of, coordinates, has_map, span
from metasci.units import magnitude, stated
from metasci.words import number, pretty_unit, words

__all__ = ["QUESTIONS", "Answer", "Field", "Question", "answer", "questions_for"]

_SHARES = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)  # of the last dose, where none are named
_GAPS = "8, 12, 24 h"
_DRAWS = 600  # quick, and a probability is known to within two percent
_CANDIDATES = 25  # times that the next measurement is looked for at


@dataclass(frozen=True)
class Answer:
    """A sentence, a table (header, rows), and what to beware of."""

    words: str
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Field:
    """A field of a question's form: its name, its label, and what stands in it at first."""

    name: str
    label: str
    value: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """A question: what its form is called and asks for, and how it is answered."""

    name: str
    title: str
    fields: Callable[[Any], tuple[Field, ...]]
    suits: Callable[[Any], bool]
    answer: Callable[[Any, Mapping[str, str]], Answer]


def questions_for(fit: Any) -> list[Question]:
    """The questions that make sense for a fit."""
    return [each for each in QUESTIONS if each.suits(fit)]


def answer(fit: Any, name: str, given: Mapping[str, str]) -> Answer:
    """The answer to a question by its name; fields that are not given keep their first values.

    Raises
    ------
    InputError
        If the question does not suit the fit, or a field makes no sense; the sentence names it.

    Examples
    --------
    >>> from metasci.app.choices import example_of
    >>> from metasci.app.fitting import try_to_fit
    >>> fit = try_to_fit("steel_tempering", example_of("steel_tempering")).fit
    >>> answer(fit, "predict", {"time": "2 h", "temperature": "500 °C"}).words
    'hardness at temperature 500 °C and time 2 h: 38 HRC (90 % interval 35.5 to 40.4).'
    """
    question = next((each for each in questions_for(fit) if each.name == name), None)
    if question is None:
        raise InputError("this question does not suit the prior that is chosen.")
    first = {each.name: each.value for each in question.fields(fit)}
    known = {key: str(value).strip() for key, value in given.items() if key in first}
    return question.answer(fit, first | known)


# ----------------------------------------------------------------------------------------- predict


def _conditions(fit: Any) -> tuple[Field, ...]:
    inputs = fit.prior.model.inputs
    asked = coordinates(fit) if isinstance(fit, EquationFit) else list(inputs)
    fields = []
    for name in asked:
        if not isinstance(fit, EquationFit) and fit.tasks.card.column(name).kind:
            fields.append(Field(name, f"{words(name)} (as in the table)"))
            continue
        axis = axis_of(fit, name) if isinstance(fit, EquationFit) else None
        symbol = pretty_unit(axis.shown if axis else inputs[name].unit)
        middle = ""
        if axis is not None:
            low, high = span(fit, name)
            middle = f"{number(float(axis.show(0.5 * (low + high))), 2)} {symbol if '⁶' not in symbol else ''}".strip()
        fields.append(Field(name, f"{words(name)}{f', such as 1 {symbol}' if symbol else ''}", middle))
    return tuple(fields)


def _predict(fit: Any, fields: Mapping[str, str]) -> Answer:
    output = fit.prior.model.output
    symbol, what = pretty_unit(output.unit), output.label or words(output.name)
    for name, text in fields.items():
        if not text:
            raise InputError(f"say at which {words(name)}.")
    if not isinstance(fit, EquationFit):
        structure = next(name for name in fields if fit.tasks.card.column(name).structural)
        others = {name: _with_unit(fit, name, text) for name, text in fields.items() if name != structure}
        row = fit.predict(fields[structure], **others).iloc[0]
        middle, low, high, prior = (float(row[name]) for name in ("predicted", "lower", "upper", "prior"))
        at = ", ".join(fields.values())
    else:
        conditions: dict[str, Any] = {name: _with_unit(fit, name, text) for name, text in fields.items()}
        predicted = fit.predict(**conditions)
        if classes := names_of_classes(fit):
            return _likeliest(fit, predicted, classes, fields)
        if predicted.sizes["task"] > 1:
            header = ("task", f"{what} ({symbol})", "90 % interval")
            rows = tuple(
                (
                    str(predicted["task"].values[place]),
                    number(float(each["median"].squeeze())),
                    f"{number(float(each['lower'].squeeze()))} to {number(float(each['upper'].squeeze()))}",
                )
                for place, each in (
                    (place, predicted.isel(task=place)) for place in range(predicted.sizes["task"])
                )
            )
            return Answer(f"{what} of {len(rows)} tasks:", header, rows)
        only_task = predicted.isel(task=0)
        middle, low, high, prior = (
            float(only_task[name].squeeze()) for name in ("median", "lower", "upper", "prior")
        )
        at = " and ".join(f"{words(name)} {text}" for name, text in fields.items())
    interval = f"{number(low)} to {number(high)}"
    return Answer(
        f"{what} {'at' if isinstance(fit, EquationFit) else 'of'} {at}: {number(middle)} {symbol}".rstrip()
        + f" (90 % interval {interval}).",
        ("", f"{what}{f' ({symbol})' if symbol else ''}"),
        (("calibrated", number(middle, 4)), ("90 % interval", interval), ("prior alone", number(prior, 4))),
    )


def _likeliest(fit: Any, predicted: Any, classes: tuple[str, ...], fields: Mapping[str, str]) -> Answer:
    """The likeliest class of each task, and of a single one the probability of each."""
    output = fit.prior.model.output
    what = output.label or words(output.name)
    told = [
        (str(predicted["task"].values[place]), *likeliest_in_words(predicted.isel(task=place), classes))
        for place in range(predicted.sizes["task"])
    ]
    if len(told) > 1:
        rows = tuple((task, sentence) for task, sentence, _ in told)
        return Answer(f"{what} of {len(rows)} tasks:", ("task", "likeliest"), rows)
    _, sentence, rows_of = told[0]
    at = " and ".join(f"{words(name)} {text}" for name, text in fields.items())
    return Answer(
        f"{what} at {at}: {sentence}.", (what, "probability", "90 % interval", "prior alone"), rows_of
    )


def _with_unit(fit: Any, name: str, text: str) -> str:
    """A text with its unit; a bare number is in the unit in which people read the input."""
    value, symbol = stated(text, name)
    if symbol:
        return text
    axis = axis_of(fit, name) if isinstance(fit, EquationFit) else None
    return f"{value!r} {axis.shown if axis else fit.prior.model.inputs[name].unit}"


# ---------------------------------------------------------------------------------------- patients


def _takes_doses(fit: Any) -> bool:
    return isinstance(fit, EquationFit) and len(fit.prior.model.histories) == 1 and len(fit.batch) == 1


def _before_next(fit: Any, fields: Mapping[str, str]) -> Answer:
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


def _dose_fields(fit: Any) -> tuple[Field, ...]:
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


def _dose(fit: Any, fields: Mapping[str, str]) -> Answer:
    kind, time = fields["target"], fit.prior.model.inputs["time"].unit
    target = Target(
        kind,
        low=_plain_number(fields["low"], "from") if fields["low"] else 0.0,
        high=_plain_number(fields["high"], "to") if fields["high"] else float("inf"),
        threshold=_plain_number(fields["threshold"], "threshold") if fields["threshold"] else None,
        per=24.0 if kind == "auc" and time == "h" else None,
        at=magnitude(_number_of(fields["at"], "at"), time, "at") if fields["at"] else None,
    )
    sizes = _several(fields["doses"], "doses")
    shared: dict[str, Any] = {
        "number": int(_plain_number(fields["number"], "doses before what is judged")),
        "duration": fields["duration"] or 0.0,
        "draws": _DRAWS,
    }
    best = recommend(
        fit,
        target,
        doses=sizes,
        intervals=_several(fields["intervals"], "times between doses"),
        probability=_plain_number(fields["probability"], "probability") / 100.0,
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


# --------------------------------------------------------------------------------------- next test


def _next(fit: Any, fields: Mapping[str, str]) -> Answer:
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


# ----------------------------------------------------------------------------------------- furnace


def _is_alloy(fit: Any) -> bool:
    return isinstance(fit, EquationFit) and has_map(fit) and len(fit.batch) == 1


def _furnace_fields(fit: Any) -> tuple[Field, ...]:
    symbol = pretty_unit(fit.prior.model.output.unit)
    return (
        Field("temperature", "furnace temperature", "500 °C"),
        Field("at_most", f"at most, in {symbol}", "40"),
        Field("at_least", f"at least, in {symbol}"),
        Field("probability", "with which probability, in %", "90"),
    )


def _furnace(fit: Any, fields: Mapping[str, str]) -> Answer:
    if not fields["at_most"] and not fields["at_least"]:
        raise InputError("say what is required: at most, at least, or both.")
    best = furnace_time(
        fit,
        _with_unit(fit, "temperature", fields["temperature"]),
        at_least=_of_output(fit, fields["at_least"]),
        at_most=_of_output(fit, fields["at_most"]),
        probability=_plain_number(fields["probability"], "probability") / 100.0,
        draws=1000,
    )
    return Answer(f"{best.words}.", warnings=best.warnings)


def _of_output(fit: Any, text: str) -> str | float | None:
    return _number_of(text, "the requirement") if text else None


def _several(text: str, what: str) -> list[str]:
    """Numbers and their unit, ``250, 500 mg``, each with the unit."""
    *front, last = [part.strip() for part in text.replace(";", ",").split(",") if part.strip()] or [""]
    if not last:
        raise InputError(f"{what}: give one or more, such as 250, 500 mg.")
    _, symbol = stated(last, what)
    return [part if stated(part, what)[1] else f"{part} {symbol}".strip() for part in (*front, last)]


def _number_of(text: str, what: str) -> str | float:
    """A quantity, or a bare number in the model's unit."""
    value, symbol = stated(text, what)
    return text if symbol else value


def _plain_number(text: str, what: str) -> float:
    try:
        return float(text.split()[0].replace(",", ".").rstrip("%"))
    except (ValueError, IndexError):
        raise InputError(f"{what}: '{text[:40]}' is not a number.") from None


def _nothing(fit: Any) -> tuple[Field, ...]:
    return ()


def _can_predict(fit: Any) -> bool:
    return not isinstance(fit, EquationFit) or bool(coordinates(fit))


def _can_plan(fit: Any) -> bool:
    return not isinstance(fit, EquationFit) or (len(fit.batch) == 1 and bool(coordinates(fit)))


QUESTIONS: Sequence[Question] = (
    Question("predict", "What would be measured at …?", _conditions, _can_predict, _predict),
    Question("before_next", "What is the level before the next dose?", _nothing, _takes_doses, _before_next),
    Question("dose", "Which dose reaches a target?", _dose_fields, _takes_doses, _dose),
    Question("next", "What to measure next?", _nothing, _can_plan, _next),
    Question("furnace", "How long in the furnace?", _furnace_fields, _is_alloy, _furnace),
)
