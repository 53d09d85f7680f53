"""The highest frequency at which the atoms of a cell vibrate, from forces alone, by a few steps of Lanczos.

The dynamical matrix at the zone's centre, D = M^(-1/2) H M^(-1/2), is never built: its product with a vector is a
difference of forces along that vector. Extreme eigenvalues of the small tridiagonal matrix that the steps leave are
those of D long before there are as many steps as coordinates (Lanczos, J Res Natl Bur Stand 45 (1950) 255; Parlett, The
Symmetric Eigenvalue Problem, SIAM 1998, chapter 13).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import constants

__all__ = ["WAVENUMBER", "Forces", "highest_frequency"]

Forces = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From positions (ångström), (cell, atom, 3), to forces (eV/ångström) of the same shape."""

WAVENUMBER = (
    math.sqrt(constants.eV / constants.atomic_mass) / constants.angstrom / (200.0 * math.pi * constants.c)
)
"""1/cm of a vibration whose eigenvalue is 1 eV/(ångström² u)."""
_ENDED = 1e-10  # of the largest eigenvalue: what is left then is rounding, and the vectors span all there is


def highest_frequency(
    forces: Forces,
    positions: NDArray[np.float64],
    masses: NDArray[np.float64],
    *,
    steps: int = 12,
    tolerance: float = 1e-2,
    displacement: float = 0.03,
    seed: int = 0,
) -> float:
    """Highest frequency of the vibrations in which all cells move alike, in 1/cm; negative where unstable.

    Parameters
    ----------
    forces : callable
        Of stacked positions; each step of Lanczos asks once, for two.
    positions : ndarray, (atom, 3)
        In ångström.
    masses : ndarray, (atom,)
        In atomic mass units.
    steps : int
        At most so many.
    tolerance : float
        No further steps once the residual is that part of the eigenvalue, whose error is then of its square.
    displacement : float
        By which the atom that moves farthest is displaced, in ångström. Forces in single precision are differences of
        rounding under a hundredth; anharmonic over a tenth.
    seed : int
        Of the first vector.

    Examples
    --------
    Two atoms on a spring of 2 eV/ångström², ω² = k (1/m + 1/M), here 4 eV/(ångström² u):

    >>> def spring(positions):
    ...     pull = 2.0 * (positions[:, 1] - positions[:, 0] - [1.0, 0.0, 0.0])
    ...     pull[:, 1:] = 0.0
    ...     return np.stack([pull, -pull], 1)
    >>> places = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    >>> round(highest_frequency(spring, places, np.array([1.0, 1.0])) / 2.0, 3)
    521.471
    """
    root = np.repeat(np.sqrt(masses), 3)

    def product(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        move = (vector / root).reshape(-1, 3)
        size = displacement / np.linalg.norm(move, axis=1).max()
        forward, backward = forces(np.stack([positions + size * move, positions - size * move]))
        return (backward - forward).ravel() / (2.0 * size * root)

    rigid = np.linalg.qr(root[:, None] * np.tile(np.eye(3), (len(masses), 1)))[0]
    vector = np.random.default_rng(seed).standard_normal(len(root))
    vector -= rigid @ (rigid.T @ vector)
    size = float(np.linalg.norm(vector))
    if len(masses) < 2 or not size:
        return 0.0  # an atom alone moves with all of its cells
    known: list[NDArray[np.float64]] = [vector / size]
    diagonal: list[float] = []
    beside: list[float] = []
    highest = 0.0
    for step in range(min(steps, len(root) - 3)):
        image = product(known[-1])
        diagonal.append(float(known[-1] @ image))
        spanned = np.column_stack([rigid, *known])
        for _ in range(2):  # twice is enough to keep vectors orthogonal (Parlett 1998, section 6.9)
            image = image - spanned @ (spanned.T @ image)
        left = float(np.linalg.norm(image))
        small = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
        values, vectors = np.linalg.eigh(small)
        highest, size = float(values[-1]), float(np.abs(values).max())
        residual = left * abs(float(vectors[-1, -1]))
        if left <= _ENDED * size or (step and residual <= tolerance * abs(highest)):
            break
        known.append(image / left)
        beside.append(left)
    return math.copysign(math.sqrt(abs(highest)), highest) * WAVENUMBER
