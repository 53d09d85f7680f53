"""Cheap models of properties that ship: what a prior of families may lean on, by name.

A card that says ``simulator = "joback_boiling_point"`` of an input has it computed from the structure, and what is
learned follows it as far as it is right (`metasci.data.simulators`).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metasci.data.simulators import Simulator, register
from metasci.extras import needed
from metasci.materials.chgnet import chgnet_frequency
from metasci.materials.molecules import molecule_of
from metasci.materials.sevennet import sevennet
from metasci.materials.solvation import UNITS, solvation

__all__ = ["chgnet_frequency", "joback_boiling_point", "sevennet", "solvation"]

_NO_GROUPS = 198.0  # K; what the method says of a molecule without any group


def joback_boiling_point(structures: Sequence[str]) -> NDArray[np.float64]:
    """Normal boiling points (K) as Joback's group contributions have them, T = 198 K + Σ contributions.

    Atoms of no group of the method count nothing: a sulfone is told by the rest of its molecule.

    Parameters
    ----------
    structures : sequence of str
        SMILES.

    Raises
    ------
    InputError
        If the library `thermo` is missing, of the extra ``materials``.

    Notes
    -----
    Source: Joback and Reid, Chem Eng Commun 57 (1987) 233, table II; groups found by the library thermo.

    Examples
    --------
    >>> joback_boiling_point(["CCCCCC", "CCO"]).tolist()
    [336.88, 337.54]
    """
    return np.array([_joback(text) for text in structures])


@functools.lru_cache(maxsize=100_000)
def _joback(text: str) -> float:
    joback = needed("thermo.group_contribution.joback", "materials", "Joback's boiling point")
    counts = joback.Joback(molecule_of(text)).counts
    return float(joback.Joback.Tb(counts)) if counts else _NO_GROUPS


register(
    "joback_boiling_point",
    Simulator("smiles", "K", joback_boiling_point, "Joback and Reid, Chem Eng Commun 57 (1987) 233"),
)
register(
    "chgnet_frequency",
    Simulator("crystal", "1/cm", chgnet_frequency, "CHGNet, Deng and others, Nat Mach Intell 5 (2023) 1031"),
)
for _name in ("last_peak", "highest"):
    register(
        f"sevennet_{_name}",
        Simulator(
            "crystal",
            "1/cm",
            functools.partial(sevennet, name=_name),
            "SevenNet-0, Park and others, J Chem Theory Comput 20 (2024) 4857; "
            "phonopy, Togo and Tanaka, Scripta Materialia 108 (2015) 1",
        ),
    )
for _name, _unit in UNITS.items():
    register(
        _name,
        Simulator(
            "smiles",
            _unit,
            functools.partial(solvation, name=_name),
            "GFN2-xTB in ALPB's solvents: Bannwarth and others, J Chem Theory Comput 15 (2019) 1652; "
            "Ehlert and others, J Chem Theory Comput 17 (2021) 4250",
        ),
    )
