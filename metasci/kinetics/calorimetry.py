"""Calorimetry at a constant heating rate: the heat flow of a transformation."""

from __future__ import annotations

from typing import Any

from metasci.constraints import NonNegative
from metasci.kinetics.arrhenius import power
from metasci.kinetics.clocks import Arrhenius
from metasci.kinetics.histories import equivalent_time_of_ramp
from metasci.math import exp, maximum
from metasci.model import Input, Output, equation
from metasci.noise import Combined
from metasci.parameters import Parameter

__all__ = ["heat_flow"]

# K; where the rate is stated, amid the exotherms of aluminium alloys and amorphous metals
_CLOCK = Arrhenius(673.15)
_START = 298.15  # kelvin, where heating begins


@equation(
    inputs={"temperature": Input("K", lower=0.0), "heating_rate": Input("K/s", lower=1e-9)},
    output=Output("heat_flow", "W/g", "heat flow"),
    parameters=(
        Parameter("enthalpy", "J/g", 20.0, positive=True, spread=0.5, description="of the transformation"),
        Parameter("rate", "1/s", 1e-3, positive=True, spread=1.5, description="at 673 K"),
        Parameter("activation_energy", "kJ/mol", 200.0, bounds=(50.0, 600.0), spread=0.4),
        Parameter("exponent", "1", 2.0, bounds=(0.5, 4.0), spread=0.5, description="Avrami exponent"),
    ),
    noise=Combined((1e-3, 0.03)),
    constraints=(NonNegative(),),
)
def heat_flow(
    temperature: Any, heating_rate: Any, *, enthalpy: Any, rate: Any, activation_energy: Any, exponent: Any
) -> Any:
    """Heat flow ΔH·dX/dt of a transformation X = 1 − exp(−(∫ k dt)ⁿ), heated at a constant rate from 298 K.

    dX/dt = n k (∫ k dt)^(n−1) exp(−(∫ k dt)ⁿ), with an Arrhenius rate k(T) stated at 673.15 K. The peak moves with the
    heating rate as Kissinger says (`metasci.kinetics.kissinger`). Sources: Henderson, J Non-Cryst Solids 30 (1979) 301,
    for additivity under heating; Kissinger, Anal Chem 29 (1957) 1702.
    """
    duration = maximum(temperature - _START, 0.0) / heating_rate
    passed = equivalent_time_of_ramp(
        _CLOCK, duration, _START, heating_rate, activation_energy=activation_energy
    )
    now = rate * _CLOCK.speed(temperature, activation_energy=activation_energy)
    done = power(rate * passed, exponent)
    return enthalpy * exponent * now * power(rate * passed, exponent - 1.0) * exp(-done)
