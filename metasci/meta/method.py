"""What a method owes: how it learns from many tasks, and how it adapts to a new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

from torch import Tensor

from metasci.files import State
from metasci.meta.adapted import Adapted
from metasci.meta.covariates import Design
from metasci.meta.problem import Problem

__all__ = ["Method"]

S = TypeVar("S")


class Method(Protocol[S]):
    """A way to learn from many tasks and to adapt to a new one; S is the state that it carries."""

    @property
    def name(self) -> str:
        """What it is called in tables."""

    @property
    def penalty(self) -> float:
        """Weight of the model's physical laws."""

    @property
    def iterations(self) -> int:
        """How many iterations learning takes at most."""

    def initial(self, problem: Problem, design: Design) -> S:
        """The state before the first iteration."""

    def improve(self, problem: Problem, design: Design, state: S, seed: int) -> tuple[S, Tensor]:
        """One iteration: the next state, and which tasks turned non-finite and were left out of it."""

    def finished(self, state: S) -> bool:
        """Whether learning is done."""

    def adapt(self, problem: Problem, design: Design, state: S) -> Adapted:
        """Calibrate every task of a batch."""

    def state_of(self, tensors: State) -> S:
        """The state of its tensors by name, as files keep them."""

    def shapes(self, size: int, covariates: int, scales: int, laws: int) -> Mapping[str, tuple[int, ...]]:
        """Names and shapes of the tensors that every saved state has.

        For a model of so many parameters, covariates, noise scales and laws.
        """
