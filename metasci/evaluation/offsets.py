"""A regression fitted to old tasks and shifted by what a new task's measurements say.

The shift is the mean residual of the task's measurements, shrunken by how far tasks differ from each other beside how
far measurements scatter within them: the best linear prediction of a random intercept (Henderson 1975). Both are told
by errors in groups of tasks that the regression has not seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["shifted", "spread_of_errors"]

_INNER = 3  # parts of the old groups, each left out once

Array = NDArray[np.float64]


def spread_of_errors(error: Array, task: NDArray[Any]) -> tuple[float, float]:
    """Variances between and within tasks of errors, (row,), by the analysis of variance.

    Examples
    --------
    >>> spread_of_errors(np.array([1.0, 1.0, -1.0, -1.0]), np.array([0, 0, 1, 1]))
    (1.0, 0.0)
    """
    each = [error[task == number] for number in np.unique(task)]
    means = np.array([part.mean() for part in each])
    counts = np.array([len(part) for part in each])
    within = float(sum(((part - part.mean()) ** 2).sum() for part in each) / max((counts - 1).sum(), 1))
    return float(max((means**2).mean() - within * (1.0 / counts).mean(), 1e-12)), within


def shifted(
    make: Callable[[], Any], features: Array, target: Array, seen: NDArray[np.bool_], group: NDArray[Any]
) -> Callable[[Array, Array, NDArray[np.bool_]], tuple[Array, Array]]:
    """Fit a regression to old tasks; returns what forecasts new ones from their features, target and support.

    Parameters
    ----------
    make : callable
        Makes an object with ``fit`` and ``predict``.
    features : array, (task, observation, feature)
    target : array, (task, observation)
    seen : array of bool, (task, observation)
    group : array, (task,)
        Which tasks are left out together when errors are told.

    Returns
    -------
    callable
        To mean and standard deviation of a new measurement, (task, observation) each.
    """
    # where a covariate is not known, its mean over the old tasks stands in
    usual = np.nanmean(np.where(np.isfinite(features[seen]), features[seen], np.nan), axis=0)

    def filled(values: Array) -> Array:
        return np.where(np.isfinite(values), values, usual)

    x, y, task = filled(features[seen]), target[seen], np.nonzero(seen)[0]
    distinct = np.random.default_rng(0).permutation(np.unique(group))
    error = np.empty(len(y))
    for part in np.array_split(distinct, min(_INNER, len(distinct))):
        away = np.isin(group[task], part)
        known = make().fit(x[~away], y[~away]) if not away.all() else None
        error[away] = y[away] - (known.predict(x[away]) if known is not None else y.mean())
    between, within = spread_of_errors(error, task)
    fitted = make().fit(x, y)

    def forecast(features: Array, target: Array, support: NDArray[np.bool_]) -> tuple[Array, Array]:
        middle = fitted.predict(filled(features.reshape(-1, features.shape[-1]))).reshape(target.shape)
        count = support.sum(1)
        share = between * count / (between * count + within) if within else (count > 0).astype(float)
        off = np.where(support, target - middle, 0.0).sum(1) / np.maximum(count, 1)
        sd = np.sqrt(between * (1.0 - share) + within)
        return middle + (share * off)[:, None], np.broadcast_to(sd[:, None], target.shape).copy()

    return forecast
