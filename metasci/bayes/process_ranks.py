"""Simulation-based calibration of a prior with a discrepancy: of parameters, and of a reading that was kept back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metasci.bayes.discrepancy_parts import state_of
from metasci.fits.mixtures import mixture_draws
from metasci.fits.predictive import predictive
from metasci.forecasts import MixtureForecast
from metasci.meta.adapted import NoiseMixture
from metasci.meta.discrepancy.places import rows_of

if TYPE_CHECKING:
    from metasci.data.batch import Batch
    from metasci.learned.equation import LearnedEquation

__all__ = ["process_ranks"]

_JITTER = 1e-10  # of the mean variance: places of one task may be one place


def process_ranks(
    prior: LearnedEquation, batch: Batch, *, repeats: int = 50, narrowed: float = 1.0, seed: int = 0
) -> NDArray[np.float64]:
    """Ranks of the truth in the posterior of simulated tasks, (simulation, quantity).

    Parameters, what the equation leaves out and noise are drawn from what is known of a new task; its last reading
    is kept back. Quantities are the parameters and that reading.

    Parameters
    ----------
    prior : Prior
        With a discrepancy.
    batch : Batch
        Whose conditions, covariates and groups the simulated tasks have.
    repeats : int
        Simulations of every task.
    narrowed : float
        On the posterior's standard deviations: below one makes them wrong on purpose, to see that this is caught.
    seed : int

    Examples
    --------
    >>> import metasci as ms
    >>> prior = ms.load("alloy_fatigue_discrepancy")
    >>> ranks = process_ranks(prior, prior.batch(ms.dataset("alloy_fatigue").select(slice(0, 4))), repeats=5)
    >>> ranks.shape, bool((ranks > 0.0).all() and (ranks < 1.0).all())
    ((20, 3), True)
    """
    truth, simulated = _simulated(prior, batch, repeats, seed)
    last = simulated.mask & (simulated.mask.flip(1).cumsum(1).flip(1) == 1)
    adapted = prior.adapt(simulated.with_mask(simulated.mask & ~last))
    after = adapted.mixture
    sd = narrowed * after.covariance.diagonal(dim1=2, dim2=3).sqrt()
    off = (truth - adapted.coordinates - after.shift) / sd
    of_parameters = (after.weight[..., None] * torch.special.ndtr(off)).sum(0)
    forecast = predictive(prior.problem(simulated.with_mask(last)), adapted)
    assert isinstance(forecast, MixtureForecast)
    narrow = replace(forecast, curve_sd=narrowed * forecast.curve_sd, noise_sd=narrowed * forecast.noise_sd)
    return np.asarray(torch.cat([of_parameters, narrow.cumulative()[last][:, None]], 1).numpy())


def _simulated(prior: LearnedEquation, batch: Batch, repeats: int, seed: int) -> tuple[Tensor, Batch]:
    """True coordinates (simulation, parameter), and measurements of an equation and of what it leaves out."""
    state, design = state_of(prior), prior.design(batch)
    blank = prior.adapt(batch.with_mask(torch.zeros_like(batch.mask)))
    tasks, size = blank.start.shape
    places = state.places(prior.problem(batch))
    eye = torch.eye(size, dtype=places.dtype).expand(tasks, -1, -1)
    parameters = rows_of(places.new_zeros(tasks, size, places.shape[2]), eye, design, seen=0.0)
    rows = parameters.join(rows_of(places, places.new_zeros(*places.shape[:2], size), design))
    centre = state.mean_of(rows)
    centre[:, :size] += state.origin_of(design.values)
    covariance = state.covariance(rows, rows)
    covariance = covariance + _JITTER * covariance.diagonal(dim1=1, dim2=2).mean() * torch.eye(len(rows))
    before = blank.start_mixture
    along = NoiseMixture(
        before.factor,
        before.weight,
        centre.new_zeros(len(before.factor), *centre.shape),
        before.factor[..., None, None] * covariance,
    )
    generator = torch.Generator().manual_seed(seed)
    drawn, level = mixture_draws(centre, along, repeats, generator)
    truth, left_out = drawn.flatten(0, 1).split([size, len(rows) - size], 1)
    many = batch.select(torch.arange(tasks).repeat(repeats))
    problem, noise = prior.problem(many), prior.model.noise
    with torch.no_grad():
        curve = noise.unlink(noise.link(problem.predict(truth)) + left_out)
        factor = before.factor[level.flatten(), torch.arange(tasks).repeat(repeats)]
        sd = (problem.variance(curve, state.log_noise) * factor[:, None]).sqrt()
        white = torch.randn(curve.shape, generator=generator, dtype=curve.dtype)
        value = noise.unlink(noise.link(curve) + sd * white)
    names = tuple(f"{name} {number}" for number, name in enumerate(many.names))
    output = torch.where(many.mask, value, torch.zeros_like(value))
    return truth, replace(many, output=output, censored=None, upper=None, names=names)
