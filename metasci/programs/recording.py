"""Arrays that record what is done to them: an equation, or a whole calibration, becomes a program.

A `Symbol` follows NumPy's protocols (NEP 13 and 18), so that what is written for NumPy arrays, such as
`metasci.math` and the duals of `metasci.duals`, records itself. What is known beforehand is computed at once, what is
computed twice is recorded once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from metasci.programs.program import OPERATIONS, Array, Given, Operation, Program

__all__ = ["Recorder", "Symbol"]


class Recorder:
    """The values recorded so far.

    Examples
    --------
    >>> recorder = Recorder()
    >>> x = recorder.given("x", (3,))
    >>> program = recorder.program(y=np.exp(-x).sum(0))
    >>> program.run({"x": np.zeros(3)})["y"].tolist(), program.operations
    (3.0, 3)
    """

    def __init__(self) -> None:
        self.values: list[Given | Array | Operation] = []
        self._known: dict[Any, int] = {}

    def given(self, name: str, shape: tuple[int, ...], flags: bool = False) -> Symbol:
        """A symbol of what will be given."""
        return self._symbol(Given(name, shape, flags), ("given", name), shape, flags)

    def constant(self, array: Any) -> Symbol:
        """A symbol of numbers that are known."""
        array = np.asarray(array)
        flags = array.dtype == bool
        array = np.ascontiguousarray(array if flags else array.astype(float)).reshape(array.shape)
        return self._symbol(array, (array.tobytes(), array.shape, flags), array.shape, flags)

    def operation(
        self, name: str, operands: Sequence[Any], setting: tuple[Any, ...] = (), shape: Any = None
    ) -> Symbol:
        """A symbol of an operation's result; by default the operands are broadcast."""
        symbols = [each if isinstance(each, Symbol) else self.constant(each) for each in operands]
        if name in _NUMBERS_ONLY:
            symbols = [self.operation("Cast", [s]) if s.flags else s for s in symbols]
        elif name == "Where":
            symbols[1:] = [self.operation("Cast", [s]) if s.flags else s for s in symbols[1:]]
        shape = np.broadcast_shapes(*(each.shape for each in symbols)) if shape is None else tuple(shape)
        numbers = tuple(each.number for each in symbols)
        flags = name in _FLAGS or (name in _MOVING and symbols[0].flags)
        recorded = Operation(name, numbers, setting, shape, flags)
        return self._symbol(recorded, (name, numbers, setting), shape, flags)

    def program(self, **results: Symbol) -> Program:
        """The program of some results; what none of them needs is left out."""
        needed: set[int] = set()
        waiting = [symbol.number for symbol in results.values()]
        while waiting:
            number = waiting.pop()
            if number in needed:
                continue
            needed.add(number)
            value = self.values[number]
            if isinstance(value, Operation):
                waiting.extend(value.operands)
        kept = [n for n, value in enumerate(self.values) if n in needed or isinstance(value, Given)]
        place = {number: at for at, number in enumerate(kept)}
        values = tuple(_renumbered(self.values[number], place) for number in kept)
        return Program(values, {name: place[symbol.number] for name, symbol in results.items()})

    def _symbol(
        self, value: Given | Array | Operation, key: Any, shape: tuple[int, ...], flags: bool
    ) -> Symbol:
        if key not in self._known:
            self._known[key] = len(self.values)
            self.values.append(value)
        return Symbol(self, self._known[key], shape, flags)


def _renumbered(value: Given | Array | Operation, place: dict[int, int]) -> Given | Array | Operation:
    if not isinstance(value, Operation):
        return value
    operands = tuple(place[number] for number in value.operands)
    return Operation(value.name, operands, value.setting, value.shape, value.flags)


_FLAGS = {"Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", "And", "Or", "Not", "IsNaN"}
_MOVING = {"Reshape", "Expand", "Transpose", "Slice", "Concat"}
_NUMBERS_ONLY = set(OPERATIONS) - {"And", "Or", "Not", "Where", "Cast", *_MOVING}


class Symbol(NDArrayOperatorsMixin):
    """An array of a known shape whose numbers are not known yet."""

    def __init__(self, recorder: Recorder, number: int, shape: tuple[int, ...], flags: bool = False) -> None:
        self.recorder, self.number, self.shape, self.flags = recorder, number, shape, flags

    __hash__ = None  # type: ignore[assignment]

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __bool__(self) -> bool:
        raise TypeError("a recorded number cannot decide which way a program goes")

    def __float__(self) -> float:
        raise TypeError("a recorded number is not known yet")

    def __array__(self, *arguments: Any, **options: Any) -> Array:
        raise TypeError("a recorded array is not known yet")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        function = _UFUNCS.get(ufunc.__name__)
        if method != "__call__" or options or function is None:
            raise TypeError(f"numpy.{ufunc.__name__} cannot be recorded")
        return function(self.recorder, *inputs)

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Any:
        recorded = _FUNCTIONS.get(function)
        if recorded is None:
            raise TypeError(f"numpy.{function.__name__} cannot be recorded")
        return recorded(self.recorder, *arguments, **options)

    def sum(self, axis: int = -1) -> Symbol:
        """Over one axis."""
        return self._reduced("ReduceSum", axis)

    def max(self, axis: int = -1) -> Symbol:
        """Over one axis."""
        return self._reduced("ReduceMax", axis)

    def _reduced(self, name: str, axis: int) -> Symbol:
        axis %= self.ndim
        shape = self.shape[:axis] + self.shape[axis + 1 :]
        if self.shape[axis] == 1:
            return self.reshape(shape)
        return self.recorder.operation(name, [self], (axis,), shape)

    def reshape(self, *shape: Any) -> Symbol:
        """With other axes."""
        shape = np.empty(self.shape, dtype=bool).reshape(*shape).shape
        return self if shape == self.shape else self.recorder.operation("Reshape", [self], shape, shape)

    def transpose(self, *axes: int) -> Symbol:
        """With the axes in another order."""
        shape = tuple(self.shape[axis] for axis in axes)
        return self.recorder.operation("Transpose", [self], axes, shape)

    def expand(self, *shape: int) -> Symbol:
        """As `numpy.broadcast_to`."""
        return self if shape == self.shape else self.recorder.operation("Expand", [self], shape, shape)

    def __getitem__(self, place: Any) -> Symbol:
        places = list(place) if isinstance(place, tuple) else [place]
        if any(each is Ellipsis for each in places):
            at = next(n for n, each in enumerate(places) if each is Ellipsis)
            named = sum(each is not None and each is not Ellipsis for each in places)
            places[at : at + 1] = [slice(None)] * (self.ndim - named)
        places += [slice(None)] * (self.ndim - sum(each is not None for each in places))
        bounds, shape, axis = [], [], 0
        for each in places:
            if each is None:
                shape.append(1)
                continue
            whole = self.shape[axis]
            if isinstance(each, slice):
                start, stop, step = each.indices(whole)
                if step != 1:
                    raise TypeError("a slice with steps cannot be recorded")
                shape.append(max(stop - start, 0))
            else:
                start = int(each) % whole
                stop = start + 1
            bounds.append((start, stop))
            axis += 1
        cut = tuple(stop - start for start, stop in bounds)
        part = self
        if cut != self.shape:
            part = self.recorder.operation("Slice", [self], tuple(bounds), cut)
        return part.reshape(tuple(shape))


def _simple(name: str) -> Callable[..., Any]:
    return lambda recorder, *operands: recorder.operation(name, operands)


def _known(x: Any, value: float) -> bool:
    return not isinstance(x, Symbol) and bool(np.all(np.asarray(x) == value))


def _widened(recorder: Recorder, kept: Any, other: Any) -> Any:
    """An operand that an operation leaves as it is, in the shape of the result."""
    return np.broadcast_to(kept, np.broadcast_shapes(np.shape(kept), np.shape(other)))


def _add(recorder: Recorder, x: Any, y: Any) -> Any:
    for kept, other in ((x, y), (y, x)):
        if _known(other, 0.0):
            return _widened(recorder, kept, other)
    return recorder.operation("Add", (x, y))


def _subtract(recorder: Recorder, x: Any, y: Any) -> Any:
    return _widened(recorder, x, y) if _known(y, 0.0) else recorder.operation("Sub", (x, y))


def _multiply(recorder: Recorder, x: Any, y: Any) -> Any:
    for kept, other in ((x, y), (y, x)):
        if _known(other, 1.0) and not getattr(kept, "flags", False):
            return _widened(recorder, kept, other)
        if _known(other, 0.0):  # also of what is not finite, which a mask leaves out
            return np.zeros(np.broadcast_shapes(np.shape(kept), np.shape(other)))
    return recorder.operation("Mul", (x, y))


def _divide(recorder: Recorder, x: Any, y: Any) -> Any:
    return _widened(recorder, x, y) if _known(y, 1.0) else recorder.operation("Div", (x, y))


def _power(recorder: Recorder, x: Any, y: Any) -> Any:
    if _known(y, 2.0):
        return recorder.operation("Mul", (x, x))
    if _known(y, 0.5):
        return recorder.operation("Sqrt", (x,))
    if _known(y, 1.0):
        return x
    return recorder.operation("Pow", (x, y))


def _expm1(recorder: Recorder, x: Any) -> Any:
    """e^x − 1 = tanh(x/2)·(e^x + 1), with its digits also near zero."""
    return np.tanh(0.5 * x) * (np.exp(x) + 1.0)


def _log1p(recorder: Recorder, x: Any) -> Any:
    """Kahan's."""
    grown = 1.0 + x
    middle = (grown != 1.0) & (np.abs(x) < 1.0)
    safe = np.where(middle, grown, 2.0)
    return np.where(middle, x * np.log(safe) / (safe - 1.0), np.where(grown == 1.0, x, np.log(grown)))


def _not_equal(recorder: Recorder, x: Any, y: Any) -> Any:
    return recorder.operation("Not", (recorder.operation("Equal", (x, y)),))


def _where(recorder: Recorder, condition: Any, x: Any, y: Any) -> Any:
    if not isinstance(condition, Symbol) and np.all(condition):
        return _widened(recorder, x, y)
    return recorder.operation("Where", (condition, x, y))


def _stack(recorder: Recorder, parts: Sequence[Any], axis: int = 0) -> Any:
    shape = np.broadcast_shapes(*(np.shape(part) for part in parts))
    axis %= len(shape) + 1
    one = (*shape[:axis], 1, *shape[axis:])
    return _concatenate(recorder, [np.reshape(np.broadcast_to(part, shape), one) for part in parts], axis)


def _concatenate(recorder: Recorder, parts: Sequence[Any], axis: int = 0) -> Any:
    shapes = [np.shape(part) for part in parts]
    axis %= len(shapes[0])
    shape = list(shapes[0])
    shape[axis] = sum(each[axis] for each in shapes)
    return recorder.operation("Concat", parts, (axis,), shape)


def _matmul(recorder: Recorder, x: Any, y: Any) -> Any:
    left, right = np.shape(x), np.shape(y)
    shape = (*np.broadcast_shapes(left[:-2], right[:-2]), left[-2], right[-1])
    return recorder.operation("MatMul", (x, y), (), shape)


_UFUNCS: dict[str, Callable[..., Any]] = {
    "add": _add,
    "subtract": _subtract,
    "multiply": _multiply,
    "divide": _divide,
    "power": _power,
    "expm1": _expm1,
    "log1p": _log1p,
    "not_equal": _not_equal,
    "matmul": _matmul,
    "square": lambda recorder, x: recorder.operation("Mul", (x, x)),
    "positive": lambda recorder, x: x,
    **{
        numpy: _simple(name)
        for numpy, name in {
            "maximum": "Max",
            "minimum": "Min",
            "negative": "Neg",
            "exp": "Exp",
            "log": "Log",
            "sqrt": "Sqrt",
            "tanh": "Tanh",
            "cos": "Cos",
            "sin": "Sin",
            "arccos": "Acos",
            "absolute": "Abs",
            "sign": "Sign",
            "floor": "Floor",
            "greater": "Greater",
            "greater_equal": "GreaterOrEqual",
            "less": "Less",
            "less_equal": "LessOrEqual",
            "equal": "Equal",
            "logical_and": "And",
            "bitwise_and": "And",
            "logical_or": "Or",
            "bitwise_or": "Or",
            "logical_not": "Not",
            "invert": "Not",
            "isnan": "IsNaN",
        }.items()
    },
}

_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.where: _where,
    np.stack: _stack,
    np.concatenate: _concatenate,
    np.broadcast_to: lambda recorder, x, shape: x.expand(*shape),
    np.reshape: lambda recorder, x, shape: x.reshape(tuple(shape)),
    np.shape: lambda recorder, x: x.shape,
    np.ndim: lambda recorder, x: x.ndim,
    np.sum: lambda recorder, x, axis=-1: x.sum(axis),
    np.transpose: lambda recorder, x, axes: x.transpose(*axes),
    np.zeros_like: lambda recorder, x: np.zeros(x.shape),
    np.ones_like: lambda recorder, x: np.ones(x.shape),
}
