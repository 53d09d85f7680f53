"""Counts: Poisson's, and those that scatter more or have more zeros; the equation returns the expected count f.

Sources: McCullagh and Nelder, Generalized Linear Models (1989), chapter 6; Lambert, Technometrics 34 (1992) 1, for
zero inflation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy

from metasci import math
from metasci.outcomes.outcome import Floats, Inputs, LogLinked, first_that

__all__ = ["NegativeBinomial", "Poisson", "ZeroInflatedPoisson"]


@dataclass(frozen=True)
class Poisson(LogLinked):
    """Counts of independent events, P(Y = y) = f^y e^(−f)/y!.

    Examples
    --------
    >>> np.exp(Poisson().log_density(np.array([0.0, 2.0]), np.log([1.0, 1.0]), ())).round(6).tolist()
    [0.367879, 0.18394]
    """

    kind: ClassVar[str] = "count"

    def log_density(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        return value * predictor - math.exp(predictor) - math.log_gamma(value + 1.0)

    def information(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        """Fisher's, f."""
        return math.exp(predictor)

    def expected(self, predictor: Floats, log_scales: Any, inputs: Inputs | None = None) -> Floats:
        return np.exp(predictor)

    def cumulative(
        self, value: Floats, predictor: Floats, log_scales: Any, inputs: Inputs | None = None
    ) -> Floats:
        return np.where(
            value < 0.0, 0.0, scipy.special.pdtr(np.floor(np.maximum(value, 0.0)), np.exp(predictor))
        )

    def sample(
        self,
        predictor: Floats,
        log_scales: Any,
        inputs: Inputs | None = None,
        random: np.random.Generator | None = None,
    ) -> Floats:
        return (random or np.random.default_rng()).poisson(np.exp(predictor)).astype(float)

    def fault(self, values: Floats, inputs: Inputs | None = None) -> tuple[int, str] | None:
        at = first_that((values < 0.0) | (values != np.floor(values)))
        return None if at is None else (at, "is no whole number of zero or more, which a count has to be")


@dataclass(frozen=True)
class NegativeBinomial(Poisson):
    """Counts that scatter beyond Poisson's, with variance f + α f²: of events that come in clusters.

    P(Y = y) = Γ(y + r)/(Γ(r) y!) (r/(r + f))^r (f/(r + f))^y with r = 1/α, `overdispersion` α.

    Examples
    --------
    >>> np.exp(NegativeBinomial().log_density(np.array([0.0]), np.log([1.0]), np.log([1.0]))).round(6).tolist()
    [0.5]
    """

    typical: tuple[float, ...] = (0.5,)
    scales: ClassVar[tuple[str, ...]] = ("overdispersion",)

    def log_density(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        size, odds = math.exp(-log_scales[0]), predictor + log_scales[0]
        ways = math.log_gamma(value + size) - math.log_gamma(size) - math.log_gamma(value + 1.0)
        return ways + size * math.log_expit(-odds) + value * math.log_expit(odds)

    def information(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        """Fisher's, f/(1 + α f)."""
        return math.exp(math.log_expit(predictor + log_scales[0]) - log_scales[0])

    def cumulative(
        self, value: Floats, predictor: Floats, log_scales: Any, inputs: Inputs | None = None
    ) -> Floats:
        size, inside = np.exp(-log_scales[0]), np.floor(np.maximum(value, 0.0))
        zero = scipy.special.expit(-(predictor + log_scales[0]))
        return np.where(value < 0.0, 0.0, scipy.special.betainc(size, inside + 1.0, zero))

    def sample(
        self,
        predictor: Floats,
        log_scales: Any,
        inputs: Inputs | None = None,
        random: np.random.Generator | None = None,
    ) -> Floats:
        generator, spread = random or np.random.default_rng(), np.exp(log_scales[0])
        rate = np.exp(predictor) * spread * generator.gamma(1.0 / spread, size=np.shape(predictor))
        return generator.poisson(rate).astype(float)


@dataclass(frozen=True)
class ZeroInflatedPoisson(Poisson):
    """Poisson's counts of which a share π is zero whatever f: P(Y = 0) = π + (1 − π) e^(−f).

    The equation returns f, the expected count of those who can have one; `zero_odds` is π/(1 − π).

    Examples
    --------
    >>> counts = ZeroInflatedPoisson()
    >>> np.exp(counts.log_density(np.array([0.0, 1.0]), np.log([1.0, 1.0]), np.log([1.0]))).round(6).tolist()
    [0.68394, 0.18394]
    """

    typical: tuple[float, ...] = (0.25,)
    scales: ClassVar[tuple[str, ...]] = ("zero_odds",)
    concave: ClassVar[bool] = False

    def log_density(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        log_zero, log_other = math.log_expit(log_scales[0]), math.log_expit(-log_scales[0])
        by_chance = log_other - math.exp(predictor)
        none = log_zero - math.log_expit(log_zero - by_chance)
        some = log_other + super().log_density(value, predictor, ())
        return math.where(value < 0.5, none, some)

    def information(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        """Fisher's: (1 − π)(f − f² e^(−f)) + P(Y = 0) s₀², s₀ = −f (1 − π) e^(−f)/P(Y = 0)."""
        rate = math.exp(predictor)
        log_zero, log_other = math.log_expit(log_scales[0]), math.log_expit(-log_scales[0])
        by_chance = log_other - rate
        none = log_zero - math.log_expit(log_zero - by_chance)
        several = math.exp(log_other) * (rate - rate**2 * math.exp(-rate))
        return several + rate**2 * math.exp(2.0 * by_chance - none)

    def expected(self, predictor: Floats, log_scales: Any, inputs: Inputs | None = None) -> Floats:
        """(1 − π) f."""
        return np.asarray(scipy.special.expit(-log_scales[0]) * np.exp(predictor))

    def cumulative(
        self, value: Floats, predictor: Floats, log_scales: Any, inputs: Inputs | None = None
    ) -> Floats:
        zero = scipy.special.expit(log_scales[0])
        chance = super().cumulative(value, predictor, ())
        return np.where(np.asarray(value) < 0.0, 0.0, zero + (1.0 - zero) * chance)

    def sample(
        self,
        predictor: Floats,
        log_scales: Any,
        inputs: Inputs | None = None,
        random: np.random.Generator | None = None,
    ) -> Floats:
        generator = random or np.random.default_rng()
        can = generator.random(np.shape(predictor)) >= scipy.special.expit(log_scales[0])
        return can * super().sample(predictor, (), random=generator)
