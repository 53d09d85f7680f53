"""Warfarin: what all studies of its dose share, and the study of sites that are left out.

``python -m metasci.studies.warfarin [FOLDER]`` (some minutes).

The International Warfarin Pharmacogenetics Consortium (N Engl J Med 360 (2009) 753) found the square root of the weekly
dose linear in what is known of a patient, and published a formula. Here a site is a task: the formula's coefficients
are parameters with a prior over sites, and a new site is calibrated with some of its patients.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from metasci.data.cards import Card
from metasci.data.frames import csv_bytes
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.federated.learning import learn
from metasci.federated.procedure import Site
from metasci.federated.statistics import ByStatistics
from metasci.files import State, write_atomically
from metasci.fits.predictive import predictive
from metasci.meta import GaussianPrior
from metasci.meta.problem import Problem
from metasci.model import Input, Model, Output
from metasci.noise import Additive
from metasci.parameters import Parameter, ParameterSpace
from metasci.priors.equation import Prior
from metasci.report.style import save_figure
from metasci.studies.baselines import sklearn_part

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "CLINICAL",
    "FEATURES",
    "forecast",
    "learned",
    "model_of",
    "patients",
    "published_dose",
    "tasks_of",
]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
SHOTS, SEEDS = (0, 5, 10, 20), 5
LEARNED, WITHOUT_RACE = "learned prior", "learned prior, without race"
# coefficients are few and sites seventeen: their spreads are learned, and no correlations between them
METHOD = GaussianPrior(correlated=False, iterations=300, tolerance=1e-3)

_ONE = "one"  # an input that is 1 for every patient; rows that stand for many have other numbers
# of the published formula, √(mg a week); supplementary appendix, section S1e
PUBLISHED = {
    "age": -0.2614,
    "height": 0.0087,
    "weight": 0.0128,
    "vkorc1_ag": -0.8677,
    "vkorc1_aa": -1.6974,
    "vkorc1_unknown": -0.4854,
    "cyp2c9_12": -0.5211,
    "cyp2c9_13": -0.9357,
    "cyp2c9_22": -1.0616,
    "cyp2c9_23": -1.9206,
    "cyp2c9_33": -2.3312,
    "cyp2c9_unknown": -0.2188,
    "asian": -0.1092,
    "black": -0.2760,
    "race_unknown": -0.1032,
    "inducer": 1.1816,
    "amiodarone": -0.5503,
}
INTERCEPT = 5.6044
FEATURES = tuple(PUBLISHED)
RACE = ("asian", "black", "race_unknown")
FURTHER = (
    "male",
    "smoker",
    "aspirin",
    "diabetes",
    "valve_replacement",
    "heart_failure",
    "target_inr",
)
"""What else is known beforehand, which the formula does not use; empty where nobody says."""
CLINICAL = tuple(name for name in FEATURES if name not in RACE)
"""The formula's features without race."""


def patients(path: str | Path | None = None) -> pd.DataFrame:
    """Patients with a stable dose and an age, with the formula's features; a missing height or weight is the
    site's mean.

    Parameters
    ----------
    path : path, optional
        ``iwpc_warfarin/iwpc_warfarin.csv`` under ``METASCI_DATA_DIR`` by default.
    """
    folder = os.environ.get("METASCI_DATA_DIR", "")
    file = Path(path) if path else Path(folder) / "iwpc_warfarin" / "iwpc_warfarin.csv"
    if not file.is_file():
        raise InputError(
            "warfarin's data do not ship: set METASCI_DATA_DIR to the folder that holds iwpc_warfarin/."
        )
    frame = pd.read_csv(file)
    frame = frame[(frame["stable"] == 1) & frame["age_decade"].notna()].reset_index(drop=True)
    for name in ("height_cm", "weight_kg"):
        of_site = frame.groupby(["site", "sex"])[name].transform("mean")
        frame[name] = frame[name].fillna(of_site).fillna(frame[name].mean())
    vkorc1, cyp2c9, race = frame["vkorc1_1639"], frame["cyp2c9"], frame["race"]
    inducers = frame[["carbamazepine", "phenytoin", "rifampin"]].fillna(0.0).max(axis=1)
    known = ("*1/*1", "*1/*2", "*1/*3", "*2/*2", "*2/*3", "*3/*3")
    features = {
        "age": frame["age_decade"].str[:1].astype(float),
        "height": frame["height_cm"],
        "weight": frame["weight_kg"],
        "vkorc1_ag": vkorc1 == "A/G",
        "vkorc1_aa": vkorc1 == "A/A",
        "vkorc1_unknown": vkorc1.isna(),
        **{f"cyp2c9_{each[1]}{each[4]}": cyp2c9 == each for each in known[1:]},
        "cyp2c9_unknown": ~cyp2c9.isin(known),
        "asian": race == "Asian",
        "black": race == "Black or African American",
        "race_unknown": race == "Unknown",
        "inducer": inducers,
        "amiodarone": frame["amiodarone"].fillna(0.0),
    }
    told = pd.DataFrame({name: np.asarray(values, float) for name, values in features.items()})
    about = pd.DataFrame(
        {
            "site": "site " + frame["site"].astype(str),
            "race": race.replace("Black or African American", "Black"),
            "sex": frame["sex"],
            "dose": frame["dose_mg_per_week"],
            "root_dose": np.sqrt(frame["dose_mg_per_week"]),
            "genotypes_known": vkorc1.notna() & cyp2c9.notna(),
            "male": frame["sex"] == "male",
            **{name: frame[name] for name in FURTHER[1:]},
        }
    )
    return pd.concat([about, told], axis=1)


def published_dose(frame: pd.DataFrame) -> Floats:
    """What the published formula, which was fitted to most of these patients, says, mg a week."""
    root = INTERCEPT + sum(coefficient * frame[name] for name, coefficient in PUBLISHED.items())
    return np.asarray(root, float) ** 2


@dataclass(frozen=True)
class _Formula:
    """A level, and a coefficient for each feature, as a function of keywords."""

    features: tuple[str, ...]

    def __call__(self, **values: Any) -> Any:
        total = values["level"] * values[_ONE]
        for name in self.features:
            total = total + values[f"of_{name}"] * values[name]
        return total


def model_of(features: Sequence[str] = FEATURES) -> Model:
    """√dose of patients, linear in features that are standardised.

    Examples
    --------
    >>> model_of(("age", "weight")).parameters.names
    ('level', 'of_age', 'of_weight')
    """
    coefficients = [
        Parameter(f"of_{name}", "1", 0.0, spread=0.5, description="for one standard deviation")
        for name in features
    ]
    return Model(
        name="studies.warfarin",
        function=_Formula(tuple(features)),
        inputs={name: Input("1") for name in (_ONE, *features)},
        output=Output("root_dose", "1", "square root of the weekly dose (mg)"),
        parameters=ParameterSpace(
            (Parameter("level", "1", 5.5, spread=1.0, description="of an ordinary patient"), *coefficients)
        ),
        noise=Additive((1.0,)),
        description="Square root of the weekly dose, linear in what is known of a patient (IWPC 2009).",
    )


def standardised(frame: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Features by mean and standard deviation of patients that are learned from; what does not vary there is zero."""
    names = list(FEATURES)
    spread = others[names].std()
    return frame.assign(
        **{n: (frame[n] - others[n].mean()) / (spread[n] if spread[n] > 0.0 else 1.0) for n in names}
    )


def tasks_of(frame: pd.DataFrame, model: Model, task: str = "site") -> TaskSet:
    """Sites, or other groups, as tasks."""
    table = frame.assign(**{_ONE: 1.0})[[task, *model.inputs, "root_dose"]].rename(columns={task: "task"})
    return _task_set(table.sort_values("task", kind="stable"), model)


def _task_set(table: pd.DataFrame, model: Model) -> TaskSet:
    card = replace(Card.from_model(model), compilation=True, name="iwpc_warfarin")
    return TaskSet.from_frame(table, card, model=model)


def condensed(frame: pd.DataFrame, model: Model, task: str = "site") -> TaskSet:
    """Each site's patients as a few rows that say as much of a linear model: R of [1 X y] = QR.

    A model linear in its parameters, with one noise for all, has the same likelihood for all Q, so that learning from
    hundreds of patients of a site takes no longer than from twenty.
    """
    names = list(model.inputs)
    parts = []
    for label, own in frame.assign(**{_ONE: 1.0}).groupby(task, sort=True):
        triangle = np.linalg.qr(own[[*names, "root_dose"]].to_numpy(), mode="r")
        parts.append(pd.DataFrame(triangle, columns=[*names, "root_dose"]).assign(task=str(label)))
    return _task_set(pd.concat(parts), model)


@dataclass(frozen=True)
class OfCondensed(ByStatistics):
    """Learning from the sums of rows that stand for more patients than they are.

    Parameters
    ----------
    patients : int
    """

    patients: int = 0

    def answer(self, site: Site, question: State, number: int) -> State:
        answer = super().answer(site, question, number)
        return {**answer, "measurements": answer["measurements"].new_tensor(float(self.patients))}


def learned(frame: pd.DataFrame, model: Model, method: GaussianPrior = METHOD, task: str = "site") -> Prior:
    """The prior of some sites, whose features are standardised."""
    procedure = OfCondensed(method, patients=len(frame))
    return learn(model, {"all": condensed(frame, model, task)}, procedure, name="iwpc_warfarin").prior


@dataclass(frozen=True)
class Forecasts:
    """Of all patients of a site, (support, patient), mg a week."""

    median: Floats
    lower: Floats
    upper: Floats


def forecast(prior: Prior, here: pd.DataFrame, supports: Bools) -> Forecasts:
    """Doses of a site's patients after some of them, (support, patient) of bool, are known."""
    model = prior.model
    batch = prior.batch(tasks_of(here.assign(site="here"), model))
    rows = torch.zeros(len(supports), dtype=torch.long)
    many, known = batch.select(rows), torch.as_tensor(np.asarray(supports, bool))
    adapted = prior.adapt(many.trimmed(known))
    whole = predictive(Problem(model, many), adapted)
    lower, upper = whole.interval(0.9)
    median = whole.median
    return Forecasts(*(np.clip(np.asarray(each), 0.0, None) ** 2 for each in (median, lower, upper)))


def supports_of(count: int, shots: int, seeds: int = SEEDS) -> tuple[Bools, Bools]:
    """Who is known, and who judges (those in no support of the largest number), (seed, patient) of bool."""
    orders = [np.random.default_rng(seed).permutation(count) for seed in range(seeds)]
    known = np.stack([np.isin(np.arange(count), order[:shots]) for order in orders])
    judged = np.stack([~np.isin(np.arange(count), order[: max(SHOTS)]) for order in orders])
    return known, judged


def ridge(train: pd.DataFrame, here: pd.DataFrame) -> Floats:
    """√dose by ridge regression of all patients pooled, its strength chosen by leaving patients out."""
    fit = sklearn_part("linear_model").RidgeCV(alphas=np.logspace(-1, 3, 9))
    names = list(FEATURES)
    fit.fit(train[names], train["root_dose"])
    return np.asarray(fit.predict(here[names]))


def shifted(root: Floats, truth: Floats, known: Bools, between: float, within: float) -> Floats:
    """√dose moved by what a site's known patients are off, shrunken by how sites differ, (support, patient)."""
    off = np.where(known, truth - root, 0.0).sum(1)
    return root + (off / (known.sum(1) + within / max(between, 1e-12)))[:, None]


def site_variances(train: pd.DataFrame) -> tuple[float, float]:
    """Of √dose's residuals between sites and within, each site's from ridge regression of the others."""
    residuals = []
    for site, own in train.groupby("site"):
        residuals.append(own["root_dose"].to_numpy() - ridge(train[train["site"] != site], own))
    within = float(
        np.average([each.var(ddof=1) for each in residuals], weights=[len(each) for each in residuals])
    )
    raw = np.mean([each.mean() ** 2 - within / len(each) for each in residuals])
    return max(float(raw), 1e-6), within


def forecasts(frame: pd.DataFrame, shots: Sequence[int] = SHOTS, seeds: int = SEEDS) -> pd.DataFrame:
    """Every patient's dose, with the site left out, after some of the site's other patients are known.

    Returns
    -------
    DataFrame
        A row for each method, number of patients known, draw of them, and patient in none of these draws.
    """
    with_race, without, parts = model_of(), model_of(CLINICAL), []
    for site in dict.fromkeys(frame["site"]):
        out = frame["site"] == site
        table = standardised(frame, frame[~out])
        train, here = table[~out], table[out].reset_index(drop=True)
        priors = {LEARNED: learned(train, with_race), WITHOUT_RACE: learned(train, without)}
        between, within = site_variances(train)
        root, empty = ridge(train, here), np.full(len(here), np.nan)
        for count in shots:
            known, judged = supports_of(len(here), count, seeds)
            ways = {name: forecast(prior, here, known) for name, prior in priors.items()}
            moved = shifted(root, here["root_dose"].to_numpy(), known, between, within)
            plain = {
                "ridge, all pooled": np.broadcast_to(root, known.shape),
                "ridge and a shrunken offset": moved,
                "published formula": np.broadcast_to(np.sqrt(published_dose(frame[out])), known.shape),
            }
            nothing = np.broadcast_to(empty, known.shape)
            ways |= {
                name: Forecasts(np.clip(each, 0.0, None) ** 2, nothing, nothing)
                for name, each in plain.items()
            }
            for name, own in ways.items():
                for seed, of_draw in enumerate(judged):
                    columns = {
                        "predicted": own.median[seed],
                        "lower": own.lower[seed],
                        "upper": own.upper[seed],
                    }
                    told = here[["site", "race", "sex", "dose"]].assign(**columns)[of_draw]
                    parts.append(told.assign(method=name, known=count, seed=seed))
    return pd.concat(parts, ignore_index=True)


def by_site(table: pd.DataFrame) -> pd.DataFrame:
    """Absolute error and coverage of each site."""
    judged = table.assign(
        mae=(table["predicted"] - table["dose"]).abs(),
        covered=((table["lower"] <= table["dose"]) & (table["dose"] <= table["upper"])).where(
            table["lower"].notna()
        ),
    )
    grouped = judged.groupby(["method", "known", "site"])
    means = grouped[["mae", "covered"]].mean()
    return means.assign(n=grouped.size()).reset_index()


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over sites and over patients, by method and number of patients known."""

    def row(part: pd.DataFrame) -> pd.Series[float]:
        return pd.Series(
            {
                "mean over sites": part["mae"].mean(),
                "over patients": np.average(part["mae"], weights=part["n"]),
                "worst site": part["mae"].max(),
                "90 % covers": 100.0 * part["covered"].astype(float).mean(),
            }
        )

    return pd.DataFrame({key: row(part) for key, part in table.groupby(["method", "known"])}).T.rename_axis(
        ["method", "known"]
    )


def figure(table: pd.DataFrame) -> Figure:
    """Error against patients known, the mean over sites."""
    from matplotlib.figure import Figure

    from metasci.report.style import PALETTE, styled

    @styled
    def draw() -> Figure:
        drawing = Figure(figsize=(5.0, 3.2), layout="constrained")
        axes = drawing.subplots()
        for colour, (name, rows) in zip(PALETTE, table.groupby("method"), strict=False):
            means = rows.groupby("known")["mae"].mean()
            axes.plot(means.index, means, "o-", color=colour, label=name)
        axes.set(xlabel="patients known of the site", ylabel="absolute error (mg a week), mean over sites")
        axes.legend(fontsize=7)
        return drawing

    return draw()


def main(out: Path) -> None:
    """Print the tables, and write them and the figure into a folder."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    frame = patients()
    print(f"{len(frame)} patients with a stable dose and an age, of {frame['site'].nunique()} sites")
    whole = forecasts(frame)
    write_atomically(out / "forecasts.csv", csv_bytes(whole))
    table = by_site(whole)
    save_figure(figure(table), out / "warfarin.png", dpi=150)
    print("\nA site left out at a time: absolute error, mg a week, by patients known of it")
    print(summary(table).round(2).to_string(na_rep=""))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("warfarin"))
