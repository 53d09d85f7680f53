"""Formulas of SBML and PEtab, walked from libsbml's tree into `metasci.expressions`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metasci.errors import InputError
from metasci.expressions import Expression, bounded, replaced
from metasci.extras import needed

__all__ = ["Functions", "formula_of", "libsbml", "parsed"]

Functions = Mapping[str, tuple[tuple[str, ...], Expression]]
"""Functions that a model defines: their arguments, and what they are."""

_LN10 = 2.302585092994046


def libsbml() -> Any:
    """The library that reads SBML."""
    return needed("libsbml", "petab", "a PEtab problem")


def parsed(text: str, where: str) -> Expression:
    """The formula of a text as PEtab writes it; ``log`` is the natural logarithm.

    Raises
    ------
    InputError
        If it is none.
    """
    library = libsbml()
    settings = library.L3ParserSettings()
    settings.setParseLog(library.L3P_PARSE_LOG_AS_LN)
    node = library.parseL3FormulaWithSettings(str(text), settings)
    if node is None:
        raise InputError(f"{where}: '{text}' is no formula.")
    return formula_of(node, {}, where)


def formula_of(node: Any, functions: Functions, where: str) -> Expression:
    """The formula of a node of libsbml's tree.

    Raises
    ------
    InputError
        If it holds what has no counterpart, such as a delay.
    """
    try:
        return bounded(_walked(node, functions, where), where)
    except RecursionError:
        raise InputError(f"{where}: a formula is nested too deep.") from None


def _walked(node: Any, functions: Functions, where: str) -> Expression:
    library = libsbml()
    parts = [_walked(node.getChild(i), functions, where) for i in range(node.getNumChildren())]
    kind, name = node.getType(), node.getName()
    if node.isNumber():
        return float(node.getValue())
    if kind == library.AST_NAME_TIME:
        return "t"
    if kind == library.AST_NAME:
        return "t" if name == "time" else str(name)
    if kind == library.AST_FUNCTION:
        if name not in functions:
            raise InputError(f"{where}: the function {name} is not taken.")
        arguments, body = functions[name]
        if len(arguments) != len(parts):
            raise InputError(f"{where}: {name} takes {len(arguments)} arguments, not {len(parts)}.")
        return bounded(replaced(body, dict(zip(arguments, parts, strict=True))), where)
    constants = {
        library.AST_CONSTANT_E: 2.718281828459045,
        library.AST_CONSTANT_PI: 3.141592653589793,
        library.AST_NAME_AVOGADRO: 6.02214076e23,
    }
    if kind in constants:
        return constants[kind]
    if kind == library.AST_CONSTANT_TRUE:
        return ("eq", 1.0, 1.0)
    if kind == library.AST_CONSTANT_FALSE:
        return ("eq", 1.0, 0.0)
    if kind == library.AST_MINUS:
        first, *rest = parts
        return ("add", first, ("mul", -1.0, rest[0])) if rest else ("mul", -1.0, first)
    if kind == library.AST_FUNCTION_LOG:
        base, value = parts if len(parts) == 2 else (10.0, parts[0])
        return ("div", ("log", value), _LN10 if base == 10.0 else ("log", base))
    if kind == library.AST_FUNCTION_ROOT:
        return (
            ("sqrt", parts[-1])
            if len(parts) == 1 or parts[0] == 2.0
            else ("pow", parts[1], ("div", 1.0, parts[0]))
        )
    if kind == library.AST_FUNCTION_PIECEWISE:
        return _pieces(parts)
    names = {
        library.AST_PLUS: "add",
        library.AST_TIMES: "mul",
        library.AST_DIVIDE: "div",
        library.AST_POWER: "pow",
        library.AST_FUNCTION_POWER: "pow",
        library.AST_FUNCTION_EXP: "exp",
        library.AST_FUNCTION_LN: "log",
        library.AST_FUNCTION_ABS: "abs",
        library.AST_FUNCTION_FLOOR: "floor",
        library.AST_FUNCTION_TANH: "tanh",
        library.AST_FUNCTION_SIN: "sin",
        library.AST_FUNCTION_COS: "cos",
        library.AST_FUNCTION_MAX: "max",
        library.AST_FUNCTION_MIN: "min",
        library.AST_RELATIONAL_LT: "lt",
        library.AST_RELATIONAL_LEQ: "le",
        library.AST_RELATIONAL_GT: "gt",
        library.AST_RELATIONAL_GEQ: "ge",
        library.AST_RELATIONAL_EQ: "eq",
        library.AST_RELATIONAL_NEQ: "ne",
        library.AST_LOGICAL_AND: "and",
        library.AST_LOGICAL_OR: "or",
        library.AST_LOGICAL_NOT: "not",
    }
    if kind not in names:
        raise InputError(f"{where}: {name or library.formulaToL3String(node)} is not taken.")
    if not parts:
        return 0.0 if kind == library.AST_PLUS else 1.0
    return parts[0] if len(parts) == 1 and names[kind] in ("add", "mul") else (names[kind], *parts)


def _pieces(parts: list[Expression]) -> Expression:
    """Value, condition, value, condition, …, and what holds otherwise."""
    formula: Expression = parts[-1] if len(parts) % 2 else 0.0
    for at in range(len(parts) // 2 * 2 - 2, -1, -2):
        formula = ("where", parts[at + 1], parts[at], formula)
    return formula
