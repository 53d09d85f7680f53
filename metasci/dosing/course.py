"""A course of further doses of one patient, and the concentrations that follow from draws of the parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metasci.errors import InputError
from metasci.fits.equation import EquationFit
from metasci.patients.moments import Moments

__all__ = [
    "Course",
    "concentrations",
    "corner_times",
    "curves_by_size",
    "doses_left_out",
    "judged_times",
    "next_due",
    "usual_interval",
    "way_in",
]

_POINTS, _EARLY = 97, 128  # evenly, a quarter of an hour of a day; and closer after a dose, where peaks are
_NONE = np.empty(0)
_MOMENTS = 100  # of all draws
# numbers of draws, times and doses that are computed at once, so that memory stays small; draws that tell linearity
_AT_ONCE, _TELLING = 500_000, 20


@dataclass(frozen=True)
class Course:
    """Doses to be given: when the first is, how far apart, how many, and how long each takes.

    `first` is the size of the first one where that is known, such as a loading dose; all others are of one size.
    """

    begins: float
    gap: float
    number: int
    duration: float
    first: float | None = None

    def judged(self, moments: NDArray[np.float64] = _NONE) -> NDArray[np.float64]:
        """Times in the interval after the last dose, to just before the next one would be: `moments`, and others.

        The others are closer after a dose, where the curve bends.
        """
        last = self.begins + (self.number - 1) * self.gap
        shares = [np.linspace(0.0, 1.0, _POINTS), np.geomspace(1e-4, 1.0, _EARLY)]
        if self.duration > 0.0:  # the peak of an infusion is at its end
            end = self.duration / self.gap
            shares += [end * np.linspace(0.0, 1.0, 17), end + (1.0 - end) * np.geomspace(1e-4, 1.0, _EARLY)]
        within = np.unique(np.concatenate([*shares, (moments - last) / self.gap]))
        within = within[(within >= 0.0) & (within <= 1.0)]
        return np.asarray(last + self.gap * np.minimum(within, 1.0 - 1e-9))


def next_due(calibration: EquationFit, history: str, gap: float) -> float:
    """When the next dose is due: an interval after the last one, but not before the last record.

    The interval is that of the patient's last two doses, or `gap` if there was one only.
    """
    last, usual = usual_interval(calibration, history)
    inputs, mask = calibration.batch.inputs, calibration.batch.mask
    seen = inputs["time"].expand(mask.shape)[mask].numpy()
    latest = float(seen.max()) if len(seen) else 0.0
    return latest if last is None else max(latest, last + (usual or gap))


def usual_interval(calibration: EquationFit, history: str) -> tuple[float | None, float]:
    """When the last dose was given, and the interval of the last two, or of a steady state; zero if unknown."""
    inputs = calibration.batch.inputs
    amount, at = (inputs[name].ravel().numpy() for name in (history, f"{history}_time"))
    dose_times = np.unique(at[amount > 0.0].round(9))
    if not len(dose_times):
        return None, 0.0
    usual = float(dose_times[-1] - dose_times[-2]) if len(dose_times) > 1 else 0.0
    if not usual and f"{history}_interval" in inputs:
        usual = float(
            inputs[f"{history}_interval"].ravel()[int(np.argmax(np.where(amount > 0.0, at, -np.inf)))]
        )
    return float(dose_times[-1]), usual


def doses_left_out(calibration: EquationFit, history: str, course: Course) -> int:
    """How many doses of the record are due when the course begins or later: the course takes their place."""
    inputs = calibration.batch.inputs
    return int(((inputs[history] > 0.0) & (inputs[f"{history}_time"] >= course.begins)).sum())


def judged_times(
    calibration: EquationFit, history: str, course: Course, sizes: Sequence[float], drawn: Tensor
) -> NDArray[np.float64]:
    """Times in the interval after the last dose, among them its corners, of which one is the peak of an infusion."""
    last = course.begins + (course.number - 1) * course.gap
    return course.judged(corner_times(calibration, history, course, sizes, drawn, last, last + course.gap))


def corner_times(
    calibration: EquationFit,
    history: str,
    course: Course,
    sizes: Sequence[float],
    drawn: Tensor,
    low: float,
    high: float,
) -> NDArray[np.float64]:
    """When amounts begin and end to enter, from one time to another.

    Those of the patient's estimate are all there, and of the draws' so many that none lies far from one.
    """
    found = []
    for who, most in ((calibration.adapted.coordinates, None), (drawn, _MOMENTS)):
        with Moments() as moments, torch.no_grad():
            for size in {min(sizes), max(sizes)}:
                inputs = _inputs(calibration, history, course, size, np.array([high]))
                wide = {name: values.expand(len(who), *values.shape[1:]) for name, values in inputs.items()}
                calibration.prior.model.at(who[:, None, :], wide)
        found.append(moments.between(low, high, most))
    return np.concatenate(found)


def concentrations(
    calibration: EquationFit,
    history: str,
    course: Course,
    sizes: Sequence[float],
    drawn: Tensor,
    times: NDArray[np.float64],
) -> list[NDArray[np.float64]]:
    """Concentrations (draw, time) for every size of dose.

    Where amounts add up, as in linear compartments, two sizes say what all others do; a third tells whether they do.
    """
    curve = curves_by_size(calibration, history, course, max(sizes), drawn, times)
    return [curve(size) for size in sizes]


def curves_by_size(
    calibration: EquationFit,
    history: str,
    course: Course,
    most: float,
    drawn: Tensor,
    times: NDArray[np.float64],
) -> Callable[[float], NDArray[np.float64]]:
    """Concentrations (draw, time) as a function of the size of the doses, of which `most` is an ordinary one."""
    model = calibration.prior.model

    def of(several: Tensor, inputs: dict[str, Tensor]) -> NDArray[np.float64]:
        wide = {name: values.expand(len(several), *values.shape[1:]) for name, values in inputs.items()}
        return np.asarray(model.at(several[:, None, :], wide).numpy())

    def at(size: float, draws: Tensor = drawn) -> NDArray[np.float64]:
        inputs = _inputs(calibration, history, course, size, times)
        with torch.no_grad():
            together = max(1, _AT_ONCE // (len(times) * (inputs[history].shape[-1] + 1)))
            return np.concatenate([of(several, inputs) for several in torch.split(draws, together)])

    low, middle, high = at(0.0), at(0.5 * most, drawn[:_TELLING]), at(most)
    between = 0.5 * (low + high)[:_TELLING]
    if np.allclose(middle, between, rtol=1e-9, atol=1e-12 * np.abs(high).max()):
        return lambda size: low + size / most * (high - low)
    return at


def way_in(calibration: EquationFit, history: str, course: Course) -> dict[str, float]:
    """The compartment that new doses enter, and whether the model says how long they take; of what a model is told.

    What is infused into a drug that is else absorbed goes into a vein; all other doses go where the last one went.
    """
    columns, ways = (
        getattr(calibration.prior.model.histories[history], name) for name in ("columns", "ways")
    )
    inputs = calibration.batch.inputs
    earlier = (inputs[history] > 0.0) & (inputs[f"{history}_time"] < course.begins)
    at = torch.where(earlier, inputs[f"{history}_time"], -torch.inf)
    last = int(at.ravel().argmax()) if bool(earlier.any()) else None

    def as_last(name: str) -> float:
        usual = float(columns[name].default)
        return usual if last is None else float(inputs[f"{history}_{name}"].ravel()[last])

    way = {}
    if "compartment" in columns:
        way["compartment"] = 2.0 if course.duration > 0.0 and not ways else as_last("compartment")
    if (
        "modelled" in columns
    ):  # an infusion is told how long it lasts, a dose after one is as the model has it
        infused = last is not None and float(inputs[f"{history}_duration"].ravel()[last]) > 0.0
        usual = float(columns["modelled"].default)
        way["modelled"] = 0.0 if course.duration > 0.0 else usual if infused else as_last("modelled")
    return way


def _inputs(
    calibration: EquationFit, history: str, course: Course, size: float, times: NDArray[np.float64]
) -> dict[str, Tensor]:
    """The patient's inputs at some times, new doses after those so far, (1, point) or (1, 1, event)."""
    batch, model = calibration.batch, calibration.prior.model
    columns = model.histories[history].columns
    if course.duration > 0.0 and "duration" not in columns:
        raise InputError(f"'{model.name}' knows no infusions: leave `duration` at zero.")
    like, points = batch.inputs["time"], torch.as_tensor(times)
    new = {name: batch.inputs[name][:, -1:].expand(1, len(points)) for name in model.inputs}
    new["time"] = points.to(like)[None]
    if model.outputs:  # what is dosed for is the first of the outputs
        new["output"] = torch.ones_like(new["time"])
    defaults = {f"{history}_{name}": column.default for name, column in columns.items()}
    defaults |= {history: size, f"{history}_duration": course.duration}
    defaults |= {f"{history}_{name}": value for name, value in way_in(calibration, history, course).items()}
    before = batch.inputs[f"{history}_time"] < course.begins
    for name in model.event_names:
        so_far = batch.inputs[name]
        if name == f"{history}_time":
            more = course.begins + course.gap * torch.arange(course.number).to(like)
        else:
            more = torch.full((course.number,), defaults[name]).to(like)
        if name == history and course.first is not None:
            more = torch.cat([torch.full_like(more[:1], course.first), more[1:]])
        if name == history:
            so_far = torch.where(before, so_far, torch.zeros_like(so_far))
        new[name] = torch.cat([so_far, more.expand(1, 1, -1)], 2)
    return new
