"""Outcomes that are no measurements about a curve: yes or no, classes, grades, counts, times, deviations about zero."""

from metasci.outcomes.classes import Categorical
from metasci.outcomes.counts import NegativeBinomial, Poisson, ZeroInflatedPoisson
from metasci.outcomes.deviations import Deviation, StudentDeviation
from metasci.outcomes.grades import Bernoulli, Binomial, Ordinal
from metasci.outcomes.measurements import StudentAdditive
from metasci.outcomes.mixed import Measured, Mixed
from metasci.outcomes.outcome import Outcome
from metasci.outcomes.times import (
    Exponential,
    Gompertz,
    LogLogistic,
    LogNormalTime,
    PiecewiseExponential,
    TimeToEvent,
    Weibull,
)

__all__ = [
    "Bernoulli",
    "Binomial",
    "Categorical",
    "Deviation",
    "Exponential",
    "Gompertz",
    "LogLogistic",
    "LogNormalTime",
    "Measured",
    "Mixed",
    "NegativeBinomial",
    "Ordinal",
    "Outcome",
    "PiecewiseExponential",
    "Poisson",
    "StudentAdditive",
    "StudentDeviation",
    "TimeToEvent",
    "Weibull",
    "ZeroInflatedPoisson",
]
