"""A pretrained potential's phonons: last peak and end of a crystal's density of states by SevenNet's forces.

SevenNet-0 of 11 July 2024 (Park, Kim, Hwang and Han, J Chem Theory Comput 20 (2024) 4857) was trained on the energies,
forces and stresses of relaxing crystals that CHGNet was trained on (Deng and others, Nature Machine Intelligence 5
(2023) 1031); vibrations follow from it. Its weights come with the library `sevenn`, of the extra ``potential``.
"""

from __future__ import annotations

import csv
import functools
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metasci.errors import InputError
from metasci.extras import needed
from metasci.materials.crystals import atoms_of, fingerprint
from metasci.materials.phonons import Phonons, phonons_of

__all__ = ["KNOWN", "computed", "known", "sevennet"]

KNOWN = Path(__file__).with_name("sevennet_phonons.csv")
"""Phonons of crystals of the data set `phonons`, computed once (`benchmarks/sevennet_phonons.py`)."""

_EXTRA, _PURPOSE = "potential", "a crystal's phonons by SevenNet"
_WEIGHTS = "pretrained_potentials/SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth"
_NO_CODE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


def sevennet(structures: Sequence[str], name: str) -> NDArray[np.float64]:
    """One of a crystal's `Phonons` (1/cm), by SevenNet-0; those of the data set `phonons` need no library.

    Parameters
    ----------
    structures : sequence of str
        Crystals as `metasci.materials.crystals` takes them.
    name : str
        Of the number, ``"last_peak"`` or ``"highest"``.

    Raises
    ------
    InputError
        If a library is missing, of the extra ``potential``; if the potential cannot take the crystal, or has it
        unstable.
    """
    table = known()
    found = (table.get(fingerprint(text)) or computed(text) for text in structures)
    return np.array([getattr(each, name) for each in found])


@functools.lru_cache(maxsize=10_000)
def computed(text: str) -> Phonons:
    """The phonons of one crystal, computed; some seconds of one core."""
    atoms = atoms_of(text)
    try:
        found = phonons_of(atoms, _forces)
    except InputError:  # a library that is missing
        raise
    except (ValueError, IndexError) as error:
        raise InputError(f"SevenNet cannot take {atoms.get_chemical_formula()}: {error}.") from None
    if found.highest <= 0.0:
        raise InputError(
            f"SevenNet has {atoms.get_chemical_formula()} unstable, and says no frequency of it."
        )
    return found


def _forces(atoms: Any) -> NDArray[np.float64]:
    copy = atoms.copy()
    copy.calc = _potential()
    return np.asarray(copy.get_forces(), dtype=float)


@functools.cache
def _potential() -> Any:
    """SevenNet with the weights that came with it, which are read as numbers only."""
    library = needed("sevenn", _EXTRA, _PURPOSE)
    weights = Path(library.__file__).parent / _WEIGHTS
    if not weights.is_file():
        raise InputError(f"the installed sevenn has no weights '{_WEIGHTS}'; install sevenn 0.13.")
    with warnings.catch_warnings(), _numbers_only():
        warnings.simplefilter("ignore")  # of what would be quicker on a GPU
        calculators = needed("sevenn.calculator", _EXTRA, _PURPOSE)
        return calculators.SevenNetCalculator(str(weights), device="cpu")


@contextmanager
def _numbers_only() -> Iterator[None]:
    """Files of torch are read without running what is written in them, whoever reads them."""
    import torch

    restored = np.empty(0).__reduce__()[0], "numpy.core.multiarray._reconstruct"  # its name before NumPy 2
    arrays: list[Any] = [np.ndarray, np.dtype, np.dtypes.Float32DType, np.dtypes.Float64DType, restored]
    before = os.environ.get(_NO_CODE)
    os.environ[_NO_CODE] = "1"
    try:
        with torch.serialization.safe_globals(arrays):
            yield
    finally:
        os.environ.pop(_NO_CODE)
        if before is not None:
            os.environ[_NO_CODE] = before


@functools.cache
def known() -> dict[str, Phonons]:
    """Phonons that were computed beforehand, by `metasci.materials.crystals.fingerprint`."""
    if not KNOWN.is_file():
        return {}
    with KNOWN.open(newline="", encoding="utf-8") as rows:
        return {
            row["crystal"]: Phonons(float(row["last_peak [1/cm]"]), float(row["highest [1/cm]"]))
            for row in csv.DictReader(rows)
        }
