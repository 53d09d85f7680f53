"""Predictions with intervals from adapted coordinates: the Laplace posterior carried through the model, and the noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import gammaincinv
from torch import Tensor

from metasci.meta.adapted import Adapted
from metasci.meta.problem import Problem

__all__ = ["Predictive", "predictive"]

_NODES = 40


@dataclass(frozen=True)
class Predictive:
    """Predictive distribution at every point of a batch.

    On the noise's linked scale it is a mixture of Gaussians about one centre, one for each possible noise
    level of the task; with a noise that tasks share it is one Gaussian.

    Attributes
    ----------
    centre, curve_sd : Tensor, (task, observation)
        Linked prediction, and the standard deviation that the parameters' uncertainty gives it.
    noise_sd : Tensor, (node, task, observation)
    """

    problem: Problem
    centre: Tensor
    curve_sd: Tensor
    noise_sd: Tensor

    @property
    def median(self) -> Tensor:
        """Median of a measurement and of the curve, in the output's unit."""
        return self.problem.model.noise.unlink(self.centre)

    @property
    def total_sd(self) -> Tensor:
        """Standard deviation of a measurement for each noise level, (node, task, observation)."""
        return (self.curve_sd**2 + self.noise_sd**2).sqrt()

    def interval(self, level: float = 0.9, noise: bool = True) -> tuple[Tensor, Tensor]:
        """Central interval of a measurement (or, without noise, of the curve), kept inside the model's limits."""
        half = _half_width(self.total_sd if noise else self.curve_sd[None], level)
        unlink = self.problem.model.noise.unlink
        lower, upper = unlink(self.centre - half), unlink(self.centre + half)
        for law in self.problem.model.constraints:
            low, high = law.limits
            lower, upper = lower.clamp(low, high), upper.clamp(low, high)
        return lower, upper

    def cumulative(self) -> Tensor:
        """Probability of a value below each measurement, (task, observation)."""
        off = (self.problem.target - self.centre) / self.total_sd
        return torch.special.ndtr(off).mean(0)

    def log_density(self) -> Tensor:
        """Log density of each measurement in the output's unit, (task, observation); meaningless where padded."""
        off = (self.problem.target - self.centre) / self.total_sd
        each = -0.5 * off**2 - self.total_sd.log() - 0.5 * np.log(2.0 * np.pi)
        density = torch.logsumexp(each, 0) - np.log(len(each))
        with torch.enable_grad():  # the link stretches the output's unit
            value = torch.where(self.problem.batch.mask, self.problem.batch.output, torch.ones_like(off[0]))
            at = value.detach().requires_grad_()
            (stretch,) = torch.autograd.grad(self.problem.model.noise.link(at).sum(), at)
        return density + stretch.abs().log()


def predictive(problem: Problem, adapted: Adapted, prior: bool = False) -> Predictive:
    """Predict every measurement of a batch from its adapted tasks.

    Parameters
    ----------
    problem : Problem
        The conditions to predict; its mask and output matter only for scores.
    adapted : Adapted
    prior : bool
        Whether to predict from the prior instead, as before any measurement.
    """
    coordinates, covariance = adapted.coordinates, adapted.covariance
    if prior:
        coordinates, covariance = adapted.start, adapted.start_covariance
    line = problem.linearise(coordinates, adapted.log_noise)
    spread = torch.einsum("toi,tij,toj->to", line.jacobian, covariance, line.jacobian).clamp(min=0.0)
    levels = _noise_levels(adapted.noise_shape, adapted.noise_rate)
    return Predictive(problem, line.prediction, spread.sqrt(), (line.variance * levels[:, :, None]).sqrt())


def _noise_levels(shape: Tensor, rate: Tensor) -> Tensor:
    """Equally likely factors on the noise's variance, (node, task)."""
    if not bool(torch.isfinite(shape).all()):
        return torch.ones_like(shape)[None]
    probability = (np.arange(_NODES) + 0.5) / _NODES
    quantile = gammaincinv(shape.cpu().numpy(), probability[:, None]) / rate.cpu().numpy()
    return torch.as_tensor(1.0 / quantile, dtype=shape.dtype, device=shape.device)


def _half_width(sd: Tensor, level: float) -> Tensor:
    """Half the width of the central interval of a mixture of centred Gaussians, by bisection."""
    upper = 0.5 * (1.0 + level)
    quantile = float(torch.special.ndtri(torch.tensor(upper, dtype=torch.float64)))
    if len(sd) == 1:
        return quantile * sd[0]
    low, high = quantile * sd.min(0).values, quantile * sd.max(0).values
    for _ in range(50):
        middle = 0.5 * (low + high)
        enough = torch.special.ndtr(middle / sd).mean(0) > upper
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return 0.5 * (low + high)
