"""Study: whom a dose of warfarin serves worse. ``python -m metasci.studies.fairness [FOLDER]`` (some minutes).

Sites are left out, and errors, coverage and calibration of the others' forecasts are counted by race and by sex, with
and without race among what is known of a patient. Then groups are tasks: one step from five or ten patients of a
group at a site, from a start that is best on average and from one that is best for the worst-served group.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from metasci.data.frames import csv_bytes
from metasci.evaluation.groups import by_group
from metasci.files import write_atomically
from metasci.meta.method import Method
from metasci.meta.methods import FOMAML
from metasci.meta.worst_group import WorstGroup
from metasci.model import Model
from metasci.priors.equation import Prior, meta_calibrate
from metasci.report.style import save_figure
from metasci.studies.warfarin import (
    CLINICAL,
    FEATURES,
    LEARNED,
    WITHOUT_RACE,
    forecast,
    forecasts,
    model_of,
    patients,
    standardised,
    tasks_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["figure", "one_step", "reports"]

SHOTS = (5, 10)
_FOLDS, _DRAWS = 3, 5
_MOST = 60  # patients of a group at a site that are learned from: a step sees ten
_LEAST = 20  # patients of a group at a site that is judged
_ITERATIONS = 80


def reports(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Figures by group of every method and number of patients known, of `metasci.studies.warfarin.forecasts`."""
    parts = []
    for (method, known), rows in table.groupby(["method", "known"]):
        chosen = rows[rows[column] != "Unknown"]
        report = by_group(
            chosen["dose"], chosen["predicted"], chosen[column], chosen["lower"], chosen["upper"]
        )
        wide: dict[Any, Any] = dict(report.frame["mae"])
        covered = {f"covers {name}": value for name, value in report.frame["coverage"].items()}
        parts.append({"method": method, "known": known, **wide, "gap": report.gap, **covered})
    return pd.DataFrame(parts).set_index(["method", "known"])


def _some(frame: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most so many patients of each task, drawn at random."""
    order = np.random.default_rng(0).permutation(len(frame))
    return frame.iloc[order].groupby("task").head(most)


def _methods(groups: tuple[str, ...]) -> dict[str, Method[Any]]:
    step = FOMAML(1, shots=(min(SHOTS), max(SHOTS)), iterations=_ITERATIONS)
    methods: dict[str, Any] = {
        "best on average": step,
        "groups alike": WorstGroup(step, groups, rate=0.0),
        "best for the worst group": WorstGroup(step, groups, rate=0.1),
    }
    return methods


def one_step(frame: pd.DataFrame, column: str = "race") -> pd.DataFrame:
    """Error after one step from some patients of a group at a site that was left out, mg a week.

    Returns
    -------
    DataFrame
        A row for each patient who judges, start, number of patients known, and draw of these.
    """
    frame = frame[frame[column].notna() & (frame[column] != "Unknown")]
    frame = frame.assign(task=frame["site"] + ", " + frame[column])
    sites, parts = np.random.default_rng(0).permutation(sorted(set(frame["site"]))), []
    for fold in np.array_split(sites, _FOLDS):
        out = frame["site"].isin(fold)
        table = standardised(frame, frame[~out])
        train, test = _some(table[~out], _MOST), table[out]
        train = train.groupby("task").filter(lambda own: len(own) > max(SHOTS))
        for told, model in (("with race", model_of(FEATURES)), ("without race", model_of(CLINICAL))):
            tasks = tasks_of(train, model, "task")
            groups = tuple(name.rpartition(", ")[2] for name in tasks.names)
            for name, method in _methods(groups).items():
                prior = meta_calibrate(model, tasks, method, covariates=())
                errors = _errors(prior, model, test, column)
                parts.append(errors.assign(start=name, features=told))
    return pd.concat(parts, ignore_index=True)


def _errors(prior: Prior, model: Model, test: pd.DataFrame, column: str) -> pd.DataFrame:
    parts = []
    for _, own in test.groupby("task"):
        here = own.reset_index(drop=True)
        if len(here) < _LEAST:
            continue
        orders = [np.random.default_rng(seed).permutation(len(here)) for seed in range(_DRAWS)]
        for count in (0, *SHOTS):
            known = np.stack([np.isin(np.arange(len(here)), order[:count]) for order in orders])
            judged = np.stack([~np.isin(np.arange(len(here)), order[: max(SHOTS)]) for order in orders])
            median = forecast(prior, here, known).median
            for seed, who in enumerate(judged):
                error = np.abs(median[seed] - here["dose"])[who]
                told = {"group": here[column].iloc[0], "known": count, "seed": seed}
                parts.append(pd.DataFrame({"error": error}).assign(**told))
    return pd.concat(parts, ignore_index=True)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean error of each group, the gap, and the mean over patients."""
    keys = ["features", "start", "known"]
    wide = table.pivot_table("error", keys, "group", sort=False)
    worst, gap = wide.max(axis=1), wide.max(axis=1) - wide.min(axis=1)
    return wide.assign(worst=worst, gap=gap, all=table.groupby(keys, sort=False)["error"].mean())


def figure(table: pd.DataFrame) -> Figure:
    """Error of each race with its site left out, by method, ten patients of the site known."""
    from matplotlib.figure import Figure

    from metasci.report.style import PALETTE, styled

    @styled
    def draw() -> Figure:
        drawing = Figure(figsize=(5.6, 3.0), layout="constrained")
        axes = drawing.subplots()
        shown = table.xs(10, level="known")[["Asian", "White", "Black"]]
        for at, (name, row) in enumerate(shown.iterrows()):
            axes.plot(row.index, row, "o", color=PALETTE[at % len(PALETTE)], label=str(name))
        axes.set(ylabel="absolute error (mg a week)", ylim=(0.0, None))
        axes.legend(fontsize=7)
        return drawing

    return draw()


def main(out: Path) -> None:
    """Print the tables, and write them and the figure into a folder."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    frame = patients()
    table = forecasts(frame, (0, *SHOTS))
    kept = table[table["method"].isin([LEARNED, WITHOUT_RACE, "published formula", "ridge, all pooled"])]
    print(
        "A site left out at a time, by patients known of it: mean absolute error (mg a week) and coverage of 90 % (%)"
    )
    by_race = reports(kept, "race")
    print(f"\nby race\n{by_race.round(2).to_string(na_rep='')}")
    print(f"\nby sex\n{reports(kept, 'sex').round(2).to_string(na_rep='')}")
    save_figure(figure(by_race), out / "fairness.png", dpi=150)
    steps = one_step(frame)
    write_atomically(out / "one_step.csv", csv_bytes(steps))
    print(
        f"\nOne step from patients of a race at a site, sites left out in {_FOLDS} parts: absolute error (mg a week)"
    )
    print(summary(steps).round(2).to_string())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("fairness"))
