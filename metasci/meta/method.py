"""What a method owes: how it learns from many tasks, and how it adapts to a new one."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from metasci.files import State
from metasci.meta.adapted import Adapted
from metasci.meta.covariates import Design
from metasci.meta.problem import Problem

__all__ = ["Method"]


class Method(Protocol):
    """A way to learn from many tasks and to adapt to a new one."""

    @property
    def name(self) -> str:
        """What it is called in tables."""

    @property
    def penalty(self) -> float:
        """Weight of the model's physical laws."""

    @property
    def iterations(self) -> int:
        """How many iterations learning takes at most."""

    def initial(self, problem: Problem, design: Design) -> State:
        """The state before the first iteration."""

    def improve(self, problem: Problem, design: Design, state: State, seed: int) -> tuple[State, Tensor]:
        """One iteration: the next state, and which tasks turned non-finite and were left out of it."""

    def finished(self, state: State) -> bool:
        """Whether learning is done."""

    def adapt(self, problem: Problem, design: Design, state: State) -> Adapted:
        """Calibrate every task of a batch."""
