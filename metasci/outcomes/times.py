"""Times to an event, with times that are only known to lie above, below or between numbers.

A family is its hazard h and its survival S = e^(−H): an event at t has density h(t) S(t); one that has not come by t,
written ``>65``, probability S(t); one that had come by t, ``<65``, 1 − S(t); one between two looks, ``10..20``,
S(l) − S(u). The equation returns a typical time f in the output's unit, and η = ln f.

Who was watched from an `entry` on only is known not to have had the event by then, and S(t)/S(entry) stands for S(t).
So are events that recur: each row begins where the one before it ended (Andersen and Gill, Ann Stat 10 (1982) 1100),
and conditions may change from row to row.

Sources: Kalbfleisch and Prentice, The Statistical Analysis of Failure Time Data (2002), chapters 2 and 3; Gompertz,
Phil Trans R Soc 115 (1825) 513; Friedman, Ann Stat 10 (1982) 101, for hazards in pieces.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import scipy

from metasci import math
from metasci.errors import InputError
from metasci.outcomes.outcome import Floats, Inputs, LogLinked, first_that

__all__ = [
    "Exponential",
    "Gompertz",
    "LogLogistic",
    "LogNormalTime",
    "PiecewiseExponential",
    "TimeToEvent",
    "Weibull",
]

_HALF_LOG_TWO_PI = 0.5 * np.log(2.0 * np.pi)
_AT_ONCE = 1e-300  # a time that counts as none, whose logarithm is a number


@dataclass(frozen=True)
class TimeToEvent(LogLinked):
    """Base of the times to an event; a subclass owes `log_hazard`, `log_survival` and `time_at`.

    Parameters
    ----------
    entry : str
        The input of the model that says from when on it was watched; from zero on where there is none.
    """

    entry: str = ""
    kind: ClassVar[str] = "time"
    whole: ClassVar[bool] = False

    @abstractmethod
    def log_hazard(self, time: Any, predictor: Any, log_scales: Any) -> Any:
        """ln h(t)."""

    @abstractmethod
    def log_survival(self, time: Any, predictor: Any, log_scales: Any) -> Any:
        """ln S(t)."""

    @abstractmethod
    def time_at(self, log_survival: Floats | float, predictor: Floats, log_scales: Any) -> Floats:
        """The time at which the survival has this logarithm."""

    def quantile(
        self, survival: Floats | float, predictor: Floats, log_scales: Any, inputs: Inputs | None = None
    ) -> Floats:
        """The time that a share of those who entered have not had the event by."""
        log_survival = np.log(survival)
        if not self.entry:
            return self.time_at(log_survival, predictor, log_scales)
        entry = self._entry(inputs)
        log_survival = log_survival + self.log_survival(entry, predictor, log_scales)
        return np.maximum(self.time_at(log_survival, predictor, log_scales), entry)

    def hazard_before(self, entry: Any, time: Any, log_scales: Any) -> Any:
        """The share of the hazard up to a time that lies before an entry, where it is the same for all; else None."""
        return None

    def log_survival_since_entry(
        self, time: Any, predictor: Any, log_scales: Any, inputs: Inputs | None = None
    ) -> Any:
        """ln S(t)/S(entry)."""
        still = self.log_survival(time, predictor, log_scales)
        if not self.entry:
            return still
        entry = self._entry(inputs)
        share = self.hazard_before(entry, time, log_scales)
        if share is not None:  # no digits are lost where the hazard is great
            return still * (1.0 - share)
        return still - self.log_survival(entry, predictor, log_scales)

    def _entry(self, inputs: Inputs | None) -> Any:
        if inputs is None or self.entry not in inputs:
            raise InputError(
                f"{type(self).__name__} outcomes need the input '{self.entry}', from when on each was watched."
            )
        return math.maximum(inputs[self.entry], _AT_ONCE)

    def log_density(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        still = self.log_survival_since_entry(value, predictor, log_scales, inputs)
        each = self.log_hazard(value, predictor, log_scales) + still
        if upper is not None:
            number, ever = upper != upper, upper == np.inf  # NaN is what differs from itself
            end = math.where(number | ever, 2.0 * value, upper)
            between = still + _log_one_less_exp(
                self.log_survival_since_entry(end, predictor, log_scales, inputs) - still
            )
            each = math.where(number, each, math.where(ever, still, between))
        if below is not None:
            each = math.where(below, _log_one_less_exp(still), each)
        return each

    def expected(self, predictor: Floats, log_scales: Any, inputs: Inputs | None = None) -> Floats:
        """The median time."""
        return self.quantile(0.5, predictor, log_scales, inputs)

    def cumulative(
        self, value: Floats, predictor: Floats, log_scales: Any, inputs: Inputs | None = None
    ) -> Floats:
        safe = np.maximum(value, _AT_ONCE)
        still = self.log_survival_since_entry(safe, predictor, log_scales, inputs)
        return np.asarray(-np.expm1(np.minimum(still, 0.0)))

    def sample(
        self,
        predictor: Floats,
        log_scales: Any,
        inputs: Inputs | None = None,
        random: np.random.Generator | None = None,
    ) -> Floats:
        drawn = (random or np.random.default_rng()).random(np.shape(predictor))
        return self.quantile(1.0 - drawn, predictor, log_scales, inputs)

    @property
    def written(self) -> str:
        return "write 65 where the event came then, >65 where it had not come by then, 10..20 where it came between"

    def fault(self, values: Floats, inputs: Inputs | None = None) -> tuple[int, str] | None:
        at = first_that(~(values > 0.0))
        if at is not None:
            return at, "is not above zero, which a time to an event has to be"
        if not self.entry:
            return None
        entry = np.asarray(self._entry(inputs) if inputs is None else inputs[self.entry])
        at = first_that(~(entry >= 0.0))
        if at is not None:
            return at, f"stands beside {entry[at]:g} as {self.entry}, which is no time of zero or more"
        at = first_that(~(values > entry))
        return None if at is None else (at, f"is not later than the {self.entry} {entry[at]:g} beside it")


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

    def hazard_before(self, entry: Any, time: Any, log_scales: Any) -> Any:
        return entry / time

    def time_at(self, log_survival: Floats | float, predictor: Floats, log_scales: Any) -> Floats:
        return np.asarray(-log_survival * np.exp(predictor))


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

    def hazard_before(self, entry: Any, time: Any, log_scales: Any) -> Any:
        return math.exp(math.exp(log_scales[0]) * (math.log(entry) - math.log(time)))

    def time_at(self, log_survival: Floats | float, predictor: Floats, log_scales: Any) -> Floats:
        return np.asarray(np.exp(predictor) * (-log_survival) ** np.exp(-log_scales[0]))


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

    def time_at(self, log_survival: Floats | float, predictor: Floats, log_scales: Any) -> Floats:
        odds = np.log(-np.expm1(log_survival)) - log_survival
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

    def time_at(self, log_survival: Floats | float, predictor: Floats, log_scales: Any) -> Floats:
        return np.asarray(np.exp(predictor - np.exp(log_scales[0]) * scipy.special.ndtri_exp(log_survival)))


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

    def hazard_before(self, entry: Any, time: Any, log_scales: Any) -> Any:
        ageing = math.exp(log_scales[0])
        return math.exp(ageing * (entry - time)) * math.expm1(-ageing * entry) / math.expm1(-ageing * time)

    def time_at(self, log_survival: Floats | float, predictor: Floats, log_scales: Any) -> Floats:
        ageing = np.exp(log_scales[0])
        return np.asarray(np.log1p(-log_survival * ageing * np.exp(predictor)) / ageing)


@dataclass(frozen=True)
class PiecewiseExponential(TimeToEvent):
    """A hazard that is constant between cuts: 1/f before the first, and there on a multiple of it.

    `hazard_2` is how many times as great the hazard is between the first cut and the second, and so on. A time at a cut
    counts to the piece before.

    Parameters
    ----------
    entry : str
    cuts : tuple of float
        Times in the output's unit, in order, one at least.

    Notes
    -----
    Without conditions the most likely hazard of each piece is its events over the time that all were watched in it.

    Examples
    --------
    >>> falling = PiecewiseExponential(cuts=(10.0,))
    >>> falling.scales
    ('hazard_2',)
    >>> falling.log_survival(np.array([10.0, 20.0]), np.log(5.0), np.log([0.5])).tolist()
    [-2.0, -3.0]
    """

    cuts: tuple[float, ...] = ()
    scales: tuple[str, ...] = field(default=(), init=False)  # type: ignore[misc]

    def __post_init__(self) -> None:
        sound = isinstance(self.cuts, tuple) and bool(self.cuts)
        if not sound or not all(a < b < np.inf for a, b in zip((0.0, *self.cuts), self.cuts, strict=False)):
            raise InputError(
                f"hazards in pieces need a tuple of cuts above zero, in order, one at least, not {self.cuts!r}."
            )
        object.__setattr__(self, "scales", tuple(f"hazard_{at}" for at in range(2, len(self.cuts) + 2)))
        if not self.typical:
            object.__setattr__(self, "typical", (1.0,) * len(self.cuts))
        super().__post_init__()

    def log_hazard(self, time: Any, predictor: Any, log_scales: Any) -> Any:
        factor = 0.0 * time
        for at, cut in enumerate(self.cuts):
            factor = math.where(time > cut, log_scales[at] + 0.0 * time, factor)
        return factor - predictor

    def hazard_before(self, entry: Any, time: Any, log_scales: Any) -> Any:
        return self._watched(entry, log_scales) / self._watched(time, log_scales)

    def log_survival(self, time: Any, predictor: Any, log_scales: Any) -> Any:
        return -self._watched(time, log_scales) * math.exp(-predictor)

    def _watched(self, time: Any, log_scales: Any) -> Any:
        """The hazard up to a time, in that of the first piece times time."""
        watched = math.minimum(time, self.cuts[0])
        for at, (begin, end) in enumerate(zip(self.cuts, (*self.cuts[1:], np.inf), strict=True)):
            inside = math.maximum(math.minimum(time, end) - begin, 0.0)
            watched = watched + math.exp(log_scales[at]) * inside
        return watched

    def time_at(self, log_survival: Floats | float, predictor: Floats, log_scales: Any) -> Floats:
        left, time = -log_survival * np.exp(predictor), 0.0 * predictor
        hazards = [1.0, *(np.exp(log_scales[at]) for at in range(len(self.cuts)))]
        for hazard, begin, end in zip(hazards, (0.0, *self.cuts), self.cuts, strict=False):
            inside = np.minimum(left / hazard, end - begin)
            time, left = time + inside, left - hazard * inside
        return np.asarray(time + left / hazards[-1])


def _log_one_less_exp(x: Any) -> Any:
    """ln(1 − eˣ) of x below zero."""
    return math.log(-math.expm1(math.minimum(x, -1e-300)))
