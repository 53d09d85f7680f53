"""Mixtures of Gaussians over levels, one for each possible scale of noise or spread: quantiles and random levels."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["chosen_levels", "many_quantiles", "mixture_quantile"]

_LEAST = 1e-30  # of a standard deviation: of what is known there is none
_BESIDE = 1e-6  # of the way between the ends


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


def many_quantiles(shift: Tensor, sd: Tensor, weight: Tensor, probability: float) -> Tensor:
    """The same to ten digits, of tasks by the hundred thousand: no step is taken where the quantile is known already.

    Examples
    --------
    >>> even = torch.full((2, 1), 0.5)
    >>> middle = many_quantiles(torch.tensor([[[-1.0]], [[3.0]]]), torch.ones(2, 1, 1), even, 0.5)
    >>> round(middle.item(), 5)
    1.0
    """
    if len(sd) == 1:
        return mixture_quantile(shift, sd, weight, probability)
    from scipy.special import ndtr, ndtri

    from metasci.quantiles import quantiles

    levels = len(sd)
    off, width = (each.numpy().reshape(levels, -1) for each in (shift, sd.clamp(min=_LEAST)))
    share = weight[:, :, None].expand_as(sd).numpy().reshape(levels, -1)
    ends = off + ndtri(probability) * width
    low, high = ends.min(0), ends.max(0)
    reach = _BESIDE * (high - low) + _LEAST  # where all levels end alike there is no room between the ends

    def reached(values: NDArray[np.float64], places: NDArray[np.intp]) -> NDArray[np.float64]:
        below = ndtr((values - off[:, places]) / width[:, places])
        return np.asarray((share[:, places] * below).sum(0))

    found = quantiles(reached, probability, low - reach, high + reach)
    return torch.from_numpy(found).to(sd).reshape(sd.shape[1:])
