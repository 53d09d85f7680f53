"""Regression without adaptation as a baseline: fitted to old tasks, shifted by what a new task's measurements say.

The shift is the mean residual of the task's measurements, shrunken by how far tasks differ from each other beside how
far measurements scatter within them: the best linear prediction of a random intercept (Henderson 1975).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from metasci.evaluation.protocol import Protocol, split_tasks
from metasci.evaluation.scores import Score
from metasci.extras import needed

__all__ = ["Table", "forest", "parts_of", "sklearn_part", "tabular_results"]

_NORMAL_95 = 1.6448536269514722
# parts of the old groups, each left out once to see how far errors reach in groups that are not known
_INNER = 5


@dataclass(frozen=True)
class Table:
    """Tasks as a regression sees them.

    Attributes
    ----------
    features : list of array, (measurement, feature)
        Of each task.
    output : list of array, (measurement,)
    group : array, (task,)
        Which tasks are held out together.
    """

    features: list[NDArray[np.float64]]
    output: list[NDArray[np.float64]]
    group: NDArray[Any]

    def rows(self, tasks: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[Any]]:
        """Features, outputs and the tasks' positions, row by row."""
        features = np.concatenate([self.features[task] for task in tasks])
        output = np.concatenate([self.output[task] for task in tasks])
        return features, output, np.repeat(np.asarray(tasks), [len(self.output[task]) for task in tasks])


def parts_of(group: NDArray[Any], folds: int) -> Iterator[NDArray[np.bool_]]:
    """Which tasks each fold holds out, as `metasci.evaluation.evaluate.held_out` parts them."""
    distinct = sorted(set(group.tolist()))
    mixed = np.random.default_rng(0).permutation(distinct)
    for part in np.array_split(mixed, min(folds, len(distinct))):
        yield np.isin(group, part)


def tabular_results(
    table: Table,
    estimators: dict[str, Callable[[], Any]],
    protocol: Protocol,
    *,
    folds: int,
    seeds: int,
    unlink: Callable[[Any], Any] = np.asarray,
) -> list[dict[str, Any]]:
    """RMSE, MAE and coverage of 90 % intervals on held-out groups, by estimator and number of shots.

    Parameters
    ----------
    table : Table
    estimators : dict
        Makers of objects with ``fit`` and ``predict``, by name.
    protocol : Protocol
        How support and query are chosen; the same as for the learned priors.
    folds, seeds : int
    unlink : callable
        From the scale of the table's output to that on which errors are judged, such as the exponential.
    """
    scores: dict[tuple[str, int], Score] = {}
    for held in parts_of(table.group, folds):
        old, new = np.flatnonzero(~held), np.flatnonzero(held)
        mask = _mask([len(table.output[task]) for task in new])
        for name, make in estimators.items():
            fitted, (between, within) = _fit(make, table, old)
            predicted = [np.asarray(fitted.predict(table.features[task])) for task in new]
            for shots in protocol.shots:
                split = split_tasks(mask, shots, protocol, seeds)
                score = scores.setdefault((name, shots), Score([], [], [], [], []))
                began = time.perf_counter()
                for row, place in enumerate(split.task.tolist()):
                    size = len(predicted[place])
                    support, query = (values[row, :size].numpy() for values in (split.support, split.query))
                    measured = table.output[new[place]]
                    shift, variance = 0.0, between
                    if support.any():
                        share = between / (between + within / support.sum())
                        shift = share * (measured[support] - predicted[place][support]).mean()
                        variance = between * (1.0 - share)
                    centre, sd = predicted[place][query] + shift, np.sqrt(variance + within)
                    _add(score, measured[query], centre, sd, unlink)
                score.seeds.extend(split.seed)
                score.seconds.append(time.perf_counter() - began)
    return [
        {"method": name, "shots": shots, **score.figures(protocol.aggregate)}
        for (name, shots), score in scores.items()
        if score.errors
    ]


def _mask(sizes: Sequence[int]) -> torch.Tensor:
    return torch.arange(max(sizes))[None] < torch.tensor(list(sizes))[:, None]


def _fit(make: Callable[[], Any], table: Table, old: NDArray[np.intp]) -> tuple[Any, tuple[float, float]]:
    """The estimator, and the variances of its errors between and within tasks of groups it has not seen."""
    features, output, task = table.rows(old.tolist())
    left = np.empty(len(output))
    for held in parts_of(table.group[old], _INNER):
        away = np.isin(task, old[held])
        left[away] = output[away] - make().fit(features[~away], output[~away]).predict(features[away])
    means = np.array([left[task == each].mean() for each in old])
    counts = np.array([(task == each).sum() for each in old])
    inside = sum(((left[task == each] - left[task == each].mean()) ** 2).sum() for each in old)
    within = float(inside / max((counts - 1).sum(), 1))
    between = float(max((means**2).mean() - within * (1.0 / counts).mean(), 1e-12))
    return make().fit(features, output), (between, within)


def _add(score: Score, measured: Any, predicted: Any, sd: float, unlink: Callable[[Any], Any]) -> None:
    """Record a task's query; the density stays that on the table's own scale."""
    half = np.full(len(measured), _NORMAL_95 * sd)
    density = -0.5 * ((measured - predicted) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2.0 * np.pi)
    columns = (measured, predicted, predicted - half, predicted + half)
    middle, centre, low, high = (torch.as_tensor(np.asarray(unlink(value))) for value in columns)
    score.add(middle, centre, low, high, torch.as_tensor(density))


def forest() -> Any:
    """A random forest, not yet fitted."""
    return sklearn_part("ensemble").RandomForestRegressor(
        300, min_samples_leaf=2, max_features=0.5, random_state=0
    )


def _linear() -> Any:
    make_pipeline = sklearn_part("pipeline").make_pipeline
    return make_pipeline(
        sklearn_part("preprocessing").StandardScaler(),
        sklearn_part("linear_model").RidgeCV(np.logspace(-2, 4, 13)),
    )


def sklearn_part(name: str) -> Any:
    """A module of scikit-learn, by name."""
    return needed(f"sklearn.{name}", "studies", "this study")
