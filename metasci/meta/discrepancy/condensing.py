"""From all tasks' measurements to a Gaussian of the shared process at few rows, and to the tails of a task."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from metasci.meta.discrepancy.kernel import Kernel, Rows
from metasci.meta.discrepancy.likelihood import Linearised, covariance
from metasci.meta.discrepancy.state import DiscrepancyState
from metasci.meta.given_groups import given_others, terms_of
from metasci.meta.problem import Problem

__all__ = ["condensed", "inducing_rows", "knowing_others", "tails", "with_new_groups", "with_tasks"]

_ROUNDING = 1e-8  # of the greatest variance: a row of which less is unknown would be divided by rounding
_DRAWS = 8  # of some measurements of each task: their density hangs on which
_FREEDOM = (2.5, 316.0)  # degrees of freedom looked at: from a variance that exists to a Gaussian
_STRETCHES = (0.3, 3.2)  # looked at: four of the standard deviations believed in, either way
_STRETCH_BELIEF = 0.3  # of its logarithm about zero
_FREEDOM_BELIEF = 2.0  # exp(−2/ν): as few degrees of freedom as two are a tenth as likely as many


def inducing_rows(kernel: Kernel, rows: Rows, most: int, least: float = 0.0) -> Tensor:
    """Positions of rows that stand for all: each is the one of which the others leave most unknown (pivoted Cholesky).

    Parameters
    ----------
    kernel : Kernel
    rows : Rows
    most : int
    least : float
        Variance of the shared process that is not worth another row.
    """
    return _pivots(kernel.shared(rows, rows), most, least)


def _pivots(whole: Tensor, most: int, least: float) -> Tensor:
    """Positions of the first rows of a covariance's pivoted Cholesky factor."""
    rest, columns = (
        whole.diagonal().clone(),
        torch.zeros(len(whole), min(most, len(whole)), dtype=whole.dtype),
    )
    chosen: list[int] = []
    least = max(least, _ROUNDING * float(rest.max()))
    while len(chosen) < columns.shape[1]:
        pivot, done = int(rest.argmax()), len(chosen)
        if float(rest[pivot]) < least:
            break
        column = (whole[:, pivot] - columns[:, :done] @ columns[pivot, :done]) / rest[pivot].sqrt()
        columns[:, done], rest = column, (rest - column.square()).clamp(min=0.0)
        chosen.append(pivot)
    return torch.tensor(chosen, dtype=torch.long)


def condensed(
    problem: Problem, data: Linearised, state: DiscrepancyState, chosen: Tensor
) -> DiscrepancyState:
    """The state with some rows that stand for all, and with what all measurements tell of the shared process there."""
    nothing = state.pull.new_zeros(len(chosen))
    bare = replace(
        state, rows=data.rows.select(chosen), precision=torch.outer(nothing, nothing), pull=nothing
    )
    return with_tasks(problem, data, bare)


def with_new_groups(data: Linearised, state: DiscrepancyState, most: int, least: float) -> DiscrepancyState:
    """The state with rows that stand for the groups that none of its rows is of; what it knows stays the same.

    Whitened by a triangular factor, the values at rows that come last leave those before them as they were, and of a
    group nobody has measured old tasks tell nothing.

    Parameters
    ----------
    data : Linearised
        Of the tasks that are to be added.
    state : DiscrepancyState
    most : int
    least : float
        As in `inducing_rows`, of what is not known of the state's own rows.
    """
    unknown = torch.zeros_like(data.rows.task, dtype=torch.bool)
    for group, known in zip(data.rows.group.T, state.rows.group.T, strict=True):
        unknown |= ~torch.isin(group, known) & ~torch.isnan(group)
    if not bool(unknown.any()):
        return state
    rows = data.rows.select(unknown.nonzero()[:, 0])
    basis = state.basis(rows)
    more = rows.select(_pivots(state.kernel.shared(rows, rows) - basis @ basis.T, most, least))
    width = (0, len(more))
    return replace(
        state,
        rows=state.rows.join(more),
        precision=torch.nn.functional.pad(state.precision, (*width, *width)),
        pull=torch.nn.functional.pad(state.pull, width),
    )


def with_tasks(problem: Problem, data: Linearised, state: DiscrepancyState) -> DiscrepancyState:
    """The state after more tasks, each of which adds its terms."""
    precision, pull = state.precision, state.pull
    for label in data.rows.task.unique():
        more, towards = _terms(problem, data.select((data.rows.task == label).nonzero()[:, 0]), state)
        precision, pull = precision + more, pull + towards
    return replace(state, precision=precision, pull=pull)


def _terms(problem: Problem, part: Linearised, state: DiscrepancyState) -> tuple[Tensor, Tensor]:
    """What a task adds to the precision, (row, row), and to the precision times the mean, (row,)."""
    basis = state.basis(part.rows)
    rest = covariance(problem, part, state.kernel, state.log_noise) - basis @ basis.T
    return terms_of(basis, rest, part.left)


def knowing_others(
    problem: Problem, data: Linearised, state: DiscrepancyState, group: Tensor, first: float, known: Tensor
) -> DiscrepancyState:
    """The state of each task of a batch, which knows all others of a group of its.

    Parameters
    ----------
    problem : Problem
    data : Linearised
        Of the batch's tasks.
    state : DiscrepancyState
        With rows that stand for their groups.
    group : Tensor, (task, level)
        NaN where nobody says.
    first : float
        The number of the batch's first task.
    known : Tensor, (task,) of bool
        Tasks that the state knows already.
    """
    together = (group[:, None] == group[None]).any(-1).fill_diagonal_(False) & ~known[:, None]
    precision = state.precision.expand(len(group), -1, -1).clone()
    pull = state.pull.expand(len(group), -1).clone()
    number = data.rows.task - first
    for task in number.unique().long().tolist():
        if bool(together[task].any()):
            more, towards = _terms(problem, data.select((number == task).nonzero()[:, 0]), state)
            precision[together[task]] += more
            pull[together[task]] += towards
    return replace(state, precision=precision, pull=pull)


def tails(
    problem: Problem, data: Linearised, state: DiscrepancyState, members: int, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Degrees of freedom and squared scale with which some measurements of each task are likeliest given all others."""
    inverse = torch.cholesky_inverse(
        torch.linalg.cholesky(covariance(problem, data, state.kernel, state.log_noise))
    )
    weights, draw = inverse @ data.left, torch.Generator().manual_seed(seed)
    far, count = [], []
    for label in data.rows.task.unique():
        index = (data.rows.task == label).nonzero()[:, 0]
        off, spread = given_others(inverse, weights, index)
        for _ in range(_DRAWS):
            some = torch.randperm(len(index), generator=draw)[:members]
            far.append(off[some] @ torch.linalg.solve(spread[some][:, some], off[some]))
            count.append(len(some))
    return likeliest_tails(torch.stack(far), torch.tensor(count).to(state.pull), 1.0 / _DRAWS)


def likeliest_tails(far: Tensor, count: Tensor, share: float = 1.0) -> tuple[Tensor, Tensor]:
    """The likeliest degrees of freedom and squared scale on a grid.

    Parameters
    ----------
    far : Tensor, (case,)
        Squared distances from the expectation, in units of the covariance.
    count : Tensor, (case,)
        Of measurements that each is a distance of.
    share : float
        How much a case counts, where several are of one task.
    """
    low, high = (math.log10(end) for end in _FREEDOM)
    freedom = torch.logspace(low, high, 60, dtype=far.dtype)[:, None, None]
    low, high = (math.log10(end) for end in _STRETCHES)
    stretch = torch.logspace(low, high, 61, dtype=far.dtype)[None, :, None]
    each = torch.lgamma(0.5 * (freedom + count)) - torch.lgamma(0.5 * freedom)
    each = each - 0.5 * count * (freedom * stretch).log()
    each = each - 0.5 * (freedom + count) * torch.log1p(far / (freedom * stretch))
    value = share * each.sum(-1)
    value = (
        value - _FREEDOM_BELIEF / freedom[..., 0] - 0.5 * (stretch[..., 0].log() / _STRETCH_BELIEF).square()
    )
    best = int(value.argmax())
    return freedom.flatten()[best // 61], stretch.flatten()[best % 61]
