"""Quick approximations against quadrature, against Gaussians, and judged by their weights."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("pymc")

from test_reference_posteriors import EFFECT, ERROR, measured, quadrature, schools

import metasci as ms
from metasci.bayes import initial_point, proposals, quick, versions
from metasci.bayes.quick import METHODS
from metasci.bayes.traced import traced
from metasci.bayes.versions import pareto_shape
from metasci.errors import InputError


def test_laplace_against_quadrature() -> None:
    """Sixty simulated schools: tasks are Gaussian given the population, and that is nearly so itself."""
    random = np.random.default_rng(0)
    error = random.uniform(4.0, 12.0, 60)
    effect = 7.0 + 10.0 * random.standard_normal(60) + error * random.standard_normal(60)
    expected = quadrature(effect, error)
    found = quick(schools, measured(effect, error), draws=2000, initial=initial_point(effect[:, None] / 10.0))
    assert found.effective_size > 0.8 * len(found)
    drawn = {
        "mean": 10.0 * found.draws["coordinate_mean"][:, 0],
        "spread": 10.0 * found.draws["coordinate_sd"][:, 0],
        "schools": found.draws["school"],
    }
    for name, (mean, sd) in expected.items():
        np.testing.assert_allclose(drawn[name].mean(0), mean, atol=0.11 * np.max(sd))
        np.testing.assert_allclose(drawn[name].std(0), sd, rtol=0.08)
    assert versions.group(found.data, "posterior")["school"].dims == ("chain", "draw", "task")


def test_eight_schools_are_too_few_for_laplace_and_it_says_so() -> None:
    """The spread's posterior leans against zero; the standard deviation of its logarithm is not that of a Gaussian."""
    found = quick(schools, measured(EFFECT, ERROR), initial=initial_point(EFFECT[:, None] / 20.0))
    expected = quadrature(EFFECT, ERROR)["mean"]
    mean = 10.0 * found.draws["coordinate_mean"][:, 0]
    assert abs(mean.mean() - expected[0]) < 0.3 * expected[1]
    assert found.pareto_k > 0.5


def gaussian(precision: np.ndarray, centre: np.ndarray) -> Any:
    def value_and_slope(point: np.ndarray) -> tuple[float, np.ndarray]:
        off = point - centre
        return -0.5 * float(off @ precision @ off), -precision @ off

    return SimpleNamespace(size=len(centre), value_and_slope=value_and_slope)


@pytest.mark.parametrize("method", ["pathfinder", "advi", "fullrank_advi"])
def test_a_gaussian_is_found(method: str) -> None:
    covariance = np.array([[1.0, 0.6, 0.0], [0.6, 1.0, 0.0], [0.0, 0.0, 0.04]])
    precision, centre = np.linalg.inv(covariance), np.array([1.0, -1.0, 3.0])
    target = gaussian(precision, centre)
    points, log_q, _ = METHODS[method](target, np.zeros(3), 4000, np.random.default_rng(0))
    if method == "advi":  # knows no correlations, and is as narrow as the others held fixed
        covariance = np.diag(1.0 / precision.diagonal())
    np.testing.assert_allclose(points.mean(0), centre, atol=0.12)
    if method == "pathfinder":  # knows the covariance from a few changes of the slope only
        np.testing.assert_allclose(points.std(0), np.sqrt(covariance.diagonal()), rtol=0.25)
    else:
        np.testing.assert_allclose(np.cov(points.T), covariance, atol=0.12)
    off = np.array([target.value_and_slope(p)[0] for p in points]) - log_q
    if method != "advi":
        assert pareto_shape(off) < 0.7
    if method == "fullrank_advi":
        assert off.std() < 0.25


@pytest.mark.parametrize("task_noise", [False, True])
def test_weights_are_of_the_density_that_is_sampled(task_noise: bool) -> None:
    prior = ms.load("theophylline")
    batch = prior.batch(ms.dataset("theophylline"))
    built = traced(prior.model, batch, prior.covariates.design(batch.covariates), task_noise=task_noise)
    points = 0.3 * np.random.default_rng(0).standard_normal((3, built.size))
    single = [float(built.log_density(torch.as_tensor(point)).detach()) for point in points]
    np.testing.assert_allclose(proposals.log_densities(built, points), single, rtol=1e-10)


def test_an_approximation_that_is_too_narrow_is_caught() -> None:
    random = np.random.default_rng(1)
    points = 0.5 * random.standard_normal((4000, 4))
    log_weight = -0.5 * (points**2).sum(1) + 0.5 * (points**2).sum(1) / 0.25
    assert pareto_shape(log_weight) > 0.7


def test_a_method_that_is_not_known_is_said() -> None:
    with pytest.raises(InputError, match="there is no method 'flow'"):
        quick(schools, measured(EFFECT, ERROR), method="flow")


def test_laplace_does_not_take_noise_of_tasks() -> None:
    with pytest.raises(InputError, match="one noise for all tasks"):
        quick(schools, measured(EFFECT, ERROR), task_noise=True)
