"""Tasks that differ in how noisy they are, as symbols: `metasci.meta.laplace.task_noise` on a grid of levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metasci.meta.laplace.task_noise import noise_levels
from metasci.programs.solving import determinant, eliminated

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Levels", "levels_of", "trust_of"]


@dataclass(frozen=True)
class Levels:
    """What the readings say of a task's noise: the mean of the factor on the noise's precision, of its inverse, and
    the mixture's own mean and covariance of the coordinates.
    """

    mean: Any
    factor: Any
    shift: Any
    covariance: Any


def levels_of(shape: Tensor) -> tuple[Any, Any]:
    """Precision factors and their prior probabilities."""
    factor, probability = noise_levels(shape)
    return factor.numpy(), probability.numpy()


def trust_of(look: Any, search: Any, here: Any, noise: tuple[Any, Any]) -> Levels:
    """The levels' posterior, from a look at the estimate with the noise as it is for the ordinary task."""
    factor, probability = noise
    off = here - search.mean
    pull = (search.precision @ off[..., None])[..., 0]
    slope, curvature = look.gradient - pull, look.hessian - search.precision
    w = factor[:, None, None]
    gradient = pull + factor[:, None] * slope
    size = here.shape[1]
    right = np.concatenate(
        [gradient[..., None], np.broadcast_to(np.eye(size), (len(factor), size, size))], -1
    )
    found, pivots = eliminated(search.precision + w * curvature, right)
    step, covariance = found[..., 0], found[..., 1:]
    misfit = look.squared.sum(1)
    prior = (off * pull).sum(1)
    count = np.where(search.mask, 1.0, 0.0).sum(1)
    evidence = (
        -0.5 * (factor * misfit + prior)
        + 0.5 * (gradient * step).sum(1)
        + 0.5 * count * np.log(factor)
        - 0.5 * determinant(pivots)
        + np.log(probability)
    )
    grown = np.exp(evidence - evidence.max(0)[None])
    weight = grown / grown.sum(0)
    shift = (weight[:, None] * -step).sum(0)[None]
    apart = -step - shift
    between = (weight[:, None, None] * apart[:, :, None] * apart[:, None, :]).sum(0)[None]
    total = (weight[:, None, None] * covariance).sum(0)[None] + between
    return Levels(
        (weight * factor).sum(0).reshape(1, 1), (weight / factor).sum(0).reshape(1, 1), shift, total
    )
