"""Levels and discrepancies beside equations of propofol and fatigue cracks; what these print is in ``levels.md``.

    python benchmarks/levels.py propofol [PARTS]
    python benchmarks/levels.py fatigue [FOLDS]
    python benchmarks/levels.py simulated [SETS]

``propofol`` leaves studies out in five parts, of which so many are judged, with the study as a level and a discrepancy
over the logarithm of time; then five patients of each study that was left out are made known, and its others judged.
``fatigue`` leaves specimens out. ``simulated`` asks how far the errors of 21 specimens scatter by chance: sets of
cracks are drawn from the learned prior itself, and forecast by it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

import metasci as ms
from metasci.data.tasks import TaskSet
from metasci.evaluation.protocol import Protocol, split_tasks, with_enough_rows
from metasci.fits.predictive import predictive
from metasci.kinetics import crack_growth
from metasci.meta import DiscrepancyPrior, DiscrepancyState, GaussianPrior, Method
from metasci.meta.discrepancy.places import rows_of
from metasci.patients import propofol
from metasci.priors.equation import Prior
from metasci.studies.propofol import summary

SEEN = 5  # patients of a new study that are made known
FOLLOWING = Protocol(support="first", query="following", shots=(0, 1, 2, 3))
ALONE = GaussianPrior(task_noise=True, correlated=False, iterations=40, tolerance=1e-2)  # as what ships
WITH_LEVELS = DiscrepancyPrior(
    levels=("study",), iterations=50, together=1200, inducing=300, members=6, begin=ALONE, trend=True
)


def log_time(inputs: Mapping[str, Tensor]) -> list[Tensor]:
    """The coordinate over which residuals of drugs drift: the logarithm of time, which has no zero."""
    return [(inputs["time"] + 0.5).log()]  # half a minute: before, blood mixes


def forecasts(prior: Prior, tasks: TaskSet, shots: tuple[int, ...]) -> pd.DataFrame:
    """Samples that follow so many of their patient, with the columns of the study's `summary`."""
    batch, parts = prior.batch(tasks), []
    for count in shots:
        split = split_tasks(batch.mask, count, FOLLOWING, 1)
        chosen = batch.select(split.task)
        adapted = prior.adapt(chosen.with_mask(split.support))
        whole = predictive(prior.problem(chosen.with_mask(split.query)), adapted)
        lower, upper = whole.interval(0.9)
        columns = {"measured": chosen.output, "predicted": whole.median, "lower": lower, "upper": upper}
        query = split.query
        frame = pd.DataFrame({key: values[query].numpy() for key, values in columns.items()})
        parts.append(frame.assign(samples=count, eleveld=np.nan))
    return pd.concat(parts, ignore_index=True)


def show(title: str, table: pd.DataFrame) -> None:
    """The rows of a table."""
    for samples, row in summary(table).iterrows():
        figures = (
            f"{row['forecasts']:.0f} | {row['MDAPE']:.1f} | {row['MDPE']:.1f} | {row['90 % coverage']:.1f}"
        )
        print(f"| {title} | {samples} | {figures} |", flush=True)


def after_some(prior: Prior, tasks: TaskSet) -> tuple[list[pd.DataFrame], list[pd.DataFrame]]:
    """Others of each study before any sample, without and with some of its patients known."""
    before, after = [], []
    studies = tasks.groups("study")
    for study in sorted(set(studies.tolist())):
        order = np.random.default_rng(0).permutation(np.flatnonzero(studies == study))
        if len(order) <= SEEN:
            continue
        others = tasks.select(np.sort(order[SEEN:]))
        before.append(forecasts(prior, others, (0,)))
        after.append(forecasts(prior.update(tasks.select(np.sort(order[:SEEN]))), others, (0,)))
    return before, after


def of_propofol(parts: int) -> None:
    """Studies left out."""
    tasks, _ = with_enough_rows(ms.dataset("propofol"), Protocol(minimum_rows=1))
    model = replace(propofol, discrepancy_inputs=log_time)
    table: dict[str, list[pd.DataFrame]] = {"alone": [], "levels": [], "before": [], "after": []}
    names = np.asarray(tasks.groups("study"))
    mixed = np.random.default_rng(0).permutation(sorted(set(names.tolist())))
    for part in islice(np.array_split(mixed, 5), parts):
        held = np.isin(names, part)
        began = time.process_time()
        prior = ms.meta_calibrate(model, tasks.select(~held), WITH_LEVELS)
        learned = time.process_time() - began
        print(f"- studies {', '.join(part)} left out: learned in {learned:.0f} s", flush=True)
        table["levels"].append(forecasts(prior, tasks.select(held), FOLLOWING.shots))
        before, after = after_some(prior, tasks.select(held))
        table["before"] += before
        table["after"] += after
        show("study as a level", table["levels"][-1])
        if "alone" in sys.argv:
            prior = ms.meta_calibrate(model, tasks.select(~held), ALONE)
            table["alone"].append(forecasts(prior, tasks.select(held), FOLLOWING.shots))
            show("shipped recipe", table["alone"][-1])
    print("| prior | samples | forecasts | MDAPE, % | MDPE, % | 90 % coverage |\n|---|---|---|---|---|---|")
    titles = {
        "alone": "shipped recipe",
        "levels": "study as a level",
        "before": f"the same, of patients after the first {SEEN} of a study",
        "after": f"the same patients, {SEEN} of their study known",
    }
    for key, title in titles.items():
        if table[key]:
            show(title, pd.concat(table[key], ignore_index=True))


def of_fatigue(folds: int | None) -> None:
    """Specimens left out, from their first readings."""
    tasks = ms.dataset("alloy_fatigue")
    methods: dict[str, Method] = {
        "Gaussian prior": GaussianPrior(),
        "equation and discrepancy": DiscrepancyPrior(),
    }
    print("| method | readings | RMSE | 90 % coverage | negative log density |\n|---|---|---|---|---|")
    for name, method in methods.items():
        prior = ms.meta_calibrate(crack_growth, tasks, method)
        report: Mapping[str, Any] = ms.evaluate(prior, tasks, leave_out="specimen", folds=folds)
        for row in report["results"]:
            if row["method"] == "prior":
                figures = f"{row['rmse']:.4f} | {100 * row['coverage90']:.0f} % | {row['nlpd']:.2f}"
                print(f"| {name} | {row['shots']} | {figures} |", flush=True)


def of_simulated(sets: int) -> None:
    """Errors of sets of cracks that are drawn from the prior that forecasts them."""
    tasks = ms.dataset("alloy_fatigue")
    prior = ms.meta_calibrate(crack_growth, tasks, DiscrepancyPrior())
    protocol = Protocol.from_card(tasks.card)
    batch, random = prior.batch(tasks), np.random.default_rng(0)
    problem, state = prior.problem(batch), prior.state
    assert isinstance(state, DiscrepancyState)
    design, place, size = prior.design(batch), state.places(problem), len(state.origin)
    eye = torch.eye(size, dtype=place.dtype).expand(len(batch), -1, -1)
    parameters = rows_of(place.new_zeros(len(batch), size, place.shape[2]), eye, design, seen=0.0)
    rows = parameters.join(rows_of(place, place.new_zeros(*place.shape[:2], size), design))
    mean, covariance = state.mean_of(rows), state.covariance(rows, rows)
    root = torch.linalg.cholesky(covariance + 1e-10 * torch.eye(covariance.shape[-1], dtype=place.dtype))
    errors: dict[int, list[float]] = {count: [] for count in protocol.shots}
    for _ in range(sets):
        drawn = mean + (root @ torch.as_tensor(random.standard_normal(mean.shape))[..., None])[..., 0]
        noise = state.log_noise.exp() * torch.as_tensor(random.standard_normal(batch.output.shape))
        curve = problem.predict(state.origin + drawn[:, :size]) + drawn[:, size:]
        simulated = replace(batch, output=curve + noise)
        for count, of_sets in errors.items():
            split = split_tasks(simulated.mask, count, protocol, 1)
            chosen = simulated.select(split.task)
            adapted = prior.adapt(chosen.with_mask(split.support))
            forecast = predictive(prior.problem(chosen.with_mask(split.query)), adapted)
            off = torch.where(split.query, forecast.median - chosen.output, torch.nan)
            of_sets.append(float(off.square().nanmean(1).mean().sqrt()))
    print("| readings | RMSE, median of the sets | their standard deviation |\n|---|---|---|")
    for count, of_sets in errors.items():
        print(f"| {count} | {np.median(of_sets):.3f} | {np.std(of_sets):.3f} |")


def main() -> None:
    """Print what is asked for."""
    torch.set_num_threads(1)
    numbers = [int(text) for text in sys.argv[2:] if text.isdigit()]
    if sys.argv[1:2] == ["fatigue"]:
        of_fatigue(numbers[0] if numbers else None)
    elif sys.argv[1:2] == ["simulated"]:
        of_simulated(*numbers or [20])
    else:
        of_propofol(*numbers or [5])


if __name__ == "__main__":
    main()
