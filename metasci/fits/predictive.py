"""Predictions with intervals: the Laplace posterior of adapted coordinates carried through the model, and the noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from metasci.errors import check_level
from metasci.meta.adapted import Adapted, Discrepancy, NoiseMixture
from metasci.meta.problem import Linearisation, Problem

__all__ = ["Predictive", "predictive", "sampled"]


@dataclass(frozen=True)
class Predictive:
    """Predictive distribution at every point of a batch.

    On the noise's linked scale it is a mixture of Gaussians, one for each possible noise level of the
    task; with a noise that tasks share it is one Gaussian.

    Attributes
    ----------
    centre : Tensor, (task, observation)
        Linked prediction at the adapted coordinates.
    shift, curve_sd, noise_sd : Tensor, (level, task, observation)
        For each noise level: how far the prediction lies from the centre, and the standard deviations
        that the parameters' uncertainty and the noise give it.
    weight : Tensor, (level, task)
        Probability of each level.
    """

    problem: Problem
    centre: Tensor
    shift: Tensor
    curve_sd: Tensor
    noise_sd: Tensor
    weight: Tensor

    @property
    def median(self) -> Tensor:
        """Prediction at the adapted coordinates, in the output's unit: the median where there is one noise level."""
        return self.problem.model.noise.unlink(self.centre)

    @property
    def total_sd(self) -> Tensor:
        """Standard deviation of a measurement for each noise level, (level, task, observation)."""
        return (self.curve_sd**2 + self.noise_sd**2).sqrt()

    def interval(self, level: float = 0.9, noise: bool = True) -> tuple[Tensor, Tensor]:
        """Central interval of a measurement (or, without noise, of the curve), kept inside the model's limits."""
        check_level(level)
        sd = self.total_sd if noise else self.curve_sd
        tail = 0.5 * (1.0 - level)
        unlink = self.problem.model.noise.unlink
        lower, upper = (
            unlink(self.centre + _quantile(self.shift, sd, self.weight, p)) for p in (tail, 1.0 - tail)
        )
        for law in self.problem.model.constraints:
            low, high = law.limits
            lower, upper = lower.clamp(low, high), upper.clamp(low, high)
        return lower, upper

    def sample(self, draws: int, seed: int = 0) -> Tensor:
        """Draws of a measurement, (draw, task, observation), in the output's unit, kept inside the model's limits."""
        generator = torch.Generator().manual_seed(seed)
        tasks = self.centre.shape[0]
        level = torch.multinomial(self.weight.T, draws, replacement=True, generator=generator).T
        task = torch.arange(tasks).expand(draws, -1)
        normal = torch.randn(draws, *self.centre.shape, generator=generator, dtype=self.centre.dtype)
        off = self.shift[level, task] + self.total_sd[level, task] * normal
        value = self.problem.model.noise.unlink(self.centre + off)
        for law in self.problem.model.constraints:
            value = value.clamp(*law.limits)
        return value

    def cumulative(self) -> Tensor:
        """Probability of a value below each measurement, (task, observation)."""
        off = (self.problem.target - self.centre - self.shift) / self.total_sd
        return (self.weight[:, :, None] * torch.special.ndtr(off)).sum(0)

    def log_density(self) -> Tensor:
        """Log density of each measurement in the output's unit, (task, observation); meaningless where padded.

        Of a measurement that is only known to lie below a limit it is the log probability of that.
        """
        off = (self.problem.target - self.centre - self.shift) / self.total_sd
        each = -0.5 * off**2 - self.total_sd.log() - 0.5 * math.log(2.0 * math.pi)
        density = torch.logsumexp(each + self.weight.log()[:, :, None], 0)
        censored = self.problem.batch.censored
        with torch.enable_grad():  # the link stretches the output's unit
            value = torch.where(self.problem.batch.mask, self.problem.batch.output, torch.ones_like(off[0]))
            at = value.detach().requires_grad_()
            (stretch,) = torch.autograd.grad(self.problem.model.noise.link(at).sum(), at)
        density = density + stretch.abs().log()
        return density if censored is None else torch.where(censored, self.cumulative().log(), density)


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
    coordinates, mixture = (
        (adapted.start, adapted.start_mixture) if prior else (adapted.coordinates, adapted.mixture)
    )
    line = problem.linearise(coordinates, adapted.log_noise)
    if adapted.discrepancy is not None:
        return _with_discrepancy(problem, adapted.discrepancy, line, coordinates, mixture, prior)
    shift = torch.einsum("toi,lti->lto", line.jacobian, mixture.shift)
    spread = torch.einsum("toi,ltij,toj->lto", line.jacobian, mixture.covariance, line.jacobian).clamp(
        min=0.0
    )
    noise = (line.variance * mixture.factor[:, :, None]).sqrt()
    return Predictive(problem, line.prediction, shift, spread.sqrt(), noise, mixture.weight)


def _with_discrepancy(
    problem: Problem,
    discrepancy: Discrepancy,
    line: Linearisation,
    coordinates: Tensor,
    mixture: NoiseMixture,
    prior: bool,
) -> Predictive:
    """The equation and what it leaves out, whose variances all have the mixture's factor."""
    left_out, covariance = discrepancy.at(problem, line, coordinates, prior)
    factor = mixture.factor[:, :, None]
    spread = factor * covariance.diagonal(dim1=1, dim2=2).clamp(min=0.0)
    noise = (line.variance * factor).sqrt()
    return Predictive(
        problem, line.prediction + left_out, torch.zeros_like(spread), spread.sqrt(), noise, mixture.weight
    )


def sampled(
    problem: Problem, adapted: Adapted, draws: int = 400, *, prior: bool = False, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Predict every measurement by sampling the Laplace posterior instead of linearising the model about its centre.

    Slower than `predictive`, and right where the model bends within the posterior.

    Parameters
    ----------
    problem : Problem
    adapted : Adapted
    draws : int
    prior : bool
        Whether to predict from the prior instead.
    seed : int

    Returns
    -------
    curve, measurement : Tensor, (draw, task, observation)
        In the output's unit.
    """
    centre, mixture = (
        (adapted.start, adapted.start_mixture) if prior else (adapted.coordinates, adapted.mixture)
    )
    generator = torch.Generator().manual_seed(seed)
    tasks, size = centre.shape
    level = torch.multinomial(mixture.weight.T, draws, replacement=True, generator=generator).T
    task = torch.arange(tasks).expand(draws, -1)
    values, vectors = torch.linalg.eigh(mixture.covariance)
    root = vectors * values.clamp(min=0.0).sqrt()[..., None, :]
    normal = torch.randn(draws, tasks, size, generator=generator, dtype=centre.dtype)
    drawn = centre + mixture.shift[level, task] + torch.einsum("dtij,dtj->dti", root[level, task], normal)
    with torch.no_grad():
        curve = torch.stack([problem.predict(coordinates) for coordinates in drawn])
        variance = torch.stack([problem.variance(one, adapted.log_noise) for one in curve])
        sd = (variance * mixture.factor[level, task][..., None]).sqrt()
        noise = torch.randn(curve.shape, generator=generator, dtype=centre.dtype)
        link, unlink = problem.model.noise.link, problem.model.noise.unlink
        return curve, unlink(link(curve) + sd * noise)


def _quantile(shift: Tensor, sd: Tensor, weight: Tensor, probability: float) -> Tensor:
    """Quantile of a mixture of Gaussians over the first dimension, by bisection."""
    normal = float(torch.special.ndtri(torch.tensor(probability, dtype=torch.float64)))
    ends = shift + normal * sd
    if len(sd) == 1:
        return ends[0]
    low, high = ends.min(0).values, ends.max(0).values
    for _ in range(40):
        middle = 0.5 * (low + high)
        below = (weight[:, :, None] * torch.special.ndtr((middle - shift) / sd)).sum(0)
        low, high = (
            torch.where(below < probability, middle, low),
            torch.where(below < probability, high, middle),
        )
    return 0.5 * (low + high)
