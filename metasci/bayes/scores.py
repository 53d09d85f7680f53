"""How good a forecast of held-out measurements is: error, log density, CRPS, coverage, and where they fall in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metasci.evaluation.scores import holds, off_by

__all__ = ["LEVELS", "HeldOut", "ensemble_crps"]

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Probabilities of the intervals whose coverage is counted."""

Array = NDArray[np.float64]


def ensemble_crps(draws: ArrayLike, measured: ArrayLike) -> Array:
    """Continuous ranked probability score of forecasts given as draws, fair to their number; less is better.

    Parameters
    ----------
    draws : array, (draw, measurement)
    measured : array, (measurement,)

    Notes
    -----
    E|X − y| − ½ E|X − X′| with the second mean over pairs of different draws (Ferro, QJR Meteorol Soc 140 (2014) 1917).

    Examples
    --------
    >>> draws = np.random.default_rng(0).standard_normal((20_000, 1))
    >>> round(float(ensemble_crps(draws, [0.0])[0]), 2)  # of N(0, 1) at its centre: √(2/π) − 1/√π
    0.23
    """
    sample = np.sort(np.asarray(draws, float), axis=0)
    count = len(sample)
    away = np.abs(sample - np.asarray(measured, float)).mean(0)
    rank = 2.0 * np.arange(1, count + 1) - count - 1.0
    return np.asarray(away - (rank[:, None] * sample).sum(0) / (count * (count - 1.0)))


@dataclass
class HeldOut:
    """Forecasts of held-out measurements by one method, gathered task by task.

    Attributes
    ----------
    columns : dict of str to list of array
        ``median``, ``error``, ``lower``, ``upper`` (of 90 %), ``log_density``, ``crps``, ``pit``, ``covered``, for
        each task.
    seconds : list of float
    """

    columns: dict[str, list[Array]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def add(
        self,
        measured: Array,
        median: Array,
        interval: Callable[[float], tuple[Array, Array]],
        draws: Array,
        log_density: Array,
        pit: Array,
        censored: NDArray[np.bool_] | None = None,
        up_to: Array | None = None,
    ) -> None:
        """Record one task's forecasts, (measurement,) each.

        `interval` gives the bounds of a central interval. Of a measurement below a limit, above one or between two
        numbers (`up_to` is the upper, NaN of a number) a forecast there is no error, and an interval that reaches
        there covers.
        """
        lower, upper = interval(0.9)
        covered = [holds(measured, *interval(level), censored, up_to) for level in LEVELS]
        row = {
            "median": median,
            "error": off_by(measured, median, censored, up_to),
            "lower": lower,
            "upper": upper,
            "log_density": log_density,
            "crps": ensemble_crps(-off_by(measured, draws, censored, up_to), 0.0),
            "pit": pit,
            "covered": np.stack(covered, -1).astype(float),
        }
        self._keep(row)

    def add_classes(self, measured: Array, probabilities: Array, log_density: Array) -> None:
        """Record one task's forecasts of classes, (measurement,) and (measurement, class).

        The error is how far probabilities lie from certainty of the class that came, and its square, half of Brier's
        score, is what the CRPS is for a yes or no. There is no interval: what is counted as covered is a class in the
        smallest set of likeliest classes that has the probability.

        Examples
        --------
        >>> held_out = HeldOut()
        >>> held_out.add_classes(np.array([1.0]), np.array([[0.2, 0.8]]), np.log([0.8]))
        >>> held_out.stacked()["error"].round(6).tolist(), held_out.stacked()["covered"].tolist()
        ([0.2], [[1.0, 1.0, 1.0, 1.0]])
        """
        seen = measured.astype(int)[:, None]
        came = np.take_along_axis(probabilities, seen, 1)
        likelier = np.where(probabilities > came, probabilities, 0.0).sum(1)
        below = np.where(np.arange(probabilities.shape[1]) < seen, probabilities, 0.0).sum(1)
        brier = 0.5 * (probabilities - (np.arange(probabilities.shape[1]) == seen)) ** 2
        nothing = np.full(len(measured), np.nan)
        self._keep(
            {
                "median": probabilities.argmax(1),
                "error": np.sqrt(brier.sum(1)),
                "lower": nothing,
                "upper": nothing,
                "log_density": log_density,
                "crps": brier.sum(1),
                "pit": below + 0.5 * came[:, 0],
                "covered": (likelier[:, None] < np.array(LEVELS)).astype(float),
            }
        )

    def _keep(self, row: dict[str, Array]) -> None:
        for name, values in row.items():
            self.columns.setdefault(name, []).append(np.asarray(values, float))

    def stacked(self) -> dict[str, Array]:
        """Every column over all measurements, (measurement,); ``covered`` (measurement, level)."""
        return {name: np.concatenate(parts) for name, parts in self.columns.items()}
