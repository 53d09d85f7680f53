"""Measure the priors that ship, and what they were chosen against, and write each one's model card.

    python benchmarks/shipped_priors.py [NAME ...]

Two tables for each data set. First every method under one protocol: groups held out in five parts, so
that all methods can be afforded; with and without covariates, with and without the physical penalties. Then
the prior that ships, each group left out on its own, beside its baselines. The figures go to
``benchmarks/shipped_priors.json`` and, as text, to ``models/NAME/CARD.md``. About half an hour on two cores.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from card_text import card_text

from metasci import catalogue
from metasci.data.tasks import TaskSet
from metasci.evaluation.evaluate import evaluate
from metasci.evaluation.protocol import Protocol, with_enough_rows
from metasci.library import find
from metasci.meta import FOMAML, MAML, DiscrepancyPrior, GaussianPrior, MetaSGD, Method
from metasci.model import Model
from metasci.priors.equation import meta_calibrate
from metasci.studies.ship import BESIDE, RECIPES, Recipe

HERE = Path(__file__).parent
RESULTS = HERE / "shipped_priors.json"
FOLDS = 5


def methods(recipe: Recipe, protocol: Protocol, penalty: float) -> Iterator[Method]:
    """Every method, its meta-training on supports like those it is judged on."""
    sizes = [k for k in protocol.shots if k]
    options: dict[str, Any] = {
        "shots": (min(sizes), max(sizes)),
        "support": "first" if protocol.support == "first" else "random",
        "penalty": penalty,
    }
    for make in (MAML, FOMAML, MetaSGD):
        yield make(**options)
    gaussian = recipe.method if isinstance(recipe.method, GaussianPrior) else GaussianPrior()
    for task_noise in (False, True):
        yield replace(gaussian, penalty=penalty, task_noise=task_noise)


def measure(
    recipe: Recipe,
    model: Model,
    method: Method,
    tasks: TaskSet,
    covariates: bool,
    folds: int | None,
    seeds: int = 5,
) -> dict[str, Any]:
    """Held-out figures of one variant."""
    protocol = Protocol.from_card(tasks.card)
    chosen = recipe.covariates if covariates else ()
    prior = meta_calibrate(model, tasks, method, covariates=chosen)
    report = evaluate(prior, tasks, protocol=protocol, leave_out=protocol.leave_out, folds=folds, seeds=seeds)
    shared = getattr(method, "task_noise", None)
    label = method.name + {True: ", noise of each task", False: ", one noise", None: ""}[shared]
    return {
        "label": label,
        "model": model.name,
        "covariates": list(prior.covariates.names),
        "penalty": method.penalty,
        "training_seconds": prior.training["seconds"],
        **report,
    }


def variants(recipe: Recipe, tasks: TaskSet) -> Iterator[dict[str, Any]]:
    """The first table."""
    protocol = Protocol.from_card(tasks.card)
    has_covariates = bool(set(find(recipe.model).covariates) & set(tasks.covariate_names))
    for covariates in (True, False) if has_covariates else (False,):
        for penalty in (0.0, 1.0):
            for method in methods(recipe, protocol, penalty):
                yield measure(recipe, recipe.equation, method, tasks, covariates, FOLDS)
    if recipe.model == "kinetics.tempering_rockwell":
        yield measure(recipe, find("kinetics.tempering"), recipe.method, tasks, True, FOLDS)


def main() -> None:
    """Measure the named recipes, or all."""
    torch.set_num_threads(1)
    recipes = (*RECIPES, *BESIDE)
    wanted = sys.argv[1:] or [recipe.folder for recipe in recipes]
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for recipe in recipes:
        if recipe.folder not in wanted:
            continue
        tasks = catalogue.dataset(recipe.data)
        tasks, too_few = with_enough_rows(tasks, Protocol.from_card(tasks.card))
        beside = recipe in BESIDE  # the other prior of these data has the table of methods
        slow = isinstance(recipe.method, DiscrepancyPrior)
        some = {"folds": FOLDS, "seeds": 2} if slow else {"folds": None}
        shipped = measure(recipe, recipe.equation, recipe.method, tasks, True, **some)
        table = []
        for row in () if beside else variants(recipe, tasks):
            row["results"] = [entry for entry in row["results"] if entry["method"] == "prior"]
            table.append(row)
            print(recipe.data, row["label"], row["covariates"] != [], row["penalty"], flush=True)
        results[recipe.folder] = {"shipped": shipped, "variants": table, "left_out": too_few}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        folder = catalogue.shipped("models") / recipe.folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "CARD.md").write_text(card_text(recipe, results[recipe.folder]))


if __name__ == "__main__":
    main()
