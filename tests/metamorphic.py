"""What must change nothing: the order of rows and tasks, units, pieces, threads, copies of rows.

`python tests/metamorphic.py` holds every prior that ships to it, and a prior of every method; the suite a few of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import metasci as ms
from metasci import catalogue

Numbers = NDArray[np.float64]
TOLERANCE = 1e-8
_THREADS, _TIMES = 8, 12
_DATA = {
    "steel_tempering_discrepancy": "steel_tempering",
    "alloy_strength": "alloy_systems",
    "boiling_point": "boiling_points",
}
_OTHER = {
    "h": "min", "min": "s", "s": "h", "mg/L": "ug/mL", "ng/mL": "ug/L", "mg": "ug", "ug": "mg", "K": "degC",
    "degC": "K", "kg": "g", "Mcycle": "cycle", "MPa": "GPa", "percent": "1", "mg/kg": "ug/g", "year": "day",
    "cm": "m", "mL/min": "L/h",
}  # fmt: skip


def table(prior: Any, name: str) -> pd.DataFrame:
    """Three tasks of a prior, with units in headers; doses of a published model at times of a simple course."""
    if not catalogue.published_source(name):
        tasks = ms.dataset(_DATA.get(name, name)) if isinstance(name, str) else name
        frame = tasks.select(slice(0, 3)).to_frame(units=True)
        return frame.drop(columns=[c for c in frame if c in ("processing", "test")]).dropna(axis=1, how="all")
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


def deviations(prior: Any, frame: pd.DataFrame) -> dict[str, float]:
    """The greatest relative deviation from what the table as it is gives, for each change that must make none."""
    whole = answers(prior, frame)
    changes: dict[str, Callable[[], dict[str, Numbers]]] = {
        "rows": lambda: answers(prior, _shuffled(frame)),
        "tasks": lambda: answers(prior, _tasks_reversed(frame)),
        "units": lambda: answers(prior, _other_units(frame)),
        "copies": lambda: answers(prior, _copied(prior, frame)),
        "pieces": lambda: _alone(prior, frame),
    }
    found = {name: _deviation(whole, change()) for name, change in changes.items()}
    with ThreadPoolExecutor(_THREADS) as pool:
        several = list(pool.map(partial(answers, prior), [frame] * _TIMES))
    found["threads"] = max(_deviation(whole, each, exactly=True) for each in several)
    return found


def _alone(prior: Any, frame: pd.DataFrame) -> dict[str, Numbers]:
    key = "ID" if "ID" in frame else "task"
    alone: dict[str, Numbers] = {}
    for _, each in frame.groupby(key, sort=False):
        alone |= answers(prior, each)
    return alone


def _deviation(first: dict[str, Numbers], second: dict[str, Numbers], exactly: bool = False) -> float:
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


def main() -> int:
    """Every prior that ships, then one of every method; prints the greatest deviations."""
    from fuzz import seeds

    bad = 0
    cases: list[tuple[str, Any, pd.DataFrame]] = []
    for name in catalogue.names("models"):
        prior = ms.load(name)
        cases.append((name, prior, table(prior, name)))
    if "--methods" in sys.argv:
        import tempfile
        from pathlib import Path

        for name, files in seeds.priors().items():
            with tempfile.TemporaryDirectory() as folder:
                for file, content in files.items():
                    (Path(folder) / file).write_bytes(content)
                prior = ms.load(folder)
            if prior.model.name == "kinetics.crack_growth":
                cases.append((name, prior, table(prior, "alloy_fatigue")))
    for name, prior, frame in cases:
        found = deviations(prior, frame)
        good = all(value <= TOLERANCE for value in found.values())
        bad += not good
        print(
            f"{name:28}",
            " ".join(f"{key} {value:.0e}" for key, value in found.items()),
            "" if good else "WRONG",
            flush=True,
        )
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
