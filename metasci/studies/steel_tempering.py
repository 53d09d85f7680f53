"""Study: tempering of steels. ``python -m metasci.studies.steel_tempering [FOLDER]`` (some minutes).

Whole grades are left out, in five parts. Each steel left out is calibrated from 0, 1, 3, 5 or 10 of its hardness
readings, by learned priors with and without composition, by least squares on the steel alone, by a random forest on
composition and the Hollomon–Jaffe parameter, and, from three readings, by PyMC's hierarchical posterior. Then models
without any law built in are adapted in one step, and judged at temperatures they have never seen (`softening_laws`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from metasci import catalogue
from metasci.data.frames import csv_bytes
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.evaluation.evaluate import evaluate
from metasci.evaluation.protocol import Protocol, with_enough_rows
from metasci.extras import how_to_install
from metasci.files import write_atomically
from metasci.kinetics import hollomon_jaffe, tempering_rockwell
from metasci.meta import MAML, GaussianPrior, MetaSGD, Method
from metasci.priors.equation import meta_calibrate
from metasci.report.style import save_figure
from metasci.studies import softening_laws
from metasci.studies.baselines import Table, _linear, forest, tabular_results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["against_pymc", "as_table", "figure", "scores"]

SHOTS = (0, 1, 3, 5, 10)
_SHOWN = {"rmse": "RMSE", "mae": "MAE", "coverage90": "90 % coverage"}


def methods() -> dict[str, Method]:
    """The methods that are compared, by what they are called in the table."""
    return {
        "Gaussian prior": GaussianPrior(task_noise=True),
        "MAML": MAML(iterations=200),
        "Meta-SGD": MetaSGD(iterations=200),
    }


def scores(
    tasks: TaskSet, folds: int = 5, seeds: int = 3, chosen: dict[str, Method] | None = None
) -> pd.DataFrame:
    """Errors in HRC on grades left out, by method and number of readings.

    Returns
    -------
    DataFrame
        Columns method, composition, shots, rmse, mae, coverage90.
    """
    protocol = Protocol.from_card(tasks.card)
    rows: list[dict[str, Any]] = []
    for name, method in (chosen or methods()).items():
        for composition in (True, False):
            prior = meta_calibrate(tempering_rockwell, tasks, method, covariates=None if composition else ())
            report = evaluate(
                prior, tasks, SHOTS, protocol=protocol, leave_out="steel", folds=folds, seeds=seeds
            )
            for row in report["results"]:
                if row["method"] == "prior":
                    rows.append({**row, "method": name, "composition": composition})
                elif (
                    row["method"] == "per-task least squares" and not composition and name == "Gaussian prior"
                ):
                    rows.append({**row, "composition": False})
    table = tabular_results(
        as_table(tasks),
        {"random forest": forest, "linear regression": _linear},
        protocol,
        folds=folds,
        seeds=seeds,
    )
    rows += [{**row, "composition": True} for row in table]
    return pd.DataFrame(rows)[["method", "composition", "shots", *_SHOWN]]


def as_table(tasks: TaskSet) -> Table:
    """Composition, the Hollomon–Jaffe parameter (C = 20), lg of time, and temperature, reading by reading."""
    batch = tasks.batch(tempering_rockwell, covariates=tasks.covariate_names)
    features, output = [], []
    for at, seen in enumerate(batch.mask):
        time, kelvin = (batch.inputs[name][at][seen].numpy() for name in ("time", "temperature"))
        parameter = hollomon_jaffe(time / 3600.0, kelvin) / 1000.0
        composition = np.nan_to_num(batch.covariates[at].numpy())
        columns = np.stack([parameter, np.log10(time), kelvin], 1)
        features.append(np.hstack([columns, np.tile(composition, (len(columns), 1))]))
        output.append(batch.output[at][seen].numpy())
    return Table(features, output, np.asarray(tasks.groups("steel")))


def against_pymc(tasks: TaskSet, shots: int = 3, draws: int = 400) -> dict[str, Any]:
    """The learned Gaussian prior beside PyMC's hierarchical posterior, grades left out in three parts."""
    from metasci.bayes.comparison import compare
    from metasci.bayes.summary import summary

    prior = meta_calibrate(tempering_rockwell, tasks, methods()["Gaussian prior"])
    return summary(compare(prior, tasks, shots=shots, folds=3, draws=draws, tune=draws))


def pivot(table: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """A quantity by method (rows) and number of readings (columns)."""
    name = table["method"] + np.where(table["composition"], ", composition", "")
    order = list(dict.fromkeys(name))
    return table.assign(method=name).pivot_table(index="method", columns="shots", values=quantity).loc[order]


def figure(table: pd.DataFrame) -> Figure:
    """Error by number of readings: with composition and without."""
    from metasci.report import shots_figure

    kept = table[table["method"] != "linear regression"]
    kept = kept.assign(method=kept["method"] + np.where(kept["composition"], ", composition", ""))
    shown = kept[~kept["method"].isin(["Meta-SGD", "Meta-SGD, composition"])]
    drawing = shots_figure({"results": shown.to_dict("records"), "unit": "HRC"}, title="Grades left out")
    drawing.set_size_inches(7.2, 4.2)  # the names are long
    return drawing


def main(folder: Path | None = None) -> None:
    """Print the tables and write the figures."""
    torch.set_num_threads(1)
    folder = folder or (Path(sys.argv[1]) if len(sys.argv) > 1 else Path("studies/steel-tempering"))
    folder.mkdir(parents=True, exist_ok=True)
    whole = catalogue.dataset("steel_tempering", model=tempering_rockwell)
    tasks, few = with_enough_rows(whole, Protocol.from_card(whole.card))
    print(
        f"{len(tasks)} steels, {int(tasks.counts.sum())} readings; left out, too few readings: {', '.join(few)}"
    )
    table = scores(tasks)
    write_atomically(folder / "scores.csv", csv_bytes(table))
    for quantity, title in _SHOWN.items():
        unit = "" if quantity == "coverage90" else " (HRC), mean over steels"
        print(f"\n{title}{unit}, by number of readings")
        print(pivot(table, quantity).round(2).to_string())
    save_figure(figure(table), folder / "steel_tempering.png", dpi=150)
    softening_laws.main(tasks, folder)
    print("\nThree readings, against PyMC")
    try:
        comparison = against_pymc(tasks)
    except ImportError:
        print(f"skipped: PyMC is not installed ({how_to_install('bayes')})")
    except InputError as error:
        print(f"no comparison: {error}")
    else:
        print(
            f"RMSE {comparison['rmse']['prior']:.2f} HRC (prior), {comparison['rmse']['pymc']:.2f} HRC (PyMC)"
        )
        print("90 % coverage {prior:.2f} (prior), {pymc:.2f} (PyMC)".format(**comparison["coverage90"]))
        print(comparison["verdict"])


if __name__ == "__main__":
    main()
