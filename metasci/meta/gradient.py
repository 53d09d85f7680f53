"""Methods that adapt an equation by inner steps: MAML and its family over a scientific model.

Each is a composition (`metasci.meta.compositions.composition`) of an inner rule, a meta-gradient and what is learned,
put on the negative log-likelihood of the support; start, covariate effects and noise are learned in every one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.files import State
from metasci.meta.adaptation.inner import InnerRule, Parameters
from metasci.meta.adaptation.recurrent import RecurrentOptimiser
from metasci.meta.adaptation.rule_families import Curvature, Descent, RuleFamily
from metasci.meta.adaptation.rules import Adam, GradientDescent, Momentum, RMSProp, StepSizes
from metasci.meta.adapted import Adapted, NoiseMixture
from metasci.meta.compositions.composition import (
    Composition,
    Displacement,
    Exact,
    FirstOrder,
    Implicit,
    MetaGradient,
    adapt,
    initial,
    meta_gradient,
)
from metasci.meta.compositions.distributed import reduced, shard
from metasci.meta.compositions.outer import Gradient, Outer, finite_meta_gradient, outer_state, outer_step
from metasci.meta.covariates import Design
from metasci.meta.episodes import EquationEpisode, sample_support
from metasci.meta.implied import adaptation_jacobian, implied_precision, precision_of_jacobian
from metasci.meta.laplace.gauss_newton import normal_equations
from metasci.meta.laplace.gaussian import pooled_fit
from metasci.meta.problem import Problem

__all__ = [
    "ANIL", "FOMAML", "IMAML", "MAML", "FineTuning", "FromScratch", "GradientMethod", "LearnedOptimiser",
    "MetaCurvature", "MetaSGD", "Pooled", "Reptile",
]  # fmt: skip

_RULES: dict[str, Callable[[StepSizes], InnerRule]] = {
    "descent": GradientDescent,
    "momentum": Momentum,
    "nesterov": partial(Momentum, nesterov=True),
    "rmsprop": RMSProp,
    "adam": partial(Adam, epsilon=1e-4),
}
_META_GRADIENTS = ("exact", "first-order", "reptile", "implicit", "joint", "none")


@dataclass(frozen=True)
class GradientMethod:
    """Adaptation by inner steps on the support's negative log-likelihood.

    Parameters
    ----------
    name : str
    steps : int
        Inner steps.
    step_size : float, "learned" or "stable"
        A fixed step, one that is learned with the start, or half of the greatest that is stable there.
    per_parameter, per_step : bool
        Whether a learned step size is one a parameter, and one a step.
    rule : "descent", "momentum", "nesterov", "rmsprop", "adam", "curvature" or "recurrent"
        The inner rule; ``"curvature"`` learns a matrix, ``"recurrent"`` a whole optimiser.
    gradient : "exact", "first-order", "reptile", "implicit", "joint" or "none"
        The meta-gradient. ``"joint"`` trains on all measurements without adaptation, ``"none"`` learns nothing.
    proximal : float
        Weight of the pull to the start in the inner problem, in scaled coordinates.
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
        Of Adam on the meta-loss, falling to zero along a cosine; of plain descent for ``"reptile"``.
    effect_spread : float
        Standard deviation of a Gaussian belief about covariate effects, in scaled coordinates.
    segment : int
        Hold so many inner steps in memory at a time; 0 for all.
    compile : bool
        Whether to compile the meta-gradient first (some seconds to a minute, and a C++ compiler): it pays where there
        are thousands of iterations.
    """

    name: str = "MAML"
    steps: int = 5
    step_size: float | str = "learned"
    per_parameter: bool = False
    per_step: bool = False
    rule: str = "descent"
    gradient: str = "exact"
    proximal: float = 0.0
    frozen: tuple[str, ...] = ()
    penalty: float = 0.0
    learn_penalty: bool = False
    shots: tuple[int, int] = (1, 10)
    support: str = "random"
    iterations: int = 400
    learning_rate: float = 0.03
    effect_spread: float = 0.3
    segment: int = 0
    compile: bool = False

    def __post_init__(self) -> None:
        if self.rule not in (*_RULES, "curvature", "recurrent"):
            known = ", ".join((*_RULES, "curvature", "recurrent"))
            raise InputError(f"rule: '{self.rule}' is not an inner rule; say one of {known}.")
        if self.gradient not in _META_GRADIENTS:
            raise InputError(
                f"gradient: '{self.gradient}' is not known; say one of {', '.join(_META_GRADIENTS)}."
            )
        if self.learn_penalty and not self.penalty > 0:
            raise InputError("learn_penalty: give `penalty`, a first value above zero.")
        if self.learn_penalty and self.gradient not in ("exact", "implicit"):
            raise InputError(
                "learn_penalty: only an exact or an implicit meta-gradient sees the inner penalty."
            )
        if self.step_size not in ("learned", "stable") and (
            isinstance(self.step_size, str) or not float(self.step_size) > 0
        ):
            raise InputError(
                f"step_size: {self.step_size!r} is no number above zero, nor 'learned' or 'stable'."
            )
        if self.step_size == "learned" and self.gradient not in ("exact", "first-order"):
            raise InputError(
                f"step_size: a '{self.gradient}' meta-gradient cannot learn it; say 'stable' or a number."
            )
        if (self.per_parameter or self.per_step) and self.step_size != "learned":
            raise InputError(
                "per_parameter, per_step: there is more than one step size only where they are learned."
            )
        if self.support not in ("random", "first"):
            raise InputError(f"support: '{self.support}' is not known; say 'random' or 'first'.")
        if self.steps < 0 or not 0 <= self.shots[0] <= self.shots[1]:
            raise InputError(
                f"steps {self.steps}, shots {self.shots}: steps from 0 on, and least before greatest shots."
            )

    def composition(self, first_step: float = 1.0, training: bool = False) -> Composition:
        """The composition that this method is, with a first step size.

        Parameters
        ----------
        first_step : float
            Where a learned step size begins; the step size if it is not learned.
        training : bool
            In training, the methods that only adapt afterwards make no steps.
        """
        if training and self.gradient in ("joint", "none"):
            return Composition(steps=0, start_learned=self.gradient == "joint")
        gradients: dict[str, MetaGradient] = {
            "reptile": Displacement(),
            "implicit": Implicit(newton=10),
            "exact": Exact(self.segment or None),
        }
        return Composition(
            self._family(first_step), self.steps, gradients.get(self.gradient, FirstOrder()), proximal=self.proximal,
            trajectory=self.rule == "recurrent",
        )  # fmt: skip

    def _family(self, first_step: float) -> RuleFamily:
        if self.rule == "curvature":
            return Curvature(first_step)
        if self.rule == "recurrent":
            return RecurrentOptimiser()
        each = "parameter" if self.per_parameter else "scalar"
        learned = each if self.step_size == "learned" else "nothing"
        return Descent(first_step, learned, self.per_step, rule=_RULES[self.rule])

    @property
    def outer(self) -> Outer:
        """How what is learned follows the meta-gradient."""
        if self.gradient == "reptile":
            return Outer(self.iterations, 0.3, "descent", "cosine", clip=10.0)
        return Outer(self.iterations, self.learning_rate, "adam", "cosine", clip=10.0, decay=(0.9, 0.99))

    def initial(self, problem: Problem, design: Design) -> State:
        """Start from one fit to all tasks pooled, with a step that is stable there."""
        if unknown := set(self.frozen) - set(problem.model.parameters.names):
            raise InputError(
                f"frozen: '{min(unknown)}' is not a parameter of {problem.model.name}; "
                f"its parameters are {', '.join(problem.model.parameters.names)}."
            )
        mean, log_noise = pooled_fit(problem)
        if self.gradient == "none":
            mean = torch.zeros_like(mean)
        step = self._stable_step(problem, mean, log_noise)
        if not isinstance(self.step_size, str):
            step = mean.new_tensor(float(self.step_size))
        learned: State = {"mean": mean, "effects": mean.new_zeros(len(mean), design.values.shape[1])}
        learned["log_noise"] = log_noise
        if self.learn_penalty:
            laws = len(problem.model.constraints)
            if not laws:
                raise InputError(f"learn_penalty: '{problem.model.name}' states no physical law to weigh.")
            learned["log_penalty"] = mean.new_full((laws,), math.log(self.penalty))
        moving = {"coordinates": mean[self._free(problem)]}
        of_rule = initial(self.composition(float(step)), moving)
        learned |= {name: value for name, value in of_rule.items() if name not in moving}
        return {**outer_state(self.outer, learned), "first_step": step}

    def _stable_step(self, problem: Problem, mean: Tensor, log_noise: Tensor) -> Tensor:
        count = len(problem)
        curvature = normal_equations(
            problem, mean.expand(count, -1), mean.expand(count, -1), mean.new_zeros(count, len(mean), len(mean)),
            log_noise, mean.new_ones(count),
        )[1]  # fmt: skip
        measured = problem.batch.mask.sum(1).clamp(min=1)
        share = self.shots[1] / measured.clamp(min=self.shots[1])
        sound = torch.isfinite(curvature).all(-1).all(-1)
        steepest = (torch.linalg.eigvalsh(curvature[sound])[:, -1] * share[sound]).max()
        momentum = 0.1 if self.rule in ("momentum", "nesterov") else 1.0  # 1 − μ: it adds up what it has seen
        return 0.5 * momentum / (steepest + self.proximal)

    def learned(self, state: State) -> Parameters:
        """The learned tensors of a state."""
        names = ("mean", "effects", "log_noise", "log_penalty")
        return {name: value for name, value in state.items() if name in names or name.startswith("rule/")}

    def episode(self, problem: Problem, design: Design, support: Tensor) -> EquationEpisode:
        """The tasks of a problem with some of the measurements as support, the others as query."""
        columns = problem.batch.mask.shape[1]
        widths = (min(self.shots[1], columns), columns) if self.compile else (None, None)
        seen, judged = problem.trimmed(support, widths[0]), problem.trimmed(~support, widths[1])
        return EquationEpisode(
            seen, judged, design.values, tuple(self._free(problem)), self.effect_spread, len(problem)
        )

    def improve(self, problem: Problem, design: Design, state: State, seed: int) -> tuple[State, Tensor]:
        """One meta-iteration on fresh episodes of all tasks; returns the state and which tasks were left out of it."""
        iteration = int(state["iteration"])
        mask = problem.batch.mask
        support = sample_support(mask, self.shots, self.support, seed * 1_000_003 + iteration)
        if self.gradient == "joint":
            support = torch.zeros_like(mask)
        composition = self.composition(float(state["first_step"]), training=True)
        episode = self.episode(problem, design, support)
        index = shard(len(problem))
        own = episode if index is None else episode.select(index)
        learned = self.learned(state)
        loss, slopes, used = finite_meta_gradient(own, learned, self._gradient(composition, own, learned))
        _, slopes, judged = reduced(loss, slopes, used & own.asked, len(problem))
        new = outer_step(self.outer, state, slopes)
        if self.finished(new) and self._needs_jacobian:
            new["implied_precision"] = self.average_precision(problem, design, new)
        return new, ~judged & episode.asked

    def _gradient(self, composition: Composition, episode: EquationEpisode, learned: Parameters) -> Gradient:
        """The meta-gradient, compiled once for all iterations if that is wanted."""
        if not self.compile:
            return lambda episode, learned: meta_gradient(composition, episode, learned)
        from metasci.meta.compositions.compiled import compile_meta_gradient

        kept = self.__dict__.setdefault("_compiled", [])
        if not kept or kept[0] != composition or not kept[1].holds_for(episode):
            kept[:] = [composition, compile_meta_gradient(composition, episode, learned)]
        made: Gradient = kept[1]
        return made

    def __getstate__(self) -> dict[str, Any]:
        """Without the compiled program, which belongs to this process."""
        return {name: value for name, value in self.__dict__.items() if name != "_compiled"}

    def finished(self, state: State) -> bool:
        """Whether the meta-iterations are done."""
        return float(state["iteration"]) >= (1 if self.gradient == "none" else self.iterations)

    def adapt(self, problem: Problem, design: Design, state: State) -> Adapted:
        """Calibrate every task of the batch, with the Laplace posterior under the implied prior."""
        learned = self.learned(state)
        if "log_penalty" in learned:
            problem = replace(problem, penalty=learned["log_penalty"].exp())
        episode = self.episode(problem, design, problem.batch.mask)
        start = episode.coordinates(*episode.start(learned))
        walked = adapt(self.composition(float(state["first_step"])), episode, learned)
        adapted = episode.coordinates(walked, walked).detach()
        finite = torch.isfinite(adapted).all(1)
        with torch.no_grad():  # steps that overshoot end where the measurements fit worse than at the start
            begun, ended = (
                episode.support({**walked, "coordinates": at[:, self._free(problem)], "start": at})
                for at in (start, adapted)
            )
        sound = finite & (ended <= begun + 1e-9 * begun.abs())
        adapted = torch.where(sound[:, None], adapted, start)
        nothing = start.new_zeros(*start.shape, start.shape[1])
        ones, log_noise = start.new_ones(len(start)), learned["log_noise"]
        before = normal_equations(problem, start, start, nothing, log_noise, ones)[1]
        after = normal_equations(problem, adapted, adapted, nothing, log_noise, ones)[1]
        precision, exists = self._implied(before, state, self._free(problem))
        start_covariance = torch.where(
            exists[:, None, None], torch.linalg.pinv(precision), torch.full_like(precision, math.nan)
        )
        covariance = torch.linalg.pinv(after + precision, hermitian=True)
        fixed = self._fixed(problem)
        if not self.steps:  # what never adapts is as sure of its start as can be
            fixed = list(range(start.shape[1]))
        for matrix in (start_covariance, covariance):
            matrix[:, fixed, :], matrix[:, :, fixed] = 0.0, 0.0
        return Adapted(
            adapted, covariance, start, start_covariance, log_noise, NoiseMixture.single(covariance),
            NoiseMixture.single(start_covariance), sound, finite,
            (*_astray(problem, sound), *self._lost(problem, exists)),
        )  # fmt: skip

    def shapes(self, size: int, covariates: int, scales: int, laws: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the learned tensors that every state has, for a model of that many parameters and laws."""
        made: dict[str, tuple[int, ...]] = {
            "mean": (size,),
            "effects": (size, covariates),
            "log_noise": (scales,),
        }
        made |= {"first_step": ()} | ({"log_penalty": (laws,)} if self.learn_penalty else {})
        moving = {"coordinates": torch.zeros(size - len(self.frozen))}
        of_rule = initial(self.composition(1.0), moving)
        return made | {name: tuple(value.shape) for name, value in of_rule.items() if name not in moving}

    def _free(self, problem: Problem) -> list[int]:
        names = problem.model.parameters.names
        return [at for at, name in enumerate(names) if name not in self.frozen]

    def _fixed(self, problem: Problem) -> list[int]:
        return sorted(set(range(len(problem.model.parameters))) - set(self._free(problem)))

    def _lost(self, problem: Problem, exists: Tensor) -> tuple[str, ...]:
        if not self.steps:
            return (
                f"'{self.name}' never adapts: parameters are those of all tasks, without intervals of their own.",
            )
        count, names = _few(problem, exists)
        if not count:
            return ()
        why = "a step overshoots (e ≥ 1)"
        if self._needs_jacobian:
            why = "the way estimates follow their start is not that of a Gaussian prior"
        return (f"the implied prior does not exist for {count} task(s) ({names}): {why}.",)

    @property
    def has_closed_form(self) -> bool:
        """Whether the implied prior has a closed form."""
        return not self._needs_jacobian

    @property
    def _needs_jacobian(self) -> bool:
        return self.gradient != "implicit" and (
            self.rule not in ("descent", "curvature") or self.per_step or self.proximal > 0
        )

    def _implied(self, hessian: Tensor, state: State, free: list[int]) -> tuple[Tensor, Tensor]:
        """Precision of the prior that adaptation implies, (task, parameter, parameter), and where it exists."""
        precision = torch.zeros_like(hessian)
        place = torch.meshgrid(torch.tensor(free), torch.tensor(free), indexing="ij")
        inner = hessian[:, place[0], place[1]]
        exists = torch.ones(len(hessian), dtype=torch.bool, device=hessian.device)
        if not self.steps:
            own = torch.eye(len(free), dtype=hessian.dtype, device=hessian.device).expand_as(inner)
        elif self.gradient == "implicit":
            own = self.proximal * torch.eye(len(free), dtype=hessian.dtype, device=hessian.device)
            own = own.expand_as(inner)
        elif self._needs_jacobian:
            own = state["implied_precision"].expand_as(inner)
            exists = torch.isfinite(own).all(-1).all(-1)
            own = torch.nan_to_num(own)
        else:
            own, exists = implied_precision(inner, self.step_factor(state, len(free)), self.steps)
        precision[:, place[0], place[1]] = own
        return precision, exists

    def step_factor(self, state: State, size: int) -> Tensor:
        """L of the step matrix A = LLᵀ, (parameter, parameter), of the `size` parameters that are adapted."""
        if self.rule == "curvature":
            return (0.5 * state["rule/rate"]).exp() * state["rule/factor/coordinates/0"]
        rate = state["first_step"]
        if self.step_size == "learned":
            rate = state["rule/rate/coordinates" if self.per_parameter else "rule/rate"].exp()
        return torch.diag(rate.expand(size).sqrt())

    def average_precision(self, problem: Problem, design: Design, state: State) -> Tensor:
        """The implied prior's precision, averaged over the tasks learned from where it exists; NaN where nowhere."""
        learned, free = self.learned(state), self._free(problem)
        if "log_penalty" in learned:
            problem = replace(problem, penalty=learned["log_penalty"].exp())
        support = sample_support(problem.batch.mask, (self.shots[1], self.shots[1]), self.support, 0)
        episode = self.episode(problem, design, support)
        jacobian = adaptation_jacobian(
            self.composition(float(state["first_step"])), episode, learned, "coordinates"
        )
        start = episode.coordinates(*episode.start(learned)).detach()
        nothing = start.new_zeros(*start.shape, start.shape[1])
        ones = start.new_ones(len(start))
        hessian = normal_equations(
            problem.with_mask(support), start, start, nothing, learned["log_noise"], ones
        )[1]
        precision, exists = precision_of_jacobian(hessian[:, free][:, :, free], jacobian)
        if not bool(exists.any()):
            return precision[0] * math.nan
        return precision[exists].mean(0)


def _few(problem: Problem, kept: Tensor) -> tuple[int, str]:
    """How many tasks are not kept, and the names of some."""
    lost = [problem.batch.names[i] for i in (~kept).nonzero()[:, 0].tolist()]
    return len(lost), ", ".join(lost[:3]) + (" and others" if len(lost) > 3 else "")


def _astray(problem: Problem, sound: Tensor) -> tuple[str, ...]:
    count, names = _few(problem, sound)
    if not count:
        return ()
    return (f"{count} task(s) ({names}) stay at their start: the inner steps led to a worse fit than that.",)


def MAML(steps: int = 5, step_size: float | str = "learned", **options: object) -> GradientMethod:
    """Model-agnostic meta-learning with the exact meta-gradient (Finn, Abbeel and Levine 2017, arXiv 1703.03400)."""
    return GradientMethod("MAML", steps, step_size, **options)  # type: ignore[arg-type]


def FOMAML(steps: int = 5, step_size: float | str = "learned", **options: object) -> GradientMethod:
    """First-order MAML: inner gradients are constants to the meta-gradient (Finn et al. 2017, section 5.2)."""
    return GradientMethod("FOMAML", steps, step_size, gradient="first-order", **options)  # type: ignore[arg-type]


def MetaSGD(steps: int = 5, **options: object) -> GradientMethod:
    """Meta-SGD: one learned step size a parameter (Li et al. 2017, arXiv 1707.09835)."""
    return GradientMethod("Meta-SGD", steps, "learned", per_parameter=True, **options)  # type: ignore[arg-type]


def Reptile(steps: int = 5, step_size: float | str = "stable", **options: object) -> GradientMethod:
    """Reptile: the start moves towards where adaptation leads (Nichol et al. 2018, arXiv 1803.02999).

    Covariate effects move with it; what tasks share (the noise) follows the query's gradient.
    """
    return GradientMethod("Reptile", steps, step_size, gradient="reptile", **options)  # type: ignore[arg-type]


def ANIL(frozen: tuple[str, ...], steps: int = 5, **options: object) -> GradientMethod:
    """Part of the parameters is learned but not adapted (feature reuse; Raghu et al. 2020, arXiv 1909.09157)."""
    return GradientMethod("ANIL", steps, frozen=frozen, **options)  # type: ignore[arg-type]


def IMAML(steps: int = 5, proximal: float = 1.0, **options: object) -> GradientMethod:
    """Implicit MAML: the start of a proximal problem, by its solution (Rajeswaran et al. 2019, arXiv 1909.04630).

    Its inner problem is maximum a posteriori estimation under N(start, I/λ) in scaled coordinates, solved by some steps
    of descent and then Newton's.
    """
    return GradientMethod("iMAML", steps, "stable", gradient="implicit", proximal=proximal, **options)  # type: ignore[arg-type]


def MetaCurvature(steps: int = 5, **options: object) -> GradientMethod:
    """A learned full matrix before the gradient (idea: Park and Oliva 2019, arXiv 1902.03356)."""
    return GradientMethod("Meta-Curvature", steps, rule="curvature", **options)  # type: ignore[arg-type]


def LearnedOptimiser(steps: int = 10, **options: object) -> GradientMethod:
    """A recurrent optimiser, the same for every parameter (Andrychowicz et al. 2016, arXiv 1606.04474)."""
    return GradientMethod("learned optimiser", steps, rule="recurrent", gradient="first-order", **options)  # type: ignore[arg-type]


def Pooled(**options: object) -> GradientMethod:
    """A baseline: one fit to all tasks together; a new task changes nothing."""
    return GradientMethod("pooled", 0, "stable", gradient="joint", **options)  # type: ignore[arg-type]


def FineTuning(steps: int = 5, step_size: float | str = "stable", **options: object) -> GradientMethod:
    """A baseline: joint training on all tasks together, then descent on the new one."""
    return GradientMethod("fine-tuning", steps, step_size, gradient="joint", **options)  # type: ignore[arg-type]


def FromScratch(steps: int = 200, step_size: float | str = 0.05, **options: object) -> GradientMethod:
    """A baseline: Adam from the typical values, learning nothing from other tasks."""
    return GradientMethod("from scratch", steps, step_size, rule="adam", gradient="none", **options)  # type: ignore[arg-type]
