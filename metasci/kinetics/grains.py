"""Recrystallisation of deformed metal, and growth of its grains."""

from __future__ import annotations

from typing import Any

from metasci.constraints import Bounded, Monotone, NonNegative
from metasci.kinetics.arrhenius import power
from metasci.kinetics.clocks import Arrhenius
from metasci.kinetics.laws import kinetic_law
from metasci.math import exp, expm1, log, log1p, minimum
from metasci.model import Input, Output
from metasci.noise import Additive, LogNormal
from metasci.parameters import Parameter

__all__ = ["grain_growth", "recrystallisation"]

_LN_2 = 0.6931471805599453
_UNIT_SIZE = 10.0  # micrometre, at which the rate of growth is stated
_LONGEST = 200.0  # logarithm of a growth that only an absurd extrapolation reaches


@kinetic_law(
    Arrhenius(1273.15),
    inputs={"strain": Input("1", lower=0.0)},
    output=Output("fraction", "1", "recrystallised fraction"),
    parameters=(
        Parameter(
            "half_time",
            "s",
            1.0,
            positive=True,
            spread=1.0,
            description="until half is recrystallised, at 1273 K after a strain of 0.3",
        ),
        Parameter("strain_exponent", "1", 2.5, positive=True, spread=0.4, description="of the rate"),
        Parameter("activation_energy", "kJ/mol", 250.0, bounds=(50.0, 600.0), spread=0.4),
        Parameter("exponent", "1", 1.0, bounds=(0.3, 4.0), spread=0.5, description="Avrami exponent"),
    ),
    noise=Additive((0.04,)),
    constraints=(Monotone("time", increasing=True), Monotone("strain", increasing=True), Bounded(0.0, 1.0)),
)
def recrystallisation(
    equivalent_time: Any, strain: Any, *, half_time: Any, strain_exponent: Any, exponent: Any
) -> Any:
    """Fraction X = 1 − exp(−ln 2·(t/t₅₀)ⁿ) statically recrystallised, with t₅₀ falling with strain, t₅₀ ∝ ε^(−p).

    Source: Sellars and Whiteman, Met Sci 13 (1979) 187.
    """
    pace = equivalent_time / half_time * power(strain / 0.3, strain_exponent)
    return -expm1(-_LN_2 * power(pace, exponent))


@kinetic_law(
    Arrhenius(1273.15),
    output=Output("grain_size", "um", "mean grain size"),
    parameters=(
        Parameter("initial_size", "um", 15.0, positive=True, spread=0.5, description="before growth"),
        Parameter(
            "rate", "1/s", 1e-3, positive=True, spread=1.5, description="in (10 um)^m a second, at 1273 K"
        ),
        Parameter("activation_energy", "kJ/mol", 300.0, bounds=(50.0, 800.0), spread=0.4),
        Parameter(
            "exponent", "1", 3.0, bounds=(1.5, 8.0), spread=0.4, description="m; 2 if curvature alone drives"
        ),
    ),
    noise=LogNormal((0.08,)),
    constraints=(Monotone("time", increasing=True), Monotone("temperature", increasing=True), NonNegative()),
)
def grain_growth(equivalent_time: Any, *, initial_size: Any, rate: Any, exponent: Any) -> Any:
    """Mean grain size from d^m = d₀^m + k t, with an Arrhenius rate k(T).

    Sources: Burke and Turnbull, Prog Met Phys 3 (1952) 220, for m = 2; Hu and Rath, Metall Trans 1 (1970) 3181, for m.
    """
    start = log(initial_size / _UNIT_SIZE)
    grown = rate * equivalent_time * exp(minimum(-exponent * start, _LONGEST))
    return _UNIT_SIZE * exp(minimum(start + log1p(grown) / exponent, _LONGEST))
