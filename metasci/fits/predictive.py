"""Predictions with intervals: the Laplace posterior of adapted coordinates carried through the model, and the noise."""

from __future__ import annotations

import torch
from torch import Tensor

from metasci.fits.posterior import mixture_draws
from metasci.forecasts import MixtureForecast, measured_or_one
from metasci.meta.adapted import Adapted, NoiseMixture
from metasci.meta.problem import Problem

__all__ = ["predictive", "sampled"]


def predictive(problem: Problem, adapted: Adapted, prior: bool = False) -> MixtureForecast:
    """Predict every measurement of a batch from its adapted tasks.

    Parameters
    ----------
    problem : Problem
        The conditions to predict; its mask and output matter only for scores.
    adapted : Adapted
    prior : bool
        Whether to predict from the prior instead, as before any measurement.
    """
    coordinates, mixture = _side(adapted, prior)
    line = problem.linearise(coordinates, adapted.log_noise)
    if adapted.discrepancy is None:
        shift = torch.einsum("toi,lti->lto", line.jacobian, mixture.shift)
        spread = torch.einsum("toi,ltij,toj->lto", line.jacobian, mixture.covariance, line.jacobian)
        centre = line.prediction
    else:
        left_out, covariance = adapted.discrepancy.at(problem, line, coordinates, prior)
        # all variances of the process have the factor: it is Student's
        spread = mixture.factor[:, :, None] * covariance.diagonal(dim1=1, dim2=2)
        shift, centre = torch.zeros_like(spread), line.prediction + left_out
    noise = (line.variance * mixture.factor[:, :, None]).sqrt()
    batch, model = problem.batch, problem.model
    return MixtureForecast(
        model.noise, centre, shift, spread.clamp(min=0.0).sqrt(), noise, mixture.weight,
        measured_or_one(batch.output, batch.mask), problem.limits, tuple(law.limits for law in model.constraints),
    )  # fmt: skip


def sampled(
    problem: Problem, adapted: Adapted, draws: int = 400, *, prior: bool = False, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Predict every measurement by sampling the Laplace posterior instead of linearising the model about its centre.

    Slower than `predictive`, and right where the model bends within the posterior.

    Parameters
    ----------
    problem : Problem
    adapted : Adapted
    draws : int
    prior : bool
        Whether to predict from the prior instead.
    seed : int

    Returns
    -------
    curve, measurement : Tensor, (draw, task, observation)
        In the output's unit.
    """
    centre, mixture = _side(adapted, prior)
    generator = torch.Generator().manual_seed(seed)
    drawn, level = mixture_draws(centre, mixture, draws, generator)
    factor = mixture.factor[level, torch.arange(len(centre))]
    with torch.no_grad():
        curve = torch.stack([problem.predict(coordinates) for coordinates in drawn])
        variance = torch.stack([problem.variance(one, adapted.log_noise) for one in curve])
        sd = (variance * factor[..., None]).sqrt()
        noise = torch.randn(curve.shape, generator=generator, dtype=centre.dtype)
        link, unlink = problem.model.noise.link, problem.model.noise.unlink
        return curve, unlink(link(curve) + sd * noise)


def _side(adapted: Adapted, prior: bool) -> tuple[Tensor, NoiseMixture]:
    """Centre and spread after adaptation, or before."""
    if prior:
        return adapted.start, adapted.start_mixture
    return adapted.coordinates, adapted.mixture
