"""NUTS and weighted draws hold the truth of simulated tasks as often as they say, and a test that can fail says so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import logit

pytest.importorskip("pymc")

from known import as_known

import metasci as ms
from metasci.bayes import hierarchical, importance_ranks, laplace_ranks, nuts_ranks, uniformity, versions
from metasci.bayes.simulation_based import _simulated, _unconstrained
from metasci.data.batch import Batch
from metasci.diagnostics.simulated import simulated_tasks
from metasci.errors import InputError
from metasci.meta.laplace.gauss_newton import map_estimate


@ms.equation(
    inputs={"x": "1"}, output=("y", "1"), parameters=[ms.Parameter("level", spread=1.0)],
    noise=ms.Additive((0.3,)), name="test.simulated_level",
)  # fmt: skip
def level_only(x, *, level):
    """A constant."""
    return level + 0.0 * x


@pytest.mark.slow
def test_nuts_holds_the_truth_as_often_as_it_says() -> None:
    """Three tasks of three measurements, population and noise from the model's own priors."""
    tasks = simulated_tasks(level_only, {"level": np.linspace(-1.0, 1.0, 3)}, {"x": np.arange(3.0)})
    built = hierarchical(level_only, tasks.batch(level_only))
    found = nuts_ranks(built, simulations=100, draws=300, tune=200, narrowed=(1.0, 0.4), seed=1)
    right, narrow = (uniformity(found.sel(narrowed=factor), bins=10) for factor in (1.0, 0.4))
    assert found["quantity"].size == 4  # mean, spread, a task's offset, the noise
    assert right.min() > 1e-3, dict(zip(found["quantity"].values, right, strict=True))
    assert np.median(narrow) < 1e-6


def test_the_share_of_divergent_draws_is_told(monkeypatch) -> None:
    """Every fifth draw of each of three simulations is said to have diverged."""

    def every_fifth(*arguments, **options):
        found = nuts(*arguments, **options)
        flags = found["sample_stats"]["diverging"]
        flags[:] = np.arange(flags.size).reshape(flags.shape) % 5 == 0
        return found

    nuts = versions.nuts
    monkeypatch.setattr(versions, "nuts", every_fifth)
    tasks = simulated_tasks(level_only, {"level": np.linspace(-1.0, 1.0, 3)}, {"x": np.arange(3.0)})
    found = nuts_ranks(hierarchical(level_only, tasks.batch(level_only)), simulations=3, draws=40, tune=40)
    assert found.attrs["diverging"] == pytest.approx(0.2)


def test_what_cannot_be_simulated_is_refused() -> None:
    prior = ms.load("theophylline")
    batch = prior.batch(ms.dataset("theophylline")).select(torch.arange(2))
    with pytest.raises(InputError, match="cannot simulate its own measurements"):
        nuts_ranks(hierarchical(prior.model, batch, centred=True), simulations=2)


def test_variables_are_where_pymc_samples_them() -> None:
    """Positive ones as logarithms, shares as log-odds, others as they are."""
    shares = np.array([0.1, 0.5, 0.9])
    for name, expected in (
        ("rate_log__", np.log(shares)),
        ("share_logodds__", logit(shares)),
        ("level", shares),
    ):
        np.testing.assert_allclose(_unconstrained(name, shares), expected, rtol=1e-12)


def crack_growth() -> tuple[ms.Prior, Batch]:
    prior = as_known(ms.load("alloy_fatigue"))
    return prior, prior.batch(ms.dataset("alloy_fatigue"))


@pytest.mark.slow
def test_weighted_draws_mend_what_laplace_gets_wrong() -> None:
    """Crack growth bends within its exponent's spread: Laplace's ranks are uneven, those of weighted draws are not."""
    prior, batch = crack_growth()
    assert uniformity(laplace_ranks(prior, batch, repeats=150)).min() < 1e-5
    ranks, effective = importance_ranks(prior, batch, repeats=150)
    assert uniformity(ranks).min() > 1e-3
    assert np.median(effective) > 150


def test_no_search_ends_in_the_wrong_valley() -> None:
    """Of specimens that fail fast, one in a hundred was taken for one that had failed already."""
    prior, batch = crack_growth()
    truth, simulated = _simulated(prior, batch, 100, 0)
    adapted, problem = prior.adapt(simulated), prior.problem(simulated)
    precision = torch.linalg.inv(adapted.start_covariance)
    arguments = (problem, adapted.start, precision, adapted.log_noise)
    from_truth = map_estimate(*arguments, start=truth)
    single = map_estimate(*arguments)

    def value(at: torch.Tensor) -> torch.Tensor:
        off = at - adapted.start
        prior_cost = 0.5 * torch.einsum("ti,tij,tj->t", off, precision, off)
        return problem.negative_log_likelihood(at, adapted.log_noise) + prior_cost

    assert int((value(single.coordinates) > value(from_truth.coordinates) + 1.0).sum()) > 5
    assert int((value(adapted.coordinates) > value(from_truth.coordinates) + 1e-3).sum()) == 0
