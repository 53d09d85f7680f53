"""Measurements about a curve of which a few lie far off: Student's tails in the place of a Gaussian's.

Source: Lange, Little and Taylor, J Am Stat Assoc 84 (1989) 881.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy

from metasci import math
from metasci.outcomes.outcome import Floats, Inputs, Outcome, first_that
from metasci.outcomes.student_tails import log_below, log_within

__all__ = ["StudentAdditive"]

_LOG_PI = np.log(np.pi)


@dataclass(frozen=True)
class StudentAdditive(Outcome):
    """Noise with Student's tails, y = f + σ √((ν − 2)/ν) t, with t of ν degrees of freedom.

    `sd` is σ, the standard deviation, in the output's unit; `freedom` is ν − 2, above which all but the tails is
    Gaussian. A single reading that lies far off moves a calibration less than under `metasci.Additive`, and one that
    lies close moves it more.

    Examples
    --------
    >>> import numpy as np
    >>> noise = StudentAdditive(typical=(2.0, 3.0))
    >>> noise.log_density(np.array([10.0, 10.0]), np.array([10.0, 18.0]), np.log(noise.typical)).round(6).tolist()
    [-1.406354, -6.943834]
    """

    typical: tuple[float, ...] = (1.0, 3.0)
    scales: ClassVar[tuple[str, ...]] = ("sd", "freedom")
    kind: ClassVar[str] = "measurement"
    measures: ClassVar[bool] = True
    concave: ClassVar[bool] = False
    whole: ClassVar[bool] = False

    @property
    def size(self) -> float:
        """An ordinary size of the scatter, in whose units broken laws are counted."""
        return self.typical[0]

    def log_density(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        beyond = math.exp(log_scales[1])
        half = 0.5 * (beyond + 3.0)  # (ν + 1)/2
        height = math.log_gamma(half) - math.log_gamma(half - 0.5) - 0.5 * (_LOG_PI + log_scales[1])
        far = (value - predictor) ** 2 * math.exp(-2.0 * log_scales[0]) / beyond
        each = height - log_scales[0] - half * math.log(1.0 + far)
        if below is None and upper is None:
            return each
        return self._limited(each, value, predictor, log_scales, below, upper)

    def _limited(self, each: Any, value: Any, predictor: Any, log_scales: Any, below: Any, upper: Any) -> Any:
        """The log density of numbers, and of limits and intervals the logarithm of their probability."""
        beyond = math.exp(log_scales[1])
        scale = math.exp(log_scales[0]) * math.sqrt(beyond / (beyond + 2.0))
        at = (value - predictor) / scale
        if upper is not None:
            number, ever = upper != upper, upper == np.inf  # NaN is what differs from itself
            end = (math.where(number | ever, value + scale, upper) - predictor) / scale
            between = log_within(at, end, log_scales[1])
            each = math.where(number, each, math.where(ever, log_below(-at, log_scales[1]), between))
        return each if below is None else math.where(below, log_below(at, log_scales[1]), each)

    def may_be_limit(self, inputs: Inputs | None = None) -> Any:
        return True

    def information(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        """Fisher's, ν (ν + 1)/((ν − 2)(ν + 3) σ²); of a reading that lies far off the share that is its weight, and of
        a limit what its probability bends by.
        """
        beyond = math.exp(log_scales[1])
        precision = (beyond + 2.0) / beyond * math.exp(-2.0 * log_scales[0])  # of Student's scale
        weight = (beyond + 3.0) / (beyond + 2.0 + (value - predictor) ** 2 * precision)
        each = math.minimum(weight, 1.0) * precision * (beyond + 3.0) / (beyond + 5.0)
        if below is None and upper is None:
            return each
        bends = super().information(value, predictor, log_scales, inputs, below, upper)
        limited = False if below is None else below
        if upper is not None:
            limited = limited | (upper == upper)
        return math.where(limited, bends, each)

    def expected(self, predictor: Floats, log_scales: Any, inputs: Inputs | None = None) -> Floats:
        return np.asarray(predictor)

    def cumulative(
        self, value: Floats, predictor: Floats, log_scales: Any, inputs: Inputs | None = None
    ) -> Floats:
        freedom, scale = self.student(log_scales)
        return np.asarray(scipy.special.stdtr(freedom, (value - predictor) / scale))

    def sample(
        self,
        predictor: Floats,
        log_scales: Any,
        inputs: Inputs | None = None,
        random: np.random.Generator | None = None,
    ) -> Floats:
        freedom, scale = self.student(log_scales)
        drawn = (random or np.random.default_rng()).standard_t(freedom, size=np.shape(predictor))
        return np.asarray(predictor + scale * drawn)

    def fault(self, values: Floats, inputs: Inputs | None = None) -> tuple[int, str] | None:
        at = first_that(~np.isfinite(values))
        return None if at is None else (at, "is no finite number, which a measurement has to be")

    @property
    def least(self) -> float:
        return -np.inf

    def student(self, log_scales: Any) -> tuple[Any, Any]:
        """Degrees of freedom, and the scale of Student's t: σ √((ν − 2)/ν)."""
        beyond = np.exp(log_scales[1])
        return beyond + 2.0, np.exp(log_scales[0]) * np.sqrt(beyond / (beyond + 2.0))
