"""Deviations about zero whose scatter is what the equation says: returns of a market, differences of repeats.

Source: Bollerslev, J Econometrics 31 (1986) 307, for the likelihood of returns; Nelder and Lee, JRSS B 53 (1991) 129,
for dispersions as what is modelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy

from metasci import math
from metasci.outcomes.outcome import Floats, Inputs, LogLinked, first_that

__all__ = ["Deviation", "StudentDeviation"]

_LOG_PI = np.log(np.pi)
_LOG_TWO_PI = np.log(2.0 * np.pi)
_FAR = 600.0  # a log variance beyond which nothing is told apart: zero over it stays a number


@dataclass(frozen=True)
class Deviation(LogLinked):
    """A number that scatters about zero, y ~ N(0, v); the equation returns the variance v, and η = ln v.

    What is shown as the curve is the standard deviation √v, in the output's unit.

    Examples
    --------
    >>> Deviation().log_density(np.array([0.0, 2.0]), np.log([1.0, 4.0]), ()).round(6).tolist()
    [-0.918939, -2.112086]
    """

    kind: ClassVar[str] = "deviation"
    whole: ClassVar[bool] = False

    def log_density(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        return -0.5 * (_LOG_TWO_PI + predictor + value**2 * math.exp(math.minimum(-predictor, _FAR)))

    def information(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        """Fisher's, ½ whatever v."""
        return 0.5 + 0.0 * predictor

    def expected(self, predictor: Floats, log_scales: Any, inputs: Inputs | None = None) -> Floats:
        """The standard deviation."""
        return np.exp(0.5 * np.clip(predictor, -_FAR, _FAR))

    def cumulative(
        self, value: Floats, predictor: Floats, log_scales: Any, inputs: Inputs | None = None
    ) -> Floats:
        return np.asarray(scipy.special.ndtr(value / self.expected(predictor, log_scales)))

    def sample(
        self,
        predictor: Floats,
        log_scales: Any,
        inputs: Inputs | None = None,
        random: np.random.Generator | None = None,
    ) -> Floats:
        normal = (random or np.random.default_rng()).standard_normal(np.shape(predictor))
        return np.asarray(normal * self.expected(predictor, log_scales))

    def fault(self, values: Floats, inputs: Inputs | None = None) -> tuple[int, str] | None:
        at = first_that(~np.isfinite(values))
        return None if at is None else (at, "is no finite number, which a deviation has to be")

    @property
    def least(self) -> float:
        return -np.inf


@dataclass(frozen=True)
class StudentDeviation(Deviation):
    """A number that scatters about zero with Student's tails and the variance v that the equation returns.

    y = √(v (ν − 2)/ν) t with t of ν degrees of freedom; `freedom` is ν − 2, above which all but the tails is Gaussian.
    A single large deviation moves the variance less, and ten tell less, than under `Deviation`.

    Source: Bollerslev, Rev Economics and Statistics 69 (1987) 542.

    Examples
    --------
    >>> StudentDeviation().log_density(np.array([0.0, 2.0]), np.log([1.0, 4.0]), np.log([3.0])).round(6).tolist()
    [-0.713207, -2.2694]
    """

    typical: tuple[float, ...] = (3.0,)
    scales: ClassVar[tuple[str, ...]] = ("freedom",)

    def log_density(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        beyond = math.exp(log_scales[0])
        half = 0.5 * (beyond + 3.0)  # (ν + 1)/2
        height = math.log_gamma(half) - math.log_gamma(half - 0.5) - 0.5 * (_LOG_PI + log_scales[0])
        far = value**2 * math.exp(math.minimum(-predictor, _FAR)) / beyond
        return height - 0.5 * predictor - half * math.log(1.0 + far)

    def information(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        """Fisher's, ½ ν/(ν + 3)."""
        beyond = math.exp(log_scales[0])
        return 0.5 * (beyond + 2.0) / (beyond + 5.0) + 0.0 * predictor

    def cumulative(
        self, value: Floats, predictor: Floats, log_scales: Any, inputs: Inputs | None = None
    ) -> Floats:
        return np.asarray(
            scipy.special.stdtr(np.exp(log_scales[0]) + 2.0, value / self._scale(predictor, log_scales))
        )

    def sample(
        self,
        predictor: Floats,
        log_scales: Any,
        inputs: Inputs | None = None,
        random: np.random.Generator | None = None,
    ) -> Floats:
        freedom = np.exp(log_scales[0]) + 2.0
        drawn = (random or np.random.default_rng()).standard_t(freedom, size=np.shape(predictor))
        return np.asarray(drawn * self._scale(predictor, log_scales))

    def _scale(self, predictor: Floats, log_scales: Any) -> Floats:
        """Of Student's t: √(v (ν − 2)/ν)."""
        beyond = np.exp(log_scales[0])
        return self.expected(predictor, log_scales) * np.sqrt(beyond / (beyond + 2.0))
