"""How long in the furnace: the time at a temperature that brings an alloy to a hardness, with its probability.

Parameters are drawn from the alloy's posterior, each draw is carried along a grid of times, and the share of draws for
which the requirement holds is its probability.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from metasci.errors import InputError
from metasci.fits.posterior import Draws, posterior_draws
from metasci.heat_treatment.conditions import (
    constant_inputs,
    curves,
    in_output_unit,
    one_alloy,
    values,
)
from metasci.model import Model
from metasci.priors.calibrated import Calibration
from metasci.words import duration, number, pretty_unit, with_unit, words

__all__ = ["FurnaceTime", "furnace_time"]

_TIMES = 240  # along the logarithm: steps of a few per cent, finer than a furnace is run
_SAME = 1e-3  # probabilities that are no different among draws
_POOR = 0.1  # share of draws that the proposals must be worth
Array = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class FurnaceTime:
    """The time that most surely meets a requirement.

    Attributes
    ----------
    time, temperature : float
        In the model's units. `time` is the shortest that reaches the probability asked for; the longest, if time works
        against the requirement; the most probable one, if the requirement has two sides or nothing reaches that
        probability.
    probability : float
        That the requirement holds after this time.
    reached : bool
        Whether it is the probability that was asked for.
    earliest, latest : float
        Between which times the probability is the one asked for; NaN where it never is.
    median, lower, upper : float
        Of the output after this time, with its 90 % interval.
    table : DataFrame
        For every time of the grid: time, probability, median, lower, upper.
    warnings : tuple of str
    words : str
    at_least, at_most : float
        What was required of the output, in its unit; infinite where nothing was.
    """

    time: float
    temperature: float
    probability: float
    reached: bool
    earliest: float
    latest: float
    median: float
    lower: float
    upper: float
    table: pd.DataFrame
    warnings: tuple[str, ...]
    words: str
    at_least: float = -np.inf
    at_most: float = np.inf

    def __repr__(self) -> str:
        return f"FurnaceTime({self.words})"

    def __str__(self) -> str:
        return "\n".join([self.words, *(f"  warning: {warning}" for warning in self.warnings)])


def furnace_time(
    calibration: Calibration,
    temperature: Any,
    *,
    at_least: Any = None,
    at_most: Any = None,
    probability: float = 0.9,
    reading: bool = False,
    shortest: Any = None,
    longest: Any = None,
    draws: int = 2000,
    seed: int = 0,
    **conditions: Any,
) -> FurnaceTime:
    """Find the time at a temperature after which the output lies where it is to lie.

    Parameters
    ----------
    calibration : Calibration
        Of one alloy, with a model of time and temperature.
    temperature : number, quantity or str
        Of the furnace, in kelvin unless it says otherwise: ``"600 degC"``.
    at_least, at_most : number, quantity or str, optional
        What is required of the output; one of them or both.
    probability : float
        With which the requirement is to hold.
    reading : bool
        Whether the requirement is on a reading, with its noise, instead of on the alloy itself.
    shortest, longest : number, quantity or str, optional
        Times between which to look; those the prior has been learned from by default.
    draws : int
        From the posterior.
    seed : int
    **conditions
        Inputs beside time and temperature, such as a stress.

    Returns
    -------
    FurnaceTime

    Raises
    ------
    InputError
        If the calibration has several alloys, nothing is required, or a condition does not make sense.

    Examples
    --------
    >>> import pandas as pd
    >>> import metasci as ms
    >>> readings = pd.DataFrame({"time [h]": [1.0, 1.0, 1.0], "temperature [degC]": [200, 400, 600],
    ...                          "hardness [HRC]": [55.5, 46.5, 33.0]})
    >>> fit = ms.load("steel_tempering").calibrate(readings)
    >>> found = furnace_time(fit, "500 degC", at_most=40.0, probability=0.9)
    >>> found.reached, bool(found.time > 600)
    (True, True)
    """
    model = one_alloy(calibration)
    kelvin = values(model, "temperature", temperature)
    if len(kelvin) != 1:
        raise InputError("one temperature at a time is asked about.")
    if at_least is None and at_most is None:
        raise InputError(f"say what {words(model.output.name)} is required: at_least, at_most, or both.")
    low = -np.inf if at_least is None else in_output_unit(model, at_least, "at_least")
    high = np.inf if at_most is None else in_output_unit(model, at_most, "at_most")
    if not low < high:
        raise InputError(f"at_least ({low:g}) must lie below at_most ({high:g}).")
    if not 0.0 < probability < 1.0:
        raise InputError(f"probability: {probability:g} is not between 0 and 1.")
    time = _grid(calibration, model, shortest, longest)
    drawn = posterior_draws(calibration, draws=draws, seed=seed)
    at = torch.full((1, len(time)), float(kelvin[0]), dtype=torch.float64)
    clean = curves(
        model, drawn.coordinates, torch.as_tensor(time)[None], at, constant_inputs(calibration, conditions)
    )
    shown = _with_noise(calibration, clean, drawn, seed) if reading else clean
    inside = ((shown >= low) & (shown <= high)).double().mean(0).numpy()
    lower, middle, upper = torch.quantile(
        shown, torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64), 0
    ).numpy()
    table = pd.DataFrame(
        {"time": time, "probability": inside, "median": middle, "lower": lower, "upper": upper}
    )
    good = np.flatnonzero(inside >= probability)
    reached = len(good) > 0
    rises = middle[-1] > middle[0]
    against = bool(rises if np.isinf(low) else not rises)
    best = _best(inside, good, against, two_sided=bool(np.isfinite(low) and np.isfinite(high)))
    warnings = _warnings(calibration, model, time, best, good, float(kelvin[0]), drawn, draws, probability)
    return FurnaceTime(
        time=float(time[best]),
        temperature=float(kelvin[0]),
        probability=float(inside[best]),
        reached=reached,
        earliest=float(time[good[0]]) if reached else np.nan,
        latest=float(time[good[-1]]) if reached else np.nan,
        median=float(middle[best]),
        lower=float(lower[best]),
        upper=float(upper[best]),
        table=table,
        warnings=warnings,
        words=_words(model, table.iloc[best].to_dict(), float(kelvin[0]), low, high),
        at_least=low,
        at_most=high,
    )


def _best(inside: Array, good: NDArray[np.int64], against: bool, two_sided: bool) -> int:
    """Position of the time to recommend, of probabilities along the grid; `against` the requirement time may work."""
    most = np.flatnonzero(inside >= inside.max() - _SAME)
    if two_sided and inside.max() > 0.0:
        return int(most[len(most) // 2])
    if not len(good):
        return int(most[0] if against else most[-1])
    return int(good[-1] if against and good[0] == 0 else good[0])


def _grid(calibration: Calibration, model: Model, shortest: Any, longest: Any) -> Array:
    """Times to look at, evenly spaced on the logarithm."""
    low, high = calibration.range_of("time") if shortest is None or longest is None else (0.0, np.inf)
    first = (
        max(low, 1e-3 * high if np.isfinite(high) and low <= 0.0 else low)
        if shortest is None
        else float(values(model, "time", shortest)[0])
    )
    last = high if longest is None else float(values(model, "time", longest)[0])
    if not 0.0 < first < last:
        raise InputError(f"shortest ({first:g}) must be above zero and below longest ({last:g}).")
    return np.geomspace(first, last, _TIMES)


def _with_noise(calibration: Calibration, clean: torch.Tensor, drawn: Draws, seed: int) -> torch.Tensor:
    """Readings instead of the alloy itself, (draw, time): a draw has one error, in units of its noise, at all times."""
    noise, log_noise = calibration.prior.model.noise, calibration.adapted.log_noise
    generator = torch.Generator().manual_seed(seed + 1)
    white = torch.randn(len(clean), 1, generator=generator, dtype=torch.float64)
    variance = noise.variance(clean, log_noise) * drawn.noise_factor[:, None]
    return torch.as_tensor(noise.unlink(noise.link(clean) + variance.sqrt() * white))


def _warnings(
    calibration: Calibration,
    model: Model,
    time: Array,
    best: int,
    good: NDArray[np.int64],
    kelvin: float,
    drawn: Draws,
    draws: int,
    probability: float,
) -> tuple[str, ...]:
    sentences = []
    if not len(good):
        sentences.append(
            f"no time from {_length(model, time[0])} to {_length(model, time[-1])} reaches {100 * probability:.0f} %; "
            "this one comes nearest. More tests, another temperature, or a wider requirement would help."
        )
    elif best in (0, len(time) - 1):
        sentences.append("the time is at the end of those looked at: the requirement may hold further out.")
    low, high = calibration.prior.training.get("ranges", {}).get("temperature", (-np.inf, np.inf))
    if not low <= kelvin <= high:
        seen = f"{low - 273.15:.0f} to {high - 273.15:.0f} degC"
        sentences.append(f"{kelvin - 273.15:.0f} degC is outside of the {seen} that the prior has seen.")
    if drawn.effective < _POOR * draws:
        sentences.append("the posterior is far from its Gaussian approximation: the probability is rough.")
    if not bool(calibration.adapted.converged.all()):
        sentences.append("the calibration of this alloy has not converged.")
    return tuple(sentences)


def _words(model: Model, row: dict[Any, float], kelvin: float, low: float, high: float) -> str:
    unit, quantity = pretty_unit(model.output.unit), model.output.label or words(model.output.name)
    unit = f" {unit}" if unit else ""
    if low == -np.inf:
        wanted = f"at most {number(high)}"
    elif high == np.inf:
        wanted = f"at least {number(low)}"
    else:
        wanted = f"between {number(low)} and {number(high)}"
    return (
        f"{_length(model, row['time'])} at {kelvin - 273.15:.0f} degC: {quantity} {wanted}{unit} with a probability "
        f"of {100 * row['probability']:.0f} % (median {row['median']:.3g}, 90 % interval {row['lower']:.3g} to "
        f"{row['upper']:.3g}{unit})"
    )


def _length(model: Model, time: float) -> str:
    unit = model.inputs["time"].unit
    return duration(time) if unit == "s" else with_unit(number(time), unit)
