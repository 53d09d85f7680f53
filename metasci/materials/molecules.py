"""Molecules written as SMILES: parts, descriptors and graphs, by rdkit."""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from metasci.errors import InputError
from metasci.materials.structures import Features, needs

__all__ = ["DESCRIPTORS", "canonical", "features", "largest_fragment", "makeup", "molecule_of", "parts"]

DESCRIPTORS = (
    "MolWt",
    "HeavyAtomCount",
    "TPSA",
    "MolLogP",
    "MolMR",
    "LabuteASA",
    "Chi0v",
    "Chi1v",
    "Chi2v",
    "Chi3v",
    "Kappa1",
    "Kappa2",
    "Kappa3",
    "NumHDonors",
    "NumHAcceptors",
    "BalabanJ",
    "RingCount",
    "NumRotatableBonds",
    "FractionCSP3",
    "HallKierAlpha",
    "MaxAbsPartialCharge",
    "MinPartialCharge",
    "MaxPartialCharge",
    "NumAromaticRings",
    "MaxEStateIndex",
    "MinEStateIndex",
)
"""Of size, shape, polarity and charge, by rdkit's names; of the first with a logarithm below, that too."""

_LOGARITHMS = ("MolWt", "HeavyAtomCount", "LabuteASA", "MolMR")
_LONGEST, _MOST_ATOMS = 5000, 1000  # descriptors of paths take time that grows with their square
_CHARGED, _UNPAIRED = "a net charge", "an unpaired electron"
_ISOTOPE = re.compile(r"\[\d")  # the mass of an atom in brackets
_PARTS = 512  # bits into which Morgan's fragments fold: few enough for some thousand molecules to fill


def canonical(text: str) -> str:
    """The canonical SMILES of one molecule.

    Examples
    --------
    >>> canonical("OCC")
    'CCO'
    >>> canonical("C1CC")
    Traceback (most recent call last):
    metasci.errors.InputError: 'C1CC' is not a SMILES that can be read.
    """
    chem = needs("rdkit.Chem")
    molecule = molecule_of(text)
    if len(chem.GetMolFrags(molecule)) > 1:
        largest = largest_fragment(text)
        raise InputError(f"'{text}' is of several molecules; give one, such as its largest, '{largest}'.")
    read = str(chem.MolToSmiles(molecule))
    if _ISOTOPE.search(text):
        warnings.warn(f"'{text}' is read as '{read}': isotopes are not looked at.", stacklevel=2)
    return read


def largest_fragment(text: str) -> str:
    """The canonical SMILES of the molecule with the most atoms, of a salt or a solvate; the first of several as large.

    Examples
    --------
    >>> largest_fragment("[Na+].CC(=O)[O-]"), largest_fragment("OCC")
    ('CC(=O)[O-]', 'CCO')
    """
    return parts(text)[0]


def parts(text: str) -> list[str]:
    """The canonical SMILES of each molecule of a salt or a solvate, that with the most atoms first; charges stay.

    Examples
    --------
    >>> parts("Cl.CCN"), parts("O.O.CCO")
    (['CCN', 'Cl'], ['CCO', 'O', 'O'])
    """
    chem = needs("rdkit.Chem")
    molecules = chem.GetMolFrags(molecule_of(text), asMols=True)
    return [str(chem.MolToSmiles(each)) for each in sorted(molecules, key=lambda each: -each.GetNumAtoms())]


def makeup(text: str) -> tuple[set[str], int]:
    """Elements of a molecule, hydrogen left out where it is not alone, and its number of such atoms.

    Charge and unpaired electrons make a molecule as unlike others as an element does, and are told with the elements.

    Examples
    --------
    >>> makeup("ClCCl")[1], sorted(makeup("ClCCl")[0])
    (3, ['C', 'Cl'])
    >>> sorted(makeup("C[NH3+]")[0]), sorted(makeup("C[N+](=O)[O-]")[0]), sorted(makeup("[2H]C")[0])
    (['C', 'N', 'a net charge'], ['C', 'N', 'O'], ['C'])
    """
    molecule = molecule_of(text)
    atoms = list(molecule.GetAtoms())
    heavy = [atom for atom in atoms if atom.GetAtomicNum() > 1] or atoms
    elements = {atom.GetSymbol() for atom in heavy}
    if sum(atom.GetFormalCharge() for atom in atoms):
        elements.add(_CHARGED)
    if any(atom.GetNumRadicalElectrons() for atom in atoms):
        elements.add(_UNPAIRED)
    return elements, len(heavy)


def features(texts: Sequence[str]) -> Features:
    """Counts of atoms with their neighbours (Morgan environments of radius 0 and 1, folded), and descriptors.

    Source of the counts: Rogers and Hahn, J Chem Inf Model 50 (2010) 742.

    Examples
    --------
    >>> described = features(["CCO", "CCCO"])
    >>> described.counts.shape, described.counts.sum(1).tolist(), round(float(described.descriptors[0, 0]), 2)
    ((2, 512), [6.0, 8.0], 46.07)
    """
    generator = needs("rdkit.Chem.rdFingerprintGenerator").GetMorganGenerator(radius=1, fpSize=_PARTS)
    known = dict(needs("rdkit.Chem.Descriptors")._descList)
    counts = np.zeros((len(texts), _PARTS))
    whole = np.zeros((len(texts), len(DESCRIPTORS) + len(_LOGARITHMS)))
    for row, text in enumerate(texts):
        molecule = molecule_of(text)
        for part, count in generator.GetCountFingerprint(molecule).GetNonzeroElements().items():
            counts[row, part] = count
        values = {name: float(known[name](molecule)) for name in DESCRIPTORS}
        whole[row] = [*values.values(), *(np.log1p(values[name]) for name in _LOGARITHMS)]
    return Features(counts, np.nan_to_num(np.clip(whole, -1e6, 1e6)))


@functools.lru_cache(maxsize=10_000)
def molecule_of(text: str) -> Any:
    """The molecule of a SMILES without its isotopes, which no number here knows; rdkit's complaints are not printed.

    Deuterium as an atom of its own would make a molecule heavier and larger by every descriptor, where it boils alike.

    Examples
    --------
    >>> molecule_of("[2H]C([2H])([2H])[13CH2]O").GetNumAtoms()
    3
    """
    if len(text) > _LONGEST:
        raise InputError(
            f"a SMILES of {len(text)} letters is not read; molecules of up to {_MOST_ATOMS} atoms are."
        )
    chem, log = needs("rdkit.Chem"), needs("rdkit.RDLogger")
    log.DisableLog("rdApp.*")
    try:
        molecule = chem.MolFromSmiles(text)
    finally:
        log.EnableLog("rdApp.error")
    if molecule is None or not molecule.GetNumAtoms():
        raise InputError(f"'{text}' is not a SMILES that can be read.")
    if molecule.GetNumAtoms() > _MOST_ATOMS:
        raise InputError(
            f"'{text}' has {molecule.GetNumAtoms()} atoms; molecules of up to {_MOST_ATOMS} are read."
        )
    if any(atom.GetAtomicNum() == 0 for atom in molecule.GetAtoms()):
        raise InputError(f"'{text}' is no molecule: it has an atom of no element, '*'.")
    if any(atom.GetIsotope() for atom in molecule.GetAtoms()):
        for atom in molecule.GetAtoms():
            atom.SetIsotope(0)
        molecule = chem.RemoveHs(molecule)
        chem.AssignStereochemistry(molecule, cleanIt=True, force=True)  # of a hand that only isotopes tell
    return molecule
