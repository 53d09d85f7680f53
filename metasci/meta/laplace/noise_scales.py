"""The noise that the tasks' residuals leave: its scales, all tasks together."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from metasci.meta.laplace.gauss_newton import Estimate
from metasci.meta.laplace.resolution import noise_floor
from metasci.meta.outcomes import log_densities, outcome_of
from metasci.meta.problem import Problem

__all__ = ["noise_scales"]

_NODES = 7  # of Gauss–Hermite's rule: exact for polynomials of degree 13 in the predictor


def noise_scales(
    problem: Problem, estimate: Estimate, mask: Tensor, precision: Tensor, log_noise: Tensor
) -> Tensor:
    """Scales that make the expected squared residuals most likely, down to the resolution of the measurements."""
    floor = noise_floor(problem)
    if not problem.model.noise.gaussian:
        return _outcome_scales(problem, estimate, mask, log_noise).maximum(floor)
    weighted = torch.where(mask, precision[:, None] * estimate.squared, torch.zeros_like(estimate.squared))
    if len(log_noise) == 1:
        return (log_noise + 0.5 * torch.log(weighted.sum() / mask.sum())).maximum(floor)
    raw = problem.model.noise.unlink(estimate.line.prediction)
    squared = weighted * problem.variance(raw, log_noise)
    free = log_noise.clone().requires_grad_()
    # two or three smooth numbers: Newton-like steps settle long before 25
    search = torch.optim.LBFGS([free], max_iter=25, line_search_fn="strong_wolfe")

    def cost() -> Tensor:
        search.zero_grad()
        variance = problem.variance(raw, free)
        each = torch.where(mask, squared / variance + torch.log(variance), torch.zeros_like(squared))
        # a scale may vanish: a faint pull towards the start keeps its logarithm finite
        total = 0.5 * each.sum() + 0.01 * (free - log_noise).square().sum()
        total.backward()
        return total

    with torch.enable_grad():
        search.step(cost)
    # an iteration may change a scale by e² at most: more is a search gone astray, and the next corrects what is left
    return free.detach().clamp(log_noise - 2.0, log_noise + 2.0).maximum(floor)


def _outcome_scales(problem: Problem, estimate: Estimate, mask: Tensor, log_scales: Tensor) -> Tensor:
    """Scales that make the outcomes most likely, expected over what the predictors may be.

    The predictor of each is Gaussian under the tasks' Laplace posteriors.
    """
    if not len(log_scales):
        return log_scales
    outcome, line = outcome_of(problem.model.noise), estimate.line
    covariance = estimate.covariance.expand(len(problem), -1, -1)
    sd = torch.einsum("toi,tij,toj->to", line.jacobian, covariance, line.jacobian).clamp(min=0.0).sqrt()
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    batch = problem.batch.with_mask(mask)
    free = log_scales.clone().requires_grad_()
    search = torch.optim.LBFGS([free], max_iter=25, line_search_fn="strong_wolfe")

    def cost() -> Tensor:
        search.zero_grad()
        centre = line.prediction
        each = [
            -(weight / weights.sum())
            * log_densities(outcome, batch, centre + node * sd, free, about=centre).sum()
            for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True)
        ]
        # a scale may vanish: a faint pull towards the start keeps its logarithm finite
        total = torch.stack(each).sum() + 0.01 * (free - log_scales).square().sum()
        total.backward()
        return total

    with torch.enable_grad():
        search.step(cost)
    # as above: more is a search gone astray
    return free.detach().clamp(log_scales - 2.0, log_scales + 2.0)
