"""A differential equation under NUTS: ``python benchmarks/saturable_elimination.py``. All patients are simulated.

Saturable elimination has no closed form that PyTensor could write, so PyMC's side samples a recorded torch function
whose equation takes fixed steps; by how much they put the log density off is printed beside R-hat.
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import torch

import metasci as ms
from metasci.bayes.joint import joint_posterior
from metasci.model import find

PATIENTS, TIMES = 6, np.array([0.5, 2.0, 6.0, 12.0, 24.0, 36.0, 48.0])


def simulated(model: ms.Model, seed: int = 0) -> ms.TaskSet:
    """Patients after one dose, about the typical values of phenytoin; simulated."""
    random = np.random.default_rng(seed)
    sd = np.array([0.8, 0.8, 0.8])  # in units of the parameters' ordinary spread
    z = torch.as_tensor(sd * random.standard_normal((PATIENTS, 3)))
    rows = []
    for patient in range(PATIENTS):
        rows.append({"ID": patient + 1, "TIME": 0.0, "AMT": 600.0, "DV": np.nan})
        rows += [{"ID": patient + 1, "TIME": t, "AMT": np.nan, "DV": 1.0} for t in TIMES]
    card = ms.Card.from_model(model)
    frame = pd.DataFrame(rows)
    blank = ms.TaskSet.from_events(frame, model, card).batch(model)
    with torch.no_grad():
        values = model.at(z[:, None, :], blank.inputs).numpy()
    measured = values * (1.0 + 0.15 * random.standard_normal(values.shape))
    frame.loc[frame["AMT"].isna(), "DV"] = np.maximum(measured, 0.05).ravel()
    return ms.TaskSet.from_events(frame, model, card)


def main() -> None:
    """Learn, and sample."""
    torch.set_num_threads(1)
    model = find("patients.michaelis_menten")
    tasks = simulated(model)
    began = time.perf_counter()
    prior = ms.meta_calibrate(model, tasks, ms.GaussianPrior())
    print(f"learned from {PATIENTS} simulated patients in {time.perf_counter() - began:.0f} s")
    fit = joint_posterior(prior, prior.batch(tasks), draws=200, tune=300).posterior
    steps = int(np.asarray(fit.data["sample_stats"]["n_steps"]).sum())
    print(
        f"{fit.verdict}\n{steps} gradients in {fit.seconds:.0f} s, {1e3 * fit.seconds / steps:.1f} ms each;"
    )
    print(
        f"the log density is off by {fit.density_error:.1e} nats at most, fixed steps against adaptive ones"
    )


if __name__ == "__main__":
    main()
