"""Brier's score of survival, over all times: how far probabilities of having no event yet are from what came.

Who is no longer watched counts up to then, and who is still watched counts for those who are not: each by one over the
probability of being watched so long, by Kaplan and Meier's curve of the watching (Graf, Schmoor, Sauerbrei and
Schumacher, Stat Med 18 (1999) 2529).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["integrated_brier", "times_judged"]

Floats = NDArray[np.float64]

_STEPS = 50
_WATCHED = 0.1  # share of all that is still watched at the last time judged: of fewer the weights are wild


def times_judged(time: ArrayLike) -> Floats:
    """Times at which survival is judged, evenly up to where one in ten is still watched.

    Examples
    --------
    >>> times_judged([1.0, 2.0, 3.0, 10.0])[[0, -1]].round(2).tolist()
    [0.16, 7.9]
    """
    last = float(np.quantile(np.asarray(time, float), 1.0 - _WATCHED))
    return last * np.arange(1, _STEPS + 1) / _STEPS


def integrated_brier(time: ArrayLike, event: ArrayLike, times: ArrayLike, survival: ArrayLike) -> float:
    """Mean over times and cases of (S(t) − 1{T > t})², weighed for those who are no longer watched; 0 is perfect.

    A survival of one half for everybody has 0.25.

    Parameters
    ----------
    time : array, (case,)
        Until when each was watched.
    event : array of bool, (case,)
        Whether that was ended by the event.
    times : array, (time,)
        Evenly apart.
    survival : array, (case, time)
        Probability that the event has not come by then.

    Examples
    --------
    >>> integrated_brier([1.0, 3.0], [True, True], [0.5, 1.5, 2.5], [[1.0, 0.0, 0.0], [1.0, 0.5, 0.5]])
    0.08333333333333333
    """
    until, came = np.asarray(time, float), np.asarray(event, bool)
    at, likely = np.asarray(times, float), np.asarray(survival, float)
    end = _watched(until, ~came, until, before=True)
    still = _watched(until, ~came, at, before=False)
    past = came[:, None] & (until[:, None] <= at)
    open_ = until[:, None] > at
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = np.where(past, likely**2 / end[:, None], 0.0) + np.where(
            open_, (1.0 - likely) ** 2 / still, 0.0
        )
    return float(squares.mean())


def _watched(until: Floats, lost: NDArray[np.bool_], at: Floats, before: bool) -> Floats:
    """Kaplan and Meier's probability of being watched up to some times, or just before them."""
    distinct = np.unique(until[lost])
    at_risk = (until[:, None] >= distinct).sum(0)
    gone = (lost[:, None] & (until[:, None] == distinct)).sum(0)
    left = np.concatenate([[1.0], np.cumprod(1.0 - gone / np.maximum(at_risk, 1))])
    return left[np.searchsorted(distinct, at, side="left" if before else "right")]
