"""Outcomes that are no Gaussian measurements: yes or no, grades, counts, and times to an event."""

from metasci.outcomes.counts import NegativeBinomial, Poisson, ZeroInflatedPoisson
from metasci.outcomes.grades import Bernoulli, Binomial, Ordinal
from metasci.outcomes.outcome import Outcome
from metasci.outcomes.times import (
    Exponential,
    Gompertz,
    LogLogistic,
    LogNormalTime,
    TimeToEvent,
    Weibull,
)

__all__ = [
    "Bernoulli",
    "Binomial",
    "Exponential",
    "Gompertz",
    "LogLogistic",
    "LogNormalTime",
    "NegativeBinomial",
    "Ordinal",
    "Outcome",
    "Poisson",
    "TimeToEvent",
    "Weibull",
    "ZeroInflatedPoisson",
]
