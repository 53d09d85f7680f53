"""How probable a task's measurements are under its prior: for all of them, and for each from the others.

The marginal likelihood p(y) = ∫ p(y | θ) p(θ) dθ is the mean of prior times likelihood over the density of proposals
that are wider than the posterior; Laplace's approximation stands beside it. The density of one measurement when the
others are known is that of importance sampling that leaves it out.

Source: Kass and Raftery, J Am Stat Assoc 90 (1995) 773, for marginal likelihoods; Gelfand, Dey and Chang, Bayesian
Statistics 4 (1992) 147, for leaving one out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metasci.fits.posterior import proposals

if TYPE_CHECKING:
    from metasci.fits.adapted_tasks import AdaptedTasks

__all__ = ["Evidence", "evidence", "laplace_evidence"]

_PROPOSED = 8000


@dataclass(frozen=True)
class Evidence:
    """What one task's measurements say of its prior, as densities in the output's unit.

    Attributes
    ----------
    log_marginal, log_laplace : float
        Logarithm of the marginal likelihood, by importance weights and by Laplace's approximation.
    log_predictive : float
        Sum of the logarithms of each measurement's density when the others are known.
    rarity : float
        Probability, under this prior, of measurements as far from what it expects: of χ²ₙ ≥ Σr²/v + η̂ᵀΩ⁻¹η̂, which is
        exact where model and noise are linear and Gaussian.
    effective : float
        How many independent draws the proposals are worth.
    """

    log_marginal: float
    log_laplace: float
    log_predictive: float
    rarity: float
    effective: float


def evidence(calibration: AdaptedTasks, task: int = 0, seed: int = 0) -> Evidence:
    """The evidence for the prior of a calibration from one task.

    Parameters
    ----------
    calibration : AdaptedTasks
    task : int
        Position of the task.
    seed : int

    Examples
    --------
    >>> import metasci as ms
    >>> found = evidence(ms.load("theophylline").calibrate(ms.dataset("theophylline").select(["1"])))
    >>> abs(found.log_marginal - found.log_laplace) < 0.2, found.effective > 1000
    (True, True)
    """
    from scipy.special import chdtrc

    generator = torch.Generator().manual_seed(seed)
    drawn = proposals(calibration, task, _PROPOSED, generator)
    weight = drawn.log_weight
    total = torch.logsumexp(weight, 0)
    # p(yᵢ | the others) = Σ w / Σ w₋ᵢ, of which the second leaves yᵢ out
    left_out = total - torch.logsumexp(drawn.log_weight_without_each, 0)
    seen = calibration.batch.mask[task]
    scale = _on_the_measured_scale(calibration, task)
    effective = float((1.0 / torch.softmax(weight, 0).square().sum()).nan_to_num(0.0))
    count, distance = _distance(calibration, task)
    return Evidence(
        float(total) - math.log(_PROPOSED) + float(scale.sum()),
        laplace_evidence(calibration, task) + float(scale.sum()),
        float((left_out + scale)[seen].sum()),
        float(chdtrc(max(count, 1), distance)),
        effective,
    )


def laplace_evidence(calibration: AdaptedTasks, task: int) -> float:
    """Logarithm of the marginal likelihood by Laplace's approximation at each level of scales, on the linked scale."""
    adapted, before = calibration.adapted, calibration.adapted.start_mixture
    after, levels = adapted.mixture, len(adapted.mixture.weight)
    at = adapted.coordinates[task] + after.shift[:, task]
    off, prior = at - adapted.start[task], before.covariance[:, task]
    problem = calibration.problem.select(torch.full((levels,), task))
    cost = problem.negative_log_likelihood(at, adapted.log_noise, 1.0 / before.factor[:, task])
    pull = (off * torch.linalg.solve(prior, off)).sum(1)
    volume = torch.linalg.slogdet(after.covariance[:, task]).logabsdet - torch.linalg.slogdet(prior).logabsdet
    each = before.weight[:, task].log() - cost - 0.5 * pull + 0.5 * volume
    return float(torch.logsumexp(each, 0))


def _on_the_measured_scale(calibration: AdaptedTasks, task: int) -> Tensor:
    """ln |d link/dy| of each measurement that is a number, (observation,): densities are of y and not of ln y."""
    batch, noise = calibration.batch, calibration.prior.model.noise
    numbers = (batch.mask & batch.numbers)[task]
    value = torch.where(numbers, batch.output[task], torch.ones_like(batch.output[task])).requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad((noise.link(value) + 0.0 * value).sum(), value)
    return torch.where(numbers, slope.abs().log(), torch.zeros_like(slope))


def _distance(calibration: AdaptedTasks, task: int) -> tuple[int, float]:
    """How many numbers were measured, and how far they and the estimate lie from what the prior expects, squared."""
    adapted, problem = calibration.adapted, calibration.problem
    if not problem.model.noise.gaussian:  # whose distances follow no known law
        return int(calibration.batch.mask[task].sum()), math.nan
    line = problem.linearise(adapted.coordinates, adapted.log_noise)
    seen = (calibration.batch.mask & calibration.batch.numbers)[task]
    off = adapted.coordinates[task] - adapted.start[task]
    prior = off @ torch.linalg.solve(adapted.start_covariance[task], off)
    residual = (problem.target - line.prediction)[task] ** 2 / line.variance[task]
    return int(seen.sum()), float(residual[seen].sum() + prior)
