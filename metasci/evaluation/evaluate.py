"""k-shot evaluation: calibrate held-out tasks from a few of their measurements and judge by the others."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol as Structural, Self, TypeVar

import numpy as np

from metasci.class_forecasts import ClassForecast
from metasci.data.tasks import Batch, TaskSet
from metasci.errors import InputError
from metasci.evaluation.baselines import BASELINES, baseline_forecasters, check_baselines
from metasci.evaluation.outcome_scores import OutcomeScore
from metasci.evaluation.protocol import (
    Protocol,
    Split,
    split_tasks,
    with_enough_rows,
)
from metasci.evaluation.result import Evaluation, who_was_left_out
from metasci.evaluation.scores import Score
from metasci.forecasts import Forecaster
from metasci.mixed_forecasts import MixedForecast
from metasci.model import Model
from metasci.outcome_forecasts import OutcomeForecast
from metasci.outcomes.outcome import Outcome
from metasci.progress import track

__all__ = ["Judged", "evaluate", "held_out", "who_was_left_out"]


class Named(Structural):
    """A method with a name."""

    @property
    def name(self) -> str:
        """What tables call it."""


class Judged(Structural):
    """What can be judged: every prior, and whatever else forecasts and can be learned anew."""

    @property
    def model(self) -> Model:
        """What is predicted."""

    @property
    def method(self) -> Named:
        """How it was learned."""

    def batch(self, tasks: TaskSet) -> Batch:
        """The tasks as tensors, in the model's units."""

    def forecasters(self, tasks: TaskSet) -> Mapping[str, Forecaster]:
        """Ways to forecast, side by side."""

    def retrain(self, tasks: TaskSet) -> Self:
        """The same learned anew from other tasks."""


AnyPrior = TypeVar("AnyPrior", bound=Judged)


def held_out(
    prior: AnyPrior, tasks: TaskSet, group: str | None, folds: int | None = None, progress: bool = False
) -> Iterator[tuple[AnyPrior, TaskSet]]:
    """Each fold's prior, learned without some groups, and their tasks; the prior itself without a column to group by.

    Every group is a fold of its own, or shares one of `folds` with others.
    """
    if group is None:
        yield prior, tasks
        return
    labels = np.asarray(tasks.groups(group))
    distinct = sorted(set(labels.tolist()))
    if len(distinct) < 2:
        raise InputError(
            f"column '{group}' has only one value, '{distinct[0]}': nothing is left to learn from."
        )
    parts = [[label] for label in distinct]
    if folds is not None:
        mixed = np.random.default_rng(0).permutation(distinct)
        parts = [part.tolist() for part in np.array_split(mixed, min(folds, len(distinct)))]
    for part in track(parts, f"leaving out each {group}", progress):
        out = np.isin(labels, part)
        yield prior.retrain(tasks.select(~out)), tasks.select(out)


def evaluate(
    prior: AnyPrior,
    tasks: TaskSet,
    shots: Sequence[int] | None = None,
    *,
    protocol: Protocol | None = None,
    leave_out: str | None = None,
    folds: int | None = None,
    seeds: int = 5,
    baselines: Sequence[str] | str = (),
    progress: bool = False,
) -> Evaluation:
    """k-shot figures of a prior and of its baselines on held-out tasks.

    Parameters
    ----------
    prior : Prior, StructurePrior, NetworkPrior or other Judged
        Used as it is, or (with `leave_out`) as the recipe that is learned anew without each group.
    tasks : TaskSet
    shots : sequence of int, optional
        The protocol's by default.
    protocol : Protocol, optional
        That of the tasks' card by default.
    leave_out : str, optional
        A column of the data; each of its groups is held out in turn.
    folds : int, optional
        Hold groups out in so many parts, instead of one by one; the protocol's by default.
    seeds : int
        Random choices of the support for every task.
    baselines : sequence of str or "all"
        What else is learned from the tasks that are not left out and judged beside: ``"process"``, a plain multi-task
        Gaussian process, ``"forest"`` and ``"boosting"``, regressions that the support shifts.

    Returns
    -------
    Evaluation
        A dictionary that is also a frame (`frame`) and a figure (`plot`): ``tasks`` (their number), ``left_out``
        (tasks with too few rows for any of it), and what was chosen; ``results``, one for each method and number
        of shots: figures (NaN where no task could be judged), ``tasks`` (the number that they are of) and ``left_out``,
        tasks that gave no support or query of that size, and why.
    """
    of_card = protocol is None
    protocol = protocol or Protocol.from_card(tasks.card)
    shots = tuple(dict.fromkeys(protocol.shots if shots is None else shots))
    if not shots:
        raise InputError("say at least one number of shots.")
    if any(k < 0 for k in shots):
        raise InputError("the number of shots must not be below zero.")
    protocol = replace(protocol, shots=shots)
    names = (
        tuple(BASELINES)
        if baselines == "all"
        else (baselines,)
        if isinstance(baselines, str)
        else tuple(baselines)
    )
    check_baselines(names, prior.model, leave_out)
    if of_card and max(tasks.counts) < protocol.minimum_rows:
        # a table of one's own, read by a prior's card: how the prior's own data are divided is not about these
        protocol = replace(protocol, minimum_rows=0, query_from=None, positions=None, skip=())
    tasks, too_few = with_enough_rows(tasks, protocol)
    if not len(tasks):
        raise InputError(
            f"no task has the {protocol.minimum_rows} rows that an evaluation of these data needs."
        )
    folds = folds or protocol.folds
    scores: dict[tuple[str, int], Score | OutcomeScore] = {}
    for fold_prior, fold_tasks in held_out(prior, tasks, leave_out, folds, progress):
        batch, forecasters = fold_prior.batch(fold_tasks), dict(fold_prior.forecasters(fold_tasks))
        if names and leave_out is not None:
            old = tasks.select(~np.isin(tasks.names, fold_tasks.names))
            forecasters |= baseline_forecasters(
                names, prior.model, fold_prior.batch(old), list(old.groups(leave_out))
            )
        for k in shots:
            split = split_tasks(batch.mask, k, protocol, seeds)
            for name, forecaster in forecasters.items():
                score = scores.setdefault((name, k), _score_of(prior.model))
                _judge(score, forecaster, batch, split)
                score.tasks.update(batch.names[at] for at in split.task.tolist())
                score.left_out.update({batch.names[at]: why for at, why in split.skipped.items()})
    results = [
        {
            "method": name,
            "shots": k,
            "tasks": len(scores[name, k].tasks),
            **scores[name, k].figures(protocol.aggregate),
            "left_out": scores[name, k].left_out,
        }
        for name in dict.fromkeys(name for name, _ in scores)
        for k in shots
    ]
    if not any(score.errors for score in scores.values()):
        raise InputError(
            f"no task of '{tasks.card.name}' has measurements left to judge by after {max(shots)} "
            f"measurement{'s' * (max(shots) != 1)}; ask for fewer shots."
        )
    report = {
        "tasks": len(tasks),
        "measurements": int(np.sum(tasks.counts)),
        "learned_method": prior.method.name,
        "leave_out": leave_out,
        "folds": folds,
        "seeds": seeds if protocol.support == "random" else 1,
        "support": protocol.support,
        "aggregate": protocol.aggregate,
        "unit": prior.model.output.unit,
        "outcome": "" if prior.model.noise.measures else getattr(prior.model.noise, "kind", ""),
        "left_out": too_few,
        "results": results,
    }
    return Evaluation(report)


def _score_of(model: Model) -> Score | OutcomeScore:
    """An empty score, of the kind that the model's outcomes ask for."""
    noise = model.noise
    if isinstance(noise, Outcome) and not noise.measures:
        return OutcomeScore.of(noise)
    return Score([], [], [], [], [])


def _judge(score: Score | OutcomeScore, forecaster: Forecaster, batch: Batch, split: Split) -> None:
    if not len(split.task):
        return
    chosen = batch.select(split.task)
    began = time.perf_counter()
    forecast = forecaster(chosen, split.support, split.query)
    if isinstance(score, OutcomeScore):
        if not isinstance(forecast, OutcomeForecast | ClassForecast | MixedForecast):
            raise InputError(
                "these outcomes are forecast as if they were Gaussian measurements, and are not judged so."
            )
        score.seconds.append(time.perf_counter() - began)
        score.seeds.extend(split.seed)
        score.add(forecast, split.query)
        return
    median, (lower, upper) = forecast.median, forecast.interval(0.9)
    seconds = time.perf_counter() - began
    score.seconds.append(seconds)
    density = forecast.log_density()
    score.seeds.extend(split.seed)
    for row, query in enumerate(split.query):
        of_query = [values[row, query] for values in (chosen.output, median, lower, upper, density)]
        limits = None if chosen.censored is None else chosen.censored[row, query]
        ends = None if chosen.upper is None else chosen.upper[row, query]
        score.add(of_query[0], of_query[1], of_query[2], of_query[3], of_query[4], limits, ends)
