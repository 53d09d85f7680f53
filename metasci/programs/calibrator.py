"""The calibrator of a learned Gaussian prior as a program: a fixed number of steps from the prior to the estimate.

The steps are those of `metasci.meta.laplace.few`, Levenberg and Marquardt's, each taken only where it goes down.
Derivatives run forwards (`metasci.duals`), and the small linear systems are solved by elimination written out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from metasci import math
from metasci.duals import Dual
from metasci.errors import FAILURES, InputError
from metasci.meta.laplace.gaussian import GaussianPrior
from metasci.meta.laplace.levels import Levels, levels_of
from metasci.programs.design import start_of
from metasci.programs.mixtures import mixture_quantiles
from metasci.programs.noise_levels import Trust, trust_of
from metasci.programs.program import Program
from metasci.programs.recording import Recorder
from metasci.programs.solving import inverse, solved

if TYPE_CHECKING:
    from metasci.learned.equation import LearnedEquation

__all__ = ["Sizes", "calibrator"]

_Z90 = 1.6448536269514722  # of the normal distribution: 90 % lie within so many standard deviations
_STEP = 1e-5  # of a coordinate: rounding and the third derivative then cost as little as 1e-10 of a slope
_FIRST_DAMPING, _LEAST, _MOST = 1e-3, 1e-9, 1e12  # as in `metasci.meta.laplace.few`


_MOST_STEPS = 100  # each is written out; more than six are hardly ever needed
_MOST_ROWS = 10_000  # of readings, queries or events: the program's arrays are of this length


@dataclass(frozen=True)
class Sizes:
    """How much a program takes at once; less is marked by the mask, or padded.

    Attributes
    ----------
    readings : int
    queries : int
        Conditions at which it predicts.
    events : int
        Doses, or other amounts given at times, of a model that has them.
    steps : int
        From the start; see `settled` for as many as it takes.
    exact : bool
        Whether slopes are exact to rounding, at four times as many operations, or differences over 1e-5 of a
        coordinate, which double precision has digits enough for.
    """

    readings: int = 12
    queries: int = 24
    events: int = 12
    steps: int = 6
    exact: bool = False

    def __post_init__(self) -> None:
        for name in ("readings", "queries", "events", "steps"):
            value = getattr(self, name)
            most = _MOST_STEPS if name == "steps" else _MOST_ROWS
            if not isinstance(value, int) or not 1 <= value <= most:
                shown = f"{value:.3g}" if isinstance(value, int) and abs(value) < 1e300 else str(value)[:40]
                raise InputError(f"{name}: a program takes a whole number from 1 to {most}, not {shown}.")


def calibrator(prior: LearnedEquation, sizes: Sizes | None = None) -> Program:
    """The program that calibrates one task.

    It is given ``start`` (parameter,), coordinates to go on from, NaN for those of the prior; ``output`` and ``mask``
    (reading,), each input of the model (reading,), each
    array of a history (event,), ``covariates`` (covariate,) with NaN where unknown, and each input again as
    ``query_NAME`` (query,).
    Results: ``estimate``, ``lower``, ``upper`` (90 %), ``coordinates`` (parameter,), ``covariance`` of the coordinates
    (parameter, parameter), ``prediction`` (query,) in the output's unit, ``curve_sd`` and ``reading_sd`` (query,) on
    the scale where the noise is Gaussian, ``reading_lower`` and ``reading_upper`` (query,) of a measurement (90 %)
    in the output's unit, ``last_step`` in posterior standard deviations, and ``misfit``, by how many standard
    deviations of χ² the readings miss the curve.

    Raises
    ------
    InputError
        If the prior is none of an equation in closed form with Gaussian noise and a learned Gaussian prior.

    Examples
    --------
    >>> import metasci as ms
    >>> program = calibrator(ms.load("theophylline"), Sizes(readings=3, queries=1))
    >>> given = {"start": [np.nan] * 3, "output": [5.0, 8.0, 0.0], "mask": [True, True, False], "covariates": [70.0],
    ...          "time": [1.0, 4.0, 4.0], "dose": [4.0] * 3, "query_time": [24.0], "query_dose": [4.0]}
    >>> program.run(given)["prediction"].round(3).tolist()
    [1.691]
    """
    _check(prior)
    sizes = sizes or Sizes()
    try:
        return _recorded(prior, sizes)
    except FAILURES as error:
        raise InputError(
            f"'{prior.model.name}' cannot be exported: its equation is not written with `metasci.math` and operators "
            f"alone ({str(error).splitlines()[0][:120] if str(error) else type(error).__name__})."
        ) from error


def _check(prior: LearnedEquation) -> None:
    model = prior.model
    why = None
    if not model.noise.gaussian:
        why = f"its {type(model.noise).__name__} outcomes are no Gaussian measurements"
    elif model.joint or model.solution is not None:
        why = "its equation is a differential equation that is solved step by step"
    elif not isinstance(prior.method, GaussianPrior):
        why = f"it was learned by {prior.method.name}, and programs are of learned Gaussian priors"
    elif prior.method.penalty:
        why = "its laws are penalties, which programs leave out"
    if why is not None:
        raise InputError(f"'{prior.name}' cannot be exported as a program of fixed steps: {why}.")


def _recorded(prior: LearnedEquation, sizes: Sizes) -> Program:
    model, recorder, method = prior.model, Recorder(), cast(GaussianPrior, prior.method)
    output, mask = (
        recorder.given("output", (sizes.readings,)),
        recorder.given("mask", (sizes.readings,), True),
    )
    covariates = recorder.given("covariates", (len(prior.covariates.names),))
    inputs = {name: recorder.given(name, (sizes.readings,)).reshape(1, -1) for name in model.inputs}
    events = {name: recorder.given(name, (sizes.events,)).reshape(1, 1, -1) for name in model.event_names}
    queries = {
        name: recorder.given(f"query_{name}", (sizes.queries,)).reshape(1, -1) for name in model.inputs
    }
    begin = recorder.given("start", (len(model.parameters),))
    mean, covariance = start_of(prior, covariates)
    start = np.where(np.isnan(begin), mean, begin[None])
    seen = mask.reshape(1, -1)
    safe = np.where(seen, output.reshape(1, -1), 1.0)
    target = np.where(seen, model.noise.link(safe), 0.0)
    search = _Search(
        model, {**inputs, **events}, target, seen, mean, inverse(covariance), _scales(prior), sizes.exact
    )
    levels = levels_of(prior.state, method.task_noise)
    place, look, last_step = search.run(start, search.look(start, 1.0), 1.0, sizes.steps)
    trust = None
    if len(levels) > 1:
        place, look, trust, last_step = _under_levels(search, place, levels, sizes)
    posterior = inverse(look.hessian) if trust is None else trust.covariance
    low, high = _bounds(posterior, trust)
    physical: dict[str, Any] = {
        name: np.stack([value[0] for value in model.parameters.to_physical(each).values()])
        for name, each in {"estimate": place, "lower": place + low, "upper": place + high}.items()
    }
    forecast = search.forecast(place, posterior, {**queries, **events}, trust)
    count = np.where(seen, 1.0, 0.0).sum(1)
    misfit = (look.squared.sum(1) - count) / np.sqrt(2.0 * np.maximum(count, 1.0))
    return recorder.program(
        **physical,
        coordinates=place.reshape(-1),
        covariance=posterior.reshape(place.shape[1], place.shape[1]),
        **forecast,
        last_step=last_step.reshape(()),
        misfit=misfit.reshape(()),
    )


def _bounds(posterior: Any, trust: Trust | None) -> tuple[Any, Any]:
    """Ends of the coordinates' 90 % intervals, from the estimate, (1, parameter) each."""
    if trust is None:
        half = _Z90 * np.sqrt(_diagonal(posterior))
        return -half, half
    low, high = mixture_quantiles(trust.shifts, np.sqrt(_diagonal(trust.covariances)), trust.weights, _Z90)
    return low[None], high[None]


def _scales(prior: LearnedEquation) -> Any:
    return prior.state.log_noise.detach().numpy().astype(float)


def _diagonal(matrix: Any) -> Any:
    """(1, p) of (1, p, p)."""
    size = matrix.shape[-1]
    return (matrix * np.eye(size)).sum(-1)


@dataclass(frozen=True)
class Look:
    """Where the search stands: negative log posterior, its slope and curvature, and the residuals' squares."""

    value: Any
    gradient: Any
    hessian: Any
    squared: Any

    def where(self, condition: Any, other: Look) -> Look:
        """Itself where the condition holds, the other elsewhere."""
        return Look(
            np.where(condition, self.value, other.value),
            np.where(condition[:, None], self.gradient, other.gradient),
            np.where(condition[:, None, None], self.hessian, other.hessian),
            np.where(condition[:, None], self.squared, other.squared),
        )


@dataclass(frozen=True)
class _Search:
    """One task's readings and its prior, as symbols; a first axis of one task leads everywhere."""

    model: Any
    inputs: Mapping[str, Any]
    target: Any
    mask: Any
    mean: Any
    precision: Any
    log_noise: Any
    exact: bool

    def linearise(self, at: Any, inputs: Mapping[str, Any], width: int) -> tuple[Any, Any, Any]:
        """Prediction on the linked scale (1, reading), Jacobian (1, parameter, reading), and prediction."""
        return self._by_duals(at, inputs, width) if self.exact else self._by_differences(at, inputs, width)

    def _by_differences(self, at: Any, inputs: Mapping[str, Any], width: int) -> tuple[Any, Any, Any]:
        """One pass through copies of the task, one for each parameter and side: a quarter of the operations."""
        size = at.shape[1]
        sides = _STEP * np.concatenate([np.zeros((1, size)), np.eye(size), -np.eye(size)])
        raw = np.broadcast_to(self.model.at((at + sides)[:, None, :], inputs), (2 * size + 1, width))
        linked = self.model.noise.link(raw)
        slope = (linked[1 : size + 1] - linked[size + 1 :]) * (0.5 / _STEP)
        return linked[:1], slope[None], raw[:1]

    def _by_duals(self, at: Any, inputs: Mapping[str, Any], width: int) -> tuple[Any, Any, Any]:
        size = at.shape[1]
        along = np.eye(size)[:, None, None, :]
        raw = self.model.at(Dual(at[:, None, :], along), inputs)
        linked = self.model.noise.link(raw)
        slope = np.broadcast_to(linked.slope, (size, 1, width))
        return (
            np.broadcast_to(linked.value, (1, width)),
            slope.reshape(1, size, width),
            np.broadcast_to(raw.value, (1, width)),
        )

    def look(self, at: Any, trust: Any) -> Look:
        """As `metasci.meta.laplace.few` has it; `trust` multiplies the noise's precision."""
        noise, mask = self.model.noise, self.mask
        prediction, jacobian, raw = self.linearise(at, self.inputs, self.target.shape[1])
        plain = np.broadcast_to(noise.variance(raw, self.log_noise, self.inputs), prediction.shape)
        precision = trust / plain
        residual = self.target - prediction
        scaled = residual * precision
        squares = residual * scaled
        pull, curve = scaled, precision
        if noise.follows_prediction:
            moving = Dual(prediction, np.ones((1, *prediction.shape)))
            slope = noise.variance(noise.unlink(moving), self.log_noise, self.inputs).slope[0]
            relative = slope / plain
            pull = pull - 0.5 * relative * (1.0 - squares)
            curve = curve + 0.5 * relative * relative
        pull, curve = np.where(mask, pull, 0.0), np.where(mask, curve, 0.0)
        jacobian = np.where(mask[:, None], jacobian, 0.0)
        off = at - self.mean
        drawn = (self.precision @ off[..., None])[..., 0]
        gradient = drawn - (jacobian @ pull[..., None])[..., 0]
        hessian = self.precision + (jacobian * curve[:, None]) @ np.transpose(jacobian, (0, 2, 1))
        # constants are left out: only differences decide
        each = np.where(mask, 0.5 * (squares - math.log(precision)), 0.0)
        value = each.sum(1) + 0.5 * (off * drawn).sum(1)
        return Look(value, gradient, hessian, np.where(mask, residual * residual / plain, 0.0))

    def run(self, here: Any, seen: Look, trust: Any, steps: int) -> tuple[Any, Look, Any]:
        """Where so many steps lead, the look from there, and how long the last step was."""
        damping: Any = _FIRST_DAMPING
        length: Any = None
        identity = np.eye(here.shape[1])
        for _ in range(steps):
            scale = _diagonal(seen.hessian)
            damped = seen.hessian + (damping * scale)[:, :, None] * identity
            step = solved(damped, seen.gradient)
            new = self.look(here - step, trust)
            # false also where it is not finite
            better = new.value <= seen.value + 1e-12 * np.abs(seen.value)
            length = np.sqrt((step * step * scale).sum(1))
            here = np.where(better[:, None], here - step, here)
            seen = new.where(better, seen)
            damping = np.where(better, damping * 0.1, damping * 10.0)
            damping = np.minimum(np.maximum(damping, _LEAST), _MOST)[:, None]
            damping = damping.reshape(1, 1)
        return here, seen, length

    def forecast(
        self, at: Any, covariance: Any, inputs: Mapping[str, Any], trust: Trust | None
    ) -> dict[str, Any]:
        """The curve at the queries, and how uncertain it and a reading there are."""
        noise = self.model.noise
        width = next(iter(inputs.values())).shape[1]
        prediction, jacobian, raw = self.linearise(at, inputs, width)
        spread = ((covariance @ jacobian) * jacobian).sum(1)
        plain = np.broadcast_to(noise.variance(raw, self.log_noise, inputs), prediction.shape)
        if trust is None:
            half = _Z90 * np.sqrt(np.maximum(spread, 0.0) + plain)
            lower, upper = prediction - half, prediction + half
        else:
            low, high = self._ends(jacobian, plain, trust)
            lower, upper = prediction + low[None], prediction + high[None]
            prediction = prediction + (trust.shift[:, None] @ jacobian)[:, 0]
            plain = plain * trust.factor
        spread = np.maximum(spread, 0.0)
        return {
            "reading_lower": self._inside(noise.unlink(lower)).reshape(-1),
            "reading_upper": self._inside(noise.unlink(upper)).reshape(-1),
            "prediction": noise.unlink(prediction).reshape(-1),
            "curve_sd": np.sqrt(spread).reshape(-1),
            "reading_sd": np.sqrt(spread + plain).reshape(-1),
        }

    def _inside(self, reading: Any) -> Any:
        """Kept where the model's laws allow readings."""
        for law in self.model.constraints:
            low, high = law.reading_limits
            reading = np.maximum(reading, low) if np.isfinite(low) else reading
            reading = np.minimum(reading, high) if np.isfinite(high) else reading
        return reading

    def _ends(self, jacobian: Any, plain: Any, trust: Trust) -> tuple[Any, Any]:
        """Of a reading's 90 % interval, from the prediction at the estimate, on the linked scale, (query,)."""
        shift = (trust.shifts[:, None] @ jacobian)[:, 0]
        curve = ((trust.covariances @ jacobian) * jacobian).sum(1)
        sd = np.sqrt(np.maximum(curve, 0.0) + plain * trust.factors)
        return mixture_quantiles(shift, sd, trust.weights, _Z90)


def _under_levels(search: _Search, here: Any, levels: Levels, sizes: Sizes) -> tuple[Any, Look, Trust, Any]:
    """The estimate where noise or spread is uncertain: two more searches, under what the readings say of them."""
    length: Any = None
    for _ in range(2):
        trust = trust_of(search.look(here, 1.0), search, here, levels)
        tighter = replace(search, precision=trust.narrow * search.precision)
        here, seen, length = tighter.run(here, tighter.look(here, trust.mean), trust.mean, sizes.steps)
    plain = search.look(here, 1.0)
    return (
        here,
        Look(seen.value, seen.gradient, seen.hessian, plain.squared),
        trust_of(plain, search, here, levels),
        length,
    )
