"""Adaptation of an equation by inner steps: what MAML and its family do with a scientific model.

Each holds a composition (`metasci.meta.compositions.composition`) of an inner rule, a meta-gradient and what is
learned, put on the negative log-likelihood of the support; start, covariate effects and noise are learned in every one.
The named ones stand in `metasci.meta.methods`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.files import State
from metasci.meta.adaptation.learnable_rules import Curvature, Descent
from metasci.meta.adapted import Adapted, NoiseMixture
from metasci.meta.compositions.adapting import adapt, meta_gradient
from metasci.meta.compositions.composition import Composition, initial
from metasci.meta.compositions.distributed import reduced, shard
from metasci.meta.compositions.gradients import Displacement, Exact, Implicit
from metasci.meta.compositions.outer import Gradient, Outer, finite_meta_gradient, outer_state, outer_step
from metasci.meta.covariates import Design
from metasci.meta.episodes import EquationEpisode, sample_support
from metasci.meta.gradient_prior import (
    average_precision,
    has_closed_form,
    precision_of_adaptation,
    step_factor,
)
from metasci.meta.gradient_state import GradientState
from metasci.meta.laplace.gauss_newton import normal_equations
from metasci.meta.laplace.pooled import pooled_fit
from metasci.meta.problem import Problem
from metasci.meta.step_sizes import stable_step

__all__ = ["GradientMethod", "Learning"]


class Learning(Enum):
    """What meta-training sees."""

    THROUGH_ADAPTATION = "through adaptation"
    """Queries, after adaptation to supports."""
    JOINT = "joint"
    """All measurements of all tasks, without adaptation."""
    NOTHING = "nothing"
    """Nothing: tasks start from the typical values."""


@dataclass(frozen=True, kw_only=True)
class GradientMethod(ABC):
    """Adaptation by inner steps on the support's negative log-likelihood; the base of `MAML` and its family.

    Parameters
    ----------
    frozen : tuple of str
        Parameters of the model that are learned but not adapted.
    penalty : float
        Weight of the model's physical laws, in the inner and in the outer loss.
    learn_penalty : bool
        Whether the inner weights are learned, one for each law; the outer one stays.
    shots : tuple of int
        Least and greatest size of the support in meta-training, drawn uniformly.
    support : "random" or "first"
        How the support is chosen in meta-training.
    iterations : int
        Meta-iterations.
    learning_rate : float
        Of Adam on the meta-loss, falling to zero along a cosine; Reptile's is that of plain descent.
    effect_spread : float
        Standard deviation of a Gaussian belief about covariate effects, in scaled coordinates.
    compile : bool
        Whether to compile the meta-gradient first (some seconds to a minute, and a C++ compiler) also where the
        iterations are too few for it to pay; from 20,000 on it is done wherever it can be.
    label : str
        What to call it in tables; its usual name by default.
    """

    frozen: tuple[str, ...] = ()
    penalty: float = 0.0
    learn_penalty: bool = False
    shots: tuple[int, int] = (1, 10)
    support: str = "random"
    iterations: int = 400
    learning_rate: float = 0.03
    effect_spread: float = 0.3
    compile: bool = False
    label: str = ""

    title: ClassVar[str]

    def __post_init__(self) -> None:
        if isinstance(self.frozen, str):
            raise InputError(f"frozen: give names in a tuple, ('{self.frozen}',).")
        composition = self.composition
        if self.learn_penalty and not self.penalty > 0:
            raise InputError("learn_penalty: give `penalty`, a first value above zero.")
        sees = isinstance(composition.gradient, Exact | Implicit)
        if self.learn_penalty and not (sees and self.learning is Learning.THROUGH_ADAPTATION):
            raise InputError(
                "learn_penalty: only an exact or an implicit meta-gradient sees the inner penalty."
            )
        learns_steps = isinstance(composition.rule, Descent) and composition.rule.learned != "nothing"
        if learns_steps and self.learning is not Learning.THROUGH_ADAPTATION:
            raise InputError(f"step_size: '{self.name}' cannot learn it; say 'stable' or a number.")
        if self.support not in ("random", "first"):
            raise InputError(f"support: '{self.support}' is not known; say 'random' or 'first'.")
        if not 0 <= self.shots[0] <= self.shots[1]:
            raise InputError(f"shots {self.shots}: the least first, from 0 on, then the greatest.")

    @property
    @abstractmethod
    def composition(self) -> Composition:
        """How tasks adapt; where the first step is found from the tasks, with 1 in its place."""

    @property
    def learning(self) -> Learning:
        """What meta-training sees."""
        return Learning.THROUGH_ADAPTATION

    @property
    def stated_step(self) -> float | None:
        """The step size, if it is stated; otherwise the first is half of the greatest that is stable."""
        return None

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return self.label or self.title

    @property
    def steps(self) -> int:
        """Inner steps."""
        return self.composition.steps

    def with_steps(self, steps: int) -> Self:
        """The same method with another number of inner steps."""
        return replace(self, steps=steps)  # type: ignore[call-arg]  # a field of those that make steps

    def adaptation(self, first_step: float) -> Composition:
        """How tasks adapt, with a first step size."""
        composition = self.composition
        if isinstance(composition.rule, Descent | Curvature):
            return replace(composition, rule=replace(composition.rule, step_size=first_step))
        return composition

    def training(self, first_step: float) -> Composition:
        """How tasks adapt in meta-training: not at all, in the methods that learn before they adapt, or never."""
        if self.learning is Learning.THROUGH_ADAPTATION:
            return self.adaptation(first_step)
        return Composition(steps=0, start_learned=self.learning is Learning.JOINT)

    @property
    def outer(self) -> Outer:
        """How what is learned follows the meta-gradient."""
        # longer meta-gradients than 10 come from tasks whose steps nearly diverge, and say little
        if isinstance(self.composition.gradient, Displacement):
            return Outer(self.iterations, self.learning_rate, "descent", "cosine", clip=10.0)
        # β₂ = 0.99: a few hundred iterations are too few to forget a first slope at the usual 0.999
        return Outer(self.iterations, self.learning_rate, "adam", "cosine", clip=10.0, decay=(0.9, 0.99))

    def initial(self, problem: Problem, design: Design) -> GradientState:
        """Start from one fit to all tasks pooled, with a step that is stable there."""
        if unknown := set(self.frozen) - set(problem.model.parameters.names):
            raise InputError(
                f"frozen: '{min(unknown)}' is not a parameter of {problem.model.name}; "
                f"its parameters are {', '.join(problem.model.parameters.names)}."
            )
        mean, log_noise = pooled_fit(problem)
        if self.learning is Learning.NOTHING:
            mean = torch.zeros_like(mean)
        step = stable_step(problem, mean, log_noise, self.shots[1], self.composition)
        if self.stated_step is not None:
            step = mean.new_tensor(self.stated_step)
        learned: State = {
            "mean": mean,
            "effects": mean.new_zeros(len(mean), design.values.shape[1]),
            "log_noise": log_noise,
        }
        if self.learn_penalty:
            laws = len(problem.model.constraints)
            if not laws:
                raise InputError(f"learn_penalty: '{problem.model.name}' states no physical law to weigh.")
            learned["log_penalty"] = mean.new_full((laws,), math.log(self.penalty))
        moving = {"coordinates": mean[self._free(problem)]}
        of_rule = initial(self.adaptation(float(step)), moving)
        learned |= {name: value for name, value in of_rule.items() if name not in moving}
        return GradientState(outer_state(self.outer, learned), step)

    def episode(self, problem: Problem, design: Design, support: Tensor) -> EquationEpisode:
        """The tasks of a problem with some of the measurements as support, the others as query."""
        columns = problem.batch.mask.shape[1]
        widths = (min(self.shots[1], columns), columns) if self._compiles else (None, None)
        seen, judged = problem.trimmed(support, widths[0]), problem.trimmed(~support, widths[1])
        free = tuple(self._free(problem))
        return EquationEpisode(seen, judged, design.values, free, self.effect_spread, len(problem))

    def improve(
        self, problem: Problem, design: Design, state: GradientState, seed: int
    ) -> tuple[GradientState, Tensor]:
        """One meta-iteration on fresh episodes of all tasks; returns the state and which tasks were left out of it."""
        mask = problem.batch.mask
        support = sample_support(mask, self.shots, self.support, seed * 1_000_003 + int(state.iteration))
        if self.learning is Learning.JOINT:
            support = torch.zeros_like(mask)
        composition = self.training(float(state.first_step))
        episode = self.episode(problem, design, support)
        index = shard(len(problem))
        own = episode if index is None else episode.select(index)
        gradient = self._gradient(composition, own, state)
        loss, slopes, used = finite_meta_gradient(own, state.learned, gradient)
        _, slopes, judged = reduced(loss, slopes, used & own.asked, len(problem))
        new = replace(state, outer=outer_step(self.outer, state.outer, slopes))
        if self.finished(new) and not self.has_closed_form:
            new = self.with_implied_precision(problem, design, new)
        return new, ~judged & episode.asked

    @property
    def _compiles(self) -> bool:
        """Whether the meta-gradient is compiled: if that is wanted, or where a run is long enough to pay for it."""
        from metasci.meta.compositions.compiled import worth_compiling

        return self.compile or worth_compiling(self.training(1.0), EquationEpisode, self.iterations)

    def _gradient(self, composition: Composition, episode: EquationEpisode, state: GradientState) -> Gradient:
        """The meta-gradient, compiled once for all iterations where it is compiled."""
        if not self._compiles:
            return partial(meta_gradient, composition)
        from metasci.meta.compositions.compiled import compile_meta_gradient

        kept = self.__dict__.setdefault("_compiled", [])
        if not kept or kept[0] != composition or not kept[1].holds_for(episode):
            kept[:] = [composition, compile_meta_gradient(composition, episode, state.learned)]
        compiled: Gradient = kept[1]
        return compiled

    def __getstate__(self) -> dict[str, Any]:
        """Without the compiled program, which belongs to this process."""
        return {name: value for name, value in self.__dict__.items() if name != "_compiled"}

    def finished(self, state: GradientState) -> bool:
        """Whether the meta-iterations are done."""
        return float(state.iteration) >= (1 if self.learning is Learning.NOTHING else self.iterations)

    def adapt(self, problem: Problem, design: Design, state: GradientState) -> Adapted:
        """Calibrate every task of the batch, with the Laplace posterior under the implied prior."""
        problem = _with_learned_penalty(problem, state)
        free = self._free(problem)
        episode = self.episode(problem, design, problem.batch.mask)
        start = episode.coordinates(*episode.start(state.learned))
        walked = adapt(self.adaptation(float(state.first_step)), episode, state.learned)
        adapted = episode.coordinates(walked, walked).detach()
        finite = torch.isfinite(adapted).all(1)
        with torch.no_grad():  # steps that overshoot end where the measurements fit worse than at the start
            begun, ended = (
                episode.support({**walked, "coordinates": at[:, free], "start": at})
                for at in (start, adapted)
            )
        # 1e-9: what rounding may add where a task does not move
        sound = finite & (ended <= begun + 1e-9 * begun.abs())
        adapted = torch.where(sound[:, None], adapted, start)
        nothing, ones = start.new_zeros(*start.shape, start.shape[1]), start.new_ones(len(start))
        before = normal_equations(problem, start, start, nothing, state.log_noise, ones)[1]
        after = normal_equations(problem, adapted, adapted, nothing, state.log_noise, ones)[1]
        precision, exists = precision_of_adaptation(self.composition, state, before, free)
        if not bool(torch.isfinite(precision).all() and torch.isfinite(after).all()):
            raise InputError(
                f"{self.name}: what was learned, or the measurements, lead to numbers that are not finite; learn the "
                "prior anew, and look at the measurements' units."
            )
        start_covariance = torch.where(
            exists[:, None, None], torch.linalg.pinv(precision), torch.full_like(precision, math.nan)
        )
        covariance = torch.linalg.pinv(after + precision, hermitian=True)
        certain = [at for at in range(start.shape[1]) if at not in free]
        if not self.steps:  # what never adapts is as sure of its start as can be
            certain = list(range(start.shape[1]))
        for matrix in (start_covariance, covariance):
            matrix[:, certain, :], matrix[:, :, certain] = 0.0, 0.0
        return Adapted(
            adapted,
            covariance,
            start,
            start_covariance,
            state.log_noise,
            NoiseMixture.single(covariance),
            NoiseMixture.single(start_covariance),
            sound,
            finite,
            (*_astray(problem, sound), *self._without_prior(problem, exists)),
        )

    def state_of(self, tensors: State) -> GradientState:
        """The state of its tensors by name, as files keep them.

        Raises
        ------
        InputError
            If the implied precision is not that of the parameters that are adapted.
        """
        state = GradientState.of(tensors)
        implied, wide = state.implied_precision, len(state.mean) - len(self.frozen)
        if implied is not None and tuple(implied.shape) != (wide, wide):
            raise InputError(
                f"'implied_precision' is of shape {tuple(implied.shape)} where {(wide, wide)} is needed."
            )
        return state

    def shapes(self, size: int, covariates: int, scales: int, laws: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the tensors that every saved state has."""
        adapted, weights = size - len(self.frozen), laws if self.learn_penalty else 0
        return GradientState.shapes(self.composition, adapted, size, covariates, scales, weights)

    @property
    def has_closed_form(self) -> bool:
        """Whether the implied prior has a closed form."""
        return has_closed_form(self.composition)

    def step_factor(self, state: GradientState, size: int) -> Tensor:
        """L of the step matrix A = LLᵀ, (parameter, parameter), of the `size` parameters that are adapted."""
        return step_factor(self.composition, state, size)

    def with_implied_precision(self, problem: Problem, design: Design, state: GradientState) -> GradientState:
        """The state with the implied prior's precision, averaged over the tasks learned from."""
        problem = _with_learned_penalty(problem, state)
        support = sample_support(problem.batch.mask, (self.shots[1], self.shots[1]), self.support, 0)
        episode = self.episode(problem, design, support)
        composition = self.adaptation(float(state.first_step))
        precision = average_precision(composition, episode, problem.with_mask(support), state)
        return replace(state, implied_precision=precision)

    def _free(self, problem: Problem) -> list[int]:
        names = problem.model.parameters.names
        return [at for at, name in enumerate(names) if name not in self.frozen]

    def _without_prior(self, problem: Problem, exists: Tensor) -> tuple[str, ...]:
        if not self.steps:
            return (
                f"'{self.name}' never adapts: parameters are those of all tasks, without intervals of their own.",
            )
        count, names = _few(problem, exists)
        if not count:
            return ()
        why = "a step overshoots (e ≥ 1)"
        if not self.has_closed_form:
            why = "the way estimates follow their start is not that of a Gaussian prior"
        return (f"the implied prior does not exist for {count} task(s) ({names}): {why}.",)


def _with_learned_penalty(problem: Problem, state: GradientState) -> Problem:
    return problem if state.log_penalty is None else replace(problem, penalty=state.log_penalty.exp())


def _few(problem: Problem, kept: Tensor) -> tuple[int, str]:
    """How many tasks are not kept, and the names of some."""
    lost = [problem.batch.names[i] for i in (~kept).nonzero()[:, 0].tolist()]
    return len(lost), ", ".join(lost[:3]) + (" and others" if len(lost) > 3 else "")


def _astray(problem: Problem, sound: Tensor) -> tuple[str, ...]:
    count, names = _few(problem, sound)
    if not count:
        return ()
    return (f"{count} task(s) ({names}) stay at their start: the inner steps led to a worse fit than that.",)
