"""Simultaneous bands for the distribution of ranks: how far uniform ranks stray, anywhere, by chance.

Source: Säilynoja, Bürkner and Vehtari, Stat Comput 32 (2022) 32, section 2.2 and algorithm 2.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.stats import binom

from metasci.errors import InputError, check_level

__all__ = ["ecdf_bands", "leaves_bands"]

Array = NDArray[np.float64]
_MOST = 100  # points at which bands are compared: more hardly move them, and cost their square


def ecdf_bands(count: int, level: float = 0.95, points: int | None = None) -> tuple[Array, Array, Array]:
    """Bands that hold the whole empirical distribution function of uniform values with a probability.

    Parameters
    ----------
    count : int
        How many values there are.
    level : float
    points : int, optional
        At how many places, evenly along zero to one, it is looked at: at as many as there are values, up to 100.

    Returns
    -------
    at, lower, upper : array, (point,)
        Places, and the shares of values up to there.

    Notes
    -----
    The counts up to zⱼ are a Markov chain with binomial steps, so that the probability of staying within pointwise
    binomial intervals is a product of small matrices; the intervals' own level is that which makes it `level`.

    Examples
    --------
    >>> at, lower, upper = ecdf_bands(50)
    >>> [round(float(values[24]), 2) for values in (at, lower, upper)]
    [0.5, 0.3, 0.7]
    """
    check_level(level)
    if count < 1:
        raise InputError(f"count: {count} values have no distribution.")
    at = np.arange(1, _places(count, points) + 1) / _places(count, points)
    lower, upper = _counts(count, at, _tail(count, level, len(at)))
    return at, lower / count, upper / count


def leaves_bands(ranks: ArrayLike, level: float = 0.95) -> NDArray[np.bool_]:
    """Whether the ranks of each column stray from uniform further than chance explains, at any place.

    Parameters
    ----------
    ranks : array, (simulation, parameter)
        Between zero and one.
    level : float
        Uniform ranks stay within with this probability, each column by itself.

    Examples
    --------
    >>> even = (np.arange(200)[:, None] + 0.5) / 200
    >>> leaves_bands(np.hstack([even, even**1.5])).tolist()
    [False, True]
    """
    values = np.asarray(ranks, float)
    at, lower, upper = ecdf_bands(len(values), level)
    share = (values[:, :, None] <= at).mean(0)
    # counts are whole numbers: a rounding of the share is no step out
    return np.asarray(((share < lower - 1e-9) | (share > upper + 1e-9)).any(-1))


def _places(count: int, points: int | None) -> int:
    return min(count, _MOST) if points is None else points


def _counts(count: int, at: Array, tail: float) -> tuple[Array, Array]:
    """Pointwise binomial intervals of the counts, with at most this probability outside at either side."""
    return np.asarray(binom.ppf(tail, count, at)), np.asarray(binom.ppf(1.0 - tail, count, at))


@lru_cache(maxsize=64)
def _tail(count: int, level: float, points: int) -> float:
    """The greatest tail of pointwise intervals that all hold together with the probability asked for."""
    at = np.arange(1, points + 1) / points

    def short(log_tail: float) -> float:
        return _inside(count, at, *_counts(count, at, float(np.exp(log_tail)))) - level

    # a single point gives the greatest tail, all of them apart the smallest
    high = float(np.log(0.5 * (1.0 - level)))
    low = high - float(np.log(points)) - 1.0
    root = float(brentq(short, low, high, xtol=1e-3)) if short(high) < 0.0 else high
    # counts are whole numbers, so coverage goes in steps: the side that holds enough
    return float(np.exp(root if short(root) >= 0.0 else root - 2e-3))


def _inside(count: int, at: Array, lower: Array, upper: Array) -> float:
    """Probability that the counts of uniform values stay within bounds at every place."""
    before, chance, place = np.zeros(1), np.ones(1), 0.0
    for to, low, high in zip(at, lower, upper, strict=True):
        now = np.arange(low, high + 1.0)
        share = min(1.0, (to - place) / (1.0 - place)) if place < 1.0 else 0.0
        step = binom.pmf(now[:, None] - before[None, :], count - before[None, :], share)
        before, chance, place = now, step @ chance, to
    return float(chance.sum())
