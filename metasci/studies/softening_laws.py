"""Part of the study of tempering: models that can break physical laws, adapted in one step.

A small network, and the quadratic in the logarithm of time and in temperature that is fitted to tempering data where no
kinetics is assumed, may both rise with time or temperature, or fall below zero. The laws are stated, and a penalty
teaches them to the network. Each is learned from readings below a limit of temperature, adapted in one gradient step to
three readings of a grade left out, and judged at the temperatures above, beside the kinetic equation that has the laws
built in, and a random forest that is shifted by the readings.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from metasci.constraints import Constraint
from metasci.data.tasks import Batch, TaskSet
from metasci.files import write_atomically
from metasci.kinetics import hollomon_jaffe, tempering_rockwell
from metasci.math import log, tanh
from metasci.meta import MAML, GaussianPrior, Method
from metasci.model import Input, Model, Output, equation
from metasci.noise import Additive
from metasci.parameters import Parameter
from metasci.priors.equation import Prior, meta_calibrate
from metasci.report.style import save_figure
from metasci.studies.baselines import parts_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["law_scores", "main", "softening_network", "softening_surface"]

TIMES, KELVIN = (10.0, 115200.0), (373.15, 977.15)
LIMIT = 813.15  # kelvin (540 °C), above which nothing is learned from
_SHOTS, _POINTS = 3, 6
_HIDDEN = 8
Predict = Callable[[Mapping[str, Tensor]], Tensor]
FOREST = "random forest, shifted"
_BROKEN = 0.1  # HRC by which a law must be broken somewhere to count


@dataclass(frozen=True)
class SoftensEverywhere(Constraint):
    """Later and hotter is softer, and nothing is below zero, at all times and temperatures of the study.

    Checked between neighbours of a grid, whatever was measured. Each measured place stands for several points of the
    grid, of which it has the worst.
    """

    @property
    def law(self) -> str:
        return "softer when later or hotter, and not below zero"

    def violation(self, predict: Predict, inputs: Mapping[str, Tensor]) -> Tensor:
        shape = torch.broadcast_shapes(*(values.shape for values in inputs.values()))
        rounds = -(-(_POINTS**2) // shape[-1])
        time, kelvin = (values.to(inputs["time"]) for values in _grid())
        later, hotter = _steps()
        found = []
        for first in range(rounds):
            place = (first + rounds * torch.arange(shape[-1])) % len(time)

            def value(at: Tensor, t: Tensor = time, k: Tensor = kelvin) -> Tensor:
                return predict({"time": t[at].expand(shape), "temperature": k[at].expand(shape)})

            here = value(place)
            rises = (value(later[place]) - here).clamp(min=0.0) + (value(hotter[place]) - here).clamp(min=0.0)
            found.append(rises + (-here).clamp(min=0.0))
        return torch.stack(found).amax(0)


def _grid() -> tuple[Tensor, Tensor]:
    time = torch.as_tensor(np.geomspace(*TIMES, _POINTS))
    kelvin = torch.as_tensor(np.linspace(*KELVIN, _POINTS))
    return time.repeat_interleave(_POINTS), kelvin.repeat(_POINTS)


def _steps() -> tuple[Tensor, Tensor]:
    """The neighbours of each point of the grid, later and hotter; the last are their own."""
    time, kelvin = torch.arange(_POINTS).repeat_interleave(_POINTS), torch.arange(_POINTS).repeat(_POINTS)
    last = _POINTS - 1
    return (time + 1).clamp(max=last) * _POINTS + kelvin, time * _POINTS + (kelvin + 1).clamp(max=last)


_DECLARED: dict[str, Any] = {
    "inputs": {"time": Input("s", lower=0.0), "temperature": Input("K", lower=0.0)},
    "output": Output("hardness", "HRC", "hardness"),
    "noise": Additive((1.5,)),
    "constraints": (SoftensEverywhere(),),
}


def _scaled(time: Any, temperature: Any) -> tuple[Any, Any]:
    """lg(t/1 h) and (T − 673.15 K)/100 K."""
    return log(time / 3600.0) / 2.302585092994046, (temperature - 673.15) / 100.0


@equation(
    name="studies.softening_surface",
    parameters=[
        Parameter("level", "HRC", 42.0, spread=5.0, description="after an hour at 400 degC"),
        Parameter("by_time", "HRC", -2.0, spread=1.0, description="for ten times the time"),
        Parameter("by_temperature", "HRC", -6.0, spread=2.0, description="for 100 K"),
        Parameter("by_both", "HRC", -0.3, spread=0.5),
        Parameter("by_time_squared", "HRC", 0.0, spread=0.5),
        Parameter("by_temperature_squared", "HRC", -0.3, spread=0.5),
    ],
    **_DECLARED,
)
def softening_surface(
    time: Any, temperature: Any, *, level: Any, by_time: Any, by_temperature: Any, by_both: Any,
    by_time_squared: Any, by_temperature_squared: Any,
) -> Any:  # fmt: skip
    """Hardness as a quadratic in lg(t/1 h) and (T − 673.15 K)/100 K. An empirical fit: it knows no law."""
    x, y = _scaled(time, temperature)
    curved = by_both * x * y + by_time_squared * x**2 + by_temperature_squared * y**2
    return level + by_time * x + by_temperature * y + curved


def _network() -> Model:
    """Two inputs, one hidden layer, one output, each weight a parameter, from a start drawn once."""
    draw = np.random.default_rng(0)
    names = [f"{kind}_{unit}" for unit in range(_HIDDEN) for kind in ("time", "temperature", "offset", "out")]
    first = dict(zip(names, draw.standard_normal(len(names)), strict=True))
    parameters = [Parameter("level", "HRC", 42.0, spread=5.0)]
    parameters += [Parameter(name, "1", float(value), spread=0.5) for name, value in first.items()]

    def softening_network(time: Any, temperature: Any, **weights: Any) -> Any:
        """Hardness from a network with one hidden layer of hyperbolic tangents. It knows no law."""
        x, y = _scaled(time, temperature)
        total = 0.0
        for unit in range(_HIDDEN):
            inside = (
                weights[f"time_{unit}"] * x + weights[f"temperature_{unit}"] * y + weights[f"offset_{unit}"]
            )
            total = total + 5.0 * weights[f"out_{unit}"] * tanh(inside)
        return weights["level"] + total

    keyword = inspect.Parameter.KEYWORD_ONLY
    takes = ["time", "temperature", *(parameter.name for parameter in parameters)]
    softening_network.__signature__ = inspect.Signature([inspect.Parameter(name, keyword) for name in takes])  # type: ignore[attr-defined]
    return equation(name="studies.softening_network", parameters=parameters, **_DECLARED)(softening_network)


softening_network = _network()


def contenders(iterations: int = 120) -> dict[str, tuple[Model, Method]]:
    """What is compared: network without and with penalties, surface, and equation, each adapted in one step."""
    one: dict[str, Any] = {"steps": 1, "shots": (_SHOTS, _SHOTS), "iterations": iterations}
    return {
        "network, no penalty": (softening_network, MAML(**one)),
        "network, penalty": (softening_network, MAML(penalty=3.0, **one)),
        "network, learned penalty": (softening_network, MAML(penalty=3.0, learn_penalty=True, **one)),
        "quadratic surface, no penalty": (softening_surface, MAML(**one)),
        "kinetic equation": (tempering_rockwell, MAML(**one)),
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
    cold, grades = _below(tasks), tasks.groups("steel")
    rows: list[dict[str, Any]] = []
    for name in (*contenders(), FOREST) if chosen is None else chosen:
        for held in parts_of(grades, folds):
            if name == FOREST:
                found = _forest_judged(cold.select(~held), tasks.select(held), seeds)
            else:
                model, method = contenders(iterations)[name]
                prior = meta_calibrate(model, cold.select(~held), method, covariates=())
                found = _judged(prior, prior.batch(tasks.select(held)), seeds)
            rows += [{"method": name, **row} for row in found]
    return pd.DataFrame(rows)


def _below(tasks: TaskSet) -> TaskSet:
    """The readings at temperatures up to the limit."""
    frame = tasks.to_frame(units=True)
    header = next(header for header in frame if str(header).startswith("temperature"))
    unit = tasks.dataset["temperature"].attrs["units"]
    limit = LIMIT if unit == "K" else LIMIT - 273.15
    return TaskSet.from_frame(frame[frame[header] <= limit], tasks.card, model=tempering_rockwell)


def _support(batch: Batch, seed: int) -> Tensor:
    """Three readings of every task below the limit, chosen at random."""
    draw, support = np.random.default_rng(seed), torch.zeros_like(batch.mask)
    for task, there in enumerate(batch.mask & (batch.inputs["temperature"] <= LIMIT)):
        place = draw.choice(np.flatnonzero(there.numpy()), _SHOTS, replace=False)
        support[task, torch.as_tensor(place)] = True
    return support


def _judged(prior: Prior, batch: Batch, seeds: int) -> list[dict[str, Any]]:
    """Adapt every task to three readings below the limit; judge by its others."""
    rows = []
    for seed in range(seeds):
        support = _support(batch, seed)
        at = prior.adapt(batch.with_mask(support)).coordinates[:, None, :]
        rows += _errors(batch, support, partial(prior.model.at, at), seed)
    return rows


def _forest_judged(old: TaskSet, new: TaskSet, seeds: int) -> list[dict[str, Any]]:
    """A random forest on time, temperature and their Hollomon–Jaffe parameter, shifted by what the readings say."""
    from metasci.studies.baselines import forest

    known, batch = old.batch(tempering_rockwell), new.batch(tempering_rockwell)
    fitted = forest().fit(_told(known.inputs)[known.mask.numpy()], known.output[known.mask].numpy())

    def value(shift: Tensor | float, inputs: Mapping[str, Tensor]) -> Tensor:
        told = _told(inputs)
        return shift + torch.as_tensor(
            fitted.predict(told.reshape(-1, told.shape[-1])).reshape(told.shape[:-1])
        )

    rows, plain = [], value(0.0, batch.inputs)
    for seed in range(seeds):
        support = _support(batch, seed)
        shift = torch.where(support, batch.output - plain, 0.0).sum(1, keepdim=True) / _SHOTS
        rows += _errors(batch, support, partial(value, shift), seed)
    return rows


def _told(inputs: Mapping[str, Tensor]) -> np.ndarray:
    time, kelvin = inputs["time"].numpy(), inputs["temperature"].numpy()
    return np.stack([hollomon_jaffe(time / 3600.0, kelvin) / 1000.0, np.log10(time), kelvin], -1)


def _errors(batch: Batch, support: Tensor, predict: Predict, seed: int) -> list[dict[str, Any]]:
    """One row for each task: what is broken on the grid, and errors of what was not used."""
    time, kelvin = (values[None].expand(len(batch), -1) for values in _grid())
    with torch.no_grad():
        amount = SoftensEverywhere().violation(predict, {"time": time, "temperature": kelvin}).numpy()
        error = (predict(batch.inputs) - batch.output).numpy()
    cold, rows = batch.inputs["temperature"] <= LIMIT, []
    for task, name in enumerate(batch.names):
        inside, beyond = ((batch.mask & where & ~support)[task].numpy() for where in (cold, ~cold))
        rows.append({
            "task": name, "seed": seed, "broken": float((amount[task] > _BROKEN).mean()),
            "worst": float(amount[task].max()),
            "inside": _rms(error[task][inside]), "beyond": _rms(error[task][beyond]),
        })  # fmt: skip
    return rows


def _rms(error: np.ndarray) -> float:
    return float(np.sqrt(np.mean(error**2))) if len(error) else float("nan")


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """By contender: how many adapted models break a law, how far, and the mean RMSE inside and beyond the limit."""
    grouped = found.assign(broke=found["worst"] > _BROKEN).groupby("method", sort=False)
    return pd.DataFrame({
        "models that break a law (%)": 100.0 * grouped["broke"].mean(),
        "of the range (%)": 100.0 * grouped["broken"].mean(),
        "worst (HRC)": grouped["worst"].max(),
        f"RMSE to {LIMIT - 273.15:.0f} °C": grouped["inside"].mean(),
        "RMSE above": grouped["beyond"].mean(),
    })  # fmt: skip


def figure(tasks: TaskSet, steel: str, seed: int = 0) -> Figure:
    """One steel left out: hardness after an hour over temperature, from three readings, by surface and equation."""
    from matplotlib.figure import Figure as Drawing

    from metasci.report.style import PALETTE, styled

    grade = tasks.groups("steel")[list(tasks.names).index(steel)]
    others, one = _below(tasks.select(tasks.groups("steel") != grade)), tasks.select([steel])
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
            batch = prior.batch(one)
            at = prior.adapt(batch.with_mask(_support(batch, seed))).coordinates
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
    found = law_scores(tasks)
    write_atomically(folder / "laws.csv", found.to_csv(index=False).encode())
    print(
        f"\nOne step from {_SHOTS} readings; learned from readings up to {LIMIT - 273.15:.0f} °C only (HRC)"
    )
    print(summary(found).round(2).to_string())
    save_figure(figure(tasks, tasks.names[0]), folder / "steel_laws.png", dpi=150)
