"""The error that is meant for people."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["FAILURES", "LONGEST", "InputError", "MissingExtra", "as_sentence", "check_level", "failure"]

FAILURES = (Exception, GeneratorExit, SystemExit)
"""What a function that a user wrote may raise where it is given arrays that it does not expect."""


LONGEST = 290
_SHORT = 60
_QUOTED = re.compile(r"(?<!\w)'([^']*)'(?!\w)")  # all of them, so that ends and beginnings are not mixed up


class InputError(ValueError):
    """What was given cannot be used; the message is one sentence that says what to change.

    The command line prints the sentence and ends with status 2; no traceback is shown. Texts of a stranger that stand
    in it are made printable, and shortened where they would make it longer than a few lines.

    Examples
    --------
    >>> str(InputError("there is no file '" + "a" * 300 + chr(7) + "'.")) == f"there is no file '…{'a' * 58}?'."
    True
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(as_sentence(str(message)))


def as_sentence(text: str, most: int = LONGEST) -> str:
    """A text on one line, of printable letters, shortened in its middle: what to do stands at the end.

    Examples
    --------
    >>> as_sentence("no such option: --se" + chr(7))
    'no such option: --se?'
    """
    line = "".join(letter if letter.isprintable() else " " if letter.isspace() else "?" for letter in text)
    if len(line) > most:
        line = _QUOTED.sub(_shortened, line)
    if len(line) > most:
        line = f"{line[: most - 102].rstrip()} … {line[-99:].lstrip()}"
    return line


def _shortened(quoted: re.Match[str]) -> str:
    """What stands between quotation marks, of which the end is kept: of a path the file."""
    return quoted[0] if len(quoted[1]) < _SHORT else f"'…{quoted[1][1 - _SHORT :]}'"


class MissingExtra(InputError, ImportError):
    """A library that comes with one of the package's extras is not installed; the sentence says which to install."""


def check_level(level: object) -> None:
    """Refuse what is no probability of an interval.

    Examples
    --------
    >>> check_level(90)
    Traceback (most recent call last):
    metasci.errors.InputError: level: 90 is not between 0 and 1; 0.9 stands for intervals of 90 %.
    >>> check_level({"time": 2.0})
    Traceback (most recent call last):
    metasci.errors.InputError: level: a dict is no probability; conditions go by name, as in predict(time="2 h").
    """
    if isinstance(level, bool) or not isinstance(level, int | float):
        kind = type(level).__name__
        raise InputError(
            f'level: a {kind} is no probability; conditions go by name, as in predict(time="2 h").'
        )
    if not 0.0 <= level < 1.0:
        raise InputError(f"level: {level:g} is not between 0 and 1; 0.9 stands for intervals of 90 %.")


def failure(function: Callable[..., Any], error: BaseException) -> str:
    """What went wrong within a user's function: its name, the file and line of it, and what was said there.

    Examples
    --------
    >>> def halved(x):
    ...     return x / 0
    >>> try:
    ...     halved(1)
    ... except ArithmeticError as error:
    ...     failure(halved, error).partition(" (")[0]
    "'halved' fails"
    """
    code = getattr(function, "__code__", None)
    line, at = None, error.__traceback__
    while isinstance(at, TracebackType):  # the deepest of its own lines is where to look
        if code is not None and at.tb_frame.f_code.co_filename == code.co_filename:
            line = at.tb_lineno
        at = at.tb_next
    name = getattr(function, "__name__", type(function).__name__)
    where = "" if line is None or code is None else f" ({Path(code.co_filename).name}, line {line})"
    try:
        words = (str(error).strip().splitlines() or [""])[0].rstrip(".")[:160]
    except Exception:  # its own class, which cannot be put in words
        words = ""
    return f"'{name}' fails{where}: {type(error).__name__}, {words or 'without a word'}"
