"""Crystals: from a CIF file, an ASE or pymatgen structure, or a pymatgen dictionary as JSON; by ASE."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metasci.errors import InputError
from metasci.materials import compositions
from metasci.materials.structures import Features, needs
from metasci.regular_files import bytes_of

__all__ = ["ANIONS", "atoms_of", "canonical", "family", "features", "fingerprint", "makeup", "primitive"]

ANIONS = ("F", "O", "Cl", "N", "Br", "I", "S", "Se", "Te", "P", "As", "Sb", "C", "Si", "H")
"""By falling electronegativity, as far as they form crystals as anions."""

_EMPTY = 1e-6  # cubic ångström; no cell is as small
_WHOLE = 0.01  # by which an occupancy of one may be rounded
_TOO_NEAR = 0.1  # ångström; no two atoms are
_MOST_BYTES, _MOST_OPERATIONS, _MOST_ATOMS = 2**22, 400, 2000  # a cell of 2,000 atoms takes seconds
_LEAST_HEIGHT = 0.5  # ångström between two faces of a cell; an atom has a hundred neighbours in a flatter one
_DIGITS = 4  # of cells (ångström) and fractional coordinates: by less no two crystals of a table differ
_SAME = 1e-3  # ångström: places that a file of four digits may have apart
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
    cell = atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers
    found = needs("spglib").standardize_cell(cell, to_primitive=True, no_idealize=True, symprec=_SAME)
    if found is None or len(found[2]) == len(atoms):
        return atoms
    return ase.Atoms(numbers=found[2], scaled_positions=found[1], cell=found[0], pbc=True)


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
    bytes_of(path, most=_MOST_BYTES)
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            blocks = [block for block in needs("ase.io.cif").parse_cif(str(path)) if block.has_structure()]
            _check_blocks(path, blocks, [str(each.message) for each in heard])
            return needs("ase.io").read(path, format="cif")
    except InputError:
        raise
    except Exception as error:  # many kinds, of a parser
        raise InputError(
            f"'{structure}' is not a CIF file that can be read ({error or type(error).__name__})."
        ) from None


def _check_blocks(path: Path, blocks: Sequence[Any], heard: Sequence[str]) -> None:
    """Refuse a file of several crystals, one with rows that do not fit their columns, or sites of unknown occupancy."""
    if len(blocks) > 1:
        names = ", ".join(str(block.name) for block in blocks)
        raise InputError(f"'{path}' holds {len(blocks)} crystals ({names}); give each a file of its own.")
    for text in heard:
        if text.startswith("Wrong number"):  # the parser would leave the row out
            raise InputError(f"'{path}': a row does not fit its columns ({text[0].lower()}{text[1:]}).")
    for block in blocks:
        operations = len(
            block.get("_symmetry_equiv_pos_as_xyz") or block.get("_space_group_symop_operation_xyz") or ()
        )
        sites = len(block.get("_atom_site_fract_x") or block.get("_atom_site_cartn_x") or ())
        if operations > _MOST_OPERATIONS or sites > _MOST_ATOMS:
            raise InputError(
                f"'{path}' has {sites} sites and {operations} symmetry operations; up to {_MOST_ATOMS} and "
                f"{_MOST_OPERATIONS} are read."
            )
        occupancy = block.get("_atom_site_occupancy") or []
        labels = block.get("_atom_site_label") or range(1, len(occupancy) + 1)
        for label, share in zip(labels, occupancy, strict=False):
            if isinstance(share, str):
                raise InputError(
                    f"'{path}': the occupancy of site {label} is '{share}', not a number; write 1 where it is taken."
                )


def _checked(atoms: Any) -> Any:
    """The atoms, refused where they do not fill a cell."""
    if not len(atoms):
        raise InputError("the crystal has no atoms.")
    known = np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()
    if not known or abs(atoms.cell.volume) < _EMPTY:
        raise InputError("the crystal's cell has no volume, or a place in it is not known.")
    if len(atoms) > _MOST_ATOMS:
        raise InputError(f"the crystal's cell has {len(atoms)} atoms; up to {_MOST_ATOMS} are read.")
    faces = np.linalg.norm(np.cross(atoms.cell.array[[1, 2, 0]], atoms.cell.array[[2, 0, 1]]), axis=1)
    if (abs(atoms.cell.volume) / faces).min() < _LEAST_HEIGHT:
        raise InputError(
            f"the crystal's cell is flatter than {_LEAST_HEIGHT} ångström; check its lengths and angles."
        )
    for site in atoms.info.get("occupancy", {}).values():
        _check_site(site)
    return atoms


def _check_site(occupancy: Mapping[str, float]) -> None:
    """Refuse a site that is shared, or not always taken: what stands there is not one element."""
    if len(occupancy) != 1 or abs(sum(occupancy.values()) - 1.0) > _WHOLE:
        occupants = ", ".join(f"{element} {share:g}" for element, share in occupancy.items())
        raise InputError(
            f"a site of the crystal is partly occupied ({occupants}): give an ordered structure."
        )


def canonical(text: str) -> str:
    """The text itself, if it describes a crystal."""
    atoms_of(text)
    return text


def family(text: str) -> str:
    """The anion, the most electronegative element, or ``"none"``."""
    elements = set(atoms_of(text).get_chemical_symbols())
    return next((element for element in ANIONS if element in elements), "none")


def makeup(text: str) -> tuple[set[str], int]:
    """Elements, and the number of atoms in the primitive cell."""
    symbols = primitive(atoms_of(text)).get_chemical_symbols()
    return set(symbols), len(symbols)


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
    if len(distance) and distance.min() < _TOO_NEAR:
        raise InputError(f"two atoms of the crystal {atoms.get_chemical_formula()} lie at one place.")
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
        _check_site(site)
    symbols = ["".join(letter for letter in name if letter.isalpha()) for site in sites for name in site]
    if not symbols:
        raise InputError("the crystal has no atoms.")
    try:
        return ase.Atoms(symbols, cell=matrix, scaled_positions=places, pbc=True)
    except KeyError as error:
        raise InputError(f"the crystal holds {error}, which is no element.") from None
