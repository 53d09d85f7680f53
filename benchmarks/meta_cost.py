"""What a meta-step costs: time against tasks and against inner steps, memory against inner steps.

    python benchmarks/meta_cost.py

Sinusoid network (1-40-40-1, 10 + 10 points), exact second order unless said otherwise, one thread. Time is the
median of interleaved rounds. Memory is the peak resident size of a process of its own above what it held
before the step. Writes benchmarks/meta_cost.json and the figure docs/images/meta_cost.png.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from metasci.meta import Composition, Descent, Displacement, Exact, FirstOrder, Implicit, meta_gradient
from metasci.studies import sinusoids

HERE = Path(__file__).parent
TASKS = (1, 4, 16, 64, 256, 1024, 4096)
STEPS = (1, 2, 5, 10, 20, 50, 100, 200)
RATE = 1e-4
WAYS = {
    "exact": Exact(),
    "exact, in segments": Exact("auto"),
    "first order": FirstOrder(),
    "Reptile": Displacement(),
    "implicit": Implicit(iterations=5),
}


def composition(way: str, steps: int) -> Composition:
    return Composition(Descent(RATE), steps, WAYS[way], proximal=1.0 if way == "implicit" else 0.0)


def once(way: str, tasks: int, steps: int) -> None:
    model = sinusoids.network(0)
    meta_gradient(composition(way, steps), sinusoids.episode(model, tasks, 10, 10, 0), model.start())


def times(settings: list[tuple[str, int, int]], rounds: int) -> dict[tuple[str, int, int], float]:
    """Median milliseconds of each setting."""
    taken: dict[tuple[str, int, int], list[float]] = {setting: [] for setting in settings}
    once(*settings[0])
    for _ in range(rounds):
        for setting in settings:
            if setting[1] <= 64:  # what a large one before has pushed out of the caches comes back first
                once(*setting)
            began = time.perf_counter()
            once(*setting)
            taken[setting].append(1e3 * (time.perf_counter() - began))
    return {setting: statistics.median(each) for setting, each in taken.items()}


def peak(way: str, tasks: int, steps: int) -> float:
    """Megabytes that one meta-step needs at its worst, measured in a process of its own."""
    arguments = [sys.executable, __file__, "--peak", way, str(tasks), str(steps)]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True)
    return float(done.stdout)


def measure_peak(way: str, tasks: int, steps: int) -> None:
    torch.set_num_threads(1)
    once(way, 1, 2)  # libraries are loaded, and caches filled, before the count begins
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    once(way, tasks, steps)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024.0)


def figure(result: dict) -> None:
    import matplotlib.pyplot as plt

    from metasci.report.style import plain_log_axis, styled

    @styled
    def draw() -> None:
        picture, axes = plt.subplots(1, 3, figsize=(10.0, 3.4), layout="constrained")
        for axis, part, label in zip(
            axes,
            ("tasks", "steps", "memory"),
            ("tasks (5 inner steps)", "inner steps (25 tasks)", "inner steps (1,024 tasks)"),
            strict=True,
        ):
            for way, points in result[part].items():
                x = [int(k) for k in points]
                axis.plot(x, list(points.values()), marker="o", markersize=3, label=way)
            last, end = x[-1], list(result[part]["exact"].values())[-1]
            axis.plot([last / 30, last], [end / 30, end], color="0.6", linewidth=0.8, linestyle="--")
            axis.annotate("in proportion", (last / 5, end / 5), color="0.4", fontsize=8, ha="right")
            axis.set(xscale="log", yscale="log", xlabel=label)
            for which in "xy":
                plain_log_axis(axis, which)
            axis.set_ylabel("peak memory above rest (MB)" if part == "memory" else "one meta-step (ms)")
        handles, labels = axes[1].get_legend_handles_labels()
        picture.legend(handles, labels, loc="outside upper center", ncols=5, frameon=False)
        picture.savefig(HERE.parent / "docs" / "images" / "meta_cost.png", dpi=150)

    draw()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--figure", action="store_true", help="only draw what was measured")
    parser.add_argument("--peak", nargs=3, metavar=("WAY", "TASKS", "STEPS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.peak:
        measure_peak(given.peak[0], int(given.peak[1]), int(given.peak[2]))
        return
    if given.figure:
        figure(json.loads((HERE / "meta_cost.json").read_text()))
        return
    # A process inherits its parent's peak, so memory comes first, while this one is small.
    memory = {
        way: {str(steps): round(peak(way, 1024, steps), 1) for steps in (1, 10, 50, 200)} for way in WAYS
    }
    by_tasks = times([("exact", tasks, 5) for tasks in TASKS], given.rounds)
    by_steps = times([(way, 25, steps) for way in WAYS for steps in STEPS], given.rounds)
    result: dict = {
        "tasks": {"exact": {str(t): round(v, 3) for (_, t, _), v in by_tasks.items()}},
        "steps": {way: {str(s): round(by_steps[way, 25, s], 3) for s in STEPS} for way in WAYS},
        "memory": memory,
    }
    result["memory ratio, 200 in segments over 10 whole"] = round(
        result["memory"]["exact, in segments"]["200"] / result["memory"]["exact"]["10"], 2
    )
    (HERE / "meta_cost.json").write_text(json.dumps(result, indent=1) + "\n")
    figure(result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
