"""Predictions with intervals: the Laplace posterior of adapted coordinates carried through the model, and the noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from metasci.class_forecasts import ClassForecast
from metasci.fits.mixtures import mixture_draws
from metasci.forecasts import MixtureForecast, measured_or_one
from metasci.meta.adapted import Adapted, Discrepancy, NoiseMixture
from metasci.meta.laplace.task_noise import noise_levels
from metasci.meta.outcomes import outcome_of
from metasci.meta.problem import Linearisation, Problem
from metasci.meta.stages import log_odds
from metasci.mixed_forecasts import MixedForecast, by_kind
from metasci.outcome_forecasts import OutcomeForecast
from metasci.outcomes import StudentAdditive
from metasci.outcomes.classes import Categorical
from metasci.outcomes.mixed import Mixed

__all__ = ["median_curve", "predictive", "sampled"]

_LEVELS, _TAIL = 32, 1e-6  # of Student's noise: readings that lie far off are what it is for


def predictive(
    problem: Problem, adapted: Adapted, prior: bool = False
) -> MixtureForecast | OutcomeForecast | ClassForecast | MixedForecast:
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
    if isinstance(problem.model.noise, Categorical):
        return _classes(problem, problem.model.noise, coordinates, mixture)
    line = problem.linearise(coordinates, adapted.log_noise)
    if not problem.model.noise.measures:
        return _outcomes(problem, line, mixture, adapted.log_noise)
    if adapted.discrepancy is None:
        shift = torch.einsum("toi,lti->lto", line.jacobian, mixture.shift)
        spread = torch.einsum("toi,ltij,toj->lto", line.jacobian, mixture.covariance, line.jacobian)
        centre = line.prediction
    else:
        centre = line.prediction + adapted.discrepancy.left_out(problem, line, coordinates, prior)
        covariance = adapted.discrepancy.covariance_at(problem, line, prior)
        # all variances of the process have the factor: it is Student's
        spread = mixture.factor[:, :, None] * covariance.diagonal(dim1=1, dim2=2)
        shift = torch.zeros_like(spread)
    curve_sd, weight = spread.clamp(min=0.0).sqrt(), mixture.weight
    batch, model = problem.batch, problem.model
    if isinstance(model.noise, StudentAdditive):
        sd, share = _gaussians(model.noise, adapted.log_noise)
        shift, curve_sd = shift.repeat(len(sd), 1, 1), curve_sd.repeat(len(sd), 1, 1)
        noise = sd.repeat_interleave(len(weight))[:, None, None].expand_as(curve_sd)
        weight = share.repeat_interleave(len(weight))[:, None] * weight.repeat(len(sd), 1)
    else:
        noise = (line.variance * mixture.factor[:, :, None]).sqrt()
    return MixtureForecast(
        model.noise,
        centre,
        shift,
        curve_sd,
        noise,
        weight,
        measured_or_one(batch.output, batch.mask),
        problem.limits,
        tuple(law.limits for law in model.constraints),
        tuple(law.reading_limits for law in model.constraints),
    )


def _gaussians(noise: StudentAdditive, log_noise: Tensor) -> tuple[Tensor, Tensor]:
    """Standard deviations of Gaussians, and their shares, (level,), whose mixture is Student's noise."""
    freedom, scale = noise.student(log_noise.detach().numpy())
    precision, share = noise_levels(log_noise.new_tensor(0.5 * freedom), _LEVELS, _TAIL)
    return scale / precision.sqrt(), share


def _outcomes(
    problem: Problem, line: Linearisation, mixture: NoiseMixture, log_noise: Tensor
) -> OutcomeForecast | MixedForecast:
    """The forecast of outcomes that are no Gaussian measurements."""
    batch, shape = problem.batch, line.prediction.shape
    shift = torch.einsum("toi,lti->lto", line.jacobian, mixture.shift)
    spread = torch.einsum("toi,ltij,toj->lto", line.jacobian, mixture.covariance, line.jacobian)
    whole = OutcomeForecast(
        outcome_of(problem.model.noise),
        line.prediction,
        shift,
        spread.clamp(min=0.0).sqrt(),
        mixture.weight,
        log_noise,
        {name: batch.inputs[name].expand(shape) for name in problem.model.inputs},
        measured_or_one(batch.output, batch.mask),
        batch.censored,
        batch.upper,
    )
    return by_kind(whole) if isinstance(whole.outcome, Mixed) else whole


def _classes(
    problem: Problem, outcome: Categorical, coordinates: Tensor, mixture: NoiseMixture
) -> ClassForecast:
    """The forecast of classes, which have several predictors."""
    centre, jacobian = log_odds(problem, coordinates, coordinates.new_zeros(0))
    shift = torch.einsum("toki,lti->ltok", jacobian, mixture.shift)
    covariance = torch.einsum("toki,ltij,tomj->ltokm", jacobian, mixture.covariance, jacobian)
    measured = measured_or_one(problem.batch.output, problem.batch.mask)
    return ClassForecast(outcome, centre, shift, covariance, mixture.weight, measured)


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
    link, unlink = problem.model.noise.link, problem.model.noise.unlink
    with torch.no_grad():
        if adapted.discrepancy is None:
            drawn, level = mixture_draws(centre, mixture, draws, generator)
            curve = torch.stack([problem.predict(coordinates) for coordinates in drawn])
        else:
            curve, level = _curves_drawn(problem, adapted, adapted.discrepancy, draws, prior, generator)
        if not problem.model.noise.gaussian:
            outcome, random = outcome_of(problem.model.noise), np.random.default_rng(seed)
            predictor, scales = link(curve).numpy(), adapted.log_noise.numpy()
            inputs = {name: problem.batch.inputs[name].numpy() for name in problem.model.inputs}
            return (
                torch.as_tensor(outcome.expected(predictor, scales, inputs)),
                torch.as_tensor(outcome.sample(predictor, scales, inputs, random)),
            )
        factor = mixture.factor[level, torch.arange(len(centre))]
        variance = torch.stack([problem.variance(values, adapted.log_noise) for values in curve])
        sd = (variance * factor[..., None]).sqrt()
        noise = torch.randn(curve.shape, generator=generator, dtype=centre.dtype)
        return curve, unlink(link(curve) + sd * noise)


def median_curve(problem: Problem, adapted: Adapted, inputs: Mapping[str, Tensor]) -> Tensor:
    """The curve's median at some inputs, (task, place), in the output's unit; differentiable in the inputs."""
    if adapted.discrepancy is None:
        return problem.model.at(adapted.coordinates[:, None, :], inputs)
    shape = torch.broadcast_shapes(*(inputs[name].shape for name in problem.model.inputs))
    seen = torch.ones(shape, dtype=torch.bool)
    batch = replace(
        problem.batch, inputs=dict(inputs), output=seen.double(), mask=seen, censored=None, upper=None
    )
    problem_at = Problem(problem.model, batch)
    line = problem_at.linearise(adapted.coordinates, adapted.log_noise, create_graph=True)
    left_out = adapted.discrepancy.left_out(problem_at, line, adapted.coordinates)
    return problem.model.noise.unlink(line.prediction + left_out)


def _curves_drawn(
    problem: Problem,
    adapted: Adapted,
    discrepancy: Discrepancy,
    draws: int,
    prior: bool,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Curves of equation and discrepancy, (draw, task, observation), and the noise level of each, (draw, task)."""
    coordinates, mixture = _side(adapted, prior)
    line = problem.linearise(coordinates, adapted.log_noise)
    centre = line.prediction + discrepancy.left_out(problem, line, coordinates, prior)
    covariance = discrepancy.covariance_at(problem, line, prior)
    along = NoiseMixture(
        mixture.factor,
        mixture.weight,
        torch.zeros_like(centre).expand(len(mixture.factor), -1, -1),
        mixture.factor[..., None, None] * covariance,
    )
    drawn, level = mixture_draws(centre, along, draws, generator)
    return problem.model.noise.unlink(drawn), level


def _side(adapted: Adapted, prior: bool) -> tuple[Tensor, NoiseMixture]:
    """Centre and spread after adaptation, or before."""
    if prior:
        return adapted.start, adapted.start_mixture
    return adapted.coordinates, adapted.mixture
