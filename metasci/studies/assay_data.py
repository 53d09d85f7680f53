"""Assays that do not ship: Tox21 and SIDER, as deepchem distributes them, read in place."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metasci.errors import InputError
from metasci.materials.molecules import features

__all__ = ["Assays", "assays", "read_assays"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Assays:
    """Molecules and what assays say of them.

    Attributes
    ----------
    names : tuple of str
    labels : array, (molecule, assay)
        One for active, zero for not, NaN where it was not measured.
    described : array, (molecule, feature)
        Of their structure.
    smiles : tuple of str
        Their structures; without, there is no network of graphs.
    """

    names: tuple[str, ...]
    labels: Floats
    described: Floats
    smiles: tuple[str, ...] = ()


def read_assays(
    path: str | Path | None = None, name: str = "tox21"
) -> tuple[tuple[str, ...], Floats, list[str]]:
    """Names of the assays, labels (molecule, assay) and SMILES.

    Parameters
    ----------
    path : path, optional
        ``few_shot_molecules/NAME.csv.gz`` under ``METASCI_DATA_DIR`` by default.
    name : "tox21" or "sider"
    """
    folder = os.environ.get("METASCI_DATA_DIR", "")
    file = Path(path) if path else Path(folder) / "few_shot_molecules" / f"{name}.csv.gz"
    if not file.is_file():
        raise InputError(
            "the assays' data do not ship: set METASCI_DATA_DIR to the folder that holds few_shot_molecules/."
        )
    table = pd.read_csv(file)
    names = [str(column) for column in table if column not in ("mol_id", "smiles")]
    return tuple(names), table[names].to_numpy(float), table["smiles"].tolist()


def assays(path: str | Path | None = None, name: str = "tox21") -> Assays:
    """The assays with their molecules described; a structure that cannot be read is left out, and told."""
    from metasci.materials.molecules import molecule_of

    names, labels, smiles = read_assays(path, name)
    kept = []
    for at, text in enumerate(smiles):
        try:
            molecule_of(text)
        except InputError:
            continue
        kept.append(at)
    if len(kept) < len(smiles):
        print(f"{len(smiles) - len(kept)} of {len(smiles)} structures cannot be read and are left out")
    known = tuple(smiles[at] for at in kept)
    parts = features(known)
    return Assays(names, labels[kept], np.hstack([np.minimum(parts.counts, 3.0), parts.descriptors]), known)
