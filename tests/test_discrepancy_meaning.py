"""Parameters keep their meaning under a discrepancy that is learned with one linearisation for all tasks."""

from __future__ import annotations

import numpy as np
import pandas as pd

import metasci as ms
from metasci.meta import DiscrepancyPrior


@ms.equation(
    inputs={"time": "h"}, output=("level", "mg/L"), name="test.meaning",
    parameters=[ms.Parameter("height", "mg/L", typical=10.0, positive=True),
                ms.Parameter("rate", "1/h", typical=0.3, positive=True)],
)  # fmt: skip
def decay(time, *, height, rate):
    """Exponential decay."""
    return height * ms.math.exp(-rate * time)


def test_a_true_equation_keeps_its_parameters():
    """Heights scatter about 10 mg/L, and nothing is left out; linearised task by task the prior has 17."""
    draw, rows = np.random.default_rng(0), []
    for task in range(40):
        height, rate = np.array([10.0, 0.3]) * np.exp(0.3 * draw.normal(size=2))
        for time in np.linspace(0.5, 10.0, 8):
            rows.append((f"t{task}", time, height * np.exp(-rate * time) + 0.2 * draw.normal()))
    frame = pd.DataFrame(rows, columns=["task", "time [h]", "level [mg/L]"])
    tasks = ms.TaskSet.from_frame(frame, ms.Card.from_model(decay), model=decay)
    prior = ms.meta_calibrate(decay, tasks, DiscrepancyPrior(alike=True))
    fit = prior.calibrate(tasks.select(["t0"]))
    start = fit.table().set_index("name")["prior"]
    assert abs(start["height"] - 10.0) < 1.0
    assert abs(start["rate"] - 0.3) < 0.03
    assert float(fit.beside_equation["share"].iloc[0]) < 0.02
    assert abs(float(prior.state.log_noise.exp()[0]) - 0.2) < 0.02
