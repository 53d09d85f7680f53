"""A prior of an equation and of what it leaves out, in PyMC: the same covariances, levels and beliefs, sampled.

What the learned prior takes as known, its scales, is sampled here, too; its inducing rows and its linearised equation
are not needed: every measurement counts, and the equation runs natively. The discrepancies of tasks, of their groups
and of all of them are summed analytically, since given the equation's parameters measurements are Gaussian. What is
left costs the cube of the number of measurements a step, so that it is for hundreds of them. Where there are more, and
coordinates are few, what tasks share can be sampled as sums of sines (`metasci.bayes.hilbert_space`): then it costs the
cube of the measurements of a task.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import torch

from metasci.bayes.discrepancy_parts import Places, normal, state_of
from metasci.bayes.forecast import curve
from metasci.bayes.hilbert_space import ByTask, shared_curve, sines_for
from metasci.meta.discrepancy.likelihood import BELIEVED
from metasci.meta.discrepancy.state import DiscrepancyState

if TYPE_CHECKING:
    from metasci.bayes.sampling import Posterior
    from metasci.data.batch import Batch
    from metasci.learned.equation import LearnedEquation

__all__ = ["JITTER", "SCALES", "forecast_with_discrepancy", "state_of", "with_discrepancy"]

JITTER = 1e-9
"""On the diagonal of how alike tasks are."""
SCALES = "scales_"
"""What the names of sampled scales begin with."""


def with_discrepancy(
    prior: LearnedEquation,
    batch: Batch,
    *,
    support: Any = None,
    scales_known: bool = False,
    sines: bool = False,
) -> pm.Model:
    """Build the model of a `DiscrepancyPrior` for a batch of tasks.

    Parameters
    ----------
    prior : Prior
        Says the equation, covariates and levels, in which unit discrepancies are measured, and, where its scales are
        taken as known, which they are.
    batch : Batch
        The tasks that it was learned from, and others.
    support : array of bool, (task, observation), optional
        Which of the measurements to condition on; all of them by default.
    scales_known : bool
        Whether scales and noise are those of the prior instead of being sampled.
    sines : bool
        Whether what tasks share is approximated by sums of sines, whose weights are sampled, instead of being summed
        exactly: for hundreds of measurements over one coordinate or two.

    Returns
    -------
    pymc.Model
        With the variables ``coordinates`` (task, parameter), ``log_noise`` (scale) and, by the names that
        `metasci.meta.discrepancy.kernel.Kernel` gives them behind ``scales_``, the logarithms of all scales.

    Raises
    ------
    InputError
        If the prior has no discrepancy, a measurement is a limit or an interval, or more sines are needed than 600.

    Notes
    -----
    In scaled coordinates z = z₀ + √v₀ a + M(c, c')^½ E₁ Bᵀ + E₂ Uᵀ + Σ E₃ R over tasks, with a and all E standard
    normal; without covariates the second and the third term are (v₀ I + B Bᵀ)^½ a. Measurements on the linked scale
    are N(f(z), K), where K is what `Kernel` says of places, plus the noise.
    Scales have the beliefs that learning has: on the logarithm normal about where learning began, with a standard
    deviation of one; noise N(ln typical, 1).

    Examples
    --------
    >>> import metasci as ms
    >>> prior = ms.load("steel_tempering_discrepancy")
    >>> built = with_discrepancy(prior, prior.batch(ms.dataset("steel_tempering").select([0, 1])), scales_known=True)
    >>> sorted(variable.name for variable in built.free_RVs)
    ['common_offset', 'effect_offset', 'group_offset_0', 'own_offset']
    """
    state, model, noise = state_of(prior), prior.model, prior.model.noise
    data = Places.of(prior, batch, support)
    scales: dict[str, Any] = {name: value.detach().numpy() for name, value in state.scales.items()}
    first: dict[str, Any] = {name: value.detach().numpy() for name, value in state.first.items()}
    waves = sines_for(state, data, scales_known) if sines else None
    coords = {
        "task": list(batch.names),
        "parameter": list(model.parameters.names),
        "scale": list(noise.scales),
        "row": np.arange(len(data.rows.task)),
    }
    with pm.Model(coords=coords, check_bounds=False) as built:
        if scales_known:
            log_noise: Any = pt.constant(state.log_noise.detach().numpy())
        else:
            scales = scales | {  # without covariates there are no lengths of these
                name: normal(SCALES + name, values.shape, first.get(name, 0.0), BELIEVED)
                for name, values in scales.items()
                if values.size
            }
            log_noise = pm.Normal("log_noise", np.log(noise.typical), 1.0, dims="scale")
        coordinates = pm.Deterministic(
            "coordinates", _coordinates(state, data, scales, len(batch)), dims=("task", "parameter")
        )
        physical = {p.name: p.to_physical(coordinates[:, i]) for i, p in enumerate(model.parameters)}
        task = data.rows.task
        prediction = model(data.rows.inputs, {name: value[task] for name, value in physical.items()})
        each = [log_noise[i] for i in range(len(noise.scales))]
        centre, measured = noise.link(prediction), np.asarray(noise.link(data.rows.output))
        variance = noise.variance(prediction, each, data.rows.inputs) * pt.ones(len(task))
        if waves is None:
            chol = pt.linalg.cholesky(_left_out(state, data, scales) + pt.diag(variance))
            pm.MvNormal("measurement", centre, chol=chol, observed=measured, dims="row")
        else:
            rows = ByTask.of(task)
            own = _own(state, rows.laid_out(data.place), scales)
            shared = shared_curve(state, data, scales, waves)
            rows.measured("measurement", centre + shared, own, variance, measured)
    return built


def forecast_with_discrepancy(
    posterior: Posterior, prior: LearnedEquation, batch: Batch, support: Any, query: Any, most: int = 400
) -> list[tuple[np.ndarray, np.ndarray]]:
    """What draws say of measurements of some tasks, given those of the same and of all others.

    Parameters
    ----------
    posterior : Posterior
        Of `with_discrepancy`, with the same prior, batch and support.
    prior : Prior
    batch : Batch
    support, query : array of bool, (task, observation)
    most : int
        How many draws are used, at most, evenly spaced.

    Returns
    -------
    list of tuple of array
        For each task the means and the standard deviations of a measurement on the linked scale, (draw, row) each,
        rows in the order of the query.
    """
    state, model, noise = state_of(prior), prior.model, prior.model.noise
    known, asked = (Places.of(prior, batch, which) for which in (support, query))
    size = len(state.origin)
    rows = known.rows_without_slopes(size).join(asked.rows_without_slopes(size))
    seen = len(known.rows.task)
    chosen = np.linspace(0, len(posterior) - 1, min(most, len(posterior))).astype(int)
    part = replace(posterior, draws={name: values[chosen] for name, values in posterior.draws.items()})
    fitted, variance = (np.zeros((len(chosen), len(rows))) for _ in range(2))
    log_noise = part.draws.get(
        "log_noise", np.broadcast_to(state.log_noise.numpy(), (len(chosen), len(noise.scales)))
    )
    for places, begin in ((known, 0), (asked, seen)):
        for task in np.unique(places.rows.task):
            here = np.flatnonzero(places.rows.task == task)
            inputs = {name: values[here] for name, values in places.rows.inputs.items()}
            values = curve(part, model, inputs, int(task))
            fitted[:, begin + here] = noise.link(values)
            variance[:, begin + here] = noise.variance(values, log_noise.T[..., None], inputs)
    left = np.asarray(noise.link(known.rows.output)) - fitted[:, :seen]
    mean, sd = np.zeros((2, len(chosen), len(rows) - seen))
    sampled = [name for name in state.scales if SCALES + name in part.draws]
    whole = state.kernel.whole(rows, rows).numpy()
    for draw in range(len(chosen)):
        if sampled:
            scales = {name: torch.as_tensor(part.draws[SCALES + name][draw]) for name in sampled}
            whole = replace(state.kernel, scales={**state.scales, **scales}).whole(rows, rows).numpy()
        among = whole[:seen, :seen] + np.diag(variance[draw, :seen])
        weights = np.linalg.solve(among, np.column_stack([left[draw], whole[:seen, seen:]]))
        mean[draw] = fitted[draw, seen:] + whole[:seen, seen:].T @ weights[:, 0]
        spread = np.diagonal(whole)[seen:] - (whole[:seen, seen:] * weights[:, 1:]).sum(0)
        sd[draw] = np.sqrt(np.maximum(spread, 0.0) + variance[draw, seen:])
    return [(mean[:, asked.rows.task == task], sd[:, asked.rows.task == task]) for task in range(len(batch))]


def _coordinates(state: DiscrepancyState, data: Places, scales: Mapping[str, Any], tasks: int) -> Any:
    """Of every task, (task, parameter)."""
    size = len(state.origin)
    effects, spread = (_triangular(scales[name], size) for name in ("effects", "spread"))
    common = pm.Normal("common_offset", dims="parameter")
    own = pm.Normal("own_offset", dims=("task", "parameter"))
    value = state.origin_of(torch.as_tensor(data.covariates)).numpy() + own @ spread.T
    if data.covariates.shape[1]:
        moved = pm.Normal("effect_offset", dims=("task", "parameter"))
        alike = _matern(_unlike(data, scales)) + JITTER * np.eye(tasks)
        value = value + math.sqrt(float(state.level)) * common[None]
        value = value + pt.linalg.cholesky(alike) @ moved @ effects.T
    else:  # then all tasks are alike, and two offsets of them all would be one too many
        value = value + pt.linalg.cholesky(float(state.level) * np.eye(size) + effects @ effects.T) @ common
    if state.trend is not None and data.unknown.any():
        off = normal("covariate_offset", data.unknown.shape)
        value = value + (off * np.sqrt(data.unknown)) @ state.trend.numpy().T
    for level in range(state.levels):
        groups = int(data.group[:, level].max()) + 1
        offset = normal(f"group_offset_{level}", (groups, size))
        factor = pt.exp(scales["group_spread"][level]) * pt.sqrt((spread**2).sum(1))
        value = value + offset[data.group[:, level]] * factor[None]
    return value


def _left_out(state: DiscrepancyState, data: Places, scales: Mapping[str, Any]) -> Any:
    """Covariance of what the equation leaves out, (row, row)."""
    task, unit = data.rows.task, float(state.unit) ** 2
    apart = _squared(data.place, scales["shared_lengths"]) + _unlike(data, scales)[task][:, task]
    whole = unit * pt.exp(2.0 * scales["shared"]) * _matern(apart)
    for level in range(state.levels):
        group = data.group[task, level]
        close = _matern(_squared(data.place, scales["group_lengths"][level]))
        each, along = (pt.exp(2.0 * scales[name][level]) for name in ("group_level", "group"))
        whole = whole + unit * (each + along * close) * (group[:, None] == group[None])
    return whole + _own(state, data.place, scales) * (task[:, None] == task[None])


def _own(state: DiscrepancyState, place: np.ndarray, scales: Mapping[str, Any]) -> Any:
    """Covariance of what a task has of its own, (..., row, row), at places (..., row, coordinate)."""
    close = pt.exp(-0.5 * _squared(place, scales["own_lengths"]))
    level, along = (pt.exp(2.0 * scales[name]) for name in ("own_level", "own"))
    return float(state.unit) ** 2 * (level + along * close)


def _unlike(data: Places, scales: Mapping[str, Any]) -> Any:
    """Mean squared distance between tasks' covariates that is to be expected, (task, task)."""
    count = max(data.covariates.shape[1], 1)
    if not data.covariates.shape[1]:
        return pt.zeros((len(data.covariates), len(data.covariates)))
    unknown = (data.unknown * pt.exp(-2.0 * scales["covariate_lengths"])).sum(1)
    apart = _squared(data.covariates, scales["covariate_lengths"]) + unknown[:, None] + unknown[None]
    return apart * (1.0 - np.eye(len(data.covariates))) / count


def _squared(places: np.ndarray, lengths: Any) -> Any:
    """Squared distances, every coordinate divided by its length, (..., row, row)."""
    between = (places[..., :, None, :] - places[..., None, :, :]) ** 2
    return (between * pt.exp(-2.0 * lengths)).sum(-1)


def _matern(squared: Any) -> Any:
    """As `metasci.meta.discrepancy.kernel.matern`."""
    r = pt.sqrt(5.0 * squared + 1e-12)
    return (1.0 + r + r * r / 3.0) * pt.exp(-r)


def _triangular(packed: Any, size: int) -> Any:
    """As `metasci.meta.discrepancy.kernel.triangular`."""
    row, column = np.tril_indices(size, -1)
    matrix = pt.diag(pt.exp(packed[:size]))
    return pt.set_subtensor(matrix[row, column], packed[size:]) if len(row) else matrix
