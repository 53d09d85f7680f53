"""Study: propofol across studies. ``python -m metasci.studies.propofol [FOLDER]`` (about ten minutes).

Whole studies are left out, in five parts: patients of the other studies teach the prior, and each patient left out is
forecast before any sample and after one, two and three. Beside it stands the published model of Eleveld and others
(2018), a priori, on the same samples. That model was fitted to all of these patients; the learned prior has seen none
of those it forecasts, nor anybody from their study.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from metasci import catalogue
from metasci.data.tasks import TaskSet
from metasci.evaluation.evaluate import held_out
from metasci.evaluation.protocol import Protocol, split_tasks, with_enough_rows
from metasci.files import write_atomically
from metasci.fits.predictive import predictive
from metasci.patients.compartments import Structure
from metasci.patients.drugs import propofol
from metasci.patients.regimen import DoseArrays
from metasci.priors.equation import Prior
from metasci.priors.load import load
from metasci.report.style import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["eleveld", "figure", "forecasts", "summary"]

_FILE = "eleveld_model_parameters.csv"
_NAMES = {
    "CL": "clearance",
    "V1": "central_volume",
    "V2": "peripheral_volume",
    "V3": "deep_volume",
    "Q2": "exchange_clearance",
    "Q3": "deep_exchange_clearance",
}


def eleveld(tasks: TaskSet) -> NDArray[np.float64]:
    """What the Eleveld model predicts a priori for every sample, (task, observation), in mg/L.

    Its parameters for each patient lie beside the data; concentrations follow in closed form.
    """
    table = pd.read_csv(catalogue.shipped("datasets") / "propofol" / _FILE).set_index("ID")
    batch = tasks.batch(propofol)
    own = table.loc[[int(name) for name in batch.names]]
    predicted = np.full(tuple(batch.mask.shape), np.nan)
    structure = Structure(3)
    for at in range(len(batch)):
        count = int(batch.mask[at].sum())
        if not count:
            continue
        arrays = {name: batch.inputs[name][at, 0].numpy()[None] for name in propofol.event_names}
        doses = DoseArrays(*(arrays[name] for name in propofol.event_names))
        values = {name: float(own[header].iloc[at]) for header, name in _NAMES.items()}
        time = batch.inputs["time"][at, :count].numpy()
        predicted[at, :count] = structure.concentration(time, doses, values)
    return predicted


def forecasts(prior: Prior, tasks: TaskSet, folds: int = 5, progress: bool = False) -> pd.DataFrame:
    """Every sample that follows 0, 1, 2 or 3 others, forecast with its study left out.

    Returns
    -------
    DataFrame
        Columns samples, study, patient, measured, predicted, lower, upper, eleveld.
    """
    protocol = Protocol(support="first", query="following", shots=(0, 1, 2, 3))
    published = dict(zip(tasks.names, eleveld(tasks), strict=True))
    studies = dict(zip(tasks.names, tasks.groups("study"), strict=True))
    parts = []
    for fold, left_out in held_out(prior, tasks, "study", folds, progress):
        batch = fold.batch(left_out)
        for count in protocol.shots:
            split = split_tasks(batch.mask, count, protocol, 1)
            chosen = batch.select(split.task)
            adapted = fold.adapt(chosen.with_mask(split.support))
            forecast = predictive(fold.problem(chosen.with_mask(split.query)), adapted)
            lower, upper = forecast.interval(0.9)
            for row, name in enumerate(chosen.names):
                query = split.query[row]
                columns = {
                    "measured": chosen.output,
                    "predicted": forecast.median,
                    "lower": lower,
                    "upper": upper,
                }
                frame = pd.DataFrame({key: values[row, query].numpy() for key, values in columns.items()})
                where = query.numpy().nonzero()[0]
                labels = {"samples": count, "study": studies[name], "patient": name}
                parts.append(frame.assign(**labels, eleveld=published[name][where]))
    return pd.concat(parts, ignore_index=True)


def summary(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Median errors, in per cent of the prediction, by the number of samples known."""
    table = forecasts.assign(
        error=100.0 * (forecasts["measured"] - forecasts["predicted"]) / forecasts["predicted"],
        published=100.0 * (forecasts["measured"] - forecasts["eleveld"]) / forecasts["eleveld"],
        covered=100.0
        * ((forecasts["measured"] >= forecasts["lower"]) & (forecasts["measured"] <= forecasts["upper"])),
    )
    grouped = table.groupby("samples")
    return pd.DataFrame(
        {
            "forecasts": grouped.size(),
            "MDPE": grouped["error"].median(),
            "MDAPE": table["error"].abs().groupby(table["samples"]).median(),
            "90 % coverage": grouped["covered"].mean(),
            "Eleveld MDPE": grouped["published"].median(),
            "Eleveld MDAPE": table["published"].abs().groupby(table["samples"]).median(),
        }
    )


def by_first_sample(table: pd.DataFrame, tasks: TaskSet, minutes: float = 3.0) -> pd.DataFrame:
    """The summary for patients whose first sample was drawn early, while blood mixes, and for the others."""
    batch = tasks.batch(propofol)
    first = dict(zip(batch.names, batch.inputs["time"][:, 0].tolist(), strict=True))
    early = table["patient"].astype(str).map(first) < minutes
    parts = {f"before {minutes:g} min": table[early], "later": table[~early]}
    return pd.concat({name: summary(part) for name, part in parts.items()}, names=["first sample"])


def figure(table: pd.DataFrame) -> Figure:
    """Median absolute error by samples known, and study by study before any and after three."""
    import matplotlib.pyplot as plt

    from metasci.report.style import PALETTE, styled

    table = table.assign(
        learned=100.0 * (table["measured"] / table["predicted"] - 1.0).abs(),
        published=100.0 * (table["measured"] / table["eleveld"] - 1.0).abs(),
    )

    @styled
    def draw() -> Figure:
        drawing, (left, right) = plt.subplots(1, 2, figsize=(9.0, 3.6), layout="constrained")
        by_count = table.groupby("samples")[["learned", "published"]].median()
        left.plot(
            by_count.index, by_count["learned"], "o-", color=PALETTE[0], label="learned, study left out"
        )
        left.plot(
            by_count.index,
            by_count["published"],
            "s--",
            color=PALETTE[1],
            label="Eleveld a priori, fitted to all",
        )
        left.set_xticks(by_count.index)
        left.set_ylim(0.0, 1.25 * float(by_count.to_numpy().max()))
        left.set_xlabel("samples known of the patient")
        left.set_ylabel("median absolute error (% of prediction)")
        left.legend()
        by_study = table.groupby(["samples", "study"])[["learned", "published"]].median()
        for count, marker in ((0, "o"), (3, "^")):
            rows = by_study.loc[count]
            right.scatter(
                rows["published"],
                rows["learned"],
                marker=marker,
                s=26,
                label=f"{count} samples",
                zorder=3,
                color=PALETTE[0 if count == 0 else 2],
            )
        most = 1.1 * float(by_study.to_numpy().max())
        right.plot([0, most], [0, most], color="#999999", linewidth=0.8)
        right.set_xlabel("Eleveld a priori (%)")
        right.set_ylabel("learned, study left out (%)")
        right.set_title("study by study")
        right.legend()
        return drawing

    return draw()


def main(folder: Path | None = None) -> None:
    """Print the table and write the figure."""
    torch.set_num_threads(1)
    folder = folder or (Path(sys.argv[1]) if len(sys.argv) > 1 else Path("studies/propofol"))
    folder.mkdir(parents=True, exist_ok=True)
    tasks, _ = with_enough_rows(catalogue.dataset("propofol"), Protocol(minimum_rows=1))
    published = eleveld(tasks)
    measured = tasks.batch(propofol).output.numpy()
    error = 100.0 * (measured / published - 1.0)[np.isfinite(published) & (published > 0.0)]
    print(
        f"Eleveld model a priori on all {error.size} samples: MDPE {np.median(error):.1f} %, "
        f"MDAPE {np.median(np.abs(error)):.1f} %"
    )
    table = forecasts(load("propofol"), tasks, progress=sys.stderr.isatty())
    write_atomically(folder / "forecasts.csv", table.to_csv(index=False).encode())
    print("\nWhole studies left out, in five parts (per cent)")
    print(summary(table).round(1).to_string())
    print("\nBy the time of the first sample")
    print(by_first_sample(table, tasks).round(1).to_string())
    save_figure(figure(table), folder / "propofol.png", dpi=150)


if __name__ == "__main__":
    main()
