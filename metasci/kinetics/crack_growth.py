"""Growth of a fatigue crack under cyclic load."""

from __future__ import annotations

from typing import Any

from metasci.constraints import Bounded, Monotone
from metasci.math import exp, log, maximum, minimum, where
from metasci.model import Input, Output, equation
from metasci.noise import Additive, LogNormal
from metasci.parameters import Parameter

__all__ = ["crack_growth", "paris_crack_length", "paris_growth_rate"]

_NEAR_FAILURE = 0.02  # share of life left, below which growth goes on smoothly instead of to infinity
_LONGEST = 200.0  # logarithm of a length that only an absurd extrapolation reaches
_INTENSITY = 20.0  # MPa √m, at which growth is stated
_LEAST = 1e-9  # below any crack or intensity that is measured, above zero for the logarithm

_PARIS = (
    Parameter("growth", "mm/cycle", 1e-4, positive=True, spread=1.0, description="a cycle, at 20 MPa √m"),
    Parameter("paris_exponent", "1", 3.2, bounds=(2.05, 8.0), spread=0.4),
)


@equation(
    inputs={"cycles": Input("Mcycle", lower=0.0)},
    output=Output("relative_length", "1", "crack length relative to the first"),
    parameters=(
        Parameter(
            "exponent",
            "1",
            1.0,
            positive=True,
            spread=0.5,
            description="of growth with length, half of Paris's less one",
        ),
        Parameter(
            "growth_rate",
            "1/Mcycle",
            4.0,
            positive=True,
            spread=0.4,
            description="relative, of the first crack",
        ),
    ),
    noise=Additive((0.01,)),
    constraints=(Monotone("cycles", increasing=True), Bounded(lower=1.0)),
)
def crack_growth(cycles: Any, *, exponent: Any, growth_rate: Any) -> Any:
    """Relative crack length a(N) = (1 − m b N)^(−1/m): the law of Paris, da/dN = b·a^(m+1), integrated from a(0) = 1.

    The specimen fails where m b N reaches one; within 2 % of that the length goes on rising but stays finite.
    Sources: Paris and Erdogan, J Basic Eng 85 (1963) 528; in this form Lu and Meeker, Technometrics 35 (1993) 161.
    """
    return _relative_length(growth_rate * cycles, exponent)


def _relative_length(advance: Any, exponent: Any) -> Any:
    """The solution of da/dx = a^(m+1) from one, and what continues it where it would be infinite."""
    left = 1.0 - exponent * advance
    # a rational continuation with the same value and slope keeps gradients alive beyond failure
    beyond = _NEAR_FAILURE**2 / (2.0 * _NEAR_FAILURE - where(left < _NEAR_FAILURE, left, 0.0 * left))
    return exp(minimum(-log(where(left < _NEAR_FAILURE, beyond, left)) / exponent, _LONGEST))


@equation(
    inputs={"stress_intensity_range": Input("MPa*m**0.5", lower=0.0)},
    output=Output("growth_per_cycle", "mm/cycle", "crack growth per cycle"),
    parameters=_PARIS,
    noise=LogNormal((0.2,)),
    constraints=(Monotone("stress_intensity_range", increasing=True), Bounded(lower=0.0)),
)
def paris_growth_rate(stress_intensity_range: Any, *, growth: Any, paris_exponent: Any) -> Any:
    """Crack growth per cycle, da/dN = C·(ΔK/20 MPa√m)^m; between the threshold and fast fracture only.

    Source: Paris and Erdogan, J Basic Eng 85 (1963) 528.
    """
    return growth * _of_intensity(stress_intensity_range, paris_exponent)


@equation(
    inputs={
        "cycles": Input("cycle", lower=0.0),
        "stress_range": Input("MPa", lower=0.0),
        "initial_length": Input("mm", lower=0.0),
    },
    output=Output("crack_length", "mm", "crack length"),
    parameters=_PARIS,
    noise=LogNormal((0.03,)),
    constraints=(
        Monotone("cycles", increasing=True),
        Monotone("stress_range", increasing=True),
        Bounded(lower=0.0),
    ),
)
def paris_crack_length(
    cycles: Any, stress_range: Any, initial_length: Any, *, growth: Any, paris_exponent: Any
) -> Any:
    """Length of a crack in a wide plate, da/dN = C·(Δσ√(πa)/20 MPa√m)^m integrated from its initial length.

    Half the length of a central crack, or the whole of an edge crack with its factor of 1.12 in the stress. Near the
    failure it continues as `crack_growth` does. Source: Paris and Erdogan, J Basic Eng 85 (1963) 528.
    """
    start = maximum(initial_length, _LEAST)
    intensity = stress_range * exp(
        0.5 * log(3.141592653589793e-3 * start)
    )  # the length in metres under the root
    advance = growth / start * _of_intensity(intensity, paris_exponent) * cycles
    return start * _relative_length(advance, 0.5 * paris_exponent - 1.0)


def _of_intensity(intensity: Any, exponent: Any) -> Any:
    return exp(exponent * log(maximum(intensity, _LEAST) / _INTENSITY))
