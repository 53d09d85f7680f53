"""Kinds of texts that a column may hold instead of numbers, such as formulas: what reads one, by the kind's name.

Whoever knows a kind registers it; `metasci.materials.structures` does for those that ship, and is loaded when the first
is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from metasci.errors import InputError

__all__ = ["Kind", "kind_named", "register"]

_SHIPPED_BY = "metasci.materials.structures"
_registered: dict[str, Kind] = {}


def _no_parts(text: str) -> list[str]:
    raise InputError(f"'{text}' is not of several molecules, of which one is largest.")


@dataclass(frozen=True)
class Kind:
    """How structures of one kind are read.

    Attributes
    ----------
    canonical : callable
        From a text to the one form that the structure has here; `InputError` if it is none.
    family : callable
        From that form to the name of the family that the structure belongs to; `InputError` if it has none.
    parts : callable
        From a text of several molecules to the form of each, the largest first; `InputError` if the kind has no such.
    """

    canonical: Callable[[str], str]
    family: Callable[[str], str]
    parts: Callable[[str], list[str]] = _no_parts


def register(name: str, kind: Kind) -> None:
    """Make a kind known under a name, as in a card's ``kind = "formula"``."""
    _registered[name] = kind


def kind_named(name: str) -> Kind:
    """The kind of that name.

    Raises
    ------
    InputError
        If there is none; the sentence lists those there are.

    Examples
    --------
    >>> kind_named("formula").canonical("Ni Ti")
    'NiTi'
    """
    if name not in _registered:
        importlib.import_module(_SHIPPED_BY)
    if name not in _registered:
        raise InputError(f"there is no kind of structure '{name}'; known are {', '.join(_registered)}.")
    return _registered[name]


def _no_family(text: str) -> str:
    raise InputError(f"the name '{text}' says no family: give it in a column.")


register("source", Kind(str.strip, _no_family))
register("name", Kind(str.strip, _no_family))
