"""Growth of a fatigue crack under cyclic load."""

from __future__ import annotations

from typing import Any

from metasci.constraints import Bounded, Monotone
from metasci.math import exp, log, minimum, where
from metasci.model import Input, Output, equation
from metasci.noise import Additive
from metasci.parameters import Parameter

__all__ = ["crack_growth"]

_NEAR_FAILURE = 0.02
_LONGEST = 200.0  # logarithm of a length that only an absurd extrapolation reaches


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
    left = 1.0 - exponent * growth_rate * cycles
    # a rational continuation with the same value and slope keeps gradients alive beyond failure
    beyond = _NEAR_FAILURE**2 / (2.0 * _NEAR_FAILURE - where(left < _NEAR_FAILURE, left, 0.0 * left))
    return exp(minimum(-log(where(left < _NEAR_FAILURE, beyond, left)) / exponent, _LONGEST))
