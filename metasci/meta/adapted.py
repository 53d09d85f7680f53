"""What adaptation gives for a batch of tasks, whatever the method."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["Adapted", "State"]

State = dict[str, Tensor]
"""Everything a method has learned or carries from one iteration to the next, by name."""


@dataclass(frozen=True)
class Adapted:
    """Adapted coordinates of every task with their Laplace posterior, and the prior they came from.

    Attributes
    ----------
    coordinates, start : Tensor, (task, parameter)
        After and before adaptation.
    covariance, start_covariance : Tensor, (task, parameter, parameter)
        Of the posterior, and of the prior that the method is or implies.
    log_noise : Tensor, (scale,)
    noise_shape, noise_rate : Tensor, (task,)
        Gamma posterior of the factor on the noise's precision; infinite where all tasks share one noise.
    converged, finite : Tensor of bool, (task,)
    notes : tuple of str
        What a reader has to know, such as where the implied prior does not exist.
    """

    coordinates: Tensor
    covariance: Tensor
    start: Tensor
    start_covariance: Tensor
    log_noise: Tensor
    noise_shape: Tensor
    noise_rate: Tensor
    converged: Tensor
    finite: Tensor
    notes: tuple[str, ...] = ()
