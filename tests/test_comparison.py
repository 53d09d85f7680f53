"""The comparison with hierarchical Bayes, where the posterior is known: straight lines from a known population."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from scipy import stats

pytest.importorskip("pymc")

from known import as_known

import metasci as ms
from metasci.bayes import comparison, joint
from metasci.bayes.described import population_of
from metasci.bayes.folds import ANEW, GIVEN, Arrangement, Fold, arranged
from metasci.bayes.joint import Joint, posterior_of_new_task, together
from metasci.bayes.sampling import Posterior
from metasci.bayes.scores import LEVELS, HeldOut, ensemble_crps
from metasci.bayes.scoring import differences
from metasci.data.batch import Batch
from metasci.diagnostics.simulated import simulated_tasks
from metasci.errors import InputError
from metasci.evaluation.protocol import Protocol, split_tasks
from metasci.learned.learned_from import learned_from
from metasci.meta.covariates import Covariates
from metasci.meta.laplace.gaussian import GaussianPrior

MEAN, SD, CORRELATION, NOISE = np.array([0.5, -0.3]), np.array([0.8, 0.5]), 0.4, 0.3
COVARIANCE = np.outer(SD, SD) * np.array([[1.0, CORRELATION], [CORRELATION, 1.0]])
DRAWS, FEW = 4000, 400


@ms.equation(
    inputs={"x": "h"},
    output=("height", "cm"),
    parameters=[ms.Parameter("level", "cm", spread=1.0), ms.Parameter("slope", "cm/h", spread=1.0)],
    noise=ms.Additive((NOISE,)),
    name="test.compared_line",
)
def line(x, *, level, slope):
    """Straight line."""
    return level + slope * x


def _known(batch: Batch, support: torch.Tensor, draws: int = DRAWS) -> Posterior:
    """Draws of the exact posterior of every task, given the population."""
    random = np.random.default_rng(0)
    coordinates = np.stack(
        [random.multivariate_normal(*_posterior(batch, t, support[t]), draws) for t in range(len(batch))], 1
    )
    jitter = 0.05 * random.standard_normal((draws, 2))
    return Posterior(
        draws={
            "coordinates": coordinates,
            "coordinate_mean": MEAN + jitter - jitter.mean(0),
            "coordinate_sd": np.broadcast_to(SD, (draws, 2)),
            "coordinate_correlation": np.broadcast_to(
                np.array([[1.0, CORRELATION], [CORRELATION, 1.0]]), (draws, 2, 2)
            ),
            "log_noise": np.full((draws, 1), math.log(NOISE)),
        },
        tasks=batch.names, data=None, seconds=20.0, compile_seconds=5.0, rhat=1.0, effective_size=4000.0, divergences=0,
        chains=2, judged=("coordinate_mean",),
    )  # fmt: skip


def _posterior(batch: Batch, task: int, support: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    seen = (batch.mask[task] & support).numpy()
    x, y = batch.inputs["x"][task].expand(len(seen)).numpy()[seen], batch.output[task].numpy()[seen]
    design = np.stack([np.ones_like(x), x], -1)
    precision = np.linalg.inv(COVARIANCE)
    spread = np.linalg.inv(precision + design.T @ design / NOISE**2)
    return spread @ (precision @ MEAN + design.T @ y / NOISE**2), spread


@pytest.fixture(scope="module")
def setting() -> tuple[ms.Prior, ms.TaskSet]:
    """Simulated lines, and a prior that is told their population."""
    random = np.random.default_rng(1)
    z = random.multivariate_normal(MEAN, COVARIANCE, 40)
    x = np.sort(random.uniform(0.0, 3.0, (40, 8)), 1)
    tasks = simulated_tasks(line, {"level": z[:, 0], "slope": z[:, 1]}, {"x": x}, seed=2)
    prior = ms.meta_calibrate(line, tasks, GaussianPrior(iterations=1), name="lines")
    state = replace(
        prior.state,
        coefficients=torch.tensor(MEAN)[:, None],
        covariance=torch.tensor(COVARIANCE),
        design_covariance=torch.zeros(1, 1, dtype=torch.float64),
        log_noise=torch.tensor([math.log(NOISE)], dtype=torch.float64),
        widening=torch.ones_like(prior.state.widening),
    )
    told = replace(
        prior, state=state,
        training={**prior.training, "data_sha256": "of other tasks", "task_checksums": ["of another"]},
    )  # fmt: skip
    return as_known(told), tasks


@pytest.fixture(scope="module")
def compared(setting, tmp_path_factory) -> xr.Dataset:
    """The comparison, with exact draws in the place of PyMC's."""
    prior, tasks = setting

    def known(prior, old, new=None, support=None, **_) -> Joint:
        batch = old
        if new is not None:
            batch = old.join(new.with_mask(new.mask & support))
        return Joint(_known(batch, batch.mask), batch, len(old))

    def parts(*_) -> Arrangement:
        old, new = prior.batch(tasks.select(range(10))), prior.batch(tasks.select(range(10, 40)))
        return Arrangement(GIVEN, "", 1, "As given", iter([Fold(prior, None, prior, old, new)]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "joint_posterior", known)
        patch.setattr(comparison, "arranged", parts)
        return comparison.compare(prior, tasks, shots=3, keep=tmp_path_factory.mktemp("draws"))


def test_estimates_and_operators_are_the_conjugate_ones(setting, compared) -> None:
    prior, tasks = setting
    batch = prior.batch(tasks.select(range(10, 40)))
    split = split_tasks(batch.mask, 3, Protocol(shots=(0, 1, 3, 5)), 1)
    for task in range(30):
        mean, covariance = _posterior(batch, task, split.support[task])
        one = compared.isel(task=task)
        np.testing.assert_allclose(one["estimate"], mean, atol=1e-8)
        np.testing.assert_allclose(one["estimate_sd"], np.sqrt(np.diag(covariance)), atol=1e-8)
        np.testing.assert_allclose(one["contraction_learned"], 1.0 - np.diag(covariance) / SD**2, atol=1e-8)
        expected = np.eye(2) - covariance @ np.linalg.inv(COVARIANCE)
        np.testing.assert_allclose(one["operator_learned"], expected, atol=1e-8)
        np.testing.assert_allclose(one["operator_pymc"], expected, atol=1e-8)
        assert np.abs(one["estimate_z"]).max() < 0.1  # of draws
        np.testing.assert_allclose(one["contraction_pymc"], one["contraction_learned"], atol=0.03)
        held = compared.isel(measurement=np.nonzero(compared["measured_task"].values == batch.names[task])[0])
        design = np.stack([np.ones(held.sizes["measurement"]), held["x"].values], -1)
        forecast = stats.norm(design @ mean, np.sqrt(((design @ covariance) * design).sum(1) + NOISE**2))
        learned = held.isel(forecaster=0)
        np.testing.assert_allclose(learned["log_density"], forecast.logpdf(held["measured"]), atol=1e-8)
        np.testing.assert_allclose(learned["pit"], forecast.cdf(held["measured"]), atol=1e-8)
        np.testing.assert_allclose(learned["lower"], forecast.ppf(0.05), atol=1e-8)
        common = forecast.logpdf(held["measured"]) > -2.0  # draws are few in the tails
        for place in (1, 2):
            theirs = held["log_density"].isel(forecaster=place).values
            np.testing.assert_allclose(theirs[common], forecast.logpdf(held["measured"])[common], atol=0.1)


def test_populations_that_are_one_agree(compared) -> None:
    np.testing.assert_allclose(compared["start_z"], 0.0, atol=1e-8)
    np.testing.assert_allclose(compared["tail"], 1.0, atol=1e-8)
    np.testing.assert_allclose(compared["implied_sd"], compared["population_sd"], atol=1e-8)
    assert float(compared["wasserstein"].max()) < 0.25
    np.testing.assert_allclose(
        compared["kl_forward"], compared["kl_backward"], atol=1e-8
    )  # the same covariances
    figures = ms.bayes.summary(compared)
    assert figures["rmse_ratio"] == pytest.approx(1.0, abs=0.01)
    assert figures["nlpd_difference"] == pytest.approx(0.0, abs=0.01)
    assert figures["seconds_per_task"]["pymc"] == 25.0
    assert figures["spread_ratio"] == pytest.approx({"level": 1.0, "slope": 1.0})
    assert "agrees with PyMC's population mean" in figures["verdict"]
    assert "as accurate as PyMC's" in figures["verdict"]
    assert figures["verdict"].endswith("the learned prior can stand in for it.")
    assert float(compared["coverage"].sel(forecaster="learned prior, as given", level=0.9)) == pytest.approx(
        0.9, abs=0.07
    )


def test_a_prior_that_is_wrong_is_told_from_the_posterior(setting, compared) -> None:
    from metasci.bayes.verdict import verdict

    wrong = compared.copy(deep=True)
    wrong["median"][0] += 1.5
    wrong["log_density"][0] -= 0.3
    wrong["start_z"][:, 1], wrong["tail"][:] = 8.0, 1e-9
    said = verdict(wrong)
    assert "differs from PyMC's population mean, most in slope" in said
    assert "less accurate than PyMC's" in said
    assert said.endswith("where it matters, trust PyMC.")


def test_a_new_task_with_the_population_as_its_prior_is_conjugate(setting) -> None:
    prior, tasks = setting
    batch = prior.batch(tasks)
    population = _known(batch, batch.mask)
    population.draws["coordinate_mean"] = np.broadcast_to(MEAN, (DRAWS, 2))
    one = batch.select([5])
    found = posterior_of_new_task(population, prior, one, draws=DRAWS)
    mean, covariance = _posterior(batch, 5, batch.mask[5])
    assert found.effective_size > 0.7 * DRAWS  # the proposals' tails are heavier, nothing else
    np.testing.assert_allclose(
        found.draws["coordinates"][:, 0].mean(0), mean, atol=0.05 * np.sqrt(covariance.max())
    )
    np.testing.assert_allclose(np.cov(found.draws["coordinates"][:, 0].T), covariance, rtol=0.12)
    assert found.tasks == one.names


@pytest.mark.slow
def test_what_only_torch_can_compute_is_sampled_and_forecast(monkeypatch) -> None:
    """A straight line that computes a task's predictions together: sampled as a recorded torch function."""
    together = replace(line, joint=True, name="test.compared_together")
    values = {"level": [0.0, 0.5, 1.0, 1.5], "slope": [-0.5, 0.0, 0.5, -0.2]}
    x = np.linspace(0.0, 2.0, 7)
    tasks = simulated_tasks(together, values, {"x": x}, seed=1)
    prior = ms.meta_calibrate(together, tasks, GaussianPrior())
    batch, sampled = prior.batch(tasks), joint.sample_traced

    def shortly(built, **how) -> Posterior:
        found = sampled(built, **{**how, "draws": 60, "tune": 100})
        return replace(found, rhat=1.0, effective_size=400.0)  # too few to say so themselves

    monkeypatch.setattr(joint, "sample_traced", shortly)
    found = joint.joint_posterior(prior, batch, seed=2)
    adapted = prior.adapt(batch)
    sd = adapted.covariance.diagonal(dim1=1, dim2=2).sqrt().numpy()
    off = (found.posterior.draws["coordinates"].mean(0) - adapted.coordinates.numpy()) / sd
    assert np.abs(off).max() < 1.0  # the population is not known for certain, and draws are few
    forecast = found.forecast(prior, -len(tasks), batch.mask[0])
    draws = found.posterior.draws
    np.testing.assert_allclose(forecast.curve, draws["level"][:, :1] + draws["slope"][:, :1] * x)


def exact(prior, old, new=None, support=None, **_) -> Joint:
    """In the place of PyMC: the exact posterior, given the true population."""
    batch = together(old, new, support)
    return Joint(_known(batch, batch.mask, FEW), batch, len(old))


def other_lines(seed: int, label: str) -> ms.TaskSet:
    """Lines of the same population, from a DataFrame: no file, no checksum of one."""
    random = np.random.default_rng(seed)
    rows = [
        {"task": f"{label} {task}", "x [h]": x, "height [cm]": level + slope * x + NOISE * random.normal()}
        for task, (level, slope) in enumerate(random.multivariate_normal(MEAN, COVARIANCE, 12))
        for x in (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
    ]
    return ms.TaskSet.from_frame(pd.DataFrame(rows), ms.Card.from_model(line), model=line)


def moved(prior: ms.Prior) -> ms.Prior:
    """The same with a start that is some sixteen spreads off, of which it is sure."""
    coefficients = prior.state.coefficients.clone()
    coefficients[:, 0] += 5.0
    return replace(
        prior,
        state=replace(prior.state, coefficients=coefficients, covariance=prior.state.covariance / 100.0),
    )


@pytest.fixture(scope="module")
def of_a_frame() -> ms.Prior:
    return ms.meta_calibrate(line, other_lines(0, "old"), name="of a frame")


def test_new_tasks_from_a_frame_judge_the_prior_as_it_is_given(of_a_frame, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(comparison, "joint_posterior", exact)
    new = other_lines(1, "new")
    right, wrong = (
        comparison.compare(prior, new, folds=2, keep=tmp_path) for prior in (of_a_frame, moved(of_a_frame))
    )
    for found in (right, wrong):
        assert found["forecaster"].values.tolist() == [
            "learned prior, as given", "PyMC, joint", "PyMC, population as prior", "learned prior, anew in folds",
        ]  # fmt: skip
        assert found["task"].size == 12
        assert found.attrs["verdict"].startswith(
            "The prior is judged as given; PyMC has learned from the other new tasks, in 2 folds"
        )
    # what is learned anew knows nothing of the state that was given
    xr.testing.assert_identical(right["median"].isel(forecaster=3), wrong["median"].isel(forecaster=3))
    assert float(wrong["rmse"][0]) > 5.0 * float(right["rmse"][0])
    assert "differs from PyMC's population mean" in wrong.attrs["verdict"]
    assert "trust PyMC" in wrong.attrs["verdict"]
    assert "trust PyMC" not in right.attrs["verdict"]
    figures = ms.bayes.summary(wrong)
    assert figures["judged"] == "learned prior, as given"
    assert figures["nlpd_difference"] > figures["nlpd_difference_interval"]["lower"] > 1.0


def test_pymc_conditions_on_the_tasks_that_the_prior_has_learned_from(
    of_a_frame, monkeypatch, tmp_path
) -> None:
    learned_from: list[tuple[str, ...]] = []

    def noted(prior, old, new=None, support=None, **_) -> Joint:
        learned_from.append(old.names)
        return exact(prior, old, new, support)

    monkeypatch.setattr(comparison, "joint_posterior", noted)
    old, new = other_lines(0, "old"), other_lines(1, "new")
    found = comparison.compare(of_a_frame, new, known=old, keep=tmp_path)
    assert set(learned_from) == {old.names}
    assert found["forecaster"].size == 3  # nothing is learned anew
    assert "PyMC has learned from the same 12 tasks as it" in found.attrs["verdict"]
    with pytest.raises(
        InputError, match=r"known: the 12 tasks .* are not those that 'of a frame' has learned from"
    ):
        comparison.compare(of_a_frame, new, known=other_lines(2, "others"), keep=tmp_path)


@pytest.mark.parametrize(("count", "folds"), [(2, 2), (2, 5), (3, 2)])
def test_folds_that_leave_one_task_to_learn_from_are_refused(of_a_frame, count: int, folds: int) -> None:
    few = other_lines(1, "new").select(range(count))
    with pytest.raises(
        InputError, match=rf"^{count} tasks cannot be held out in {folds} folds.* give more tasks"
    ):
        arranged(of_a_frame, few, Protocol(shots=(0, 1)), folds)
    assert arranged(of_a_frame, other_lines(1, "new").select(range(3)), Protocol(shots=(0, 1)), 3).count == 3


def test_on_its_own_tasks_a_prior_is_judged_as_given_beside_the_folds(
    of_a_frame, monkeypatch, tmp_path
) -> None:
    monkeypatch.setattr(comparison, "joint_posterior", exact)
    own = other_lines(0, "old")  # read again: the same content
    found = comparison.compare(moved(of_a_frame), own, folds=3, keep=tmp_path)
    assert found["forecaster"].values.tolist() == [
        "learned prior, anew in folds", "PyMC, joint", "PyMC, population as prior", "learned prior, as given",
    ]  # fmt: skip
    assert "learned anew without these tasks, in 3 folds" in found.attrs["verdict"]
    assert found.attrs["verdict"].endswith("trust PyMC, and not the prior as given.")
    assert float(found["rmse"][3]) > 5.0 * float(found["rmse"][0])
    rows = ms.report.comparison_table(found)
    assert [row[0] for row in rows[1:]] == found["forecaster"].values.tolist()


def test_other_tasks_of_the_file_that_a_prior_was_learned_from_are_new_to_it(tmp_path) -> None:
    tasks = ms.dataset("theophylline")
    prior = ms.load("theophylline").retrain(tasks.select(range(8)))
    prior.save(tmp_path / "eight")
    prior = ms.Prior.load(tmp_path / "eight")
    plan = arranged(prior, tasks.select(range(8, 12)), Protocol(shots=(0, 3)), 2)
    (fold,) = plan.folds
    assert (plan.judged, plan.beside) == (GIVEN, "")
    assert fold.old.names == tasks.names[:8]
    assert fold.new.names == tasks.names[8:]

    mixed = arranged(prior, tasks.select(range(6, 12)), Protocol(shots=(0, 3)), 2)
    assert mixed.judged == ANEW
    assert "since the prior has seen 2 of them" in mixed.sentence
    since = prior.update(tasks.select([8]))
    assert learned_from(since, tasks).tolist() == 9 * [True] + 3 * [False]


def test_a_covariate_shifts_the_start_to_where_pymcs_tasks_are_ordinary(setting) -> None:
    """The given prior's covariate is centred on its own tasks; PyMC's population is that of others."""
    prior, tasks = setting
    effect = torch.tensor([[MEAN[0], 2.0], [MEAN[1], 0.0]])
    covariates = Covariates(
        ("age",), ("identity",), torch.tensor([10.0]), torch.tensor([5.0]), torch.eye(1).double()
    )
    given = replace(
        prior, covariates=covariates,
        state={**prior.state, "coefficients": effect, "design_covariance": torch.zeros(2, 2, dtype=torch.float64)},
    )  # fmt: skip
    batch = prior.batch(tasks)
    aged = replace(batch, covariates=torch.full((len(batch), 1), 20.0, dtype=torch.float64))
    fit = Joint(_known(aged, aged.mask), aged, len(aged))
    start = population_of(Fold(given, prior, prior, aged, aged), fit, fit, 1)["start"].values
    np.testing.assert_allclose(start, [MEAN[0] + 2.0 * 2.0, MEAN[1]])  # two scales older


def unconverged(prior, old, new=None, support=None, *, seed=0, **_) -> Joint:
    """Chains that do not mix: one lies apart, and only more of them tell what is usual."""
    found = exact(prior, old, new, support)
    draws = {name: np.array(values) for name, values in found.posterior.draws.items()}
    if seed < 100:
        draws["coordinate_mean"][: FEW // 2] += 1.0
    rhat = 1.4 if seed < 100 else 1.0
    return replace(found, posterior=replace(found.posterior, draws=draws, rhat=rhat))


def test_chains_that_have_not_converged_are_refused_and_kept(of_a_frame, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(comparison, "joint_posterior", unconverged)
    new = other_lines(1, "new")
    with pytest.raises(
        InputError,
        match=r"have not converged in fold 1 of 2 .*R-hat 1\.400.*the same call adds chains.*more draws",
    ):
        comparison.compare(of_a_frame, new, folds=2, keep=tmp_path)
    (kept,) = tmp_path.iterdir()
    with xr.open_dataset(kept, engine="h5netcdf") as dataset:
        assert dataset.attrs["chains"] == 2
    with pytest.raises(InputError, match="have not converged in fold 1"):  # two of four chains do not mend it
        comparison.compare(of_a_frame, new, folds=2, keep=tmp_path)
    with xr.open_dataset(kept, engine="h5netcdf") as dataset:
        assert dataset.attrs["chains"] == 4
        assert dataset["coordinate_mean"].shape == (2 * FEW, 2)


def test_an_interrupted_comparison_goes_on_from_what_it_has_sampled(
    of_a_frame, monkeypatch, tmp_path, capsys
) -> None:
    new, calls = other_lines(1, "new"), []

    def stopped(*arguments, **options) -> Joint:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return exact(*arguments, **options)

    monkeypatch.setattr(comparison, "joint_posterior", stopped)
    with pytest.raises(
        KeyboardInterrupt, match=r"interrupted in fold 2 of 2; the same call goes on from the draws in"
    ):
        comparison.compare(of_a_frame, new, folds=2, keep=tmp_path, progress=True)
    said = capsys.readouterr().err
    assert "fold 1 of 2: PyMC samples 6 old tasks and 6 new ones, 1000 draws a chain" in said
    assert len(list(tmp_path.iterdir())) == 3
    goes_on = comparison.compare(of_a_frame, new, folds=2, keep=tmp_path)
    assert len(calls) == 5  # only what was missing
    monkeypatch.setattr(comparison, "joint_posterior", exact)
    at_once = comparison.compare(of_a_frame, new, folds=2, keep=tmp_path / "elsewhere")
    xr.testing.assert_equal(goes_on.drop_vars("seconds"), at_once.drop_vars("seconds"))


def test_draws_leave_the_cache_once_a_comparison_is_whole(of_a_frame, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(comparison, "joint_posterior", exact)
    monkeypatch.setattr(comparison, "_folder", lambda keep: tmp_path)
    other = tmp_path / "of another.nc"
    other.write_bytes(b"")
    comparison.compare(of_a_frame, other_lines(1, "new"), folds=2)
    assert list(tmp_path.iterdir()) == [other]


def test_the_summary_says_whether_chains_have_converged(compared) -> None:
    assert ms.bayes.summary(compared)["converged"] is True
    broken = compared.copy(deep=True)
    broken["converged"][0, 1] = False
    assert ms.bayes.summary(broken)["converged"] is False


def test_seeds_of_the_sampler_widen_the_standard_error(of_a_frame, monkeypatch, tmp_path) -> None:
    """Draws of the exact posterior at other seeds: their scatter is the sampler's own."""

    def drawn(prior, old, new=None, support=None, *, seed=0, **_) -> Joint:
        found = exact(prior, old, new, support)
        off = np.random.default_rng(seed).normal(0.0, 0.3, 2)
        draws = {**found.posterior.draws, "coordinates": found.posterior.draws["coordinates"] + off}
        return replace(found, posterior=replace(found.posterior, draws=draws))

    monkeypatch.setattr(comparison, "joint_posterior", drawn)
    new = other_lines(1, "new")
    found = comparison.compare(of_a_frame, new, folds=2, seeds=4, keep=tmp_path)
    assert found["run"].size == 8  # two chains each
    error, density = differences(found)
    by_run = [float((run - found["log_density"][0]).mean()) for run in found["run_log_density"]]
    assert density.between_runs == pytest.approx(np.std(by_run, ddof=1) / math.sqrt(8))
    assert density.standard_error == pytest.approx(math.hypot(density.between_tasks, density.between_runs))
    assert error.freedom < 11 + 7


def test_chains_get_a_second_chance(setting, monkeypatch) -> None:
    prior, tasks = setting
    batch = prior.batch(tasks.select(range(4)))
    tried = []

    def sampled(built, *, draws, target_accept, **_) -> Posterior:
        tried.append((draws, target_accept, "coordinate_offset" in built.named_vars))
        return replace(_known(batch, batch.mask), divergences=400 if len(tried) == 1 else 0)

    monkeypatch.setattr(joint, "sample", sampled)
    assert joint.joint_posterior(prior, batch, draws=100).posterior.converged
    assert [draws for draws, _, _ in tried] == [100, 200]
    assert tried[1][1] > tried[0][1]
    assert tried[0][2] != tried[1][2]  # centred first, or offsets first


def test_scores_are_those_of_a_gaussian_forecast() -> None:
    random = np.random.default_rng(3)
    measured = random.standard_normal(4000)
    draws = 2.0 * random.standard_normal((1000, 4000))  # forecasts that are twice too wide
    held = HeldOut()
    forecast = stats.norm(0.0, 2.0)

    def interval(level: float) -> tuple[np.ndarray, np.ndarray]:
        return tuple(np.full(4000, forecast.ppf(0.5 + sign * level / 2)) for sign in (-1, 1))

    held.add(
        measured, np.zeros(4000), interval, draws, forecast.logpdf(measured), forecast.cdf(measured),
    )  # fmt: skip
    table = held.stacked()
    u = measured / 2.0
    expected = 2.0 * (
        u * (2.0 * stats.norm.cdf(u) - 1.0) + 2.0 * stats.norm.pdf(u) - 1.0 / math.sqrt(math.pi)
    )
    assert table["crps"].mean() == pytest.approx(expected.mean(), rel=0.01)
    for place, level in enumerate(LEVELS):
        inside = 2.0 * stats.norm.cdf(forecast.ppf(0.5 + level / 2)) - 1.0
        assert table["covered"][:, place].mean() == pytest.approx(inside, abs=0.02)
    assert stats.kstest(table["pit"], "uniform").pvalue < 1e-10
    assert ensemble_crps(np.ones((5, 1)), [3.0])[0] == 2.0


def test_the_report_and_the_file_hold_it_all(compared, tmp_path) -> None:
    folder = ms.report.save_comparison(compared, tmp_path / "compared")
    assert sorted(path.name for path in folder.iterdir()) == ["comparison.nc", "report.html"]
    with xr.open_dataset(folder / "comparison.nc", engine="h5netcdf") as back:
        assert ms.bayes.summary(back.load()) == ms.bayes.summary(compared)
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert text.count("<figure ") == 5
    assert "simulated" in text
    assert compared.attrs["verdict"].split(";")[0].replace("'", "&#x27;") in text


def test_the_command_prints_the_figures_and_writes_the_report(compared, monkeypatch, tmp_path) -> None:
    import json

    from typer.testing import CliRunner

    from metasci.cli import app

    monkeypatch.setattr(comparison, "compare", lambda *_, **__: compared)
    arguments = ["compare", "theophylline", "theophylline", "--json", "--out", str(tmp_path / "out")]
    printed = CliRunner().invoke(app, arguments)
    assert printed.exit_code == 0, printed.output
    found = json.loads(printed.stdout)
    wanted = {"rmse_ratio", "nlpd_difference", "coverage90", "seconds_per_task", "verdict"}
    assert wanted <= set(found)
    assert set(found["coverage90"]) == set(found["seconds_per_task"]) == {"prior", "pymc"}
    assert (tmp_path / "out" / "report.html").exists()
