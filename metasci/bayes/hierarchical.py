"""The hierarchical model in PyMC, built from the same declaration that is adapted in torch.

Every task's coordinates scatter about a population mean that its covariates shift. The equation runs
natively in PyTensor, on one flat array of rows: only what was measured, each row knowing its task.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from metasci.errors import InputError
from metasci.math import log_between, log_ndtr
from metasci.outcomes.outcome import Outcome

if TYPE_CHECKING:
    from metasci.data.tasks import Batch
    from metasci.meta.covariates import Design
    from metasci.model import Model
    from metasci.noise import Noise

__all__ = ["Rows", "flatten", "hierarchical", "initial_point", "log_probabilities"]


@dataclass(frozen=True)
class Rows:
    """Measurements of a batch, one after the other.

    Attributes
    ----------
    task : array of int, (row,)
        Position of the row's task in the batch.
    inputs : dict of str to array
        Each (row,); a history and its times (row, event).
    output : array, (row,)
    censored : array of bool, (row,)
        Where the output is a limit below which the true value lies.
    upper : array, (row,)
        Where the true value lies above the output, up to which number; NaN elsewhere.
    """

    task: np.ndarray
    inputs: dict[str, np.ndarray]
    output: np.ndarray
    censored: np.ndarray
    upper: np.ndarray

    @property
    def limited(self) -> np.ndarray:
        """Which rows are no numbers: limits and intervals, (row,)."""
        return np.asarray(self.censored | ~np.isnan(self.upper))


def flatten(model: Model, batch: Batch, support: Any = None) -> Rows:
    """Lay out the measurements of a batch as rows.

    Parameters
    ----------
    model : Model
    batch : Batch
    support : array of bool, (task, observation), optional
        Which of the measurements to take; all of them by default.
    """
    mask = np.asarray(batch.mask).copy()
    if support is not None:
        mask &= np.asarray(support, bool)
    task, observation = np.nonzero(mask)
    events = set(model.event_names)
    inputs = {}
    for name in model.input_names:
        values = np.asarray(batch.inputs[name], float)
        if name in events:
            inputs[name] = values.reshape(len(values), values.shape[-1])[task]
        else:
            inputs[name] = np.broadcast_to(values, mask.shape)[task, observation]
    censored = np.zeros_like(mask) if batch.censored is None else np.asarray(batch.censored)
    upper = np.full(mask.shape, np.nan) if batch.upper is None else np.asarray(batch.upper, float)
    output = np.asarray(batch.output, float)
    return Rows(
        task, inputs, output[task, observation], censored[task, observation], upper[task, observation]
    )


def log_probabilities(rows: Rows, noise: Noise, centre: Any, sd: Any) -> list[tuple[np.ndarray, Any]]:
    """Of measurements that are no numbers, how probable it is that a value lies where they say.

    Parameters
    ----------
    rows : Rows
    noise : Noise
    centre, sd : array or symbol, (…, row)
        Prediction and standard deviation on the noise's linked scale.

    Returns
    -------
    list of (array of int, array)
        Rows, and log probabilities (…, row) of these: ln Φ(u) below a limit, ln Φ(−u) above one, ln(Φ(b) − Φ(a))
        between two numbers (Tobin, Econometrica 26 (1958) 24).
    """

    def ends(places: np.ndarray, values: np.ndarray) -> Any:
        return (np.asarray(noise.link(values[places])) - centre[..., places]) / sd[..., places]

    below, above, between = (
        np.flatnonzero(which)
        for which in (rows.censored, np.isposinf(rows.upper), np.isfinite(rows.upper) & ~rows.censored)
    )
    parts = [
        (below, lambda: log_ndtr(ends(below, rows.output))),
        (above, lambda: log_ndtr(-ends(above, rows.output))),
        (between, lambda: log_between(ends(between, rows.output), ends(between, rows.upper))),
    ]
    return [(places, of_these()) for places, of_these in parts if len(places)]


def hierarchical(
    model: Model,
    batch: Batch,
    design: Design | None = None,
    *,
    covariates: tuple[str, ...] | None = None,
    task_noise: bool = False,
    support: Any = None,
    centred: bool = False,
) -> pm.Model:
    """Build the hierarchical model of a batch of tasks.

    Parameters
    ----------
    model : Model
    batch : Batch
    design : Design, optional
        Standardised covariates of the same tasks; without it no covariate shifts anything.
    covariates : tuple of str, optional
        Names of the design's columns; numbered by default.
    task_noise : bool
        Whether tasks differ in how noisy they are.
    support : array of bool, (task, observation), optional
        Which of the measurements to condition on; all of them by default. A task without any is still
        part of the model, and its parameters are forecast from the population.
    centred : bool
        Whether the tasks' coordinates are sampled directly (best where most tasks have more measurements than
        parameters) instead of as standardised offsets. Prior predictive sampling needs the offsets.

    Returns
    -------
    pymc.Model
        With dims task, parameter, covariate, scale and row, and the variables
        ``coordinates`` (task, parameter); ``coordinate_mean``, ``coordinate_sd``, ``coordinate_correlation``
        of the population; ``covariate_effect`` (parameter, covariate) with ``effect_scale``; ``log_noise`` (scale);
        ``noise_precision`` (task) with ``noise_shape``; and every parameter's physical value by its name (task).

    Notes
    -----
    In the model's scaled coordinates z, for task t with covariates x:
    zₜ ~ N(μ + B xₜ, Σ), μ ~ N(0, 2²), B ~ N(0, τ²), τ ~ HalfNormal(0.5), Σ = diag(σ) R diag(σ) with
    σ ~ HalfNormal(1) and R ~ LKJ(2); ln noise ~ N(ln typical, 1); with noise that differs between tasks its
    precision is multiplied by wₜ ~ Gamma(a, a), ln a ~ N(1, 1). A covariate that is not known enters by its
    expectation.
    Sources: Lewandowski, Kurowicka and Joe, J Multivariate Anal 100 (2009) 1989; Papaspiliopoulos, Roberts and
    Sköld, Stat Sci 22 (2007) 59, for centring.
    """
    if model.joint:
        raise InputError(
            f"'{model.name}' computes the predictions of a task together and cannot be written in PyTensor."
        )
    rows = flatten(model, batch, support)
    if not len(rows.task):
        raise InputError("a hierarchical model needs at least one measurement.")
    noise, size = model.noise, len(model.parameters)
    shifts = np.zeros((len(batch), 0)) if design is None else np.asarray(design.values, float)
    if len(shifts) != len(batch):
        raise InputError(f"the design describes {len(shifts)} tasks, but the batch has {len(batch)}.")
    coords = {
        "task": list(batch.names),
        "parameter": list(model.parameters.names),
        "parameter_2": list(model.parameters.names),
        "pair": [
            " / ".join(model.parameters.names[k] for k in pair)
            for pair in zip(*np.tril_indices(size, -1), strict=True)
        ],
        "scale": list(noise.scales),
        "row": np.arange(len(rows.task)),
    }
    if shifts.shape[1]:
        coords["covariate"] = list(covariates or [f"covariate {i + 1}" for i in range(shifts.shape[1])])
    with pm.Model(coords=coords, check_bounds=False) as built:
        inputs = {
            name: pm.Data(name, values, dims=("row", f"{name}_event")[: values.ndim])
            for name, values in rows.inputs.items()
        }
        row_task = pm.Data("row_task", rows.task, dims="row")
        columns = _task_coordinates(len(batch), size, shifts, centred, _differing(model, centred))
        physical = {p.name: p.to_physical(z) for p, z in zip(model.parameters, columns, strict=True)}
        for name, value in physical.items():
            pm.Deterministic(name, value, dims="task")
        log_noise = pm.Normal("log_noise", np.log(noise.typical), 1.0, dims="scale") if noise.scales else []
        prediction = model(inputs, {name: value[row_task] for name, value in physical.items()})
        if isinstance(noise, Outcome):
            _outcomes(noise, noise.link(prediction), [log_noise[i] for i in range(len(noise.scales))], rows)
            return built
        variance = noise.variance(prediction, [log_noise[i] for i in range(len(noise.scales))], inputs)
        if task_noise:
            log_shape = pm.Normal("log_noise_shape", 1.0, 1.0)
            shape = pm.Deterministic("noise_shape", pt.exp(log_shape))
            variance = variance / pm.Gamma("noise_precision", shape, shape, dims="task")[row_task]
        centre, sd, observed = noise.link(prediction), pt.sqrt(variance), np.asarray(noise.link(rows.output))
        if rows.limited.any():  # what is no number counts by the probability of lying where it says
            parts = log_probabilities(rows, noise, centre, sd)
            pm.Potential("limits", sum(each.sum() for _, each in parts))
            seen = ~rows.limited
            pm.Normal("measurement", centre[seen], sd[seen], observed=observed[seen])
        else:
            pm.Normal("measurement", centre, sd, observed=observed, dims="row")
    return built


def _differing(model: Model, centred: bool) -> np.ndarray:
    """One for parameters that differ between tasks, zero for those that all tasks share."""
    differing = np.array([0.0 if parameter.shared else 1.0 for parameter in model.parameters])
    if centred and not differing.all():
        raise InputError(
            f"'{model.name}' has parameters that all tasks share, whose coordinates cannot be sampled task by task: "
            "leave `centred` false."
        )
    return differing


def _outcomes(outcome: Outcome, predictor: Any, log_scales: list[Any], rows: Rows) -> None:
    """The likelihood of outcomes that are no Gaussian measurements, in the model at hand."""
    below = rows.censored if rows.censored.any() else None
    upper = None if np.isnan(rows.upper).all() else rows.upper

    def log_density(value: Any, at: Any, *scales: Any) -> Any:
        return outcome.log_density(value, at, scales, rows.inputs, below, upper)

    def drawn(at: Any, *scales: Any, rng: Any = None, size: Any = None) -> Any:
        return outcome.sample(at, [np.asarray(scale) for scale in scales], rows.inputs, rng)

    of_each = "(r)" if outcome.predictors == 1 else "(r,k)"
    pm.CustomDist(
        "measurement", predictor, *log_scales, logp=log_density, random=drawn, observed=rows.output, dims="row",
        signature=",".join([of_each, *["()"] * len(log_scales)]) + "->(r)",
    )  # fmt: skip


def _task_coordinates(
    tasks: int, size: int, shifts: np.ndarray, centred: bool, differing: np.ndarray
) -> list[Any]:
    """Coordinates of every task, a vector (task,) for each parameter.

    The correlation matrix is a C-vine: every pair has a partial correlation r_ij given the parameters before
    both, with r_ij ~ 2·Beta(β, β) − 1 and β = η + (size − 2 − j)/2 for LKJ(η) (section 2.4 of Lewandowski,
    Kurowicka and Joe). Centred, standardised deviations e and independent offsets u are one recursion apart,
    e ← e·√(1 − r²) + r·u, elementwise over tasks.
    """
    mean = pm.Normal("coordinate_mean", 0.0, 2.0, dims="parameter")
    centre = mean[None, :]
    if shifts.shape[1]:
        scale = pm.HalfNormal("effect_scale", 0.5)
        raw = pm.Normal("effect_offset", dims=("parameter", "covariate"))
        effect = pm.Deterministic("covariate_effect", scale * raw, dims=("parameter", "covariate"))
        moved = pm.Data("covariates", shifts, dims=("task", "covariate"))
        centre = centre + (moved[:, 0][:, None] * effect[:, 0] if shifts.shape[1] == 1 else moved @ effect.T)
    sd = pm.HalfNormal("coordinate_sd", 1.0, dims="parameter")
    partial, left = _partial_correlations(size)
    factor = _correlation_factor(partial, left, size)
    pm.Deterministic("coordinate_correlation", factor @ factor.T, dims=("parameter", "parameter_2"))
    if centred:
        coordinates = pm.Flat("coordinates", dims=("task", "parameter"))
        away = (coordinates - centre) / sd
        deviation = [away[:, i] for i in range(size)]
        for j, i in itertools.combinations(range(size), 2):
            deviation[i] = (deviation[i] - partial[i, j] * deviation[j]) / left[i, j]
        squares = sum(offset**2 for offset in deviation)
        volume = pt.log(sd).sum() + sum(pt.log(value) for value in left.values())
        pm.Potential(
            "coordinates_prior", -0.5 * squares.sum() - tasks * (volume + 0.5 * size * np.log(2.0 * np.pi))
        )
        return [coordinates[:, i] for i in range(size)]
    offset = pm.Normal("coordinate_offset", dims=("task", "parameter"))
    coordinates = pm.Deterministic(
        "coordinates", centre + offset @ ((sd * differing)[:, None] * factor).T, dims=("task", "parameter")
    )
    return [coordinates[:, i] for i in range(size)]


def _partial_correlations(size: int, concentration: float = 2.0) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Partial correlations r and √(1 − r²) of every pair (later, earlier)."""
    if size == 1:
        return {}, {}
    later, earlier = np.tril_indices(size, -1)
    shape = concentration + 0.5 * (size - 2 - earlier)
    half = pm.Beta("partial_correlation", shape, shape, dims="pair")
    values, rest = 2.0 * half - 1.0, 2.0 * pt.sqrt(half * (1.0 - half))
    pairs = list(zip(later.tolist(), earlier.tolist(), strict=True))
    return (
        {pair: values[place] for place, pair in enumerate(pairs)},
        {pair: rest[place] for place, pair in enumerate(pairs)},
    )


def _correlation_factor(partial: dict[Any, Any], left: dict[Any, Any], size: int) -> Any:
    """Cholesky factor of the correlations: row i is r_i0, r_i1·√(1 − r_i0²), …, and what is left."""
    entries: list[Any] = []
    for i in range(size):
        rest = pt.constant(1.0)
        for j in range(i):
            entries.append(partial[i, j] * rest)
            rest = rest * left[i, j]
        entries += [rest, *[pt.constant(0.0)] * (size - i - 1)]
    return pt.stack(entries).reshape((size, size))


def initial_point(coordinates: Any, log_noise: Any = None, centred: bool = False) -> dict[str, np.ndarray]:
    """Where sampling starts, from adapted coordinates of every task.

    Parameters
    ----------
    coordinates : array, (task, parameter)
    log_noise : array, (scale,), optional
    centred : bool
        As the model was built.

    Examples
    --------
    >>> start = initial_point(np.array([[1.0], [3.0]]))
    >>> start["coordinate_mean"].tolist(), start["coordinate_offset"].tolist()
    ([2.0], [[-1.0], [1.0]])
    """
    values = np.asarray(coordinates, float)
    mean = values.mean(0)
    sd = np.maximum(values.std(0), 0.1)
    start = {"coordinate_mean": mean, "coordinate_sd": sd}
    if centred:
        start["coordinates"] = values
    else:
        start["coordinate_offset"] = (values - mean) / sd
    if log_noise is not None and len(log_noise):  # outcomes may have no scale
        start["log_noise"] = np.asarray(log_noise, float)
    return start
