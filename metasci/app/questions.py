"""What can be asked of a fit, as functions of a fit and texts with units: each answers in a sentence, with a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metasci.app.asked import Answer, Field, Question, nothing
from metasci.app.dosages import before_next, dose, dose_fields, takes_doses
from metasci.app.next_tests import can_plan, furnace, furnace_fields, is_alloy, next_one
from metasci.app.predictions import can_follow, can_predict, conditions, predict, when, when_fields
from metasci.errors import InputError

__all__ = ["QUESTIONS", "Answer", "Field", "Question", "answer", "questions_for"]


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


QUESTIONS: Sequence[Question] = (
    Question("predict", "What would be measured at …?", conditions, can_predict, predict),
    Question("when", "When does it reach …?", when_fields, can_follow, when),
    Question("before_next", "What is the level before the next dose?", nothing, takes_doses, before_next),
    Question("dose", "Which dose reaches a target?", dose_fields, takes_doses, dose),
    Question("next", "What to measure next?", nothing, can_plan, next_one),
    Question("furnace", "How long in the furnace?", furnace_fields, is_alloy, furnace),
)
