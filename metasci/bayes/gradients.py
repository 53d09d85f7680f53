"""Whether the gradient that a sampler is given is that of its density: by finite differences, before it draws."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from metasci.errors import InputError

__all__ = ["check_gradient", "gradient_error", "of_compiled"]

ValueAndSlope = Callable[[np.ndarray], tuple[float, np.ndarray]]
# of the slope: finite differences in double precision are good to 1e-6, a wrong gradient is off by far more
_GREATEST = 1e-4


def gradient_error(function: ValueAndSlope, around: np.ndarray, seed: int = 0, step: float = 1e-5) -> float:
    """Greatest relative difference of directional slopes from finite differences, at three places.

    Parameters
    ----------
    function : callable
        Of a vector, to the log density there and its gradient.
    around : array, (size,)
        The places are a tenth about it in every direction.
    seed : int
    step : float

    Examples
    --------
    >>> gradient_error(lambda x: (float(x @ x), 2.0 * x), np.ones(3)) < 1e-8
    True
    >>> gradient_error(lambda x: (float(x @ x), 3.0 * x), np.ones(3)) > 0.1
    True
    """
    random = np.random.default_rng(seed)
    worst = 0.0
    for _ in range(3):
        point = around + 0.1 * random.standard_normal(len(around))
        direction = random.standard_normal(len(around))
        ahead, behind = (function(point + s * direction)[0] for s in (step, -step))
        numeric = (ahead - behind) / (2.0 * step)
        directional = float(function(point)[1] @ direction)
        worst = max(worst, abs(directional - numeric) / (abs(numeric) + 1.0))
        if not np.isfinite(directional):
            return float("inf")
    return worst


def check_gradient(function: ValueAndSlope, around: np.ndarray, name: str) -> None:
    """Refuse a density whose gradient is not its own.

    Raises
    ------
    InputError
        If the two differ by more than 1e-4, relatively.
    """
    error = gradient_error(function, around)
    if not error < _GREATEST:
        raise InputError(
            f"the gradient of '{name}' is not that of finite differences (off by {error:.2g}): "
            "the model must be differentiable, and in double precision."
        )


def of_compiled(compiled: Any) -> ValueAndSlope:
    """The log density and gradient of a model that nutpie has compiled, as the sampler will call them."""
    call, size = compiled.compiled_logp_func.ctypes, compiled.n_dim

    def pointer(array: np.ndarray) -> Any:
        return array.ctypes.data_as(ctypes.POINTER(ctypes.c_double))

    def function(point: np.ndarray) -> tuple[float, np.ndarray]:
        at, slope, value = np.array(point, float), np.zeros(size), np.zeros(1)
        code = call(size, pointer(at), pointer(slope), pointer(value), compiled.user_data.ctypes.data)
        return (float(value[0]), slope) if code == 0 else (float("nan"), slope)

    return function
