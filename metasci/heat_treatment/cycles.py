"""What a measured furnace cycle does to a calibrated alloy, and priors that take tables of cycles."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from metasci.data.cards import Card
from metasci.errors import InputError
from metasci.fits.predictive import predictive
from metasci.kinetics.laws import along
from metasci.meta.problem import Problem

if TYPE_CHECKING:
    from metasci.priors.calibrated import Calibration
    from metasci.priors.equation import Prior

__all__ = ["along_cycle", "prior_along"]


def prior_along(prior: Prior) -> Prior:
    """The same learned prior for measurements after temperature cycles instead of at one temperature.

    Its tables have the columns ``cycle``, ``time`` and ``temperature`` (rows of the thermocouple) and the output (rows
    of measurements).

    Examples
    --------
    >>> import metasci as ms
    >>> prior_along(ms.load("steel_tempering")).model.inputs.keys()
    dict_keys(['time', 'cycle'])
    """
    model = along(prior.model)
    ranges = {
        name: values for name, values in prior.training.get("ranges", {}).items() if name in model.inputs
    }
    card = replace(Card.from_model(model), description=prior.card.description, source=prior.card.source)
    return replace(prior, model=model, card=card, training={**prior.training, "ranges": ranges})


def along_cycle(
    calibration: Calibration,
    time: Any,
    temperature: Any,
    *,
    at: Any = None,
    level: float = 0.9,
    **conditions: Any,
) -> xr.Dataset:
    """Predict the output along a temperature cycle, for every task of a calibration at constant temperatures.

    Parameters
    ----------
    calibration : Calibration
        Of a model that is known along a history too (`metasci.kinetics.along`).
    time, temperature : array, quantity
        The cycle's points, joined by straight lines; after the last its temperature stays.
    at : array or quantity, optional
        When to predict; at the points by default.
    level : float
        Probability of the intervals.
    **conditions
        The model's other inputs, such as a stress, one number each.

    Returns
    -------
    xarray.Dataset
        ``median``, ``lower``, ``upper`` (of a measurement), ``curve_lower``, ``curve_upper``; dims (task, point).

    Raises
    ------
    InputError
        If points are not in order of time, or a condition does not make sense.

    Examples
    --------
    >>> import pandas as pd
    >>> import metasci as ms
    >>> readings = pd.DataFrame({"time [h]": [1, 1], "temperature [degC]": [300, 600], "hardness [HRC]": [50, 33]})
    >>> fit = ms.load("steel_tempering").calibrate(readings)
    >>> said = along_cycle(fit, [0, 60, 120, 180] * ms.unit("min"), [20, 600, 600, 20] * ms.unit("degC"))
    >>> bool((said["median"].diff("point") < 0).all())
    True
    """
    from metasci.data.conditions import read_conditions

    isothermal, model = calibration.prior.model, along(calibration.prior.model)
    needed = ("time", "temperature")
    asked_at = read_conditions(
        isothermal, {"time": time, "temperature": temperature, **conditions}, tuple(isothermal.inputs)
    )
    points = {name: asked_at[name] for name in needed}
    if (points["temperature"] <= 0.0).any():
        raise InputError("the cycle's temperatures must be above absolute zero.")
    if (np.diff(points["time"]) < 0.0).any():
        raise InputError("the cycle's points must be in order of time.")
    asked = points["time"] if at is None else read_conditions(isothermal, {"time": at}, ())["time"]
    tasks, count = len(calibration.batch), len(asked)

    def tensor(values: Any, *shape: int) -> torch.Tensor:
        return torch.tensor(np.array(values, dtype=float)).expand(*shape)

    size = len(points["time"])
    inputs = {"time": tensor(asked, tasks, count), "cycle": tensor(1.0, tasks, count)}
    inputs |= {
        "temperature": tensor(points["temperature"], tasks, 1, size),
        "temperature_time": tensor(points["time"], tasks, 1, size),
        "temperature_cycle": tensor(1.0, tasks, 1, size),
    }
    inputs |= {
        name: tensor(asked_at[name][0], tasks, count) for name in isothermal.inputs if name not in needed
    }
    mask = torch.ones(tasks, count, dtype=torch.bool)
    batch = replace(
        calibration.batch, inputs=inputs, output=mask.double(), mask=mask, censored=None, upper=None
    )
    forecast = predictive(Problem(model, batch), calibration.adapted)
    variables = {"median": forecast.median}
    variables["lower"], variables["upper"] = forecast.interval(level)
    variables["curve_lower"], variables["curve_upper"] = forecast.interval(level, noise=False)
    unit = {"units": model.output.unit}
    return xr.Dataset(
        {name: (("task", "point"), values.detach().numpy(), unit) for name, values in variables.items()},
        {
            "task": list(calibration.batch.names),
            "time": ("point", asked, {"units": model.inputs["time"].unit}),
        },
        {"level": level, "model": model.name, "prior": calibration.prior.name},
    )
