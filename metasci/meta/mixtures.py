"""Mixtures of Gaussians over levels, one for each possible scale of noise or spread: quantiles and random levels."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["chosen_levels", "mixture_quantile"]

_LEAST = 1e-30  # of a standard deviation: of what is known there is none
_BESIDE = 1e-6  # of the way between the ends


def chosen_levels(weight: Tensor, draws: int, generator: torch.Generator) -> Tensor:
    """A noise level for every draw and task, (draw, task), as probable as its weight (level, task) says."""
    return torch.multinomial(weight.T, draws, replacement=True, generator=generator).T


def mixture_quantile(shift: Tensor, sd: Tensor, weight: Tensor, probability: float) -> Tensor:
    """Quantile of a mixture of Gaussians over the first dimension, (task, observation), to ten digits.

    No step is taken where the quantile is known already, so that there may be tasks by the hundred thousand.

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
    from scipy.special import ndtr, ndtri

    if len(sd) == 1:
        return (shift + float(ndtri(probability)) * sd)[0]
    from metasci.quantiles import quantiles

    levels = len(sd)
    off, width, share = (
        each.detach().double().cpu().numpy().reshape(levels, -1)
        for each in (shift.expand_as(sd), sd.clamp(min=_LEAST), weight[:, :, None].expand_as(sd))
    )
    ends = off + ndtri(probability) * width
    low, high = ends.min(0), ends.max(0)
    reach = _BESIDE * (high - low) + _LEAST  # where all levels end alike there is no room between the ends

    def reached(values: NDArray[np.float64], places: NDArray[np.intp]) -> NDArray[np.float64]:
        below = ndtr((values - off[:, places]) / width[:, places])
        return np.asarray((share[:, places] * below).sum(0))

    found = quantiles(reached, probability, low - reach, high + reach)
    return torch.from_numpy(found).to(sd).reshape(sd.shape[1:])
