"""A program: a list of elementary operations on arrays of known shapes, and how NumPy carries it out.

Operations are called as ONNX calls them and mean what they mean there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metasci.errors import InputError

__all__ = ["OPERATIONS", "Given", "Operation", "Program"]

Array = NDArray[Any]
Rounding = Callable[[Array], Array]


@dataclass(frozen=True)
class Given:
    """What a program is given under a name."""

    name: str
    shape: tuple[int, ...]
    flags: bool = False


@dataclass(frozen=True)
class Operation:
    """An operation on values that came before it, by their numbers.

    `setting` is what is known beforehand: the bounds of a slice, a shape, an axis.
    """

    name: str
    operands: tuple[int, ...]
    setting: tuple[Any, ...]
    shape: tuple[int, ...]
    flags: bool = False


OPERATIONS: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Pow": np.power,
    "Max": np.maximum,
    "Min": np.minimum,
    "Neg": np.negative,
    "Exp": np.exp,
    "Log": np.log,
    "Sqrt": np.sqrt,
    "Tanh": np.tanh,
    "Cos": np.cos,
    "Sin": np.sin,
    "Acos": np.arccos,
    "Abs": np.abs,
    "Sign": np.sign,
    "Floor": np.floor,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Equal": np.equal,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Not": np.logical_not,
    "Where": np.where,
    "MatMul": np.matmul,
    "Cast": lambda x: x.astype(float),
    "IsNaN": np.isnan,
    "ReduceSum": lambda x, axis: x.sum(axis),
    "ReduceMax": lambda x, axis: x.max(axis),
    "Reshape": lambda x, *shape: x.reshape(shape),
    "Expand": lambda x, *shape: np.broadcast_to(x, shape),
    "Transpose": lambda x, *axes: x.transpose(axes),
    "Slice": lambda x, *bounds: x[tuple(slice(*each) for each in bounds)],
    "Concat": lambda *parts: np.concatenate(parts[:-1], parts[-1]),
}
"""What NumPy does for each operation, from its operands and its setting."""

_EXACT = {"Where", "Reshape", "Expand", "Transpose", "Slice", "Concat", "Max", "Min", "Neg", "Abs", "Sign"}
"""What only moves numbers that were rounded before."""


@dataclass(frozen=True)
class Program:
    """Values in the order in which they are computed, and which of them are the results.

    Attributes
    ----------
    values : tuple of Given, ndarray or Operation
    results : dict of str to int
        Numbers of the results among the values.
    """

    values: tuple[Given | Array | Operation, ...]
    results: dict[str, int]

    @property
    def given(self) -> tuple[Given, ...]:
        """What has to be given, in order."""
        return tuple(value for value in self.values if isinstance(value, Given))

    @property
    def operations(self) -> int:
        """How many there are."""
        return sum(isinstance(value, Operation) for value in self.values)

    def run(self, given: Mapping[str, Any], rounding: Rounding | None = None) -> dict[str, Array]:
        """Carry the program out with NumPy.

        Parameters
        ----------
        given : mapping of str to array
        rounding : callable, optional
            What becomes of every number that is given, known beforehand or computed: the arithmetic of a machine with
            few bits.

        Raises
        ------
        InputError
            If something that is asked for is not given, or has another shape.
        """
        arrays: list[Array] = []
        with np.errstate(all="ignore"):
            for value in self.values:
                exact = False
                if isinstance(value, Given):
                    array = _checked(value, given)
                elif isinstance(value, Operation):
                    exact = value.name in _EXACT
                    operands = [arrays[number] for number in value.operands]
                    array = OPERATIONS[value.name](*operands, *value.setting)
                else:
                    array = value
                rounded = rounding is not None and not exact and array.dtype.kind == "f"
                arrays.append(rounding(array) if rounded and rounding is not None else array)
        return {name: arrays[number] for name, number in self.results.items()}


def _checked(wanted: Given, given: Mapping[str, Any]) -> Array:
    if wanted.name not in given:
        raise InputError(f"the program needs '{wanted.name}', an array of shape {wanted.shape}.")
    array = np.asarray(given[wanted.name], bool if wanted.flags else float)
    if array.shape != wanted.shape:
        raise InputError(f"'{wanted.name}' has the shape {array.shape}; the program takes {wanted.shape}.")
    return array
