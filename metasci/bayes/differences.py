"""Whether two methods' figures differ: standard errors clustered by task and over chains, and a test of equivalence.

Measurements of one task stand or fall together, so tasks are what there is many of. The sampler's own noise comes on
top; chains are independent runs of it, and tell how great it is.

Sources: Efron and Stein, Ann Stat 9 (1981) 586, for the jackknife; Cameron and Miller, J Hum Resour 50 (2015) 317, for
leaving out whole clusters; Welch, Biometrika 34 (1947) 28, for degrees of freedom; Schuirmann, J Pharmacokinet Biopharm
15 (1987) 657, for two one-sided tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["ALPHA", "Difference", "difference", "jackknife", "log_rmse"]

Array = NDArray[np.float64]
ALPHA = 0.05
"""Level of each one-sided test; the interval that goes with two of them holds 90 %."""


@dataclass(frozen=True)
class Difference:
    """A figure of one method less that of another, on the same measurements; less is better.

    Attributes
    ----------
    estimate : float
    between_tasks, between_runs : float
        Standard errors from which tasks were there to judge by, and from the sampler; zero where there is one run only.
    freedom : float
        Degrees of freedom of both together.
    tasks : int
    margin : float
        A difference within plus and minus this does not matter.

    Examples
    --------
    >>> same = Difference(0.001, 0.004, 0.0, 30.0, 31, margin=0.02)
    >>> same.equivalent, same.judgement
    (True, 'alike')
    >>> Difference(0.001, 0.04, 0.0, 11.0, 12, margin=0.02).judgement
    'cannot tell'
    >>> Difference(0.3, 0.04, 0.0, 11.0, 12, margin=0.02).judgement
    'worse'
    """

    estimate: float
    between_tasks: float
    between_runs: float
    freedom: float
    tasks: int
    margin: float

    @property
    def standard_error(self) -> float:
        """Of both kinds together."""
        return math.hypot(self.between_tasks, self.between_runs)

    @property
    def interval(self) -> tuple[float, float]:
        """The 90 % interval, by Student's t; unbounded where one task alone tells nothing of the scatter."""
        from scipy.special import stdtrit

        if not self.freedom > 0.0 or not math.isfinite(self.standard_error):
            return -math.inf, math.inf
        reach = float(stdtrit(self.freedom, 1.0 - ALPHA)) * self.standard_error
        return self.estimate - reach, self.estimate + reach

    @property
    def p_equivalent(self) -> float:
        """P of the two one-sided tests (TOST): small where the difference lies within the margins for certain."""
        return max(self.p_not_worse, self._below(self.estimate + self.margin))

    @property
    def p_not_worse(self) -> float:
        """P of the one of them that counts for use in the other's place: that it is worse by the margin or more."""
        return self._below(self.margin - self.estimate)

    def _below(self, away: float) -> float:
        """Probability, by Student's t, of more than a distance from a margin."""
        from scipy.special import stdtr

        if not self.freedom > 0.0 or not math.isfinite(self.standard_error):
            return 1.0
        if self.standard_error == 0.0:
            return float(away <= 0.0)
        return float(stdtr(self.freedom, -away / self.standard_error))

    @property
    def equivalent(self) -> bool:
        """Whether the two one-sided tests say so, at 5 % each."""
        return self.p_equivalent < ALPHA

    @property
    def judgement(self) -> str:
        """``"alike"``, ``"better"``, ``"worse"``, or ``"cannot tell"``."""
        if self.equivalent:
            return "alike"
        low, high = self.interval
        if low > 0.0:
            return "worse"
        return "better" if high < 0.0 else "cannot tell"


def jackknife(statistic: Callable[[NDArray[np.bool_]], float], labels: ArrayLike) -> float:
    """Standard error of a figure of many measurements, by leaving out one task after the other.

    Parameters
    ----------
    statistic : callable
        Of which measurements count, (measurement,) of bool, to the figure.
    labels : array, (measurement,)
        The task of each.

    Returns
    -------
    float
        NaN with fewer than two tasks. Of a mean over tasks with equally many measurements it is the standard deviation
        of the tasks' means over the root of their number.

    Examples
    --------
    >>> values, tasks = np.array([1.0, 3.0, 5.0, 7.0]), ["a", "a", "b", "b"]
    >>> jackknife(lambda kept: float(values[kept].mean()), tasks)  # √8/√2 of the means 2 and 6
    2.0
    """
    label = np.asarray(labels)
    names = np.unique(label)
    if len(names) < 2:
        return math.nan
    left = np.array([statistic(label != name) for name in names])
    return math.sqrt((len(names) - 1) / len(names) * float(((left - left.mean()) ** 2).sum()))


def difference(
    statistic: Callable[[NDArray[np.bool_]], float],
    labels: ArrayLike,
    margin: float,
    runs: Sequence[float] = (),
) -> Difference:
    """A difference with its standard errors.

    Parameters
    ----------
    statistic : callable
        As for `jackknife`.
    labels : array, (measurement,)
        The task of each measurement.
    margin : float
    runs : sequence of float
        The same difference by each chain of the sampler alone.
    """
    label = np.asarray(labels)
    count = len(np.unique(label))
    between_tasks = jackknife(statistic, label)
    between_runs = float(np.std(runs, ddof=1) / math.sqrt(len(runs))) if len(runs) > 1 else 0.0
    freedom = float(count - 1)
    if between_runs > 0.0 and count > 1:
        # Welch and Satterthwaite: two chains tell little of their own scatter
        total = (between_tasks**2 + between_runs**2) ** 2
        freedom = total / (between_tasks**4 / (count - 1) + between_runs**4 / (len(runs) - 1))
    every = np.ones(len(label), bool)
    return Difference(statistic(every), between_tasks, between_runs, freedom, count, margin)


def log_rmse(off: Array, labels: ArrayLike, aggregate: str) -> float:
    """Logarithm of the root mean square of errors (measurement,), averaged over tasks as a protocol says.

    Examples
    --------
    >>> off, tasks = np.array([3.0, 4.0, 1.0]), ["a", "a", "b"]
    >>> [round(float(np.exp(log_rmse(off, tasks, how))), 3) for how in ("mean", "root_mean_square", "pooled")]
    [2.268, 2.598, 2.944]
    """
    squared = np.asarray(off, float) ** 2
    if aggregate == "pooled":
        return 0.5 * math.log(float(squared.mean()))
    _, task = np.unique(np.asarray(labels), return_inverse=True)
    each = np.bincount(task, squared) / np.bincount(task)
    if aggregate == "mean":
        return math.log(float(np.sqrt(each).mean()))
    return 0.5 * math.log(float(each.mean()))
