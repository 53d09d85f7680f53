"""Measurements with Student's tails: their density, what they tell, and what a wild reading does to a calibration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import integrate, optimize, stats

import metasci as ms
from metasci.fits.predictive import predictive, sampled
from metasci.noise import Noise
from metasci.patients import Structure

SCALES = np.log([0.7, 2.5])  # standard deviation, degrees of freedom above two
FREEDOM, SCALE = 4.5, 0.7 * np.sqrt(2.5 / 4.5)
HOURS = np.array([0.5, 1.5, 3.0, 6.0, 12.0, 24.0])
STUDENT, GAUSSIAN = ms.StudentAdditive((0.7, 2.5)), ms.Additive((0.7,))


def prior(noise: Noise) -> ms.Prior:
    return ms.Prior.published(
        Structure(1), typical={"clearance": "4 L/h", "volume": "30 L"},
        variability={"clearance": 0.09, "volume": 0.04}, noise=noise, source="made up",
    )  # fmt: skip


def curve(clearance: float, volume: float) -> np.ndarray:
    return 300.0 / volume * np.exp(-clearance / volume * HOURS)


def table(levels: np.ndarray) -> pd.DataFrame:
    dose = {"ID": "a", "TIME [h]": 0.0, "AMT [mg]": 300.0, "DV [mg/L]": ".", "EVID": 1}
    rows = [
        {"ID": "a", "TIME [h]": hour, "AMT [mg]": ".", "DV [mg/L]": level, "EVID": 0}
        for hour, level in zip(HOURS, levels, strict=True)
    ]
    return pd.DataFrame([dose, *rows])


WILD = curve(5.0, 27.0) + np.array([0.2, -0.3, 0.1, 4.0, -0.2, 0.1])


def test_the_density_is_students():
    value, centre = np.array([1.0, 2.0, 9.0]), np.array([1.0, 2.5, 2.0])
    found = ms.StudentAdditive().log_density(value, centre, SCALES)
    np.testing.assert_allclose(found, stats.t.logpdf(value, FREEDOM, centre, SCALE), rtol=1e-12)
    assert stats.t.std(FREEDOM, 0.0, SCALE) == pytest.approx(0.7, rel=1e-12)


def test_information_is_fishers_near_the_curve_and_little_far_off():
    zero = torch.zeros(1, dtype=torch.float64)

    def told(y: float) -> float:
        return float(ms.StudentAdditive().information(zero + y, zero, torch.as_tensor(SCALES)))

    def squared_slope(y: float) -> float:
        ahead, behind = (stats.t.logpdf(y, FREEDOM, step, SCALE) for step in (1e-4, -1e-4))
        return float(((ahead - behind) / 2e-4) ** 2 * stats.t.pdf(y, FREEDOM, 0.0, SCALE))

    mean, _ = integrate.quad(squared_slope, -60.0, 60.0, limit=400)
    assert told(0.0) == pytest.approx(mean, rel=1e-4)
    assert told(7.0) < 0.05 * mean


def test_a_reading_that_is_not_believed_leaves_the_prior():
    """The posterior on a grid hardly differs from the prior."""
    rows = table(np.full(len(HOURS), 1e3))
    fit = prior(STUDENT).calibrate(rows[(rows["EVID"] == 1) | (rows["TIME [h]"] == 6.0)])
    np.testing.assert_allclose(fit.parameters["shrinkage"], 1.0, atol=0.02)


def test_the_estimate_is_scipys():
    def objective(eta: np.ndarray) -> float:
        levels = curve(4.0 * np.exp(eta[0]), 30.0 * np.exp(eta[1]))
        return float(
            0.5 * (eta[0] ** 2 / 0.09 + eta[1] ** 2 / 0.04)
            - stats.t.logpdf(WILD, FREEDOM, levels, SCALE).sum()
        )

    expected = optimize.minimize(objective, [0.0, 0.0], tol=1e-12).x
    fit = prior(STUDENT).calibrate(table(WILD))
    etas = fit.adapted.coordinates[0].numpy() * [each.spread for each in fit.prior.model.parameters]
    np.testing.assert_allclose(etas, expected, atol=1e-5)
    assert bool(fit.adapted.converged.all())


def test_a_wild_reading_moves_the_curve_less():
    calm = np.where(HOURS == 6.0, curve(5.0, 27.0), WILD)
    moved = [float(np.abs(given(noise, WILD) - given(noise, calm)).max()) for noise in (STUDENT, GAUSSIAN)]
    assert moved[0] < 0.25 * moved[1]


def given(noise: Noise, levels: np.ndarray) -> np.ndarray:
    return prior(noise).calibrate(table(levels)).adapted.coordinates[0].numpy()


def test_forecasts_are_students_about_the_curve():
    """Where the curve is certain, as quantiles of Student's law; and the density is that of it."""
    fit = prior(STUDENT).calibrate(table(WILD))
    adapted = fit.adapted
    sure = replace(adapted.mixture, covariance=1e-12 * adapted.mixture.covariance)
    forecast = predictive(fit.problem, replace(adapted, mixture=sure))
    low, high = forecast.interval(0.9)
    half = stats.t.ppf(0.95, FREEDOM, 0.0, SCALE)
    free = low.numpy()[0] > 0.0  # where no limit of the model cuts an interval
    assert free.sum() == 5
    np.testing.assert_allclose((high - low).numpy()[0, free] / 2.0, half, rtol=2e-3)
    density = stats.t.logpdf(fit.batch.output.numpy(), FREEDOM, forecast.median.numpy(), SCALE)
    np.testing.assert_allclose(forecast.log_density().numpy(), density, atol=0.01)


def test_draws_have_the_intervals_of_the_forecast():
    fit = prior(STUDENT).calibrate(table(WILD))
    _, drawn = sampled(fit.problem, fit.adapted, draws=4000)
    low, high = predictive(fit.problem, fit.adapted).interval(0.9)
    inside = ((drawn >= low) & (drawn <= high)).double()[:, low > 0.0].mean()
    assert 0.885 < float(inside) < 0.915


def test_a_sampler_has_a_scale_for_every_draw():
    """As (draw, 1) against predictions (draw, row)."""
    noise, scales = ms.StudentAdditive(), np.stack([SCALES, SCALES + 0.3]).T[..., None]
    value, at = np.array([1.0, 2.0, 3.0]), np.array([[1.0, 1.5, 2.0], [0.5, 1.0, 1.0]])
    each = [noise.cumulative(value, at[draw], scales[:, draw, 0]) for draw in (0, 1)]
    np.testing.assert_array_equal(noise.cumulative(value, at, scales), np.stack(each))
    assert noise.sample(at, scales, random=np.random.default_rng(0)).shape == (2, 3)


def test_learning_finds_the_tails_and_is_kept(tmp_path: Path):
    random = np.random.default_rng(3)
    frames = []
    for patient in range(60):
        own = curve(
            4.0 * np.exp(0.3 * random.standard_normal()), 30.0 * np.exp(0.2 * random.standard_normal())
        )
        levels = own + SCALE * random.standard_t(FREEDOM, size=len(HOURS))
        frames.append(table(levels).assign(ID=str(patient)))
    tasks = prior(STUDENT).read(pd.concat(frames, ignore_index=True))
    learned = ms.meta_calibrate(prior(STUDENT).model.with_noise(ms.StudentAdditive((0.3, 10.0))), tasks)
    sd, freedom = learned.state.log_noise.exp().tolist()
    assert sd == pytest.approx(0.7, rel=0.15)
    assert 1.0 < freedom < 8.0
    again = ms.Prior.load(learned.save(tmp_path / "prior"), model=learned.model)
    assert isinstance(again.model.noise, ms.StudentAdditive)
    first, second = (each.calibrate(table(WILD)).adapted.coordinates for each in (learned, again))
    assert torch.equal(first, second)


def test_a_prior_that_explains_nothing_is_told():
    """Levels a million times those that the typical values give, and a scatter that starts far too small."""
    frames = [table(1e6 * curve(4.0 + 0.1 * k, 30.0 + k)).assign(ID=str(k)) for k in range(6)]
    tasks = prior(STUDENT).read(pd.concat(frames, ignore_index=True))
    with pytest.warns(UserWarning, match="hardly better than a constant"):
        ms.meta_calibrate(prior(STUDENT).model, tasks)


def test_the_curve_is_drawn_as_of_any_measurement():
    fit = prior(STUDENT).calibrate(table(WILD))
    axes = fit.plot(until="72 h").axes[0]
    assert axes.get_xlim()[1] >= 72.0
    assert "mg/L" in axes.get_ylabel()


def test_a_limit_counts_by_the_probability_of_lying_there():
    """Against SciPy's Student: below, above and between, with derivatives by the curve and both scales."""
    low, high = np.array([1.0, 4.0, 2.0, 3.0]), np.array([np.nan, np.inf, 2.5, np.nan])
    below, centre = np.array([True, False, False, False]), np.array([2.5, 3.0, 2.2, 2.0])
    of = stats.t(FREEDOM, centre, SCALE)
    exact = [of.logcdf(low)[0], of.logsf(low)[1], np.log(of.cdf(high) - of.cdf(low))[2], of.logpdf(low)[3]]
    found = ms.StudentAdditive().log_density(low, centre, SCALES, below=below, upper=high)
    np.testing.assert_allclose(found, exact, rtol=1e-9)

    def density(at, scales):
        given = {"below": torch.as_tensor(below), "upper": torch.as_tensor(high)}
        return ms.StudentAdditive().log_density(torch.as_tensor(low), at, scales, **given)

    free = [torch.as_tensor(values).clone().requires_grad_() for values in (centre, SCALES)]
    assert torch.autograd.gradcheck(density, free)


@pytest.mark.parametrize("beyond", [1e-4, 1.0, 10.0, 1e4])
def test_tails_are_students_for_any_degrees_of_freedom(beyond: float):
    from metasci.outcomes.student_tails import log_below, log_within

    u = np.array([-20.0, -3.0, 0.0, 4.0])
    np.testing.assert_allclose(
        log_below(u, np.log(beyond)), stats.t.logcdf(u, beyond + 2.0), rtol=2e-7, atol=1e-9
    )
    within = stats.t.sf(u, beyond + 2.0) - stats.t.sf(u + 0.1, beyond + 2.0)
    sound = within > 1e-12
    np.testing.assert_allclose(
        log_within(u, u + 0.1, np.log(beyond))[sound], np.log(within[sound]), rtol=1e-6, atol=1e-9
    )


def test_a_calibration_with_limits_is_at_the_mode_that_scipy_finds():
    levels = curve(5.0, 27.0)
    text = table(levels).astype({"DV [mg/L]": str})
    text.loc[5, "DV [mg/L]"], text.loc[6, "DV [mg/L]"], text.loc[1, "DV [mg/L]"] = "<0.8", "<0.8", ">9.5"
    fit = prior(STUDENT).calibrate(text)

    def cost(at: np.ndarray) -> float:
        clearance, volume = 4.0 * np.exp(at[0]), 30.0 * np.exp(at[1])
        of = stats.t(FREEDOM, curve(clearance, volume), SCALE)
        told = of.logsf(9.5)[0] + of.logpdf(levels)[1:4].sum() + of.logcdf(0.8)[4:].sum()
        return float(0.5 * (at[0] ** 2 / 0.09 + at[1] ** 2 / 0.04) - told)

    best = optimize.minimize(cost, np.zeros(2), method="BFGS", options={"gtol": 1e-9}).x
    found = fit.parameters.set_index("name")["estimate"]
    assert np.log([found["clearance"] / 4.0, found["volume"] / 30.0]) == pytest.approx(best, abs=2e-5)
    assert not any("not converged" in line for line in fit.warnings)
    assert np.isfinite(predictive(fit.problem, fit.adapted).log_density().numpy()).all()


@ms.equation(
    inputs={"x": "1"}, output=("y", "1"), parameters=[ms.Parameter("level", spread=1.0)],
    noise=STUDENT, name="test.student_level",
)  # fmt: skip
def constant(x, *, level):
    """A constant."""
    return level + 0.0 * x


@pytest.mark.parametrize(("near", "far", "where"), [(6, 7, 2.0), (6, 8, -2.0)])
def test_of_two_valleys_the_deeper_is_found(near: int, far: int, where: float):
    """Few readings at the prior's mean and more far off: Student's tails make a valley of each, however straight."""
    few, many = np.linspace(-0.06, 0.08, near), where + np.linspace(-0.08, 0.07, far)
    rows = pd.DataFrame({"task": "a", "x": 0.0, "y": np.r_[few, many]})
    wide = ms.Prior.published(
        constant, typical={"level": 0.0}, variability={"level": 4.0}, noise=ms.StudentAdditive((0.1, 0.2)),
        source="made up",
    )  # fmt: skip
    grid = np.linspace(-8.0, 8.0, 160_001)
    told = stats.t.logpdf(np.r_[few, many][:, None], 2.2, grid, 0.1 * np.sqrt(0.2 / 2.2)).sum(0)
    best = grid[np.argmin(grid**2 / 8.0 - told)]
    found = wide.calibrate(rows).parameters.set_index("name")["estimate"]["level"]
    assert found == pytest.approx(best, abs=2e-4)
