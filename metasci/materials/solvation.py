"""What a molecule is like in a liquid, by semi-empirical quantum chemistry: energies of solvation, dipole, charges.

GFN2-xTB (Bannwarth, Ehlert and Grimme, J Chem Theory Comput 15 (2019) 1652) in the implicit solvents of ALPB (Ehlert,
Stahn, Spicher and Grimme, J Chem Theory Comput 17 (2021) 4250), by the library `tblite`, of the extra ``solvation``: a
tenth of a second for a molecule of ten heavy atoms. The parameters of ALPB were fitted to energies of solvation, not to
boiling points.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metasci.errors import InputError
from metasci.extras import needed
from metasci.materials.molecules import canonical, molecule_of

__all__ = ["KNOWN", "UNITS", "Solvation", "computed", "known", "solvation"]

KNOWN = Path(__file__).with_name("solvation.csv")
"""Numbers of the molecules of the data set `boiling_points`, computed once (`benchmarks/solvation_energies.py`)."""

_EXTRA, _PURPOSE = "solvation", "what a molecule is like in a liquid, by GFN2-xTB,"
_BOHR, _HARTREE, _EV, _DEBYE = (
    1.8897261246,
    2625.4996,
    27.211386,
    2.5417464,
)  # per ångström; kJ/mol, eV, debye
_SEED, _RELAXING = 1, 500  # of where atoms begin; steps of the force field


@dataclass(frozen=True)
class Solvation:
    """What is computed of a molecule, in one conformer.

    Attributes
    ----------
    water_solvation : float
        Free energy of solvation in water, kJ/mol.
    polar_solvation : float
        That less the one in hexane, kJ/mol: it falls with what is polar about a molecule, and rises with its size.
    dipole : float
        Of the molecule in vacuum, debye.
    charge_spread : float
        Sum of the squares of the atoms' charges, in elementary charges.
    acid_charge : float
        Greatest charge of a hydrogen atom; 0 without one.
    lowest_empty : float
        Energy of the lowest empty orbital, eV; 0 where the method has none.
    """

    water_solvation: float
    polar_solvation: float
    dipole: float
    charge_spread: float
    acid_charge: float
    lowest_empty: float


UNITS = dict(
    zip(
        (each.name for each in fields(Solvation)),
        ("kJ/mol", "kJ/mol", "debye", "1", "1", "eV"),
        strict=True,
    )
)
"""Of each number, by its name."""


def solvation(structures: Sequence[str], name: str) -> NDArray[np.float64]:
    """One of the numbers of each molecule; those of the data set `boiling_points` need no library.

    Parameters
    ----------
    structures : sequence of str
        Canonical SMILES.
    name : str
        Of the number, as in `Solvation`.

    Raises
    ------
    InputError
        If the library `tblite` is missing, of the extra ``solvation``, or cannot take a molecule.

    Examples
    --------
    >>> solvation(["C=CCCCC", "CCCCCO"], "water_solvation").round(1).tolist()
    [-1.8, -20.1]
    """
    return np.array([getattr(_numbers_of(text), name) for text in structures])


def _numbers_of(text: str) -> Solvation:
    """As the table has them, of the molecule or of one that no property here tells from it, or computed."""
    table, alike = known(), [text, *_alike(text)] if "@" in text else [text]
    return next((table[each] for each in alike if each in table), None) or computed(min(alike, key=_handed))


def _handed(text: str) -> tuple[int, str]:
    """An order of SMILES in which those with fewer marks of handedness are first."""
    return text.count("@"), text


def _alike(text: str) -> list[str]:
    """The mirror image of a molecule and, where but one atom is handed, the molecule of which no hand is told."""
    chem = needed("rdkit.Chem", "materials", _PURPOSE)
    mirrored, plain = chem.Mol(molecule_of(text)), chem.Mol(molecule_of(text))
    for atom in mirrored.GetAtoms():
        atom.InvertChirality()
    centres = chem.FindMolChiralCenters(plain, includeUnassigned=True, useLegacyImplementation=False)
    if len(centres) > 1:
        return [canonical(chem.MolToSmiles(mirrored))]
    for atom in plain.GetAtoms():
        atom.SetChiralTag(chem.ChiralType.CHI_UNSPECIFIED)
    return [canonical(chem.MolToSmiles(each)) for each in (mirrored, plain)]


@functools.lru_cache(maxsize=100_000)
def computed(text: str) -> Solvation:
    """The numbers of one molecule, computed.

    Raises
    ------
    InputError
        If the library is missing, the atoms find no places, no force field has parameters of them, or the method
        does not settle.
    """
    library = needed("tblite.interface", _EXTRA, f"what '{text}' is like in a liquid, by GFN2-xTB,")
    numbers, places, charge, unpaired = _conformer(text)

    def run(solvent: str = "") -> Any:
        calculator = library.Calculator("GFN2-xTB", numbers, places * _BOHR, charge=charge, uhf=unpaired)
        calculator.set("verbosity", 0)
        if solvent:
            calculator.add("alpb-solvation", solvent)
        return calculator.singlepoint()

    try:
        vacuum, water, hexane = run(), run("water"), run("hexane")
    except RuntimeError as error:
        raise InputError(f"GFN2-xTB cannot take '{text}': {str(error).strip().rstrip('.')}.") from None
    energies = [_HARTREE * float(each.get("energy")) for each in (vacuum, water, hexane)]
    charges, levels = vacuum.get("charges"), vacuum.get("orbital-energies")
    empty = levels[vacuum.get("orbital-occupations") < 0.5]  # electron pairs count two
    hydrogens = charges[numbers == 1]
    return Solvation(
        water_solvation=energies[1] - energies[0],
        polar_solvation=energies[1] - energies[2],
        dipole=_DEBYE * float(np.linalg.norm(vacuum.get("dipole"))),
        charge_spread=float((charges**2).sum()),
        acid_charge=float(hydrogens.max()) if len(hydrogens) else 0.0,
        lowest_empty=_EV * float(empty.min()) if len(empty) else 0.0,
    )


@functools.cache
def known() -> dict[str, Solvation]:
    """Numbers that were computed beforehand, by canonical SMILES."""
    if not KNOWN.is_file():
        return {}
    with KNOWN.open(newline="", encoding="utf-8") as rows:
        return {
            row["smiles"]: Solvation(*(float(row[name]) for name in UNITS)) for row in csv.DictReader(rows)
        }


def row_of(text: str, numbers: Solvation) -> str:
    """A line of the table, as many digits as the method has."""
    return ",".join([text, *(f"{value:.5g}" for value in astuple(numbers))])


def _conformer(text: str) -> tuple[NDArray[np.int64], NDArray[np.float64], float, int]:
    """Atomic numbers, places (ångström) of one conformer, total charge and unpaired electrons."""
    chem, quiet = (needed(f"rdkit.{part}", "materials", _PURPOSE) for part in ("Chem", "rdBase"))
    molecule = chem.AddHs(molecule_of(text))
    with quiet.BlockLogs():  # a force field that lacks parameters says so on the terminal
        _lay_out(molecule, text)
    atoms = list(molecule.GetAtoms())
    charge = float(chem.GetFormalCharge(molecule))
    unpaired = sum(atom.GetNumRadicalElectrons() for atom in atoms)
    return (
        np.array([atom.GetAtomicNum() for atom in atoms]),
        molecule.GetConformer().GetPositions(),
        charge,
        unpaired,
    )


def _lay_out(molecule: Any, text: str) -> None:
    """Give a molecule a conformer, relaxed by a force field."""
    chem, geometry = (needed(f"rdkit.Chem{part}", "materials", _PURPOSE) for part in ("", ".AllChem"))
    likely = geometry.ETKDGv3()
    plain = geometry.EmbedParameters()  # for strained rings, which known torsions do not allow
    plain.useRandomCoords = True
    likely.randomSeed = plain.randomSeed = _SEED
    laid_out = geometry.EmbedMolecule(molecule, likely) == 0 or geometry.EmbedMolecule(molecule, plain) == 0
    if not laid_out:
        chem.RemoveStereochemistry(molecule)  # which a cage may not have
        laid_out = geometry.EmbedMolecule(molecule, plain) == 0
    if not laid_out:
        raise InputError(f"'{text}' could not be laid out in space.")
    if geometry.MMFFHasAllMoleculeParams(molecule):
        geometry.MMFFOptimizeMolecule(molecule, maxIters=_RELAXING)
    elif geometry.UFFHasAllMoleculeParams(molecule):
        geometry.UFFOptimizeMolecule(molecule, maxIters=_RELAXING)
    elif molecule.GetNumAtoms() > 1:  # unrelaxed, sulfur hexafluoride has a dipole of 7 debye
        raise InputError(
            f"no force field knows how the atoms of '{text}' lie in space; give its numbers as columns of the "
            f"table: {', '.join(UNITS)}."
        )
