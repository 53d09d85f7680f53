"""The regimen that most probably reaches a target, under what is known of a patient: what was measured, and the prior.

Parameters are drawn from the patient's posterior, each candidate regimen is given to every draw, and the share of draws in
which the target is reached is its probability. Research software: a recommendation is no prescription.

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
from metasci.meta.adapted import NoiseMixture

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
    rows, quantities = [], {}
    for gap in gaps:
        times = begins + (number - 1) * gap + np.linspace(0.0, gap * (1.0 - 1e-9), _POINTS)
        curves = _curves(
            calibration, history, times, begins, gap, number, duration, sizes, draws, seed, False
        )
        for size, curve in zip(sizes, curves, strict=True):
            quantity = target.of(times, curve)
            quantities[size, gap] = quantity
            low, middle, high = np.quantile(quantity, (0.05, 0.5, 0.95))
            rows.append((size, gap, float(target.holds(quantity).mean()), middle, low, high))
    table = pd.DataFrame(rows, columns=["dose", "interval", "probability", "median", "lower", "upper"])
    near = table[table["probability"] >= table["probability"].max() - 0.01]
    best = table.loc[(near["dose"] / near["interval"]).idxmin()]
    reached = bool(best["probability"] >= probability)
    units = model.histories[history].unit, model.inputs["time"].unit, model.output.unit
    size, gap = float(best["dose"]), float(best["interval"])
    words = (
        f"{size:g} {units[0]} every {gap:g} {units[1]}: {target.words(units[2], units[1])} with a probability of "
        f"{100 * best['probability']:.0f} % (median {best['median']:.3g}, 90 % interval {best['lower']:.3g} to "
        f"{best['upper']:.3g} {target.unit(units[2], units[1])})"
    )
    warnings = list(_warnings(table, best, reached, probability, sizes, calibration))
    before = _prior_quantity(calibration, history, target, begins, gap, number, duration, size, draws, seed)
    share = np.log(np.maximum(quantities[size, gap], 1e-300)).var() / max(
        np.log(np.maximum(before, 1e-300)).var(), 1e-300
    )
    if share > _UNINFORMED:
        warnings.append(
            f"the measurements hardly inform this forecast: they leave {100 * min(share, 1.0):.0f} % of the variance that "
            "other patients of these covariates have."
        )
    return Recommendation(
        size, gap, float(best["probability"]), float(best["median"]), float(best["lower"]), float(best["upper"]),
        reached, table, (*warnings, NO_DEVICE), words,
    )  # fmt: skip


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


def _draws(centre: Tensor, mixture: NoiseMixture, draws: int, seed: int) -> Tensor:
    """Coordinates from the posterior of one task, (draw, parameter)."""
    generator = torch.Generator().manual_seed(seed)
    level = torch.multinomial(mixture.weight[:, 0], draws, replacement=True, generator=generator)
    white = torch.randn(draws, centre.shape[0], generator=generator, dtype=centre.dtype)
    root = torch.linalg.cholesky_ex(mixture.covariance[:, 0]).L
    return centre + mixture.shift[level, 0] + torch.einsum("dij,dj->di", root[level], white)


def _curves(
    calibration: Calibration, history: str, times: NDArray[np.float64], begins: float, gap: float, number: int,
    duration: float, sizes: Sequence[float], draws: int, seed: int, prior: bool,
) -> list[NDArray[np.float64]]:  # fmt: skip
    """Concentrations (draw, time) for every size of dose.

    Where amounts add up, as in linear compartments, two sizes say what all others do.
    """
    adapted, model = calibration.adapted, calibration.prior.model
    centre, mixture = (
        (adapted.start[0], adapted.start_mixture) if prior else (adapted.coordinates[0], adapted.mixture)
    )
    drawn = _draws(centre, mixture, draws, seed)

    def at(size: float) -> NDArray[np.float64]:
        inputs = _inputs(calibration, history, times, begins, gap, number, duration, size)
        with torch.no_grad():
            wide = {name: values.expand(draws, *values.shape[1:]) for name, values in inputs.items()}
            return np.asarray(model.at(drawn[:, None, :], wide).numpy())

    low, high = at(0.0), at(max(sizes))
    slope = (high - low) / max(sizes)
    middle = at(0.5 * max(sizes))
    if np.allclose(middle, low + 0.5 * max(sizes) * slope, rtol=1e-9, atol=1e-12 * np.abs(high).max()):
        return [low + size * slope for size in sizes]
    return [at(size) for size in sizes]


def _inputs(
    calibration: Calibration, history: str, times: NDArray[np.float64], begins: float, gap: float, number: int,
    duration: float, size: float,
) -> dict[str, Tensor]:  # fmt: skip
    """The patient's inputs at new times, with the new doses after those so far, (1, point) or (1, 1, event)."""
    batch, model = calibration.batch, calibration.prior.model
    new: dict[str, Tensor] = {}
    like = batch.inputs["time"]
    for name in model.inputs:
        values = batch.inputs[name]
        new[name] = values[:, -1:].expand(1, len(times))
    new["time"] = torch.as_tensor(times).to(like)[None]
    columns = model.histories[history].columns
    if duration > 0.0 and "duration" not in columns:
        raise InputError(f"'{model.name}' knows no infusions: leave `duration` at zero.")
    told = {history: size, f"{history}_duration": duration}
    defaults = {f"{history}_{name}": column.default for name, column in columns.items()}
    for name in model.event_names:
        past = batch.inputs[name]
        if name == f"{history}_time":
            more = begins + gap * torch.arange(number).to(like)
        else:
            value = told.get(name, defaults.get(name, 0.0))
            more = torch.full((number,), value).to(like)
        new[name] = torch.cat([past, more.expand(1, 1, -1)], 2)
    return new


def _prior_quantity(
    calibration: Calibration, history: str, target: Target, begins: float, gap: float, number: int, duration: float,
    size: float, draws: int, seed: int,
) -> NDArray[np.float64]:  # fmt: skip
    times = begins + (number - 1) * gap + np.linspace(0.0, gap * (1.0 - 1e-9), _POINTS)
    curves = _curves(calibration, history, times, begins, gap, number, duration, [size], draws, seed, True)
    return target.of(times, curves[0])


def _warnings(
    table: pd.DataFrame, best: Any, reached: bool, probability: float, sizes: Sequence[float], calibration: Calibration
) -> list[str]:  # fmt: skip
    said = []
    if not reached:
        said.append(
            f"no candidate reaches the target with {100 * probability:.0f} %; this one comes nearest. More measurements, "
            "other sizes, or a wider target would help."
        )
    if len(sizes) > 1 and best["dose"] in (sizes[0], sizes[-1]) and not reached:
        edge = "smallest" if best["dose"] == sizes[0] else "largest"
        said.append(f"it is the {edge} dose that was tried: try further sizes.")
    if not bool(calibration.adapted.converged.all()):
        said.append("the calibration of this patient has not converged.")
    return said
