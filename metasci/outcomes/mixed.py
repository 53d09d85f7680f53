"""Several outputs of different kinds in one model: a concentration and a yes or no, a biomarker and a time to an event.

An input says of each measurement which output it is. All share the task's parameters, and through them what one output
tells of another. A measurement about a curve counts as an outcome here, whose law is that of its noise.

Source: Wulfsohn and Tsiatis, Biometrics 53 (1997) 330, for outcomes joined by what a task's parameters share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import scipy

from metasci import math
from metasci.errors import InputError
from metasci.noise import LogNormal, Noise
from metasci.outcomes.outcome import Floats, Inputs, Outcome, first_that

__all__ = ["Measured", "Mixed"]

_HALF_LOG_TWO_PI = 0.5 * np.log(2.0 * np.pi)


@dataclass(frozen=True)
class Measured(Outcome):
    """A measurement that scatters about a curve as a noise says; the equation returns the curve, and η is linked.

    Parameters
    ----------
    noise : Noise

    Examples
    --------
    >>> from metasci.noise import Additive
    >>> law = Measured(noise=Additive((2.0,)))
    >>> law.log_density(np.array([1.0]), np.array([1.0]), np.log([2.0])).round(6).tolist()
    [-1.612086]
    """

    noise: Noise = field(default_factory=LogNormal)
    typical: tuple[float, ...] = field(default=(), init=False)
    scales: tuple[str, ...] = field(default=(), init=False)  # type: ignore[misc]
    kind: ClassVar[str] = "measurement"
    whole: ClassVar[bool] = False
    concave: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", tuple(self.noise.scales))
        object.__setattr__(self, "typical", tuple(self.noise.typical))

    def link(self, value: Any) -> Any:
        return self.noise.link(value)

    def unlink(self, value: Any) -> Any:
        return self.noise.unlink(value)

    def _variance(self, predictor: Any, log_scales: Any, inputs: Inputs | None) -> Any:
        return self.noise.variance(self.unlink(predictor), log_scales, inputs)

    def log_density(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        """ln p(y | η), per unit of the output."""
        return self.log_density_about(value, predictor, predictor, log_scales, inputs, below, upper)

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
        variance = self._variance(centre, log_scales, inputs) + 0.0 * predictor
        sd = math.sqrt(variance)
        off = (self.link(value) - predictor) / sd
        each = -0.5 * (off**2 + math.log(variance)) - _HALF_LOG_TWO_PI
        if isinstance(self.noise, LogNormal):
            each = each - math.log(value)
        if upper is not None:
            number, ever = upper != upper, upper == np.inf  # NaN is what differs from itself
            end = (
                self.link(math.where(number | ever, 2.0 * math.absolute(value) + 1.0, upper)) - predictor
            ) / sd
            inside = math.where(ever, math.log_ndtr(-off), math.log_between(off, math.maximum(end, off)))
            each = math.where(number, each, inside)
        if below is not None:
            each = math.where(below, math.log_ndtr(off), each)
        return each

    def information(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        """Fisher's, 1/v + ½ (d ln v/dη)²; of limits and intervals what their probability bends by."""
        import torch

        with torch.enable_grad():
            at = predictor.detach().clone().requires_grad_()
            variance = self._variance(at, log_scales, inputs) + 0.0 * at
            (slope,) = torch.autograd.grad(variance.log().sum(), at)
        told = 1.0 / variance.detach() + 0.5 * slope**2
        if below is None and upper is None:
            return told
        limited = torch.zeros_like(told, dtype=torch.bool) if below is None else below
        limited = limited if upper is None else limited | ~torch.isnan(upper)
        bent = super().information(value, predictor, log_scales, inputs, below, upper)
        return torch.where(limited, bent, told)

    def expected(self, predictor: Floats, log_scales: Any, inputs: Inputs | None = None) -> Floats:
        """The curve, in the output's unit."""
        return np.asarray(self.unlink(predictor))

    def cumulative(
        self, value: Floats, predictor: Floats, log_scales: Any, inputs: Inputs | None = None
    ) -> Floats:
        sd = np.sqrt(self._variance(predictor, log_scales, inputs))
        with np.errstate(divide="ignore", invalid="ignore"):
            under = scipy.special.ndtr((self.link(value) - predictor) / sd)
        return np.where(np.asarray(value) > self.least, under, 0.0)

    def sample(
        self,
        predictor: Floats,
        log_scales: Any,
        inputs: Inputs | None = None,
        random: np.random.Generator | None = None,
    ) -> Floats:
        normal = (random or np.random.default_rng()).standard_normal(np.shape(predictor))
        return np.asarray(
            self.unlink(predictor + normal * np.sqrt(self._variance(predictor, log_scales, inputs)))
        )

    def fault(self, values: Floats, inputs: Inputs | None = None) -> tuple[int, str] | None:
        with np.errstate(divide="ignore", invalid="ignore"):
            at = first_that(~np.isfinite(self.link(values)))
        return None if at is None else (at, f"cannot be measured under {type(self.noise).__name__} noise")

    def may_be_limit(self, inputs: Inputs | None = None) -> Any:
        """Any measurement may."""
        return True

    @property
    def least(self) -> float:
        return 0.0 if isinstance(self.noise, LogNormal) else -np.inf


@dataclass(frozen=True)
class Mixed(Outcome):
    """Several outputs, each of a kind of its own, y ~ p_d(y | η), d being an input of the model.

    Parameters
    ----------
    by : str
        The input that says of each measurement which output it is: 1, 2, …
    kinds : tuple of Noise
        In that order: noises of measurements, and outcomes of one predictor.
    returns : "prediction" or "predictor"
        What the equation returns of each output. A prediction goes to its predictor by the same link for all: the
        identity (additive, proportional and combined noise, yes or no, grades), or the logarithm (log-normal noise,
        counts, times). Where links differ the equation returns the predictors themselves: of those with the logarithm
        the logarithm of what it would return alone.

    Examples
    --------
    >>> from metasci.noise import Proportional
    >>> from metasci.outcomes import Bernoulli, Poisson
    >>> both = Mixed(by="output", kinds=(Proportional((0.1,)), Bernoulli()))
    >>> both.scales
    ('cv_1',)
    >>> inputs = {"output": np.array([1.0, 2.0])}
    >>> both.log_density(np.array([10.0, 1.0]), np.array([10.0, 0.0]), np.log([0.1]), inputs).round(6).tolist()
    [-0.918939, -0.693147]

    A concentration of 10 and an expected count of 2, whose link is the logarithm:

    >>> unlike = Mixed(by="output", kinds=(Proportional((0.1,)), Poisson()), returns="predictor")
    >>> at = np.array([10.0, np.log(2.0)])
    >>> unlike.expected(at, np.log([0.1]), inputs).tolist()
    [10.0, 2.0]
    """

    by: str = ""
    kinds: tuple[Noise, ...] = ()
    returns: str = "prediction"
    typical: tuple[float, ...] = field(default=(), init=False)
    scales: tuple[str, ...] = field(default=(), init=False)  # type: ignore[misc]
    parts: tuple[Outcome, ...] = field(default=(), init=False)
    kind: ClassVar[str] = "several kinds"
    whole: ClassVar[bool] = False
    concave: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.by or len(self.kinds) < 2 or not all(isinstance(kind, Noise) for kind in self.kinds):
            raise InputError("Mixed outcomes need the name of an input, `by`, and two or more kinds.")
        parts = tuple(kind if isinstance(kind, Outcome) else Measured(noise=kind) for kind in self.kinds)
        if any(part.predictors > 1 or isinstance(part, Mixed) for part in parts):
            raise InputError(
                "Mixed outcomes are of kinds with one predictor each: neither classes nor others mixed."
            )
        if self.returns not in ("prediction", "predictor"):
            raise InputError(
                f"Mixed outcomes, returns: '{self.returns}' is neither 'prediction' nor 'predictor'."
            )
        if self.returns == "prediction" and len({round(float(part.link(2.0)), 9) for part in parts}) > 1:
            names = ", ".join(type(kind).__name__ for kind in self.kinds)
            raise InputError(
                f"Mixed outcomes go to their predictors by one link, and {names} have different ones: let the equation "
                "return the predictor of each (of log-normal noise, counts and times the logarithm of what is "
                "expected), and say returns='predictor'."
            )
        scales = tuple(f"{scale}_{place}" for place, part in enumerate(parts, 1) for scale in part.scales)
        object.__setattr__(self, "parts", parts)
        object.__setattr__(self, "scales", scales)
        object.__setattr__(self, "typical", tuple(value for part in parts for value in part.typical))

    def link(self, value: Any) -> Any:
        return value if self.returns == "predictor" else self.parts[0].link(value)

    def unlink(self, value: Any) -> Any:
        return value if self.returns == "predictor" else self.parts[0].unlink(value)

    def which(self, inputs: Inputs | None) -> Any:
        """Which output each measurement is, from 1."""
        if inputs is None or self.by not in inputs:
            raise InputError(f"outcomes of several kinds need the input '{self.by}' of every measurement.")
        return inputs[self.by]

    def own_scales(self, place: int, log_scales: Any) -> list[Any]:
        """Logarithms of the scales of one of the parts, from zero."""
        first = sum(len(part.scales) for part in self.parts[:place])
        return [log_scales[first + at] for at in range(len(self.parts[place].scales))]

    def log_density(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        return self._each(
            value,
            predictor,
            inputs,
            lambda part, own, y, at: part.log_density(y, at, own, inputs, below, upper),
            log_scales,
        )

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
        which, total = self.which(inputs), 0.0 * predictor
        for place, part in enumerate(self.parts):
            here, own = math.absolute(which - (place + 1.0)) < 0.5, self.own_scales(place, log_scales)
            y, at, near = (math.where(here, each, 1.0 + 0.0 * each) for each in (value, predictor, centre))
            total = math.where(here, part.log_density_about(y, at, near, own, inputs, below, upper), total)
        return total

    def information(
        self,
        value: Any,
        predictor: Any,
        log_scales: Any,
        inputs: Inputs | None = None,
        below: Any = None,
        upper: Any = None,
    ) -> Any:
        """Each kind's own."""
        return self._each(
            value,
            predictor,
            inputs,
            lambda part, own, y, at: part.information(y, at, own, inputs, below, upper),
            log_scales,
        )

    def expected(self, predictor: Floats, log_scales: Any, inputs: Inputs | None = None) -> Floats:
        return np.asarray(
            self._each(
                np.ones(1),
                predictor,
                inputs,
                lambda part, own, _, at: part.expected(at, own, inputs),
                log_scales,
            )
        )

    def cumulative(
        self, value: Floats, predictor: Floats, log_scales: Any, inputs: Inputs | None = None
    ) -> Floats:
        return np.asarray(
            self._each(
                value,
                predictor,
                inputs,
                lambda part, own, y, at: part.cumulative(y, at, own, inputs),
                log_scales,
            )
        )

    def sample(
        self,
        predictor: Floats,
        log_scales: Any,
        inputs: Inputs | None = None,
        random: np.random.Generator | None = None,
    ) -> Floats:
        generator = random or np.random.default_rng()
        return np.asarray(
            self._each(
                np.ones(1),
                predictor,
                inputs,
                lambda part, own, _, at: part.sample(at, own, inputs, generator),
                log_scales,
            )
        )

    def fault(self, values: Floats, inputs: Inputs | None = None) -> tuple[int, str] | None:
        which = np.broadcast_to(np.asarray(self.which(inputs)), values.shape)
        at = first_that(~np.isin(which, np.arange(1.0, len(self.parts) + 1.0)))
        found = (
            []
            if at is None
            else [(at, f"is of {self.by} {which[at]:g}, of which there are {len(self.parts)}")]
        )
        for place, part in enumerate(self.parts, 1):
            rows = np.flatnonzero(which == place)
            own = {name: np.broadcast_to(each, values.shape)[rows] for name, each in (inputs or {}).items()}
            if len(rows) and (told := part.fault(values[rows], own)) is not None:
                found.append((int(rows[told[0]]), f"{told[1]} ({self.by} {place})"))
        return min(found) if found else None

    @property
    def written(self) -> str:
        told = (
            f"of {self.by} {place}, {part.written}"
            for place, part in enumerate(self.parts, 1)
            if part.written
        )
        return "; ".join(told)

    def may_be_limit(self, inputs: Inputs | None = None) -> Any:
        """Those whose kind may."""
        which = np.asarray(self.which(inputs))
        may = np.zeros(which.shape, bool)
        for place, part in enumerate(self.parts, 1):
            may = np.where(which == place, part.may_be_limit(inputs), may)
        return may

    def _each(
        self,
        value: Any,
        predictor: Any,
        inputs: Inputs | None,
        of: Callable[[Outcome, list[Any], Any, Any], Any],
        log_scales: Any,
    ) -> Any:
        """What is said of each measurement by the part that it belongs to; the others see ones in its place."""
        which, total = self.which(inputs), 0.0 * predictor
        for place, part in enumerate(self.parts):
            here = math.absolute(which - (place + 1.0)) < 0.5
            y, at = (
                math.where(here, value, 1.0 + 0.0 * value),
                math.where(here, predictor, 1.0 + 0.0 * predictor),
            )
            total = math.where(here, of(part, self.own_scales(place, log_scales), y, at), total)
        return total
