"""Do Joback's boiling points help the prior of boiling points? ``python benchmarks/simulated_boiling_points.py``.

The same families are left out, and the same members are measured, without the simulator and with it. Joback's method
was itself fitted to boiling points of the handbook's kind, with members of every family among them.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import pandas as pd
import torch

import metasci as ms
from metasci.data.cards import Column
from metasci.data.tasks import TaskSet
from metasci.evaluation.evaluate import evaluate
from metasci.evaluation.protocol import Protocol, with_enough_rows
from metasci.materials.properties import boiling_point, property_of_card
from metasci.meta.group_process import GroupProcess
from metasci.model import Model
from metasci.priors.families import StructurePrior

SIMULATOR = Column(
    "joback_boiling_point", "joback_boiling_point", "input", "K", simulator="joback_boiling_point"
)


def judged(model: Model, tasks: TaskSet, seeds: int) -> pd.DataFrame:
    """Mean absolute error (K) and coverage by members measured, families left out in ten parts."""
    tasks, _ = with_enough_rows(tasks, Protocol.from_card(tasks.card))
    recipe = StructurePrior("boiling points", model, GroupProcess(), None, tasks.card)
    results = evaluate(recipe, tasks, leave_out="family", folds=10, seeds=seeds)["results"]
    table = pd.DataFrame(results)
    return table[table["method"] == "prior"].set_index("shots")[["mae", "mae_sd_over_seeds", "coverage90"]]


def main() -> None:
    """Print both."""
    torch.set_num_threads(1)
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    plain = ms.dataset("boiling_points", model=boiling_point)
    print("without a simulator")
    print(judged(boiling_point, plain, seeds).round(2).to_string(), flush=True)
    card = replace(plain.card, columns=(*plain.card.columns, SIMULATOR))
    model = property_of_card("materials.simulated_boiling_point", card, boiling_point.noise)
    rows = plain.to_frame().rename(columns={"boiling_point": "boiling_point [K]"})
    rows = rows.drop(columns=[name for name in ("task", "CAS") if name in rows])
    print("\nJoback's boiling point as a trend and as a descriptor")
    print(judged(model, TaskSet.from_frame(rows, card, model=model), seeds).round(2).to_string())


if __name__ == "__main__":
    main()
