"""Tasks that differ in how noisy they are: a factor w on the noise's precision, w ~ Gamma(a, a), for each.

The factor is integrated out on a grid of levels (`metasci.meta.laplace.levels`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["gamma_shape", "noise_levels"]

_LEVELS = 24  # of the factor, evenly on its logarithm: an integral over it becomes a sum of so many terms
_TAIL = 1e-3  # of the probability, left out at either end


def noise_levels(shape: Tensor, count: int = _LEVELS, tail: float = _TAIL) -> tuple[Tensor, Tensor]:
    """Precision factors evenly spaced in their logarithm, and their prior probabilities, (level,) each.

    `tail` is the probability that is left out at either end.
    """
    from scipy.special import gammaincinv  # loaded when it is used: scipy takes long

    a = float(shape)
    low, high = (math.log(float(gammaincinv(a, p)) / a) for p in (tail, 1.0 - tail))
    log_factor = torch.linspace(low, high, count, dtype=shape.dtype, device=shape.device)
    return log_factor.exp(), torch.softmax(a * log_factor - a * log_factor.exp(), 0)


def gamma_shape(mean_log_less_mean: Tensor) -> Tensor:
    """The most likely shape a of Gamma(a, a), given E[ln w − w].

    Examples
    --------
    >>> from scipy.special import digamma
    >>> round(float(gamma_shape(torch.tensor(digamma(3.0) - math.log(3.0) - 1.0))), 6)
    3.0
    """
    from scipy.optimize import brentq
    from scipy.special import digamma

    target = float(mean_log_less_mean)

    def slope(log_shape: float) -> float:
        return log_shape + 1.0 - float(digamma(math.exp(log_shape))) + target

    low, high = -2.0, 12.0
    if slope(low) <= 0.0 or slope(high) >= 0.0:
        edge = low if slope(low) <= 0.0 else high
        return mean_log_less_mean.new_tensor(math.exp(edge))
    return mean_log_less_mean.new_tensor(math.exp(brentq(slope, low, high, xtol=1e-12)))
