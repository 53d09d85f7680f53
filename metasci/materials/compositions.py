"""Compositions written as formulas: elements weighted by fraction, with properties from the library `chemicals`."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metasci.errors import InputError
from metasci.materials.structures import Features, needs

__all__ = ["PROPERTIES", "canonical", "element_table", "family", "features", "fractions"]

PROPERTIES = (
    "atomic mass (g/mol)", "electronegativity (Pauling)", "ionisation energy (eV)", "covalent radius (Å)", "group",
    "period", "melting point (K)",
)  # fmt: skip
"""Of an element; where the library knows none, the median over elements stands in."""

_ELEMENTS = 103
_AMOUNT = re.compile(r"([A-Z][a-z]?)(\d+(?:\.\d+)?|\.\d+)?")


def fractions(text: str) -> dict[str, float]:
    """Atomic fractions by element.

    Raises
    ------
    InputError
        If the text is no formula of known elements.

    Examples
    --------
    >>> fractions("Al0.5 Co1 Ni0.5")
    {'Al': 0.25, 'Co': 0.5, 'Ni': 0.25}
    """
    amounts = _amounts(text)
    total = sum(amounts.values())
    return {element: amount / total for element, amount in amounts.items()}


def canonical(text: str) -> str:
    """The formula with its elements in alphabetical order and amounts as they were given.

    Examples
    --------
    >>> canonical("Ti1 Al0.25 Ni")
    'Al0.25NiTi'
    >>> canonical("Ti1 Xx2")
    Traceback (most recent call last):
    metasci.errors.InputError: 'Ti1 Xx2' is not a formula such as 'Al0.25 Co Ni': there is no element 'Xx'.
    """
    amounts = sorted(_amounts(text).items())
    return "".join(f"{element}{'' if amount == 1.0 else f'{amount:g}'}" for element, amount in amounts)


def family(text: str) -> str:
    """The system of elements, in alphabetical order."""
    return "-".join(sorted(_amounts(text)))


def features(texts: Sequence[str]) -> Features:
    """Fractions of the elements; mean and spread of their properties, number of elements and entropy of mixing.

    Examples
    --------
    >>> described = features(["CoNi"])
    >>> float(described.counts.sum()), round(float(described.descriptors[0, -1]), 3)
    (1.0, 0.693)
    """
    table = element_table()
    counts, whole = np.zeros((len(texts), _ELEMENTS)), []
    for row, text in enumerate(texts):
        parts = fractions(text)
        place = np.array([_numbers()[element] - 1 for element in parts])
        share = np.array(list(parts.values()))
        counts[row, place] = share
        mean = share @ table[place]
        spread = np.sqrt(share @ (table[place] - mean) ** 2)
        entropy = -float(share @ np.log(share))
        whole.append([*mean, *spread, float(len(share)), entropy])
    return Features(counts, np.array(whole))


@functools.cache
def element_table() -> NDArray[np.float64]:
    """Properties of the elements by atomic number, (element, property); see `PROPERTIES`."""
    melting = needs("chemicals").Tm
    rows = []
    for entry in list(needs("chemicals.elements").periodic_table)[:_ELEMENTS]:
        group = 3 if entry.group is None else entry.group
        values = (
            entry.MW,
            entry.elneg,
            entry.ionization,
            entry.rcov,
            group,
            entry.period,
            melting(entry.CAS),
        )
        rows.append([np.nan if value is None else float(value) for value in values])
    table = np.array(rows)
    return np.where(np.isnan(table), np.nanmedian(table, 0), table)


@functools.cache
def _numbers() -> dict[str, int]:
    entries = list(needs("chemicals.elements").periodic_table)[:_ELEMENTS]
    return {entry.symbol: int(entry.number) for entry in entries}


def _amounts(text: str) -> dict[str, float]:
    bare = "".join(text.split())
    wrong = f"'{text}' is not a formula such as 'Al0.25 Co Ni'"
    if set(bare) & set("()[]{}"):
        raise InputError(
            f"{wrong}: give each element its own amount; what a number after a bracket means differs."
        )
    if not bare or _AMOUNT.sub("", bare):
        raise InputError(f"{wrong}.")
    amounts: dict[str, float] = {}
    for element, amount in _AMOUNT.findall(bare):
        if element not in _numbers():
            raise InputError(f"{wrong}: there is no element '{element}'.")
        amounts[element] = amounts.get(element, 0.0) + (float(amount) if amount else 1.0)
    amounts = {element: amount for element, amount in amounts.items() if amount > 0.0}
    if not amounts:
        raise InputError(f"{wrong}: no element has an amount above zero.")
    return amounts
