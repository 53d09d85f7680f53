"""What a JSON file says, held against the types that the code declares; what is wrong is told with its place."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any

from metasci.errors import InputError
from metasci.units import check

__all__ = ["Table", "as_declared_type", "dataclass_of"]

_NAMES = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}


@dataclasses.dataclass(frozen=True)
class Table:
    """A JSON object, and where it stands: ``models/mine/prior.json, method``.

    Examples
    --------
    >>> Table({"seed": "x"}, "prior.json").get("seed", int)
    Traceback (most recent call last):
    metasci.errors.InputError: prior.json, seed: 'x' is not a whole number.
    """

    values: Mapping[str, Any]
    where: str

    def get(self, key: str, hint: Any) -> Any:
        """What stands under a key, which must be there and of a type."""
        if key not in self.values:
            raise InputError(f"{self.where}: '{key}' is missing.")
        return as_declared_type(self.values[key], hint, f"{self.where}, {key}")

    def get_or(self, key: str, hint: Any, otherwise: Any) -> Any:
        """What stands under a key, or something else where nothing does."""
        return self.get(key, hint) if key in self.values else otherwise

    def table(self, key: str) -> Table:
        """The object under a key."""
        return Table(self.get(key, dict[str, Any]), f"{self.where}, {key}")

    def tables(self, key: str) -> list[Table]:
        """The list of objects under a key."""
        rows = self.get(key, list[dict[str, Any]])
        return [Table(row, f"{self.where}, {key} {at + 1}") for at, row in enumerate(rows)]

    def unit(self, key: str) -> str:
        """The unit under a key."""
        symbol: str = self.get(key, str)
        try:
            check(symbol)
        except (InputError, ValueError, TypeError, AttributeError):
            raise InputError(f"{self.where}, {key}: '{symbol}' is not a unit.") from None
        return symbol


def dataclass_of(kind: type[Any], table: Table, **made: Any) -> Any:
    """A dataclass of the numbers and texts in a table, each of the type that its field declares.

    Parameters
    ----------
    kind : dataclass
    table : Table
    **made
        Fields that are given and not looked up.

    Raises
    ------
    InputError
        If a field is missing, unknown, of another type, or refused by the dataclass itself.
    """
    hints = typing.get_type_hints(kind)
    known = {item.name: item for item in dataclasses.fields(kind) if item.init}
    for key in table.values:
        if key not in known:
            raise InputError(f"{table.where}: '{key}' is not known to this version of metasci.")
    values = {key: table.get(key, hints[key]) for key in table.values if key not in made}
    for name, item in known.items():
        optional = item.default is not dataclasses.MISSING or item.default_factory is not dataclasses.MISSING
        if name not in values and name not in made and not optional:
            raise InputError(f"{table.where}: '{name}' is missing.")
    try:
        return kind(**values, **made)
    except InputError as error:
        raise InputError(f"{table.where}: {error}") from None


def as_declared_type(value: Any, hint: Any, where: str) -> Any:
    """A JSON value as a type hint has it: lists become tuples where the hint says so, whole numbers floats.

    Raises
    ------
    InputError
        If it is of another type; the sentence says where.

    Examples
    --------
    >>> as_declared_type([1, 2], tuple[float, ...], "here")
    (1.0, 2.0)
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _one_of(value, inner, where)
    if hint is None or hint is type(None):
        if value is not None:
            raise InputError(f"{where}: {_shown(value)} is not empty.")
        return None
    if origin in (list, tuple) or hint in (list, tuple):
        return _sequence(value, origin or hint, inner, where)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise InputError(f"{where}: {_shown(value)} is not a table of names.")
        keys, values = inner
        return {
            as_declared_type(key, keys, where): as_declared_type(item, values, f"{where}, {key}")
            for key, item in value.items()
        }
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, dict):
            raise InputError(f"{where}: {_shown(value)} is not a table of names.")
        return dataclass_of(hint, Table(value, where))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return _finite(value, where)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise InputError(f"{where}: {_shown(value)} is not {_NAMES.get(hint, hint.__name__)}.")
    return _finite(value, where) if hint is float else value


def _one_of(value: Any, hints: tuple[Any, ...], where: str) -> Any:
    faults = []
    for hint in hints:
        try:
            return as_declared_type(value, hint, where)
        except InputError as error:
            faults.append(error)
    raise faults[0]


def _sequence(value: Any, kind: Any, inner: tuple[Any, ...], where: str) -> Any:
    if not isinstance(value, list):
        raise InputError(f"{where}: {_shown(value)} is not a list.")
    if kind is tuple and inner and inner[-1] is not Ellipsis:
        if len(value) != len(inner):
            raise InputError(f"{where}: there are to be {len(inner)} values, not {len(value)}.")
        hints = list(inner)
    else:
        hints = [inner[0] if inner else Any] * len(value)
    items = (
        as_declared_type(item, hint, f"{where} {at + 1}")
        for at, (item, hint) in enumerate(zip(value, hints, strict=True))
    )
    return kind(items)


def _finite(value: float, where: str) -> float:
    """A number, maybe infinite as a bound is; a whole number may be too great to be one."""
    try:
        number = float(value)
    except OverflowError:
        raise InputError(f"{where}: the number is too great.") from None
    if math.isnan(number):
        raise InputError(f"{where}: NaN is not a number.")
    return number


def _shown(value: Any) -> str:
    """A value as a sentence can hold it."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
