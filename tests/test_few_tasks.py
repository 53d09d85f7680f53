"""What a prior does not know of its scales is integrated over: closed forms, quadrature, coverage from few tasks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from scipy import stats

import metasci as ms
from metasci.data.batch import Batch
from metasci.fits.predictive import predictive
from metasci.meta import Design, GaussianPrior
from metasci.meta.descriptions import describe, method_from
from metasci.meta.laplace.estimate import Estimate
from metasci.meta.laplace.gaussian_state import GaussianState
from metasci.meta.laplace.levels import levels_of
from metasci.meta.laplace.uncertainty import known_of
from metasci.meta.problem import Problem
from metasci.model import Input, Model, Output
from metasci.noise import Additive, LogNormal, Noise
from metasci.parameters import Parameter, ParameterSpace

FLOAT = torch.float64


def level_of(noise: Noise) -> Model:
    """Every measurement of a task is its level."""
    return Model(
        name="level",
        function=lambda x, level: level + 0.0 * x,
        inputs={"x": Input("1")},
        output=Output("y", "1"),
        parameters=ParameterSpace((Parameter("level", spread=1.0),)),
        noise=noise,
    )


line = Model(
    name="line",
    function=lambda x, intercept, slope: intercept + slope * x,
    inputs={"x": Input("1")},
    output=Output("y", "1"),
    parameters=ParameterSpace((Parameter("intercept", spread=1.0), Parameter("slope", spread=1.0))),
    noise=Additive((0.1,)),
)


def state_of(covariance: torch.Tensor, **known: float) -> GaussianState:
    size = len(covariance)
    scalars = {name: torch.tensor(value, dtype=FLOAT) for name, value in known.items()}
    return GaussianState.of(
        {
            "coefficients": torch.zeros(size, 1, dtype=FLOAT),
            "covariance": covariance,
            "design_covariance": torch.zeros(1, 1, dtype=FLOAT),
            "log_noise": torch.tensor([np.log(0.5)], dtype=FLOAT),
            "noise_shape": torch.tensor(1e8, dtype=FLOAT),
            **scalars,
        }
    )


def none_of(tasks: int) -> Design:
    return Design(torch.zeros(tasks, 0, dtype=FLOAT), torch.zeros(tasks, 0, 0, dtype=FLOAT))


def measured(y: list[float]) -> Batch:
    output = torch.tensor([y], dtype=FLOAT)
    return Batch(
        {"x": 0.0 * output}, output, torch.ones_like(output, dtype=torch.bool), output[:, :0], ("one",)
    )


@pytest.mark.parametrize("tasks", [3, 6, 30])
def test_tasks_known_exactly_leave_students_interval(tasks: int) -> None:
    """A coordinate of a new z is Student's t with T − 1 degrees of freedom and scale (1 + 1/T) S/(T − 1)."""
    z = torch.randn(tasks, 2, generator=torch.Generator().manual_seed(tasks), dtype=FLOAT)
    off = z - z.mean(0)
    covariance = off.T @ off / tasks
    known = known_of(tasks, 10.0 * tasks, 1.0, torch.zeros(2, 2, dtype=FLOAT), covariance)
    levels = levels_of(
        state_of(covariance, spread_freedom=known.spread_freedom, noise_freedom=1e12), task_noise=False
    )
    variance = levels.spread * float(known.widening * (1.0 + 1.0 / tasks) * covariance[0, 0])
    exact = stats.t(
        tasks - 1, scale=np.sqrt((1.0 + 1.0 / tasks) * float(off[:, 0] @ off[:, 0]) / (tasks - 1))
    )
    below = (levels.probability * torch.special.ndtr(exact.ppf(0.95) / variance.sqrt())).sum()
    assert float(below) == pytest.approx(0.95, abs=2e-3)


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 40), st.floats(0.0, 0.9))
def test_more_and_better_measured_tasks_are_never_known_worse(tasks: int, left: float) -> None:
    eye = torch.eye(2, dtype=FLOAT)
    less = known_of(tasks, 5.0 * tasks, 1.0, left * eye, eye)
    more = known_of(tasks + 1, 5.0 * tasks + 5.0, 1.0, left * eye, eye)
    better = known_of(tasks, 5.0 * tasks, 1.0, 0.5 * left * eye, eye)
    assert more.spread_freedom >= less.spread_freedom
    assert better.spread_freedom >= less.spread_freedom
    assert better.widening <= less.widening
    if less.spread_freedom > 1.0:  # tails no longer than Cauchy's are told of
        assert more.widening <= less.widening
    assert less.widening >= 1.0


@pytest.mark.parametrize("y", [[0.3], [4.0, 4.4], [9.0, 9.5, 8.7]])
def test_a_level_has_the_density_that_quadrature_has(y: list[float]) -> None:
    """Student's prior and Student's noise, each of four degrees of freedom: evidence of a new measurement at 5."""
    model, freedom = level_of(Additive((0.5,))), 4.0
    state = state_of(torch.eye(1, dtype=FLOAT), spread_freedom=freedom, noise_freedom=freedom)
    adapted = GaussianPrior().adapt(Problem(model, measured(y)), none_of(1), state)
    forecast = predictive(Problem(model, measured([5.0])), adapted)
    w = np.exp(np.linspace(-6.0, 3.0, 50))
    of_w = stats.gamma(freedom / 2, scale=2 / freedom).pdf(w) * w

    z = np.linspace(-40.0, 40.0, 8001)

    def evidence(values: list[float]) -> float:
        sd = (0.5 / np.sqrt(w))[:, None]
        fit = sum(stats.norm.logpdf(value, z, sd) for value in values)
        return float(of_w @ (np.exp(fit) @ stats.t(freedom).pdf(z)))

    exact = np.log(evidence([*y, 5.0]) / evidence(y))
    assert float(forecast.log_density()[0, 0]) == pytest.approx(exact, abs=0.03)


@pytest.mark.parametrize("tasks", [3, 5, 10])
def test_intervals_hold_that_were_learned_from_few_tasks(tasks: int) -> None:
    """Of a new task's intercept, with the belief about the spread that is the default, and wrong by half."""
    generator = torch.Generator().manual_seed(tasks)
    problem = Problem(line, measured([0.0] * 5).select(torch.zeros(tasks, dtype=torch.long)))
    sure, nothing = torch.ones(tasks, dtype=torch.bool), torch.zeros(tasks, 2, 2, dtype=FLOAT)
    before, ones, method = (
        state_of(torch.eye(2, dtype=FLOAT)),
        torch.ones(tasks, 1, dtype=FLOAT),
        GaussianPrior(),
    )
    held, gaussian, repeats = 0.0, 0.0, 300
    for _ in range(repeats):
        z = 0.7 * torch.randn(tasks, 2, generator=generator, dtype=FLOAT)
        learned = method._population(before, problem, Estimate(z, nothing, z, z, sure, sure), ones)
        mean, covariance = method.start(learned, none_of(1))
        levels = levels_of(learned, task_noise=False)
        sd = (levels.spread * covariance[0, 0, 0]).sqrt()[levels.noise_precision == levels.noise_precision[0]]
        weight = levels.probability[: len(sd)] / levels.probability[: len(sd)].sum()
        reach = torch.linspace(0.0, 20.0, 4001, dtype=FLOAT)
        inside = (weight * (1.0 - 2.0 * torch.special.ndtr(-reach[:, None] / sd))).sum(1)
        half = float(reach[torch.searchsorted(inside, torch.tensor(0.9, dtype=FLOAT)).clamp(max=4000)])
        narrow = 1.645 * float(learned.covariance[0, 0]) ** 0.5
        for far, total in ((half, "held"), (narrow, "gaussian")):
            low, high = ((float(mean[0, 0]) + sign * far) / 0.7 for sign in (-1.0, 1.0))
            share = float(stats.norm.cdf(high) - stats.norm.cdf(low)) / repeats
            held, gaussian = (held + share, gaussian) if total == "held" else (held, gaussian + share)
    assert 0.87 <= held <= 0.94
    assert gaussian < held - 0.02


def test_a_prior_that_was_saved_with_the_switch_means_what_it_meant() -> None:
    description = {**describe(GaussianPrior()), "spread_uncertainty": True}
    assert method_from(description) == GaussianPrior()
    state = state_of(torch.eye(1, dtype=FLOAT), widening=1.4)
    adapted = GaussianPrior().adapt(Problem(level_of(Additive((0.5,))), measured([1.0])), none_of(1), state)
    assert len(adapted.mixture.weight) == 1
    assert float(adapted.start_covariance) == pytest.approx(1.4)


@pytest.mark.parametrize("noise", [Additive((0.5,)), LogNormal((0.5,))])
def test_the_median_is_that_of_the_draws(noise: Noise) -> None:
    model = level_of(noise)
    state = state_of(torch.full((1, 1), 0.2, dtype=FLOAT), spread_freedom=2.0, noise_freedom=2.0)
    if isinstance(noise, LogNormal):
        state = GaussianState.of({**state.tensors(), "coefficients": torch.full((1, 1), 6.0, dtype=FLOAT)})
    adapted = GaussianPrior().adapt(Problem(model, measured([9.0, 3.0])), none_of(1), state)
    problem = Problem(model, measured([1.0]))
    forecast, draws = predictive(problem, adapted), predictive(problem, adapted).sample(40_000, seed=1)
    assert float(forecast.median) == pytest.approx(float(draws.median()), abs=0.03)


@pytest.mark.parametrize("freedom", [1.5, 3.0, 8.0, 40.0])
def test_intervals_of_parameters_are_students(freedom: float) -> None:
    """Of a spread known by few degrees of freedom; the variance of their mixture would say something else by far."""
    known = torch.tensor(1e6, dtype=torch.float64)
    state = replace(
        ms.load("theophylline").state, spread_freedom=torch.tensor(freedom).double(), noise_freedom=known
    )
    covariance = torch.diag(torch.tensor([0.25, 4.0]).double())[None]
    mixture = levels_of(state, False).before(covariance)
    for level in (0.5, 0.9):
        low, high = mixture.bounds(level)
        wanted = stats.t(freedom).ppf(0.5 + 0.5 * level) * np.array([[0.5, 2.0]])
        np.testing.assert_allclose(high, wanted, rtol=0.03)
        np.testing.assert_allclose(low, -wanted, rtol=0.03)
    one = mixture.along(torch.tensor([[3.0, 1.0]]).double()).bounds(0.9)[1]
    assert float(one) == pytest.approx(float(high[0, 0]) * np.sqrt(9.0 + 16.0), rel=1e-9)
