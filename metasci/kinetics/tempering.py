"""Softening of quenched steel during tempering."""

from __future__ import annotations

from typing import Any

from metasci.constraints import Monotone, NonNegative
from metasci.kinetics.arrhenius import stretched_progress
from metasci.math import exp, minimum, softplus
from metasci.model import Input, Output, equation
from metasci.noise import Additive
from metasci.parameters import Parameter

__all__ = ["REFERENCE_TEMPERATURE", "tempering", "tempering_rockwell"]

REFERENCE_TEMPERATURE = 973.15
"""Temperature (K) at which the rate is stated: there an hour's tempering and the rate are of one order,
so that the rate and the exponent can be told apart."""

_COMPOSITION = (
    "carbon", "manganese", "phosphorus", "sulfur", "silicon", "nickel",
    "chromium", "molybdenum", "vanadium", "aluminium", "copper",
)  # fmt: skip

_DECLARATION: dict[str, Any] = {
    "inputs": {"time": Input("s", lower=0.0), "temperature": Input("K", lower=0.0)},
    "output": Output("hardness", "HRC", "hardness"),
    "parameters": (
        Parameter(
            "initial_hardness", "HRC", 57.0, bounds=(20.0, 75.0), spread=0.4, description="as quenched"
        ),
        Parameter("rate", "1/s", 2e-4, positive=True, spread=1.5, description="of softening at 973 K"),
        Parameter(
            "activation_energy", "kJ/mol", 200.0, positive=True, spread=0.3, description="of softening"
        ),
        Parameter("exponent", "1", 0.12, positive=True, spread=0.3, description="of time"),
    ),
    "noise": Additive((1.5,)),
    "constraints": (
        Monotone("time", increasing=False),
        Monotone("temperature", increasing=False),
        NonNegative(),
    ),
    "covariates": dict.fromkeys(_COMPOSITION, "percent"),
    "transforms": dict.fromkeys(_COMPOSITION, "sqrt"),
}


@equation(**_DECLARATION)
def tempering(
    time: Any, temperature: Any, *, initial_hardness: Any, rate: Any, activation_energy: Any, exponent: Any
) -> Any:
    """Hardness H = H₀·exp(−(k t)ⁿ), with an Arrhenius rate k(T).

    Stretched-exponential (Kohlrausch–Avrami) softening towards zero, applied to the Rockwell C number
    itself. Sources: Hollomon and Jaffe, Trans AIME 162 (1945) 223, for time and temperature acting
    through one thermally activated quantity; Avrami, J Chem Phys 7 (1939) 1103, for the exponent.
    """
    progress = stretched_progress(time, temperature, rate, activation_energy, exponent, REFERENCE_TEMPERATURE)
    return initial_hardness * exp(-progress)


@equation(**_DECLARATION)
def tempering_rockwell(
    time: Any, temperature: Any, *, initial_hardness: Any, rate: Any, activation_energy: Any, exponent: Any
) -> Any:
    """The law of `tempering` for the Vickers hardness, HV = HV₀·exp(−(k t)ⁿ), read on the Rockwell C scale.

    A Rockwell number is not a quantity with a zero: it is 100 less a depth, so that an exponential decay of
    it has no physical meaning. Vickers hardness is force over area and has one. The two are tied by
    HRC = 116 − 1500/√HV, the square-root law of indentation depth, within 1.3 HRC of the conversion table
    of ASTM E140 from 20 to 65 HRC. Eliminating HV gives 116 − H = (116 − H₀)·exp((k t)ⁿ/2). Below about 5 HRC,
    far outside the scale's range, the reading approaches zero smoothly instead of crossing it.
    """
    progress = stretched_progress(time, temperature, rate, activation_energy, exponent, REFERENCE_TEMPERATURE)
    # beyond (k t)ⁿ = 100 nothing is left; the exponential must not overflow there
    reading = 116.0 - (116.0 - initial_hardness) * exp(0.5 * minimum(progress, 100.0))
    return 2.0 * softplus(0.5 * reading)
