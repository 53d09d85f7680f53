"""Functions of plain numbers that take quantities and texts, ``"600 degC"``, too, converted to the declared units."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

from metasci.errors import InputError

__all__ = ["in_unit", "is_quantity", "takes_quantities"]

P = ParamSpec("P")
R = TypeVar("R")


def is_quantity(value: Any) -> bool:
    """Whether a value, or any in a list or tuple of values, carries a unit."""
    if isinstance(value, list | tuple):
        return any(is_quantity(item) for item in value)
    return hasattr(value, "magnitude") and hasattr(value, "units")


def in_unit(value: Any, unit: str, name: str) -> Any:
    """The value itself, if it carries no unit; else its numbers in the unit. A text is read: ``"600 degC"``.

    Raises
    ------
    InputError
        If it cannot be in that unit, or some of several values carry a unit and others none.

    Examples
    --------
    >>> from metasci.units import unit
    >>> in_unit(600 * unit("degC"), "K", "temperature"), in_unit(873.15, "K", "temperature")
    (873.15, 873.15)
    >>> in_unit("600 degC", "K", "temperature")
    873.15
    """
    if isinstance(value, str):
        from metasci.units import magnitude

        return float(magnitude(value, unit, name))
    if not is_quantity(value):
        return value
    if isinstance(value, list | tuple):
        if not all(is_quantity(item) for item in value):
            raise InputError(f"{name}: some values carry a unit and others none; give all of them with one.")
        return np.array([in_unit(item, unit, name) for item in value])
    from metasci.units import convert

    symbol = str(value.units)
    if "/" in symbol:  # a temperature in a rate is a difference
        symbol = symbol.replace("delta_", "")
        symbol = symbol.replace("degree_Celsius", "kelvin").replace("degree_Fahrenheit", "degree_Rankine")
    numbers = convert(value.magnitude, symbol, unit, name)
    return float(numbers) if numbers.ndim == 0 else numbers


def takes_quantities(**units: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function of plain numbers take quantities, each converted to the unit that is declared for its argument.

    A quantity for another argument is refused. Numbers, tensors and symbols pass as they are.

    Examples
    --------
    >>> from metasci.units import unit
    >>> @takes_quantities(length="m")
    ... def double(length):
    ...     return 2.0 * length
    >>> double(50 * unit("cm")), double(0.5)
    (1.0, 1.0)
    >>> double(50 * unit("s"))
    Traceback (most recent call last):
    metasci.errors.InputError: length: 'second' cannot be converted to 'm'.
    """

    def make(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @wraps(function)
        def converting(*args: P.args, **kwargs: P.kwargs) -> R:
            if not any(isinstance(value, str) or is_quantity(value) for value in (*args, *kwargs.values())):
                return function(*args, **kwargs)
            bound = signature.bind(*args, **kwargs)
            for name, value in bound.arguments.items():
                if is_quantity(value) and name not in units:
                    raise InputError(f"{name}: a plain number is needed, not the quantity {value}.")
                if isinstance(value, str) and name not in units:
                    continue
                bound.arguments[name] = in_unit(value, units.get(name, "1"), name.replace("_", " "))
            return function(*bound.args, **bound.kwargs)

        return converting

    return make
