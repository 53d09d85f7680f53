"""Where to start, made of many tasks: one pooled fit, the mean of their own estimates, or a precision-weighted mean.

A pooled fit weighs tasks by how much they were measured. Where tasks truly differ, a task measured ten times as often
pulls the start ten times as hard, and the standard error of the fit does not know. DerSimonian and Laird (1986) weigh
by the inverse of v + τ², an estimate's variance and the variance between tasks: once τ² dominates, all count alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from metasci.data.tasks import TaskSet
from metasci.diagnostics.information import fisher_information, unit_scales
from metasci.errors import InputError
from metasci.meta.laplace.pooled import pooled_estimate
from metasci.meta.problem import Problem
from metasci.model import Model
from metasci.priors.equation import Prior, meta_calibrate
from metasci.priors.forecasters import per_task_least_squares

__all__ = ["RandomEffects", "dersimonian_laird", "task_aggregation"]

STARTS = ("pooled", "mean", "precision-weighted")

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RandomEffects:
    """A random-effects mean, for every parameter.

    Attributes
    ----------
    mean, standard_error : array, (parameter,)
    tau_squared : array, (parameter,)
        Variance between tasks, cut off at zero as in the source.
    q : array, (parameter,)
        Cochran's Q; χ² with T − 1 degrees of freedom if the tasks do not differ.
    i_squared : array, (parameter,)
        Share of the scatter of the estimates that is true difference (Higgins and Thompson 2002).
    weight : array, (task, parameter)
        Adding up to one.
    """

    mean: Array
    standard_error: Array
    tau_squared: Array
    q: Array
    i_squared: Array
    weight: Array


def dersimonian_laird(estimates: ArrayLike, variances: ArrayLike) -> RandomEffects:
    """Random-effects mean by the method of moments.

    Parameters
    ----------
    estimates : array-like, (task,) or (task, parameter)
    variances : array-like, the same shape
        Squared standard errors of the estimates.

    Raises
    ------
    InputError
        If there are fewer than two tasks, or a variance is not above zero.

    Notes
    -----
    With w = 1/variance, Q = Σ w (z − z̄)² about the w-weighted mean, and τ² = max(0, (Q − (T − 1)) / (Σw − Σw²/Σw)).
    Sources: DerSimonian and Laird, Control Clin Trials 7 (1986) 177; Higgins and Thompson, Stat Med 21 (2002) 1539.

    Examples
    --------
    Two precise estimates that disagree, and equal weights come of it:

    >>> found = dersimonian_laird([0.0, 2.0], [0.01, 0.04])
    >>> found.mean.round(3).tolist(), found.tau_squared.round(3).tolist(), found.i_squared.round(3).tolist()
    ([0.993], [1.975], [0.988])
    """
    z, v = np.asarray(estimates, float), np.asarray(variances, float)
    z, v = z.reshape(len(z), -1), v.reshape(len(v), -1)
    if len(z) < 2 or z.shape != v.shape or not (v > 0).all():
        raise InputError("random effects need two estimates at least, each with a variance above zero.")
    w = 1.0 / v
    freedom = len(z) - 1
    q = (w * np.square(z - (w * z).sum(0) / w.sum(0))).sum(0)
    tau_squared = np.maximum(0.0, (q - freedom) / (w.sum(0) - np.square(w).sum(0) / w.sum(0)))
    weight = 1.0 / (v + tau_squared)
    total = weight.sum(0)
    weight = weight / total
    with np.errstate(divide="ignore", invalid="ignore"):
        i_squared = np.where(q > 0, np.maximum(0.0, (q - freedom) / q), 0.0)
    return RandomEffects((weight * z).sum(0), np.sqrt(1.0 / total), tau_squared, q, i_squared, weight)


def task_aggregation(prior: Prior | Model, tasks: TaskSet) -> xr.Dataset:
    """Starts made in three ways, with what each is worth.

    Parameters
    ----------
    prior : Prior or Model
        Gives the model and the noise; for a model the noise is learned by the default method.
    tasks : TaskSet

    Returns
    -------
    xarray.Dataset
        Over ``start`` (pooled, mean, precision-weighted): ``coordinate`` and ``standard_error`` (parameter), in scaled
        coordinates, ``value`` (parameter) in each parameter's unit, and ``weight`` (task, parameter). ``estimate`` and
        ``estimate_error`` (task, parameter), each task fitted alone, in scaled coordinates. Of the random effects
        ``tau``, ``q`` and ``i_squared`` (parameter). ``pooled_bias`` (parameter): pooled less precision-weighted start,
        in units of the standard error that the pooled fit claims.

    Raises
    ------
    InputError
        If there are fewer than two tasks, or a task alone cannot be fitted.

    Notes
    -----
    The pooled fit's standard error is the one it claims, which takes all tasks to be the same. Its weights are
    the diagonal of (ΣF)⁻¹F with F the information of each task.
    """
    if len(tasks) < 2:
        raise InputError(f"'{tasks.card.name}' has {len(tasks)} task; there is nothing to aggregate.")
    learned = prior if isinstance(prior, Prior) else meta_calibrate(prior, tasks)
    model, batch = learned.model, learned.batch(tasks)
    problem, log_noise = Problem(model, batch), learned.state.log_noise
    alone = per_task_least_squares(learned, batch)
    if not bool(alone.finite.all()):
        task = batch.names[int((~alone.finite).nonzero()[0])]
        raise InputError(f"task '{task}' cannot be fitted alone; leave it out.")
    z = alone.coordinates.numpy()
    variance = alone.covariance.diagonal(dim1=1, dim2=2).numpy()
    random = dersimonian_laird(z, variance)
    centre = torch.as_tensor(random.mean)[None]
    faint = 1e-6 * torch.eye(z.shape[1], dtype=centre.dtype)[None]
    together = pooled_estimate(problem, centre, faint, log_noise, steps=100)
    information = fisher_information(problem, together.coordinates.expand(len(batch), -1), log_noise)
    share = torch.linalg.solve(information.sum(0), information).diagonal(dim1=1, dim2=2).numpy()
    count = len(z)
    coordinate = np.stack([together.coordinates[0].numpy(), z.mean(0), random.mean])
    error = np.stack(
        [
            together.covariance[0].diagonal().sqrt().numpy(),
            z.std(0, ddof=1) / np.sqrt(count),
            random.standard_error,
        ]
    )
    physical = model.parameters.to_physical(coordinate)
    plain, own = {"units": "1"}, {"units": "the parameter's own unit, see the coordinate `unit`"}
    of_start, of_task = ("start", "parameter"), ("task", "parameter")
    variables: dict[str, Any] = {
        "coordinate": (of_start, coordinate, plain),
        "standard_error": (of_start, error, plain),
        "value": (of_start, np.stack([physical[name] for name in model.parameters.names], 1), own),
        "value_error": (of_start, error * unit_scales(model, torch.as_tensor(coordinate)), own),
        "weight": (
            ("start", "task", "parameter"),
            np.stack([share, np.full_like(z, 1 / count), random.weight]),
            plain,
        ),
        "estimate": (of_task, z, plain),
        "estimate_error": (of_task, np.sqrt(variance), plain),
        "tau": ("parameter", np.sqrt(random.tau_squared), plain),
        "q": ("parameter", random.q, plain),
        "i_squared": ("parameter", random.i_squared, plain),
        "pooled_bias": ("parameter", (coordinate[0] - coordinate[2]) / error[0], plain),
        "measurements": ("task", batch.mask.sum(1).numpy(), plain),
    }
    coords = {
        "start": list(STARTS),
        "task": list(batch.names),
        "parameter": list(model.parameters.names),
        "unit": ("parameter", [parameter.unit for parameter in model.parameters]),
    }
    result = xr.Dataset(
        variables, coords, {"model": model.name, "simulated": str(tasks.card.simulated).lower()}
    )
    return result.assign_attrs(verdict=_verdict(result))


def _verdict(result: xr.Dataset) -> str:
    """Whether tasks differ, and how far the pooled start is off for it."""
    worst = int(np.abs(result["pooled_bias"].values).argmax())
    row = result.isel(parameter=worst)
    name, bias, i_squared = str(row["parameter"].item()), float(row["pooled_bias"]), float(row["i_squared"])
    weight = row["weight"].sel(start="pooled")
    heavy = int(np.argmax(weight.values))
    most = f"task '{result['task'].values[heavy]}' alone has {100 * float(weight[heavy]):.0f} % of its weight"
    differ = f"{100 * i_squared:.0f} % of the scatter between tasks is true difference; {most}"
    off = f"{abs(bias):.1f} of the standard errors it claims from the precision-weighted one"
    if abs(bias) > 2.0 and i_squared > 0.25:
        return f"Do not pool: for {name} the pooled start lies {off}. Of this parameter, {differ}."
    return f"Pooling does little harm: for {name}, the worst, the pooled start lies {off}. Of this parameter, {differ}."
