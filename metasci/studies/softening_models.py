"""Models of softening that know no law, and the law that they are held to: for `metasci.studies.softening_laws`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metasci.constraints import Constraint
from metasci.math import log, tanh
from metasci.model import Input, Model, Output, equation
from metasci.noise import Additive
from metasci.parameters import Parameter

__all__ = [
    "KELVIN",
    "TIMES",
    "Predict",
    "SoftensEverywhere",
    "grid",
    "softening_network",
    "softening_surface",
]

TIMES, KELVIN = (10.0, 115200.0), (373.15, 977.15)
"""Of the data: from the shortest to the longest time (s), from the lowest to the highest temperature."""
_POINTS = 6  # along each: a law that is broken between neighbours is broken over a span one can measure
_HIDDEN = 8  # units: few weights, as many as three measurements and a prior can place
Predict = Callable[[Mapping[str, Tensor]], Tensor]


@dataclass(frozen=True)
class SoftensEverywhere(Constraint):
    """Later and hotter is softer, and nothing is below zero, at all times and temperatures of the study.

    Checked between neighbours of a grid, whatever was measured. Each measured place stands for several points of the
    grid, of which it has the worst.
    """

    @property
    def law(self) -> str:
        return "softer when later or hotter, and not below zero"

    def violation(self, predict: Predict, inputs: Mapping[str, Tensor]) -> Tensor:
        shape = torch.broadcast_shapes(*(values.shape for values in inputs.values()))
        rounds = -(-(_POINTS**2) // shape[-1])
        time, kelvin = (values.to(inputs["time"]) for values in grid())
        later, hotter = _steps()
        breaches = []
        for first in range(rounds):
            place = (first + rounds * torch.arange(shape[-1])) % len(time)

            def value(at: Tensor, t: Tensor = time, k: Tensor = kelvin) -> Tensor:
                return predict({"time": t[at].expand(shape), "temperature": k[at].expand(shape)})

            here = value(place)
            rises = (value(later[place]) - here).clamp(min=0.0) + (value(hotter[place]) - here).clamp(min=0.0)
            breaches.append(rises + (-here).clamp(min=0.0))
        return torch.stack(breaches).amax(0)


def grid() -> tuple[Tensor, Tensor]:
    """Times and temperatures of the study, each with each, (point,)."""
    time = torch.as_tensor(np.geomspace(*TIMES, _POINTS))
    kelvin = torch.as_tensor(np.linspace(*KELVIN, _POINTS))
    return time.repeat_interleave(_POINTS), kelvin.repeat(_POINTS)


def _steps() -> tuple[Tensor, Tensor]:
    """The neighbours of each point of the grid, later and hotter; the last are their own."""
    time, kelvin = torch.arange(_POINTS).repeat_interleave(_POINTS), torch.arange(_POINTS).repeat(_POINTS)
    last = _POINTS - 1
    return (time + 1).clamp(max=last) * _POINTS + kelvin, time * _POINTS + (kelvin + 1).clamp(max=last)


_DECLARED: dict[str, Any] = {
    "inputs": {"time": Input("s", lower=0.0), "temperature": Input("K", lower=0.0)},
    "output": Output("hardness", "HRC", "hardness"),
    "noise": Additive((1.5,)),
    "constraints": (SoftensEverywhere(),),
}


def _scaled(time: Any, temperature: Any) -> tuple[Any, Any]:
    """lg(t/1 h) and (T − 673.15 K)/100 K."""
    return log(time / 3600.0) / 2.302585092994046, (temperature - 673.15) / 100.0


@equation(
    name="studies.softening_surface",
    parameters=[
        Parameter("level", "HRC", 42.0, spread=5.0, description="after an hour at 400 degC"),
        Parameter("by_time", "HRC", -2.0, spread=1.0, description="for ten times the time"),
        Parameter("by_temperature", "HRC", -6.0, spread=2.0, description="for 100 K"),
        Parameter("by_both", "HRC", -0.3, spread=0.5),
        Parameter("by_time_squared", "HRC", 0.0, spread=0.5),
        Parameter("by_temperature_squared", "HRC", -0.3, spread=0.5),
    ],
    **_DECLARED,
)
def softening_surface(
    time: Any,
    temperature: Any,
    *,
    level: Any,
    by_time: Any,
    by_temperature: Any,
    by_both: Any,
    by_time_squared: Any,
    by_temperature_squared: Any,
) -> Any:
    """Hardness as a quadratic in lg(t/1 h) and (T − 673.15 K)/100 K. An empirical fit: it knows no law."""
    x, y = _scaled(time, temperature)
    curved = by_both * x * y + by_time_squared * x**2 + by_temperature_squared * y**2
    return level + by_time * x + by_temperature * y + curved


def _network() -> Model:
    """Two inputs, one hidden layer, one output, each weight a parameter, from a start drawn once."""
    draw = np.random.default_rng(0)
    names = [f"{kind}_{unit}" for unit in range(_HIDDEN) for kind in ("time", "temperature", "offset", "out")]
    first = dict(zip(names, draw.standard_normal(len(names)), strict=True))
    parameters = [Parameter("level", "HRC", 42.0, spread=5.0)]
    parameters += [Parameter(name, "1", float(value), spread=0.5) for name, value in first.items()]

    def softening_network(time: Any, temperature: Any, **weights: Any) -> Any:
        """Hardness from a network with one hidden layer of hyperbolic tangents. It knows no law."""
        x, y = _scaled(time, temperature)
        total = 0.0
        for unit in range(_HIDDEN):
            inside = (
                weights[f"time_{unit}"] * x + weights[f"temperature_{unit}"] * y + weights[f"offset_{unit}"]
            )
            total = total + 5.0 * weights[f"out_{unit}"] * tanh(inside)
        return weights["level"] + total

    keyword = inspect.Parameter.KEYWORD_ONLY
    takes = ["time", "temperature", *(parameter.name for parameter in parameters)]
    softening_network.__signature__ = inspect.Signature([inspect.Parameter(name, keyword) for name in takes])  # type: ignore[attr-defined]
    return equation(name="studies.softening_network", parameters=parameters, **_DECLARED)(softening_network)


softening_network = _network()
