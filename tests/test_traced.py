"""The hierarchical model in torch against the one in PyTensor, and on what only torch can compute."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

pytest.importorskip("pymc")

from pytensor.compile.mode import Mode

import metasci as ms
from metasci.bayes import forecast, hierarchical, initial_point
from metasci.bayes.recording import with_slope
from metasci.bayes.sampling import Posterior, derive
from metasci.bayes.traced import expanded, sample_traced, traced
from metasci.data.batch import Batch
from metasci.diagnostics.simulated import simulated_tasks
from metasci.errors import InputError
from metasci.library import find
from metasci.meta.covariates import Design

PYTHON = Mode(linker="py", optimizer="fast_compile")


@ms.equation(
    inputs={"x": "1"},
    output=("y", "1"),
    parameters=[ms.Parameter("level", spread=1.0)],
    noise=ms.Additive((0.3,)),
    name="test.traced_flat",
)
def flat(x, *, level):
    """A constant."""
    return level + 0.0 * x


def constants() -> Batch:
    """Four tasks of eight measurements, simulated."""
    return simulated_tasks(flat, {"level": np.linspace(-1.0, 1.0, 4)}, {"x": np.arange(8.0)}).batch(flat)


@pytest.mark.parametrize(
    ("name", "covariates"), [("theophylline", 2), ("alloy_fatigue", 0), ("phenobarbital", 1)]
)
def test_the_density_is_that_of_the_model_in_pytensor(name: str, covariates: int) -> None:
    tasks = ms.dataset(name)
    model = find(tasks.card.model)
    batch = tasks.batch(model)
    values = torch.linspace(-1, 1, covariates * len(batch), dtype=torch.float64).reshape(
        len(batch), covariates
    )
    design = Design(values, torch.zeros(0)) if covariates else None
    built, other = traced(model, batch, design), hierarchical(model, batch, design)
    assert built.recorded
    assert built.gradient_error() < 1e-6
    random = np.random.default_rng(0)
    value = other.compile_logp(mode=PYTHON)
    found = []
    for _ in range(2):
        point = 0.2 * random.standard_normal(built.size)
        where = dict(
            zip(
                built.shapes,
                np.split(point, np.cumsum([int(np.prod(s)) for s in built.shapes.values()])[:-1]),
                strict=True,
            )
        )
        names = {"log_coordinate_sd": "coordinate_sd_log__", "log_effect_scale": "effect_scale_log__"}
        names["partial"] = "partial_correlation_logodds__"
        at = {names.get(k, k): v.reshape(built.shapes[k]) for k, v in where.items()}
        assert set(at) == {v.name for v in other.value_vars}
        found.append(built.value_and_slope(point)[0] - float(value(at)))
        made = expanded(built, torch.tensor(point)[None])
        graph = other.replace_rvs_by_values([other["coordinates"]])
        import pymc as pm

        (coordinates,) = pm.pytensorf.compile(other.value_vars, graph, mode=PYTHON, on_unused_input="ignore")(
            **at
        )
        np.testing.assert_allclose(made["coordinates"][0], coordinates, atol=1e-10)
    assert found[0] == pytest.approx(0.0, abs=1e-8)
    assert found[1] == pytest.approx(0.0, abs=1e-8)


@pytest.mark.slow
def test_differential_equations_are_recorded_along_steps_that_stay() -> None:
    """Saturable elimination: the steps were found elsewhere, and still give what adaptive ones do, to 1e-5 nats."""
    model = find("patients.michaelis_menten")
    built = traced(model, _phenytoin(model).batch(model))
    assert built.recorded
    assert built.gradient_error() < 1e-6
    points = 0.2 * torch.randn(2, built.size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert built.recording_error(points) < 1e-5
    slope = with_slope(built.log_density, points[0])[1].numpy()
    np.testing.assert_allclose(built.value_and_slope(points[0].numpy())[1], slope, rtol=1e-5, atol=1e-5)
    far = torch.zeros(1, built.size, dtype=torch.float64)
    far[0, :3] = torch.tensor(
        [2.0, -2.0, -3.0]
    )  # elimination so fast that steps for ordinary values are too long
    assert not built.recording_error(far) < 0.05


def test_steady_states_run_step_by_step() -> None:
    """Doses since forever: their fixed point is found anew every time, so that nothing is recorded."""
    model = find("patients.michaelis_menten")
    rows = [
        {"ID": 1, "TIME": 0.0, "AMT": 150.0, "II": 12.0, "SS": 1, "DV": None, "EVID": 1},
        {"ID": 1, "TIME": 6.0, "AMT": None, "II": None, "SS": None, "DV": 5.0, "EVID": 0},
    ]
    tasks = ms.TaskSet.from_events(pd.DataFrame(rows), model, ms.Card.from_model(model))
    built = traced(model, tasks.batch(model))
    assert not built.recorded
    assert built.gradient_error() < 1e-4


def test_tasks_differ_in_their_noise_as_in_pytensor() -> None:
    batch = constants()
    built, other = traced(flat, batch, task_noise=True), hierarchical(flat, batch, task_noise=True)
    names = {
        "log_coordinate_sd": "coordinate_sd_log__", "log_noise_precision": "noise_precision_log__",
    }  # fmt: skip
    point = 0.2 * np.random.default_rng(0).standard_normal(built.size)
    parts = np.split(point, np.cumsum([int(np.prod(shape)) for shape in built.shapes.values()])[:-1])
    at = {
        names.get(name, name): part.reshape(built.shapes[name])
        for name, part in zip(built.shapes, parts, strict=True)
    }
    expected = float(other.compile_logp(mode=PYTHON)(at))
    assert built.value_and_slope(point)[0] == pytest.approx(expected, abs=1e-8)


def test_steps_that_are_too_long_are_said() -> None:
    """A posterior whose density was off is not said to have converged."""
    found = Posterior({"coordinates": np.zeros((100, 1, 1))}, ("a",), None, 1.0, 0.0, 1.0, 400.0, 0, 0.2)
    assert not found.converged
    assert "fixed steps" in found.verdict


def test_a_network_is_sampled() -> None:
    """A torch module that stands for a constant: tasks' posteriors lie at their means, with the noise's width."""

    layer = torch.nn.Linear(1, 1, bias=False, dtype=torch.float64)
    torch.nn.init.ones_(layer.weight).requires_grad_(False)

    def network(x, level):
        return layer((level + 0.0 * x)[..., None])[..., 0]

    batch = constants()
    built = traced(replace(flat, function=network), batch)
    assert built.recorded
    means = batch.output.mean(1).numpy()
    found = sample_traced(
        built, draws=80, tune=80, initial=initial_point(means[:, None]), progress=False, seed=1
    )
    np.testing.assert_allclose(found.draws["level"].mean(0), means, atol=0.12)
    np.testing.assert_allclose(found.draws["level"].std(0), 0.3 / np.sqrt(8.0), rtol=0.5)
    assert found.draws["coordinate_correlation"].shape == (160, 1, 1)
    assert found.tasks == batch.names


def test_draws_of_a_model_along_events_give_the_curve_of_each() -> None:
    """Doses and covariates that change are the patient's own in every draw, as if each were calibrated alone."""
    prior = ms.load("quinidine")
    assert prior.model.joint
    batch = prior.batch(ms.dataset("quinidine")).select(torch.tensor([4]))
    place = batch.mask[0]
    at = 0.3 * np.random.default_rng(0).standard_normal((3, 1, len(prior.model.parameters)))
    found = Posterior({"coordinates": at}, batch.names, None, 1.0, 0.0, 1.0, 400.0, 0)
    events = set(prior.model.event_names)
    inputs = {
        name: (values[0] if name in events else values[0, place]).numpy()
        for name, values in batch.inputs.items()
    }
    curves = forecast.curve(found, prior.model, inputs, batch.names[0])
    for one, coordinates in zip(curves, at, strict=True):
        alone = prior.model(
            batch.inputs, prior.model.parameters.to_physical(torch.tensor(coordinates)[:, None])
        )
        np.testing.assert_allclose(one, alone[0, place].numpy(), rtol=1e-9)
    assert curves.shape == (3, int(place.sum()))
    assert np.ptp(curves, 0).min() > 0.0


def test_one_parameter_is_sampled_natively() -> None:
    """Its correlation matrix is a constant."""
    built = hierarchical(flat, constants(), centred=True)
    derived = derive(
        built, {v.name: np.zeros((1, 3, *built.initial_point()[v.name].shape)) for v in built.value_vars}
    )
    assert derived["coordinate_correlation"].shape == (1, 3, 1, 1)


def test_a_gradient_that_is_wrong_is_refused() -> None:
    model = find(ms.dataset("alloy_fatigue").card.model)

    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(context, value):
            return value.clone()

        @staticmethod
        def backward(context, slope):
            return 2.0 * slope

    def broken(**arguments):
        return Broken.apply(model.function(**arguments))

    built = traced(replace(model, function=broken), ms.dataset("alloy_fatigue").batch(model))
    with pytest.raises(InputError, match="not that of finite differences"):
        sample_traced(built, draws=5, tune=5, progress=False)


def _phenytoin(model: ms.Model) -> ms.TaskSet:
    rows = []
    for patient in range(3):
        rows.append({"ID": patient + 1, "TIME": 0.0, "AMT": 500.0, "DV": None})
        rows += [
            {"ID": patient + 1, "TIME": t, "AMT": None, "DV": v - patient}
            for t, v in ((1.0, 9.0), (12.0, 6.0), (24.0, 4.0))
        ]
    card = ms.Card.from_model(model)
    frame = pd.DataFrame(rows)
    return ms.TaskSet.from_events(frame, model, card)
