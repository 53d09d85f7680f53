"""What must change nothing: the order of rows and tasks, units, pieces, threads, a cluster of threads, copies of rows.

`python tests/metamorphic.py` holds every prior that ships to it, and a prior of every method; the suite a few of them.
`benchmarks/metamorphic.md` is what it printed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import metasci as ms
from metasci import catalogue
from metasci.methods import METHODS as METHODS_LISTED

Numbers = NDArray[np.float64]
TOLERANCE = 1e-8
THREADS = 8
METHODS = tuple(
    listed.command or listed.name
    for listed in METHODS_LISTED
    if listed.name != "GaussianPrior" and (listed.command or listed.name == "ANIL")
)
"""All but the Gaussian prior, of which most priors that ship are."""
_DATA = {
    "steel_tempering_discrepancy": "steel_tempering",
    "alloy_fatigue_discrepancy": "alloy_fatigue",
    "theophylline_early_noise": "theophylline",
    "phenobarbital_heavy_tails": "phenobarbital",
    "alloy_strength": "alloy_systems",
    "boiling_point": "boiling_points",
}
_OTHER = {
    "h": "min", "min": "s", "s": "h", "mg/L": "ug/mL", "ng/mL": "ug/L", "mg": "ug", "ug": "mg", "K": "degC",
    "degC": "K", "kg": "g", "Mcycle": "cycle", "MPa": "GPa", "percent": "1", "mg/kg": "ug/g", "year": "day",
    "cm": "m", "mL/min": "L/h",
}  # fmt: skip


def cases(name: str) -> Any:
    """The data that a prior was learned from; of crystals some, whose frequencies are known."""
    if name != "phonon_peak":
        return ms.dataset(_DATA.get(name, name))
    from metasci.studies.crystal_potential import BY_SEVENNET, tasks

    return tasks(BY_SEVENNET, most=8)


def table(prior: Any, name: str) -> pd.DataFrame:
    """Three tasks of a prior, with units in headers; doses of a published model at times of a simple course."""
    if not catalogue.published_source(name):
        tasks = cases(name) if isinstance(name, str) else name
        return tasks.select(slice(0, 3)).to_frame(units=True).dropna(axis=1, how="all")
    from test_published_library import CASES

    own, output = CASES[name][0], prior.model.output
    units = {key: given.unit for key, given in prior.model.inputs.items()} | dict(prior.model.covariates)
    told = {
        f"{key} [{units.get(key, '1')}]" if units.get(key, "1") != "1" else key: value
        for key, value in own.items()
    }
    time, dose = f"TIME [{units['time']}]", f"AMT [{next(iter(prior.model.histories.values())).unit}]"
    rows = []
    for task, size in (("a", 1.0), ("b", 1.4), ("c", 0.8)):
        rows.append({"ID": task, time: 0.0, dose: 500.0, f"DV [{output.unit}]": "", **told})
        rows += [
            {"ID": task, time: at, dose: "", f"DV [{output.unit}]": size * level, **told}
            for at, level in ((2.0, 8.0), (9.0, 4.0), (20.0, 2.0))
        ]
    return pd.DataFrame(rows)


def answers(prior: Any, data: Any) -> dict[str, Numbers]:
    """Estimates with intervals and what they lead to, by task; of families their predictions, in order of size."""
    fit = prior.calibrate(data)
    if hasattr(fit, "parameters"):
        held = fit.to_xarray(predictions=False)
        names = ("coordinates", "lower", "upper")
        return {
            str(task): np.concatenate([held[name].sel(task=task).values.ravel() for name in names])
            for task in held["task"].values
        }
    rows = fit.table()
    columns = ["predicted", "lower", "upper"]
    rows = rows.drop_duplicates(subset=[*columns, "task"])
    return {task: np.sort(each[columns].to_numpy(), axis=0).ravel() for task, each in rows.groupby("task")}


def _shuffled(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of each task in another order, where the order says nothing: an event table tells a story."""
    if "ID" in frame or any(str(name).startswith("dose [") for name in frame):
        return frame
    return pd.concat([each.sample(frac=1.0, random_state=3) for _, each in frame.groupby("task", sort=False)])


def _tasks_reversed(frame: pd.DataFrame) -> pd.DataFrame:
    key = "ID" if "ID" in frame else "task"
    return pd.concat([each for _, each in reversed(list(frame.groupby(key, sort=False)))])


def _other_units(frame: pd.DataFrame) -> pd.DataFrame:
    from metasci.units import convert

    changed = frame.copy()
    for name in frame.columns:
        bare, _, unit = str(name).rstrip("]").partition(" [")
        if unit in _OTHER:
            numbers = pd.to_numeric(frame[name], errors="coerce").to_numpy(float)
            texts = [repr(v) if np.isfinite(v) else "" for v in convert(numbers, unit, _OTHER[unit]).tolist()]
            changed[name] = texts
            changed = changed.rename(columns={name: f"{bare} [{_OTHER[unit]}]"})
    return changed


def _copied(prior: Any, frame: pd.DataFrame) -> pd.DataFrame:
    """Every measurement thrice."""
    output = next(name for name in frame if str(name).startswith(("DV", prior.model.output.name)))
    measured = pd.to_numeric(frame[output], errors="coerce").notna().to_numpy()
    return frame.iloc[np.repeat(np.arange(len(frame)), np.where(measured, 3, 1))]


def deviations(prior: Any, frame: pd.DataFrame, times: int = 12, seconds: float = 60.0) -> dict[str, float]:
    """The greatest relative deviation from what the table as it is gives, for each change that must make none.

    Of threads it is the share of calibrations, so many of them or as many as fit into some seconds, that do not equal
    the one alone to the bit.
    """
    whole = answers(prior, frame)
    changes: dict[str, Callable[[], dict[str, Numbers]]] = {
        "rows": lambda: answers(prior, _shuffled(frame)),
        "tasks": lambda: answers(prior, _tasks_reversed(frame)),
        "units": lambda: answers(prior, _other_units(frame)),
        "copies": lambda: answers(prior, _copied(prior, frame)),
        "pieces": lambda: _alone(prior, frame),
    }
    found = {name: deviation(whole, change()) for name, change in changes.items()}
    several = from_threads(partial(answers, prior, frame), times, seconds)
    found["threads"] = float(np.mean([deviation(whole, each, exactly=True) for each in several]))
    found["times"] = len(several)
    return found


def on_a_cluster(prior: Any, frame: pd.DataFrame, client: Any) -> float:
    """The greatest relative deviation of tasks that a cluster's threads calibrate from those of one thread."""
    alone, together = (
        {
            name: values.values
            for name, values in prior.calibrate_many(frame, chunk=1, client=given).load().data_vars.items()
            if values.dtype.kind == "f"
        }
        for given in (None, client)
    )
    return deviation(alone, together)


def from_threads(
    work: Callable[[], dict[str, Numbers]], times: int, seconds: float
) -> list[dict[str, Numbers]]:
    """What eight threads at once get; every one at least once."""
    together, ends = Barrier(THREADS), time.monotonic() + seconds

    def one(number: int) -> dict[str, Numbers] | None:
        if number < THREADS:
            together.wait()
        return work() if number < THREADS or time.monotonic() < ends else None

    with ThreadPoolExecutor(THREADS) as pool:
        return [each for each in pool.map(one, range(times)) if each is not None]


def _alone(prior: Any, frame: pd.DataFrame) -> dict[str, Numbers]:
    key = "ID" if "ID" in frame else "task"
    alone: dict[str, Numbers] = {}
    for _, each in frame.groupby(key, sort=False):
        alone |= answers(prior, each)
    return alone


def deviation(first: dict[str, Numbers], second: dict[str, Numbers], exactly: bool = False) -> float:
    if first.keys() != second.keys():
        return float("inf")
    worst = 0.0
    for task, values in first.items():
        if exactly:
            worst = max(worst, 0.0 if np.array_equal(values, second[task], equal_nan=True) else 1.0)
        else:
            size = np.maximum(np.abs(values), 1.0)
            worst = max(worst, float(np.nanmax(np.abs(values - second[task]) / size)))
    return worst


def prior_of_method(command: str) -> tuple[Any, pd.DataFrame]:
    """A prior of crack growth by a method, and three alloys for it."""
    from fuzz import seeds

    with tempfile.TemporaryDirectory() as folder:
        for file, content in seeds.learned_by(command).items():
            (Path(folder) / file).write_bytes(content)
        prior = ms.load(folder)
    return prior, table(prior, "alloy_fatigue")


def main() -> int:
    """Every prior that ships, then one of every method; prints the greatest deviations."""
    asked = argparse.ArgumentParser(description=main.__doc__)
    asked.add_argument("names", nargs="*", help="priors and methods; all by default")
    asked.add_argument("--times", type=int, default=96, help="calibrations from eight threads")
    asked.add_argument("--seconds", type=float, default=60.0, help="for the threads of one prior")
    options, bad = asked.parse_args(), 0
    shipped = catalogue.names("models")
    from dask.distributed import Client

    heads = (
        "prior",
        "rows",
        "tasks",
        "units",
        "copies",
        "pieces",
        "identical from threads",
        "on Dask's threads",
    )
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|", flush=True)
    client = Client(processes=False, n_workers=1, threads_per_worker=THREADS, dashboard_address=None)
    for name in options.names or (*shipped, *METHODS):
        prior, frame = prior_of_method(name) if name in METHODS else (ms.load(name), None)
        frame = table(prior, name) if frame is None else frame
        found = deviations(prior, frame, options.times, options.seconds)
        times, off = int(found.pop("times")), found.pop("threads")
        apart = on_a_cluster(prior, frame, client)
        good = not off and all(value <= TOLERANCE for value in (apart, *found.values()))
        bad += not good
        cells = " | ".join(f"{value:.0e}" for value in found.values())
        same = round(times * (1.0 - off))
        wrong = "" if good else ", WRONG"
        print(f"| {name} | {cells} | {same} of {times} | {apart:.0e}{wrong} |", flush=True)
    client.close()
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
