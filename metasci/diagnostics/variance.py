"""Where the noise of the meta-gradient comes from: which tasks were drawn, which supports, which queries.

The law of total variance splits it into three parts,

    Var g = Var E[g | task] + E Var(E[g | task, support] | task) + E Var(g | task, support),

and a nested design (tasks, supports within tasks, queries within supports) estimates each without bias, by the
analysis of variance (Searle, Casella and McCulloch 1992, Variance Components, chapter 3). An estimate may come out
below zero where the part is small; it is left so, as cutting it off would bias it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from metasci.errors import InputError
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.compositions.adapting import meta_gradient
from metasci.meta.compositions.composition import Composition
from metasci.meta.compositions.episode import Episode

__all__ = ["SOURCES", "Gradient", "composition_gradient", "gradient_noise", "nested_variance"]

SOURCES = ("task", "support", "query")

Gradient = Callable[[int, int, int], Tensor]
"""Of a task, a seed of the support and one of the query, to the flat gradient of the query loss, (parameter,)."""


def nested_variance(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unbiased components of variance of a nested design.

    Parameters
    ----------
    values : array, (task, support, query, ...)
        At least two of each.

    Returns
    -------
    array, (3, ...)
        Of tasks, of supports within tasks, of queries within supports. They may be below zero.

    Raises
    ------
    InputError
        If there is only one of a kind.

    Notes
    -----
    With T tasks, S supports and Q queries, and mean squares M of the three levels: M_query, (M_support − M_query)/Q and
    (M_task − M_support)/(SQ), as E M_support = σ²_query + Q σ²_support and E M_task = E M_support + SQ σ²_task.

    Examples
    --------
    >>> values = np.array([[[0.0, 2.0], [0.0, 2.0]], [[6.0, 8.0], [6.0, 8.0]]])
    >>> nested_variance(values).tolist()
    [18.0, -1.0, 2.0]
    """
    tasks, supports, queries = values.shape[:3]
    if min(tasks, supports, queries) < 2:
        raise InputError(
            f"components of variance need two tasks, supports and queries at least, not {tasks}, {supports} and "
            f"{queries}."
        )
    of_support, of_task = values.mean(2), values.mean((1, 2))
    query = np.square(values - of_support[:, :, None]).sum((0, 1, 2)) / (tasks * supports * (queries - 1))
    support = queries * np.square(of_support - of_task[:, None]).sum((0, 1)) / (tasks * (supports - 1))
    task = supports * queries * np.square(of_task - of_task.mean(0)).sum(0) / (tasks - 1)
    variances: NDArray[np.float64] = np.stack(
        [(task - support) / (supports * queries), (support - query) / queries, query]
    )
    return variances


def composition_gradient(
    composition: Composition,
    draw: Callable[[int, int, int], Episode],
    learned: Parameters,
    names: Sequence[str],
) -> Gradient:
    """The meta-gradient of a composition as a function of what was drawn, for `gradient_noise`.

    Parameters
    ----------
    composition : Composition
    draw : callable
        Of a task, a seed of the support and one of the query, to the episode of that single task.
    learned : dict of Tensor
    names : sequence of str
        The learned tensors whose gradient is looked at.
    """

    def gradient(task: int, support: int, query: int) -> Tensor:
        slopes = meta_gradient(composition, draw(task, support, query), learned)[1]
        return torch.cat([slopes[name].ravel() for name in names])

    return gradient


def gradient_noise(
    make: Callable[[int, float], Gradient],
    steps: Sequence[int],
    step_sizes: Sequence[float],
    *,
    tasks: int,
    supports: int = 8,
    queries: int = 4,
    names: Sequence[str] | None = None,
) -> xr.Dataset:
    """Components of the meta-gradient's variance against inner steps and step size.

    Parameters
    ----------
    make : callable
        Of a number of inner steps and a step size, to the gradient of a task, a support's seed and a query's seed.
        The draws must not depend on steps and step size, so that all are compared on the same ones; the queries of a
        task and support must be drawn independently of each other.
    steps : sequence of int
    step_sizes : sequence of float
    tasks, supports, queries : int
        The nested design: numbers of tasks, of supports of each, of queries of each support.
    names : sequence of str, optional
        Of the gradient's elements.

    Returns
    -------
    xarray.Dataset
        Over ``steps`` and ``step_size``: ``variance`` (source, parameter) and ``total`` (source), its sum over
        parameters, for one task with one support and one query; ``standard_error`` (source) of that sum, by the
        jackknife over tasks; ``share`` (source); ``squared_mean``, the unbiased squared length of the mean gradient.
    """
    shape = (len(steps), len(step_sizes), 3)
    rows = []
    for count in steps:
        for size in step_sizes:
            gradient = make(count, size)
            each = [
                [
                    [gradient(task, draw, other).detach().numpy() for other in range(queries)]
                    for draw in range(supports)
                ]
                for task in range(tasks)
            ]
            rows.append(_components(np.asarray(each, float)))
    components = {
        name: np.stack([row[name] for row in rows]).reshape(*shape[:2], *rows[0][name].shape)
        for name in rows[0]
    }
    labels = [str(name) for name in (names or range(components["variance"].shape[-1]))]
    dims = ("steps", "step_size")
    result = xr.Dataset(
        {
            "variance": ((*dims, "source", "parameter"), components["variance"]),
            "total": ((*dims, "source"), components["total"]),
            "standard_error": ((*dims, "source"), components["standard_error"]),
            "squared_mean": (dims, components["squared_mean"]),
        },
        {"steps": list(steps), "step_size": list(step_sizes), "source": list(SOURCES), "parameter": labels},
        {"tasks": tasks, "supports": supports, "queries": queries},
    )
    result["share"] = result["total"] / result["total"].sum("source")
    for name in ("variance", "total", "standard_error", "squared_mean"):
        result[name].attrs["units"] = "(query loss per unit of the start)**2"
    return result.assign_attrs(verdict=_verdict(result))


def _components(gradients: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Components of (task, support, query, parameter)."""
    variance = nested_variance(gradients)
    tasks = len(gradients)
    error = np.full(3, np.nan)
    if tasks > 2:
        without = [nested_variance(np.delete(gradients, task, 0)).sum(1) for task in range(tasks)]
        error = np.sqrt((tasks - 1) * np.var(without, axis=0))
    means = gradients.mean((1, 2))
    squared = np.square(means.mean(0)).sum() - np.var(means, axis=0, ddof=1).sum() / tasks
    return {
        "variance": variance,
        "total": variance.sum(1),
        "standard_error": error,
        "squared_mean": np.asarray(squared),
    }


def _verdict(result: xr.Dataset) -> str:
    """Which source is the greatest at the last setting, and how that of the support grew with the step size."""
    last = result.isel(steps=-1, step_size=-1)
    worst = str(last["source"].values[int(np.argmax(last["total"].values))])
    share = float(last["share"].sel(source=worst))
    noun = {"task": "tasks", "support": "supports", "query": "queries"}[worst]
    count, size = int(last["steps"]), float(last["step_size"])
    text = (
        f"At {count} inner step{'s' * (count != 1)} of {size:.3g}, {100 * share:.0f} % of the meta-gradient's variance "
        f"comes from the choice of {noun}"
    )
    sizes, of_support = (
        result["step_size"].values,
        result["total"].isel(steps=-1).sel(source="support").values,
    )
    if len(sizes) > 1 and of_support[0] > 0 and of_support[-1] > 0:
        power = np.log(of_support[-1] / of_support[0]) / np.log(sizes[-1] / sizes[0])
        text += f"; that of supports grows as the step size to the power {power:.1f}"
    return text + "."
