"""The hierarchical model of readings that are limits and intervals, against scipy and quadrature."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pm = pytest.importorskip("pymc")

from pytensor.compile.mode import Mode  # noqa: E402
from scipy import stats  # noqa: E402

import metasci as ms  # noqa: E402
from metasci.bayes import hierarchical, posterior_of_new_task, predictive  # noqa: E402
from metasci.bayes.kept import key_of  # noqa: E402
from metasci.bayes.sampling import Posterior  # noqa: E402
from metasci.bayes.scores import HeldOut  # noqa: E402
from metasci.data.batch import Batch  # noqa: E402
from metasci.math import log_between  # noqa: E402
from metasci.meta.problem import Problem  # noqa: E402
from metasci.model import Model, equation  # noqa: E402

PYTHON = Mode(linker="py", optimizer="fast_compile")  # nothing to compile: quick for a few evaluations

NUMBER, BELOW, ABOVE, BETWEEN = 0, 1, 2, 3
KINDS = np.array([NUMBER, BELOW, ABOVE, BETWEEN, NUMBER, ABOVE])
READ = np.array([2.3, 1.6, 2.6, 1.8, 1.9, 2.2])
UPPER = np.where(KINDS == BETWEEN, 2.1, np.where(KINDS == ABOVE, np.inf, np.nan))


def level_model(noise: ms.Noise) -> Model:
    @equation(
        inputs={"time": "h"},
        output=("height", "cm"),
        parameters=[ms.Parameter("level", "cm", typical=2.0, positive=True)],
        noise=noise,
        name="test.level",
    )
    def level_of(time, *, level):
        """One level."""
        return level + 0.0 * time

    return level_of


def batch_of(kept: slice = slice(None)) -> Batch:
    """One task with two numbers, a reading below a limit, two above one and one between two numbers."""
    read, upper, kinds = (torch.as_tensor(each[kept])[None] for each in (READ, UPPER, KINDS))
    return Batch(
        inputs={"time": torch.ones_like(read)},
        output=read,
        mask=torch.ones_like(read, dtype=torch.bool),
        covariates=torch.zeros(1, 0, dtype=torch.float64),
        names=("specimen",),
        censored=kinds == BELOW,
        upper=upper,
    )


def by_scipy(law: stats.rv_continuous, kept: np.ndarray) -> float:
    """Log-likelihood of the readings that are no numbers."""
    of_kind = {
        BELOW: lambda low, high: law.logcdf(low),
        ABOVE: lambda low, high: law.logsf(low),
        BETWEEN: lambda low, high: float(np.log(max(law.cdf(high) - law.cdf(low), 1e-300))),
    }
    rows = zip(KINDS[kept], READ[kept], UPPER[kept], strict=True)
    return float(sum(of_kind[kind](low, high) for kind, low, high in rows if kind != NUMBER))


@pytest.mark.parametrize(
    ("noise", "law"),
    [
        (ms.Additive((0.3,)), lambda level, sd: stats.norm(level, sd)),
        (ms.LogNormal((0.3,)), lambda level, sd: stats.lognorm(sd, scale=level)),
    ],
    ids=["additive", "log-normal"],
)
def test_a_limit_adds_its_log_probability(noise, law) -> None:
    model, every = level_model(noise), np.arange(len(KINDS))
    with_limits = hierarchical(model, batch_of())
    numbers = hierarchical(
        model, replace(batch_of(), mask=torch.as_tensor(KINDS == NUMBER)[None], censored=None, upper=None)
    )
    random = np.random.default_rng(0)
    densities = [built.compile_logp(mode=PYTHON) for built in (with_limits, numbers)]
    coordinates = pm.compile(
        with_limits.value_vars,
        with_limits.replace_rvs_by_values([with_limits["level"]])[0],
        mode=PYTHON,
        on_unused_input="ignore",
    )
    for _ in range(3):
        start = with_limits.initial_point()
        point = {name: value + 0.3 * random.standard_normal(np.shape(value)) for name, value in start.items()}
        level = float(coordinates(**point)[0])
        added = densities[0](point) - densities[1](point)
        assert added == pytest.approx(by_scipy(law(level, math.exp(point["log_noise"][0])), every), rel=1e-9)


@pytest.mark.parametrize("away", [0.0, 60.0], ids=["near", "far in the tails"])
def test_gradients_are_those_of_finite_differences(away: float) -> None:
    built = hierarchical(level_model(ms.Additive((0.3,))), replace(batch_of(), output=batch_of().output + away,
                         upper=batch_of().upper + away))  # fmt: skip
    value, gradient = built.compile_logp(mode=PYTHON), built.compile_dlogp(mode=PYTHON)
    point = built.initial_point()
    direction = {k: np.random.default_rng(1).standard_normal(np.shape(v)) for k, v in point.items()}
    ahead, behind = (value({k: v + s * direction[k] for k, v in point.items()}) for s in (1e-5, -1e-5))
    slope = gradient(point) @ np.concatenate([np.ravel(direction[v.name]) for v in built.value_vars])
    assert np.isfinite(slope)
    assert slope == pytest.approx((ahead - behind) / 2e-5, rel=1e-6)


def test_tails_keep_their_digits_in_every_library() -> None:
    import pytensor.tensor as pt

    low = np.array([37.0, -38.0, 8.0])
    high = np.array([38.0, -37.0, 8.0 + 1e-9])
    expected = [stats.norm.logsf(37.0), stats.norm.logsf(37.0), stats.norm.logpdf(8.0) + math.log(1e-9)]
    for found in (
        log_between(low, high),
        log_between(torch.as_tensor(low), torch.as_tensor(high)),
        log_between(pt.as_tensor(low), pt.as_tensor(high)).eval(mode=PYTHON),
    ):
        np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-6)


def test_the_posterior_of_one_task_is_that_of_quadrature() -> None:
    """Given a population, of a task whose readings are limits mostly: mean and standard deviation of its coordinate."""
    noise, mean, spread, draws = 0.3, 0.4, 0.5, 4000
    model = level_model(ms.Additive((noise,)))
    prior = SimpleNamespace(problem=lambda batch: Problem(model, batch), model=model)
    population = _told(0.0, noise)
    population = replace(
        population,
        draws={
            "coordinates": np.zeros((draws, 1, 1)),
            "coordinate_mean": np.full((draws, 1), mean),
            "coordinate_sd": np.full((draws, 1), spread),
            "coordinate_correlation": np.ones((draws, 1, 1)),
            "log_noise": np.full((draws, 1), math.log(noise)),
        },
    )
    found = posterior_of_new_task(population, prior, batch_of(), draws=draws).draws["coordinates"][:, 0, 0]
    coordinate = np.linspace(-4.0, 4.0, 2001)
    density = stats.norm.logpdf(coordinate, mean, spread)
    for place, at in enumerate(coordinate):
        law = stats.norm(float(model.parameters.to_physical(np.array([at]))["level"]), noise)
        density[place] += law.logpdf(READ[KINDS == NUMBER]).sum() + by_scipy(law, np.arange(len(KINDS)))
    weight = np.exp(density - density.max())
    expected = np.average(coordinate, weights=weight)
    sd = math.sqrt(np.average((coordinate - expected) ** 2, weights=weight))
    assert found.mean() == pytest.approx(expected, abs=0.05 * sd)
    assert found.std() == pytest.approx(sd, rel=0.05)


def _told(coordinate: float, noise: float) -> Posterior:
    return Posterior(
        draws={"coordinates": np.array([[[coordinate]]]), "log_noise": np.log([[noise]])}, tasks=("specimen",),
        data=None, seconds=0.0, compile_seconds=0.0, rhat=1.0, effective_size=1.0, divergences=0,
    )  # fmt: skip


def test_a_forecast_of_a_limit_is_its_log_probability() -> None:
    model = level_model(ms.Additive((0.3,)))
    found = predictive(_told(0.0, 0.3), model, batch_of(), 0).log_density()
    law = stats.norm(2.0, 0.3)
    for place, kind in enumerate(KINDS):
        if kind == NUMBER:
            assert found[place] == pytest.approx(law.logpdf(READ[place]))
        else:
            assert found[place] == pytest.approx(by_scipy(law, np.array([place])))


def test_scores_of_limits_are_of_what_they_say() -> None:
    """Three times ">65": a forecast above is right, one below is off by what lacks; its interval reaches, or not."""
    score = HeldOut()
    median = np.array([70.0, 64.0, 50.0])
    draws = median + np.array([-2.0, 0.0, 2.0])[:, None]
    score.add(
        np.full(3, 65.0), median, lambda level: (median - 2.0, median + 2.0), draws, np.zeros(3), np.zeros(3),
        None, np.full(3, np.inf),
    )  # fmt: skip
    table = score.stacked()
    assert table["covered"][:, 0].tolist() == [1.0, 1.0, 0.0]
    assert table["crps"][0] == 0.0
    assert table["crps"][2] == pytest.approx(15.0 - 4.0 / 3.0)  # E|X − y| less half E|X − X′|


def test_kept_draws_of_other_limits_have_another_name() -> None:
    prior, tasks = ms.load("theophylline"), ms.dataset("theophylline")
    batch = prior.batch(tasks.select([0]))
    upper = torch.full_like(batch.output, torch.nan)
    names = {key_of(prior, replace(batch, upper=each)) for each in (None, upper, upper.nan_to_num(torch.inf))}
    assert len(names) == 3
