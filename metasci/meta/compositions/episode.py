"""What a composition asks of tasks: where they start, and what their measurements cost."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from metasci.meta.adaptation.inner import Parameters

__all__ = ["Episode", "asked", "which_are_asked"]


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


def asked(episode: Episode) -> Tensor | None:
    """Which tasks have a query, (task,), as the episode says by an attribute `asked`; None where all have."""
    judged: Tensor | None = getattr(episode, "asked", None)
    return judged


def which_are_asked(episode: Episode) -> Tensor:
    """The same for every task, (task,).

    Examples
    --------
    >>> class Two:
    ...     def __len__(self):
    ...         return 2
    >>> which_are_asked(Two()).tolist()
    [True, True]
    """
    judged = asked(episode)
    return torch.ones(len(episode), dtype=torch.bool) if judged is None else judged
