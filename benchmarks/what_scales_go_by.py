"""What the scales of a discrepancy are learned by: ``python benchmarks/what_scales_go_by.py``.

By the density of all measurements or of each half of the tasks given the other half, with the slopes of the equation
taken as given where a cost is differentiated, or followed where scales lead the tasks. Steel grades and fatigue cracks
left out as in the cards of `steel_tempering_discrepancy` and `alloy_fatigue_discrepancy`.
"""

from __future__ import annotations

from functools import partial
from unittest.mock import patch

import torch
from discrepancy import MODEL, SHOTS, steels
from meaning_of_parameters import as_given

import metasci as ms
from metasci.kinetics import crack_growth
from metasci.meta import DiscrepancyPrior
from metasci.meta.discrepancy import method, objective
from metasci.meta.discrepancy.likelihood import posterior_means

VARIANTS = {
    "density of all, slopes as given": (0, as_given),
    "density of all": (0, posterior_means),
    "halves, slopes as given": (objective.HALVINGS, as_given),
    "halves": (objective.HALVINGS, posterior_means),
}


def main() -> None:
    """Print a row for each variant and number of readings."""
    torch.set_num_threads(1)
    cases = {
        "steel_tempering": (MODEL, steels(), SHOTS, "steel", 2),
        "alloy_fatigue": (crack_growth, ms.dataset("alloy_fatigue"), (1, 3, 5), "specimen", 1),
    }
    print("| data | learned by | readings | RMSE | 90 % intervals hold | negative log density |")
    print("|---|---|---|---|---|---|")
    for data, (model, tasks, shots, left_out, seeds) in cases.items():
        for title, (halvings, means) in VARIANTS.items():
            drawn = partial(objective.sample, halvings=halvings)
            with patch.object(method, "sample", drawn), patch.object(objective, "posterior_means", means):
                prior = ms.meta_calibrate(model, tasks, DiscrepancyPrior())
                report = ms.evaluate(prior, tasks, shots, leave_out=left_out, folds=5, seeds=seeds)
            for row in report["results"]:
                if row["method"] == "prior":
                    figures = f"{row['rmse']:.4g} | {100 * row['coverage90']:.0f} % | {row['nlpd']:.2f}"
                    print(f"| {data} | {title} | {row['shots']} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
