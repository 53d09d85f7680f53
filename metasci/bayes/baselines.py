"""Quick relatives of the full posterior: fits that leave out a level.

Complete pooling knows no tasks, no pooling knows no population; the hierarchical model lies between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from metasci.meta.laplace.gauss_newton import map_estimate, normal_equations
from metasci.meta.laplace.pooled import pooled_fit
from metasci.meta.problem import Problem

if TYPE_CHECKING:
    from metasci.data.batch import Batch
    from metasci.model import Model

__all__ = ["Pooling", "complete_pooling", "no_pooling"]


@dataclass(frozen=True)
class Pooling:
    """Coordinates of every task, by a fit that ignores tasks or population.

    Attributes
    ----------
    coordinates, sd : array, (task, parameter)
    log_noise : array, (scale,)
    """

    coordinates: np.ndarray
    sd: np.ndarray
    log_noise: np.ndarray


def complete_pooling(model: Model, batch: Batch) -> Pooling:
    """One set of coordinates for all tasks; it has no spread between them.

    Examples
    --------
    >>> import metasci as ms
    >>> patients = ms.dataset("theophylline")
    >>> model = ms.load("theophylline").model
    >>> complete_pooling(model, patients.batch(model)).coordinates.shape
    (12, 3)
    """
    problem = Problem(model, batch)
    centre, log_noise = pooled_fit(problem)
    count, size = len(batch), len(centre)
    at = centre.expand(count, size)
    nothing = at.new_zeros(count, size, size)
    information = normal_equations(problem, at, at, nothing, log_noise, torch.ones_like(at[:, 0]))[1].sum(0)
    sd = torch.linalg.pinv(information).diagonal().clamp(min=0.0).sqrt().expand(count, size)
    return Pooling(at.numpy().copy(), sd.numpy().copy(), log_noise.numpy())


def no_pooling(model: Model, batch: Batch, log_noise: Any) -> Pooling:
    """Every task alone, from the typical values, under a prior so wide (SD 10) that it only keeps the fit determined.

    Parameters
    ----------
    model : Model
    batch : Batch
    log_noise : array, (scale,)
        Logarithms of the noise's scales, which one task alone can hardly tell.
    """
    size = len(model.parameters)
    start = batch.output.new_zeros(len(batch), size)
    precision = 0.01 * torch.eye(size, dtype=start.dtype).expand(len(batch), -1, -1)
    noise = torch.as_tensor(np.asarray(log_noise, float))
    estimate = map_estimate(Problem(model, batch), start, precision, noise, steps=200)
    sd = estimate.covariance.diagonal(dim1=1, dim2=2).clamp(min=0.0).sqrt()
    return Pooling(estimate.coordinates.numpy(), sd.numpy(), noise.numpy())
