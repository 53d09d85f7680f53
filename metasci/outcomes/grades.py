"""Yes or no, the number of yes among several trials, and grades: outcomes whose predictor is mostly a log-odds.

Sources: McCullagh and Nelder, Generalized Linear Models (1989), chapters 4 and 5; McCullagh, JRSS B 42 (1980) 109, for
grades.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import scipy

from metasci import math
from metasci.errors import InputError
from metasci.outcomes.chances import CHANCES
from metasci.outcomes.outcome import Floats, Inputs, Outcome, first_that

__all__ = ["Bernoulli", "Binomial", "Ordinal"]


@dataclass(frozen=True)
class Bernoulli(Outcome):
    """Yes (1) or no (0), P(Y = 1 | η) = 1/(1 + e^(−η)), Φ(η) or 1 − e^(−H) with H = e^η; the equation returns η.

    Parameters
    ----------
    of : "logit", "probit" or "cloglog"
        What η is. By the last it is the logarithm of H, the hazard summed over the time that a row stands for: whether
        an event came within it. `metasci.math.integral` sums a hazard that changes.

    Examples
    --------
    >>> Bernoulli().log_density(np.array([1.0, 0.0]), np.array([0.0, 0.0]), ()).round(6).tolist()
    [-0.693147, -0.693147]
    >>> Bernoulli(of="probit").expected(np.array([0.0, 1.0]), ()).round(4).tolist()
    [0.5, 0.8413]
    """

    of: str = "logit"
    kind: ClassVar[str] = "yes or no"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.of not in CHANCES:
            raise InputError(f"Bernoulli outcomes are of 'logit', 'probit' or 'cloglog', not of '{self.of}'.")

    def log_density(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        chance = CHANCES[self.of]
        return math.where(value > 0.5, chance.log_yes(predictor), chance.log_no(predictor))

    def information(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        """Fisher's: p(1 − p), φ²/Φ(1 − Φ) or H²/(e^H − 1)."""
        return CHANCES[self.of].information(predictor)

    def expected(self, predictor: Floats, log_scales: Any, inputs: Inputs | None = None) -> Floats:
        """The probability of yes."""
        return np.asarray(CHANCES[self.of].of_numbers(predictor))

    def cumulative(
        self, value: Floats, predictor: Floats, log_scales: Any, inputs: Inputs | None = None
    ) -> Floats:
        no = 1.0 - self.expected(predictor, log_scales)
        return np.where(value < 0.0, 0.0, np.where(value < 1.0, no, 1.0))

    def sample(
        self,
        predictor: Floats,
        log_scales: Any,
        inputs: Inputs | None = None,
        random: np.random.Generator | None = None,
    ) -> Floats:
        drawn = (random or np.random.default_rng()).random(np.shape(predictor))
        return (drawn < self.expected(predictor, log_scales)).astype(float)

    def fault(self, values: Floats, inputs: Inputs | None = None) -> tuple[int, str] | None:
        at = first_that((values != 0.0) & (values != 1.0))
        return None if at is None else (at, "is neither 0 nor 1, which a yes or no has to be")

    @property
    def written(self) -> str:
        return "write yes as 1 and no as 0"

    @property
    def most(self) -> float:
        return 1.0


@dataclass(frozen=True)
class Binomial(Bernoulli):
    """The number of yes among n trials, P(Y = y | η) = C(n, y) p^y (1 − p)^(n − y); the equation returns η.

    Parameters
    ----------
    trials : str
        The input of the model that says n.
    of : "logit", "probit" or "cloglog"

    Examples
    --------
    >>> dose = Binomial(trials="treated")
    >>> np.exp(dose.log_density(np.array([1.0]), np.array([0.0]), (), {"treated": np.array([3.0])})).round(6).tolist()
    [0.375]
    """

    trials: str = "trials"
    kind: ClassVar[str] = "count"

    def _number(self, inputs: Inputs | None) -> Any:
        if inputs is None or self.trials not in inputs:
            raise InputError(f"binomial outcomes need the input '{self.trials}', the number of trials.")
        return inputs[self.trials]

    def log_density(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        n, chance = self._number(inputs), CHANCES[self.of]
        ways = math.log_gamma(n + 1.0) - math.log_gamma(value + 1.0) - math.log_gamma(n - value + 1.0)
        return ways + value * chance.log_yes(predictor) + (n - value) * chance.log_no(predictor)

    def information(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        """Fisher's, that of one trial times n."""
        return self._number(inputs) * super().information(value, predictor, log_scales)

    def expected(self, predictor: Floats, log_scales: Any, inputs: Inputs | None = None) -> Floats:
        """n p."""
        return np.asarray(self._number(inputs)) * super().expected(predictor, log_scales)

    def cumulative(
        self, value: Floats, predictor: Floats, log_scales: Any, inputs: Inputs | None = None
    ) -> Floats:
        n, p = np.asarray(self._number(inputs)), Bernoulli.expected(self, predictor, log_scales)
        inside = np.clip(np.floor(value), 0.0, n)
        return np.where(
            value < 0.0, 0.0, np.where(value >= n, 1.0, scipy.special.bdtr(inside, n.astype(int), p))
        )

    def sample(
        self,
        predictor: Floats,
        log_scales: Any,
        inputs: Inputs | None = None,
        random: np.random.Generator | None = None,
    ) -> Floats:
        p = Bernoulli.expected(self, predictor, log_scales)
        n = np.broadcast_to(np.asarray(self._number(inputs)), p.shape)
        return (random or np.random.default_rng()).binomial(n.astype(int), p).astype(float)

    def fault(self, values: Floats, inputs: Inputs | None = None) -> tuple[int, str] | None:
        n = np.asarray(self._number(inputs))
        at = first_that((values < 0.0) | (values != np.floor(values)))
        if at is not None:
            return at, "is no whole number of zero or more, which a number of yes has to be"
        at = first_that((n < 1.0) | (n != np.floor(n)))
        if at is not None:
            return at, f"stands beside {n[at]:g} {self.trials}, which is no whole number above zero"
        at = first_that(values > n)
        return None if at is None else (at, f"is more than the {n[at]:g} {self.trials} beside it")

    @property
    def written(self) -> str:
        return f"write how many of the {self.trials} it was"

    @property
    def most(self) -> float:
        return np.inf


@dataclass(frozen=True)
class Ordinal(Outcome):
    """Grades in order, P(Y ≤ g | η) = 1/(1 + e^(−(c_g − η))): a cumulative logit; the equation returns η.

    The first cut lies at zero, so that η is the log-odds of more than the first grade, and the equation has an
    intercept; the others lie above by gaps that are learned.

    Parameters
    ----------
    grades : int
        How many there are, three or more.
    first : int
        The number of the lowest grade.
    typical : tuple of float
        The gaps between cuts, grades − 2 of them; 1.5 by default.

    Examples
    --------
    >>> toxicity = Ordinal(grades=4)
    >>> toxicity.scales
    ('gap_1', 'gap_2')
    >>> each = [np.exp(toxicity.log_density(np.array(float(g)), np.array(0.0), np.log([1.0, 1.0]))) for g in range(4)]
    >>> [round(float(p), 4) for p in each]
    [0.5, 0.2311, 0.1497, 0.1192]
    """

    grades: int = 3
    first: int = 0
    typical: tuple[float, ...] = ()
    scales: tuple[str, ...] = field(default=(), init=False)  # type: ignore[misc]
    kind: ClassVar[str] = "grade"

    def __post_init__(self) -> None:
        if self.grades < 3:
            raise InputError(
                f"ordinal outcomes have three grades or more, not {self.grades}; of two say Bernoulli."
            )
        object.__setattr__(self, "scales", tuple(f"gap_{at}" for at in range(1, self.grades - 1)))
        if not self.typical:
            object.__setattr__(self, "typical", (1.5,) * (self.grades - 2))
        super().__post_init__()

    @property
    def levels(self) -> Floats:
        """The grades."""
        return np.arange(self.first, self.first + self.grades, dtype=float)

    def _cuts(self, log_scales: Any) -> list[Any]:
        cuts: list[Any] = [0.0]
        for at in range(self.grades - 2):
            cuts.append(cuts[-1] + math.exp(log_scales[at]))
        return cuts

    def log_density(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        # expit(b) − expit(a) = expit(b) expit(−a) (1 − e^(a − b)): no digits are lost where both are near one
        cuts, last = self._cuts(log_scales), self.first + self.grades - 1
        log_probability = math.log_expit(-predictor)
        for at in range(1, self.grades - 1):
            low, high = cuts[at - 1] - predictor, cuts[at] - predictor
            between = math.log_expit(high) + math.log_expit(-low)
            between = between + math.log(-math.expm1(-math.exp(log_scales[at - 1])))
            log_probability = math.where(
                math.absolute(value - float(self.first + at)) < 0.5, between, log_probability
            )
        highest = math.log_expit(predictor - cuts[-1])
        return math.where(math.absolute(value - float(last)) < 0.5, highest, log_probability)

    def information(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        """Fisher's: Σ p_g s_g², s_g the score of grade g."""
        cuts, total = self._cuts(log_scales), 0.0 * predictor
        for at in range(self.grades):
            p = math.exp(self.log_density(float(self.first + at) + 0.0 * predictor, predictor, log_scales))
            under = math.exp(math.log_expit(cuts[at - 1] - predictor)) if at > 0 else 0.0
            over = math.exp(math.log_expit(predictor - cuts[at])) if at < self.grades - 1 else 0.0
            total = total + p * (under - over) ** 2
        return total

    def probabilities(self, predictor: Floats, log_scales: Any) -> Floats:
        """Of every grade, along a new last axis."""
        each = [self.log_density(level + 0.0 * predictor, predictor, log_scales) for level in self.levels]
        return np.exp(np.stack(each, -1))

    def expected(self, predictor: Floats, log_scales: Any, inputs: Inputs | None = None) -> Floats:
        """The mean grade."""
        return np.asarray(self.probabilities(predictor, log_scales) @ self.levels)

    def cumulative(
        self, value: Floats, predictor: Floats, log_scales: Any, inputs: Inputs | None = None
    ) -> Floats:
        counted = np.floor(value) - self.first  # the place of the highest grade that counts
        under = np.where(counted < 0.0, 0.0, 1.0 + 0.0 * predictor)
        for at, cut in enumerate(self._cuts(log_scales)):
            under = np.where(counted == at, scipy.special.expit(cut - predictor), under)
        return under

    def sample(
        self,
        predictor: Floats,
        log_scales: Any,
        inputs: Inputs | None = None,
        random: np.random.Generator | None = None,
    ) -> Floats:
        drawn = (random or np.random.default_rng()).random(np.shape(predictor))
        edges = self.probabilities(predictor, log_scales).cumsum(-1)[..., :-1]
        return self.first + (drawn[..., None] > edges).sum(-1).astype(float)

    def fault(self, values: Floats, inputs: Inputs | None = None) -> tuple[int, str] | None:
        at = first_that(~np.isin(values, self.levels))
        last = self.first + self.grades - 1
        return None if at is None else (at, f"is none of the grades {self.first} to {last}")

    @property
    def written(self) -> str:
        return f"write grades as {self.first} to {self.first + self.grades - 1}"

    @property
    def most(self) -> float:
        return float(self.first + self.grades - 1)

    @property
    def least(self) -> float:
        return float(self.first)
