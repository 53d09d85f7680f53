"""A crystal's phonon density of states from forces alone: its last peak, and where it ends. By phonopy.

Force constants are differences of forces on the atoms that symmetry leaves distinct, in the primitive cell repeated
until no edge is shorter than the forces reach (Togo and Tanaka, Scripta Materialia 108 (2015) 1). They hold the whole
zone, and not its centre only: in magnesia the highest frequency is at the zone's boundary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import constants
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from metasci.extras import needed
from metasci.materials.crystals import primitive

__all__ = ["CellForces", "Phonons", "phonons_of"]

CellForces = Callable[[Any], NDArray[np.float64]]
"""From an `ase.Atoms` to the forces on its atoms (eV/ångström), (atom, 3)."""

_EXTRA, _PURPOSE = "potential", "a crystal's phonons by a pretrained potential"
_TERAHERTZ = constants.tera / (100.0 * constants.c)  # 1/cm
_DISPLACEMENT = 0.03  # ångström; forces in single precision are differences of rounding under a hundredth
_MESH = 30.0  # of wave vectors: as many as so long a cell has, ångström
_SMEARED, _STEPS = 0.01, 400  # Gaussians of that part of the highest frequency, which is so many steps
_BEYOND = 1.05  # of it: a density that ends in its peak falls within
_A_PEAK = 0.01  # of the highest peak: one vibration of many is a peak, and what is lower is rounding
_SAME = 1e-5  # ångström: places of one symmetry


@dataclass(frozen=True)
class Phonons:
    """What is asked of a density of states, in 1/cm.

    Attributes
    ----------
    last_peak : float
        The last maximum that is a hundredth of the highest, at least.
    highest : float
        The highest frequency anywhere in the zone.
    """

    last_peak: float
    highest: float


def phonons_of(atoms: Any, forces: CellForces, reach: float = 5.0) -> Phonons:
    """Last peak and end of the phonon density of states.

    Without the field of long waves in a polar crystal, which lifts the longitudinal ones: forces have no charges.

    Parameters
    ----------
    atoms : ase.Atoms
        At rest: what force is left there is taken off.
    forces : callable
    reach : float
        Edges of the cell in which atoms are displaced are at least as long, in ångström.

    Raises
    ------
    MissingExtra
        If the library `phonopy` is missing, of the extra ``potential``.
    """
    phonopy = needed("phonopy", _EXTRA, _PURPOSE)
    structure = needed("phonopy.structure.atoms", _EXTRA, _PURPOSE)
    cell = primitive(atoms)
    repeats = np.maximum(1, np.ceil(reach / cell.cell.lengths() - 1e-9)).astype(int)
    unit = structure.PhonopyAtoms(
        symbols=cell.get_chemical_symbols(),
        cell=cell.cell.array,
        scaled_positions=cell.get_scaled_positions(),
        masses=cell.get_masses(),
    )
    crystal = phonopy.Phonopy(unit, np.diag(repeats), primitive_matrix=np.eye(3), symprec=_SAME)
    crystal.generate_displacements(distance=_DISPLACEMENT, is_plusminus="auto")
    larger = crystal.supercell
    rest = forces(cell)[[larger.u2u_map[place] for place in larger.s2u_map]]
    crystal.forces = [forces(_as_ase(each)) - rest for each in crystal.supercells_with_displacements]
    crystal.produce_force_constants()
    crystal.symmetrize_force_constants()
    return _spectrum(crystal, cell)


def _spectrum(crystal: Any, cell: Any) -> Phonons:
    """Of a crystal whose force constants are known."""
    crystal.run_mesh(_mesh(cell), is_gamma_center=True)
    highest = float(crystal.mesh.frequencies.max())
    if highest <= 0.0:
        return Phonons(highest * _TERAHERTZ, highest * _TERAHERTZ)
    crystal.run_total_dos(freq_min=0.0, freq_max=highest * _BEYOND, freq_pitch=highest / _STEPS)
    density = gaussian_filter1d(crystal.total_dos.dos, _SMEARED * _STEPS, mode="constant")
    return Phonons(
        float(crystal.total_dos.frequency_points[_last_peak(density)]) * _TERAHERTZ, highest * _TERAHERTZ
    )


def _mesh(cell: Any) -> NDArray[np.int64]:
    """Wave vectors along each direction; even, so that the zone's centre and its boundary are among them."""
    lengths = np.linalg.norm(cell.cell.reciprocal().array, axis=1)
    return 2 * np.maximum(1, np.rint(0.5 * _MESH * lengths)).astype(int)


def _as_ase(cell: Any) -> Any:
    ase = needed("ase", _EXTRA, _PURPOSE)
    return ase.Atoms(numbers=cell.numbers, scaled_positions=cell.scaled_positions, cell=cell.cell, pbc=True)


def _last_peak(density: NDArray[np.float64]) -> int:
    """The place of the last maximum that is high enough."""
    return int(find_peaks(density, height=_A_PEAK * density.max())[0][-1])
