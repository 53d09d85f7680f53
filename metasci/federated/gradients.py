"""Learning from sites by gradients or by weights: MAML, FOMAML, Reptile, FedAvg, Per-FedAvg.

The method says what a site computes: the mean meta-gradient of its tasks, with support and query drawn anew in every
round. By gradients the site sends that, and the server takes the outer step; by weights the site takes some outer steps
of its own and sends where these lead, and the server averages. With a method that learns jointly (`FineTuning`,
`Pooled`) the second is FedAvg (McMahan and others 2017), with MAML or FOMAML it is Per-FedAvg (Fallah and others
2020, algorithm 1). Sites count by their tasks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.federated.procedure import Site, standardisation_in
from metasci.files import State
from metasci.meta.compositions.adapting import meta_gradient
from metasci.meta.compositions.composition import initial
from metasci.meta.compositions.outer import finite_meta_gradient, outer_state, outer_step
from metasci.meta.covariates import Covariates
from metasci.meta.episodes import sample_support
from metasci.meta.gradient import GradientMethod, Learning
from metasci.meta.gradient_state import GradientState
from metasci.meta.step_sizes import stable_step
from metasci.model import Model

__all__ = ["ByGradients", "ByWeights"]

_LEARNED, _TASKS, _STEP = "learned/", "tasks", "first_step"


@dataclass(frozen=True)
class Start:
    """Where learning by gradients stands, and how covariates are standardised.

    Attributes
    ----------
    state : GradientState
    covariates : Covariates
    """

    state: GradientState
    covariates: Covariates


@dataclass(frozen=True)
class ByGradients:
    """Sites send their tasks' mean meta-gradient, the server takes the step.

    Parameters
    ----------
    method : GradientMethod
        `metasci.MAML`, `FOMAML`, `Reptile`, `FineTuning`; its `iterations` are rounds.
    seed : int
        Of the draws of support and query.
    """

    method: GradientMethod
    seed: int = 0

    @property
    def name(self) -> str:
        return f"{self.method.name}, gradients"

    @property
    def most(self) -> int:
        return self.method.iterations

    def begin(self, model: Model, covariates: Covariates, asked: list[State]) -> Start:
        """At the declared typical values, with the smallest of the steps that sites find stable there."""
        if self.method.learn_penalty:
            raise InputError("learn_penalty: sites do not learn the weights of laws; give them.")
        mean = torch.zeros(len(model.parameters), dtype=torch.float64)
        learned: State = {
            "mean": mean,
            "effects": mean.new_zeros(len(mean), len(covariates.names)),
            "log_noise": mean.new_tensor([math.log(value) for value in model.noise.typical]),
        }
        step = torch.stack([each[_STEP] for each in asked]).min()
        if self.method.stated_step is not None:
            step = mean.new_tensor(self.method.stated_step)
        moving = [name not in self.method.frozen for name in model.parameters.names]
        of_rule = initial(self.method.adaptation(float(step)), {"coordinates": mean[moving]})
        learned |= {name: value for name, value in of_rule.items() if name != "coordinates"}
        return Start(GradientState(outer_state(self.method.outer, learned), step), covariates)

    def introduction(self, site: Site) -> State:
        """The step that is stable for the site's tasks at the typical values."""
        problem = site.problem(self.method.penalty)
        mean = torch.zeros(len(site.model.parameters), dtype=torch.float64)
        log_noise = mean.new_tensor([math.log(value) for value in site.model.noise.typical])
        step = stable_step(problem, mean, log_noise, self.method.shots[1], self.method.composition)
        return {_STEP: step}

    def introduction_shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {_STEP: ()}

    def question(self, state: Start) -> State:
        learned = {_LEARNED + name: value for name, value in state.state.learned.items()}
        return {**learned, _STEP: state.state.first_step, **standardisation_in(state.covariates)}

    def answer(self, site: Site, question: State, number: int) -> State:
        tasks, slopes = self._gradient(site, question, _learned(question), number)
        return {_TASKS: tasks, **slopes}

    def shapes(self, question: State) -> Mapping[str, tuple[int, ...]]:
        return {_TASKS: (), **{name: tuple(value.shape) for name, value in _learned(question).items()}}

    def fault(self, question: State, answer: State) -> str:
        return "" if float(answer[_TASKS]) > 0.0 else "none of its tasks has measurements left to judge by"

    def size(self, question: State, answer: State) -> float:
        """The length of what is sent."""
        return _length(_without_tasks(answer))

    def next(self, state: Start, answers: list[State]) -> Start:
        """The outer rule's step along the mean meta-gradient of all tasks."""
        mean = _average(answers)
        return replace(
            state, state=replace(state.state, outer=outer_step(self.method.outer, state.state.outer, mean))
        )

    def finished(self, state: Start) -> bool:
        return float(state.state.iteration) >= self.most

    def _gradient(self, site: Site, question: State, learned: State, draw: int) -> tuple[Tensor, State]:
        """The number of a site's tasks that are judged, and their mean meta-gradient."""
        method, problem = self.method, site.problem(self.method.penalty)
        support = sample_support(
            problem.batch.mask, method.shots, method.support, self.seed * 1_000_003 + draw
        )
        if method.learning is Learning.JOINT:
            support = torch.zeros_like(support)
        composition = method.training(float(question[_STEP]))
        episode = method.episode(problem, site.design(question), support)
        _, slopes, used = finite_meta_gradient(episode, learned, partial(meta_gradient, composition))
        judged = (used & episode.asked).sum().to(torch.float64)
        return judged, {name: slopes.get(name, torch.zeros_like(value)) for name, value in learned.items()}


@dataclass(frozen=True)
class ByWeights(ByGradients):
    """Sites take some outer steps on their own tasks and send where these lead; the server averages.

    Parameters
    ----------
    method, seed
        As for `ByGradients`; `iterations` are rounds.
    local_steps : int
        Of the method's outer rule, which forgets between rounds.
    """

    local_steps: int = 5

    @property
    def name(self) -> str:
        return f"{self.method.name}, weights after {self.local_steps} steps"

    def question(self, state: Start) -> State:
        return {**super().question(state), "iteration": state.state.iteration}

    def answer(self, site: Site, question: State, number: int) -> State:
        outer = self.method.outer
        here = outer_state(outer, _learned(question))
        here = replace(here, iteration=here.iteration + question["iteration"])
        tasks = here.iteration
        for step in range(self.local_steps):
            draw = number * self.local_steps + step
            tasks, slopes = self._gradient(site, question, here.learned, draw)
            moved = outer_step(outer, here, slopes)
            # the rate falls from round to round, and not from step to step; Adam's memory is of this round
            here = replace(moved, iteration=here.iteration)
        return {_TASKS: tasks, **here.learned}

    def size(self, question: State, answer: State) -> float:
        """How far the site went."""
        learned = _learned(question)
        return _length({name: value - learned[name] for name, value in _without_tasks(answer).items()})

    def next(self, state: Start, answers: list[State]) -> Start:
        """The sites' mean, by their tasks."""
        outer = state.state.outer
        new = replace(outer, learned=_average(answers), iteration=outer.iteration + 1.0)
        return replace(state, state=replace(state.state, outer=new))


def _learned(question: State) -> State:
    return {
        name.removeprefix(_LEARNED): value for name, value in question.items() if name.startswith(_LEARNED)
    }


def _without_tasks(answer: State) -> State:
    return {name: value for name, value in answer.items() if name != _TASKS}


def _average(answers: list[State]) -> State:
    weight = torch.stack([answer[_TASKS] for answer in answers])
    share = weight / weight.sum()

    def mean(name: str) -> Tensor:
        return torch.tensordot(share, torch.stack([answer[name] for answer in answers]), 1)

    return {name: mean(name) for name in _without_tasks(answers[0])}


def _length(tensors: Mapping[str, Any]) -> float:
    return math.sqrt(sum(float(value.square().sum()) for value in tensors.values()))
