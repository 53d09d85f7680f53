"""What would be measured at other conditions, and when a curve reaches a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metasci.app.asked import Answer, Field, number_of
from metasci.app.classes import likeliest_in_words, names_of_classes
from metasci.errors import InputError
from metasci.fits.equation import EquationFit
from metasci.fits.followed_curve import curve_name
from metasci.outcomes import Categorical
from metasci.report.curves import axis_of, coordinates, span
from metasci.units import stated
from metasci.words import number, pretty_unit, with_unit as in_words, words

__all__ = [
    "can_follow",
    "can_predict",
    "conditions",
    "predict",
    "value_on_the_way",
    "when",
    "when_fields",
    "with_unit",
]


def can_predict(fit: Any) -> bool:
    """Whether there is anything to say where."""
    return not isinstance(fit, EquationFit) or bool(coordinates(fit))


def conditions(fit: Any) -> tuple[Field, ...]:
    """A field for each input that is asked for."""
    inputs = fit.prior.model.inputs
    asked = coordinates(fit) if isinstance(fit, EquationFit) else list(inputs)
    fields = []
    for name in asked:
        if not isinstance(fit, EquationFit) and fit.tasks.card.column(name).kind:
            fields.append(Field(name, f"{words(name)} (as in the table)"))
            continue
        if texts := _texts(fit, name):
            fields.append(Field(name, words(name), texts[0], texts))
            continue
        axis = axis_of(fit, name) if isinstance(fit, EquationFit) else None
        shown = axis.shown if axis else inputs[name].unit
        symbol = pretty_unit(shown)
        middle = ""
        if axis is not None:
            low, high = span(fit, name)
            middle = f"{number(float(axis.show(0.5 * (low + high))), 2)} {symbol if '⁶' not in symbol else ''}".strip()
        such = f", such as {in_words('1', shown)}" if symbol else ""
        fields.append(Field(name, f"{words(name)}{such}", middle))
    return tuple(fields)


def predict(fit: Any, fields: Mapping[str, str]) -> Answer:
    """What would be measured there."""
    output = fit.prior.model.output
    symbol, what = (
        pretty_unit(output.unit),
        curve_name(fit.prior.model.noise, output.label or words(output.name)),
    )
    for name, text in fields.items():
        if not text:
            raise InputError(f"say at which {words(name)}.")
    if not isinstance(fit, EquationFit):
        structure = next(name for name in fields if fit.tasks.card.column(name).structural)
        others = {name: with_unit(fit, name, text) for name, text in fields.items() if name != structure}
        row = fit.predict(fields[structure], **others).iloc[0]
        middle, low, high, prior = (float(row[name]) for name in ("predicted", "lower", "upper", "prior"))
        at = ", ".join(fields.values())
    else:
        asked: dict[str, Any] = {name: with_unit(fit, name, text) for name, text in fields.items()}
        predicted = fit.predict(**asked)
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


def with_unit(fit: Any, name: str, text: str) -> str:
    """A text with its unit; a bare number is in the unit in which people read the input, and a code stays as it is."""
    if _texts(fit, name):
        return text
    value, symbol = stated(text, name)
    if symbol:
        return text
    axis = axis_of(fit, name) if isinstance(fit, EquationFit) else None
    return f"{value!r} {axis.shown if axis else fit.prior.model.inputs[name].unit}"


def _texts(fit: Any, name: str) -> tuple[str, ...]:
    """What may be said of an input of categories; nothing of others."""
    return next((tuple(column.codes) for column in fit.tasks.card.columns if column.name == name), ())


def can_follow(fit: Any) -> bool:
    """Whether there is one curve to follow along one input."""
    return (
        isinstance(fit, EquationFit)
        and len(fit.batch) == 1
        and len(coordinates(fit)) == 1
        and not isinstance(fit.prior.model.noise, Categorical)
        and not _texts(fit, coordinates(fit)[0])
    )


def when_fields(fit: Any) -> tuple[Field, ...]:
    """The value, and between where and where to look."""
    model, name = fit.prior.model, coordinates(fit)[0]
    symbol = pretty_unit(model.output.unit)
    low, high = span(fit, name)
    axis = axis_of(fit, name)
    return (
        Field(
            "value",
            f"which {_called(fit)}{f', in {symbol}' if symbol else ''}",
            "" if model.noise.measures else value_on_the_way(fit),
        ),
        Field("start", f"from which {words(name)} on", axis.text(low)),
        Field("until", f"until which {words(name)}", axis.text(2.0 * high)),
    )


def value_on_the_way(fit: EquationFit) -> str:
    """Where the curve stands in the middle of its range, by two digits; of a yes or no where both are as likely."""
    name, noise = coordinates(fit)[0], fit.prior.model.noise
    if getattr(noise, "kind", "") == "yes or no":
        return "0.5"
    middle: dict[str, Any] = {name: 0.5 * sum(span(fit, name))}
    value = float(fit.predict(**middle)["median"].squeeze())
    return f"{float(f'{value:.2g}'):g}"


def _called(fit: Any) -> str:
    """What is asked to be reached."""
    noise, name = fit.prior.model.noise, words(fit.prior.model.output.name)
    return f"value of {name}" if noise.measures else curve_name(noise, name)


def when(fit: Any, fields: Mapping[str, str]) -> Answer:
    """When the curve reaches a value."""
    if not fields["value"]:
        raise InputError(f"say which {_called(fit)}.")
    name = coordinates(fit)[0]
    ends = {key: with_unit(fit, name, fields[key]) for key in ("start", "until") if fields[key]}
    found = fit.when(number_of(fields["value"], "value"), name, **ends)
    return Answer(f"{found.sentences[0]}.")
