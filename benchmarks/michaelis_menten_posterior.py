"""NUTS through a differential equation, and a published posterior: ``python benchmarks/michaelis_menten_posterior.py``.

One patient (`tests/saturable.py`) under the published half-Cauchy priors. The likelihood is the package's, solved and
differentiated as in `metasci.bayes.traced`: recorded once, along steps that stay; nutpie samples it. Elimination is
known only as maximum rate over half-saturation once the latter is large, so the posterior falls off like a third power
there. What is sampled is the rate at 11 mg/L in the place of the maximum rate, a shear of the logarithms, which makes
the long ridge straight. Two of the means have no finite error, so quantiles are held against weighted draws as well
(`tests/test_michaelis_menten_posterior.py`).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import nutpie
import torch
from nutpie.compiled_pyfunc import from_pyfunc

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from saturable import PUBLISHED, patient, saturable
from test_michaelis_menten_posterior import draws as weighted_draws

from metasci.bayes.gradients import check_gradient
from metasci.bayes.recording import recorded
from metasci.bayes.versions import group, worst
from metasci.meta.problem import Problem

DRAWS, TUNE, CHAINS, CORES, BATCHES = 2500, 500, 4, 2, 25
NAMES = PUBLISHED["names"]
QUANTILES = (0.05, 0.5, 0.95, 0.99)


def straightened(at: np.ndarray, sign: float = -1.0) -> np.ndarray:
    """Logarithms of the four, with the rate at 11 mg/L for the maximum rate; with a sign of +1, back again."""
    moved = at.copy()
    moved[..., 2] += sign * np.logaddexp(0.0, at[..., 1] - np.log(11.0))
    return moved


def main() -> None:
    """Sample, and print the moments beside the published ones."""
    torch.set_num_threads(1)
    problem = Problem(saturable, patient())

    def log_density(moved: torch.Tensor) -> torch.Tensor:
        back = torch.logaddexp(torch.zeros_like(moved[1]), moved[1] - np.log(11.0))
        at = moved + back * torch.tensor([0.0, 0.0, 1.0, 0.0], dtype=moved.dtype)
        prior = (np.log(2.0 / np.pi) + at - torch.logaddexp(torch.zeros_like(at), 2.0 * at)).sum()
        return prior - problem.negative_log_likelihood(at[None, :3], at[3:]).sum()

    start = straightened(np.log(np.array(PUBLISHED["mean"])))
    began = time.perf_counter()
    recording = recorded(log_density, torch.as_tensor(start))
    if recording is None:
        raise SystemExit("the density could not be recorded")

    def value_and_slope(point: np.ndarray) -> tuple[float, np.ndarray]:
        with torch.no_grad():
            value, slope = recording(torch.tensor(point))
        return float(value), slope.numpy().copy()

    check_gradient(value_and_slope, start, saturable.name)
    compiled = from_pyfunc(
        4, lambda: value_and_slope, lambda *_: lambda point: {"logarithm": np.array(point)},
        [np.dtype("float64")], [(4,)], ["logarithm"],
        make_initial_point_fn=lambda seed: start + 0.05 * np.random.default_rng(seed).standard_normal(4),
    )  # fmt: skip
    recorded_at = time.perf_counter()
    data = nutpie.sample(
        compiled, draws=DRAWS, tune=TUNE, chains=CHAINS, cores=CORES, seed=0, target_accept=0.9,
        low_rank_modified_mass_matrix=True, progress_bar=False, save_warmup=False,
    )  # fmt: skip
    took = time.perf_counter() - recorded_at
    moved = np.asarray(group(data, "posterior")["logarithm"])
    at = straightened(moved, sign=1.0)
    rhat, size = worst(data, ["logarithm"])
    diverging = int(np.asarray(group(data, "sample_stats")["diverging"]).sum())
    gradients = int(np.asarray(group(data, "sample_stats")["n_steps"]).sum())
    print(f"recorded in {recorded_at - began:.0f} s; {CHAINS} chains of {DRAWS} draws in {took:.0f} s")
    print(
        f"{gradients} gradients of draws; R-hat {rhat:.3f}, effective size {size:.0f}, {diverging} diverged"
    )
    some = moved.reshape(-1, 4)[:: len(moved.reshape(-1, 4)) // 30]
    with torch.no_grad():
        off = [float(recording(point)[0] - log_density(point)) for point in torch.as_tensor(some)]
    print(f"log density off by {np.abs(off).max():.1e} nats at most, at {len(off)} draws")
    values = np.exp(at)
    mean, sd = values.mean((0, 1)), values.std((0, 1))
    batches = values.reshape(CHAINS * BATCHES, -1, 4).mean(1)
    error = batches.std(0, ddof=1) / np.sqrt(len(batches))
    known, weight = weighted_draws(20_000)
    published_sd = np.sqrt(np.array(PUBLISHED["mean_square"]) - np.square(PUBLISHED["mean"]))
    print(f"{'':20}{'NUTS':>18}{'published':>18}{'off':>7}{'SD, NUTS':>10}{'published':>10}")
    for i, name in enumerate(NAMES):
        far = (mean[i] - PUBLISHED["mean"][i]) / np.hypot(error[i], PUBLISHED["mean_error"][i])
        told = f"{PUBLISHED['mean'][i]:.4f} ± {PUBLISHED['mean_error'][i]:.4f}"
        spread = f"{sd[i]:10.4f}{published_sd[i]:10.4f}" if i in (0, 3) else f"{'none':>10}{'none':>10}"
        print(f"{name:20}{f'{mean[i]:.4f} ± {error[i]:.4f}':>18}{told:>18}{far:7.1f}{spread}")
    print("\nquantiles")
    print(f"{'':20}" + "".join(f"{f'{100 * q:.0f} %':>10}{'weighted':>10}" for q in QUANTILES))
    for i, name in enumerate(NAMES):
        order = np.argsort(known[:, i])
        reached = np.cumsum(weight[order])
        pairs = [
            (np.quantile(values[..., i], q), np.exp(known[order, i])[np.searchsorted(reached, q)])
            for q in QUANTILES
        ]
        print(f"{name:20}" + "".join(f"{own:10.3f}{other:10.3f}" for own, other in pairs))


if __name__ == "__main__":
    main()
