"""A line of text as a question.

What is understood, in small letters or capitals::

    hardness after 2 h at 500 °C            (conditions, each with its unit)
    level at 12 h
    when is it 5 mg/L until 72 h            (the end may be left out)
    level before the next dose
    dose for a trough of 10 to 15 mg/L      (or peak, auc; then: from 250, 500 mg; every 8, 12 h)
    what to measure next                    (or: which test next)
    furnace time to 40 HRC at 600 °C        (or: to at least 40 HRC)

Conditions are told apart by their units, so that every input of a prior has to have a dimension of its own; one without
a unit may be named, `phase at 8.1 electrons`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from metasci.app.page import EXAMPLES
from metasci.app.predictions import conditions, value_on_the_way
from metasci.app.questions import questions_for
from metasci.errors import InputError
from metasci.fits.equation import EquationFit
from metasci.report.curves import coordinates
from metasci.units import same_dimension, stated
from metasci.words import words

__all__ = ["line_of", "question_of"]

_AMOUNT = r"[-+]?\d[\d.,]*(?:e[-+]?\d+)?"
_DOSE = re.compile(
    rf"dose.*?\b(?P<target>trough|peak|auc)\b.*?(?P<low>{_AMOUNT})(?:\s*(?:to|–|-|and)\s*(?P<high>{_AMOUNT}))?(?P<unit>[^,]*?)"
    r"(?:\s+from\s+(?P<doses>.+?))?(?:\s+every\s+(?P<intervals>.+))?",
    re.IGNORECASE,
)
_FURNACE = re.compile(
    rf"(?:furnace\s+)?time\s+(?:to|until|for)\s+(?P<bound>at least\s+|at most\s+)?(?P<value>{_AMOUNT})\s*(?P<unit>\S+)?"
    r"\s+at\s+(?P<temperature>.+)",
    re.IGNORECASE,
)
_WHEN = re.compile(
    rf"when\b.*?(?P<value>{_AMOUNT})\s*(?P<unit>\S+)?(?:\s+until\s+(?P<until>.+))?", re.IGNORECASE
)
_NEXT = re.compile(r".*\b(?:measure|test|sample|measurement)\b.*\bnext\b.*|next\b.*", re.IGNORECASE)
_BEFORE = re.compile(r".*\b(?:before|trough)\b.*\bnext\b.*dose.*", re.IGNORECASE)
_CONDITION = re.compile(
    rf"\b(?:after|at|and|for|of)\s+(?P<value>{_AMOUNT}\s*\S+?)(?=\s+(?:after|at|and|for)\b|\s*\??$)",
    re.IGNORECASE,
)


def question_of(fit: Any, line: str) -> tuple[str, dict[str, str]]:
    """The name of a question, and its fields, from a line of text.

    Raises
    ------
    InputError
        If the line is none that is understood; the sentence names those that are.

    Examples
    --------
    >>> from metasci.app.choices import example_of
    >>> from metasci.app.fitting import try_to_fit
    >>> fit = try_to_fit("steel_tempering", example_of("steel_tempering")).fit
    >>> question_of(fit, "hardness after 2 h at 500 °C")
    ('predict', {'time': '2 h', 'temperature': '500 °C'})
    >>> question_of(fit, "furnace time to at least 40 HRC at 600 °C")
    ('furnace', {'temperature': '600 °C', 'at_least': '40 HRC', 'at_most': ''})
    """
    text = " ".join(line.strip().rstrip("?.").split())
    name, fields = _read(fit, text)
    known = [each.name for each in questions_for(fit)]
    if name not in known:
        raise InputError(_not_understood(fit, known))
    _check_unit(fit, fields.pop("unit", ""))
    return name, fields


def _read(fit: Any, text: str) -> tuple[str, dict[str, str]]:
    if _BEFORE.fullmatch(text):
        return "before_next", {}
    if _NEXT.fullmatch(text):
        return "next", {}
    if match := _DOSE.fullmatch(text):
        high = match["high"] or ""
        fields = {"target": match["target"].lower(), "low": match["low"], "high": high}
        fields |= {name: match[name].strip() for name in ("doses", "intervals") if match[name]}
        return "dose", fields | {"unit": match["unit"].strip()}
    if match := _WHEN.fullmatch(text):
        until = {"until": match["until"]} if match["until"] else {}
        return "when", {"value": f"{match['value']} {match['unit'] or ''}".strip(), **until}
    if match := _FURNACE.fullmatch(text):
        value = f"{match['value']} {match['unit'] or ''}".strip()
        least = (match["bound"] or "").lower().startswith("at least")
        return "furnace", {
            "temperature": match["temperature"],
            "at_least": value if least else "",
            "at_most": "" if least else value,
        }
    if places := [each["value"] for each in _CONDITION.finditer(_without_names(fit, text))]:
        return "predict", _inputs_of(fit, places)
    return "", {}


def _inputs_of(fit: Any, conditions: list[str]) -> dict[str, str]:
    """Each condition with the input of its dimension."""
    if not isinstance(fit, EquationFit):
        raise InputError(
            "a line can ask a family only what to measure next; the form predicts a further member."
        )
    inputs: Mapping[str, Any] = fit.prior.model.inputs
    names = coordinates(fit)
    text_of: dict[str, str] = {}
    for text in conditions:
        _, symbol = stated(text, "the line")
        fitting = [
            name for name in names if name not in text_of and same_dimension(symbol or "1", inputs[name].unit)
        ]
        if not fitting:
            asked = " and ".join(f"{name} ({inputs[name].unit})" for name in names)
            raise InputError(f"'{text}' is no condition of this prior; it takes {asked}.")
        text_of[fitting[0]] = text
    if missing := [name for name in names if name not in text_of]:
        raise InputError(f"say at which {missing[0]}, such as 1 {inputs[missing[0]].unit}.")
    return text_of


def _check_unit(fit: Any, symbol: str) -> None:
    """The target's numbers are in the output's unit; another one is refused rather than mistaken."""
    own = fit.prior.model.output.unit
    # µ has two code points, and an area's unit is spelt in more ways than can be told apart here
    if (
        symbol
        and symbol.replace("µ", "u").replace("μ", "u") != own
        and "*" not in symbol
        and "h" not in symbol
    ):
        raise InputError(f"the target is in {own}, the unit of this prior's levels, and not in '{symbol}'.")


def line_of(fit: Any, name: str) -> str:
    """A line that asks a question of this fit, or nothing where a line cannot tell its conditions apart."""
    if name == "when":
        return _when_line(fit)
    if name != "predict" or {"time", "temperature"} <= set(fit.prior.model.inputs):
        return EXAMPLES[name]
    if not isinstance(fit, EquationFit):
        return ""
    output, given = fit.prior.model.output, {each.name: each.value for each in conditions(fit)}
    line = f"{output.label or words(output.name)} at {' and '.join(given.values())}"
    try:
        return line if _read(fit, line) == (name, given) else ""
    except InputError:
        return ""


def _when_line(fit: EquationFit) -> str:
    return f"when is it {value_on_the_way(fit)} {fit.prior.model.output.unit}".removesuffix(" 1")


def _without_names(fit: Any, text: str) -> str:
    """The line with inputs that have no unit left unnamed: `8.1` for `8.1 electrons` and `electrons 8.1`."""
    names = coordinates(fit) if isinstance(fit, EquationFit) else []
    for name in names:
        if fit.prior.model.inputs[name].unit == "1":
            named = re.escape(words(name))
            text = re.sub(rf"\b{named}\s*=?\s*({_AMOUNT})", r"\1", text, flags=re.IGNORECASE)
            text = re.sub(rf"({_AMOUNT})\s+{named}\b", r"\1", text, flags=re.IGNORECASE)
    return text


def _not_understood(fit: Any, known: list[str]) -> str:
    lines = [f"'{line}'" for name in known if (line := line_of(fit, name))]
    if not lines:
        return "the line is not understood; ask by the forms below."
    return f"the line is not understood. Lines that are: {'; '.join(lines)}."
