"""Compositions written as formulas: elements weighted by fraction, with properties from the library `chemicals`."""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from metasci.data.grades import grade_named, is_numbered, near_grades, unknown
from metasci.errors import InputError
from metasci.materials.structures import Features, needs

__all__ = ["PROPERTIES", "canonical", "element_table", "family", "features", "fractions", "makeup"]

PROPERTIES = (
    "atomic mass (g/mol)",
    "electronegativity (Pauling)",
    "ionisation energy (eV)",
    "covalent radius (Å)",
    "group",
    "period",
    "melting point (K)",
)
"""Of an element; where the library knows none, the median over elements stands in."""

_ELEMENTS = 103  # to lawrencium: properties of those beyond are not tabulated
_ALLOY = re.compile(r"([A-Z][a-z]?)((?:-(?:\d+\.?\d*|\.\d+)[A-Z][a-z]?)+)")
_ADDED = re.compile(r"-(\d+\.?\d*|\.\d+)([A-Z][a-z]?)")
# an element, then numbers that each stand before another: Ti6Al4V; of atoms such numbers are mostly one or two
_LIKE_AN_ALLOY = re.compile(r"[A-Z][a-z]?(?:\d+\.?\d*[A-Z][a-z]?){2,}")
_OF_TWO = re.compile(r"[A-Z][a-z]?\d+\.?\d*[A-Z][a-z]?")  # Ni20Cr, which may be atoms unless it says per cent
_BASE_FIRST = re.compile(
    r"[A-Z][a-z]?(?:[A-Z][a-z]?\d+\.?\d*)+"
)  # CuZn37, TiAl6V4: as standards name what is added
_LEAST_ADDED, _MOST_ADDED = 5.0, 50.0  # per cent, in alloys that are named so
_PER = re.compile(r"[\s,(\[]*(wt|at)\.?\s*%[)\]]?$")  # at the end: wt%, (at.%)
_ROUNDED = 2.0  # per cent by which shares of the whole may miss it
_OF_ONE = (1.0, 100.0)  # what may stand behind an element without others; S355 and P92 are steels
_AMOUNT = re.compile(r"([A-Z][a-z]?)(\d+(?:\.\d+)?|\.\d+)?")


def fractions(text: str) -> dict[str, float]:
    """Atomic fractions by element.

    Amounts are of atoms. A grade, such as ``"316L"`` or ``"Ti-6Al-4V"``, is read as the middle of its standard, by
    weight (`metasci.data.grades`). The notation of alloys, a base and what is added to it in per cent by weight, is
    read where the text says so: ``"Ti-6Al-7Nb wt%"``, ``"Fe70Cr18Ni12 (wt%)"``.

    Raises
    ------
    InputError
        If the text is no formula of known elements, or a notation of alloys that does not say which per cent it is in.

    Examples
    --------
    >>> fractions("Al0.5 Co1 Ni0.5")
    {'Al': 0.25, 'Co': 0.5, 'Ni': 0.25}
    >>> {element: round(share, 3) for element, share in fractions("Inconel 600").items()}
    {'Ni': 0.747, 'Cr': 0.171, 'Fe': 0.082}
    >>> {element: round(share, 3) for element, share in fractions("Ti-6Al-4V wt%").items()}
    {'Ti': 0.862, 'Al': 0.102, 'V': 0.036}
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
    if (grade := grade_named(text)) is not None:
        warnings.warn(f"'{text}' is taken as the middle of {grade.standard}.", stacklevel=2)
        return grade.name
    amounts = sorted(_amounts(text).items())
    if "-" in _hyphened(text):
        return _formula(amounts)
    if alloy := _perhaps_alloy("".join(text.split())):
        warnings.warn(
            f"'{text}' is read as numbers of atoms; if they are per cent by weight, write '{alloy} wt%'.",
            stacklevel=2,
        )
    return _formula(amounts)


def _formula(amounts: Iterable[tuple[str, float]]) -> str:
    return "".join(f"{element}{'' if amount == 1.0 else f'{amount:g}'}" for element, amount in amounts)


def family(text: str) -> str:
    """The system of elements, in alphabetical order."""
    return "-".join(sorted(_amounts(text)))


def makeup(text: str) -> tuple[set[str], int]:
    """Elements, and their number."""
    elements = set(_amounts(text))
    return elements, len(elements)


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


def _by_atoms(shares: dict[str, float], per: str) -> dict[str, float]:
    """Amounts of atoms, of shares by weight or of atoms already."""
    if per != "wt":
        return shares
    masses = element_table()[:, 0]
    return {element: share / float(masses[_numbers()[element] - 1]) for element, share in shares.items()}


def _said_per(text: str) -> tuple[str, str]:
    """The text without what it says of its per cent, and that: ``wt``, ``at`` or nothing."""
    match = _PER.search(text)
    return (text, "") if match is None else (text[: match.start()], match[1])


def _of_alloy(text: str) -> dict[str, float] | None:
    """Amounts of atoms of ``Ti-6Al-4V wt%``; None of any other text."""
    bare, per = _said_per(text)
    bare = _hyphened(bare)
    match = _ALLOY.fullmatch("".join(bare.split()))
    if match is None:
        return None
    base, added = match.groups()
    if not per:
        raise InputError(
            f"'{text}' does not say whether its per cent are by weight or of atoms; write '{text} wt%' or '{text} at%'."
        )
    shares = {element: float(number) for number, element in _ADDED.findall(added)}
    rest = 100.0 - sum(shares.values())
    if base in shares or rest <= 0.0 or len(shares) != len(_ADDED.findall(added)):
        raise InputError(f"'{text}': what is added to {base} has to be less than 100 %, each element once.")
    shares = {base: rest, **shares}
    if odd := [element for element in shares if element not in _numbers()]:
        raise InputError(f"'{text}': there is no element '{odd[0]}'.")
    return _by_atoms(shares, per)


def _hyphened(text: str) -> str:
    """``Fe 18Cr 8Ni`` with hyphens: a number belongs to the element that it stands before, not to one further off."""
    base, *added = text.split() or [""]
    apart = bool(added) and all(_ADDED.fullmatch(f"-{part}") for part in added)
    return "-".join((base, *added)) if apart and base.isalpha() else text


def _perhaps_alloy(bare: str, said: bool = False) -> str:
    """``Ti-6Al-4V``, which ``Ti6Al4V`` or ``TiAl6V4`` may mean; nothing where they are no contents (`said` or not)."""
    added = [float(number) for number in re.findall(r"\d+\.?\d*", bare)]
    named = _BASE_FIRST.fullmatch(bare) and max(added) >= _LEAST_ADDED  # CoNi2Cr3 is of atoms
    like = named or _LIKE_AN_ALLOY.fullmatch(bare) or (said and _OF_TWO.fullmatch(bare))
    if not (like and _LEAST_ADDED <= sum(added) < _MOST_ADDED):
        return ""
    base, *rest = re.findall(r"[A-Z][a-z]?|\d+\.?\d*", bare)
    numbers, elements = (rest[1::2], rest[::2]) if named else (rest[::2], rest[1::2])
    return base + "".join(f"-{number}{element}" for number, element in zip(numbers, elements, strict=True))


def _amounts(text: str) -> dict[str, float]:
    if (grade := grade_named(text)) is not None:
        return _by_atoms(grade.weight_percent, "wt")
    if is_numbered(text):
        raise InputError(unknown(text))
    if (alloy := _of_alloy(text)) is not None:
        return alloy
    plain, per = _said_per(text)
    bare = "".join(plain.split())
    if per and (meant := _perhaps_alloy(bare, said=True)):  # shares of the whole would come to it
        raise InputError(
            f"'{text}' does not come to 100 %; write '{meant} {per}%' if the first element is the rest."
        )
    wrong = f"'{text}' is not a formula such as 'Al0.25 Co Ni'"
    if set(bare) & set("()[]{}"):
        raise InputError(
            f"{wrong}: give each element its own amount; what a number after a bracket means differs."
        )
    if not bare or _AMOUNT.sub("", bare):
        near = near_grades(text) if any(letter.isdigit() for letter in bare) else []
        more = f", and no grade that is known here; near are {', '.join(near)}" if near else ""
        raise InputError(f"{wrong}{more}.")
    amounts: dict[str, float] = {}
    for element, amount in _AMOUNT.findall(bare):
        if element not in _numbers():
            raise InputError(f"{wrong}: there is no element '{element}'.")
        amounts[element] = amounts.get(element, 0.0) + (float(amount) if amount else 1.0)
    amounts = {element: amount for element, amount in amounts.items() if amount > 0.0}
    if not amounts:
        raise InputError(f"{wrong}: no element has an amount above zero.")
    (first, amount), *others = amounts.items()
    if not others and amount not in _OF_ONE:
        raise InputError(
            f"'{text}' would be {first} alone, and is no grade that is known here; write its contents, such as "
            f"'Fe-1.5Mn-0.2C wt%', or '{first}' for the element."
        )
    if per and abs(sum(amounts.values()) - 100.0) > _ROUNDED:
        raise InputError(
            f"'{text}' comes to {sum(amounts.values()):g} %, and not to 100; check its contents."
        )
    return _by_atoms(amounts, per)
