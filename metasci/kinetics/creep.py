"""Creep: its steady rate, the strain it adds up to, and the time to rupture."""

from __future__ import annotations

from typing import Any

from metasci.constraints import Monotone, NonNegative
from metasci.kinetics.arrhenius import arrhenius_factor
from metasci.kinetics.clocks import Arrhenius
from metasci.kinetics.laws import kinetic_law
from metasci.math import exp, log, maximum, minimum
from metasci.model import Input, Output, equation
from metasci.noise import Combined, LogNormal
from metasci.parameters import Parameter

__all__ = ["creep_strain", "larson_miller_rupture", "minimum_creep_rate"]

_REFERENCE = 873.15  # kelvin
_STRESS = 100.0  # MPa, at which rates and parameters are stated
_LN_10 = 2.302585092994046
_LARGEST = 300.0  # exponent: e^300 is far beyond any rate, and its square still a number
_LEAST_STRESS = 1e-6  # MPa, so that no stress has a logarithm

_FLOW = (
    Parameter("rate", "1/h", 1e-5, positive=True, spread=2.0, description="of strain at 873 K and 100 MPa"),
    Parameter("stress_exponent", "1", 5.0, bounds=(1.0, 20.0), spread=0.5),
    Parameter("activation_energy", "kJ/mol", 350.0, bounds=(50.0, 900.0), spread=0.4),
)


def _of_stress(stress: Any, exponent: Any) -> Any:
    return exp(minimum(exponent * log(maximum(stress, _LEAST_STRESS) / _STRESS), _LARGEST))


@equation(
    inputs={"stress": Input("MPa", lower=0.0), "temperature": Input("K", lower=0.0)},
    output=Output("creep_rate", "1/h", "minimum creep rate"),
    parameters=_FLOW,
    noise=LogNormal((0.3,)),
    constraints=(
        Monotone("stress", increasing=True),
        Monotone("temperature", increasing=True),
        NonNegative(),
    ),
)
def minimum_creep_rate(
    stress: Any, temperature: Any, *, rate: Any, stress_exponent: Any, activation_energy: Any
) -> Any:
    """Steady creep rate ε̇ = A (σ/100 MPa)ⁿ exp(−Q/R (1/T − 1/873 K)).

    Sources: Norton, The Creep of Steel at High Temperatures (1929), for stress; Dorn, J Mech Phys Solids 3 (1955) 85,
    for temperature.
    """
    return (
        rate
        * _of_stress(stress, stress_exponent)
        * arrhenius_factor(temperature, activation_energy, _REFERENCE)
    )


@kinetic_law(
    Arrhenius(_REFERENCE),
    inputs={"stress": Input("MPa", lower=0.0)},
    output=Output("strain", "1", "creep strain"),
    parameters=_FLOW,
    time="h",
    noise=Combined((1e-4, 0.1)),
    constraints=(
        Monotone("time", increasing=True),
        Monotone("stress", increasing=True),
        Monotone("temperature", increasing=True),
        NonNegative(),
    ),
)
def creep_strain(equivalent_time: Any, stress: Any, *, rate: Any, stress_exponent: Any) -> Any:
    """Strain of steady creep under a constant stress, ε = ∫ ε̇ dt, with the rate of `minimum_creep_rate`.

    Sources: as there. Primary and tertiary creep are not in it.
    """
    return rate * _of_stress(stress, stress_exponent) * equivalent_time


@equation(
    inputs={"stress": Input("MPa", lower=0.0), "temperature": Input("K", lower=1.0)},
    output=Output("rupture_time", "h", "time to rupture"),
    parameters=(
        Parameter("parameter_at_100_MPa", "kK", 22.0, positive=True, spread=0.1, description="T (C + lg t)"),
        Parameter("slope", "kK", 5.0, positive=True, spread=0.4, description="its fall for tenfold stress"),
        Parameter("constant", "1", 20.0, bounds=(5.0, 50.0), spread=0.3, description="C"),
    ),
    noise=LogNormal((0.4,)),
    constraints=(
        Monotone("stress", increasing=False),
        Monotone("temperature", increasing=False),
        NonNegative(),
    ),
)
def larson_miller_rupture(
    stress: Any, temperature: Any, *, parameter_at_100_MPa: Any, slope: Any, constant: Any
) -> Any:
    """Time to rupture t from T (C + lg t) = P(σ), t in hours, T in kelvin, P falling with the logarithm of stress.

    Rupture times fall with temperature as long as P(σ) is above zero, where the law has a meaning.
    Source: Larson and Miller, Trans ASME 74 (1952) 765.
    """
    tens = log(maximum(stress, _LEAST_STRESS) / _STRESS) / _LN_10
    least = 1e-3  # a parameter below zero would say that heat prolongs life
    parameter = maximum(1000.0 * (parameter_at_100_MPa - slope * tens), least)
    return exp(minimum(_LN_10 * (parameter / temperature - constant), _LARGEST))
