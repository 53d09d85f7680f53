"""Study: a pretrained potential's physics under the prior of crystals. ``python -m metasci.studies.crystal_potential``.

The last peak of the phonon density of states, anions left out, by the process over families: on descriptors of the
crystal alone; with the highest frequency at the zone's centre by CHGNet; and with the last peak and the end of the
density of states by SevenNet, each as a trend and as a descriptor; on the same crystals, the same supports and the same
members that judge. Both potentials have seen crystals of all these anions in their pretraining: energies, forces and
stresses, not vibrations.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from metasci import catalogue
from metasci.data.cards import Card, Column
from metasci.data.tasks import TaskSet
from metasci.materials.properties import phonon_peak, property_of_card
from metasci.model import Model
from metasci.priors.families import StructurePrior, learn_structures
from metasci.studies.families import CRYSTALS, held_against

__all__ = ["BY_CHGNET", "BY_SEVENNET", "card", "learn_phonon_peaks", "softness", "tasks"]

_SAYS = {
    "chgnet_frequency": "Highest frequency at the zone's centre by CHGNet",
    "sevennet_last_peak": "Last peak of the phonon density of states by SevenNet",
    "sevennet_highest": "Highest frequency by SevenNet",
}


def card(*simulators: str) -> Card:
    """What the columns of the data mean, with what potentials say of a crystal."""
    own = catalogue.card("phonons")
    computed = "computed from the structure where the table has no such column"
    columns = (
        Column(name, name, "input", "1/cm", f"{_SAYS[name]}; {computed}", simulator=name)
        for name in simulators
    )
    return replace(own, columns=(*own.columns, *columns))


def _with(*simulators: str) -> Model:
    return property_of_card("materials.phonon_peak", card(*simulators), phonon_peak.noise)


BY_CHGNET, BY_SEVENNET = _with("chgnet_frequency"), _with("sevennet_last_peak", "sevennet_highest")
"""The property with what a potential says among its inputs."""


def tasks(model: Model, most: int | None = None) -> TaskSet:
    """The crystals by anion, so many of each at most, with what the model wants to know of them."""
    own = catalogue.dataset("phonons", model=phonon_peak)
    if model is phonon_peak:
        return own
    rows = own.to_frame()[["anion", "crystal", "phonon_peak"]].groupby("anion").head(most or own.counts.max())
    simulators = [name for name in model.inputs if name in _SAYS]
    return TaskSet.from_frame(
        rows.rename(columns={"phonon_peak": "phonon_peak [1/cm]"}), card(*simulators), model=model
    )


def learn_phonon_peaks() -> StructurePrior:
    """The prior of last phonon peaks that ships."""
    return learn_structures(BY_SEVENNET, tasks(BY_SEVENNET), CRYSTALS, name="phonon_peak")


def softness(families: TaskSet, simulator: str) -> str:
    """Measured over simulated, quartiles by anion and over all, as text."""
    rows = families.to_frame()
    ratio = rows["phonon_peak"] / rows[simulator]
    by_anion = ratio.groupby(rows["task"]).quantile(np.array([0.25, 0.5, 0.75])).unstack().round(2)
    return (
        f"last peak over {simulator}, quartiles by anion\n{by_anion.to_string()}\nall: {ratio.median():.2f}"
    )


def main(folder: Path | None = None) -> None:
    """Print how soft the potentials are, and the tables."""
    torch.set_num_threads(1)
    titles = {
        "the process alone": phonon_peak,
        "with a frequency by CHGNet": BY_CHGNET,
        "with the phonons of SevenNet": BY_SEVENNET,
    }
    families = {title: tasks(model) for title, model in titles.items()}
    recipes = {
        title: StructurePrior("recipe", model, CRYSTALS, None, families[title].card)
        for title, model in titles.items()
    }
    for title, model in titles.items():
        print(*(softness(families[title], name) for name in model.inputs if name in _SAYS), sep="\n")
    held_against(((title, recipes[title], families[title]) for title in titles), 5, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
