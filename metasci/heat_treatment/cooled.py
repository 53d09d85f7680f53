"""What cooling curves leave: shares of every product, when each formed, and the hardness of the mixture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metasci.data.hardness import between_scales
from metasci.errors import InputError, check_level
from metasci.quantities import in_unit

if TYPE_CHECKING:
    from metasci.heat_treatment.cooling import CoolingCurve

__all__ = ["Cooled", "Course"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Course:
    """What happens along one cooling curve, for every draw.

    Attributes
    ----------
    share : array, (draw, constituent)
        In the end; martensite and the austenite that is left come last.
    start, finish : array, (draw, product, 2)
        Time (s) and temperature (K); NaN where a product does not form.
    martensite_start : array, (draw,)
        K; empty where there is no martensite.
    """

    share: Array
    start: Array
    finish: Array
    martensite_start: Array


@dataclass(frozen=True)
class Cooled:
    """What is left after cooling.

    Attributes
    ----------
    curves : tuple of CoolingCurve
    constituents : tuple of str
        The products, martensite and austenite.
    courses : tuple of Course
        One for each curve.
    simulated : bool
    """

    curves: tuple[CoolingCurve, ...]
    constituents: tuple[str, ...]
    courses: tuple[Course, ...]
    simulated: bool

    @property
    def products(self) -> tuple[str, ...]:
        """Without martensite and austenite."""
        return self.constituents[:-2]

    def shares(self, level: float = 0.9) -> pd.DataFrame:
        """Share of every constituent: median and interval, one row for each curve and constituent."""
        check_level(level)
        rows = []
        for curve, course in zip(self.curves, self.courses, strict=True):
            for at, name in enumerate(self.constituents):
                lower, median, upper = _quantiles(course.share[:, at], level)
                rows.append((curve.name, name, median, lower, upper))
        return pd.DataFrame(rows, columns=["cooling", "constituent", "median", "lower", "upper"])

    def times(self, level: float = 0.9) -> pd.DataFrame:
        """When and at which temperature every product begins and ends to form along every curve.

        Of the draws in which it forms at all; ``probability`` is their share.
        """
        check_level(level)
        rows = []
        for curve, course in zip(self.curves, self.courses, strict=True):
            for at, name in enumerate(self.products):
                forms = np.isfinite(course.start[:, at, 0])
                for event, places in (("begins", course.start), ("ends", course.finish)):
                    if not forms.any():
                        continue
                    time, kelvin = (_quantiles(places[forms, at, k], level) for k in (0, 1))
                    rows.append((curve.name, name, event, float(forms.mean()), time[1], time[0], time[2],
                                 *(value - 273.15 for value in (kelvin[1], kelvin[0], kelvin[2]))))  # fmt: skip
        columns = ["cooling", "product", "event", "probability", "time [s]", "time lower [s]", "time upper [s]",
                   "temperature [degC]", "temperature lower [degC]", "temperature upper [degC]"]  # fmt: skip
        return pd.DataFrame(rows, columns=columns)

    def hardness(
        self, of: Mapping[str, float] | Callable[[float], Mapping[str, float]], *, level: float = 0.9
    ) -> pd.DataFrame:
        """Hardness of the mixture by its constituents' shares, HV and HRC.

        Parameters
        ----------
        of : mapping of str to float, or callable
            HV of every constituent, or a function of the cooling rate at 700 °C (K/s) that gives it, such as
            `metasci.heat_treatment.hardness_by_composition`.
        level : float
            Of the intervals, which come from the shares; that of the constituents' own hardness is not in them.

        Returns
        -------
        DataFrame
            HRC is NaN where the tables of ASTM E140 end, below 20 HRC and above 68 HRC.

        Raises
        ------
        InputError
            If the hardness of a constituent that is there is not told.
        """
        check_level(level)
        rows = []
        for curve, course in zip(self.curves, self.courses, strict=True):
            told = of(curve.rate) if callable(of) else {name: in_unit(of[name], "HV", name) for name in of}
            mixture = np.zeros(len(course.share))
            for at, name in enumerate(self.constituents):
                if name not in told:
                    if name != "austenite" and course.share[:, at].max() > 1e-3:
                        raise InputError(f"say how hard {name} is; told of are {', '.join(told)}.")
                    # austenite that is left counts like what it lies in: nobody measures it alone
                    continue
                mixture += course.share[:, at] * told[name]
            counted = sum(
                (course.share[:, at] for at, name in enumerate(self.constituents) if name in told),
                np.zeros(len(mixture)),
            )
            lower, median, upper = _quantiles(mixture / counted, level)
            rockwell = between_scales([median, lower, upper], "HV", "HRC")
            rows.append((curve.name, curve.rate, median, lower, upper, *rockwell))
        columns = ["cooling", "rate [K/s]", "hardness [HV]", "lower [HV]", "upper [HV]",
                   "hardness [HRC]", "lower [HRC]", "upper [HRC]"]  # fmt: skip
        return pd.DataFrame(rows, columns=columns)


def _quantiles(values: Array, level: float) -> tuple[float, float, float]:
    tail = 0.5 * (1.0 - level)
    lower, median, upper = np.quantile(values, (tail, 0.5, 1.0 - tail))
    return float(lower), float(median), float(upper)
