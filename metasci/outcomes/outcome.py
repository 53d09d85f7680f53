"""What every kind of outcome owes: its density given a predictor, what that tells of the predictor, and its forecasts.

An equation returns a *prediction*; the outcome's `link` takes it to the *predictor* η, a real number without bounds,
and the outcome has a density p(y | η). Of yes or no, and of grades, the equation returns η itself, the log-odds; of
counts the expected count, of times a typical time, of deviations their variance, each with η its logarithm. What else
a density needs, such as how much counts scatter beyond Poisson's, are `scales`: learned with everything else, as
logarithms.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from metasci import math
from metasci.noise import Noise

__all__ = ["Floats", "Inputs", "LogLinked", "Outcome"]

Floats = NDArray[np.float64]
Inputs = Mapping[str, Any]


@dataclass(frozen=True)
class Outcome(Noise):
    """Base of the outcomes that are no Gaussian measurements; declared on a model where a noise would be.

    A subclass owes `log_density`, `expected`, `cumulative`, `sample` and `fault`; `information` where the one of the
    second derivative will not do. `log_density` and `link` are written with `metasci.math`, and run on torch, NumPy and
    PyTensor; the others but `information` take NumPy arrays.
    """

    typical: tuple[float, ...] = ()
    gaussian: ClassVar[bool] = False
    measures: ClassVar[bool] = False
    follows_prediction: ClassVar[bool] = False
    kind: ClassVar[str] = ""
    """``"yes or no"``, ``"class"``, ``"grade"``, ``"count"``, ``"time"``, ``"deviation"`` or ``"measurement"``."""
    concave: ClassVar[bool] = True
    """Whether the log density is concave in the predictor, so that a linear model has one best fit."""
    whole: ClassVar[bool] = True
    """Whether outcomes are whole numbers."""
    canonical: ClassVar[bool] = False
    """Whether `information`, of all rows together, is also minus the second derivative along a linear predictor."""

    @property
    def size(self) -> float:
        """One: broken laws are counted in the units of the prediction."""
        return 1.0

    def variance(self, prediction: Any, log_scales: Any, inputs: Inputs | None = None) -> Any:
        """There is none on the predictor's scale; see `information`."""
        raise TypeError("an outcome that is no Gaussian measurement has no variance of its predictor.")

    @abstractmethod
    def log_density(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        """ln p(y | η), elementwise; the logarithm of a probability where outcomes are whole numbers.

        Parameters
        ----------
        value, predictor : array
        log_scales : sequence
            Indexed by scale.
        inputs : mapping of str to array, optional
            The conditions, such as the number of trials.
        below : array of bool, optional
            Where the outcome is only known to lie below its value.
        upper : array, optional
            Where the outcome is only known to lie above its value, and up to this number, which may be infinite; NaN
            elsewhere.
        """

    def log_density_about(
        self,
        value: Any,
        predictor: Any,
        centre: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        """ln p(y | η), where what scatters by its prediction is taken to scatter as at a centre near by."""
        return self.log_density(value, predictor, log_scales, inputs, below, upper)

    def information(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        """What an outcome tells of the predictor, −∂² ln p/∂η², at least zero; subclasses give its expectation.

        On torch tensors.
        """
        import torch

        with torch.enable_grad():
            at = predictor.detach().clone().requires_grad_()
            density = self.log_density(value, at, log_scales, inputs, below, upper)
            (slope,) = torch.autograd.grad(density.sum(), at, create_graph=True)
            (bend,) = torch.autograd.grad(slope.sum(), at, materialize_grads=True)
        return (-bend).clamp(min=0.0)

    @abstractmethod
    def expected(self, predictor: Floats, log_scales: Any, inputs: Inputs | None = None) -> Floats:
        """The curve that is shown: the mean of outcomes with this predictor, of times the median,
        of deviations the standard deviation; it rises with η.
        """

    @abstractmethod
    def cumulative(
        self, value: Floats, predictor: Floats, log_scales: Any, inputs: Inputs | None = None
    ) -> Floats:
        """P(Y ≤ y | η)."""

    @abstractmethod
    def sample(
        self,
        predictor: Floats,
        log_scales: Any,
        inputs: Inputs | None = None,
        random: np.random.Generator | None = None,
    ) -> Floats:
        """Outcomes drawn at random, of the predictor's shape."""

    @abstractmethod
    def fault(self, values: Floats, inputs: Inputs | None = None) -> tuple[int, str] | None:
        """The first value (of a flat array) that is no such outcome, and why, as the end of a sentence."""

    def may_be_limit(self, inputs: Inputs | None = None) -> Any:
        """Whether an outcome may be known to lie below, above or between numbers only; or which of them may."""
        return self.kind == "time"

    @property
    def most(self) -> float:
        """The greatest outcome there is; infinite where there is none."""
        return np.inf

    @property
    def least(self) -> float:
        """The smallest outcome there is; of deviations minus infinity."""
        return 0.0


class LogLinked(Outcome):
    """Outcomes whose predictor is the logarithm of what the equation returns, which must be above zero."""

    def link(self, value: Any) -> Any:
        """ln f."""
        return math.log(value)

    def unlink(self, value: Any) -> Any:
        """e^η."""
        return math.exp(value)


def first_that(bad: NDArray[np.bool_]) -> int | None:
    """The first place where something is true."""
    places = np.flatnonzero(bad)
    return int(places[0]) if len(places) else None
