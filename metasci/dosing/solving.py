"""A dose that is solved for: the size with which the posterior's median is the middle of a target.

For linear kinetics concentrations are a + b·dose for every draw, so that sizes cost next to nothing and the median is
closed in on by bracketing. A loading dose is solved for in the first interval, a maintenance dose after it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metasci.dosing.course import Course, concentrations, next_due
from metasci.dosing.recommendation import NO_DEVICE, _dosed
from metasci.dosing.targets import Target
from metasci.errors import InputError
from metasci.fits.equation import EquationFit
from metasci.fits.posterior import posterior_draws
from metasci.units import magnitude

__all__ = ["SolvedDose", "solve_dose"]

# each to an eighth of the bracket; the line between its ends then errs by far less than a dose is rounded
_NARROWINGS = 4


@dataclass(frozen=True)
class SolvedDose:
    """A dose that was solved for, and the nearest real size.

    Attributes
    ----------
    exact, rounded : float
        In the model's unit; the same where no sizes were given.
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
    draws: int = 1000,
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
        Real sizes are multiples of this, such as ``"250 mg"``.
    draws, seed : int

    Examples
    --------
    >>> import metasci as ms
    >>> infant = ms.load("phenobarbital").calibrate(ms.dataset("phenobarbital").select(["1"]))
    >>> goal = Target("trough", low=25.0, high=35.0)
    >>> dose = solve_dose(infant, goal, interval=12.0, multiple=0.5, number=4, draws=100)
    >>> round(dose.exact / dose.rounded, 1), 25.0 < dose.median < 35.0
    (1.0, True)
    """
    model, history = _dosed(calibration)
    unit, time = model.histories[history].unit, model.inputs["time"].unit
    gap = magnitude(interval, time, "interval")
    lasting = magnitude(duration, time, "duration")
    if not (np.isfinite(target.high) and target.low > 0.0):
        raise InputError(
            "a dose is solved for towards the middle of a target: give it a low above zero and a high."
        )
    begins = next_due(calibration, history, gap) if start is None else magnitude(start, time, "start")
    course = Course(begins, gap, int(number), lasting)
    drawn = posterior_draws(calibration, draws=draws, seed=seed).coordinates
    middle = float(np.sqrt(target.low * target.high))

    def medians(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
        curves = concentrations(calibration, history, course, sizes.tolist(), drawn)
        return np.array([float(np.median(target.of(course.judged, curve))) for curve in curves])

    exact = _where(medians, middle)
    step = 0.0 if multiple is None else magnitude(multiple, unit, "multiple")
    rounded = exact if not step else max(step, step * round(exact / step))
    reached = target.of(course.judged, concentrations(calibration, history, course, [rounded], drawn)[0])
    low, median, high = (float(value) for value in np.quantile(reached, (0.05, 0.5, 0.95)))
    chance = float(target.holds(reached).mean())
    what = "one dose" if number == 1 else f"{int(number)} doses, one every {gap:g} {time}"
    near = f", rounded to {rounded:g} {unit}" if step else ""
    words = (
        f"{what}: {exact:.4g} {unit}{near}: {target.words(model.output.unit, time)} with a probability of "
        f"{100 * chance:.0f} % (median {median:.3g}, 90 % interval {low:.3g} to {high:.3g} "
        f"{target.unit(model.output.unit, time)})"
    )
    return SolvedDose(exact, rounded, chance, median, low, high, words)


def _where(medians: Callable[[NDArray[np.float64]], NDArray[np.float64]], middle: float) -> float:
    """The size whose median is the middle of the target: bracketed, then narrowed by a few sizes at once."""
    sizes = np.geomspace(1e-3, 1e6, 28)
    for _ in range(_NARROWINGS):
        middles = medians(sizes)
        if middles[-1] < middle or middles[0] > middle:
            raise InputError(
                "no dose reaches the target: what was given before is too much, or it lies out of reach."
            )
        right = int(np.searchsorted(middles, middle).clip(1, len(sizes) - 1))
        low, high = sizes[right - 1], sizes[right]
        sizes = np.linspace(low, high, 9)
    below, above = middles[right - 1], middles[right]
    return float(low + (high - low) * (middle - below) / max(above - below, 1e-300))
