"""Posteriors of a hierarchical model with a new task: in one joint fit, or from the population that old tasks left.

The joint fit is the whole truth of the model, and needs all of the sampling anew for every new task. The other way
keeps draws of the population from the old tasks, and only the new task's parameters are found, by importance
sampling: the two agree but for what the new task itself says of the population.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metasci.bayes.forecast import predictive
from metasci.bayes.hierarchical import hierarchical, initial_point
from metasci.bayes.joint_discrepancy import forecast_of_task, posterior_with_discrepancy
from metasci.bayes.sampling import Posterior, sample
from metasci.bayes.traced import sample_traced, traced
from metasci.data.batch import Batch
from metasci.forecasts import DrawsForecast
from metasci.learned.equation import LearnedEquation
from metasci.meta.discrepancy.state import DiscrepancyState
from metasci.meta.laplace.gauss_newton import map_estimate

__all__ = [
    "Joint",
    "joint_posterior",
    "population_covariances",
    "posterior_of_new_task",
    "together",
    "without_shared",
]

_RICH = 0.2  # median share of the population's variance that a task's measurements leave, below which data are rich
_SHARED_SD = 1e-3  # between tasks, of what all share, in the model's scaled coordinates
_HEAVY = 7.0  # degrees of freedom of the proposals' tails


@dataclass(frozen=True)
class Joint:
    """A joint hierarchical posterior of old tasks, whole, and new tasks, from their supports.

    Attributes
    ----------
    posterior : Posterior
    batch : Batch
        Old and new tasks together, new ones last.
    first_new : int
        Position of the first new task.
    """

    posterior: Posterior
    batch: Batch
    first_new: int

    def forecast(self, prior: LearnedEquation, new_task: int, query: Tensor) -> DrawsForecast:
        """Forecast some measurements (observation,) of a new task."""
        if isinstance(prior.state, DiscrepancyState):
            return forecast_of_task(self.posterior, prior, self.batch, self.first_new + new_task, query)
        mask = torch.zeros_like(self.batch.mask)
        mask[self.first_new + new_task, : len(query)] = query
        return predictive(self.posterior, prior.model, self.batch.with_mask(mask), self.first_new + new_task)


def joint_posterior(
    prior: LearnedEquation,
    old: Batch,
    new: Batch | None = None,
    support: Tensor | None = None,
    *,
    draws: int = 500,
    tune: int = 500,
    chains: int = 2,
    seed: int = 0,
    progress: bool = False,
    scales_known: bool = True,
) -> Joint:
    """Sample the hierarchical model of old tasks, and of new ones' supports, from adapted starts.

    Chains that do not converge are sampled once more: twice as long, with smaller steps, and in the other
    coordinates (centred or not). A model whose predictions of a task are computed together is sampled as a recorded
    torch function, always in the coordinates that are not centred.

    Parameters
    ----------
    prior : Prior
        Gives the model, the covariates' scale, whether tasks have a noise of their own, and where to start.
    old : Batch
    new : Batch, optional
    support : Tensor of bool, (new task, observation), optional
        Which measurements of the new tasks count; all by default.
    draws, tune, chains, seed, progress
        See `metasci.bayes.sample`.
    scales_known : bool
        Of a prior with a discrepancy: whether its scales are those that were learned, or sampled, too.
    """
    batch = together(old, new, support)
    if isinstance(prior.state, DiscrepancyState):
        known = posterior_with_discrepancy(
            prior,
            batch,
            scales_known=scales_known,
            draws=draws,
            tune=tune,
            chains=chains,
            seed=seed,
            progress=progress,
        )
        return Joint(known, batch, len(old))
    adapted = prior.adapt(batch)
    # where the measurements say more of a task than the population does, centred coordinates mix better
    share = adapted.covariance.diagonal(dim1=1, dim2=2) / adapted.start_covariance.diagonal(dim1=1, dim2=2)
    rich = bool(share.median(0).values.max() < _RICH)
    best: Posterior | None = None
    declared: dict[str, Any] = {
        "design": prior.covariates.design(batch.covariates) if prior.covariates.names else None,
        "covariates": prior.covariates.names or None,
        "task_noise": bool(getattr(prior.method, "task_noise", False)),
    }
    # parameters that all tasks share are sampled as offsets only
    shared = any(parameter.shared for parameter in prior.model.parameters)
    ways = (False, False) if shared else (rich, not rich)
    for centred, effort, accept in zip(ways, (1, 2), (0.9, 0.97), strict=True):
        how: dict[str, Any] = {
            "draws": effort * draws,
            "tune": effort * tune,
            "chains": chains,
            "seed": seed,
            "progress": progress,
            "target_accept": accept,
        }
        if prior.model.joint:  # nothing that PyTensor could write
            initial = initial_point(adapted.coordinates, adapted.log_noise)
            posterior = sample_traced(
                traced(prior.model, batch, **declared, initial=initial), initial=initial, **how
            )
        else:
            initial = initial_point(adapted.coordinates, adapted.log_noise, centred)
            posterior = sample(
                hierarchical(prior.model, batch, **declared, centred=centred), initial=initial, **how
            )
        if best is None or posterior.converged or posterior.rhat < best.rhat:
            best = posterior
        if best.converged:
            break
    assert best is not None
    return Joint(_with_what_is_shared(best, prior), batch, len(old))


def _with_what_is_shared(posterior: Posterior, prior: LearnedEquation) -> Posterior:
    """The draws with the spread between tasks of what they share, which nothing tells, as good as none."""
    shared = np.array([parameter.shared for parameter in prior.model.parameters])
    if not shared.any():
        return posterior
    sd = np.where(shared, _SHARED_SD, posterior.draws["coordinate_sd"])
    correlation = posterior.draws["coordinate_correlation"]
    alone = np.where(shared[:, None] | shared[None, :], np.eye(len(shared)), correlation)
    return replace(posterior, draws={**posterior.draws, "coordinate_sd": sd, "coordinate_correlation": alone})


def together(old: Batch, new: Batch | None = None, support: Tensor | None = None) -> Batch:
    """Old tasks, whole, and new ones, of which the support counts."""
    if new is None:
        return old
    return old.join(new if support is None else new.with_mask(new.mask & support))


def population_covariances(posterior: Posterior) -> np.ndarray:
    """Covariance between tasks in every draw, (draw, parameter, parameter)."""
    sd = posterior.draws["coordinate_sd"]
    return sd[:, :, None] * posterior.draws["coordinate_correlation"] * sd[:, None, :]


def without_shared(covariance: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """Covariances (…, parameter, parameter) between tasks, those of what all tasks share as good as none."""
    either = shared[:, None] | shared[None, :]
    none = np.diag(np.full(len(shared), _SHARED_SD**2))
    return np.where(either, none, covariance)


def posterior_of_new_task(
    population: Posterior, prior: LearnedEquation, new: Batch, *, draws: int = 1000, seed: int = 0
) -> Posterior:
    """One new task's posterior with the population posterior of old tasks as its prior.

    For every draw of the population the task's mode and curvature are found; the proposals have Student's
    tails there, and are weighted and drawn again, so that the result is exact but for the draws' number.

    Parameters
    ----------
    population : Posterior
        Of old tasks only.
    prior : Prior
        Gives the model and the covariates' scale.
    new : Batch
        The one task, with the measurements that are known.
    draws : int
        Of the population, at most.
    seed : int

    Returns
    -------
    Posterior
        Of that task; its effective size is that of the weights.
    """
    began = time.perf_counter()
    random = np.random.default_rng(seed)
    chosen = np.linspace(0, len(population) - 1, min(draws, len(population))).round().astype(int)
    kept = {
        name: torch.as_tensor(population.draws[name][chosen])
        for name in ("coordinate_mean", "log_noise", "covariate_effect", "noise_shape")
        if name in population.draws
    }
    count, size = kept["coordinate_mean"].shape
    kept.setdefault("log_noise", kept["coordinate_mean"].new_zeros(count, 0))  # of outcomes without a scale
    mean = kept["coordinate_mean"]
    if "covariate_effect" in kept:
        mean = mean + kept["covariate_effect"] @ prior.covariates.design(new.covariates).values[0]
    covariance = torch.as_tensor(population_covariances(population)[chosen])
    weight = torch.ones(count, dtype=mean.dtype)
    if "noise_shape" in kept:
        shape = kept["noise_shape"].numpy()
        weight = torch.as_tensor(random.gamma(shape, 1.0 / shape))
    problem = prior.problem(new.select(torch.zeros(count, dtype=torch.long)))
    typical = kept["log_noise"].mean(0)
    precision = torch.linalg.inv(covariance)
    near = map_estimate(problem, mean, precision, typical, noise_precision=weight, steps=30, tolerance=1e-2)
    root = torch.linalg.cholesky_ex(near.covariance).L
    normal = torch.as_tensor(random.standard_normal((count, size)))
    stretch = torch.as_tensor((_HEAVY / random.chisquare(_HEAVY, count)) ** 0.5)
    at = near.coordinates + stretch[:, None] * torch.einsum("dij,dj->di", root, normal)
    noise = kept["log_noise"].T[:, :, None]  # a scale each draw, along the draws
    with torch.no_grad():
        likelihood = -problem.negative_log_likelihood(at, noise, weight)
    off = at - mean
    log_prior = -0.5 * torch.einsum("di,dij,dj->d", off, precision, off) - 0.5 * torch.logdet(covariance)
    distance = (stretch[:, None] * normal).square().sum(1)
    log_proposal = -0.5 * (_HEAVY + size) * torch.log1p(distance / _HEAVY) - root.diagonal(
        dim1=1, dim2=2
    ).log().sum(1)
    log_weight = torch.nan_to_num(likelihood + log_prior - log_proposal, nan=-torch.inf)
    share = torch.softmax(log_weight, 0).numpy()
    # systematic resampling (Kitagawa 1996)
    index = np.searchsorted(np.cumsum(share), (random.random() + np.arange(count)) / count).clip(
        max=count - 1
    )
    draws_of_task = {
        "coordinates": at.numpy()[index][:, None, :],
        "log_noise": kept["log_noise"].numpy()[index],
    }
    if "noise_shape" in kept:
        draws_of_task["noise_precision"] = weight.numpy()[index][:, None]
    return replace(
        population,
        draws=draws_of_task,
        tasks=new.names,
        chains=1,
        effective_size=float(1.0 / (share**2).sum()),
        seconds=time.perf_counter() - began,
        compile_seconds=0.0,
    )
