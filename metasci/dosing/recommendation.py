"""The regimen that most probably reaches a target, under what is known of a patient: what was measured, and the prior.

Parameters are drawn from the patient's posterior, each candidate regimen is given to every draw, and the share of draws
in which the target is reached is its probability. Research software: a recommendation is no prescription.

Source: Sheiner, Rosenberg and Melmon, Comput Biomed Res 5 (1972) 441, for dosing by a Bayesian forecast; Holford and
Buclin, Ther Drug Monit 34 (2012) 565, for targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metasci.dosing.course import Course, concentrations, doses_left_out, judged_times, next_due, way_in
from metasci.dosing.targets import Target
from metasci.errors import InputError
from metasci.fits.equation import EquationFit
from metasci.fits.posterior import posterior_draws, prior_draws
from metasci.units import convert, magnitude, same_dimension, stated

__all__ = ["Recommendation", "dosed", "doses_words", "recommend", "route_words", "size_words", "sizes_given"]

# of a probability: doses that reach the target within one in a hundred as often are equally good
_ALIKE = 0.01
_GAPS = 500  # intervals that are compared: one takes some milliseconds
_LARGEST, _MOST = 1e15, 10_000  # of a dose, in the unit of the model; of doses and draws, sizes by intervals
_UNINFORMED = 0.8  # of the prior's spread: where so much is left, the levels have said little of this patient
_WEIGHTS = ("weight", "wt", "wgt", "bw", "bwt")  # what tables call it
NO_DEVICE = "This is research software and no medical device: a clinician decides the dose."


@dataclass(frozen=True, repr=False)
class Recommendation:
    """The best of the regimens that were tried.

    Attributes
    ----------
    dose, interval : float
        In the model's units.
    probability : float
        Of reaching the target.
    median, lower, upper : float
        Of the target's quantity, with the 90 % interval.
    reached : bool
        Whether the probability that was asked for is reached.
    table : DataFrame
        Every candidate: dose, interval, probability, median, lower, upper.
    warnings : tuple of str
    words : str
    """

    dose: float
    interval: float
    probability: float
    median: float
    lower: float
    upper: float
    reached: bool
    table: pd.DataFrame
    warnings: tuple[str, ...]
    words: str

    def __repr__(self) -> str:
        return f"Recommendation({self.words})"

    def __str__(self) -> str:
        return "\n".join([self.words, *(f"  warning: {warning}" for warning in self.warnings)])


def recommend(
    calibration: EquationFit,
    target: Target,
    *,
    doses: Sequence[float | str],
    intervals: Sequence[float | str],
    number: int = 10,
    start: float | str | None = None,
    duration: float | str = 0.0,
    probability: float = 0.8,
    draws: int = 2000,
    seed: int = 0,
) -> Recommendation:
    """Find the dose and interval that reach a target with a given probability.

    Parameters
    ----------
    calibration : Calibration
        Of one patient, whose doses so far go on to act.
    target : Target
        Judged in the interval after the last of the new doses.
    doses : sequence of float or str
        Sizes that can be given: tablets, half tablets, syringes; in the model's unit, or with one, ``"250 mg"``; or by
        the patient's weight, ``"15 mg/kg"``.
    intervals : sequence of float or str
        Between doses.
    number : int
        Doses to be given; ten come near a steady state of most drugs given once in a half-life.
    start : float or str, optional
        When the first is given; by default when it is due, the usual interval after the patient's last dose, but not
        before the last record. Doses of the record from then on are left out.
    duration : float or str
        Of each infusion; zero for a bolus or a dose by mouth.
    probability : float
        With which the target is to be reached.
    draws : int
        From the posterior.
    seed : int

    Returns
    -------
    Recommendation
        The candidate that reaches the target most probably; of several within a hundredth, the one with the least
        drug; where none reaches it, the one whose median lies nearest.

    Raises
    ------
    InputError
        If the calibration has several patients, the model takes no doses, or a number makes no sense.

    Examples
    --------
    >>> import metasci as ms
    >>> infant = ms.load("phenobarbital").calibrate(ms.dataset("phenobarbital").select(["1"]))
    >>> advice = recommend(infant, Target("trough", low=15.0, high=25.0), doses=[3.0, 4.0, 5.0, 6.0], intervals=[12.0])
    >>> advice.interval
    12.0
    """
    model, history = dosed(calibration)
    time_unit = model.inputs["time"].unit
    sizes = sizes_given(calibration, doses)
    gaps = _positive(intervals, time_unit, "intervals")
    lasting = magnitude(duration, time_unit, "duration")
    begins = None if start is None else magnitude(start, time_unit, "start")
    check_numbers(number, begins, lasting, min(gaps), probability, draws)
    if len(gaps) > _GAPS or len(gaps) * number > _MOST or len(sizes) * len(gaps) > _MOST:
        raise InputError(
            f"{len(sizes):,} sizes, {len(gaps):,} intervals and {number:,} doses are more than are compared."
        )
    after = posterior_draws(calibration, 0, int(draws), seed).coordinates
    before = prior_draws(calibration.adapted, 0, int(draws), seed).coordinates

    def course_of(gap: float) -> Course:
        first = next_due(calibration, history, gap) if begins is None else begins
        return Course(first, gap, int(number), lasting)

    rows, quantities = [], {}
    for gap in gaps:
        course = course_of(gap)
        times = target.places(judged_times(calibration, history, course, sizes, after))
        curves = concentrations(calibration, history, course, sizes, after, times)
        for size, curve in zip(sizes, curves, strict=True):
            quantity = target.of(times, curve)
            quantities[size, gap] = quantity
            low, middle, high = np.quantile(quantity, (0.05, 0.5, 0.95))
            rows.append((size, gap, float(target.holds(quantity).mean()), middle, low, high))
    table = pd.DataFrame(rows, columns=["dose", "interval", "probability", "median", "lower", "upper"])
    best = _best(table, target)
    size, gap = float(best["dose"]), float(best["interval"])
    course = course_of(gap)
    times = target.places(judged_times(calibration, history, course, [size], before))
    unlearned = target.of(times, concentrations(calibration, history, course, [size], before, times)[0])
    left = _log_variance(quantities[size, gap]) / max(_log_variance(unlearned), 1e-300)
    chance, middle, low, high = (float(best[name]) for name in ("probability", "median", "lower", "upper"))
    reached = chance >= probability
    units = model.histories[history].unit, model.inputs["time"].unit, model.first_output.unit
    given = f"{size_words(calibration, size)}{route_words(calibration, course)}"
    words = (
        f"{given} every {gap:g} {units[1]}: {target.words(units[2], units[1])} with a "
        f"probability of {100 * chance:.0f} % (median {middle:.3g}, 90 % interval {low:.3g} to "
        f"{f'{high:.3g} {target.measure(units[2], units[1])}'.strip()}; after {doses_words(course, units[1])})"
    )
    warnings = _warnings(calibration, size, sizes, reached, probability, left)
    if late := doses_left_out(calibration, history, course):
        warnings.insert(
            0,
            f"{late} dose(s) of the record at or after {course.begins:g} {units[1]} are left out: the "
            "new ones take their place.",
        )
    return Recommendation(size, gap, chance, middle, low, high, reached, table, (*warnings, NO_DEVICE), words)


def _best(table: pd.DataFrame, target: Target) -> pd.Series:
    """The row that reaches the target most probably with least drug, or whose median lies nearest to it."""
    most = table["probability"].max()
    if most > _ALIKE:
        near = table[table["probability"] >= most - _ALIKE]
        return table.loc[(near["dose"] / near["interval"]).idxmin()]
    median = table["median"].clip(lower=1e-300)
    below = np.log(max(target.low, 1e-300)) - np.log(median)
    above = np.log(median) - np.log(target.high)
    return table.loc[np.maximum(below, above).idxmin()]


def check_numbers(
    number: int, start: float | None, duration: float, gap: float, probability: float, draws: int
) -> None:
    """Refuse numbers that make no sense."""
    if not 0.0 < probability < 1.0:
        raise InputError(f"probability: {probability:g} is not between 0 and 1.")
    for what, count in (("number", number), ("draws", draws)):
        if count != int(count) or count < 1:
            raise InputError(f"{what}: {count:g} is not a whole number above zero.")
        if count > _MOST:
            raise InputError(f"{what}: {count:,} are more than are computed, {_MOST:,}.")
    if not 0.0 < gap < np.inf:
        raise InputError(f"interval: {gap:g} is not a finite number above zero.")
    if start is not None and start < 0.0:
        raise InputError(f"start: {start:g} lies before time zero.")
    if start is not None and not np.isfinite(start):
        raise InputError(f"start: {start:g} is no time.")
    if not 0.0 <= duration <= gap:
        raise InputError(
            f"duration: an infusion lasts from 0 to the interval, {gap:g}, and not {duration:g}."
        )


def _log_variance(quantity: NDArray[np.float64]) -> float:
    return float(np.log(np.maximum(quantity, 1e-300)).var())


def dosed(calibration: EquationFit) -> tuple[Any, str]:
    """The model of one patient and the history of its doses; refused where there are several, or none."""
    model = calibration.prior.model
    if len(calibration.batch) != 1:
        raise InputError(
            f"a dose is recommended to one patient, not to {len(calibration.batch)}; select one."
        )
    if len(model.histories) != 1:
        hint = "; calibrate from an event table or a Regimen" if model.after_doses is not None else ""
        raise InputError(f"'{model.name}' takes no doses at times, so that none can be recommended{hint}.")
    return model, next(iter(model.histories))


def sizes_given(calibration: EquationFit, sizes: Sequence[float | str], what: str = "doses") -> list[float]:
    """Sizes of doses in the model's unit, in order; those per kilogram are times the patient's weight."""
    model, history = dosed(calibration)
    of_weight: list[float | str] = []
    for size in sizes:
        if not str(size).replace(" ", "").endswith("/kg"):
            of_weight.append(size)
            continue
        weight = _weight(calibration)
        if weight is None:
            raise InputError(f"{what}: '{size}' is by weight, which '{model.name}' does not take.")
        per_kilogram, symbol = stated(str(size).strip().removesuffix("/kg"), what)
        of_weight.append(f"{per_kilogram * weight!r} {symbol}")
    return _positive(of_weight, model.histories[history].unit, what)


def size_words(calibration: EquationFit, size: float) -> str:
    """A size with its unit, and per kilogram where the patient's weight is known."""
    model, history = dosed(calibration)
    unit, weight = model.histories[history].unit, _weight(calibration)
    by_weight = "" if not weight or "/" in unit else f" ({size / weight:.3g} {unit}/kg)"
    return f"{size:.4g} {unit}{by_weight}"


def doses_words(course: Course, time: str) -> str:
    """How many doses are given before what is judged, and from when."""
    return f"{course.number} dose{'s' if course.number > 1 else ''} from {course.begins:g} {time} on"


def route_words(calibration: EquationFit, course: Course) -> str:
    """Where the doses enter, of a model in which they may in several ways."""
    model, history = dosed(calibration)
    number = way_in(calibration, history, course).get("compartment")
    ways = {place: name for name, place in model.histories[history].ways.items()}
    if number is None or len(ways) == 1:
        return ""
    if not ways:
        return " into a vein" if number == 2.0 else " by mouth"
    return f" into {ways[int(number)]}"


def _weight(calibration: EquationFit) -> float | None:
    """The patient's last weight in kilograms, where the model takes it."""
    inputs = calibration.prior.model.inputs
    name = next((each for each in inputs if each.lower() in _WEIGHTS), "")
    weight = calibration.batch.inputs.get(name)
    if weight is None or not weight.numel() or not same_dimension(inputs[name].unit, "kg"):
        return None
    return float(convert(float(weight.ravel()[-1]), inputs[name].unit, "kg", "weight"))


def _positive(values: Sequence[float | str], unit: str, what: str) -> list[float]:
    sizes = sorted({magnitude(value, unit, what) for value in values})
    if not sizes or sizes[0] <= 0.0 or not np.isfinite(sizes).all():
        raise InputError(f"{what}: give one or more numbers above zero.")
    if sizes[-1] > _LARGEST:
        raise InputError(
            f"{what}: {sizes[-1]:.3g} {unit} is more than anything is given, {_LARGEST:g} {unit}."
        )
    return sizes


def _warnings(
    calibration: EquationFit,
    size: float,
    sizes: Sequence[float],
    reached: bool,
    probability: float,
    left: float,
) -> list[str]:
    sentences = []
    if not reached:
        sentences.append(
            f"no candidate reaches the target with {100 * probability:.0f} %; this one comes nearest. More "
            "measurements, other sizes, or a wider target would help."
        )
        if len(sizes) > 1 and size in (sizes[0], sizes[-1]):
            edge = "smallest" if size == sizes[0] else "largest"
            sentences.append(f"it is the {edge} dose that was tried: try further sizes.")
    if not bool(calibration.batch.mask.any()):
        sentences.append("nothing was measured: this is what the prior says of such a patient.")
    elif left > _UNINFORMED:
        sentences.append(
            f"the measurements hardly inform this forecast: they leave {100 * min(left, 1.0):.0f} % of the variance "
            "that other patients of these covariates have."
        )
    if not bool(calibration.adapted.converged.all()):
        sentences.append("the calibration of this patient has not converged.")
    return sentences
