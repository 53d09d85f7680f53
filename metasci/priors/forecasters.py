"""Ways to forecast tasks of an equation, side by side for `metasci.evaluation`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from metasci.data.tasks import Batch
from metasci.fits.predictive import predictive
from metasci.forecasts import Forecast, Forecaster
from metasci.learned.equation import LearnedEquation
from metasci.meta.adapted import Adapted, NoiseMixture
from metasci.meta.laplace.gauss_newton import map_estimate
from metasci.meta.problem import Problem

__all__ = ["equation_forecasters", "per_task_least_squares"]


def equation_forecasters(prior: LearnedEquation) -> dict[str, Forecaster]:
    """Ways to forecast tasks of an equation: its prior, what the prior says beforehand, and each task by itself."""

    def start_only(batch: Batch) -> Adapted:
        return prior.adapt(batch.with_mask(torch.zeros_like(batch.mask)))

    def least_squares(batch: Batch) -> Adapted:
        return per_task_least_squares(prior, batch)

    def forecaster(adapt: Callable[[Batch], Adapted]) -> Forecaster:
        def forecast(batch: Batch, support: Tensor, query: Tensor) -> Forecast:
            adapted = adapt(batch.with_mask(support))
            return predictive(Problem(prior.model, batch.with_mask(query)), adapted)

        return forecast

    ways = {"prior": prior.adapt, "start only": start_only, "per-task least squares": least_squares}
    return {name: forecaster(adapt) for name, adapt in ways.items()}


def per_task_least_squares(prior: LearnedEquation, batch: Batch) -> Adapted:
    """Each task fitted alone from the typical values, with no prior but a faint one that keeps it determined."""
    problem = prior.problem(batch)
    size = len(prior.model.parameters)
    start = batch.output.new_zeros(len(batch), size)
    wide = 100.0 * torch.eye(size, dtype=start.dtype, device=start.device).expand(len(batch), -1, -1)
    log_noise = prior.state.log_noise
    estimate = map_estimate(problem, start, torch.linalg.inv(wide), log_noise, steps=100)
    return Adapted(
        estimate.coordinates,
        estimate.covariance,
        start,
        wide,
        log_noise,
        NoiseMixture.single(estimate.covariance),
        NoiseMixture.single(wide),
        estimate.converged,
        estimate.finite,
    )
