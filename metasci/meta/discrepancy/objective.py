"""What scales are learned by: how well halves of the tasks forecast each other, estimates moving with the scales.

Of two halves of the tasks each is forecast from the other: log p(A | B) + log p(B | A), of densities with all else
integrated out. The density of all measurements is that of the first task, then that of the second given the first, and
so on (Fong and Holmes, Biometrika 107 (2020) 489): it asks as much for how a prior forecasts that has learned from few
tasks. Given a half, it is of a prior that has learned from many (Lotfi, Izmailov, Benton, Goldblum and Wilson, ICML
2022).

A task's equation is linearised at its estimate, which tells of its measurements; so do its slopes then. Were they taken
as given, what varies as the slopes do would explain what tasks differ by, and a discrepancy would take the equation's
place. But a discrepancy that does so leads all estimates away, and slopes with them. So the equation is linearised
where scales lead the tasks, and the density is differentiated along that way, too (as of FOCE by Almquist, Leander and
Jirstrand, Journal of Pharmacokinetics and Pharmacodynamics 42 (2015) 191): along the way that all tasks go together,
since how one alone is led by few measurements Laplace's approximation knows badly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from metasci.meta.covariates import Design
from metasci.meta.discrepancy.likelihood import (
    Linearised,
    belief,
    covariance,
    linearised,
    posterior_means,
    some_of_each,
)
from metasci.meta.discrepancy.state import DiscrepancyState
from metasci.meta.problem import Problem

__all__ = ["HALVINGS", "Sample", "cost_and_slopes", "halves_of", "sample"]

HALVINGS = 4  # at random, over which a cost is averaged: each costs a quarter of the density of all


@dataclass(frozen=True)
class Sample:
    """Measurements that are looked at at once.

    Attributes
    ----------
    problem : Problem
    design : Design
        Of the tasks that they are of.
    at : Tensor, (task, parameter)
        Estimates of the tasks: scales lead them on from there, all together.
    chosen : Tensor, (row,)
        Which of the tasks' measurements.
    before : Linearised
        These, linearised at the estimates.
    halves : list of Tensor, (row,)
        Positions among the chosen that are of a half of the tasks, one half and the other in turn; without any, the
        density of all is asked for.
    """

    problem: Problem
    design: Design
    at: Tensor
    chosen: Tensor
    before: Linearised
    halves: list[Tensor]


def sample(
    problem: Problem,
    design: Design,
    state: DiscrepancyState,
    at: Tensor,
    members: int,
    seed: int,
    halvings: int = HALVINGS,
) -> Sample:
    """At most so many measurements of each task, drawn at random; of these so many halvings."""
    data = linearised(problem, design, state, at)
    chosen = some_of_each(data.rows.task, members, seed)
    before = data.select(chosen)
    return Sample(problem, design, at, chosen, before, halves_of(before.rows.task, seed, halvings))


def halves_of(task: Tensor, seed: int, halvings: int) -> list[Tensor]:
    """Positions of the rows of one half of the tasks and of the other, for several halvings at random.

    Examples
    --------
    >>> one, other = halves_of(torch.tensor([5.0, 5.0, 6.0, 6.0]), seed=0, halvings=1)
    >>> sorted([one.tolist(), other.tolist()])
    [[0, 1], [2, 3]]
    """
    draw, labels = torch.Generator().manual_seed(seed), task.unique()
    halves = []
    for _ in range(halvings):
        one = torch.isin(task, labels[torch.randperm(len(labels), generator=draw)[: len(labels) // 2]])
        halves += [one.nonzero()[:, 0], (~one).nonzero()[:, 0]]
    return halves


def cost_and_slopes(
    some: Sample, state: DiscrepancyState, learned: Mapping[str, Tensor], share: float = 1.0
) -> tuple[Tensor, dict[str, Tensor]]:
    """Negative log density of halves given each other, and of the scales, up to a constant, and its derivatives.

    Parameters
    ----------
    some : Sample
    state : DiscrepancyState
    learned : mapping of Tensor
        The scales, and ``log_noise``.
    share : float
        How often the measurements' density counts, where they stand for more.
    """
    free = {name: value.detach().requires_grad_() for name, value in learned.items()}
    scales = {name: value for name, value in free.items() if name != "log_noise"}
    with torch.enable_grad():
        moved = replace(state, scales=scales, log_noise=free["log_noise"])
        led = posterior_means(some.problem, some.before, moved, some.at) - some.at
        at = some.at + led.mean(0)  # together only
        data = linearised(some.problem, some.design, moved, at, create_graph=True).select(some.chosen)
        whole = covariance(some.problem, data, moved.kernel, moved.log_noise)
        cost = _cost(whole, data.left)
        if some.halves:
            known = [_cost(whole[half][:, half], data.left[half]) for half in some.halves]
            cost = 2.0 * (cost - torch.stack(known).mean())
        value = share * cost + belief(free, state.first)
        slopes = torch.autograd.grad(value, list(free.values()), allow_unused=True)
    return value.detach(), {
        name: torch.zeros_like(free[name]) if slope is None else slope
        for name, slope in zip(free, slopes, strict=True)
    }


def _cost(whole: Tensor, left: Tensor) -> Tensor:
    """Negative log density of measurements of that covariance, up to a constant."""
    root = torch.linalg.cholesky(whole)
    white = torch.linalg.solve_triangular(root, left[:, None], upper=False)
    return 0.5 * white.square().sum() + root.diagonal().log().sum()
