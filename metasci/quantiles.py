"""Quantiles of many distributions at once, of which only the distribution function is known.

Chandrupatla's way (Advances in Engineering Software 28 (1997) 145), of quadratics through three points where these are
sound and of halves elsewhere, on normal scores, where a distribution function is nearly a line. What has arrived is not
looked at again.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy
from numpy.typing import NDArray

__all__ = ["quantiles"]

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

_MOST = 200  # steps: each halves what is left at worst, and sixty of that would do
_CLOSE = 1e-10  # of the value, and of the probability
_SURE = 1e-14  # of a probability, beyond which its normal score is not looked at
_INSIDE = 0.01  # of a step's length: no nearer to either end


def quantiles(
    reached: Callable[[Floats, Places], Floats],
    probability: float,
    low: Floats,
    high: Floats,
    whole: bool = False,
    logarithmic: float | None = None,
) -> Floats:
    """The smallest values that are not exceeded with a probability.

    Parameters
    ----------
    reached : callable
        ``reached(values, places)``: the probability of a value or less, at some of the places.
    probability : float
    low, high : array, (place,)
        Below and at or above the quantile: reached with less than the probability, and with no less of it.
    whole : bool
        Whether values are whole numbers, as `low` and `high` then are.
    logarithmic : float, optional
        Steps are taken on the logarithm of a value and this number, above zero together: of times zero.

    Examples
    --------
    >>> rates = np.array([1.0, 4.0])
    >>> found = quantiles(lambda y, at: -np.expm1(-rates[at] * y), 0.5, np.zeros(2), np.full(2, 50.0))
    >>> (found * rates).round(6).tolist()
    [0.693147, 0.693147]
    """
    aim = scipy.special.ndtri(probability)
    every = np.arange(len(high))
    # the newest end, the one across from it, and the one before; of each the value, its coordinate is `scaled`
    new, across = low.astype(float), high.astype(float)
    off_new, off_across = (_off(reached(ends, every), aim) for ends in (new, across))
    old, off_old, share = across.copy(), off_across.copy(), np.full(len(every), 0.5)
    places = every

    def scaled(value: Floats) -> Floats:
        return value if logarithmic is None else np.log(value + logarithmic)

    for _ in range(_MOST):
        gap = np.abs(new[places] - across[places])
        size = np.maximum(np.abs(new[places]), np.abs(across[places]))
        there = np.abs(off_new[places]) < _CLOSE
        places = places[gap > 1.0] if whole else places[(gap > _CLOSE * size) & ~there]
        if not len(places):
            break
        begin, end = scaled(new[places]), scaled(across[places])
        at = begin + share[places] * (end - begin)
        if logarithmic is not None:
            at = np.exp(at) - logarithmic
        if whole:
            low, high = np.minimum(new[places], across[places]), np.maximum(new[places], across[places])
            at = np.clip(np.round(at), low + 1.0, high - 1.0)
        probable = reached(at, places)
        off = _off(probable, aim)
        if whole:  # what is reached exactly is reached
            off = np.where(probable >= probability, np.maximum(off, 0.0), np.minimum(off, -_SURE))
        same = (off >= 0.0) == (off_new[places] >= 0.0)
        old[places] = np.where(same, new[places], across[places])
        off_old[places] = np.where(same, off_new[places], off_across[places])
        across[places] = np.where(same, across[places], new[places])
        off_across[places] = np.where(same, off_across[places], off_new[places])
        new[places], off_new[places] = at, off
        begin, end, before = (scaled(value[places]) for value in (new, across, old))
        share[places] = _next(begin, end, before, off, off_across[places], off_old[places])
    found = np.where(np.abs(off_new) <= np.abs(off_across), new, across)
    return np.maximum(new, across) if whole else found


def _next(new: Floats, across: Floats, old: Floats, f_new: Floats, f_across: Floats, f_old: Floats) -> Floats:
    """How far the next step goes from the newest end to the one across: along a quadratic where sound, or half."""
    with np.errstate(all="ignore"):
        along, up = (new - across) / (old - across), (f_new - f_across) / (f_old - f_across)
        sound = (up**2 < along) & ((1.0 - up) ** 2 < 1.0 - along)
        share = f_new / (f_across - f_new) * f_old / (f_across - f_old)
        share += (old - new) / (across - new) * f_new / (f_old - f_new) * f_across / (f_old - f_across)
    return np.where(sound & np.isfinite(share), np.clip(share, _INSIDE, 1.0 - _INSIDE), 0.5)


def _off(probability: Floats, aim: float) -> Floats:
    """How far the normal score of a probability lies above the one aimed at."""
    return np.asarray(scipy.special.ndtri(np.clip(probability, _SURE, 1.0 - _SURE)) - aim)
