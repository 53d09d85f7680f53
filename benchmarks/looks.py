"""How many linearisations one task's calibration takes. ``python benchmarks/looks.py theophylline 3``.

The second number is that of readings. With secants, as it is, and with Gauss and Newton's Hessian alone until the full
curvature takes over, as it was. Counts do not depend on the machine.
"""

from __future__ import annotations

import statistics
import sys
from collections import Counter
from dataclasses import replace
from typing import Any

import metasci as ms
from metasci.meta.laplace import few


def counted(prior: Any, tasks: ms.TaskSet, near: float) -> list[Counter[str]]:
    """Linearisations and full curvatures of each task."""
    calls: Counter[str] = Counter()

    def noted(name: str) -> Any:
        function = getattr(few._Search, name)

        def call(*arguments: Any) -> Any:
            calls[name] += 1
            return function(*arguments)

        return function, call

    (look, noted_look), (full, noted_full) = noted("look"), noted("_full")
    found, before = [], few.NEAR
    few._Search.look, few._Search._full, few.NEAR = noted_look, noted_full, near
    try:
        for name in tasks.names:
            calls.clear()
            prior.calibrate(tasks.select([name]))
            found.append(Counter(calls))
    finally:
        few._Search.look, few._Search._full, few.NEAR = look, full, before
    return found


def main(name: str = "theophylline", readings: int = 3, tasks: int = 24) -> None:
    """Print a table."""
    prior, data = ms.load(name), ms.dataset(name)
    chosen = data.select(data.names[:tasks])
    few_readings = replace(chosen, dataset=chosen.dataset.isel(observation=slice(readings)))
    for what, near in (("Gauss and Newton alone", 0.0), ("with secants", few.NEAR)):
        found = counted(prior, few_readings, near)
        looks, fulls = ([each[part] for each in found] for part in ("look", "_full"))
        print(
            f"{name}, {readings} readings, {len(found)} tasks, {what}: linearisations median "
            f"{statistics.median(looks):g}, {sum(looks)} in all, most {max(looks)}; full curvatures {sum(fulls)}"
        )


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(int, sys.argv[2:]))
