"""Draws from the posterior of one calibrated task, for what is no single prediction: a time, a probability."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.fits.mixtures import mixture_draws
from metasci.meta.adapted import Adapted, NoiseMixture

if TYPE_CHECKING:
    from metasci.fits.adapted_tasks import AdaptedTasks

__all__ = ["Draws", "Proposals", "posterior_draws", "prior_draws", "proposals"]

_PROPOSED = 8  # at once, for each draw that is kept
_ENOUGH = 100.0  # draws that the proposals must be worth, or more are made
# each proposes as many again; where so many are not enough, the Gaussian is far off and a sampler is needed
_ROUNDS = 16
# Proposals are wider than the Laplace posterior, some much wider, and have Student's tails: long ones are not missed.
_WIDTHS, _SHARES, _FREEDOM = (1.2, 3.0), (0.75, 0.25), 4


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


def prior_draws(adapted: Adapted, task: int = 0, draws: int = 2000, seed: int = 0) -> Draws:
    """Draw what was known of one task before any measurement, exactly: it is a mixture of Gaussians."""
    if adapted.discrepancy is not None:
        raise InputError(
            "this prior also describes what its equation leaves out, and draws are of parameters alone: "
            "use a prior trained without a discrepancy."
        )
    generator = torch.Generator().manual_seed(seed)
    before = _of_task(adapted.start_mixture, task)
    coordinates, level = mixture_draws(adapted.start[[task]], before, draws, generator)
    return Draws(coordinates[:, 0], before.factor[level[:, 0], 0], float(draws))


def posterior_draws(calibration: AdaptedTasks, task: int = 0, draws: int = 2000, seed: int = 0) -> Draws:
    """Draw from prior times likelihood, the Laplace posterior being the proposal.

    Sampling and importance resampling (Rubin 1988): proposals come from the Laplace posterior, widened and with
    Student's tails, and are kept in proportion to prior times likelihood over their own density; where few are worth
    keeping, more are made. Where the model is nearly linear that changes nothing; where it is not, a probability is
    that of the posterior and not of its approximation.

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
    if draws < 1 or draws != int(draws):
        raise InputError(f"`draws` is a whole number of draws, at least 1, not {draws}.")
    draws = int(draws)
    if calibration.adapted.discrepancy is not None:
        raise InputError(
            f"the prior '{calibration.prior.name}' knows what its equation leaves out, of which draws of parameters "
            "tell nothing: ask `predict`, or draw curves with `metasci.fits.predictive.sampled`."
        )
    generator = torch.Generator().manual_seed(seed)
    rounds: list[Proposals] = []
    log_weight, effective = torch.empty(0), 0.0
    while effective < min(_ENOUGH, draws) and len(rounds) < _ROUNDS:
        rounds.append(proposals(calibration, task, _PROPOSED * draws, generator))
        log_weight = torch.cat([each.log_weight for each in rounds])
        effective = float((1.0 / torch.softmax(log_weight, 0).square().sum()).nan_to_num(0.0))
    # systematic resampling: evenly spaced places on the cumulative weight
    places = (torch.arange(draws, dtype=torch.float64) + 0.5) / draws
    kept = torch.searchsorted(torch.softmax(log_weight, 0).cumsum(0), places).clamp(max=len(log_weight) - 1)
    proposed = torch.cat([each.coordinates for each in rounds])
    factor = torch.cat([each.noise_factor for each in rounds])
    return Draws(proposed[kept], factor[kept], min(effective, float(draws)))


@dataclass(frozen=True)
class Proposals:
    """Draws from a density wider than the Laplace posterior of one task, and how probable each is.

    Attributes
    ----------
    coordinates : Tensor, (draw, parameter)
    noise_factor : Tensor, (draw,)
        On the noise's variance.
    log_prior, log_density : Tensor, (draw,)
        Of prior and proposal, normalised.
    costs : Tensor, (draw, observation)
        Negative log-likelihood of each measurement.
    """

    coordinates: Tensor
    noise_factor: Tensor
    log_prior: Tensor
    log_density: Tensor
    costs: Tensor

    @property
    def log_weight(self) -> Tensor:
        """Logarithm of prior times likelihood over the proposal's density; minus infinity where that is no number."""
        raw = self.log_prior - self.costs.sum(1) - self.log_density
        return torch.nan_to_num(raw, nan=-torch.inf, posinf=-torch.inf)

    @property
    def log_weight_without_each(self) -> Tensor:
        """The same where one of the measurements is not known, (draw, observation).

        The others' costs are added up from both sides: a measurement that is all but impossible under a draw is left
        out, and not subtracted from a sum in which nothing else can be seen beside it.
        """
        blank = torch.zeros_like(self.costs[:, :1])
        before = torch.cat([blank, self.costs.cumsum(1)[:, :-1]], 1)
        after = torch.cat([self.costs.flip(1).cumsum(1).flip(1)[:, 1:], blank], 1)
        raw = (self.log_prior - self.log_density)[:, None] - (before + after)
        return torch.where(torch.isfinite(raw), raw, -torch.inf)


def proposals(calibration: AdaptedTasks, task: int, count: int, generator: torch.Generator) -> Proposals:
    """Draw from the Laplace posterior of one task, widened and with Student's tails."""
    adapted = calibration.adapted
    after, before = _of_task(adapted.mixture, task), _of_task(adapted.start_mixture, task)
    size = adapted.coordinates.shape[1]
    away = torch.empty(0)

    def wide_with_tails() -> Tensor:
        nonlocal away
        width = torch.tensor(_WIDTHS, dtype=torch.float64)[
            torch.multinomial(torch.tensor(_SHARES), count, replacement=True, generator=generator)
        ]
        white = torch.randn(count, size, generator=generator, dtype=torch.float64)
        squares = torch.randn(count, _FREEDOM, generator=generator, dtype=torch.float64).square()
        away = white * (width / squares.mean(1).sqrt())[:, None]
        return away[:, None]

    drawn, levels = mixture_draws(adapted.coordinates[[task]], after, count, generator, wide_with_tails)
    proposed, level = drawn[:, 0], levels[:, 0]
    square = away.square().sum(1)
    tails = [
        math.log(share)
        - size * math.log(wide)
        - 0.5 * (_FREEDOM + size) * torch.log1p(square / (_FREEDOM * wide**2))
        for wide, share in zip(_WIDTHS, _SHARES, strict=True)
    ]
    own = _log_volume(after, level) + torch.logsumexp(torch.stack(tails), 0)
    start = adapted.start[task] + before.shift[:, 0]
    off = torch.linalg.solve_triangular(
        torch.linalg.cholesky_ex(before.covariance[:, 0]).L[level],
        (proposed - start[level])[..., None],
        upper=False,
    )
    prior = _log_volume(before, level) - 0.5 * off.square().sum((1, 2))
    factor = after.factor[:, 0][level]
    with torch.no_grad():
        problem = calibration.problem.select(torch.full((count,), task))
        costs = problem.measurement_costs(proposed, adapted.log_noise, 1.0 / factor)
    half = 0.5 * size
    prior = prior - half * math.log(2.0 * math.pi)
    own = (
        own
        + math.lgamma(0.5 * _FREEDOM + half)
        - math.lgamma(0.5 * _FREEDOM)
        - half * math.log(_FREEDOM * math.pi)
    )
    return Proposals(proposed, factor, prior, own, costs)


def _of_task(mixture: NoiseMixture, task: int) -> NoiseMixture:
    chosen = [task]
    return NoiseMixture(
        mixture.factor[:, chosen],
        mixture.weight[:, chosen],
        mixture.shift[:, chosen],
        mixture.covariance[:, chosen],
    )


def _log_volume(mixture: NoiseMixture, level: Tensor) -> Tensor:
    """Logarithm of each level's weight over the volume of its covariance, (draw,)."""
    root = torch.linalg.cholesky_ex(mixture.covariance[:, 0]).L
    return (mixture.weight[:, 0].log() - root.diagonal(dim1=1, dim2=2).log().sum(1))[level]
