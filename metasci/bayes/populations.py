"""Two descriptions of one population of tasks held against each other: a Gaussian, and posterior draws of one.

All in the unconstrained coordinates of the model.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc

__all__ = ["gaussian_distances", "start_against_mean"]

Array = NDArray[np.float64]


def start_against_mean(start: ArrayLike, draws: ArrayLike) -> dict[str, Any]:
    """How far a start lies from the posterior of the population's mean.

    Parameters
    ----------
    start : array, (parameter,)
    draws : array, (draw, parameter)

    Returns
    -------
    dict
        ``z`` (parameter,), the distance in posterior standard deviations; ``mahalanobis``, that of all parameters
        together; ``tail``, the probability that χ² with one degree of freedom a parameter exceeds its square.

    Examples
    --------
    >>> draws = np.random.default_rng(0).standard_normal((100_000, 2))
    >>> found = start_against_mean([2.0, 0.0], draws)
    >>> found["z"].round(1).tolist(), round(found["mahalanobis"], 1), round(found["tail"], 2)
    ([2.0, 0.0], 2.0, 0.14)
    """
    sample = np.asarray(draws, float)
    off = np.asarray(start, float) - sample.mean(0)
    covariance = np.atleast_2d(np.cov(sample.T))
    squared = float(off @ np.linalg.solve(covariance, off))
    return {
        "z": off / np.sqrt(np.diag(covariance)),
        "mahalanobis": squared**0.5,
        "tail": float(chdtrc(len(off), squared)),
    }


def gaussian_distances(
    mean: ArrayLike, covariance: ArrayLike, means: ArrayLike, covariances: ArrayLike
) -> dict[str, Array]:
    """Distances of a Gaussian P to each of some Gaussians Q, (draw,) each.

    Parameters
    ----------
    mean, covariance : array, (parameter,), (parameter, parameter)
        Of P.
    means, covariances : array, (draw, parameter), (draw, parameter, parameter)
        Of the Qs.

    Returns
    -------
    dict
        ``kl_forward`` = KL(P ‖ Q) and ``kl_backward`` = KL(Q ‖ P), in nats; ``wasserstein``, the 2-Wasserstein
        distance, in coordinates.

    Notes
    -----
    W₂² = ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2(Σ₂^½ Σ₁ Σ₂^½)^½) (Olkin and Pukelsheim, Linear Algebra Appl 48 (1982) 257).

    Examples
    --------
    >>> found = gaussian_distances([0.0], [[1.0]], [[1.0]], [[[4.0]]])
    >>> {name: round(float(value[0]), 6) for name, value in found.items()}
    {'kl_forward': 0.443147, 'kl_backward': 1.306853, 'wasserstein': 1.414214}
    """
    single, many = np.asarray(covariance, float), np.asarray(covariances, float)
    off = np.asarray(means, float) - np.asarray(mean, float)
    size = off.shape[1]
    log_ratio = np.linalg.slogdet(many)[1] - np.linalg.slogdet(single)[1]

    def divergence(first: Array, second: Array, sign: float) -> Array:
        """KL(N(·, first) ‖ N(·, second)), either of which may be the many."""
        inverse = np.linalg.inv(second)
        trace = np.einsum("...ij,...ji->...", inverse, first)
        distance = np.einsum("di,dij,dj->d", off, np.broadcast_to(inverse, many.shape), off)
        return np.asarray(0.5 * (trace + distance - size + sign * log_ratio))

    root = _root(many)
    middle = np.linalg.eigvalsh(root @ single @ root).clip(min=0.0)
    bures = np.trace(single) + np.trace(many, axis1=1, axis2=2) - 2.0 * np.sqrt(middle).sum(1)
    return {
        "kl_forward": divergence(single, many, 1.0),
        "kl_backward": divergence(many, single, -1.0),
        "wasserstein": np.sqrt((off**2).sum(1) + bures.clip(min=0.0)),
    }


def _root(matrices: Array) -> Array:
    """Symmetric square roots."""
    values, vectors = np.linalg.eigh(matrices)
    scaled = vectors * np.sqrt(values.clip(min=0.0))[..., None, :]
    return np.asarray(scaled @ np.swapaxes(vectors, -1, -2))
