"""k-shot evaluation: calibrate held-out tasks from a few of their measurements and judge by the others."""

from __future__ import annotations

import time
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.data.cards import Card
from metasci.meta.adapted import Adapted, NoiseMixture
from metasci.meta.laplace.gauss_newton import map_estimate
from metasci.meta.problem import Problem
from metasci.fits.predictive import predictive
from metasci.learned.equation import Prior
from metasci.data.tasks import Batch, TaskSet

if TYPE_CHECKING:
    from metasci.learned.families import StructurePrior

__all__ = ["Protocol", "Score", "Split", "evaluate", "held_out", "split_tasks", "with_enough_rows"]


_CHOICES = {
    "support": ("first", "random", "spread"),
    "query": ("rest", "next", "following"),
    "aggregate": ("mean", "root_mean_square", "pooled"),
}


@dataclass(frozen=True)
class Protocol:
    """How support and query are chosen, and how a figure is averaged.

    Attributes
    ----------
    support : "first", "random" or "spread"
        The first measurements, a random choice, or given positions within the task.
    shots : tuple of int
    positions : dict of int to tuple of int
        For ``"spread"``: ranks of the support's measurements, by number of shots.
    skip : tuple of int
        Ranks that are never used.
    query : "rest", "next" or "following"
        Every other measurement (the same for all numbers of shots), the one after the support, or all after it.
    query_from : int, optional
        First rank (of the order in which measurements are taken) that may be query, the same for all shots.
    aggregate : "mean", "root_mean_square" or "pooled"
        RMSE as the mean of the tasks' RMSE, the root of their mean square, or over all measurements.
    leave_out : str, optional
        Column whose groups are held out.
    folds : int, optional
        In so many parts, where learning anew without each group would take too long.
    minimum_rows : int
    """

    support: str = "random"
    shots: tuple[int, ...] = (0, 1, 3, 5)
    positions: dict[int, tuple[int, ...]] | None = None
    skip: tuple[int, ...] = ()
    query: str = "rest"
    query_from: int | None = None
    aggregate: str = "mean"
    leave_out: str | None = None
    folds: int | None = None
    minimum_rows: int = 0

    def __post_init__(self) -> None:
        for key, known in _CHOICES.items():
            if getattr(self, key) not in known:
                raise InputError(
                    f"a protocol's {key} is one of {', '.join(known)}, not '{getattr(self, key)}'."
                )

    @classmethod
    def from_card(cls, card: Card) -> Protocol:
        """The protocol that a data card describes, or the default."""
        table = dict(card.protocol or {})
        unknown = sorted(set(table) - {item.name for item in fields(cls)})
        if unknown:
            raise InputError(f"the protocol of the data '{card.name}' has the unknown key '{unknown[0]}'.")
        for key in ("shots", "skip"):
            if key in table:
                table[key] = tuple(table[key])
        if "positions" in table:
            table["positions"] = {int(k): tuple(v) for k, v in table["positions"].items()}
        return cls(**table, minimum_rows=card.minimum_rows or 0)

    def choosing(self, support: str | None = None, query: str | None = None) -> Protocol:
        """The same with another choice of support or query; one that comes next follows the first measurements."""
        support = support or ("first" if query in ("next", "following") else self.support)
        return replace(self, support=support, query=query or self.query)


class Forecast(typing.Protocol):
    """Predictive distributions of measurements, (task, observation)."""

    @property
    def median(self) -> Tensor:
        """In the output's unit."""

    def interval(self, level: float = 0.9) -> tuple[Tensor, Tensor]:
        """Central interval of a measurement."""

    def log_density(self) -> Tensor:
        """Log density of what was measured."""


AnyPrior = typing.TypeVar("AnyPrior", "Prior", "StructurePrior")
Forecaster = Callable[[Batch, Tensor, Tensor], Forecast]
"""Of a batch, its support and its query, (task, observation), to forecasts; only the support is looked at."""


@dataclass(frozen=True)
class Split:
    """One division of some tasks: which task each row is, its support and query, (row, observation), and its draw."""

    task: Tensor
    support: Tensor
    query: Tensor
    seed: tuple[int, ...] = ()


def with_enough_rows(tasks: TaskSet, protocol: Protocol) -> tuple[TaskSet, list[str]]:
    """The tasks with enough measurements, and the names of those without."""
    enough = np.asarray(tasks.counts) >= protocol.minimum_rows
    return tasks.select(enough), [name for name, kept in zip(tasks.names, enough, strict=True) if not kept]


def split_tasks(mask: Tensor, shots: int, protocol: Protocol, seeds: int) -> Split:
    """Divide every task's measurements, once for each seed (once in all where nothing is random).

    A task that has no query left is not in the split.
    """
    repeats = seeds if protocol.support == "random" else 1
    longest = max(protocol.shots)
    rows: list[tuple[int, Tensor, Tensor, int]] = []
    for seed in range(repeats):
        for task in range(len(mask)):
            measured = mask[task].nonzero()[:, 0]
            order = _order(measured, protocol, seed, task)
            if protocol.support == "spread":
                chosen = [int(measured[r]) for r in _positions(len(measured), shots, protocol)]
                rest = [int(i) for i in order if int(i) not in chosen]
            else:
                chosen = [int(i) for i in order[:shots]]
                first = shots
                if protocol.query == "rest":
                    first = (
                        longest if protocol.query_from is None else protocol.query_from - _skipped(protocol)
                    )
                rest = [int(i) for i in order[max(first, shots) :]]
            if protocol.query == "next":
                rest = rest[:1]
            if rest and len(chosen) == shots:
                support, query = torch.zeros_like(mask[task]), torch.zeros_like(mask[task])
                support[chosen], query[rest] = True, True
                rows.append((task, support, query, seed))
    if not rows:
        empty = mask[:0]
        return Split(torch.zeros(0, dtype=torch.long), empty, empty)
    index, supports, queries, drawn = zip(*rows, strict=True)
    return Split(torch.tensor(index), torch.stack(supports), torch.stack(queries), drawn)


def _skipped(protocol: Protocol) -> int:
    return len(protocol.skip) if protocol.support != "random" else 0


def _order(measured: Tensor, protocol: Protocol, seed: int, task: int) -> Tensor:
    keep = measured[[rank for rank in range(len(measured)) if rank not in protocol.skip]]
    if protocol.support == "random":
        generator = torch.Generator().manual_seed(1_000_003 * seed + task)
        return keep[torch.randperm(len(keep), generator=generator)]
    return keep


def _positions(count: int, shots: int, protocol: Protocol) -> list[int]:
    wanted = (protocol.positions or {}).get(shots)
    if wanted is None:  # evenly spread
        wanted = tuple(np.unique(np.linspace(0, count - 1, shots + 2)[1:-1].round().astype(int)).tolist())
    return [rank for rank in wanted if 0 <= rank < count and rank not in protocol.skip]


@dataclass(frozen=True)
class Score:
    """Errors of one method at one number of shots, gathered over folds."""

    errors: list[np.ndarray]
    measured: list[np.ndarray]
    covered: list[np.ndarray]
    density: list[np.ndarray]
    seconds: list[float]
    seeds: list[int] = field(default_factory=list)

    def add(
        self,
        measured: Tensor,
        median: Tensor,
        lower: Tensor,
        upper: Tensor,
        log_density: Tensor,
        censored: Tensor | None = None,
    ) -> None:
        """Record one task's query, (measurement,) each.

        Of a measurement that lies below a limit a forecast below the limit is no error, and an interval that reaches
        below it covers.
        """
        off = measured - median
        if censored is not None:
            off = torch.where(censored & (median <= measured), torch.zeros_like(off), off)
            upper = torch.where(censored, torch.full_like(upper, torch.inf), upper)
        self.errors.append(off.detach().numpy())
        self.measured.append(measured.detach().numpy())
        self.covered.append(((measured >= lower) & (measured <= upper)).double().numpy())
        self.density.append(log_density.detach().numpy())

    def figures(self, aggregate: str) -> dict[str, float]:
        """RMSE, MAE, percentage errors, coverage, negative log density, seconds a task.

        Percentages are of the measurement: ``mdape`` and ``mdpe``, medians of |p − y|/y and (p − y)/y, and ``f20`` and
        ``f30``, the share within 20 and 30 % (Sheiner and Beal 1981); ``mdape_of_prediction`` and
        ``mdpe_of_prediction`` are of the prediction, (y − p)/p, as anaesthetists have them (Varvel and others 1992).
        """
        flat = np.concatenate(self.errors)
        measured = np.concatenate(self.measured)
        error = -flat / np.maximum(np.abs(measured), 1e-12)
        of_prediction = flat / np.maximum(np.abs(measured - flat), 1e-12)
        squares = [np.mean(e**2) for e in self.errors]
        rmse = {
            "mean": float(np.mean(np.sqrt(squares))),
            "root_mean_square": float(np.sqrt(np.mean(squares))),
            "pooled": float(np.sqrt(np.mean(flat**2))),
        }[aggregate]
        mae = (
            np.mean(np.abs(flat))
            if aggregate == "pooled"
            else np.mean([np.mean(np.abs(e)) for e in self.errors])
        )
        return {
            "rmse": rmse,
            "mae": float(mae),
            "mae_sd_over_seeds": self._spread(aggregate),
            "mdape": float(100.0 * np.median(np.abs(error))),
            "mdpe": float(100.0 * np.median(error)),
            "f20": float(100.0 * np.mean(np.abs(error) <= 0.2)),
            "f30": float(100.0 * np.mean(np.abs(error) <= 0.3)),
            "mdape_of_prediction": float(100.0 * np.median(np.abs(of_prediction))),
            "mdpe_of_prediction": float(100.0 * np.median(of_prediction)),
            "coverage90": float(np.mean(np.concatenate(self.covered))),
            "nlpd": float(-np.mean(np.concatenate(self.density))),
            "seconds_per_task": float(np.sum(self.seconds) / len(self.errors)),
        }

    def _spread(self, aggregate: str) -> float:
        """Standard deviation of the MAE between random choices of the support; zero where there was one."""
        each = []
        for seed in sorted(set(self.seeds)):
            errors = [np.abs(e) for e, drawn in zip(self.errors, self.seeds, strict=True) if drawn == seed]
            each.append(
                np.mean(np.concatenate(errors) if aggregate == "pooled" else [e.mean() for e in errors])
            )
        return float(np.std(each, ddof=1)) if len(each) > 1 else 0.0


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
    for part in _track(parts, f"leaving out each {group}", progress):
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
    progress: bool = False,
) -> dict[str, Any]:
    """k-shot figures of a prior and of its baselines on held-out tasks.

    Parameters
    ----------
    prior : Prior or StructurePrior
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

    Returns
    -------
    dict
        ``tasks`` (their number), ``results`` (one for each method and number of shots), ``left_out``, ``protocol``.
    """
    protocol = protocol or Protocol.from_card(tasks.card)
    shots = tuple(dict.fromkeys(protocol.shots if shots is None else shots))
    if not shots:
        raise InputError("say at least one number of shots.")
    if any(k < 0 for k in shots):
        raise InputError("the number of shots must not be below zero.")
    protocol = replace(protocol, shots=shots)
    tasks, too_few = with_enough_rows(tasks, protocol)
    if not len(tasks):
        raise InputError(
            f"no task has the {protocol.minimum_rows} rows that an evaluation of these data needs."
        )
    folds = folds or protocol.folds
    scores: dict[tuple[str, int], Score] = {}
    for fold_prior, fold_tasks in held_out(prior, tasks, leave_out, folds, progress):
        batch, forecasters = fold_prior.batch(fold_tasks), fold_prior.forecasters(fold_tasks)
        for k in shots:
            split = split_tasks(batch.mask, k, protocol, seeds)
            for name, forecaster in forecasters.items():
                score = scores.setdefault((name, k), Score([], [], [], [], []))
                _judge(score, forecaster, batch, split)
    results = [
        {"method": name, "shots": k, **scores[name, k].figures(protocol.aggregate)}
        for name in dict.fromkeys(name for name, _ in scores)
        for k in shots
        if scores[name, k].errors
    ]
    if not results:
        raise InputError(
            f"no task of '{tasks.card.name}' has measurements left to judge by after {max(shots)} "
            f"measurement{'s' * (max(shots) != 1)}; ask for fewer shots."
        )
    return {
        "tasks": len(tasks),
        "measurements": int(np.sum(tasks.counts)),
        "learned_method": prior.method.name,
        "leave_out": leave_out,
        "folds": folds,
        "seeds": seeds if protocol.support == "random" else 1,
        "support": protocol.support,
        "aggregate": protocol.aggregate,
        "unit": prior.model.output.unit,
        "left_out": too_few,
        "results": results,
    }


def equation_forecasters(prior: Prior) -> dict[str, Forecaster]:
    """Ways to forecast tasks of an equation: its prior, what the prior says beforehand, and each task by itself."""

    def start_only(batch: Batch) -> Adapted:
        return prior.adapt(batch.with_mask(torch.zeros_like(batch.mask)))

    def least_squares(batch: Batch) -> Adapted:
        return per_task_least_squares(prior, batch)

    def forecaster(adapt: Callable[[Batch], Adapted]) -> Forecaster:
        def forecast(batch: Batch, support: Tensor, query: Tensor) -> Forecast:
            adapted = adapt(batch.with_mask(support))
            return predictive(Problem(prior.model, batch.with_mask(query)), adapted)

        return forecast

    ways = {"prior": prior.adapt, "start only": start_only, "per-task least squares": least_squares}
    return {name: forecaster(adapt) for name, adapt in ways.items()}


def per_task_least_squares(prior: Prior, batch: Batch) -> Adapted:
    """Each task fitted alone from the typical values, with no prior but a faint one that keeps it determined."""
    problem = prior.problem(batch)
    size = len(prior.model.parameters)
    start = batch.output.new_zeros(len(batch), size)
    wide = 100.0 * torch.eye(size, dtype=start.dtype, device=start.device).expand(len(batch), -1, -1)
    log_noise = prior.state["log_noise"]
    estimate = map_estimate(problem, start, torch.linalg.inv(wide), log_noise, steps=100)
    return Adapted(
        estimate.coordinates, estimate.covariance, start, wide, log_noise,
        NoiseMixture.single(estimate.covariance), NoiseMixture.single(wide), estimate.converged, estimate.finite,
    )  # fmt: skip


def _judge(score: Score, forecaster: Forecaster, batch: Batch, split: Split) -> None:
    if not len(split.task):
        return
    chosen = batch.select(split.task)
    began = time.perf_counter()
    forecast = forecaster(chosen, split.support, split.query)
    median, (lower, upper) = forecast.median, forecast.interval(0.9)
    seconds = time.perf_counter() - began
    score.seconds.append(seconds)
    density = forecast.log_density()
    score.seeds.extend(split.seed)
    for row, query in enumerate(split.query):
        of_query = [values[row, query] for values in (chosen.output, median, lower, upper, density)]
        limits = None if chosen.censored is None else chosen.censored[row, query]
        score.add(of_query[0], of_query[1], of_query[2], of_query[3], of_query[4], limits)


def _track(items: list[Any], text: str, show: bool) -> Iterator[Any]:
    if not show:
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, text, console=Console(stderr=True), transient=True)
