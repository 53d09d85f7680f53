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

import numpy as np

from metasci import math
from metasci.errors import InputError

__all__ = [
    "COMPARED",
    "Expression",
    "Statement",
    "bounded",
    "compiled",
    "decided",
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
_MOST_PARTS = 20_000  # of a formula: what takes itself forty times over would fill all memory


def _is_number(x: Any) -> bool:
    return isinstance(x, float | int)


def _of_numbers(function: Callable[..., Any], *numbers: Any) -> float:
    """What arrays would hold: infinity beyond the greatest number, NaN where there is none, and no exception."""
    with np.errstate(all="ignore"):
        return float(function(*(np.float64(number) for number in numbers)))


def _truth(x: Any) -> Any:
    """A condition; of numbers, whether they are other than zero."""
    if isinstance(x, bool) or str(getattr(x, "dtype", "")).endswith("bool"):
        return x
    return x != 0.0


def _where(condition: Any, x: Any, y: Any) -> Any:
    condition = _truth(condition)
    if isinstance(condition, bool):
        return x if condition else y
    return math.where(condition, x, y)


def _divided(x: Any, y: Any) -> Any:
    return _of_numbers(np.divide, x, y) if _is_number(x) and _is_number(y) else x / y


def _log(x: Any) -> Any:
    """Natural logarithm, −∞ at zero and below, without a slope that is no number there."""
    if _is_number(x):
        return plain.log(x) if x > 0 else -plain.inf
    above = x > 0.0
    return math.where(above, math.log(math.where(above, x, 1.0 + 0.0 * x)), -plain.inf + 0.0 * x)


def _sqrt(x: Any) -> Any:
    """Square root, zero below zero, without a slope that is no number at zero."""
    if _is_number(x):
        return plain.sqrt(max(x, 0.0))
    above = x > 0.0
    return math.where(above, math.sqrt(math.where(above, x, 1.0 + 0.0 * x)), 0.0 * x)


def _power(x: Any, y: Any) -> Any:
    if _is_number(y):
        if y == 2.0 and not _is_number(x):
            return x * x
        if float(y).is_integer():
            return (
                _of_numbers(np.float_power, x, y) if _is_number(x) else x ** (int(y) if abs(y) < 2**31 else y)
            )
        if y == 0.5:
            return _sqrt(x)
    if _is_number(x):
        if _is_number(y):
            return _of_numbers(np.float_power, x, y) if x > 0 else 0.0 * y
        return math.exp(y * plain.log(x)) if x > 0 else 0.0 * y
    # a concentration that a solver's rounding takes below zero has no fractional power
    return math.maximum(x, 0.0) ** y


def _elementwise(of_arrays: Callable[[Any], Any], of_numbers: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: _of_numbers(of_numbers, x) if _is_number(x) else of_arrays(x)


def _normal(x: Any) -> Any:
    """The normal distribution function."""
    return math.exp(math.log_ndtr(x))


def _extreme(of_arrays: Callable[[Any, Any], Any], of_numbers: Callable[..., Any]) -> Callable[..., Any]:
    def choose(*values: Any) -> Any:
        if all(_is_number(value) for value in values):
            return of_numbers(values)
        return reduce(of_arrays, values)

    return choose


def _not(condition: Any) -> Any:
    return operator.xor(_truth(condition), True)


def _truncated(x: Any) -> Any:
    """Without what stands after the decimal point, as Fortran's INT."""
    if _is_number(x):
        return _of_numbers(np.trunc, x)
    return _where(x >= 0.0, math.floor(x), -math.floor(-x))


COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
"""Operations that are true or not."""

_OPERATIONS: dict[str, tuple[int | None, Callable[..., Any]]] = {
    "add": (None, lambda *terms: reduce(operator.add, terms)),
    "mul": (None, lambda *factors: reduce(operator.mul, factors)),
    "div": (2, _divided),
    "pow": (2, _power),
    "exp": (1, _elementwise(math.exp, np.exp)),
    "log": (1, _log),
    "sqrt": (1, _sqrt),
    "abs": (1, _elementwise(math.absolute, np.abs)),
    "tanh": (1, _elementwise(math.tanh, np.tanh)),
    "cos": (1, _elementwise(math.cos, np.cos)),
    "sin": (1, _elementwise(lambda x: math.cos(x - 0.5 * plain.pi), np.sin)),
    "floor": (1, _elementwise(math.floor, np.floor)),
    "normal": (1, _elementwise(_normal, _normal)),
    "log_gamma": (1, _elementwise(math.log_gamma, math.log_gamma)),
    "trunc": (1, _truncated),
    "max": (None, _extreme(math.maximum, max)),
    "min": (None, _extreme(math.minimum, min)),
    "where": (3, _where),
    **{name: (2, compare) for name, compare in COMPARED.items()},
    "and": (None, lambda *terms: reduce(operator.and_, map(_truth, terms))),
    "or": (None, lambda *terms: reduce(operator.or_, map(_truth, terms))),
    "not": (1, _not),
}


_FOLDED: dict[str, Callable[[Any, Any], Any]] = {"add": operator.add, "mul": operator.mul}


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
    return _checked(bounded(raw, where), where)


def bounded(expression: Any, where: str) -> Any:
    """The same, if it is no larger and no deeper nested than a formula.

    Raises
    ------
    InputError
        If it is: names that stand for formulas of names that stand for formulas can make it so with few lines.

    Examples
    --------
    >>> twice = ("add", "x", "x")
    >>> for _ in range(20):
    ...     twice = ("mul", twice, twice)
    >>> bounded(twice, "$DES")
    Traceback (most recent call last):
    metasci.errors.InputError: $DES: a formula grows to more than 20000 parts.
    """
    waiting, parts = [(expression, 0)], 0
    while waiting:
        part, depth = waiting.pop()
        parts += 1
        if parts > _MOST_PARTS:
            raise InputError(f"{where}: a formula grows to more than {_MOST_PARTS} parts.")
        if depth > _MOST_NESTED:
            raise InputError(f"{where}: a formula is nested more than {_MOST_NESTED} deep.")
        if isinstance(part, list | tuple):
            waiting += [(each, depth + 1) for each in part[1:]]
    return expression


def _checked(raw: Any, where: str) -> Expression:
    if isinstance(raw, str):
        return raw
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        try:
            return float(raw)
        except OverflowError:
            raise InputError(f"{where}: a number is too great.") from None
    if not isinstance(raw, Sequence) or not raw:
        raise InputError(f"{where}: {raw!r:.60} is no formula.")
    kind, *parts = raw
    if not isinstance(kind, str) or kind not in _OPERATIONS:
        raise InputError(f"{where}: the operation {kind!r:.40} is not known to this version of metasci.")
    count = _OPERATIONS[kind][0]
    if (count is not None and len(parts) != count) or not parts:
        raise InputError(f"{where}: '{kind}' of {len(parts)} things.")
    return (kind, *(_checked(part, where) for part in parts))


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


def decided(formula: Expression) -> Expression:
    """A formula without conditions on numbers.

    Examples
    --------
    >>> decided(("where", ("and", ("eq", 2.0, 1.0), ("gt", "x", 0.0)), "x", ("mul", 2.0, "x")))
    ('mul', 2.0, 'x')
    """
    if not isinstance(formula, tuple):
        return formula
    kind, *parts = formula
    parts = [decided(part) for part in parts]
    if kind in ("and", "or"):
        settled = [truth for part in parts if (truth := _holds(part)) is not None]
        if any(truth is (kind == "or") for truth in settled):
            return ("eq", 1.0, float(kind == "or"))
        parts = [part for part in parts if _holds(part) is None]
        if len(parts) < 2:
            return parts[0] if parts else ("eq", 1.0, float(kind == "and"))
    if kind == "not" and (truth := _holds(parts[0])) is not None:
        return ("eq", 1.0, float(not truth))
    if kind == "where" and (truth := _holds(parts[0])) is not None:
        return parts[1] if truth else parts[2]
    return (kind, *parts)


def _holds(condition: Expression) -> bool | None:
    """Whether a condition on numbers holds; None where it is of something else."""
    if isinstance(condition, tuple) and condition[0] in COMPARED:
        kind, first, second = condition
        if isinstance(first, float) and isinstance(second, float):
            return bool(COMPARED[kind](first, second))
    return None


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
    if expression[0] in _FOLDED and len(parts) > 1:
        return _folded(_FOLDED[expression[0]], *parts)
    if len(parts) == 1:
        (only,) = parts
        return lambda values: operation(only(values))
    if len(parts) == 2:
        first, second = parts
        return lambda values: operation(first(values), second(values))
    return lambda values: operation(*[part(values) for part in parts])


def _folded(
    operation: Callable[[Any, Any], Any],
    first: Callable[[Mapping[str, Any]], Any],
    *rest: Callable[[Mapping[str, Any]], Any],
) -> Callable[[Mapping[str, Any]], Any]:
    """All parts after one another, without a list of them: a solver asks for it a hundred thousand times."""
    if len(rest) == 1:
        (second,) = rest
        return lambda values: operation(first(values), second(values))

    def folded(values: Mapping[str, Any]) -> Any:
        total = first(values)
        for part in rest:
            total = operation(total, part(values))
        return total

    return folded


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
