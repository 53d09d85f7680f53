"""How much a price moves from one day to the next, from how much it has moved before.

The variance of a day is a floor and a weighted sum of exponentially weighted means of squared past returns: GARCH(1,1)
is one such mean, whose decay is fitted; here the decays are given, three of them, and their weights are fitted, so that
a task is calibrated by a handful of positive numbers. What a row is told of the past is computed beforehand.

Sources: Bollerslev, J Econometrics 31 (1986) 307; Corsi, J Financial Econometrics 7 (2009) 174, for volatility over
several horizons; Bollerslev, Hood, Huss and Pedersen, Rev Financial Studies 31 (2018) 2729, for exponential ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metasci.errors import InputError
from metasci.model import Input, Output, equation
from metasci.outcomes import StudentDeviation
from metasci.parameters import Parameter

__all__ = ["SPANS", "past_volatility", "volatility"]

SPANS = {"week": 5.0, "month": 25.0, "half_year": 125.0}
"""Mean age, in trading days, of the squared returns behind each input."""


@equation(
    inputs={span: Input("percent", lower=0.0) for span in SPANS},
    output=Output("daily_return", "percent", "return of a day"),
    parameters=(
        Parameter(
            "floor", "percent", 0.6, positive=True, spread=0.5, description="volatility without a past"
        ),
        Parameter(
            "of_week", "1", 0.15, positive=True, spread=0.5, description="weight of last week's variance"
        ),
        Parameter("of_month", "1", 0.3, positive=True, spread=0.5, description="of last month's"),
        Parameter("of_half_year", "1", 0.4, positive=True, spread=0.5, description="of the last half year's"),
    ),
    noise=StudentDeviation(),
)
def volatility(
    week: Any, month: Any, half_year: Any, *, floor: Any, of_week: Any, of_month: Any, of_half_year: Any
) -> Any:
    """Variance of a day's return, in percent squared, from the volatilities of the days before (`past_volatility`).

    Source: Bollerslev, Hood, Huss and Pedersen, Rev Financial Studies 31 (2018) 2729, section 3, for the form.
    """
    return floor**2 + of_week * week**2 + of_month * month**2 + of_half_year * half_year**2


def past_volatility(returns: ArrayLike, start: float, worth: float = 10.0) -> dict[str, NDArray[np.float64]]:
    """Exponentially weighted volatilities of the days before each day: no day is told anything of itself.

    Parameters
    ----------
    returns : array, (..., day)
        In percent; in order of time.
    start : float
        Volatility (percent) before the first day: that of ordinary assets.
    worth : float
        How many days the start counts for; it is forgotten as they are. Squared returns scatter so widely, and assets
        differ so much, that about ten days tell as much of an asset as the others do.

    Returns
    -------
    dict of str to ndarray, (..., day + 1)
        By the model's inputs, in percent; the last is for the day after the last.

    Raises
    ------
    InputError
        If a return is no finite number, or the start or its worth is not above zero.

    Examples
    --------
    >>> past_volatility([1.0, 0.0, 4.0], start=1.0)["week"].round(3).tolist()
    [1.0, 1.0, 0.941, 1.644]
    """
    days = np.asarray(returns, dtype=float)
    if not (np.isfinite(days).all() and 0.0 < start < np.inf and 0.0 < worth < np.inf):
        raise InputError(
            "returns have to be finite numbers, and the volatility before them and its worth finite and above zero."
        )
    return {span: _weighted(days**2, age, start**2, worth) ** 0.5 for span, age in SPANS.items()}


def _weighted(squares: NDArray[np.float64], age: float, start: float, worth: float) -> NDArray[np.float64]:
    keep = age / (1.0 + age)
    means = np.empty((*squares.shape[:-1], squares.shape[-1] + 1))
    means[..., 0] = start
    for day in range(squares.shape[-1]):
        following = keep * worth + 1.0
        means[..., day + 1] = (keep * worth * means[..., day] + squares[..., day]) / following
        worth = following
    return means
