"""The prior of phonon peaks, learned for longer. ``python benchmarks/phonon_peak_longer.py [ITERATIONS RATE]``.

The study `crystal-potential` learns for 40 iterations at a rate of 0.08; by default this takes 60 at 0.2, after which
the objective is lower. The same crystals, parts and supports.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import torch

from metasci.priors.families import StructurePrior
from metasci.studies.crystal_potential import BY_SEVENNET, tasks
from metasci.studies.families import CRYSTALS, held_against


def main(iterations: int = 60, rate: float = 0.2) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    families = tasks(BY_SEVENNET)
    method = replace(CRYSTALS, iterations=iterations, learning_rate=rate)
    recipe = StructurePrior("recipe", BY_SEVENNET, method, None, families.card)
    held_against([(f"{iterations} iterations at {rate}", recipe, families)], 5, None)


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((int, float), sys.argv[1:], strict=False)))
