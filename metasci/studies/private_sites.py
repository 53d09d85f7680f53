"""Study: what it costs that nobody sees a site's answer. ``metasci study private-sites`` (some fifteen minutes).

Hospitals, clinics and studies learn together over Flower: their sums under masks (SecAgg+), or their weights under
noise (differential privacy with a clip that is fixed or adapts, by the server or by each site). What that costs in
digits, accuracy, bytes and time; and what a site does that dies or lies where nobody can look at its answer. Flower
has an environment of its own: ``make federated-test`` makes it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from metasci import catalogue
from metasci.data.frames import csv_bytes
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.federated.averaging import flat, unflat
from metasci.federated.gradients import ByWeights
from metasci.federated.guarded import Privacy, SecureSum, learn_guarded
from metasci.federated.learning import as_procedure, learn
from metasci.files import write_atomically
from metasci.meta.baselines import Pooled
from metasci.meta.methods import FOMAML
from metasci.model import Model
from metasci.patients import one_compartment_bolus
from metasci.priors.equation import Prior
from metasci.report.style import save_figure
from metasci.studies import federated as plain, warfarin
from metasci.studies.federated_sites import SETTINGS, Setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["figure", "liars", "masked", "noised"]

_ROUNDS, _DRAWS, _DELTA = 5, 2, 1e-3
_RANGE, _MOMENTS = 1e4, 1e7  # beyond all sums of the settings; rows and squared heights are the greatest
_SHORT, _LONG = 0.1, 0.5  # clips, of coordinates, whose spreads between tasks are declared as 0.5 and more


def masked(names: tuple[str, ...] = tuple(SETTINGS)) -> pd.DataFrame:
    """What masks change in what is learned, and what they cost."""
    rows = {}
    for name in names:
        setting = SETTINGS[name]()
        open_ = learn(setting.model, setting.sites, setting.method, covariates=setting.covariates)
        hidden = learn_guarded(
            setting.model,
            setting.sites,
            setting.method,
            SecureSum(_RANGE, _MOMENTS),
            setting.method.iterations,
            covariates=setting.covariates,
        )
        count, last = len(setting.sites), (open_.rounds[-1], hidden.rounds[-1])
        rows[name] = {
            "sites": count,
            "rounds": len(hidden.rounds) - 1,
            "moved by (sd)": _moved(hidden.prior, open_.prior),
            **{
                f"kB a site and round, {way}": (each.down + each.up) / count / 1e3
                for way, each in zip(("open", "masked"), last, strict=True)
            },
            **{
                f"ms, {way}": 1e3 * sum(each.seconds.values()) / count
                for way, each in zip(("open", "masked"), last, strict=True)
            },
        }
    return pd.DataFrame(rows).T


def _moved(prior: Prior, other: Prior) -> float:
    """How far the mean of one lies from the other's, in the greatest of its standard deviations between tasks."""
    spread = other.state.covariance.diagonal().sqrt()
    return float(((prior.state.coefficients - other.state.coefficients) / spread[:, None]).abs().max())


def liars(name: str = "hearts", liar: str = "Long Beach") -> pd.DataFrame:
    """By how much one that dies or lies from the third round on moves what is learned, where sums are masked."""
    setting = SETTINGS[name]()
    chosen = as_procedure(setting.method)
    expected = learn(setting.model, setting.sites, setting.method, covariates=setting.covariates).prior
    at, rounds = list(setting.sites).index(liar), setting.method.iterations
    rows = []
    for lie, tell in plain.LIES.items():
        change: Any = lambda site, number, vector: vector  # noqa: E731
        fails: Any = lambda site, messages: False  # noqa: E731
        if (
            lie == "dies"
        ):  # in the third round, after it has given its keys: four messages a round, and the introduction
            fails = lambda site, messages: site == at and messages >= 14  # noqa: E731
        elif lie != "is honest":
            change = _lying(chosen, setting, at, tell)
        said, moved = "", np.nan
        try:
            told = learn_guarded(
                setting.model,
                setting.sites,
                chosen,
                SecureSum(_RANGE, _MOMENTS),
                rounds,
                covariates=setting.covariates,
                fails=fails,
                change=change,
            )
            moved = _moved(told.prior, expected)
            said = next((each.left_out[liar] for each in told.rounds if liar in each.left_out), "")
        except InputError as error:
            said = f"learning stops: {error}"
        rows.append({liar: lie, "moved by (sd)": moved, "said": said})
    return pd.DataFrame(rows).set_index(liar)


def _lying(procedure: Any, setting: Setting, at: int, tell: Callable[[Any], Any]) -> Any:
    size, wide = len(setting.model.parameters), 1 + len(setting.covariates)
    shapes = procedure.shapes({"coefficients": torch.zeros(size, wide)})

    def change(site: int, number: int, vector: Any) -> Any:
        return flat(tell(unflat(vector, shapes))) if site == at and number >= 3 else vector

    return change


@dataclass(frozen=True)
class Judged:
    """Sites that learn weights, and the error of what they learned on patients of none of them.

    Attributes
    ----------
    model : Model
    sites : dict of str to TaskSet
    procedure : ByWeights
    error : callable
        Of a prior.
    """

    model: Model
    sites: Mapping[str, TaskSet]
    procedure: ByWeights
    error: Callable[[Prior], float]


def _infants(clinics: int) -> Judged:
    """Newborns under phenobarbital, dealt to clinics that are made up; a third of them judge."""
    tasks = catalogue.dataset("phenobarbital")
    tasks = tasks.select(tasks.counts > 1)
    at = np.arange(len(tasks))
    test, train = tasks.select(at % 3 == 0), tasks.select(at % 3 != 0)
    dealt = np.arange(len(train)) % clinics
    sites = {f"clinic {k}": train.select(dealt == k) for k in range(clinics)}
    method = FOMAML(steps=3, step_size=0.1, shots=(1, 2), iterations=_ROUNDS)
    return Judged(
        one_compartment_bolus,
        sites,
        ByWeights(method, local_steps=5),
        lambda prior: plain.after_first(prior, test),
    )


def _doses(clinics: int | None) -> Judged:
    """Patients under warfarin at their sites, or dealt to clinics that are made up; a third of each site's judge."""
    frame, model, random = warfarin.patients(), warfarin.model_of(), np.random.default_rng(0)
    test = np.zeros(len(frame), bool)
    for rows in frame.groupby("site").indices.values():
        test[random.permutation(rows)[: len(rows) // 3]] = True
    table = warfarin.standardised(frame, frame[~test])
    known, judged = table[~test], table[test]
    if clinics is not None:
        known = known.assign(site=[f"clinic {k:04d}" for k in random.permutation(len(known)) % clinics])

    def error(prior: Prior) -> float:
        own = prior.model.parameters.to_physical(prior.state.mean.numpy())
        root = own["level"] + sum(own[f"of_{name}"] * judged[name] for name in warfarin.FEATURES)
        return float((root**2 - judged["dose"]).abs().mean())

    sites = plain.by_hospital(warfarin.tasks_of(known, model))
    return Judged(model, sites, ByWeights(Pooled(iterations=_ROUNDS), local_steps=10), error)


_JUDGED: dict[str, Callable[[], Judged]] = {
    "phenobarbital, 6 clinics": lambda: _infants(6),
    "phenobarbital, each infant a site": lambda: _infants(33),
    "warfarin, 17 sites": lambda: _doses(None),
    "warfarin, 100 made-up clinics": lambda: _doses(100),
}
_NOISES = (1.0, 4.0)
_WAYS: dict[str, dict[str, Any]] = {
    f"clip {_SHORT:g}": {"clip": _SHORT},
    f"clip {_LONG:g}": {"clip": _LONG},
    f"clip that adapts, from {_SHORT:g}": {"clip": _SHORT, "clipping": "adaptive"},
    f"each site's own noise, clip {_SHORT:g}": {"clip": _SHORT, "noised_by": "site"},
}


def noised(names: tuple[str, ...] = tuple(_JUDGED), draws: int = _DRAWS) -> pd.DataFrame:
    """The error of weights that were learned under noise, means over draws of it, by what the noise promises."""
    rows = []
    for name in names:
        problem = _JUDGED[name]()

        def error(privacy: Privacy, problem: Judged = problem) -> float:
            found = learn_guarded(problem.model, problem.sites, problem.procedure, privacy, _ROUNDS)
            return problem.error(found.prior)

        rows.append((name, "nothing learned", 0.0, problem.error(_typical(problem))))
        rows.append((name, "no clip, no noise", np.inf, error(Privacy(1e6, 0.0))))
        for clip in (_SHORT, _LONG):
            rows.append((name, f"clip {clip:g}", np.inf, error(Privacy(clip, 0.0))))
        for noise in _NOISES:
            for way, options in _WAYS.items():
                several = [error(Privacy(noise=noise, seed=draw, **options)) for draw in range(draws)]
                epsilon = Privacy(noise=noise).epsilon(_ROUNDS, _DELTA)
                rows.append((name, way, epsilon, float(np.mean(several))))
    return pd.DataFrame(rows, columns=["data", "way", "epsilon", "error"])


def _typical(problem: Judged) -> Prior:
    """The declared typical values, of which nothing was learned."""
    method = replace(problem.procedure.method, iterations=1, learning_rate=1e-12)
    return learn(problem.model, problem.sites, ByWeights(method, local_steps=1)).prior


def figure(table: pd.DataFrame) -> Figure:
    """Error against what the noise promises, a panel for each way of dealing patients to sites."""
    from matplotlib.figure import Figure

    from metasci.report.style import PALETTE, styled

    @styled
    def draw() -> Figure:
        names = list(table["data"].unique())
        drawing = Figure(figsize=(2.5 * len(names), 3.6), layout="constrained")
        panels = drawing.subplots(1, len(names), squeeze=False)[0]
        for axes, name in zip(panels, names, strict=True):
            rows = table[table["data"] == name].set_index("way")
            for way, style in (("nothing learned", ":"), ("no clip, no noise", "-")):
                axes.axhline(rows.loc[way, "error"], color="#777777", linestyle=style, label=way)
            for colour, way in zip(PALETTE, _WAYS, strict=False):
                of = rows.loc[[way]]
                of = of[np.isfinite(of["epsilon"])]
                axes.plot(of["epsilon"], of["error"], "o-", color=colour, label=way)
            axes.set(title=name.replace(", ", "\n"), xlabel="ε")
            ticks = sorted(
                table["epsilon"][np.isfinite(table["epsilon"]) & (table["epsilon"] > 0.0)].unique()
            )
            axes.set_xticks(ticks, [f"{tick:.1f}" for tick in ticks])
            axes.set_xlim(0.0, 1.15 * ticks[-1])
        panels[0].set_ylabel("error (%, or mg a week)")
        drawing.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        return drawing

    return draw()


def main(out: Path) -> None:
    """Print the tables, and write them and the figure into a folder."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    print("Sums under masks (SecAgg+): what is learned, bytes and a site's time")
    print(_written(masked(), out / "masked.csv").to_string())
    print("\nHearts under masks: one of the four dies or lies from the third round on")
    with pd.option_context("display.max_colwidth", 110):
        print(liars().round({"moved by (sd)": 3}).to_string())
    table = noised()
    write_atomically(out / "noised.csv", csv_bytes(table))
    print(
        f"\nWeights under noise, {_ROUNDS} rounds, δ = {_DELTA:g}, a whole site hidden, mean of {_DRAWS} draws"
    )
    print("(median error after one sample, %; mean absolute error of a week's dose, mg)")
    wide = table.pivot_table("error", ["way", "epsilon"], "data", sort=False)
    print(wide.round(2).rename(index=lambda value: round(value, 1), level="epsilon").to_string())
    save_figure(figure(table), out / "private-sites.png", dpi=150)


def _written(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    write_atomically(path, csv_bytes(table.reset_index()))
    shown = table.astype({"sites": int, "rounds": int})
    shown["moved by (sd)"] = shown["moved by (sd)"].map("{:.0e}".format)
    return shown.round(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("private_sites"))
