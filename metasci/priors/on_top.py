"""A prior of an equation that learns from new tasks on top of old ones, whose data may be gone."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from metasci.data.checksums import checksum
from metasci.data.levels import known_groups
from metasci.data.tasks import Batch, TaskSet
from metasci.errors import InputError
from metasci.learned.base import versions
from metasci.learned.equation import LearnedEquation
from metasci.learned.learned_from import SUMS, noted
from metasci.meta.discrepancy.method import DiscrepancyPrior
from metasci.meta.laplace.gaussian import GaussianPrior
from metasci.meta.laplace.statistics import learn_also, why_no_update
from metasci.priors.from_tasks import check_finite, ranges_of
from metasci.priors.learning import tell_known, tell_unsaid

__all__ = ["learned_on_top"]

P = TypeVar("P", bound=LearnedEquation)


def learned_on_top(prior: P, tasks: TaskSet) -> P:
    """What `metasci.priors.equation.Prior.update` gives, which says what it is good for.

    Raises
    ------
    InputError
        If the method, or what was kept, does not allow it; the sentence says why and what to do.
    """
    method = prior.method
    if isinstance(method, DiscrepancyPrior):
        tasks = prior.read(tasks)
        batch = prior.batch(tasks)
        tell_known(prior, batch)
        tell_unsaid(prior.levels, batch)
        return _with_terms_of(prior, method, tasks, batch)
    if not isinstance(method, GaussianPrior):
        raise InputError(
            f"the prior '{prior.name}' was learned by {method.name}, for which nothing small stands in for the old "
            "tasks: learn from all together with `retrain`."
        )
    if why := why_no_update(method, prior.model.noise):
        raise InputError(f"the prior '{prior.name}' cannot be updated: {why}; use `retrain`.")
    if prior.seen is None:
        raise InputError(
            f"the prior '{prior.name}' was saved without statistics of its tasks: learn it anew, from old and new "
            "tasks together, with `retrain`."
        )
    tasks = prior.read(tasks)
    began, batch = time.perf_counter(), prior.batch(tasks)
    tell_known(prior, batch)
    design = prior.design(batch)
    state, seen, left_out = learn_also(method, prior.seen, prior.problem(batch), design, prior.state)
    check_finite(state, prior.model, tasks)
    training = _training(prior, tasks, batch, left_out, time.perf_counter() - began)
    return replace(prior, state=state, seen=seen, training=training)


def _with_terms_of(prior: P, method: DiscrepancyPrior, tasks: TaskSet, batch: Batch) -> P:
    """What a discrepancy's prior learns from more tasks, each of which adds its terms."""
    began = time.perf_counter()
    state = method.update(prior.problem(batch), prior.design(batch), prior.state)
    levels = known_groups(tasks.dataset, tasks.card, prior.levels)
    check_finite(state, prior.model, tasks)
    training = _training(prior, tasks, batch, {}, time.perf_counter() - began)
    return replace(prior, state=state, training=training, levels=levels)


def _training(
    prior: LearnedEquation, tasks: TaskSet, batch: Batch, left_out: Mapping[str, int], seconds: float
) -> dict[str, Any]:
    """What is told of the learning from old tasks and new ones."""
    old, new = prior.training, ranges_of(prior.model, batch)
    ranges = {
        name: [min(low, old["ranges"][name][0]), max(high, old["ranges"][name][1])]
        if name in old.get("ranges", {})
        else [low, high]
        for name, (low, high) in new.items()
    }
    of_data = checksum(tasks)
    return {
        **{name: value for name, value in old.items() if name != SUMS},
        "tasks": int(old.get("tasks", 0)) + len(tasks),
        "measurements": int(old.get("measurements", 0)) + int(batch.mask.sum()),
        "left_out_as_not_finite": {**old.get("left_out_as_not_finite", {}), **left_out},
        "seconds": round(float(old.get("seconds", 0.0)) + seconds, 2),
        "data_sha256": " ".join(part for part in (old.get("data_sha256", ""), of_data) if part),
        **noted(batch, old.get(SUMS)),
        "ranges": {**old.get("ranges", {}), **ranges},
        "versions": versions(),
    }
