"""What a picture of a calibration shows: along which input, at which values of the others, in which units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from metasci.data.conditions import followed
from metasci.errors import InputError
from metasci.noise import LogNormal, Several
from metasci.patients.moments import Moments
from metasci.units import convert, same_dimension
from metasci.words import duration, label, number, with_unit, words

if TYPE_CHECKING:
    from metasci.fits.equation import EquationFit

__all__ = [
    "WIDE",
    "Axis",
    "Curve",
    "axis_of",
    "below_limit",
    "coordinates",
    "curve",
    "given_along",
    "has_map",
    "is_logarithmic",
    "is_of_patients",
    "is_simulated",
    "is_wide",
    "measurements",
    "name_of",
    "only",
    "span",
    "upper_ends",
    "values_of",
]

_FOR_PEOPLE = {"K": "degC"}
_CORNERS = 400  # of a curve, at most
_POINTS = 160  # of a curve: finer than a pixel of a panel would show
WIDE = 30.0  # largest over smallest value: beyond it, small values lie flat on a linear axis


@dataclass(frozen=True)
class Axis:
    """An input along an axis: its name, the model's unit, and the unit in which people read it."""

    name: str
    unit: str
    shown: str

    @property
    def label(self) -> str:
        """Name and unit, for an axis."""
        return label(words(self.name), self.shown)

    def show(self, values: Any) -> np.ndarray:
        """Values from the model's unit into the one shown."""
        return convert(np.asarray(values, float), self.unit, self.shown)

    def text(self, value: float) -> str:
        """One value, in the model's unit, with its unit, as in ``10 min`` or ``400 °C``."""
        if self.unit == "s":
            return duration(value)
        return with_unit(number(float(self.show(value))), self.shown)


@dataclass(frozen=True)
class Curve:
    """What calibration and prior say along an axis, in the units shown; each (point,)."""

    x: np.ndarray
    median: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    prior: np.ndarray
    prior_lower: np.ndarray
    prior_upper: np.ndarray


def is_simulated(calibration: EquationFit) -> bool:
    """Whether the measurements are simulated and not real."""
    return str(calibration.tasks.dataset.attrs.get("simulated", "false")).lower() == "true"


def has_map(calibration: EquationFit) -> bool:
    """Whether the model is one of time and temperature."""
    inputs = calibration.prior.model.inputs
    return set(inputs) == {"time", "temperature"} and same_dimension(inputs["time"].unit, "s")


def is_of_patients(calibration: EquationFit) -> bool:
    """Whether the tasks are patients, of whom a report has to be read with more care."""
    return calibration.prior.model.name.startswith(("patients.", "published."))


def name_of(one: EquationFit) -> str:
    """The name of a single task; a bare number is told what it is, ``subject 5``."""
    name, columns = one.batch.names[0], one.tasks.card.task
    if len(columns) == 1 and name.replace(".", "").isdigit():
        what = words(one.tasks.card.column(columns[0]).name)
        return f"{'patient' if what == 'task' and is_of_patients(one) else what} {name}"
    return name


def only(calibration: EquationFit, index: int) -> EquationFit:
    """The calibration of one of its tasks."""
    chosen = torch.tensor([index])
    return replace(
        calibration,
        tasks=calibration.tasks.select([index]),
        batch=calibration.batch.select(chosen),
        adapted=calibration.adapted.select(chosen),
    )


def coordinates(calibration: EquationFit) -> list[str]:
    """The inputs that vary along a task's measurements, the one to draw along first.

    An input that is constant for a task by its nature, such as a dose per weight, is none of them, nor is a covariate
    that the model follows along the task's records.
    """
    data, model = calibration.tasks.dataset, calibration.prior.model
    names = [name for name in model.inputs if name not in data or "observation" in data[name].dims]
    names = [name for name in names if name not in followed(model)]
    distinct = {name: len(np.unique(values_of(calibration, name))) for name in names}
    return sorted(names, key=lambda name: (name != "temperature", -distinct[name]))


def values_of(calibration: EquationFit, name: str) -> np.ndarray:
    """An input at every measurement, in the model's unit."""
    batch = calibration.batch
    values: np.ndarray = batch.inputs[name].expand(batch.mask.shape)[batch.mask].cpu().numpy()
    return values


def measurements(calibration: EquationFit) -> np.ndarray:
    """What was measured, in the order of `values_of`."""
    values: np.ndarray = calibration.batch.output[calibration.batch.mask].cpu().numpy()
    return values


def below_limit(calibration: EquationFit) -> np.ndarray:
    """Which of the measurements are only known to lie below a limit, in the order of `values_of`."""
    batch = calibration.batch
    flags = torch.zeros_like(batch.mask) if batch.censored is None else batch.censored
    below: np.ndarray = flags[batch.mask].cpu().numpy()
    return below


def upper_ends(calibration: EquationFit) -> np.ndarray:
    """Upper ends of measurements that lie above what stands there, infinite without one, NaN of numbers."""
    batch = calibration.batch
    if batch.upper is None:
        return np.full(int(batch.mask.sum()), np.nan)
    ends: np.ndarray = batch.upper[batch.mask].cpu().numpy()
    return ends


def is_logarithmic(calibration: EquationFit, values: np.ndarray) -> bool:
    """Whether noise is on the logarithm and all values, some of them finite, can be drawn on it."""
    noise = calibration.prior.model.noise
    first = noise.noises[0] if isinstance(noise, Several) else noise
    return isinstance(first, LogNormal) and len(values) > 0 and bool((values > 0).all())


def is_wide(shown: Sequence[EquationFit]) -> bool:
    """Whether measurements lie so far apart, and noise is such, that a logarithmic axis is needed to see them."""
    values = np.concatenate([measurements(task_fit) for task_fit in shown])
    return is_logarithmic(shown[0], values) and float(values.max()) > WIDE * float(values.min())


def given_along(calibration: EquationFit, axis: Axis) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """From when to when every amount of a single task was given along an axis, in the units shown, by history."""
    times_of = {}
    for name, history in calibration.prior.model.histories.items():
        if history.at != axis.name:
            continue
        inputs = calibration.batch.inputs
        amounts, begin = (inputs[key].cpu().numpy().ravel() for key in (name, f"{name}_time"))
        lasting = inputs.get(f"{name}_duration")
        end = begin if lasting is None else begin + lasting.cpu().numpy().ravel()
        if (until := inputs.get(f"{name}_until")) is not None:  # a reset ends an infusion
            end = np.maximum(begin, np.minimum(end, until.cpu().numpy().ravel()))
        times_of[name] = (axis.show(begin[amounts != 0.0]), axis.show(end[amounts != 0.0]))
    return times_of


def axis_of(calibration: EquationFit, name: str) -> Axis:
    """The axis of an input; seconds become minutes or hours by how many there are."""
    unit = calibration.prior.model.inputs[name].unit
    shown = _FOR_PEOPLE.get(unit, unit)
    if unit == "s":
        most = span(calibration, name)[1]
        shown = "h" if most >= 7200.0 else "min" if most >= 300.0 else "s"
    return Axis(name, unit, shown)


def span(calibration: EquationFit, name: str) -> tuple[float, float]:
    """From where to where to draw along an input, in the model's unit.

    Time and cycles run from zero to beyond the last measurement and the last dose, as far as the prior knows (but not
    endlessly far); any other input over the measurements and what the prior has seen.
    """
    quantity = calibration.prior.model.inputs[name]
    known = calibration.prior.training.get("ranges", {}).get(name)
    measured = values_of(calibration, name)
    low, high = (float(measured.min()), float(measured.max())) if len(measured) else (np.inf, -np.inf)
    if name in ("time", "cycles"):
        reach = 1.4 if calibration.prior.model.histories else 4.0
        # published numbers do not say how long patients were followed; what was given goes on to act
        unknown = (
            np.inf if calibration.prior.model.histories and "published" in calibration.prior.training else 0.0
        )
        far = float(known[1]) if known else unknown
        last = _last_given(calibration, name)
        if max(high, last) <= 0.0:
            return 0.0, far if 0.0 < far < np.inf else 1.0
        return 0.0, max(1.05 * high, 1.15 * last, min(far, reach * max(high, last)))
    if known:
        low, high = min(low, float(known[0])), max(high, float(known[1]))
    if not np.isfinite(low):
        low, high = max(quantity.lower, 0.0), min(quantity.upper, 1.0)
    margin = 0.04 * (high - low) or 0.1 * abs(high) or 1.0
    return max(low - margin, quantity.lower), min(high + margin, quantity.upper)


def _last_given(calibration: EquationFit, name: str) -> float:
    """When the last amount began that is dated by an input; zero if there is none."""
    last = 0.0
    for key, history in calibration.prior.model.histories.items():
        if history.at == name:
            times, amounts = calibration.batch.inputs[f"{key}_time"], calibration.batch.inputs[key]
            last = max(last, float(times.where(amounts != 0.0, torch.zeros_like(times)).max()))
    return last


def _after_each(dose_times: np.ndarray, high: float) -> np.ndarray:
    """Points that are dense after each dose and sparser until the next, so that no peak is cut off."""
    begin = np.unique(dose_times)
    gaps = np.diff(begin, append=max(high, float(begin[-1]))) if len(begin) else begin
    parts = np.geomspace(1e-3, 0.9, 12 if len(begin) <= 40 else 4)
    return (begin[:, None] + gaps[:, None] * parts).ravel()


def curve(
    calibration: EquationFit, axis: Axis, fixed: Mapping[str, float] | None = None, until: float | None = None
) -> Curve:
    """Calibration and prior of a single task along one input, at fixed values of the others (in the model's units).

    It is drawn as far as `span` says, or `until` a value.
    """
    low, high = span(calibration, axis.name)
    high = high if until is None else until
    if not low < high < float("inf"):
        raise InputError(f"{axis.name}: a curve is drawn from {low:g} on, which does not lie below {high:g}.")
    grid = [
        np.linspace(low, high, _POINTS),
        values_of(calibration, axis.name),
    ]  # a measured point lies on the line
    for name, history in calibration.prior.model.histories.items():
        if history.at == axis.name:  # a dose makes a step: just before, and at
            dose_times = calibration.batch.inputs[f"{name}_time"].numpy().ravel()
            grid += [dose_times, dose_times - 1e-6 * (high - low), _after_each(dose_times, high)]
            if (lasting := calibration.batch.inputs.get(f"{name}_duration")) is not None:
                grid.append(dose_times + lasting.numpy().ravel())  # the peak of an infusion is at its end
            with (
                Moments() as moments,
                torch.no_grad(),
            ):  # which may come late, or last otherwise, in this patient
                calibration.prior.model.at(
                    calibration.adapted.coordinates[:, None, :], calibration.batch.inputs
                )
            grid.append(moments.between(low, high, _CORNERS))
    points = np.unique(np.concatenate(grid))
    points = points[(points >= low) & (points <= high)]
    conditions: dict[str, Any] = {axis.name: points, **(fixed or {})}
    predicted = calibration.predict(**conditions).isel(task=0)
    names = ("median", "lower", "upper", "prior", "prior_lower", "prior_upper")
    return Curve(axis.show(points), *(predicted[name].to_numpy() for name in names))
