"""Noise: what each residual error model says of a measurement, as a density that is one in all."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from scipy import integrate, stats

from metasci.data.batch import Batch
from metasci.errors import InputError
from metasci.meta.problem import Problem
from metasci.model import Input, Model, Output
from metasci.noise import Additive, Combined, LogNormal, Noise, Proportional
from metasci.noises import noise_named
from metasci.parameters import Parameter, ParameterSpace

FLOAT = torch.float64
NOISES = [Additive((0.5,)), Proportional((0.2,)), Combined((0.3, 0.15)), LogNormal((0.4,))]
constant = Model(
    name="constant",
    function=lambda x, level: level + 0.0 * x,
    inputs={"x": Input("1")},
    output=Output("y", "1"),
    parameters=ParameterSpace((Parameter("level", typical=2.0, positive=True),)),
)


def density(noise: Noise, values: np.ndarray) -> np.ndarray:
    """Density of each value where the model predicts 2, as the likelihood has it, per unit of the output."""
    y = torch.tensor(values, dtype=FLOAT)[:, None]
    batch = Batch(
        {"x": torch.ones_like(y)}, y, torch.ones_like(y, dtype=torch.bool), y[:, :0], tuple(map(str, values))
    )
    problem = Problem(constant.with_noise(noise), batch)
    log_noise = torch.tensor(noise.typical, dtype=FLOAT).log()
    linked = -problem.negative_log_likelihood(torch.zeros(len(y), 1, dtype=FLOAT), log_noise)
    stretch = 1.0 / values if isinstance(noise, LogNormal) else 1.0
    return linked.exp().numpy() * stretch


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: type(noise).__name__)
def test_density_is_scipys_and_one_in_all(noise: Noise) -> None:
    lower = 1e-9 if isinstance(noise, LogNormal) else -20.0
    expected = {
        "Additive": stats.norm(2.0, 0.5),
        "Proportional": stats.norm(2.0, 0.4),
        "Combined": stats.norm(2.0, math.hypot(0.3, 0.3)),
        "LogNormal": stats.lognorm(0.4, scale=2.0),
    }[type(noise).__name__]
    values = np.array([0.5, 1.9, 2.0, 3.0])
    np.testing.assert_allclose(density(noise, values), expected.pdf(values), rtol=1e-12)
    total, _ = integrate.quad(
        lambda y: density(noise, np.array([y]))[0], lower, 40.0, points=[2.0], limit=200
    )
    assert total == pytest.approx(1.0, abs=1e-6)


@given(st.floats(1e-3, 1e3), st.sampled_from(NOISES))
def test_link_there_and_back(value: float, noise: Noise) -> None:
    assert float(noise.unlink(noise.link(np.float64(value)))) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: type(noise).__name__)
def test_variance_has_the_shape_of_the_prediction_and_is_what_the_docstring_says(noise: Noise) -> None:
    prediction = np.array([[1.0, 2.0, -3.0]])
    variance = noise.variance(prediction, np.log(noise.typical))
    squares = {"Additive": 0.25 + 0 * prediction, "Proportional": 0.04 * prediction**2,
               "Combined": 0.09 + 0.0225 * prediction**2, "LogNormal": 0.16 + 0 * prediction}  # fmt: skip
    np.testing.assert_allclose(variance, squares[type(noise).__name__])
    on_torch = noise.variance(torch.tensor(prediction), torch.tensor(noise.typical, dtype=FLOAT).log())
    np.testing.assert_allclose(on_torch.numpy(), variance)
    assert noise.constant == (np.ptp(variance) == 0.0)


def test_noise_by_name() -> None:
    assert noise_named("additive") == Additive()
    assert noise_named("combined", (0.1, 0.2)) == Combined((0.1, 0.2))
    assert noise_named("log-normal", (0.3,)).typical == (0.3,)
    with pytest.raises(InputError, match="no noise model 'loud'; known are additive"):
        noise_named("loud")


@pytest.mark.parametrize("typical", [(0.1,), (0.1, 0.2, 0.3), (0.1, 0.0), (0.1, -1.0), (0.1, math.nan), 0.1])
def test_typical_scales_that_make_no_sense(typical: object) -> None:
    with pytest.raises(
        InputError, match=r"Combined noise needs a tuple of 2 typical value\(s\) above zero \(sd, cv\)"
    ):
        Combined(typical)  # type: ignore[arg-type]
