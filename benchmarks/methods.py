"""Every method of the engine on the data sets that ship, under one protocol.

    python benchmarks/methods.py theophylline alloy_fatigue steel_tempering

Groups are held out in five parts and the prior is learned anew without them; supports in meta-training are of the sizes
that the protocol judges. One setting for all data sets, nothing chosen on held-out tasks. Adds to
benchmarks/methods.json; `--table` prints what is there.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from metasci import catalogue
from metasci.evaluation.evaluate import evaluate
from metasci.evaluation.protocol import Protocol, with_enough_rows
from metasci.library import find
from metasci.meta import (
    ANIL,
    FOMAML,
    IMAML,
    MAML,
    FineTuning,
    FromScratch,
    GaussianPrior,
    LearnedOptimiser,
    MetaCurvature,
    MetaSGD,
    Method,
    Pooled,
    Reptile,
)
from metasci.priors.equation import meta_calibrate
from metasci.studies.ship import RECIPES, Recipe

OUT = Path(__file__).with_name("methods.json")
FOLDS = 5


def methods(recipe: Recipe, protocol: Protocol) -> dict[str, Method]:
    sizes = [k for k in protocol.shots if k]
    given: dict[str, Any] = {
        "shots": (min(sizes), max(sizes)),
        "support": "first" if protocol.support == "first" else "random",
    }
    names = find(recipe.model).parameters.names
    last = (names[-1],)
    regularisation = recipe.method.regularisation if isinstance(recipe.method, GaussianPrior) else 2.0
    task_noise = isinstance(recipe.method, GaussianPrior) and recipe.method.task_noise
    made: dict[str, Method] = {
        "pooled fit": Pooled(**given),
        "from scratch (Adam)": FromScratch(**given),
        "joint training, then 5 steps": FineTuning(**given),
        "Reptile": Reptile(**given),
        "FOMAML": FOMAML(**given),
        "MAML, 1 step": MAML(1, **given),
        "MAML": MAML(**given),
        "MAML, 20 steps": MAML(20, **given),
        "MAML, Nesterov momentum": MAML(rule="nesterov", label="MAML, Nesterov", **given),
        "MAML, Adam": MAML(rule="adam", label="MAML, Adam", **given),
        f"ANIL ({last[0]} not adapted)": ANIL(last, **given),
        "Meta-SGD": MetaSGD(**given),
        "Meta-SGD, a rate a step": MetaSGD(per_step=True, **given),
        "Meta-Curvature": MetaCurvature(**given),
        "iMAML": IMAML(**given),
        "learned optimiser": LearnedOptimiser(**given),
        "Gaussian prior": GaussianPrior(regularisation=regularisation),
        "Gaussian prior, marginal likelihood": GaussianPrior(
            regularisation=regularisation, objective="marginal"
        ),
        "Gaussian prior, predictive density": GaussianPrior(
            regularisation=regularisation, objective="predictive", **given
        ),
    }
    if task_noise:
        made["Gaussian prior, noise of each task"] = GaussianPrior(
            regularisation=regularisation, task_noise=True
        )
    return made


def measure(recipe: Recipe, label: str, method: Method) -> dict[str, Any]:
    tasks = catalogue.dataset(recipe.data)
    protocol = Protocol.from_card(tasks.card)
    tasks, _ = with_enough_rows(tasks, protocol)
    began = time.perf_counter()
    prior = meta_calibrate(find(recipe.model), tasks, method, covariates=recipe.covariates)
    learned = time.perf_counter() - began
    report = evaluate(prior, tasks, protocol=protocol, leave_out=protocol.leave_out, folds=FOLDS)
    rows = [entry for entry in report["results"] if entry["method"] == "prior"]
    return {"data": recipe.data, "label": label, "training_seconds": round(learned, 1), "results": rows}


def table(rows: list[dict[str, Any]]) -> str:
    lines = []
    for data in dict.fromkeys(row["data"] for row in rows):
        own = [row for row in rows if row["data"] == data]
        shots = [entry["shots"] for entry in own[0]["results"]]
        head = [f"{k} shots" for k in shots]
        lines += [f"\n{data}: RMSE, and the share of measurements inside 90 % intervals", ""]
        lines += [f"| method | {' | '.join(head)} | learning, s |", "|---" * (len(head) + 2) + "|"]
        for row in own:
            cells = [
                f"{e['rmse']:.4g} ({100 * e['coverage90']:.0f} %)"
                if e.get("coverage90") is not None and e["coverage90"] == e["coverage90"]
                else f"{e['rmse']:.4g} (–)"
                for e in row["results"]
            ]
            lines.append(f"| {row['label']} | {' | '.join(cells)} | {row['training_seconds']:.1f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="*")
    parser.add_argument("--only", default="", help="methods whose label contains this")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for recipe in RECIPES:
        if recipe.data not in given.data or given.table:
            continue
        tasks = catalogue.dataset(recipe.data)
        for label, method in methods(recipe, Protocol.from_card(tasks.card)).items():
            if given.only not in label:
                continue
            row = measure(recipe, label, method)
            print(recipe.data, label, json.dumps(row["results"])[:400], flush=True)
            rows = json.loads(OUT.read_text()) if OUT.exists() else []
            known = [(r["data"], r["label"]) for r in rows]
            if (recipe.data, label) in known:
                rows[known.index((recipe.data, label))] = row
            else:
                rows.append(row)
            OUT.write_text(json.dumps(rows, indent=1) + "\n")
    print(table(json.loads(OUT.read_text())))


if __name__ == "__main__":
    main()
