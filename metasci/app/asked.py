"""What a question about a fit is made of: its form, its answer, and how the texts of its fields are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from metasci.errors import InputError
from metasci.units import stated

__all__ = ["Answer", "Field", "Question", "nothing", "number_of", "plain_number", "several"]


@dataclass(frozen=True)
class Answer:
    """A sentence, a table (header, rows), and what to beware of."""

    words: str
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Field:
    """A field of a question's form: its name, its label, and what stands in it at first."""

    name: str
    label: str
    value: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """A question: what its form is called and asks for, and how it is answered."""

    name: str
    title: str
    fields: Callable[[Any], tuple[Field, ...]]
    suits: Callable[[Any], bool]
    answer: Callable[[Any, Mapping[str, str]], Answer]


def nothing(fit: Any) -> tuple[Field, ...]:
    """No fields."""
    return ()


def several(text: str, what: str) -> list[str]:
    """Numbers and their unit, ``250, 500 mg``, each with the unit."""
    *front, last = [part.strip() for part in text.replace(";", ",").split(",") if part.strip()] or [""]
    if not last:
        raise InputError(f"{what}: give one or more, such as 250, 500 mg.")
    _, symbol = stated(last, what)
    return [part if stated(part, what)[1] else f"{part} {symbol}".strip() for part in (*front, last)]


def number_of(text: str, what: str) -> str | float:
    """A quantity, or a bare number in the model's unit."""
    value, symbol = stated(text, what)
    return text if symbol else value


def plain_number(text: str, what: str) -> float:
    """A number, whatever stands behind it."""
    try:
        return float(text.split()[0].replace(",", ".").rstrip("%"))
    except (ValueError, IndexError):
        raise InputError(f"{what}: '{text[:40]}' is not a number.") from None
