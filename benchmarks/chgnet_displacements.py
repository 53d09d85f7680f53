"""Does CHGNet's frequency depend on the cell, or on the displacement? ``python benchmarks/chgnet_displacements.py``.

The modes in which all cells move alike, from the whole matrix of force constants, of the primitive cell and of one
twice as long each way; and the highest of them by displacement. Needs the extra `potential`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ase.build import bulk
from numpy.typing import NDArray

from metasci.materials.chgnet import forces_of
from metasci.materials.vibrations import WAVENUMBER, highest_frequency

_DISPLACEMENTS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1)  # ångström


def modes_alike(atoms: Any, repeats: int, displacement: float) -> NDArray[np.float64]:
    """Frequencies (1/cm) of the modes in which all cells move alike, from forces in so many cells each way."""
    cells, count = repeats**3, len(atoms)
    larger = atoms.repeat((repeats,) * 3)
    forces = forces_of(larger)
    constants = np.zeros((3 * count, 3 * count))
    for column in range(3 * count):
        move = np.zeros((count, 3))
        move.flat[column] = displacement
        every = np.tile(move, (cells, 1))
        forward, backward = forces(np.stack([larger.positions + every, larger.positions - every]))
        pull = (backward - forward).reshape(cells, count, 3).mean(0)
        constants[:, column] = pull.ravel() / (2.0 * displacement)
    root = np.repeat(np.sqrt(atoms.get_masses()), 3)
    values = np.linalg.eigvalsh(0.5 * (constants + constants.T) / np.outer(root, root))
    return np.asarray(np.sign(values) * np.sqrt(np.abs(values)) * WAVENUMBER)


def main() -> None:
    """Print both."""
    torch.set_num_threads(1)
    crystals = {
        "MgO": bulk("MgO", "rocksalt", a=4.21),
        "NaCl": bulk("NaCl", "rocksalt", a=5.69),
        "CsCl": bulk("CsCl", "cesiumchloride", a=4.12),
        "ZnO": bulk("ZnO", "wurtzite", a=3.25, c=5.2, u=0.382),
    }
    print("| crystal | all cells alike, primitive cell | the same in eight cells | highest of eight cells |")
    print("|---|---|---|---|")
    for name, atoms in list(crystals.items())[:3]:
        one, eight = (modes_alike(atoms, repeats, 0.03)[-1] for repeats in (1, 2))
        larger = atoms.repeat((2, 2, 2))
        highest = highest_frequency(forces_of(larger), larger.positions, larger.get_masses(), steps=20)
        print(f"| {name} | {one:.1f} | {eight:.1f} | {highest:.1f} |", flush=True)
    print(f"\n| crystal | {' | '.join(f'{step:g} Å' for step in _DISPLACEMENTS)} |")
    print(f"|---|{'---|' * len(_DISPLACEMENTS)}")
    for name, atoms in crystals.items():
        found = [modes_alike(atoms, 1, step)[-1] for step in _DISPLACEMENTS]
        print(f"| {name} | {' | '.join(f'{value:.1f}' for value in found)} |", flush=True)
    print("\nNaCl: force over displacement of Na along [100], eV/Å²")
    salt, steps = crystals["NaCl"], np.array([0.001, *_DISPLACEMENTS])
    moved = salt.positions + steps[:, None, None] * np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    pulls = forces_of(salt)(moved)[:, 0, 0] / steps
    print(", ".join(f"{pull:+.2f} at {step:g} Å" for step, pull in zip(steps, pulls, strict=True)))


if __name__ == "__main__":
    main()
