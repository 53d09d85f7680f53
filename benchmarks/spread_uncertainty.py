"""What it changes to integrate over the spread's uncertainty: ``python benchmarks/spread_uncertainty.py``.

Groups left out in three folds, the first splits of each data set's protocol; as in the study of the learned prior
against the posterior.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from metasci import catalogue
from metasci.evaluation.evaluate import evaluate
from metasci.evaluation.protocol import Protocol
from metasci.priors.load import load

SHOTS = {"theophylline": 3, "phenobarbital": 2, "steel_tempering": 3, "alloy_fatigue": 3}


def main() -> None:
    """Print a row for each data set, without and with."""
    torch.set_num_threads(1)
    print(f"{'':18}{'widened':>8}{'RMSE':>9}{'log density':>13}{'coverage':>10}")
    for name, shots in SHOTS.items():
        prior = load(name)
        tasks = catalogue.dataset(name, model=prior.model)
        protocol = Protocol.from_card(tasks.card)
        for widened in (False, True):
            recipe = replace(prior, method=replace(prior.method, spread_uncertainty=widened))
            report = evaluate(
                recipe,
                tasks,
                protocol.shots,
                protocol=protocol,
                leave_out=protocol.leave_out,
                folds=3,
                seeds=1,
            )
            (row,) = (r for r in report["results"] if r["method"] == "prior" and r["shots"] == shots)
            print(f"{name:18}{widened!s:>8}{row['rmse']:9.4g}{-row['nlpd']:13.3f}{row['coverage90']:10.3f}")


if __name__ == "__main__":
    main()
