"""The hierarchical model in PyMC, built from the same declaration that is adapted in torch.

Every task's coordinates scatter about a population mean that its covariates shift. The equation runs
natively in PyTensor, on one flat array of rows: only what was measured, each row knowing its task.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from metasci.errors import InputError

if TYPE_CHECKING:
    from metasci.meta.covariates import Design
    from metasci.model import Model
    from metasci.tasks import Batch

__all__ = ["Rows", "flatten", "hierarchical", "initial_point"]


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
    """

    task: np.ndarray
    inputs: dict[str, np.ndarray]
    output: np.ndarray


def flatten(model: Model, batch: Batch, support: Any = None) -> Rows:
    """Lay out the measurements of a batch as rows.

    Parameters
    ----------
    model : Model
    batch : Batch
    support : array of bool, (task, observation), optional
        Which of the measurements to take; all of them by default.
    """
    mask = np.array(batch.mask)
    if support is not None:
        mask &= np.asarray(support, bool)
    task, observation = np.nonzero(mask)
    events = {name for history in model.histories for name in (history, f"{history}_time")}
    inputs = {}
    for name in model.input_names:
        values = np.array(batch.inputs[name], float)
        if name in events:
            inputs[name] = values.reshape(len(values), values.shape[-1])[task]
        else:
            inputs[name] = np.broadcast_to(values, mask.shape)[task, observation]
    return Rows(task, inputs, np.array(batch.output, float)[task, observation])


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
        Whether the tasks' coordinates are sampled directly (best where every task has many measurements)
        instead of as standardised offsets.

    Returns
    -------
    pymc.Model
        With dims task, parameter, covariate, scale, row and event, and the variables
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
    rows = flatten(model, batch, support)
    if not len(rows.task):
        raise InputError("a hierarchical model needs at least one measurement.")
    noise, size = model.noise, len(model.parameters)
    shifts = np.zeros((len(batch), 0)) if design is None else np.array(design.values, float)
    if len(shifts) != len(batch):
        raise InputError(f"the design describes {len(shifts)} tasks, but the batch has {len(batch)}.")
    columns = covariates or tuple(f"covariate {i + 1}" for i in range(shifts.shape[1]))
    coords = {
        "task": list(batch.names),
        "parameter": list(model.parameters.names),
        "parameter_2": list(model.parameters.names),
        "pair": [" / ".join(model.parameters.names[k] for k in pair) for pair in zip(*np.tril_indices(size, -1), strict=True)],
        "scale": list(noise.scales),
        "row": np.arange(len(rows.task)),
    }
    if shifts.shape[1]:
        coords["covariate"] = list(columns)
    with pm.Model(coords=coords, check_bounds=False) as built:
        inputs = {
            name: pm.Data(name, values, dims=("row", f"{name}_event")[: values.ndim])
            for name, values in rows.inputs.items()
        }
        row_task = pm.Data("row_task", rows.task, dims="row")
        coordinates = _task_coordinates(len(batch), size, shifts, centred)
        physical = model.parameters.to_physical(coordinates)
        for name, value in physical.items():
            pm.Deterministic(name, value, dims="task")
        log_noise = pm.Normal("log_noise", np.log(noise.typical), 1.0, dims="scale")
        prediction = model(inputs, {name: value[row_task] for name, value in physical.items()})
        variance = noise.variance(prediction, [log_noise[i] for i in range(len(noise.scales))])
        if task_noise:
            log_shape = pm.Normal("log_noise_shape", 1.0, 1.0)
            shape = pm.Deterministic("noise_shape", pt.exp(log_shape))
            variance = variance / pm.Gamma("noise_precision", shape, shape, dims="task")[row_task]
        pm.Normal(
            "measurement",
            noise.link(prediction),
            pt.sqrt(variance),
            observed=np.asarray(noise.link(rows.output)),
            dims="row",
        )
    return built


def _task_coordinates(tasks: int, size: int, shifts: np.ndarray, centred: bool) -> Any:
    """Coordinates of every task, (task, parameter), about the population's mean and the covariates' effects."""
    mean = pm.Normal("coordinate_mean", 0.0, 2.0, dims="parameter")
    centre = mean[None, :] + np.zeros((tasks, 1))
    if shifts.shape[1]:
        scale = pm.HalfNormal("effect_scale", 0.5)
        raw = pm.Normal("effect_offset", dims=("parameter", "covariate"))
        effect = pm.Deterministic("covariate_effect", scale * raw, dims=("parameter", "covariate"))
        values = pm.Data("covariates", shifts, dims=("task", "covariate"))
        centre = centre + values @ effect.T
    sd = pm.HalfNormal("coordinate_sd", 1.0, dims="parameter")
    factor = _correlation_factor(size)
    correlation = factor @ factor.T
    pm.Deterministic("coordinate_correlation", correlation, dims=("parameter", "parameter_2"))
    cholesky = sd[:, None] * factor
    if centred:
        return pm.CustomDist(
            "coordinates", centre, cholesky, logp=_gaussian_logp, random=_gaussian_random,
            signature="(p),(p,p)->(p)", dims=("task", "parameter"),
        )  # fmt: skip
    offset = pm.Normal("coordinate_offset", dims=("task", "parameter"))
    return pm.Deterministic("coordinates", centre + offset @ cholesky.T, dims=("task", "parameter"))


def _gaussian_logp(value: Any, centre: Any, cholesky: Any) -> Any:
    """Log density of N(centre, L Lᵀ) at each row, with the small inverse of L written out.

    With L = D (1 + N), the strictly lower N is nilpotent, so that (1 + N)⁻¹ = (1 − N)(1 + N²)(1 + N⁴)… ends.
    A triangular solve, as in PyMC's own, falls out of compiled code and takes a hundred times longer.
    """
    size = value.type.shape[-1]
    cholesky = cholesky.reshape((size, size))  # PyMC gives it a dimension for the tasks
    diagonal = pt.diagonal(cholesky)
    power = -(cholesky / diagonal[:, None] - np.eye(size))
    inverse, order = np.eye(size) + power, 2
    while order < size:
        power, order = power @ power, 2 * order
        inverse = inverse @ (np.eye(size) + power)
    offset = (value - centre) @ (inverse / diagonal[None, :]).T
    return -0.5 * (offset**2).sum(-1) - pt.log(diagonal).sum() - 0.5 * size * np.log(2.0 * np.pi)


def _gaussian_random(centre: Any, cholesky: Any, rng: Any = None, size: Any = None) -> Any:
    shape = np.shape(centre) if size is None else (*size, np.shape(centre)[-1])
    return centre + np.einsum("...ij,...j->...i", cholesky, rng.standard_normal(shape))


def _correlation_factor(size: int, concentration: float = 2.0) -> Any:
    """Cholesky factor of a correlation matrix, distributed as LKJ, from its canonical partial correlations.

    Row i of the factor is L_ij = r_ij·∏_(k<j) √(1 − r_ik²), with r_ij ~ 2·Beta(β, β) − 1 and
    β = η + (size − 2 − j)/2: section 2.4 of Lewandowski, Kurowicka and Joe. The products are a product with
    a constant matrix, so that next to nothing has to be compiled (PyMC's own takes some ten seconds more).
    """
    row, column = np.tril_indices(size, -1)
    if not len(row):
        return pt.as_tensor(np.eye(1))
    shape = concentration + 0.5 * (size - 2 - column)
    half = pm.Beta("partial_correlation", shape, shape, dims="pair")
    place = np.zeros((len(row), size * size))
    place[np.arange(len(row)), row * size + column] = 1.0
    partial = ((2.0 * half - 1.0) @ place).reshape((size, size))
    left = (pt.log(4.0 * half * (1.0 - half)) @ place).reshape((size, size))
    before = np.triu(np.ones((size, size)), 1)
    return (partial + np.eye(size)) * pt.exp(0.5 * (left @ before))


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
    values = np.array(coordinates, float)
    mean = values.mean(0)
    sd = np.maximum(values.std(0), 0.1)
    start = {"coordinate_mean": mean, "coordinate_sd": sd}
    if centred:
        start["coordinates"] = values
    else:
        start["coordinate_offset"] = (values - mean) / sd
    if log_noise is not None:
        start["log_noise"] = np.array(log_noise, float)
    return start
