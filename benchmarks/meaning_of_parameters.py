"""Do parameters keep their meaning under a discrepancy? ``python benchmarks/meaning_of_parameters.py``.

Simulated: exponential decay of a height of 10 mg/L, with nothing left out, 40 tasks of eight readings. From these
priors are learned, with a discrepancy and without, and the first task is calibrated. With a discrepancy also how the
objective, looked at where estimates are, moves as scales are learned.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

import metasci as ms
from metasci.meta import DiscrepancyPrior, GaussianPrior
from metasci.meta.discrepancy import method

LOOKED_AT = (0, 10, 20, 30, 40, 49)


@ms.equation(
    inputs={"time": "h"}, output=("level", "mg/L"), name="benchmarks.decay",
    parameters=[
        ms.Parameter("height", "mg/L", typical=10.0, positive=True),
        ms.Parameter("rate", "1/h", typical=0.3, positive=True),
    ],
)  # fmt: skip
def decay(time, *, height, rate):
    """Exponential decay."""
    return height * ms.math.exp(-rate * time)


def simulated(tasks: int, seed: int) -> ms.TaskSet:
    """Decays whose height and rate scatter by three tenths, read with a noise of 0.2 mg/L."""
    draw, rows = np.random.default_rng(seed), []
    for task in range(tasks):
        height, rate = np.array([10.0, 0.3]) * np.exp(0.3 * draw.normal(size=2))
        for time in np.linspace(0.5, 10.0, 8):
            rows.append((f"t{task}", time, height * np.exp(-rate * time) + 0.2 * draw.normal()))
    frame = pd.DataFrame(rows, columns=["task", "time [h]", "level [mg/L]"])
    return ms.TaskSet.from_frame(frame, ms.Card.from_model(decay), model=decay)


def followed(tasks: ms.TaskSet, how: DiscrepancyPrior) -> ms.Prior:
    """Learn, and print the objective and the shared scale along the way."""
    seen, look = [], method.cost_and_slopes

    def watched(problem, some, state, learned, *rest):
        found = look(problem, some, state, learned, *rest)
        seen.append((float(found[0]), float(learned["shared"].exp())))
        return found

    method.cost_and_slopes = watched
    try:
        prior = ms.meta_calibrate(decay, tasks, how)
    finally:
        method.cost_and_slopes = look
    steps = ", ".join(f"{at}: {seen[at][0]:.0f} ({seen[at][1]:.2f})" for at in LOOKED_AT)
    print(f"step: objective (shared scale) {steps}")
    return prior


def main() -> None:
    """Print what each prior says of a task."""
    torch.set_num_threads(1)
    tasks = simulated(40, 0)
    print("equation alone")
    print(ms.meta_calibrate(decay, tasks, GaussianPrior()).calibrate(tasks.select([0])).summary())
    for name, how in (
        ("with a discrepancy", DiscrepancyPrior()),
        ("the same, linearised alike", DiscrepancyPrior(alike=True)),
    ):
        print(name)
        print(followed(tasks, how).calibrate(tasks.select([0])).summary())


if __name__ == "__main__":
    main()
