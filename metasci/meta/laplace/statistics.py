"""What a learned Gaussian prior keeps of the tasks that it was learned from, and learning from others on top of it.

Expectation–maximisation asks of tasks for sums over all of them only: of the expected coordinates and their products,
of covariates, of squared residuals. These sums are kept, a few small matrices, and nothing of any single task. When the
population moves, since new tasks are learned from, the sums of the old ones move with it as if all old tasks had been
measured equally well: with the curvature that gives their mean posterior covariance. Where the model is linear in its
coordinates, the noise additive, and tasks are measured at the same conditions, that is exact, so that learning ends
where it would end with all measurements at hand. Elsewhere it is an approximation that is right where nothing moves.

Sources: Dempster, Laird and Rubin, JRSS B 39 (1977) 1, for the iteration; Neal and Hinton, Learning in Graphical Models
(1998) 355, for learning from one part while another's expectations stand.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metasci.files import State
from metasci.meta.covariates import Design
from metasci.meta.laplace.gauss_newton import Estimate, map_estimate
from metasci.meta.laplace.gaussian_state import GaussianState
from metasci.meta.laplace.maximisation import population_of_sums
from metasci.meta.laplace.uncertainty import known_of
from metasci.meta.problem import Problem
from metasci.noise import Noise
from metasci.parameters import ParameterSpace

if TYPE_CHECKING:
    from metasci.meta.laplace.gaussian import GaussianPrior

__all__ = ["TaskStatistics", "learn_also", "population_under", "statistics_of", "why_no_update"]


@dataclass(frozen=True)
class TaskStatistics:
    """Sums over tasks under a population, and the population.

    Attributes
    ----------
    tasks, measurements, squared : Tensor, ()
        Their numbers, and the expected sum of squared residuals over the noise's variance.
    designs : Tensor, (1 + covariate, 1 + covariate)
        Σ x xᵀ, of one and standardised covariates.
    across : Tensor, (parameter, 1 + covariate)
        Σ z xᵀ, of expected coordinates.
    products : Tensor, (parameter, parameter)
        Σ z zᵀ, of expected coordinates.
    covariance : Tensor, (parameter, parameter)
        Of a task's posterior, the mean over tasks.
    coefficients, precision, log_noise : Tensor
        The population under which all that is expected.
    """

    tasks: Tensor
    measurements: Tensor
    squared: Tensor
    designs: Tensor
    across: Tensor
    products: Tensor
    covariance: Tensor
    coefficients: Tensor
    precision: Tensor
    log_noise: Tensor

    @staticmethod
    def shapes(size: int, covariates: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the tensors, by name."""
        wide = 1 + covariates
        return {
            "tasks": (),
            "measurements": (),
            "squared": (),
            "designs": (wide, wide),
            "across": (size, wide),
            "products": (size, size),
            "covariance": (size, size),
            "coefficients": (size, wide),
            "precision": (size, size),
            "log_noise": (1,),
        }

    def tensors(self) -> State:
        """All by name."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def under(self, coefficients: Tensor, precision: Tensor, log_noise: Tensor) -> TaskStatistics:
        """The same sums under another population.

        With a common curvature H of the tasks' likelihoods and linear terms h, z = (P + H)⁻¹ (P B x + h); H and the
        sums of h are those that give the sums at hand under the population at hand. Both are in proportion to the
        noise's precision.
        """
        louder = (2.0 * (self.log_noise - log_noise)).sum().exp()  # of the one scale there is, or none
        pulled = self.precision @ self.coefficients  # P B
        certain = torch.linalg.inv(self.covariance)  # P + H
        curvature = certain - self.precision
        linear_designs = certain @ self.across - pulled @ self.designs  # Σ h xᵀ
        crossed = certain @ self.across @ pulled.T
        linear_products = (
            certain @ self.products @ certain - crossed - crossed.T + pulled @ self.designs @ pulled.T
        )  # Σ h hᵀ
        constant = self.squared - self._quadratic(
            curvature,
            certain @ self.products - pulled @ self.across.T,
            self.products,
            self.covariance,
            self.tasks,
        )
        curvature, linear_designs = louder * curvature, louder * linear_designs
        linear_products = louder**2 * linear_products
        covariance = torch.linalg.inv(precision + curvature)
        pulled = precision @ coefficients
        across = covariance @ (pulled @ self.designs + linear_designs)
        crossed = pulled @ linear_designs.T  # Σ P B x hᵀ
        products = (
            covariance
            @ (pulled @ self.designs @ pulled.T + crossed + crossed.T + linear_products)
            @ covariance
        )
        linear_across = (linear_designs @ pulled.T + linear_products) @ covariance  # Σ h zᵀ
        squared = louder * constant + self._quadratic(
            curvature, linear_across, products, covariance, self.tasks
        )
        return TaskStatistics(
            self.tasks,
            self.measurements,
            squared,
            self.designs,
            across,
            0.5 * (products + products.mT),
            0.5 * (covariance + covariance.mT),
            coefficients,
            precision,
            log_noise,
        )

    @staticmethod
    def _quadratic(
        curvature: Tensor, linear_across: Tensor, products: Tensor, covariance: Tensor, tasks: Tensor
    ) -> Tensor:
        """Σ zᵀ H z − 2 hᵀ z, expected: squared residuals but for what does not move with z."""
        return (curvature * (products + tasks * covariance)).sum() - 2.0 * linear_across.diagonal().sum()

    def join(self, other: TaskStatistics) -> TaskStatistics:
        """The tasks of both, under one population."""
        tasks = self.tasks + other.tasks
        return TaskStatistics(
            tasks,
            self.measurements + other.measurements,
            self.squared + other.squared,
            self.designs + other.designs,
            self.across + other.across,
            self.products + other.products,
            (self.tasks * self.covariance + other.tasks * other.covariance) / tasks,
            self.coefficients,
            self.precision,
            self.log_noise,
        )


def why_no_update(method: GaussianPrior, noise: Noise) -> str:
    """What in a method or noise no sums stand in for, as the end of a sentence; empty where they do."""
    if method.objective != "expectation":
        return f"it was learned by the {method.objective} objective, which needs all measurements at hand"
    if method.task_noise:
        return "each of its tasks has a noise of its own, which needs all measurements at hand"
    if method.penalty:
        return "physical laws were penalised in it, which needs all measurements at hand"
    if not noise.gaussian:
        return f"it is of {type(noise).__name__} outcomes, which no sums stand in for"
    if len(noise.scales) != 1:
        return f"its noise has {len(noise.scales)} scales, which needs all measurements at hand"
    return ""


def statistics_of(problem: Problem, design: Design, state: GaussianState) -> TaskStatistics:
    """The sums over a batch of tasks under a learned state; tasks that are not finite are not in them."""
    x, precision = design.with_intercept, torch.linalg.inv(state.covariance)
    mean = x @ state.coefficients.T
    estimate = map_estimate(problem, mean, precision.expand(len(x), -1, -1), state.log_noise)
    return _sums(problem, x, estimate, (state.coefficients, precision, state.log_noise))


def _sums(
    problem: Problem, x: Tensor, estimate: Estimate, population: tuple[Tensor, Tensor, Tensor]
) -> TaskStatistics:
    kept = estimate.finite
    z, x, mask = estimate.coordinates[kept], x[kept], problem.batch.mask[kept]
    squared = torch.where(mask, estimate.squared[kept], torch.zeros_like(estimate.squared[kept])).sum()
    count = x.new_tensor(float(len(z)))
    covariance = estimate.covariance[kept].sum(0) / count.clamp(min=1.0)
    return TaskStatistics(
        count, mask.sum().to(x.dtype), squared, x.T @ x, z.T @ x, z.T @ z, covariance, *population
    )


def learn_also(
    method: GaussianPrior, seen: TaskStatistics, problem: Problem, design: Design, state: GaussianState
) -> tuple[GaussianState, TaskStatistics, dict[str, int]]:
    """Learn from new tasks on top of those whose sums were kept.

    Returns
    -------
    state : GaussianState
    seen : TaskStatistics
        Of old and new tasks.
    left_out : dict
        Names of new tasks that turned non-finite, and in how many iterations.
    """
    x, space = design.with_intercept, problem.model.parameters
    start = x @ state.coefficients.T
    left_out: dict[str, int] = {}
    for _ in range(method.iterations):
        population = state.coefficients, torch.linalg.inv(state.covariance), state.log_noise
        estimate = map_estimate(
            problem,
            x @ population[0].T,
            population[1].expand(len(x), -1, -1),
            population[2],
            start=start,
            tolerance=1e-6,
        )
        start = torch.where(estimate.finite[:, None], estimate.coordinates, start)
        for at in (~estimate.finite).nonzero()[:, 0].tolist():
            left_out[problem.batch.names[at]] = left_out.get(problem.batch.names[at], 0) + 1
        both = seen.under(*population).join(_sums(problem, x, estimate, population))
        new = population_under(method, both, state, space)
        state = replace(new, change=new.change_from(state), iteration=state.iteration + 1.0)
        if float(state.change) < method.tolerance:
            break
    alone = statistics_of(problem, design, state)
    whole = seen.under(alone.coefficients, alone.precision, alone.log_noise).join(alone)
    ones = torch.ones_like(start[:, 0])
    return replace(state, coordinates=start, noise_precision=ones), whole, left_out


def population_under(
    method: GaussianPrior, sums: TaskStatistics, state: GaussianState, space: ParameterSpace
) -> GaussianState:
    """The maximisation step, of the sums that were kept, and the noise that leaves."""

    def spread(coefficients: Tensor) -> Tensor:
        crossed = sums.across @ coefficients.T
        off = sums.products - crossed - crossed.T + coefficients @ sums.designs @ coefficients.T
        whole = off + sums.tasks * sums.covariance
        return 0.5 * (whole + whole.T)

    new = population_of_sums(
        state,
        float(sums.tasks),
        sums.designs,
        sums.across,
        spread,
        space,
        method.regularisation,
        method.correlated,
    )
    known = known_of(
        float(sums.tasks),
        float(sums.measurements),
        float((sums.designs * new.design_covariance).sum()),
        sums.covariance,
        new.covariance,
    )
    return replace(
        new.known_as_well_as(known),
        log_noise=state.log_noise + 0.5 * torch.log(sums.squared / sums.measurements),
    )
