"""Refining a learned Gaussian prior by gradients: to the most likely one, or to the one that predicts best.

Expectation–maximisation comes near; these objectives are then climbed with every learned number at once:
coefficients, spread (by its Cholesky factor, with a logarithmic diagonal) and noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from metasci.meta.adaptation.inner import Parameters
from metasci.meta.covariates import Design
from metasci.meta.laplace.evidence import Population, log_marginal, log_predictive
from metasci.meta.laplace.gaussian_state import GaussianState
from metasci.meta.laplace.shared import with_shared_uncertainty
from metasci.meta.laplace.uncertainty import known_of
from metasci.meta.problem import Problem

__all__ = ["finite_tasks", "marginal_cost", "most_likely", "packed", "predictive_cost", "unpacked"]

Belief = Callable[[Tensor, Tensor], Tensor]
"""Log density of coefficients and covariance."""

_LOG_SD = (-9.0, 5.0)  # a spread may vanish, or be unbounded; its logarithm stays within these
# of a coordinate that all tasks share: a millionth of an ordinary variance is none to measurements, and a covariance
# with it is definite
_SHARED_SD = 1e-3


def packed(state: GaussianState) -> Parameters:
    """The population's free numbers: coefficients, Cholesky factor with a logarithmic diagonal, noise."""
    factor = torch.linalg.cholesky(state.covariance)
    below = torch.tril(factor, -1) + torch.diag(factor.diagonal().log())
    return {"coefficients": state.coefficients, "factor": below, "log_noise": state.log_noise}


def unpacked(
    state: GaussianState, free: Parameters, correlated: bool = True, shared: Tensor | None = None
) -> GaussianState:
    """The state with coefficients, covariance and noise of the free numbers; `shared` (parameter,) have no spread."""
    factor = _factor(free, correlated, shared)
    return replace(
        state, coefficients=free["coefficients"], covariance=factor @ factor.T, log_noise=free["log_noise"]
    )


def _believed(free: Parameters, belief: Belief, correlated: bool, shared: Tensor | None = None) -> Tensor:
    factor = _factor(free, correlated, shared)
    return belief(free["coefficients"], factor @ factor.T)


def _factor(free: Parameters, correlated: bool, shared: Tensor | None = None) -> Tensor:
    below = torch.tril(free["factor"], -1) if correlated else torch.zeros_like(free["factor"])
    sd = free["factor"].diagonal().clamp(*_LOG_SD).exp()
    if shared is not None:
        below = below.masked_fill(shared[:, None] | shared[None, :], 0.0)
        sd = sd.masked_fill(shared, _SHARED_SD)
    return below + torch.diag(sd)


def _population(
    free: Parameters, design: Design, correlated: bool, shared: Tensor | None = None
) -> Population:
    mean = design.with_intercept @ free["coefficients"].T
    return Population(mean, _factor(free, correlated, shared), free["log_noise"])


def marginal_cost(
    problem: Problem,
    design: Design,
    free: Parameters,
    belief: Belief,
    correlated: bool,
    start: Tensor | None = None,
    shared: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Negative log marginal likelihood of all tasks less the belief about the population, and the modes."""
    value, mode = log_marginal(problem, _population(free, design, correlated, shared), start)
    return -value.sum() - _believed(free, belief, correlated, shared), mode


def predictive_cost(
    problem: Problem,
    design: Design,
    free: Parameters,
    support: Tensor,
    belief: Belief,
    correlated: bool,
    share: float = 1.0,
) -> Tensor:
    """Negative mean log predictive density of the query's measurements, less the belief's share of a measurement.

    `share` says how many times more tasks there are in all.
    """
    seen, judged = problem.trimmed(support), problem.trimmed(~support)
    value, _ = log_predictive(seen, judged, _population(free, design, correlated))
    asked = judged.batch.mask.any(1)
    mean = torch.where(asked, value, 0.0).sum() / asked.sum().clamp(min=1)
    return -mean - _believed(free, belief, correlated) / (share * problem.batch.mask.sum())


def finite_tasks(problem: Problem, design: Design, state: GaussianState) -> Tensor:
    """Which tasks have a finite marginal likelihood, (task,)."""
    at = design.with_intercept @ state.coefficients.T
    cost = problem.negative_log_likelihood(at, state.log_noise)
    seen = torch.where(problem.batch.mask, problem.batch.output, 0.0)
    return torch.isfinite(cost) & torch.isfinite(seen).all(1)


def most_likely(
    problem: Problem,
    design: Design,
    state: GaussianState,
    belief: Belief,
    correlated: bool,
    iterations: int = 200,
    shared: Tensor | None = None,
) -> GaussianState:
    """Climb the marginal likelihood by L-BFGS (Nocedal 1980) until it is flat; returns the state there.

    A search that leads nowhere finite is given up for the best point it has seen.
    """
    free = {name: value.detach().clone().requires_grad_() for name, value in packed(state).items()}
    search = torch.optim.LBFGS(
        list(free.values()),
        max_iter=iterations,
        history_size=30,
        tolerance_grad=1e-7,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )
    best: tuple[float, Parameters] = (
        float("inf"),
        {name: value.detach().clone() for name, value in free.items()},
    )
    modes = state.coordinates

    def closure() -> Tensor:
        nonlocal best, modes
        search.zero_grad()
        cost, modes_there = marginal_cost(problem, design, free, belief, correlated, modes, shared)
        if not bool(torch.isfinite(cost)):
            return torch.full_like(cost.detach(), 1e30)
        cost.backward()
        if float(cost.detach()) < best[0]:
            best = (float(cost.detach()), {name: value.detach().clone() for name, value in free.items()})
            modes = modes_there
        return cost.detach()

    with torch.enable_grad():
        search.step(closure)
    climbed = replace(unpacked(state, best[1], correlated, shared), coordinates=modes)
    if shared is None or modes is None:
        return climbed
    population = _population(best[1], design, correlated, shared)
    covariance, own = with_shared_uncertainty(problem, population, modes, shared, climbed.covariance)
    if bool(shared.all()):
        return replace(climbed, covariance=covariance)
    differ = (~shared).nonzero()[:, 0]
    # before the climb all were taken to differ, and what is told of one was then told of others too
    known = known_of(
        float(len(modes)),
        float(problem.batch.mask.sum()),
        float(design.with_intercept.shape[1]),
        own.mean(0),
        covariance[differ][:, differ],
    )
    one = torch.ones_like(climbed.widening)
    return replace(
        climbed,
        covariance=covariance,
        widening=one * known.widening,
        spread_freedom=one * known.spread_freedom,
    )
