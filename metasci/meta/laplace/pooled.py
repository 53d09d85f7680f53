"""One estimate for all tasks together, as if they were one: what learning starts from, and the crudest of baselines."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from metasci.meta.explained import explained_share
from metasci.meta.laplace.gauss_newton import Estimate, full_curvature, normal_equations
from metasci.meta.laplace.noise_scales import noise_scales
from metasci.meta.likelihood import information_share
from metasci.meta.problem import Problem
from metasci.meta.stages import staged

__all__ = ["pooled_estimate", "pooled_fit"]

# steps without second derivatives of the model; where these have not arrived, residuals are large and the full
# curvature is worth its price
_GAUSS_NEWTON = 20
# of the measurements' squares about a constant; a fit that explains less has most likely not found the data
_HARDLY = 0.1
# where else to look, in declared spreads: a rate may well be off by e⁴ and more; and how many ends are compared
_PLACES, _FAR, _KEPT = 256, 3.0, 4
_GOOD = 0.1  # of the measurements' scatter: residuals as small are a fit


def pooled_estimate(
    problem: Problem,
    mean: Tensor,
    precision: Tensor,
    log_noise: Tensor,
    steps: int = 50,
    tolerance: float = 1e-6,
    start: Tensor | None = None,
) -> Estimate:
    """Estimate one set of coordinates from the measurements of all tasks.

    Levenberg–Marquardt steps on the summed normal equations, with the full curvature where these creep.

    Parameters
    ----------
    problem : Problem
    mean : Tensor, (1, parameter)
    precision : Tensor, (1, parameter, parameter)
        Of the belief about the coordinates.
    log_noise : Tensor, (scale,)
    steps : int
    tolerance : float
        In standard errors.
    start : Tensor, (1, parameter), optional
        Where the search begins; at the belief's mean by default.

    Returns
    -------
    Estimate
        Coordinates and covariance have one task; squared residuals and predictions have all of them.
    """
    problem = staged(problem)
    here, tasks = (mean if start is None else start).clone(), len(problem)
    ones, nothing = mean.new_ones(tasks), torch.zeros_like(precision).expand(tasks, -1, -1)

    def objective(at: Tensor) -> Tensor:
        off = (at - mean)[0]
        with torch.no_grad():
            cost = problem.negative_log_likelihood(at.expand(tasks, -1), log_noise)
        return cost.sum() + 0.5 * off @ precision[0] @ off + problem.penalty_cost(at).detach().sum()

    def equations(at: Tensor, full: bool) -> tuple[Tensor, Tensor]:
        everywhere = at.expand(tasks, -1)
        at_all = (problem, everywhere, everywhere, nothing, log_noise, ones)
        gradient, hessian = normal_equations(*at_all)[:2]
        if full:
            whole = full_curvature(*at_all)[1].sum(0) + precision[0]
            if int(torch.linalg.cholesky_ex(whole).info) == 0:
                return gradient.sum(0) + precision[0] @ (at - mean)[0], whole
        return gradient.sum(0) + precision[0] @ (at - mean)[0], hessian.sum(0) + precision[0]

    value, damping, converged = objective(here), 1e-3, False
    finite = bool(torch.isfinite(value))
    for step_number in range(steps if finite else 0):
        gradient, hessian = equations(here, step_number >= _GAUSS_NEWTON)
        scale = hessian.diagonal()
        step = torch.linalg.solve_ex(hessian + damping * torch.diag(scale), gradient).result
        proposed = here - step
        new = objective(proposed)
        if bool(torch.isfinite(new)) and float(new) <= float(value) + 1e-12 * abs(float(value)):
            here, value, damping = proposed, new, max(damping * 0.1, 1e-9)
        else:
            damping *= 10.0
        converged = float((step.square() * scale).sum().sqrt()) < tolerance or damping > 1e10
        if converged:
            break
    everywhere = here.expand(tasks, -1)
    _, hessian, squared, line = normal_equations(problem, everywhere, everywhere, nothing, log_noise, ones)
    covariance = torch.linalg.inv(hessian.sum(0) + precision[0])
    spread = torch.einsum("toi,ij,toj->to", line.jacobian, covariance, line.jacobian) / line.variance
    residual = problem.residual(line, log_noise)
    spread = spread * information_share(residual, line.variance, problem.limits)
    squared = torch.where(problem.batch.mask, squared + spread, torch.zeros_like(squared))
    return Estimate(
        here,
        covariance[None],
        squared,
        line,
        *(torch.tensor([flag], device=here.device) for flag in (converged, finite)),
    )


def pooled_fit(problem: Problem) -> tuple[Tensor, Tensor]:
    """One set of coordinates for all tasks, and the noise that leaves.

    From the typical values a search may have nothing to go by: where rates are far off, a fraction is zero or one
    everywhere and no parameter moves it. What explains hardly more than a constant is sought anew from many places.
    """
    problem = staged(problem)
    together = problem.select(_finite_at_typical(problem).nonzero()[:, 0])
    centre, log_noise = _by_turns(together)
    tasks = len(together)
    if explained_share(together, centre.expand(tasks, -1), log_noise) > _HARDLY:
        return centre, log_noise
    ends = [(centre, log_noise), *(_by_turns(together, start) for start in _far_starts(together))]

    def unlikely(end: tuple[Tensor, Tensor]) -> float:
        with torch.no_grad():
            cost = together.negative_log_likelihood(end[0].expand(tasks, -1), end[1]).sum()
        return float(torch.nan_to_num(cost, nan=math.inf))

    return min(ends, key=unlikely)


def _by_turns(problem: Problem, start: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Coordinates and noise by turns, from a start; this is but where learning begins."""
    size = len(problem.model.parameters)
    centre = problem.batch.output.new_zeros(1, size)
    # a belief of two typical spreads about the typical values, which measurements of all tasks soon outweigh
    precision = torch.eye(size, dtype=centre.dtype, device=centre.device)[None] * 0.25
    log_noise = centre.new_tensor([math.log(value) for value in problem.model.noise.typical])
    ones = torch.ones(len(problem), dtype=centre.dtype, device=centre.device)
    for _ in range(3):
        estimate = pooled_estimate(
            problem, centre, precision, log_noise, steps=20, tolerance=1e-3, start=start
        )
        log_noise = noise_scales(problem, estimate, problem.batch.mask, ones, log_noise)
        start = None if start is None else estimate.coordinates
    return estimate.coordinates[0], log_noise


def _far_starts(problem: Problem) -> list[Tensor]:
    """Of many places far and wide, those where one set of coordinates fits best, (1, parameter) each.

    Sobol' points (1967) under a normal belief, by the sum of ln(1 + r²/s²): wherever rates are wrong most residuals
    are large, and a place that fits some measurements well is to be found all the same.
    """
    size, tasks = len(problem.model.parameters), len(problem)
    points = torch.quasirandom.SobolEngine(size, scramble=True, seed=0).draw(_PLACES, dtype=torch.float64)
    places = (_FAR * torch.special.ndtri(points)).to(problem.target)
    seen = problem.batch.mask & problem.batch.numbers
    scale = (
        (_GOOD * problem.target[seen].std()).square() if int(seen.sum()) > 1 else problem.target.new_ones(())
    )

    def misfit(at: Tensor) -> float:
        with torch.no_grad():
            linked = problem.model.noise.link(problem.predict(at.expand(tasks, -1)))
        each = torch.log1p((problem.target - linked).square() / scale)
        return float(torch.nan_to_num(torch.where(seen, each, 0.0).sum(), nan=math.inf))

    return [place[None] for place in sorted(places, key=misfit)[:_KEPT]]


def _finite_at_typical(problem: Problem) -> Tensor:
    """Which tasks have a finite likelihood at the typical values; all, if none has."""
    at = problem.batch.output.new_zeros(len(problem), len(problem.model.parameters))
    log_noise = at.new_tensor([math.log(value) for value in problem.model.noise.typical])
    sound = torch.isfinite(problem.negative_log_likelihood(at, log_noise))
    return sound if bool(sound.any()) else torch.ones_like(sound)
