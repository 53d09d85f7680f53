"""Isothermal phase transformation."""

from __future__ import annotations

from typing import Any

from metasci.constraints import Bounded, Monotone
from metasci.kinetics.arrhenius import stretched_progress
from metasci.math import expm1
from metasci.model import Input, Output, equation
from metasci.noise import Additive
from metasci.parameters import Parameter

__all__ = ["avrami"]


@equation(
    inputs={"time": Input("s", lower=0.0), "temperature": Input("K", lower=0.0)},
    output=Output("fraction", "1", "transformed fraction"),
    parameters=(
        Parameter("rate", "1/s", 1e-3, positive=True, spread=1.0, description="at 873 K"),
        Parameter("activation_energy", "kJ/mol", 250.0, bounds=(50.0, 600.0), spread=0.4),
        Parameter("exponent", "1", 2.0, bounds=(0.5, 4.0), spread=0.5, description="Avrami exponent"),
    ),
    noise=Additive((0.02,)),
    constraints=(Monotone("time", increasing=True), Bounded(0.0, 1.0)),
)
def avrami(time: Any, temperature: Any, *, rate: Any, activation_energy: Any, exponent: Any) -> Any:
    """Transformed fraction X = 1 − exp(−(k t)ⁿ), with an Arrhenius rate k(T) stated at 873.15 K.

    Sources: Johnson and Mehl, Trans AIME 135 (1939) 416; Avrami, J Chem Phys 7 (1939) 1103.
    """
    return -expm1(-stretched_progress(time, temperature, rate, activation_energy, exponent, 873.15))
