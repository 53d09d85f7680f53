"""Crystals: from a CIF file, an ASE or pymatgen structure, or a pymatgen dictionary as JSON; by ASE."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metasci.errors import InputError
from metasci.materials import compositions
from metasci.materials.structures import Features, needs

__all__ = ["ANIONS", "atoms_of", "canonical", "family", "features"]

ANIONS = ("F", "O", "Cl", "N", "Br", "I", "S", "Se", "Te", "P", "As", "Sb", "C", "Si", "H")
"""By falling electronegativity, as far as they form crystals as anions."""

_REACH = 1.25  # of the sum of covalent radii: who is bonded to whom


def atoms_of(structure: Any) -> Any:
    """An `ase.Atoms` with its cell, from whatever describes a crystal.

    Parameters
    ----------
    structure : ase.Atoms, pymatgen Structure, dict, str or path
        A dict is what pymatgen's ``Structure.as_dict`` gives; a text is that as JSON, or the name of a CIF file.

    Raises
    ------
    InputError
        If it describes no crystal.

    Examples
    --------
    >>> made = {"lattice": {"matrix": [[4, 0, 0], [0, 4, 0], [0, 0, 4]]},
    ...         "sites": [{"species": [{"element": "Cs", "occu": 1}], "abc": [0, 0, 0]},
    ...                   {"species": [{"element": "Cl", "occu": 1}], "abc": [0.5, 0.5, 0.5]}]}
    >>> atoms_of(made).get_chemical_formula()
    'ClCs'
    """
    ase = needs("ase")
    if isinstance(structure, ase.Atoms):
        return structure
    if hasattr(structure, "as_dict"):
        structure = structure.as_dict()
    if isinstance(structure, str | Path) and str(structure).lstrip().startswith("{"):
        try:
            structure = json.loads(str(structure))
        except json.JSONDecodeError as error:
            raise InputError(f"the crystal's JSON cannot be read: {error}.") from None
    if isinstance(structure, dict):
        return _of_dictionary(structure, ase)
    path = Path(structure)
    if not path.is_file():
        raise InputError(f"there is no CIF file '{structure}'.")
    try:
        return needs("ase.io").read(path, format="cif")
    except Exception as error:  # many kinds, of a parser
        raise InputError(f"'{structure}' is not a CIF file that can be read ({error}).") from None


def canonical(text: str) -> str:
    """The text itself, if it describes a crystal."""
    atoms_of(text)
    return text


def family(text: str) -> str:
    """The anion, the most electronegative element, or ``"none"``."""
    there = set(atoms_of(text).get_chemical_symbols())
    return next((element for element in ANIONS if element in there), "none")


def features(texts: Sequence[str]) -> Features:
    """Fractions of the elements; their properties as of a composition, and the geometry of the cell and of bonds."""
    counts, whole = [], []
    for text in texts:
        composition, geometry = _described(text)
        counts.append(composition.counts[0])
        whole.append(np.concatenate([composition.descriptors[0], geometry]))
    return Features(np.array(counts), np.array(whole))


@functools.lru_cache(maxsize=10_000)
def _described(text: str) -> tuple[Features, np.ndarray]:
    atoms = atoms_of(text)
    radii = needs("ase.data").covalent_radii[atoms.numbers]
    neighbours = needs("ase.neighborlist")
    first, second, distance = neighbours.neighbor_list("ijd", atoms, _REACH * radii)
    relative = distance / (radii[first] + radii[second])
    count = np.bincount(first, minlength=len(atoms))
    reduced = 1.0 / (1.0 / atoms.get_masses()[first] + 1.0 / atoms.get_masses()[second])
    if not len(distance):
        distance, relative, reduced = np.array([4.0]), np.array([_REACH]), atoms.get_masses()[:1] / 2.0
    masses = atoms.get_masses()
    geometry = [
        atoms.get_volume() / len(atoms), masses.sum() / atoms.get_volume(), float(len(atoms)),
        distance.mean(), distance.min(), distance.std(), relative.mean(), relative.min(), count.mean(), count.std(),
        np.log(reduced).min(), np.log(masses).min(), np.log(reduced * distance**2).min(),
    ]  # fmt: skip
    return compositions.features([atoms.get_chemical_formula()]), np.array(geometry, dtype=float)


def _of_dictionary(structure: dict[str, Any], ase: Any) -> Any:
    try:
        matrix = np.array(structure["lattice"]["matrix"], dtype=float)
        places = np.array([site["abc"] for site in structure["sites"]], dtype=float)
        species = [
            max(site["species"], key=lambda one: one["occu"])["element"] for site in structure["sites"]
        ]
    except (KeyError, TypeError, ValueError, IndexError):
        raise InputError("the crystal's dictionary has no lattice matrix and sites with species.") from None
    symbols = ["".join(letter for letter in name if letter.isalpha()) for name in species]
    try:
        return ase.Atoms(symbols, cell=matrix, scaled_positions=places, pbc=True)
    except KeyError as error:
        raise InputError(f"the crystal holds {error}, which is no element.") from None
