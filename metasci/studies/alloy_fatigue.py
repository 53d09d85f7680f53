"""Study: fatigue cracks. ``python -m metasci.studies.alloy_fatigue [FOLDER]`` (about a minute).

21 specimens of one alloy (Lu and Meeker 1993). Each is left out and forecast from its first 1, 3 or 5 readings: the
length of the crack later on, and the number of cycles at which it reaches the length that counts as failure.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from metasci import catalogue
from metasci.data.frames import csv_bytes
from metasci.data.tasks import TaskSet
from metasci.evaluation.evaluate import evaluate
from metasci.evaluation.protocol import Protocol
from metasci.files import write_atomically
from metasci.fits.posterior import posterior_draws
from metasci.kinetics import crack_growth
from metasci.meta import MAML, GaussianPrior, MetaSGD, Method
from metasci.priors.calibrated import Calibration
from metasci.priors.equation import Prior, meta_calibrate
from metasci.report.style import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["figure", "life", "lives", "scores"]

FAILURE = 1.60 / 0.90  # crack length that counts as failure, relative to the first
SHOTS = (1, 3, 5)


def methods() -> dict[str, Method]:
    """The methods that are compared, by what they are called in the table."""
    early: dict[str, Any] = {"shots": (1, 5), "support": "first"}
    gaussian = GaussianPrior(regularisation=0.0)  # as the shipped prior was learned
    return {"Gaussian prior": gaussian, "MAML": MAML(**early), "Meta-SGD": MetaSGD(**early)}


def scores(tasks: TaskSet, folds: int | None = 7, chosen: dict[str, Method] | None = None) -> pd.DataFrame:
    """Errors of later lengths, specimens left out in parts.

    Returns
    -------
    DataFrame
        Columns method, shots, rmse, mae, coverage90.
    """
    rows = []
    for name, method in (chosen or methods()).items():
        prior = meta_calibrate(crack_growth, tasks, method)
        report = evaluate(prior, tasks, SHOTS, leave_out="specimen", folds=folds)
        for row in report["results"]:
            if row["method"] == "prior":
                rows.append({**row, "method": name})
            elif name == "Gaussian prior":
                rows.append(row)
    return pd.DataFrame(rows)[["method", "shots", "rmse", "mae", "coverage90"]]


def life(exponent: Any, growth_rate: Any, length: float = FAILURE) -> Any:
    """Cycles (millions) until the crack has a relative length a, by the law of Paris: (1 − a^(−m))/(m b).

    Examples
    --------
    >>> round(float(life(1.0, 4.0, 2.0)), 6)
    0.125
    """
    return -np.expm1(-exponent * np.log(length)) / (exponent * growth_rate)


def read_life(tasks: TaskSet, name: str, length: float = FAILURE) -> float:
    """Cycles at which a specimen passes the length, on a line between two readings; infinite if it does not."""
    specimen = tasks.select([name]).batch(crack_growth)
    cycles, lengths = (
        specimen.inputs["cycles"][0][specimen.mask[0]].numpy(),
        specimen.output[0][specimen.mask[0]].numpy(),
    )
    if lengths.max() < length:
        return float("inf")
    return float(np.interp(length, lengths, cycles))


def lives(tasks: TaskSet, shots: int, method: Method | None = None) -> pd.DataFrame:
    """The life of each specimen, forecast by a prior that has not seen it, beside the one that was read.

    Returns
    -------
    DataFrame
        Columns specimen, median, lower, upper (90 %), read; in millions of cycles, infinite beyond the last reading.
    """
    rows = []
    for name in tasks.names:
        others = tasks.select([other for other in tasks.names if other != name])
        prior = meta_calibrate(crack_growth, others, method or methods()["Gaussian prior"])
        fit = first_readings(prior, tasks.select([name]), shots)
        low, middle, high = np.quantile(_drawn(fit), (0.05, 0.5, 0.95))
        rows.append((name, middle, low, high, read_life(tasks, name)))
    return pd.DataFrame(rows, columns=["specimen", "median", "lower", "upper", "read"])


def first_readings(prior: Prior, specimen: TaskSet, shots: int) -> Calibration:
    """The calibration from the first readings; the one at 0 cycles is no measurement."""
    batch = prior.batch(specimen)
    skipped = len(Protocol.from_card(specimen.card).skip)
    rank = batch.mask.cumsum(1)
    seen = batch.with_mask(batch.mask & (rank > skipped) & (rank <= skipped + shots))
    return Calibration(prior, specimen, seen, prior.adapt(seen))


def _drawn(fit: Calibration) -> NDArray[np.float64]:
    physical = crack_growth.parameters.to_physical(posterior_draws(fit, draws=4000).coordinates.numpy())
    return np.asarray(life(physical["exponent"], physical["growth_rate"]))


def life_summary(tasks: TaskSet, last: float = 0.12) -> pd.DataFrame:
    """How lives are forecast, by number of readings: those that were read, and those that outlast the test."""
    rows = []
    for shots in SHOTS:
        table = lives(tasks, shots)
        failed = table[np.isfinite(table["read"])]
        rest = table[~np.isfinite(table["read"])]
        error = 100.0 * (failed["median"] / failed["read"] - 1.0).abs()
        covered = (failed["read"] >= failed["lower"]) & (failed["read"] <= failed["upper"])
        width = failed["upper"] / failed["lower"]
        row = (
            shots,
            len(failed),
            error.median(),
            100.0 * covered.mean(),
            width.median(),
            (rest["upper"] >= last).mean(),
        )
        rows.append(row)
    names = [
        "readings",
        "failed",
        "median error (%)",
        "90 % coverage (%)",
        "upper/lower",
        "unfailed not ruled out",
    ]
    return pd.DataFrame(rows, columns=names).set_index("readings")


def figure(tasks: TaskSet, names: tuple[str, ...] = ("3", "12", "20"), shots: int = 3) -> Figure:
    """Specimens left out: the forecast from their first readings with those that came later."""
    from matplotlib.figure import Figure as Drawing

    from metasci.report.style import BLUE, GREY, INK, styled

    @styled
    def draw() -> Drawing:
        drawing = Drawing(figsize=(8.4, 3.2), layout="constrained")
        panels = drawing.subplots(1, len(names), sharex=True, sharey=True)
        for axes, name in zip(panels, names, strict=True):
            others = tasks.select([other for other in tasks.names if other != name])
            prior = meta_calibrate(crack_growth, others, methods()["Gaussian prior"])
            specimen = tasks.select([name])
            fit, whole = first_readings(prior, specimen, shots), prior.batch(specimen)
            line = np.linspace(0.0, 0.13, 120)
            forecast = fit.predict(cycles=line).isel(task=0)
            axes.fill_between(1e3 * line, forecast["lower"], forecast["upper"], color=BLUE, alpha=0.2, lw=0)
            axes.plot(1e3 * line, forecast["median"], color=BLUE, label=f"after {shots} readings, 90 % band")
            axes.plot(1e3 * line, forecast["prior"], color=GREY, ls="--", lw=1.1, label="before any reading")
            cycles, length = (
                values[0][whole.mask[0]].numpy() for values in (whole.inputs["cycles"], whole.output)
            )
            seen = fit.batch.mask[0][whole.mask[0]].numpy()
            axes.plot(1e3 * cycles[seen], length[seen], "o", color=INK, ms=4.5, label="seen")
            axes.plot(1e3 * cycles[~seen], length[~seen], "o", mfc="white", mec=INK, ms=4.5, label="not used")
            axes.axhline(FAILURE, color="#999999", lw=0.8)
            axes.set_title(f"specimen {name}")
            axes.set_xlabel("thousand cycles")
            axes.set_ylim(0.95, 2.4)
        panels[0].set_ylabel("relative crack length")
        drawing.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
        return drawing

    return draw()


def main(folder: Path | None = None) -> None:
    """Print the tables and write the figure."""
    torch.set_num_threads(1)
    folder = folder or (Path(sys.argv[1]) if len(sys.argv) > 1 else Path("studies/alloy-fatigue"))
    folder.mkdir(parents=True, exist_ok=True)
    tasks = catalogue.dataset("alloy_fatigue")
    table = scores(tasks)
    write_atomically(folder / "scores.csv", csv_bytes(table))
    print("Relative crack length from the sixth reading on, specimens left out in seven parts")
    for quantity, title in (("rmse", "RMSE"), ("coverage90", "90 % coverage")):
        print(f"\n{title}, by number of first readings known")
        print(
            table.pivot_table(index="method", columns="shots", values=quantity, sort=False)
            .round(3)
            .to_string()
        )
    print(f"\nCycles to a relative length of {FAILURE:.3f}, Gaussian prior, each specimen left out")
    print(life_summary(tasks).round(2).to_string())
    save_figure(figure(tasks), folder / "alloy_fatigue.png", dpi=150)


if __name__ == "__main__":
    main()
