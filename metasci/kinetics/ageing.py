"""Age hardening: strength rises as precipitates form, and falls as they coarsen."""

from __future__ import annotations

from typing import Any

from metasci.constraints import NonNegative
from metasci.kinetics.arrhenius import power
from metasci.kinetics.clocks import Arrhenius, Soluble
from metasci.kinetics.laws import kinetic_law
from metasci.math import expm1, where
from metasci.model import Output
from metasci.noise import Additive
from metasci.parameters import Parameter
from metasci.quantities import takes_quantities

__all__ = ["age_hardening", "precipitation_hardening"]

_REFERENCE = 448.15  # K
# where the shape below has its greatest value, and that value
_PEAK_AT, _PEAK = 1.3241312689, 0.4696786740


def _shape(progress: Any) -> Any:
    """Strength from precipitates that are cut (∝ P^(1/6)) or passed (∝ P^(−1/3)), times √ of the fraction formed."""
    formed = power(-expm1(-2.0 * progress), 0.5)
    return formed * power(progress, 1.0 / 6.0) / (1.0 + power(progress, 0.5))


@takes_quantities(relative_time="1")
def precipitation_hardening(relative_time: Any) -> Any:
    """Strength from precipitates, relative to its peak, after a time relative to that of the peak.

    Precipitates are cut while small (∝ P^(1/6)) and passed when coarse (∝ P^(−1/3)), the weaker of the two by the
    harmonic mean, times the root of the fraction formed. Source: Shercliff and Ashby, Acta Metall Mater 38 (1990) 1789.

    Examples
    --------
    >>> import numpy as np
    >>> precipitation_hardening(np.array([0.0, 0.1, 1.0, 100.0])).round(3).tolist()
    [0.0, 0.538, 1.0, 0.384]
    """
    return _shape(_PEAK_AT * relative_time) / _PEAK


@kinetic_law(
    Arrhenius(_REFERENCE),
    weighed={"stable_time": Soluble(_REFERENCE, enthalpy=40.0)},
    output=Output("yield_strength", "MPa", "yield strength"),
    parameters=(
        Parameter(
            "base_strength", "MPa", 80.0, positive=True, spread=0.4, description="without precipitates"
        ),
        Parameter(
            "hardening",
            "MPa",
            200.0,
            positive=True,
            spread=0.4,
            description="by precipitates at the peak, at 448 K",
        ),
        Parameter("peak_time", "h", 8.0, positive=True, spread=1.0, description="at 448 K"),
        Parameter("activation_energy", "kJ/mol", 130.0, bounds=(50.0, 300.0), spread=0.3),
        Parameter(
            "solvus_temperature",
            "K",
            570.0,
            bounds=(460.0, 900.0),
            spread=0.3,
            description="of the precipitates; above it nothing hardens",
        ),
    ),
    time="h",
    noise=Additive((8.0,)),
    constraints=(NonNegative(),),
)
def age_hardening(
    equivalent_time: Any, stable_time: Any, *, base_strength: Any, hardening: Any, peak_time: Any
) -> Any:
    """Yield strength σ = σ₀ + Δσ·√φ·g(t/t_peak), which rises to a peak and falls when the alloy is overaged.

    Precipitates are cut while small (∝ P^(1/6)) and passed when coarse (∝ P^(−1/3)), the weaker of the two by the
    harmonic mean, times the root of the fraction formed; P is time at temperature by Arrhenius. The fraction's time is
    tied to that of the peak. Their strength goes with the root of their volume, and φ is the volume that is stable at
    the temperature, relative to that at 448 K: φ = f(T)/f(448 K), f = 1 − exp(−Q_s/R (1/T − 1/T_s)), zero above the
    solvus T_s. Q_s is held at 40 kJ/mol, a round value: it says how fast hardening falls towards the solvus, not where
    it ends. Along a history φ is the mean over the temperatures passed, each weighed by its part of P: a short time
    above the solvus undoes what was hardened before, and cooling changes nothing.
    Source: Shercliff and Ashby, Acta Metall Mater 38 (1990) 1789.
    """
    begun = equivalent_time > 0.0
    stable = power(stable_time / where(begun, equivalent_time, 1.0 + 0.0 * equivalent_time), 0.5)
    return base_strength + hardening * stable * precipitation_hardening(equivalent_time / peak_time)
