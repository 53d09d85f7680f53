"""What a server asks of sites and makes of their answers: the part of federated learning that knows what is learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeVar

from metasci.data.batch import check_measurable
from metasci.data.tasks import Batch, TaskSet
from metasci.files import State
from metasci.meta.covariates import Covariates, Design, covariate_moments
from metasci.meta.method import Method
from metasci.meta.problem import Problem
from metasci.model import Model

__all__ = ["Procedure", "Site", "standardisation_in", "transforms_of"]

S = TypeVar("S")
_PREFIX, _OF_COVARIATES = "covariates/", ("centre", "scale", "correlation")


def transforms_of(model: Model, covariates: tuple[str, ...]) -> tuple[str, ...]:
    """What a model does to each covariate before it is standardised."""
    return tuple(model.transforms.get(name, "identity") for name in covariates)


@dataclass(frozen=True)
class Site:
    """A hospital or a laboratory: what it measured, which stays there, and the model that all agreed on.

    Parameters
    ----------
    model : Model
    tasks : TaskSet
    covariates : tuple of str
        Known properties of a task that shift its start.
    """

    model: Model
    tasks: TaskSet
    covariates: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.tasks)

    @cached_property
    def batch(self) -> Batch:
        """Its tasks as tensors, in the model's units."""
        batch = self.tasks.batch(self.model, covariates=self.covariates)
        check_measurable(batch, self.model)
        return batch

    def problem(self, penalty: float = 0.0) -> Problem:
        """The model held against its measurements."""
        return Problem(self.model, self.batch, penalty)

    def design(self, question: State) -> Design:
        """Its covariates by the standardisation that a question carries."""
        parts = (question[_PREFIX + name] for name in _OF_COVARIATES)
        return Covariates(self.covariates, self._transforms, *parts).design(self.batch.covariates)

    def moments(self) -> State:
        """Sums from which covariates are standardised."""
        return covariate_moments(self.covariates, self._transforms, self.batch.covariates)

    @property
    def _transforms(self) -> tuple[str, ...]:
        return transforms_of(self.model, self.covariates)


class Procedure(Protocol[S]):
    """How something is learned from sites; S is the state that the server carries from round to round.

    A question and an answer are tensors by name. An answer is of the site alone: nothing else is looked at.
    """

    @property
    def name(self) -> str:
        """What it is called in tables."""

    @property
    def method(self) -> Method[Any]:
        """How the prior that is learned adapts."""

    @property
    def most(self) -> int:
        """At most so many rounds."""

    def begin(self, model: Model, covariates: Covariates, asked: list[State]) -> S:
        """The state before the first round, of what sites said of themselves."""

    def introduction(self, site: Site) -> State:
        """What a site says of itself before the first round, beside its covariates' moments."""

    def introduction_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Names and shapes of what a site says of itself."""

    def question(self, state: S) -> State:
        """What sites are told."""

    def answer(self, site: Site, question: State, number: int) -> State:
        """What a site answers in a round."""

    def shapes(self, question: State) -> Mapping[str, tuple[int, ...]]:
        """Names and shapes of an answer to it."""

    def fault(self, question: State, answer: State) -> str:
        """What cannot be in an answer, as the end of a sentence; empty where all may be."""

    def size(self, question: State, answer: State) -> float:
        """How far an answer would move what is learned, in units of its own kind."""

    def next(self, state: S, answers: list[State]) -> S:
        """The state that answers make of a state."""

    def finished(self, state: S) -> bool:
        """Whether another round is of no use."""


def standardisation_in(covariates: Covariates) -> State:
    """How covariates are standardised, as a part of a question."""
    return {_PREFIX + name: getattr(covariates, name) for name in _OF_COVARIATES}
