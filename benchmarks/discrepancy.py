"""Steel tempering by an equation and what it leaves out; what these print stands in ``discrepancy.md``.

    python benchmarks/discrepancy.py [FOLDS [SEEDS [COLUMN [alone] [even]]]]
    python benchmarks/discrepancy.py laboratory [SEEDS]
    python benchmarks/discrepancy.py beyond [FOLDS [SEEDS [PARTS]]]
    python benchmarks/discrepancy.py soft [FOLDS [READINGS]]
    python benchmarks/discrepancy.py nested [FOLDS]

The first leaves out groups of a column (``steel``, or ``source``) in so many parts, one by one for 0, and learns anew
without each; with ``alone`` it knows of no laboratories, with ``even`` its noise is
even on the Rockwell scale. ``laboratory`` leaves out each laboratory, and then lets the
prior learn of some of its steels. ``beyond`` learns from readings up to 540 degC and judges above, in
so many of the parts. ``soft`` asks at which hardness readings lie inside their intervals, under an even noise on the
Rockwell scale and under that on the Vickers scale. ``nested`` chooses how is learned by parts of the steels that are
learned from.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

import metasci as ms
from metasci.constraints import Grid
from metasci.data.conditions import batch_at
from metasci.data.tasks import Batch, TaskSet
from metasci.evaluation.evaluate import evaluate
from metasci.evaluation.protocol import Protocol, with_enough_rows
from metasci.fits.predictive import median_curve, predictive
from metasci.kinetics import tempering_rockwell
from metasci.meta import DiscrepancyPrior
from metasci.meta.discrepancy.lawful import lawful
from metasci.meta.problem import Problem
from metasci.model import Model
from metasci.priors.equation import Prior
from metasci.rockwell import LogNormalVickers
from metasci.studies.baselines import parts_of
from metasci.studies.softening_laws import below_the_limit, errors_of, three_below
from metasci.studies.softening_models import KELVIN, TIMES

SHOTS = (0, 1, 3, 5, 10)
MODEL = tempering_rockwell.with_noise(LogNormalVickers())  # as what ships
CANDIDATES = (DiscrepancyPrior(members=6), DiscrepancyPrior(), DiscrepancyPrior(members=24))


def steels() -> TaskSet:
    """Those with enough readings."""
    tasks = ms.dataset("steel_tempering", model=MODEL)
    return with_enough_rows(tasks, Protocol.from_card(tasks.card))[0]


def show(report: Mapping[str, Any], first: Sequence[object] = ()) -> None:
    """Rows of a table, of the prior alone."""
    for row in report["results"]:
        if row["method"] == "prior":
            figures = f"{row['rmse']:.2f} | {100 * row['coverage90']:.0f} % | {row['nlpd']:.2f}"
            print("| " + " | ".join(map(str, [*first, row["shots"], figures])) + " |", flush=True)


def left_out(
    folds: int | None, seeds: int, column: str, method: DiscrepancyPrior, model: Model = MODEL
) -> None:
    """Groups of a column left out."""
    tasks, began = steels(), time.process_time()
    prior = ms.meta_calibrate(model, tasks, method)
    print(
        f"learned in {time.process_time() - began:.0f} s of one thread, with {len(prior.state.rows)} inducing rows"
    )
    report = ms.evaluate(prior, tasks, SHOTS, leave_out=column, folds=folds, seeds=seeds)
    print("| readings | RMSE, HRC | 90 % coverage | negative log density |\n|---|---|---|---|")
    show(report)


def laboratory(seeds: int) -> None:
    """Each laboratory left out, and others of its steels forecast after all readings of some of them are known."""
    tasks = steels()
    sources = tasks.groups("source")
    print("| laboratory | its steels known | readings | RMSE, HRC | 90 % coverage | negative log density |")
    print("|---|---|---|---|---|---|")
    for name in sorted(set(sources.tolist())):
        own = np.flatnonzero(sources == name)
        prior = ms.meta_calibrate(MODEL, tasks.select(sources != name), DiscrepancyPrior())
        # the same steels are judged by, however many of the others are known
        order = np.random.default_rng(0).permutation(own)
        judged = tasks.select(order[2:])
        for known in (0, 1, 2):
            wiser = prior.update(tasks.select(order[:known])) if known else prior
            show(ms.evaluate(wiser, judged, (0, 1, 3), seeds=seeds), (name, known))


def beyond(folds: int, seeds: int, parts: int) -> None:
    """Three readings up to 540 degC, nothing learned from above: errors, and laws that are broken."""
    tasks = steels()
    cold, grades = below_the_limit(tasks), tasks.groups("steel")
    places = Grid(
        {"time": np.geomspace(*TIMES, 11).tolist(), "temperature": np.linspace(*KELVIN, 16).tolist()}
    )
    print("| composition | curve | RMSE to 540 degC, HRC | above | models that break a law | worst, HRC |")
    print("|---|---|---|---|---|---|")
    for covariates in (None, ()):
        rows: dict[str, list[dict[str, Any]]] = {"as expected": [], "lawful": []}
        for held in islice(parts_of(grades, folds), parts):
            prior = ms.meta_calibrate(MODEL, cold.select(~held), DiscrepancyPrior(), covariates=covariates)
            batch = prior.batch(tasks.select(held))
            for seed in range(seeds):
                support = three_below(batch, seed)
                adapted = prior.adapt(batch.with_mask(support))
                at, _ = batch_at(prior.model, batch, dict(places.points))
                kept = lawful(adapted.discrepancy, Problem(prior.model, at))  # type: ignore[arg-type]
                for curve, each in (("as expected", adapted), ("lawful", replace(adapted, discrepancy=kept))):
                    predict = partial(_curve, Problem(prior.model, batch), each)
                    rows[curve] += errors_of(batch, support, predict, seed)
        for curve, table in rows.items():
            inside, above, worst = (
                np.array([row[key] for row in table]) for key in ("inside", "beyond", "worst")
            )
            print(
                f"| {'known' if covariates is None else 'not used'} | {curve} | {np.nanmean(inside):.2f} | "
                f"{np.nanmean(above):.2f} | {100 * np.mean(worst > 0.1):.0f} % | {worst.max():.2f} |",
                flush=True,
            )


def soft(folds: int, readings: int) -> None:
    """After so many readings, which of the others lie inside their intervals, by hardness and by laboratory."""
    tasks = steels()
    grades = tasks.groups("steel")
    print("| noise | of | readings | 90 % intervals hold | their width, HRC |\n|---|---|---|---|---|")
    for model in (tempering_rockwell, MODEL):
        parts = []
        for number, held in enumerate(parts_of(grades, folds)):
            prior = ms.meta_calibrate(model, tasks.select(~held), DiscrepancyPrior())
            batch = prior.batch(tasks.select(held))
            order = torch.rand(batch.mask.shape, generator=torch.Generator().manual_seed(number))
            order = order.masked_fill(~batch.mask, 2.0).argsort(1).argsort(1)
            query = batch.mask & (order >= readings)
            adapted = prior.adapt(batch.with_mask(batch.mask & (order < readings)))
            low, high = predictive(prior.problem(batch.with_mask(query)), adapted).interval(0.9)
            held_by = (batch.output >= low) & (batch.output <= high)
            columns = {"hardness": batch.output, "held": held_by, "width": high - low}
            rows = pd.DataFrame({name: values[query].numpy() for name, values in columns.items()})
            source = tasks.select(held).groups("source")[query.nonzero()[:, 0].numpy()]
            parts.append(rows.assign(source=source))
        table = pd.concat(parts)
        chosen = {
            f"{least} to {most} HRC": table[(table["hardness"] > least) & (table["hardness"] <= most)]
            for least, most in pairwise((0, 20, 30, 40, 50, 70))
        }
        for of, some in {**chosen, **dict(iter(table.groupby("source")))}.items():
            figures = f"{len(some)} | {100 * some['held'].mean():.0f} % | {some['width'].mean():.1f}"
            print(f"| {type(model.noise).__name__} | {of} | {figures} |", flush=True)


def _curve(problem: Problem, adapted: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    return median_curve(problem, adapted, inputs)


@dataclass(frozen=True)
class Recipe:
    """A method, which is learned anew for each part."""

    method: DiscrepancyPrior
    model = MODEL

    def batch(self, tasks: TaskSet) -> Batch:
        """Asked of what was learned only."""
        raise NotImplementedError

    forecasters = batch

    def retrain(self, tasks: TaskSet) -> Prior:
        """The prior of these steels."""
        return ms.meta_calibrate(MODEL, tasks, self.method)


class Chosen(Recipe):
    """The method that is chosen by halves of the steels learned from."""

    def retrain(self, tasks: TaskSet) -> Prior:
        """The prior by the method under which readings of steels left out have the greatest density."""
        found = [self._judged(method, tasks) for method in CANDIDATES]
        best = CANDIDATES[int(np.argmin(found))]
        print(
            f"- {best.members} readings of each steel in a step, of {np.round(found, 3).tolist()}", flush=True
        )
        return Recipe(best).retrain(tasks)

    def _judged(self, method: DiscrepancyPrior, tasks: TaskSet) -> float:
        report = evaluate(Recipe(method), tasks, (1, 3, 5), leave_out="steel", folds=2, seeds=1)  # type: ignore[type-var]
        return float(np.mean([row["nlpd"] for row in report["results"] if row["method"] == "prior"]))


def nested(folds: int) -> None:
    """Grades left out, the number of readings in a step chosen without them."""
    for title, recipe in (("chosen within", Chosen(CANDIDATES[1])), ("as it is", Recipe(CANDIDATES[1]))):
        print(f"{title}:", flush=True)
        report = evaluate(recipe, steels(), SHOTS, leave_out="steel", folds=folds, seeds=2)  # type: ignore[type-var]
        print("| readings | RMSE, HRC | 90 % coverage | negative log density |\n|---|---|---|---|")
        show(report)


def main() -> None:
    """Print what is asked for."""
    torch.set_num_threads(1)
    what = sys.argv[1] if len(sys.argv) > 1 and not sys.argv[1].isdigit() else ""
    numbers = [int(text) for text in sys.argv[1:] if text.isdigit()]
    if what == "laboratory":
        laboratory(*numbers or [5])
    elif what == "beyond":
        folds, seeds, parts = [*numbers, *[3, 3, 3][len(numbers) :]]
        beyond(folds, seeds, parts)
    elif what == "soft":
        folds, readings = [*numbers, *[5, 10][len(numbers) :]]
        soft(folds, readings)
    elif what == "nested":
        nested(*numbers or [3])
    else:
        folds, seeds = [*numbers, *[0, 5][len(numbers) :]]
        method = DiscrepancyPrior(levels=() if "alone" in sys.argv else None)
        column = sys.argv[3] if len(sys.argv) > 3 else "steel"
        left_out(folds or None, seeds, column, method, tempering_rockwell if "even" in sys.argv else MODEL)


if __name__ == "__main__":
    main()
