"""Forecasts of outcomes that are no Gaussian measurements: the outcome's law, averaged over what its predictor may be.

The predictor of each outcome is Gaussian under a task's Laplace posterior; where the spread between tasks is itself
uncertain, it is a mixture of Gaussians over its possible scales, with Student's tails. Averages over each are taken by
Gauss and Hermite's rule; where a predictor is so uncertain that an outcome's probability is a step to that rule, by the
trapezoidal one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from metasci.errors import InputError, check_level
from metasci.meta.mixtures import chosen_levels, mixture_quantile
from metasci.outcomes import Ordinal, Outcome, TimeToEvent
from metasci.outcomes.outcome import LogLinked
from metasci.quantiles import quantiles

__all__ = ["OutcomeForecast"]

Floats = NDArray[np.float64]

_NODES = 21  # a probability of log-odds 0 ± 3 is then exact to five digits
_WIDE = 3.0  # standard deviations of the predictor beyond which the trapezoidal rule is the better one
# of the trapezoidal rule: how far out it goes, its widest and its narrowest step, in standard deviations, and its step
# on the predictor's scale, half of what a logistic curve takes to rise
_FAR, _COARSE, _FINE, _STEP = 8.0, 0.5, 0.1, 1.5
_DOUBLINGS = 50
_MOST_COUNT = 1e9
_FARTHEST_LOGARITHM = 300.0  # its exponential, squared, is still a number
_SHORTEST = 1e-300  # of a time


@dataclass(frozen=True)
class OutcomeForecast:
    """What outcomes are to be expected, (task, observation).

    Attributes
    ----------
    outcome : Outcome
    centre : Tensor, (task, observation)
        Of the predictor, at the adapted coordinates.
    shift, curve_sd : Tensor, (level, task, observation)
        For each possible scale of the spread: how far the predictor lies from the centre, and its standard deviation.
    weight : Tensor, (level, task)
        Probability of each scale.
    log_scales : Tensor, (scale,)
    inputs : mapping of str to Tensor
        The conditions, as far as the outcome needs them.
    measured : Tensor, (task, observation)
        One where nothing was.
    below : Tensor of bool, optional
        Where the outcome is only known to lie below.
    upper : Tensor, optional
        Where it lies above, up to which number; NaN elsewhere.
    """

    outcome: Outcome
    centre: Tensor
    shift: Tensor
    curve_sd: Tensor
    weight: Tensor
    log_scales: Tensor
    inputs: Mapping[str, Tensor]
    measured: Tensor
    below: Tensor | None = None
    upper: Tensor | None = None

    @property
    def median(self) -> Tensor:
        """Median of the curve: of the probability of yes, the mean grade, the mean count, the median time, the
        standard deviation of a deviation.
        """
        return self._curve(self.centre + mixture_quantile(self.shift, self.curve_sd, self.weight, 0.5))

    @property
    def mean(self) -> Tensor:
        """The mean of the curve: of a yes or no its probability, all things considered."""
        return torch.as_tensor(
            self._averaged(lambda at: self.outcome.expected(at, self._scales, self._inputs))
        )

    @property
    def probabilities(self) -> Tensor:
        """Of every grade, (task, observation, grade); of no and yes where outcomes are that."""
        if isinstance(self.outcome, Ordinal):
            grades = self.outcome
            return torch.as_tensor(self._averaged(lambda at: grades.probabilities(at, self._scales)))
        if self.outcome.kind != "yes or no":
            raise InputError(
                f"{type(self.outcome).__name__} outcomes have no list of grades to give probabilities of."
            )
        return torch.stack([1.0 - self.mean, self.mean], -1)

    def interval(self, level: float = 0.9, noise: bool = True) -> tuple[Tensor, Tensor]:
        """Central interval of an outcome, or without noise of the curve; of a yes or no always that of the probability.

        The outcomes between its ends, both of them counted, have at least that probability.
        """
        check_level(level)
        tail = 0.5 * (1.0 - level)
        if not noise or self.outcome.kind == "yes or no":
            lower, upper = (
                self._curve(self.centre + mixture_quantile(self.shift, self.curve_sd, self.weight, p))
                for p in (tail, 1.0 - tail)
            )
            return lower, upper
        return self.quantile(tail), self.quantile(1.0 - tail)

    def quantile(self, probability: float) -> Tensor:
        """The smallest outcome that is not exceeded with this probability."""
        outcome, time = self.outcome, isinstance(self.outcome, TimeToEvent)
        far, near = (
            outcome.expected(at, self._scales, self._inputs).ravel() for at in (self._far, self._near)
        )
        every = np.arange(len(far))
        high = np.minimum(np.ceil(4.0 * far) + 20.0 if outcome.whole else 100.0 * far, outcome.most)
        for _ in range(_DOUBLINGS):
            short = self._reached(high, every) < probability
            short &= high < min(outcome.most, _MOST_COUNT)
            if not short.any():
                break
            high = np.where(short, 2.0 * high, high)
        low, logarithmic = np.full(len(far), outcome.least - outcome.whole), None
        if time:
            low, logarithmic = np.maximum(0.01 * near, _SHORTEST), 0.0
            for _ in range(_DOUBLINGS):
                beyond = (self._reached(low, every) >= probability) & (low > _SHORTEST)
                if not beyond.any():
                    break
                low = np.where(
                    beyond, np.maximum(low**2 / high, _SHORTEST), low
                )  # as far again on the logarithm
        elif outcome.whole and not np.isfinite(outcome.most):
            logarithmic = 1.5 - outcome.least
        elif not np.isfinite(outcome.least):
            low = -high
        found = quantiles(self._reached, probability, low, high, outcome.whole, logarithmic)
        return torch.as_tensor(found.reshape(self.centre.shape))

    def probability_of_at_most(self, value: Floats) -> Floats:
        """P(Y ≤ y), (task, observation)."""
        return self._averaged(lambda at: self.outcome.cumulative(value, at, self._scales, self._inputs))

    def survival(self, times: Floats) -> Tensor:
        """Probability that the event has not come by each of some times, (task, observation, time)."""
        if not isinstance(self.outcome, TimeToEvent):
            raise InputError(f"{type(self.outcome).__name__} outcomes are no times to an event.")
        wide = [1.0 - self.probability_of_at_most(np.full(self.centre.shape, time)) for time in times]
        return torch.as_tensor(np.stack(wide, -1))

    def cumulative(self) -> Tensor:
        """P(Y < y) + ½ P(Y = y) of what was measured, (task, observation); the half is of whole numbers."""
        value = self.measured.numpy()
        upto = self.probability_of_at_most(value)
        if not self.outcome.whole:
            return torch.as_tensor(upto)
        return torch.as_tensor(0.5 * (upto + self.probability_of_at_most(value - 1.0)))

    def log_density(self) -> Tensor:
        """Log probability, of a time log density, of what was measured, (task, observation); see `Outcome`."""
        value = self.measured.numpy()
        below = None if self.below is None else self.below.numpy()
        upper = None if self.upper is None else self.upper.numpy()
        each = [
            np.log(weight)
            + self.outcome.log_density(value, predictor, self._scales, self._inputs, below, upper)
            for predictor, weight in self._places
        ]
        return torch.as_tensor(scipy.special.logsumexp(np.stack(each), axis=0))

    def sample(self, draws: int, seed: int = 0) -> Tensor:
        """Outcomes drawn at random, (draw, task, observation)."""
        random = np.random.default_rng(seed)
        normal = random.standard_normal((draws, *self.centre.shape))
        level = chosen_levels(self.weight, draws, torch.Generator().manual_seed(seed)).numpy()
        task = np.arange(self.centre.shape[0])
        centre, sd = (self.centre + self.shift).detach().numpy(), self.curve_sd.detach().numpy()
        at = np.clip(centre[level, task] + normal * sd[level, task], -self._reach, self._reach)
        return torch.as_tensor(self.outcome.sample(at, self._scales, self._inputs, random))

    @cached_property
    def _places(self) -> list[tuple[Floats, Floats]]:
        """Values of the predictor, (task, observation), with the probability of each, (task, 1)."""
        places = []
        for shift, sd, weight in zip(self.shift, self.curve_sd, self.weight, strict=True):
            centre, width = (self.centre + shift).detach().numpy(), sd.detach().numpy()
            for node, share in zip(*_rule(float(width.max())), strict=True):
                at = np.clip(centre + node * width, -self._reach, self._reach)
                places.append((at, share * weight.detach().numpy()[:, None]))
        return places

    def _reached(self, value: Floats, places: NDArray[np.intp]) -> Floats:
        """P(Y ≤ y) at some of all observations, which stand one after the other."""
        predictor, weight, inputs = self._flat
        inside = {name: values[places] for name, values in inputs.items()}
        with np.errstate(under="ignore"):
            each = self.outcome.cumulative(value, predictor[:, places], self._scales, inside)
        return np.asarray((weight[:, places] * each).sum(0))

    @cached_property
    def _flat(self) -> tuple[Floats, Floats, dict[str, Floats]]:
        """Values of the predictor and the probability of each, (value, observation), and the conditions."""
        shape = tuple(self.centre.shape)
        predictor = np.stack([at.ravel() for at, _ in self._places])
        weight = np.stack([np.broadcast_to(share, shape).ravel() for _, share in self._places])
        inputs = {name: np.broadcast_to(values, shape).ravel() for name, values in self._inputs.items()}
        return predictor, weight, inputs

    @property
    def _far(self) -> Floats:
        """A predictor that is hardly exceeded."""
        far = (self.centre + self.shift + _FAR * self.curve_sd).amax(0).detach().numpy()
        return np.clip(far, -self._reach, self._reach)

    @property
    def _near(self) -> Floats:
        """A predictor that is hardly ever lower."""
        near = (self.centre + self.shift - _FAR * self.curve_sd).amin(0).detach().numpy()
        return np.clip(near, -self._reach, self._reach)

    @property
    def _reach(self) -> float:
        """How far predictors are looked at: as logarithms no further than what they stand for is a number."""
        return _FARTHEST_LOGARITHM if isinstance(self.outcome, LogLinked) else np.inf

    @cached_property
    def _scales(self) -> Floats:
        return np.asarray(self.log_scales.detach().numpy())

    @cached_property
    def _inputs(self) -> dict[str, Floats]:
        return {name: values.numpy() for name, values in self.inputs.items()}

    def _curve(self, predictor: Tensor) -> Tensor:
        return torch.as_tensor(self.outcome.expected(predictor.detach().numpy(), self._scales, self._inputs))

    def _averaged(self, of: Callable[[Floats], Floats]) -> Floats:
        """The average of what is said of every predictor, (task, observation, …)."""
        each = ((of(predictor), weight) for predictor, weight in self._places)
        return reduce(
            np.add, (weight.reshape(-1, *[1] * (values.ndim - 1)) * values for values, weight in each)
        )


def _rule(sd: float) -> tuple[Floats, Floats]:
    """Nodes of a standard normal number and their weights, for a predictor with this standard deviation at most."""
    if not np.isfinite(sd):
        raise InputError(
            "the spread of what is expected is not finite: look at the measurements' units, and at where the prior "
            "comes from."
        )
    if sd <= _WIDE:
        nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
        return nodes, weights / weights.sum()
    step = float(np.clip(_STEP / sd, _FINE, _COARSE))
    nodes = np.arange(-_FAR, _FAR + 0.5 * step, step)
    weights = np.exp(-0.5 * nodes**2)
    return nodes, weights / weights.sum()
