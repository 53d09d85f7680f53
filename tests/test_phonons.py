"""Phonons of a crystal from forces, against lattices of springs whose frequencies are known in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from metasci.materials.crystals import primitive
from metasci.materials.phonons import _last_peak, phonons_of
from metasci.materials.vibrations import WAVENUMBER

EDGE, SPRING = 3.0, 2.5  # ångström; eV/ångström²


@pytest.fixture
def potential() -> None:
    for library in ("ase", "phonopy", "spglib"):
        pytest.importorskip(library, reason=f"needs the extra metasci-calibration[potential]: {library}")


def springs(
    ideal: Callable[[NDArray[np.int64]], NDArray[np.float64]],
) -> Callable[[Any], NDArray[np.float64]]:
    """Forces of springs along all three axes between neighbours on a cubic lattice, displaced by little."""

    def forces(atoms: Any) -> NDArray[np.float64]:
        sites = np.rint(atoms.positions / EDGE)
        moved = atoms.positions - sites * EDGE
        inverse = np.linalg.inv(atoms.cell.array)
        pull = np.zeros_like(moved) + ideal(atoms.numbers)
        for axis in range(3):
            for sign in (-1.0, 1.0):
                beside = (sites + sign * np.eye(3)[axis]) * EDGE
                apart = (beside[:, None] - (sites * EDGE)[None]) @ inverse
                here = np.abs(apart - np.rint(apart)).max(2).argmin(1)
                pull += SPRING * (moved[here] - moved)
        return pull

    return forces


def at_rest(numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.zeros((len(numbers), 3))


@pytest.mark.usefixtures("potential")
def test_a_simple_cubic_lattice_ends_and_peaks_where_its_closed_form_does() -> None:
    from ase import Atoms

    atoms = Atoms("Po", cell=[EDGE] * 3, pbc=True)
    mass = float(atoms.get_masses()[0])
    found = phonons_of(atoms, springs(at_rest))
    # ω² = 4 k/m Σ sin²(q/2): up to 12 k/m; from 8 k/m on its density falls, a kink that smearing moves a little
    assert found.highest == pytest.approx(math.sqrt(12.0 * SPRING / mass) * WAVENUMBER, rel=1e-5)
    assert found.last_peak == pytest.approx(math.sqrt(8.0 * SPRING / mass) * WAVENUMBER, rel=0.03)


@pytest.mark.usefixtures("potential")
def test_rock_salt_is_the_same_from_every_cell_and_what_force_is_left_at_rest_is_taken_off() -> None:
    from ase.build import bulk

    crystals = [bulk("NaCl", "rocksalt", a=2.0 * EDGE, cubic=cubic) for cubic in (False, True)]
    assert [len(primitive(each)) for each in crystals] == [2, 2]
    light, heavy = sorted(crystals[0].get_masses())

    def pushed(numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.where(numbers == 11, 0.02, -0.02)[:, None] * np.ones(3)

    expected = math.sqrt(6.0 * SPRING * (1.0 / light + 1.0 / heavy)) * WAVENUMBER
    for crystal in crystals:
        for rest in (at_rest, pushed):
            assert phonons_of(crystal, springs(rest)).highest == pytest.approx(expected, rel=1e-5)


def test_the_last_peak_is_the_last_that_is_high_enough() -> None:
    places = np.linspace(0.0, 1.0, 1001)

    def peak(place: float, height: float) -> NDArray[np.float64]:
        return height * np.exp(-0.5 * ((places - place) / 0.02) ** 2)

    assert _last_peak(peak(0.3, 1.0) + peak(0.6, 0.5) + peak(0.8, 0.005)) == 600
    assert _last_peak(peak(0.3, 1.0) + peak(0.6, 0.5) + peak(0.8, 0.05)) == 800
