"""Classes without an order: which of several species, phases or causes; the equation returns log-odds of all but one.

A class is also what a row of yes or no makes: is it the second class? if not, is it the third? … and if it is none, it
is the first. Their log-odds ψ follow from those that the equation returns, and given ψ the answers are independent: so
whatever adapts one predictor of each measurement adapts classes, stage by stage, with the same likelihood.

Sources: McFadden, in Zarembka (ed.), Frontiers in Econometrics (1974) 105; Agresti, Categorical Data Analysis (2002),
chapter 7; Fienberg, The Analysis of Cross-Classified Categorical Data (1980), section 6.6, for stages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from metasci import math
from metasci.errors import InputError
from metasci.outcomes.outcome import Floats, Inputs, Outcome, first_that

__all__ = ["Categorical", "Stage"]


@dataclass(frozen=True)
class Categorical(Outcome):
    """One of K classes without an order, P(Y = k | η) = e^(η_k)/(1 + Σ e^(η_j)), with η = 0 of the first.

    The equation returns the log-odds η_k of every class but the first against the first, stacked along a last axis
    (`metasci.math.stack`) in the order of the classes.

    Parameters
    ----------
    classes : tuple of str
        What cells say, two or more; numbered from zero.

    Examples
    --------
    >>> phase = Categorical(classes=("fcc", "bcc", "mixed"))
    >>> phase.probabilities(np.log([[2.0, 1.0]])).round(6).tolist()
    [[0.25, 0.5, 0.25]]
    >>> np.exp(phase.log_density(np.array([1.0]), np.log([[2.0, 1.0]]), ())).round(6).tolist()
    [0.5]
    """

    classes: tuple[str, ...] = ()
    kind: ClassVar[str] = "class"

    def __post_init__(self) -> None:
        super().__post_init__()
        sound = isinstance(self.classes, tuple) and all(
            isinstance(name, str) and name for name in self.classes
        )
        if not sound or len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            raise InputError(
                f"categorical outcomes need a tuple of two or more different names of classes, not {self.classes!r}."
            )

    @property
    def predictors(self) -> int:
        """Log-odds that the equation returns: one less than there are classes."""
        return len(self.classes) - 1

    @property
    def codes(self) -> Mapping[str, float]:
        """The number that stands for each class."""
        return {name: float(at) for at, name in enumerate(self.classes)}

    def log_density(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        """ln P(Y = y | η) of values (…) and predictors (…, K − 1)."""
        stages = self.stages(predictor)
        each = [_stage_density(value, stages[..., at], at + 1.0) for at in range(self.predictors)]
        total = each[0]
        for more in each[1:]:
            total = total + more
        return total

    def information(self, *_: Any, **__: Any) -> Any:
        """None of a single predictor; see `Stage`."""
        raise InputError(
            f"this looks along one curve of a task, and Categorical outcomes of {len(self.classes)} classes have "
            f"{self.predictors}: it is not there for classes."
        )

    def stages(self, predictor: Any) -> Any:
        """Log-odds of each class but the first against those after it and the first, (…, K − 1)."""
        rest = 0.0 * predictor[..., 0]
        each = []
        for at in reversed(range(self.predictors)):
            here = predictor[..., at]
            each.append(here - rest)
            rest = rest - math.log_expit(rest - here)  # ln(e^rest + e^here)
        return math.stack(each[::-1])

    def probabilities(self, predictor: Floats) -> Floats:
        """Of every class, (…, K)."""
        log_odds = np.asarray(predictor, float)
        highest = np.maximum(log_odds.max(-1, keepdims=True), 0.0)
        odds = np.exp(np.concatenate([np.zeros_like(highest), log_odds], -1) - highest)
        return odds / odds.sum(-1, keepdims=True)

    def expected(self, predictor: Floats, log_scales: Any, inputs: Inputs | None = None) -> Floats:
        """The number of the likeliest class."""
        return self.probabilities(predictor).argmax(-1).astype(float)

    def cumulative(
        self, value: Floats, predictor: Floats, log_scales: Any, inputs: Inputs | None = None
    ) -> Floats:
        """P(Y ≤ y | η) in the order in which classes are named, which means nothing else."""
        counted = np.arange(len(self.classes)) <= np.asarray(value)[..., None]
        return np.asarray((self.probabilities(predictor) * counted).sum(-1))

    def sample(
        self,
        predictor: Floats,
        log_scales: Any,
        inputs: Inputs | None = None,
        random: np.random.Generator | None = None,
    ) -> Floats:
        edges = self.probabilities(predictor).cumsum(-1)[..., :-1]
        drawn = (random or np.random.default_rng()).random(edges.shape[:-1])
        return (drawn[..., None] > edges).sum(-1).astype(float)

    def fault(self, values: Floats, inputs: Inputs | None = None) -> tuple[int, str] | None:
        at = first_that(~np.isin(values, np.arange(len(self.classes))))
        return None if at is None else (at, f"is none of the classes {', '.join(self.classes)}")

    @property
    def most(self) -> float:
        return float(len(self.classes) - 1)


@dataclass(frozen=True)
class Stage(Outcome):
    """One of the questions of yes or no that make a class: is it this one, if it is none of those before?

    The input `STAGE` says which class is asked about, from one. Rows of one measurement lie side by side, all stages
    of it. What rows tell of the predictors, together, is Fisher's information of the class: of a linear predictor also
    the observed one.
    """

    classes: tuple[str, ...] = ()
    kind: ClassVar[str] = "class"
    canonical: ClassVar[bool] = True

    def log_density(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        assert inputs is not None
        return _stage_density(value, predictor, inputs[STAGE])

    def information(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        """Fisher's: q(1 − q) times the probability that the question comes up, that of no to all before it."""
        asked = len(self.classes) - 1
        rows = predictor.reshape(*predictor.shape[:-1], -1, asked)
        no = math.log_expit(-rows)
        before = no.cumsum(-1) - no
        return math.exp(before + no + math.log_expit(rows)).reshape(predictor.shape)

    def expected(self, predictor: Floats, log_scales: Any, inputs: Inputs | None = None) -> Floats:
        raise NotImplementedError("a stage is part of a class, and shown by none of its own.")

    cumulative = sample = fault = expected  # type: ignore[assignment]


STAGE = "stage_of_class"
"""The input that says which class a row asks about."""


def _stage_density(value: Any, predictor: Any, stage: Any) -> Any:
    """ln p of the answer to 'is it class `stage`?'; zero where it was answered before."""
    yes = math.log_expit(predictor)
    no = math.log_expit(-predictor)
    after = (value < 0.5) | (value > stage + 0.5)
    return math.where(math.absolute(value - stage) < 0.5, yes, math.where(after, no, 0.0 * no))
