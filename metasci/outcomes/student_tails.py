"""How probable it is that Student's t lies below a number, or between two: with slopes by both the numbers and ν.

t of ν degrees of freedom is normal with a precision λ ~ Gamma(ν/2, ν/2), so that P(t ≤ u) = E Φ(u √λ). On a grid over
the logarithm of λ, as wide as its distribution, the trapezoidal rule is right to 1e-7 of the probability for any ν
above two (Trefethen and Weideman, SIAM Rev 56 (2014) 385) down to probabilities of about e⁻¹⁰⁰, and written with
`metasci.math` it has derivatives, which the incomplete beta function lacks in torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from metasci import math

__all__ = ["log_below", "log_within"]

# in standard deviations of ln λ: beyond, less than 1e-15 is left, in the long left tail at ν = 2 and the right one
_STEPS = np.arange(-36.0, 8.1, 0.45)


def log_below(u: Any, log_beyond: Any) -> Any:
    """ln P(t ≤ u), elementwise.

    Parameters
    ----------
    u : array
    log_beyond : array
        ln(ν − 2), which broadcasts to `u`.

    Examples
    --------
    >>> log_below(np.array([-1e6, 0.0, 2.0]), np.log(1.0)).round(6).tolist()
    [-41.348813, -0.693147, -0.072208]
    """
    root, log_weight = _precisions(u, log_beyond)
    return math.log_sum_exp(log_weight + math.log_ndtr(u[..., None] * root))


def log_within(low: Any, high: Any, log_beyond: Any) -> Any:
    """ln P(low ≤ t ≤ high), elementwise, with its digits in both tails.

    Examples
    --------
    >>> log_within(np.array([2.0]), np.array([2.5]), np.log(1.0)).round(6).tolist()
    [-3.657006]
    """
    root, log_weight = _precisions(low, log_beyond)
    each = math.log_between(low[..., None] * root, high[..., None] * root)
    return math.log_sum_exp(log_weight + each)


def _precisions(like: Any, log_beyond: Any) -> tuple[Any, Any]:
    """√λ and the logarithms of the weights on the grid, (…, step)."""
    half = 0.5 * (math.exp(log_beyond) + 2.0) + 0.0 * like[..., None]  # ν/2
    sd = math.sqrt(1.0 / half + 0.5 / (half * half) + 1.0 / (6.0 * half * half * half))
    steps = math.like(_STEPS, like)
    centre = -0.5 / half  # E ln λ = ψ(ν/2) − ln(ν/2), nearly
    log_precision = centre + sd * steps
    log_weight = half * (log_precision - math.exp(log_precision))
    # of a grid this wide the sum of the weights is what the constant of the density would be, and keeps more digits
    return math.exp(0.5 * log_precision), log_weight - math.log_sum_exp(log_weight)[..., None]
