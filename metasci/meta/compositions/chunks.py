"""The meta-gradient of many tasks in parts, so that memory holds the graph of a part only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.compositions.episode import Episode, asked, which_are_asked
from metasci.meta.compositions.gradients import Displacement, MetaGradient

__all__ = ["in_chunks"]

Gradient = Callable[[Any, Parameters], tuple[Tensor, Parameters]]


def in_chunks(gradient: Gradient, size: int, how: MetaGradient) -> Gradient:
    """The same meta-gradient, from parts of so many tasks: it is a mean over tasks, so parts add up.

    Parameters
    ----------
    gradient : callable
        Of an episode and what is learned.
    size : int
        Most tasks at a time.
    how : MetaGradient
        Of the composition.

    Raises
    ------
    InputError
        If the size is not a number of tasks; on use, if tasks without a query meet a displacement, to which they
        count.
    """
    if size < 1:
        raise InputError(f"chunk: {size} is not a number of tasks; give one or more.")

    def of(episode: Episode, learned: Parameters) -> tuple[Tensor, Parameters]:
        if len(episode) <= size:
            return gradient(episode, learned)
        if isinstance(how, Displacement) and asked(episode) is not None:
            raise InputError(
                "chunk: a displacement counts tasks that have no query, so that parts do not add up; leave chunk out."
            )
        losses: list[Tensor] = []
        total = {name: torch.zeros_like(value) for name, value in learned.items()}
        counts = which_are_asked(episode)
        for part in torch.split(torch.arange(len(episode)), size):
            share = float(counts[part].sum()) / max(1.0, float(counts.sum()))
            loss, slopes = gradient(episode.select(part), learned)
            losses.append(loss)
            total = {name: total[name] + share * slopes[name] for name in total}
        return torch.cat(losses), total

    return of
