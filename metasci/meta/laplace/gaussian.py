"""The learned Gaussian prior: calibration is the maximum a posteriori estimate under it, with a Laplace posterior.

Hierarchical empirical Bayes. Every task's coordinates scatter about a mean that its covariates shift,
z ~ N(B x, Σ); the coefficients B carry a Gaussian prior themselves, matrix-normal with precision Λ over
the covariates, whose strength is learned with the rest. Learning is expectation–maximisation with
Laplace's approximation in the expectation step.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.files import State
from metasci.meta.adapted import Adapted, NoiseMixture
from metasci.meta.compositions.outer import Outer, outer_state, outer_step
from metasci.meta.covariates import Design
from metasci.meta.episodes import sample_support
from metasci.meta.laplace.gauss_newton import Estimate, map_estimate
from metasci.meta.laplace.pooled import pooled_estimate
from metasci.meta.laplace.refinement import finite_tasks, most_likely, packed, predictive_cost, unpacked
from metasci.meta.laplace.resolution import noise_floor
from metasci.meta.laplace.second_look import look_again
from metasci.meta.laplace.settling import settle
from metasci.meta.laplace.task_noise import at_levels, gamma_shape, level_posteriors, noise_levels
from metasci.meta.laplace.ties import free_means, is_tied, tied_covariance
from metasci.meta.problem import Problem
from metasci.parameters import ParameterSpace

__all__ = ["GaussianPrior", "pooled_fit"]

_INTERCEPT_PRECISION = 1e-2
_NO_TASK_NOISE = 1e8
_ROUGH, _FINE = 1e-2, 1e-6  # posterior standard deviations


@dataclass(frozen=True)
class GaussianPrior:
    """Learned Gaussian prior with Gauss–Newton adaptation and Laplace intervals.

    Parameters
    ----------
    iterations : int
        At most so many iterations of expectation–maximisation.
    tolerance : float
        Learning ends when no coefficient moves by more than this in units of the learned spread.
    task_noise : bool
        Whether tasks differ in how noisy they are: each then has a factor on the noise's precision,
        Gamma(a, a) with a learned, and predictions have Student's tails.
    penalty : float
        Weight of the model's physical laws.
    regularisation : float
        Prior tasks' worth of belief that the spread is about a third of the typical one; zero for pure
        maximum likelihood.
    correlated : bool
        Whether parameters may vary together between tasks.
    spread_uncertainty : bool
        Whether a new task's prior is widened by how uncertain the spread itself is, which matters where tasks are few.
    objective : "expectation", "marginal" or "predictive"
        Whether learning ends with expectation–maximisation, or goes on from there by gradients to the greatest marginal
        likelihood of all measurements (Laplace's approximation), or to the greatest predictive density of
        query measurements after a support drawn anew in every iteration.
    shots : tuple of int
        Least and greatest size of that support.
    support : "random" or "first"
        How it is chosen.
    predictive_iterations : int
    learning_rate : float
        Of Adam on the predictive objective, falling to zero along a cosine.
    tasks_per_step : int, optional
        Tasks drawn anew for every iteration on the predictive objective; all of them by default.

    Notes
    -----
    Learning takes seconds even for many tasks and is not shared out: under ``torchrun`` every process computes the
    same, and the first writes.

    With T tasks, estimates ẑ and Laplace covariances S of each, design X (ones and covariates):
    B = (ẐᵀX + B₀Λ)V with V = (XᵀX + Λ)⁻¹, and Σ = [Σₜ(dₜdₜᵀ + Sₜ) + (B−B₀)Λ(B−B₀)ᵀ + ν·S₀]/(T + ν),
    d = ẑ − B x. A new task's prior is N(B x, (1 + xᵀV x)·Σ): wider for a task unlike those seen.
    Seen as variational Bayes, the spread's posterior is inverse Wishart with ν' = T + ν degrees of freedom, of which
    Σ is the inverse of the expected precision. With `spread_uncertainty` it is integrated over: a new task's
    coordinates are then Student's t, and the prior has its covariance, Σ·ν'/(ν' − p − 1) for p parameters (p = 1 if
    uncorrelated), or Σ·ν' where tasks are too few for that to exist.
    Sources: Lindstrom and Bates, Biometrics 46 (1990) 673, for the linearisation; Dempster, Laird and Rubin,
    JRSS B 39 (1977) 1; Gelman et al., Bayesian Data Analysis (2013), section 3.6, for the spread; MacKay, Neural
    Comput 4 (1992) 415, for the learned strength Λ; Grant et al. 2018 (arXiv 1801.08930) for adaptation as maximum a
    posteriori estimation.
    """

    iterations: int = 200
    tolerance: float = 1e-3
    task_noise: bool = False
    penalty: float = 0.0
    regularisation: float = 2.0
    correlated: bool = True
    spread_uncertainty: bool = False
    objective: str = "expectation"
    shots: tuple[int, int] = (1, 10)
    support: str = "random"
    predictive_iterations: int = 150
    learning_rate: float = 0.02
    tasks_per_step: int | None = None

    name = "Gaussian prior"

    def __post_init__(self) -> None:
        if self.objective not in ("expectation", "marginal", "predictive"):
            raise InputError(
                f"objective: '{self.objective}' is not known; say 'expectation', 'marginal' or 'predictive'."
            )
        if self.penalty and self.objective != "expectation":
            raise InputError(
                "penalty: the marginal and the predictive objective know no laws; leave one of them as it is."
            )
        if self.task_noise and self.objective != "expectation":
            raise InputError(
                "task_noise is learned by expectation-maximisation only: leave `objective` as it is."
            )

    def initial(self, problem: Problem, design: Design) -> State:
        """Start from one fit to all tasks pooled."""
        if is_tied(problem.model.parameters) and self.objective != "expectation":
            raise InputError(
                f"'{problem.model.name}' has parameters tied over occasions, which are learned by "
                "expectation-maximisation only: leave `objective` as it is."
            )
        count, size = len(problem), len(problem.model.parameters)
        factory = problem.batch.output.new_zeros
        centre, log_noise = pooled_fit(problem)
        covariates = design.values.shape[1]
        coefficients = factory(size, 1 + covariates)
        coefficients[:, 0] = centre
        return {
            "coefficients": coefficients,
            "design_covariance": torch.zeros_like(factory(1 + covariates, 1 + covariates)),
            "covariance": torch.eye(size, dtype=centre.dtype, device=centre.device),
            "widening": torch.ones_like(factory(())),
            "relevance": torch.ones_like(factory(max(covariates, 1))),
            "log_noise": log_noise,
            "noise_shape": factory(()) + (2.0 if self.task_noise else _NO_TASK_NOISE),
            "noise_precision": torch.ones_like(factory(count)),
            "coordinates": centre.expand(count, size).clone(),
            "change": factory(()) + math.inf,
            "refined": factory(()),
            "iteration": factory(()),
        }

    def improve(self, problem: Problem, design: Design, state: State, seed: int) -> tuple[State, Tensor]:
        """One iteration of expectation–maximisation; returns the state and which tasks were left out of it."""
        if self._settled(state):
            return self._refine(problem, design, state, seed)
        x = design.with_intercept
        precision = torch.linalg.inv(state["covariance"]).expand(len(x), -1, -1)
        first = float(state["iteration"]) == 0.0
        estimate = map_estimate(
            problem, x @ state["coefficients"].T, precision, state["log_noise"], state["noise_precision"],
            start=state["coordinates"], steps=8 if first else 4, tolerance=1e-3,
        )  # fmt: skip
        used = estimate.finite
        new = dict(state)
        new.update(self._population(estimate, x, state, problem.model.parameters))
        new.update(self._noise(problem, estimate, state))
        spread = new["covariance"].diagonal().sqrt()
        moved = (new["coefficients"] - state["coefficients"]).abs() / spread[:, None]
        widened = (new["covariance"].diagonal().sqrt() / state["covariance"].diagonal().sqrt()).log().abs()
        quieter = (new["log_noise"] - state["log_noise"]).abs()
        new["change"] = torch.cat([moved.ravel(), widened, quieter]).max()
        new["coordinates"] = torch.where(used[:, None], estimate.coordinates, state["coordinates"])
        new["iteration"] = state["iteration"] + 1.0
        if self._settled(new):
            _warn_of_floor(problem, new["log_noise"])
        return new, ~used

    def finished(self, state: State) -> bool:
        """Whether learning has settled or run out of iterations."""
        return self._settled(state) and float(state["refined"]) >= self._refinements

    def _settled(self, state: State) -> bool:
        """Whether expectation–maximisation is done."""
        reached = float(state["iteration"]) - float(state["refined"]) >= self.iterations
        return float(state["change"]) < self.tolerance or reached

    @property
    def _refinements(self) -> int:
        return {"expectation": 0, "marginal": 1, "predictive": self.predictive_iterations}[self.objective]

    def _refine(self, problem: Problem, design: Design, state: State, seed: int) -> tuple[State, Tensor]:
        """One iteration by gradients, after expectation–maximisation; and the tasks that turn non-finite."""
        sound = finite_tasks(problem, design, state)
        kept = sound.nonzero()[:, 0]
        whole = state["coordinates"]
        part = {**state, "coordinates": whole[kept]}
        new = self._climb(problem.select(kept), design.select(kept), part, seed)
        return {**new, "coordinates": whole.index_copy(0, kept, new["coordinates"])}, ~sound

    def _climb(self, problem: Problem, design: Design, state: State, seed: int) -> State:
        refined = int(state["refined"])
        count = {"iteration": state["iteration"] + 1.0, "refined": state["refined"] + 1.0}

        def belief(population: State) -> Tensor:
            return self._log_belief(population, state)

        if self.objective == "marginal":
            return {**state, **most_likely(problem, design, state, belief, self.correlated), **count}
        outer = Outer(self.predictive_iterations, self.learning_rate, "adam", "cosine", clip=10.0)
        old = {name: value for name, value in state.items() if name.startswith("outer/")} or outer_state(
            outer, packed(state)
        )
        free = {name: value.detach().requires_grad_() for name, value in packed(state).items()}
        drawn = seed * 1_000_003 + refined
        part, known = problem, design
        if self.tasks_per_step is not None and self.tasks_per_step < len(problem):
            generator = torch.Generator().manual_seed(drawn)
            chosen = torch.randperm(len(problem), generator=generator)[: self.tasks_per_step].sort().values
            part, known = problem.select(chosen), design.select(chosen)
        support = sample_support(part.batch.mask, self.shots, self.support, drawn)
        cost = predictive_cost(part, known, free, support, belief, self.correlated, len(problem) / len(part))
        slopes = torch.autograd.grad(cost, list(free.values()))
        gradient = dict(zip(free, slopes, strict=True))
        if not all(bool(torch.isfinite(slope).all()) for slope in slopes):
            return {**state, **count}
        here = {**old, **packed(state), "iteration": state["refined"]}
        moved = outer_step(outer, here, gradient)
        carried = {name: value for name, value in moved.items() if name.startswith("outer/")}
        return {**state, **carried, **unpacked(moved, self.correlated), **count}

    def _log_belief(self, population: State, state: State) -> Tensor:
        """What is believed of spread and covariate effects beforehand, as a log density up to a constant."""
        coefficients, covariance = population["coefficients"], population["covariance"]
        factor = torch.linalg.cholesky(covariance)
        log_determinant = 2.0 * factor.diagonal().log().sum()
        precision = torch.cholesky_inverse(factor)
        value = -0.5 * self.regularisation * (log_determinant + 0.1 * precision.diagonal().sum())
        effects = coefficients[:, 1:]
        if effects.shape[1]:
            value = value - 0.5 * state["relevance"][0] * (effects * (precision @ effects)).sum()
        return value

    def _population(self, estimate: Estimate, x: Tensor, state: State, space: ParameterSpace) -> State:
        """Coefficients, their covariance over the design, the spread between tasks, and the relevance."""
        use = estimate.finite
        z, scatter, x = estimate.coordinates[use], estimate.covariance[use], x[use]
        count, size, covariates = len(z), z.shape[1], x.shape[1] - 1
        relevance = state["relevance"]
        strength = torch.cat(
            [relevance.new_full((1,), _INTERCEPT_PRECISION), relevance[0].expand(covariates)]
        )
        design_covariance = torch.linalg.inv(x.T @ x + torch.diag(strength))
        coefficients = z.T @ x @ design_covariance * free_means(space, z)[:, None]
        off = z - x @ coefficients.T
        shape = self.regularisation * 0.1 * torch.eye(size, dtype=z.dtype, device=z.device)
        covariance = off.T @ off + scatter.sum(0) + shape
        covariance = covariance + (coefficients * strength) @ coefficients.T
        covariance = covariance / (count + self.regularisation)
        if not self.correlated:
            covariance = torch.diag(covariance.diagonal())
        if is_tied(space):
            covariance = tied_covariance(covariance, space)
        if covariates:
            effects = coefficients[:, 1:]
            explained = (effects * torch.linalg.solve(covariance, effects)).sum()
            uncertain = size * design_covariance.diagonal()[1:].sum()
            relevance = (size * covariates / (explained + uncertain)).expand_as(relevance).clone()
        return {
            "coefficients": coefficients,
            "design_covariance": design_covariance,
            "covariance": covariance,
            "widening": torch.ones_like(relevance[0]) * self._widening(count, size),
            "relevance": relevance,
        }

    def _widening(self, tasks: int, size: int) -> float:
        """On the variance of a new task's prior, for not knowing the spread: that of Student's t."""
        if not self.spread_uncertainty:
            return 1.0
        freedom = tasks + self.regularisation
        return freedom / max(freedom - (size if self.correlated else 1) - 1.0, 1.0)

    def _noise(self, problem: Problem, estimate: Estimate, state: State) -> State:
        mask = problem.batch.mask & estimate.finite[:, None]
        squared = torch.where(mask, estimate.squared, torch.zeros_like(estimate.squared))
        shape, precision = state["noise_shape"], torch.ones_like(state["noise_precision"])
        if self.task_noise:
            posterior_shape = shape + 0.5 * mask.sum(1)
            posterior_rate = shape + 0.5 * squared.sum(1)
            precision = posterior_shape / posterior_rate
            expected_log = torch.digamma(posterior_shape) - torch.log(posterior_rate)
            shape = gamma_shape((expected_log - precision)[estimate.finite].mean())
        log_noise = _noise_scales(problem, estimate, mask, precision, state["log_noise"])
        return {"log_noise": log_noise, "noise_shape": shape, "noise_precision": precision}

    def start(self, state: State, design: Design) -> tuple[Tensor, Tensor]:
        """Mean (task, parameter) and covariance (task, parameter, parameter) of the prior of new tasks."""
        x, effects = design.with_intercept, state["coefficients"][:, 1:]
        widening = 1.0 + torch.einsum("ti,ij,tj->t", x, state["design_covariance"], x)
        widening = widening * state.get("widening", torch.ones_like(widening[:1]))
        unknown = torch.einsum("pi,tij,qj->tpq", effects, design.uncertainty, effects)
        return x @ state["coefficients"].T, widening[:, None, None] * state["covariance"] + unknown

    def adapt(self, problem: Problem, design: Design, state: State) -> Adapted:
        """Calibrate every task of the batch."""
        mean, covariance = self.start(state, design)
        precision = torch.linalg.inv(covariance)
        log_noise = state["log_noise"]
        tolerance = _ROUGH if self.task_noise else _FINE
        estimate = map_estimate(problem, mean, precision, log_noise, tolerance=tolerance)
        if not self.task_noise:  # a noisy task is another explanation of a misfit
            estimate = look_again(problem, mean, covariance, log_noise, estimate, tolerance)
            estimate = settle(problem, mean, covariance, log_noise, estimate, tolerance)
        mixture = NoiseMixture.single(estimate.covariance)
        start_mixture = NoiseMixture.single(covariance)
        if self.task_noise:
            levels = noise_levels(state["noise_shape"])
            start_mixture = at_levels(covariance, levels)
            for tolerance in (_ROUGH, _FINE):
                mixture = level_posteriors(problem, estimate, mean, precision, log_noise, levels)
                weight = (mixture.weight / mixture.factor).sum(0)
                estimate = map_estimate(
                    problem, mean, precision, log_noise, weight, estimate.coordinates, tolerance=tolerance
                )
            mixture = level_posteriors(problem, estimate, mean, precision, log_noise, levels)
        lost = ~estimate.finite
        if bool(lost.any()):
            mixture = mixture.where_lost(lost, start_mixture)
        return Adapted(
            coordinates=torch.where(lost[:, None], mean, estimate.coordinates),
            covariance=mixture.total_covariance,
            start=mean,
            start_covariance=covariance,
            log_noise=log_noise,
            mixture=mixture,
            start_mixture=start_mixture,
            converged=estimate.converged,
            finite=estimate.finite,
        )


def pooled_fit(problem: Problem) -> tuple[Tensor, Tensor]:
    """One set of coordinates for all tasks, and the noise that leaves."""
    size = len(problem.model.parameters)
    sound = _finite_at_typical(problem)
    together = problem.select(sound.nonzero()[:, 0])
    centre = problem.batch.output.new_zeros(1, size)
    precision = torch.eye(size, dtype=centre.dtype, device=centre.device)[None] * 0.25
    log_noise = centre.new_tensor([math.log(value) for value in problem.model.noise.typical])
    for _ in range(3):
        estimate = pooled_estimate(together, centre, precision, log_noise, steps=20, tolerance=1e-3)
        ones = torch.ones(len(together), dtype=centre.dtype, device=centre.device)
        log_noise = _noise_scales(together, estimate, together.batch.mask, ones, log_noise)
    return estimate.coordinates[0], log_noise


def _finite_at_typical(problem: Problem) -> Tensor:
    """Which tasks have a finite likelihood at the typical values; all, if none has."""
    at = problem.batch.output.new_zeros(len(problem), len(problem.model.parameters))
    log_noise = at.new_tensor([math.log(value) for value in problem.model.noise.typical])
    sound = torch.isfinite(problem.negative_log_likelihood(at, log_noise))
    return sound if bool(sound.any()) else torch.ones_like(sound)


def _warn_of_floor(problem: Problem, log_noise: Tensor) -> None:
    """Say that measurements do not scatter about the model, so that intervals are those of rounding alone."""
    held = (log_noise <= noise_floor(problem) + 1e-9).nonzero()[:, 0].tolist()
    # of several scales one may well vanish, if another says how measurements scatter
    if len(held) < len(log_noise):
        return
    scale = problem.model.noise.scales[held[0]]
    warnings.warn(
        f"the measurements do not scatter about '{problem.model.name}': the noise ({scale}) is held at "
        f"{float(log_noise[held[0]].exp()):.2g}, what rounding leaves; intervals say no more than that.",
        stacklevel=2,
    )


def _noise_scales(
    problem: Problem, estimate: Estimate, mask: Tensor, precision: Tensor, log_noise: Tensor
) -> Tensor:
    """Scales that make the expected squared residuals most likely, down to the resolution of the measurements."""
    floor = noise_floor(problem)
    weighted = torch.where(mask, precision[:, None] * estimate.squared, torch.zeros_like(estimate.squared))
    if len(log_noise) == 1:
        return (log_noise + 0.5 * torch.log(weighted.sum() / mask.sum())).maximum(floor)
    raw = problem.model.noise.unlink(estimate.line.prediction)
    squared = weighted * problem.variance(raw, log_noise)
    free = log_noise.clone().requires_grad_()
    search = torch.optim.LBFGS([free], max_iter=25, line_search_fn="strong_wolfe")

    def cost() -> Tensor:
        search.zero_grad()
        variance = problem.variance(raw, free)
        each = torch.where(mask, squared / variance + torch.log(variance), torch.zeros_like(squared))
        # a scale may vanish: a faint pull towards the start keeps its logarithm finite
        total = 0.5 * each.sum() + 0.01 * (free - log_noise).square().sum()
        total.backward()
        return total

    with torch.enable_grad():
        search.step(cost)
    return free.detach().clamp(log_noise - 2.0, log_noise + 2.0).maximum(floor)
