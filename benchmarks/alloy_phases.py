"""Which phase has an alloy of several principal elements? ``python benchmarks/alloy_phases.py``.

Measured alloys of the data set `alloy_phases` (datasets/alloy_phases/dataset.toml has source and licence). Classes are
face-centred cubic, body-centred cubic and anything else or more, against the mean number of valence electrons (Guo, Ng,
Lu and Liu, J Appl Phys 109 (2011) 103505). Each publication is a task: what a laboratory calls a second phase, and how
it cools, is its own. A fifth of the publications is held out in turn.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

import metasci as ms
from metasci.studies.ship import RECIPES, learn_recipe


def main() -> None:
    """Print how often the published rule is right, and the figures of publications held out."""
    tasks = ms.dataset("alloy_phases")
    (recipe,) = (recipe for recipe in RECIPES if recipe.folder == "alloy_phases")
    frame = pd.read_csv(ms.catalogue.shipped("datasets") / "alloy_phases" / "data.csv")
    rule = np.select([frame["electrons"] < 6.87, frame["electrons"] >= 8.0], ["BCC", "FCC"], "other")
    print(f"{len(frame)} alloys of {len(tasks)} publications; {frame['phase'].value_counts().to_dict()}")
    print(
        f"the published rule (below 6.87 BCC, from 8.0 on FCC): {(rule == frame['phase']).mean():.3f} right"
    )
    found = ms.evaluate(learn_recipe(recipe), tasks, leave_out="publication", folds=5, seeds=5)
    print(found.frame.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
