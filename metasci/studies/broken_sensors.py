"""Study: one of five readings is wrong. ``python -m metasci.studies.broken_sensors [FOLDER]`` (some minutes).

Steels and patients are calibrated from five readings, of which the worst one is moved by 3, 6 or 10 standard
deviations of the noise: each of the five, up and down, and the case that harms most counts. By a learned prior as it
is, by the same with each reading in doubt, and by fits without a prior, plain and Huber's.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.optimize import least_squares
from torch import Tensor

from metasci import catalogue
from metasci.data.frames import csv_bytes
from metasci.data.tasks import Batch
from metasci.evaluation.evaluate import held_out
from metasci.files import write_atomically
from metasci.fits.broken import one_may_be_broken
from metasci.meta import GaussianPrior
from metasci.meta.problem import Problem
from metasci.priors.equation import Prior, meta_calibrate
from metasci.priors.load import load
from metasci.report.style import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["attacked", "errors", "figure", "scores"]

READINGS, MOVED = 5, (0.0, 3.0, 6.0, 10.0)
_DATA = {"theophylline": ("subject", 4), "steel_tempering": ("steel", 4)}
_HUBER = 1.345  # of the noise's standard deviations: 95 % efficient where nothing is wrong


def attacked(values: Tensor, readings: Tensor, by: Tensor) -> Tensor:
    """Copies of a task's values, each with one of its readings moved, up or down, (2 × reading, observation).

    Examples
    --------
    >>> attacked(torch.zeros(3), torch.tensor([0, 2]), torch.ones(3)).tolist()
    [[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]
    """
    copies = values.repeat(2 * len(readings), 1)
    rows = torch.arange(len(copies))
    at = readings.repeat_interleave(2)
    sign = torch.where(rows % 2 == 0, 1.0, -1.0).to(values)
    copies[rows, at] = copies[rows, at] + sign * by[at]
    return copies


def errors(prior: Prior, batch: Batch, support: Tensor, truth: Batch) -> dict[str, NDArray[np.float64]]:
    """Root mean square error of each task on what is not in the support, by way of calibrating."""
    known = batch.with_mask(support)
    whole, judged = Problem(prior.model, truth), truth.mask & ~support
    ways = {
        "learned prior": whole.predict(prior.adapt(known).coordinates),
        "learned prior, a reading in doubt": one_may_be_broken(prior, _narrow(known, support)).mean(whole),
        "least squares alone": whole.predict(_alone(prior, known, "linear")),
        "Huber alone": whole.predict(_alone(prior, known, "huber")),
    }
    off = {name: torch.where(judged, (each - truth.output).square(), 0.0) for name, each in ways.items()}
    return {name: (each.sum(1) / judged.sum(1)).sqrt().detach().numpy() for name, each in off.items()}


def _narrow(batch: Batch, support: Tensor) -> Batch:
    return batch.trimmed(support)


def _alone(prior: Prior, batch: Batch, loss: Literal["linear", "huber"]) -> Tensor:
    """Each task's own fit from the declared typical values, with a faint pull to them where readings say nothing."""
    problem, size = Problem(prior.model, batch), len(prior.model.parameters)
    rows = []
    for at in range(len(batch)):
        own = problem.select(torch.tensor([at]))
        own = own.trimmed(own.batch.mask)

        def residuals(z: NDArray[np.float64], own: Problem = own) -> NDArray[np.float64]:
            here = torch.as_tensor(z)[None]
            raw = own.predict(here)
            linked = prior.model.noise.link(raw)
            scaled = (own.target - linked) / own.variance(raw, prior.state.log_noise).sqrt()
            return np.nan_to_num(
                np.concatenate([scaled[0].detach().numpy(), 0.1 * z]), nan=1e3, posinf=1e3, neginf=-1e3
            )

        rows.append(least_squares(residuals, np.zeros(size), loss=loss, f_scale=_HUBER, max_nfev=60).x)
    return torch.as_tensor(np.array(rows))


def scores(name: str, folds: int) -> pd.DataFrame:
    """Mean over tasks of the worst case's error, by way and by how far the reading is moved."""
    group, _ = _DATA[name]
    tasks, shipped = catalogue.dataset(name), load(name)
    group = group if group in tasks.dataset else "task"
    recipe = meta_calibrate(shipped.model, tasks, GaussianPrior(), covariates=shipped.covariates.names)
    rows = []
    for fold, left_out in held_out(recipe, tasks, group, folds):
        batch = fold.batch(left_out)
        sd = float(fold.state.log_noise.exp()[0])
        for at in range(len(batch)):
            own = batch.select(torch.tensor([at]))
            measured = own.mask[0].nonzero()[:, 0]
            if len(measured) <= READINGS:
                continue
            chosen = measured[
                torch.as_tensor(np.random.default_rng(at).permutation(len(measured))[:READINGS])
            ]
            support = torch.zeros_like(own.mask)
            support[0, chosen] = True
            for moved in MOVED:
                by = torch.full_like(own.output[0], moved * sd)
                copies = attacked(own.output[0], chosen, by)
                copies = copies[:1] if moved == 0.0 else copies
                index = torch.zeros(len(copies), dtype=torch.long)
                many = own.select(index)
                # what is measured stays physical: a concentration that is moved below zero is as good as none
                copies = copies.clamp(min=1e-3) if float(own.output[own.mask].min()) >= 0.0 else copies
                found = errors(fold, replace(many, output=copies), support[index], many)
                rows += [
                    {"task": batch.names[at], "moved": moved, "method": way, "error": float(values.max())}
                    for way, values in found.items()
                ]
    return pd.DataFrame(rows)


def figure(found: dict[str, Any]) -> Figure:
    """Error against how far the worst reading is moved, a panel for each data set."""
    from matplotlib.figure import Figure

    from metasci.report.style import PALETTE, styled

    @styled
    def draw() -> Figure:
        drawing = Figure(figsize=(3.6 * len(found), 3.0), layout="constrained")
        panels = drawing.subplots(1, len(found), squeeze=False)[0]
        for axes, (name, table) in zip(panels, found.items(), strict=True):
            for colour, (way, row) in zip(PALETTE, table.iterrows(), strict=False):
                axes.plot(table.columns, row, "o-", color=colour, label=way)
            axes.set(title=name, xlabel="worst of five readings moved by (sd of the noise)", ylabel="error")
        drawing.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
        return drawing

    return draw()


def main(out: Path) -> None:
    """Print the tables, and write them and the figure into a folder."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, (_, folds) in _DATA.items():
        table = scores(name, folds)
        write_atomically(out / f"{name}.csv", csv_bytes(table))
        found[name] = table.pivot_table("error", "method", "moved", sort=False)
        unit = load(name).model.output.unit
        print(
            f"\n{name}: root mean square error ({unit}) on the rest, the worst of five readings moved by so many sd"
        )
        print(found[name].round(3).to_string())
    save_figure(figure(found), out / "broken-sensors.png", dpi=150)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("broken_sensors"))
