"""Numbers of few bits: how a prior is stored in them, and how arithmetic in them rounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["FORMATS", "fixed_point", "floating", "quantised", "stored"]


def quantised(values: Tensor, bits: int) -> Tensor:
    """Whole numbers of so many bits times one scale for the tensor: what storing it so leaves.

    Examples
    --------
    >>> quantised(torch.tensor([-1.0, 0.2, 0.9]), 3).round(decimals=3).tolist()  # thirds
    [-1.0, 0.333, 1.0]
    """
    most = float(values.abs().max()) if values.numel() else 0.0
    if most == 0.0:
        return values
    steps = 2 ** (bits - 1) - 1
    return torch.round(values / most * steps).clamp(-steps, steps) * (most / steps)


def stored(state: Any, bits: int) -> Any:
    """The state of a learned Gaussian prior with its numbers in so many bits each, one scale a tensor.

    A covariance is stored as standard deviations, by their logarithms, and correlations, which stay positive definite.
    """
    covariance = state.covariance
    log_sd = 0.5 * covariance.diagonal().log()
    sd = quantised(log_sd, bits).exp()
    correlation = covariance / (0.5 * (log_sd[:, None] + log_sd)).exp().square()
    rounded = quantised(correlation - torch.eye(len(sd), dtype=sd.dtype), bits)
    identity = torch.eye(len(sd), dtype=sd.dtype)
    share = 1.0
    while float(torch.linalg.eigvalsh(identity + share * rounded).min()) < 1e-3:
        share *= 0.9
    return replace(
        state,
        coefficients=quantised(state.coefficients, bits),
        covariance=sd[:, None] * (identity + share * rounded) * sd,
        design_covariance=quantised(state.design_covariance, bits),
        log_noise=quantised(state.log_noise, bits),
    )


def floating(significand: int, exponent: int) -> Callable[[Any], Any]:
    """Rounding to floating-point numbers: bits after the point, and bits of the exponent.

    Examples
    --------
    >>> half = floating(10, 5)
    >>> half(np.array([1.0 / 3.0, 1e-9, 1e6])).tolist() == np.float16([1.0 / 3.0, 1e-9, np.inf]).astype(float).tolist()
    True
    """
    greatest = 2.0 ** (2 ** (exponent - 1) - 1) * (2.0 - 2.0**-significand)
    least = 2 - 2 ** (exponent - 1)

    def rounded(values: Any) -> Any:
        _, power = np.frexp(values)
        unit = np.exp2(np.maximum(power - 1, least) - float(significand))
        result = np.round(values / unit) * unit
        return np.where(np.abs(result) > greatest, np.sign(values) * np.inf, result)

    return rounded


def fixed_point(whole: int, fraction: int) -> Callable[[Any], Any]:
    """Rounding to fixed-point numbers: a sign, bits before and after the point; what is greater stays at the greatest.

    Examples
    --------
    >>> fixed_point(3, 2)(np.array([1.3, -100.0])).tolist()
    [1.25, -8.0]
    """
    unit, most = 2.0**-fraction, 2.0**whole

    def rounded(values: Any) -> Any:
        return np.clip(np.round(values / unit) * unit, -most, most - unit)

    return rounded


FORMATS: dict[str, Callable[[Any], Any]] = {
    "single (32 bits)": floating(23, 8),
    "half (16 bits)": floating(10, 5),
    "bfloat16": floating(7, 8),
    "float of 8 bits (e5m2)": floating(2, 5),
    "fixed point, 16.15": fixed_point(16, 15),
    "fixed point, 15.8": fixed_point(15, 8),
    "fixed point, 7.8": fixed_point(7, 8),
}
"""Arithmetic with few bits, by name."""
