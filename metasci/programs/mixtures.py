"""Quantiles of a mixture of Gaussians, one for each level of noise or spread, in operations that programs have.

Newton's steps on the distribution function. Above the mode it is concave, so that steps from below go up to the
quantile and never past it; the first goes from the Gaussian of the same variance. The normal distribution function
is Hastings' approximation, right to 7.5e-8: Abramowitz and Stegun, Handbook of Mathematical Functions (1964),
26.2.17.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["mixture_quantiles", "normal"]

_SERIES = (1.330274429, -1.821255978, 1.781477937, -0.356563782, 0.319381530)
_RATE, _HEIGHT = 0.2316419, 0.3989422804014327
_STEPS = 8


def normal(at: Any) -> tuple[Any, Any]:
    """The standard normal distribution function and its density.

    Examples
    --------
    >>> [float(value.round(6)) for value in normal(np.array(1.6448536269514722))]
    [0.95, 0.103136]
    """
    density = _HEIGHT * np.exp(-0.5 * at * at)
    inverse = 1.0 / (1.0 + _RATE * np.abs(at))
    series: Any = _SERIES[0]
    for factor in _SERIES[1:]:
        series = series * inverse + factor
    tail = density * series * inverse
    return np.where(at > 0.0, 1.0 - tail, tail), density


def mixture_quantiles(shift: Any, sd: Any, weight: Any, normal_quantile: float) -> tuple[Any, Any]:
    """Both ends of a central interval, (query,) each.

    Parameters
    ----------
    shift, sd : array, (level, query)
    weight : array, (level, 1)
        Adding up to one.
    normal_quantile : float
        Of the standard normal distribution at the upper end, above zero.

    Examples
    --------
    >>> half = np.array([[0.5], [0.5]])
    >>> low, high = mixture_quantiles(np.zeros((2, 1)), np.array([[1.0], [2.0]]), half, 1.6448536269514722)
    >>> low.round(4).tolist(), high.round(4).tolist()
    ([-2.6148], [2.6148])
    """
    upper = float(normal(np.array(normal_quantile))[0])
    # the lower end is the upper one of the mirrored mixture: both at once, side by side
    width = sd.shape[1]
    shift = np.concatenate([-shift, shift], 1)
    sd = np.concatenate([sd, sd], 1)
    mean = (weight * shift).sum(0)
    off = shift - mean[None]
    total = np.sqrt((weight * (sd * sd + off * off)).sum(0))
    ends = shift + normal_quantile * sd
    highest = ends.max(0)
    lowest = -(-ends).max(0)
    at = np.minimum(np.maximum(mean + normal_quantile * total, lowest), highest)
    for _ in range(_STEPS):
        below, density = normal((at[None] - shift) / sd)
        step = ((weight * below).sum(0) - upper) / (weight * density / sd).sum(0)
        at = np.minimum(np.maximum(at - step, lowest), highest)
    return -at[:width], at[width:]
