"""The error that is meant for people."""

__all__ = ["InputError", "MissingExtra", "check_level"]


class InputError(ValueError):
    """What was given cannot be used; the message is one sentence that says what to change.

    The command line prints the sentence and ends with status 2; no traceback is shown.
    """


class MissingExtra(InputError, ImportError):
    """A library that comes with one of the package's extras is not installed; the sentence says which to install."""


def check_level(level: float) -> None:
    """Refuse what is no probability of an interval.

    Examples
    --------
    >>> check_level(90)
    Traceback (most recent call last):
    metasci.errors.InputError: level: 90 is not between 0 and 1; 0.9 stands for intervals of 90 %.
    """
    if not 0.0 <= level < 1.0:
        raise InputError(f"level: {level:g} is not between 0 and 1; 0.9 stands for intervals of 90 %.")
