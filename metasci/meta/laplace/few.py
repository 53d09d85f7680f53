"""Maximum a posteriori estimates of a few small tasks, on NumPy arrays: the search of `gauss_newton` where it is easy.

One patient with two samples costs some hundred operations a step, each of which torch takes microseconds to record and
to run backwards. Duals need one pass forwards. The steps are the same, so are the numbers to rounding; whatever is not
plain here (limits, laws, differential equations, a search that does not arrive in a few steps, an equation that does
not run on duals) is left to the search on tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metasci.duals import Dual
from metasci.meta.laplace.curvature import full_curvature
from metasci.meta.laplace.estimate import GAUSS_NEWTON, Estimate
from metasci.meta.laplace.secant import NEAR, bent
from metasci.meta.problem import Linearisation, Problem

__all__ = ["estimate_few", "few_equations"]

_SMALL = 2_000  # tasks × measurements × parameters²; beyond, an operation's arithmetic outweighs what it costs to call
_ALIKE = 1e-9  # of the greatest slope: by how much two correct derivatives may differ
_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)

Array = NDArray[np.float64]

_runs_on_duals: WeakKeyDictionary[Callable[..., object], bool] = WeakKeyDictionary()
"""What was found of equations, by their functions: the first time both ways of differentiating are compared."""


def estimate_few(
    problem: Problem,
    mean: Tensor,
    precision: Tensor,
    log_noise: Tensor,
    weight: Tensor,
    start: Tensor,
    steps: int,
    tolerance: float,
    line: Linearisation | None = None,
) -> Estimate | None:
    """The estimates, as `map_estimate` has them, or nothing where that is to make them.

    Parameters
    ----------
    problem : Problem
    mean, start : Tensor, (task, parameter)
    precision : Tensor, (task, parameter, parameter)
    log_noise : Tensor, (scale,)
    weight : Tensor, (task,)
        Multiplies the noise's inverse variance.
    steps : int
    tolerance : float
    line : Linearisation, optional
        At the start, if it is known.
    """
    if not _plain(problem, mean):
        return None
    search = _Search.of(problem, mean, precision, log_noise, weight)
    try:
        with np.errstate(all="ignore"):
            if not _checked(problem, search, start, log_noise):
                return None
            return search.run(start.detach().numpy().copy(), steps, tolerance, line)
    # of an equation that fails or takes tensors only; the search on tensors says what is wrong
    except Exception:
        # what was found of an equation stays, whatever numbers come later: a calibration depends on none before it
        _runs_on_duals.setdefault(problem.model.function, False)
        return None


def few_equations(
    problem: Problem, at: Tensor, log_noise: Tensor, line: Linearisation
) -> tuple[Array, Array, Array] | None:
    """Slope and curvature of the measurements alone, and their squared residuals by task; nothing of other problems.

    Parameters
    ----------
    problem : Problem
    at : Tensor, (task, parameter)
    log_noise : Tensor, (scale,)
    line : Linearisation
        There.
    """
    if not _plain(problem, at):
        return None
    tasks, size = at.shape
    nothing, certain = at.new_zeros(tasks, size, size), at.new_ones(tasks)
    with np.errstate(all="ignore"):
        seen = _Search.of(problem, at, nothing, log_noise, certain).look(at.numpy(), line)
    return seen.gradient, seen.hessian, seen.squared.sum(1)


def _plain(problem: Problem, mean: Tensor) -> bool:
    """Whether a problem is small, and all in it is what duals know."""
    model, batch = problem.model, problem.batch
    size = batch.mask.numel() * mean.shape[1] ** 2
    if size > _SMALL or not size or mean.device.type != "cpu" or mean.dtype != torch.float64:
        return False
    if not model.noise.gaussian or problem.limits is not None or problem.penalised:
        return False
    if model.joint or model.solution is not None:
        return False
    kinds = {type(model.noise), *(type(parameter) for parameter in model.parameters)}
    if any(not kind.__module__.startswith("metasci.") for kind in kinds):
        return False
    try:
        return _runs_on_duals.get(model.function, True)
    except TypeError:  # a callable that cannot be remembered
        return False


def _checked(problem: Problem, search: _Search, start: Tensor, log_noise: Tensor) -> bool:
    """Whether both ways of differentiating agree; compared once for each equation."""
    function = problem.model.function
    if function not in _runs_on_duals:
        line, at, mask = problem.linearise(start, log_noise), start.detach().numpy(), search.mask
        by_torch = line.prediction.expand_as(problem.target).numpy(), line.jacobian.numpy()
        if not all(bool(np.isfinite(each[mask]).all()) for each in by_torch):
            return False  # of numbers that overflow nothing is learned
        pairs = zip(by_torch, search.by_duals(at)[:2], strict=True)
        _runs_on_duals[function] = all(_alike(first, second, mask) for first, second in pairs)
    return _runs_on_duals[function]


def _alike(first: Array, second: Array, mask: NDArray[np.bool_]) -> bool:
    """Whether no number differs by more than a part of the greatest."""
    most = max(1e-300, float(np.abs(first[mask]).max(initial=0.0)))
    return bool(np.all(np.abs(first - second)[mask] <= _ALIKE * most))


@dataclass(frozen=True)
class _Look:
    """Where the tasks stand; as in `gauss_newton`."""

    value: Array
    gradient: Array
    hessian: Array
    squared: Array
    prediction: Array
    jacobian: Array
    variance: Array

    def with_rows(self, rows: NDArray[np.bool_], other: _Look) -> _Look:
        """Some tasks from another look."""
        if rows.all():
            return other
        return _Look(
            *(
                np.where(rows.reshape(-1, *(1,) * (mine.ndim - 1)), its, mine)
                for mine, its in zip(vars(self).values(), vars(other).values(), strict=True)
            )
        )


@dataclass(frozen=True)
class _Search:
    """A problem as arrays."""

    problem: Problem
    inputs: dict[str, Array]
    target: Array
    mask: NDArray[np.bool_]
    mean: Array
    precision: Array
    log_noise: Array
    weight: Array

    @classmethod
    def of(
        cls, problem: Problem, mean: Tensor, precision: Tensor, log_noise: Tensor, weight: Tensor
    ) -> _Search:
        inputs = {name: value.numpy() for name, value in problem.batch.inputs.items()}
        return cls(
            problem,
            inputs,
            problem.target.numpy(),
            problem.batch.mask.numpy(),
            *(value.detach().numpy() for value in (mean, precision, log_noise, weight)),
        )

    def by_duals(self, at: Array) -> tuple[Array, Array, Array]:
        """Prediction on the linked scale, (task, observation), its Jacobian, and the prediction in its unit."""
        model, (tasks, size) = self.problem.model, at.shape
        along = np.broadcast_to(np.eye(size)[:, None, None, :], (size, tasks, 1, size))
        raw = model.at(Dual(at[:, None, :], along), self.inputs)
        linked = model.noise.link(raw)
        shape = self.target.shape
        slope = np.broadcast_to(linked.slope, (size, *shape))
        return (
            np.broadcast_to(linked.value, shape),
            slope.transpose(1, 2, 0),
            np.broadcast_to(raw.value, shape),
        )

    def look(self, at: Array, line: Linearisation | None = None) -> _Look:
        """The negative log posterior with its slope and curvature, as `normal_equations` has them."""
        noise, mask = self.problem.model.noise, self.mask
        if line is not None:
            prediction, jacobian = line.prediction.numpy(), line.jacobian.numpy()
            raw = noise.unlink(prediction)
        else:
            prediction, jacobian, raw = self.by_duals(at)
        plain = np.broadcast_to(noise.variance(raw, self.log_noise, self.inputs), raw.shape)
        variance = plain / self.weight[:, None]
        residual = self.target - prediction
        pull = residual / variance
        curve, scaled = 1.0 / variance, residual * pull
        if noise.follows_prediction:
            relative = np.where(variance > 0.0, self._variance_slope(prediction) / plain, 0.0)
            pull = pull - 0.5 * relative * (1.0 - scaled)
            curve = curve + 0.5 * relative * relative
        each = 0.5 * (scaled + np.log(variance)) + _HALF_LOG_TWO_PI
        squared = scaled / self.weight[:, None]
        if not self._full_rows:
            pull, curve, each, squared = (np.where(mask, v, 0.0) for v in (pull, curve, each, squared))
        turned = jacobian.transpose(0, 2, 1)
        off = at - self.mean
        drawn = (self.precision @ off[..., None])[..., 0]
        gradient = drawn - (turned @ pull[..., None])[..., 0]
        hessian = self.precision + turned @ (curve[..., None] * jacobian)
        value = each.sum(1) + 0.5 * (off * drawn).sum(1)
        return _Look(value, gradient, hessian, squared, prediction, jacobian, plain)

    @cached_property
    def _full_rows(self) -> bool:
        """Whether no task has fewer measurements than another."""
        return bool(self.mask.all())

    def _variance_slope(self, linked: Array) -> Array:
        noise = self.problem.model.noise
        moving = Dual(linked, np.ones((1, *linked.shape)))
        slope: Array = noise.variance(noise.unlink(moving), self.log_noise, self.inputs).slope[0]
        return slope

    def run(self, here: Array, steps: int, tolerance: float, line: Linearisation | None) -> Estimate | None:
        """Gauss–Newton steps, and full ones where these creep, until all tasks have arrived; nothing if one is not
        finite at its start.
        """
        seen = self.look(here, line)
        if not np.isfinite(seen.value).all():
            return None
        damping = np.full(len(here), 1e-3)
        converged = np.zeros(len(here), dtype=bool)
        identity = np.eye(here.shape[1])
        bend, near = np.zeros_like(seen.hessian), np.zeros_like(converged)
        for number in range(steps):
            if converged.all():
                break
            if number >= GAUSS_NEWTON:
                hessian = self._full(here, seen.hessian)
            elif near.any():
                whole = seen.hessian + bend
                hessian = np.where((near & _sound(whole))[:, None, None], whole, seen.hessian)
            else:
                hessian = seen.hessian
            scale = hessian.diagonal(axis1=1, axis2=2)
            damped = hessian + (damping[:, None] * scale)[:, :, None] * identity
            step = np.linalg.solve(damped, seen.gradient[..., None])[..., 0]
            length = np.sqrt((step * step * scale).sum(1))
            short, near = length < tolerance, length < NEAR
            still = ~converged
            new = self.look(here - step)
            better = (new.value <= seen.value + 1e-12 * np.abs(seen.value)) & np.isfinite(new.value)
            taken = better & still
            bend = bent(bend, new.hessian, -step, new.gradient - seen.gradient, taken)
            here = np.where(taken[:, None], here - step, here)
            seen = seen.with_rows(taken, new)
            damping = np.where(
                still, np.clip(np.where(better, damping * 0.1, damping * 10.0), 1e-9, 1e12), damping
            )
            converged |= still & (short | (damping > 1e10))
        return self._estimate(here, seen, converged)

    def _full(self, here: Array, hessian: Array) -> Array:
        """The full curvature where it is positive definite."""
        at, mean, precision, log_noise, weight = (
            torch.from_numpy(each) for each in (here, self.mean, self.precision, self.log_noise, self.weight)
        )
        full = full_curvature(self.problem, at, mean, precision, log_noise, weight)[1]
        sound = (torch.linalg.cholesky_ex(full).info == 0) & torch.isfinite(full).all(-1).all(-1)
        return np.where(sound.numpy()[:, None, None], full.numpy(), hessian)

    def _estimate(self, here: Array, seen: _Look, converged: NDArray[np.bool_]) -> Estimate | None:
        inverse = np.linalg.inv(np.linalg.cholesky(seen.hessian))
        covariance = inverse.transpose(0, 2, 1) @ inverse
        if not np.isfinite(covariance).all():
            return None
        spread = ((seen.jacobian @ covariance) * seen.jacobian).sum(-1) / seen.variance
        squared = np.where(self.mask, seen.squared + spread, 0.0)
        numbers = (seen.prediction, seen.jacobian, seen.variance)
        line = Linearisation(*(torch.from_numpy(np.array(value)) for value in numbers))
        place, covered, squares, arrived = (
            torch.from_numpy(v) for v in (here, covariance, squared, converged)
        )
        return Estimate(place, covered, squares, line, arrived, torch.ones_like(arrived))


def _sound(hessian: Array) -> NDArray[np.bool_]:
    """Which are finite and positive definite, (task,)."""
    finite = np.isfinite(hessian)
    positive: NDArray[np.bool_] = np.linalg.eigvalsh(np.where(finite, hessian, 0.0))[:, 0] > 0.0
    return positive & np.all(finite, (1, 2))
