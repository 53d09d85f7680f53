"""The hierarchical model in torch against the one in PyTensor, and on what only torch can compute."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("pymc")

from pytensor.compile.mode import Mode

import metasci as ms
from metasci.batch import Batch
from metasci.bayes import hierarchical, initial_point
from metasci.bayes.sampling import derive
from metasci.bayes.traced import _expanded, sample_traced, traced
from metasci.diagnostics.simulated import simulated_tasks
from metasci.errors import InputError
from metasci.meta.covariates import Design
from metasci.model import find

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
        made = _expanded(built, torch.tensor(point)[None])
        graph = other.replace_rvs_by_values([other["coordinates"]])
        import pymc as pm

        (coordinates,) = pm.pytensorf.compile(other.value_vars, graph, mode=PYTHON, on_unused_input="ignore")(
            **at
        )
        np.testing.assert_allclose(made["coordinates"][0], coordinates, atol=1e-10)
    assert found[0] == pytest.approx(0.0, abs=1e-8)
    assert found[1] == pytest.approx(0.0, abs=1e-8)


def test_differential_equations_have_a_density_and_its_gradient() -> None:
    """Saturable elimination, solved with steps that depend on the parameters: it cannot be recorded, but runs."""
    model = find("patients.michaelis_menten")
    built = traced(model, _phenytoin(model).batch(model))
    assert not built.recorded
    assert built.gradient_error() < 1e-4


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
    import pandas as pd

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
