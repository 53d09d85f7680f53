"""A dose that is solved for: the size with which the posterior's median is the middle of a target.

For linear kinetics concentrations are a + b·dose for every draw, so that sizes cost next to nothing; the median is
closed in on by bracketing. A loading dose is solved for in the first interval, a maintenance dose after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metasci.dosing.course import Course, curves_by_size, judged_times, next_due
from metasci.dosing.recommendation import (
    NO_DEVICE,
    check_numbers,
    dosed,
    doses_words,
    route_words,
    size_words,
    sizes_given,
)
from metasci.dosing.targets import Target
from metasci.errors import InputError
from metasci.fits.equation import EquationFit
from metasci.fits.posterior import posterior_draws
from metasci.units import magnitude

__all__ = ["SolvedDose", "loading_and_maintenance", "solve_dose"]

# each keeps a tenth of the bracket at most from an end; nine in ten searches need fewer than ten
_NARROWINGS = 40
# the bracket grows by a factor, and not endlessly; it is closed when its ends agree to more digits than are shown
_STEP, _FAR, _CLOSE = 4.0, 1e7, 1e-5


@dataclass(frozen=True)
class SolvedDose:
    """A dose that was solved for, and the nearest real size.

    Attributes
    ----------
    exact, rounded : float
        In the model's unit; the same where no sizes were given, and zero where no dose is needed.
    probability : float
        With which the rounded dose reaches the target.
    median, lower, upper : float
        Of the target's quantity under the rounded dose, with the 90 % interval.
    words : str
    """

    exact: float
    rounded: float
    probability: float
    median: float
    lower: float
    upper: float
    words: str

    def __str__(self) -> str:
        return f"{self.words}\n  warning: {NO_DEVICE}"


def solve_dose(
    calibration: EquationFit,
    target: Target,
    *,
    interval: float | str,
    number: int = 10,
    start: float | str | None = None,
    duration: float | str = 0.0,
    multiple: float | str | None = None,
    sizes: Sequence[float | str] = (),
    first: float | str | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> SolvedDose:
    """Solve for the dose whose median meets the middle of a target; the middle is geometric, as exposures are.

    Parameters
    ----------
    calibration : EquationFit
        Of one patient.
    target : Target
        With both ends; judged in the interval after the last of the doses: `number` 1 is a loading dose, more a
        maintenance dose.
    interval : float or str
    number : int
    start : float or str, optional
        When the first is given; by default when it is due.
    duration : float or str
        Of each infusion.
    multiple : float or str, optional
        Real sizes are multiples of this, such as ``"250 mg"`` or ``"0.5 mg/kg"``.
    sizes : sequence of float or str
        Or the real sizes themselves, of which the nearest is taken.
    first : float or str, optional
        Size of the first of the doses, where that is given already (a loading dose); the others are solved for.
    draws, seed : int

    Examples
    --------
    >>> import metasci as ms
    >>> infant = ms.load("phenobarbital").calibrate(ms.dataset("phenobarbital").select(["1"]))
    >>> goal = Target("trough", low=25.0, high=35.0)
    >>> dose = solve_dose(infant, goal, interval=12.0, multiple=0.5, number=4, draws=100)
    >>> 0.9 < dose.exact / dose.rounded < 1.1, 25.0 < dose.median < 35.0
    (True, True)
    """
    model, history = dosed(calibration)
    unit, time = model.histories[history].unit, model.inputs["time"].unit
    gap = magnitude(interval, time, "interval")
    lasting = magnitude(duration, time, "duration")
    if not (np.isfinite(target.high) and target.low > 0.0):
        raise InputError(
            "a dose is solved for towards the middle of a target: give it a low above zero and a high."
        )
    if multiple is not None and len(sizes):
        raise InputError("real sizes are told by `multiple` or by `sizes`, not by both.")
    begins = next_due(calibration, history, gap) if start is None else magnitude(start, time, "start")
    check_numbers(number, begins, lasting, gap, 0.5, draws)
    (loading,) = (None,) if first is None else sizes_given(calibration, [first], "first")
    if loading is not None and number < 2:
        raise InputError("first: with a first dose that is known, solve for two doses or more.")
    course = Course(begins, gap, int(number), lasting, loading)
    drawn = posterior_draws(calibration, draws=draws, seed=seed).coordinates
    middle = float(np.sqrt(target.low * target.high))

    usual = _usual(calibration, history)
    times = target.places(judged_times(calibration, history, course, [usual], drawn))
    curve = curves_by_size(calibration, history, course, usual, drawn, times)

    def median_at(size: float) -> float:
        return float(np.median(target.of(times, curve(size))))

    needless = number == 1 and median_at(0.0) >= middle
    exact = 0.0 if needless else _where(median_at, middle, usual)
    rounded = 0.0 if needless else _real(calibration, exact, multiple, sizes)
    reached = target.of(times, curve(rounded))
    low, median, high = (float(value) for value in np.quantile(reached, (0.05, 0.5, 0.95)))
    chance = float(target.holds(reached).mean())
    output = model.first_output.unit
    what = "one dose" if number == 1 else f"{int(number)} doses, one every {gap:g} {time}"
    if loading is not None:
        what = f"{loading:g} {unit} first, then {int(number) - 1} doses, one every {gap:g} {time}"
    near = f", rounded to {rounded:g} {unit}" if multiple is not None or len(sizes) else ""
    way = route_words(calibration, course)
    given, until = (
        f"{what}{way}: {size_words(calibration, exact)}{near}",
        f"after {doses_words(course, time)}",
    )
    if needless:
        given = f"no loading dose at {begins:g} {time}: what was given before suffices"
        until = f"until {begins + gap:g} {time}"
    words = (
        f"{given}: {target.words(output, time)} with a probability of "
        f"{100 * chance:.0f} % (median {median:.3g}, 90 % interval {low:.3g} to "
        f"{f'{high:.3g} {target.measure(output, time)}'.strip()}; {until})"
    )
    return SolvedDose(exact, rounded, chance, median, low, high, words)


def loading_and_maintenance(
    calibration: EquationFit,
    target: Target,
    *,
    interval: float | str,
    number: int = 10,
    start: float | str | None = None,
    duration: float | str = 0.0,
    multiple: float | str | None = None,
    sizes: Sequence[float | str] = (),
    draws: int = 2000,
    seed: int = 0,
) -> tuple[SolvedDose, SolvedDose]:
    """Solve for a loading dose, which meets the target in its own interval, and for the doses that then keep it there.

    Parameters are those of `solve_dose`; `number` counts the loading dose. Where what was given before suffices in
    that interval, the loading dose is zero, and the others are all of one size.

    Examples
    --------
    >>> import metasci as ms
    >>> infant = ms.load("phenobarbital").typical(weight="1.5 kg", apgar=7)
    >>> goal = Target("trough", low=15.0, high=25.0)
    >>> loading, keeping = loading_and_maintenance(infant, goal, interval=24.0, number=4, draws=100)
    >>> loading.exact > 3.0 * keeping.exact, 15.0 < keeping.median < 25.0
    (True, True)
    """
    shared: dict[str, Any] = {
        "interval": interval,
        "start": start,
        "duration": duration,
        "multiple": multiple,
        "sizes": sizes,
        "draws": draws,
        "seed": seed,
    }
    loading = solve_dose(calibration, target, number=1, **shared)
    return loading, solve_dose(calibration, target, number=number, first=loading.rounded or None, **shared)


def _real(
    calibration: EquationFit, exact: float, multiple: float | str | None, sizes: Sequence[float | str]
) -> float:
    """The real size nearest to the one that was solved for, which is itself where none are given."""
    if multiple is not None:
        (step,) = sizes_given(calibration, [multiple], "multiple")
        return max(step, step * round(exact / step))
    return min(sizes_given(calibration, sizes), key=lambda size: abs(size - exact)) if len(sizes) else exact


def _usual(calibration: EquationFit, history: str) -> float:
    """The greatest dose that the patient was given so far, one unit if there was none: where to begin to search."""
    amount = (
        float(calibration.batch.inputs[history].max()) if calibration.batch.inputs[history].numel() else 0.0
    )
    return amount or 1.0


def _where(median: Callable[[float], float], middle: float, begin: float) -> float:
    """The size whose median is the middle of the target: bracketed, then closed in on by chords of logarithms."""
    low = high = begin
    while median(high) < middle:
        low, high = high, high * _STEP
        if high > begin * _FAR:
            raise InputError("no dose reaches the target: it lies out of reach.")
    while (below := median(low)) > middle:
        low, high = low / _STEP, low
        if low < begin / _FAR:
            raise InputError("no dose reaches the target: what was given before is too much for it.")
    above = median(high)
    for _ in range(_NARROWINGS):
        if above - below <= 1e-9 * middle or high / low - 1.0 < _CLOSE:
            break
        share = (middle - below) / (above - below)
        # a chord, kept off the ends so that both of them move
        size = float(np.exp(np.log(low) + np.clip(share, 0.1, 0.9) * np.log(high / low)))
        reached = median(size)
        if reached < middle:
            low, below = size, reached
        else:
            high, above = size, reached
    return low if above <= below else float(low + (high - low) * (middle - below) / (above - below))
