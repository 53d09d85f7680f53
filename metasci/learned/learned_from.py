"""Which of the tasks that are at hand a prior was learned from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metasci.data.batch import Batch
from metasci.data.checksums import SUMS, checksum, task_checksums
from metasci.data.tasks import TaskSet
from metasci.learned.base import Learned
from metasci.learned.equation import LearnedEquation

__all__ = ["SUMS", "all_learned_from", "learned_from", "noted"]

_MOST_NOTED = 100_000  # tasks: beyond, a record would be of notes


def noted(batch: Batch, before: Sequence[str] | None = ()) -> dict[str, list[str]]:
    """What is kept of the tasks that were learned from, after those before; nothing where they are too many or, None,
    where those before are not known.
    """
    if before is None or len(before) + len(batch) > _MOST_NOTED:
        return {}
    return {SUMS: [*before, *task_checksums(batch)]}


def learned_from(prior: Learned, tasks: TaskSet) -> NDArray[np.bool_]:
    """Whether a prior has seen each of some tasks.

    Parameters
    ----------
    prior : Prior
    tasks : TaskSet

    Returns
    -------
    array of bool
        Of a prior that was saved before tasks were noted one by one: true for all tasks of a file that it has learned
        from, though it may have been a part of them.

    Examples
    --------
    >>> import metasci as ms
    >>> prior, tasks = ms.load("theophylline"), ms.dataset("theophylline")
    >>> learned_from(prior.retrain(tasks.select(range(10))), tasks).sum()
    np.int64(10)
    """
    if isinstance(prior, LearnedEquation) and SUMS in prior.training:
        return prior.knows(prior.batch(tasks))
    seen = checksum(tasks) in str(prior.training.get("data_sha256", "")).split()
    return np.full(len(tasks), seen)


def all_learned_from(prior: LearnedEquation, tasks: TaskSet) -> TaskSet | None:
    """Those of some tasks that a prior was learned from, if all that it was learned from are among them."""
    seen = learned_from(prior, tasks)
    wanted = len(set(prior.training[SUMS])) if SUMS in prior.training else 1
    if seen.sum() < wanted:
        return None
    return tasks.select(seen)
