"""The hierarchical model in PyMC: its density, its sampling and the forecasts from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pm = pytest.importorskip("pymc")

from pytensor.compile.mode import Mode  # noqa: E402
from scipy import stats  # noqa: E402

import metasci as ms  # noqa: E402
from metasci.bayes import (  # noqa: E402
    Posterior,
    curve,
    hierarchical,
    initial_point,
    posterior_predictive,
    predictive,
    prior_predictive,
    sample,
    versions,
)
from metasci.bayes.hierarchical import flatten  # noqa: E402
from metasci.data.batch import Batch  # noqa: E402
from metasci.errors import InputError  # noqa: E402
from metasci.forecasts import DrawsForecast, Forecast  # noqa: E402
from metasci.library import find  # noqa: E402
from metasci.math import floor  # noqa: E402
from metasci.meta.covariates import Design  # noqa: E402
from metasci.model import Model, equation  # noqa: E402

PYTHON = Mode(linker="py", optimizer="fast_compile")  # nothing to compile: quick for a few evaluations


@equation(
    inputs={"time": "h"},
    output=("height", "cm"),
    parameters=[
        ms.Parameter("level", "cm", typical=1.0, spread=0.5),
        ms.Parameter("slope", "cm/h", spread=2.0),
    ],
    noise=ms.Additive((0.4,)),
    name="test.line",
)
def line(time, *, level, slope):
    """Straight line."""
    return level + slope * time


@equation(
    inputs={"time": "h"},
    output=("height", "cm"),
    parameters=[ms.Parameter("level", "cm", typical=2.0, positive=True)],
    noise=ms.LogNormal((0.2,)),
    name="test.flat",
)
def flat(time, *, level):
    """One parameter, log-normal noise."""
    return level + 0.0 * time


def lines(tasks: int = 8, observations: int = 6) -> Batch:
    random = np.random.default_rng(3)
    z = np.array([0.5, -0.5]) + random.standard_normal((tasks, 2)) * [1.0, 0.6]
    time = np.tile(np.linspace(0.0, 2.0, observations), (tasks, 1))
    height = line({"time": time}, line.parameters.to_physical(z[:, None]))
    height = height + 0.3 * random.standard_normal(time.shape)
    mask = torch.ones(tasks, observations, dtype=torch.bool)
    mask[0, 3:] = False
    return Batch(
        inputs={"time": torch.tensor(time)},
        output=torch.tensor(height) * mask,
        mask=mask,
        covariates=torch.zeros(tasks, 0, dtype=torch.float64),
        names=tuple(f"line {i}" for i in range(tasks)),
    )


def random_point(built: pm.Model, size: float = 0.3) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {k: v + size * random.standard_normal(np.shape(v)) for k, v in built.initial_point().items()}


def shipped(name: str) -> tuple[Model, Batch]:
    tasks = ms.dataset(name)
    model = find(tasks.card.model)
    return model, tasks.batch(model)


@pytest.mark.parametrize("centred", [False, True], ids=["offsets", "centred"])
@pytest.mark.parametrize(
    ("name", "task_noise"),
    [("theophylline", False), ("alloy_fatigue", True), ("phenobarbital", False)],
)
def test_gradient_is_that_of_finite_differences(name: str, task_noise: bool, centred: bool) -> None:
    model, batch = shipped(name)
    design = Design(torch.linspace(-1, 1, 2 * len(batch), dtype=torch.float64).reshape(-1, 2), torch.zeros(0))
    built = hierarchical(model, batch, design, task_noise=task_noise, centred=centred)
    value = built.compile_logp(mode=PYTHON)
    gradient = built.compile_dlogp(mode=PYTHON)
    assert np.isfinite(gradient(built.initial_point())).all(), "at the typical values"
    point = random_point(built, 0.1)
    direction = {k: np.random.default_rng(1).standard_normal(np.shape(v)) for k, v in point.items()}
    step = 1e-5
    ahead, behind = (value({k: v + s * direction[k] for k, v in point.items()}) for s in (step, -step))
    slope = gradient(point) @ np.concatenate([np.ravel(direction[v.name]) for v in built.value_vars])
    assert slope == pytest.approx((ahead - behind) / (2 * step), rel=1e-6)


def test_a_tasks_precision_divides_its_variance() -> None:
    """With a precision of four, squared deviations of that task count four times, and each reading twice as densely."""
    batch = lines()
    built = hierarchical(line, batch, task_noise=True)
    each = built.compile_logp(vars=[built["measurement"]], sum=False, mode=PYTHON)
    point, task = random_point(built), flatten(line, batch).task
    precision = np.ones(len(batch))
    even = each({**point, "noise_precision_log__": np.log(precision)})[0]
    precision[2] = 4.0
    uneven = each({**point, "noise_precision_log__": np.log(precision)})[0]
    constant = point["log_noise"][0] + 0.5 * np.log(2.0 * np.pi)
    wanted = np.where(task == 2, 4.0 * (even + constant) + np.log(2.0) - constant, even)
    np.testing.assert_allclose(uneven, wanted, rtol=1e-10)


def test_density_is_conjugate_in_the_linear_gaussian_case() -> None:
    """At the closed-form conditional mean of every task the gradient vanishes, and only there."""
    batch = lines()
    built = hierarchical(line, batch, centred=True)
    point = random_point(built)
    mean, sd, correlation = _population(built, point)
    point["coordinates"] = np.stack(
        [
            _conditional(batch, t, mean, np.outer(sd, sd) * correlation, point["log_noise"][0])[0]
            for t in range(8)
        ]
    )
    gradient = built.compile_dlogp(vars=[built["coordinates"]], mode=PYTHON)
    np.testing.assert_allclose(gradient(point), 0.0, atol=1e-9)
    point["coordinates"] = point["coordinates"] + 0.1
    assert np.abs(gradient(point)).max() > 0.1


@pytest.mark.parametrize("centred", [False, True], ids=["offsets", "centred"])
def test_both_centrings_are_one_model(centred: bool) -> None:
    """Prior of the coordinates against scipy, with the volume that the change of variables takes."""
    batch = lines()
    built = hierarchical(find("kinetics.tempering"), _steel_like(batch), centred=centred)
    point = random_point(built)
    mean, sd, correlation = _population(built, point)
    covariance = np.outer(sd, sd) * correlation
    if centred:
        terms, coordinates, volume = [built["coordinates_prior"]], point["coordinates"], 0.0
        found = float(_evaluate(built, terms, point)[0])
    else:
        (coordinates,) = _evaluate(built, [built["coordinates"]], point)
        found = stats.norm.logpdf(point["coordinate_offset"]).sum()
        volume = 0.5 * len(batch) * np.linalg.slogdet(covariance)[1]
    expected = stats.multivariate_normal(mean, covariance).logpdf(coordinates).sum()
    assert found == pytest.approx(expected + volume, rel=1e-10)


def test_correlations_follow_lkj() -> None:
    built = hierarchical(find("kinetics.tempering"), _steel_like(lines()))
    with built:
        prior = pm.sample_prior_predictive(800, random_seed=5, compile_kwargs={"mode": PYTHON})
    correlation = np.asarray(prior["prior"]["coordinate_correlation"])[0]
    for i, j in [(1, 0), (3, 0), (3, 2)]:  # each is 2·Beta(η − 1 + n/2) − 1, whatever its place
        assert stats.kstest((correlation[:, i, j] + 1) / 2, stats.beta(3.0, 3.0).cdf).pvalue > 1e-3


def test_model_of_one_parameter_with_a_link() -> None:
    batch = lines()
    batch = replace(batch, output=batch.output.abs() + 0.5)
    built = hierarchical(flat, batch)
    assert np.isfinite(built.compile_dlogp(mode=PYTHON)(built.initial_point())).all()
    rows = flatten(flat, batch)
    likelihood = _evaluate(built, [built.logp(vars=[built["measurement"]])], point := random_point(built))[0]
    (level,) = _evaluate(built, [built["level"]], point)
    sd = np.exp(point["log_noise"][0])
    assert likelihood == pytest.approx(
        stats.norm.logpdf(np.log(rows.output), np.log(level[rows.task]), sd).sum()
    )


def test_support_chooses_the_rows() -> None:
    batch = lines()
    support = np.zeros(batch.mask.shape, bool)
    support[:, :2] = True
    support[2] = False
    rows = flatten(line, batch, support)
    assert np.bincount(rows.task, minlength=8).tolist() == [2, 2, 0, 2, 2, 2, 2, 2]
    built = hierarchical(line, batch, support=support)
    assert built["row_task"].eval().tolist() == rows.task.tolist()
    assert len(built.coords["task"]) == 8
    with pytest.raises(InputError, match="at least one measurement"):
        hierarchical(line, batch, support=np.zeros(batch.mask.shape, bool))
    with pytest.raises(InputError, match="describes 3 tasks"):
        hierarchical(line, batch, Design(torch.zeros(3, 1), torch.zeros(3, 1, 1)))


@pytest.fixture(scope="module")
def sampled() -> Posterior:
    return _sample(draws=500)


def test_posterior_is_conjugate_given_the_population(sampled: Posterior) -> None:
    """Draws, whitened by the closed-form posterior of their own population draw, are standard normal."""
    assert sampled.converged, sampled.verdict
    batch, draws = lines(), sampled.draws
    whitened = []
    for d in range(0, len(sampled), 4):
        sd, log_noise = draws["coordinate_sd"][d], draws["log_noise"][d, 0]
        covariance = np.outer(sd, sd) * draws["coordinate_correlation"][d]
        for t in range(len(batch)):
            centre, spread = _conditional(batch, t, draws["coordinate_mean"][d], covariance, log_noise)
            whitened.append(np.linalg.solve(np.linalg.cholesky(spread), draws["coordinates"][d, t] - centre))
    np.testing.assert_allclose(np.mean(whitened, 0), 0.0, atol=0.1)
    np.testing.assert_allclose(np.cov(np.transpose(whitened)), np.eye(2), atol=0.1)


def test_parameters_are_recorded_in_physical_units(sampled: Posterior) -> None:
    physical = line.parameters.to_physical(sampled.draws["coordinates"])
    np.testing.assert_allclose(sampled.draws["level"], physical["level"])
    np.testing.assert_allclose(sampled.draws["slope"], physical["slope"])
    table = versions.summary(sampled.data, ["level"])
    assert table.index[0] == "level[line 0]"


def test_the_same_seed_gives_the_same_draws(sampled: Posterior) -> None:
    again = _sample(draws=500)
    np.testing.assert_array_equal(sampled.draws["coordinates"], again.draws["coordinates"])


def test_forecast_agrees_with_direct_computation(sampled: Posterior) -> None:
    batch, task = lines(), 3
    forecast = predictive(sampled, line, batch, task)
    time, height = np.linspace(0.0, 2.0, 6), batch.output[task].numpy()
    expected = sampled.draws["level"][:, task, None] + sampled.draws["slope"][:, task, None] * time
    np.testing.assert_allclose(forecast.curve, expected)
    np.testing.assert_allclose(curve(sampled, line, {"time": time}, "line 3"), expected)
    density = stats.norm.pdf(height, expected, np.exp(sampled.draws["log_noise"]))
    np.testing.assert_allclose(forecast.log_density(), np.log(density.mean(0)))
    np.testing.assert_allclose(forecast.median, expected.mean(0), atol=0.1)
    width = np.sqrt(expected.var(0) + np.exp(2.0 * sampled.draws["log_noise"]).mean())
    np.testing.assert_allclose(np.subtract(*forecast.interval()[::-1]), 2.0 * 1.645 * width, rtol=0.15)
    with pytest.raises(InputError, match="no task 'line 9'"):
        curve(sampled, line, {"time": time}, "line 9")


def test_a_samplers_forecast_is_one_among_the_forecasts(sampled: Posterior) -> None:
    import metasci.bayes

    forecast = predictive(sampled, line, lines(), 3)
    assert isinstance(forecast, DrawsForecast)
    promised = [name for name in vars(Forecast) if not name.startswith("_")]
    assert set(promised) >= {"interval", "log_density", "median"}
    assert all(hasattr(forecast, name) for name in promised)
    with pytest.warns(DeprecationWarning, match=r"metasci\.forecasts\.DrawsForecast"):
        assert metasci.bayes.Forecast is DrawsForecast
    with pytest.raises(InputError, match="level"):
        forecast.interval(90.0)


def test_forecast_counts_task_noise_and_the_links_stretch(sampled: Posterior) -> None:
    draws = {
        "coordinates": np.zeros((2, 1, 1)),
        "log_noise": np.log([[0.2], [0.4]]),
        "noise_precision": np.array([[4.0], [1.0]]),
    }
    posterior = replace(sampled, draws=draws, tasks=("line 0",))
    batch = lines(1)
    batch = replace(batch, output=torch.full_like(batch.output, 2.5))
    found = predictive(posterior, flat, batch, 0).log_density()
    expected = np.log(np.mean([stats.lognorm.pdf(2.5, sd, scale=2.0) for sd in (0.1, 0.4)]))
    np.testing.assert_allclose(found, expected)


def test_measurements_made_again_scatter_as_the_posterior_says(sampled: Posterior) -> None:
    batch = lines()
    found = posterior_predictive(sampled, line, batch)
    assert found["measurement"].dims == ("chain", "draw", "row")
    assert found["measurement"].attrs["units"] == "cm"
    rows = flatten(line, batch)
    np.testing.assert_array_equal(found["measured"], rows.output)
    assert found["task"].values.tolist() == [batch.names[task] for task in rows.task]
    draws = sampled.draws
    curves = (
        draws["level"][:, rows.task]
        + draws["slope"][:, rows.task] * rows.inputs["time"]
    )  # fmt: skip
    off = (found["measurement"].values.reshape(len(sampled), -1) - curves) / np.exp(draws["log_noise"])
    assert stats.kstest(off.ravel()[::7], "norm").pvalue > 1e-3


def test_measurements_before_any_are_as_wide_as_the_priors() -> None:
    """Intercepts are 1 + ½z cm with z of variance 2² + E σ² = 5, and noise e^N(ln 0.4, 1)."""
    built = hierarchical(line, lines(tasks=2))
    found = prior_predictive(built, draws=4000, seed=1)
    level = found["level"].values.reshape(-1, 2)
    np.testing.assert_allclose(level.mean(0), 1.0, atol=0.08)
    np.testing.assert_allclose(level.var(0), 0.25 * 5.0, rtol=0.1)
    first = found["measurement"].values.reshape(4000, -1)[:, 0]  # at time zero
    noise = np.exp(found["log_noise"].values.reshape(-1))
    assert stats.kstest((first - level[:, 0]) / noise, "norm").pvalue > 1e-3


def test_a_gradient_that_is_wrong_is_refused_before_sampling() -> None:
    def rounded(time, level):
        return floor(1e7 * level) / 1e7 + 0.0 * time

    batch = replace(lines(2), output=lines(2).output.abs() + 0.5)
    with pytest.raises(InputError, match="not that of finite differences"):
        sample(hierarchical(replace(flat, function=rounded), batch), draws=5, tune=5, progress=False)


def test_results_are_kept_in_a_file(sampled: Posterior, tmp_path: Path) -> None:
    versions.save(sampled.data, tmp_path / "posterior.nc")
    assert [path.name for path in tmp_path.iterdir()] == ["posterior.nc"]
    loaded = versions.load(tmp_path / "posterior.nc")
    np.testing.assert_array_equal(versions.draws(loaded)["slope"], sampled.draws["slope"])


def test_chains_that_disagree_are_named(sampled: Posterior) -> None:
    bad = replace(sampled, rhat=1.3, effective_size=12.0, divergences=40)
    assert not bad.converged
    assert bad.verdict.startswith("The chains have not converged: the chains disagree (R-hat 1.300")
    assert "40 of 1000 draws diverged" in bad.verdict
    assert not replace(sampled, rhat=float("nan")).converged


def _sample(draws: int) -> Posterior:
    batch = lines()
    built = hierarchical(line, batch, centred=True)
    start = initial_point(np.zeros((len(batch), 2)), centred=True)
    return sample(built, draws=draws, tune=400, seed=7, initial=start, progress=False)


def _evaluate(built: pm.Model, wanted: list, point: dict[str, np.ndarray]) -> list[np.ndarray]:
    graph = built.replace_rvs_by_values(wanted)
    function = pm.pytensorf.compile(built.value_vars, graph, mode=PYTHON, on_unused_input="ignore")
    return function(**point)


def _population(built: pm.Model, point: dict[str, np.ndarray]) -> list[np.ndarray]:
    names = ("coordinate_mean", "coordinate_sd", "coordinate_correlation")
    return _evaluate(built, [built[name] for name in names], point)


def _conditional(
    batch: Batch, task: int, mean: np.ndarray, covariance: np.ndarray, log_noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of a line's coordinates, given the population and its measurements."""
    mask = batch.mask[task].numpy()
    time, height = batch.inputs["time"][task].numpy()[mask], batch.output[task].numpy()[mask]
    jacobian = np.stack([0.5 + 0.0 * time, 2.0 * time], -1)
    precision = np.linalg.inv(covariance)
    spread = np.linalg.inv(precision + jacobian.T @ jacobian * np.exp(-2.0 * log_noise))
    pull = jacobian.T @ (height - 1.0) * np.exp(-2.0 * log_noise)
    return spread @ (precision @ mean + pull), spread


def _steel_like(batch: Batch) -> Batch:
    """The same tasks as if they were steels, for what depends on the number of parameters only."""
    time = batch.inputs["time"] * 3600.0 + 60.0
    return replace(batch, inputs={"time": time, "temperature": 0.0 * time + 800.0})
