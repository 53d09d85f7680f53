"""How well a population's spread, its mean and its noise are known, by how many tasks, measured how well.

Were every task's z known, the spread's posterior would be inverse Wishart, and a new task's z Student's t (Gelman et
al., Bayesian Data Analysis (2013), section 3.6): of T tasks with the mean taken off, T − 1 degrees of freedom in every
direction, under the prior |Σ|⁻ᵖ of p coordinates, for which intervals of single coordinates are exact (Geisser and
Cornfield, JRSS B 25 (1963) 368). A task that was measured badly tells less: of a coordinate with
variance Σ between tasks and S left after its measurements it tells the share 1 − S/Σ, and of the logarithm of Σ the
square of that (Louis, JRSS B 44 (1982) 226, the information that is not missing).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Known", "known_of"]

# Student's t of one degree of freedom: tails longer than Cauchy's tell nothing that could be used
_LEAST_FREEDOM = 1.0
# of a coordinate that no task tells, the share that its mean is still said to be known by
_LEAST_SHARE = 0.1


@dataclass(frozen=True)
class Known:
    """How well a population is known.

    Attributes
    ----------
    widening : float
        On the variance of a new task's prior: from the estimate of Σ to the scale of Student's t.
    spread_freedom, noise_freedom : float
        Degrees of freedom of spread and noise.
    share : float
        Of the tasks' coordinates, how much their measurements tell.
    """

    widening: float
    spread_freedom: float
    noise_freedom: float
    share: float


def known_of(
    tasks: float,
    measurements: float,
    fitted: float,
    left: Tensor,
    covariance: Tensor,
) -> Known:
    """How well a population is known that was learned from some tasks.

    A belief about the spread is part of its estimate, but counts as no knowledge of it: were it counted, and wrong,
    intervals learned from few tasks would be too narrow.

    Parameters
    ----------
    tasks, measurements : float
        Their numbers.
    fitted : float
        How many coefficients each coordinate spent, the mean and covariate effects: trace of XᵀX V.
    left : Tensor, (parameter, parameter)
        Mean posterior covariance of the tasks.
    covariance : Tensor, (parameter, parameter)
        Σ, the spread.

    Examples
    --------
    Ten tasks known exactly, of which the mean took one: nine degrees of freedom are left.

    >>> eye = torch.eye(2, dtype=torch.float64)
    >>> known = known_of(10.0, 50.0, 1.0, 0.0 * eye, eye)
    >>> known.spread_freedom, known.widening, known.noise_freedom
    (9.0, 1.1111111111111112, 30.0)
    """
    size = len(covariance)
    told = torch.eye(size, dtype=covariance.dtype, device=covariance.device) - torch.linalg.solve(
        covariance, left
    )
    share = min(max(float(told.diagonal().mean()), _LEAST_SHARE), 1.0)
    sharp = min(max(float((told @ told).diagonal().mean()), _LEAST_SHARE**2), 1.0)
    freedom = max(tasks * sharp - fitted, _LEAST_FREEDOM)
    return Known(
        (freedom + fitted) / freedom,
        freedom,
        max(measurements - tasks * size * share, _LEAST_FREEDOM),
        share,
    )
