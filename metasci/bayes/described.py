"""What a comparison says of the population, of every task held out, and of what was measured there."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from metasci.bayes.folds import Fold
from metasci.bayes.implied import implied_prior
from metasci.bayes.joint import Joint, population_covariances, without_shared
from metasci.bayes.populations import gaussian_distances, start_against_mean
from metasci.bayes.shrinkage import contraction, of_prior, of_steps
from metasci.data.batch import Batch
from metasci.learned.equation import LearnedEquation
from metasci.meta.discrepancy.state import DiscrepancyState
from metasci.meta.gradient import GradientMethod
from metasci.meta.laplace.gauss_newton import normal_equations
from metasci.meta.laplace.gaussian_state import GaussianState

__all__ = ["measurements_of", "population_of", "tasks_of"]

_KEPT = 200  # draws of the population that a result carries
_AXIS = np.linspace(-8.0, 8.0, 321)  # coordinates at which the physical values are given, to read results by
_PAIR = ("parameter", "parameter_other")


def population_of(fold: Fold, known: Joint, joint: Joint, number: int) -> xr.Dataset:
    """Start and implied spread against the population that PyMC infers from the old tasks."""
    prior = fold.judged
    state, names = prior.state, list(prior.model.parameters.names)
    start = state.mean.numpy()
    stated = isinstance(state, GaussianState)
    if prior is not fold.same and stated:  # where the covariates of PyMC's tasks are ordinary
        ordinary = prior.covariates.design(fold.old.covariates).values.mean(0)
        start = start + (state.effects @ ordinary).numpy()
    if stated:
        spread = (state.covariance * state.widening).numpy()
    elif isinstance(state, DiscrepancyState):
        spread = state.spread.numpy()
    else:
        spread = implied_prior(prior, fold.old)["average"].values
    means = known.posterior.draws["coordinate_mean"]
    covariances = population_covariances(known.posterior)
    shared = np.array([parameter.shared for parameter in prior.model.parameters])
    spread = without_shared(spread, shared)  # what the prior has there is how well their one value is known
    differ = np.flatnonzero(~shared) if not shared.all() else np.arange(len(shared))
    kept = np.linspace(0, len(means) - 1, min(_KEPT, len(means))).round().astype(int)
    against = start_against_mean(start, means)
    among = np.ix_(differ, differ)
    distances = gaussian_distances(
        start[differ], spread[among], means[kept][:, differ], covariances[kept][:, *among]
    )
    physical = prior.model.parameters.to_physical
    draws_physical = np.stack(list(physical(means[kept]).values()), -1)
    start_physical = np.array([float(value) for value in physical(start).values()])
    fits = (known.posterior, joint.posterior)
    data = {
        "start": ("parameter", start),
        "start_physical": ("parameter", start_physical),
        "physical": (
            ("axis", "parameter"),
            np.stack([np.asarray(p.to_physical(_AXIS)) for p in prior.model.parameters], -1),
        ),
        "start_z": ("parameter", against["z"]),
        "mahalanobis": ((), against["mahalanobis"]),
        "tail": ((), against["tail"]),
        "implied_covariance": (_PAIR, spread),
        "implied_sd": ("parameter", np.sqrt(np.diag(spread))),
        "population_sd": ("parameter", np.sqrt(np.diagonal(covariances, axis1=1, axis2=2)).mean(0)),
        "population_mean": (("draw", "parameter"), means[kept]),
        "population_mean_physical": (("draw", "parameter"), draws_physical),
        "population_covariance": (("draw", *_PAIR), covariances[kept]),
        **{name: ("draw", values) for name, values in distances.items()},
        "rhat": ("fit", [fit.rhat for fit in fits]),
        "effective_size": ("fit", [fit.effective_size for fit in fits]),
        "divergences": ("fit", [fit.divergences for fit in fits]),
        "converged": ("fit", [fit.converged for fit in fits]),
        "sampling_seconds": ("fit", [fit.seconds for fit in fits]),
    }
    coords = {
        "parameter": names,
        "parameter_other": names,
        "draw": np.arange(len(kept)),
        "fit": ["old tasks", "old and new tasks"],
        "fold": number,
        "unit": ("parameter", [parameter.unit for parameter in prior.model.parameters]),
        "axis": _AXIS,
    }
    return xr.Dataset(data, coords)


def tasks_of(prior: LearnedEquation, chosen: Batch, support: Tensor, joint: Joint, number: int) -> xr.Dataset:
    """Every held-out task's estimate against its posterior in the joint fit."""
    seen = chosen.with_mask(chosen.mask & support)
    adapted = prior.adapt(seen)
    new = slice(joint.first_new, None)
    draws = joint.posterior.draws["coordinates"][:, new]
    kept = np.linspace(0, len(draws) - 1, min(_KEPT, len(draws))).round().astype(int)
    covariances = population_covariances(joint.posterior)[kept]
    nothing = adapted.start.new_zeros(*adapted.start.shape, adapted.start.shape[1])
    ones = torch.ones_like(adapted.start[:, 0])

    def curvature(at: Tensor) -> np.ndarray:
        problem = prior.problem(seen)
        return normal_equations(problem, at, at, nothing, adapted.log_noise, ones)[1].numpy()

    hessian = curvature(adapted.coordinates)
    learned = of_prior(hessian, np.nan_to_num(adapted.start_covariance.numpy()))
    method = prior.method
    if isinstance(method, GradientMethod) and method.has_closed_form and method.steps and not method.frozen:
        factor = method.step_factor(prior.state, hessian.shape[-1]).detach().numpy()
        learned = of_steps(curvature(adapted.start), factor @ factor.T, method.steps)
    theirs = np.stack([of_prior(hessian_of_draw, covariances).mean(0) for hessian_of_draw in hessian])
    mean, sd = draws.mean(0), draws.std(0, ddof=1)
    estimate = adapted.coordinates.numpy()
    covariance = np.stack([np.atleast_2d(np.cov(draws[:, t].T)) for t in range(len(chosen))])
    physical = prior.model.parameters.to_physical

    def in_units(values: np.ndarray) -> np.ndarray:
        return np.stack([np.asarray(value) for value in physical(values).values()], -1)

    each = ("task", "parameter")
    data = {
        "estimate": (each, estimate),
        "estimate_physical": (each, in_units(estimate)),
        "estimate_sd": (each, adapted.covariance.diagonal(dim1=1, dim2=2).clamp(min=0.0).sqrt().numpy()),
        "posterior_mean": (each, mean),
        "posterior_median_physical": (each, np.median(in_units(draws), 0)),
        "posterior_sd": (each, sd),
        "estimate_z": (each, (estimate - mean) / sd),
        "start_of_task": (each, adapted.start.numpy()),
        "operator_learned": (("task", *_PAIR), learned),
        "operator_pymc": (("task", *_PAIR), theirs),
        "contraction_learned": (each, contraction(adapted.covariance, adapted.start_covariance)),
        "contraction_pymc": (each, contraction(covariance, covariances.mean(0))),
        "task_fold": ("task", np.full(len(chosen), number)),
    }
    names = list(prior.model.parameters.names)
    return xr.Dataset(data, {"task": list(chosen.names), "parameter": names, "parameter_other": names})


def measurements_of(prior: LearnedEquation, chosen: Batch, query: Tensor) -> xr.Dataset:
    """What was held out: of which task, under which conditions, and its value."""
    task, place = (values.numpy() for values in query.nonzero(as_tuple=True))
    limits = (
        np.zeros(query.shape, bool) if chosen.censored is None else chosen.censored.numpy(),
        np.full(query.shape, np.nan) if chosen.upper is None else chosen.upper.numpy(),
    )
    data: dict[str, Any] = {
        "measured": ("measurement", chosen.output.numpy()[task, place]),
        "measured_task": ("measurement", np.array(chosen.names)[task]),
        "below_limit": ("measurement", limits[0][task, place]),
        "up_to": ("measurement", limits[1][task, place]),
    }
    for name in prior.model.inputs:
        values = chosen.inputs[name].expand(query.shape).numpy()
        data[name] = ("measurement", values[task, place], {"units": prior.model.inputs[name].unit})
    return xr.Dataset(data)
