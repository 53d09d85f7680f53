"""How much of the measurements a model's predictions explain: a model whose rates are far off explains nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from metasci.meta.problem import Problem
from metasci.meta.stages import staged

__all__ = ["explained_share", "moved_by"]


def explained_share(problem: Problem, coordinates: Tensor, log_noise: Tensor) -> float:
    """The share of the measurements' squares about one constant that predictions explain, on the linked scale.

    Of outcomes that are no Gaussian measurements it is one. Each square is weighed by the noise there. At most one;
    zero or below where a constant does as well; one where all measurements are the same, so that there is nothing to
    explain. Limits and intervals do not count.

    Parameters
    ----------
    problem : Problem
    coordinates : Tensor, (task, parameter)
    log_noise : Tensor, (scale,)
    """
    if not problem.model.noise.measures:
        return 1.0
    prediction, variance = _predicted(problem, coordinates, log_noise)
    sound = torch.isfinite(prediction) & torch.isfinite(variance) & (variance > 0.0)
    seen = problem.batch.mask & problem.batch.numbers & sound
    weight = torch.where(seen, 1.0 / torch.where(seen, variance, torch.ones_like(variance)), 0.0)
    if not bool(seen.any()):
        return 1.0
    left = (weight * torch.where(seen, problem.target - prediction, 0.0).square()).sum()
    mean = (weight * problem.target).sum() / weight.sum()
    whole = (weight * (problem.target - mean).square()).sum()
    return float(1.0 - left / whole) if float(whole) > 0.0 else 1.0


def moved_by(problem: Problem, coordinates: Tensor, log_noise: Tensor) -> float:
    """The most that any prediction moves with one unit of any coordinate, in standard deviations of the noise."""
    problem = staged(problem)
    line = problem.linearise(coordinates, log_noise)
    moved = line.jacobian.abs().amax(-1) / line.variance.sqrt()
    seen = problem.batch.mask & torch.isfinite(moved)
    return float(moved[seen].max()) if bool(seen.any()) else 0.0


def _predicted(problem: Problem, coordinates: Tensor, log_noise: Tensor) -> tuple[Tensor, Tensor]:
    """Predictions on the linked scale, and the noise's variance there."""
    with torch.no_grad():
        raw = problem.predict(coordinates)
        linked = problem.model.noise.link(raw).expand(problem.batch.mask.shape)
        return linked, problem.variance(raw, log_noise).expand(problem.batch.mask.shape)
