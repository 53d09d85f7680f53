"""Along which axis to show the measurements of many tasks: time, or the time since each one's last dose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from metasci.errors import InputError
from metasci.report.curves import Axis, axis_of, coordinates
from metasci.report.style import plain_log_axis

if TYPE_CHECKING:
    from metasci.fits.equation import EquationFit

__all__ = ["AFTER_DOSE", "abscissa", "along", "spread_out"]

AFTER_DOSE = "time after last dose"
# shares in the first tenth of the range. To show another quantity than the one asked about takes a stronger case
# than to spread out the same one.
_CROWDED, _ON_THE_LEFT = 0.8, 0.6


def along(calibration: EquationFit) -> Axis:
    """The axis of time or, where a model has none, of the input that varies most."""
    names = coordinates(calibration)
    inputs = calibration.prior.model.inputs
    return axis_of(calibration, "time" if "time" in inputs else names[0] if names else next(iter(inputs)))


def abscissa(calibration: EquationFit, over: str | None = None) -> tuple[Axis, NDArray[np.float64]]:
    """An axis that shows the measurements of many tasks, and where they lie, (task, observation), in the model's unit.

    Parameters
    ----------
    calibration : Calibration
    over : "time" or "time after last dose", optional
        By default time; where more than four fifths of the measurements lie in its first tenth, as when one patient
        came back a year later, the time after the last dose if they are less crowded there.

    Raises
    ------
    InputError
        If it is neither, or the model takes no doses at times.
    """
    axis, batch = along(calibration), calibration.batch
    mask = batch.mask.numpy()
    plain = batch.inputs[axis.name].expand(batch.mask.shape).numpy()
    if over not in (None, axis.name, AFTER_DOSE):
        raise InputError(f"over: there is '{axis.name}' and '{AFTER_DOSE}', not '{over}'.")
    dated = any(history.at == axis.name for history in calibration.prior.model.histories.values())
    if over == AFTER_DOSE and not dated:
        raise InputError(
            f"over: '{calibration.prior.model.name}' takes no doses at times, so there is no {over}."
        )
    if over == axis.name or not dated or (over is None and _share_on_the_left(plain[mask]) <= _CROWDED):
        return axis, plain
    after = _after_last_dose(calibration, axis.name, plain)
    shown = after[mask & np.isfinite(after)]
    if over is None and not _share_on_the_left(shown) < _share_on_the_left(plain[mask]):
        return axis, plain
    return Axis(AFTER_DOSE.replace(" ", "_"), axis.unit, axis.shown), after


def spread_out(place: Axes, values: NDArray[np.float64]) -> bool:
    """Make the axis below logarithmic where most of the values would stand at its left end otherwise."""
    values = values[np.isfinite(values)]
    if not len(values) or not (values > 0).all() or _share_on_the_left(values) <= _ON_THE_LEFT:
        return False
    plain_log_axis(place)
    return True


def _share_on_the_left(values: NDArray[np.float64]) -> float:
    """The part of the values that lies in the first tenth of their range."""
    if not len(values):
        return 1.0
    return float((values <= values.min() + 0.1 * np.ptp(values)).mean())


def _after_last_dose(calibration: EquationFit, name: str, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """How long after the last amount given each measurement was made; NaN before any."""
    inputs, last = calibration.batch.inputs, np.full(times.shape, -np.inf)
    for key, history in calibration.prior.model.histories.items():
        if history.at != name:
            continue
        amounts, dates = (inputs[each].numpy()[:, 0] for each in (key, f"{key}_time"))
        for task, (amount, date) in enumerate(zip(amounts, dates, strict=True)):
            dose_times = np.sort(date[amount != 0.0])
            before = np.searchsorted(dose_times, times[task], side="right")
            known = np.append(-np.inf, dose_times)[before]
            last[task] = np.maximum(last[task], known)
    return np.where(np.isfinite(last), times - np.where(np.isfinite(last), last, 0.0), np.nan)
