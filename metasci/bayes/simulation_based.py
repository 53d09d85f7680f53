"""Simulation-based calibration: do posteriors hold the truth as often as they say?

Truths are drawn from the prior, measurements simulated from them, and each posterior is asked for the probability
that it gives to less than the truth. Over many simulations these ranks are uniform where the posterior is right.

Sources: Cook, Gelman and Rubin, J Comput Graph Stat 15 (2006) 675; Talts et al. 2018 (arXiv 1804.06788).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from metasci.bayes.implied import simulated_like

if TYPE_CHECKING:
    from metasci.batch import Batch
    from metasci.prior import Prior

__all__ = ["laplace_ranks", "uniformity"]

Array = NDArray[np.float64]


def laplace_ranks(
    prior: Prior, batch: Batch, *, repeats: int = 50, narrowed: float = 1.0, seed: int = 0
) -> Array:
    """Ranks of the truth in the Laplace posterior of simulated tasks, (simulation, parameter).

    Parameters
    ----------
    prior : Prior
        A learned Gaussian prior whose tasks share a noise.
    batch : Batch
        Whose conditions and covariates the simulated tasks have.
    repeats : int
        Simulations of every task.
    narrowed : float
        On the posterior's standard deviations: below one makes them wrong on purpose, to see that this is caught.
    seed : int
    """
    blank = prior.adapt(batch.with_mask(torch.zeros_like(batch.mask)))
    generator = torch.Generator().manual_seed(seed)
    root = torch.linalg.cholesky(blank.start_covariance)
    normal = torch.randn(repeats, *blank.start.shape, generator=generator, dtype=blank.start.dtype)
    truth = blank.start + torch.einsum("tij,dtj->dti", root, normal)
    noise = torch.randn(repeats, *batch.mask.shape, generator=generator, dtype=blank.start.dtype)
    adapted = prior.adapt(simulated_like(prior, batch, truth, noise))
    sd = narrowed * adapted.covariance.diagonal(dim1=1, dim2=2).sqrt()
    off = (truth.reshape(-1, truth.shape[-1]) - adapted.coordinates) / sd
    return np.asarray(torch.special.ndtr(off).numpy())


def uniformity(ranks: ArrayLike, bins: int = 20) -> Array:
    """Probability that χ² of uniform ranks in equal bins were greater, for each column; small where they are not.

    Parameters
    ----------
    ranks : array, (simulation, parameter)
    bins : int

    Examples
    --------
    >>> even = np.linspace(0.0, 1.0, 400)[:, None]
    >>> round(float(uniformity(even)[0]), 3), float(uniformity(0.5 * even)[0])
    (1.0, 0.0)
    """
    from scipy.special import chdtrc

    values = np.asarray(ranks, float)
    expected = len(values) / bins
    edges = np.linspace(0.0, 1.0, bins + 1)
    counts = np.stack([np.histogram(column, edges)[0] for column in values.T])
    return np.asarray(chdtrc(bins - 1, ((counts - expected) ** 2 / expected).sum(1)))
