"""Levels of noise and spread of a straight line, held against the Gaussian densities that they stand for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

import metasci as ms
from metasci.data.batch import Batch
from metasci.meta.laplace.gauss_newton import map_estimate
from metasci.meta.laplace.levels import Levels, level_posteriors, level_weights
from metasci.meta.laplace.second_look import look_again
from metasci.meta.problem import Problem

FLOAT = torch.float64
MEAN = torch.tensor([[0.5, -1.0]] * 3, dtype=FLOAT)
SPREAD = torch.tensor([[2.0, 0.6], [0.6, 1.0]], dtype=FLOAT)
X = torch.tensor([-1.0, 0.0, 2.0, 3.0], dtype=FLOAT)
SEEN = torch.tensor([[True] * 4, [True, True, False, False], [False] * 4])
LOG_NOISE = torch.tensor([-0.5], dtype=FLOAT)


@ms.equation(
    inputs={"x": "1"},
    output=("y", "1"),
    parameters=[ms.Parameter("level", spread=1.0), ms.Parameter("slope", spread=1.0)],
    noise=ms.Additive((0.6,)),
    name="test.levels_of_a_line",
)
def line(x, *, level, slope):
    """A straight line."""
    return level + slope * x


@pytest.fixture
def problem() -> Problem:
    measured = torch.randn(3, 4, generator=torch.Generator().manual_seed(1), dtype=FLOAT)
    return Problem(line, Batch({"x": X.expand(3, -1)}, measured, SEEN, torch.zeros(3, 0), ("a", "b", "c")))


def coordinates_as_they_are(problem: Problem) -> tuple[torch.Tensor, torch.Tensor]:
    """Design (observation, parameter) and prediction at zero, of the model's own coordinates."""
    at = problem.linearise(torch.zeros(3, 2, dtype=FLOAT), LOG_NOISE)
    return at.jacobian[0], at.prediction[0]


def test_levels_are_weighed_and_conditioned_as_gaussian_densities_are(problem: Problem) -> None:
    levels = Levels(
        torch.tensor([0.2, 1.0, 4.0], dtype=FLOAT),
        torch.tensor([1.0, 3.0, 0.5], dtype=FLOAT),
        torch.tensor([0.3, 0.5, 0.2], dtype=FLOAT),
    )
    precision = torch.linalg.inv(SPREAD).expand(3, -1, -1)
    estimate = map_estimate(problem, MEAN, precision, LOG_NOISE)
    mixture = level_posteriors(problem, estimate, MEAN, precision, LOG_NOISE, levels)
    design, zero = coordinates_as_they_are(problem)
    for task in range(3):
        seen = SEEN[task].numpy()
        x, y = design.numpy()[seen], (problem.target[task] - zero).numpy()[seen]
        weight = []
        for at in range(3):
            prior = float(levels.spread[at]) * SPREAD.numpy()
            noise = np.exp(2 * float(LOG_NOISE)) / float(levels.noise_precision[at]) * np.eye(len(y))
            density = (
                multivariate_normal(x @ MEAN[task].numpy(), x @ prior @ x.T + noise).pdf(y) if len(y) else 1.0
            )
            weight.append(float(levels.probability[at]) * density)
            gain = prior @ x.T @ np.linalg.inv(x @ prior @ x.T + noise) if len(y) else np.zeros((2, 0))
            here = MEAN[task].numpy() + gain @ (y - x @ MEAN[task].numpy())
            moved = estimate.coordinates[task] + mixture.shift[at, task]
            np.testing.assert_allclose(moved, here, rtol=1e-9, atol=1e-10)
            np.testing.assert_allclose(
                mixture.covariance[at, task], prior - gain @ x @ prior, rtol=1e-9, atol=1e-11
            )
            assert float(mixture.factor[at, task]) == pytest.approx(1.0 / float(levels.noise_precision[at]))
        np.testing.assert_allclose(mixture.weight[:, task], np.array(weight) / np.sum(weight), rtol=1e-9)
    weights = level_weights(problem, estimate, MEAN, precision, LOG_NOISE, levels)
    torch.testing.assert_close(weights, mixture.weight, rtol=0.0, atol=0.0)
    before = levels.before(SPREAD.expand(3, -1, -1))
    torch.testing.assert_close(before.covariance[1, 2], 3.0 * SPREAD, rtol=0.0, atol=0.0)


@ms.equation(
    inputs={"x": "1"},
    output=("y", "1"),
    parameters=[ms.Parameter("place", spread=1.0)],
    noise=ms.Additive((0.1,)),
    name="test.two_valleys",
)
def double(x, *, place):
    """Two valleys: a shallow one left, where no curve fits, and a deep one right."""
    from metasci.math import tanh

    return x * (place * place * place - 3.0 * place + tanh(4.0 * (place - 1.5)))


def test_a_task_in_the_wrong_valley_ends_in_the_lowest_of_all_starts() -> None:
    inputs = {"x": torch.ones(3, 2, dtype=FLOAT)}
    generator = torch.Generator().manual_seed(0)
    measured = torch.tensor([[3.0], [-2.2], [2.0]], dtype=FLOAT) + 0.01 * torch.randn(
        3, 2, generator=generator, dtype=FLOAT
    )
    seen = torch.ones(3, 2, dtype=torch.bool)
    problem = Problem(double, Batch(inputs, measured, seen, torch.zeros(3, 0), ("a", "b", "c")))
    mean, covariance = torch.full((3, 1), -0.9, dtype=FLOAT), torch.ones(3, 1, 1, dtype=FLOAT)
    log_noise = torch.tensor([-2.3], dtype=FLOAT)
    found = map_estimate(problem, mean, covariance, log_noise)
    better = look_again(problem, mean, covariance, log_noise, found, 1e-8)
    grid = torch.linspace(-4.0, 4.0, 200_001, dtype=FLOAT)
    assert float(better.coordinates[1, 0]) == float(found.coordinates[1, 0])  # it fits where it is
    for task in (0, 2):
        one = problem.select(torch.full((len(grid),), task))
        cost = one.negative_log_likelihood(grid[:, None], log_noise) + 0.5 * (grid + 0.9).square()
        assert float(better.coordinates[task, 0]) == pytest.approx(float(grid[cost.argmin()]), abs=1e-4)
        assert abs(float(better.coordinates[task, 0] - found.coordinates[task, 0])) > 0.1
