"""Alloys: does a process over families gain by leaning on a forest? What it printed is in ``alloys_over_a_forest.md``.

    python benchmarks/alloys_over_a_forest.py

Element systems are left out in five parts. A forest of extremely random trees, or gradient boosting, forecasts every
system that is learned from by a fit without it, and the process is learned on what it leaves; of new systems the fit to
all known ones is the mean. Judged are systems with more than ten measurements: some calibrate, those after the tenth
judge, five times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor
from sklearn.model_selection import GroupKFold

from metasci import catalogue
from metasci.materials.properties import alloy_strength
from metasci.meta.outlook import Outlook
from metasci.priors.families import _features, _measured
from metasci.studies.families import ALLOYS

SHOTS, SEEDS, LEAST = (0, 1, 3, 5, 10), 5, 11


def trees() -> Any:
    """Extremely random trees (Geurts, Ernst and Wehenkel 2006)."""
    return ExtraTreesRegressor(300, min_samples_leaf=2, max_features=0.5, random_state=0)


def boosting() -> Any:
    """Gradient boosting on histograms."""
    return HistGradientBoostingRegressor(
        max_iter=200, learning_rate=0.05, max_leaf_nodes=15, min_samples_leaf=8, random_state=0
    )


WAYS: dict[str, tuple[Callable[[], Any] | None, float]] = {
    "process alone, as it ships": (None, 0.0),
    "on what trees leave": (trees, 1.0),
    "on what half of the trees' forecast leaves": (trees, 0.5),
    "on what boosting leaves": (boosting, 1.0),
}


def judged(
    outlook: Outlook, values: torch.Tensor, mean: torch.Tensor, number: int
) -> list[tuple[int, float, float]]:
    """Of one system: readings, MAE in MPa and coverage, for every choice of the support."""
    rows = []
    for shots in SHOTS:
        for seed in range(SEEDS):
            order = np.random.default_rng([number, seed, shots]).permutation(len(values))
            seen, asked = torch.zeros(2, len(values), dtype=torch.bool)
            seen[order[:shots]], asked[order[10:]] = True, True
            after = outlook.given(seen, values - mean)
            centre = after.mean + mean
            reach = after.scale * float(stats.t.ppf(0.95, float(after.freedom)))
            covered = ((values - centre).abs() <= reach)[asked].double().mean()
            rows.append((shots, float((centre.exp() - values.exp()).abs()[asked].mean()), float(covered)))
    return rows


def measure(make: Callable[[], Any] | None, share: float) -> pd.DataFrame:
    """MAE and coverage by number of readings."""
    tasks = catalogue.dataset("alloy_systems", model=alloy_strength)
    labels = np.array(tasks.names)
    rows = []
    for part in np.array_split(np.random.default_rng(0).permutation(sorted(labels)), 5):
        out = np.isin(labels, part)
        points, values, group = _measured(alloy_strength, tasks.select(~out))
        new, measured, number = _measured(alloy_strength, tasks.select(out))
        mean, of_new = torch.zeros_like(values), torch.zeros_like(measured)
        if make is not None:
            table = _features(points).numpy()
            for known, left in GroupKFold(8).split(table, groups=group.numpy()):
                fit = make().fit(table[known], values[known].numpy())
                mean[left] = share * torch.as_tensor(fit.predict(table[left]))
            whole = make().fit(table, values.numpy())
            of_new = share * torch.as_tensor(whole.predict(_features(new).numpy()))
        state = ALLOYS.learn(points, values - mean, group)
        for system in torch.unique(number):
            at = (number == system).nonzero()[:, 0]
            if len(at) >= LEAST:
                outlook = ALLOYS.outlook(new.select(at), state)
                rows += judged(outlook, measured[at], of_new[at], int(system))
    return pd.DataFrame(rows, columns=["readings", "mae", "covered"]).groupby("readings").mean()


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print(f"| process | {' | '.join(map(str, SHOTS))} |\n|---|{'---|' * len(SHOTS)}")
    for name, (make, share) in WAYS.items():
        table = measure(make, share)
        cells = [
            f"{mae:.0f} ({100 * held:.0f} %)"
            for mae, held in zip(table["mae"], table["covered"], strict=True)
        ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
