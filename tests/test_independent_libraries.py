"""What we compute ourselves, beside libraries that compute the same on their own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from metasci.diagnostics import dersimonian_laird
from metasci.meta.group_covariance import GroupCovariance, covariances, noise_variance, overlap
from metasci.meta.group_process import Points, left_out_cost

FLOAT = torch.float64


def groups() -> tuple[Points, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    group = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2])
    descriptors = torch.randn(9, 2, generator=generator, dtype=FLOAT)
    values = descriptors[:, 0].sin() + 0.4 * group + 0.1 * torch.randn(9, generator=generator, dtype=FLOAT)
    return Points(torch.ones(9, 1, dtype=FLOAT), descriptors), values, group  # alike in all their parts


def free() -> GroupCovariance:
    logs = {
        "shared_parts": 0.3, "shared_whole": 0.9, "own_level": 0.5, "own_parts": 0.2, "own_whole": 0.4,
        "own_length": 1.7, "noise": 0.2, "freedom": 9.0,
    }  # fmt: skip
    scalars = {name: torch.tensor(math.log(value), dtype=FLOAT) for name, value in logs.items()}
    slopes = torch.zeros(2, dtype=FLOAT)
    return GroupCovariance(**scalars, lengths=torch.tensor([0.3, -0.4], dtype=FLOAT), noise_slopes=slopes)


def test_densities_and_forecasts_of_left_out_groups_are_gpytorchs() -> None:
    """The last column says the group; rational quadratics have α = 1, lengths are √2 (descriptors) longer there."""
    gpytorch = pytest.importorskip("gpytorch", reason="needs gpytorch: pip install gpytorch")
    points, values, group = groups()
    known = free()
    sigma = {name: float(value.exp()) for name, value in known.tensors().items() if value.ndim == 0}

    class SameGroup(gpytorch.kernels.Kernel):  # type: ignore[misc, name-defined]
        def forward(
            self, x1: torch.Tensor, x2: torch.Tensor, diag: bool = False, **_: object
        ) -> torch.Tensor:
            same = (x1[..., :, None, 0] == x2[..., None, :, 0]).to(FLOAT)
            return same.diagonal(dim1=-2, dim2=-1) if diag else same

    def scaled(kernel: object, sd: float) -> object:
        with_scale = gpytorch.kernels.ScaleKernel(kernel)
        with_scale.outputscale = torch.tensor(sd**2, dtype=FLOAT)
        return with_scale

    def quadratic(longer: float) -> object:
        kernel = gpytorch.kernels.RQKernel(ard_num_dims=2, active_dims=(0, 1))
        kernel.alpha = torch.tensor(1.0, dtype=FLOAT)
        kernel.lengthscale = longer * math.sqrt(2.0) * known.lengths.exp()
        return kernel

    def constant(sd: float) -> object:
        kernel = gpytorch.kernels.ConstantKernel()
        kernel.constant = torch.tensor(sd**2, dtype=FLOAT)
        return kernel

    shared = constant(sigma["shared_parts"]) + scaled(quadratic(1.0), sigma["shared_whole"])
    level = math.hypot(sigma["own_level"], sigma["own_parts"])
    own = (constant(level) + scaled(quadratic(sigma["own_length"]), sigma["own_whole"])) * SameGroup(
        active_dims=(2,)
    )

    class Process(gpytorch.models.ExactGP):  # type: ignore[misc, name-defined]
        def __init__(self, x: torch.Tensor, y: torch.Tensor, likelihood: object) -> None:
            super().__init__(x, y, likelihood)
            self.mean_module, self.covar_module = gpytorch.means.ZeroMean(), shared + own

        def forward(self, x: torch.Tensor) -> object:
            return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))

    x = torch.cat([points.descriptors, group[:, None].to(FLOAT)], 1)
    noise = float(noise_variance(points, known)[0])
    alike = overlap(points, points)
    among, alone = covariances(points, points, known, alike)
    same = group[:, None] == group[None]
    whole = among + torch.where(same, alone, 0.0) + noise * torch.eye(9, dtype=FLOAT)
    cost = 0.0
    for label in range(3):
        rest, kept = group != label, group == label
        likelihood = gpytorch.likelihoods.GaussianLikelihood().double()
        likelihood.noise = noise
        process = Process(x[rest], values[rest], likelihood).double().eval()
        likelihood.eval()
        with torch.no_grad(), gpytorch.settings.fast_computations(False, False, False):
            forecast = likelihood(process(x[kept]))
            cost -= float(forecast.log_prob(values[kept])) / 9
        pull = whole[kept][:, rest] @ torch.linalg.inv(whole[rest][:, rest])
        torch.testing.assert_close(forecast.mean, pull @ values[rest], rtol=1e-6, atol=1e-8)
    parts = [(group == label).nonzero()[:, 0] for label in range(3)]
    assert float(left_out_cost(whole, values, parts)) == pytest.approx(cost, rel=1e-6)


def test_random_effects_are_those_of_statsmodels() -> None:
    meta_analysis = pytest.importorskip(
        "statsmodels.stats.meta_analysis", reason="needs statsmodels: pip install statsmodels"
    )
    random = np.random.default_rng(3)
    variance = random.uniform(0.01, 0.4, 15)
    effect = 0.3 + random.normal(0.0, np.sqrt(0.3 + variance))
    theirs = meta_analysis.combine_effects(effect, variance, method_re="dl")
    ours = dersimonian_laird(effect, variance)
    assert ours.tau_squared[0] == pytest.approx(theirs.tau2, rel=1e-10)
    assert ours.tau_squared[0] > 0.0
    assert ours.mean[0] == pytest.approx(theirs.mean_effect_re, rel=1e-10)
    assert ours.standard_error[0] == pytest.approx(theirs.sd_eff_w_re, rel=1e-10)
    assert ours.q[0] == pytest.approx(theirs.q, rel=1e-10)
    np.testing.assert_allclose(ours.weight.ravel(), theirs.weights_rel_re, rtol=1e-10)
