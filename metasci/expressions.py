"""Formulas as data: what an imported model computes, as nested tuples of numbers, names and operations.

A formula that came from a file of another program is never run as code. It is walked once into functions of
`metasci.math`, and is written to files and read back as plain JSON: ``["add", 1.0, ["mul", "k", "x"]]`` is 1 + k·x.
"""

from __future__ import annotations

import math as plain
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import reduce
from typing import Any

from metasci import math
from metasci.errors import InputError

__all__ = [
    "Expression",
    "Statement",
    "compiled",
    "expression_of",
    "names_in",
    "needed_for",
    "replaced",
    "run",
]

Expression = float | str | tuple[Any, ...]
"""A number, a name, or an operation followed by what it acts on."""

Statement = tuple[str, Expression]
"""A name and what it is from there on, as in a program: a later statement may give the same name another value."""

_MOST_NESTED = 200  # a file that nests deeper would exhaust Python's own stack, and no model does


def _where(condition: Any, x: Any, y: Any) -> Any:
    if isinstance(condition, bool):
        return x if condition else y
    return math.where(condition, x, y)


def _log(x: Any) -> Any:
    """Natural logarithm, −∞ at zero and below, without a slope that is no number there."""
    if isinstance(x, float | int):
        return plain.log(x) if x > 0 else -plain.inf
    above = x > 0.0
    return math.where(above, math.log(math.where(above, x, 1.0 + 0.0 * x)), -plain.inf + 0.0 * x)


def _sqrt(x: Any) -> Any:
    """Square root, zero below zero, without a slope that is no number at zero."""
    if isinstance(x, float | int):
        return plain.sqrt(max(x, 0.0))
    above = x > 0.0
    return math.where(above, math.sqrt(math.where(above, x, 1.0 + 0.0 * x)), 0.0 * x)


def _power(x: Any, y: Any) -> Any:
    if isinstance(y, float | int):
        if float(y).is_integer():
            return x ** int(y)
        if y == 0.5:
            return _sqrt(x)
    if isinstance(x, float | int):
        return math.exp(y * plain.log(x)) if x > 0 else 0.0 * y
    # a concentration that a solver's rounding takes below zero has no fractional power
    return math.maximum(x, 0.0) ** y


def _exp(x: Any) -> Any:
    return plain.exp(x) if isinstance(x, float | int) else math.exp(x)


def _elementwise(of_arrays: Callable[[Any], Any], of_numbers: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: of_numbers(x) if isinstance(x, float | int) else of_arrays(x)


def _extreme(of_arrays: Callable[[Any, Any], Any], of_numbers: Callable[..., Any]) -> Callable[..., Any]:
    def choose(*values: Any) -> Any:
        if all(isinstance(value, float | int) for value in values):
            return of_numbers(values)
        return reduce(of_arrays, values)

    return choose


def _not(condition: Any) -> Any:
    return operator.xor(condition, True)


def _truncated(x: Any) -> Any:
    """Without what stands after the decimal point, as Fortran's INT."""
    if isinstance(x, float | int):
        return float(int(x))
    return _where(x >= 0.0, math.floor(x), -math.floor(-x))


_OPERATIONS: dict[str, tuple[int | None, Callable[..., Any]]] = {
    "add": (None, lambda *terms: reduce(operator.add, terms)),
    "mul": (None, lambda *factors: reduce(operator.mul, factors)),
    "div": (2, operator.truediv),
    "pow": (2, _power),
    "exp": (1, _exp),
    "log": (1, _log),
    "sqrt": (1, _sqrt),
    "abs": (1, _elementwise(math.absolute, abs)),
    "tanh": (1, _elementwise(math.tanh, plain.tanh)),
    "cos": (1, _elementwise(math.cos, plain.cos)),
    "sin": (1, _elementwise(lambda x: math.cos(x - 0.5 * plain.pi), plain.sin)),
    "floor": (1, _elementwise(math.floor, plain.floor)),
    "trunc": (1, _truncated),
    "max": (None, _extreme(math.maximum, max)),
    "min": (None, _extreme(math.minimum, min)),
    "where": (3, _where),
    "lt": (2, operator.lt),
    "le": (2, operator.le),
    "gt": (2, operator.gt),
    "ge": (2, operator.ge),
    "eq": (2, operator.eq),
    "ne": (2, operator.ne),
    "and": (None, lambda *terms: reduce(operator.and_, terms)),
    "or": (None, lambda *terms: reduce(operator.or_, terms)),
    "not": (1, _not),
}


def expression_of(raw: Any, where: str = "formula") -> Expression:
    """A formula as it was read from JSON, checked.

    Raises
    ------
    InputError
        If it is none.

    Examples
    --------
    >>> expression_of(["add", 1, ["mul", "k", "x"]])
    ('add', 1.0, ('mul', 'k', 'x'))
    """
    return _checked(raw, where, 0)


def _checked(raw: Any, where: str, depth: int) -> Expression:
    if isinstance(raw, str):
        return raw
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        return float(raw)
    if not isinstance(raw, Sequence) or not raw or depth > _MOST_NESTED:
        raise InputError(f"{where}: {raw!r:.60} is no formula.")
    kind, *parts = raw
    if kind not in _OPERATIONS:
        raise InputError(f"{where}: the operation {kind!r:.40} is not known to this version of metasci.")
    count = _OPERATIONS[kind][0]
    if (count is not None and len(parts) != count) or not parts:
        raise InputError(f"{where}: '{kind}' of {len(parts)} things.")
    return (kind, *(_checked(part, where, depth + 1) for part in parts))


def names_in(expression: Expression) -> set[str]:
    """The names that a formula takes.

    Examples
    --------
    >>> sorted(names_in(("add", 1.0, ("mul", "k", "x"))))
    ['k', 'x']
    """
    if isinstance(expression, str):
        return {expression}
    if isinstance(expression, float):
        return set()
    return set().union(*(names_in(part) for part in expression[1:]))


def replaced(expression: Expression, by: Mapping[str, Expression]) -> Expression:
    """The formula with other formulas in the place of names, and without what adds nothing.

    Examples
    --------
    >>> replaced(("mul", "k", "x"), {"k": 2.0}), replaced(("add", "x", ("mul", "k", "x")), {"k": 0.0})
    (('mul', 2.0, 'x'), 'x')
    """
    if isinstance(expression, str):
        return by.get(expression, expression)
    if isinstance(expression, float):
        return expression
    return _simpler(expression[0], [replaced(part, by) for part in expression[1:]])


def _simpler(kind: str, parts: list[Expression]) -> Expression:
    if kind == "mul" and 0.0 in parts:
        return 0.0
    if kind in ("add", "mul"):
        kept = [part for part in parts if part != (0.0 if kind == "add" else 1.0)]
        if len(kept) < 2:
            return kept[0] if kept else (0.0 if kind == "add" else 1.0)
        parts = kept
    return (kind, *parts)


def needed_for(statements: Sequence[Statement], targets: Collection[str]) -> tuple[Statement, ...]:
    """The statements without those that neither a target nor anything after them takes.

    Examples
    --------
    >>> needed_for((("a", "x"), ("b", "y"), ("c", ("mul", 2.0, "a"))), ["c"])
    (('a', 'x'), ('c', ('mul', 2.0, 'a')))
    """
    wanted, kept = set(targets), []
    for name, formula in reversed(statements):
        if name in wanted:
            wanted.discard(name)
            wanted |= names_in(formula)
            kept.append((name, formula))
    return tuple(reversed(kept))


def compiled(expression: Expression) -> Callable[[Mapping[str, Any]], Any]:
    """The function of named numbers or arrays that a formula is.

    Examples
    --------
    >>> import numpy as np
    >>> compiled(("add", 1.0, ("mul", "k", "x")))({"k": 2.0, "x": np.arange(3.0)}).tolist()
    [1.0, 3.0, 5.0]
    """
    if isinstance(expression, str):
        return operator.itemgetter(expression)
    if isinstance(expression, float):
        return lambda values: expression
    operation = _OPERATIONS[expression[0]][1]
    parts = [compiled(part) for part in expression[1:]]
    if len(parts) == 1:
        (only,) = parts
        return lambda values: operation(only(values))
    if len(parts) == 2:
        first, second = parts
        return lambda values: operation(first(values), second(values))
    return lambda values: operation(*[part(values) for part in parts])


def run(
    statements: Sequence[tuple[str, Callable[[Mapping[str, Any]], Any]]], values: Mapping[str, Any]
) -> dict[str, Any]:
    """The values after statements, one after the other, have been computed.

    Examples
    --------
    >>> run([("a", compiled(("mul", 2.0, "x"))), ("a", compiled(("add", "a", 1.0)))], {"x": 3.0})["a"]
    7.0
    """
    known = dict(values)
    for name, formula in statements:
        known[name] = formula(known)
    return known
