"""Weights of several models: closed forms, simulated patients of one of them, the mixture, and warnings."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import multivariate_normal
from typer.testing import CliRunner

import metasci as ms
from metasci.errors import InputError
from metasci.fits.drawn import weighted_quantiles
from metasci.fits.evidence import evidence
from metasci.model import Input
from metasci.patients import Structure


@pytest.fixture(scope="module")
def line() -> ms.Prior:
    """A model that is linear in its parameters, of which everything is known in closed form."""

    @ms.equation(
        inputs={"time": Input("h")}, output=("level", "mg/L"), noise=ms.Additive((0.5,)), name="tests.line",
        parameters=[ms.Parameter("base", "mg/L", 2.0), ms.Parameter("slope", "mg/L/h", -0.3)],
    )  # fmt: skip
    def straight(time, *, base, slope):  # type: ignore[no-untyped-def]
        """A straight line."""
        return base + slope * time

    return ms.Prior.published(
        straight, variability={"base": 1.0, "slope": 0.04}, noise=ms.Additive((0.5,)), source="an example"
    )


def test_evidence_of_a_linear_model_is_that_of_its_gaussian(line: ms.Prior) -> None:
    time, value = np.array([0.0, 1.0, 4.0]), np.array([2.9, 1.4, 1.9])
    fit = line.calibrate(pd.DataFrame({"time [h]": time, "level [mg/L]": value}))
    found = evidence(fit)
    design = np.stack([np.ones(3), time], 1)
    covariance = design @ np.diag([1.0, 0.04]) @ design.T + 0.25 * np.eye(3)
    mean = 2.0 - 0.3 * time
    right = multivariate_normal(mean, covariance).logpdf(value)
    assert found.log_laplace == pytest.approx(right, abs=1e-8)
    assert found.log_marginal == pytest.approx(right, abs=0.03)
    one_by_one = 0.0
    for place in range(3):
        rest = [other for other in range(3) if other != place]
        gain = np.linalg.solve(covariance[np.ix_(rest, rest)], covariance[rest, place])
        centre = mean[place] + gain @ (value[rest] - mean[rest])
        spread = covariance[place, place] - gain @ covariance[rest, place]
        one_by_one += multivariate_normal(centre, spread).logpdf(value[place])
    assert found.log_predictive == pytest.approx(one_by_one, abs=0.03)
    from scipy.special import chdtrc

    off = value - mean
    assert found.rarity == pytest.approx(chdtrc(3, off @ np.linalg.solve(covariance, off)), abs=1e-8)


def of(name: str, clearance: float, unit: str = "mg/L", noise: ms.noise.Noise | None = None) -> ms.Prior:
    """A one-compartment model of an injected drug with this typical clearance (L/h)."""
    return ms.Prior.published(
        Structure(1), name=name, source="an example", typical={"clearance": clearance, "volume": 40.0},
        variability={"clearance": 0.04, "volume": 0.02}, noise=noise or ms.Proportional((0.1,)),
        output=ms.Output("concentration", unit),
    )  # fmt: skip


def patient(levels: tuple[float, ...], times: tuple[float, ...] = (2.0, 8.0, 20.0)) -> pd.DataFrame:
    return ms.Regimen().bolus("100 mg").table(times=times, values=levels, value_unit="mg/L")


def levels_of(clearance: float, volume: float, scatter: np.ndarray) -> tuple[float, ...]:
    times = np.array([2.0, 8.0, 20.0])
    return tuple((100.0 / volume * np.exp(-clearance / volume * times) * (1.0 + 0.1 * scatter)).tolist())


def test_simulated_patients_of_a_model_give_it_their_weight() -> None:
    priors, random = [of("slow", 2.0), of("fast", 6.0)], np.random.default_rng(7)
    for place, truth in enumerate((2.0, 6.0)):
        for _ in range(3):
            own, size = truth * np.exp(0.2 * random.normal()), 40.0 * np.exp(0.14 * random.normal())
            found = ms.average(priors, patient(levels_of(own, size, random.normal(size=3))))
            assert found.weights[place] > 0.9
            assert found.best is found.fits[place]
            assert found.table["prediction_weight"].sum() == pytest.approx(1.0)


def test_weights_do_not_depend_on_units_nor_on_the_scale_of_the_noise() -> None:
    """A log-normal residual error on ng/mL is the same density of a level as one on mg/L."""
    data = patient(levels_of(3.0, 40.0, np.zeros(3)))
    noise = ms.LogNormal((0.1,))
    found = ms.average([of("in_mg", 4.0, "mg/L", noise), of("in_ng", 4.0, "ng/mL", noise)], data)
    assert found.weights == pytest.approx([0.5, 0.5], abs=0.02)
    assert np.ptp(found.table["log_laplace"]) < 1e-8
    assert float(np.ptp(found.predict(time=5.0)["of_model"].values)) < 0.02


def test_the_averaged_forecast_is_the_mixture_of_the_models() -> None:
    priors = [of("slow", 2.5), of("fast", 5.0)]
    found = ms.average(priors, patient((2.05,), (2.0,)), prior_weights=[0.5, 0.5])
    forecast = found.predict(level=0.8, draws=4000, time=12.0)
    assert 0.2 < found.weights[0] < 0.8
    for share, name in ((0.1, "lower"), (0.5, "median"), (0.9, "upper")):
        below = 0.0
        for fit, weight in zip(found.fits, found.weights, strict=True):
            drawn = ms.dosing.solving.posterior_draws(fit, draws=20_000, seed=99).coordinates
            size = {
                key: value.numpy() for key, value in fit.prior.model.parameters.to_physical(drawn).items()
            }
            curve = 100.0 / size["volume"] * np.exp(-size["clearance"] / size["volume"] * 12.0)
            below += weight * float(
                torch.special.ndtr(torch.as_tensor((float(forecast[name][0]) / curve - 1.0) / 0.1)).mean()
            )
        assert below == pytest.approx(share, abs=0.02)
    assert weighted_quantiles(np.array([[3.0], [1.0], [2.0]]), np.full(3, 1 / 3), (0.5,)).item() == 2.0


def test_where_no_model_fits_it_is_said() -> None:
    priors = [of("slow", 2.0), of("fast", 6.0)]
    assert any(
        "none of these models expects" in said
        for said in ms.average(priors, patient((20.0, 15.0, 9.0))).warnings
    )
    sound = ms.average(priors, patient(levels_of(2.0, 40.0, np.zeros(3))))
    assert not any("none of these" in said for said in sound.warnings)


def test_what_cannot_be_averaged_is_refused() -> None:
    priors, data = [of("slow", 2.0), of("fast", 6.0)], patient((2.0, 1.5, 0.9))
    two = pd.concat([data, data.assign(ID="other")])
    for given, rows, options, match in (
        (priors[:1], data, {}, "two or more"),
        ([priors[0], priors[0]], data, {}, "have one name"),
        (priors, two, {}, "for one patient, not for 2"),
        (priors, data, {"prior_weights": [1.0]}, "give 2 numbers"),
        (priors, data, {"by": "vote"}, "by is"),
        (priors, ms.Regimen().bolus("100 mg").table(), {}, "nothing was measured"),
    ):
        with pytest.raises(InputError, match=match):
            ms.average(given, rows, **options)


def test_the_command_line_weighs_and_forecasts(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from metasci.cli.main import app

    of("slow", 2.0).save(tmp_path / "slow")
    of("fast", 6.0).save(tmp_path / "fast")
    patient(levels_of(2.0, 40.0, np.zeros(3))).to_csv(tmp_path / "levels.csv", index=False)
    asked = [
        "average",
        str(tmp_path / "levels.csv"),
        str(tmp_path / "slow"),
        str(tmp_path / "fast"),
        "--at",
        "time=24,30 h",
    ]
    said = CliRunner().invoke(app, asked)
    assert said.exit_code == 0
    assert "slow" in said.output
    assert "curve_upper" in said.output
    told = json.loads(CliRunner().invoke(app, [*asked, "--json"]).output)
    assert told["weights"][0] > 0.99
    assert [row["time"] for row in told["forecast"]] == [24.0, 30.0]


@pytest.mark.parametrize("variance", [0.04, 0.8])
def test_evidence_and_prediction_of_a_curved_model_are_those_of_quadrature(variance: float) -> None:
    times, levels = np.array([2.0, 8.0, 20.0]), np.array([2.2, 1.3, 0.2])
    prior = ms.Prior.published(
        Structure(1), name="a", source="an example", typical={"clearance": 4.0, "volume": 40.0},
        variability={"clearance": variance}, noise=ms.Proportional((0.2,)),
    )  # fmt: skip
    found = evidence(prior.calibrate(patient((2.2, 1.3, 0.2))))
    eta = np.linspace(-12.0, 12.0, 200_001) * variance**0.5  # so far that levels underflow
    expected = 2.5 * np.exp(-0.1 * np.exp(eta)[:, None] * times)
    with np.errstate(all="ignore"):
        each = -0.5 * ((levels / expected - 1.0) / 0.2) ** 2 - np.log(0.2 * expected * np.sqrt(2.0 * np.pi))
    each = np.where(np.isfinite(each), each, -np.inf)
    weight = np.exp(-0.5 * eta**2 / variance) / np.sqrt(2.0 * np.pi * variance) * (eta[1] - eta[0])
    whole = np.log((weight * np.exp(each.sum(1))).sum())
    assert found.log_marginal == pytest.approx(whole, abs=0.03)
    without = [np.log((weight * np.exp(np.delete(each, k, 1).sum(1))).sum()) for k in range(3)]
    assert found.log_predictive == pytest.approx(3.0 * whole - sum(without), abs=0.06)
