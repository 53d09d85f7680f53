"""Alloys: does the process gain by phases, or by a theory of strength? What it printed is in ``alloys_told_more.md``.

    pip install pymatgen
    python benchmarks/alloys_told_more.py

Element systems are left out in five parts, as on the card of `alloy_strength`. Told beside composition and temperature:
whether an alloy was found to be one phase, body-centred or face-centred cubic (as by X-rays, before any test of its
strength); or the strength at rest and the energy barrier of an edge dislocation in a random solution, from moduli and
volumes of its elements (Maresca and Curtin, Acta Materialia 182 (2020) 235); or both.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from metasci import catalogue
from metasci.data.cards import Card, Column
from metasci.data.simulators import Simulator, register
from metasci.extras import needed
from metasci.materials.compositions import fractions
from metasci.materials.properties import alloy_strength, property_of_card
from metasci.priors.families import StructurePrior
from metasci.studies.families import ALLOYS, held_against

_NOT_SEEN = {"processing", "test"}  # of which the shipped prior does without
_TENSION, _ALPHA, _POISSON = (
    1.0 / 12.0,
    3.06,
    0.32,
)  # of the dislocation's line; Taylor's factor; of most metals
_PER_ATOM = 0.602214  # cm³/mol of an ångström³
_GPA_CUBIC_ANGSTROM = 1.0 / 160.2177  # eV


def edge(structures: Sequence[str], place: int) -> NDArray[np.float64]:
    """Strength at rest (MPa), or energy barrier (eV), of an edge dislocation in each alloy."""
    return np.array([_edge(text)[place] for text in structures])


@functools.cache
def _edge(text: str) -> tuple[float, float]:
    shares = fractions(text)
    share = np.array(list(shares.values()))
    volume, shear = np.array([_element(name) for name in shares]).T
    mean = share @ volume
    length = (np.sqrt(2.0) * mean) ** (1.0 / 3.0)
    modulus, lateral = share @ shear, (1.0 + _POISSON) / (1.0 - _POISSON)
    misfit = share @ (volume - mean) ** 2 / length**6
    rest = 0.040 * _TENSION ** (-1.0 / 3.0) * modulus * (lateral**2 * misfit) ** (2.0 / 3.0)
    barrier = 2.00 * _TENSION ** (1.0 / 3.0) * modulus * length**3 * (lateral**2 * misfit) ** (1.0 / 3.0)
    return 1000.0 * _ALPHA * rest, barrier * _GPA_CUBIC_ANGSTROM


@functools.cache
def _element(name: str) -> tuple[float, float]:
    """Volume of an atom (ångström³) and shear modulus (GPa), from Young's or else the bulk modulus."""
    element = needed("pymatgen.core", "potential", "a theory of strength").Element(name)
    young = element.youngs_modulus or 3.0 * (1.0 - 2.0 * _POISSON) * element.bulk_modulus
    return float(element.molar_volume) / _PER_ATOM, float(young) / (2.0 * (1.0 + _POISSON))


PHASES = Column(
    "phases",
    "PROPERTY: BCC/FCC/other",
    "input",
    "1",
    "One phase",
    codes={"other": 0.0, "BCC": 1.0, "FCC": 2.0},
)
EDGE = tuple(
    Column(name, name, "input", unit, "By the theory of edge dislocations", simulator=name)
    for name, unit in (("edge_strength", "MPa"), ("edge_barrier", "eV"))
)


def card(*told: Column) -> Card:
    """The card of the data with what is told more."""
    own, names = catalogue.card("alloy_systems"), {column.name for column in told}
    kept = (column for column in own.columns if column.name not in names | _NOT_SEEN)
    return replace(own, columns=(*kept, *told))


def main() -> None:
    """Print a table for each."""
    torch.set_num_threads(1)
    for place, column in enumerate(EDGE):
        values = functools.partial(edge, place=place)
        register(column.name, Simulator("formula", column.unit, values, "Maresca and Curtin 2020"))
    cases = {"as it ships": (), "with phases": (PHASES,), "with theory": EDGE, "with both": (PHASES, *EDGE)}
    for title, told in cases.items():
        described = card(*told)
        model = property_of_card("materials.yield_strength", described, alloy_strength.noise)
        tasks = catalogue.dataset("alloy_systems", card=described, model=model)
        recipe = StructurePrior("recipe", model, ALLOYS, None, described)
        held_against([(title, recipe, tasks)], 5, None)


if __name__ == "__main__":
    main()
