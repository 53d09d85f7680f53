"""A joint posterior of old and new tasks under an equation and what it leaves out, for a comparison.

NUTS samples the equation's parameters of every task; what the equation leaves out is summed analytically. The scales
of both may be sampled, too, which takes hours for more than some ten tasks, or be those that the prior has learned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from metasci.bayes.discrepancy import (
    JITTER,
    SCALES,
    forecast_with_discrepancy,
    state_of,
    with_discrepancy,
)
from metasci.bayes.forecast import of_normals
from metasci.bayes.hierarchical import flatten
from metasci.bayes.sampling import Posterior, sample
from metasci.meta.discrepancy.kernel import Kernel, Rows, matern

if TYPE_CHECKING:
    from metasci.data.batch import Batch
    from metasci.forecasts import DrawsForecast
    from metasci.learned.equation import LearnedEquation

__all__ = ["forecast_of_task", "posterior_with_discrepancy"]

_PARTS = ("common", "weights", "effects", "covariance")


def posterior_with_discrepancy(
    prior: LearnedEquation, batch: Batch, *, draws: int, tune: int, scales_known: bool = True, **how: Any
) -> Posterior:
    """Sample `with_discrepancy` of a batch, with what each draw says of the population.

    Chains that do not converge are sampled once more, twice as long and with smaller steps.

    Parameters
    ----------
    prior : Prior
        With a discrepancy.
    batch : Batch
        Its mask says what is known.
    draws, tune : int
    scales_known : bool
        Whether the scales are those of the prior instead of being sampled.
    **how
        See `metasci.bayes.sample`.

    Returns
    -------
    Posterior
        Beside the variables of the model with ``coordinate_mean`` (draw, parameter), ``coordinate_sd`` and
        ``coordinate_correlation``: of a new task with ordinary covariates, of a group that nobody knows.
    """
    built = with_discrepancy(prior, batch, scales_known=scales_known)
    # from anywhere a chain may end in parameters with which the equation fits nothing, and stay there
    how.setdefault("initial", built.initial_point())
    best: Posterior | None = None
    for effort, accept in ((1, 0.9), (2, 0.97)):
        found = sample(built, draws=effort * draws, tune=effort * tune, target_accept=accept, **how)
        if best is None or found.converged or found.rhat < best.rhat:
            best = found
        if best.converged:
            break
    assert best is not None
    kept = dict(best.draws)
    if "log_noise" not in kept:
        known = state_of(prior).log_noise.detach().numpy()
        kept["log_noise"] = np.broadcast_to(known, (len(best), len(known))).copy()
    return replace(best, draws={**kept, **_population(prior, batch, best)})


@dataclass(frozen=True)
class _NewTask:
    """What the offsets of old tasks say of one more, with ordinary covariates and of a group that nobody knows.

    The covariates' effects are a process over these, which old tasks tell of the more, the nearer they are to ordinary.

    Attributes
    ----------
    common : array, (parameter, parameter)
        By how much the offset of all tasks moves it.
    weights : array, (task,)
        Of the old tasks' offsets; without covariates there are none, since all tasks are alike.
    effects, covariance : array, (parameter, parameter)
        By how much those move it, and how far it lies about that.
    """

    common: np.ndarray
    weights: np.ndarray
    effects: np.ndarray
    covariance: np.ndarray

    @classmethod
    def of(cls, kernel: Kernel, covariates: Tensor, unknown: Tensor) -> _NewTask:
        """Of the standardised covariates of old tasks and what is not known of them, (task, covariate)."""
        effects, spread = kernel.factor("effects"), kernel.factor("spread")
        covariance = spread @ spread.mT
        for level in range(len(kernel.scales.get("group", ()))):
            covariance = covariance + torch.diag(kernel.group_spread(level).square())
        common = kernel.level * torch.eye(len(spread), dtype=spread.dtype)
        if not covariates.shape[1]:
            common, near = common + effects @ effects.mT, covariates.new_zeros(0)
        else:
            near = cls._near(kernel, covariates, unknown)
            covariance = covariance + (1.0 - near @ near).clamp(min=0.0) * effects @ effects.mT
        return cls(torch.linalg.cholesky(common).numpy(), near.numpy(), effects.numpy(), covariance.numpy())

    @staticmethod
    def _near(kernel: Kernel, covariates: Tensor, unknown: Tensor) -> Tensor:
        """How much each old task's offset says of the new one, (task,)."""
        tasks, size = len(covariates), kernel.factor("spread").shape[0]
        one = covariates.new_ones(tasks + 1)
        rows = Rows(
            place=covariates.new_zeros(tasks + 1, kernel.scales["shared_lengths"].numel()),
            slope=covariates.new_zeros(tasks + 1, size),
            covariates=torch.cat([covariates, covariates.new_zeros(1, covariates.shape[1])]),
            unknown=torch.cat([unknown, unknown.new_zeros(1, unknown.shape[1])]),
            task=one.cumsum(0),
            seen=one,
            group=covariates.new_zeros(tasks + 1, 0),
        )
        alike = matern(kernel.unlike(rows, rows))
        root = torch.linalg.cholesky(alike[:tasks, :tasks] + JITTER * torch.eye(tasks, dtype=alike.dtype))
        return torch.linalg.solve_triangular(root, alike[:tasks, tasks:], upper=False)[:, 0]


def _population(prior: LearnedEquation, batch: Batch, posterior: Posterior) -> dict[str, np.ndarray]:
    """Mean and covariance of a new task's coordinates in every draw."""
    state, design = state_of(prior), prior.design(batch)
    unknown = design.uncertainty.diagonal(dim1=1, dim2=2)
    sampled = [name for name in state.scales if SCALES + name in posterior.draws]
    tasks = []
    for draw in range(len(posterior) if sampled else 1):
        scales = {name: torch.as_tensor(posterior.draws[SCALES + name][draw]) for name in sampled}
        kernel = replace(state.kernel, scales={**state.scales, **scales})
        tasks.append(_NewTask.of(kernel, design.values, unknown))
    common, weights, effects, covariance = (
        np.broadcast_to(values, (len(posterior), *values.shape[1:]))
        for values in (np.stack([getattr(task, name) for task in tasks]) for name in _PARTS)
    )
    mean = state.origin.numpy() + np.einsum("dpq,dq->dp", common, posterior.draws["common_offset"])
    if "effect_offset" in posterior.draws:
        mean = mean + np.einsum("dt,dtq,dpq->dp", weights, posterior.draws["effect_offset"], effects)
    sd = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    return {
        "coordinate_mean": mean,
        "coordinate_sd": sd,
        "coordinate_correlation": covariance / (sd[:, :, None] * sd[:, None, :]),
    }


def forecast_of_task(
    posterior: Posterior, prior: LearnedEquation, batch: Batch, task: int, query: Tensor
) -> DrawsForecast:
    """Forecast some measurements of one task, given those of the batch.

    Parameters
    ----------
    posterior : Posterior
        Of `posterior_with_discrepancy`, with the same prior and batch.
    prior : Prior
    batch : Batch
        Its mask says what is known.
    task : int
        Position of the task in the batch.
    query : Tensor of bool, (observation,)
    """
    asked = torch.zeros_like(batch.mask)
    asked[task, : len(query)] = query
    whole = batch.with_mask(batch.mask | asked)
    centre, sd = forecast_with_discrepancy(posterior, prior, whole, batch.mask, asked)[task]
    rows = flatten(prior.model, whole, asked)
    return of_normals(prior.model, rows, np.asarray(prior.model.noise.unlink(centre)), centre, sd)
