"""Concentrations after any doses, by adding up what each dose contributes, in closed form.

Every function broadcasts over measurements × doses. An exponential e^(−λt) answers a bolus, an infusion over T, or an
amount absorbed at a rate kₐ; a dose repeated every τ since forever adds the geometric series of its forerunners. Each
form stays exact where rates meet (kₐ = λ), where λT vanishes, and where infusions have no duration.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from metasci.math import absolute, exp, expm1, floor, maximum, minimum, sum, where
from metasci.patients.disposition import Modes
from metasci.patients.moments import noted
from metasci.patients.regimen import DoseArrays

__all__ = ["absorbed", "any_of", "exponential_difference", "given", "mean_survival"]

# of the rates' difference times time: below it five terms of the series are exact to rounding, the quotient is not
_COINCIDENT = 1e-3
_STILL = 1e-30  # a rate that vanishes: what came in is all there
_SMALL = 1e-5  # below it the series is exact to rounding, and nothing is divided by zero


def exponential_difference(slow: Any, fast: Any, time: Any) -> Any:
    """(e^(−slow·t) − e^(−fast·t)) / (fast − slow), smooth where the two rates coincide.

    Examples
    --------
    >>> import numpy as np
    >>> round(float(exponential_difference(np.array(1.0), np.array(1.0), np.array(1.0))), 12)
    0.367879441171
    """
    gap = (fast - slow) * time
    near = absolute(gap) < _COINCIDENT
    slowly, quickly = exp(-slow * time), exp(-fast * time)
    series = slowly * (1.0 - gap * (0.5 - gap * (1.0 / 6.0 - gap * (1.0 / 24.0 - gap / 120.0))))
    direct = (slowly - quickly) / where(near, 1.0 + 0.0 * gap, gap)
    return time * where(near, series, direct)


def mean_survival(x: Any) -> Any:
    """(1 − e⁻ˣ)/x, one at zero: what is left on average of an amount that came in evenly."""
    near = x < _SMALL
    return where(
        near, 1.0 - x * (0.5 - x * (1.0 / 6.0 - x / 24.0)), -expm1(-x) / where(near, 1.0 + 0.0 * x, x)
    )


def given(time: Any, doses: DoseArrays, responses: Modes, lag: Any = 0.0) -> Any:
    """What is left at each time of all amounts given by bolus or infusion.

    Parameters
    ----------
    time : array, (..., measurement)
    doses : DoseArrays
        Arrays (..., 1, dose).
    responses : Modes
        Exponentials of a unit amount; rates and shares (..., measurement, mode).
    lag : array or float
        Delay of every dose.

    Examples
    --------
    >>> import numpy as np
    >>> zero, never = np.zeros((1, 1)), np.full((1, 1), np.inf)
    >>> infusion = DoseArrays(zero + 10.0, zero, zero + 2.0, zero, never)
    >>> given(np.array([2.0]), infusion, Modes(np.array([[0.5]]), 1.0)).round(6).tolist()
    [6.321206]
    """
    elapsed, counts, steady = _elapsed(time, doses, lag)
    noted(doses.time + (lag + 0.0 * time)[..., None], doses.duration)
    amount = where(counts, doses.amount + 0.0 * elapsed, 0.0 * elapsed)
    rate = maximum(_spread(responses.rate, time), _STILL)
    # what does not depend on the rates comes first: it is the same for every exponential
    if any_of(doses.duration > 0.0):
        is_bolus = doses.duration <= 0.0
        lasting = where(is_bolus, 1.0 + 0.0 * elapsed, doses.duration + 0.0 * elapsed)
        flow = where(is_bolus, 0.0 * elapsed, amount / lasting)[..., None]
        during = minimum(elapsed, doses.duration)[..., None]
        # what came in evenly, and what came at once
        left = flow * (-expm1(-rate * during) / rate) + where(is_bolus, amount, 0.0 * amount)[..., None]
        left = left * exp(-rate * (elapsed[..., None] - during))
    else:
        left = amount[..., None] * exp(-rate * elapsed[..., None])
    if steady is not None:
        overlap = steady & (doses.duration > doses.interval)
        apart = steady & (doses.duration <= doses.interval)
        since = where(apart, elapsed + doses.interval - doses.duration, 0.0 * elapsed)
        before = mean_survival(rate * doses.duration[..., None]) * exp(-rate * since[..., None])
        before = amount[..., None] * before * _repeated(rate, doses.interval[..., None], steady[..., None])
        left = left + where(steady[..., None], before, 0.0 * before)
        if any_of(overlap):
            overlap = overlap[..., None]
            lasting = where(overlap, doses.duration[..., None], 2.0 + 0.0 * rate)
            interval = where(overlap, doses.interval[..., None], 1.0 + 0.0 * rate)
            left = where(
                overlap, amount[..., None] * _overlapping(rate, elapsed[..., None], lasting, interval), left
            )
    return sum(responses.share * sum(left, -2))


def absorbed(time: Any, doses: DoseArrays, responses: Modes, absorption_rate: Any, lag: Any = 0.0) -> Any:
    """What is left at each time of all amounts absorbed at a first-order rate.

    Parameters
    ----------
    time, doses, responses, lag
        As in `given`; durations are not used.
    absorption_rate : array, (..., measurement)

    Notes
    -----
    A dose repeated every τ: with w(x) = 1/(1 − e^(−xτ)) and D the `exponential_difference`,
    Σₙ D(λ, kₐ, t + nτ) = w(λ) D(λ, kₐ, t) + w(λ) w(kₐ) e^(−kₐt) D(λ, kₐ, τ).
    """
    elapsed, counts, steady = _elapsed(time, doses, lag)
    noted(doses.time + (lag + 0.0 * time)[..., None])
    amount = where(counts, doses.amount + 0.0 * elapsed, 0.0 * elapsed)[..., None]
    elapsed = elapsed[..., None]
    speed = (absorption_rate + 0.0 * time)[..., None, None]
    rate = _spread(responses.rate, time)
    left = exponential_difference(rate, speed, elapsed)
    if steady is not None:
        steady = steady[..., None]
        interval = where(steady, doses.interval[..., None], 1.0 + 0.0 * doses.interval[..., None])
        own, gut = _repeated(rate, interval, steady), _repeated(speed, interval, steady)
        repeated = own * (left + gut * exp(-speed * elapsed) * exponential_difference(rate, speed, interval))
        left = where(steady, repeated, left)
    return absorption_rate * sum(responses.share * sum(amount * left, -2))


def _overlapping(rate: Any, elapsed: Any, lasting: Any, interval: Any) -> Any:
    """What is left of infusions of a unit amount that last longer than the interval at which they begin.

    Of those begun e, e + τ, e + 2τ, … ago the first N = ⌈(T − e)/τ⌉ still run, and each has brought
    (1 − e^(−λ(e + nτ)))/(λT); the others have ended. Both are geometric series.
    """
    running = maximum(-floor(-(lasting - elapsed) / interval), 0.0 * elapsed)
    ratio = mean_survival(rate * interval * running) / mean_survival(rate * interval)
    brought = running * (1.0 - exp(-rate * elapsed) * ratio) / (rate * lasting)
    gone = elapsed + running * interval - lasting  # since the last of the others ended
    ended = mean_survival(rate * lasting) * exp(-rate * maximum(gone, 0.0 * gone))
    return brought - ended / expm1(-rate * interval)


def _elapsed(time: Any, doses: DoseArrays, lag: Any) -> tuple[Any, Any, Any]:
    """Time since each dose took effect, never below zero; whether it counts; which doses are at steady state."""
    since = time[..., None] - doses.time
    counts = (since >= 0.0) & (time[..., None] < doses.until)
    elapsed = since - (lag + 0.0 * time)[..., None]
    steady = doses.interval > 0.0 if any_of(doses.interval > 0.0) else None
    if steady is not None:  # within the lag the dose before is still the last to have taken effect
        interval = where(steady, doses.interval, 1.0 + 0.0 * doses.interval)
        late = steady & (elapsed < 0.0)
        elapsed = where(late, elapsed - interval * floor(elapsed / interval), elapsed)
    return maximum(elapsed, 0.0 * elapsed), counts & (elapsed >= 0.0), steady


def _repeated(rate: Any, interval: Any, steady: Any) -> Any:
    """1/(1 − e^(−rate·interval)), the sum of what doses before leave of each other."""
    return -1.0 / expm1(-rate * where(steady, interval, 1.0 + 0.0 * interval))


def _spread(value: Any, time: Any) -> Any:
    """A quantity of each measurement and mode with an axis for doses between."""
    return (value + 0.0 * time[..., None])[..., None, :]


def any_of(mask: Any) -> bool:
    """Whether anything is true; yes, where that is not known before the numbers are."""
    return bool(mask.any()) if isinstance(mask, np.ndarray) or hasattr(mask, "numpy") else True
