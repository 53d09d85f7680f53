"""Study: a pretrained potential's physics under the prior of crystals. ``python -m metasci.studies.crystal_potential``.

The last peak of the phonon density of states, anions left out, by the process over families: on descriptors of the
crystal alone, and with the highest frequency by CHGNet as a trend and as a descriptor, on the same crystals, the same
supports and the same members that judge. CHGNet has seen crystals of all these anions in its pretraining: of energies,
forces and stresses, not of vibrations.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from metasci import catalogue
from metasci.data.cards import Card, Column
from metasci.data.frames import csv_bytes
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.files import write_atomically
from metasci.materials.potentials import fingerprint, known_frequencies
from metasci.materials.properties import phonon_peak, property_of_card
from metasci.model import Model
from metasci.priors.families import StructurePrior, learn_structures
from metasci.studies.families import CRYSTALS, scores, shown

__all__ = ["SIMULATED", "card", "learn_phonon_peaks", "tasks", "with_frequency"]

_COLUMN = Column(
    "chgnet_frequency",
    "chgnet_frequency",
    "input",
    "1/cm",
    "Highest frequency at the zone's centre by CHGNet; computed from the structure where the table has no such column",
    simulator="chgnet_frequency",
)


def card() -> Card:
    """What the columns of the data mean, with the potential's frequency."""
    own = catalogue.card("phonons")
    return replace(own, columns=(*own.columns, _COLUMN))


SIMULATED: Model = property_of_card("materials.phonon_peak", card(), phonon_peak.noise)
"""The property with what the potential says among its inputs."""


def with_frequency() -> pd.DataFrame:
    """Crystals whose frequency was computed: anion, crystal, last peak and frequency (1/cm)."""
    rows = catalogue.dataset("phonons", model=phonon_peak).to_frame()[["task", "crystal", "phonon_peak"]]
    known = known_frequencies()
    rows["chgnet_frequency"] = [known.get(fingerprint(text), np.nan) for text in rows["crystal"]]
    rows = rows[rows["chgnet_frequency"].notna()]
    if rows.empty:
        raise InputError("no frequency was computed yet: `python benchmarks/chgnet_frequencies.py` does.")
    return rows.reset_index(drop=True)


def tasks(rows: pd.DataFrame, model: Model) -> TaskSet:
    """The crystals by anion."""
    units = {
        "task": "anion",
        "phonon_peak": "phonon_peak [1/cm]",
        "chgnet_frequency": "chgnet_frequency [1/cm]",
    }
    if model is SIMULATED:
        return TaskSet.from_frame(rows.rename(columns=units), card(), model=model)
    plain = rows.drop(columns="chgnet_frequency").rename(columns=units)
    return TaskSet.from_frame(plain, catalogue.card("phonons"), model=model)


def learn_phonon_peaks() -> StructurePrior:
    """The prior of last phonon peaks that ships."""
    return learn_structures(SIMULATED, tasks(with_frequency(), SIMULATED), CRYSTALS, name="phonon_peak")


def main(folder: Path | None = None) -> None:
    """Print how soft the potential is, and the tables."""
    torch.set_num_threads(1)
    rows = with_frequency()
    ratio = rows["phonon_peak"] / rows["chgnet_frequency"]
    print(f"{len(rows)} crystals of {rows['task'].nunique()} anions")
    print("last peak over the potential's highest frequency, quartiles by anion")
    print(ratio.groupby(rows["task"]).quantile(np.array([0.25, 0.5, 0.75])).unstack().round(2).to_string())
    print(f"all: {ratio.median():.2f}")
    for title, model in (("the process alone", phonon_peak), ("with the potential", SIMULATED)):
        families = tasks(rows, model)
        table = scores(StructurePrior("recipe", model, CRYSTALS, None, families.card), families)
        print(f"\n{title}: MAE ± spread over seeds, coverage of 90 % intervals; 1/cm")
        print(shown(table), flush=True)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / f"{title.split()[-1]}.csv", csv_bytes(table))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
