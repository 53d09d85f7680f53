"""How honest a prior of three hospitals can be: ``python benchmarks/hospitals_by_nuts.py [HOSPITAL ...]``.

The hierarchical logistic regression of `metasci.studies.hospitals` with its whole posterior sampled in PyMC: in scaled
coordinates hospitals scatter about a mean N(0, 2²) with standard deviations HalfNormal(1), as `metasci.bayes` has them,
here without correlations, as in the study. A hospital left out is forecast before any of its patients is known, and
judged by the same patients as there. Four to five minutes a hospital.
"""

from __future__ import annotations

import sys

import arviz as az
import numpy as np
import pymc as pm

from metasci.studies.hospitals import FEATURES, SEEDS, SHOTS, coronary_disease, patients, standardised

DRAWS = 10  # of a new hospital for each draw of the population


def posterior_of(features: np.ndarray, hospital: np.ndarray, disease: np.ndarray) -> az.InferenceData:
    """Draws of the population, learned from some hospitals."""
    parameters = coronary_disease.parameters
    typical, spread = (np.array([getattr(p, name) for p in parameters]) for name in ("typical", "spread"))
    with pm.Model():
        mean = pm.Normal("mean", 0.0, 2.0, shape=len(parameters))
        sd = pm.HalfNormal("sd", 1.0, shape=len(parameters))
        offset = pm.Normal("offset", 0.0, 1.0, shape=(hospital.max() + 1, len(parameters)))
        coefficients = typical + spread * (mean + sd * offset)
        pm.Bernoulli("disease", logit_p=(features * coefficients[hospital]).sum(1), observed=disease)
        return pm.sample(
            600, tune=600, chains=2, cores=1, random_seed=1, target_accept=0.95, progressbar=False
        )


def main() -> None:
    """Print the log loss of every hospital left out."""
    frame = patients()
    parameters = coronary_disease.parameters
    typical, spread = (np.array([getattr(p, name) for p in parameters]) for name in ("typical", "spread"))
    for left_out in sys.argv[1:] or dict.fromkeys(frame["hospital"]):
        table = standardised(frame, left_out)
        train, here = table[table["hospital"] != left_out], table[table["hospital"] == left_out]
        numbers = {name: at for at, name in enumerate(dict.fromkeys(train["hospital"]))}
        seen, asked = (np.c_[np.ones(len(part)), part[list(FEATURES)].to_numpy()] for part in (train, here))
        posterior = posterior_of(
            seen, train["hospital"].map(numbers).to_numpy(), train["disease"].to_numpy()
        ).posterior
        mean, sd = (posterior[name].to_numpy().reshape(-1, len(typical)) for name in ("mean", "sd"))
        random, probability = np.random.default_rng(0), np.zeros(len(here))
        for _ in range(DRAWS):
            drawn = typical + spread * (mean + sd * random.standard_normal(mean.shape))
            probability += (1.0 / (1.0 + np.exp(-drawn @ asked.T))).mean(0) / DRAWS
        ill, losses = here["disease"].to_numpy(), []
        for seed in range(SEEDS):
            judged = np.random.default_rng(seed).permutation(len(here))[max(SHOTS) :]
            right = np.where(ill == 1.0, probability, 1.0 - probability)[judged]
            losses.append(-np.log(right).mean())
        print(
            f"{left_out:12} log loss {np.mean(losses):.3f}   median sd {np.round(np.median(sd, 0), 2)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
