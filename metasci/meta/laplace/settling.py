"""Tasks on which Gauss–Newton steps have not arrived are sought again with the whole curvature, from several starts.

Where a prior is wide the objective has flat regions, saddles and several valleys: absorption and elimination may change
places, a curve may leave the measurements behind. Steps then follow the Hessian with the absolute values of its
eigenvalues, which lead away from saddles and are damped until each goes down; they start from where the search stands,
from the prior's mean, and from either side of it along each axis, and the lowest end is kept.

Source: Dauphin and others, Advances in Neural Information Processing Systems 27 (2014), for the absolute values;
Levenberg (1944) and Marquardt (1963) for the damping.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from metasci.meta.laplace.gauss_newton import Estimate, full_curvature, map_estimate
from metasci.meta.laplace.second_look import deeper, posterior_cost, with_rows
from metasci.meta.problem import Problem
from metasci.meta.stages import of_log_odds
from metasci.outcomes.outcome import Outcome

__all__ = ["settle"]

_AWAY = 1.5  # prior standard deviations from the mean, where further starts lie
_BESIDE = (1.5, 3.0)  # prior standard deviations along each of two axes from where a search ended
_WIDE = 0.7  # of a prior variance on the unconstrained scale: e^(±0.8) and more, where valleys are several
_STEPS = 120  # at most: a descent whose steps are damped may creep, and is to end
_ARRIVING = 30  # of `map_estimate` from the best end: enough for those that take the whole curvature
_ROWS = 4000  # of tasks times starts at once, so that memory stays small


def settle(
    problem: Problem, mean: Tensor, covariance: Tensor, log_noise: Tensor, found: Estimate, tolerance: float
) -> Estimate:
    """The estimates, those of tasks that have not arrived replaced where another search ends lower.

    Under a prior that is wide on a parameter's own scale every task is sought from several starts.

    Parameters
    ----------
    problem : Problem
    mean : Tensor, (task, parameter)
    covariance : Tensor, (task, parameter, parameter)
    log_noise : Tensor, (scale,)
    found : Estimate
    tolerance : float
        Of `map_estimate`.
    """
    spread = mean.new_tensor([parameter.spread for parameter in problem.model.parameters])
    wide = (covariance.diagonal(dim1=1, dim2=2) * spread**2 > _WIDE).any(1)
    if bool(wide.any()) and _one_valley(problem, mean, log_noise, found):
        wide = torch.zeros_like(wide)
    sought = (found.finite & (~found.converged | wide)).nonzero()[:, 0]
    starts = 2 * mean.shape[1] + 2
    for chosen in torch.split(sought, max(1, _ROWS // starts)):
        if len(chosen):
            found = _sought(problem, mean, covariance, log_noise, found, tolerance, chosen)
    return found


def _one_valley(problem: Problem, mean: Tensor, log_noise: Tensor, estimate: Estimate) -> bool:
    """Whether the objective can have no second valley: outcomes concave in a predictor that is linear.

    A predictor whose slopes are the same at the prior's mean and at the estimates is taken to be linear.
    """
    noise = problem.model.noise
    if not (isinstance(noise, Outcome) and noise.concave) or problem.penalised:
        return False
    problem = of_log_odds(problem)  # in which a class is concave
    before, after = (problem.linearise(at, log_noise).jacobian for at in (mean, estimate.coordinates))
    return bool(torch.isclose(before, after, rtol=1e-9, atol=1e-12).all())


def _sought(
    problem: Problem,
    mean: Tensor,
    covariance: Tensor,
    log_noise: Tensor,
    estimate: Estimate,
    tolerance: float,
    chosen: Tensor,
) -> Estimate:
    """Some tasks, all from several starts at once."""
    centre, root = mean[chosen], torch.linalg.cholesky(covariance[chosen])
    here = estimate.coordinates[chosen]

    def cost(at: Tensor) -> Tensor:
        return _costs(problem, chosen, centre, root, log_noise, at)

    def lowest(starts: Tensor) -> tuple[Tensor, Tensor]:
        """The lowest of the ends of searches from (start, task, parameter), and the objective there."""
        count = len(starts)
        rows = chosen.repeat(count)
        part = problem.select(rows)
        ends, value = _descend(part, starts.flatten(0, 1), mean[rows], root.repeat(count, 1, 1), log_noise)
        best = value.view(count, -1).min(0)
        places = best.indices * len(chosen) + torch.arange(len(chosen), device=value.device)
        return ends[places], best.values

    end, value = lowest(_starts(centre, root, here, cost))
    further, below = lowest(_along_one_axis(root, end, cost))
    end = torch.where((below < value)[:, None], further, end)
    precision = torch.linalg.inv(covariance[chosen])
    other = map_estimate(
        problem.select(chosen),
        centre,
        precision,
        log_noise,
        start=end,
        steps=_ARRIVING,
        tolerance=tolerance,
    )
    before = posterior_cost(
        problem.select(chosen), centre, precision, log_noise, estimate.coordinates[chosen]
    )
    after = posterior_cost(problem.select(chosen), centre, precision, log_noise, other.coordinates)
    lower = deeper(after, before, estimate.converged[chosen])
    taken = (other.finite & lower).nonzero()[:, 0]
    return with_rows(estimate, chosen[taken], other, taken)


def _starts(centre: Tensor, root: Tensor, here: Tensor, cost: Callable[[Tensor], Tensor]) -> Tensor:
    """Where searches begin, (start, task, parameter): where one ended, and about the prior's mean and that end.

    In the valley beside an end two parameters have changed places as a rule, such as absorption and elimination: so
    pairs of axes are stepped along together, and the best of these places kept.
    """
    axes = root.movedim(2, 0)  # (axis, task, parameter)
    count = len(axes)
    alone = _AWAY * axes
    pairs = [
        far * (side * axes[first] + other * axes[second])
        for first in range(count)
        for second in range(first)
        for far in _BESIDE
        for side in (1.0, -1.0)
        for other in (1.0, -1.0)
    ]
    several = [here[None], centre[None], centre + alone, centre - alone]
    if pairs:
        beside = here + torch.stack(pairs)
        best = cost(beside).argsort(0)[: 2 * count]
        several.append(beside.gather(0, best[..., None].expand(-1, -1, count)))
    return torch.cat(several)


def _along_one_axis(root: Tensor, end: Tensor, cost: Callable[[Tensor], Tensor]) -> Tensor:
    """The best places to either side of the lowest end along one axis, one for each axis, (start, task, parameter).

    Where absorption is much slower than elimination, measurements tell little of the volume alone, and two valleys of
    nearly the same depth lie along it.
    """
    axes = root.movedim(2, 0)
    beside = torch.stack(
        [end + far * side * axis for axis in axes for far in _BESIDE for side in (1.0, -1.0)]
    )
    best = cost(beside).argsort(0)[: len(axes)]
    return beside.gather(0, best[..., None].expand(-1, -1, end.shape[1]))


def _costs(
    problem: Problem, chosen: Tensor, centre: Tensor, root: Tensor, log_noise: Tensor, at: Tensor
) -> Tensor:
    """The negative log posterior of some tasks at several places, (place, task)."""
    count = len(at)
    precision = torch.cholesky_inverse(root).repeat(count, 1, 1)
    part = problem.select(chosen.repeat(count))
    return posterior_cost(part, centre.repeat(count, 1), precision, log_noise, at.flatten(0, 1)).view(
        count, -1
    )


def _descend(
    problem: Problem, start: Tensor, mean: Tensor, root: Tensor, log_noise: Tensor
) -> tuple[Tensor, Tensor]:
    """Where damped steps with the whole curvature end, and the negative log posterior there."""
    precision = torch.cholesky_inverse(root)
    at = start.detach().clone()
    value = posterior_cost(problem, mean, precision, log_noise, at)
    damping = torch.full_like(value, 1e-3)
    moving = torch.isfinite(value).nonzero()[:, 0]
    for _ in range(_STEPS):
        if not len(moving):
            break
        these, own = problem.select(moving), root[moving]
        weight = torch.ones_like(value[moving])
        slope, hessian = full_curvature(these, at[moving], mean[moving], precision[moving], log_noise, weight)
        # in units of the prior, so that one damping fits all parameters
        slope, hessian = (own.mT @ slope[..., None])[..., 0], own.mT @ hessian @ own
        sound = torch.isfinite(hessian).all(-1).all(-1) & torch.isfinite(slope).all(-1)
        eye = torch.eye(hessian.shape[-1], dtype=hessian.dtype, device=hessian.device)
        bend, axes = torch.linalg.eigh(torch.where(sound[:, None, None], hessian, eye))
        along = (axes.mT @ slope[..., None])[..., 0]
        step = (axes @ (along / (bend.abs() + damping[moving, None]))[..., None])[..., 0]
        proposed = at[moving] - (own @ step[..., None])[..., 0]
        new = posterior_cost(these, mean[moving], precision[moving], log_noise, proposed)
        better = new < value[moving]
        damping[moving] = torch.where(better, damping[moving] * 0.2, damping[moving] * 6.0).clamp(1e-9, 1e9)
        taken = moving[better]
        gained = value[moving] - new
        at[taken], value[taken] = proposed[better], new[better]
        flat = better & (gained < 1e-9) & (damping[moving] < 1.0)
        done = ~sound | flat | (slope.abs().amax(-1) < 1e-7) | (~better & (damping[moving] > 1e8))
        moving = moving[~done]
    return at, value
