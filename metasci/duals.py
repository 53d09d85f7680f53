"""Numbers with their derivatives along several directions at once, on NumPy arrays: forward differentiation.

For a handful of measurements an operation of NumPy costs a fifth of one that torch records for a reverse pass. A `Dual`
holds values and, on a first axis before theirs, how each changes along every direction; what `metasci.math` and
operators do with them follows the chain rule. An equation written with these runs on duals as it stands. Values and
slopes may be duals themselves: then the slopes' slopes are second derivatives.

Source: Griewank and Walther, Evaluating Derivatives, 2nd ed. (2008), section 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Dual",
    "absolute",
    "arccos",
    "cos",
    "exp",
    "expm1",
    "floor",
    "gammaln",
    "log",
    "log1p",
    "maximum",
    "minimum",
    "sqrt",
    "stack",
    "tanh",
    "where",
]

Array = NDArray[np.float64]


class Dual:
    """Values (...) and their slopes (direction, ...).

    Examples
    --------
    >>> x = Dual(np.array([2.0, 3.0]), np.ones((1, 2)))
    >>> (x * x + 1.0 / x).slope.round(6).tolist()
    [[3.75, 5.888889]]

    Along two directions at once, x·x has the second derivative two:

    >>> inner = Dual(np.array([3.0]), np.ones((1, 1)))
    >>> twice = Dual(inner, Dual(np.ones((1, 1)), np.zeros((1, 1, 1))))
    >>> (twice * twice).slope.slope.ravel().tolist()
    [2.0]
    """

    __slots__ = ("slope", "value")
    __array_ufunc__ = None  # an array on the left leaves the operation to the dual on the right

    def __init__(self, value: Any, slope: Any) -> None:
        self.value, self.slope = value, slope

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the values."""
        shape: tuple[int, ...] = self.value.shape
        return shape

    @property
    def ndim(self) -> int:
        """Of the values."""
        return len(self.value.shape)

    def __len__(self) -> int:
        return len(self.value)

    def reshape(self, *shape: int) -> Dual:
        """Values of another shape, and slopes with them."""
        return Dual(self.value.reshape(*shape), self.slope.reshape(len(self.slope), *shape))

    def __getitem__(self, place: Any) -> Dual:
        places = place if isinstance(place, tuple) else (place,)
        return Dual(self.value[place], self.slope[(slice(None), *places)])

    def sum(self, axis: int = -1) -> Dual:
        """Over one axis, counted from the last."""
        if axis >= 0:
            axis -= self.value.ndim
        return Dual(self.value.sum(axis), self.slope.sum(axis))

    def __neg__(self) -> Dual:
        return Dual(-self.value, -self.slope)

    def __pos__(self) -> Dual:
        return self

    def __abs__(self) -> Dual:
        return absolute(self)

    def __add__(self, other: Any) -> Dual:
        if isinstance(other, Dual):
            mine, its = _aligned(self, other)
            return Dual(self.value + other.value, mine + its)
        value = self.value + _plain(other)
        return Dual(value, _widened(self, value))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Dual:
        if isinstance(other, Dual):
            mine, its = _aligned(self, other)
            return Dual(self.value - other.value, mine - its)
        value = self.value - _plain(other)
        return Dual(value, _widened(self, value))

    def __rsub__(self, other: Any) -> Dual:
        value = _plain(other) - self.value
        return Dual(value, -_widened(self, value))

    def __mul__(self, other: Any) -> Dual:
        if isinstance(other, Dual):
            mine, its = _aligned(self, other)
            return Dual(self.value * other.value, mine * other.value + its * self.value)
        factor = _plain(other)
        value = self.value * factor
        return Dual(value, _lifted(self, value.ndim) * factor)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Dual:
        if isinstance(other, Dual):
            mine, its = _aligned(self, other)
            value = self.value / other.value
            return Dual(value, (mine - its * value) / other.value)
        divisor = _plain(other)
        value = self.value / divisor
        return Dual(value, _lifted(self, value.ndim) / divisor)

    def __rtruediv__(self, other: Any) -> Dual:
        value = _plain(other) / self.value
        return Dual(value, -_lifted(self, value.ndim) * (value / self.value))

    def __pow__(self, power: Any) -> Dual:
        if isinstance(power, Dual):
            mine, its = _aligned(self, power)
            value = self.value**power.value
            return Dual(
                value,
                mine * (power.value * value / self.value) + its * (value * _of(np.log, log, self.value)),
            )
        if isinstance(power, int | float):
            if power == 2:
                return Dual(self.value * self.value, self.slope * (2.0 * self.value))
            return Dual(self.value**power, self.slope * (power * self.value ** (power - 1)))
        raised = _plain(power)
        value = self.value**raised
        return Dual(value, _lifted(self, value.ndim) * (raised * self.value ** (raised - 1.0)))

    def __rpow__(self, base: Any) -> Dual:
        plain = _plain(base)
        value = plain**self.value
        return Dual(value, _lifted(self, value.ndim) * (value * np.log(plain)))

    def __lt__(self, other: Any) -> Any:
        return self.value < _value(other)

    def __le__(self, other: Any) -> Any:
        return self.value <= _value(other)

    def __gt__(self, other: Any) -> Any:
        return self.value > _value(other)

    def __ge__(self, other: Any) -> Any:
        return self.value >= _value(other)

    def __eq__(self, other: object) -> Any:
        return self.value == _value(other)

    def __ne__(self, other: object) -> Any:
        return self.value != _value(other)

    __hash__ = None  # type: ignore[assignment]


def exp(x: Dual) -> Dual:
    """Exponential.

    Examples
    --------
    >>> float(exp(Dual(np.array(0.0), np.array([2.0]))).slope[0])
    2.0
    """
    value = _of(np.exp, exp, x.value)
    return Dual(value, x.slope * value)


def expm1(x: Dual) -> Dual:
    """Exponential minus one."""
    value = _of(np.expm1, expm1, x.value)
    return Dual(value, x.slope * (value + 1.0))


def log(x: Dual) -> Dual:
    """Natural logarithm."""
    return Dual(_of(np.log, log, x.value), x.slope / x.value)


def log1p(x: Dual) -> Dual:
    """Logarithm of one plus the argument."""
    return Dual(_of(np.log1p, log1p, x.value), x.slope / (1.0 + x.value))


def sqrt(x: Dual) -> Dual:
    """Square root."""
    value = _of(np.sqrt, sqrt, x.value)
    return Dual(value, x.slope / (2.0 * value))


def tanh(x: Dual) -> Dual:
    """Hyperbolic tangent."""
    value = _of(np.tanh, tanh, x.value)
    return Dual(value, x.slope * (1.0 - value * value))


def cos(x: Dual) -> Dual:
    """Cosine."""
    return Dual(_of(np.cos, cos, x.value), x.slope * -_of(np.sin, _sin, x.value))


def arccos(x: Dual) -> Dual:
    """Inverse of the cosine."""
    return Dual(_of(np.arccos, arccos, x.value), -x.slope / _of(np.sqrt, sqrt, 1.0 - x.value * x.value))


def absolute(x: Dual) -> Dual:
    """Absolute value; its slope at zero is zero, as torch has it."""
    return Dual(_of(np.abs, absolute, x.value), x.slope * np.sign(_numbers(x)))


def floor(x: Dual) -> Array:
    """Greatest whole number that is not above; nothing changes it."""
    return np.floor(_numbers(x))


def gammaln(x: Dual) -> Dual:
    """Logarithm of the gamma function; its second slope is as exact, of higher ones nothing is known."""
    from scipy.special import gammaln as of_numbers

    return Dual(_of(of_numbers, gammaln, x.value), x.slope * _of(_digamma, _dual_digamma, x.value))


def _digamma(x: Any) -> Any:
    from scipy.special import digamma

    return digamma(x)


def _dual_digamma(x: Dual) -> Dual:
    from scipy.special import polygamma

    return Dual(_digamma(x.value), x.slope * polygamma(1, x.value))


def _sin(x: Dual) -> Dual:
    return Dual(_of(np.sin, _sin, x.value), x.slope * _of(np.cos, cos, x.value))


def maximum(x: Any, y: Any) -> Dual:
    """Elementwise maximum; where both are alike the slope is the mean of theirs, as torch has it."""
    return _extreme(x, y, _numbers(x) > _numbers(y), np.maximum)


def minimum(x: Any, y: Any) -> Dual:
    """Elementwise minimum; where both are alike the slope is the mean of theirs, as torch has it."""
    return _extreme(x, y, _numbers(x) < _numbers(y), np.minimum)


def _extreme(x: Any, y: Any, first: Any, function: Any) -> Dual:
    values = _value(x), _value(y)
    nested = any(isinstance(each, Dual) for each in values)
    value = where(first, *values) if nested else function(*values)
    share = np.where(_numbers(x) == _numbers(y), 0.5, first)
    slopes = [
        _lifted(each, value.ndim) * weight
        for each, weight in ((x, share), (y, 1.0 - share))
        if isinstance(each, Dual)
    ]
    return Dual(value, slopes[0] if len(slopes) == 1 else slopes[0] + slopes[1])


def where(condition: Any, x: Any, y: Any) -> Any:
    """Choose values, and slopes with them."""
    chosen = _numbers(condition)
    if not (isinstance(x, Dual) or isinstance(y, Dual)):
        return np.where(chosen, x, y)
    value = where(chosen, _value(x), _value(y))
    slopes = [_lifted(each, value.ndim) if isinstance(each, Dual) else 0.0 for each in (x, y)]
    return Dual(value, where(chosen, *slopes))


def stack(values: Sequence[Any], axis: int = -1) -> Any:
    """Along a new last axis."""
    if not any(isinstance(each, Dual) for each in values):
        return np.stack(values, axis)
    value = stack([_value(each) for each in values], axis)
    directions = next(len(each.slope) for each in values if isinstance(each, Dual))
    slopes = [
        each.slope if isinstance(each, Dual) else np.zeros((directions, *np.shape(each))) for each in values
    ]
    return Dual(value, stack(slopes, axis))


def _of(of_numbers: Any, of_duals: Any, x: Any) -> Any:
    """A function of numbers, or where these are duals themselves of duals."""
    return of_duals(x) if isinstance(x, Dual) else of_numbers(x)


def _value(x: Any) -> Any:
    return x.value if isinstance(x, Dual) else x


def _numbers(x: Any) -> Any:
    """The values beneath all slopes."""
    while isinstance(x, Dual):
        x = x.value
    return x


def _plain(x: Any) -> Any:
    """A number or an array, also one of NumPy's protocols; anything else cannot be computed with here."""
    if isinstance(x, np.ndarray | int | float | np.generic) or hasattr(x, "__array_function__"):
        return x
    raise TypeError(f"a {type(x).__name__} cannot be computed with duals")


def _lifted(x: Dual, ndim: int) -> Any:
    """Slopes with as many axes before those of the values as an operation with more of them needs."""
    missing = ndim - x.ndim
    if missing <= 0:
        return x.slope
    return x.slope.reshape(len(x.slope), *(1,) * missing, *x.shape)


def _widened(x: Dual, value: Any) -> Any:
    """Slopes in the shape of a result that was broadcast."""
    slope = _lifted(x, value.ndim)
    if x.shape == value.shape:
        return slope
    wide = np.broadcast_to(0.0, (len(slope), *value.shape))
    return slope + wide if isinstance(slope, Dual) else np.broadcast_to(slope, wide.shape)


def _aligned(x: Dual, y: Dual) -> tuple[Any, Any]:
    ndim = max(x.ndim, y.ndim)
    return _lifted(x, ndim), _lifted(y, ndim)
