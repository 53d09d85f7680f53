"""Forecasts from the draws of a posterior, by the same equation in NumPy: the sampler carries none of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import log_ndtr, ndtr

from metasci.bayes.hierarchical import flatten
from metasci.errors import InputError

if TYPE_CHECKING:
    from metasci.bayes.sampling import Posterior
    from metasci.data.tasks import Batch
    from metasci.model import Model

__all__ = ["Forecast", "curve", "predictive"]


@dataclass(frozen=True)
class Forecast:
    """Forecast of one task's measurements.

    Attributes
    ----------
    curve : array, (draw, row)
        The equation's values.
    measurement : array, (draw, row)
        The equation's values with noise on them.
    median : array, (row,)
        Of the curve, kept inside the model's limits.
    log_density : array, (row,)
        Of what was measured, in the output's unit: the logarithm of the density's mean over the draws; of a
        measurement that is only known to lie below a limit the log probability of that.
    cumulative : array, (row,)
        Probability of a value below what was measured.
    limits : tuple of float
        Of the model's output.
    """

    curve: np.ndarray
    measurement: np.ndarray
    median: np.ndarray
    log_density: np.ndarray
    cumulative: np.ndarray
    limits: tuple[float, float] = (-math.inf, math.inf)

    def interval(self, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """Central interval of a measurement, kept inside the model's limits."""
        tail = 0.5 * (1.0 - level)
        lower, upper = np.quantile(self.measurement, (tail, 1.0 - tail), axis=0)
        return np.clip(lower, *self.limits), np.clip(upper, *self.limits)

    @property
    def lower(self) -> np.ndarray:
        """5 % quantile of the measurements, (row,)."""
        return self.interval()[0]

    @property
    def upper(self) -> np.ndarray:
        """95 % quantile of the measurements, (row,)."""
        return self.interval()[1]


def curve(posterior: Posterior, model: Model, inputs: Mapping[str, Any], task: str | int) -> np.ndarray:
    """The equation's values for one task, (draw, row), at any conditions.

    Parameters
    ----------
    posterior : Posterior
    model : Model
    inputs : mapping of str to array
        In the model's units: each (row,) or one number; a history and its times (row, event) or (event,).
    task : str or int
        Its name, or its position in the posterior.
    """
    index = _position(posterior, task)
    physical = model.parameters.to_physical(posterior.draws["coordinates"][:, index, None, :])
    arrays = {name: np.asarray(values, float) for name, values in inputs.items()}
    for name in model.event_names:
        arrays[name] = np.atleast_2d(arrays[name])
    if model.joint:
        return _together(model, arrays, physical)
    return np.asarray(model(arrays, physical))


def _together(model: Model, arrays: Mapping[str, np.ndarray], physical: Mapping[str, Any]) -> np.ndarray:
    """The values of a model that computes a task's predictions together: every draw is a task to it."""
    import torch

    many = len(next(iter(physical.values())))
    events = set(model.event_names)
    rows = max(np.size(values) for name, values in arrays.items() if name not in events)
    inputs = {}
    for name, values in arrays.items():
        one = torch.as_tensor(values)
        inputs[name] = one[:1].expand(many, 1, -1) if name in events else one.expand(many, rows)
    with torch.no_grad():
        found = model(inputs, {name: torch.as_tensor(value) for name, value in physical.items()})
    return np.asarray(found.numpy())


def predictive(posterior: Posterior, model: Model, batch: Batch, task_index: int, seed: int = 0) -> Forecast:
    """Forecast the measurements of one task of a batch, whether the posterior has seen them or not.

    Parameters
    ----------
    posterior : Posterior
    model : Model
    batch : Batch
        Its mask says which measurements; its names find the task in the posterior.
    task_index : int
        Position of the task in the batch.
    seed : int
        For the noise.

    Raises
    ------
    InputError
        If the posterior does not know the task.
    """
    only = np.zeros(tuple(batch.mask.shape), bool)
    only[task_index] = True
    rows = flatten(model, batch, only)
    index = _position(posterior, batch.names[task_index])
    values = curve(posterior, model, rows.inputs, index)
    noise = model.noise
    centre = np.asarray(noise.link(values))
    scales = posterior.draws["log_noise"].T[..., None]
    sd = np.sqrt(noise.variance(values, scales, rows.inputs))
    if "noise_precision" in posterior.draws:
        sd = sd / np.sqrt(posterior.draws["noise_precision"][:, index, None])
    random = np.random.default_rng(seed)
    measurement = np.asarray(noise.unlink(centre + sd * random.standard_normal(centre.shape)))
    limits = (
        max([-math.inf, *(law.limits[0] for law in model.constraints)]),
        min([math.inf, *(law.limits[1] for law in model.constraints)]),
    )
    off = (np.asarray(noise.link(rows.output)) - centre) / sd
    below = ndtr(off)
    density = _log_mean(-0.5 * off**2 - np.log(sd) - 0.5 * math.log(2.0 * math.pi))
    density = np.where(rows.censored, _log_mean(log_ndtr(off)), density + _log_stretch(model, rows.output))
    return Forecast(
        values, measurement, np.clip(np.median(values, axis=0), *limits), density, below.mean(0), limits
    )


def _log_mean(logs: np.ndarray) -> np.ndarray:
    """Logarithm of the mean over the draws."""
    return np.asarray(np.logaddexp.reduce(logs, axis=0) - math.log(len(logs)))


def _position(posterior: Posterior, task: str | int) -> int:
    if not isinstance(task, str):
        return int(task)
    if task not in posterior.tasks:
        raise InputError(f"the posterior knows no task '{task}'.")
    return posterior.tasks.index(task)


def _log_stretch(model: Model, output: np.ndarray) -> np.ndarray:
    """Logarithm of the slope of the noise's link, by which a density per output unit differs."""
    import torch

    at = torch.as_tensor(output).requires_grad_()
    (slope,) = torch.autograd.grad(model.noise.link(at).sum(), at)
    return np.log(np.abs(slope.numpy()))
