"""Predictive distributions: closed forms, Monte Carlo, densities that are one in all, coverage on simulated tasks."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, strategies as st
from scipy import integrate, stats

import metasci as ms
from metasci.constraints import NonNegative
from metasci.data.batch import Batch
from metasci.data.cards import Card
from metasci.data.tasks import TaskSet
from metasci.fits.predictive import predictive
from metasci.forecasts import MixtureForecast
from metasci.meta import GaussianPrior
from metasci.meta.adapted import Adapted, NoiseMixture
from metasci.meta.problem import Problem
from metasci.model import Input, Model, Output
from metasci.noise import Additive, LogNormal, Noise, Proportional
from metasci.parameters import Parameter, ParameterSpace
from metasci.priors.equation import meta_calibrate

FLOAT = torch.float64
line = Model(
    name="line",
    function=lambda x, intercept, slope: intercept + slope * x,
    inputs={"x": Input("1")},
    output=Output("y", "1"),
    parameters=ParameterSpace((Parameter("intercept", spread=1.0), Parameter("slope", spread=1.0))),
)


def batch(x: list[float], y: list[float] | None = None) -> Batch:
    at = torch.tensor([x], dtype=FLOAT)
    output = torch.ones_like(at) if y is None else torch.tensor([y], dtype=FLOAT)
    return Batch({"x": at}, output, torch.ones_like(at, dtype=torch.bool), at[:, :0], ("one",))


def one_level(model: Model, covariance: list[list[float]], at: list[float], sd: float) -> Adapted:
    spread = torch.tensor([covariance], dtype=FLOAT)
    coordinates = torch.tensor([at], dtype=FLOAT)
    single, yes = NoiseMixture.single(spread), torch.ones(1, dtype=torch.bool)
    return Adapted(
        coordinates, spread, 0.0 * coordinates, 4.0 * spread, torch.tensor([math.log(sd)], dtype=FLOAT),
        single, NoiseMixture.single(4.0 * spread), yes, yes,
    )  # fmt: skip


COVARIANCE = [[0.5, -0.2], [-0.2, 0.3]]


def test_a_line_has_its_closed_form() -> None:
    adapted = one_level(line, COVARIANCE, [1.0, 2.0], sd=0.7)
    x = np.array([-1.0, 0.0, 2.0])
    forecast = predictive(Problem(line, batch(x.tolist(), [0.0, 1.0, 4.0])), adapted)
    mean, design = 1.0 + 2.0 * x, np.stack([np.ones(3), x], 1)
    curve = np.sqrt(np.einsum("oi,ij,oj->o", design, COVARIANCE, design))
    whole = np.hypot(curve, 0.7)
    np.testing.assert_allclose(forecast.median[0], mean)
    for level in (0.5, 0.9, 0.99):
        z = stats.norm.ppf(0.5 + level / 2)
        for noise, sd in ((True, whole), (False, curve)):
            lower, upper = forecast.interval(level, noise=noise)
            np.testing.assert_allclose(lower[0], mean - z * sd, rtol=1e-10)
            np.testing.assert_allclose(upper[0], mean + z * sd, rtol=1e-10)
    measured = np.array([0.0, 1.0, 4.0])
    np.testing.assert_allclose(
        forecast.log_density()[0], stats.norm(mean, whole).logpdf(measured), rtol=1e-10
    )
    np.testing.assert_allclose(forecast.cumulative()[0], stats.norm(mean, whole).cdf(measured), rtol=1e-10)


def test_the_prior_predicts_from_the_start() -> None:
    adapted = one_level(line, COVARIANCE, [1.0, 2.0], sd=0.7)
    forecast = predictive(Problem(line, batch([1.0])), adapted, prior=True)
    spread = math.sqrt(4.0 * (0.5 - 0.4 + 0.3) + 0.49)
    assert float(forecast.median) == 0.0
    assert float(forecast.interval(0.9)[1]) == pytest.approx(1.6448536269514722 * spread, rel=1e-10)


def mixture(model: Model, levels: int, seed: int) -> Adapted:
    draw = np.random.default_rng(seed)
    roots = draw.normal(size=(levels, 1, 2, 2))
    weight = draw.dirichlet(np.ones(levels))[:, None]
    parts = NoiseMixture(
        torch.tensor(np.exp(draw.normal(size=(levels, 1)))),
        torch.tensor(weight),
        torch.tensor(0.5 * draw.normal(size=(levels, 1, 2))),
        torch.tensor(0.2 * roots @ roots.swapaxes(-1, -2)),
    )
    return replace(one_level(model, COVARIANCE, [1.0, 2.0], sd=0.5), mixture=parts)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_quantiles_of_a_mixture_against_monte_carlo(seed: int) -> None:
    adapted = mixture(line, 5, seed)
    forecast = predictive(Problem(line, batch([0.0, 1.5])), adapted)
    draw = np.random.default_rng(10 + seed)
    size = 400_000
    level = draw.choice(5, size, p=adapted.mixture.weight[:, 0].numpy())
    roots = np.linalg.cholesky(adapted.mixture.covariance[:, 0].numpy())[level]
    drawn = np.array([1.0, 2.0]) + adapted.mixture.shift[:, 0].numpy()[level]
    drawn = drawn + np.einsum("nij,nj->ni", roots, draw.normal(size=(size, 2)))
    noise = 0.5 * np.sqrt(adapted.mixture.factor[:, 0].numpy())[level] * draw.normal(size=size)
    for place, x in enumerate([0.0, 1.5]):
        curve = drawn[:, 0] + drawn[:, 1] * x
        for values, with_noise in ((curve + noise, True), (curve, False)):
            lower, upper = forecast.interval(0.9, noise=with_noise)
            inside = np.mean((values >= float(lower[0, place])) & (values <= float(upper[0, place])))
            assert inside == pytest.approx(0.9, abs=0.003)
            assert np.mean(values < float(lower[0, place])) == pytest.approx(0.05, abs=0.002)


@given(st.integers(0, 1000), st.floats(0.02, 0.98))
def test_quantiles_invert_the_cumulative_probability(seed: int, probability: float) -> None:
    adapted = mixture(line, 4, seed)
    level = abs(2.0 * probability - 1.0)
    lower, upper = predictive(Problem(line, batch([0.7])), adapted).interval(level)
    at = upper if probability > 0.5 else lower
    found = predictive(Problem(line, batch([0.7], [float(at)])), adapted).cumulative()
    assert float(found) == pytest.approx(probability, abs=1e-9)


@pytest.mark.parametrize("levels", [1, 4])
@pytest.mark.parametrize(
    "noise", [Additive((0.5,)), LogNormal((0.5,)), Proportional((0.5,))], ids=lambda n: type(n).__name__
)
def test_density_is_one_in_all(noise: Noise, levels: int) -> None:
    """Over the output's own unit, also where the noise is Gaussian on a logarithm."""
    model = line.with_noise(noise)
    adapted = one_level(model, COVARIANCE, [1.0, 2.0], 0.5) if levels == 1 else mixture(model, levels, 3)

    def density(y: float) -> float:
        return math.exp(float(predictive(Problem(model, batch([1.0], [y])), adapted).log_density()))

    edge = 1e-12 if isinstance(noise, LogNormal) else -40.0
    total = sum(
        integrate.quad(density, a, b, limit=200)[0] for a, b in ((edge, 3.0), (3.0, 60.0), (60.0, 2e4))
    )
    assert total == pytest.approx(1.0, abs=2e-4)
    below, _ = integrate.quad(density, edge, 3.5, limit=200, points=[3.0])
    found = float(predictive(Problem(model, batch([1.0], [3.5])), adapted).cumulative())
    assert found == pytest.approx(below, abs=1e-5)


def test_log_normal_intervals_are_those_of_the_logarithm() -> None:
    model = line.with_noise(LogNormal())
    forecast = predictive(
        Problem(model, batch([1.0])), one_level(model, [[0.09, 0], [0, 0]], [2.0, 1.0], 0.4)
    )
    sd = math.hypot(0.3 / 3.0, 0.4)
    lower, upper = forecast.interval(0.9)
    assert float(forecast.median) == pytest.approx(3.0)
    assert float(lower) == pytest.approx(3.0 * math.exp(-1.6448536269514722 * sd))
    assert float(upper) == pytest.approx(3.0 * math.exp(1.6448536269514722 * sd))


def test_intervals_stay_within_the_laws() -> None:
    lawful = replace(line, constraints=(NonNegative(),))
    lower, upper = predictive(
        Problem(lawful, batch([0.0])), one_level(lawful, COVARIANCE, [0.1, 0.0], 0.5)
    ).interval()
    assert float(lower) == 0.0
    assert float(upper) > 0.1


# simulated tasks --------------------------------------------------------------------------------


def simulated(count: int, seed: int, student: bool = False) -> TaskSet:
    """Lines with a random intercept and slope; with `student`, tasks differ in how noisy they are."""
    draw = np.random.default_rng(seed)
    rows = []
    for task in range(count):
        intercept, slope = draw.multivariate_normal([1.0, -0.5], [[0.6, 0.2], [0.2, 0.3]])
        sd = 0.4 / math.sqrt(draw.gamma(1.5) / 1.5) if student else 0.4
        for x in np.sort(draw.uniform(-2.0, 2.0, 9)):
            rows.append((f"{task}", x, intercept + slope * x + sd * draw.normal()))
    card = replace(Card.from_model(line), simulated=True)
    return TaskSet.from_frame(pd.DataFrame(rows, columns=["task", "x", "y"]), card)


@pytest.mark.parametrize("student", [False, True], ids=["one noise", "task noise"])
def test_intervals_cover_what_they_say(student: bool) -> None:
    """90 % intervals hold 90 % of new measurements, and probabilities below each are uniform.

    Many training tasks, so that the error of the learned population does not hide an error of the intervals.
    """
    prior = meta_calibrate(
        line, simulated(600, 0, student), GaussianPrior(task_noise=student, regularisation=0.0)
    )
    count, order = 1500, torch.arange(9)
    chosen = prior.batch(simulated(count, 1, student))
    later = prior.problem(chosen.with_mask((order >= 6).expand(count, -1)))
    for shots in (0, 2, 5):
        forecast = predictive(later, prior.adapt(chosen.with_mask((order < shots).expand(count, -1))))
        lower, upper = forecast.interval(0.9)
        covered = ((chosen.output >= lower) & (chosen.output <= upper))[:, 6:].double().mean()
        assert 0.88 <= float(covered) <= 0.92
        below = forecast.cumulative()[:, 6].numpy()  # one of each task: those are independent
        assert stats.kstest(below, "uniform").statistic < 0.04


def test_task_noise_is_told_apart_in_the_intervals() -> None:
    """A task whose readings scatter gets wider intervals than one whose readings lie on a line."""
    prior = meta_calibrate(line, simulated(60, 0, True), GaussianPrior(task_noise=True))
    x = np.linspace(-2.0, 2.0, 9)
    scatter = np.array([1, -1, 1, -1, 1, -1, 1, -1, 1.0])
    rows = pd.DataFrame(
        {
            "task": ["calm"] * 9 + ["wild"] * 9,
            "x": [*x, *x],
            "y": [*(1 - x / 2), *(1 - x / 2 + 1.5 * scatter)],
        }
    )
    ahead = prior.calibrate(rows).predict(x=0.3)
    width = (ahead["upper"] - ahead["lower"]).values[:, 0]
    assert width[1] > 2.0 * width[0]


def test_a_single_level_and_equal_levels_are_one() -> None:
    single = one_level(line, COVARIANCE, [1.0, 2.0], 0.5)
    spread = torch.tensor([COVARIANCE], dtype=FLOAT)
    twice = NoiseMixture(torch.ones(2, 1, dtype=FLOAT), torch.tensor([[0.3], [0.7]], dtype=FLOAT),
                         torch.zeros(2, 1, 2, dtype=FLOAT), spread.expand(2, -1, -1, -1))  # fmt: skip
    problem = Problem(line, batch([0.4, 1.0], [0.0, 2.0]))
    one: MixtureForecast = predictive(problem, single)
    two: MixtureForecast = predictive(problem, replace(single, mixture=twice))
    for first, second in zip(
        (*one.interval(), one.log_density()), (*two.interval(), two.log_density()), strict=True
    ):
        torch.testing.assert_close(first, second, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(twice.total_covariance, spread)


def test_a_reading_of_a_share_lies_beyond_its_ends_by_its_noise() -> None:
    """Of a finished transformation nine readings in ten lie within 1.645 · 0.02 of one, on either side."""
    law = ms.kinetics.avrami
    rows = {"time [s]": [1e3, 1e5, 1e6], "temperature [K]": [873.15] * 3, "fraction": [0.63, 1.01, 0.99]}
    forecast = (
        ms.Prior.declared(law)
        .calibrate(pd.DataFrame(rows))
        .predict(time=[1e-3, 1e7] * ms.unit("s"), temperature=873.15)
    )
    lower, upper = (forecast[name].isel(task=0).values for name in ("lower", "upper"))
    assert lower[0] == pytest.approx(-upper[0], rel=0.02)
    assert 1.0 - lower[1] == pytest.approx(upper[1] - 1.0, rel=0.02)
    assert upper[1] > 1.01
    assert forecast["curve_lower"].isel(task=0).values[0] >= 0.0
    assert forecast["curve_upper"].isel(task=0).values[1] <= 1.0
