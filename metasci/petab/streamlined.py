"""A system's formulas as they are computed fastest.

A solver asks for the slopes thousands of times, and formulas as files have them say the same thing often: a reaction's
rate stands in the slope of every species that takes part, times a compartment's size and divided by it again. Here
constants are put in, what does not change with time is computed once before, and what occurs twice once a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from metasci.expressions import Expression, Statement, compiled, names_in, replaced

__all__ = ["Streamlined", "streamlined"]

_PLAIN = ("add", "mul", "div", "pow", "exp", "log", "sqrt")
"""Of numbers, they are a number."""


@dataclass(frozen=True)
class Streamlined:
    """Formulas in three parts.

    Attributes
    ----------
    still : tuple of Statement
        Computed once.
    shared : tuple of Statement
        Computed whenever the formulas are, before them.
    formulas : tuple of Expression
    """

    still: tuple[Statement, ...]
    shared: tuple[Statement, ...]
    formulas: tuple[Expression, ...]


def streamlined(
    formulas: Sequence[Expression], constants: Mapping[str, float], moving: Collection[str]
) -> Streamlined:
    """The formulas with constants put in, without what they would compute twice.

    Parameters
    ----------
    formulas : sequence of Expression
    constants : mapping of str to float
    moving : collection of str
        The names whose values change from one evaluation to the next.

    Examples
    --------
    >>> flux = ("mul", ("mul", ("mul", "cell", "k"), "boost"), "x")
    >>> found = streamlined([("div", ("mul", -1.0, flux), "cell"), flux], {"cell": 2.0}, ["x"])
    >>> found.still
    (('still 0', ('mul', 'k', 'boost')),)
    >>> found.shared, found.formulas
    ((('shared 0', ('mul', 'still 0', 'x')),), (('mul', -1.0, 'shared 0'), ('mul', 2.0, 'shared 0')))
    """
    whole = [_arranged(replaced(formula, constants), frozenset(moving)) for formula in formulas]
    still: dict[Expression, str] = {}
    whole = [_without_still(formula, frozenset(moving), still) for formula in whole]
    counts: Counter[Expression] = Counter()
    for formula in whole:
        _count(formula, counts)
    shared: dict[Expression, str] = {}
    done = tuple(_named(formula, counts, shared) for formula in whole)
    return Streamlined(_statements(still), _statements(shared), done)


def _statements(names: Mapping[Expression, str]) -> tuple[Statement, ...]:
    return tuple((name, formula) for formula, name in names.items())


def _arranged(formula: Expression, moving: frozenset[str]) -> Expression:
    """Products flat, with one factor of all numbers, one of what is still, and the moving ones."""
    if not isinstance(formula, tuple):
        return formula
    kind, *parts = formula
    parts = [_arranged(part, moving) for part in parts]
    if kind in _PLAIN and all(isinstance(part, float) for part in parts):
        try:
            return float(compiled((kind, *parts))({}))
        except ArithmeticError:  # a division by zero is left to whoever evaluates it, if anybody does
            return (kind, *parts)
    if kind == "div" and parts[1] != 0.0 and not names_in(parts[1]) & moving:
        inverse = 1.0 / parts[1] if isinstance(parts[1], float) else ("div", 1.0, parts[1])
        return _product([parts[0], inverse], moving)
    return _product(parts, moving) if kind == "mul" else (kind, *parts)


def _product(factors: Sequence[Expression], moving: frozenset[str]) -> Expression:
    flat: list[Expression] = []
    for factor in factors:
        flat += factor[1:] if isinstance(factor, tuple) and factor[0] == "mul" else [factor]
    number = 1.0
    still: list[Expression] = []
    changing: list[Expression] = []
    for factor in flat:
        if isinstance(factor, float):
            number *= factor
        else:
            (changing if names_in(factor) & moving else still).append(factor)
    if number == 0.0:
        return 0.0
    numbers = [] if number == 1.0 else [number]
    kept = [*numbers, *still, *changing]
    return kept[0] if len(kept) == 1 else ("mul", *kept) if kept else 1.0


def _without_still(formula: Expression, moving: frozenset[str], still: dict[Expression, str]) -> Expression:
    """The formula with names for its parts that do not move."""
    if not isinstance(formula, tuple):
        return formula
    if not names_in(formula) & moving:
        return still.setdefault(formula, f"still {len(still)}")
    kind, *parts = formula
    if kind != "mul":
        return (kind, *(_without_still(part, moving, still) for part in parts))
    resting = [part for part in parts if not names_in(part) & moving]
    changing = [_without_still(part, moving, still) for part in parts if names_in(part) & moving]
    # a sign or a number that not all have stays apart, so that the flux between two states remains one
    number = [part for part in resting if isinstance(part, float)]
    others = [part for part in resting if not isinstance(part, float)]
    rest: list[Expression] = list(others)
    if len(others) > 1:
        rest = [still.setdefault(("mul", *others), f"still {len(still)}")]
    body: list[Expression] = [*rest, *changing]
    inner: Expression = body[0] if len(body) == 1 else ("mul", *body)
    return ("mul", number[0], inner) if number else inner


def _count(formula: Expression, counts: Counter[Expression]) -> None:
    if isinstance(formula, tuple):
        counts[formula] += 1
        if counts[formula] == 1:
            for part in formula[1:]:
                _count(part, counts)


def _named(
    formula: Expression, counts: Mapping[Expression, int], shared: dict[Expression, str]
) -> Expression:
    """The formula with names for what occurs more than once."""
    if not isinstance(formula, tuple):
        return formula
    inside = (formula[0], *(_named(part, counts, shared) for part in formula[1:]))
    if counts[formula] < 2:
        return inside
    return shared.setdefault(inside, f"shared {len(shared)}")
