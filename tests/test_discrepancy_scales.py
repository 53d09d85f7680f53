"""What few tasks leave uncertain of a discrepancy's scales: sampled, and integrated out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from metasci.meta.discrepancy import scales
from metasci.meta.discrepancy.kernel import packed, triangular
from metasci.meta.discrepancy.scales import hamiltonian_draws, mean_scales

F64 = torch.float64


def test_draws_have_the_moments_of_a_density_that_no_gaussian_is() -> None:
    """A Gamma's logarithm, whose moments are polygammas, beside a Gaussian tied to it; from a start far off."""
    shape = 3.0

    def far(x: torch.Tensor) -> tuple[float, torch.Tensor]:
        log, other = x
        value = torch.exp(log) - shape * log + 0.5 * (other - 2.0 * log) ** 2
        slope = torch.stack([torch.exp(log) - shape - 2.0 * (other - 2.0 * log), other - 2.0 * log])
        return float(value), slope

    root = torch.linalg.cholesky(torch.tensor([[0.5, 0.6], [0.6, 3.0]], dtype=F64))
    drawn, taken = hamiltonian_draws(far, torch.tensor([1.5, 0.0], dtype=F64), root, 4000, seed=1)
    digamma, trigamma = (float(torch.polygamma(n, torch.tensor(shape, dtype=F64))) for n in (0, 1))
    assert 0.5 < taken < 0.95
    assert float(drawn[:, 0].mean()) == pytest.approx(digamma, abs=0.06)
    assert float(drawn[:, 0].var()) == pytest.approx(trigamma, rel=0.15)
    assert float(drawn[:, 1].mean()) == pytest.approx(2.0 * digamma, abs=0.12)
    assert float(drawn[:, 1].var()) == pytest.approx(1.0 + 4.0 * trigamma, rel=0.15)


def test_means_are_those_of_variances_matrices_and_logarithms() -> None:
    random = np.random.default_rng(0)
    draws = [
        {
            "shared": torch.tensor(random.normal(), dtype=F64),
            "own_lengths": torch.tensor(random.normal(size=2), dtype=F64),
            "spread": torch.tensor(random.normal(size=3), dtype=F64),
            "effects": torch.tensor(random.normal(size=3), dtype=F64),
            "log_noise": torch.tensor(random.normal(size=1), dtype=F64),
        }
        for _ in range(5)
    ]
    means = mean_scales(draws)
    variance = np.mean([math.exp(2.0 * float(each["shared"])) for each in draws])
    assert math.exp(2.0 * float(means["shared"])) == pytest.approx(variance)
    np.testing.assert_allclose(
        means["own_lengths"], np.mean([each["own_lengths"].numpy() for each in draws], 0)
    )
    whole = np.mean([(triangular(d["spread"]) @ triangular(d["spread"]).T).numpy() for d in draws], 0)
    np.testing.assert_allclose(triangular(means["spread"]) @ triangular(means["spread"]).T, whole)
    np.testing.assert_allclose(packed(triangular(means["effects"])), means["effects"])


def test_scales_without_a_covariance_are_no_place_to_go_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sampling once ended in torch's own error where rounding left a matrix without a factor."""
    named = {"shared": torch.zeros((), dtype=F64)}
    no_covariance = -torch.eye(2, dtype=F64)

    def cost(*_: object) -> None:
        torch.linalg.cholesky(no_covariance)

    monkeypatch.setattr(scales, "cost_and_slopes", cost)
    monkeypatch.setattr(scales._Posterior, "named", lambda self, row: named)
    posterior = scales._Posterior(None, [None], 1.0)  # type: ignore[arg-type, list-item]
    value, slopes = posterior.with_slopes(torch.zeros(1, dtype=F64))
    assert value == math.inf
    assert torch.equal(slopes, torch.zeros(1, dtype=F64))


def test_draws_that_follow_each_other_hardly_hang_together() -> None:
    """Steps along the momentum cross a Gaussian within a draw; the density alone would forgive any other step."""

    def far(x: torch.Tensor) -> tuple[float, torch.Tensor]:
        return 0.5 * float(x.square().sum()), x

    drawn, taken = hamiltonian_draws(far, torch.zeros(4, dtype=F64), torch.eye(4, dtype=F64), 1000, seed=2)
    together = [abs(np.corrcoef(drawn[:-1, k], drawn[1:, k])[0, 1]) for k in range(4)]
    assert taken > 0.5
    assert max(together) < 0.5
