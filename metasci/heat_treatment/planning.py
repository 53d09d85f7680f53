"""Which test to do next: the time and temperature that tell most, about everything or about one furnace setting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from metasci.diagnostics.next_point import next_measurement, sharpened
from metasci.heat_treatment.conditions import one_alloy, values
from metasci.model import Model
from metasci.priors.calibrated import Calibration
from metasci.words import duration, number, with_unit

__all__ = ["next_test"]

_TIMES, _TEMPERATURES = 7, 9  # a coarse grid by default: a laboratory that can do others gives them


def next_test(
    calibration: Calibration,
    *,
    target: Mapping[str, Any] | None = None,
    times: Any = None,
    temperatures: Any = None,
) -> xr.Dataset:
    """What a test at each of some times and temperatures would tell; see `metasci.diagnostics.next_measurement`.

    Parameters
    ----------
    calibration : Calibration
        Of one alloy.
    target : mapping, optional
        The furnace setting that matters, such as ``{"time": "2 h", "temperature": "550 degC"}``.
    times, temperatures : array or quantity, optional
        That the laboratory can do; by default between those that the prior has seen.

    Returns
    -------
    xarray.Dataset
        Every time at every temperature; ``attrs["advice"]`` says in a sentence which to do.
    """
    model = one_alloy(calibration)
    if times is None:
        low, high = calibration.range_of("time")
        times = np.geomspace(max(low, 1e-4 * high), high, _TIMES)
    if temperatures is None:
        temperatures = np.linspace(*calibration.range_of("temperature"), _TEMPERATURES)
    time, temperature = np.meshgrid(values(model, "time", times), values(model, "temperature", temperatures))
    ranking = next_measurement(
        calibration, {"time": time.ravel(), "temperature": temperature.ravel()}, target
    )
    return ranking.assign_attrs(advice=_advice(model, ranking))


def _advice(model: Model, ranking: xr.Dataset) -> str:
    def place(candidate: int) -> str:
        time, kelvin = (float(ranking[name][candidate]) for name in ("time", "temperature"))
        unit = model.inputs["time"].unit
        length = duration(time) if unit == "s" else with_unit(number(time), unit)
        return f"{length} at {kelvin - 273.15:.0f} degC"

    best = int(ranking["best"][0])
    name, share = sharpened(ranking)
    text = f"A test of {place(best)} tells most of the parameters ({name}: {100 * share:.0f} % of its "
    text += "standard deviation would be left)"
    if "target_sd" in ranking:
        aim, now = int(ranking["best_for_target"][0]), float(ranking["target_sd"][0])
        if now > 0.0:
            left = 100 * float(ranking["expected_target_sd"][0, aim]) / now
            text += f"; for the setting asked about one of {place(aim)} is best ({left:.0f} % left)"
        else:
            text += "; at the setting asked about no parameter matters, so that no test would tell more of it"
    return text + "."
