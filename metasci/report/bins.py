"""Bins along an axis, percentiles in them, and the prediction correction of what lies in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metasci.errors import InputError

__all__ = ["Correction", "edges_of", "order_statistics", "percentiles_in"]

# measurements that give a bin's percentiles some meaning; bins that show a course, and that can be told apart
_IN_A_BIN, _FEWEST, _MOST = 12, 3, 12


def edges_of(at: NDArray[np.float64], bins: int | Sequence[float] | None = None) -> NDArray[np.float64]:
    """Edges of bins, the last one a hair above its value, so that a bin holds what is not below its lower edge only.

    Parameters
    ----------
    at : array, (measurement,)
    bins : int or sequence of float, optional
        How many, of like numbers of measurements, cut between distinct values; or the edges themselves.

    Examples
    --------
    >>> edges_of(np.array([0, 0, 0, 1, 1, 4, 4, 5.0]), 2).round(3).tolist()
    [0.0, 0.5, 5.0]
    """
    if bins is not None and not isinstance(bins, int | np.integer):
        edges = np.asarray(bins, dtype=float)
        if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
            raise InputError("bins: give a number, or two or more edges that increase.")
        return np.append(edges[:-1], np.nextafter(edges[-1], np.inf))
    count = int(np.clip(len(at) // _IN_A_BIN, _FEWEST, _MOST)) if bins is None else int(bins)
    if count < 1:
        raise InputError(f"bins: there must be at least one, not {count}.")
    distinct, counts = np.unique(at, return_counts=True)
    reached = np.cumsum(counts)[:-1]
    wanted = len(at) * np.arange(1, count) / count
    cuts = sorted({int(np.abs(reached - want).argmin()) for want in wanted}) if len(reached) else []
    middles = [0.5 * (distinct[cut] + distinct[cut + 1]) for cut in cuts]
    return np.array([distinct[0], *middles, np.nextafter(distinct[-1], np.inf)])


@dataclass(frozen=True)
class Correction:
    """Moves measurements to the typical condition of their bin.

    Attributes
    ----------
    factor, shift : array, (measurement,)
    base : float
        The output's lower limit, from which the factor counts.
    impossible : int
        Measurements left as they are, as nothing is predicted there or in the middle of their bin.

    Examples
    --------
    >>> made = Correction.of(np.array([10.0, 20.0, 30.0]), np.array([0, 0, 0]), lowest=0.0)
    >>> made(np.array([9.0, 21.0, 33.0])).tolist()
    [18.0, 21.0, 22.0]
    """

    factor: NDArray[np.float64]
    shift: NDArray[np.float64]
    base: float = 0.0
    impossible: int = 0

    @classmethod
    def none(cls, size: int) -> Correction:
        """Leaves everything as it is."""
        return cls(np.ones(size), np.zeros(size))

    @classmethod
    def of(cls, predicted: NDArray[np.float64], place: NDArray[np.int64], lowest: float) -> Correction:
        """To the median prediction of each bin; `place` is every measurement's bin."""
        typical = np.empty_like(predicted)
        for at_bin in np.unique(place):
            typical[place == at_bin] = np.median(predicted[place == at_bin])
        if not np.isfinite(lowest):
            return cls(np.ones_like(predicted), typical - predicted)
        above, middle = predicted - lowest, typical - lowest
        least = 1e-9 * float(np.abs(above).max(initial=0.0))
        sound = (above > least) & (middle > least)
        factor = np.divide(middle, above, out=np.ones_like(above), where=sound)
        return cls(factor, np.zeros_like(factor), lowest, int((~sound).sum()))

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values (..., measurement) at the typical condition."""
        moved: NDArray[np.float64] = self.base + (values - self.base) * self.factor + self.shift
        return moved


def percentiles_in(
    values: NDArray[np.float64], place: NDArray[np.int64], count: int, percents: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Percentiles (simulation, percentile, bin) of values (simulation, measurement), and the share that is −∞.

    A bin with nothing in it has NaN.
    """
    percentiles = np.full((len(values), len(percents), count), np.nan)
    below = np.full((len(values), count), np.nan)
    for at_bin in range(count):
        here = values[:, place == at_bin]
        if here.shape[1]:
            percentiles[:, :, at_bin] = order_statistics(here.T, percents).T
            below[:, at_bin] = np.isneginf(here).mean(1)
    return percentiles, below


def order_statistics(values: NDArray[np.float64], percents: Sequence[float]) -> NDArray[np.float64]:
    """The least values that at least so many per cent do not exceed, along the first dimension, (percent, ...).

    Examples
    --------
    >>> order_statistics(np.array([3.0, -np.inf, 1.0, 2.0]), (25, 50, 95)).tolist()
    [-inf, 1.0, 3.0]
    """
    ordered = np.sort(values, axis=0)
    ranks = [max(int(np.ceil(len(ordered) * percent / 100.0 - 1e-9)) - 1, 0) for percent in percents]
    chosen: NDArray[np.float64] = ordered[ranks]
    return chosen
