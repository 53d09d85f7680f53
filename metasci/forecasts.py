"""Forecasts: distributions of what will be measured, whatever made them.

There are as many kinds as the mathematics has: Gaussians at one or several noise levels (an equation's calibration),
Student's in closed form (families, and Gaussians as the limit), and draws of a sampler. All satisfy `Forecast`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from metasci.data.tasks import Batch
from metasci.errors import check_level
from metasci.meta.likelihood import Limits, log_probability
from metasci.meta.mixtures import chosen_levels, mixture_quantile
from metasci.noise import Noise

__all__ = [
    "DrawsForecast",
    "Forecast",
    "Forecaster",
    "MixtureForecast",
    "StudentForecast",
    "StudentForecaster",
    "measured_or_one",
    "stretch",
]

# Student's law of so many degrees of freedom is a Gaussian to nine digits; the libraries take no infinity.
_MANY = 1e9


class Forecast(Protocol):
    """Predictive distributions of measurements, (task, observation); of draws for one task, (row,)."""

    @property
    def median(self) -> Any:
        """In the output's unit."""

    def interval(self, level: float = 0.9) -> tuple[Any, Any]:
        """Central interval of a measurement."""

    def log_density(self) -> Any:
        """Log density of what was measured, in the output's unit."""


Forecaster = Callable[[Batch, Tensor, Tensor], Forecast]
"""Of a batch, its support and its query, (task, observation), to forecasts; only the support is looked at."""


def stretch(noise: Noise, values: Tensor) -> Tensor:
    """Slope of the noise's link, by which a density per output unit differs from one on the linked scale.

    Examples
    --------
    >>> from metasci.noise import LogNormal
    >>> stretch(LogNormal((0.1,)), torch.tensor([2.0, 4.0])).tolist()
    [0.5, 0.25]
    """
    with torch.enable_grad():
        at = values.detach().requires_grad_()
        (slope,) = torch.autograd.grad(noise.link(at).sum(), at)
    return slope.abs()


def measured_or_one(values: Tensor, wanted: Tensor) -> Tensor:
    """Measurements where they are wanted; one elsewhere, which every link takes."""
    return torch.where(wanted, values, torch.ones_like(values))


@dataclass(frozen=True)
class MixtureForecast:
    """On the noise's linked scale a mixture of Gaussians, one for each possible noise level of the task.

    With a noise that tasks share it is one Gaussian.

    Attributes
    ----------
    noise : Noise
        Says the scale on which they are.
    centre : Tensor, (task, observation)
        Linked prediction at the adapted coordinates.
    shift, curve_sd, noise_sd : Tensor, (level, task, observation)
        For each noise level: how far the prediction lies from the centre, and the standard deviations
        that the parameters' uncertainty and the noise give it.
    weight : Tensor, (level, task)
        Probability of each level.
    measured : Tensor, (task, observation)
        In the output's unit; one where nothing was.
    known : Limits, optional
        Of measurements that are no numbers: which only lie below, above or between.
    limits, reading_limits : tuple of pairs
        Of the model's laws, inside of which intervals of the curve are kept, and those of readings with their draws.
    """

    noise: Noise
    centre: Tensor
    shift: Tensor
    curve_sd: Tensor
    noise_sd: Tensor
    weight: Tensor
    measured: Tensor
    known: Limits | None = None
    limits: tuple[tuple[float, float], ...] = ()
    reading_limits: tuple[tuple[float, float], ...] = ()

    @property
    def median(self) -> Tensor:
        """Of the predictive distribution, in the output's unit; it shows where a law of the model is broken."""
        return self.noise.unlink(self.centre + mixture_quantile(self.shift, self.total_sd, self.weight, 0.5))

    @property
    def total_sd(self) -> Tensor:
        """Standard deviation of a measurement for each noise level, (level, task, observation)."""
        return (self.curve_sd**2 + self.noise_sd**2).sqrt()

    def interval(self, level: float = 0.9, noise: bool = True) -> tuple[Tensor, Tensor]:
        """Central interval of a measurement (or, without noise, of the curve), kept inside the model's limits."""
        check_level(level)
        sd, limits = (self.total_sd, self.reading_limits) if noise else (self.curve_sd, self.limits)
        tail = 0.5 * (1.0 - level)
        lower, upper = (
            _inside(self.noise.unlink(self.centre + mixture_quantile(self.shift, sd, self.weight, p)), limits)
            for p in (tail, 1.0 - tail)
        )
        return lower, upper

    def sample(self, draws: int, seed: int = 0) -> Tensor:
        """Draws of a measurement, (draw, task, observation), in the output's unit, kept inside the model's limits."""
        generator = torch.Generator().manual_seed(seed)
        level = chosen_levels(self.weight, draws, generator)
        task = torch.arange(self.centre.shape[0]).expand(draws, -1)
        normal = torch.randn(draws, *self.centre.shape, generator=generator, dtype=self.centre.dtype)
        off = self.shift[level, task] + self.total_sd[level, task] * normal
        return _inside(self.noise.unlink(self.centre + off), self.reading_limits)

    def cumulative(self) -> Tensor:
        """Probability of a value below each measurement, (task, observation)."""
        return (self.weight[:, :, None] * torch.special.ndtr(self._off)).sum(0)

    def log_density(self) -> Tensor:
        """Log density of each measurement in the output's unit, (task, observation); meaningless where padded.

        Of a measurement that is only known to lie below or above a limit, or between two, it is the log probability of
        that.
        """
        each = -0.5 * self._off**2 - self.total_sd.log() - 0.5 * math.log(2.0 * math.pi)
        density = torch.logsumexp(each + self.weight.log()[:, :, None], 0)
        density = density + stretch(self.noise, self.measured).log()
        below, span = self.known or Limits()
        if below is not None:
            density = torch.where(below, self.cumulative().log(), density)
        if span is None:
            return density
        number = torch.isnan(span)
        width = torch.where(number, torch.ones_like(span), span) / self.total_sd
        each = log_probability(self._off, self._off + width)
        between = torch.logsumexp(each + self.weight.log()[:, :, None], 0)
        return torch.where(number, density, between)

    @property
    def _off(self) -> Tensor:
        """How far each measurement lies from each level's centre, in standard deviations."""
        return (self.noise.link(self.measured) - self.centre - self.shift) / self.total_sd


def _inside(values: Tensor, limits: tuple[tuple[float, float], ...]) -> Tensor:
    for low, high in limits:
        values = values.clamp(low, high)
    return values


@dataclass(frozen=True)
class StudentForecast:
    """Student distributions of measurements on the noise's linked scale, (row, observation).

    Attributes
    ----------
    mean, scale : Tensor
    measured : Tensor
        In the output's unit; one where nothing was.
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

    def reach(self, level: float) -> Tensor:
        """Half the width of a central interval on the linked scale, (row, observation)."""
        from scipy.special import stdtrit

        check_level(level)
        many = self.freedom.clamp(max=_MANY).numpy()
        return torch.as_tensor(stdtrit(many, 0.5 * (1.0 + level))) * self.scale

    def interval(self, level: float = 0.9) -> tuple[Tensor, Tensor]:
        """Central interval of a measurement."""
        reach = self.reach(level)
        return self.noise.unlink(self.mean - reach), self.noise.unlink(self.mean + reach)

    def log_density(self) -> Tensor:
        """Log density of what was measured, in the output's unit."""
        law = torch.distributions.StudentT(
            self.freedom.clamp(max=_MANY), self.mean, self.scale, validate_args=False
        )
        return law.log_prob(self.noise.link(self.measured)) + stretch(self.noise, self.measured).log()


@dataclass(frozen=True)
class DrawsForecast:
    """Draws of one task's measurements from a posterior that was sampled.

    Attributes
    ----------
    curve, measurement : array, (draw, row)
        The equation's values, without noise and with it.
    log_densities, below : array, (row,)
        What `log_density` and `cumulative` give; they need the noise of every draw, which is not kept.
    limits, reading_limits : tuple of float
        Of the model's laws, inside of which medians are kept, and intervals of readings.
    probabilities : array, (row, class), optional
        Of classes, whose median is the likeliest.
    """

    curve: np.ndarray
    measurement: np.ndarray
    log_densities: np.ndarray
    below: np.ndarray
    limits: tuple[float, float] = (-math.inf, math.inf)
    reading_limits: tuple[float, float] = (-math.inf, math.inf)
    probabilities: np.ndarray | None = None

    @property
    def median(self) -> np.ndarray:
        """Of the curve, (row,), in the output's unit."""
        if self.probabilities is not None:
            return np.asarray(self.probabilities.argmax(-1).astype(float))
        return np.clip(np.median(self.curve, axis=0), *self.limits)

    def interval(self, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """Central interval of a measurement, (row,) each.

        Examples
        --------
        >>> draws = np.linspace(0.0, 1.0, 101)[:, None]
        >>> forecast = DrawsForecast(draws, draws, np.zeros(1), np.zeros(1), reading_limits=(0.0, 0.9))
        >>> [float(bound[0]) for bound in forecast.interval(0.9)]
        [0.05, 0.9]
        """
        check_level(level)
        tail = 0.5 * (1.0 - level)
        lower, upper = np.quantile(self.measurement, (tail, 1.0 - tail), axis=0)
        return np.clip(lower, *self.reading_limits), np.clip(upper, *self.reading_limits)

    def log_density(self) -> np.ndarray:
        """Log density of what was measured, (row,), in the output's unit: the logarithm of its mean over the draws.

        Of a measurement that is only known to lie below a limit it is the log probability of that.
        """
        return self.log_densities

    def cumulative(self) -> np.ndarray:
        """Probability of a value below what was measured, (row,)."""
        return self.below


StudentForecaster = Callable[[Batch, Tensor, Tensor], StudentForecast]
"""One that forecasts members of families."""
