"""A crystal's highest frequency by Lanczos, against the whole dynamical matrix of potentials in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import constants

from metasci.materials.vibrations import Forces, highest_frequency

Array = NDArray[np.float64]

# sqrt(eV / (angstrom² u)) as an angular frequency, over 2 pi c
PER_CM = np.sqrt(constants.eV / constants.u) / 1e-10 / (2.0 * np.pi * constants.c * 100.0)


def harmonic(stiffness: Array, rest: Array) -> Forces:
    """Forces of springs between all coordinates."""
    return lambda places: -((places - rest).reshape(len(places), -1) @ stiffness).reshape(places.shape)


def springs(atoms: int, seed: int) -> Array:
    """A stiffness matrix that is positive semidefinite and does not feel a shift of the whole."""
    root = np.random.default_rng(seed).normal(size=(3 * atoms, 3 * atoms))
    rigid = np.kron(np.ones((atoms, atoms)) / atoms, np.eye(3))
    still = np.eye(3 * atoms) - rigid
    return still @ root @ root.T @ still


class LennardJones:
    """A crystal of Lennard-Jones atoms, ε = 0.01 eV and σ = 3.4 ångström, images up to three cells away."""

    depth, size = 0.01, 3.4

    def __init__(self, cell: Array) -> None:
        steps = np.arange(-3, 4)
        self.images = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3) @ cell

    def pairs(self, places: Array) -> tuple[Array, Array]:
        """Differences (atom, other, image, 3) and their lengths, infinite for an atom itself."""
        apart = places[:, None, None] - places[None, :, None] + self.images
        length = np.linalg.norm(apart, axis=-1)
        return apart, np.where(length < 1e-9, np.inf, length)

    def slopes(self, length: Array) -> tuple[Array, Array]:
        """First derivative over the length, and the second derivative, of the energy of a pair."""
        six = (self.size / length) ** 6
        first = 4.0 * self.depth * (-12.0 * six**2 + 6.0 * six) / length**2
        second = 4.0 * self.depth * (156.0 * six**2 - 42.0 * six) / length**2
        return first, second

    def forces(self, stack: Array) -> Array:
        """Of stacked positions."""
        return np.stack([self.force(places) for places in stack])

    def force(self, places: Array) -> Array:
        """On every atom; images move with their atoms."""
        apart, length = self.pairs(places)
        return -(self.slopes(length)[0][..., None] * apart).sum((1, 2))

    def hessian(self, places: Array) -> Array:
        """Second derivatives of the energy of a cell, all cells alike."""
        apart, length = self.pairs(places)
        first, second = self.slopes(length)
        along = apart / np.where(np.isinf(length), 1.0, length)[..., None]
        outer = along[..., :, None] * along[..., None, :]
        pair = second[..., None, None] * outer + first[..., None, None] * (np.eye(3) - outer)
        blocks = -pair.sum(2)
        atoms = len(places)
        blocks[np.arange(atoms), np.arange(atoms)] = 0.0
        blocks[np.arange(atoms), np.arange(atoms)] = -blocks.sum(1)
        return blocks.transpose(0, 2, 1, 3).reshape(3 * atoms, 3 * atoms)


def whole(hessian: Array, masses: Array) -> float:
    """The highest frequency of the whole dynamical matrix, 1/cm."""
    root = np.repeat(np.sqrt(masses), 3)
    highest = np.linalg.eigvalsh(hessian / np.outer(root, root))[-1]
    return float(np.sign(highest) * np.sqrt(abs(highest)) * PER_CM)


def test_a_crystal_of_lennard_jones_vibrates_as_its_whole_dynamical_matrix_has_it() -> None:
    cell = 5.3 * np.array([[1.0, 0.02, 0.0], [0.0, 1.05, 0.0], [0.03, 0.0, 0.97]])
    fractions = np.array([[0.02, 0.0, 0.0], [0.0, 0.5, 0.52], [0.5, 0.01, 0.5], [0.5, 0.49, 0.0]])
    crystal, places = LennardJones(cell), fractions @ cell
    masses = np.array([39.9, 20.2, 83.8, 39.9])
    known = whole(crystal.hessian(places), masses)
    exact = highest_frequency(crystal.forces, places, masses, steps=9, tolerance=0.0, displacement=1e-4)
    assert exact == pytest.approx(known, rel=1e-6)
    assert highest_frequency(crystal.forces, places, masses) == pytest.approx(known, rel=1e-2)


def test_forces_of_lennard_jones_are_the_slope_of_their_hessian() -> None:
    crystal = LennardJones(5.3 * np.eye(3))
    places = np.array([[0.1, 0.0, 0.0], [0.0, 2.65, 2.7], [2.6, 0.1, 2.65]])
    step = 1e-5
    moved = np.eye(9).reshape(9, 3, 3) * step
    slope = (crystal.forces(places - moved) - crystal.forces(places + moved)).reshape(9, 9) / (2.0 * step)
    assert np.allclose(crystal.hessian(places), slope, atol=1e-7)


@pytest.mark.parametrize("seed", range(5))
def test_a_few_steps_find_what_all_would(seed: int) -> None:
    stiffness = springs(8, seed)
    rest = np.random.default_rng(seed).uniform(0.0, 6.0, (8, 3))
    masses = np.random.default_rng(seed).uniform(1.0, 200.0, 8)
    known = whole(stiffness, masses)
    forces = harmonic(stiffness, rest)
    assert highest_frequency(forces, rest, masses, steps=21, tolerance=0.0) == pytest.approx(known, rel=1e-6)
    assert highest_frequency(forces, rest, masses) == pytest.approx(known, rel=5e-3)


def test_each_step_asks_once_and_ends_when_nothing_is_left() -> None:
    asked = []
    stiffness = springs(2, 0)
    rest = np.array([[0.0, 0.0, 0.0], [1.5, 0.0, 0.0]])

    def forces(stack: Array) -> Array:
        asked.append(len(stack))
        return harmonic(stiffness, rest)(stack)

    highest_frequency(forces, rest, np.array([1.0, 35.5]), steps=40, tolerance=0.0)
    assert asked == [2, 2, 2]  # two atoms have three vibrations


def test_an_unstable_crystal_is_negative_and_an_atom_alone_still() -> None:
    stiffness = -springs(3, 1)
    rest = np.random.default_rng(1).uniform(0.0, 4.0, (3, 3))
    masses = np.array([1.0, 2.0, 3.0])
    frequency = highest_frequency(harmonic(stiffness, rest), rest, masses, steps=6, tolerance=0.0)
    rigid = np.kron(np.ones((3, 1)), np.eye(3)) * np.sqrt(np.repeat(masses, 3))[:, None]
    basis = np.linalg.svd(rigid)[0][:, 3:]
    root = np.repeat(np.sqrt(masses), 3)
    inside = np.linalg.eigvalsh(basis.T @ (stiffness / np.outer(root, root)) @ basis)[-1]
    assert inside < 0.0
    assert frequency == pytest.approx(-np.sqrt(-inside) * PER_CM, rel=1e-6)
    assert highest_frequency(harmonic(np.eye(3), rest[:1]), rest[:1], masses[:1]) == 0.0


def test_modes_in_which_all_cells_move_alike_are_the_same_in_any_cell() -> None:
    """Twice the cell holds those of the boundary, too: among its modes the primitive cell's are found by projection."""
    cell = 5.3 * np.diag([1.0, 1.05, 0.97])
    places = np.array([[0.02, 0.0, 0.0], [0.0, 0.5, 0.52], [0.5, 0.01, 0.5], [0.5, 0.49, 0.0]]) @ cell
    masses = np.array([39.9, 20.2, 83.8, 39.9])
    corners = np.array([[0, 0, 0], [1, 0, 0]]) @ cell
    twice, many = (places[None] + corners[:, None]).reshape(-1, 3), np.tile(masses, 2)
    longer = np.diag([2.0, 1.0, 1.0]) @ cell
    alike = np.kron(np.ones((2, 1)), np.eye(12)) / np.sqrt(2.0)
    folded = alike.T @ LennardJones(longer).hessian(twice) @ alike
    primitive = highest_frequency(
        LennardJones(cell).forces, places, masses, steps=9, tolerance=0.0, displacement=1e-4
    )
    assert primitive == pytest.approx(whole(folded, masses), rel=1e-4)
    of_all = whole(LennardJones(longer).hessian(twice), many)
    assert of_all >= primitive * (1.0 - 1e-6)
