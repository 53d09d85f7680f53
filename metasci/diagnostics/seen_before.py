"""Does learning from new tasks forget the old ones, and how quickly is an old task regained?

A prior that is updated by sums over old tasks (`Prior.update`) keeps nothing of their data. `forgetting` asks, after
each batch of tasks, how it forecasts the tasks of the first, beside a prior that learned from all of them together.
`reacquisition` asks how many measurements bring an old task back to a given error, from several starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
import xarray as xr

from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.evaluation.protocol import Protocol, split_tasks
from metasci.fits.predictive import predictive
from metasci.meta.problem import Problem
from metasci.priors.equation import Prior, meta_calibrate

if TYPE_CHECKING:
    from metasci.learned.equation import LearnedEquation

__all__ = ["error_on", "forgetting", "reacquisition"]


def forgetting(
    first: Prior, batches: Sequence[TaskSet], old: TaskSet, *, shots: int = 3, seeds: int = 5
) -> xr.Dataset:
    """Error on old tasks after each update with new ones, beside learning from all together.

    Parameters
    ----------
    first : Prior
        Learned from the old tasks, with a method that `Prior.update` takes.
    batches : sequence of TaskSet
        New tasks, in the order in which they come.
    old : TaskSet
        The first tasks; only to judge, and to learn jointly from.
    shots : int
        Measurements of an old task that calibrate it anew.
    seeds : int
        Draws of these.

    Returns
    -------
    xarray.Dataset
        ``updated`` and ``joint``, root mean square errors on the old tasks, by ``batch`` (0: before any new task);
        ``seen``, tasks learned from; the verdict in ``attrs["verdict"]``. Errors are on the scale on which the noise is
        Gaussian: of a log-normal noise they are of logarithms.
    """
    if not batches:
        raise InputError("batches: give at least one batch of new tasks.")
    method, names = first.method, first.covariates.names
    updated, errors = first, [(error_on(first, old, shots, seeds),) * 2]
    together = old
    for batch in batches:
        updated = updated.update(batch)
        together = _joined(together, batch)
        joint = meta_calibrate(first.model, together, method, covariates=names)
        errors.append((error_on(updated, old, shots, seeds), error_on(joint, old, shots, seeds)))
    table = np.array(errors)
    loss = 100.0 * (table[-1, 0] / table[-1, 1] - 1.0)
    verdict = (
        f"After {len(batches)} updates the error on the first {len(old)} tasks is {table[-1, 0]:.4g}, "
        f"{abs(loss):.1f} % {'above' if loss > 0 else 'below'} learning from all together ({table[-1, 1]:.4g}); "
        f"before any it was {table[0, 0]:.4g}."
    )
    seen = np.cumsum([len(old), *(len(batch) for batch in batches)])
    return xr.Dataset(
        {
            "updated": ("batch", table[:, 0]),
            "joint": ("batch", table[:, 1]),
            "seen": ("batch", seen),
        },
        attrs={"verdict": verdict, "unit": _unit(first)},
    )


def reacquisition(
    starts: Mapping[str, LearnedEquation],
    old: TaskSet,
    *,
    shots: Sequence[int] = (0, 1, 2, 3, 5, 8),
    within: float = 1.1,
    seeds: int = 5,
) -> xr.Dataset:
    """How many measurements bring old tasks back, from several starts.

    Parameters
    ----------
    starts : mapping of str to Prior
        Such as a meta-learned one, joint training, and one that learned nothing.
    old : TaskSet
        Tasks that are met again.
    shots : sequence of int
        Numbers of measurements, rising.
    within : float
        A task counts as regained where its error is at most so many times the least of any start and number.
    seeds : int
        Draws of the measurements.

    Returns
    -------
    xarray.Dataset
        ``error`` (start, shots), ``needed`` (start,): the fewest measurements within that, NaN where none of the
        numbers is enough; the verdict in ``attrs["verdict"]``.
    """
    most = max(shots)
    table = np.array([[error_on(prior, old, k, seeds, most) for k in shots] for prior in starts.values()])
    goal = within * float(np.nanmin(table))
    needed = np.array(
        [next((k for k, e in zip(shots, row, strict=True) if e <= goal), np.nan) for row in table]
    )
    words = ", ".join(
        f"{name} {'more than ' + str(most) if np.isnan(count) else int(count)}"
        for name, count in zip(starts, needed, strict=True)
    )
    return xr.Dataset(
        {"error": (("start", "shots"), table), "needed": ("start", needed)},
        coords={"start": list(starts), "shots": list(shots)},
        attrs={
            "verdict": f"Measurements until the error is within {100 * (within - 1):.0f} % of the least: {words}.",
            "unit": _unit(next(iter(starts.values()))),
        },
    )


def error_on(
    prior: LearnedEquation, tasks: TaskSet, shots: int, seeds: int, most: int | None = None
) -> float:
    """Root mean square error on the measurements in no support, of the same tasks for all numbers of shots.

    It is of what the noise links to: of logarithms where the noise is log-normal.
    """
    batch = prior.batch(tasks)
    protocol = Protocol(support="random", query="rest", shots=(shots, shots if most is None else most))
    split = split_tasks(batch.mask, shots, protocol, seeds)
    if not len(split.task):
        raise InputError(f"no task of '{tasks.card.name}' has more than {shots} measurements.")
    chosen = batch.select(split.task)
    adapted = prior.adapt(chosen.with_mask(split.support))
    problem = Problem(prior.model, chosen.with_mask(split.query))
    if not prior.model.noise.measures:
        raise InputError("errors are of measurements that scatter about a curve.")
    median = torch.as_tensor(predictive(problem, adapted).median)
    link = prior.model.noise.link
    return float((link(median[split.query]) - link(chosen.output[split.query])).square().mean().sqrt())


def _unit(prior: LearnedEquation) -> str:
    """Of errors."""
    measured_as_it_is = float(prior.model.noise.link(2.0)) == 2.0
    return prior.model.output.unit if measured_as_it_is else "1, of logarithms"


def _joined(first: TaskSet, other: TaskSet) -> TaskSet:
    """The tasks of both."""
    frames = [tasks.to_frame(units=True) for tasks in (first, other)]
    return TaskSet.from_frame(pd.concat(frames, ignore_index=True), first.card)
