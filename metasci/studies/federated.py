"""Study: hospitals that cannot share data. ``python -m metasci.studies.federated [FOLDER]`` (some minutes).

Four hospitals (coronary disease) and seventeen (the dose of warfarin) learn one prior and no row leaves them: by
sums, by gradients, by weights. What it costs in accuracy, bytes and a site's time, and what a site that dies or lies
does.
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

from metasci import catalogue
from metasci.data.frames import csv_bytes
from metasci.data.tasks import TaskSet
from metasci.federated.gradients import ByWeights
from metasci.federated.learning import (
    Answerer,
    Federated,
    Federation,
    Round,
    SideBySide,
    as_procedure,
    learn,
    reply,
)
from metasci.federated.messages import packed, unpacked
from metasci.federated.procedure import Site
from metasci.files import write_atomically
from metasci.fits.predictive import predictive
from metasci.meta import GaussianPrior
from metasci.meta.baselines import Pooled
from metasci.meta.methods import FOMAML, MAML, Reptile
from metasci.meta.problem import Problem
from metasci.patients import one_compartment_bolus
from metasci.priors.equation import Prior, meta_calibrate
from metasci.report.style import save_figure
from metasci.studies.baselines import sklearn_part
from metasci.studies.hospitals import FEATURES, coronary_disease, patients, tasks_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "LIES",
    "after_first",
    "by_hospital",
    "figure",
    "from_third_on",
    "hearts",
    "honest",
    "infants",
    "liars",
]

Floats = NDArray[np.float64]
_SPLITS = 2
_TEST = (
    0.34  # of each hospital's patients, as in the published benchmark (FLamby, du Terrail and others 2022)
)
_HEARTS = GaussianPrior(correlated=False, iterations=25, tolerance=1e-2)
_FED_AVG = ByWeights(Pooled(iterations=20), local_steps=5)


def by_hospital(tasks: TaskSet) -> dict[str, TaskSet]:
    """Each task as a site that has nothing else."""
    return {name: tasks.select([name]) for name in tasks.names}


def _split(frame: pd.DataFrame, seed: int) -> NDArray[np.bool_]:
    """Who judges: a third of each hospital's patients."""
    random = np.random.default_rng(seed)
    test = np.zeros(len(frame), bool)
    for _, rows in frame.groupby("hospital").indices.items():
        test[random.permutation(rows)[: round(_TEST * len(rows))]] = True
    return test


def _probabilities(prior: Prior, train: pd.DataFrame, test: pd.DataFrame) -> Floats:
    """Of the patients who judge, each hospital calibrated with its own patients."""
    both = pd.concat([train.assign(known=True), test.assign(known=False)], ignore_index=True)
    both = both.sort_values("hospital", kind="stable").reset_index(drop=True)
    batch = prior.batch(tasks_of(both.drop(columns="known"), prior.model))
    known = torch.zeros_like(batch.mask)
    for at, name in enumerate(batch.names):
        own = both.loc[both["hospital"] == name, "known"].to_numpy()
        known[at, : len(own)] = torch.as_tensor(own)
    adapted = prior.adapt(batch.with_mask(known))
    mean = predictive(Problem(prior.model, batch), adapted).mean  # type: ignore[union-attr]
    judged = batch.mask & ~known
    return np.concatenate([np.asarray(mean[at][judged[at]]) for at in range(len(batch))])


def hearts(frame: pd.DataFrame, splits: int = _SPLITS) -> pd.DataFrame:
    """Accuracy on a third of each hospital's patients, learned from the others, by way of learning."""
    logistic, rows = sklearn_part("linear_model").LogisticRegression, []
    for seed in range(splits):
        judged = _split(frame, seed)
        names = list(FEATURES)
        known = frame.loc[~judged, names]
        table = frame.assign(**((frame[names] - known.mean()) / known.std()).fillna(0.0))
        train, test = table[~judged], table[judged].sort_values("hospital", kind="stable")
        truth = test["disease"].to_numpy() > 0.5
        sites = by_hospital(tasks_of(train, coronary_disease))
        by_sums = learn(coronary_disease, sites, _HEARTS)
        in_one_place = learn(coronary_disease, {"all": tasks_of(train, coronary_disease)}, _HEARTS)
        averaged = learn(coronary_disease, sites, _FED_AVG)
        pooled = logistic(max_iter=1000).fit(train[names], train["disease"])
        alone = np.concatenate(
            [_alone(train[train["hospital"] == name], own) for name, own in test.groupby("hospital")]
        )
        ways = {
            "logistic regression, pooled": pooled.predict_proba(test[names])[:, 1],
            "logistic regression, each alone": alone,
            "Gaussian prior, in one place": _probabilities(in_one_place.prior, train, test),
            "Gaussian prior, by sums": _probabilities(by_sums.prior, train, test),
            "FedAvg": _probabilities(averaged.prior, train, test),
        }
        sent = {"Gaussian prior, by sums": by_sums, "FedAvg": averaged}
        for name, probability in ways.items():
            run = sent.get(name)
            rows.append(
                {
                    "method": name,
                    "split": seed,
                    "accuracy": float(((probability > 0.5) == truth).mean()),
                    "rounds": np.nan if run is None else len(run.rounds) - 1,
                    "kB a site": np.nan if run is None else _sent(run) / len(sites) / 1e3,
                }
            )
    return pd.DataFrame(rows)


def _alone(train: pd.DataFrame, test: pd.DataFrame) -> Floats:
    """A logistic regression of one hospital's patients; where all of them are ill, of that."""
    if train["disease"].nunique() < 2:
        return np.full(len(test), float(train["disease"].iloc[0]))
    fit = sklearn_part("linear_model").LogisticRegression(max_iter=1000)
    names = list(FEATURES)
    return np.asarray(fit.fit(train[names], train["disease"]).predict_proba(test[names])[:, 1])


def _sent(run: Federated) -> int:
    return sum(each.down + each.up for each in run.rounds)


def infants(rounds: tuple[int, ...] = (5, 20)) -> pd.DataFrame:
    """Error after one sample, bytes and a site's time by rounds: newborns under phenobarbital dealt to six clinics.

    A third of the infants judge, and are at no clinic. The clinics are made up; infants and samples are real.
    """
    tasks = catalogue.dataset("phenobarbital")
    tasks = tasks.select(tasks.counts > 1)
    at = np.arange(len(tasks))
    test, train = tasks.select(at % 3 == 0), tasks.select(at % 3 != 0)
    sites = {f"clinic {k}": train.select(np.arange(len(train)) % 6 == k) for k in range(6)}
    most = max(rounds)
    shared: dict[str, Any] = {"shots": (1, 2), "iterations": most}
    step: dict[str, Any] = {"steps": 3, "step_size": 0.1}
    ways: dict[str, Any] = {
        "Gaussian prior, sums": GaussianPrior(iterations=most, tolerance=0.0),
        "MAML, gradients": MAML(**step, **shared),
        "FOMAML, gradients": FOMAML(**step, **shared),
        "Reptile, gradients": Reptile(**step, **shared),
        "FedAvg, weights": ByWeights(_after_average(step, shared), local_steps=5),
        "Per-FedAvg, weights": ByWeights(FOMAML(**step, **shared), local_steps=5),
    }
    rows = []
    for name, way in ways.items():
        procedure = as_procedure(way)
        seen: dict[int, Any] = {}

        def look(state: Any, each: Round, seen: dict[int, Any] = seen) -> None:
            seen[each.number] = state

        run = learn(one_compartment_bolus, sites, procedure, covariates=("weight",), watch=look)
        seconds = float(np.median([np.mean(list(each.seconds.values())) for each in run.rounds[1:]]))
        each_way = run.rounds[1]
        for number in rounds:
            prior = Prior(
                run.prior.name,
                run.prior.model,
                run.prior.method,
                seen[min(number, max(seen))].state.lasting(),
                run.prior.covariates,
                run.prior.card,
                run.prior.training,
            )
            rows.append(
                {
                    "method": name,
                    "rounds": number,
                    "MDAPE": after_first(prior, test),
                    "bytes down": each_way.down // len(sites),
                    "bytes up": each_way.up // len(sites),
                    "site's ms": 1e3 * seconds,
                }
            )
    return pd.DataFrame(rows)


def _after_average(step: Mapping[str, Any], shared: Mapping[str, Any]) -> Any:
    from metasci.meta.baselines import FineTuning

    return FineTuning(**step, **shared)


def after_first(prior: Prior, test: TaskSet) -> float:
    """Median absolute error, per cent, of all later samples after the first one."""
    batch = prior.batch(test)
    first = torch.zeros_like(batch.mask)
    first[:, 0] = True
    adapted = prior.adapt(batch.with_mask(first))
    predicted = Problem(prior.model, batch).predict(adapted.coordinates)
    judged = batch.mask & ~first
    return float(100.0 * ((batch.output - predicted) / batch.output)[judged].abs().median())


def liars() -> pd.DataFrame:
    """By how much the prior of four hospitals is moved by one that dies or lies from the third round on."""
    frame = patients()
    names = list(FEATURES)
    table = frame.assign(**((frame[names] - frame[names].mean()) / frame[names].std()).fillna(0.0))
    sites = by_hospital(tasks_of(table, coronary_disease))
    procedure = as_procedure(replace(_HEARTS, iterations=6))
    expected = learn(coronary_disease, sites, procedure).prior.state
    spread = expected.covariance.diagonal().sqrt()
    rows = []
    for name, tell in LIES.items():
        answerers = {site: honest(procedure, Site(coronary_disease, own)) for site, own in sites.items()}
        answerers["Long Beach"] = from_third_on(answerers["Long Beach"], tell)
        state, rounds = Federation(SideBySide(answerers)).run(procedure, coronary_disease)
        moved = ((state.state.mean - expected.mean) / spread).abs().max()
        why = next((each.left_out["Long Beach"] for each in rounds if "Long Beach" in each.left_out), "")
        rows.append(
            {"Long Beach": name, "rounds": len(rounds) - 1, "moved by (sd)": float(moved), "said": why}
        )
    return pd.DataFrame(rows).set_index("Long Beach")


def honest(procedure: Any, site: Site) -> Answerer:
    """A site that answers as it should."""
    return lambda question, number: reply(procedure, site, question, number)


def from_third_on(answerer: Answerer, tell: Any) -> Answerer:
    """The same site, which from the third round on sends what `tell` makes of its answer."""

    def answered(question: bytes, number: int) -> bytes:
        answer = answerer(question, number)
        if number < 3:
            return answer
        changed: bytes = packed(tell(unpacked(answer)))
        return changed

    return answered


def _dead(told: Any) -> Any:
    raise ConnectionError("the line is dead")


LIES = {
    "is honest": lambda told: told,
    "dies": _dead,
    "sends NaN": lambda told: {**told, "across": told["across"] * torch.nan},
    "scales one sum by 100": lambda told: {**told, "across": 100.0 * told["across"]},
    "scales all sums by 100": lambda told: {name: 100.0 * value for name, value in told.items()},
    "moves all its estimates 30-fold": lambda told: {
        **told,
        "across": 30.0 * told["across"],
        "products": 900.0 * told["products"],
    },
    "moves all its estimates 3-fold": lambda told: {
        **told,
        "across": 3.0 * told["across"],
        "products": 9.0 * told["products"],
    },
}


def exactness() -> str:
    """By how much the prior of four clinics' sums differs from that of all infants in one place, in a sentence."""
    tasks = catalogue.dataset("phenobarbital")
    method = GaussianPrior(tolerance=1e-7, iterations=200)
    sites = {f"clinic {k}": tasks.select(np.arange(len(tasks)) % 4 == k) for k in range(4)}
    apart = learn(one_compartment_bolus, sites, method)
    together = meta_calibrate(one_compartment_bolus, tasks, method, covariates=())
    different = max(
        float((getattr(apart.prior.state, name) - getattr(together.state, name)).abs().max())
        for name in ("coefficients", "covariance", "log_noise")
    )
    return (
        f"phenobarbital, 59 infants in four clinics: {len(apart.rounds) - 1} rounds, greatest difference from learning "
        f"in one place {different:.1e}"
    )


def figure(table: pd.DataFrame) -> Figure:
    """Error against the bytes that a site has sent and received."""
    from matplotlib.figure import Figure

    from metasci.report.style import PALETTE, styled

    @styled
    def draw() -> Figure:
        drawing = Figure(figsize=(5.0, 3.2), layout="constrained")
        axes = drawing.subplots()
        for colour, (name, rows) in zip(PALETTE, table.groupby("method", sort=False), strict=False):
            sent = rows["rounds"] * (rows["bytes down"] + rows["bytes up"]) / 1e3
            axes.plot(sent, rows["MDAPE"], "o-", color=colour, label=name)
        axes.set(xscale="log", xlabel="kB to and from a clinic", ylabel="median error after one sample (%)")
        axes.legend(fontsize=7)
        return drawing

    return draw()


def main(out: Path) -> None:
    """Print the tables, and write them and the figure into a folder."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    of_hearts = hearts(patients())
    write_atomically(out / "hearts.csv", csv_bytes(of_hearts))
    print(f"\nFour hospitals, accuracy on a third of each one's patients, mean of {_SPLITS} splits")
    means = of_hearts.groupby("method", sort=False)[["accuracy", "rounds", "kB a site"]].mean()
    means.insert(1, "sd", of_hearts.groupby("method", sort=False)["accuracy"].std())
    print(means.round({"accuracy": 3, "sd": 3, "rounds": 0, "kB a site": 1}).to_string(na_rep=""))
    print("\nOne of the four dies or lies from the third round on")
    print(liars().round({"moved by (sd)": 3}).to_string())
    of_infants = infants()
    write_atomically(out / "infants.csv", csv_bytes(of_infants))
    print(
        "\nPhenobarbital, infants dealt to six clinics: error after one sample by rounds, bytes and ms a site and round"
    )
    wide = of_infants.pivot_table("MDAPE", "method", "rounds", sort=False)
    wide.columns = pd.Index([f"MDAPE, {number} rounds" for number in wide.columns])
    rest = of_infants.groupby("method", sort=False)[["bytes down", "bytes up", "site's ms"]].first()
    print(wide.join(rest).round(1).to_string())
    print(f"\n{exactness()}")
    save_figure(figure(of_infants), out / "federated.png", dpi=150)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("federated"))
