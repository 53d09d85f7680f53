"""Study: monitoring phenobarbital in newborns. ``python -m metasci.studies.phenobarbital [FOLDER]``.

59 infants in routine care. Each is left out, forecast before any sample and after one and two, and for one of them the
maintenance dose is chosen from two samples, with a prior that has not seen the infant.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from metasci import catalogue
from metasci.data.tasks import TaskSet
from metasci.dosing import Recommendation, Target, recommend
from metasci.evaluation.evaluate import evaluate
from metasci.priors.calibrated import Calibration
from metasci.priors.load import load
from metasci.report.style import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["dose_for", "figure", "forecasts"]

_SIZES = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
_TARGET = Target("trough", low=15.0, high=30.0)


def forecasts(tasks: TaskSet) -> pd.DataFrame:
    """Errors of the next concentration after 0, 1 and 2 samples, each infant left out."""
    report = evaluate(load("phenobarbital"), tasks, (0, 1, 2), leave_out="subject")
    rows = [row for row in report["results"] if row["method"] != "start only"]
    table = pd.DataFrame(rows).set_index(["method", "shots"])
    return table[["mdape", "mdpe", "f20", "f30", "coverage90", "rmse"]]


def dose_for(tasks: TaskSet, infant: str, samples: int = 2) -> tuple[Calibration, Recommendation]:
    """One infant calibrated from the first samples by a prior learned from the others, and a maintenance dose."""
    others = tasks.select([name for name in tasks.names if name != infant])
    prior = load("phenobarbital").retrain(others)
    patient = tasks.select([infant])
    batch = prior.batch(patient)
    seen = batch.with_mask(batch.mask & (batch.mask.cumsum(1) <= samples))
    fit = Calibration(prior, patient, seen, prior.adapt(seen))
    return fit, recommend(fit, _TARGET, doses=_SIZES, intervals=[12.0, 24.0], number=14)


def figure(fit: Calibration, tasks: TaskSet, infant: str) -> Figure:
    """The forecast from the samples seen, with those that came later."""
    import matplotlib.pyplot as plt
    import numpy as np

    from metasci.report.style import PALETTE, styled

    whole = fit.prior.batch(tasks.select([infant]))
    time, value = whole.inputs["time"][0][whole.mask[0]].numpy(), whole.output[0][whole.mask[0]].numpy()
    seen = fit.batch.mask[0][whole.mask[0]].numpy()
    dose_times = whole.inputs["dose_time"].ravel().numpy()
    points = np.unique(
        np.concatenate(
            [np.linspace(0.0, 1.1 * time.max(), 400), dose_times, dose_times[dose_times > 0] - 1e-6]
        )
    )
    points = points[points <= 1.1 * time.max()]
    forecast = fit.predict(time=points).isel(task=0)

    @styled
    def draw() -> Figure:
        drawing, place = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
        place.fill_between(
            points,
            forecast["lower"],
            forecast["upper"],
            color=PALETTE[0],
            alpha=0.18,
            lw=0,
            label="90 % of samples",
        )
        place.plot(points, forecast["median"], color=PALETTE[0], label="forecast")
        place.plot(points, forecast["prior"], color="#777777", ls="--", lw=1.0, label="before any sample")
        place.plot(time[seen], value[seen], "o", color="#222222", label="seen")
        place.plot(time[~seen], value[~seen], "o", mfc="white", color="#222222", label="came later")
        place.axhspan(_TARGET.low, _TARGET.high, color=PALETTE[2], alpha=0.10, lw=0)
        place.set_xlabel("time since the first dose (h)")
        place.set_ylabel("phenobarbital (mg/L)")
        place.set_ylim(0.0, None)
        place.legend(ncols=2)
        place.set_title(f"infant {infant}; shaded: target of troughs")
        return drawing

    return draw()


def main(folder: Path | None = None) -> None:
    """Print the tables and write the figure."""
    torch.set_num_threads(1)
    folder = folder or (Path(sys.argv[1]) if len(sys.argv) > 1 else Path("studies/phenobarbital"))
    folder.mkdir(parents=True, exist_ok=True)
    tasks = catalogue.dataset("phenobarbital")
    print("The next concentration, each infant left out (per cent; RMSE in mg/L)")
    print(forecasts(tasks).round(2).to_string())
    infant = "25"
    fit, advice = dose_for(tasks, infant)
    print(f"\nInfant {infant}, from two samples:\n{fit.summary()}\n\n{advice}")
    print(advice.table.round(2).to_string(index=False))
    save_figure(figure(fit, tasks, infant), folder / "phenobarbital.png", dpi=150)


if __name__ == "__main__":
    main()
