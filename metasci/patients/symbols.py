"""Formulas of sympy, walked into `metasci.expressions`: nothing of them is printed as code and run."""

from __future__ import annotations

from typing import Any

from metasci.errors import InputError
from metasci.expressions import Expression, bounded

__all__ = ["expression_from"]

_FUNCTIONS = {
    "exp": "exp",
    "log": "log",
    "sqrt": "sqrt",
    "Abs": "abs",
    "tanh": "tanh",
    "cos": "cos",
    "sin": "sin",
    "floor": "floor",
    "loggamma": "log_gamma",
    "Max": "max",
    "Min": "min",
    "And": "and",
    "Or": "or",
    "Not": "not",
    "StrictLessThan": "lt",
    "LessThan": "le",
    "StrictGreaterThan": "gt",
    "GreaterThan": "ge",
    "Equality": "eq",
    "Unequality": "ne",
}


def expression_from(symbolic: Any, where: str) -> Expression:
    """The formula of a sympy expression, or of whatever sympy can take; a function of time alone is its name.

    Raises
    ------
    InputError
        If it holds what has no counterpart; the sentence begins with `where`.

    Examples
    --------
    >>> import sympy
    >>> x = sympy.Symbol("x")
    >>> expression_from(sympy.Piecewise((x**2, x > 1), (0, True)), "here")
    ('where', ('gt', 'x', 1.0), ('pow', 'x', 2.0), 0.0)
    """
    import sympy

    try:
        return bounded(_walked(sympy.sympify(symbolic), where), where)
    except RecursionError:
        raise InputError(f"{where}: a formula is nested too deep.") from None


def _walked(node: Any, where: str) -> Expression:
    if node.is_Symbol:
        return str(node.name)
    if node.is_Number or node.is_NumberSymbol:
        if not node.is_finite:
            raise InputError(f"{where}: a number that is not finite.")
        return float(node)
    kind = type(node).__name__
    if kind in ("BooleanTrue", "BooleanFalse"):
        return ("eq", 1.0, 1.0 if kind == "BooleanTrue" else 0.0)
    if kind == "Piecewise":
        return _pieces(node.args, where)
    if kind in ("Add", "Mul"):
        return ("add" if kind == "Add" else "mul", *(_walked(part, where) for part in node.args))
    if kind == "Pow":
        base, power = node.args
        if str(base) == "E":
            return ("exp", _walked(power, where))
        if power.is_Number and float(power) < 0.0:
            below = _walked(base, where)
            return ("div", 1.0, below if float(power) == -1.0 else ("pow", below, -float(power)))
        return ("pow", _walked(base, where), _walked(power, where))
    if kind in _FUNCTIONS:
        return (_FUNCTIONS[kind], *(_walked(part, where) for part in node.args))
    name = str(getattr(node, "func", kind))
    arguments = [str(part) for part in node.args]
    if name.startswith("A_") and arguments in (["t"], ["0"]):
        return name if arguments == ["t"] else f"{name}(0)"
    if name == "PHI":
        return ("normal", _walked(node.args[0], where))
    if name == "sign":
        of = _walked(node.args[0], where)
        return ("where", ("gt", of, 0.0), 1.0, ("where", ("lt", of, 0.0), -1.0, 0.0))
    if name.lower() in ("trunc", "int", "floor") and len(node.args) == 1:
        return ("trunc", _walked(node.args[0], where))
    if kind == "Mod" or name == "Mod":
        above, below = (_walked(part, where) for part in node.args)
        return ("add", above, ("mul", -1.0, below, ("trunc", ("div", above, below))))
    raise InputError(f"{where}: {name} is not taken.")


def _pieces(pieces: Any, where: str) -> Expression:
    """Conditions one after the other; zero where none holds."""
    formula: Expression = 0.0
    for value, condition in reversed([tuple(piece.args) for piece in pieces]):
        if type(condition).__name__ == "BooleanTrue":
            formula = _walked(value, where)
        else:
            formula = ("where", _walked(condition, where), _walked(value, where), formula)
    return formula
