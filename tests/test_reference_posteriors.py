"""Posteriors against references: quadrature, the conjugate case, and the truth of simulated tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy import stats

pytest.importorskip("pymc")

import metasci as ms
from metasci.bayes import hierarchical, initial_point, sample
from metasci.bayes.baselines import complete_pooling, no_pooling
from metasci.bayes.simulation_based import laplace_ranks, uniformity
from metasci.data.batch import Batch
from metasci.noise import Noise

EFFECT = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERROR = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


@dataclass(frozen=True)
class Known(Noise):
    """Standard errors that are given; the one scale does nothing."""

    scales: ClassVar[tuple[str, ...]] = ("unused",)

    def variance(self, prediction, log_scales, inputs=None):
        return inputs["error"] ** 2 + 0.0 * prediction


@ms.equation(
    inputs={"error": "1"}, output=("effect", "1"), parameters=[ms.Parameter("school", spread=10.0)],
    noise=Known((1.0,)), name="test.schools",
)  # fmt: skip
def schools(error, *, school):
    """An effect, measured with a known error (Rubin 1981)."""
    return school + 0.0 * error


def measured(effect: np.ndarray, error: np.ndarray) -> Batch:
    column = torch.tensor(effect)[:, None]
    return Batch(
        {"error": torch.tensor(error)[:, None]}, column, torch.ones_like(column, dtype=torch.bool), column[:, :0],
        tuple(f"school {place + 1}" for place in range(len(effect))),
    )  # fmt: skip


def quadrature(effect: np.ndarray, error: np.ndarray) -> dict[str, np.ndarray]:
    """Moments of the population and of every school: given the spread all is Gaussian; it is summed over."""
    spread = np.linspace(1e-3, 60.0, 6000)
    variance = spread[:, None] ** 2 + error**2
    precision = (1.0 / variance).sum(1) + 1.0 / 20.0**2
    mean = (effect / variance).sum(1) / precision
    log = stats.norm.logpdf(effect, mean[:, None], np.sqrt(variance)).sum(1) + stats.norm.logpdf(
        mean, 0.0, 20.0
    )
    log = log - 0.5 * np.log(precision) + stats.halfnorm.logpdf(spread, scale=10.0)
    weight = np.exp(log - log.max())
    weight = weight / weight.sum()
    share = spread[:, None] ** 2 / variance
    school = mean[:, None] + share * (effect - mean[:, None])
    own = share * error**2 + (1.0 - share) ** 2 / precision[:, None]

    def moments(value: np.ndarray, variance: np.ndarray) -> np.ndarray:
        centre = weight @ value
        return np.array([centre, np.sqrt(weight @ (variance + value**2) - centre**2)])

    return {
        "mean": moments(mean, 1.0 / precision),
        "spread": moments(spread, 0.0 * spread),
        "schools": np.stack([moments(school[:, j], own[:, j]) for j in range(len(effect))], 1),
    }


def test_eight_schools_against_quadrature() -> None:
    """Population mean N(0, 20²), spread half-normal of scale 10."""
    expected = quadrature(EFFECT, ERROR)
    start = initial_point(EFFECT[:, None] / 20.0)
    found = sample(
        hierarchical(schools, measured(EFFECT, ERROR)),
        draws=1000,
        tune=500,
        initial=start,
        seed=3,
        progress=False,
    )
    assert found.converged, found.verdict
    drawn = {
        "mean": 10.0 * found.draws["coordinate_mean"][:, 0],
        "spread": 10.0 * found.draws["coordinate_sd"][:, 0],
        "schools": found.draws["school"],
    }
    for name, (mean, sd) in expected.items():
        np.testing.assert_allclose(drawn[name].mean(0), mean, atol=0.2 * np.max(sd))
        np.testing.assert_allclose(drawn[name].std(0), sd, rtol=0.15)
    # the classical picture (Rubin 1981; Gelman et al. 2013, table 5.3): school A highest, all drawn to about 8
    order = np.argsort(drawn["schools"].mean(0))
    assert order[-1] == 0
    assert 5.0 < drawn["mean"].mean() < 9.0


def test_pooling_brackets_the_hierarchical_model() -> None:
    tasks = ms.dataset("theophylline")
    prior = ms.load("theophylline")
    batch = prior.batch(tasks)
    together = complete_pooling(prior.model, batch)
    alone = no_pooling(prior.model, batch, prior.state.log_noise)
    between = prior.adapt(batch).coordinates.numpy()
    assert np.ptp(together.coordinates, axis=0).max() == 0.0
    assert (alone.coordinates.std(0) > between.std(0)).all()
    assert (alone.sd > together.sd).all()


@pytest.mark.parametrize("name", ["theophylline", "phenobarbital"])
def test_laplace_posteriors_hold_the_truth_as_often_as_they_say(name: str) -> None:
    prior = ms.load(name)
    batch = prior.batch(ms.dataset(name))
    repeats = 1200 // len(batch)
    assert uniformity(laplace_ranks(prior, batch, repeats=repeats)).min() > 1e-3
    assert uniformity(laplace_ranks(prior, batch, repeats=repeats, narrowed=0.6)).max() < 1e-6


def test_where_the_model_bends_much_laplace_is_nearly_right() -> None:
    """Crack growth bends within its exponent's spread: ranks are not quite uniform, intervals nearly hold."""
    prior = ms.load("alloy_fatigue")
    ranks = laplace_ranks(prior, prior.batch(ms.dataset("alloy_fatigue")), repeats=57)
    np.testing.assert_allclose(((ranks > 0.05) & (ranks < 0.95)).mean(0), 0.9, atol=0.03)
