"""The learned prior against PyMC's hierarchical posterior: both forecast the same held-out measurements."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metasci.batch import Batch
from metasci.bayes.forecast import Forecast, predictive
from metasci.bayes.hierarchical import hierarchical, initial_point
from metasci.bayes.sampling import Posterior, sample
from metasci.errors import InputError
from metasci.evaluation import Protocol, Score, held_out, split_tasks, with_enough_rows
from metasci.meta.problem import Problem
from metasci.predictive import predictive as learned_predictive
from metasci.prior import Prior
from metasci.tasks import TaskSet

__all__ = ["Joint", "compare", "joint_posterior"]


@dataclass(frozen=True)
class Joint:
    """A joint hierarchical posterior of old tasks, whole, and new tasks, from their supports.

    Attributes
    ----------
    posterior : Posterior
    batch : Batch
        Old and new tasks together, new ones last.
    first_new : int
        Position of the first new task.
    """

    posterior: Posterior
    batch: Batch
    first_new: int

    def forecast(self, prior: Prior, new_task: int, query: Tensor) -> Forecast:
        """Forecast some measurements (observation,) of a new task."""
        mask = torch.zeros_like(self.batch.mask)
        mask[self.first_new + new_task, : len(query)] = query
        return predictive(self.posterior, prior.model, self.batch.with_mask(mask), self.first_new + new_task)


def joint_posterior(
    prior: Prior,
    old: Batch,
    new: Batch,
    support: Tensor,
    *,
    draws: int = 500,
    tune: int = 500,
    chains: int = 2,
    seed: int = 0,
    progress: bool = False,
) -> Joint:
    """Sample the hierarchical model of the old tasks and of the new ones' supports, from adapted starts.

    Parameters
    ----------
    prior : Prior
        Gives the model, the covariates' scale, whether tasks have a noise of their own, and where to start.
    old, new : Batch
    support : Tensor of bool, (new task, observation)
    draws, tune, chains, seed, progress
        See `metasci.bayes.sample`.
    """
    batch = old.join(new.with_mask(new.mask & support))
    design = prior.covariates.design(batch.covariates)
    adapted = prior.adapt(batch)
    # where the measurements say more of a task than the population does, centred coordinates mix better
    share = adapted.covariance.diagonal(dim1=1, dim2=2) / adapted.start_covariance.diagonal(dim1=1, dim2=2)
    centred = bool(share.median() < 0.5)
    built = hierarchical(
        prior.model, batch, design if prior.covariates.names else None, covariates=prior.covariates.names or None,
        task_noise=bool(getattr(prior.method, "task_noise", False)), centred=centred,
    )  # fmt: skip
    start = initial_point(adapted.coordinates, adapted.log_noise, centred)
    posterior = sample(
        built, draws=draws, tune=tune, chains=chains, seed=seed, initial=start, progress=progress
    )
    return Joint(posterior, batch, len(old))


def compare(
    prior: Prior,
    tasks: TaskSet,
    *,
    shots: int | None = None,
    folds: int = 3,
    draws: int = 1000,
    tune: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    """Forecast held-out tasks by the learned prior and by PyMC, and say how they differ.

    Where the tasks are those that the prior learned from, groups are held out in folds and both sides learn
    anew without them. Other tasks are new to both: PyMC conditions on the prior's own training data, which
    must then be at hand.

    Parameters
    ----------
    prior : Prior
    tasks : TaskSet
    shots : int, optional
        Size of the support: three, or what of the card's protocol is nearest.
    folds : int
    draws, tune, seed, progress
        See `metasci.bayes.sample`.

    Returns
    -------
    dict
        ``tasks``, ``measurements``, ``shots``, ``rmse`` and ``nlpd`` and ``coverage90`` of both, ``rmse_ratio``,
        ``nlpd_difference`` (learned less PyMC, in nats a measurement), ``seconds_per_task`` of both (for PyMC one
        joint fit, compilation included, since a new task needs all of it), ``speed_ratio``, ``converged``, ``verdict``.
    """
    protocol = Protocol.from_card(tasks.card if tasks.card.protocol else prior.card)
    shots = min(protocol.shots, key=lambda k: abs(k - 3)) if shots is None else shots
    protocol = replace(protocol, shots=tuple(sorted({*protocol.shots, shots})))
    tasks, _ = with_enough_rows(tasks, protocol)
    learned, sampled = Score([], [], [], [], []), Score([], [], [], [], [])
    fits: list[Posterior] = []
    for fold_prior, old, new in _folds(prior, tasks, protocol, folds):
        split = split_tasks(new.mask, shots, protocol, seeds=1)
        chosen = new.select(split.task)
        _learned_side(learned, fold_prior, chosen, split.support, split.query)
        joint = joint_posterior(
            fold_prior, old, chosen, split.support, draws=draws, tune=tune, seed=seed, progress=progress
        )
        fits.append(joint.posterior)
        for row in range(len(chosen)):
            _sampled_side(
                sampled,
                joint.forecast(fold_prior, row, split.query[row]),
                chosen.output[row, split.query[row]],
            )
        sampled.seconds.append(joint.posterior.seconds + joint.posterior.compile_seconds)
    if not learned.errors:
        raise InputError(f"no task has measurements left to judge by after {shots} of support.")
    return _figures(learned, sampled, fits, protocol, shots)


def _folds(prior: Prior, tasks: TaskSet, protocol: Protocol, folds: int) -> list[tuple[Prior, Batch, Batch]]:
    if prior.training.get("data_sha256") != tasks.dataset.attrs.get("checksum"):
        from metasci.catalogue import dataset

        known, _ = with_enough_rows(dataset(prior.card.name, model=prior.model), protocol)
        return [(prior, prior.batch(known), prior.batch(tasks))]
    group = protocol.leave_out or tasks.card.task[0]
    result = []
    for fold_prior, new in held_out(prior, tasks, group, folds):
        old = tasks.select(~np.isin(tasks.names, new.names))
        result.append((fold_prior, fold_prior.batch(old), fold_prior.batch(new)))
    return result


def _learned_side(score: Score, prior: Prior, batch: Batch, support: Tensor, query: Tensor) -> None:
    for row in range(len(batch)):  # one at a time, as a user would
        one = batch.select([row])
        began = time.perf_counter()
        adapted = prior.adapt(one.with_mask(one.mask & support[[row]]))
        forecast = learned_predictive(Problem(prior.model, one.with_mask(query[[row]])), adapted)
        lower, upper = forecast.interval(0.9)
        score.seconds.append(time.perf_counter() - began)
        asked, measured = query[row], one.output[0, query[row]]
        score.add(
            measured,
            forecast.median[0, asked],
            lower[0, asked],
            upper[0, asked],
            forecast.log_density()[0, asked],
        )


def _sampled_side(score: Score, forecast: Forecast, measured: Tensor) -> None:
    values = (forecast.median, forecast.lower, forecast.upper, forecast.log_density)
    score.add(measured, *(torch.as_tensor(value) for value in values))


def _figures(
    learned: Score, sampled: Score, fits: list[Posterior], protocol: Protocol, shots: int
) -> dict[str, Any]:
    ours, theirs = learned.figures(protocol.aggregate), sampled.figures(protocol.aggregate)
    seconds = {"prior": float(np.median(learned.seconds)), "pymc": float(np.median(sampled.seconds))}
    problems = [problem for fit in fits for problem in fit.problems]
    result = {
        "tasks": len(learned.errors),
        "measurements": int(sum(len(errors) for errors in learned.errors)),
        "shots": shots,
        "rmse": {"prior": ours["rmse"], "pymc": theirs["rmse"]},
        "rmse_ratio": ours["rmse"] / theirs["rmse"],
        "nlpd": {"prior": ours["nlpd"], "pymc": theirs["nlpd"]},
        "nlpd_difference": ours["nlpd"] - theirs["nlpd"],
        "coverage90": {"prior": ours["coverage90"], "pymc": theirs["coverage90"]},
        "seconds_per_task": seconds,
        "speed_ratio": seconds["pymc"] / seconds["prior"],
        "converged": not problems,
    }
    return {**result, "verdict": _verdict(result, problems)}


def _verdict(result: dict[str, Any], problems: list[str]) -> str:
    if problems:
        return f"No verdict: PyMC's chains have not converged ({problems[0]})."
    ratio, difference = result["rmse_ratio"], result["nlpd_difference"]
    accuracy = (
        "as accurate as"
        if abs(ratio - 1.0) < 0.02
        else "more accurate than"
        if ratio < 1.0
        else "less accurate than"
    )
    honesty = (
        "as well calibrated"
        if abs(difference) < 0.02
        else "better calibrated"
        if difference < 0.0
        else "less well calibrated"
    )
    trust = (
        "the learned prior can stand in for it"
        if ratio < 1.02 and difference < 0.02
        else "where it matters, trust PyMC"
    )
    return (
        f"The learned prior is {accuracy} PyMC's hierarchical posterior (RMSE ratio {ratio:.3f}) and {honesty} "
        f"(log density {-difference:+.3f} nats a measurement), {result['speed_ratio']:.0f} times faster: {trust}."
    )
