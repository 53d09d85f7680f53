"""A model solved as a differential equation, in the engine: learned, calibrated, reported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import metasci as ms
from metasci.data.tasks import Batch
from metasci.meta import GaussianPrior
from metasci.meta.covariates import Covariates
from metasci.meta.laplace.gauss_newton import full_curvature, normal_equations
from metasci.meta.problem import Problem
from metasci.noise import Additive, Combined, EarlyLogNormal, LogNormal, Noise, Several
from metasci.patients.nonlinear import indirect_response, michaelis_menten

FLOAT = torch.float64


def simulated(model: ms.Model, tasks: int, observed: int = 5, seed: int = 0) -> tuple[Batch, torch.Tensor]:
    """Patients with two boluses, simulated under the model at typical spread and little noise."""
    generator = torch.Generator().manual_seed(seed)
    truth = 0.5 * torch.randn(tasks, len(model.parameters), generator=generator, dtype=FLOAT)
    time = torch.linspace(1.0, 30.0, observed, dtype=FLOAT).expand(tasks, -1).clone()
    amount = torch.tensor([100.0, 200.0], dtype=FLOAT).expand(tasks, 1, -1).clone()
    blank = torch.zeros_like(amount)
    inputs = {"time": time, "dose": amount, "dose_time": blank + torch.tensor([0.0, 12.0], dtype=FLOAT),
              "dose_duration": blank, "dose_interval": blank, "dose_until": blank + torch.inf}  # fmt: skip
    if "output" in model.inputs:
        inputs["output"] = (1.0 + torch.arange(observed, dtype=FLOAT) % 2).expand(tasks, -1).clone()
    mask = torch.ones(tasks, observed, dtype=torch.bool)
    names = tuple(f"simulated {i}" for i in range(tasks))
    batch = Batch(inputs, mask.to(FLOAT), mask, torch.zeros(tasks, 0, dtype=FLOAT), names)
    clean = model.at(truth[:, None, :], inputs)
    white = torch.randn(clean.shape, generator=generator, dtype=FLOAT)
    return Batch(inputs, clean * (1.0 + 0.05 * white), mask, batch.covariates, names), truth


@pytest.mark.parametrize("model", [michaelis_menten, indirect_response], ids=lambda m: m.name)
def test_slopes_are_those_of_differences(model: ms.Model) -> None:
    batch, truth = simulated(model, 3)
    problem = Problem(model, batch)
    log_noise = torch.tensor(model.noise.typical, dtype=FLOAT).log()
    line = problem.linearise(truth, log_noise)
    for parameter in range(truth.shape[1]):
        step = torch.zeros_like(truth)
        step[:, parameter] = 1e-4
        ends = [problem.predict(truth + sign * step) for sign in (1.0, -1.0)]
        difference = (ends[0] - ends[1]) / 2e-4
        torch.testing.assert_close(line.jacobian[..., parameter], difference, rtol=2e-4, atol=2e-5)
    precision = torch.eye(truth.shape[1], dtype=FLOAT).expand(3, -1, -1)
    given = (problem, truth, torch.zeros_like(truth), precision, log_noise, torch.ones(3, dtype=FLOAT))
    torch.testing.assert_close(normal_equations(*given)[0], full_curvature(*given)[0], rtol=1e-5, atol=1e-5)


def test_noise_of_two_outputs_is_each_their_own() -> None:
    batch, truth = simulated(indirect_response, 2)
    problem = Problem(indirect_response, batch)
    log_noise = torch.tensor([0.5, 0.01], dtype=FLOAT).log()
    prediction = problem.predict(truth)
    relative = problem.variance(prediction, log_noise).sqrt() / prediction
    torch.testing.assert_close(relative[0], torch.tensor([0.5, 0.01, 0.5, 0.01, 0.5], dtype=FLOAT))


@pytest.mark.parametrize(
    "noise",
    [
        indirect_response.noise,
        Several("output", (Combined((0.2, 0.1)), Additive((3.0,)))),
        Several("output", (LogNormal((0.15,)), LogNormal((0.1,)))),  # of the model's own typical values
        EarlyLogNormal((0.2, 3.0), over=0.5),
    ],
    ids=["as declared", "of two kinds", "log-normal", "early"],
)
def test_a_prior_is_saved_and_loaded_with_its_noise(noise: Noise, tmp_path: Path) -> None:
    size = len(indirect_response.parameters)
    state = {
        "coefficients": torch.zeros(size, 1, dtype=FLOAT), "covariance": torch.eye(size, dtype=FLOAT),
        "design_covariance": torch.zeros(1, 1, dtype=FLOAT), "noise_shape": torch.tensor(1e8, dtype=FLOAT),
        "log_noise": torch.tensor(noise.typical, dtype=FLOAT).log(),
    }  # fmt: skip
    nothing = Covariates.learn((), (), torch.zeros(2, 0, dtype=FLOAT))
    card = ms.Card.from_model(indirect_response)
    prior = ms.Prior("simulated", indirect_response.with_noise(noise), GaussianPrior(), state, nothing, card)
    assert ms.load(prior.save(tmp_path / "prior")).model.noise == noise


def test_a_saturable_drug_is_learned_and_calibrated_with_its_local_error() -> None:
    batch, truth = simulated(michaelis_menten, 12)
    card = ms.Card.from_model(michaelis_menten)
    rows = []
    import pandas as pd

    for at, name in enumerate(batch.names):
        for event in range(2):
            rows.append({"task": name, "time [h]": 12.0 * event, "dose [mg]": 100.0 * (event + 1)})
        for time, value in zip(batch.inputs["time"][at].tolist(), batch.output[at].tolist(), strict=True):
            rows.append({"task": name, "time [h]": time, "concentration [mg/L]": value})
    tasks = ms.TaskSet.from_frame(pd.DataFrame(rows), card, model=michaelis_menten)
    prior = ms.meta_calibrate(michaelis_menten, tasks, GaussianPrior(iterations=8))
    fit = prior.calibrate(tasks.select([0]))
    assert bool(fit.adapted.converged.all())
    estimates = fit.parameters.set_index("name")
    physical = michaelis_menten.parameters.to_physical(truth[0].numpy())
    assert estimates["estimate"]["volume"] == pytest.approx(float(physical["volume"]), rel=0.15)
    assert fit.local_error is not None
    assert 0.0 < float(fit.local_error[0]) <= 1.0
    assert fit.to_xarray(predictions=False)["local_error"].shape == (1,)
    forecast = fit.predict(time=[31.0, 40.0])
    assert np.isfinite(forecast["median"].values).all()
    assert ms.load("phenobarbital").calibrate(ms.dataset("phenobarbital").select([0])).local_error is None
