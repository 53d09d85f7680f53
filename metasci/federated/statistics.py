"""A Gaussian prior of many sites, by expectation–maximisation on sums that they send.

The expectation step is of each task alone, and the maximisation step asks of tasks for sums over all of them only
(`metasci.meta.laplace.statistics`). So sites take the first, the server takes the second of the sums of their sums, and
each round is an iteration of what one computer with all measurements would do: the same numbers, but for rounding.

What a site sends says something of it all the same: sums over one task are that task's estimate. Where that is too
much, sums are added up under masks that cancel (secure aggregation, `metasci.federated.flower`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import ClassVar

import torch

from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.federated.procedure import Site, standardisation_in
from metasci.files import State
from metasci.learned.equation import LearnedEquation
from metasci.meta.covariates import Covariates
from metasci.meta.laplace.gaussian import GaussianPrior
from metasci.meta.laplace.gaussian_state import KNOWN, GaussianState
from metasci.meta.laplace.statistics import TaskStatistics, population_under, statistics_of, why_no_update
from metasci.model import Model

__all__ = ["ByStatistics", "combine", "site_statistics"]

_TOLD = ("coefficients", "covariance", "log_noise")
_SENT = ("tasks", "measurements", "squared", "designs", "across", "products", "covariance")
# eigenvalues that rounding may leave below zero, of those that cannot be
_ROUNDING = 1e-8


def site_statistics(prior: LearnedEquation, tasks: TaskSet) -> TaskStatistics:
    """What a site tells of its tasks under a prior: sums over them, and nothing of any single one.

    Parameters
    ----------
    prior : Prior
        With a Gaussian prior's state.
    tasks : TaskSet
        That stay where they are.

    Raises
    ------
    InputError
        If no sums stand in for tasks under the prior's method.

    Examples
    --------
    >>> import metasci as ms
    >>> prior, patients = ms.load("theophylline"), ms.dataset("theophylline")
    >>> sums = site_statistics(ms.meta_calibrate(prior.model, patients), patients.select(slice(0, 4)))
    >>> int(sums.tasks), int(sums.measurements)
    (4, 44)
    """
    if not isinstance(prior.method, GaussianPrior):
        raise InputError(
            f"{prior.method.name} does not learn from sums over tasks: see ByGradients, ByWeights."
        )
    if why := why_no_sums(prior.method, prior.model):
        raise InputError(f"the prior '{prior.name}' cannot be learned from sums over sites: {why}.")
    batch = prior.batch(tasks)
    return statistics_of(prior.problem(batch), prior.covariates.design(batch.covariates), prior.state)


def combine(statistics: Sequence[TaskStatistics]) -> TaskStatistics:
    """The sums over the tasks of all sites, which are under one population.

    Raises
    ------
    InputError
        If there are none, or they are under different populations.
    """
    if not statistics:
        raise InputError("there are no sites' sums to combine.")
    first = statistics[0]
    for other in statistics[1:]:
        same = (
            torch.equal(getattr(first, name), getattr(other, name)) for name in ("coefficients", "precision")
        )
        if not all(same) or not torch.equal(first.log_noise, other.log_noise):
            raise InputError(
                "sites' sums are under different populations; ask all of them under the same prior."
            )
    return reduce(TaskStatistics.join, statistics)


def why_no_sums(method: GaussianPrior, model: Model) -> str:
    """What no sums stand in for in a round, as the end of a sentence; empty where they do.

    An outcome without scales, such as yes or no, is learned from sums, too: each round's are under the population at
    hand.
    """
    if not model.noise.gaussian and not model.noise.scales and method.objective == "expectation":
        return ""
    return why_no_update(method, model.noise)


@dataclass(frozen=True)
class Population:
    """Where learning from sums stands.

    Attributes
    ----------
    state : GaussianState
    covariates : Covariates
    seen : TaskStatistics, optional
        The last sums over all sites.
    """

    state: GaussianState
    covariates: Covariates
    model: Model
    seen: TaskStatistics | None = None


@dataclass(frozen=True)
class ByStatistics:
    """Expectation–maximisation of a Gaussian prior on sums that sites send.

    Parameters
    ----------
    method : GaussianPrior
        With the objective ``"expectation"``, and one noise for all tasks.
    """

    method: GaussianPrior = field(default_factory=GaussianPrior)

    name: ClassVar[str] = "statistics"

    @property
    def most(self) -> int:
        return self.method.iterations

    def begin(self, model: Model, covariates: Covariates, asked: list[State]) -> Population:
        """At the model's declared typical values: a fit to all tasks pooled would need them in one place."""
        if why := why_no_sums(self.method, model):
            raise InputError(f"'{model.name}' cannot be learned from sums over sites: {why}.")
        size, wide = len(model.parameters), 1 + len(covariates.names)
        zero = torch.zeros((), dtype=torch.float64)
        state = GaussianState(
            coefficients=zero.expand(size, wide).clone(),
            covariance=torch.eye(size, dtype=torch.float64),
            design_covariance=zero.expand(wide, wide).clone(),
            log_noise=torch.tensor([math.log(value) for value in model.noise.typical], dtype=torch.float64),
            noise_shape=zero + 1e8,  # as `GaussianPrior` writes it where tasks share one noise
            widening=zero + 1.0,
            spread_freedom=zero + KNOWN,
            noise_freedom=zero + KNOWN,
            relevance=(zero + 1.0).expand(max(wide - 1, 1)).clone(),
            change=zero + math.inf,
            refined=zero,
            iteration=zero,
        )
        return Population(state, covariates, model)

    def introduction(self, site: Site) -> State:
        return {}

    def introduction_shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {}

    def question(self, state: Population) -> State:
        told = {name: getattr(state.state, name) for name in _TOLD}
        return {**told, **standardisation_in(state.covariates)}

    def answer(self, site: Site, question: State, number: int) -> State:
        sums = statistics_of(
            site.problem(self.method.penalty), site.design(question), _population_of(question)
        )
        return {name: getattr(sums, name) for name in _SENT}

    def shapes(self, question: State) -> Mapping[str, tuple[int, ...]]:
        size, wide = question["coefficients"].shape
        shapes = TaskStatistics.shapes(size, wide - 1)
        return {name: shapes[name] for name in _SENT}

    def fault(self, question: State, answer: State, rounding: float = _ROUNDING) -> str:
        """Sums that no measurements have, but for rounding."""
        tasks, wide = float(answer["tasks"]), answer["designs"]
        if tasks <= 0.0 or float(answer["measurements"]) <= 0.0 or float(answer["squared"]) < 0.0:
            return "it counts no tasks, no measurements, or squares below zero"
        if abs(float(wide[0, 0]) - tasks) > rounding * tasks:
            return "its sums over covariates are not of as many tasks as it counts"
        across = answer["across"]
        whole = torch.cat([torch.cat([wide, across.T], 1), torch.cat([across, answer["products"]], 1)])
        for matrix in (whole, answer["covariance"]):
            values = torch.linalg.eigvalsh(0.5 * (matrix + matrix.T))
            if float(values[0]) < -rounding * max(float(values[-1]), 1e-300):
                return "its sums of products are those of no tasks"
        return ""

    def size(self, question: State, answer: State) -> float:
        """How far the site's mean lies from where the population puts it, in standard deviations between tasks."""
        tasks = float(answer["tasks"])
        off = (answer["across"] - question["coefficients"] @ answer["designs"])[:, 0] / tasks
        spread = torch.linalg.cholesky(question["covariance"])
        return float(torch.linalg.solve_triangular(spread, off[:, None], upper=False).norm()) / math.sqrt(
            len(off)
        )

    def next(self, state: Population, answers: list[State]) -> Population:
        """The maximisation step on the sums of all sites."""
        both = combine([_statistics(state.state, answer) for answer in answers])
        return replace(state, state=self.maximised(state.state, both, state.model), seen=both)

    def as_sums(self, answer: State) -> State:
        """An answer of which the sum over sites is the answer of all their tasks: with no mean in it."""
        return {**answer, "covariance": answer["tasks"] * answer["covariance"]}

    def of_sums(self, total: State) -> State:
        """The answer of all tasks, of a sum over sites of `as_sums`."""
        counts = {name: total[name].round() for name in ("tasks", "measurements")}
        return {**total, **counts, "covariance": total["covariance"] / counts["tasks"]}

    def maximised(self, old: GaussianState, sums: TaskStatistics, model: Model) -> GaussianState:
        """The population that sums make most likely."""
        new = population_under(self.method, sums, old, model.parameters)
        return replace(new, change=new.change_from(old), iteration=old.iteration + 1.0)

    def finished(self, state: Population) -> bool:
        return float(state.state.change) < self.method.tolerance


def _statistics(state: GaussianState, answer: State) -> TaskStatistics:
    """Sums as they were sent, with the population under which they were asked for."""
    return TaskStatistics(
        **answer,
        coefficients=state.coefficients,
        precision=torch.linalg.inv(state.covariance),
        log_noise=state.log_noise,
    )


def _population_of(question: State) -> GaussianState:
    """As much of a state as sums are taken under."""
    wide = question["coefficients"].shape[1]
    zero = torch.zeros((), dtype=torch.float64)
    return GaussianState.of(
        {
            **{name: question[name] for name in _TOLD},
            "design_covariance": zero.expand(wide, wide),
            "noise_shape": zero,
        }
    )
