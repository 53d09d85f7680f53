"""Study: what to do with viral loads below the assay's limit. ``python -m metasci.studies.hiv [FOLDER]``.

In ACTG 315, 40 of 361 measurements lie below the limit of 100 copies/mL. Three ways to treat them are compared on the
same biphasic decay: as limits (M3), deleted, and as if half the limit had been measured. What each learns of the
second phase is held against the others, and each is asked to forecast the samples of patients it has not seen: how far
above the limit they are, and whether they are below.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from metasci import catalogue
from metasci.data.tasks import TaskSet
from metasci.evaluation.evaluate import held_out
from metasci.evaluation.protocol import Protocol, split_tasks
from metasci.fits.predictive import predictive
from metasci.meta import GaussianPrior
from metasci.patients.viral import viral_decay_biphasic
from metasci.priors.equation import Prior, meta_calibrate
from metasci.report.style import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["TREATMENTS", "figure", "forecasts", "learned", "treated"]

TREATMENTS = ("limits (M3)", "deleted", "half the limit")
_WEEKS = 12
_HALF = float(np.log10(50.0))  # of the assay's limit of 100 copies/mL
_PRIOR = GaussianPrior(correlated=False)


def treated(treatment: str, tasks: TaskSet) -> TaskSet:
    """The measurements with those below the limit treated in one of the three ways.

    Parameters
    ----------
    treatment : str
        One of `TREATMENTS`.
    tasks : TaskSet
        With those below the limit marked.
    """
    dataset = tasks.dataset.copy()
    name = tasks.card.output.name
    below = dataset[f"{name}_below"].values == 1.0
    if treatment == "limits (M3)":
        return tasks
    instead = np.nan if treatment == "deleted" else _HALF
    dataset[name] = dataset[name].where(~below, instead)
    return replace(tasks, dataset=dataset.drop_vars(f"{name}_below"))


def first_weeks(tasks: TaskSet, weeks: int = _WEEKS) -> TaskSet:
    """The measurements of the first weeks of therapy, in which few patients rebound."""
    dataset = tasks.dataset.copy()
    name = tasks.card.output.name
    early = dataset["time"].values <= 7.0 * weeks
    for measured in (name, f"{name}_below"):
        dataset[measured] = dataset[measured].where(early)
    return replace(tasks, dataset=dataset)


def learned(tasks: TaskSet) -> dict[str, Prior]:
    """A prior by each treatment."""
    return {
        kind: meta_calibrate(viral_decay_biphasic, treated(kind, tasks), _PRIOR, name=kind)
        for kind in TREATMENTS
    }


def population(priors: dict[str, Prior]) -> pd.DataFrame:
    """Typical values, spreads and noise of each prior."""
    rows = []
    for kind, prior in priors.items():
        typical = prior.model.parameters.to_physical(prior.state.mean.numpy())
        half_life = np.log(2.0) / float(typical["second_loss"])
        rows.append(
            {
                "treatment": kind,
                **{name: float(value) for name, value in typical.items()},
                "half-life of the second phase (day)": half_life,
                "noise (log10)": float(prior.state.log_noise.exp()[0]),
            }
        )
    return pd.DataFrame(rows).set_index("treatment")


def forecasts(tasks: TaskSet, shots: tuple[int, ...] = (2, 3, 4), folds: int = 5) -> pd.DataFrame:
    """Forecasts of patients left out, by each treatment of what is learned from and calibrated to.

    Judged on the same samples for all: the root mean square error where a value was measured, the mean probability
    given to 'below' where it was below and where it was not, and the mean log density, which counts both.
    """
    protocol = Protocol(support="first", query="following", shots=shots)
    whole = tasks.batch(viral_decay_biphasic)
    assert whole.censored is not None
    position = {name: at for at, name in enumerate(tasks.names)}
    rows = []
    for kind in TREATMENTS:
        own = treated(kind, tasks)
        prior = meta_calibrate(viral_decay_biphasic, own, _PRIOR)
        gathered: dict[int, list[Any]] = {k: [] for k in shots}
        for fold, left_out in held_out(prior, own, "patient", folds):
            index = torch.tensor([position[name] for name in left_out.names])
            truth, seen = whole.select(index), fold.batch(left_out)
            wide = torch.nn.functional.pad(seen.mask, (0, truth.mask.shape[1] - seen.mask.shape[1]))
            seen = replace(
                truth, output=_padded(seen.output, truth.output), censored=_padded(seen.censored, truth.mask)
            )
            for k in shots:
                split = split_tasks(truth.mask, k, protocol, 1)
                chosen, judged = seen.select(split.task), truth.select(split.task)
                adapted = fold.adapt(chosen.with_mask(split.support & wide[split.task]))
                forecast = predictive(fold.problem(judged.with_mask(split.query)), adapted)
                limit = replace(judged, output=torch.full_like(judged.output, 2.0)).with_mask(split.query)
                chance = predictive(fold.problem(limit), adapted).cumulative()
                below = judged.censored[split.query] if judged.censored is not None else torch.zeros(0)
                gathered[k].append(
                    torch.stack(
                        [
                            below.double(),
                            (judged.output - forecast.median)[split.query],
                            chance[split.query],
                            forecast.log_density()[split.query],
                        ]
                    )
                )
        for k, parts in gathered.items():
            is_below, error, chance, density = torch.cat(parts, 1).detach().numpy()
            low = is_below == 1.0
            rows.append(
                {
                    "treatment": kind,
                    "samples": k,
                    "RMSE (log10)": float(np.sqrt(np.mean(error[~low] ** 2))),
                    "P(below) where below": float(chance[low].mean()),
                    "P(below) where above": float(chance[~low].mean()),
                    "mean log density": float(density.mean()),
                }
            )
    return pd.DataFrame(rows).set_index(["samples", "treatment"])


def _padded(values: Any, like: Any) -> Any:
    """Values with the columns that the widest tasks have; nothing is censored where nobody says so."""
    if values is None:
        return torch.zeros_like(like)
    return torch.nn.functional.pad(values, (0, like.shape[1] - values.shape[1]))


def figure(tasks: TaskSet, priors: dict[str, Prior]) -> Figure:
    """The typical decay by each treatment over the measurements, and the patients with most below the limit."""
    import matplotlib.pyplot as plt

    from metasci.report.style import PALETTE, styled

    batch = tasks.batch(viral_decay_biphasic)
    assert batch.censored is not None
    most = (batch.censored & batch.mask).sum(1).argsort(descending=True, stable=True)[:3].tolist()
    days = np.linspace(0.0, 7.0 * _WEEKS, 200)

    @styled
    def draw() -> Figure:
        drawing, panels = plt.subplots(1, 4, figsize=(11.0, 3.2), sharey=True, layout="constrained")
        for panel, patient in zip(panels, [None, *most], strict=True):
            for colour, (kind, prior) in zip(PALETTE, priors.items(), strict=False):
                panel.plot(days, _decay(prior, kind, tasks, patient, days), color=colour, label=kind)
            _measurements(panel, batch, patient)
            panel.axhline(2.0, color="#999999", linewidth=0.8, linestyle=":")
            panel.set_title("typical patient" if patient is None else f"patient {tasks.names[patient]}")
            panel.set_xlabel("time on therapy (day)")
        panels[0].set_ylim(0.0, 6.8)
        panels[0].set_ylabel(viral_decay_biphasic.output.label)
        panels[0].legend(fontsize=7, title="below the limit:", title_fontsize=7)
        return drawing

    return draw()


def _decay(prior: Prior, kind: str, tasks: TaskSet, patient: int | None, days: Any) -> Any:
    """The typical patient's decay, or a patient's own."""
    if patient is None:
        return viral_decay_biphasic.at(prior.state.mean.numpy(), {"time": days})
    fit = prior.calibrate(treated(kind, tasks).select([tasks.names[patient]]))
    return fit.predict(time=days)["median"].values[0]


def _measurements(panel: Any, batch: Any, patient: int | None) -> None:
    """Measured values as dots, limits as open triangles that point down."""
    who = slice(None) if patient is None else slice(patient, patient + 1)
    time, value, mask, low = (
        batch.inputs["time"][who],
        batch.output[who],
        batch.mask[who],
        batch.censored[who],
    )
    size = 8 if patient is None else 22
    panel.scatter(time[mask & ~low], value[mask & ~low], s=size, color="#333333", zorder=3, linewidths=0)
    panel.scatter(
        time[mask & low],
        value[mask & low],
        s=size + 10,
        marker="v",
        facecolors="none",
        edgecolors="#333333",
        zorder=3,
    )


def main(folder: Path | None = None) -> None:
    """Print the tables and write the figure."""
    torch.set_num_threads(1)
    folder = folder or (Path(sys.argv[1]) if len(sys.argv) > 1 else Path("studies/hiv"))
    folder.mkdir(parents=True, exist_ok=True)
    tasks = first_weeks(catalogue.dataset("hiv_actg315", model=viral_decay_biphasic))
    priors = learned(tasks)
    table = population(priors)
    below = int(np.nansum(tasks.dataset[f"{tasks.card.output.name}_below"].values))
    print(f"ACTG 315, first {_WEEKS} weeks: {int(tasks.counts.sum())} measurements, {below} below the limit")
    print(table.round(3).T.to_string())
    print("\nForecasts of patients left out, on the samples that follow")
    print(forecasts(tasks).round(3).to_string())
    save_figure(figure(tasks, priors), folder / "hiv.png", dpi=150)


if __name__ == "__main__":
    main()
