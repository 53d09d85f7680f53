"""How near any forecast of a fraction can come, from a few readings: ``python benchmarks/ideal_avrami.py FOLDER``.

A folder of a data set of alloys whose transformed fraction was measured over time and temperature. Each alloy is
fitted alone, to all of its readings (SciPy). A forecaster that knew the mean and the covariance of these fits
beforehand, and the noise, would have the posterior mean as its best forecast; it is computed by weighting draws. A
prior that learns from other alloys cannot be expected to do better.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import least_squares

import metasci as ms
from metasci.evaluation.protocol import Protocol, split_tasks
from metasci.kinetics import avrami

_GAS = 8.314e-3  # kJ/(mol K)
_DRAWS = 20_000
Array = NDArray[np.float64]


def fraction(parameters: Array, time: Array, kelvin: Array, reference: float) -> Array:
    """Transformed fraction, (draw, reading), of draws of ln k (at the reference), Q and ln n."""
    log_rate, energy, log_exponent = (column[:, None] for column in parameters.T)
    log_time = log_rate - energy / _GAS * (1.0 / kelvin - 1.0 / reference) + np.log(time)
    return np.asarray(-np.expm1(-np.exp(np.exp(log_exponent) * log_time)))


def fitted(time: Array, kelvin: Array, measured: Array, reference: float) -> tuple[Array, float]:
    """The best of fits from many starts, and the root mean square of what is left."""

    def off(parameters: Array) -> Array:
        return fraction(parameters[None], time, kelvin, reference)[0] - measured

    starts = [(rate, energy, 0.3) for rate in (-9.0, -7.0, -5.0, -3.0) for energy in (100.0, 300.0, 500.0)]
    best = min((least_squares(off, start) for start in starts), key=lambda found: float(found.cost))
    return best.x, float(np.sqrt(2.0 * best.cost / len(measured)))


def main() -> None:
    """Print the fits, and the errors of the ideal forecast by number of readings."""
    torch.set_num_threads(1)
    tasks = ms.dataset(sys.argv[1], model=avrami)
    batch = tasks.batch(avrami)
    time, kelvin = (batch.inputs[name].expand(batch.mask.shape).numpy() for name in ("time", "temperature"))
    measured, reference = batch.output.numpy(), float(kelvin[batch.mask.numpy()].mean())
    found = [fitted(*row, reference) for row in zip(time, kelvin, measured, strict=True)]
    known, left = np.array([fit for fit, _ in found]), np.array([rest for _, rest in found])
    noise = float(np.sqrt(np.mean(left**2) * measured.shape[1] / (measured.shape[1] - 3)))
    print(f"fitted alone to all of its readings: RMSE {left.min():.3f} to {left.max():.3f}")
    print(f"ln k, Q, ln n: standard deviations between alloys {known.std(0, ddof=1).round(2).tolist()}")
    drawn = np.random.default_rng(0).multivariate_normal(known.mean(0), np.cov(known.T), _DRAWS)
    print("\n| readings | RMSE of the ideal forecast |\n|---|---|")
    for shots in (0, 1, 3, 5):
        split = split_tasks(batch.mask, shots, Protocol(), 5)
        errors = []
        for task, support, query in zip(split.task.tolist(), split.support, split.query, strict=True):
            curves = fraction(drawn, time[task], kelvin[task], reference)
            off = (curves - measured[task])[:, support.numpy()] / noise
            log_weight = -0.5 * (off**2).sum(1)
            weight = np.exp(log_weight - log_weight.max())
            forecast = weight @ curves / weight.sum()
            errors.append(np.sqrt(np.mean((forecast - measured[task])[query.numpy()] ** 2)))
        print(f"| {shots} | {np.mean(errors):.3f} |", flush=True)


if __name__ == "__main__":
    main()
