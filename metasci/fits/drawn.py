"""Forecasts by draws from a posterior, and quantiles of draws that have weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from metasci.data.conditions import asked_for, batch_at, coded
from metasci.fits.posterior import posterior_draws
from metasci.meta.problem import Problem
from metasci.units import convert

if TYPE_CHECKING:
    from metasci.fits.equation import EquationFit

__all__ = ["drawn_forecast", "weighted_quantiles"]


def drawn_forecast(
    fit: EquationFit, conditions: Mapping[str, Any], draws: int, seed: int, unit: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[int, ...]]:
    """Curves and measurements of one model's posterior, (draw, point), in a unit; and the shape that was asked for."""
    model = fit.prior.model
    batch, shape = batch_at(model, fit.batch, asked_for(model, fit.batch, coded(fit.tasks.card, conditions)))
    size = int(np.prod(shape))
    drawn = posterior_draws(fit, draws=draws, seed=seed)
    problem = Problem(model, batch.select(torch.zeros(draws, dtype=torch.long)), 0.0)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        curve = problem.predict(drawn.coordinates)
        sd = (problem.variance(curve, fit.adapted.log_noise) * drawn.noise_factor[:, None]).sqrt()
        noise = torch.randn(curve.shape, generator=generator, dtype=curve.dtype)
        value = model.noise.unlink(model.noise.link(curve) + sd * noise)
    both = (convert(each[:, :size].numpy(), model.output.unit, unit, "output") for each in (curve, value))
    first, second = both
    return first, second, tuple(shape)


def weighted_quantiles(
    values: NDArray[np.float64], weights: NDArray[np.float64], shares: Sequence[float]
) -> NDArray[np.float64]:
    """Quantiles of weighted draws (draw, point) at some shares, (share, point).

    Examples
    --------
    >>> weighted_quantiles(np.array([[1.0], [2.0], [9.0]]), np.array([0.25, 0.5, 0.25]), (0.5,)).tolist()
    [[2.0]]
    """
    order = np.argsort(values, axis=0)
    rising = np.take_along_axis(values, order, 0)
    total = np.cumsum(weights[order], axis=0)
    total = total / total[-1]
    middle = total - 0.5 * weights[order] / weights.sum()
    return np.array(
        [
            [np.interp(share, middle[:, point], rising[:, point]) for point in range(values.shape[1])]
            for share in shares
        ]
    )
