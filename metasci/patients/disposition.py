"""Linear compartments in closed form: how a unit amount in the central compartment falls, as a sum of exponentials.

A mammillary model with clearance CL, volumes V₁, V₂, V₃ and intercompartmental clearances Q₂, Q₃ has the unit impulse
response Σₖ Aₖ e^(−λₖt)/V₁ with ΣAₖ = 1. Its rates λ are the roots of the characteristic polynomial: a quadratic one, or
a cubic one solved by Viète's cosines and polished by Newton steps.

Source: Gibaldi and Perrier, Pharmacokinetics, 2nd ed. (1982), chapter 2 and appendix B; Bertrand and Mentré,
Mathematical expressions of the pharmacokinetic and pharmacodynamic models implemented in the PFIM software (2008).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from metasci.math import arccos, cos, detached, maximum, minimum, sqrt, stack

__all__ = ["Modes", "modes"]

# from eigenvalues in closed form, which are good to some digits: two leave rounding. They are also what makes
# derivatives right, up to the third, since the eigenvalues are known numbers to these
_NEWTON = 2


@dataclass(frozen=True)
class Modes:
    """The exponentials of a response, (..., mode): their rates, and their shares of the amount."""

    rate: Any
    share: Any


def modes(clearance: Any, volume: Any, *peripheral: tuple[Any, Any]) -> Modes:
    """The exponentials of one central and up to two peripheral compartments, the fastest first.

    Parameters
    ----------
    clearance, volume : array
        CL and V₁.
    *peripheral : tuple of array
        Intercompartmental clearance and volume of each peripheral compartment.

    Examples
    --------
    >>> import numpy as np
    >>> found = modes(np.array(1.0), np.array(2.0), (np.array(0.5), np.array(4.0)))
    >>> found.rate.round(6).tolist(), round(float(found.share.sum()), 12)
    ([0.796535, 0.078465], 1.0)
    """
    out = clearance / volume
    to = [exchange / volume for exchange, _ in peripheral]
    back = [exchange / size for exchange, size in peripheral]
    if not peripheral:
        rate = stack([out])
        return Modes(rate, 1.0 + 0.0 * rate)
    if len(peripheral) == 1:
        return _two(out, to[0], back[0])
    return _three(out, to[0], back[0], to[1], back[1])


def _two(out: Any, to: Any, back: Any) -> Modes:
    gap = sqrt((out + to - back) ** 2 + 4.0 * to * back)
    fast = 0.5 * (out + to + back + gap)
    slow = out * back / fast
    return Modes(stack([fast, slow]), stack([(fast - back) / gap, (back - slow) / gap]))


def _three(out: Any, to_2: Any, back_2: Any, to_3: Any, back_3: Any) -> Modes:
    # λ³ − a λ² + b λ − c = 0
    a = out + to_2 + to_3 + back_2 + back_3
    b = out * (back_2 + back_3) + to_2 * back_3 + to_3 * back_2 + back_2 * back_3
    c = out * back_2 * back_3
    rate = _roots(*(detached(value) for value in (a, b, c)))
    a, b, c, back_2, back_3 = (stack([value]) for value in (a, b, c, back_2, back_3))
    for _ in range(_NEWTON):
        rate = rate - (((rate - a) * rate + b) * rate - c) / ((3.0 * rate - 2.0 * a) * rate + b)
    first, second, last = rate[..., 0], rate[..., 1], rate[..., 2]
    early, whole, late = second - first, last - first, last - second
    apart = stack([early * whole, -early * late, whole * late])
    return Modes(rate, (back_2 - rate) * (back_3 - rate) / apart)


def _roots(a: Any, b: Any, c: Any) -> Any:
    """The roots by Viète's cosines, (..., mode), the greatest first."""
    third = a / 3.0
    p = maximum(third**2 - b / 3.0, 1e-300)
    q = third**3 - 0.5 * third * b + 0.5 * c
    edge = 1.0 - 1e-15  # the arccosine has no slope at one, where two rates meet
    angle = arccos(maximum(minimum(q / p**1.5, edge), -edge)) / 3.0
    cosines = stack([cos(angle), cos(angle - 2.0 * math.pi / 3.0), cos(angle - 4.0 * math.pi / 3.0)])
    return stack([third]) + 2.0 * sqrt(stack([p])) * cosines
