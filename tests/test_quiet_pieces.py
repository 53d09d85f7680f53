"""Small pieces on which figures rest, each held to its closed form: nothing else would notice if one were wrong."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

import metasci as ms
from metasci.data.cards import Card
from metasci.data.tasks import TaskSet
from metasci.fits.posterior import Draws
from metasci.heat_treatment import furnace
from metasci.meta import FOMAML
from metasci.meta.covariates import Covariates, Design
from metasci.meta.explained import explained_share, moved_by
from metasci.meta.laplace.gauss_newton import map_estimate
from metasci.meta.laplace.ties import tied_covariance
from metasci.meta.likelihood import pull_and_curvature
from metasci.meta.problem import Problem
from metasci.model import Model
from metasci.noise import LogNormal, Noise, Proportional
from metasci.parameters import Parameter, ParameterSpace
from metasci.priors.forecasters import per_task_least_squares
from metasci.report.npde import _tests

DOUBLE = torch.float64
TIMES = (1.0, 2.0, 4.0)


def exponential(noise: Noise, joint: bool) -> Model:
    @ms.equation(
        inputs={"time": "h"}, output=("level", "mg/L"), name=f"mine.exponential_{joint}", noise=noise, joint=joint,
        parameters=[
            Parameter("height", "mg/L", typical=10.0, positive=True, spread=1.0),
            Parameter("rate", "1/h", typical=0.3, positive=True, spread=1.0),
        ],
    )  # fmt: skip
    def decay(time: Any, *, height: Any, rate: Any) -> Any:
        return height * ms.math.exp(-rate * time)

    return decay


def line(noise: Noise | None = None) -> Model:
    @ms.equation(
        inputs={"time": "h"}, output=("level", "mg/L"), name="mine.line", noise=noise,
        parameters=[Parameter("height", "mg/L", spread=1.0), Parameter("slope", "mg/L/h", spread=1.0)],
    )  # fmt: skip
    def straight(time: Any, *, height: Any, slope: Any) -> Any:
        return height + slope * time

    return straight


def tasks_of(model: Model, levels: dict[str, tuple[float, ...]]) -> TaskSet:
    rows = [
        {"task": name, "time [h]": time, "level [mg/L]": value}
        for name, values in levels.items()
        for time, value in zip(TIMES, values, strict=False)
    ]
    return TaskSet.from_frame(pd.DataFrame(rows), Card.from_model(model), model=model)


@pytest.mark.parametrize("joint", [True, False])
def test_the_jacobian_is_on_the_scale_of_log_normal_noise(joint: bool) -> None:
    """ln f = ln h − k t, with h = 10 eᶻ and k = 0.3 eʷ: slopes 1 and −k t, whatever f is."""
    model = exponential(LogNormal((0.1,)), joint)
    problem = Problem(model, tasks_of(model, {"a": (8.0, 5.0, 3.0)}).batch(model))
    at = torch.tensor([[0.4, -0.2]], dtype=DOUBLE)
    found = problem.linearise(at, torch.tensor([math.log(0.1)], dtype=DOUBLE)).jacobian[0]
    rate = 0.3 * math.exp(-0.2)
    expected = torch.tensor([[1.0, -rate * time] for time in TIMES], dtype=DOUBLE)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_proportional_noise_tells_of_the_prediction_by_its_size_too() -> None:
    """Fisher's information of y ~ N(f, σ²f²) about ln f is 1/σ² + 2."""
    sd, prediction = 0.5, torch.tensor([3.0], dtype=DOUBLE)
    variance = (sd * prediction) ** 2
    _, curvature = pull_and_curvature(0.0 * prediction, variance, 2.0 / prediction)
    assert float(curvature * prediction**2) == pytest.approx(1.0 / sd**2 + 2.0, rel=1e-12)
    model = exponential(Proportional((sd,)), False)
    batch = tasks_of(model, {"a": (8.0, 5.0, 3.0)}).batch(model)
    zero, prior = torch.zeros(1, 2, dtype=DOUBLE), torch.diag(torch.tensor([1e-8, 1e12], dtype=DOUBLE))
    fit = map_estimate(Problem(model, batch), zero, prior[None], torch.tensor([math.log(sd)], dtype=DOUBLE))
    assert float(fit.covariance[0, 0, 0]) == pytest.approx(1.0 / (3 * (1.0 / sd**2 + 2.0)), rel=1e-4)


def test_readings_scatter_by_the_standard_deviation_of_the_noise() -> None:
    model, sd, factor = line(), 0.2, 4.0
    fit: Any = SimpleNamespace(
        prior=SimpleNamespace(model=model),
        adapted=SimpleNamespace(log_noise=torch.tensor([math.log(sd)], dtype=DOUBLE)),
    )
    drawn: Any = SimpleNamespace(noise_factor=torch.full((20000,), factor, dtype=DOUBLE))
    assert "noise_factor" in Draws.__dataclass_fields__
    read = furnace._with_noise(fit, torch.full((20000, 2), 5.0, dtype=DOUBLE), drawn, 0)
    assert float(read.mean()) == pytest.approx(5.0, abs=0.02)
    assert float(read[:, 0].std()) == pytest.approx(sd * math.sqrt(factor), rel=0.03)
    assert torch.equal(read[:, 0], read[:, 1])  # a draw errs alike at all times


def test_npde_are_judged_by_three_tests_at_once() -> None:
    values = np.random.default_rng(0).normal(0.25, 1.0, 60)
    found = _tests(values)
    below = stats.chi2.cdf(59 * values.var(ddof=1), 59)
    each = (
        stats.ttest_1samp(values, 0.0).pvalue, 2 * min(below, 1 - below), stats.shapiro(values).pvalue
    )  # fmt: skip
    assert (found["p_mean"], found["p_variance"], found["p_normal"]) == pytest.approx(each)
    assert min(each) < 1 / 3
    assert found["p_any"] == pytest.approx(3.0 * min(each))
    assert _tests(stats.norm.ppf((np.arange(50) + 0.5) / 50))["p_any"] == 1.0


@pytest.mark.parametrize(
    ("rule", "share"), [("descent", 1.0), ("momentum", 0.1), ("nesterov", 0.1), ("adam", 1.0)]
)
def test_the_stable_step_of_momentum_is_that_of_descent_less_what_it_adds_up(rule: str, share: float) -> None:
    """With momentum 0.9 a steady gradient makes ten times the step; half of 1/λ is the step of plain descent."""
    model = line()
    tasks = tasks_of(model, {"a": (1.0, 2.0, 4.5), "b": (0.0, 1.0, 2.0)})
    problem = Problem(model, tasks.batch(model))
    nothing = torch.zeros(2, 0, dtype=DOUBLE)
    method = FOMAML(step_size="stable", rule=rule, shots=(3, 3))
    state = method.initial(problem, Design(nothing, nothing[..., None] * nothing[:, None]))
    rows = torch.tensor([[1.0, time] for time in TIMES], dtype=DOUBLE)
    steepest = torch.linalg.eigvalsh(rows.T @ rows)[-1] / state.log_noise.exp().square()[0]
    assert float(state.first_step) == pytest.approx(share * 0.5 / float(steepest), rel=1e-6)


def test_tied_parameters_have_one_variance_and_no_correlation_and_the_others_keep_theirs() -> None:
    space = ParameterSpace(
        (
            Parameter("a"),
            Parameter("b"),
            Parameter("c", tied="k"),
            Parameter("d", tied="k"),
            Parameter("e", tied="m"),
        )
    )
    root = torch.tensor(np.random.default_rng(1).normal(size=(5, 5)))
    whole = root @ root.T
    found = tied_covariance(whole, space)
    expected = torch.zeros_like(whole)
    expected[:2, :2] = whole[:2, :2]
    expected[2, 2] = expected[3, 3] = 0.5 * (whole[2, 2] + whole[3, 3])
    expected[4, 4] = whole[4, 4]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("tasks", [10, 30])
def test_correlations_of_covariates_are_shrunken_by_ten_tasks_worth(tasks: int) -> None:
    values = torch.linspace(0.0, 1.0, tasks, dtype=DOUBLE)
    both = Covariates.learn(("x", "y"), ("identity", "identity"), torch.stack([values, -3.0 * values], 1))
    assert float(both.correlation[0, 1]) == pytest.approx(-tasks / (tasks + 10))
    assert both.correlation.diagonal().tolist() == [1.0, 1.0]
    design = both.design(torch.tensor([[1.0, math.nan]], dtype=DOUBLE))
    one = float(design.values[0, 0])
    assert float(design.values[0, 1]) == pytest.approx(-tasks / (tasks + 10) * one)
    assert float(design.uncertainty[0, 1, 1]) == pytest.approx(1 - (tasks / (tasks + 10)) ** 2)


def test_least_squares_of_a_task_alone_has_a_prior_of_ten_spreads() -> None:
    """Ridge regression with N(0, 100 I): one measurement of a line leaves a direction that only this prior holds."""
    model = line()
    tasks = tasks_of(model, {"a": (7.0,)})
    prior: Any = SimpleNamespace(
        model=model,
        state=SimpleNamespace(log_noise=torch.zeros(1, dtype=DOUBLE)),
        problem=lambda batch: Problem(model, batch),
    )
    found = per_task_least_squares(prior, tasks.batch(model))
    row = torch.tensor([[1.0, TIMES[0]]], dtype=DOUBLE)
    covariance = torch.linalg.inv(row.T @ row + torch.eye(2, dtype=DOUBLE) / 100.0)
    torch.testing.assert_close(found.covariance[0], covariance, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(found.coordinates[0], covariance @ row[0] * 7.0, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(found.start_covariance[0], 100.0 * torch.eye(2, dtype=DOUBLE))


def test_what_is_explained_of_a_line_is_its_share_of_the_squares() -> None:
    """Of 1, 2, 6 at times 1, 2, 4 the line −2 t leaves squares of 9, 36 and 196; about their mean they have 14."""
    model = line()
    problem = Problem(model, tasks_of(model, {"a": (1.0, 2.0, 6.0)}).batch(model))
    at, log_noise = torch.tensor([[0.0, -2.0]], dtype=DOUBLE), torch.tensor([0.5], dtype=DOUBLE)
    assert explained_share(problem, at, log_noise) == pytest.approx(1.0 - 241.0 / 14.0)
    assert moved_by(problem, at, log_noise) == pytest.approx(4.0 / math.exp(0.5))
    nothing = problem.with_mask(torch.zeros(1, 3, dtype=torch.bool))
    assert explained_share(nothing, at, log_noise) == 1.0
    assert moved_by(nothing, at, log_noise) == 0.0
