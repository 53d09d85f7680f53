"""Study: energies of solvation under the prior of boiling points. ``python -m metasci.studies.solvation [FOLDER]``.

Normal boiling points, organic families left out, by the process over families: on descriptors of the molecule's graph
alone, and with what semi-empirical quantum chemistry says of it in a liquid (`metasci.materials.solvation`) among its
descriptors; on the same families, the same supports and the same members that judge. The rivals take the same
descriptors. Which numbers are computed was settled before any of them was tried.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch

from metasci import catalogue
from metasci.data.cards import Card, Column
from metasci.data.tasks import TaskSet
from metasci.evaluation.protocol import Protocol, with_enough_rows
from metasci.materials.properties import boiling_point, property_of_card
from metasci.materials.solvation import UNITS
from metasci.meta.group_process import GroupProcess
from metasci.model import Model
from metasci.priors.families import StructurePrior, learn_structures
from metasci.studies.families import held_against

__all__ = ["SOLVATED", "card", "learn_boiling_points_by_solvation", "tasks"]

_SAYS = {
    "water_solvation": "Free energy of solvation in water",
    "polar_solvation": "Free energy of solvation in water less that in hexane",
    "dipole": "Dipole in vacuum",
    "charge_spread": "Sum of the squares of the atoms' charges",
    "acid_charge": "Greatest charge of a hydrogen atom",
    "lowest_empty": "Energy of the lowest empty orbital",
}


def card() -> Card:
    """What the columns of the data mean, with what is computed of each molecule."""
    own = catalogue.card("boiling_points")
    columns = tuple(
        Column(
            name,
            name,
            "input",
            unit,
            f"{_SAYS[name]}, by GFN2-xTB; computed from the structure where the table has no such column",
            simulator=name,
        )
        for name, unit in UNITS.items()
    )
    return replace(own, columns=(*own.columns, *columns))


SOLVATED: Model = property_of_card("materials.boiling_point", card(), boiling_point.noise)
"""The property with what is computed among its inputs."""


def tasks(model: Model) -> TaskSet:
    """Molecules of families with enough members."""
    own = catalogue.dataset("boiling_points", model=boiling_point)
    if model is SOLVATED:
        rows = own.to_frame()[["family", "molecule", "boiling_point"]]
        own = TaskSet.from_frame(
            rows.rename(columns={"boiling_point": "boiling_point [K]"}), card(), model=model
        )
    return with_enough_rows(own, Protocol.from_card(own.card))[0]


def learn_boiling_points_by_solvation() -> StructurePrior:
    """The prior of boiling points with solvation that ships."""
    return learn_structures(SOLVATED, tasks(SOLVATED), name="boiling_point_solvation")


def main(folder: Path | None = None) -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    titles = {"the molecule's graph alone": boiling_point, "with solvation": SOLVATED}
    families = {title: tasks(model) for title, model in titles.items()}
    recipes = {
        title: StructurePrior("recipe", model, GroupProcess(), None, families[title].card)
        for title, model in titles.items()
    }
    held_against(((title, recipes[title], families[title]) for title in titles), 10, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
