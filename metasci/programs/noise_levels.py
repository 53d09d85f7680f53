"""What a prior does not know of its own scales, as symbols: `metasci.meta.laplace.levels` on its grid of levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metasci.programs.solving import determinant, eliminated

if TYPE_CHECKING:
    from metasci.meta.laplace.levels import Levels

__all__ = ["Trust", "trust_of"]


@dataclass(frozen=True)
class Trust:
    """What the readings say of the scales: the mean of the factor on the noise's precision, of its inverse, and of the
    factor on the prior's precision; and the mixture's own mean and covariance of the coordinates. Of each level (first
    axis): its probability, the factor on the noise's variance, and where its coordinates lie and how they scatter.
    """

    mean: Any
    factor: Any
    narrow: Any
    shift: Any
    covariance: Any
    weights: Any
    factors: Any
    shifts: Any
    covariances: Any


def trust_of(look: Any, search: Any, here: Any, levels: Levels) -> Trust:
    """The levels' posterior, from a look at the estimate with noise and spread as they are for the ordinary task."""
    factor, probability = levels.noise_precision.numpy(), levels.probability.numpy()
    narrow = 1.0 / levels.spread.numpy()
    off = here - search.mean
    pull = (search.precision @ off[..., None])[..., 0]
    slope, curvature = look.gradient - pull, look.hessian - search.precision
    w, tight = factor[:, None, None], narrow[:, None, None]
    gradient = narrow[:, None] * pull + factor[:, None] * slope
    size = here.shape[1]
    right = np.concatenate(
        [gradient[..., None], np.broadcast_to(np.eye(size), (len(factor), size, size))], -1
    )
    found, pivots = eliminated(tight * search.precision + w * curvature, right)
    step, covariance = found[..., 0], found[..., 1:]
    misfit = look.squared.sum(1)
    prior = (off * pull).sum(1)
    count = np.where(search.mask, 1.0, 0.0).sum(1)
    evidence = (
        -0.5 * (factor * misfit + narrow * prior)
        + 0.5 * (gradient * step).sum(1)
        + 0.5 * count * np.log(factor)
        + 0.5 * size * np.log(narrow)
        - 0.5 * determinant(pivots)
        + np.log(probability)
    )
    grown = np.exp(evidence - evidence.max(0)[None])
    weight = grown / grown.sum(0)
    shift = (weight[:, None] * -step).sum(0)[None]
    apart = -step - shift
    between = (weight[:, None, None] * apart[:, :, None] * apart[:, None, :]).sum(0)[None]
    total = (weight[:, None, None] * covariance).sum(0)[None] + between
    return Trust(
        (weight * factor).sum(0).reshape(1, 1),
        (weight / factor).sum(0).reshape(1, 1),
        (weight * narrow).sum(0).reshape(1, 1, 1),
        shift,
        total,
        weight.reshape(-1, 1),
        (1.0 / factor)[:, None],
        -step,
        covariance,
    )
