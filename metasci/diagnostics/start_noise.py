"""The noise of the meta-gradient of a scientific model's start, by its sources; see `metasci.diagnostics.variance`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import xarray as xr
from torch import Tensor

from metasci.data.tasks import TaskSet
from metasci.diagnostics.variance import Gradient, gradient_noise
from metasci.errors import InputError
from metasci.meta.adaptation.learnable_rules import Descent
from metasci.meta.compositions.adapting import meta_gradient
from metasci.meta.episodes import sample_support
from metasci.meta.gradient import GradientMethod, Learning
from metasci.priors.equation import Prior

__all__ = ["meta_gradient_noise"]


def meta_gradient_noise(
    prior: Prior,
    tasks: TaskSet,
    *,
    steps: Sequence[int] = (1, 5),
    step_sizes: Sequence[float] | None = None,
    shots: int = 3,
    query_shots: int = 2,
    supports: int = 8,
    queries: int = 4,
) -> xr.Dataset:
    """The same for the start of a scientific model, from a prior learned with a gradient method.

    Parameters
    ----------
    prior : Prior
    tasks : TaskSet
        Each task's measurements are halved at random; supports are drawn from one half and queries from the other, so
        that a support acts through the adaptation alone.
    steps : sequence of int
    step_sizes : sequence of float, optional
        Plain step sizes, in place of those that were learned; by default 1/8, 1/4, 1/2 and 1 times the first step.
    shots, query_shots : int
        Measurements in a support and in a query; fewer than half of a task's.
    supports, queries : int
        Draws of each.

    Returns
    -------
    xarray.Dataset
        See `gradient_noise`; parameters are the model's, in scaled coordinates.

    Raises
    ------
    InputError
        If the prior's method has no meta-gradient through inner steps, or a task has too few measurements.
    """
    method = prior.method
    if not isinstance(method, GradientMethod) or method.learning is not Learning.THROUGH_ADAPTATION:
        raise InputError(
            f"the prior '{prior.name}' was learned by {method.name}, which has no meta-gradient; use MAML or kin."
        )
    batch = prior.batch(tasks)
    if int(batch.mask.sum(1).min()) // 2 <= max(shots, query_shots):
        raise InputError(
            f"half of a task's measurements are no more than {max(shots, query_shots)}; ask for fewer in support or "
            "query."
        )
    first = float(prior.state.first_step)
    sizes = [first / 8, first / 4, first / 2, first] if step_sizes is None else list(step_sizes)
    count, copies = len(batch), supports * queries
    half = _half(batch.mask)
    masks, judged = [], []
    for draw in range(supports):
        support = sample_support(half, (shots, shots), "random", draw)
        for other in range(queries):
            seed = 1_000_003 * (draw + 1) + other
            masks.append(support)
            query = sample_support(batch.mask & ~half, (query_shots, query_shots), "random", seed)
            judged.append(support | query)
    rows = batch.select(torch.arange(count).repeat(copies))
    rows = rows.with_mask(torch.cat(judged))
    problem, design = prior.problem(rows), prior.covariates.design(rows.covariates)
    episode = method.episode(problem, design, torch.cat(masks))
    learned = prior.state.beside_rule
    # every row has a start of its own, so that one backward pass gives all gradients
    learned["mean"] = learned["mean"].expand(len(rows), -1)

    def make(number: int, size: float) -> Gradient:
        rule = replace(method.adaptation(first), rule=Descent(size), steps=number, trajectory=False)
        slopes = meta_gradient(rule, episode, learned)[1]["mean"] * len(rows)
        each = slopes.reshape(supports, queries, count, -1)
        return lambda task, support, query: each[support, query, task]

    result = gradient_noise(
        make,
        steps,
        sizes,
        tasks=count,
        supports=supports,
        queries=queries,
        names=prior.model.parameters.names,
    )
    return result.assign_attrs(
        shots=shots, query_shots=query_shots, method=method.name, simulated=str(tasks.card.simulated).lower()
    )


def _half(mask: Tensor) -> Tensor:
    """A random half of each task's measurements, the greater one where their number is odd."""
    order = torch.rand(mask.shape, generator=torch.Generator().manual_seed(2_000_003), dtype=torch.float64)
    rank = torch.where(mask, order, torch.full_like(order, torch.inf)).argsort(1).argsort(1)
    return mask & (rank < (mask.sum(1, keepdim=True) + 1) // 2)
