"""What a regimen is to reach: a trough, a peak, a concentration at a time, an area, a time above a concentration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metasci.errors import InputError

__all__ = ["Target"]

_KINDS = ("trough", "peak", "auc", "time_above", "concentration")


@dataclass(frozen=True)
class Target:
    """A quantity of one dosing interval, and where it is to lie.

    Parameters
    ----------
    kind : "trough", "peak", "auc", "time_above" or "concentration"
        The concentration at the end of the interval; the highest in it; the area under the curve, scaled to a day where
        `per` says so; the share of the interval (0 to 1) spent above `threshold`; the concentration `at` a time.
    low, high : float
        Where it is to lie, in the output's unit; for an area times the unit of time; for a time above, from 0 to 1.
    threshold : float, optional
        For a time above, in the output's unit.
    per : float, optional
        For an area: the time it is scaled to, such as 24 (h); the interval itself by default.
    at : float, optional
        For a concentration: how long after the dose begins, such as 1.5 (h), half an hour after an infusion of one.

    Examples
    --------
    >>> Target("trough", low=15.0, high=30.0).holds(np.array([10.0, 20.0, 40.0])).tolist()
    [False, True, False]
    >>> times, flat = np.linspace(0.0, 12.0, 5), np.full((1, 5), 2.0)
    >>> float(Target("auc", low=40.0, per=24.0).of(times, flat)[0])
    48.0
    """

    kind: str
    low: float = 0.0
    high: float = float("inf")
    threshold: float | None = None
    per: float | None = None
    at: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise InputError(f"a target is one of {', '.join(_KINDS)}, not '{self.kind}'.")
        numbers = (
            self.low,
            self.high,
            self.threshold or 0.0,
            1.0 if self.per is None else self.per,
            self.at or 0.0,
        )
        if not all(isinstance(number, int | float) for number in numbers):
            raise InputError("a target's low, high, threshold and per are numbers, in the model's units.")
        if any(number != number for number in numbers):
            raise InputError("a target's low, high, threshold, per and at are numbers, and not nan.")
        if not self.low < self.high:
            raise InputError(f"a target's low ({self.low:g}) must lie below its high ({self.high:g}).")
        if (self.kind == "time_above") != (self.threshold is not None):
            raise InputError("a threshold belongs to the target time_above, and to no other.")
        if (self.kind == "concentration") != (self.at is not None) or (self.at or 0.0) < 0.0:
            raise InputError(
                "`at`, a time after the dose, belongs to the target concentration, and to no other."
            )
        if self.threshold is not None and self.threshold < 0.0:
            raise InputError(f"a threshold is a concentration, which {self.threshold:g} cannot be.")
        if self.kind == "time_above" and not 0.0 <= self.low <= 1.0:
            raise InputError(f"time_above is a share of the interval, from 0 to 1, and not {self.low:g}.")

    def places(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """When concentrations must be known for the quantity, of an interval that is told by its times.

        Examples
        --------
        >>> Target("concentration", 1.0, 2.0, at=1.5).places(np.linspace(24.0, 36.0, 5)).tolist()
        [24.0, 25.5, 36.0]
        """
        if self.kind == "trough":
            return times[-1:]
        if self.kind == "concentration":
            ends = times[[0, -1]]
            return np.unique([*ends, np.clip(times[0] + float(self.at or 0.0), *ends)])
        return times

    def of(self, times: NDArray[np.float64], concentration: NDArray[np.float64]) -> NDArray[np.float64]:
        """The quantity of each curve, (curve,).

        Parameters
        ----------
        times : array, (point,)
            From the beginning of the interval to just before its end.
        concentration : array, (curve, point)
        """
        if self.kind == "trough":
            return concentration[:, -1]
        if self.kind == "peak":
            return np.asarray(concentration.max(1))
        length = times[-1] - times[0]
        if self.kind == "concentration":
            if float(self.at or 0.0) > length:
                raise InputError(f"a concentration at {self.at:g} lies after the interval of {length:g}.")
            place = float(times[0] + float(self.at or 0.0))
            right = int(np.clip(np.searchsorted(times, place), 1, len(times) - 1))
            share = (place - times[right - 1]) / (times[right] - times[right - 1])
            return np.asarray((1.0 - share) * concentration[:, right - 1] + share * concentration[:, right])
        if self.kind == "auc":
            area = np.trapezoid(concentration, times, axis=1)
            return np.asarray(area * (1.0 if self.per is None else self.per / length))
        return _share_above(times, concentration, float(self.threshold or 0.0))

    def holds(self, quantity: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether each lies where it is to lie."""
        return (quantity >= self.low) & (quantity <= self.high)

    def unit(self, output: str, time: str) -> str:
        """The quantity's unit; empty for a share."""
        return {"auc": f"{output}*{time}", "time_above": ""}.get(self.kind, output)

    def measure(self, output: str, time: str) -> str:
        """The quantity's unit, and of an area over what time it is."""
        scaled = "in an interval" if self.per is None else f"per {self.per:g} {time}"
        return f"{self.unit(output, time)} {scaled}" if self.kind == "auc" else self.unit(output, time)

    def words(self, output: str, time: str) -> str:
        """The target in words."""
        scaled = "of the dosing interval" if self.per is None else f"per {self.per:g} {time}"
        later = f"concentration {self.at or 0.0:g} {time} after the dose"
        above = "" if self.threshold is None else f"share of time above {self.threshold:g} {output}"
        names = {"auc": f"area under the curve {scaled}", "concentration": later, "time_above": above}
        name = names.get(self.kind, self.kind)
        unit = self.unit(output, time)
        shown = f" {unit}" if unit else ""
        if not np.isfinite(self.high):
            return f"{name} of at least {self.low:g}{shown}"
        return f"{name} between {self.low:g} and {self.high:g}{shown}"


def _share_above(
    times: NDArray[np.float64], curve: NDArray[np.float64], threshold: float
) -> NDArray[np.float64]:
    """Share of the time that straight lines between points lie above the threshold, (curve,)."""
    off = curve - threshold
    left, right = off[:, :-1], off[:, 1:]
    change = np.where(left == right, 1.0, right - left)
    share = np.where(left == right, (left > 0.0).astype(float), 0.0)
    above = (np.maximum(right, 0.0) - np.maximum(left, 0.0)) / change
    share = np.where(left == right, share, np.clip(above, 0.0, 1.0))
    widths = np.diff(times)
    return np.asarray((share * widths).sum(1) / widths.sum())
