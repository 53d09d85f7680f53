"""Saturable elimination against a published posterior, and against SciPy's solution of the same equation."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from scipy import stats

pytest.importorskip("pymc")

from saturable import PUBLISHED, log_likelihood, log_published_prior, patient, saturable

from metasci.bayes.traced import traced
from metasci.meta.problem import Problem


def test_the_density_is_that_of_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What NUTS samples, against priors of SciPy and its solution; correlations held, only differences count."""
    module = sys.modules["metasci.bayes.traced"]  # the package has a function of that name
    monkeypatch.setattr(module, "recorded", lambda *_: None)  # takes long, and is tested elsewhere
    built = traced(saturable, patient())
    random = np.random.default_rng(5)
    own, other = [], []
    for _ in range(5):
        mean, log_sd, offset = 0.5 * random.standard_normal((3, 3))
        log_noise = np.log(0.13) + 0.3 * random.standard_normal()
        blocks = {
            "coordinate_mean": mean, "log_coordinate_sd": log_sd, "partial": np.zeros(3),
            "log_noise": [log_noise], "coordinate_offset": offset,
        }  # fmt: skip
        assert list(blocks) == list(built.shapes)
        with torch.no_grad():
            own.append(float(built.log_density(torch.tensor(np.concatenate(list(blocks.values()))))))
        prior = stats.norm.logpdf(mean, 0.0, 2.0).sum() + stats.norm.logpdf(offset).sum()
        prior += (stats.halfnorm.logpdf(np.exp(log_sd)) + log_sd).sum()
        prior += stats.norm.logpdf(log_noise, np.log(0.13), 1.0)
        logarithms = mean + np.exp(log_sd) * offset
        other.append(prior + log_likelihood(np.append(logarithms, log_noise)))
    np.testing.assert_allclose(np.diff(own), np.diff(other), atol=1e-5)


def draws(count: int, strength: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of parameters and noise (draw, 4) with weights, by importance sampling from Student's tails.

    `strength` multiplies the dose, to be wrong on purpose. Where half-saturation is large the maximum rate follows
    it, so that elimination at 11 mg/L stays the same.
    """
    random = np.random.default_rng(seed)
    tails, scale = random.standard_t(5, (count, 4)), np.array([0.11, 1.5, 0.35, 0.18])
    half = 0.3 + scale[1] * tails[:, 1]
    rate = np.log(0.8 * (1.0 + np.exp(half) / 11.0)) + scale[2] * tails[:, 2]
    at = np.stack([scale[0] * tails[:, 0] - 0.29, half, rate, scale[3] * tails[:, 3] - 2.1], -1)
    with torch.no_grad():
        problem = Problem(saturable, patient(count, strength))
        cost = problem.negative_log_likelihood(
            torch.as_tensor(at[:, :3]), torch.as_tensor(at[:, 3])[None, :, None]
        )
    proposed = (stats.t.logpdf(tails, 5) - np.log(scale)).sum(1)
    log_weight = log_published_prior(at) - cost.numpy() - proposed
    weight = np.exp(log_weight - log_weight.max())
    return at, weight / weight.sum()


def off_by(at: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and how many standard errors, of both sides together, they lie from the published ones."""
    values = np.exp(at)
    mean = weight @ values
    error = np.sqrt((weight**2) @ (values - mean) ** 2)
    return error / mean, (mean - PUBLISHED["mean"]) / np.hypot(error, PUBLISHED["mean_error"])


def test_the_posterior_has_the_published_moments() -> None:
    at, weight = draws(20_000)
    assert 1.0 / (weight**2).sum() > 4000
    relative, off = off_by(at, weight)
    assert relative[[0, 3]].max() < 0.003
    assert np.abs(off).max() < 3.5, off
    light = [0, 3]  # whose variance exists
    published = np.sqrt(np.array(PUBLISHED["mean_square"]) - np.square(PUBLISHED["mean"]))
    found = np.sqrt(weight @ np.exp(2.0 * at) - (weight @ np.exp(at)) ** 2)
    np.testing.assert_allclose(found[light], published[light], rtol=0.03)


def test_a_dose_wrong_by_a_fiftieth_is_noticed() -> None:
    _, off = off_by(*draws(8_000, 1.02))
    assert np.abs(off).max() > 5.0, off
