"""Population estimates on real data against those of R's nlme 3.1.

nlme alternates between modes and a linear mixed model linearised there (Lindstrom and Bates 1990).
Expectation–maximisation without a belief has the same fixed point; the maximum of the Laplace likelihood itself lies a
little higher.
"""

from __future__ import annotations

import pytest
import torch

import metasci as ms
from metasci.data.tasks import Batch
from metasci.meta import Covariates, GaussianPrior, Problem, learn
from metasci.meta.laplace.refinement import marginal_cost, packed
from metasci.noise import Additive
from metasci.patients.compartments import Structure, compartment_model

FLOAT = torch.float64


def estimates(
    model: ms.Model, batch: Batch, objective: str = "expectation"
) -> tuple[dict[str, float], dict[str, float], float, float]:
    """Means, standard deviations of logarithms, residual standard deviation, log-likelihood."""
    problem = Problem(model, batch)
    nothing = torch.zeros(len(batch), 0, dtype=FLOAT)
    design = Covariates.learn((), (), nothing).design(nothing)
    method = GaussianPrior(
        regularisation=0.0, correlated=False, objective=objective, iterations=2000, tolerance=1e-6
    )
    state, _ = learn(method, problem, design)
    cost, _ = marginal_cost(problem, design, packed(state), lambda *_: torch.zeros(()), False)
    means = model.parameters.to_physical(state.coefficients[:, 0])
    sd = state.covariance.diagonal().sqrt()
    spreads = {p.name: p.spread * float(sd[i]) for i, p in enumerate(model.parameters)}
    return (
        {k: float(v) for k, v in means.items()},
        spreads,
        float(state.log_noise.exp()),
        -float(cost.detach()),
    )


def test_theophylline_in_clearance_and_volume() -> None:
    tasks = ms.dataset("theophylline")
    per_kilogram = tasks.batch(ms.patients.one_compartment_oral, covariates=("weight",))
    weight, dose = per_kilogram.covariates, per_kilogram.inputs["dose"][:, :1]
    amount = (dose * weight)[:, None, :]
    blank = torch.zeros_like(amount)
    inputs = {"time": per_kilogram.inputs["time"], "dose": amount, "dose_time": blank, "dose_duration": blank,
              "dose_interval": blank, "dose_until": blank + torch.inf}  # fmt: skip
    batch = Batch(
        inputs, per_kilogram.output, per_kilogram.mask, torch.zeros(12, 0, dtype=FLOAT), tasks.names
    )
    model = compartment_model(
        Structure(1, "first-order"), name="test_theophylline", noise=Additive((0.7,)),
        typical={"clearance": 3.0, "volume": 35.0, "absorption_rate": 1.5},
    )  # fmt: skip
    means, spreads, residual, likelihood = estimates(model, batch)
    assert means == pytest.approx({"absorption_rate": 1.563, "clearance": 2.769, "volume": 31.48}, rel=1e-3)
    assert spreads == pytest.approx({"absorption_rate": 0.622, "clearance": 0.265, "volume": 0.135}, rel=2e-3)
    assert residual == pytest.approx(0.697, rel=1e-3)
    assert likelihood == pytest.approx(-179.736, abs=2e-3)
    assert likelihood < estimates(model, batch, "marginal")[3] < likelihood + 0.1


def test_phenobarbital_in_proportion_to_weight() -> None:
    model = ms.patients.one_compartment_bolus
    batch = ms.dataset("phenobarbital").batch(model)
    means, _, _, likelihood = estimates(model, batch)
    assert means == pytest.approx({"clearance": 0.0046979, "volume": 0.99260}, rel=1e-3)
    assert likelihood == pytest.approx(-438.745, abs=5e-3)
    assert likelihood < estimates(model, batch, "marginal")[3] < likelihood + 0.1
