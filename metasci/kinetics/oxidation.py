"""Growth of an oxide scale that is limited by diffusion through it."""

from __future__ import annotations

from typing import Any

from metasci.constraints import Monotone, NonNegative
from metasci.kinetics.arrhenius import power
from metasci.kinetics.clocks import Arrhenius
from metasci.kinetics.laws import kinetic_law
from metasci.model import Output
from metasci.noise import Combined
from metasci.parameters import Parameter

__all__ = ["parabolic_oxidation"]


@kinetic_law(
    Arrhenius(1273.15),
    output=Output("mass_gain", "mg/cm**2", "mass gain"),
    parameters=(
        Parameter(
            "parabolic_constant", "mg**2/cm**4/h", 0.02, positive=True, spread=1.5, description="at 1273 K"
        ),
        Parameter("activation_energy", "kJ/mol", 250.0, bounds=(50.0, 600.0), spread=0.4),
    ),
    time="h",
    noise=Combined((0.02, 0.05)),
    constraints=(Monotone("time", increasing=True), Monotone("temperature", increasing=True), NonNegative()),
)
def parabolic_oxidation(equivalent_time: Any, *, parabolic_constant: Any) -> Any:
    """Mass gain w = √(k_p t) of a dense scale, with an Arrhenius constant k_p(T).

    Source: Wagner, Z Phys Chem B 21 (1933) 25.
    """
    return power(parabolic_constant * equivalent_time, 0.5)
