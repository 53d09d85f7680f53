"""Study: what tests tell of the kinetics of a transformation. ``python -m metasci.studies.avrami [FOLDER]`` (minutes).

**The alloys are simulated.** Their parameters are those published for crystallising metallic glasses: exponents from
the table of mechanisms (Christian, The Theory of Transformations in Metals and Alloys, 1975), activation energies about
the 253 kJ/mol of Ti40Zr10Cu34Pd14Sn2 (Calin and others, by Kissinger's method), with the spread of a class of alloys.
Since the truth is known, it can be said which test finds which parameter, and whether intervals hold it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from metasci.data.cards import Card
from metasci.data.tasks import TaskSet
from metasci.fits.posterior import posterior_draws
from metasci.heat_treatment import prior_along, transformation_diagram
from metasci.kinetics import along, avrami, kissinger
from metasci.kinetics.arrhenius import arrhenius_factor
from metasci.meta import GaussianPrior
from metasci.priors.calibrated import Calibration
from metasci.priors.equation import Prior, meta_calibrate
from metasci.report.style import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from metasci.model import Model

__all__ = [
    "as_believed",
    "designs",
    "figure",
    "identified",
    "kissinger_check",
    "learned",
    "simulated_alloys",
    "simulated_table",
]

EXPONENTS = (1.0, 1.5, 2.0, 2.5, 3.0)
ENERGY, ENERGY_SPREAD = 253.0, 0.15  # kJ/mol; standard deviation of its logarithm
RATE, RATE_SPREAD = 1.0, 1.2  # 1/s at 873 K; standard deviation of its logarithm
NOISE = 0.02  # of a fraction
Values = Mapping[str, float]


def simulated_alloys(count: int, seed: int = 0) -> list[dict[str, float]]:
    """Parameters of simulated alloys, drawn from the published ones and their spread.

    Examples
    --------
    >>> sorted(simulated_alloys(1)[0])
    ['activation_energy', 'exponent', 'rate']
    """
    draw = np.random.default_rng(seed)
    return [
        {
            "rate": float(RATE * np.exp(RATE_SPREAD * draw.standard_normal())),
            "activation_energy": float(ENERGY * np.exp(ENERGY_SPREAD * draw.standard_normal())),
            "exponent": float(
                np.clip(draw.choice(EXPONENTS) * np.exp(0.05 * draw.standard_normal()), 0.7, 3.5)
            ),
        }
        for _ in range(count)
    ]


def designs() -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Sets of tests by name: times (s) and temperatures (K) of each measured fraction."""
    seven = np.geomspace(20.0, 20000.0, 7)
    return {
        "one temperature": (seven, np.full(7, 753.15)),
        "two temperatures, 20 K apart": (np.tile(seven, 2), np.repeat([743.15, 763.15], 7)),
        "two temperatures, 60 K apart": (np.tile(seven, 2), np.repeat([723.15, 783.15], 7)),
        "three points only": (np.array([100.0, 1000.0, 1000.0]), np.array([773.15, 753.15, 733.15])),
    }


def heating() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One run at 20 K a minute from 600 to 960 K: times and temperatures at which the fraction is read."""
    kelvin = np.linspace(660.0, 960.0, 14)
    return (kelvin - 600.0) * 3.0, kelvin


def simulated_table(alloys: list[dict[str, float]], design: str, seed: int = 0) -> pd.DataFrame:
    """Simulated measurements of a design; of the heating run with the rows of its thermocouple."""
    draw = np.random.default_rng(seed)
    parts = []
    for number, truth in enumerate(alloys, 1):
        name = f"alloy {number}"
        if design == "one heating run":
            time, kelvin = heating()
            points = {
                "temperature": np.array([[600.0, 960.0]]),
                "temperature_time": np.array([[0.0, 1080.0]]),
            }
            points["temperature_cycle"] = np.ones((1, 2))
            clean = along(avrami)({"time": time, "cycle": np.ones(len(time)), **points}, truth)
            cycle = pd.DataFrame(
                {"time [s]": [0.0, 1080.0], "temperature [K]": [600.0, 960.0], "fraction": np.nan}
            )
            read = pd.DataFrame({"time [s]": time, "temperature [K]": np.nan, "fraction": clean})
            table = pd.concat([cycle, read], ignore_index=True).assign(cycle=1)
        else:
            time, kelvin = designs()[design]
            clean = avrami({"time": time, "temperature": kelvin}, truth)
            table = pd.DataFrame({"time [s]": time, "temperature [K]": kelvin, "fraction": clean})
        table["fraction"] += NOISE * draw.standard_normal(len(table))
        parts.append(table.assign(task=name))
    return pd.concat(parts, ignore_index=True)


def _card(model: Any) -> Card:
    return replace(Card.from_model(model), simulated=True, title="Simulated alloys", source="simulated")


def learned(count: int = 60, seed: int = 1) -> Prior:
    """A prior from simulated alloys that were measured at three temperatures."""
    time = np.tile(np.geomspace(10.0, 20000.0, 8), 3)
    kelvin = np.repeat([723.15, 753.15, 783.15], 8)
    draw, parts = np.random.default_rng(seed), []
    for number, truth in enumerate(simulated_alloys(count, seed), 1):
        value = avrami({"time": time, "temperature": kelvin}, truth) + NOISE * draw.standard_normal(len(time))
        table = pd.DataFrame({"time [s]": time, "temperature [K]": kelvin, "fraction": value})
        parts.append(table.assign(task=f"old alloy {number}"))
    tasks = TaskSet.from_frame(pd.concat(parts, ignore_index=True), _card(avrami), model=avrami)
    return meta_calibrate(avrami, tasks, GaussianPrior(), name="simulated glasses")


def _restated(truth: Values, stated: float, wanted: float) -> dict[str, float]:
    """Parameters whose rate is stated at one temperature (K), with the rate at another."""
    factor = float(arrhenius_factor(wanted, truth["activation_energy"], stated))
    return {**truth, "rate": truth["rate"] * factor}


def _reference(model: Model) -> float:
    """Temperature (K) at which a law states its rate: learning moves it into the data."""
    if model.reference is None:
        raise ValueError(f"'{model.name}' states no rate at a temperature.")
    return model.reference.temperature


def as_believed(prior: Prior, count: int, seed: int = 0) -> list[dict[str, float]]:
    """Parameters of simulated alloys that are spread exactly as a learned prior believes, rates at 873 K."""
    draw = np.random.default_rng(seed)
    mean, covariance = prior.state.mean.numpy(), prior.state.covariance.numpy()
    drawn = draw.multivariate_normal(mean, covariance, size=count, method="cholesky")
    physical = prior.model.parameters.to_physical(drawn)
    believed = [{name: float(values[at]) for name, values in physical.items()} for at in range(count)]
    return [_restated(truth, _reference(prior.model), _reference(avrami)) for truth in believed]


def identified(
    prior: Prior, count: int = 400, seed: int = 2, truths: list[dict[str, float]] | None = None
) -> pd.DataFrame:
    """What each design finds of each parameter, over new simulated alloys, or over `truths`.

    Returns
    -------
    DataFrame
        Columns design, parameter, left (median share of the prior's standard deviation that is left), error (median
        absolute error in per cent), covered (share of 90 % intervals that hold the truth), drawn (the same of intervals
        from draws of the posterior). The rate is that at the temperature where the prior states it.
    """
    truths = simulated_alloys(count, seed) if truths is None else truths
    stated = [_restated(truth, _reference(avrami), _reference(prior.model)) for truth in truths]
    rows = []
    for design in (*designs(), "one heating run"):
        own = prior_along(prior) if design == "one heating run" else prior
        tasks = TaskSet.from_frame(simulated_table(truths, design, seed), _card(own.model), model=own.model)
        fit = own.calibrate(tasks)
        table, drawn = fit.parameters, _intervals(fit)
        for name, part in table.groupby("name", sort=False):
            real = np.array([truth[str(name)] for truth in stated])
            rows.append(
                {
                    "design": design,
                    "parameter": name,
                    "left": float(np.sqrt(part["shrinkage"]).median()),
                    "error": float(np.median(100.0 * np.abs(part["estimate"] / real - 1.0))),
                    "covered": float(((part["lower"] <= real) & (real <= part["upper"])).mean()),
                    "drawn": float(((drawn[str(name)][0] <= real) & (real <= drawn[str(name)][1])).mean()),
                }
            )
    return pd.DataFrame(rows)


def _intervals(fit: Calibration, level: float = 0.9) -> dict[str, NDArray[np.float64]]:
    """Intervals from draws of each alloy's posterior, (2, alloy) by parameter."""
    tails = torch.tensor([0.5 * (1.0 - level), 0.5 * (1.0 + level)], dtype=torch.float64)
    intervals = [
        torch.quantile(posterior_draws(fit, at, 800).coordinates, tails, 0) for at in range(len(fit.batch))
    ]
    return fit.prior.model.parameters.to_physical(torch.stack(intervals, 1).numpy())


def kissinger_check(energy: float = ENERGY, exponent: float = 2.5) -> pd.DataFrame:
    """Peaks of the rate of one simulated alloy at five heating rates, and the activation energy that they give.

    Returns
    -------
    DataFrame
        Columns rate (K/min), peak (K); ``attrs`` hold ``activation_energy`` and ``standard_error``, in kJ/mol.
    """
    from metasci.kinetics import heat_flow

    stated = {"enthalpy": 20.0, "rate": 1e-2, "activation_energy": energy, "exponent": exponent}
    kelvin, rates, peaks = np.linspace(500.0, 900.0, 40001), np.array([2.0, 5.0, 10.0, 20.0, 40.0]), []
    for rate in rates:
        flow = heat_flow({"temperature": kelvin, "heating_rate": np.asarray(rate / 60.0)}, stated)
        peaks.append(float(kelvin[np.argmax(flow)]))
    fitted = kissinger(rates, peaks)
    table = pd.DataFrame({"rate": rates, "peak": peaks})
    table.attrs = {"activation_energy": fitted.activation_energy, "standard_error": fitted.standard_error}
    return table


def figure(prior: Prior, seed: int = 2) -> Figure:
    """Time to half transformation over temperature of one simulated alloy, from each of three designs."""
    from matplotlib.figure import Figure as Drawing

    from metasci.report.style import PALETTE, styled
    from metasci.words import duration

    truths = simulated_alloys(1, seed)
    kelvin = np.linspace(663.15, 833.15, 60)
    factor = arrhenius_factor(kelvin, truths[0]["activation_energy"], _reference(avrami))
    half = np.log(2.0) ** (1.0 / truths[0]["exponent"]) / (truths[0]["rate"] * factor)

    @styled
    def draw() -> Drawing:
        drawing = Drawing(figsize=(6.0, 3.9), layout="constrained")
        axes = drawing.subplots()
        shown = ("one temperature", "three points only", "two temperatures, 60 K apart")
        for colour, design in zip(PALETTE, shown, strict=False):
            tasks = TaskSet.from_frame(simulated_table(truths, design, seed), _card(avrami), model=avrami)
            diagram = transformation_diagram(prior.calibrate(tasks), kelvin, reaches=[0.5]).isel(reaches=0)
            axes.fill_betweenx(
                kelvin - 273.15, diagram["lower"], diagram["upper"], color=colour, alpha=0.22, lw=0
            )
            axes.plot(diagram["median"], kelvin - 273.15, color=colour, label=design)
        axes.plot(half, kelvin - 273.15, color="#222222", ls=(0, (4, 2.5)), lw=1.2, label="truth")
        axes.set_xscale("log")
        ticks = [1.0, 60.0, 3600.0, 86400.0]
        axes.set_xticks(ticks, [duration(tick) for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("time to half transformation, 90 % bands")
        axes.set_ylabel("temperature (°C)")
        axes.set_title("One alloy (simulated)")
        axes.legend()
        return drawing

    return draw()


def main(folder: Path | None = None) -> None:
    """Print the tables and write the figure."""
    torch.set_num_threads(1)
    folder = folder or (Path(sys.argv[1]) if len(sys.argv) > 1 else Path("studies/avrami"))
    folder.mkdir(parents=True, exist_ok=True)
    prior = learned()
    print("Simulated alloys. Prior learned from 60 of them; 400 others, by what was measured")
    print(f"Rates are those at {_reference(prior.model):g} K, in the middle of the data learned from")
    figures = identified(prior)
    for quantity, title in (
        ("left", "Standard deviation left, share of the prior's (median)"),
        ("error", "Error (median, per cent)"),
        ("covered", "Share of 90 % intervals that hold the truth"),
        ("drawn", "The same, intervals from draws of the posterior"),
    ):
        table = figures.pivot_table(index="design", columns="parameter", values=quantity, sort=False)
        print(f"\n{title}\n{table.round(2).to_string()}")
    believed = identified(prior, truths=as_believed(prior, 400))
    for quantity, title in (("covered", "90 % intervals"), ("drawn", "the same, from draws")):
        table = believed.pivot_table(index="design", columns="parameter", values=quantity, sort=False)
        print(f"\n400 alloys spread as the learned prior believes: {title}\n{table.round(2).to_string()}")
    peaks = kissinger_check()
    print(f"\nKissinger, one alloy of {ENERGY:.0f} kJ/mol (simulated)")
    print(peaks.round(2).to_string(index=False))
    print(
        f"activation energy {peaks.attrs['activation_energy']:.1f} ± {peaks.attrs['standard_error']:.1f} kJ/mol"
    )
    save_figure(figure(prior), folder / "avrami.png", dpi=150)


if __name__ == "__main__":
    main()
