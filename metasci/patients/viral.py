"""HIV in blood under therapy: the differential equation of infected cells and virus, and biphasic decay."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from metasci.constraints import Monotone
from metasci.math import softplus
from metasci.model import Input, Output, equation
from metasci.noise import Additive
from metasci.parameters import Parameter
from metasci.patients.dynamics import Dynamics, apart, stacked

if TYPE_CHECKING:
    from torch import Tensor

    from metasci.ode import Solution

__all__ = ["viral_decay_biphasic", "viral_load", "viral_solution"]

_LN10 = math.log(10.0)
_RNA = Output("log10_rna_copies", "1", "HIV RNA (log10 copies/mL)")
_DAYS = {"time": Input("day")}


def _viral_rate(time: Tensor, state: Tensor, p: Mapping[str, Tensor]) -> Tensor:
    """Of the logarithms of cells and virus over what they were before therapy: they stay above zero by themselves."""
    short, long, virus = apart(state)
    infecting = 1.0 - p["efficacy"]
    short_share = 1.0 - p["long_lived_fraction"]
    return stacked(
        p["infected_loss"] * (infecting * (virus - short).exp() - 1.0),
        p["long_lived_loss"] * (infecting * (virus - long).exp() - 1.0),
        p["virus_clearance"]
        * (short_share * (short - virus).exp() + p["long_lived_fraction"] * (long - virus).exp() - 1.0),
    )


_VIRUS = Dynamics(
    rate=_viral_rate,
    initial=lambda p: (0.0 * p["efficacy"], 0.0 * p["efficacy"], 0.0 * p["efficacy"]),
    method="stiff",
    relative=1e-7,
    absolute=1e-7,  # states are logarithms: this is relative to cells and virus
)


def viral_solution(inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> Solution:
    """The `metasci.ode.Solution` behind `viral_load`: logarithms of cells and virus over those before therapy."""
    return _VIRUS.solution(inputs, {name: v for name, v in parameters.items() if name != "log10_baseline"})


@equation(
    inputs=_DAYS,
    output=_RNA,
    parameters=(
        Parameter(
            "log10_baseline", "1", 5.0, spread=0.7, description="viral load before therapy, log10 copies/mL"
        ),
        Parameter(
            "infected_loss", "1/day", 0.5, positive=True, spread=0.3, description="of infected cells, δ"
        ),
        Parameter("virus_clearance", "1/day", 6.0, positive=True, spread=0.5, description="of free virus, c"),
        Parameter("efficacy", "1", 0.95, bounds=(0.0, 1.0), spread=1.0, description="of the therapy, ε"),
        Parameter(
            "long_lived_fraction",
            "1",
            0.03,
            bounds=(0.0, 1.0),
            spread=0.8,
            description="of virus from long-lived infected cells, before therapy",
        ),
        Parameter(
            "long_lived_loss", "1/day", 0.04, positive=True, spread=0.4, description="of those cells, μ"
        ),
    ),
    noise=Additive((0.25,)),
    constraints=(Monotone("time", increasing=False),),
    joint=True,
    solution=viral_solution,
)
def viral_load(
    time: Any,
    *,
    log10_baseline: Any,
    infected_loss: Any,
    virus_clearance: Any,
    efficacy: Any,
    long_lived_fraction: Any,
    long_lived_loss: Any,
) -> Any:
    """Viral load under therapy from day 0 on, at steady state before, with short- and long-lived infected cells.

    dI/dt = (1−ε)·k·T·V − δI, dM/dt = (1−ε)·k′·V − μM, dV/dt = p·I + p′·M − cV at a constant number T of target
    cells; the products of constants follow from the steady state and the share f of virus that comes from M.
    Source: Perelson, Neumann, Markowitz, Leonard and Ho, Science 271 (1996) 1582; Perelson et al., Nature 387
    (1997) 188; Perelson and Nelson, SIAM Rev 41 (1999) 3.
    """
    parameters = {
        "infected_loss": infected_loss,
        "virus_clearance": virus_clearance,
        "efficacy": efficacy,
        "long_lived_fraction": long_lived_fraction,
        "long_lived_loss": long_lived_loss,
    }
    _, _, virus = _VIRUS.states({"time": time}, parameters)
    return log10_baseline + virus / _LN10


@equation(
    inputs={"time": Input("day", lower=0.0)},
    output=_RNA,
    parameters=(
        Parameter(
            "log10_first", "1", 5.0, spread=0.7, description="virus of the first phase, log10 copies/mL"
        ),
        Parameter(
            "first_loss", "1/day", 0.45, positive=True, spread=0.3, description="rate of the first phase"
        ),
        Parameter(
            "log10_second", "1", 3.2, spread=0.7, description="virus of the second phase, log10 copies/mL"
        ),
        Parameter(
            "second_loss", "1/day", 0.04, positive=True, spread=0.5, description="rate of the second phase"
        ),
    ),
    noise=Additive((0.25,)),
    constraints=(Monotone("time", increasing=False),),
)
def viral_decay_biphasic(
    time: Any, *, log10_first: Any, first_loss: Any, log10_second: Any, second_loss: Any
) -> Any:
    """Viral load in two phases of decay under potent therapy, V = P₁·e^(−d₁t) + P₂·e^(−d₂t), as log10 V.

    Source: Wu and Ding, Biometrics 55 (1999) 410, on the trial ACTG 315.
    """
    first, second = _LN10 * log10_first - first_loss * time, _LN10 * log10_second - second_loss * time
    return (first + softplus(second - first)) / _LN10
