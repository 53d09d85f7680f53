"""Draws from the posterior of one calibrated task, for what is no single prediction: a time, a probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.meta.adapted import NoiseMixture

if TYPE_CHECKING:
    from metasci.calibration import Calibration

__all__ = ["Draws", "posterior_draws"]

_PROPOSED = 8  # for each draw that is kept
_WIDER = 1.2  # than the Laplace posterior, and with Student's tails, so that long ones are not missed
_FREEDOM = 4  # degrees of freedom of these tails


@dataclass(frozen=True)
class Draws:
    """Equally probable parameters of one task.

    Attributes
    ----------
    coordinates : Tensor, (draw, parameter)
    noise_factor : Tensor, (draw,)
        On the noise's variance.
    effective : float
        How many independent draws the proposals are worth; far fewer than draws means that the Laplace posterior is a
        poor picture of the true one.
    """

    coordinates: Tensor
    noise_factor: Tensor
    effective: float


def posterior_draws(calibration: Calibration, task: int = 0, draws: int = 2000, seed: int = 0) -> Draws:
    """Draw from prior times likelihood, the Laplace posterior being the proposal.

    Sampling and importance resampling (Rubin 1988): proposals come from the Laplace posterior, somewhat widened and
    with Student's tails, and are kept in proportion to prior times likelihood over their own density. Where the model is nearly linear that
    changes nothing; where it is not, a probability is that of the posterior and not of its approximation.

    Parameters
    ----------
    calibration : Calibration
    task : int
        Position of the task.
    draws : int
    seed : int

    Examples
    --------
    >>> import metasci as ms
    >>> fit = ms.load("theophylline").calibrate(ms.dataset("theophylline").select(["1"]))
    >>> found = posterior_draws(fit, draws=500)
    >>> tuple(found.coordinates.shape), found.effective > 250
    ((500, 3), True)
    """
    if draws < 1:
        raise InputError(f"`draws` is a number of draws, at least 1, not {draws}.")
    adapted = calibration.adapted
    after, before = _of_task(adapted.mixture, task), _of_task(adapted.start_mixture, task)
    after = NoiseMixture(after.factor, after.weight, after.shift, _WIDER**2 * after.covariance)
    generator = torch.Generator().manual_seed(seed)
    count = _PROPOSED * draws
    level = torch.multinomial(after.weight[:, 0], count, replacement=True, generator=generator)
    white = torch.randn(count, adapted.coordinates.shape[1], generator=generator, dtype=torch.float64)
    squares = torch.randn(count, _FREEDOM, generator=generator, dtype=torch.float64).square()
    white = white / squares.mean(1, keepdim=True).sqrt()
    root = torch.linalg.cholesky_ex(after.covariance[:, 0]).L
    centre = adapted.coordinates[task] + after.shift[:, 0]
    proposed = centre[level] + torch.einsum("dij,dj->di", root[level], white)
    own = _log_density(proposed, level, centre, after, _FREEDOM)
    prior = _log_density(proposed, level, adapted.start[task] + before.shift[:, 0], before)
    factor = after.factor[:, 0][level]
    problem = calibration.problem.select(torch.full((count,), task))
    with torch.no_grad():
        likelihood = -problem.negative_log_likelihood(proposed, adapted.log_noise, 1.0 / factor)
    log_weight = torch.nan_to_num(prior + likelihood - own, nan=-torch.inf, posinf=-torch.inf)
    weight = torch.softmax(log_weight, 0)
    effective = float(1.0 / weight.square().sum())
    # systematic resampling: evenly spaced places on the cumulative weight
    places = (torch.arange(draws, dtype=torch.float64) + 0.5) / draws
    kept = torch.searchsorted(weight.cumsum(0), places).clamp(max=count - 1)
    return Draws(proposed[kept], factor[kept], min(effective, float(draws)))


def _of_task(mixture: NoiseMixture, task: int) -> NoiseMixture:
    chosen = [task]
    return NoiseMixture(
        mixture.factor[:, chosen],
        mixture.weight[:, chosen],
        mixture.shift[:, chosen],
        mixture.covariance[:, chosen],
    )


def _log_density(
    at: Tensor, level: Tensor, centre: Tensor, mixture: NoiseMixture, freedom: float = torch.inf
) -> Tensor:
    """Of each draw and its noise level, but for a constant, (draw,): Gaussian, or Student's t where it has a freedom."""
    root = torch.linalg.cholesky_ex(mixture.covariance[:, 0]).L
    off = torch.linalg.solve_triangular(root[level], (at - centre[level])[..., None], upper=False)[..., 0]
    size, square = root.diagonal(dim1=1, dim2=2).log().sum(1), off.square().sum(1)
    shape = 0.5 * square
    if freedom < torch.inf:
        shape = 0.5 * (freedom + at.shape[1]) * torch.log1p(square / freedom)
    return mixture.weight[:, 0].log()[level] - shape - size[level]
