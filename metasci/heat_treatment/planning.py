"""Which test to do next: the time and temperature that tell most, about everything or about one furnace setting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from metasci.calibration import Calibration
from metasci.diagnostics.next_point import next_measurement
from metasci.heat_treatment.conditions import one_alloy, range_of, values

__all__ = ["next_test"]

_TIMES, _TEMPERATURES = 7, 9


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
        Every time at every temperature; ``attrs["verdict"]`` says in a sentence which to do.
    """
    model = one_alloy(calibration)
    if times is None:
        low, high = range_of(calibration, "time")
        times = np.geomspace(max(low, 1e-4 * high), high, _TIMES)
    if temperatures is None:
        temperatures = np.linspace(*range_of(calibration, "temperature"), _TEMPERATURES)
    time, temperature = np.meshgrid(values(model, "time", times), values(model, "temperature", temperatures))
    return next_measurement(calibration, {"time": time.ravel(), "temperature": temperature.ravel()}, target)
