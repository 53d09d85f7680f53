"""Steel tempering by an equation and what it leaves out: ``python benchmarks/discrepancy.py [FOLDS [SEEDS [COLUMN]]]``.

Groups of a column (``steel``, or ``source``) are left out in so many parts, one by one for 0, and the prior is learned
anew without each. What comes out stands in ``discrepancy.md``.
"""

from __future__ import annotations

import sys
import time

import torch

import metasci as ms
from metasci.evaluation.protocol import Protocol, with_enough_rows
from metasci.kinetics import tempering_rockwell
from metasci.meta import DiscrepancyPrior

SHOTS = (0, 1, 3, 5, 10)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    folds = int(sys.argv[1]) or None if len(sys.argv) > 1 else None
    seeds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    column = sys.argv[3] if len(sys.argv) > 3 else "steel"
    tasks = ms.dataset("steel_tempering", model=tempering_rockwell)
    tasks, _ = with_enough_rows(tasks, Protocol.from_card(tasks.card))
    began = time.process_time()
    prior = ms.meta_calibrate(tempering_rockwell, tasks, DiscrepancyPrior())
    print(
        f"learned in {time.process_time() - began:.0f} s of one thread, with {len(prior.state.rows)} inducing rows"
    )
    report = ms.evaluate(prior, tasks, SHOTS, leave_out=column, folds=folds, seeds=seeds)
    print("| readings | RMSE, HRC | 90 % coverage | negative log density |\n|---|---|---|---|")
    for row in report["results"]:
        if row["method"] == "prior":
            figures = f"{row['rmse']:.2f} | {100 * row['coverage90']:.0f} % | {row['nlpd']:.2f}"
            print(f"| {row['shots']} | {figures} |")


if __name__ == "__main__":
    main()
