"""What a search for the estimates of a batch of tasks ends with."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from metasci.meta.problem import Linearisation

__all__ = ["GAUSS_NEWTON", "Estimate"]

GAUSS_NEWTON = 12
"""So many steps are Gauss and Newton's; where residuals are large these creep, and the full curvature takes over."""


@dataclass(frozen=True)
class Estimate:
    """Estimates of a batch of tasks.

    Attributes
    ----------
    coordinates : Tensor, (task, parameter)
    covariance : Tensor, (task, parameter, parameter)
        Laplace: the inverse of the Gauss–Newton Hessian of the negative log posterior.
    squared : Tensor, (task, observation)
        Squared residual expected under the posterior, over the noise's variance; zero where not measured.
    line : Linearisation
        At the estimates.
    converged, finite : Tensor of bool, (task,)
    """

    coordinates: Tensor
    covariance: Tensor
    squared: Tensor
    line: Linearisation
    converged: Tensor
    finite: Tensor
