"""A pretrained potential's physics: the highest frequency of a crystal by CHGNet's forces.

The potential (Deng and others, Nature Machine Intelligence 5 (2023) 1031) was trained on energies, forces and stresses
of relaxing crystals; vibrations follow from it, too soft by a factor that differs between chemistries (Deng and others,
npj Computational Materials 11 (2025) 9). Its weights come with the library `chgnet`, of the extra ``potential``.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metasci.errors import InputError
from metasci.extras import needed
from metasci.materials.crystals import atoms_of, fingerprint, primitive
from metasci.materials.vibrations import Forces, highest_frequency

__all__ = ["KNOWN", "chgnet_frequency", "computed_frequency", "forces_of", "known_frequencies"]

KNOWN = Path(__file__).with_name("chgnet_frequencies.csv")
"""Frequencies of crystals of the data set `phonons`, computed once (`benchmarks/chgnet_frequencies.py`)."""

_EXTRA, _PURPOSE = "potential", "a crystal's frequency by CHGNet"
_WEIGHTS = "pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar"


def chgnet_frequency(structures: Sequence[str]) -> NDArray[np.float64]:
    """Highest frequency at the zone's centre (1/cm), by CHGNet 0.3.0.

    Of a primitive cell of one atom, and where all vibrations of a cell are unstable, it is that of twice the cell.

    Crystals of the data set `phonons` were computed beforehand, and need no library.

    Parameters
    ----------
    structures : sequence of str
        Crystals as `metasci.materials.crystals` takes them.

    Raises
    ------
    InputError
        If the library `chgnet` is missing, of the extra ``potential``; if the potential cannot take the crystal, or
        has it unstable.
    """
    known = known_frequencies()
    frequencies = np.empty(len(structures))
    for place, text in enumerate(structures):
        key = fingerprint(text)
        frequencies[place] = known[key] if key in known else computed_frequency(text)
    return frequencies


@functools.lru_cache(maxsize=10_000)
def computed_frequency(text: str) -> float:
    """The frequency of one crystal, computed (1/cm); a second of one core for a dozen atoms."""
    atoms = primitive(atoms_of(text))
    # alone an atom has no vibration at the zone's centre, and where all there are unstable the boundary's are not
    for cell in [atoms] * (len(atoms) > 1) + [atoms.repeat((2, 2, 2))]:
        try:
            frequency = highest_frequency(forces_of(cell), cell.positions, cell.get_masses())
        except InputError:  # a library that is missing
            raise
        except (ValueError, IndexError) as error:
            raise InputError(f"CHGNet cannot take {atoms.get_chemical_formula()}: {error}.") from None
        if frequency > 0.0:
            return frequency
    raise InputError(f"CHGNet has {atoms.get_chemical_formula()} unstable, and says no frequency of it.")


def forces_of(atoms: Any) -> Forces:
    """CHGNet's forces on a cell's atoms, wherever they are."""
    structures = needed("pymatgen.core", _EXTRA, _PURPOSE)
    potential = _potential()
    lattice, symbols = atoms.cell.array, atoms.get_chemical_symbols()

    def forces(positions: NDArray[np.float64]) -> NDArray[np.float64]:
        cells = [
            structures.Structure(lattice, symbols, each, coords_are_cartesian=True) for each in positions
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's about tensors that become numbers
            predictions = potential.predict_structure(cells, task="ef")
        return np.stack([each["f"] for each in predictions]).astype(float)

    return forces


@functools.cache
def _potential() -> Any:
    """CHGNet with the weights that came with it, which are read as numbers only."""
    import torch

    library = needed("chgnet", _EXTRA, _PURPOSE)
    models = needed("chgnet.model", _EXTRA, _PURPOSE)
    weights = Path(library.__file__).parent / _WEIGHTS
    if not weights.is_file():
        raise InputError(f"the installed chgnet has no weights '{_WEIGHTS}'; install chgnet 0.4.2.")
    saved = torch.load(weights, map_location="cpu", weights_only=True)
    with contextlib.redirect_stdout(io.StringIO()):  # it greets
        potential = models.CHGNet.from_dict(saved["model"], mlp_out_bias=False, version="0.3.0")
    potential.graph_converter.on_isolated_atoms = "error"
    return potential.eval().requires_grad_(False)


@functools.cache
def known_frequencies() -> dict[str, float]:
    """Frequencies (1/cm) that were computed beforehand, by `metasci.materials.crystals.fingerprint`."""
    if not KNOWN.is_file():
        return {}
    with KNOWN.open(newline="", encoding="utf-8") as rows:
        return {row["crystal"]: float(row["frequency [1/cm]"]) for row in csv.DictReader(rows)}
