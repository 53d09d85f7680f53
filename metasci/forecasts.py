"""Forecasts: distributions of what will be measured, whatever made them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from metasci.data.tasks import Batch
from metasci.noise import Noise

__all__ = ["Forecast", "Forecaster", "StudentForecast"]


class Forecast(Protocol):
    """Predictive distributions of measurements, (task, observation)."""

    @property
    def median(self) -> Tensor:
        """In the output's unit."""

    def interval(self, level: float = 0.9) -> tuple[Tensor, Tensor]:
        """Central interval of a measurement."""

    def log_density(self) -> Tensor:
        """Log density of what was measured."""


Forecaster = Callable[[Batch, Tensor, Tensor], Forecast]
"""Of a batch, its support and its query, (task, observation), to forecasts; only the support is looked at."""


@dataclass(frozen=True)
class StudentForecast:
    """Student distributions of measurements on the noise's linked scale, (row, observation).

    Attributes
    ----------
    mean, scale, measured : Tensor
        The last in the output's unit.
    freedom : Tensor, (row, 1)
        Degrees of freedom; infinite for Gaussians.
    noise : Noise
        Says the scale on which they are.
    """

    mean: Tensor
    scale: Tensor
    measured: Tensor
    freedom: Tensor
    noise: Noise

    @property
    def median(self) -> Tensor:
        """In the output's unit."""
        return self.noise.unlink(self.mean)

    def interval(self, level: float = 0.9) -> tuple[Tensor, Tensor]:
        """Central interval of a measurement."""
        from scipy.special import stdtrit

        many = self.freedom.clamp(max=1e9).numpy()
        reach = torch.as_tensor(stdtrit(many, 0.5 * (1.0 + level))) * self.scale
        return self.noise.unlink(self.mean - reach), self.noise.unlink(self.mean + reach)

    def log_density(self) -> Tensor:
        """Log density of what was measured, in the output's unit."""
        with torch.enable_grad():  # the link stretches the unit
            at = self.measured.detach().requires_grad_()
            linked = self.noise.link(at)
            (stretch,) = torch.autograd.grad(linked.sum(), at)
        many = self.freedom.clamp(max=1e9)
        law = torch.distributions.StudentT(many, self.mean, self.scale, validate_args=False)
        return law.log_prob(linked.detach()) + stretch.abs().log()
