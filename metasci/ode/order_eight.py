"""The explicit method of order 8 with 12 stages, and two estimates of its error: SciPy's coefficients.

Source: Prince and Dormand, J Comput Appl Math 7 (1981) 67; error estimates of orders 5 and 3 by Hairer, Nørsett and
Wanner, Solving Ordinary Differential Equations I (1993), II.5 and II.10, code DOP853.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

__all__ = ["Tableau", "tableau"]


@dataclass(frozen=True)
class Tableau:
    """Coefficients of an explicit Runge–Kutta method.

    Attributes
    ----------
    nodes : tuple of float
        c of every stage.
    weights : tuple of tuple of float
        a of every stage, of the stages before it.
    result : tuple of float
        b of the solution of order 8.
    error_5, error_3 : tuple of float
        Of the estimates of orders 5 and 3.
    """

    nodes: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]
    result: tuple[float, ...]
    error_5: tuple[float, ...]
    error_3: tuple[float, ...]


@cache
def tableau() -> Tableau:
    """The coefficients; read when a first system is solved, as `scipy.integrate` takes a while to load.

    Examples
    --------
    >>> len(tableau().nodes), round(sum(tableau().result), 12)
    (12, 1.0)
    """
    from scipy.integrate import DOP853

    stages = DOP853.n_stages
    return Tableau(
        tuple(DOP853.C[:stages].tolist()),
        tuple(tuple(row[:stage].tolist()) for stage, row in enumerate(DOP853.A[:stages])),
        tuple(DOP853.B.tolist()),
        # the last stage of the estimates is the next step's first, with weight zero
        tuple(DOP853.E5[:stages].tolist()),
        tuple(DOP853.E3[:stages].tolist()),
    )
