"""A patient's doses without an event table: written down one after the other, and turned into one.

>>> regimen = Regimen().oral(320, "mg", at=0).every("12 h", 6)
>>> regimen
Regimen(6 doses)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from metasci.errors import InputError
from metasci.units import check, convert, magnitude, stated

__all__ = ["Dose", "Regimen"]

Time = float | str | Any
"""A number of hours, a text such as ``"30 min"``, or a quantity."""


@dataclass(frozen=True)
class Dose:
    """One dose, or the first of several.

    Attributes
    ----------
    amount : float
    unit : str
    at : float
        Hours.
    duration : float
        Hours; zero for a bolus and by mouth.
    interval, count
        Hours between doses, and how many there are.
    steady : bool
        Whether it has been given so since forever.
    """

    amount: float
    unit: str
    at: float
    duration: float = 0.0
    interval: float = 0.0
    count: int = 1
    steady: bool = False


@dataclass(frozen=True, repr=False)
class Regimen:
    """Doses in the order in which they are written down; each method gives a new regimen.

    Examples
    --------
    >>> loading = Regimen().infusion(1000, "mg", over="30 min").every("8 h", 2)
    >>> loading.table(times=["8 h"], values=[12.5]).iloc[:, 1:4].values.tolist()
    [[0.0, 1000.0, 2000.0], [8.0, nan, nan], [8.0, 1000.0, 2000.0]]
    """

    doses: tuple[Dose, ...] = ()

    def __repr__(self) -> str:
        count = sum(dose.count for dose in self.doses)
        return f"Regimen({count} dose{'s' * (count != 1)})"

    def __add__(self, other: Regimen) -> Regimen:
        return Regimen(self.doses + other.doses)

    def oral(self, amount: float | str, unit: str = "mg", at: Time = 0.0) -> Regimen:
        """A dose by mouth, such as ``oral(320, "mg")`` or ``oral("320 mg")``."""
        return self._with(amount, unit, at, 0.0)

    def bolus(self, amount: float | str, unit: str = "mg", at: Time = 0.0) -> Regimen:
        """A dose at once, into a vein."""
        return self._with(amount, unit, at, 0.0)

    def infusion(self, amount: float | str, unit: str = "mg", *, over: Time, at: Time = 0.0) -> Regimen:
        """A dose that goes into a vein evenly."""
        duration = _hours(over, "over")
        if duration <= 0.0:
            raise InputError("over: an infusion takes some time; of a dose at once say bolus.")
        return self._with(amount, unit, at, duration)

    def every(self, interval: Time, count: int) -> Regimen:
        """The last dose, given so many times in all."""
        if count < 1 or count != int(count):
            raise InputError(f"count: {count} is not a number of doses.")
        return self._repeated(interval, "every", count=int(count))

    def steady_state(self, interval: Time) -> Regimen:
        """The last dose, given at this interval since forever, last at its time; what was before is forgotten."""
        return self._repeated(interval, "steady_state", steady=True)

    def table(
        self,
        times: Sequence[Time] = (),
        values: Sequence[float] | None = None,
        *,
        id: str = "patient",
        value_unit: str = "",
        **covariates: float | str | Any,
    ) -> pd.DataFrame:
        """The event table of these doses and of some measurements, ready for `Prior.calibrate`.

        A sample at the very time of a dose stands before it.

        Parameters
        ----------
        times : sequence
            When samples were drawn.
        values : sequence of float, optional
            What was measured; without, the samples are only times to predict at.
        id : str
            The patient's name.
        value_unit : str
            Of the measurements; the model's by default.
        **covariates : float, str or quantity
            With their units, ``weight="64 kg"``; a number alone has the unit 1.

        Raises
        ------
        InputError
            If doses are in different kinds of units, or there are not as many values as times.
        """
        if not self.doses:
            raise InputError("a regimen needs at least one dose.")
        amount = self.doses[0].unit
        measured = [np.nan] * len(times) if values is None else list(values)
        if len(measured) != len(times):
            raise InputError(f"there are {len(measured)} values for {len(times)} times.")
        frame = pd.DataFrame([row for dose in self.doses for row in _rows(dose, amount)])
        header = f"DV [{value_unit}]" if value_unit else "DV"
        seen = pd.DataFrame({"TIME [h]": [_hours(at, "times") for at in times], header: measured})
        seen["EVID"], seen["MDV"] = 0, [int(np.isnan(value)) for value in measured]
        rows = pd.concat([seen, frame], ignore_index=True).sort_values(
            "TIME [h]", kind="stable", ignore_index=True
        )
        if header not in rows:
            rows[header] = np.nan
        rows.insert(0, "ID", id)
        for name, value in covariates.items():
            number, symbol = stated(value, name)
            rows[f"{name} [{symbol}]" if symbol else name] = number
        order = ["ID", "TIME [h]", f"AMT [{amount}]", f"RATE [{amount}/h]"]
        return rows[order + [column for column in rows.columns if column not in order]]

    def _with(self, amount: float | str, symbol: str, at: Time, duration: float) -> Regimen:
        if isinstance(amount, str):
            amount, symbol = stated(amount, "dose")
        check(symbol)
        if not (np.isfinite(amount) and amount > 0.0):
            raise InputError(f"a dose must be above zero, not {amount:g} {symbol}.")
        start = _hours(at, "at")
        if start < 0.0:
            raise InputError(f"at: {start:g} h lies before time zero.")
        return Regimen((*self.doses, Dose(float(amount), symbol, start, duration)))

    def _repeated(self, interval: Time, asked: str, **changes: Any) -> Regimen:
        if not self.doses:
            raise InputError(f"{asked}: there is no dose yet to repeat.")
        gap, now = _hours(interval, asked), self.doses[-1].interval
        if gap <= 0.0:
            raise InputError(f"{asked}: the interval must be above zero, not {gap:g} h.")
        if now and gap != now:
            raise InputError(f"{asked}: the dose is given every {now:g} h already, and not every {gap:g} h.")
        return Regimen((*self.doses[:-1], replace(self.doses[-1], interval=gap, **changes)))


def _rows(dose: Dose, unit: str) -> list[dict[str, float]]:
    """One row for each dose; of what is at steady state the first one says so."""
    amount = float(convert(np.asarray(dose.amount), dose.unit, unit, "dose"))
    rate = amount / dose.duration if dose.duration else 0.0
    return [
        {
            "TIME [h]": dose.at + place * dose.interval,
            f"AMT [{unit}]": amount,
            f"RATE [{unit}/h]": rate,
            "EVID": 1,
            "MDV": 1,
            "II [h]": dose.interval if dose.steady and not place else 0.0,
            "SS": int(dose.steady and not place),
        }
        for place in range(dose.count)
    ]


def _hours(value: Time, asked: str) -> float:
    """Hours, from a number of them, a text with a unit, or a quantity."""
    return magnitude(value, "h", asked)
