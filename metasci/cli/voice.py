"""How much the command line says beside its answer: nothing with ``-q``, its own words, or all with ``-v``."""

from __future__ import annotations

import inspect
import logging
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from metasci.errors import InputError

__all__ = ["hushed", "remark", "says_progress", "with_voice"]

_PACKAGE = Path(__file__).resolve().parent.parent

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing beside the answer, but for errors.")]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Also say what libraries warn of, and where an error comes from."),
]


class Voice(Enum):
    """How much is said."""

    QUIET = 0
    OWN = 1
    ALL = 2


_voice = Voice.OWN


def says_progress() -> bool:
    """Whether long work shows how far it is."""
    return _voice is not Voice.QUIET


def remark(text: str) -> None:
    """A sentence beside the answer, on standard error."""
    if _voice is not Voice.QUIET:
        typer.echo(text, err=True)


def with_voice(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options ``-q`` and ``-v``."""

    @wraps(command)
    def spoken(quiet: bool = False, verbose: bool = False, **given: Any) -> None:
        global _voice
        if quiet and verbose:
            raise InputError("--quiet and --verbose are opposites; give one.")
        _voice = Voice.QUIET if quiet else Voice.ALL if verbose else Voice.OWN
        try:
            command(**given)
        except (InputError, ArithmeticError, RuntimeError):
            if verbose:
                traceback.print_exc()
            raise

    signature = inspect.signature(command, eval_str=True)  # typer looks for them in this module else
    options = {"quiet": Quiet, "verbose": Verbose}
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
        for name, annotation in options.items()
    ]
    spoken.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *more])  # type: ignore[attr-defined]
    spoken.__annotations__ = {name: each.annotation for name, each in spoken.__signature__.parameters.items()}  # type: ignore[attr-defined]
    return spoken


@contextmanager
def hushed() -> Iterator[None]:
    """Warnings as sentences of the program; those of libraries are for who asks with ``-v``."""
    global _voice
    _voice = Voice.OWN
    with warnings.catch_warnings():
        warnings.showwarning = _show  # type: ignore[assignment]
        last, logging.lastResort = (
            logging.lastResort,
            logging.NullHandler(),
        )  # what libraries log without being asked
        # and what they fail at while they put things away, such as a broken file that is closed
        unraisable, sys.unraisablehook = sys.unraisablehook, _show_unraisable
        try:
            yield
        finally:
            logging.lastResort, sys.unraisablehook = last, unraisable


def _show_unraisable(what: Any) -> None:
    if _voice is Voice.ALL:
        sys.__unraisablehook__(what)


def _show(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any) -> None:
    own = Path(filename).is_relative_to(_PACKAGE) and issubclass(category, UserWarning)
    if own:
        remark(f"metasci: {message}")
    elif _voice is Voice.ALL:
        print(warnings.formatwarning(message, category, filename, lineno), file=sys.stderr, end="")
