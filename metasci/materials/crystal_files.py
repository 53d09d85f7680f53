"""A CIF file of one whole crystal, by ASE; what the file leaves open, or contradicts, is refused and not guessed.

Symmetry operations that a file lists are taken as they are. Where it only names a space group, the group must fit the
cell, and a group of two origins is not enough: silicon at (1/8, 1/8, 1/8) of one is another crystal in the other.
"""

from __future__ import annotations

import io
import re
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metasci.errors import InputError
from metasci.materials.structures import needs
from metasci.regular_files import bytes_of

__all__ = ["MOST_ATOMS", "check_site", "read"]

MOST_ATOMS = 2000
"""A cell of as many atoms takes seconds."""

_MOST_BYTES, _MOST_OPERATIONS = 2**22, 400
_LENGTHS = tuple(f"_cell_length_{name}" for name in "abc")
_ANGLES = tuple(f"_cell_angle_{name}" for name in ("alpha", "beta", "gamma"))
_PLACES = tuple(f"_atom_site_fract_{name}" for name in "xyz")
_OPERATIONS = (
    "_space_group_symop_operation_xyz",
    "_space_group_symop.operation_xyz",
    "_symmetry_equiv_pos_as_xyz",
)
_NUMBERS = ("_space_group_it_number", "_space_group.it_number", "_symmetry_int_tables_number")
_NAMES = ("_space_group_name_h-m_alt", "_symmetry_space_group_name_h-m")
_SETTING = "_symmetry_space_group_setting"
_UNKNOWN = ("", "?", ".")
_STRAIN = 0.01  # by which a symmetry may stretch the cell: of digits, or of a relaxed cell
_WHOLE = 0.01  # by which an occupancy of one may be rounded
_PER_CENT = 0.01  # by which a formula may be rounded
_REMEDY = "list its symmetry operations (_space_group_symop_operation_xyz), or all atoms of the cell as 'P 1'"


def read(path: Path) -> Any:
    """The one crystal of a CIF file, as an `ase.Atoms` of all atoms in its cell.

    Parameters
    ----------
    path : path

    Raises
    ------
    InputError
        If the file cannot be read; if it holds no crystal, or several; if what it says of cell, symmetry, sites and
        formula leaves the crystal open or does not go together.
    """
    parser, spacegroups = needs("ase.io.cif"), needs("ase.spacegroup")
    content = bytes_of(path, most=_MOST_BYTES).removeprefix("\ufeff".encode())
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            blocks = [block for block in parser.parse_cif(io.BytesIO(content)) if block.get(_PLACES[0])]
            block = _only(path, blocks, [str(each.message) for each in heard])
            sites = block.get_unsymmetrized_structure()
            symmetry = _symmetry(path, block, sites.cell.array, spacegroups)
            atoms = spacegroups.crystal(
                sites, spacegroup=symmetry, occupancies=block.get("_atom_site_occupancy"), onduplicates="keep"
            )
            for site in atoms.info.get("occupancy", {}).values():
                check_site(site)
            _check_taken(path, sites, atoms)
            _check_formula(path, block, atoms)
            return atoms
    except InputError:
        raise
    except Exception as error:  # many kinds, of a parser
        raise InputError(
            f"'{path}' is not a CIF file that can be read ({str(error) or type(error).__name__})."
        ) from None


def check_site(occupancy: Mapping[str, float]) -> None:
    """Refuse a site that is shared, or not always taken: what stands there is not one element."""
    if len(occupancy) != 1 or abs(sum(occupancy.values()) - 1.0) > _WHOLE:
        occupants = ", ".join(f"{element} {share:g}" for element, share in occupancy.items())
        raise InputError(
            f"a site of the crystal is partly occupied ({occupants}): give an ordered structure."
        )


def _only(path: Path, blocks: Sequence[Any], heard: Sequence[str]) -> Any:
    """The one block with sites, all rows of which fit their columns and say what stands where."""
    if not blocks:
        raise InputError(
            f"'{path}' is not a CIF file of a crystal: it has no block ('data_…') with _atom_site_fract_x."
        )
    if len(blocks) > 1:
        names = ", ".join(str(block.name) for block in blocks)
        raise InputError(f"'{path}' holds {len(blocks)} crystals ({names}); give each a file of its own.")
    for text in heard:
        if text.startswith("Wrong number"):  # the parser would leave the row out
            raise InputError(f"'{path}': a row does not fit its columns ({text[0].lower()}{text[1:]}).")
    block = blocks[0]
    sites, operations = len(block[_PLACES[0]]), len(_operations(block))
    if operations > _MOST_OPERATIONS or sites > MOST_ATOMS:
        raise InputError(
            f"'{path}' has {sites} sites and {operations} symmetry operations; up to {MOST_ATOMS} and "
            f"{_MOST_OPERATIONS} are read."
        )
    _check_cell(path, block)
    _check_sites(path, block)
    return block


def _check_cell(path: Path, block: Mapping[str, Any]) -> None:
    """Refuse a cell that is not said in full, or has an edge or an angle that no cell has."""
    for tag, most in (*((tag, np.inf) for tag in _LENGTHS), *((tag, 180.0) for tag in _ANGLES)):
        value = block.get(tag, "?")
        if isinstance(value, str) or not 0.0 < value < most:
            raise InputError(f"'{path}': {tag} is '{value}', which no cell has; the crystal needs its cell.")


def _check_sites(path: Path, block: Mapping[str, Any]) -> None:
    """Refuse a site whose element, place or occupancy is not said."""
    known = needs("ase.data").atomic_numbers.keys() - {"X"} | {"D"}
    tag = next((tag for tag in ("_atom_site_type_symbol", "_atom_site_label") if tag in block), None)
    if tag is None:
        raise InputError(f"'{path}' does not say the elements of its sites (_atom_site_type_symbol).")
    names = [str(name) for name in block[tag]]
    labels = block.get("_atom_site_label", names)
    for label, name in zip(labels, names, strict=True):
        letters = re.match("[A-Za-z]*", name)
        if letters is None or letters[0] not in known:
            raise InputError(
                f"'{path}': site {label} is of '{name}', which is no element; write an element, as 'Na', under "
                "_atom_site_type_symbol."
            )
    for tag, meaning in (*((tag, "place") for tag in _PLACES), ("_atom_site_occupancy", "occupancy")):
        for label, value in zip(labels, block.get(tag, ()), strict=False):
            if isinstance(value, str):
                remedy = "; write 1 where it is taken" if meaning == "occupancy" else f" ({tag})"
                raise InputError(
                    f"'{path}': the {meaning} of site {label} is '{value}', not a number{remedy}."
                )


def _operations(block: Mapping[str, Any]) -> list[str]:
    listed: Any = next((block[tag] for tag in _OPERATIONS if block.get(tag)), [])
    return [listed] if isinstance(listed, str) else list(listed)


def _symmetry(path: Path, block: Mapping[str, Any], cell: np.ndarray, spacegroups: Any) -> Any:
    """The operations that a file lists, or those of the space group that it names, if this leaves nothing open."""
    operations = _operations(block)
    if operations:
        try:
            symmetry = spacegroups.spacegroup.spacegroup_from_data(
                no=1, setting=1, sitesym=operations, subtrans=[(0.0, 0.0, 0.0)]
            )
        except Exception:  # many kinds, of a parser
            raise InputError(
                f"'{path}': its symmetry operations cannot be read; each is as 'x, y+1/2, -z'."
            ) from None
        if not _keeps(symmetry, cell):
            raise InputError(
                f"'{path}': its cell does not have the symmetry operations that it lists; check edges and angles."
            )
        return symmetry
    said = next((str(block[tag]) for tag in _NAMES if str(block.get(tag, "?")) not in _UNKNOWN), "")
    number = next((str(block[tag]) for tag in _NUMBERS if str(block.get(tag, "?")) not in _UNKNOWN), "")
    if not said and not number:
        raise InputError(f"'{path}' says no space group; name it, or {_REMEDY}.")
    name, _, origin = said.partition(":")
    groups = _settings(name.strip() or int(number), spacegroups)
    if not groups:
        raise InputError(f"'{path}': '{said}' is no space group in a standard setting; {_REMEDY}.")
    if number and groups[0].no != int(number):
        raise InputError(f"'{path}': the space group '{said}' does not have the number {number}.")
    fitting = [group for group in groups if _keeps(group, cell)]
    if not fitting:
        raise InputError(
            f"'{path}': its cell does not have the symmetry of the space group "
            f"'{said or number}'; check edges, angles and group."
        )
    setting = origin.strip() or str(block.get(_SETTING, ""))
    chosen = [group for group in fitting if str(group.setting) == setting] or fitting
    chosen = [group for group in chosen if group.symbol == chosen[0].symbol]
    if len(chosen) > 1:
        raise InputError(f"'{path}': the space group '{said or number}' has two origins; {_REMEDY}.")
    return chosen[0]


def _settings(group: str | int, spacegroups: Any) -> list[Any]:
    """A space group in each setting that is known of it, the one that is named first."""
    try:
        first = spacegroups.Spacegroup(group)
    except spacegroups.spacegroup.SpacegroupError:
        return []
    try:
        return [first, spacegroups.Spacegroup(first.no, 3 - first.setting)]
    except spacegroups.spacegroup.SpacegroupError:
        return [first]


def _keeps(symmetry: Any, cell: np.ndarray) -> bool:
    """Whether every operation leaves the cell's lengths and angles as they are."""
    metric = cell @ cell.T
    scale = np.sqrt(np.outer(metric.diagonal(), metric.diagonal()))
    turned = [turn.T @ metric @ turn for turn, _ in symmetry.get_symop()]
    return bool((np.abs(turned - metric) <= 2.0 * _STRAIN * scale).all())


def _check_taken(path: Path, sites: Any, atoms: Any) -> None:
    """Refuse sites of two elements at one place, of which only the first is among the atoms."""
    for lost in set(range(len(sites))) - set(atoms.arrays["spacegroup_kinds"].tolist()):
        apart = atoms.get_scaled_positions() - sites.get_scaled_positions()[lost]
        nearest = np.abs(apart - np.rint(apart)).max(axis=1).argmin()
        if atoms.numbers[nearest] != sites.numbers[lost]:
            raise InputError(
                f"'{path}': {sites.symbols[lost]} and {atoms.symbols[nearest]} lie at one place; where a site is "
                "shared give an ordered structure."
            )


def _check_formula(path: Path, block: Mapping[str, Any], atoms: Any) -> None:
    """Refuse sites that are not the formula that the file says, or not as many times as it says."""
    said = str(block.get("_chemical_formula_sum", "")).strip()
    words = [re.fullmatch(r"([A-Z][a-z]?)(\d*\.?\d*)", word) for word in said.split()]
    if not words or None in words:
        return
    amounts: dict[str, float] = defaultdict(float)
    for word in filter(None, words):
        amounts["H" if word[1] == "D" else word[1]] += float(word[2] or 1.0)
    found, times = atoms.symbols.formula.count(), len(atoms) / sum(amounts.values())
    alike = amounts.keys() == found.keys() and all(
        abs(found[name] - times * amount) <= _PER_CENT * len(atoms) for name, amount in amounts.items()
    )
    units = block.get("_cell_formula_units_z")
    if not isinstance(units, int | float):
        units = None
    if alike and (units is None or _as_often(units, times, list(amounts.values()))):
        return
    often = "" if units is None else f", {units:g} times in a cell"
    raise InputError(
        f"'{path}': its sites are {atoms.get_chemical_formula()}, but its formula is '{said}'{often}; check sites, "
        "space group and formula."
    )


def _as_often(units: float, times: float, amounts: Sequence[float]) -> bool:
    """Whether a cell holds the formula as often as it says, or is that formula, as pymatgen writes it."""
    if units > 0 and abs(times - 1.0) <= _PER_CENT and all(amount % units == 0 for amount in amounts):
        return True
    return abs(times - units) <= _PER_CENT * times
