"""Coverage of 90 % intervals where every reading is repeated with a scatter far below the prior's noise.

`python benchmarks/near_copies.py steel_tempering` or `boiling_point`: of each task some readings, each so many times
with a scatter of a tenth of the prior's noise, calibrate; its other readings judge. Of twelve families of boiling
points (``--tasks 12 --seeds 1 --scatter 0.1``): 90 % covered of one reading each, and of nine copies of each 92 %;
with ``--as-before`` 72 %, at half the width.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pandas as pd

import metasci as ms

_DATA = {"steel_tempering": "steel_tempering", "boiling_point": "boiling_points"}


def rows_of(
    prior: Any, tasks: Any, shots: int, times: int, scatter: float, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Support, repeated, and the rows that judge, as a user's table has them."""
    random = np.random.default_rng(seed)
    frame, noise = tasks.to_frame(units=True), prior.model.noise
    column = output_column(prior, frame)
    variance = prior.measurement_variance(prior.read(tasks))
    supports, rests = [], []
    for task, (_, rows) in enumerate(frame.groupby("task", sort=False)):
        chosen = random.permutation(len(rows))
        first, rest = rows.iloc[chosen[:shots]], rows.iloc[chosen[shots:]]
        again = first.loc[first.index.repeat(times)].copy()
        off = scatter * np.sqrt(np.nanmean(variance[task])) * random.standard_normal(len(again)) * (times > 1)
        again[column] = noise.unlink(noise.link(again[column].to_numpy(float)) + off)
        supports.append(again)
        rests.append(rest)
    return pd.concat(supports), pd.concat(rests)


def output_column(prior: Any, frame: pd.DataFrame) -> str:
    """The header of what is measured."""
    return next(str(name) for name in frame if str(name).partition(" [")[0] == prior.model.output.name)


def covered(prior: Any, support: pd.DataFrame, rest: pd.DataFrame) -> tuple[float, float]:
    """Share of the judging rows inside, and the mean width of the intervals."""
    name, column = prior.model.output.name, output_column(prior, support)
    if isinstance(prior, ms.Prior):
        fit, judged = prior.calibrate(support), prior.read(rest).dataset
        inside, widths = [], []
        for task in judged["task"].values:
            own = judged.sel(task=task)
            truth = own[name].values
            at = {key: own[key].values[~np.isnan(truth)] for key in prior.model.inputs}
            said = fit.predict(**at).sel(task=task)
            low, high = said["lower"].values.ravel(), said["upper"].values.ravel()
            truth = truth[~np.isnan(truth)]
            inside += ((low <= truth) & (truth <= high)).tolist()
            widths += (high - low).tolist()
        return float(np.mean(inside)), float(np.mean(widths))
    both = pd.concat([support, rest.assign(**{column: np.nan})])
    said = prior.calibrate(both).table()
    keys = ["task", *prior.model.inputs]
    merged = said[said[name].isna()].merge(rest[[*keys, column]].rename(columns={column: "truth"}), on=keys)
    low, high, truth = (merged[each] for each in ("lower", "upper", "truth"))
    return float(((low <= truth) & (truth <= high)).mean()), float((high - low).mean())


def main() -> None:
    """Print a table: coverage and width by the number of copies and their scatter."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("prior", choices=sorted(_DATA))
    asked.add_argument("--shots", type=int, default=3)
    asked.add_argument("--seeds", type=int, default=3)
    asked.add_argument("--copies", type=int, nargs="+", default=[1, 2, 9, 30])
    asked.add_argument("--tasks", type=int, default=1000, help="at most")
    asked.add_argument(
        "--as-before", action="store_true", help="every repeat counts as an independent reading"
    )
    asked.add_argument("--scatter", type=float, nargs="+", default=[0.1, 0.3, 0.6])
    options = asked.parse_args()
    prior, tasks = ms.load(options.prior), ms.dataset(_DATA[options.prior])
    if options.as_before:
        type(prior).counted = lambda self, tasks: tasks.counted_once()  # type: ignore[method-assign]
    tasks = tasks.select((tasks.counts > options.shots + 1).tolist())
    tasks = tasks.select(slice(0, options.tasks))
    print("| scatter, noise = 1 | copies | coverage, % | width |\n|---|---|---|---|", flush=True)
    for scatter in options.scatter:
        for times in options.copies:
            if times == 1 and scatter != options.scatter[0]:
                continue
            found = [
                covered(prior, *rows_of(prior, tasks, options.shots, times, scatter, seed))
                for seed in range(options.seeds)
            ]
            share, width = np.mean(found, axis=0)
            print(
                f"| {scatter if times > 1 else ''} | {times} | {100 * share:.0f} | {width:.3g} |", flush=True
            )


if __name__ == "__main__":
    main()
