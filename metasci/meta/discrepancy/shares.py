"""Learning from more measurements than one covariance can hold: tasks drawn for a step, and shares of all of them.

What a step of learning looks at is a sample of the tasks, drawn anew each time, so that the climb is a stochastic one;
estimates of the tasks come share by share. Levels are seen across tasks of one sample, so groups may be many or large.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from metasci.meta.discrepancy.likelihood import Linearised, posterior_means, some_of_each
from metasci.meta.discrepancy.state import DiscrepancyState
from metasci.meta.problem import Problem

__all__ = ["drawn_tasks", "means_in_shares", "shares", "thinned_rows"]


def drawn_tasks(counts: Tensor, most: int, seed: int) -> Tensor:
    """Tasks in a random order until their measurements are so many; all, in their own order, where they are not more.

    Parameters
    ----------
    counts : Tensor, (task,)
        Of measurements; a task without any is never drawn from more than fit.
    most : int
    seed : int

    Examples
    --------
    >>> drawn_tasks(torch.tensor([3, 3]), 6, seed=0).tolist()
    [0, 1]
    >>> len(drawn_tasks(torch.tensor([3, 3, 3, 3]), 7, seed=0))
    2
    """
    if int(counts.sum()) <= most:
        return torch.arange(len(counts))
    return shares(counts, most, seed)[0]


def shares(counts: Tensor, most: int, seed: int) -> list[Tensor]:
    """All tasks in parts of at most so many measurements, at random; a task with more is a part of its own.

    Examples
    --------
    >>> [part.tolist() for part in shares(torch.tensor([2, 2, 2, 0]), 6, seed=0)]
    [[0, 1, 2]]
    """
    measured = counts.nonzero()[:, 0]
    if int(counts.sum()) <= most:
        return [measured]
    order = measured[torch.randperm(len(measured), generator=torch.Generator().manual_seed(seed))]
    parts: list[list[int]] = [[]]
    room = most
    for task in order.tolist():
        count = int(counts[task])
        if count > room and parts[-1]:
            parts.append([])
            room = most
        parts[-1].append(task)
        room -= count
    return [torch.tensor(part) for part in parts]


def thinned_rows(task: Tensor, most: int, seed: int) -> Tensor:
    """Positions of as many measurements as fit, of all tasks alike; `task` numbers each measurement's.

    Every task is among them, and with it every group, unless tasks alone are more than fit.

    Examples
    --------
    >>> task = torch.tensor([0, 0, 0, 1, 1, 1, 1])
    >>> task[thinned_rows(task, 4, seed=0)].tolist()
    [0, 0, 1, 1]
    """
    if len(task) <= most:
        return torch.arange(len(task))
    each = max(1, most // len(task.unique()))
    chosen = some_of_each(task, each, seed)
    few = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(seed))[:most]
    return chosen[few].sort().values


def means_in_shares(
    problem: Problem, data: Linearised, state: DiscrepancyState, at: Tensor, most: int, seed: int
) -> Tensor:
    """`posterior_means` of all tasks; where measurements are too many, given those of the task's share only."""
    if len(data.rows) <= most:
        return posterior_means(problem, data, state, at)
    moved, number = at.clone(), data.rows.task.long()
    for part in shares(torch.bincount(number, minlength=len(at)), most, seed):
        some = data.select(torch.isin(number, part).nonzero()[:, 0])
        part = part.sort().values  # numbered anew, by their place in the share
        place = torch.searchsorted(part, some.rows.task.long()).to(some.rows.task)
        some = replace(some, rows=replace(some.rows, task=place))
        moved[part] = posterior_means(problem, some, state, at[part])
    return moved
