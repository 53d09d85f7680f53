"""What is wrong with an option or argument, in our own words and not in those of the library that checks it."""

from __future__ import annotations

from typing import Any

from metasci.words import suggestion

__all__ = ["reworded"]

_SENTENCES = {
    "int_parsing": "'{input}' is not a whole number.",
    "int_from_float": "'{input}' is not a whole number.",
    "float_parsing": "'{input}' is not a number.",
    "greater_than_equal": "{input} is too small; the least is {ge:g}.",
    "less_than_equal": "{input} is too large; the most is {le:g}.",
}


def reworded(error: Any) -> Any:
    """The error of usage, with our sentence in the place of the checking library's.

    Earlier releases of Typer check by themselves and say it plainly; theirs stays.
    """
    cause = error.__cause__
    if cause is not None and hasattr(cause, "errors"):
        first = cause.errors()[0]
        known = _SENTENCES.get(first["type"])
        error.message = (
            known.format(input=first["input"], **first.get("ctx", {}))
            if known
            else str(error.message).removeprefix("Value error, ").strip()
        )
    if " is not one of " in str(getattr(error, "message", "")):
        error.message = _with_suggestion(error.message)
    return error


def _with_suggestion(message: str) -> str:
    """The choices, and the one that was most likely meant.

    Examples
    --------
    >>> _with_suggestion("'frist' is not one of 'first', 'random'.")
    "'frist' is not one of 'first', 'random' (did you mean 'first'?)."
    """
    sentence = message.rstrip(".")
    written, _, choices = sentence.partition(" is not one of ")
    known = [choice.strip("' ") for choice in choices.split(",")]
    meant = suggestion(written.strip("' "), known)
    return f"{sentence}{meant}."
