"""Study: sites as they are in the data. ``metasci study federated-sites`` (some fifteen minutes).

Twenty-four studies of propofol, seventeen sites of warfarin, four hospitals of coronary disease, and infants dealt
to six clinics that are made up: each learns its prior from sums that sites send, and the same iterations are made on
all tasks in one place. How far apart the results are, in how many bytes and seconds, and what a site that dies or
lies does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from metasci import catalogue
from metasci.data.frames import csv_bytes
from metasci.data.tasks import TaskSet
from metasci.federated.learning import Federation, SideBySide, as_procedure, learn
from metasci.federated.procedure import Site
from metasci.files import write_atomically
from metasci.meta import GaussianPrior
from metasci.model import Model
from metasci.noise import LogNormal
from metasci.patients import one_compartment_bolus
from metasci.priors.load import load
from metasci.studies import warfarin
from metasci.studies.federated import LIES, by_hospital, from_third_on, honest
from metasci.studies.hospitals import FEATURES, coronary_disease, patients, tasks_of

__all__ = ["SETTINGS", "Setting", "apart", "liars"]


@dataclass(frozen=True)
class Setting:
    """A model, sites with their tasks, and how the prior over tasks is learned.

    Attributes
    ----------
    model : Model
    sites : dict of str to TaskSet
    together : TaskSet
        All tasks.
    method : GaussianPrior
        Of so many iterations, whatever they have reached.
    covariates : tuple of str
    """

    model: Model
    sites: Mapping[str, TaskSet]
    together: TaskSet
    method: GaussianPrior
    covariates: tuple[str, ...] = ()


def _hearts() -> Setting:
    frame, names = patients(), list(FEATURES)
    table = frame.assign(**((frame[names] - frame[names].mean()) / frame[names].std()).fillna(0.0))
    tasks = tasks_of(table, coronary_disease)
    return Setting(coronary_disease, by_hospital(tasks), tasks, _fixed(6))


def _fixed(iterations: int) -> GaussianPrior:
    return GaussianPrior(correlated=False, iterations=iterations, tolerance=0.0)


def _phenobarbital() -> Setting:
    tasks = catalogue.dataset("phenobarbital")
    dealt = np.arange(len(tasks)) % 6
    sites = {f"clinic {k}": tasks.select(dealt == k) for k in range(6)}
    return Setting(one_compartment_bolus, sites, tasks, replace(_fixed(20), correlated=True), ("weight",))


def _warfarin() -> Setting:
    frame, model = warfarin.patients(), warfarin.model_of()
    tasks = warfarin.tasks_of(warfarin.standardised(frame, frame), model)
    return Setting(model, by_hospital(tasks), tasks, _fixed(20))


def _propofol() -> Setting:
    """The shipped recipe but for its noise: one scale for all, since sums stand in for no other."""
    shipped, tasks = load("propofol"), catalogue.dataset("propofol")
    study = np.array(tasks.groups("study"))
    sites = {f"study {name}": tasks.select(study == name) for name in sorted(set(study), key=int)}
    model = shipped.model.with_noise(LogNormal((0.2,)))
    return Setting(model, sites, tasks, _fixed(5), shipped.covariates.names)


SETTINGS: dict[str, Callable[[], Setting]] = {
    "hearts": _hearts,
    "phenobarbital": _phenobarbital,
    "warfarin": _warfarin,
    "propofol": _propofol,
}
"""What each data set's sites learn."""

_PARTS = ("coefficients", "covariance", "log_noise")


def apart(names: tuple[str, ...] = tuple(SETTINGS)) -> pd.DataFrame:
    """What sites learn by sums against the same iterations on all tasks in one place."""
    rows = {}
    for name in names:
        setting = SETTINGS[name]()
        by_sites = learn(setting.model, setting.sites, setting.method, covariates=setting.covariates)
        whole = learn(setting.model, {"all": setting.together}, setting.method, covariates=setting.covariates)
        difference = max(
            float((getattr(by_sites.prior.state, part) - getattr(whole.prior.state, part)).abs().max())
            for part in _PARTS
            if len(getattr(whole.prior.state, part))  # yes or no has no noise
        )
        count, rounds = len(setting.sites), by_sites.rounds[1:]
        rows[name] = {
            "sites": count,
            "tasks": len(setting.together),
            "rounds": len(rounds),
            "difference": difference,
            "bytes down": rounds[0].down // count,
            "bytes up": rounds[0].up // count,
            "site's ms": 1e3
            * float(np.median([value for each in rounds for value in each.seconds.values()])),
            "slowest site's s": float(np.median([max(each.seconds.values()) for each in rounds])),
            "s, in one place": float(np.median([each.seconds["all"] for each in whole.rounds[1:]])),
        }
    return pd.DataFrame(rows).T


def liars(name: str, liar: str) -> pd.DataFrame:
    """By how much one site that dies or lies from the third round on moves what all learn."""
    setting = SETTINGS[name]()
    procedure = as_procedure(replace(setting.method, iterations=6))
    expected = learn(setting.model, setting.sites, procedure, covariates=setting.covariates).prior.state
    spread = expected.covariance.diagonal().sqrt()
    rows = []
    for lie, tell in LIES.items():
        answerers = {
            site: honest(procedure, Site(setting.model, own, setting.covariates))
            for site, own in setting.sites.items()
        }
        answerers[liar] = from_third_on(answerers[liar], tell)
        state, rounds = Federation(SideBySide(answerers)).run(procedure, setting.model, setting.covariates)
        moved = ((state.state.mean - expected.mean) / spread).abs().max()
        said = next((each.left_out[liar] for each in rounds if liar in each.left_out), "")
        rows.append({liar: lie, "moved by (sd)": float(moved), "said": said})
    return pd.DataFrame(rows).set_index(liar)


def main(out: Path) -> None:
    """Print the tables, and write the first into a folder."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    table = apart()
    write_atomically(out / "sites.csv", csv_bytes(table.reset_index()))
    shown = table.astype(dict.fromkeys(("sites", "tasks", "rounds", "bytes down", "bytes up"), int))
    shown["difference"] = shown["difference"].map("{:.0e}".format)
    print("Sums that sites send, against the same iterations in one place")
    print(shown.round(2).to_string())
    print("\nWarfarin: the largest of seventeen sites dies or lies from the third round on")
    largest = max(SETTINGS["warfarin"]().sites.items(), key=lambda item: int(item[1].counts.sum()))[0]
    print(liars("warfarin", largest).round({"moved by (sd)": 3}).to_string())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("federated_sites"))
