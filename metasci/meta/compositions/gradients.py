"""Meta-gradients: what of the way from a start to where adaptation leads the outer loop sees."""

from __future__ import annotations

from dataclasses import dataclass

from metasci.errors import InputError

__all__ = ["Displacement", "Exact", "FirstOrder", "Implicit", "MetaGradient"]


@dataclass(frozen=True)
class Exact:
    """The meta-gradient through every step (Finn et al. 2017, arXiv 1703.03400, eq. 1).

    Parameters
    ----------
    segment : int or "auto", optional
        Hold so many steps in memory at a time and walk them twice; ⌈√steps⌉ with ``"auto"``. By default all.
    """

    segment: int | str | None = None

    def __post_init__(self) -> None:
        whole = self.segment is None or self.segment == "auto"
        if not whole and not (isinstance(self.segment, int) and self.segment > 0):
            raise InputError(f"segment: {self.segment!r} is not a number of steps above zero, nor 'auto'.")


@dataclass(frozen=True)
class FirstOrder:
    """Inner gradients are constants to the meta-gradient (Finn et al. 2017, section 5.2)."""


@dataclass(frozen=True)
class Displacement:
    """Reptile's: move the start towards where adaptation leads, θ + ε(θ′ − θ) (Nichol et al. 2018, arXiv 1803.02999).

    The "gradient" is the tasks' mean of θ − θ′, so that descent of step size ε is Reptile to the bit. Only the
    start is learned.
    """


@dataclass(frozen=True)
class Implicit:
    """The gradient at the solution of the proximal inner problem (iMAML, Rajeswaran et al. 2019, arXiv 1909.04630).

    Any number of inner steps needs the same memory. It is exact as far as they have converged.

    Parameters
    ----------
    solver : "conjugate gradients" or "neumann"
    iterations : int
        Hessian-vector products.
    rate : float
        η of Neumann's series: below 2 over the greatest curvature.
    newton : int
        Newton steps, each by as many Hessian-vector products, after those of the inner rule: where descent would
        take very many steps to converge.
    """

    solver: str = "conjugate gradients"
    iterations: int = 20
    rate: float = 0.1
    newton: int = 0

    def __post_init__(self) -> None:
        if self.solver not in ("conjugate gradients", "neumann"):
            raise InputError(f"solver: '{self.solver}' is not known; say 'conjugate gradients' or 'neumann'.")


MetaGradient = Exact | FirstOrder | Displacement | Implicit
