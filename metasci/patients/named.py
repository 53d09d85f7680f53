"""States and parameters of a patient as attributes, ``x.central``, so that an equation reads as on paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metasci.errors import InputError
from metasci.words import suggestion

__all__ = ["Named"]


class Named:
    """Values by name, as attributes.

    Parameters
    ----------
    values : mapping of str to array
    what : str
        What they are, in the sentence that refuses another name.

    Examples
    --------
    >>> Named({"volume": 70.0}, "parameter").volume
    70.0
    >>> Named({"volume": 70.0}, "parameter").volum
    Traceback (most recent call last):
    metasci.errors.InputError: there is no parameter 'volum' (did you mean 'volume'?); they are volume.
    """

    def __init__(self, values: Mapping[str, Any], what: str) -> None:
        self._values, self._what = dict(values), what

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._values:
            known = tuple(self._values)
            raise InputError(
                f"there is no {self._what} '{name}'{suggestion(name, known)}; they are {', '.join(known)}."
            )
        return self._values[name]

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)
