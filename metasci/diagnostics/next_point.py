"""Where to measure next: the D-optimal point among candidates, and what each would tell.

A measurement with information F turns the posterior precision P into P + F. The one that makes the determinant
greatest shrinks the volume of what remains possible the most (Kiefer and Wolfowitz, Ann Math Stat 30 (1959) 271;
for a posterior, Chaloner and Verdinelli, Stat Sci 10 (1995) 273).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from metasci.data.batch import Batch
from metasci.data.conditions import coded, read_conditions, runs_along
from metasci.diagnostics.designs import conditions_batch
from metasci.diagnostics.information import fisher_information, unit_scales
from metasci.errors import InputError
from metasci.meta.problem import Problem
from metasci.model import Model
from metasci.priors.calibrated import Calibration
from metasci.words import number, with_unit, words

__all__ = ["next_measurement", "sharpened"]

Array = NDArray[np.float64]


def next_measurement(
    calibration: Calibration, candidates: Mapping[str, Any], target: Mapping[str, Any] | None = None
) -> xr.Dataset:
    """What one more measurement would tell, for every candidate.

    Parameters
    ----------
    calibration : Calibration
    candidates : mapping
        Inputs with their values, such as ``{"time": [1, 4, 9] * ms.unit("h")}``; what is left out stays as it is in
        the calibrated task.
    target : mapping, optional
        One condition at which the prediction matters most.

    Returns
    -------
    xarray.Dataset
        ``gain`` (task, candidate): by how much the logarithm of the determinant of the posterior precision grows.
        ``best`` (task): the candidate of the greatest gain. ``sd`` (task, parameter) now and ``expected_sd`` (task,
        candidate, parameter), in each parameter's unit. With a target ``target_sd`` (task) and ``expected_target_sd``
        (task, candidate), of the curve in the output's unit, and ``best_for_target`` (task).

    Raises
    ------
    InputError
        If the conditions do not make sense for the model.

    Examples
    --------
    >>> import metasci as ms
    >>> fit = ms.load("theophylline").calibrate(ms.dataset("theophylline").select(["1"]))
    >>> found = next_measurement(fit, {"time": [1.0, 9.0, 30.0]}, target={"time": "48 h"})
    >>> float(found["time"][int(found["best_for_target"][0])])
    30.0
    """
    model, adapted = calibration.prior.model, calibration.adapted
    if adapted.discrepancy is not None:
        raise InputError(
            f"the prior '{calibration.prior.name}' also describes what its equation leaves out; the next measurement "
            "is found for the equation alone: use a prior trained without a discrepancy."
        )
    if target is not None and model.noise.predictors > 1:
        raise InputError("classes have no one curve to aim at: leave the target out.")
    varying = tuple(name for name in model.inputs if not _constant(model, calibration.batch, name))
    card = calibration.tasks.card
    points = read_conditions(model, coded(card, candidates), varying)
    aim = None if target is None else read_conditions(model, coded(card, target), varying)
    if aim is not None and len(next(iter(aim.values()))) != 1:
        raise InputError("the target is one condition; give one number for each input.")
    count, size = len(next(iter(points.values()))), len(model.parameters)
    tasks = len(calibration.batch)
    at, covariance = adapted.coordinates, adapted.covariance
    batch = conditions_batch(model, points, calibration.batch)
    information = _one_by_one(Problem(model, batch), at, adapted.log_noise).reshape(tasks, count, size, size)
    update = torch.eye(size, dtype=at.dtype) + information @ covariance[:, None]
    after = covariance[:, None] @ torch.linalg.inv(
        update
    )  # the inverse of P + F, also where a parameter is fixed
    gain = torch.linalg.slogdet(update).logabsdet.numpy()
    scale = unit_scales(model, at)
    now = covariance.diagonal(dim1=-2, dim2=-1).sqrt().numpy() * scale
    later = after.diagonal(dim1=-2, dim2=-1).clamp(min=0.0).sqrt().numpy() * scale[:, None]
    own = "the parameter's own unit, see the coordinate `unit`"
    variables: dict[str, Any] = {
        "gain": (("task", "candidate"), gain, {"units": "1"}),
        "best": ("task", gain.argmax(1)),
        "sd": (("task", "parameter"), now, {"units": own}),
        "expected_sd": (("task", "candidate", "parameter"), later, {"units": own}),
    }
    if aim is not None:
        before, expected = _of_target(
            Problem(model, conditions_batch(model, aim, calibration.batch)), at, covariance, after
        )
        variables["target_sd"] = ("task", before, {"units": model.output.unit})
        variables["expected_target_sd"] = (("task", "candidate"), expected, {"units": model.output.unit})
        variables["best_for_target"] = ("task", expected.argmin(1))
    coords: dict[str, Any] = {
        "task": list(calibration.batch.names),
        "candidate": np.arange(count),
        "parameter": list(model.parameters.names),
        "unit": ("parameter", [parameter.unit for parameter in model.parameters]),
    }
    coords |= {
        name: ("candidate", values, {"units": model.inputs[name].unit}) for name, values in points.items()
    }
    simulated = str(calibration.tasks.dataset.attrs.get("simulated", "false")).lower()
    quantity = model.output.label or words(model.output.name)
    result = xr.Dataset(
        variables, coords, {"model": model.name, "simulated": simulated, "quantity": quantity}
    )
    return result.assign_attrs(verdict=_verdict(result, list(points)))


def _constant(model: Model, batch: Batch, name: str) -> bool:
    values = batch.inputs[name]
    return bool((values == values[:, :1]).all()) and name not in runs_along(model)


def _one_by_one(problem: Problem, at: Tensor, log_noise: Tensor) -> Tensor:
    """Information of every measurement alone, (task · point, parameter, parameter): each is made a task of its own."""
    batch = problem.batch
    tasks, points = batch.mask.shape

    def alone(values: Tensor) -> Tensor:
        if values.dim() == 3:  # a history belongs to all of the task's points
            return values.repeat_interleave(points, 0)
        return values.expand(tasks, points).reshape(-1, 1)

    single = replace(
        batch,
        inputs={name: alone(values) for name, values in batch.inputs.items()},
        output=alone(batch.output),
        mask=alone(batch.mask),
        covariates=batch.covariates.repeat_interleave(points, 0),
        names=tuple(name for name in batch.names for _ in range(points)),
    )
    return fisher_information(replace(problem, batch=single), at.repeat_interleave(points, 0), log_noise)


def _of_target(problem: Problem, at: Tensor, covariance: Tensor, after: Tensor) -> tuple[Array, Array]:
    """Standard deviation of the curve at the target, now (task,) and after each candidate (task, candidate)."""
    spread = at.detach()[:, None, :].clone().requires_grad_()
    with torch.enable_grad():
        predicted = problem.model.at(spread, problem.batch.inputs)
        (slope,) = torch.autograd.grad(predicted.sum(), spread)
    slope = slope[:, 0]
    now = torch.einsum("ti,tij,tj->t", slope, covariance, slope).clamp(min=0.0).sqrt()
    later = torch.einsum("ti,tcij,tj->tc", slope, after, slope).clamp(min=0.0).sqrt()
    return now.numpy(), later.numpy()


def _verdict(result: xr.Dataset, inputs: list[str]) -> str:
    """Where to measure the first task next, and what it would tell most about."""

    def place(candidate: int) -> str:
        best = result.isel(candidate=candidate)
        parts = [
            f"{words(name)} {with_unit(number(float(best[name])), best[name].attrs['units'])}"
            for name in inputs
        ]
        return " and ".join(part.strip() for part in parts)

    best = int(result["best"][0])
    name, share = sharpened(result)
    of = f" of task '{result['task'].values[0]}'" if result.sizes["task"] > 1 else ""
    falls = f"the standard deviation of {name} is expected to fall to {100 * share:.0f} %"
    text = f"The next measurement{of} tells most at {place(best)}: {falls}"
    if "target_sd" in result:
        at, now = int(result["best_for_target"][0]), float(result["target_sd"][0])
        if now > 0.0:
            left = 100 * float(result["expected_target_sd"][0, at]) / now
            text += f", that of the prediction asked for most at {place(at)}, to {left:.0f} %"
        else:
            text += "; on the prediction asked for no parameter matters"
    return text + "."


def sharpened(result: xr.Dataset) -> tuple[str, float]:
    """The parameter of the first task of which its best measurement tells most, in words, and the share of its
    standard deviation that would be left.
    """
    best = int(result["best"][0])
    with np.errstate(invalid="ignore"):  # a parameter that is held fixed has no standard deviation to lose
        share = (result["expected_sd"].isel(task=0, candidate=best) / result["sd"].isel(task=0)).values
    most = int(np.nanargmin(share))
    return words(str(result["parameter"].values[most])), float(share[most])
