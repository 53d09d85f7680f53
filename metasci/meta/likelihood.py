"""The likelihood of measurements about predictions, and how it changes with them; also of limits and intervals.

A measurement y with prediction f and variance v on the linked scale costs ½(r²/v + ln 2πv), r = y − f. One that is only
known to lie below a limit costs −ln Φ(u), u = (limit − f)/√v, the M3 likelihood; above a limit −ln Φ(−u); between two
numbers −ln(Φ(b) − Φ(a)).

Source: Beal, J Pharmacokinet Pharmacodyn 28 (2001) 481, method M3; Tobin, Econometrica 26 (1958) 24.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Limits", "cost", "information_share", "log_probability", "pull_and_curvature", "squared_residual"]

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)
_SURELY = 40.0  # standard deviations: what lies beyond has a probability that rounds to nothing
_NARROWEST = -1e-15  # logarithm of a ratio of probabilities, below which their difference is lost in rounding


class Limits(NamedTuple):
    """What is known of measurements that are no numbers, (task, observation) each.

    Attributes
    ----------
    below : Tensor of bool, optional
        Which only lie below what stands there.
    span : Tensor, optional
        How far above what stands there the value may lie, on the linked scale, infinite where there is no end; NaN of
        a number.
    """

    below: Tensor | None = None
    span: Tensor | None = None


def _parts(limits: Limits | Tensor | None) -> Limits:
    """Limits; a Tensor says which measurements are limits that values lie below."""
    return limits if isinstance(limits, Limits) else Limits(limits)


def cost(residual: Tensor, variance: Tensor, limits: Limits | Tensor | None = None) -> Tensor:
    """Negative log-likelihood of each measurement.

    Parameters
    ----------
    residual, variance : Tensor
        Measurement (or limit) less prediction, and variance, on the linked scale.
    limits : Limits or Tensor of bool, optional
        Which measurements are limits or intervals; a Tensor says which lie below.

    Examples
    --------
    >>> zero, one = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    >>> cost(zero, one, torch.tensor([False, True])).exp().round(decimals=6).tolist()
    [2.506628, 2.0]
    >>> cost(zero, one, Limits(span=torch.tensor([torch.inf, 1.0]))).neg().exp().round(decimals=6).tolist()
    [0.5, 0.341345]
    """
    each = 0.5 * (residual**2 / variance + torch.log(variance)) + _HALF_LOG_TWO_PI
    below, span = _parts(limits)
    if below is not None:
        each = torch.where(below, -torch.special.log_ndtr(_standardised(residual, variance)), each)
    if span is not None:
        low, high = _ends(residual, variance, span)
        each = torch.where(torch.isnan(span), each, -log_probability(low, high))
    return each


def pull_and_curvature(
    residual: Tensor, variance: Tensor, relative: Tensor | None = None, limits: Limits | Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Minus the slope of the cost along the prediction, and a curvature that is never below zero.

    The curvature is Fisher's information for a measurement, and for a limit the part of the second derivative that the
    bend of ln Φ makes.

    Parameters
    ----------
    residual, variance : Tensor
    relative : Tensor, optional
        d ln v / d f, where the variance moves with the prediction.
    limits : Limits or Tensor of bool, optional
    """
    pull, curvature = residual / variance, 1.0 / variance
    if relative is not None:
        relative = torch.where(variance > 0.0, relative, torch.zeros_like(relative))
        pull = pull - 0.5 * relative * (1.0 - residual**2 / variance)
        curvature = curvature + 0.5 * relative**2
    below, span = _parts(limits)
    if span is not None:
        pull, curvature = _between(residual, variance, span, relative, pull, curvature)
    if below is None:
        return pull, curvature
    u = _standardised(residual, variance)
    root = torch.where(variance > 0.0, variance, torch.ones_like(variance)).sqrt()
    slope = -1.0 / root - (0.0 if relative is None else 0.5 * u * relative)
    hazard = _hazard(u)
    return (
        torch.where(below, hazard * slope, pull),
        torch.where(below, (hazard * (hazard + u)).clamp(min=0.0) * slope**2, curvature),
    )


def squared_residual(residual: Tensor, variance: Tensor, limits: Limits | Tensor | None = None) -> Tensor:
    """Squared residual over the variance; for a limit what is expected of it, 1 − u φ(u)/Φ(u)."""
    squared = residual**2 / variance
    below, span = _parts(limits)
    if span is not None:
        low, high, at_low, at_high = _slopes(residual, variance, span)
        squared = torch.where(torch.isnan(span), squared, 1.0 + low * at_low - high * at_high)
    if below is None:
        return squared
    u = _standardised(residual, variance)
    return torch.where(below, 1.0 - u * _hazard(u), squared)


def information_share(residual: Tensor, variance: Tensor, limits: Limits | Tensor | None = None) -> Tensor:
    """What a measurement tells of its prediction, over what a number would tell: one, or h(h + u) for a limit."""
    share = torch.ones_like(residual)
    below, span = _parts(limits)
    if span is not None:
        low, high, at_low, at_high = _slopes(residual, variance, span)
        information = ((at_low - at_high) ** 2 + high * at_high - low * at_low).clamp(0.0, 1.0)
        share = torch.where(torch.isnan(span), share, information)
    if below is None:
        return share
    u = _standardised(residual, variance)
    hazard = _hazard(u)
    return torch.where(below, (hazard * (hazard + u)).clamp(0.0, 1.0), share)


def log_probability(low: Tensor, high: Tensor) -> Tensor:
    """ln(Φ(high) − Φ(low)), with its digits also far out in either tail; ends may be infinite.

    Examples
    --------
    >>> ends = torch.tensor([[-1.0, 30.0, 0.0], [1.0, torch.inf, 0.0]], dtype=torch.float64)
    >>> log_probability(ends[0], ends[1])[:2].round(decimals=4).tolist()
    [-0.3817, -454.3212]
    """
    flipped = (low > 0.0) | torch.isposinf(high)  # the lower tail keeps the digits
    lower, upper = torch.where(flipped, -high, low), torch.where(flipped, -low, high)
    ends_nowhere = torch.isneginf(lower)
    log_upper = torch.special.log_ndtr(upper)
    finite = torch.where(ends_nowhere, upper - 1.0, lower)
    ratio = (torch.special.log_ndtr(finite) - log_upper).clamp(max=_NARROWEST)
    return log_upper + torch.where(ends_nowhere, torch.zeros_like(ratio), torch.log(-torch.expm1(ratio)))


def _ends(residual: Tensor, variance: Tensor, span: Tensor) -> tuple[Tensor, Tensor]:
    """Both ends in standard deviations from the prediction; of a number, one and a little more."""
    low = _standardised(residual, variance)
    inside = torch.isfinite(span)
    high = _standardised(residual + torch.where(inside, span, torch.ones_like(span)), variance)
    return low, torch.where(torch.isinf(span), torch.full_like(high, torch.inf), torch.maximum(high, low))


def _slopes(residual: Tensor, variance: Tensor, span: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Both ends, and the density at each over the probability between; an end that is nowhere has none, at zero."""
    low, high = _ends(residual, variance, span)
    log_between = log_probability(low, high)
    nowhere = torch.isinf(high)
    finite = torch.where(nowhere, torch.zeros_like(high), high)
    at_low = torch.exp(-0.5 * low**2 - _HALF_LOG_TWO_PI - log_between)
    at_high = torch.exp(-0.5 * finite**2 - _HALF_LOG_TWO_PI - log_between)
    return low, finite, at_low, torch.where(nowhere, torch.zeros_like(at_high), at_high)


def _between(
    residual: Tensor,
    variance: Tensor,
    span: Tensor,
    relative: Tensor | None,
    pull: Tensor,
    curvature: Tensor,
) -> tuple[Tensor, Tensor]:
    """Pull and curvature, in which those of intervals take the place of those of numbers."""
    low, high, at_low, at_high = _slopes(residual, variance, span)
    root = torch.where(variance > 0.0, variance, torch.ones_like(variance)).sqrt()
    moves = 0.0 if relative is None else 0.5 * relative
    slope_low, slope_high = -1.0 / root - moves * low, -1.0 / root - moves * high
    towards = at_high * slope_high - at_low * slope_low
    bent = towards**2 + high * at_high * slope_high**2 - low * at_low * slope_low**2
    number = torch.isnan(span)
    return torch.where(number, pull, towards), torch.where(number, curvature, bent.clamp(min=0.0))


def _standardised(residual: Tensor, variance: Tensor) -> Tensor:
    """Residuals in standard deviations; where nothing scatters, as where nothing is predicted, surely on their side."""
    scatters = variance > 0.0
    root = torch.where(scatters, variance, torch.ones_like(variance)).sqrt()
    return torch.where(scatters, residual / root, _SURELY * torch.sign(residual))


def _hazard(u: Tensor) -> Tensor:
    """φ(u)/Φ(u)."""
    return torch.exp(-0.5 * u**2 - _HALF_LOG_TWO_PI - torch.special.log_ndtr(u))
