"""Sampling of the package's hierarchical model beside one written by hand: ``python benchmarks/nuts_by_hand.py``.

Theophylline, the same priors and covariate, two chains of 1000 draws after 1000 of tuning, the same settings; the
sampling alone is timed, after compilation. By hand the concentration is the plain difference of exponentials; the
package's equation is also right where the rates of absorption and elimination meet.
"""

from __future__ import annotations

import time
from typing import Any

import arviz
import numpy as np
import nutpie
import pymc as pm
import pytensor.tensor as pt

from metasci import catalogue
from metasci.bayes import hierarchical, initial_point
from metasci.bayes.sampling import compile_model
from metasci.priors.load import load


def by_hand(
    time_: np.ndarray, dose: np.ndarray, measured: np.ndarray, task: np.ndarray, weight: np.ndarray
) -> pm.Model:
    """The model as one would write it in PyMC."""
    with pm.Model() as model:
        mean = pm.Normal("mean", 0.0, 2.0, shape=3)
        scale = pm.HalfNormal("scale", 0.5)
        effect = pm.Normal("effect", shape=3)
        factor, _, _ = pm.LKJCholeskyCov("spread", n=3, eta=2.0, sd_dist=pm.HalfNormal.dist(1.0, shape=3))
        offset = pm.Normal("offset", shape=(len(weight), 3))
        z = mean + weight[:, None] * (scale * effect)[None] + pt.dot(offset, factor.T)
        absorption, clearance, volume = (
            (typical * pt.exp(spread * z[:, i]))[task]
            for i, (typical, spread) in enumerate(((1.5, 0.6), (0.04, 0.3), (0.5, 0.2)))
        )
        elimination = clearance / volume
        shape = pt.exp(-elimination * time_) - pt.exp(-absorption * time_)
        curve = dose / volume * absorption / (absorption - elimination) * shape
        log_noise = pm.Normal("log_noise", np.log(0.7), 1.0)
        pm.Normal("measurement", curve, pt.exp(log_noise), observed=measured)
    return model


def timed(compiled: Any, names: list[str]) -> tuple[float, float, int]:
    """Seconds, lowest effective size of the named variables, and gradient evaluations."""
    began = time.perf_counter()
    data = nutpie.sample(
        compiled, draws=1000, tune=1000, chains=2, cores=2, seed=0, progress_bar=False, target_accept=0.9,
        save_warmup=False, low_rank_modified_mass_matrix=True,
    )  # fmt: skip
    took = time.perf_counter() - began
    size = min(float(value.min()) for value in arviz.ess(data, var_names=names).data_vars.values())
    return took, size, int(data["sample_stats"]["n_steps"].sum())


def main() -> None:
    """Compile both, then sample each in turn, three times."""
    prior, tasks = load("theophylline"), catalogue.dataset("theophylline")
    batch = prior.batch(tasks)
    adapted, design = prior.adapt(batch), prior.covariates.design(batch.covariates)
    task, place = np.nonzero(batch.mask.numpy())
    rows = [
        v.expand(batch.mask.shape).numpy()[task, place] for v in (batch.inputs["time"], batch.inputs["dose"])
    ]
    hand = by_hand(*rows, batch.output.numpy()[task, place], task, design.values.numpy()[:, 0])
    own = hierarchical(prior.model, batch, design, covariates=prior.covariates.names)
    sides = {
        "package": (
            compile_model(own, initial_point(adapted.coordinates, adapted.log_noise)),
            ["coordinate_mean", "coordinate_offset", "log_noise"],
        ),
        "by hand": (nutpie.compile_pymc_model(hand), ["mean", "offset", "log_noise"]),
    }
    for _ in range(3):
        for name, (compiled, names) in sides.items():
            took, size, steps = timed(compiled, names)
            print(f"{name:8} {took:6.2f} s  {steps} gradients  effective size {size:.0f}", flush=True)


if __name__ == "__main__":
    main()
