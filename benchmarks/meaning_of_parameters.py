"""Do parameters keep their meaning under a discrepancy? ``python benchmarks/meaning_of_parameters.py``.

Simulated: exponential decay of a height of 10 mg/L, with nothing left out, 40 tasks of eight readings. From these
priors are learned, of the equation alone and with a discrepancy, also with the slopes of the equation taken as given
where costs are differentiated by the scales. The start that each has learned, the noise, and the share of the first
task's variation that is beside the equation; then what is said of that task.
"""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from torch import Tensor

import metasci as ms
from metasci.meta import DiscrepancyPrior, GaussianPrior
from metasci.meta.discrepancy import objective
from metasci.meta.discrepancy.likelihood import posterior_means

SEEDS = 5


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


def as_given(*of: object) -> Tensor:
    """Estimates that are taken to stay where they are when scales change."""
    return posterior_means(*of).detach()  # type: ignore[arg-type]


def learned(tasks: ms.TaskSet, how: str) -> ms.Prior:
    """A prior of these tasks."""
    if how == "equation alone":
        return ms.meta_calibrate(decay, tasks, GaussianPrior())
    means = as_given if how == "slopes as given" else posterior_means
    with patch.object(objective, "posterior_means", means):
        return ms.meta_calibrate(decay, tasks, DiscrepancyPrior())


def _share(share: float) -> str:
    return f"{100.0 * share:.2g} %" if share < 1.0 else f"{share:.0f} times"


def main() -> None:
    """Print what each prior has learned, and what it says of a task."""
    torch.set_num_threads(1)
    said = []
    print("| simulation | prior | height, mg/L | rate, 1/h | noise, mg/L | beside the equation |")
    print("|---|---|---|---|---|---|")
    for seed in range(SEEDS):
        tasks = simulated(40, seed)
        for how in ("equation alone", "slopes as given", "with a discrepancy"):
            prior = learned(tasks, how)
            fit = prior.calibrate(tasks.select([0]))
            start = fit.table().set_index("name")["prior"]
            beside = fit.beside_equation
            share = "" if beside.empty else _share(float(beside["share"].iloc[0]))
            noise = float(prior.state.log_noise.exp()[0])
            figures = f"{start['height']:.2f} | {start['rate']:.3f} | {noise:.3f} | {share}"
            print(f"| {seed} | {how} | {figures} |", flush=True)
            if not seed:
                said.append(f"{how}\n{fit.summary()}")
    print("\n".join(said))


if __name__ == "__main__":
    main()
