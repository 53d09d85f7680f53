"""Methods that adapt by gradient steps: MAML, its first-order form, and Meta-SGD, as compositions of three choices.

The inner rule is gradient descent, the meta-gradient is exact or first-order, and what is learned is the
start, its shift with covariates, the step size (one, or one a parameter) and the noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from metasci.meta.adapted import Adapted, NoiseMixture, State
from metasci.meta.covariates import Design
from metasci.meta.episodes import sample_support
from metasci.meta.gauss_newton import normal_equations
from metasci.meta.gaussian import pooled_fit
from metasci.meta.implied import implied_precision
from metasci.meta.inner import GradientDescent, unroll
from metasci.meta.problem import Problem

__all__ = ["FOMAML", "MAML", "GradientMethod", "MetaSGD"]

_LEARNED = ("mean", "effects", "log_step", "log_noise")


@dataclass(frozen=True)
class GradientMethod:
    """Adaptation by gradient steps on the support's negative log-likelihood.

    Parameters
    ----------
    name : str
    steps : int
        Inner steps.
    step_size : float or "learned"
        A fixed step, or one that is learned with the start.
    per_parameter : bool
        Whether each parameter has a step size of its own.
    second_order : bool
        Whether the meta-gradient is exact or first-order.
    penalty : float
        Weight of the model's physical laws, in the inner and in the outer loss.
    shots : tuple of int
        Least and greatest size of the support in meta-training, drawn uniformly.
    support : "random" or "first"
        How the support is chosen in meta-training.
    iterations : int
        Meta-iterations.
    learning_rate : float
        Of Adam (Kingma and Ba 2015) on the meta-loss, falling to zero along a cosine.
    effect_spread : float
        Standard deviation of a Gaussian belief about covariate effects, in scaled coordinates.
    """

    name: str = "MAML"
    steps: int = 5
    step_size: float | str = "learned"
    per_parameter: bool = False
    second_order: bool = True
    penalty: float = 0.0
    shots: tuple[int, int] = (1, 10)
    support: str = "random"
    iterations: int = 400
    learning_rate: float = 0.03
    effect_spread: float = 0.3

    def initial(self, problem: Problem, design: Design) -> State:
        """Start from one fit to all tasks pooled, with a step that is stable there."""
        mean, log_noise = pooled_fit(problem)
        count = len(problem)
        curvature = normal_equations(
            problem, mean.expand(count, -1), mean.expand(count, -1), mean.new_zeros(count, len(mean), len(mean)),
            log_noise, mean.new_ones(count),
        )[1]  # fmt: skip
        measured = problem.batch.mask.sum(1).clamp(min=1)
        share = self.shots[1] / measured.clamp(min=self.shots[1])
        sound = torch.isfinite(curvature).all(-1).all(-1)
        steepest = (torch.linalg.eigvalsh(curvature[sound])[:, -1] * share[sound]).max()
        step = (
            (0.5 / steepest).log()
            if self.step_size == "learned"
            else mean.new_tensor(float(self.step_size)).log()
        )
        state = {
            "mean": mean,
            "effects": mean.new_zeros(len(mean), design.values.shape[1]),
            "log_step": step.expand(len(mean)).clone() if self.per_parameter else step.clone(),
            "log_noise": log_noise,
            "iteration": mean.new_zeros(()),
        }
        for name in _LEARNED:
            state[f"first_moment/{name}"] = torch.zeros_like(state[name])
            state[f"second_moment/{name}"] = torch.zeros_like(state[name])
        return state

    def improve(self, problem: Problem, design: Design, state: State, seed: int) -> tuple[State, Tensor]:
        """One meta-iteration on fresh episodes of all tasks; returns the state and which tasks were left out of it."""
        iteration = int(state["iteration"])
        support = sample_support(problem.batch.mask, self.shots, self.support, seed * 1_000_003 + iteration)
        used = torch.ones(len(problem), dtype=torch.bool, device=problem.batch.mask.device)
        gradient = self._meta_gradient(problem, design, state, support)
        if not all(bool(torch.isfinite(slope).all()) for slope in gradient.values()):
            used = self._finite_tasks(problem, design, state, support)
            index = used.nonzero()[:, 0]
            if not len(index):
                return {**state, "iteration": state["iteration"] + 1.0}, ~used
            gradient = self._meta_gradient(problem.select(index), design.select(index), state, support[index])
        return self._adam(state, gradient), ~used

    def finished(self, state: State) -> bool:
        """Whether the meta-iterations are done."""
        return float(state["iteration"]) >= self.iterations

    def meta_loss(self, problem: Problem, design: Design, learned: State, support: Tensor) -> Tensor:
        """Mean negative log-likelihood of a query measurement after adaptation, for each task (task,)."""
        query = problem.batch.mask & ~support
        adapted = self._descend(problem.with_mask(problem.batch.mask & support), design, learned)
        after = problem.with_mask(query)
        count = query.sum(1).clamp(min=1)
        loss = after.negative_log_likelihood(adapted, learned["log_noise"]) / count
        return loss + problem.penalty_cost(adapted)

    def _meta_gradient(self, problem: Problem, design: Design, state: State, support: Tensor) -> State:
        learned = {name: state[name].detach().requires_grad_() for name in _LEARNED}
        loss = self.meta_loss(problem, design, learned, support).mean()
        loss = loss + 0.5 * learned["effects"].square().sum() / (self.effect_spread**2 * len(problem))
        slopes = torch.autograd.grad(loss, list(learned.values()), allow_unused=True)
        named = zip(learned.items(), slopes, strict=True)
        return {name: torch.zeros_like(value) if slope is None else slope for (name, value), slope in named}

    def _finite_tasks(self, problem: Problem, design: Design, state: State, support: Tensor) -> Tensor:
        alone = []
        for task in range(len(problem)):
            index = torch.tensor([task], device=support.device)
            slopes = self._meta_gradient(problem.select(index), design.select(index), state, support[index])
            alone.append(all(bool(torch.isfinite(slope).all()) for slope in slopes.values()))
        return torch.tensor(alone, device=support.device)

    def _descend(self, problem: Problem, design: Design, learned: State) -> Tensor:
        start = learned["mean"] + design.values @ learned["effects"].T
        rule = GradientDescent({"coordinates": learned["log_step"].exp()})

        def loss(parameters: State) -> Tensor:
            likelihood = problem.negative_log_likelihood(parameters["coordinates"], learned["log_noise"])
            return likelihood + problem.penalty_cost(parameters["coordinates"])

        return unroll(loss, {"coordinates": start}, rule, self.steps, self.second_order)["coordinates"]

    def _adam(self, state: State, gradient: State) -> State:
        iteration = float(state["iteration"]) + 1.0
        rate = self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * (iteration - 1.0) / self.iterations))
        size = math.sqrt(sum(float(slope.square().sum()) for slope in gradient.values()))
        clip = min(1.0, 10.0 / max(size, 1e-300))
        new = {**state, "iteration": state["iteration"] + 1.0}
        for name, slope in gradient.items():
            if name == "log_step" and self.step_size != "learned":
                continue
            first = 0.9 * state[f"first_moment/{name}"] + 0.1 * clip * slope
            second = 0.99 * state[f"second_moment/{name}"] + 0.01 * (clip * slope) ** 2
            unbiased = first / (1.0 - 0.9**iteration) / ((second / (1.0 - 0.99**iteration)).sqrt() + 1e-8)
            new.update(
                {
                    name: state[name] - rate * unbiased,
                    f"first_moment/{name}": first,
                    f"second_moment/{name}": second,
                }
            )
        return new

    def adapt(self, problem: Problem, design: Design, state: State) -> Adapted:
        """Calibrate every task of the batch, with the Laplace posterior under the implied prior."""
        learned = {name: state[name] for name in _LEARNED}
        start = learned["mean"] + design.values @ learned["effects"].T
        adapted = self._descend(problem, design, learned).detach()
        finite = torch.isfinite(adapted).all(1)
        adapted = torch.where(finite[:, None], adapted, start)
        nothing = start.new_zeros(*start.shape, start.shape[1])
        ones, log_noise = start.new_ones(len(start)), learned["log_noise"]
        before = normal_equations(problem, start, start, nothing, log_noise, ones)[1]
        after = normal_equations(problem, adapted, adapted, nothing, log_noise, ones)[1]
        precision, exists = implied_precision(before, learned["log_step"].exp(), self.steps)
        start_covariance = torch.where(
            exists[:, None, None], torch.linalg.pinv(precision), torch.full_like(precision, math.nan)
        )
        lost = [problem.batch.names[i] for i in (~exists).nonzero()[:, 0].tolist()]
        few = ", ".join(lost[:3]) + (" and others" if len(lost) > 3 else "")
        note = (
            f"the implied prior does not exist for {len(lost)} task(s) ({few}): a step overshoots (e ≥ 1).",
        )
        covariance = torch.linalg.pinv(after + precision, hermitian=True)
        return Adapted(
            adapted, covariance, start, start_covariance, log_noise, NoiseMixture.single(covariance),
            NoiseMixture.single(start_covariance), finite, finite, note if lost else (),
        )  # fmt: skip


def MAML(steps: int = 5, step_size: float | str = "learned", **options: object) -> GradientMethod:
    """Model-agnostic meta-learning with the exact meta-gradient (Finn, Abbeel and Levine 2017, arXiv 1703.03400)."""
    return GradientMethod("MAML", steps, step_size, **options)  # type: ignore[arg-type]


def FOMAML(steps: int = 5, step_size: float | str = "learned", **options: object) -> GradientMethod:
    """First-order MAML: inner gradients are constants to the meta-gradient (Finn et al. 2017, section 5.2)."""
    return GradientMethod("FOMAML", steps, step_size, second_order=False, **options)  # type: ignore[arg-type]


def MetaSGD(steps: int = 5, **options: object) -> GradientMethod:
    """Meta-SGD: one learned step size a parameter (Li et al. 2017, arXiv 1707.09835)."""
    return GradientMethod("Meta-SGD", steps, "learned", per_parameter=True, **options)  # type: ignore[arg-type]
