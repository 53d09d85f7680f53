"""How long a specimen lasts under a load, with run-outs."""

from __future__ import annotations

from typing import Any

from metasci.constraints import Monotone
from metasci.math import exp, log
from metasci.model import Input, Output, equation
from metasci.outcomes import Weibull
from metasci.parameters import Parameter

__all__ = ["stress_life"]


@equation(
    inputs={"amplitude": Input("MPa", lower=0.0)},
    output=Output("cycles", "kcycle", "cycles to failure"),
    parameters=(
        Parameter(
            "life", "kcycle", 100.0, positive=True, spread=1.5, description="at 300 MPa: 63 % have failed"
        ),
        Parameter("exponent", "1", 8.0, positive=True, spread=0.4, description="of life with stress"),
    ),
    noise=Weibull(),
    constraints=(Monotone("amplitude", increasing=False),),
)
def stress_life(amplitude: Any, *, life: Any, exponent: Any) -> Any:
    """Life N = N₃₀₀ (S/300 MPa)^(−b), of which specimens scatter as Weibull; a run-out is written ``>10000``.

    Sources: Basquin, Proc ASTM 10 (1910) 625; Weibull, J Appl Mech 18 (1951) 293.
    """
    return life * exp(-exponent * log(amplitude / 300.0))
