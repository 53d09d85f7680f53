"""What a composition asks of tasks: where they start, and what their measurements cost."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from metasci.meta.adaptation.inner import Parameters

__all__ = ["Episode"]


class Episode(Protocol):
    """Tasks, each with measurements that calibrate it and others that judge.

    Parameters reach the losses merged: the adapted ones, tasks first, and the shared ones. A `support` that also takes
    ``step`` is told the inner step's number, from 0 on: for mini-batches, fresh rollouts, or a curriculum within the
    inner loop. The same step must give the same loss, as memory-saving walks take it twice.
    """

    def __len__(self) -> int:
        """How many tasks there are."""

    def start(self, learned: Parameters) -> tuple[Parameters, Parameters]:
        """Where every task starts, (task, ...), and what tasks share, both made of what is learned."""

    def support(self, parameters: Parameters) -> Tensor:
        """Loss of each task's support, (task,)."""

    def query(self, parameters: Parameters) -> Tensor:
        """Loss of each task's query, (task,)."""

    def select(self, index: Tensor) -> Episode:
        """Some of the tasks, by position."""
