"""The Gaussian prior that a method is, or acts as: what its start and its way of adapting say beforehand.

A learned Gaussian prior and a proximal method state it. A few steps of descent imply one in closed form,
different for every task, where no step overshoots. For any other rule it is found by trial: simulated tasks of
known parameters are adapted to, and how far the results follow the truth tells the prior.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from metasci.errors import InputError
from metasci.meta.compositions.gradients import Implicit
from metasci.meta.gradient import GradientMethod
from metasci.meta.implied import precision_of_jacobian, step_eigenvalues
from metasci.meta.laplace.gauss_newton import normal_equations
from metasci.meta.laplace.gaussian import GaussianPrior
from metasci.outcomes.outcome import Outcome

if TYPE_CHECKING:
    from metasci.data.batch import Batch
    from metasci.learned.equation import LearnedEquation

__all__ = ["empirical_prior", "implied_prior", "simulated_like"]


def implied_prior(prior: LearnedEquation, batch: Batch) -> xr.Dataset:
    """The Gaussian prior under which a method's estimates are what they are, task by task.

    Parameters
    ----------
    prior : Prior
    batch : Batch
        Tasks with the measurements that they are adapted to.

    Returns
    -------
    xarray.Dataset
        ``mean`` (task, parameter) and ``covariance`` (task, parameter, parameter_other), NaN where there is no such
        prior; ``exists`` (task); ``average`` (parameter, parameter_other), the mean covariance of the tasks that have
        one; for gradient steps ``e`` (task, parameter), the share of the way to the task's own best fit that a step
        goes in each direction of it, which must lie between 0 and 1. The attribute ``kind`` says where it comes from:
        ``stated``, ``proximal``, ``steps``, ``empirical`` or ``none``; ``validity`` is a sentence.

    Examples
    --------
    >>> import metasci as ms
    >>> prior = ms.load("theophylline")
    >>> said = implied_prior(prior, prior.batch(ms.dataset("theophylline")))
    >>> said.attrs["kind"], said.sizes["task"], bool(said["exists"].all())
    ('stated', 12, True)
    """
    kind = _kind(prior)
    if kind == "empirical":
        return empirical_prior(prior, batch)
    adapted = prior.adapt(batch)
    covariance = adapted.start_covariance
    exists = torch.isfinite(covariance).all(-1).all(-1)
    extra = {}
    if kind == "steps":
        extra["e"] = (("task", "parameter"), _step_shares(prior, batch, adapted.start))
    return _dataset(prior, batch, adapted.start, covariance, exists, kind, extra)


def empirical_prior(
    prior: LearnedEquation, batch: Batch, *, draws: int = 32, spread: float = 0.3, seed: int = 0
) -> xr.Dataset:
    """The prior of any rule, from how its results scatter over simulated tasks.

    Tasks with the given ones' conditions are simulated, their parameters scattered about the start, and
    adapted to. Regression of the results on the truth gives the shrinkage operator W, and Q⁻¹ = H (W⁻¹ − I).
    Every task is simulated with its noise and again with the opposite noise: for a rule that is linear in the
    measurements the noise then drops out.

    Parameters
    ----------
    prior : Prior
    batch : Batch
        Tasks with the measurements that they are adapted to; what was measured does not matter.
    draws : int
        Simulated pairs a task.
    spread : float
        Standard deviation of the true coordinates about the start.
    seed : int

    Returns
    -------
    xarray.Dataset
        As `implied_prior` gives it, with ``scatter`` (parameter, parameter_other), the covariance of the results about
        their starts, and ``operator`` (task, parameter, parameter_other), W.
    """
    count, size = len(batch), len(prior.model.parameters)
    if draws <= size:
        raise InputError(f"an empirical prior of {size} parameters needs more than {draws} draws a task.")
    start = prior.adapt(batch.with_mask(torch.zeros_like(batch.mask))).start
    generator = torch.Generator().manual_seed(seed)
    off = spread * torch.randn(draws, count, size, generator=generator, dtype=start.dtype)
    noise = torch.randn(draws, *batch.mask.shape, generator=generator, dtype=start.dtype)
    results = []
    for sign in (1.0, -1.0):
        simulated = simulated_like(prior, batch, start + off, sign * noise)
        results.append(prior.adapt(simulated).coordinates.reshape(draws, count, size) - start)
    moved = 0.5 * (results[0] + results[1])
    operator = torch.linalg.lstsq(off.transpose(0, 1), moved.transpose(0, 1)).solution.transpose(1, 2)
    identity = torch.eye(size, dtype=start.dtype)
    precision, exists = precision_of_jacobian(_hessian(prior, batch, start), identity - operator)
    covariance = torch.where(exists[:, None, None], torch.linalg.pinv(precision), torch.nan)
    scatter = torch.cov(torch.cat(results).reshape(-1, size).T).reshape(size, size)
    return _dataset(
        prior,
        batch,
        start,
        covariance,
        exists,
        "empirical",
        {
            "scatter": (("parameter", "parameter_other"), scatter.numpy()),
            "operator": (("task", "parameter", "parameter_other"), operator.numpy()),
        },
    )


def _kind(prior: LearnedEquation) -> str:
    method = prior.method
    if isinstance(method, GaussianPrior):
        return "stated"
    if not isinstance(method, GradientMethod):
        return "empirical"
    if not method.steps:
        return "none"
    if isinstance(method.composition.gradient, Implicit):
        return "proximal"
    return "steps" if method.has_closed_form else "empirical"


def _hessian(prior: LearnedEquation, batch: Batch, at: Tensor) -> Tensor:
    """Of the measurements' negative log-likelihood, (task, parameter, parameter)."""
    nothing = at.new_zeros(*at.shape, at.shape[1])
    return normal_equations(
        prior.problem(batch), at, at, nothing, prior.state.log_noise, torch.ones_like(at[:, 0])
    )[1]


def _step_shares(prior: LearnedEquation, batch: Batch, start: Tensor) -> np.ndarray:
    """The shares e of every task, NaN for parameters that are not adapted."""
    method = prior.method
    assert isinstance(method, GradientMethod)
    free = [at for at, name in enumerate(prior.model.parameters.names) if name not in method.frozen]
    inner = _hessian(prior, batch, start)[:, free][:, :, free]
    shares = np.full(tuple(start.shape), np.nan)
    shares[:, free] = step_eigenvalues(inner, method.step_factor(prior.state, len(free)))[0].numpy()
    return shares


def simulated_like(prior: LearnedEquation, batch: Batch, truth: Tensor, noise: Tensor) -> Batch:
    """The batch once for every draw of the truth, (draw, task, parameter), with measurements made of it."""
    draws, count, size = truth.shape
    many = batch.select(torch.arange(count).repeat(draws))
    problem = prior.problem(many)
    with torch.no_grad():
        curve = problem.predict(truth.reshape(-1, size))
        if isinstance(prior.model.noise, Outcome):
            return _outcomes_like(prior, batch, many, curve, noise)
        sd = problem.variance(curve, prior.state.log_noise).sqrt()
        value = prior.model.noise.unlink(prior.model.noise.link(curve) + sd * noise.reshape(sd.shape))
    return replace(
        many, output=torch.where(many.mask, value, 0.0), censored=None, upper=None,
        names=_drawn_names(batch, draws),
    )  # fmt: skip


def _drawn_names(batch: Batch, draws: int) -> tuple[str, ...]:
    return tuple(f"{name} (simulated {draw + 1})" for draw in range(draws) for name in batch.names)


def _outcomes_like(prior: LearnedEquation, batch: Batch, many: Batch, curve: Tensor, noise: Tensor) -> Batch:
    """Outcomes drawn about a curve; the draws of a Gaussian serve as a seed, so that the same give the same."""
    outcome = prior.model.noise
    assert isinstance(outcome, Outcome)
    seed = int(noise.flatten()[:1].view(torch.int64).abs().remainder(2**32))
    inputs = {name: many.inputs[name].expand(many.mask.shape).numpy() for name in prior.model.inputs}
    shape = (*many.mask.shape, outcome.predictors) if outcome.predictors > 1 else many.mask.shape
    predictor = outcome.link(curve).expand(shape).numpy()
    drawn = outcome.sample(predictor, prior.state.log_noise.numpy(), inputs, np.random.default_rng(seed))
    value = torch.as_tensor(drawn)
    return replace(
        many, output=torch.where(many.mask, value, 0.0), censored=None, upper=None,
        names=_drawn_names(batch, len(many) // len(batch)),
    )  # fmt: skip


def _dataset(
    prior: LearnedEquation,
    batch: Batch,
    mean: Tensor,
    covariance: Tensor,
    exists: Tensor,
    kind: str,
    extra: Mapping[str, tuple[tuple[str, ...], np.ndarray]],
) -> xr.Dataset:
    average = covariance[exists].mean(0) if bool(exists.any()) else torch.full_like(covariance[0], torch.nan)
    pair = ("parameter", "parameter_other")
    names = list(prior.model.parameters.names)
    return xr.Dataset(
        {
            "mean": (("task", "parameter"), mean.numpy()),
            "covariance": (("task", *pair), covariance.numpy()),
            "exists": (("task",), exists.numpy()),
            "average": (pair, average.numpy()),
            **extra,
        },
        {"task": list(batch.names), "parameter": names, "parameter_other": names},
        {"kind": kind, "validity": _validity(kind, exists), "method": prior.method.name},
    )


def _validity(kind: str, exists: Tensor) -> str:
    kept, all_tasks = int(exists.sum()), len(exists)
    return {
        "stated": "The method states this prior, and adapts under it.",
        "proximal": "The method states this prior: its pull to the start.",
        "none": "The method never adapts: it is as sure of its start as can be.",
        "steps": f"Exact on a quadratic loss where no step overshoots (0 < e < 1): so for {kept} of {all_tasks} tasks.",
        "empirical": (
            f"By trial on simulated tasks, as far as the rule is linear there: a prior for {kept} of {all_tasks} tasks."
        ),
    }[kind]
