"""Draws of a task whose posterior is a long bent ridge, against quadrature."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from known import as_known

import metasci as ms
from metasci.diagnostics.simulated import simulated_tasks
from metasci.fits.posterior import posterior_draws


@ms.equation(
    inputs={"x": "1", "offset": "1"}, output=("y", "1"),
    parameters=[ms.Parameter("level", spread=1.0), ms.Parameter("rate", spread=1.0)],
    noise=ms.Additive((0.05,)), name="test.product",
)  # fmt: skip
def product(x, offset, *, level, rate):
    """Without an offset only level times rate can be told: a hyperbola."""
    return rate * (level * x + offset)


@pytest.fixture(scope="module")
def fit() -> ms.Calibration:
    """One task without offsets, under a prior learned from forty that had them."""
    random = np.random.default_rng(0)
    truth = {name: 1.0 + 0.6 * random.standard_normal(40) for name in ("level", "rate")}
    told = {"x": np.array([0.0, 0.5, 1.0, 1.0]), "offset": np.array([1.0, 1.0, 1.0, 0.0])}
    prior = ms.meta_calibrate(product, simulated_tasks(product, truth, told, seed=1), ms.GaussianPrior())
    one = {"level": np.array([0.9]), "rate": np.array([0.9])}
    blind = {"x": np.array([0.5, 1.0]), "offset": np.zeros(2)}
    return as_known(prior).calibrate(simulated_tasks(product, one, blind, seed=2))


def test_draws_of_a_bent_ridge_have_its_quantiles(fit: ms.Calibration) -> None:
    adapted = fit.adapted
    axes = [np.linspace(-6.0, 6.0, 700) + float(adapted.start[0, i]) for i in range(2)]
    grid = torch.as_tensor(np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2))
    off = grid - adapted.start[0]
    precision = torch.linalg.inv(adapted.start_covariance[0])
    problem = fit.problem.select(torch.zeros(len(grid), dtype=torch.long))
    with torch.no_grad():
        cost = problem.negative_log_likelihood(grid, adapted.log_noise)
    log_density = -0.5 * torch.einsum("ni,ij,nj->n", off, precision, off) - cost
    weight = torch.softmax(log_density, 0).reshape(700, 700).numpy()
    found = posterior_draws(fit, draws=20_000)
    assert found.effective > 1000
    for i in range(2):
        reached = weight.sum(1 - i).cumsum()
        for share in (0.05, 0.5, 0.95):
            exact = axes[i][np.searchsorted(reached, share)]
            own = float(torch.quantile(found.coordinates[:, i], share))
            assert own == pytest.approx(exact, abs=0.1), (i, share)
    # it is no Gaussian: Laplace's own quantiles would not pass
    lowest = axes[0][np.searchsorted(weight.sum(1).cumsum(), 0.05)]
    of_laplace = adapted.coordinates[0, 0] - 1.645 * adapted.covariance[0, 0, 0].sqrt()
    assert abs(float(of_laplace) - lowest) > 0.15


def test_draws_repeat_to_the_bit(fit: ms.Calibration) -> None:
    first, again = (posterior_draws(fit, draws=300, seed=7).coordinates for _ in range(2))
    assert torch.equal(first, again)
