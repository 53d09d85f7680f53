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
import torch
from numpy.typing import NDArray
from torch import Tensor

from metasci.calibration import Calibration
from metasci.dosing.targets import Target
from metasci.errors import InputError

__all__ = ["Recommendation", "recommend"]

_POINTS = 97
_UNINFORMED = 0.8
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
    calibration: Calibration,
    target: Target,
    *,
    doses: Sequence[float],
    intervals: Sequence[float],
    number: int = 10,
    start: float | None = None,
    duration: float = 0.0,
    probability: float = 0.8,
    draws: int = 1000,
    seed: int = 0,
) -> Recommendation:
    """Find the dose and interval that reach a target with a given probability.

    Parameters
    ----------
    calibration : Calibration
        Of one patient, whose doses so far go on to act.
    target : Target
        Judged in the interval after the last of the new doses.
    doses : sequence of float
        Sizes that can be given, in the model's unit: tablets, half tablets, syringes.
    intervals : sequence of float
        Between doses, in the model's unit of time.
    number : int
        Doses to be given; ten come near a steady state of most drugs given once in a half-life.
    start : float, optional
        When the first is given; by default when the last record of the patient was made.
    duration : float
        Of each infusion; zero for a bolus or a dose by mouth.
    probability : float
        With which the target is to be reached.
    draws : int
        From the posterior.
    seed : int

    Returns
    -------
    Recommendation
        The candidate that reaches the target most probably; of several within a hundredth, the one with the least drug.

    Raises
    ------
    InputError
        If the calibration has several patients, the model takes no doses, or sizes or intervals are not above zero.

    Examples
    --------
    >>> import metasci as ms
    >>> infant = ms.load("phenobarbital").calibrate(ms.dataset("phenobarbital").select(["1"]))
    >>> advice = recommend(infant, Target("trough", low=15.0, high=25.0), doses=[3.0, 4.0, 5.0, 6.0], intervals=[12.0])
    >>> advice.interval
    12.0
    """
    model, history = _dosed(calibration)
    sizes, gaps = _positive(doses, "doses"), _positive(intervals, "intervals")
    if not 0.0 < probability < 1.0:
        raise InputError(f"probability: {probability:g} is not between 0 and 1.")
    begins = _last_record(calibration, history) if start is None else float(start)
    after, before = _draws(calibration, draws, seed, False), _draws(calibration, draws, seed, True)
    rows, quantities = [], {}
    for gap in gaps:
        course = Course(begins, gap, number, duration)
        curves = _curves(calibration, history, course, sizes, after)
        for size, curve in zip(sizes, curves, strict=True):
            quantity = target.of(course.judged, curve)
            quantities[size, gap] = quantity
            low, middle, high = np.quantile(quantity, (0.05, 0.5, 0.95))
            rows.append((size, gap, float(target.holds(quantity).mean()), middle, low, high))
    table = pd.DataFrame(rows, columns=["dose", "interval", "probability", "median", "lower", "upper"])
    near = table[table["probability"] >= table["probability"].max() - 0.01]
    best = table.loc[(near["dose"] / near["interval"]).idxmin()]
    size, gap = float(best["dose"]), float(best["interval"])
    course = Course(begins, gap, number, duration)
    unlearned = target.of(course.judged, _curves(calibration, history, course, [size], before)[0])
    left = _log_variance(quantities[size, gap]) / max(_log_variance(unlearned), 1e-300)
    chance, middle, low, high = (float(best[name]) for name in ("probability", "median", "lower", "upper"))
    reached = chance >= probability
    units = model.histories[history].unit, model.inputs["time"].unit, model.output.unit
    words = (
        f"{size:g} {units[0]} every {gap:g} {units[1]}: {target.words(units[2], units[1])} with a probability of "
        f"{100 * chance:.0f} % (median {middle:.3g}, 90 % interval {low:.3g} to {high:.3g} "
        f"{target.unit(units[2], units[1])})"
    )
    warnings = _warnings(calibration, size, sizes, reached, probability, left)
    return Recommendation(size, gap, chance, middle, low, high, reached, table, (*warnings, NO_DEVICE), words)


@dataclass(frozen=True)
class Course:
    """Doses to be given: when the first is, how far apart, how many, and how long each takes."""

    begins: float
    gap: float
    number: int
    duration: float

    @property
    def judged(self) -> NDArray[np.float64]:
        """Times in the interval after the last dose, to just before the next one would be."""
        last = self.begins + (self.number - 1) * self.gap
        return np.asarray(last + np.linspace(0.0, self.gap * (1.0 - 1e-9), _POINTS))


def _log_variance(quantity: NDArray[np.float64]) -> float:
    return float(np.log(np.maximum(quantity, 1e-300)).var())


def _dosed(calibration: Calibration) -> tuple[Any, str]:
    model = calibration.prior.model
    if len(calibration.batch) != 1:
        raise InputError(
            f"a dose is recommended to one patient, not to {len(calibration.batch)}; select one."
        )
    if len(model.histories) != 1:
        raise InputError(f"'{model.name}' takes no doses at times, so that none can be recommended.")
    return model, next(iter(model.histories))


def _positive(values: Sequence[float], what: str) -> list[float]:
    found = sorted({float(value) for value in values})
    if not found or found[0] <= 0.0 or not np.isfinite(found).all():
        raise InputError(f"{what}: give one or more numbers above zero.")
    return found


def _last_record(calibration: Calibration, history: str) -> float:
    inputs, mask = calibration.batch.inputs, calibration.batch.mask
    given = inputs[f"{history}_time"][inputs[history] > 0.0]
    seen = inputs["time"].expand(mask.shape)[mask]
    records = torch.cat([given.ravel(), seen.ravel()])
    return float(records.max()) if len(records) else 0.0


def _draws(calibration: Calibration, draws: int, seed: int, prior: bool) -> Tensor:
    """Coordinates from the posterior of the patient, or from the prior, (draw, parameter)."""
    adapted = calibration.adapted
    centre, mixture = (
        (adapted.start[0], adapted.start_mixture) if prior else (adapted.coordinates[0], adapted.mixture)
    )
    generator = torch.Generator().manual_seed(seed)
    level = torch.multinomial(mixture.weight[:, 0], draws, replacement=True, generator=generator)
    white = torch.randn(draws, centre.shape[0], generator=generator, dtype=centre.dtype)
    root = torch.linalg.cholesky_ex(mixture.covariance[:, 0]).L
    return centre + mixture.shift[level, 0] + torch.einsum("dij,dj->di", root[level], white)


def _curves(
    calibration: Calibration, history: str, course: Course, sizes: Sequence[float], drawn: Tensor
) -> list[NDArray[np.float64]]:
    """Concentrations (draw, time) for every size of dose.

    Where amounts add up, as in linear compartments, two sizes say what all others do; a third tells whether they do.
    """
    model = calibration.prior.model

    def at(size: float) -> NDArray[np.float64]:
        inputs = _inputs(calibration, history, course, size)
        with torch.no_grad():
            wide = {name: values.expand(len(drawn), *values.shape[1:]) for name, values in inputs.items()}
            return np.asarray(model.at(drawn[:, None, :], wide).numpy())

    most = max(sizes)
    low, middle, high = at(0.0), at(0.5 * most), at(most)
    if np.allclose(middle, 0.5 * (low + high), rtol=1e-9, atol=1e-12 * np.abs(high).max()):
        return [low + size / most * (high - low) for size in sizes]
    return [at(size) for size in sizes]


def _inputs(calibration: Calibration, history: str, course: Course, size: float) -> dict[str, Tensor]:
    """The patient's inputs at the times judged, new doses after those so far, (1, point) or (1, 1, event)."""
    batch, model = calibration.batch, calibration.prior.model
    columns = model.histories[history].columns
    if course.duration > 0.0 and "duration" not in columns:
        raise InputError(f"'{model.name}' knows no infusions: leave `duration` at zero.")
    like, points = batch.inputs["time"], torch.as_tensor(course.judged)
    new = {name: batch.inputs[name][:, -1:].expand(1, len(points)) for name in model.inputs}
    new["time"] = points.to(like)[None]
    told = {f"{history}_{name}": column.default for name, column in columns.items()}
    told |= {history: size, f"{history}_duration": course.duration}
    if course.duration > 0.0 and "compartment" in columns:  # what is infused goes into a vein
        told[f"{history}_compartment"] = 2.0
    for name in model.event_names:
        if name == f"{history}_time":
            more = course.begins + course.gap * torch.arange(course.number).to(like)
        else:
            more = torch.full((course.number,), told[name]).to(like)
        new[name] = torch.cat([batch.inputs[name], more.expand(1, 1, -1)], 2)
    return new


def _warnings(
    calibration: Calibration, size: float, sizes: Sequence[float], reached: bool, probability: float, left: float
) -> list[str]:  # fmt: skip
    said = []
    if not reached:
        said.append(
            f"no candidate reaches the target with {100 * probability:.0f} %; this one comes nearest. More "
            "measurements, other sizes, or a wider target would help."
        )
        if len(sizes) > 1 and size in (sizes[0], sizes[-1]):
            edge = "smallest" if size == sizes[0] else "largest"
            said.append(f"it is the {edge} dose that was tried: try further sizes.")
    if left > _UNINFORMED:
        said.append(
            f"the measurements hardly inform this forecast: they leave {100 * min(left, 1.0):.0f} % of the variance "
            "that other patients of these covariates have."
        )
    if not bool(calibration.adapted.converged.all()):
        said.append("the calibration of this patient has not converged.")
    return said
