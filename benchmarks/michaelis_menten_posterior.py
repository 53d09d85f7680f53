"""NUTS through a differential equation, and a published posterior: ``python benchmarks/michaelis_menten_posterior.py``.

The hierarchical model of one patient (`tests/saturable.py`) is sampled as the package samples it. Its priors are not
the published half-Cauchy ones, so every draw is weighted by the ratio of the two; the package's prior of a task's
coordinates, over population mean, spread and correlation, is an average over draws of these.

The posterior is long and thin, so this takes more than half an hour; it has not been run to its end yet, and no table
is kept. `tests/test_michaelis_menten_posterior.py` holds the same density against the published moments, by weighted
draws.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from saturable import PUBLISHED, log_published_prior, patient, saturable

from metasci.bayes import initial_point, sample_traced, traced


def log_own_prior(coordinates: np.ndarray, count: int = 20_000, seed: int = 0) -> np.ndarray:
    """Of one task's coordinates (draw, 3) in the package's hierarchical model, by averaging over its population."""
    random = np.random.default_rng(seed)
    later, earlier = np.tril_indices(3, -1)
    shape = 2.0 + 0.5 * (1 - earlier)  # LKJ(2) as a vine
    partial = 2.0 * random.beta(shape, shape, (count, 3)) - 1.0
    factor = np.zeros((count, 3, 3))
    factor[:, 0, 0] = 1.0
    left = np.ones((count, 3))
    for pair, (i, j) in enumerate(zip(later, earlier, strict=True)):
        factor[:, i, j] = partial[:, pair] * left[:, i]
        left[:, i] *= np.sqrt(1.0 - partial[:, pair] ** 2)
    factor[:, 1, 1], factor[:, 2, 2] = left[:, 1], left[:, 2]
    sd = np.abs(random.standard_normal((count, 3)))
    root = sd[:, :, None] * factor
    covariance = root @ root.transpose(0, 2, 1) + 4.0 * np.eye(3)
    precision, size = np.linalg.inv(covariance), np.linalg.slogdet(covariance)[1]
    each = [
        np.logaddexp.reduce(-0.5 * (np.einsum("i,pij,j->p", z, precision, z) + size)) for z in coordinates
    ]
    return np.array(each) - np.log(count) - 1.5 * np.log(2.0 * np.pi)


def main() -> None:
    """Sample, weigh, and print the moments beside the published ones."""
    torch.set_num_threads(1)
    start = initial_point(np.log(np.array(PUBLISHED["mean"][:3]))[None], np.log([0.13]))
    start["coordinate_sd"] = np.ones(3)
    built = traced(saturable, patient(), initial=start)
    found = sample_traced(
        built, draws=1000, tune=500, chains=2, cores=2, seed=0, initial=start, progress=False
    )
    print(f"{len(found)} draws in {found.seconds:.0f} s; {found.verdict}")
    print(
        f"the log density is off by {found.density_error:.1e} nats at most, fixed steps against adaptive ones"
    )
    coordinates, log_noise = found.draws["coordinates"][:, 0], found.draws["log_noise"]
    at = np.concatenate([coordinates, log_noise], 1)
    own = log_own_prior(coordinates) + stats.norm.logpdf(log_noise[:, 0], np.log(0.13), 1.0)
    log_weight = log_published_prior(at) - own
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    values = np.exp(at)
    mean = weight @ values
    sd = np.sqrt(weight @ (values - mean) ** 2)
    thinning = len(found) / found.effective_size  # of the chains, on top of what the weights cost
    error = np.sqrt(thinning * (weight**2) @ (values - mean) ** 2)
    print(f"effective size after weighing {1.0 / (weight**2).sum() / thinning:.0f}")
    print(f"{'':20}{'NUTS':>18}{'published':>18}{'SD, NUTS':>10}{'published':>10}")
    published_sd = np.sqrt(np.array(PUBLISHED["mean_square"]) - np.square(PUBLISHED["mean"]))
    for i, name in enumerate(PUBLISHED["names"]):
        told = f"{PUBLISHED['mean'][i]:.4f} ± {PUBLISHED['mean_error'][i]:.4f}"
        spread = f"{sd[i]:10.4f}{published_sd[i]:10.4f}" if i in (0, 3) else f"{'none':>10}{'none':>10}"
        print(f"{name:20}{f'{mean[i]:.4f} ± {error[i]:.4f}':>18}{told:>18}{spread}")


if __name__ == "__main__":
    main()
