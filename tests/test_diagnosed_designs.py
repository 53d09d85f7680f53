"""Identifiability, the next measurement and starts from task estimates, against what can be derived by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from known import as_known

import metasci as ms
from metasci.diagnostics import (
    dersimonian_laird,
    identifiability,
    identifiability_figure,
    next_measurement,
    next_measurement_figure,
    simulated_tasks,
    task_aggregation,
    task_aggregation_figure,
)
from metasci.errors import InputError
from metasci.noise import Combined, LogNormal, Proportional

FLOAT = torch.float64


@ms.equation(
    inputs={"x": "mm"},
    output=("y", "1"),
    parameters=[ms.Parameter("level", spread=1.0), ms.Parameter("slope", "1/mm", spread=1.0)],
    noise=ms.Additive((0.5,)),
    name="test.designed_line",
)
def line(x, *, level, slope):
    """A straight line."""
    return level + slope * x


@ms.equation(
    inputs={"time": "h"},
    output=("fraction", "1"),
    parameters=[ms.Parameter("rate", "1/h", typical=0.25, positive=True, spread=0.4)],
    noise=ms.Additive((0.02,)),
    name="test.designed_decay",
)
def decay(time, *, rate):
    """Exponential decay of known amplitude."""
    return ms.math.exp(-rate * time)


@ms.equation(
    inputs={"time": "h"},
    output=("amount", "mg"),
    parameters=[
        ms.Parameter("size", "mg", typical=3.0, positive=True),
        ms.Parameter("rate", "1/h", typical=0.25, bounds=(0.0, 2.0)),
    ],
    name="test.designed_pool",
)
def pool(time, *, size, rate):
    """Exponential decay of a pool."""
    return size * ms.math.exp(-rate * time)


@pytest.fixture(scope="module")
def lines() -> ms.Prior:
    draw = np.random.default_rng(0)
    values = {"level": 1.0 + draw.standard_normal(30), "slope": draw.standard_normal(30)}
    return as_known(ms.meta_calibrate(line, simulated_tasks(line, values, {"x": np.linspace(-1.0, 1.0, 6)})))


# identifiability ----------------------------------------------------------------------------------


def test_information_of_a_line_is_its_design_matrix() -> None:
    x = np.array([0.0, 1.0, 4.0])
    found = identifiability(line, {"x": x})
    design = np.stack([np.ones(3), x], 1)
    np.testing.assert_allclose(found["information"][0], design.T @ design / 0.5**2, rtol=1e-12)
    alone = np.sqrt(np.diag(np.linalg.inv(design.T @ design / 0.25)))
    np.testing.assert_allclose(found["sd_alone"][0], alone, rtol=1e-10)
    both = np.sqrt(np.diag(np.linalg.inv(design.T @ design / 0.25 + np.eye(2))))
    np.testing.assert_allclose(found["sd_with_prior"][0], both, rtol=1e-10)
    assert float(found["condition_number"][0]) == pytest.approx(np.linalg.cond(design.T @ design))
    assert "sees all 2 parameters" in found.attrs["verdict"]


@pytest.mark.parametrize("noise", [Combined((0.2, 0.1)), LogNormal((0.1,)), Proportional((0.15,))])
def test_information_is_the_curvature_of_the_divergence(noise) -> None:
    """Fisher information is the Hessian of the Kullback–Leibler divergence, here by finite differences."""
    model = pool.with_noise(noise)
    times, at = np.array([0.5, 2.0, 6.0]), {"size": 2.0, "rate": 0.4}
    found = identifiability(model, {"time": times}, parameters=at)
    centre = model.parameters.to_coordinates(at)
    scales = np.log(noise.typical)

    def gaussian(coordinates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raw = model.at(coordinates, {"time": times})
        return noise.link(raw), noise.variance(raw, scales)

    def divergence(step: np.ndarray) -> float:
        (f, v), (g, w) = gaussian(centre), gaussian(centre + step)
        return float(0.5 * (np.log(w / v) + (v + (f - g) ** 2) / w - 1.0).sum())

    h = 1e-3
    numeric = np.empty((2, 2))
    for i, j in np.ndindex(2, 2):
        e, d = h * np.eye(2)[i], h * np.eye(2)[j]
        parts = (divergence(e + d), -divergence(e - d), -divergence(d - e), divergence(-e - d))
        numeric[i, j] = sum(parts) / (4 * h * h)
    np.testing.assert_allclose(found["information"][0], numeric, rtol=1e-4)


def test_standard_deviations_are_in_the_parameters_units() -> None:
    """By finite differences of the physical value along the coordinate."""
    found = identifiability(pool.with_noise(ms.Additive((0.1,))), {"time": [1.0, 5.0]})
    inverse = np.linalg.inv(found["information"].values[0])
    for at, parameter in enumerate(pool.parameters):
        slope = (parameter.to_physical(1e-6) - parameter.to_physical(-1e-6)) / 2e-6
        assert float(found["sd_alone"][0, at]) == pytest.approx(slope * np.sqrt(inverse[at, at]), rel=1e-6)
    assert list(found["unit"].values) == ["mg", "1/h"]


def test_what_cannot_be_seen_is_named() -> None:
    found = identifiability(line, {"x": [2.0, 2.0, 2.0]})
    assert found.attrs["verdict"] == "The design cannot see level × 1.00 − slope × 0.50 at all."
    assert np.isinf(found["sd_alone"]).all()
    assert float(found["condition_number"][0]) == np.inf
    assert np.isfinite(found["sd_with_prior"]).all()
    flat = identifiability(line, {"x": [0.0, 0.0]})  # the level is seen, the slope is not
    assert float(flat["sd_alone"].sel(parameter="level")[0]) == pytest.approx(0.5 / np.sqrt(2))
    assert float(flat["sd_alone"].sel(parameter="slope")[0]) == np.inf
    weak = identifiability(line, {"x": [0.9, 1.1]})
    assert "tells less about" in weak.attrs["verdict"]
    for result in (found, weak):
        assert identifiability_figure(result).axes[0].get_xlabel().startswith("expected standard deviation")


def test_a_prior_brings_its_start_its_spread_and_its_noise(lines: ms.Prior) -> None:
    tasks = simulated_tasks(line, {"level": [1.0, 2.0], "slope": [0.0, 1.0]}, {"x": [0.0, 1.0, 2.0]})
    found = identifiability(lines, tasks)
    assert found.sizes["task"] == 2
    fit = lines.calibrate(tasks)  # of a line the expected posterior is the one that comes
    np.testing.assert_allclose(
        found["sd_with_prior"], fit.adapted.covariance.diagonal(dim1=1, dim2=2).sqrt(), rtol=1e-6
    )
    louder = identifiability(lines, {"x": [0.0, 1.0, 2.0]}, noise=[5.0])
    assert (louder["sd_with_prior"] > found["sd_with_prior"][0]).all()


def test_a_prior_by_inner_steps_has_the_spread_that_it_implies() -> None:
    """With no measurement k steps of size α imply the covariance kα."""
    values = {"level": np.linspace(-1.0, 1.0, 6), "slope": np.linspace(1.0, 0.0, 6)}
    tasks = simulated_tasks(line, values, {"x": np.linspace(-1.0, 1.0, 6)})
    prior = ms.meta_calibrate(line, tasks, ms.FOMAML(steps=4, step_size=0.02, iterations=2))
    found = identifiability(prior, {"x": [0.0, 1.0]})
    np.testing.assert_allclose(found["sd_prior"][0], np.sqrt(4 * 0.02), rtol=1e-6)
    assert (found["sd_with_prior"] < found["sd_prior"]).all()
    fixed = ms.meta_calibrate(line, tasks, ms.meta.ANIL(("slope",), steps=4, step_size=0.02, iterations=2))
    held = identifiability(fixed, {"x": [0.0, 0.0]})
    assert held["sd_with_prior"].values[0, 1] == held["sd_prior"].values[0, 1] == 0.0
    assert "sees all" in held.attrs["verdict"]


def test_conditions_are_read_with_units_and_checked(lines: ms.Prior) -> None:
    one = identifiability(lines, {"x": [0.1, 0.2] * ms.unit("cm")})
    assert one.drop_attrs().equals(identifiability(lines, {"x": [1.0, 2.0]}).drop_attrs())
    for design, complaint in (
        ({"y": [1.0]}, "'y' is not an input"),
        ({}, "say at which x"),
        ({"x": "2 kg"}, "cannot be converted to 'mm'"),
        ({"x": [np.nan]}, "must be finite"),
    ):
        with pytest.raises(InputError, match=complaint):
            identifiability(lines, design)
    with pytest.raises(InputError, match="each above zero"):
        identifiability(lines, {"x": [1.0]}, noise=[0.0])
    with pytest.raises(InputError, match="inside the limits"):
        identifiability(decay, {"time": [1.0]}, parameters={"rate": -1.0})


# the next measurement -----------------------------------------------------------------------------


def test_a_line_is_best_measured_at_its_far_end(lines: ms.Prior) -> None:
    start = simulated_tasks(line, {"level": [1.0], "slope": [0.5]}, {"x": [0.0]})
    found = next_measurement(lines.calibrate(start), {"x": np.linspace(-1.0, 3.0, 9)})
    assert float(found["x"][int(found["best"][0])]) == 3.0
    assert "tells most at x 3 mm" in found.attrs["verdict"]


def test_a_decay_of_known_size_is_best_measured_after_one_mean_life() -> None:
    rates = 0.25 * np.exp(0.4 * np.random.default_rng(1).standard_normal(15))
    prior = ms.meta_calibrate(decay, simulated_tasks(decay, {"rate": rates}, {"time": [1.0, 3.0, 6.0, 10.0]}))
    fit = prior.calibrate(simulated_tasks(decay, {"rate": [0.3]}, {"time": [20.0]}))
    times = np.linspace(0.1, 15.0, 1000)
    found = next_measurement(fit, {"time": times})
    rate = float(fit.parameters["estimate"].iloc[0])
    assert times[int(found["best"][0])] == pytest.approx(1.0 / rate, abs=times[1] - times[0])
    np.testing.assert_allclose(  # one parameter: the gain is how much its variance shrinks
        found["gain"],
        2 * np.log(found["sd"].squeeze("parameter") / found["expected_sd"].squeeze("parameter")),
        atol=1e-10,
    )
    assert next_measurement_figure(found, "time").axes[0].get_xlabel() == "time (h)"


def test_what_is_expected_of_a_line_is_what_a_measurement_then_gives(lines: ms.Prior) -> None:
    """A line's posterior spread does not depend on what is measured, so the expectation must come true."""
    values = {"level": [1.0], "slope": [0.5]}
    before = lines.calibrate(simulated_tasks(line, values, {"x": [0.0, 0.5]}))
    after = lines.calibrate(simulated_tasks(line, values, {"x": [0.0, 0.5, 2.0]}))
    found = next_measurement(before, {"x": [1.0, 2.0]}, target={"x": 4.0})
    later = after.adapted.covariance[0]
    np.testing.assert_allclose(found["expected_sd"][0, 1], later.diagonal().sqrt(), rtol=1e-8)
    precision = (
        torch.linalg.slogdet(before.adapted.covariance[0]).logabsdet - torch.linalg.slogdet(later).logabsdet
    )
    assert float(found["gain"][0, 1]) == pytest.approx(float(precision), rel=1e-8)
    aim = torch.tensor([1.0, 4.0], dtype=FLOAT)
    assert float(found["expected_target_sd"][0, 1]) == pytest.approx(
        float((aim @ later @ aim).sqrt()), rel=1e-8
    )
    assert float(found["target_sd"][0]) > float(found["expected_target_sd"][0].max())


def test_a_dose_and_a_weight_stay_as_they_are() -> None:
    fit = ms.load("theophylline").calibrate(ms.dataset("theophylline").select(["1", "2"]))
    found = next_measurement(fit, {"time": [1.0, 12.0, 30.0]}, {"time": "24 h"})
    assert found.sizes == {"task": 2, "candidate": 3, "parameter": 3}
    assert (found["expected_sd"] <= found["sd"] * (1 + 1e-12)).all()
    with pytest.raises(InputError, match="the target is one condition"):
        next_measurement(fit, {"time": [1.0]}, {"time": [1.0, 2.0]})


# starts made of many tasks ------------------------------------------------------------------------


def test_random_effects_of_the_bcg_trials_are_the_published_ones() -> None:
    """Thirteen trials of the BCG vaccine (Colditz et al., JAMA 271 (1994) 698), the standard example of the R package
    metafor (Viechtbauer, J Stat Softw 36 (2010) 3): Q = 152.23, and by DerSimonian and Laird τ² = 0.3088, I² = 92.12 %,
    log relative risk −0.7141 with standard error 0.1787.
    """
    cases = np.array([4, 6, 3, 62, 33, 180, 8, 505, 29, 17, 186, 5, 27.0])
    without = np.array([119, 300, 228, 13536, 5036, 1361, 2537, 87886, 7470, 1699, 50448, 2493, 16886.0])
    control = np.array([11, 29, 11, 248, 47, 372, 10, 499, 45, 65, 141, 3, 29.0])
    control_without = np.array(
        [128, 274, 209, 12619, 5761, 1079, 619, 87892, 7232, 1600, 27197, 2338, 17825.0]
    )
    vaccinated, others = cases + without, control + control_without
    ratio = np.log(cases / vaccinated) - np.log(control / others)
    variance = 1 / cases - 1 / vaccinated + 1 / control - 1 / others
    found = dersimonian_laird(ratio, variance)
    assert found.q[0] == pytest.approx(152.2330, abs=1e-4)
    assert found.tau_squared[0] == pytest.approx(0.3088, abs=5e-5)
    assert found.i_squared[0] == pytest.approx(0.9212, abs=5e-5)
    assert found.mean[0] == pytest.approx(-0.7141, abs=5e-5)
    assert found.standard_error[0] == pytest.approx(0.1787, abs=5e-5)
    assert found.weight.sum() == pytest.approx(1.0)


def test_without_heterogeneity_random_effects_are_the_fixed_effect() -> None:
    found = dersimonian_laird([1.0, 1.1, 0.9], [1.0, 4.0, 2.0])
    assert found.tau_squared[0] == found.i_squared[0] == 0.0
    assert found.mean[0] == pytest.approx((1 + 1.1 / 4 + 0.9 / 2) / 1.75)
    assert found.standard_error[0] == pytest.approx(1 / np.sqrt(1.75))
    with pytest.raises(InputError, match="variance above zero"):
        dersimonian_laird([1.0, 2.0], [1.0, 0.0])


def uneven(seed: int, spread: float = 1.0, many: int = 200) -> ms.TaskSet:
    """Simulated lines of mean (0, 0) in which one task, at (3, −3) if they differ, has most of the measurements."""
    draw = np.random.default_rng(seed)
    values = {"level": spread * draw.standard_normal(8), "slope": spread * draw.standard_normal(8)}
    values["level"][0], values["slope"][0] = 2.0 * spread, -2.0 * spread
    x = np.linspace(-1.0, 1.0, many)
    tasks = simulated_tasks(line, values, {"x": x}, seed=seed)
    few = tasks.dataset.copy(deep=True)
    kept = np.zeros(many, dtype=bool)
    kept[np.linspace(0, many - 1, 6).round().astype(int)] = True
    few["y"] = few["y"].where(kept | (np.arange(8) == 0)[:, None])
    frame = ms.TaskSet(few, tasks.card).to_frame(units=True).dropna(subset=["y"])
    return ms.TaskSet.from_frame(frame, tasks.card, model=line)


def test_pooling_follows_the_task_with_most_of_the_data() -> None:
    found = [task_aggregation(line, uneven(seed)) for seed in range(6)]
    starts = np.stack([result["coordinate"].values for result in found])  # (seed, method, parameter)
    # the true mean of the tasks is that of seven centred ones and one at ±2
    pooled, plain, weighted = starts.mean(0)
    np.testing.assert_allclose(pooled, [1.65, -1.65], atol=0.3)
    assert (np.abs(weighted - [0.25, -0.25]) < 0.4).all()
    assert (np.abs(plain - weighted) < 0.1).all()  # tasks differ far more than they are uncertain
    for result in found:
        assert result.attrs["verdict"].startswith("Do not pool")
        assert "task 'simulated 1' alone has" in result.attrs["verdict"]
        share = 200 / (200 + 7 * 6)
        np.testing.assert_allclose(
            result["weight"].sel(start="pooled", parameter="level")[0], share, atol=0.02
        )
        np.testing.assert_allclose(result["weight"].sum("task"), 1.0)


def test_pooling_is_fine_where_tasks_do_not_differ() -> None:
    result = task_aggregation(line, uneven(1, spread=0.0, many=60))
    assert result.attrs["verdict"].startswith("Pooling does little harm")
    assert (result["i_squared"] < 0.6).all()
    pooled, weighted = (result["standard_error"].sel(start=name) for name in ("pooled", "precision-weighted"))
    assert (pooled <= weighted * 1.02).all()


def test_the_pooled_fit_of_a_line_is_least_squares() -> None:
    tasks = uneven(2)
    result = task_aggregation(line, tasks)
    frame = tasks.to_frame()
    design = np.stack([np.ones(len(frame)), frame["x"].to_numpy()], 1)
    expected = np.linalg.lstsq(design, frame["y"].to_numpy(), rcond=None)[0]
    np.testing.assert_allclose(result["coordinate"].sel(start="pooled"), expected, rtol=1e-4)
    own = frame[frame["task"] == "simulated 1"]
    alone = np.polyfit(own["x"], own["y"], 1)[::-1]
    np.testing.assert_allclose(result["estimate"][0], alone, rtol=2e-3)
    np.testing.assert_allclose(result["value"], result["coordinate"])  # of a parameter without bounds
    figure = task_aggregation_figure(result)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["level", "slope"]
    with pytest.raises(InputError, match="nothing to aggregate"):
        task_aggregation(ms.load("theophylline"), ms.dataset("theophylline").select(["1"]))
