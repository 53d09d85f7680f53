"""Baselines without an equation: exact where they are exact, shifted by the support only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import metasci as ms
from metasci.data.cards import Card
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.evaluation.baselines import baseline_forecasters
from metasci.evaluation.offsets import shifted, spread_of_errors
from metasci.evaluation.plain_process import PlainProcess
from metasci.model import Input, Model, Output
from metasci.noise import Additive
from metasci.parameters import Parameter, ParameterSpace

FLOAT = torch.float64
line = Model(
    name="line",
    function=lambda x, intercept, slope: intercept + slope * x,
    inputs={"x": Input("1")},
    output=Output("y", "1"),
    parameters=ParameterSpace((Parameter("intercept", spread=1.0), Parameter("slope", spread=1.0))),
    noise=Additive((0.1,)),
)


class Mean:
    """The simplest regression."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> Mean:
        self.middle = y.mean()
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.full(len(x), self.middle)


def offsets_between(tasks: int, seed: int) -> np.ndarray:
    """Levels of tasks with variance 4, measured eight times with variance 1, (task, observation)."""
    random = np.random.default_rng(seed)
    return random.normal(10.0, 2.0, (tasks, 1)) + random.normal(0.0, 1.0, (tasks, 8))


def test_an_offset_is_the_best_linear_prediction_of_a_random_intercept() -> None:
    y = offsets_between(4000, 0)
    forecast = shifted(Mean, np.zeros((*y.shape, 1)), y, np.ones(y.shape, bool), np.arange(len(y)))
    new = np.array([[14.0, 16.0, 0.0]])
    mean, sd = forecast(np.zeros((1, 3, 1)), new, np.array([[True, True, False]]))
    share = 4.0 / (4.0 + 1.0 / 2.0)
    assert mean[0, 2] == pytest.approx(10.0 + share * 5.0, abs=0.1)
    assert sd[0, 2] == pytest.approx(np.sqrt(4.0 * (1.0 - share) + 1.0), abs=0.05)
    other = new.copy()
    other[0, 2] = 99.0
    assert forecast(np.zeros((1, 3, 1)), other, np.array([[True, True, False]]))[0][0, 2] == mean[0, 2]


def test_variances_are_those_of_the_analysis_of_variance() -> None:
    y = offsets_between(4000, 1)
    between, within = spread_of_errors((y - 10.0).ravel(), np.repeat(np.arange(4000), 8))
    assert between == pytest.approx(4.0, rel=0.1)
    assert within == pytest.approx(1.0, rel=0.05)


def learned() -> tuple[PlainProcess, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(6, 5, 2, generator=generator, dtype=FLOAT)
    own = torch.rand(6, 1, 1, generator=generator, dtype=FLOAT).expand(6, 5, 1)
    y = x.sin().sum(-1) + own[..., 0] + 0.3 * torch.randn(6, 1, generator=generator, dtype=FLOAT)
    return PlainProcess.learn(x, own, y, torch.ones(6, 5, dtype=torch.bool)), x, own, y


def test_a_process_given_a_support_is_the_joint_gaussian_conditioned() -> None:
    """Old tasks and support in one set of measurements, conditioned in one go."""
    process, x, own, y = learned()
    support = torch.tensor([[True, False, True, False, False]])
    mean, sd = process.given(x[:1], own[:1], y[:1], support)
    rows = (torch.cat([x[0], own[0]], -1) - process.centre) / process.width
    everything = torch.cat([process.rows, rows])
    task = torch.cat([process.task, torch.full((5,), 99)])
    covariance = process.kernel(everything, task, everything, task)
    old = len(process.rows)
    known = torch.cat([torch.arange(old), torch.tensor([old, old + 2])])
    noise = (2.0 * process.scales["noise"]).exp()
    inner = covariance[known][:, known] + noise * torch.eye(len(known), dtype=FLOAT)
    target = torch.cat([process.target, (y[0, [0, 2]] - process.level) / process.unit])
    gain = torch.linalg.solve(inner, covariance[known][:, old:]).T
    exact = process.level + process.unit * gain @ target
    variance = covariance[old:, old:].diagonal() - (gain * covariance[known][:, old:].T).sum(1) + noise
    torch.testing.assert_close(mean[0], exact, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sd[0], process.unit * variance.sqrt(), rtol=1e-5, atol=1e-5)


def test_a_process_is_learned_on_the_marginal_likelihood() -> None:
    """The cost is that of a multivariate normal, and learning lowers it."""
    process, *_ = learned()
    size = len(process.target)
    noise = (2.0 * process.scales["noise"]).exp() + 1e-8
    covariance = process.kernel(process.rows, process.task, process.rows, process.task)
    normal = torch.distributions.MultivariateNormal(
        torch.zeros(size, dtype=FLOAT), covariance + noise * torch.eye(size, dtype=FLOAT)
    )
    faint = 0.5 * sum(float((value / 3.0).square().sum()) for value in process.scales.values())
    exact = -float(normal.log_prob(process.target)) - 0.5 * size * np.log(2.0 * np.pi) + faint
    assert float(process.cost(process.scales)) == pytest.approx(exact, rel=1e-8)
    begun = {name: torch.zeros_like(value) for name, value in process.scales.items()}
    assert process.cost(process.scales) < process.cost(begun)


def test_baselines_stand_in_the_table_and_learn_from_other_tasks_only(monkeypatch) -> None:
    random = np.random.default_rng(2)
    rows = [
        (f"t{task}", x, offset + np.sin(3.0 * x) + random.normal(0.0, 0.05))
        for task, offset in enumerate(random.normal(0.0, 1.0, 8))
        for x in random.uniform(-1.0, 1.0, 6)
    ]
    card = replace(Card.from_model(line), simulated=True)
    tasks = TaskSet.from_frame(pd.DataFrame(rows, columns=["task", "x", "y"]), card)
    seen = []

    def spied(names, model, old, group):
        seen.append(set(old.names))
        return baseline_forecasters(names, model, old, group)

    monkeypatch.setattr("metasci.evaluation.evaluate.baseline_forecasters", spied)
    prior = ms.meta_calibrate(line, tasks)
    report = ms.evaluate(prior, tasks, (0, 2), leave_out="task", folds=2, seeds=1, baselines="process")
    assert [len(each) for each in seen] == [4, 4]
    assert not seen[0] & seen[1]
    rows = {row["shots"]: row for row in report["results"] if row["method"] == "multi-task process"}
    alone = {row["shots"]: row for row in report["results"] if row["method"] == "prior"}
    assert rows[2]["rmse"] < 0.5 * rows[0]["rmse"]
    assert rows[2]["rmse"] < alone[2]["rmse"]  # a straight line is the wrong equation


@pytest.mark.parametrize(
    ("baselines", "leave_out", "sentence"),
    [("trees", "subject", "'trees' is not known"), ("process", None, "left out")],
)
def test_what_cannot_be_held_against_a_prior_is_refused(baselines, leave_out, sentence) -> None:
    with pytest.raises(InputError, match=sentence):
        ms.evaluate(
            ms.load("theophylline"),
            ms.dataset("theophylline"),
            (1,),
            leave_out=leave_out,
            baselines=baselines,
        )
