"""Forecasts from the draws of a posterior, by the same equation in NumPy: the sampler carries none of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from metasci.bayes.hierarchical import Rows, flatten, log_probabilities
from metasci.errors import InputError
from metasci.forecasts import DrawsForecast, stretch
from metasci.outcomes.classes import Categorical
from metasci.outcomes.mixed import Mixed
from metasci.outcomes.outcome import Outcome

if TYPE_CHECKING:
    from metasci.bayes.sampling import Posterior
    from metasci.data.tasks import Batch
    from metasci.model import Model

__all__ = ["curve", "of_normals", "predictive"]


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
        array = torch.as_tensor(values)
        inputs[name] = array[:1].expand(many, 1, -1) if name in events else array.expand(many, rows)
    with torch.no_grad():
        prediction = model(inputs, {name: torch.as_tensor(value) for name, value in physical.items()})
    return np.asarray(prediction.numpy())


def predictive(
    posterior: Posterior, model: Model, batch: Batch, task_index: int, seed: int = 0
) -> DrawsForecast:
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
    if isinstance(noise, Outcome):
        return _of_outcomes(noise, centre, posterior, rows, seed)
    scales = posterior.draws["log_noise"].T[..., None]
    sd = np.sqrt(noise.variance(values, scales, rows.inputs))
    if "noise_precision" in posterior.draws:
        sd = sd / np.sqrt(posterior.draws["noise_precision"][:, index, None])
    return of_normals(model, rows, values, centre, sd, seed)


def of_normals(
    model: Model, rows: Rows, values: np.ndarray, centre: np.ndarray, sd: np.ndarray, seed: int = 0
) -> DrawsForecast:
    """The forecast of measurements that are normal on the linked scale in every draw.

    Parameters
    ----------
    model : Model
    rows : metasci.bayes.hierarchical.Rows
        What was measured there, for the density.
    values : array, (draw, row)
        The curve, in the output's unit.
    centre, sd : array, (draw, row)
        Of a measurement, on the linked scale.
    seed : int
        For the noise.
    """
    noise, random = model.noise, np.random.default_rng(seed)
    measurement = np.asarray(noise.unlink(centre + sd * random.standard_normal(centre.shape)))
    limits = _narrowest([law.limits for law in model.constraints])
    reading_limits = _narrowest([law.reading_limits for law in model.constraints])
    off = (np.asarray(noise.link(rows.output)) - centre) / sd
    density = _log_mean(-0.5 * off**2 - np.log(sd) - 0.5 * math.log(2.0 * math.pi))
    density = density + _log_stretch(model, rows.output)
    for places, each in log_probabilities(rows, noise, centre, sd):
        density[places] = _log_mean(each)
    return DrawsForecast(
        values, measurement, density, scipy.special.ndtr(off).mean(0), limits, reading_limits
    )


def _narrowest(limits: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return max([-math.inf, *(low for low, _ in limits)]), min([math.inf, *(high for _, high in limits)])


def _of_outcomes(
    outcome: Outcome, predictor: np.ndarray, posterior: Posterior, rows: Rows, seed: int
) -> DrawsForecast:
    """The forecast of outcomes that are no Gaussian measurements, whose curve is their expectation."""
    scales: Any = posterior.draws["log_noise"].T[..., None] if outcome.scales else []
    upper = None if np.isnan(rows.upper).all() else rows.upper
    below = rows.censored if rows.censored.any() else None
    curves = outcome.expected(predictor, scales, rows.inputs)
    density = outcome.log_density(rows.output, predictor, scales, rows.inputs, below, upper)
    under = outcome.cumulative(rows.output, predictor, scales, rows.inputs).mean(0)
    drawn = outcome.sample(predictor, scales, rows.inputs, np.random.default_rng(seed))
    log_density = _log_mean(density)
    under = under - np.where(_whole(outcome, rows), 0.5 * np.exp(log_density), 0.0)
    of_classes = outcome.probabilities(predictor).mean(0) if isinstance(outcome, Categorical) else None
    return DrawsForecast(curves, drawn, log_density, under, probabilities=of_classes)


def _whole(outcome: Outcome, rows: Rows) -> np.ndarray:
    """Where outcomes are whole, of which half the probability counts as less."""
    if not isinstance(outcome, Mixed):
        return np.full(rows.output.shape, outcome.whole)
    which = np.broadcast_to(outcome.which(rows.inputs), rows.output.shape)
    return np.isin(which, [place for place, part in enumerate(outcome.parts, 1) if part.whole])


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

    return np.log(stretch(model.noise, torch.as_tensor(output)).numpy())
