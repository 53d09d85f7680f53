"""Crystals: from a CIF file, an ASE or pymatgen structure, or a pymatgen dictionary as JSON; by ASE."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metasci.errors import InputError
from metasci.materials import compositions, crystal_files
from metasci.materials.structures import Features, needs

__all__ = ["ANIONS", "atoms_of", "canonical", "family", "features", "fingerprint", "makeup", "primitive"]

ANIONS = ("F", "O", "Cl", "N", "Br", "I", "S", "Se", "Te", "P", "As", "Sb", "C", "Si", "H")
"""By falling electronegativity, as far as they form crystals as anions."""

_EMPTY = 1e-6  # cubic ångström; no cell is as small
_TOO_NEAR = 0.5  # ångström; no two atoms are
_LEAST_HEIGHT = 0.5  # ångström between two faces of a cell; an atom has a hundred neighbours in a flatter one
_DIGITS = 4  # of cells (ångström) and fractional coordinates: by less no two crystals of a table differ
_SAME = 1e-3  # ångström: places that a file of four digits may have apart
_ISOTOPE = 1000  # more than there are elements
_HEAVIER = 0.5  # by which a mass is of an isotope, and not of the element
_DEUTERIUM = 2.01355  # as ASE reads it
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
        If it describes no crystal, or one whose sites are not each taken by one element.

    Examples
    --------
    >>> made = {"lattice": {"matrix": [[4, 0, 0], [0, 4, 0], [0, 0, 4]]},
    ...         "sites": [{"species": [{"element": "Cs", "occu": 1}], "abc": [0, 0, 0]},
    ...                   {"species": [{"element": "Cl", "occu": 1}], "abc": [0.5, 0.5, 0.5]}]}
    >>> atoms_of(made).get_chemical_formula()
    'ClCs'
    """
    return _checked(_read(structure))


def fingerprint(structure: Any) -> str:
    """Sixteen hexadecimal digits that tell a crystal by its cell, elements and places.

    Examples
    --------
    >>> salt = '{"lattice": {"matrix": [[4, 0, 0], [0, 4, 0], [0, 0, 4]]}, "sites": [{"species": [{"element": "Cs", \
"occu": 1}], "abc": [0, 0, 0]}, {"species": [{"element": "Cl", "occu": 1}], "abc": [0.5, 0.5, 0.5]}]}'
    >>> fingerprint(salt) == fingerprint(salt.replace("0.5", "0.50")), len(fingerprint(salt))
    (True, 16)
    """
    atoms = atoms_of(structure)
    numbers = [atoms.cell.array, atoms.numbers, atoms.get_scaled_positions()]
    if _is_isotope(atoms).any():
        numbers.append(atoms.get_masses())
    rounded = [np.round(np.asarray(each, dtype=float), _DIGITS) + 0.0 for each in numbers]
    return hashlib.sha256(b"".join(each.tobytes() for each in rounded)).hexdigest()[:16]


def primitive(atoms: Any) -> Any:
    """The smallest cell of a crystal; the very one that is given where none is smaller.

    Parameters
    ----------
    atoms : ase.Atoms

    Examples
    --------
    >>> from ase.build import bulk
    >>> len(primitive(bulk("NaCl", "rocksalt", a=5.64, cubic=True)))
    2
    """
    ase = needs("ase")
    os.environ.setdefault("SPGLIB_WARNING", "OFF")  # of tries that it repeats by itself
    masses = atoms.get_masses()
    isotopes = np.where(_is_isotope(atoms), np.rint(masses), 0).astype(int)
    cell = atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers + _ISOTOPE * isotopes
    found = needs("spglib").standardize_cell(cell, to_primitive=True, no_idealize=True, symprec=_SAME)
    if found is None or len(found[2]) == len(atoms):
        return atoms
    smaller = ase.Atoms(numbers=found[2] % _ISOTOPE, scaled_positions=found[1], cell=found[0], pbc=True)
    weights = dict(zip(cell[2].tolist(), masses, strict=True))
    smaller.set_masses([weights[kind] for kind in found[2].tolist()])
    return smaller


def _is_isotope(atoms: Any) -> NDArray[np.bool_]:
    """Which atoms are said to be of another mass than their element has."""
    usual = needs("ase.data").atomic_masses[atoms.numbers]
    return np.abs(atoms.get_masses() - usual) > _HEAVIER


def _read(structure: Any) -> Any:
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
    if not isinstance(structure, str | Path):
        raise InputError(f"{structure!r} is no crystal: give a CIF file, a structure, or its dictionary.")
    path = Path(structure)
    if not path.is_file():
        raise InputError(f"there is no CIF file '{structure}'.")
    return crystal_files.read(path)


def _checked(atoms: Any) -> Any:
    """The atoms, refused where they do not fill a cell."""
    if not len(atoms):
        raise InputError("the crystal has no atoms.")
    known = np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()
    if not known or abs(atoms.cell.volume) < _EMPTY:
        raise InputError("the crystal's cell has no volume, or a place in it is not known.")
    if len(atoms) > crystal_files.MOST_ATOMS:
        raise InputError(
            f"the crystal's cell has {len(atoms)} atoms; up to {crystal_files.MOST_ATOMS} are read."
        )
    faces = np.linalg.norm(np.cross(atoms.cell.array[[1, 2, 0]], atoms.cell.array[[2, 0, 1]]), axis=1)
    if (abs(atoms.cell.volume) / faces).min() < _LEAST_HEIGHT:
        raise InputError(
            f"the crystal's cell is flatter than {_LEAST_HEIGHT} ångström; check its lengths and angles."
        )
    for site in atoms.info.get("occupancy", {}).values():
        crystal_files.check_site(site)
    near = needs("ase.neighborlist").neighbor_list("d", atoms, _TOO_NEAR)
    if len(near):
        raise InputError(
            f"two atoms of the crystal {atoms.get_chemical_formula()} lie at one place, {near.min():.2g} ångström "
            "apart; check its space group, and give places more digits, as 0.3333 for a third."
        )
    return atoms


def canonical(text: str) -> str:
    """The text itself, if it describes a crystal."""
    atoms_of(text)
    return text


def family(text: str) -> str:
    """The anion, the most electronegative element, or ``"none"``."""
    elements = set(atoms_of(text).get_chemical_symbols())
    return next((element for element in ANIONS if element in elements), "none")


def makeup(text: str) -> tuple[set[str], int]:
    """Elements, deuterium apart since it vibrates more slowly, and the number of atoms in the primitive cell."""
    atoms = primitive(atoms_of(text))
    heavy = _is_isotope(atoms) & (atoms.numbers == 1)
    return set(np.where(heavy, "D", atoms.get_chemical_symbols()).tolist()), len(atoms)


def features(texts: Sequence[str]) -> Features:
    """Fractions of the elements; properties as of a composition; geometry of the primitive cell and of bonds."""
    counts, whole = [], []
    for text in texts:
        composition, geometry = _described(text)
        counts.append(composition.counts[0])
        whole.append(np.concatenate([composition.descriptors[0], geometry]))
    return Features(np.array(counts), np.array(whole))


@functools.lru_cache(maxsize=10_000)
def _described(text: str) -> tuple[Features, np.ndarray]:
    atoms = primitive(atoms_of(text))
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
        atoms.get_volume() / len(atoms),
        masses.sum() / atoms.get_volume(),
        float(len(atoms)),
        distance.mean(),
        distance.min(),
        distance.std(),
        relative.mean(),
        relative.min(),
        count.mean(),
        count.std(),
        np.log(reduced).min(),
        np.log(masses).min(),
        np.log(reduced * distance**2).min(),
    ]
    reduced_formula = atoms.symbols.formula.reduce()[0]  # 'Si' of 'Si2', which is no composition
    return compositions.features([str(reduced_formula)]), np.array(geometry, dtype=float)


def _of_dictionary(structure: dict[str, Any], ase: Any) -> Any:
    try:
        matrix = np.array(structure["lattice"]["matrix"], dtype=float)
        places = np.array([site["abc"] for site in structure["sites"]], dtype=float)
        sites = [
            {species["element"]: float(species["occu"]) for species in site["species"]}
            for site in structure["sites"]
        ]
    except (KeyError, TypeError, ValueError, IndexError):
        raise InputError("the crystal's dictionary has no lattice matrix and sites with species.") from None
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < _EMPTY:
        raise InputError("the crystal's cell has no volume.")
    for site in sites:
        crystal_files.check_site(site)
    symbols = np.array(
        ["".join(letter for letter in name if letter.isalpha()) for site in sites for name in site], dtype=str
    )
    if not len(symbols):
        raise InputError("the crystal has no atoms.")
    heavy = symbols == "D"
    try:
        atoms = ase.Atoms(np.where(heavy, "H", symbols), cell=matrix, scaled_positions=places, pbc=True)
        atoms.set_masses(np.where(heavy, _DEUTERIUM, atoms.get_masses()))
        return atoms
    except KeyError as error:
        raise InputError(f"the crystal holds {error}, which is no element.") from None
