"""Times to an event, with times that are only known to lie above, below or between numbers.

A family is its hazard h and its survival S = e^(−H): an event at t has density h(t) S(t); one that has not come by t,
written ``>65``, probability S(t); one that had come by t, ``<65``, 1 − S(t); one between two looks, ``10..20``,
S(l) − S(u). The equation returns a typical time f in the output's unit, and η = ln f.

Sources: Kalbfleisch and Prentice, The Statistical Analysis of Failure Time Data (2002), chapters 2 and 3; Gompertz,
Phil Trans R Soc 115 (1825) 513.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy

from metasci import math
from metasci.outcomes.outcome import Floats, Inputs, LogLinked, first_that

__all__ = ["Exponential", "Gompertz", "LogLogistic", "LogNormalTime", "TimeToEvent", "Weibull"]

_HALF_LOG_TWO_PI = 0.5 * np.log(2.0 * np.pi)


@dataclass(frozen=True)
class TimeToEvent(LogLinked):
    """Base of the times to an event; a subclass owes `log_hazard`, `log_survival` and `quantile`."""

    kind: ClassVar[str] = "time"
    whole: ClassVar[bool] = False

    @abstractmethod
    def log_hazard(self, time: Any, predictor: Any, log_scales: Any) -> Any:
        """ln h(t)."""

    @abstractmethod
    def log_survival(self, time: Any, predictor: Any, log_scales: Any) -> Any:
        """ln S(t)."""

    @abstractmethod
    def quantile(self, survival: Floats | float, predictor: Floats, log_scales: Any) -> Floats:
        """The time that a share has not had the event by."""

    def log_density(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        still = self.log_survival(value, predictor, log_scales)
        each = self.log_hazard(value, predictor, log_scales) + still
        if upper is not None:
            number, ever = upper != upper, upper == np.inf  # NaN is what differs from itself
            end = math.where(number | ever, 2.0 * value, upper)
            between = still + _log_one_less_exp(self.log_survival(end, predictor, log_scales) - still)
            each = math.where(number, each, math.where(ever, still, between))
        if below is not None:
            each = math.where(below, _log_one_less_exp(still), each)
        return each

    def expected(self, predictor: Floats, log_scales: Any, inputs: Inputs | None = None) -> Floats:
        """The median time."""
        return self.quantile(0.5, predictor, log_scales)

    def cumulative(
        self, value: Floats, predictor: Floats, log_scales: Any, inputs: Inputs | None = None
    ) -> Floats:
        safe = np.maximum(value, 1e-300)
        return np.asarray(-np.expm1(self.log_survival(safe, predictor, log_scales)))

    def sample(
        self,
        predictor: Floats,
        log_scales: Any,
        inputs: Inputs | None = None,
        random: np.random.Generator | None = None,
    ) -> Floats:
        drawn = (random or np.random.default_rng()).random(np.shape(predictor))
        return self.quantile(1.0 - drawn, predictor, log_scales)

    def fault(self, values: Floats, inputs: Inputs | None = None) -> tuple[int, str] | None:
        at = first_that(~(values > 0.0))
        return None if at is None else (at, "is not above zero, which a time to an event has to be")


@dataclass(frozen=True)
class Exponential(TimeToEvent):
    """An event that comes as likely at any time: S(t) = e^(−t/f), f the mean.

    Examples
    --------
    >>> time = Exponential()
    >>> still = time.log_density(np.array([2.0]), np.log([2.0]), (), upper=np.array([np.inf]))
    >>> still.tolist()
    [-1.0]
    """

    def log_hazard(self, time: Any, predictor: Any, log_scales: Any) -> Any:
        return -predictor + 0.0 * time

    def log_survival(self, time: Any, predictor: Any, log_scales: Any) -> Any:
        return -time * math.exp(-predictor)

    def quantile(self, survival: Floats | float, predictor: Floats, log_scales: Any) -> Floats:
        return np.asarray(-np.log(survival) * np.exp(predictor))


@dataclass(frozen=True)
class Weibull(TimeToEvent):
    """A hazard that grows with a power of time: S(t) = exp(−(t/f)^k), `shape` k; 63 % have had the event by f."""

    typical: tuple[float, ...] = (1.5,)
    scales: ClassVar[tuple[str, ...]] = ("shape",)

    def log_hazard(self, time: Any, predictor: Any, log_scales: Any) -> Any:
        log_time = math.log(time)
        return log_scales[0] - log_time + math.exp(log_scales[0]) * (log_time - predictor)

    def log_survival(self, time: Any, predictor: Any, log_scales: Any) -> Any:
        return -math.exp(math.exp(log_scales[0]) * (math.log(time) - predictor))

    def quantile(self, survival: Floats | float, predictor: Floats, log_scales: Any) -> Floats:
        return np.asarray(np.exp(predictor) * (-np.log(survival)) ** np.exp(-log_scales[0]))


@dataclass(frozen=True)
class LogLogistic(TimeToEvent):
    """A hazard that rises and falls: S(t) = 1/(1 + (t/f)^k), `shape` k; f is the median."""

    typical: tuple[float, ...] = (2.0,)
    scales: ClassVar[tuple[str, ...]] = ("shape",)

    def log_hazard(self, time: Any, predictor: Any, log_scales: Any) -> Any:
        log_time = math.log(time)
        odds = math.exp(log_scales[0]) * (log_time - predictor)
        return log_scales[0] - log_time + math.log_expit(odds)

    def log_survival(self, time: Any, predictor: Any, log_scales: Any) -> Any:
        return math.log_expit(-math.exp(log_scales[0]) * (math.log(time) - predictor))

    def quantile(self, survival: Floats | float, predictor: Floats, log_scales: Any) -> Floats:
        odds = np.log1p(-np.asarray(survival)) - np.log(survival)
        return np.asarray(np.exp(predictor + np.exp(-log_scales[0]) * odds))


@dataclass(frozen=True)
class LogNormalTime(TimeToEvent):
    """Times whose logarithm is Gaussian: S(t) = Φ(−(ln t − ln f)/σ), `log_sd` σ; f is the median."""

    typical: tuple[float, ...] = (0.5,)
    scales: ClassVar[tuple[str, ...]] = ("log_sd",)

    def _standard(self, time: Any, predictor: Any, log_scales: Any) -> Any:
        return (math.log(time) - predictor) * math.exp(-log_scales[0])

    def log_hazard(self, time: Any, predictor: Any, log_scales: Any) -> Any:
        z = self._standard(time, predictor, log_scales)
        return -0.5 * z**2 - _HALF_LOG_TWO_PI - log_scales[0] - math.log(time) - math.log_ndtr(-z)

    def log_survival(self, time: Any, predictor: Any, log_scales: Any) -> Any:
        return math.log_ndtr(-self._standard(time, predictor, log_scales))

    def quantile(self, survival: Floats | float, predictor: Floats, log_scales: Any) -> Floats:
        return np.asarray(np.exp(predictor - np.exp(log_scales[0]) * scipy.special.ndtri(survival)))


@dataclass(frozen=True)
class Gompertz(TimeToEvent):
    """A hazard that grows exponentially, h(t) = e^(a t)/f, `ageing` a in one over the unit of time; 1/f is h(0)."""

    typical: tuple[float, ...] = (0.1,)
    scales: ClassVar[tuple[str, ...]] = ("ageing",)

    def log_hazard(self, time: Any, predictor: Any, log_scales: Any) -> Any:
        return math.exp(log_scales[0]) * time - predictor

    def log_survival(self, time: Any, predictor: Any, log_scales: Any) -> Any:
        grown = math.expm1(math.exp(log_scales[0]) * time)
        return -grown * math.exp(-log_scales[0] - predictor)

    def quantile(self, survival: Floats | float, predictor: Floats, log_scales: Any) -> Floats:
        ageing = np.exp(log_scales[0])
        return np.asarray(np.log1p(-np.log(survival) * ageing * np.exp(predictor)) / ageing)


def _log_one_less_exp(x: Any) -> Any:
    """ln(1 − eˣ) of x below zero."""
    return math.log(-math.expm1(math.minimum(x, -1e-300)))
