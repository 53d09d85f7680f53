"""What can a design tell about one task's parameters? Fisher information, before anything is measured.

With predictions f on the scale where the noise is Gaussian, and variance v, the information in the scaled coordinates z
is Σ (∂f)(∂f)ᵀ [1/v + ½(v′/v)²]; the second term is what the scatter itself tells where it depends on the prediction.
A small eigenvalue is a combination of parameters that the data cannot see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from metasci.data.conditions import read_conditions
from metasci.data.tasks import Batch, TaskSet
from metasci.diagnostics.combinations import named_combination
from metasci.diagnostics.designs import conditions_batch
from metasci.errors import InputError
from metasci.meta.laplace.gauss_newton import normal_equations
from metasci.meta.problem import Problem
from metasci.model import Model
from metasci.priors.equation import Prior

__all__ = ["fisher_information", "identifiability", "unit_scales"]

_NOTHING = 1e-10  # of the greatest eigenvalue: rounding

Array = NDArray[np.float64]


def fisher_information(problem: Problem, coordinates: Tensor, log_noise: Tensor) -> Tensor:
    """Information of each task's measurements about its coordinates, (task, parameter, parameter).

    Parameters
    ----------
    problem : Problem
        Its outputs do not matter, nor does its penalty.
    coordinates : Tensor, (task, parameter)
    log_noise : Tensor, (scale,)
    """
    nothing = coordinates.new_zeros(*coordinates.shape, coordinates.shape[1])
    ones = coordinates.new_ones(len(coordinates))
    bare = replace(problem, penalty=0.0)
    return normal_equations(bare, coordinates, coordinates, nothing, log_noise, ones)[1].detach()


def unit_scales(model: Model, coordinates: Tensor) -> Array:
    """How much each parameter changes, in its unit, with its coordinate: (task, parameter)."""
    at = coordinates.detach().clone().requires_grad_()
    with torch.enable_grad():
        total = torch.stack([value.sum() for value in model.parameters.to_physical(at).values()]).sum()
        (slope,) = torch.autograd.grad(total, at)
    scale: Array = slope.numpy()
    return scale


def identifiability(
    prior: Prior | Model,
    design: Mapping[str, Any] | TaskSet,
    *,
    parameters: Mapping[str, float] | None = None,
    noise: Sequence[float] | None = None,
) -> xr.Dataset:
    """Which parameters, and which combinations of them, a design can tell.

    Parameters
    ----------
    prior : Prior or Model
        For a model the spread that its parameters declare stands in for a prior.
    design : mapping or TaskSet
        Every input with its values, such as ``{"time": [1, 4, 9] * ms.unit("h"), "dose": "4 mg/kg"}``; or tasks, each
        of which has a design of its own.
    parameters : mapping of str to float, optional
        Where to look, in the model's units: the prior's start, or the typical values, by default.
    noise : sequence of float, optional
        The noise's scales: those learned, or the typical ones, by default.

    Returns
    -------
    xarray.Dataset
        In scaled unconstrained coordinates: ``information`` (task, parameter, parameter_other), ``eigenvalue`` (task,
        direction), falling, with ``eigenvector`` (task, direction, parameter) and its words ``combination``, and
        ``condition_number`` (task). ``relative_sd`` (task, direction): the standard deviation that the data alone leave
        along a direction over that of the prior; above 1 the data say less than is known beforehand. Expected standard
        deviations (task, parameter) in each parameter's unit: ``sd_prior``, ``sd_alone`` of the data without the prior
        (infinite where they do not determine it) and ``sd_with_prior``.

    Raises
    ------
    InputError
        If the design does not make sense for the model, the noise has another number of scales, or the prior implies
        no spread.

    Examples
    --------
    A line measured at one place only:

    >>> import metasci as ms
    >>> line = ms.equation(inputs={"x": "1"}, output=("y", "1"), parameters=[ms.Parameter("a"), ms.Parameter("b")],
    ...                    name="example.line")(lambda x, *, a, b: a + b * x)
    >>> found = identifiability(line, {"x": [1.0, 1.0]})
    >>> found.attrs["verdict"]
    'The design cannot see a × 1.00 − b × 1.00 at all.'
    """
    model = prior if isinstance(prior, Model) else prior.model
    batch = _batch(prior, design)
    if isinstance(prior, Prior):
        before = prior.adapt(batch.with_mask(torch.zeros_like(batch.mask)))
        at, spread, log_noise = before.start, before.start_covariance, before.log_noise
        if not bool(torch.isfinite(spread).all()):
            raise InputError(
                f"the prior '{prior.name}' implies no spread about its start; give its model instead."
            )
    else:
        at = batch.output.new_zeros(len(batch), len(model.parameters))
        spread = torch.eye(at.shape[1], dtype=at.dtype).expand(len(at), -1, -1)
        log_noise = at.new_tensor(np.log(model.noise.typical))
    if parameters is not None:
        with np.errstate(invalid="ignore", divide="ignore"):
            at = torch.as_tensor(model.parameters.to_coordinates(parameters)).expand_as(at).clone()
        if not bool(torch.isfinite(at).all()):
            raise InputError(
                f"the parameters {dict(parameters)} are not inside the limits of '{model.name}'."
            )
    if noise is not None:
        if len(noise) != len(model.noise.scales) or min(noise) <= 0:
            raise InputError(
                f"the noise of '{model.name}' needs {', '.join(model.noise.scales)}, each above zero."
            )
        log_noise = at.new_tensor(np.log(np.asarray(noise, float)))
    information = fisher_information(Problem(model, batch), at, log_noise)
    return _dataset(model, batch, at, information.numpy(), spread.numpy())


def _batch(prior: Prior | Model, design: Mapping[str, Any] | TaskSet) -> Batch:
    """The design as a batch; its outputs do not matter."""
    model = prior if isinstance(prior, Model) else prior.model
    if isinstance(design, TaskSet):
        return design.batch(model) if isinstance(prior, Model) else prior.batch(prior.read(design))
    if model.histories:
        raise InputError(
            f"'{model.name}' takes a history, {min(model.histories)}: give the design as tasks that have it."
        )
    count = 0 if isinstance(prior, Model) else len(prior.covariates.names)
    return conditions_batch(model, read_conditions(model, design, tuple(model.inputs)), covariates=count)


def _dataset(model: Model, batch: Batch, at: Tensor, information: Array, spread: Array) -> xr.Dataset:
    names = list(model.parameters.names)
    values, vectors = np.linalg.eigh(information)
    values, vectors = values[:, ::-1].clip(min=0.0), np.swapaxes(vectors, 1, 2)[:, ::-1]
    values = np.where(values > _NOTHING * values[:, :1], values, 0.0)
    along = np.sqrt(np.einsum("tdi,tij,tdj->td", vectors, spread, vectors))
    scale = unit_scales(model, at)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.where(np.abs(vectors) > 1e-6, vectors, 0.0) ** 2
        alone = np.sqrt(np.where(weight > 0, weight / values[:, :, None], 0.0).sum(1))
        condition = values[:, 0] / values[:, -1]
        # along what the prior holds fixed nothing is left to see
        relative = np.where(along > 0.0, 1.0 / (np.sqrt(values) * along), 0.0)
    # Σ(1 + FΣ)⁻¹ is the inverse of F + Σ⁻¹ also where a parameter is fixed
    both = spread @ np.linalg.inv(np.eye(len(names)) + information @ spread)
    own = "the parameter's own unit, see the coordinate `unit`"
    pairs = ("task", "parameter")
    result = xr.Dataset(
        {
            "information": (("task", "parameter", "parameter_other"), information, {"units": "1"}),
            "eigenvalue": (("task", "direction"), values, {"units": "1"}),
            "eigenvector": (("task", "direction", "parameter"), vectors, {"units": "1"}),
            "relative_sd": (("task", "direction"), relative, {"units": "1"}),
            "condition_number": ("task", condition, {"units": "1"}),
            "sd_prior": (pairs, np.sqrt(np.diagonal(spread, axis1=1, axis2=2)) * scale, {"units": own}),
            "sd_alone": (pairs, alone * scale, {"units": own}),
            "sd_with_prior": (pairs, np.sqrt(np.diagonal(both, axis1=1, axis2=2)) * scale, {"units": own}),
        },
        {
            "task": list(batch.names),
            "parameter": names,
            "parameter_other": names,
            "direction": np.arange(len(names)),
            "unit": ("parameter", [parameter.unit for parameter in model.parameters]),
            "combination": (
                ("task", "direction"),
                [[named_combination(vector, names) for vector in each] for each in vectors],
            ),
        },
        {"model": model.name},
    )
    return result.assign_attrs(verdict=_verdict(result))


def _verdict(result: xr.Dataset) -> str:
    """Of the task whose design is worst: what it cannot see."""
    relative = result["relative_sd"].values
    worst = relative[:, -1].argmax()
    least, words = relative[worst, -1], str(result["combination"].values[worst, -1])
    several = result.sizes["task"] > 1
    of = f" of task '{result['task'].values[worst]}'" if several else ""
    if not np.isfinite(least):
        return f"The design{of} cannot see {words} at all."
    if least > 1.0:
        alone = f"alone it leaves {least:.1f} times the prior's spread"
        return f"The design{of} tells less about {words} than is known beforehand: {alone}."
    condition = float(result["condition_number"].values[worst])
    to = f"to {least:.2f} of the prior's spread (condition number {condition:.3g})"
    return f"The design{of} sees all {result.sizes['parameter']} parameters; the worst seen is {words}, {to}."
