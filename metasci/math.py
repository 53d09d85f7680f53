"""Elementary functions that run on torch tensors, PyTensor variables, NumPy arrays and duals of them alike.

An equation written once with these functions is differentiated by torch during adaptation,
evaluated by NumPy for plots, and compiled natively inside a PyMC model.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from metasci.quadrature import integral

__all__ = [
    "absolute",
    "arccos",
    "constant",
    "cos",
    "detached",
    "exp",
    "expm1",
    "floor",
    "integral",
    "like",
    "log",
    "log1p",
    "log_expit",
    "log_gamma",
    "log_ndtr",
    "log_sum_exp",
    "maximum",
    "minimum",
    "softplus",
    "sqrt",
    "stack",
    "sum",
    "tanh",
    "where",
]

_NARROWEST = -1e-15  # logarithm of a ratio of probabilities, below which their difference is lost in rounding
_NAMES = {
    "numpy": {"absolute": "abs"},
    "torch": {"absolute": "abs"},
    "pytensor": {"absolute": "abs", "where": "switch"},
    "duals": {},
}


def _library(*values: Any) -> tuple[str, ModuleType]:
    """Return the array library that the first non-NumPy value belongs to."""
    for value in values:
        kind = type(value)
        known = _LIBRARIES.get(kind)
        if known is None:
            known = _LIBRARIES[kind] = _library_of(kind)
        if known is not _NUMPY:
            return known
    return _NUMPY


_NUMPY: tuple[str, ModuleType] = ("numpy", np)
_LIBRARIES: WeakKeyDictionary[type, tuple[str, ModuleType]] = WeakKeyDictionary()


def _library_of(kind: type) -> tuple[str, ModuleType]:
    root = kind.__module__.partition(".")[0]
    if root == "torch":
        return "torch", sys.modules["torch"]
    if root == "pytensor":
        import pytensor.tensor

        return "pytensor", pytensor.tensor
    if kind.__module__ == "metasci.duals":
        from metasci import duals

        return "duals", duals
    return _NUMPY


def _call(name: str, *values: Any) -> Any:
    library, module = _library(*values)
    if library == "torch":
        torch: Any = module
        reference = next(value for value in values if isinstance(value, torch.Tensor))
        values = tuple(
            value
            if isinstance(value, torch.Tensor)
            else torch.as_tensor(value, dtype=reference.dtype if isinstance(value, float) else None)
            for value in values
        )
    operation = getattr(module, _NAMES[library].get(name, name))
    if library != "numpy":
        return operation(*values)
    with np.errstate(over="ignore"):  # infinity is an answer, which whoever asked looks at
        return operation(*values)


def exp(x: Any) -> Any:
    """Exponential.

    Examples
    --------
    >>> float(exp(0.0))
    1.0
    """
    return _call("exp", x)


def expm1(x: Any) -> Any:
    """Exponential minus one, accurate near zero."""
    return _call("expm1", x)


def floor(x: Any) -> Any:
    """Greatest whole number that is not above."""
    return _call("floor", x)


def like(constant: np.ndarray, x: Any) -> Any:
    """A constant array for calculations with `x`: a tensor of its type where that is one."""
    library, module = _library(x)
    return module.as_tensor(constant, dtype=x.dtype, device=x.device) if library == "torch" else constant


def log(x: Any) -> Any:
    """Natural logarithm."""
    return _call("log", x)


def log1p(x: Any) -> Any:
    """Logarithm of one plus the argument, accurate near zero."""
    return _call("log1p", x)


def log_expit(x: Any) -> Any:
    """Logarithm of 1/(1 + e⁻ˣ), with its digits in both tails; of a probability whose log-odds are x.

    Examples
    --------
    >>> [round(float(log_expit(x)), 6) for x in (-800.0, 0.0)]
    [-800.0, -0.693147]
    """
    library, module = _library(x)
    if library == "torch":
        return module.nn.functional.logsigmoid(x)
    return -module.softplus(-x) if library == "pytensor" else -np.logaddexp(0.0, -np.asarray(x))


def log_gamma(x: Any) -> Any:
    """Logarithm of the gamma function, of arguments above zero.

    Examples
    --------
    >>> round(float(log_gamma(5.0)), 6)
    3.178054
    """
    library, module = _library(x)
    if library == "torch":
        return module.lgamma(x)
    if library != "numpy":
        return module.gammaln(x)
    from scipy.special import gammaln

    return gammaln(x)


def log_ndtr(x: Any) -> Any:
    """Logarithm of the normal distribution function, with its digits also far out in the lower tail.

    Examples
    --------
    >>> [round(float(log_ndtr(x)), 6) for x in (-40.0, 0.0)]
    [-804.608442, -0.693147]
    """
    library, module = _library(x)
    if library == "torch":
        return module.special.log_ndtr(x)
    if library == "pytensor":
        far = module.minimum(x, -1.0)  # the branch that is not chosen has to stay finite
        near = module.maximum(x, -1.0)
        tail = module.log(0.5 * module.erfcx(-far / np.sqrt(2.0))) - 0.5 * far**2
        return module.switch(x < -1.0, tail, module.log1p(-0.5 * module.erfc(near / np.sqrt(2.0))))
    from scipy.special import log_ndtr as of_numbers

    return of_numbers(x)


def log_sum_exp(x: Any) -> Any:
    """Logarithm of the sum of exponentials over the last axis, without overflow.

    Examples
    --------
    >>> float(log_sum_exp(np.array([-1000.0, -1000.0])).round(6))
    -999.306853
    """
    library, module = _library(x)
    if library == "torch":
        return module.logsumexp(x, -1)
    if library == "numpy":
        from scipy.special import logsumexp

        return logsumexp(x, axis=-1)
    return module.logsumexp(x, axis=-1)


def log_between(low: Any, high: Any) -> Any:
    """ln(Φ(high) − Φ(low)) of finite ends, with its digits also far out in either tail.

    Examples
    --------
    >>> [round(float(log_between(low, low + 1.0)), 4) for low in (-1.0, 30.0)]
    [-1.0748, -454.3212]
    """
    flipped = low > 0.0  # the lower tail keeps the digits
    lower, upper = where(flipped, -high, low), where(flipped, -low, high)
    log_upper = log_ndtr(upper)
    # a difference smaller than rounding stays one
    return log_upper + log(-expm1(minimum(log_ndtr(lower) - log_upper, _NARROWEST)))


def sqrt(x: Any) -> Any:
    """Square root."""
    return _call("sqrt", x)


def tanh(x: Any) -> Any:
    """Hyperbolic tangent."""
    return _call("tanh", x)


def cos(x: Any) -> Any:
    """Cosine."""
    return _call("cos", x)


def arccos(x: Any) -> Any:
    """Inverse of the cosine."""
    return _call("arccos", x)


def detached(x: Any) -> Any:
    """The same numbers, of which derivatives know nothing; of PyTensor's symbols, as they are.

    Newton steps from a root that is known need no more: n of them have all derivatives up to the order 2ⁿ − 1 right.
    """
    library, _ = _library(x)
    return x.detach() if library == "torch" else x.value if library == "duals" else x


def absolute(x: Any) -> Any:
    """Absolute value."""
    return _call("absolute", x)


def constant(numbers: Any, *like: Any) -> Any:
    """Numbers as an array of the library that the first value belongs to which is not NumPy's.

    Examples
    --------
    >>> constant([1.0, 2.0], np.zeros(3)).tolist()
    [1.0, 2.0]
    """
    library, module = _library(*like)
    if library == "torch":
        torch: Any = module
        reference = next(value for value in like if isinstance(value, torch.Tensor))
        return torch.as_tensor(numbers, dtype=reference.dtype, device=reference.device)
    return np.asarray(numbers, dtype=float)


def where(condition: Any, x: Any, y: Any) -> Any:
    """Choose `x` where the condition holds and `y` elsewhere.

    Both branches are evaluated: keep each of them finite, or its gradient turns to NaN.
    """
    library, module = _library(condition, x, y)
    if library == "torch":
        torch: Any = module
        # Python's numbers are of double precision here too; torch alone would round two of them to its default
        x, y = (v if isinstance(v, torch.Tensor) else torch.as_tensor(v, dtype=torch.float64) for v in (x, y))
        return torch.where(torch.as_tensor(condition), x, y)
    return getattr(module, _NAMES[library].get("where", "where"))(condition, x, y)


def maximum(x: Any, y: Any) -> Any:
    """Elementwise maximum."""
    return _call("maximum", x, y)


def minimum(x: Any, y: Any) -> Any:
    """Elementwise minimum."""
    return _call("minimum", x, y)


def stack(values: Sequence[Any]) -> Any:
    """Arrays along a new last axis, which broadcast together; of PyTensor's and duals' one shape is asked.

    Examples
    --------
    >>> stack([np.zeros(2), 1.0]).tolist()
    [[0.0, 1.0], [0.0, 1.0]]
    """
    library, module = _library(*values)
    if library == "torch":
        torch: Any = module
        whole = [constant(value, *values) for value in values]
        return torch.stack(torch.broadcast_tensors(*whole), -1)
    if library == "numpy" and len({np.shape(value) for value in values}) > 1:
        return np.stack(np.broadcast_arrays(*values), -1)
    return module.stack(values, axis=-1)


def sum(x: Any, axis: int = -1) -> Any:
    """Sum over one axis, the last by default.

    Examples
    --------
    >>> sum(np.ones((2, 3))).tolist()
    [3.0, 3.0]
    """
    return x.sum(axis)


def softplus(x: Any) -> Any:
    """Logarithm of one plus the exponential, without overflow."""
    return maximum(x, 0.0) + log1p(exp(-absolute(x)))
