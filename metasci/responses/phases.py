"""Which phase an alloy of several principal elements has, from its valence electrons."""

from __future__ import annotations

from typing import Any

from metasci.math import stack
from metasci.model import Input, Output, equation
from metasci.outcomes import Categorical
from metasci.parameters import Parameter

__all__ = ["alloy_phase"]

_USUAL, _APART = 7.0, 1.5  # valence electrons of an atom, and how far alloys lie apart


@equation(
    inputs={"electrons": Input("1", lower=1.0, upper=12.0)},
    output=Output("phase", "1", "phase"),
    parameters=(
        Parameter("bcc", "1", 0.0, spread=1.0, description="log-odds of BCC against FCC, at 7 electrons"),
        Parameter("bcc_electrons", "1", 0.0, spread=2.0, description="what 1.5 electrons more add to them"),
        Parameter("other", "1", 0.0, spread=1.0, description="log-odds of anything else against FCC"),
        Parameter("other_electrons", "1", 0.0, spread=2.0, description="what 1.5 electrons more add to them"),
    ),
    noise=Categorical(classes=("FCC", "BCC", "other")),
)
def alloy_phase(electrons: Any, *, bcc: Any, bcc_electrons: Any, other: Any, other_electrons: Any) -> Any:
    """Log-odds of a single BCC phase, and of anything else or more, against a single FCC phase.

    Lines in the number of valence electrons, averaged over the atoms.

    Source: Guo, Ng, Lu and Liu, J Appl Phys 109 (2011) 103505, for the electrons.
    """
    away = (electrons - _USUAL) / _APART
    return stack([bcc + bcc_electrons * away, other + other_electrons * away])
