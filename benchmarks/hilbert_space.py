"""What sums of sines and dense covariances of tasks cost and lose in PyMC: ``python benchmarks/hilbert_space.py``.

First the log density of all fatigue cracks' readings about the learned equation, by the exact covariance and by as many
sines as `metasci.bayes.hilbert_space` takes. Then one evaluation of the likelihood of a curve that a task has of its
own, by its dense covariance and by the innovations of its Markov process (a Kalman filter of the Matérn process of
smoothness 5/2, three numbers a state; Hartikainen and Särkkä, MLSP 2010), both compiled by numba.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial

import numba
import numpy as np
import torch
from scipy import linalg, stats

import metasci as ms
from metasci.bayes.discrepancy_parts import Places
from metasci.bayes.hilbert_space import Sines

SIZES = (5, 12, 25, 50, 100, 200)


@numba.njit
def dense(x: np.ndarray, y: np.ndarray, length: float, noise: float) -> float:
    """Log density of a Matérn process with noise, by its covariance."""
    count = len(x)
    whole = np.empty((count, count))
    for i in range(count):
        for j in range(count):
            r = math.sqrt(5.0) * abs(x[i] - x[j]) / length
            whole[i, j] = (1.0 + r + r * r / 3.0) * math.exp(-r)
        whole[i, i] += noise
    root = np.linalg.cholesky(whole)
    white = np.linalg.solve(root, y)
    return -0.5 * white @ white - np.log(np.diag(root)).sum() - 0.5 * count * math.log(2.0 * math.pi)


@numba.njit
def markov(x: np.ndarray, y: np.ndarray, length: float, noise: float) -> float:
    """The same, by innovations: value, slope and curvature, carried from each place to the next."""
    rate = math.sqrt(5.0) / length
    steady = np.array(
        [[1.0, 0.0, -(rate**2) / 3.0], [0.0, rate**2 / 3.0, 0.0], [-(rate**2) / 3.0, 0.0, rate**4]]
    )
    mean, covariance, value = np.zeros(3), steady.copy(), 0.0
    for i in range(len(x)):
        if i:
            step = x[i] - x[i - 1]
            # exp(F t) = exp(−λ t) (1 + (F + λ) t + (F + λ)² t²/2), since F + λ is nilpotent
            shifted = np.array(
                [[rate, 1.0, 0.0], [0.0, rate, 1.0], [-(rate**3), -3.0 * rate**2, -2.0 * rate]]
            )
            move = np.eye(3) + shifted * step + shifted @ shifted * (0.5 * step * step)
            move = move * math.exp(-rate * step)
            mean = move @ mean
            covariance = steady + move @ (covariance - steady) @ move.T
        surprise, variance = y[i] - mean[0], covariance[0, 0] + noise
        value -= 0.5 * (surprise**2 / variance + math.log(2.0 * math.pi * variance))
        gain = covariance[:, 0] / variance
        mean = mean + gain * surprise
        covariance = covariance - np.outer(gain, covariance[0])
    return value


def microseconds(function: Callable[[], float], repeats: int = 200) -> float:
    """The fastest of some calls, so that what else the machine does counts little."""
    took = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        took.append(time.perf_counter() - began)
    return 1e6 * min(took)


def own_curves() -> None:
    """Print what a task's own curve costs."""
    random = np.random.default_rng(0)
    print("readings of a task    dense, us   innovations, us   difference of log densities")
    for count in SIZES:
        x, y = np.sort(random.uniform(0.0, 3.0, count)), random.standard_normal(count)
        calls = [partial(of, x, y, 0.7, 0.1) for of in (dense, markov)]
        off = abs(calls[0]() - calls[1]())
        took = [microseconds(call) for call in calls]
        print(f"{count:18}{took[0]:13.1f}{took[1]:18.1f}{off:30.0e}")


def cracks() -> None:
    """Print what sines lose on fatigue cracks, and what either covariance costs."""
    prior = ms.load("alloy_fatigue_discrepancy")
    batch, state = prior.batch(ms.dataset("alloy_fatigue")), prior.state
    data = Places.of(prior, batch, None)
    rows = data.rows_without_slopes(len(state.origin))
    at = prior.adapt(batch).coordinates
    line = prior.problem(batch).linearise(at, state.log_noise)
    left = (prior.problem(batch).target - line.prediction)[batch.mask].numpy()
    own = torch.where(rows.same_task(rows), state.kernel.own(rows, rows), 0.0).numpy()
    own = own + np.diag(line.variance[batch.mask].numpy())
    exact = state.kernel.shared(rows, rows).numpy()
    variance, length = float(state.kernel.amplitude("shared")), state.scales["shared_lengths"].exp().numpy()
    whole = stats.multivariate_normal(cov=own + exact).logpdf(left)
    print(f"{len(left)} readings; log density by the exact covariance {whole:.3f}")
    for wider, why in ((0.0, "scales known"), (1.0, "scales sampled")):
        centre = length if wider == 0.0 else state.first["shared_lengths"].exp().numpy()
        sines = Sines.over(data.place, centre * np.exp(-wider), centre * np.exp(wider))
        basis = sines.basis(length)
        found = stats.multivariate_normal(cov=own + variance * basis @ basis.T).logpdf(left)
        print(f"{len(sines)} sines ({why}): {found - whole:+.4f}")
    blocks = [own[data.rows.task == task][:, data.rows.task == task] for task in range(len(batch))]
    once = microseconds(lambda: linalg.cholesky(own + exact, lower=True)[0, 0], 50)
    parts = microseconds(lambda: sum(linalg.cholesky(block, lower=True)[0, 0] for block in blocks), 50)
    print(f"Cholesky factor of all readings {once:.0f} us, of each crack's {parts:.0f} us")


if __name__ == "__main__":
    torch.set_num_threads(1)
    cracks()
    own_curves()
