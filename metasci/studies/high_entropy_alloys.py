"""Study: high-entropy alloys. ``python -m metasci.studies.high_entropy_alloys [FOLDER]`` (ten minutes).

Yield strength over temperature of multi-principal-element alloys (Borg and others 2020). Whole element systems are left
out, in five parts. Each alloy left out is forecast from its composition, and from 1 or 3 of its measurements: by an
equation of strength over temperature with a learned Gaussian prior, and by the mean, ridge regression and a random
forest. Composition is told by means and spreads of properties of the elements.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from metasci import catalogue
from metasci.data.cards import Column
from metasci.data.frames import csv_bytes
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.evaluation.evaluate import evaluate
from metasci.evaluation.protocol import Protocol
from metasci.extras import needed
from metasci.files import write_atomically
from metasci.kinetics import yield_strength
from metasci.meta import GaussianPrior
from metasci.priors.equation import Prior, meta_calibrate
from metasci.report.style import save_figure
from metasci.studies.baselines import Table, parts_of, tabular_results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["alloys", "element_properties", "fractions", "scores"]

_UNITS = {
    "melting_temperature": "kK",
    "electronegativity": "1",
    "radius": "angstrom",
    "valence_electrons": "1",
}
_AMOUNT = re.compile(r"([A-Z][a-z]?)(\d*\.?\d*)")
METHOD = GaussianPrior(task_noise=True)


def fractions(formula: str) -> dict[str, float]:
    """Atomic fractions of a formula.

    Raises
    ------
    InputError
        If it is none.

    Examples
    --------
    >>> fractions("Al0.5 Co1 Ni1")
    {'Al': 0.2, 'Co': 0.4, 'Ni': 0.4}
    """
    amounts = {element: float(amount or 1.0) for element, amount in _AMOUNT.findall(formula)}
    if not amounts or _AMOUNT.sub("", formula).strip():
        raise InputError(f"'{formula}' is not a formula such as 'Al0.5 Co1 Ni1'.")
    total = sum(amounts.values())
    return {element: amount / total for element, amount in amounts.items()}


def element_properties(element: str) -> NDArray[np.float64]:
    """Melting temperature (kK), electronegativity (Pauling), covalent radius (Å) and electrons of the outer shell.

    From the libraries `chemicals` and `rdkit`.
    """
    melting_point = needed("chemicals", "materials", "this study").Tm
    entry = getattr(needed("chemicals.elements", "materials", "this study").periodic_table, element)
    table = needed("rdkit.Chem", "materials", "this study").GetPeriodicTable()
    number = table.GetAtomicNumber(element)
    values = (
        1e-3 * melting_point(entry.CAS),
        entry.elneg,
        table.GetRcovalent(number),
        table.GetNOuterElecs(number),
    )
    return np.array(values, dtype=float)


def composition_covariates(formula: str) -> dict[str, float]:
    """Mean and spread of each property over the atoms, and the entropy of mixing in units of R."""
    parts = fractions(formula)
    share = np.array(list(parts.values()))
    values = np.stack([element_properties(element) for element in parts])
    mean = share @ values
    spread = np.sqrt(share @ (values - mean) ** 2)
    means = {f"mean_{name}": float(mean[at]) for at, name in enumerate(_UNITS)}
    means |= {f"spread_{name}": float(spread[at]) for at, name in enumerate(_UNITS)}
    return {**means, "mixing_entropy": float(-(share * np.log(share)).sum())}


def alloys() -> TaskSet:
    """The alloys with covariates from their composition and the element system they belong to.

    Rows that repeat composition, temperature and strength of another, in another paper or the same, are taken once.
    """
    whole = catalogue.dataset("mpea", model=yield_strength)
    frame = whole.to_frame(units=True)
    names = [
        name for name in frame if str(name).partition(" ")[0] in ("task", "temperature", "yield_strength")
    ]
    frame = frame[names].drop_duplicates()
    tasks = TaskSet.from_frame(frame, whole.card, model=yield_strength)
    covariates = [composition_covariates(name) for name in tasks.names]
    units = {f"{kind}_{name}": unit for name, unit in _UNITS.items() for kind in ("mean", "spread")}
    units["mixing_entropy"] = "1"
    values = {name: np.array([each[name] for each in covariates]) for name in units}
    data = tasks.dataset.assign(
        {name: ("task", values[name], {"units": unit}) for name, unit in units.items()}
    )
    systems = ["-".join(sorted(fractions(name))) for name in tasks.names]
    data = data.assign_coords(system=("task", np.array(systems)))
    columns = [Column(name, name, "covariate", unit) for name, unit in units.items()]
    columns.append(Column("system", "system", "note", description="Elements, in order of the alphabet"))
    return TaskSet(data, replace(tasks.card, columns=(*tasks.card.columns, *columns)))


def learned(tasks: TaskSet) -> Prior:
    """The learned Gaussian prior of the equation, with all covariates."""
    return meta_calibrate(
        yield_strength, tasks, METHOD, covariates=tasks.covariate_names, name="alloy strength"
    )


def as_table(tasks: TaskSet) -> Table:
    """Covariates, atomic fractions and temperature, and the logarithm of strength."""
    batch = tasks.batch(yield_strength, covariates=tasks.covariate_names)
    parts = [fractions(name) for name in tasks.names]
    elements = sorted({element for part in parts for element in part})
    features, output = [], []
    for at, seen in enumerate(batch.mask):
        kelvin = batch.inputs["temperature"][at][seen].numpy()
        alloy = [*batch.covariates[at].tolist(), *(parts[at].get(element, 0.0) for element in elements)]
        features.append(np.column_stack([kelvin, kelvin**2 / 1000.0, np.tile(alloy, (len(kelvin), 1))]))
        output.append(np.log(batch.output[at][seen].numpy()))
    return Table(features, output, np.asarray(tasks.groups("system")))


def estimators() -> dict[str, Any]:
    """What is fitted to composition and temperature, by name."""
    from metasci.studies.baselines import sklearn_part as part

    def ridge() -> Any:
        scaled = part("preprocessing").StandardScaler()
        return part("pipeline").make_pipeline(scaled, part("linear_model").RidgeCV(np.logspace(-2, 4, 13)))

    def forest() -> Any:
        return part("ensemble").RandomForestRegressor(
            300, min_samples_leaf=2, max_features=0.4, random_state=0
        )

    return {"mean": part("dummy").DummyRegressor, "ridge": ridge, "random forest": forest}


def scores(
    tasks: TaskSet, shots: tuple[int, ...] = (0, 1, 3), folds: int = 5, seeds: int = 10
) -> pd.DataFrame:
    """Errors in MPa with element systems left out; the query are the same measurements for every number of shots.

    Returns
    -------
    DataFrame
        Columns method, shots, mae, mae_sd_over_seeds, rmse, mdape (%), coverage90.
    """
    protocol = Protocol(support="random", shots=shots, aggregate="pooled")
    report = evaluate(
        learned(tasks), tasks, shots, protocol=protocol, leave_out="system", folds=folds, seeds=seeds
    )
    named = {"prior": "equation, learned prior", "per-task least squares": "equation, least squares"}
    rows = [{**row, "method": named[row["method"]]} for row in report["results"] if row["method"] in named]
    rows += tabular_results(as_table(tasks), estimators(), protocol, folds=folds, seeds=seeds, unlink=np.exp)
    return pd.DataFrame(rows)[["method", "shots", "mae", "mae_sd_over_seeds", "rmse", "mdape", "coverage90"]]


def figure(tasks: TaskSet, count: int = 6, shots: int = 1) -> Figure:
    """Alloys with many temperatures, left out: forecast from composition, and after one measurement."""
    from matplotlib.figure import Figure as Drawing

    from metasci.report.style import BLUE, GREY, INK, styled

    batch = tasks.batch(yield_strength, covariates=tasks.covariate_names)
    reach = [
        len(np.unique(batch.inputs["temperature"][at][measured].numpy()))
        for at, measured in enumerate(batch.mask)
    ]
    shown = np.argsort(reach)[::-1][:count]
    systems = tasks.groups("system")
    priors: dict[int, Prior] = {}
    for held in parts_of(systems, 5):
        if held[shown].any():
            priors |= dict.fromkeys(np.flatnonzero(held).tolist(), learned(tasks.select(~held)))

    @styled
    def draw() -> Drawing:
        drawing = Drawing(figsize=(8.4, 5.0), layout="constrained")
        panels = drawing.subplots(2, -(-count // 2), sharex=True, sharey=True)
        for axes, at in zip(panels.flat, shown.tolist(), strict=False):
            alloy = tasks.select([at])
            measured = batch.mask[at]
            kelvin, value = (
                batch.inputs["temperature"][at][measured].numpy(),
                batch.output[at][measured].numpy(),
            )
            first = int(np.argmin(np.abs(kelvin - 298.15)))
            own = priors[at].batch(alloy)
            seen = torch.zeros_like(own.mask)
            seen[0, torch.as_tensor(np.flatnonzero(own.mask[0].numpy())[[first]][:shots])] = True
            from metasci.priors.calibrated import Calibration

            fit = Calibration(priors[at], alloy, own.with_mask(seen), priors[at].adapt(own.with_mask(seen)))
            line = np.linspace(min(250.0, kelvin.min()), max(1500.0, kelvin.max()), 100)
            forecast = fit.predict(temperature=line).isel(task=0)
            axes.fill_between(
                line - 273.15, forecast["lower"], forecast["upper"], color=BLUE, alpha=0.2, lw=0
            )
            axes.plot(line - 273.15, forecast["median"], color=BLUE, label="after one measurement, 90 % band")
            axes.plot(
                line - 273.15, forecast["prior"], color=GREY, ls="--", lw=1.1, label="from composition alone"
            )
            axes.plot(kelvin - 273.15, value, "o", mfc="white", mec=INK, ms=4, label="measured")
            axes.plot(kelvin[[first]] - 273.15, value[[first]], "o", color=INK, ms=5, label="seen")
            axes.set_title(str(tasks.names[at]), fontsize=8)
            axes.set_yscale("log")
            axes.set_ylim(20.0, 5000.0)
        for axes in panels[-1]:
            axes.set_xlabel("temperature (°C)")
        for axes in panels[:, 0]:
            axes.set_ylabel("yield strength (MPa)")
        drawing.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
        return drawing

    return draw()


def main(folder: Path | None = None) -> None:
    """Print the tables and write the figure."""
    torch.set_num_threads(1)
    folder = folder or (Path(sys.argv[1]) if len(sys.argv) > 1 else Path("studies/high-entropy-alloys"))
    folder.mkdir(parents=True, exist_ok=True)
    tasks = alloys()
    systems = len(set(tasks.groups("system").tolist()))
    print(f"{len(tasks)} alloys of {systems} element systems, {int(tasks.counts.sum())} measurements")
    every = scores(tasks, shots=(0,), seeds=1)
    print("\nEvery measurement, from composition and temperature (MPa, per cent, share)")
    print(every.drop(columns=["shots", "mae_sd_over_seeds"]).set_index("method").round(2).to_string())
    figures = scores(tasks)
    write_atomically(folder / "scores.csv", csv_bytes(figures))
    print("\nAlloys with four or more measurements, by number of measurements known")
    for quantity, title in (
        ("mae", "MAE (MPa)"),
        ("mae_sd_over_seeds", "Its standard deviation over ten choices of what is known and what judges"),
        ("coverage90", "90 % coverage"),
    ):
        table = figures.pivot_table(index="method", columns="shots", values=quantity, sort=False)
        print(f"\n{title}\n{table.round(2).to_string()}")
    save_figure(figure(tasks), folder / "high_entropy_alloys.png", dpi=150)


if __name__ == "__main__":
    main()
