"""Study: a clinic unlike the others. ``python -m metasci.studies.unlike_sites [FOLDER]`` (some minutes).

Each clinic is left out, and asked before it is calibrated: is it unlike those learned from?
`metasci.diagnostics.unlike` gives a p-value, which is held against how wrong the doses and diagnoses of the clinic
were, before any of its patients was known.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from metasci.data.frames import csv_bytes
from metasci.data.tasks import TaskSet
from metasci.diagnostics.outsiders import unlike
from metasci.diagnostics.simulated import simulated_tasks
from metasci.federated.learning import learn
from metasci.files import write_atomically
from metasci.meta import GaussianPrior
from metasci.model import Model, equation
from metasci.parameters import Parameter
from metasci.priors.equation import meta_calibrate
from metasci.studies import hospitals, warfarin

__all__ = ["size", "wards", "warfarins"]

_HEARTS = GaussianPrior(correlated=False, iterations=25, tolerance=1e-2)
_KNOWN = 50  # patients of a clinic that the question is asked of


@equation(
    inputs={"x": "1"},
    output=("y", "1"),
    parameters=(Parameter("level", "1", 0.0, spread=1.0), Parameter("slope", "1", 0.0, spread=1.0)),
    name="studies.straight_line",
)
def straight_line(x: Any, *, level: Any, slope: Any) -> Any:
    """A straight line."""
    return level + slope * x


def size(learned_from: int, tries: int = 25, asked: int = 40) -> pd.Series[float]:
    """Share of p-values below 1, 5, 10 and 50 % where tasks are of one kind (simulated).

    Parameters
    ----------
    learned_from : int
        Tasks that teach each prior.
    tries : int
        Priors, each learned from tasks of its own.
    asked : int
        Further tasks that each is asked of.
    """
    found = []
    for seed in range(tries):
        random = np.random.default_rng(seed)
        level, slope = random.normal(0.0, [[0.8], [0.4]], (2, learned_from + asked))
        tasks = _lines(level, slope, seed)
        method = GaussianPrior()
        prior = meta_calibrate(straight_line, tasks.select(slice(0, learned_from)), method)
        found.append(unlike(prior, tasks.select(slice(learned_from, None)))["p_parameters"].values)
    p = np.concatenate(found)
    return pd.Series(
        {f"below {100 * level:g} %": float((p < level).mean()) for level in (0.01, 0.05, 0.1, 0.5)}
    )


def _lines(level: np.ndarray, slope: np.ndarray, seed: int) -> TaskSet:
    model: Model = straight_line
    return simulated_tasks(
        model, {"level": level, "slope": slope}, {"x": np.linspace(-1.0, 1.0, 6)}, seed=seed
    )


def warfarins() -> pd.DataFrame:
    """p-value of every site left out, of fifty of its patients, and the doses' error before any is known."""
    frame, model, rows = warfarin.patients(), warfarin.model_of(), []
    for site in dict.fromkeys(frame["site"]):
        out = frame["site"] == site
        table = warfarin.standardised(frame, frame[~out])
        here = table[out].reset_index(drop=True)
        prior = warfarin.learned(table[~out], model)
        chosen = np.random.default_rng(0).permutation(len(here))[:_KNOWN]
        found = unlike(prior, warfarin.tasks_of(here.iloc[np.sort(chosen)], model))
        nobody = np.zeros((1, len(here)), bool)
        median = warfarin.forecast(prior, here, nobody).median[0]
        rows.append({"clinic": site, **_told(found), "error": float(np.abs(median - here["dose"]).mean())})
    return pd.DataFrame(rows).set_index("clinic").sort_values("p, parameters")


def _told(found: xr.Dataset) -> dict[str, float]:
    columns = {"p, parameters": "p_parameters", "p, scatter": "p_scatter", "distance": "distance"}
    return {name: float(found[of].values[0]) for name, of in columns.items()}


def wards() -> pd.DataFrame:
    """The same of four hospitals and coronary disease; the error is that of the answer, in per cent."""
    frame, model, rows = hospitals.patients(), hospitals.coronary_disease, []
    for name in dict.fromkeys(frame["hospital"]):
        table = hospitals.standardised(frame, name)
        train, here = table[table["hospital"] != name], table[table["hospital"] == name]
        prior = learn(model, {"all": hospitals.tasks_of(train, model)}, _HEARTS).prior
        tasks = hospitals.tasks_of(here, model)
        chance = hospitals.forecasts_of(prior, here, [np.zeros(len(here), bool)])[0]
        wrong = (chance > 0.5) != (here["disease"].to_numpy() > 0.5)
        rows.append({"clinic": name, **_told(unlike(prior, tasks)), "error": 100.0 * float(wrong.mean())})
    return pd.DataFrame(rows).set_index("clinic").sort_values("p, parameters")


def main(out: Path) -> None:
    """Print the tables, and write them into a folder."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    sizes = pd.DataFrame({f"{count} tasks": size(count) for count in (8, 16)})
    print("Straight lines of one kind (simulated): share of p-values, by the number of tasks learned from")
    print(sizes.round(3).to_string())
    doses = warfarins()
    write_atomically(out / "warfarin.csv", csv_bytes(doses.reset_index()))
    print(
        f"\nWarfarin, each site left out, asked of {_KNOWN} of its patients; error in mg a week with nobody known"
    )
    print(doses.round(3).to_string())
    print(
        f"rank correlation of distance and error: {doses['distance'].corr(doses['error'], method='spearman'):.2f}"
    )
    hearts = wards()
    print("\nCoronary disease, each hospital left out; wrong answers (%) with nobody known")
    print(hearts.round(3).to_string(na_rep=""))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("unlike_sites"))
