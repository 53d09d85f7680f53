"""Yield strength over temperature."""

from __future__ import annotations

from typing import Any

from metasci.constraints import Monotone, NonNegative
from metasci.math import exp, softplus
from metasci.model import Input, Output, equation
from metasci.noise import LogNormal
from metasci.parameters import Parameter

__all__ = ["yield_strength"]

_WIDTH = 60.0  # kelvin, over which one regime gives way to the other
_ROOM = 298.15


@equation(
    inputs={"temperature": Input("K", lower=0.0)},
    output=Output("yield_strength", "MPa", "yield strength"),
    parameters=(
        Parameter("strength", "MPa", 700.0, positive=True, spread=0.6, description="at 298 K"),
        Parameter(
            "softening", "1/kK", 0.5, positive=True, spread=0.6, description="of ln strength, below the break"
        ),
        Parameter(
            "hot_softening", "1/kK", 2.5, positive=True, spread=0.6, description="further, above the break"
        ),
        Parameter(
            "break_temperature",
            "K",
            1000.0,
            bounds=(500.0, 1800.0),
            spread=0.5,
            description="where diffusion begins to carry flow",
        ),
    ),
    noise=LogNormal((0.2,)),
    constraints=(Monotone("temperature", increasing=False), NonNegative()),
)
def yield_strength(
    temperature: Any, *, strength: Any, softening: Any, hot_softening: Any, break_temperature: Any
) -> Any:
    """Yield strength whose logarithm falls along two lines, ln σ = ln σ₂₉₈ − a (T − 298 K) − b (T − T_b)₊.

    Below the break glide limits the strength, above it diffusion; the corner is rounded over some 60 K. Source:
    Steingrimsson, Fan, Yang, Gao, Zhang and Liaw, npj Comput Mater 7 (2021) 152, the bilinear log model, there for
    ultimate strengths.
    """
    beyond, at_room = (
        _WIDTH * softplus((kelvin - break_temperature) / _WIDTH) for kelvin in (temperature, _ROOM)
    )
    fall = softening * (temperature - _ROOM) + hot_softening * (beyond - at_room)
    return strength * exp(-0.001 * fall)
