"""All tasks' measurements, linearised: their covariance, the tasks' posterior means, and how far groups scatter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from metasci.meta.covariates import Design
from metasci.meta.discrepancy.kernel import FIRST_GROUP, Kernel, Rows, matern
from metasci.meta.discrepancy.places import rows_of
from metasci.meta.discrepancy.state import DiscrepancyState
from metasci.meta.problem import Problem

__all__ = [
    "BELIEVED",
    "Linearised",
    "belief",
    "covariance",
    "expected_spread",
    "linearised",
    "next_number",
    "posterior_means",
    "some_of_each",
]

BELIEVED = 1.0  # standard deviation of the logarithm of a scale: within e of where learning begins
_STRETCHES = torch.linspace(
    -2.0, 3.0, 26, dtype=torch.float64
)  # looked at: a seventh of the scale to twenty times


@dataclass(frozen=True)
class Linearised:
    """All measurements of all tasks in a row, with the equation linearised at each task's coordinates.

    Attributes
    ----------
    rows : Rows
    left : Tensor, (row,)
        What the linearised equation leaves of the measurements at the common origin.
    raw : Tensor, (row,)
        The equation's predictions in the output's unit.
    inputs : dict of Tensor, (row,)
        Conditions, which some noises look at.
    """

    rows: Rows
    left: Tensor
    raw: Tensor
    inputs: Mapping[str, Tensor]

    def select(self, index: Tensor) -> Linearised:
        """Some of the measurements."""
        inputs = {name: values[index] for name, values in self.inputs.items()}
        return replace(
            self, rows=self.rows.select(index), left=self.left[index], raw=self.raw[index], inputs=inputs
        )


def linearised(
    problem: Problem,
    design: Design,
    state: DiscrepancyState,
    at: Tensor,
    known: bool = True,
    create_graph: bool = False,
) -> Linearised:
    """The measurements of a problem, linearised at some coordinates (task, parameter).

    Tasks are numbered from 0 on; those that are not `known` from the first number on that no inducing row has. With
    `create_graph` all of it can be differentiated by the coordinates.
    """
    line, mask = problem.linearise(at, state.log_noise, create_graph), problem.batch.mask
    number = (0.0 if known else next_number(state.rows)) + torch.arange(len(at), device=at.device).to(
        at.dtype
    )
    rows = rows_of(state.places(problem), line.jacobian, design, task=number)
    left = (
        problem.target
        - line.prediction
        + torch.einsum("top,tp->to", line.jacobian, at - state.origin_of(design.values))
    )
    model = problem.model
    inputs = {name: problem.batch.inputs[name].expand(mask.shape)[mask] for name in model.inputs}
    raw = model.noise.unlink(line.prediction)
    return Linearised(rows.select(mask), left[mask], raw[mask], inputs)


def next_number(rows: Rows) -> float:
    """The first number on that no row's task has."""
    return float(rows.task.max()) + 1.0 if len(rows) else 0.0


def some_of_each(task: Tensor, most: int, seed: int) -> Tensor:
    """Positions of at most so many rows of every task, drawn at random.

    Examples
    --------
    >>> task = torch.tensor([0.0, 0.0, 0.0, 1.0])
    >>> chosen = some_of_each(task, 2, seed=0)
    >>> task[chosen].tolist()
    [0.0, 0.0, 1.0]
    """
    draw = torch.Generator().manual_seed(seed)
    parts = [(task == label).nonzero()[:, 0] for label in task.unique()]
    return torch.cat([part[torch.randperm(len(part), generator=draw)[:most]] for part in parts])


def covariance(problem: Problem, data: Linearised, kernel: Kernel, log_noise: Tensor) -> Tensor:
    """Of the measurements, (row, row)."""
    noise = problem.model.noise.variance(data.raw, log_noise, data.inputs)
    return kernel.whole(data.rows, data.rows) + torch.diag(noise)


def belief(scales: Mapping[str, Tensor], first: Mapping[str, Tensor]) -> Tensor:
    """Negative log density of the scales, about the first ones: what the measurements do not tell of stays there.

    Of the noise nothing is believed.
    """
    value = scales["shared"].new_zeros(())
    for name, logarithms in scales.items():
        if name != "log_noise":
            centre = first.get(name, torch.zeros_like(logarithms))
            value = value + 0.5 * ((logarithms - centre) / BELIEVED).square().sum()
    return value


def expected_spread(
    problem: Problem, data: Linearised, state: DiscrepancyState, stretches: Tensor = _STRETCHES
) -> dict[str, Tensor]:
    """The scales, with those of each level's groups as large as the groups' variance is on average, given the data.

    The likeliest spread of a few groups is too small for a new one: one group tells nothing of it, and two hardly more.
    So a common factor on all that groups differ by is weighed by measurements and belief, on a grid.

    Parameters
    ----------
    problem : Problem
    data : Linearised
    state : DiscrepancyState
    stretches : Tensor, (factor,)
        Logarithms of the factors.
    """
    scales = dict(state.scales)
    # a factor on the scales is its square on that part of the covariance
    whole = covariance(problem, data, state.kernel, state.log_noise)
    for level in range(state.levels):
        unlikely, grouped = [], state.kernel.grouped(data.rows, data.rows, level)
        far = sum(
            (state.scales[name][level] - math.log(first)).mean() for name, first in FIRST_GROUP.items()
        ) / len(FIRST_GROUP)
        for stretch in stretches:
            root = torch.linalg.cholesky(whole + (2.0 * stretch).expm1() * grouped)
            white = torch.linalg.solve_triangular(root, data.left[:, None], upper=False)
            cost = 0.5 * white.square().sum() + root.diagonal().log().sum()
            unlikely.append(cost + 0.5 * ((far + stretch) / BELIEVED) ** 2)
        weight = torch.softmax(-torch.stack(unlikely), 0)
        mean = (weight * (2.0 * stretches.to(weight)).exp()).sum()
        scales = stretched(scales, level, 0.5 * mean.log())
    return scales


def stretched(scales: Mapping[str, Tensor], level: int, stretch: Tensor) -> dict[str, Tensor]:
    """The scales, with all that a level's groups differ by multiplied by the exponential of a number."""
    moved = dict(scales)
    for name in FIRST_GROUP:
        moved[name] = scales[name].clone()
        moved[name][level] += stretch
    return moved


def posterior_means(problem: Problem, data: Linearised, state: DiscrepancyState, at: Tensor) -> Tensor:
    """Means of the tasks' coordinates given all measurements, no farther than one from where they were."""
    kernel, rows = state.kernel, data.rows
    root = torch.linalg.cholesky(covariance(problem, data, kernel, state.log_noise))
    weights = torch.cholesky_solve(data.left[:, None], root)[:, 0]
    task = rows.task.long()
    pull = torch.zeros_like(at).index_add(0, task, rows.slope * weights[:, None])
    # tasks as rows that look at parameters only
    first = torch.zeros(len(at), dtype=torch.long).index_copy(
        0, task.flip(0), torch.arange(len(task)).flip(0)
    )
    tasks = rows.select(first)
    effects, spread = kernel.factor("effects"), kernel.factor("spread")
    alike = matern(kernel.unlike(tasks, tasks))
    mean = state.origin_of(tasks.covariates) + kernel.level * pull.sum(0)
    mean = mean + alike @ pull @ (effects @ effects.T) + pull @ (spread @ spread.T)
    if state.trend is not None:
        mean = mean + (pull @ state.trend * tasks.unknown) @ state.trend.T
    for level in range(state.levels):
        same = tasks.same_group(tasks, level).to(pull)
        mean = mean + same @ pull * kernel.group_spread(level).square()
    return at + (mean - at).clamp(-1.0, 1.0)
