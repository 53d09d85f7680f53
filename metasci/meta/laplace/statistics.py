"""What a learned Gaussian prior keeps of the tasks that it was learned from, and learning from others on top of it.

Of every task the likelihood is kept as a parabola about its estimate: slope, curvature, squared residuals. Where the
model is linear in its coordinates and the noise additive that is the whole likelihood (of a task it holds what the
measurements say of its parameters, and no measurement), so that expectation–maximisation over kept and new tasks ends
where it would end with all measurements at hand. Elsewhere it is Laplace's approximation, made once.

Source: Dempster, Laird and Rubin, JRSS B 39 (1977) 1, for the iteration; Lindstrom and Bates, Biometrics 46 (1990) 673,
for the approximation.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metasci.files import State
from metasci.meta.covariates import Design
from metasci.meta.laplace.gauss_newton import Estimate, map_estimate, normal_equations
from metasci.meta.problem import Linearisation, Problem

if TYPE_CHECKING:
    from metasci.meta.laplace.gaussian import GaussianPrior

__all__ = ["TaskStatistics", "learn_also", "statistics_of", "why_no_update"]


@dataclass(frozen=True)
class TaskStatistics:
    """Likelihoods of tasks as parabolas about their estimates.

    Attributes
    ----------
    estimate, slope : Tensor, (task, parameter)
    curvature : Tensor, (task, parameter, parameter)
    squared : Tensor, (task,)
        Sum of squared residuals at the estimate over the noise's variance.
    count : Tensor, (task,)
        Measurements.
    design : Tensor, (task, 1 + covariate)
        One, and standardised covariates.
    log_noise : Tensor, (1,)
        The noise under which slope, curvature and squared residuals are stated.
    """

    estimate: Tensor
    slope: Tensor
    curvature: Tensor
    squared: Tensor
    count: Tensor
    design: Tensor
    log_noise: Tensor

    def __len__(self) -> int:
        return len(self.estimate)

    @staticmethod
    def shapes(tasks: int, parameters: int, covariates: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the tensors, by name."""
        return {
            "estimate": (tasks, parameters), "slope": (tasks, parameters),
            "curvature": (tasks, parameters, parameters), "squared": (tasks,), "count": (tasks,),
            "design": (tasks, 1 + covariates), "log_noise": (1,),
        }  # fmt: skip

    def tensors(self) -> State:
        """All by name."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def under(self, log_noise: Tensor) -> TaskStatistics:
        """The same stated under another noise."""
        factor = (2.0 * (self.log_noise - log_noise)).exp()
        return TaskStatistics(
            self.estimate, factor * self.slope, factor * self.curvature, factor * self.squared, self.count,
            self.design, log_noise,
        )  # fmt: skip

    def join(self, other: TaskStatistics) -> TaskStatistics:
        """The tasks of both."""
        same = other.under(self.log_noise)
        both = {name: torch.cat([value, same.tensors()[name]]) for name, value in self.tensors().items()}
        return TaskStatistics(**{**both, "log_noise": self.log_noise})

    def expected(
        self, coefficients: Tensor, precision: Tensor, log_noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Posterior means and covariances of the tasks under a population, and their expected squared residuals."""
        here = self.under(log_noise)
        covariance = torch.linalg.inv(precision + here.curvature)
        off = self.design @ coefficients.T - self.estimate
        moved = torch.einsum("tij,tj->ti", covariance, off @ precision - here.slope)
        squared = here.squared + 2.0 * (here.slope * moved).sum(1)
        squared = squared + torch.einsum("ti,tij,tj->t", moved, here.curvature, moved)
        squared = squared + torch.einsum("tij,tji->t", here.curvature, covariance)
        return self.estimate + moved, covariance, squared


def why_no_update(method: GaussianPrior, scales: int) -> str:
    """What in a method or noise no statistics stand in for, as the end of a sentence; empty where they do."""
    if method.objective != "expectation":
        return f"it was learned by the {method.objective} objective, which needs all measurements at hand"
    if method.task_noise:
        return "each of its tasks has a noise of its own, which needs all measurements at hand"
    if method.penalty:
        return "physical laws were penalised in it, which needs all measurements at hand"
    if scales != 1:
        return f"its noise has {scales} scales, which needs all measurements at hand"
    return ""


def statistics_of(problem: Problem, design: Design, state: State) -> TaskStatistics:
    """The statistics of a batch of tasks at their estimates under a learned state; tasks that are not finite lack."""
    x = design.with_intercept
    mean = x @ state["coefficients"].T
    precision = torch.linalg.inv(state["covariance"]).expand(len(x), -1, -1)
    estimate = map_estimate(problem, mean, precision, state["log_noise"])
    return _at(problem, x, estimate, state["log_noise"])


def _at(problem: Problem, x: Tensor, estimate: Estimate, log_noise: Tensor) -> TaskStatistics:
    """The likelihood's own slope and curvature: the prior's precision is zero."""
    at = estimate.coordinates
    nothing, ones = torch.zeros_like(estimate.covariance), torch.ones_like(at[:, 0])
    slope, curvature, squared, _ = normal_equations(problem, at, at, nothing, log_noise, ones)
    kept = estimate.finite
    residuals = torch.where(problem.batch.mask, squared, torch.zeros_like(squared)).sum(1)
    count = problem.batch.mask.sum(1).to(at.dtype)
    return TaskStatistics(
        at[kept], slope[kept], curvature[kept], residuals[kept], count[kept], x[kept], log_noise
    )


def learn_also(
    method: GaussianPrior, seen: TaskStatistics, problem: Problem, design: Design, state: State
) -> tuple[State, TaskStatistics, dict[str, int]]:
    """Learn from new tasks on top of those whose statistics were kept.

    Returns
    -------
    state : State
    seen : TaskStatistics
        Of old and new tasks.
    left_out : dict
        Names of new tasks that turned non-finite, and in how many iterations.
    """
    x = design.with_intercept
    everyone = torch.cat([seen.design, x])
    left_out: dict[str, int] = {}
    new_at = x @ state["coefficients"].T
    for _ in range(method.iterations):
        precision = torch.linalg.inv(state["covariance"])
        old = seen.expected(state["coefficients"], precision, state["log_noise"])
        estimate = map_estimate(
            problem, x @ state["coefficients"].T, precision.expand(len(x), -1, -1), state["log_noise"],
            start=new_at, steps=8, tolerance=1e-6,
        )  # fmt: skip
        new_at = torch.where(estimate.finite[:, None], estimate.coordinates, new_at)
        for at in (~estimate.finite).nonzero()[:, 0].tolist():
            left_out[problem.batch.names[at]] = left_out.get(problem.batch.names[at], 0) + 1
        used = problem.batch.mask & estimate.finite[:, None]
        squared = old[2].sum() + torch.where(used, estimate.squared, torch.zeros_like(estimate.squared)).sum()
        quieter = 0.5 * torch.log(squared / (seen.count.sum() + used.sum()))
        both = Estimate(
            torch.cat([old[0], estimate.coordinates]), torch.cat([old[1], estimate.covariance]),
            estimate.squared, _nothing(estimate.line), estimate.converged,
            torch.cat([torch.ones_like(old[2], dtype=torch.bool), estimate.finite]),
        )  # fmt: skip
        population = method._population(both, everyone, state, problem.model.parameters)
        spread = population["covariance"].diagonal().sqrt()
        moved = (population["coefficients"] - state["coefficients"]).abs() / spread[:, None]
        widened = (spread / state["covariance"].diagonal().sqrt()).log().abs()
        change = torch.cat([moved.ravel(), widened, quieter.abs()[None]]).max()
        state = {
            **state, **population, "log_noise": state["log_noise"] + quieter, "change": change,
            "iteration": state["iteration"] + 1.0, "coordinates": new_at,
            "noise_precision": torch.ones_like(new_at[:, 0]),
        }  # fmt: skip
        if float(change) < method.tolerance:
            break
    return state, seen.join(statistics_of(problem, design, state)), left_out


def _nothing(line: Linearisation) -> Linearisation:
    """A linearisation of no task: the population asks for none."""
    return Linearisation(line.prediction[:0], line.jacobian[:0], line.variance[:0])
