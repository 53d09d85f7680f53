"""Cheap models of a property by name: what computes a column from the structures of a table.

Whoever has such a model registers it; `metasci.materials.simulators` does for those that ship, and is loaded when the
first is asked for. A prior of families does not believe a simulator: it learns how far to follow it, for all families
and for each (`metasci.meta.group_covariance`).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metasci.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Simulator", "register", "simulator_named"]

_SHIPPED_BY = "metasci.materials.simulators"
_registered: dict[str, Simulator] = {}


@dataclass(frozen=True)
class Simulator:
    """A cheap model of a property of structures.

    Attributes
    ----------
    kind : str
        Of the structures that it takes, ``"smiles"``, ``"formula"`` or ``"crystal"``.
    unit : str
        Of what it says.
    values : callable
        From structures in their canonical form to one finite number each; `InputError` for one that it cannot take.
    source : str
        Author, year, equation.
    """

    kind: str
    unit: str
    values: Callable[[Sequence[str]], NDArray[np.float64]]
    source: str = ""


def register(name: str, simulator: Simulator) -> Simulator:
    """Make a simulator known under a name, as in a card's ``simulator = "joback_boiling_point"``.

    Examples
    --------
    >>> import numpy as np
    >>> carbons = Simulator("smiles", "K", lambda texts: np.array([30.0 * text.count("C") for text in texts]))
    >>> register("thirty_kelvin_a_carbon", carbons).unit
    'K'
    >>> simulator_named("thirty_kelvin_a_carbon").values(["CCO"]).tolist()
    [60.0]
    """
    _registered[name] = simulator
    return simulator


def simulator_named(name: str, where: str = "") -> Simulator:
    """The simulator of that name.

    Raises
    ------
    InputError
        If there is none; the sentence lists those there are.
    """
    if name not in _registered:
        importlib.import_module(_SHIPPED_BY)
    if name not in _registered:
        place = f"{where}: " if where else ""
        raise InputError(
            f"{place}there is no simulator '{name}'; known are {', '.join(_registered)}, or 'given'."
        )
    return _registered[name]
