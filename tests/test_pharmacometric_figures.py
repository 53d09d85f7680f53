"""Pharmacometricians' figures: against closed forms of a straight line, and against truths that they have to find."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from known import as_known
from scipy import stats

import metasci as ms
from metasci.data.cards import Card
from metasci.data.tasks import Batch, TaskSet
from metasci.errors import InputError
from metasci.meta import MAML
from metasci.model import Input, Model, Output
from metasci.noise import Additive, LogNormal
from metasci.parameters import Parameter, ParameterSpace
from metasci.report import (
    calibration_report,
    goodness_of_fit_figure,
    individual_fits_figure,
    normalised_prediction_errors,
    npde_figure,
    random_effects_figure,
    simulation as simulation_module,
    to_svg,
    visual_predictive_check,
    visual_predictive_check_figure,
)
from metasci.report.bins import Correction, edges_of, order_statistics
from metasci.report.residuals import conditional_weighted_residuals, running_median
from metasci.report.simulation import Simulator, limits_of, simulated_like

LINE = Model(
    name="tests.line",
    function=lambda time, level, slope: level + slope * time,
    inputs={"time": Input("h")},
    output=Output("reading", "mg/L", "a reading"),
    parameters=ParameterSpace(
        (Parameter("level", "mg/L", 10.0, spread=3.0), Parameter("slope", "mg/L/h", spread=0.7))
    ),
    noise=Additive((1.0,)),
    covariates={"weight": "kg"},
)
DECAY = replace(
    LINE,
    name="tests.decay",
    function=lambda time, level, rate: level * torch.exp(-rate * torch.as_tensor(time)),
    parameters=ParameterSpace(
        (Parameter("level", "mg/L", 10.0, positive=True), Parameter("rate", "1/h", 0.3, positive=True))
    ),
    noise=LogNormal((0.2,)),
)


def lines(count: int = 80, limit: float | None = None, model: Model = LINE, seed: int = 4) -> TaskSet:
    """Tasks of two to six readings of a straight line, or a decay, under a weight that moves its level."""
    chance = np.random.default_rng(seed)
    rows = []
    for task in range(count):
        weight = chance.uniform(1.0, 3.0)
        level, slope = (
            10.0 + 4.0 * (weight - 2.0) + 2.0 * chance.standard_normal(),
            0.5 * chance.standard_normal(),
        )
        for time in np.sort(chance.uniform(0.0, 8.0, chance.integers(2, 7))):
            clean = level + slope * time
            if model is DECAY:
                clean = (10.0 + weight) * np.exp(0.3 * slope - 0.3 * np.exp(0.1 * level - 1) * time)
            rows.append((f"p{task}", time, weight, clean * np.exp(0.2 * chance.standard_normal())
                         if model is DECAY else clean + chance.standard_normal()))  # fmt: skip
    frame = pd.DataFrame(rows, columns=["task", "time [h]", "weight [kg]", "reading [mg/L]"])
    card = Card.from_model(model)
    if limit is not None:
        columns = tuple(replace(one, limit=limit) if one.role == "output" else one for one in card.columns)
        card = replace(card, columns=columns)
        frame["reading [mg/L]"] = frame["reading [mg/L]"].clip(lower=limit)
    return TaskSet.from_frame(frame, card, model=model)


@pytest.fixture(scope="module")
def line() -> ms.Prior:
    return as_known(ms.meta_calibrate(LINE, lines()))


@pytest.fixture(scope="module")
def decay() -> ms.Prior:
    return as_known(ms.meta_calibrate(DECAY, lines(model=DECAY)))


@pytest.fixture(scope="module")
def newborns() -> ms.Prior:
    return ms.load("phenobarbital")


@pytest.fixture(scope="module")
def infants() -> TaskSet:
    return ms.dataset("phenobarbital")


def wider(prior: ms.Prior, factor: float, noise: float = 1.0) -> ms.Prior:
    """A prior of another spread and noise."""
    state = replace(
        prior.state,
        covariance=prior.state.covariance * factor**2,
        log_noise=prior.state.log_noise + np.log(noise),
    )
    return replace(prior, state=state)


def shifted(prior: ms.Prior, by: float) -> ms.Prior:
    """A prior whose mean lies elsewhere, in units of its spread."""
    moved = prior.state.coefficients.clone()
    moved[:, 0] += by * prior.state.covariance.diagonal().sqrt()
    return replace(prior, state=replace(prior.state, coefficients=moved))


def points(axes: Any, marker: str = "o") -> int:
    return sum(len(line.get_xdata()) for line in axes.get_lines() if line.get_marker() == marker)


def labels(figure: Any) -> list[tuple[str, str]]:
    return [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes]


def expected_line(prior: ms.Prior, batch: Batch, task: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and covariance of a task's readings in closed form, and the readings."""
    adapted = prior.adapt(batch)
    mask = batch.mask[task].numpy()
    time = batch.inputs["time"][task].numpy()[mask]
    slopes = np.stack([np.full_like(time, 3.0), 0.7 * time], 1)
    mean = 10.0 + slopes @ adapted.start[task].numpy()
    noise = np.exp(2.0 * float(prior.state.log_noise[0])) * np.eye(len(time))
    covariance = slopes @ adapted.start_covariance[task].numpy() @ slopes.T + noise
    return mean, covariance, batch.output[task].numpy()[mask]


# --------------------------------------------------------------------------------------- simulation


def test_simulated_measurements_have_the_moments_of_the_prior(line: ms.Prior) -> None:
    batch = line.batch(lines(6))
    drawn = Simulator(line, batch, 3).draw(20_000)
    for task in range(6):
        mean, covariance, _ = expected_line(line, batch, task)
        own = drawn[:, task, batch.mask[task].numpy()]
        assert own.mean(0) == pytest.approx(mean, abs=5.0 * np.sqrt(covariance.max() / 20_000))
        assert np.cov(own, rowvar=False) == pytest.approx(covariance, rel=0.08, abs=0.15)
    assert np.isnan(drawn[:, ~batch.mask.numpy()]).all()


def test_a_task_is_drawn_the_same_alone_and_in_pieces(
    line: ms.Prior, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = line.batch(lines(7))
    whole = Simulator(line, batch, 1).draw(40)
    alone = Simulator(line, batch.select([4]), 1).draw(40)
    assert np.array_equal(whole[:, [4]], alone, equal_nan=True)
    assert not np.array_equal(whole, Simulator(line, batch, 2).draw(40), equal_nan=True)
    monkeypatch.setattr(simulation_module, "_PLACES", 100)
    monkeypatch.setattr(simulation_module, "_HELD", 500)
    pieces = list(Simulator(line, batch, 1).pieces(40))
    assert len(pieces) > 2
    assert np.array_equal(whole, np.concatenate(pieces), equal_nan=True)


def test_tasks_of_their_own_noise_are_drawn_with_students_tails(line: ms.Prior) -> None:
    shape, nearly_none = torch.tensor(2.0, dtype=torch.float64), 1e-12 * line.state.covariance
    state = replace(line.state, noise_shape=shape, covariance=nearly_none)
    noisy = replace(line, method=ms.GaussianPrior(task_noise=True), state=state)
    batch = line.batch(lines(3))
    drawn = Simulator(noisy, batch, 0).draw(20_000)[:, batch.mask.numpy()]
    # the factor on the precision is Gamma(2, 2): a Student's t of four degrees of freedom
    scaled = (drawn[:, 0] - np.median(drawn[:, 0])) / np.exp(float(state.log_noise[0]))
    assert np.quantile(scaled, 0.9) == pytest.approx(stats.t(4).ppf(0.9), rel=0.05)
    assert np.quantile(scaled, 0.99) == pytest.approx(stats.t(4).ppf(0.99), rel=0.15)


def test_other_methods_can_be_simulated_too() -> None:
    tasks = lines(12)
    learned = ms.meta_calibrate(LINE, tasks, MAML(4, 0.03, iterations=2, shots=(3, 3)))
    drawn = Simulator(learned, learned.batch(tasks), 0).draw(200)
    there = learned.batch(tasks).mask.numpy()
    assert np.isfinite(drawn[:, there]).all()
    assert drawn[:, there].std(0).min() > 0.1
    assert normalised_prediction_errors(learned, tasks, 100).attrs["count"] == there.sum()


# --------------------------------------------------------------------------------- weighted residuals


def test_weighted_residuals_of_a_line_are_whitened_readings(line: ms.Prior) -> None:
    fit = line.calibrate(lines(9))
    found = conditional_weighted_residuals(fit)
    for task in range(9):
        mean, covariance, readings = expected_line(line, fit.batch, task)
        values, vectors = np.linalg.eigh(covariance)
        root = vectors @ np.diag(values**-0.5) @ vectors.T
        assert found[task][fit.batch.mask[task].numpy()] == pytest.approx(root @ (readings - mean), abs=1e-8)
    assert np.array_equal(np.isfinite(found), fit.batch.mask.numpy())


def test_weighted_residuals_of_what_the_prior_expects_are_standard_normal(
    newborns: ms.Prior, infants: TaskSet
) -> None:
    found = np.concatenate(
        [
            conditional_weighted_residuals(
                newborns.calibrate(simulated_like(newborns, infants, seed))
            ).ravel()
            for seed in range(4)
        ]
    )
    found = found[np.isfinite(found)]
    assert abs(found.mean()) < 0.12
    assert found.var() == pytest.approx(1.0, abs=0.15)


def test_running_median_follows_and_withstands() -> None:
    x = np.linspace(0.0, 10.0, 200)
    y = np.where(x < 5.0, 0.0, 3.0) + 0.1 * np.sin(50.0 * x)
    y[::17] = 1e3
    at, middle = running_median(x, y, share=0.1)
    assert middle[at < 4.0] == pytest.approx(0.0, abs=0.2)
    assert middle[at > 6.0] == pytest.approx(3.0, abs=0.2)
    assert len(running_median(np.array([np.nan]), np.array([1.0]))[0]) == 0


# ------------------------------------------------------------------------------------------- errors


def test_errors_of_a_line_are_those_of_its_normal_distribution(line: ms.Prior) -> None:
    tasks = lines(6)
    errors = normalised_prediction_errors(line, tasks, 20_000)
    batch = line.batch(tasks)
    for task in range(6):
        mean, covariance, readings = expected_line(line, batch, task)
        white = np.linalg.solve(np.linalg.cholesky(covariance), readings - mean)
        there = batch.mask[task].numpy()
        assert errors["npde"].values[task, there] == pytest.approx(white, abs=0.12)
        plain = (readings - mean) / np.sqrt(covariance.diagonal())
        assert errors["npd"].values[task, there] == pytest.approx(plain, abs=0.12)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_errors_accept_the_truth_and_reject_others(newborns: ms.Prior, infants: TaskSet, seed: int) -> None:
    def tested(truth: ms.Prior) -> dict[str, Any]:
        return normalised_prediction_errors(
            newborns, simulated_like(truth, infants, seed), 500, seed + 10
        ).attrs

    true = tested(newborns)
    assert true["mean"] == pytest.approx(0.0, abs=0.25)
    assert true["variance"] == pytest.approx(1.0, abs=0.3)
    assert min(true["p_mean"], true["p_variance"]) > 0.01
    assert (true["data_simulated"], true["learned_from_these"]) == (1, 0)
    assert tested(wider(newborns, 2.0))["p_variance"] < 1e-3
    assert tested(wider(newborns, 1.0, noise=2.0))["p_variance"] < 1e-3
    assert tested(shifted(newborns, 1.0))["p_mean"] < 1e-3
    assert tested(shifted(newborns, 1.0))["p_any"] < 3e-3


def test_statistics_are_those_of_the_usual_tests(newborns: ms.Prior, infants: TaskSet) -> None:
    errors = normalised_prediction_errors(newborns, infants, 200)
    values = errors["npde"].values[np.isfinite(errors["npde"].values)]
    assert len(values) == errors.attrs["count"] == 155
    z = values.mean() / (values.std(ddof=1) / np.sqrt(155))
    assert errors.attrs["p_mean"] == pytest.approx(2.0 * stats.t(154).sf(abs(z)))
    q = values.var(ddof=1) * 154
    assert errors.attrs["p_variance"] == pytest.approx(
        2.0 * min(stats.chi2(154).cdf(q), stats.chi2(154).sf(q))
    )
    assert errors.attrs["p_normal"] == pytest.approx(stats.shapiro(values).pvalue)
    assert errors.attrs["learned_from_these"] == 1


def test_tasks_that_cannot_be_decorrelated_are_named(decay: ms.Prior) -> None:
    """Nothing is found before the first dose: its logarithm has no spread, and is not finite."""
    tasks = lines(8, model=DECAY)
    silent = replace(DECAY, function=lambda time, level, rate: level * torch.exp(-rate * time) * (time > 1.0))
    errors = normalised_prediction_errors(replace(decay, model=silent), tasks, 200)
    early = (errors["time"].values <= 1.0).any(1)
    names = np.array(tasks.names)[early].tolist()
    assert 1 <= len(names) < 8
    assert errors.attrs["not_decorrelated"] == names
    assert np.isnan(errors["npde"].values[early]).all()
    assert errors["decorrelated"].values.tolist() == (~early).tolist()
    assert errors.attrs["count"] == tasks.counts[~early].sum()
    assert f"not shown: {len(names)} of 8 tasks" in npde_figure(errors).get_suptitle()


def test_errors_know_limits_of_quantification(decay: ms.Prior) -> None:
    limit = 3.0
    tasks = simulated_like(decay, lines(120, limit, DECAY), 5)
    batch = decay.batch(tasks)
    assert batch.censored is not None
    share = float((batch.censored & batch.mask).sum() / batch.mask.sum())
    assert 0.15 < share < 0.7
    assert (batch.output[batch.mask] >= limit).all()
    # of fewer draws the covariance that decorrelates is so rough that errors scatter by more than one
    found = normalised_prediction_errors(decay, tasks, 3000).attrs
    assert min(found["p_mean"], found["p_variance"], found["p_normal"]) > 0.01
    assert (found["count"], found["not_decorrelated"]) == (tasks.counts.sum(), [])
    # taken for measurements, they are not what the prior expects
    taken = TaskSet(tasks.dataset.drop_vars("reading_below"), tasks.card)
    assert normalised_prediction_errors(decay, taken, 500).attrs["p_any"] < 1e-3


# -------------------------------------------------------------------------------------- predictive check


@pytest.mark.parametrize("corrected", [True, False])
def test_bands_hold_what_is_simulated_from_the_truth(
    newborns: ms.Prior, infants: TaskSet, corrected: bool
) -> None:
    def outside(truth: ms.Prior) -> float:
        found = []
        for seed in range(6):
            check = visual_predictive_check(
                newborns, simulated_like(truth, infants, seed), 200, seed + 50, 6, corrected
            )
            seen = check["observed"].values
            found.append((seen < check["lower"].values) | (seen > check["upper"].values))
        return float(np.mean(found))

    assert outside(newborns) < 0.25  # 0.1 on average, 108 correlated percentiles
    assert outside(wider(newborns, 2.0)) > 0.3
    assert outside(shifted(newborns, 1.0)) > 0.3


def test_check_is_by_hand_what_it_says(line: ms.Prior) -> None:
    tasks = lines(40)
    check = visual_predictive_check(line, tasks, 150, 7, [0.0, 2.0, 8.0], prediction_corrected=False)
    batch = line.batch(tasks)
    mask = batch.mask.numpy()
    time, value = batch.inputs["time"].numpy()[mask], batch.output.numpy()[mask]
    drawn = Simulator(line, batch, 7).draw(150)[:, mask]
    for one, here in enumerate((time < 2.0, time >= 2.0)):
        assert check["count"].values[one] == here.sum()
        kinds = {"inverted_cdf": check["observed"].values[:, one]}
        assert kinds["inverted_cdf"] == pytest.approx(
            np.quantile(value[here], [0.05, 0.5, 0.95], method="inverted_cdf")
        )
        each = np.quantile(drawn[:, here], [0.05, 0.5, 0.95], axis=1, method="inverted_cdf")
        for name, level in (("lower", 0.05), ("simulated", 0.5), ("upper", 0.95)):
            ends = np.quantile(each, level, axis=1, method="inverted_cdf")
            assert check[name].values[:, one] == pytest.approx(ends)


def test_correction_removes_what_doses_do() -> None:
    """Two doses, one curve: after correction the measurements of a bin agree but for their noise."""
    predicted = np.array([1.0, 10.0, 2.0, 20.0, 4.0])
    place = np.array([0, 0, 1, 1, 1])
    moved = Correction.of(predicted, place, 0.0)(1.1 * predicted)
    assert moved == pytest.approx([6.05, 6.05, 4.4, 4.4, 4.4])
    assert Correction.of(predicted, place, -np.inf)(predicted) == pytest.approx([5.5, 5.5, 4.0, 4.0, 4.0])
    nothing = Correction.of(np.array([0.0, 0.0, 0.0, 5.0]), np.array([0, 0, 1, 1]), 0.0)
    assert nothing.impossible == 3
    assert nothing(np.ones(4)).tolist() == [1.0, 1.0, 1.0, 0.5]


def test_bins_hold_like_numbers_and_equal_times_together() -> None:
    at = np.repeat([0.0, 1.0, 2.0, 24.0], [30, 12, 12, 12])
    edges = edges_of(at)
    assert np.histogram(at, edges)[0].tolist() == [30, 12, 12, 12]
    assert edges_of(np.array([3.0, 3.0])).tolist() == [3.0, np.nextafter(3.0, np.inf)]
    assert np.histogram([0.0, 5.0], edges_of(at, [0.0, 2.5, 5.0]))[0].tolist() == [1, 1]
    for wrong in ([1.0], [2.0, 1.0], 0):
        with pytest.raises(InputError, match="bins"):
            edges_of(at, wrong)
    assert order_statistics(np.arange(1.0, 101.0), (5, 50, 95)).tolist() == [5.0, 50.0, 95.0]


def test_values_below_a_limit_count_as_the_lowest(decay: ms.Prior) -> None:
    tasks = simulated_like(decay, lines(80, 3.0, DECAY), 8)
    check = visual_predictive_check(decay, tasks, 200, bins=4)
    lost = check["below"].values
    assert lost[0] < 0.05 < 0.5 < lost[-1]
    assert np.isneginf(check["observed"].values[0, -1])
    assert ((check["below_lower"] <= lost) & (lost <= check["below_upper"])).mean() >= 0.75
    figure = visual_predictive_check_figure(check)
    assert figure.axes[1].get_ylabel() == "fraction below\nthe limit"
    assert points(figure.axes[0]) == (~check["censored"].values).sum() + 4 * 3
    assert points(figure.axes[0], "v") == check["censored"].values.sum() > 0
    limits = limits_of(decay.batch(tasks))
    assert np.isin(limits[decay.batch(tasks).mask.numpy()], [3.0]).all()


def test_what_cannot_be_checked_is_refused(newborns: ms.Prior, infants: TaskSet) -> None:
    with pytest.raises(InputError, match="has one output"):
        visual_predictive_check(newborns, infants, output=2)
    with pytest.raises(InputError, match="no measurement lies in the bins"):
        visual_predictive_check(newborns, infants, bins=[1e4, 2e4])
    with pytest.raises(InputError, match="at least one"):
        visual_predictive_check(newborns, infants, simulations=0)
    with pytest.raises(InputError, match="at least 100"):
        normalised_prediction_errors(newborns, infants, simulations=10)
    check = visual_predictive_check(newborns, infants, 50, bins=[0.0, 100.0])
    assert check.attrs["outside_bins"] == int((infants.dataset["time"] > 100.0).sum())
    assert "lie outside" in visual_predictive_check_figure(check).axes[0].get_title(loc="left")


def test_seeds_repeat_to_the_bit(newborns: ms.Prior, infants: TaskSet) -> None:
    for made in (
        lambda seed: normalised_prediction_errors(newborns, infants, 120, seed),
        lambda seed: visual_predictive_check(newborns, infants, 60, seed),
        lambda seed: simulated_like(newborns, infants, seed).dataset,
    ):
        first, again, other = made(1), made(1), made(2)
        assert isinstance(first, xr.Dataset)
        assert first.identical(again)
        assert not first.equals(other)


# ------------------------------------------------------------------------------------------ figures


def test_goodness_of_fit_shows_every_measurement(newborns: ms.Prior, infants: TaskSet) -> None:
    figure = goodness_of_fit_figure(newborns.calibrate(infants))
    assert labels(figure) == [
        ("population prediction (mg/L)", "measured plasma concentration (mg/L)"),
        ("individual prediction (mg/L)", "measured plasma concentration (mg/L)"),
        ("time (h)", "conditional weighted residual"),
        ("population prediction (mg/L)", "conditional weighted residual"),
    ]
    assert [points(axes) for axes in figure.axes] == [155] * 4
    flat = {float(line.get_ydata()[0]) for line in figure.axes[2].get_lines() if len(line.get_ydata()) == 2}
    assert {0.0, 1.96, -1.96} <= flat
    assert figure.get_suptitle() == "Goodness of fit: 155 measurements of 59 tasks"
    assert to_svg(figure) == to_svg(goodness_of_fit_figure(newborns.calibrate(infants)))


def test_goodness_of_fit_of_censored_readings_and_logarithmic_noise(decay: ms.Prior) -> None:
    fit = decay.calibrate(simulated_like(decay, lines(20, 3.0, DECAY), 1))
    figure = goodness_of_fit_figure(fit)
    lost = int((fit.batch.censored & fit.batch.mask).sum())  # type: ignore[operator]
    assert [axes.get_xscale() for axes in figure.axes] == ["log", "log", "linear", "log"]
    assert points(figure.axes[0]) == points(figure.axes[2]) == fit.batch.mask.sum() - lost > 0
    assert points(figure.axes[0], "v") == points(figure.axes[1], "v") == lost
    assert f"{lost} without residual (simulated)" in figure.get_suptitle()
    assert "below the limit" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(individual_fits_figure(fit, most=4).axes) == 4


def test_individual_fits_show_data_curves_and_doses(newborns: ms.Prior, infants: TaskSet) -> None:
    fit = newborns.calibrate(infants)
    figure = individual_fits_figure(fit)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [f"subject {at}" for at in range(1, 13)]
    assert figure.get_suptitle() == "Individual fits: 12 of 59 tasks"
    for place, axes in enumerate(figure.axes):
        assert points(axes) == infants.counts[place]
        doses = next(line for line in axes.get_lines() if line.get_marker() == "|")
        given = infants.dataset["dose_time"].values[place]
        assert np.array_equal(doses.get_xdata(), given[np.isfinite(given)])
        assert axes.get_xlim()[1] > infants.dataset["time"].values[place][: infants.counts[place]].max()
    outer = {axes.get_ylabel() for axes in figure.axes}, {axes.get_xlabel() for axes in figure.axes}
    assert outer == ({"plasma concentration (mg/L)", ""}, {"time (h)", ""})
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["population curve", "individual, 90 % band", "measured", "dose given"]
    some = individual_fits_figure(fit, ["50", 0])
    assert [axes.get_title(loc="left") for axes in some.axes] == ["subject 50", "subject 1"]
    for wrong in (["x"], [59], []):
        with pytest.raises(InputError, match="task"):
            individual_fits_figure(fit, wrong)


def test_individual_curves_are_those_of_the_calibration(newborns: ms.Prior, infants: TaskSet) -> None:
    fit = newborns.calibrate(infants)
    axes = individual_fits_figure(fit, ["2"]).axes[0]
    solid = next(line for line in axes.get_lines() if "individual" in str(line.get_label()))
    dashed = next(line for line in axes.get_lines() if line.get_label() == "population curve")
    said = fit.predict(time=np.asarray(solid.get_xdata())).sel(task="2")
    assert np.asarray(solid.get_ydata()) == pytest.approx(said["median"].values)
    assert np.asarray(dashed.get_ydata()) == pytest.approx(said["prior"].values)


def test_random_effects_show_a_trend_only_where_the_prior_does_not_know_it(line: ms.Prior) -> None:
    tasks = lines()
    blind = ms.meta_calibrate(LINE, tasks, covariates=())
    slopes = []
    for prior in (line, blind):
        figure = random_effects_figure(prior.calibrate(tasks))
        assert labels(figure) == [("", "η (SD between tasks)"), ("weight (kg)", "η (SD between tasks)")]
        assert [points(axes) for axes in figure.axes] == [80, 80]
        trend = next(line for line in figure.axes[0].get_lines() if line.get_label() == "trend")
        slopes.append(float(np.ptp(trend.get_ydata())))
    assert slopes[0] < 0.4 < 1.0 < slopes[1]


def test_shrinkage_is_in_every_title(newborns: ms.Prior, infants: TaskSet) -> None:
    fit = newborns.calibrate(infants)
    # the spread between tasks has no tails of what few tasks leave unknown
    sd = as_known(newborns).calibrate(infants).adapted.start_covariance.diagonal(dim1=1, dim2=2).sqrt()
    effects = ((fit.adapted.coordinates - fit.adapted.start) / sd).numpy()
    figure = random_effects_figure(fit)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    shrinkage = 100.0 * (1.0 - effects.var(0, ddof=1))
    said = [
        f"{name}: η-shrinkage {value:.0f} %"
        for name, value in zip(("clearance", "volume"), shrinkage, strict=True)
    ]
    assert titles == [said[0], said[0], said[1], said[1]]
    with pytest.raises(InputError, match="no covariate 'age'"):
        random_effects_figure(fit, ["age"])
    with pytest.raises(InputError, match="three tasks"):
        random_effects_figure(newborns.calibrate(infants.select([0, 1])))


def test_unknown_covariates_are_counted(line: ms.Prior) -> None:
    tasks = lines(10)
    weight = tasks.dataset["weight"].where(np.arange(10) != 3)
    tasks = replace(tasks, dataset=tasks.dataset.assign(weight=weight.assign_attrs(units="kg")))
    axes = random_effects_figure(line.calibrate(tasks)).axes[0]
    assert points(axes) == 9
    assert "unknown of 1" in [text.get_text() for text in axes.texts]


def test_simulations_are_said_to_be_simulated(newborns: ms.Prior, infants: TaskSet) -> None:
    made = simulated_like(newborns, infants)
    assert np.array_equal(made.counts, infants.counts)
    check = visual_predictive_check(newborns, infants, 60)
    figure = visual_predictive_check_figure(check)
    assert labels(figure) == [("time (h)", "prediction-corrected plasma concentration (mg/L)")]
    assert points(figure.axes[0]) == 155 + 3 * check.sizes["bin"]
    said = figure.axes[0].get_title(loc="left")
    assert said == "60 simulations from the prior 'phenobarbital', learned from the same data"
    assert figure.get_suptitle() == "Visual predictive check of 59 tasks"
    again = visual_predictive_check_figure(visual_predictive_check(newborns, made, 60))
    assert again.get_suptitle() == "Visual predictive check of 59 tasks (simulated data)"
    errors = npde_figure(normalised_prediction_errors(newborns, made, 100))
    assert "(simulated data)" in errors.get_suptitle()
    assert labels(errors)[2:] == [("time (h)", "NPDE"), ("population prediction (mg/L)", "NPDE")]
    assert [points(axes) for axes in errors.axes] == [155, 0, 155, 155]
    assert "(simulated)" in individual_fits_figure(newborns.calibrate(made), most=2).get_suptitle()


# ------------------------------------------------------------------------------------------- report


def test_report_of_patients_has_the_notice_and_their_fits(newborns: ms.Prior, infants: TaskSet) -> None:
    text = calibration_report(newborns.calibrate(infants.select(slice(0, 15))))
    assert text.index("not a medical device") < text.index("<h2>Measurements")
    assert "no dose may be decided by it" in text
    assert "<h2>Individual fits and goodness of fit</h2>" in text
    assert "The first 12 of 15 tasks are shown." in text
    single = calibration_report(newborns.calibrate(infants.select(["1"])))
    assert "not a medical device" in single
    assert "Individual fits" not in single


def test_report_of_alloys_has_neither() -> None:
    alloys = ms.dataset("alloy_fatigue").select(slice(0, 3))
    text = calibration_report(ms.load("alloy_fatigue").calibrate(alloys))
    assert "medical" not in text
    assert "Individual fits" not in text
