"""A prior of an equation and of what it leaves out, in PyMC: the same covariances, levels and beliefs, sampled.

What the learned prior takes as known, its scales, is sampled here, too; its inducing rows and its linearised equation
are not needed: every measurement counts, and the equation runs natively. The discrepancies of tasks, of their groups
and of all of them are summed analytically, since given the equation's parameters measurements are Gaussian. What is
left costs the cube of the number of measurements a step, so that it is for hundreds of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import torch

from metasci.bayes.forecast import curve
from metasci.bayes.hierarchical import flatten
from metasci.errors import InputError
from metasci.meta.discrepancy.kernel import Rows
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
    prior: LearnedEquation, batch: Batch, *, support: Any = None, scales_known: bool = False
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

    Returns
    -------
    pymc.Model
        With the variables ``coordinates`` (task, parameter), ``log_noise`` (scale) and, by the names that
        `metasci.meta.discrepancy.kernel.Kernel` gives them behind ``scales_``, the logarithms of all scales.

    Raises
    ------
    InputError
        If the prior has no discrepancy, or a measurement is a limit or an interval.

    Notes
    -----
    In scaled coordinates z = z₀ + √v₀ a + M(c, c')^½ E₁ Bᵀ + E₂ Uᵀ + Σ E₃ R over tasks, with a and all E standard
    normal; measurements on the linked scale are N(f(z), K), where K is what `Kernel` says of places, plus the noise.
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
    data = _Places.of(prior, batch, support)
    scales: dict[str, Any] = {name: value.detach().numpy() for name, value in state.scales.items()}
    first: dict[str, Any] = {name: value.detach().numpy() for name, value in state.first.items()}
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
            scales = {
                name: _normal(SCALES + name, values.shape, first.get(name, 0.0), BELIEVED)
                for name, values in scales.items()
            }
            log_noise = pm.Normal("log_noise", np.log(noise.typical), 1.0, dims="scale")
        coordinates = pm.Deterministic(
            "coordinates", _coordinates(state, data, scales, len(batch)), dims=("task", "parameter")
        )
        physical = {p.name: p.to_physical(coordinates[:, i]) for i, p in enumerate(model.parameters)}
        task = data.rows.task
        prediction = model(data.rows.inputs, {name: value[task] for name, value in physical.items()})
        each = [log_noise[i] for i in range(len(noise.scales))]
        covariance = _left_out(state, data, scales) + pt.diag(
            noise.variance(prediction, each, data.rows.inputs) * pt.ones(len(task))
        )
        pm.MvNormal(
            "measurement",
            noise.link(prediction),
            chol=pt.linalg.cholesky(covariance),
            observed=np.asarray(noise.link(data.rows.output)),
            dims="row",
        )
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
    known, asked = (_Places.of(prior, batch, which) for which in (support, query))
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


def state_of(prior: LearnedEquation) -> DiscrepancyState:
    """The learned process of a prior that has one."""
    if not isinstance(prior.state, DiscrepancyState):
        raise InputError(f"the prior '{prior.name}' has no discrepancy; `hierarchical` builds its model.")
    return prior.state


@dataclass(frozen=True)
class _Places:
    """Measurements with where they lie, and their tasks with what is known of these.

    Attributes
    ----------
    rows : metasci.bayes.hierarchical.Rows
    place : array, (row, coordinate)
        Standardised.
    covariates, unknown : array, (task, covariate)
    group : array of int, (task, level)
        A task of which nobody says a group is one of its own.
    """

    rows: Any
    place: np.ndarray
    covariates: np.ndarray
    unknown: np.ndarray
    group: np.ndarray

    @classmethod
    def of(cls, prior: LearnedEquation, batch: Batch, which: Any) -> _Places:
        """Of the measurements chosen of a batch."""
        rows = flatten(prior.model, batch, which)
        if rows.limited.any():
            name = batch.names[int(rows.task[rows.limited][0])]
            raise InputError(
                f"task '{name}' has a measurement that is a limit or an interval, which a model with a discrepancy "
                "does not take; leave it out."
            )
        chosen = np.asarray(batch.mask) if which is None else np.asarray(batch.mask) & np.asarray(which, bool)
        design = prior.design(batch)
        place = state_of(prior).places(prior.problem(batch)).numpy()[chosen]
        levels = state_of(prior).levels
        said = np.zeros((len(batch), 0)) if design.group is None else design.group.numpy()
        group = np.zeros((len(batch), levels), int)
        for level in range(levels):
            alone = np.where(np.isnan(said[:, level]), -1.0 - np.arange(len(batch)), said[:, level])
            group[:, level] = np.unique(alone, return_inverse=True)[1]
        unknown = design.uncertainty.diagonal(dim1=1, dim2=2).numpy()
        return cls(rows, place, design.values.numpy(), unknown, group)

    def rows_without_slopes(self, size: int) -> Rows:
        """As rows of the learned process that look at what the equation leaves out, not at its parameters."""
        task, count = self.rows.task, len(self.rows.task)
        parts = (self.covariates[task], self.unknown[task])
        covariates, unknown = (torch.as_tensor(each) for each in parts)
        one = torch.ones(count, dtype=torch.float64)
        nothing = one.new_zeros(count, size)
        group = torch.as_tensor(self.group[task].astype(float))
        return Rows(
            torch.as_tensor(self.place),
            nothing,
            covariates,
            unknown,
            torch.as_tensor(task).double(),
            one,
            group,
        )


def _normal(name: str, shape: tuple[int, ...], mean: float = 0.0, sd: float = 1.0) -> Any:
    """A normal variable, with a dimension of its own for each of its axes."""
    dims = {f"{name}_{axis}": range(length) for axis, length in enumerate(shape)}
    pm.modelcontext(None).add_coords(dims)
    return pm.Normal(name, mean, sd, dims=tuple(dims))


def _coordinates(state: DiscrepancyState, data: _Places, scales: Mapping[str, Any], tasks: int) -> Any:
    """Of every task, (task, parameter)."""
    size = len(state.origin)
    effects, spread = (_triangular(scales[name], size) for name in ("effects", "spread"))
    common = pm.Normal("common_offset", dims="parameter")
    moved = pm.Normal("effect_offset", dims=("task", "parameter"))
    own = pm.Normal("own_offset", dims=("task", "parameter"))
    alike = _matern(_unlike(data, scales)) + JITTER * np.eye(tasks)
    value = (
        state.origin_of(torch.as_tensor(data.covariates)).numpy()
        + math.sqrt(float(state.level)) * common[None]
    )
    value = value + pt.linalg.cholesky(alike) @ moved @ effects.T + own @ spread.T
    if state.trend is not None and data.unknown.any():
        off = _normal("covariate_offset", data.unknown.shape)
        value = value + (off * np.sqrt(data.unknown)) @ state.trend.numpy().T
    for level in range(state.levels):
        groups = int(data.group[:, level].max()) + 1
        offset = _normal(f"group_offset_{level}", (groups, size))
        factor = pt.exp(scales["group_spread"][level]) * pt.sqrt((spread**2).sum(1))
        value = value + offset[data.group[:, level]] * factor[None]
    return value


def _left_out(state: DiscrepancyState, data: _Places, scales: Mapping[str, Any]) -> Any:
    """Covariance of what the equation leaves out, (row, row)."""
    task, unit = data.rows.task, float(state.unit) ** 2

    def amplitude(name: str) -> Any:
        return unit * pt.exp(2.0 * scales[name])

    apart = _squared(data.place, scales["shared_lengths"]) + _unlike(data, scales)[task][:, task]
    whole = amplitude("shared") * _matern(apart)
    for level in range(state.levels):
        group = data.group[task, level]
        close = _matern(_squared(data.place, scales["group_lengths"][level]))
        parts = amplitude("group_level")[level] + amplitude("group")[level] * close
        whole = whole + parts * (group[:, None] == group[None])
    close = pt.exp(-0.5 * _squared(data.place, scales["own_lengths"]))
    own = amplitude("own_level") + amplitude("own") * close
    return whole + own * (task[:, None] == task[None])


def _unlike(data: _Places, scales: Mapping[str, Any]) -> Any:
    """Mean squared distance between tasks' covariates that is to be expected, (task, task)."""
    count = max(data.covariates.shape[1], 1)
    if not data.covariates.shape[1]:
        return pt.zeros((len(data.covariates), len(data.covariates)))
    unknown = (data.unknown * pt.exp(-2.0 * scales["covariate_lengths"])).sum(1)
    apart = _squared(data.covariates, scales["covariate_lengths"]) + unknown[:, None] + unknown[None]
    return apart * (1.0 - np.eye(len(data.covariates))) / count


def _squared(places: np.ndarray, lengths: Any) -> Any:
    """Squared distances, every coordinate divided by its length, (row, row)."""
    between = (places[:, None] - places[None]) ** 2
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
