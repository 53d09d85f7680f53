"""Maximum a posteriori estimates of many tasks at once under Gaussian priors.

Levenberg (1944) and Marquardt (1963): Gauss–Newton steps with a damping of its own for every task, so
that no task waits for, or disturbs, another. Where residuals are large these creep; a task that has not arrived
after some of them goes on with the full curvature wherever that is positive definite.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metasci.meta.laplace.curvature import full_curvature
from metasci.meta.laplace.estimate import GAUSS_NEWTON, Estimate
from metasci.meta.laplace.few import estimate_few
from metasci.meta.laplace.secant import NEAR, bent
from metasci.meta.likelihood import information_share, squared_residual
from metasci.meta.problem import Linearisation, Problem
from metasci.meta.stages import staged
from metasci.ode.array_meshes import keeping

__all__ = ["Estimate", "full_curvature", "map_estimate", "normal_equations"]

_APART = 1e-3  # standard deviations of the posterior: how far apart gradients are compared


def map_estimate(
    problem: Problem,
    mean: Tensor,
    precision: Tensor,
    log_noise: Tensor,
    noise_precision: Tensor | None = None,
    start: Tensor | None = None,
    steps: int = 50,
    tolerance: float = 1e-6,
    line: Linearisation | None = None,
) -> Estimate:
    """Estimate every task's coordinates under its prior N(mean, precision⁻¹).

    Parameters
    ----------
    problem : Problem
    mean : Tensor, (task, parameter)
    precision : Tensor, (task, parameter, parameter)
    log_noise : Tensor, (scale,)
    noise_precision : Tensor, (task,), optional
        Multiplies the noise's inverse variance task by task.
    start : Tensor, (task, parameter), optional
        Where to begin; the prior's mean by default.
    steps : int
        At most so many.
    tolerance : float
        A task has converged when its next step is shorter than this many posterior standard deviations.
    line : Linearisation, optional
        At the start, if it is known.

    Notes
    -----
    A task whose objective is not finite at its start stays there and is reported in `finite`.
    """
    problem = staged(problem)
    weight = (
        torch.ones(len(mean), dtype=mean.dtype, device=mean.device)
        if noise_precision is None
        else noise_precision
    )
    here = (mean if start is None else start).detach().clone()
    with keeping():
        return _searched(problem, mean, precision, log_noise, weight, here, steps, tolerance, line)


def _searched(
    problem: Problem,
    mean: Tensor,
    precision: Tensor,
    log_noise: Tensor,
    weight: Tensor,
    here: Tensor,
    steps: int,
    tolerance: float,
    line: Linearisation | None,
) -> Estimate:
    few = estimate_few(problem, mean, precision, log_noise, weight, here, steps, tolerance, line)
    if few is not None:
        return few
    seen = _look(problem, here, mean, precision, log_noise, weight, line)
    finite = torch.isfinite(seen.value)
    damping = torch.full_like(seen.value, 1e-3)
    converged = torch.zeros_like(finite)
    bend, near = torch.zeros_like(seen.hessian), torch.zeros_like(finite)
    # a task that has converged rests, so that its result is the same in whatever company it is estimated
    moving, part = torch.arange(len(mean), device=mean.device), (problem, mean, precision, weight)
    for step_number in range(steps):
        still = (finite & ~converged)[moving]
        if not bool(still.any()):
            break
        left = int(still.sum())
        if 2 * left <= len(moving) or (
            step_number >= GAUSS_NEWTON and left < len(moving)
        ):  # what is dear, for few
            moving, still = moving[still], still[still]
            part = problem.select(moving), mean[moving], precision[moving], weight[moving]
        these, centre, prior, trust = part
        at, damped, old = here[moving], damping[moving], seen.value[moving]
        hessian, slope = seen.hessian[moving], seen.gradient[moving]
        if step_number >= GAUSS_NEWTON:
            full = _full(these, at, centre, prior, log_noise, trust, hessian)
            hessian = torch.where(_sound(full)[:, None, None], full, hessian)
        elif bool(near.any()):
            whole = hessian + bend[moving]
            hessian = torch.where((near[moving] & _sound(whole))[:, None, None], whole, hessian)
        scale = hessian.diagonal(dim1=1, dim2=2)
        step = _solve(hessian + torch.diag_embed(damped[:, None] * scale), slope)
        proposed = at - step
        new = _look(these, proposed, centre, prior, log_noise, trust)
        better = (new.value <= old + 1e-12 * old.abs()) & torch.isfinite(new.value)
        damped = torch.where(better, damped * 0.1, damped * 10.0).clamp(1e-9, 1e12)
        length = (step.square() * scale).sum(1).sqrt()
        short, near[moving] = length < tolerance, length < NEAR
        bend[moving] = bent(bend[moving], new.hessian, -step, new.gradient - slope, better & still)
        taken = (better & still).nonzero()[:, 0]
        here[moving[taken]] = proposed[taken]
        seen.replace_rows(moving[taken], new, taken)
        damping[moving] = damped
        converged[moving] |= still & (short | (damped > 1e10))
    line = Linearisation(seen.prediction, seen.jacobian, seen.variance)
    covariance = torch.cholesky_inverse(torch.linalg.cholesky_ex(seen.hessian).L)
    spread = torch.einsum("toi,tij,toj->to", line.jacobian, covariance, line.jacobian) / line.variance
    residual = problem.residual(line, log_noise)
    spread = spread * information_share(residual, line.variance, problem.limits)
    squared = torch.where(problem.batch.mask, seen.squared + spread, torch.zeros_like(seen.squared))
    finite = finite & torch.isfinite(covariance).all(-1).all(-1)
    return Estimate(here, covariance, squared, line, converged & finite, finite)


@dataclass(frozen=True)
class _Look:
    """Where some tasks stand: negative log posterior (task,), its slope and curvature, and the linearised model."""

    value: Tensor
    gradient: Tensor
    hessian: Tensor
    squared: Tensor
    prediction: Tensor
    jacobian: Tensor
    variance: Tensor

    def replace_rows(self, rows: Tensor, other: _Look, of_other: Tensor) -> None:
        """Take some tasks from another look, in place."""
        for name, mine in vars(self).items():
            mine[rows] = getattr(other, name)[of_other]


def _look(
    problem: Problem,
    at: Tensor,
    mean: Tensor,
    precision: Tensor,
    log_noise: Tensor,
    weight: Tensor,
    line: Linearisation | None = None,
) -> _Look:
    """One linearisation tells the objective and what the next step needs."""
    line_known = line is not None
    gradient, hessian, squared, line = normal_equations(problem, at, mean, precision, log_noise, weight, line)
    off = at - mean
    prior = 0.5 * torch.einsum("ti,tij,tj->t", off, precision, off)
    each = problem.costs(line.prediction, line.variance, log_noise, weight)
    likelihood = torch.where(problem.batch.mask, each, torch.zeros_like(each)).sum(1)
    value = likelihood + prior + problem.penalty_cost(at).detach()
    variance = line.variance.expand_as(line.prediction).clone()
    # tasks are replaced in place: what was given stays as it is
    known = (
        (line.prediction.clone(), line.jacobian.clone()) if line_known else (line.prediction, line.jacobian)
    )
    return _Look(value, gradient, hessian, squared, *known, variance)


def normal_equations(
    problem: Problem,
    at: Tensor,
    mean: Tensor,
    precision: Tensor,
    log_noise: Tensor,
    weight: Tensor,
    line: Linearisation | None = None,
) -> tuple[Tensor, Tensor, Tensor, Linearisation]:
    """Gradient and Gauss–Newton Hessian of the negative log posterior, squared scaled residuals, linearisation.

    The linearisation at these coordinates may be given, if it is known.
    """
    problem = staged(problem)
    line = problem.linearise(at, log_noise) if line is None else line
    mask = problem.batch.mask
    residual = problem.residual(line, log_noise)
    slope = _variance_slope(problem, line.prediction, log_noise)
    relative = None if slope is None else slope / line.variance
    pull, curve = problem.pull_and_curvature(residual, line.variance / weight[:, None], relative)
    pull, curve = (torch.where(mask, values, torch.zeros_like(values)) for values in (pull, curve))
    gradient = torch.einsum("tij,tj->ti", precision, at - mean) - torch.einsum(
        "to,toi->ti", pull, line.jacobian
    )
    hessian = precision + torch.einsum("toi,to,toj->tij", line.jacobian, curve, line.jacobian)
    if problem.penalised:
        more_gradient, more_hessian = _penalty_terms(problem, at)
        gradient, hessian = gradient + more_gradient, hessian + more_hessian
    squared = squared_residual(residual, line.variance, problem.limits)
    squared = torch.where(mask, squared, torch.zeros_like(squared))
    return gradient, hessian, squared, line


def _full(
    problem: Problem,
    at: Tensor,
    mean: Tensor,
    precision: Tensor,
    log_noise: Tensor,
    weight: Tensor,
    hessian: Tensor,
) -> Tensor:
    """The full curvature, (task, parameter, parameter); along differential equations by differences of the gradient.

    Second derivatives of a solution cost as much as dozens of first ones, and a step asks for no more digits.
    """
    if problem.model.solution is None:
        return full_curvature(problem, at, mean, precision, log_noise, weight)[1]
    apart = _APART * hessian.diagonal(dim1=1, dim2=2).clamp(min=1e-30).rsqrt()
    columns = []
    for place in range(at.shape[1]):
        shift = torch.zeros_like(at)
        shift[:, place] = apart[:, place]
        above, below = (
            normal_equations(problem, there, mean, precision, log_noise, weight)[0]
            for there in (at + shift, at - shift)
        )
        columns.append((above - below) / (2.0 * apart[:, place : place + 1]))
    full = torch.stack(columns, 2)
    return 0.5 * (full + full.mT)


def _variance_slope(problem: Problem, linked: Tensor, log_noise: Tensor) -> Tensor | None:
    """d variance / d prediction on the linked scale, or None where the variance is constant."""
    if not problem.model.noise.follows_prediction:
        return None
    with torch.enable_grad():
        at = linked.detach().clone().requires_grad_()
        variance = problem.variance(problem.model.noise.unlink(at), log_noise)
        (slope,) = torch.autograd.grad(variance.sum(), at)
    return slope


def _penalty_terms(problem: Problem, at: Tensor) -> tuple[Tensor, Tensor]:
    if problem.model.joint:
        return _curvature_of_penalty(problem, at)
    with torch.enable_grad():
        points = problem.share.shape[1]
        free = at.detach()[:, None, :].expand(-1, points, -1).clone().requires_grad_()
        gradient = torch.zeros_like(at)
        hessian = torch.zeros(*at.shape, at.shape[1], dtype=at.dtype, device=at.device)
        for weight, broken in zip(problem.law_weights, problem.broken(free), strict=True):
            broken = broken / problem.model.noise.size
            if not broken.requires_grad:  # the law does not depend on any parameter
                continue
            (slope,) = torch.autograd.grad(broken.sum(), free, retain_graph=True, materialize_grads=True)
            share = weight.detach() * problem.share
            gradient = gradient + torch.einsum("to,toi->ti", share * broken.detach(), slope)
            hessian = hessian + torch.einsum("to,toi,toj->tij", share, slope, slope)
    return gradient, hessian


def _curvature_of_penalty(problem: Problem, at: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        free = at.detach().requires_grad_()
        (slope,) = torch.autograd.grad(problem.penalty_cost(free).sum(), free, create_graph=True)
        rows = [
            torch.autograd.grad(slope[:, i].sum(), free, retain_graph=True)[0] for i in range(at.shape[1])
        ]
    return slope.detach(), torch.stack(rows, 1)


def _sound(hessian: Tensor) -> Tensor:
    """Which are finite and positive definite, (task,)."""
    return (torch.linalg.cholesky_ex(hessian).info == 0) & torch.isfinite(hessian).all(-1).all(-1)


def _solve(hessian: Tensor, gradient: Tensor) -> Tensor:
    factor = torch.linalg.cholesky_ex(hessian).L
    step = torch.cholesky_solve(gradient[..., None], factor)[..., 0]
    return torch.where(torch.isfinite(step).all(1, keepdim=True), step, torch.zeros_like(step))
