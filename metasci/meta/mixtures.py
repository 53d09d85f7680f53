"""Mixtures of Gaussians over levels, one for each possible scale of noise or spread: quantiles and random levels."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["chosen_levels", "mixture_quantile"]


def chosen_levels(weight: Tensor, draws: int, generator: torch.Generator) -> Tensor:
    """A noise level for every draw and task, (draw, task), as probable as its weight (level, task) says."""
    return torch.multinomial(weight.T, draws, replacement=True, generator=generator).T


def mixture_quantile(shift: Tensor, sd: Tensor, weight: Tensor, probability: float) -> Tensor:
    """Quantile of a mixture of Gaussians over the first dimension, (task, observation), by bisection.

    Parameters
    ----------
    shift, sd : Tensor, (level, task, observation)
    weight : Tensor, (level, task)
    probability : float

    Examples
    --------
    >>> even = torch.full((2, 1), 0.5)
    >>> middle = mixture_quantile(torch.tensor([[[-1.0]], [[3.0]]]), torch.ones(2, 1, 1), even, 0.5)
    >>> round(middle.item(), 5)
    1.0
    """
    normal = float(torch.special.ndtri(torch.tensor(probability, dtype=torch.float64)))
    ends = shift + normal * sd
    if len(sd) == 1:
        return ends[0]
    low, high = ends.min(0).values, ends.max(0).values
    for _ in range(40):  # halvings: the interval's ends are known to twelve digits of their first distance
        middle = 0.5 * (low + high)
        below = (weight[:, :, None] * torch.special.ndtr((middle - shift) / sd)).sum(0)
        low, high = (
            torch.where(below < probability, middle, low),
            torch.where(below < probability, high, middle),
        )
    return 0.5 * (low + high)
