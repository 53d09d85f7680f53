"""Study: cases that arrive one after another. ``python -m metasci.studies.continual [FOLDER]`` (some minutes).

A prior is updated by sums with new infants, and with new steels, while nothing of the old ones' data is kept: what is
forgotten of the first? And how many measurements regain an old task, from a learned prior, from a learned start, from
joint training, and from nothing?
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from metasci import catalogue
from metasci.data.frames import csv_bytes
from metasci.data.tasks import TaskSet
from metasci.diagnostics.seen_before import forgetting, reacquisition
from metasci.evaluation.protocol import Protocol, split_tasks
from metasci.files import write_atomically
from metasci.fits.predictive import predictive
from metasci.meta import GaussianPrior
from metasci.meta.baselines import FineTuning, FromScratch
from metasci.meta.methods import MAML
from metasci.priors.equation import meta_calibrate
from metasci.priors.load import load
from metasci.report.style import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["by_draws", "figure", "forgotten", "regained"]

_PARTS = 4
_REGAINED = ("theophylline", "steel_tempering")
# MAML's inner steps see as many measurements in meta-training as here
_SHOTS = (0, 1, 2, 3, 5, 8)
_DRAWS, _FEW = 20, 2  # of the measurements known; so few tell less than they seem to


def _parts(tasks: TaskSet) -> list[TaskSet]:
    """Tasks in the order of their table, in parts."""
    return [tasks.select(part) for part in np.array_split(np.arange(len(tasks)), _PARTS)]


def forgotten(name: str, shots: int) -> xr.Dataset:
    """What is forgotten of the first quarter of a data set's tasks while the others come."""
    tasks, prior = catalogue.dataset(name), load(name)
    old, *later = _parts(tasks)
    first = meta_calibrate(prior.model, old, GaussianPrior(), covariates=prior.covariates.names)
    return forgetting(first, later, old, shots=shots)


def regained(name: str) -> xr.Dataset:
    """How many measurements regain each task of a data set, from what was learned of all of them."""
    tasks, shipped = catalogue.dataset(name), load(name)
    common: dict[str, Any] = {"shots": (1, max(_SHOTS)), "iterations": 60}
    methods: dict[str, Any] = {
        "Gaussian prior": GaussianPrior(),
        "MAML, 5 steps": MAML(5, **common),
        "joint training, 5 steps": FineTuning(5, **common),
        "from scratch (Adam)": FromScratch(iterations=1),
    }
    covariates = shipped.covariates.names
    starts = {
        label: meta_calibrate(shipped.model, tasks, method, covariates=covariates)
        for label, method in methods.items()
    }
    return reacquisition(starts, tasks.select(tasks.counts > max(_SHOTS)), shots=_SHOTS, seeds=_FEW)


def by_draws(name: str = "theophylline") -> pd.DataFrame:
    """Error of the shipped prior by measurements known, by how many draws of these it is a mean over, and by time.

    Which measurements are judged depends on the draw, and they differ more among each other than any prior helps.
    """
    prior, tasks = load(name), catalogue.dataset(name)
    batch = prior.batch(tasks)
    rows = []
    for shots in _SHOTS:
        split = split_tasks(
            batch.mask, shots, Protocol(support="random", query="rest", shots=(shots, max(_SHOTS))), _DRAWS
        )
        chosen = batch.select(split.task)
        adapted = prior.adapt(chosen.with_mask(split.support))
        median = predictive(prior.problem(chosen.with_mask(split.query)), adapted).median
        off, seen = (torch.as_tensor(median) - chosen.output).square(), split.query
        draw = torch.tensor(split.seed)
        time = chosen.inputs["time"]
        rows.append(
            pd.DataFrame(
                {
                    "shots": shots,
                    "draw": draw[:, None].expand_as(off)[seen],
                    "time": time[seen],
                    "squared": off[seen],
                }
            )
        )
    table = pd.concat(rows)
    parts = {f"{_FEW} draws": table[table["draw"] < _FEW], f"{_DRAWS} draws": table}
    for label, low, high in (("to 1 h", 0.0, 1.0), ("1 to 3 h", 1.0, 3.0), ("after 3 h", 3.0, np.inf)):
        parts[f"  {label}"] = table[(table["time"] > low) & (table["time"] <= high)]
    return pd.DataFrame(
        {part: own.groupby("shots")["squared"].mean() ** 0.5 for part, own in parts.items()}
    ).T


def figure(found: dict[str, xr.Dataset]) -> Figure:
    """Error against measurements, a panel for each data set."""
    from matplotlib.figure import Figure

    from metasci.report.style import PALETTE, styled

    @styled
    def draw() -> Figure:
        drawing = Figure(figsize=(3.6 * len(found), 3.0), layout="constrained")
        panels = drawing.subplots(1, len(found), squeeze=False)[0]
        for axes, (name, table) in zip(panels, found.items(), strict=True):
            for colour, start in zip(PALETTE, table["start"].values, strict=False):
                axes.plot(table["shots"], table["error"].sel(start=start), "o-", color=colour, label=start)
            axes.set(
                title=name, xlabel="measurements of the old task", ylabel=f"error ({table.attrs['unit']})"
            )
        drawing.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
        return drawing

    return draw()


def main(out: Path) -> None:
    """Print the tables, and write the figure into a folder."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    for name, shots in (("phenobarbital", 1), ("steel_tempering", 3)):
        table = forgotten(name, shots)
        print(
            f"\n{name}: root mean square error on the first quarter of the tasks, {shots} "
            f"measurement{'s' * (shots != 1)} known of each"
        )
        print(table[["seen", "updated", "joint"]].to_dataframe().round(4).to_string())
        print(table.attrs["verdict"])
    found = {name: regained(name) for name in _REGAINED}
    for name, table in found.items():
        print(
            f"\n{name}: root mean square error ({table.attrs['unit']}) on the rest, by measurements of an old task"
        )
        print(table["error"].to_pandas().round(3).to_string())
        print(table.attrs["verdict"])
        write_atomically(out / f"{name}.csv", csv_bytes(table["error"].to_series().unstack().reset_index()))
    print(
        "\ntheophylline, shipped prior: error (mg/L) by draws of the measurements known, and by the time judged"
    )
    print(by_draws().round(3).to_string())
    save_figure(figure(found), out / "continual.png", dpi=150)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("continual"))
