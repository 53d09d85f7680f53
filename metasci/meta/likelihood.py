"""The likelihood of measurements about predictions, and how it changes with them; also of those below a limit.

A measurement y with prediction f and variance v on the linked scale costs ½(r²/v + ln 2πv), r = y − f. One that is only
known to lie below a limit costs −ln Φ(u), u = (limit − f)/√v, the M3 likelihood.

Source: Beal, J Pharmacokinet Pharmacodyn 28 (2001) 481, method M3.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["cost", "information_share", "pull_and_curvature", "squared_residual"]

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)
_SURELY = 40.0  # standard deviations


def cost(residual: Tensor, variance: Tensor, censored: Tensor | None = None) -> Tensor:
    """Negative log-likelihood of each measurement.

    Parameters
    ----------
    residual, variance : Tensor
        Measurement (or limit) less prediction, and variance, on the linked scale.
    censored : Tensor of bool, optional
        Which measurements are limits.

    Examples
    --------
    >>> zero, one = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    >>> cost(zero, one, torch.tensor([False, True])).exp().round(decimals=6).tolist()
    [2.506628, 2.0]
    """
    each = 0.5 * (residual**2 / variance + torch.log(variance)) + _HALF_LOG_TWO_PI
    if censored is None:
        return each
    return torch.where(censored, -torch.special.log_ndtr(_standardised(residual, variance)), each)


def pull_and_curvature(
    residual: Tensor, variance: Tensor, relative: Tensor | None = None, censored: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Minus the slope of the cost along the prediction, and a curvature that is never below zero.

    The curvature is Fisher's information for a measurement, and for a limit the part of the second derivative that the
    bend of ln Φ makes.

    Parameters
    ----------
    residual, variance : Tensor
    relative : Tensor, optional
        d ln v / d f, where the variance moves with the prediction.
    censored : Tensor of bool, optional
    """
    pull, curvature = residual / variance, 1.0 / variance
    if relative is not None:
        relative = torch.where(variance > 0.0, relative, torch.zeros_like(relative))
        pull = pull - 0.5 * relative * (1.0 - residual**2 / variance)
        curvature = curvature + 0.5 * relative**2
    if censored is None:
        return pull, curvature
    u = _standardised(residual, variance)
    root = torch.where(variance > 0.0, variance, torch.ones_like(variance)).sqrt()
    slope = -1.0 / root - (0.0 if relative is None else 0.5 * u * relative)
    hazard = _hazard(u)
    return (
        torch.where(censored, hazard * slope, pull),
        torch.where(censored, (hazard * (hazard + u)).clamp(min=0.0) * slope**2, curvature),
    )


def squared_residual(residual: Tensor, variance: Tensor, censored: Tensor | None = None) -> Tensor:
    """Squared residual over the variance; for a limit what is expected of it, 1 − u φ(u)/Φ(u)."""
    squared = residual**2 / variance
    if censored is None:
        return squared
    u = _standardised(residual, variance)
    return torch.where(censored, 1.0 - u * _hazard(u), squared)


def information_share(residual: Tensor, variance: Tensor, censored: Tensor | None = None) -> Tensor:
    """What a measurement tells of its prediction, over what it would tell uncensored: one, or h(h + u) for a limit."""
    if censored is None:
        return torch.ones_like(residual)
    u = _standardised(residual, variance)
    hazard = _hazard(u)
    return torch.where(censored, (hazard * (hazard + u)).clamp(0.0, 1.0), torch.ones_like(u))


def _standardised(residual: Tensor, variance: Tensor) -> Tensor:
    """Residuals in standard deviations; where nothing scatters, as where nothing is predicted, surely on their side."""
    scatters = variance > 0.0
    root = torch.where(scatters, variance, torch.ones_like(variance)).sqrt()
    return torch.where(scatters, residual / root, _SURELY * torch.sign(residual))


def _hazard(u: Tensor) -> Tensor:
    """φ(u)/Φ(u)."""
    return torch.exp(-0.5 * u**2 - _HALF_LOG_TWO_PI - torch.special.log_ndtr(u))
