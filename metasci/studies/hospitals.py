"""Study: hospitals as tasks. ``python -m metasci.studies.hospitals [FOLDER]`` (about a minute).

Coronary disease, yes or no, in four hospitals that differ in whom they see. Each is left out: a prior is learned from
the other three, and calibrated with 0, 5, 10 or 20 of its own patients; all later ones judge. The rivals are a logistic
regression and a forest of all patients pooled, to whom the same patients are added.
"""

from __future__ import annotations

import os
import sys
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
from metasci.evaluation.outcome_scores import area_under_curve, brier, calibration_error
from metasci.files import write_atomically
from metasci.fits.predictive import predictive
from metasci.meta import GaussianPrior
from metasci.meta.problem import Problem
from metasci.model import Model, Output, equation
from metasci.outcomes import Bernoulli
from metasci.parameters import Parameter
from metasci.priors.equation import Prior, meta_calibrate
from metasci.report.style import save_figure
from metasci.studies.baselines import sklearn_part

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "FEATURES",
    "SHOTS",
    "coronary_disease",
    "figure",
    "forecasts_of",
    "own_patients_alone",
    "patients",
    "scores",
    "tasks_of",
]

Floats = NDArray[np.float64]

SHOTS = (0, 5, 10, 20)
SEEDS = 10
FEATURES = (
    "age",
    "sex",
    "asymptomatic",
    "resting_blood_pressure",
    "cholesterol",
    "fasting_blood_sugar",
    "abnormal_ecg",
    "max_heart_rate",
    "exercise_angina",
    "st_depression",
)
_MISSING_ALMOST_EVERYWHERE = ("slope", "vessels", "thal")


@equation(
    inputs=dict.fromkeys(FEATURES, "1"),
    output=Output("disease", "1", "coronary disease"),
    parameters=(
        Parameter("log_odds", "1", 0.5, spread=1.0, description="of a patient who is ordinary in everything"),
        *(
            Parameter(f"of_{name}", "1", 0.0, spread=0.5, description="for one standard deviation")
            for name in FEATURES
        ),
    ),
    noise=Bernoulli(),
)
def coronary_disease(
    age: Any,
    sex: Any,
    asymptomatic: Any,
    resting_blood_pressure: Any,
    cholesterol: Any,
    fasting_blood_sugar: Any,
    abnormal_ecg: Any,
    max_heart_rate: Any,
    exercise_angina: Any,
    st_depression: Any,
    *,
    log_odds: Any,
    of_age: Any,
    of_sex: Any,
    of_asymptomatic: Any,
    of_resting_blood_pressure: Any,
    of_cholesterol: Any,
    of_fasting_blood_sugar: Any,
    of_abnormal_ecg: Any,
    of_max_heart_rate: Any,
    of_exercise_angina: Any,
    of_st_depression: Any,
) -> Any:
    """Log-odds of disease, linear in what is known of a patient, standardised over all but the hospital left out."""
    return (
        log_odds
        + of_age * age
        + of_sex * sex
        + of_asymptomatic * asymptomatic
        + of_resting_blood_pressure * resting_blood_pressure
        + of_cholesterol * cholesterol
        + of_fasting_blood_sugar * fasting_blood_sugar
        + of_abnormal_ecg * abnormal_ecg
        + of_max_heart_rate * max_heart_rate
        + of_exercise_angina * exercise_angina
        + of_st_depression * st_depression
    )


def patients(path: str | Path | None = None) -> pd.DataFrame:
    """The patients with nothing missing, but for three columns that are missing almost everywhere: 740 of 920.

    A cholesterol of zero, which all patients in Switzerland and a quarter in Long Beach have, was not measured: it is
    left empty here, and counts as ordinary.

    Parameters
    ----------
    path : path, optional
        ``heart_disease/heart_disease.csv`` under ``METASCI_DATA_DIR`` by default.
    """
    folder = os.environ.get("METASCI_DATA_DIR", "")
    file = Path(path) if path else Path(folder) / "heart_disease" / "heart_disease.csv"
    if not file.is_file():
        raise InputError(
            "the hospitals' data do not ship: set METASCI_DATA_DIR to the folder that holds heart_disease/."
        )
    whole = pd.read_csv(file).drop(columns=list(_MISSING_ALMOST_EVERYWHERE)).dropna()
    return whole.assign(
        asymptomatic=(whole["chest_pain"] == 4.0).astype(float),
        abnormal_ecg=(whole["resting_ecg"] > 0.0).astype(float),
        cholesterol=whole["cholesterol"].where(whole["cholesterol"] > 0.0),
        disease=(whole["disease"] > 0).astype(float),
    )[["hospital", *FEATURES, "disease"]].reset_index(drop=True)


def standardised(frame: pd.DataFrame, hospital: str) -> pd.DataFrame:
    """Features by mean and standard deviation of the other hospitals; what is not known is the mean."""
    others = frame.loc[frame["hospital"] != hospital, list(FEATURES)]
    return frame.assign(
        **{name: ((frame[name] - others[name].mean()) / others[name].std()).fillna(0.0) for name in FEATURES}
    )


def learned(frame: pd.DataFrame, model: Model = coronary_disease) -> Prior:
    """The prior of some hospitals."""
    # three hospitals tell little of how hospitals differ: the belief of a declared spread stays in, and the prior of
    # the next is wider for it
    method = GaussianPrior(objective="marginal", correlated=False)
    return meta_calibrate(model, tasks_of(frame, model), method, covariates=())


def tasks_of(frame: pd.DataFrame, model: Model) -> TaskSet:
    """Hospitals as tasks."""
    table = frame.rename(columns={"hospital": "task"})
    return TaskSet.from_frame(table, Card.from_model(model), model=model)


def forecasts_of(prior: Prior, here: pd.DataFrame, supports: list[NDArray[np.bool_]]) -> list[Floats]:
    """Probabilities of every patient, for each support."""
    batch = prior.batch(tasks_of(here, prior.model))
    forecasts = []
    for support in supports:
        adapted = prior.adapt(batch.with_mask(torch.as_tensor(support)[None]))
        forecasts.append(predictive(Problem(prior.model, batch), adapted).mean.numpy()[0])  # type: ignore[union-attr]
    return forecasts


def _rivals(
    train: pd.DataFrame, here: pd.DataFrame, supports: list[NDArray[np.bool_]]
) -> dict[str, list[Floats]]:
    """The same of pooled patients and those of the support; and of the support alone."""
    linear = sklearn_part("linear_model").LogisticRegression
    forest = sklearn_part("ensemble").RandomForestClassifier
    names = list(FEATURES)
    forecasts: dict[str, list[Floats]] = {}
    makers = {
        "pooled logistic regression": lambda: linear(C=1.0, max_iter=1000),
        "pooled forest": lambda: forest(100, min_samples_leaf=5, random_state=0),
    }
    for name, make in makers.items():
        forecasts[name] = []
        for support in supports:
            both = pd.concat([train, here[support]])
            fit = make().fit(both[names], both["disease"])
            forecasts[name].append(fit.predict_proba(here[names])[:, 1])
            if not support.any():  # nothing changes between draws of nobody
                forecasts[name] *= len(supports)
                break
    return forecasts


def scores(frame: pd.DataFrame, shots: tuple[int, ...] = SHOTS, seeds: int = SEEDS) -> pd.DataFrame:
    """AUC, log loss, Brier score and calibration error of every hospital left out; means over draws of the support.

    All draws judge by the patients that are in no support of the longest kind.
    """
    rows = []
    for hospital in dict.fromkeys(frame["hospital"]):
        table = standardised(frame, hospital)
        train, here = table[table["hospital"] != hospital], table[table["hospital"] == hospital]
        prior, truth = learned(train), here["disease"].to_numpy()
        orders = [np.random.default_rng(seed).permutation(len(here)) for seed in range(seeds)]
        queries = [order[max(shots) :] for order in orders]
        for k in shots:
            supports = [np.isin(np.arange(len(here)), order[:k]) for order in orders]
            ways = {
                "learned prior": forecasts_of(prior, here, supports),
                **_rivals(train, here, supports),
            }
            for name, forecasts in ways.items():
                each = [_figures(truth[q], p[q]) for p, q in zip(forecasts, queries, strict=True)]
                means = pd.DataFrame(each).mean()
                rows.append({"hospital": hospital, "shots": k, "method": name, **means.to_dict()})
    return pd.DataFrame(rows)


def own_patients_alone(frame: pd.DataFrame, repeats: int = 5) -> pd.DataFrame:
    """AUC of a logistic regression on a hospital's own patients, each fifth told from the others.

    It bounds what a few own patients can add. A hospital in which fewer than five are healthy, or ill, is left out.
    """
    linear = sklearn_part("linear_model").LogisticRegression
    folds = sklearn_part("model_selection").StratifiedKFold
    rows = []
    for hospital in dict.fromkeys(frame["hospital"]):
        here = standardised(frame, hospital).query("hospital == @hospital")
        features, truth = here[list(FEATURES)], here["disease"].to_numpy()
        if min(truth.sum(), (1.0 - truth).sum()) < 5:
            continue
        areas = []
        for seed in range(repeats):
            told = np.empty(len(here))
            for known, asked in folds(5, shuffle=True, random_state=seed).split(features, truth):
                fit = linear(C=0.1, max_iter=1000).fit(features.iloc[known], truth[known])
                told[asked] = fit.predict_proba(features.iloc[asked])[:, 1]
            areas.append(area_under_curve(truth, told))
        rows.append({"hospital": hospital, "patients": len(here), "ill": truth.mean(), "auc": np.mean(areas)})
    return pd.DataFrame(rows)


def _figures(yes: Floats, probability: Floats) -> dict[str, float]:
    p = np.clip(probability, 1e-6, 1.0 - 1e-6)  # a forest may be sure, and wrong
    return {
        "auc": area_under_curve(yes, p),
        "log_loss": float(-np.mean(yes * np.log(p) + (1.0 - yes) * np.log(1.0 - p))),
        "brier": brier(yes, p),
        "calibration_error": calibration_error(yes, p),
    }


def figure(table: pd.DataFrame) -> Figure:
    """Log loss against the number of a hospital's own patients, a panel for each hospital."""
    from matplotlib.figure import Figure

    from metasci.report.style import PALETTE, styled

    @styled
    def draw() -> Figure:
        hospitals = list(dict.fromkeys(table["hospital"]))
        drawing = Figure(figsize=(2.4 * len(hospitals), 2.6), layout="constrained")
        for axes, hospital in zip(
            drawing.subplots(1, len(hospitals), squeeze=False).flat, hospitals, strict=True
        ):
            for colour, (name, rows) in zip(
                PALETTE, table[table["hospital"] == hospital].groupby("method"), strict=False
            ):
                axes.plot(rows["shots"], rows["log_loss"], "o-", color=colour, markersize=3, label=name)
            axes.set(title=hospital, xlabel="own patients")
        drawing.axes[0].set_ylabel("log loss")
        drawing.legend(*drawing.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        return drawing

    return draw()


def main(out: Path) -> None:
    """Print the table, and write it and its figure into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    table = scores(patients())
    write_atomically(out / "hospitals.csv", csv_bytes(table))
    save_figure(figure(table), out / "hospitals.png", dpi=150)
    for name in ("auc", "log_loss", "calibration_error"):
        print(f"\n{name}\n{table.pivot_table(name, ['hospital', 'method'], 'shots').round(3).to_string()}")
    alone = own_patients_alone(patients()).round(3)
    print(f"\nauc of the hospital's own patients alone, cross-validated\n{alone.to_string(index=False)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("hospitals"))
