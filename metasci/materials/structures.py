"""Chemical structures as texts: what kinds there are, whether a text is one, and its numbers.

A kind of text is a name and a module that knows it: SMILES (`metasci.materials.molecules`), a composition formula
(`compositions`), a crystal (`crystals`). Each has `canonical`, which checks a text, `makeup`, which says of what it is,
and `features` of many; the latter two also `family`.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metasci.data.kinds import Kind, register
from metasci.errors import InputError
from metasci.extras import needed

__all__ = ["KINDS", "Features", "Makeup", "canonical", "family", "features", "makeup", "parts"]

KINDS = {"smiles": "molecules", "formula": "compositions", "crystal": "crystals"}


@dataclass(frozen=True)
class Features:
    """Numbers that describe structures.

    Attributes
    ----------
    counts : ndarray, (structure, kind of part)
        How often, or in which fraction, each kind of part occurs; never negative.
    descriptors : ndarray, (structure, descriptor)
        Quantities of the whole.
    """

    counts: NDArray[np.float64]
    descriptors: NDArray[np.float64]


@dataclass(frozen=True)
class Makeup:
    """Of what a structure is, told so that a reader can follow.

    Attributes
    ----------
    elements : frozenset of str
    size : int
        Atoms of a molecule, hydrogen left out where it is not alone; elements of a formula; atoms of a crystal's cell.
    """

    elements: frozenset[str]
    size: int


def canonical(kind: str, text: str) -> str:
    """The text of a structure in the one form that it has here.

    Raises
    ------
    InputError
        If it is none; the sentence says why.

    Examples
    --------
    >>> canonical("formula", "Ni Ti")
    'NiTi'
    """
    checked: str = _module(kind).canonical(text)
    return checked


def family(kind: str, text: str) -> str:
    """The family that a structure belongs to: of a formula its system of elements, of a crystal its anion.

    Raises
    ------
    InputError
        If structures of that kind have none.

    Examples
    --------
    >>> family("formula", "Ni2 Al0.3 Co")
    'Al-Co-Ni'
    """
    module = _module(kind)
    if not hasattr(module, "family"):
        raise InputError(f"a structure written as {kind} does not say its family: give it in a column.")
    name: str = module.family(text)
    return name


def parts(kind: str, text: str) -> list[str]:
    """The one form of each molecule that a text is of, such as of a salt, the largest first.

    Raises
    ------
    InputError
        If structures of that kind are no molecules.

    Examples
    --------
    >>> parts("smiles", "Cl.CCN")
    ['CCN', 'Cl']
    """
    module = _module(kind)
    if not hasattr(module, "parts"):
        raise InputError(
            f"a structure written as {kind} is not of several molecules, of which one is largest."
        )
    each: list[str] = module.parts(text)
    return each


def makeup(kind: str, text: str) -> Makeup:
    """Of what a structure is.

    Examples
    --------
    >>> makeup("formula", "CoNi2")
    Makeup(elements=frozenset({...}), size=2)
    """
    elements, size = _module(kind).makeup(text)
    return Makeup(frozenset(elements), size)


def features(kind: str, texts: Sequence[str]) -> Features:
    """Describe structures that `canonical` has checked."""
    described: Features = _module(kind).features(texts)
    return described


def _module(kind: str) -> Any:
    if kind not in KINDS:
        raise InputError(f"there is no kind of structure '{kind}'; known are {', '.join(KINDS)}.")
    return importlib.import_module(f"metasci.materials.{KINDS[kind]}")


def needs(library: str) -> Any:
    """A library of the extra, or a sentence that says how to get it."""
    return needed(library, "materials", "a chemical structure")


def _register() -> None:
    for name in KINDS:
        register(name, Kind(partial(canonical, name), partial(family, name), partial(parts, name)))


_register()
