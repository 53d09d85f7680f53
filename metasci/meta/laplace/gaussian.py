"""The learned Gaussian prior: calibration is the maximum a posteriori estimate under it, with a Laplace posterior.

Hierarchical empirical Bayes. Every task's coordinates scatter about a mean that its covariates shift,
z ~ N(B x, Σ); the coefficients B carry a Gaussian prior themselves, matrix-normal with precision Λ over
the covariates, whose strength is learned with the rest. Learning is expectation–maximisation with
Laplace's approximation in the expectation step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.files import State
from metasci.meta.adapted import Adapted, NoiseMixture
from metasci.meta.compositions.outer import Outer, OuterState, outer_state, outer_step
from metasci.meta.covariates import Design
from metasci.meta.episodes import sample_support
from metasci.meta.laplace.gauss_newton import Estimate, map_estimate
from metasci.meta.laplace.gaussian_state import KNOWN, GaussianState
from metasci.meta.laplace.levels import level_posteriors, level_weights, levels_of
from metasci.meta.laplace.maximisation import (
    BELIEVED_VARIANCE,
    most_likely_noise,
    most_likely_population,
)
from metasci.meta.laplace.pooled import pooled_fit
from metasci.meta.laplace.refinement import finite_tasks, most_likely, packed, predictive_cost, unpacked
from metasci.meta.laplace.resolution import warn_of_floor
from metasci.meta.laplace.second_look import look_again
from metasci.meta.laplace.settling import settle
from metasci.meta.laplace.ties import is_tied
from metasci.meta.laplace.uncertainty import known_of
from metasci.meta.problem import Problem
from metasci.meta.stages import staged

__all__ = ["GaussianPrior"]

# a of Gamma(a, a), where tasks share one noise: factors then differ from one by 1e-4
_NO_TASK_NOISE = 1e8
# … and where learning begins if they differ: factors from about 0.1 to 3, wider than in any data set that ships
_FIRST_SHAPE = 2.0
# iterations before parameters that all tasks share are climbed by gradients: until then they are taken to differ, and
# their spread would only creep towards nothing
_ONLY_A_START = 20
# posterior standard deviations: rough before levels of the scales are weighed, close before they are weighed again,
# fine where the estimate is reported
_ROUGH, _CLOSE, _FINE = 1e-2, 1e-3, 1e-6
# on the noise's variance, beyond which few tasks are so noisy: of Gamma(2, 2) on the precision, one in fifty
_NOISIEST = 10.0


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
    d = ẑ − B x. Were all this known, a new task's prior would be N(B x, (1 + xᵀV x)·Σ): wider for a task unlike those
    seen. But few tasks tell little of the spread: its posterior is inverse Wishart, and integrated over it a new task's
    coordinates are Student's t, whose degrees of freedom count tasks by how well they were measured and without those
    that mean and covariate effects took (`metasci.meta.laplace.uncertainty`). The noise's scale is integrated over in
    the same way, or as one that differs from task to task. Where tasks are many, all that is Gaussian again.
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
    objective: str = "expectation"
    shots: tuple[int, int] = (1, 10)
    support: str = "random"
    predictive_iterations: int = 150
    learning_rate: float = 0.02
    tasks_per_step: int | None = None

    title: ClassVar[str] = "Gaussian prior"

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return self.title

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

    def initial(self, problem: Problem, design: Design) -> GaussianState:
        """Start from one fit to all tasks pooled."""
        self._check_outcome(problem)
        if is_tied(problem.model.parameters) and self.objective != "expectation":
            raise InputError(
                f"'{problem.model.name}' has parameters tied over occasions, which are learned by "
                "expectation-maximisation only: leave `objective` as it is."
            )
        if self.objective != "marginal" and any(parameter.shared for parameter in problem.model.parameters):
            raise InputError(
                f"'{problem.model.name}' has parameters that all tasks share, which are learned by the marginal "
                "objective only: say GaussianPrior(objective='marginal')."
            )
        count, size = len(problem), len(problem.model.parameters)
        centre, log_noise = pooled_fit(problem)
        covariates = design.values.shape[1]
        zero = problem.batch.output.new_zeros(())
        coefficients = centre.new_zeros(size, 1 + covariates)
        coefficients[:, 0] = centre
        return GaussianState(
            coefficients=coefficients,
            covariance=torch.eye(size, dtype=centre.dtype, device=centre.device),
            design_covariance=centre.new_zeros(1 + covariates, 1 + covariates),
            log_noise=log_noise,
            noise_shape=zero + (_FIRST_SHAPE if self.task_noise else _NO_TASK_NOISE),
            widening=zero + 1.0,
            spread_freedom=zero + KNOWN,
            noise_freedom=zero + KNOWN,
            relevance=zero.expand(max(covariates, 1)) + 1.0,
            change=zero + math.inf,
            refined=zero,
            iteration=zero,
            noise_precision=zero.expand(count) + 1.0,
            coordinates=centre.expand(count, size).clone(),
        )

    def _check_outcome(self, problem: Problem) -> None:
        """Refuse what is of Gaussian measurements only."""
        noise = problem.model.noise
        if noise.gaussian or not (self.task_noise or self.objective == "predictive"):
            return
        asked = "task_noise" if self.task_noise else "the predictive objective"
        raise InputError(
            f"{asked} is of measurements with a Gaussian noise, and '{problem.model.name}' has "
            f"{type(noise).__name__} {'noise' if noise.measures else 'outcomes'}: leave it out."
        )

    def improve(
        self, problem: Problem, design: Design, state: GaussianState, seed: int
    ) -> tuple[GaussianState, Tensor]:
        """One iteration of expectation–maximisation; returns the state and which tasks were left out of it."""
        problem = staged(problem)
        if self._settled(state):
            return self._refine(problem, design, state, seed)
        assert state.coordinates is not None
        x = design.with_intercept
        precision = torch.linalg.inv(state.covariance).expand(len(x), -1, -1)
        # estimates follow the population from iteration to iteration: a few steps to a rough tolerance keep up with it
        estimate = map_estimate(
            problem,
            x @ state.coefficients.T,
            precision,
            state.log_noise,
            state.noise_precision,
            start=state.coordinates,
            steps=8 if float(state.iteration) == 0.0 else 4,
            tolerance=1e-3,
        )
        used, space = estimate.finite, problem.model.parameters
        new = replace(
            most_likely_noise(
                self._population(state, problem, estimate, x), problem, estimate, self.task_noise
            ),
            coordinates=torch.where(used[:, None], estimate.coordinates, state.coordinates),
            iteration=state.iteration + 1.0,
        )
        new = replace(new, change=new.change_from(state))
        started = float(new.iteration) >= _ONLY_A_START and any(p.shared for p in space)
        if started:
            new = replace(new, change=torch.zeros_like(new.change))
        if self._settled(new):
            warn_of_floor(problem, new.log_noise)
        return new, ~used

    def _population(
        self, state: GaussianState, problem: Problem, estimate: Estimate, x: Tensor
    ) -> GaussianState:
        """The maximisation step, and how well what it gives is known."""
        space, used = problem.model.parameters, estimate.finite
        new = most_likely_population(state, estimate, x, space, self.regularisation, self.correlated)
        known = known_of(
            float(used.sum()),
            float(problem.batch.mask[used].sum()),
            float(((x[used].T @ x[used]) * new.design_covariance).sum()),
            estimate.covariance[used].mean(0),
            new.covariance,
        )
        if not problem.model.noise.gaussian:  # outcomes have no noise whose scale could be misjudged
            known = replace(known, noise_freedom=KNOWN)
        return new.known_as_well_as(known)

    def finished(self, state: GaussianState) -> bool:
        """Whether learning has settled or run out of iterations."""
        return self._settled(state) and float(state.refined) >= self._refinements

    def _settled(self, state: GaussianState) -> bool:
        """Whether expectation–maximisation is done."""
        reached = float(state.iteration) - float(state.refined) >= self.iterations
        return float(state.change) < self.tolerance or reached

    @property
    def _refinements(self) -> int:
        return {"expectation": 0, "marginal": 1, "predictive": self.predictive_iterations}[self.objective]

    def _refine(
        self, problem: Problem, design: Design, state: GaussianState, seed: int
    ) -> tuple[GaussianState, Tensor]:
        """One iteration by gradients, after expectation–maximisation; and the tasks that turn non-finite."""
        assert state.coordinates is not None
        sound = finite_tasks(problem, design, state)
        kept = sound.nonzero()[:, 0]
        part = replace(
            state,
            coordinates=state.coordinates[kept],
            iteration=state.iteration + 1.0,
            refined=state.refined + 1.0,
        )
        climb = self._climb_likelihood if self.objective == "marginal" else self._climb_predictive
        new = climb(problem.select(kept), design.select(kept), part, seed)
        assert new.coordinates is not None
        return replace(new, coordinates=state.coordinates.index_copy(0, kept, new.coordinates)), ~sound

    def _climb_likelihood(
        self, problem: Problem, design: Design, state: GaussianState, seed: int
    ) -> GaussianState:
        """To the greatest marginal likelihood, in one go."""
        shared = torch.tensor([parameter.shared for parameter in problem.model.parameters])
        return most_likely(
            problem,
            design,
            state,
            partial(self._log_belief, state),
            self.correlated,
            shared=shared if bool(shared.any()) else None,
        )

    def _climb_predictive(
        self, problem: Problem, design: Design, state: GaussianState, seed: int
    ) -> GaussianState:
        """One step towards the greatest predictive density of queries; none where it is not finite."""
        step_number = state.refined - 1.0  # of this step, which the state counts already
        outer = Outer(self.predictive_iterations, self.learning_rate, "adam", "cosine", clip=10.0)
        free = {name: value.detach().requires_grad_() for name, value in packed(state).items()}
        draw = seed * 1_000_003 + int(step_number)
        part, known = problem, design
        if self.tasks_per_step is not None and self.tasks_per_step < len(problem):
            generator = torch.Generator().manual_seed(draw)
            chosen = torch.randperm(len(problem), generator=generator)[: self.tasks_per_step].sort().values
            part, known = problem.select(chosen), design.select(chosen)
        support = sample_support(part.batch.mask, self.shots, self.support, draw)
        belief, share = partial(self._log_belief, state), len(problem) / len(part)
        cost = predictive_cost(part, known, free, support, belief, self.correlated, share)
        slopes = torch.autograd.grad(cost, list(free.values()))
        if not all(bool(torch.isfinite(slope).all()) for slope in slopes):
            return state
        memory = state.memory or outer_state(outer, packed(state)).memory
        moved = outer_step(
            outer, OuterState(packed(state), memory, step_number), dict(zip(free, slopes, strict=True))
        )
        return replace(unpacked(state, moved.learned, self.correlated), memory=moved.memory)

    def _log_belief(self, state: GaussianState, coefficients: Tensor, covariance: Tensor) -> Tensor:
        """What is believed of spread and covariate effects beforehand, as a log density up to a constant."""
        factor = torch.linalg.cholesky(covariance)
        log_determinant = 2.0 * factor.diagonal().log().sum()
        precision = torch.cholesky_inverse(factor)
        trace = precision.diagonal().sum()
        value = -0.5 * self.regularisation * (log_determinant + BELIEVED_VARIANCE * trace)
        effects = coefficients[:, 1:]
        if effects.shape[1]:
            value = value - 0.5 * state.relevance[0] * (effects * (precision @ effects)).sum()
        return value

    def start(self, state: GaussianState, design: Design) -> tuple[Tensor, Tensor]:
        """Mean (task, parameter) and covariance (task, parameter, parameter) of the prior of new tasks."""
        x, effects = design.with_intercept, state.effects
        wider = (1.0 + torch.einsum("ti,ij,tj->t", x, state.design_covariance, x)) * state.widening
        unknown = torch.einsum("pi,tij,qj->tpq", effects, design.uncertainty, effects)
        return x @ state.coefficients.T, wider[:, None, None] * state.covariance + unknown

    def state_of(self, tensors: State) -> GaussianState:
        """The state of its tensors by name, as files keep them."""
        return GaussianState.of(tensors)

    def shapes(self, size: int, covariates: int, scales: int, laws: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the tensors that every saved state has."""
        return GaussianState.shapes(size, covariates, scales)

    def adapt(self, problem: Problem, design: Design, state: GaussianState) -> Adapted:
        """Calibrate every task of the batch."""
        problem = staged(problem)
        mean, covariance = self.start(state, design)
        precision = torch.linalg.inv(covariance)
        log_noise = state.log_noise
        levels = levels_of(state, self.task_noise)
        tolerance = _FINE if len(levels) == 1 else _ROUGH
        estimate = map_estimate(problem, mean, precision, log_noise, tolerance=tolerance)
        # a noisy task is another explanation of a misfit, but not of any
        explained = _NOISIEST if self.task_noise else 1.0
        estimate = look_again(problem, mean, covariance, log_noise, estimate, tolerance, explained)
        if not self.task_noise:
            estimate = settle(problem, mean, covariance, log_noise, estimate, tolerance)
        mixture = NoiseMixture.single(estimate.covariance)
        start_mixture = levels.before(covariance)
        if len(levels) > 1:
            for tolerance in (_CLOSE, _FINE):
                weight = level_weights(problem, estimate, mean, precision, log_noise, levels)
                narrow = (weight / levels.spread[:, None]).sum(0)
                estimate = map_estimate(
                    problem,
                    mean,
                    narrow[:, None, None] * precision,
                    log_noise,
                    (weight * levels.noise_precision[:, None]).sum(0),
                    estimate.coordinates,
                    tolerance=tolerance,
                    line=estimate.line,
                )
            mixture = level_posteriors(problem, estimate, mean, precision, log_noise, levels)
        lost = ~estimate.finite
        if bool(lost.any()):
            mixture = mixture.where_lost(lost, start_mixture)
        return Adapted(
            coordinates=torch.where(lost[:, None], mean, estimate.coordinates),
            covariance=mixture.total_covariance,
            start=mean,
            start_covariance=start_mixture.total_covariance,
            log_noise=log_noise,
            mixture=mixture,
            start_mixture=start_mixture,
            converged=estimate.converged,
            finite=estimate.finite,
        )
