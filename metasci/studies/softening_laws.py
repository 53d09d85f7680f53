"""Part of the study of tempering: models that can break physical laws, adapted in one step.

A small network, and the quadratic in the logarithm of time and in temperature that is fitted to tempering data where no
kinetics is assumed, may both rise with time or temperature, or fall below zero. The laws are stated, and a penalty
teaches them to the network. Each is learned from readings below a limit of temperature, adapted in one gradient step to
three readings of a grade left out, and judged at the temperatures above, beside the kinetic equation that has the laws
built in, and a random forest that is shifted by the readings.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from metasci.data.tasks import Batch, TaskSet
from metasci.files import write_atomically
from metasci.kinetics import hollomon_jaffe, tempering_rockwell
from metasci.meta import MAML, GaussianPrior, Method
from metasci.model import Model
from metasci.priors.equation import Prior, meta_calibrate
from metasci.report.style import save_figure
from metasci.studies.baselines import parts_of
from metasci.studies.softening_models import (
    KELVIN,
    Predict,
    SoftensEverywhere,
    grid,
    softening_network,
    softening_surface,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["below_the_limit", "errors_of", "law_scores", "main", "three_below"]

LIMIT = 813.15  # kelvin (540 °C), above which nothing is learned from
_SHOTS = 3
FOREST = "random forest, shifted"
_BROKEN = 0.1  # HRC by which a law must be broken somewhere to count


def contenders(iterations: int = 120) -> dict[str, tuple[Model, Method]]:
    """What is compared: network without and with penalties, surface, and equation, each adapted in one step."""
    settings: dict[str, Any] = {"steps": 1, "shots": (_SHOTS, _SHOTS), "iterations": iterations}
    return {
        "network, no penalty": (softening_network, MAML(**settings)),
        "network, penalty": (softening_network, MAML(penalty=3.0, **settings)),
        "network, learned penalty": (softening_network, MAML(penalty=3.0, learn_penalty=True, **settings)),
        "quadratic surface, no penalty": (softening_surface, MAML(**settings)),
        "kinetic equation": (tempering_rockwell, MAML(**settings)),
        "kinetic equation, Gaussian prior": (tempering_rockwell, GaussianPrior(task_noise=True)),
    }


def law_scores(
    tasks: TaskSet, folds: int = 3, seeds: int = 3, chosen: list[str] | None = None, iterations: int = 120
) -> pd.DataFrame:
    """One row for each contender, steel and choice of readings: what is broken, errors inside and beyond the limit.

    Composition is not used: each steel is known by its three readings only.

    Returns
    -------
    DataFrame
        Columns method, task, seed, broken (share of the grid), worst (HRC), inside, beyond (RMSE in HRC).
    """
    cold, grades = below_the_limit(tasks), tasks.groups("steel")
    rows: list[dict[str, Any]] = []
    for name in (*contenders(), FOREST) if chosen is None else chosen:
        for held in parts_of(grades, folds):
            if name == FOREST:
                table = _forest_judged(cold.select(~held), tasks.select(held), seeds)
            else:
                model, method = contenders(iterations)[name]
                prior = meta_calibrate(model, cold.select(~held), method, covariates=())
                table = _judged(prior, prior.batch(tasks.select(held)), seeds)
            rows += [{"method": name, **row} for row in table]
    return pd.DataFrame(rows)


def below_the_limit(tasks: TaskSet) -> TaskSet:
    """The readings at temperatures up to the limit."""
    frame = tasks.to_frame(units=True)
    header = next(header for header in frame if str(header).startswith("temperature"))
    unit = tasks.dataset["temperature"].attrs["units"]
    limit = LIMIT if unit == "K" else LIMIT - 273.15
    return TaskSet.from_frame(frame[frame[header] <= limit], tasks.card, model=tempering_rockwell)


def three_below(batch: Batch, seed: int) -> Tensor:
    """Three readings of every task below the limit, chosen at random."""
    draw, support = np.random.default_rng(seed), torch.zeros_like(batch.mask)
    for task, cold in enumerate(batch.mask & (batch.inputs["temperature"] <= LIMIT)):
        place = draw.choice(np.flatnonzero(cold.numpy()), _SHOTS, replace=False)
        support[task, torch.as_tensor(place)] = True
    return support


def _judged(prior: Prior, batch: Batch, seeds: int) -> list[dict[str, Any]]:
    """Adapt every task to three readings below the limit; judge by its others."""
    rows = []
    for seed in range(seeds):
        support = three_below(batch, seed)
        at = prior.adapt(batch.with_mask(support)).coordinates[:, None, :]
        rows += errors_of(batch, support, partial(prior.model.at, at), seed)
    return rows


def _forest_judged(old: TaskSet, new: TaskSet, seeds: int) -> list[dict[str, Any]]:
    """A random forest on time, temperature and their Hollomon–Jaffe parameter, shifted by what the readings say."""
    from metasci.studies.baselines import forest

    known, batch = old.batch(tempering_rockwell), new.batch(tempering_rockwell)
    fitted = forest().fit(_told(known.inputs)[known.mask.numpy()], known.output[known.mask].numpy())

    def value(shift: Tensor | float, inputs: Mapping[str, Tensor]) -> Tensor:
        described = _told(inputs)
        return shift + torch.as_tensor(
            fitted.predict(described.reshape(-1, described.shape[-1])).reshape(described.shape[:-1])
        )

    rows, plain = [], value(0.0, batch.inputs)
    for seed in range(seeds):
        support = three_below(batch, seed)
        shift = torch.where(support, batch.output - plain, 0.0).sum(1, keepdim=True) / _SHOTS
        rows += errors_of(batch, support, partial(value, shift), seed)
    return rows


def _told(inputs: Mapping[str, Tensor]) -> np.ndarray:
    time, kelvin = inputs["time"].numpy(), inputs["temperature"].numpy()
    return np.stack([hollomon_jaffe(time / 3600.0, kelvin) / 1000.0, np.log10(time), kelvin], -1)


def errors_of(batch: Batch, support: Tensor, predict: Predict, seed: int) -> list[dict[str, Any]]:
    """One row for each task: what is broken on the grid, and errors of what was not used."""
    time, kelvin = (values[None].expand(len(batch), -1) for values in grid())
    with torch.no_grad():
        amount = SoftensEverywhere().violation(predict, {"time": time, "temperature": kelvin}).numpy()
        error = (predict(batch.inputs) - batch.output).numpy()
    cold, rows = batch.inputs["temperature"] <= LIMIT, []
    for task, name in enumerate(batch.names):
        inside, beyond = ((batch.mask & where & ~support)[task].numpy() for where in (cold, ~cold))
        rows.append(
            {
                "task": name,
                "seed": seed,
                "broken": float((amount[task] > _BROKEN).mean()),
                "worst": float(amount[task].max()),
                "inside": _rms(error[task][inside]),
                "beyond": _rms(error[task][beyond]),
            }
        )
    return rows


def _rms(error: np.ndarray) -> float:
    return float(np.sqrt(np.mean(error**2))) if len(error) else float("nan")


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """By contender: how many adapted models break a law, how far, and the mean RMSE inside and beyond the limit."""
    grouped = table.assign(broke=table["worst"] > _BROKEN).groupby("method", sort=False)
    return pd.DataFrame(
        {
            "models that break a law (%)": 100.0 * grouped["broke"].mean(),
            "of the range (%)": 100.0 * grouped["broken"].mean(),
            "worst (HRC)": grouped["worst"].max(),
            f"RMSE to {LIMIT - 273.15:.0f} °C": grouped["inside"].mean(),
            "RMSE above": grouped["beyond"].mean(),
        }
    )


def figure(tasks: TaskSet, steel: str, seed: int = 0) -> Figure:
    """One steel left out: hardness after an hour over temperature, from three readings, by surface and equation."""
    from matplotlib.figure import Figure as Drawing

    from metasci.report.style import PALETTE, styled

    grade = tasks.groups("steel")[list(tasks.names).index(steel)]
    others, specimen = below_the_limit(tasks.select(tasks.groups("steel") != grade)), tasks.select([steel])
    kelvin = torch.linspace(*KELVIN, 120, dtype=torch.float64)[None]
    hour = torch.full_like(kelvin, 3600.0)
    shown = (
        "network, no penalty",
        "network, penalty",
        "kinetic equation",
        "kinetic equation, Gaussian prior",
    )

    @styled
    def draw() -> Drawing:
        drawing = Drawing(figsize=(5.6, 3.8), layout="constrained")
        axes = drawing.subplots()
        for place, name in enumerate(shown):
            model, method = contenders()[name]
            prior = meta_calibrate(model, others, method, covariates=())
            batch = prior.batch(specimen)
            at = prior.adapt(batch.with_mask(three_below(batch, seed))).coordinates
            with torch.no_grad():
                value = model.at(at[:, None, :], {"time": hour, "temperature": kelvin})[0]
            dashed = model is not tempering_rockwell
            axes.plot(
                kelvin[0] - 273.15,
                value,
                color=PALETTE[place],
                ls="--" if dashed else "-",
                label=name,
                lw=1.5,
            )
        hourly = batch.mask[0] & (batch.inputs["time"][0] == 3600.0)
        celsius = batch.inputs["temperature"][0][hourly] - 273.15
        axes.plot(
            celsius, batch.output[0][hourly], "o", mfc="white", mec="#222222", ms=5, label="measured, 1 h"
        )
        axes.axvline(LIMIT - 273.15, color="#999999", lw=0.8)
        axes.set_xlabel("temperature (°C)")
        axes.set_ylabel("hardness after 1 h (HRC)")
        axes.set_ylim(0.0, None)
        axes.legend(fontsize=7)
        axes.set_title(steel)
        return drawing

    return draw()


def main(tasks: TaskSet, folder: Path) -> None:
    """Print the table and write the figure."""
    table = law_scores(tasks)
    write_atomically(folder / "laws.csv", table.to_csv(index=False).encode())
    print(
        f"\nOne step from {_SHOTS} readings; learned from readings up to {LIMIT - 273.15:.0f} °C only (HRC)"
    )
    print(summary(table).round(2).to_string())
    save_figure(figure(tasks, tasks.names[0]), folder / "steel_laws.png", dpi=150)
