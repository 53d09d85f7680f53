"""Time–temperature–transformation diagrams with bands: when a fraction is reached at every temperature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from metasci.errors import InputError, check_level
from metasci.fits.posterior import posterior_draws
from metasci.heat_treatment.conditions import constant_inputs, curves, in_output_unit, one_alloy, values
from metasci.model import Model
from metasci.priors.calibrated import Calibration

__all__ = ["time_until", "transformation_diagram"]

_HALVINGS = 50  # of an interval of logarithms of time: to rounding
_LOG_LIMITS = (-12.0, 28.0)  # of times that are looked at, as natural logarithms


def transformation_diagram(
    calibration: Calibration,
    temperature: Any,
    *,
    reaches: Sequence[float] = (0.01, 0.5, 0.99),
    level: float = 0.9,
    draws: int = 1000,
    seed: int = 0,
    **conditions: Any,
) -> xr.Dataset:
    """Times until the output reaches given values at constant temperatures.

    Of a transformed fraction, 1 % is the start and 99 % the finish of a TTT diagram.

    Parameters
    ----------
    calibration : Calibration
        Of one alloy, with a model whose output rises or falls with time.
    temperature : array or quantity
    reaches : sequence of float
        Values of the output, in its unit.
    level : float
        Probability of the bands.
    draws, seed : int
        From the posterior.
    **conditions
        Inputs beside time and temperature.

    Returns
    -------
    xarray.Dataset
        ``median``, ``lower``, ``upper`` (reaches, temperature), infinite where the value is never reached; and
        ``never`` (reaches, temperature), the probability of that.

    Raises
    ------
    InputError
        If the output is not monotone in time, or a condition does not make sense.
    """
    model = one_alloy(calibration)
    check_level(level)
    kelvin = torch.as_tensor(np.array(values(model, "temperature", temperature)))
    wanted = torch.as_tensor([in_output_unit(model, value, "reaches") for value in np.atleast_1d(reaches)])
    drawn = posterior_draws(calibration, draws=draws, seed=seed).coordinates
    others = constant_inputs(calibration, conditions)
    target = wanted[:, None].expand(-1, len(kelvin)).reshape(1, -1)
    spread = kelvin[None].expand(len(wanted), -1).reshape(1, -1)
    times = (
        time_until(model, drawn, target, spread, others).reshape(len(drawn), len(wanted), len(kelvin)).numpy()
    )
    tail = 0.5 * (1.0 - level)
    # a time may be infinite, so that quantiles are those of the draws and nothing in between
    lower, middle, upper = np.quantile(times, (tail, 0.5, 1.0 - tail), axis=0, method="inverted_cdf")
    unit = {"units": model.inputs["time"].unit}
    dims = ("reaches", "temperature")
    variables = {
        name: (dims, value, unit) for name, value in (("median", middle), ("lower", lower), ("upper", upper))
    }
    variables["never"] = (dims, np.isinf(times).mean(0), {"units": "1"})
    coords = {
        "reaches": ("reaches", wanted.numpy(), {"units": model.output.unit}),
        "temperature": ("temperature", kelvin.numpy(), {"units": model.inputs["temperature"].unit}),
    }
    simulated = str(calibration.tasks.dataset.attrs.get("simulated", "false")).lower()
    attrs = {"level": level, "model": model.name, "task": calibration.batch.names[0], "simulated": simulated}
    return xr.Dataset(variables, coords, attrs)


def time_until(
    model: Model, coordinates: Tensor, target: Tensor, temperature: Tensor, others: dict[str, Tensor]
) -> Tensor:
    """Time until the output reaches a target, (draw, point), by bisection on its logarithm; infinite if it never does.

    Parameters
    ----------
    model : Model
    coordinates : Tensor, (draw, parameter)
    target, temperature : Tensor, (1, point)
    others : dict of Tensor
        The model's other inputs.
    """
    rising = [law.increasing for law in model.constraints if getattr(law, "input", None) == "time"]
    if not rising:
        raise InputError(f"the output of '{model.name}' neither rises nor falls with time alone.")

    def reached(log_time: Tensor) -> Tensor:
        value = curves(model, coordinates, log_time.exp(), temperature, others)
        return value >= target if rising[0] else value <= target

    low = torch.full((len(coordinates), target.shape[1]), _LOG_LIMITS[0], dtype=torch.float64)
    high = torch.full_like(low, _LOG_LIMITS[1])
    ever, at_once = reached(high), reached(low)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        reached_at_middle = reached(middle)
        low, high = torch.where(reached_at_middle, low, middle), torch.where(reached_at_middle, middle, high)
    time = torch.where(ever, high.exp(), torch.inf)
    return torch.where(at_once, 0.0, time)
