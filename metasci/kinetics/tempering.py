"""Softening of quenched steel during tempering."""

from __future__ import annotations

from typing import Any

from metasci.constraints import Monotone, NonNegative
from metasci.kinetics.ageing import precipitation_hardening
from metasci.kinetics.arrhenius import power
from metasci.kinetics.clocks import Arrhenius
from metasci.kinetics.laws import kinetic_law
from metasci.math import exp, minimum, softplus, sqrt
from metasci.model import Output
from metasci.noise import Additive, Proportional
from metasci.parameters import Parameter

__all__ = [
    "REFERENCE_TEMPERATURE",
    "secondary_hardening",
    "tempering",
    "tempering_rockwell",
    "tempering_to_limit",
]

REFERENCE_TEMPERATURE = 973.15
"""Temperature (K) at which the rate is stated: there an hour's tempering and the rate are of one order,
so that the rate and the exponent can be told apart."""

_SOFTEST = 1.0  # HV, below any metal, so that a root of nothing is not asked for
_SECONDARY = 823.15  # kelvin, near which alloy carbides harden most after an hour or two

_COMPOSITION = (
    "carbon",
    "manganese",
    "phosphorus",
    "sulfur",
    "silicon",
    "nickel",
    "chromium",
    "molybdenum",
    "vanadium",
    "aluminium",
    "copper",
)

_KINETICS = (
    Parameter("rate", "1/s", 2e-4, positive=True, spread=1.5, description="of softening at 973 K"),
    Parameter("activation_energy", "kJ/mol", 200.0, positive=True, spread=0.3, description="of softening"),
    Parameter("exponent", "1", 0.12, positive=True, spread=0.3, description="of time"),
)
_SHARED: dict[str, Any] = {
    "constraints": (
        Monotone("time", increasing=False),
        Monotone("temperature", increasing=False),
        NonNegative(),
    ),
    "covariates": dict.fromkeys(_COMPOSITION, "percent"),
    "transforms": dict.fromkeys(_COMPOSITION, "sqrt"),
}
_ROCKWELL: dict[str, Any] = {
    "output": Output("hardness", "HRC", "hardness"),
    "parameters": (
        Parameter(
            "initial_hardness", "HRC", 57.0, bounds=(20.0, 75.0), spread=0.4, description="as quenched"
        ),
        *_KINETICS,
    ),
    "noise": Additive((1.5,)),
    **_SHARED,
}


@kinetic_law(Arrhenius(REFERENCE_TEMPERATURE), **_ROCKWELL)
def tempering(equivalent_time: Any, *, initial_hardness: Any, rate: Any, exponent: Any) -> Any:
    """Hardness H = H₀·exp(−(k t)ⁿ), with an Arrhenius rate k(T).

    Stretched-exponential (Kohlrausch–Avrami) softening towards zero, applied to the Rockwell C number
    itself. Sources: Hollomon and Jaffe, Trans AIME 162 (1945) 223, for time and temperature acting
    through one thermally activated quantity; Avrami, J Chem Phys 7 (1939) 1103, for the exponent.
    """
    return initial_hardness * exp(-power(rate * equivalent_time, exponent))


@kinetic_law(Arrhenius(REFERENCE_TEMPERATURE), **_ROCKWELL)
def tempering_rockwell(equivalent_time: Any, *, initial_hardness: Any, rate: Any, exponent: Any) -> Any:
    """The law of `tempering` for the Vickers hardness, HV = HV₀·exp(−(k t)ⁿ), read on the Rockwell C scale.

    A Rockwell number is not a quantity with a zero: it is 100 less a depth, so that an exponential decay of
    it has no physical meaning. Vickers hardness is force over area and has one. The two are tied by
    HRC = 116 − 1500/√HV, the square-root law of indentation depth, within 1.3 HRC of the conversion table
    of ASTM E140 from 20 to 65 HRC. Eliminating HV gives 116 − H = (116 − H₀)·exp((k t)ⁿ/2). Below about 5 HRC,
    far outside the scale's range, the reading approaches zero smoothly instead of crossing it.
    Sources: as of `tempering`; ASTM E140, table 1, for the conversion.
    """
    progress = power(rate * equivalent_time, exponent)
    # beyond (k t)ⁿ = 100 nothing is left; the exponential must not overflow there
    reading = 116.0 - (116.0 - initial_hardness) * exp(0.5 * minimum(progress, 100.0))
    return 2.0 * softplus(0.5 * reading)


@kinetic_law(
    Arrhenius(REFERENCE_TEMPERATURE),
    output=Output("hardness", "HV", "Vickers hardness"),
    parameters=(
        Parameter("initial_hardness", "HV", 650.0, positive=True, spread=0.25, description="as quenched"),
        Parameter(
            "final_share", "1", 0.2, bounds=(0.0, 1.0), spread=0.5, description="of hardness that stays"
        ),
        *_KINETICS,
    ),
    noise=Proportional((0.04,)),
    **_SHARED,
)
def tempering_to_limit(
    equivalent_time: Any, *, initial_hardness: Any, final_share: Any, rate: Any, exponent: Any
) -> Any:
    """Vickers hardness that softens to a limit, HV = HV₀·(f + (1 − f)·exp(−(k t)ⁿ)), with an Arrhenius rate k(T).

    The share f that stays is that of the tempered ferrite; it lies between 0 and 1, so that the limit is neither below
    zero nor above the start. Sources: as of `tempering`; the limit as in Zhang, Delagnes and Bernhart, Mater Sci Eng A
    380 (2004) 222.
    """
    left = exp(-power(rate * equivalent_time, exponent))
    return initial_hardness * (final_share + (1.0 - final_share) * left)


@kinetic_law(
    Arrhenius(_SECONDARY),
    output=Output("hardness", "HRC", "hardness"),
    parameters=(
        Parameter(
            "initial_hardness", "HRC", 55.0, bounds=(20.0, 75.0), spread=0.4, description="as quenched"
        ),
        Parameter("rate", "1/s", 2e-6, positive=True, spread=1.5, description="of softening at 823 K"),
        Parameter("activation_energy", "kJ/mol", 250.0, positive=True, spread=0.2, description="of both"),
        Parameter("exponent", "1", 0.15, positive=True, spread=0.3, description="of time"),
        Parameter(
            "secondary_hardness",
            "HV",
            200.0,
            positive=True,
            spread=0.4,
            description="by carbides at the peak",
        ),
        Parameter("peak_time", "s", 7200.0, positive=True, spread=1.0, description="at 823 K"),
    ),
    noise=Additive((1.5,)),
    **{**_SHARED, "constraints": (NonNegative(),)},
)
def secondary_hardening(
    equivalent_time: Any,
    *,
    initial_hardness: Any,
    rate: Any,
    exponent: Any,
    secondary_hardness: Any,
    peak_time: Any,
) -> Any:
    """Hardness of a tool steel that hardens again while it is tempered: the law of `tempering_rockwell` and carbides.

    HV = HV₀·exp(−(k t)ⁿ) + ΔHV·g(t/t_peak), read on the Rockwell C scale by HRC = 116 − 1500/√HV; g is the strength of
    precipitates that form and coarsen (`metasci.kinetics.ageing.precipitation_hardening`), one at its peak. One
    activation energy carries both, that of diffusion in ferrite. Sources: as of `tempering_rockwell`; Shercliff and
    Ashby, Acta Metall Mater 38 (1990) 1789, for the precipitates.
    """
    softened = (1500.0 / (116.0 - initial_hardness)) ** 2 * exp(
        -minimum(power(rate * equivalent_time, exponent), 100.0)
    )
    hardness = softened + secondary_hardness * precipitation_hardening(equivalent_time / peak_time)
    return 2.0 * softplus(0.5 * (116.0 - 1500.0 / sqrt(hardness + _SOFTEST)))
