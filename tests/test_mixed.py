"""Several outputs of different kinds in one model: against each kind alone, `Several`, SciPy and plain quadrature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.special
import scipy.stats as st
import torch

import metasci as ms
from metasci.errors import InputError
from metasci.fits.posterior import posterior_draws
from metasci.fits.predictive import predictive
from metasci.math import exp, log, where
from metasci.meta.problem import Problem
from metasci.mixed_forecasts import MixedForecast
from metasci.model import Model, equation
from metasci.noise import Additive, Combined, LogNormal, Noise, Proportional, Several
from metasci.outcomes import Bernoulli, Categorical, Exponential, Measured, Mixed, Poisson, Weibull
from metasci.parameters import Parameter

KINETICS = (
    Parameter("initial", "mg/L", 10.0, positive=True, spread=0.4),
    Parameter("rate", "1/h", 0.1, positive=True, spread=0.5),
)


def effect_model(noise: Noise | None = None, name: str = "tests.effect") -> Model:
    parameters = (*KINETICS, Parameter("level", "1", -5.0, spread=1.0, shared=True))

    @equation(
        inputs={"time": "h", "output": "1"}, output=("seen", "mg/L"), parameters=parameters, name=name,
        noise=noise or Mixed(by="output", kinds=(Proportional((0.15,)), Bernoulli())),
    )  # fmt: skip
    def model(time: Any, output: Any, *, initial: Any, rate: Any, level: Any) -> Any:
        """A concentration that falls (output 1), and log-odds of an effect that follow the exposure (2)."""
        return where(output < 1.5, initial * exp(-rate * time), level + 1.2 * log(initial / rate))

    return model


def patients(count: int, seed: int = 0, answers: bool = True) -> pd.DataFrame:
    """Simulated patients: three concentrations, and whether there was an effect."""
    random, rows = np.random.default_rng(seed), []
    for task in range(count):
        initial, rate = 10.0 * np.exp(0.4 * random.normal()), 0.1 * np.exp(0.5 * random.normal())
        for time in (1.0, 4.0, 12.0):
            seen = initial * np.exp(-rate * time) * (1.0 + 0.15 * random.normal())
            rows.append((f"p{task}", time, 1, round(float(seen), 3)))
        yes = random.random() < scipy.special.expit(-5.0 + 1.2 * np.log(initial / rate))
        if answers:
            rows.append((f"p{task}", 24.0, 2, float(yes)))
    return pd.DataFrame(rows, columns=["task", "time [h]", "output", "seen [mg/L]"])


def read(frame: pd.DataFrame, model: Model) -> ms.TaskSet:
    return ms.TaskSet.from_frame(frame, ms.Card.from_model(model), model=model)


@pytest.mark.parametrize(
    "noise", [Additive((0.7,)), Proportional((0.2,)), Combined((0.3, 0.1)), LogNormal((0.4,))]
)
def test_a_measurement_as_an_outcome_has_the_law_of_its_noise(noise: Noise) -> None:
    law, value, upper = Measured(noise=noise), np.array([0.8, 2.0, 5.0]), np.array([1.1, 2.5, 9.0])
    scales, predictor = np.log(noise.typical), noise.link(np.array([1.0, 2.2, 4.0]))
    if isinstance(noise, LogNormal):
        known = st.lognorm(0.4, scale=np.exp(predictor))
    else:
        known = st.norm(predictor, np.sqrt(noise.variance(predictor, scales)))
    np.testing.assert_allclose(law.log_density(value, predictor, scales), known.logpdf(value), rtol=1e-10)
    never = np.full(3, np.nan)
    np.testing.assert_allclose(
        law.log_density(value, predictor, scales, below=np.ones(3, bool), upper=never),
        known.logcdf(value),
        rtol=1e-8,
    )
    above = law.log_density(value, predictor, scales, upper=np.full(3, np.inf))
    np.testing.assert_allclose(above, known.logsf(value), rtol=1e-8)
    between = law.log_density(value, predictor, scales, upper=upper)
    np.testing.assert_allclose(np.exp(between), known.cdf(upper) - known.cdf(value), rtol=1e-7)
    np.testing.assert_allclose(law.cumulative(value, predictor, scales), known.cdf(value), rtol=1e-10)
    drawn = law.sample(np.full(20_000, predictor[0]), scales, None, np.random.default_rng(0))
    first = (
        st.lognorm(0.4, scale=1.0)
        if isinstance(noise, LogNormal)
        else st.norm(1.0, float(np.sqrt(noise.variance(1.0, scales))))
    )
    assert st.kstest(drawn, first.cdf).pvalue > 0.01


def test_each_output_has_its_own_kinds_density_and_information() -> None:
    law = Mixed(by="output", kinds=(LogNormal((0.3,)), Weibull(), Poisson()))
    assert law.scales == ("log_sd_1", "shape_2")
    which, value = torch.tensor([1.0, 2.0, 3.0, 2.0]).double(), torch.tensor([2.0, 4.0, 3.0, 6.0]).double()
    at, scales = torch.tensor([0.5, 1.0, 1.2, 1.5]).double(), torch.tensor([0.3, 1.5]).double().log()
    upper = torch.tensor([torch.nan, torch.nan, torch.nan, torch.inf]).double()
    inputs = {"output": which}
    density = law.log_density(value, at, scales, inputs, None, upper)
    told = law.information(value, at, scales, inputs, None, upper)
    kinds = [
        (Measured(noise=LogNormal((0.3,))), scales[:1]),
        (Weibull(), scales[1:]),
        (Poisson(), scales[:0]),
    ]
    for place, part in enumerate((0, 1, 2, 1)):
        kind, own = kinds[part]
        here = (value[[place]], at[[place]], own, None, None, upper[[place]])
        torch.testing.assert_close(density[[place]], kind.log_density(*here))
        torch.testing.assert_close(told[[place]], kind.information(*here))


def test_two_measurements_are_what_several_noises_learn() -> None:
    """The same expectation-maximisation, to the digits."""

    def model(noise: Noise, name: str) -> Model:
        return equation(
            inputs={"time": "h", "output": "1"},
            output=("seen", "mg/L"),
            parameters=KINETICS,
            noise=noise,
            name=name,
        )(
            lambda time, output, *, initial, rate: (
                where(output < 1.5, 1.0, 10.0 * rate) * initial * exp(-rate * time)
            )
        )

    kinds = (Proportional((0.15,)), Additive((1.0,)))
    frame = patients(12, answers=False)
    frame.loc[frame["time [h]"] > 3.0, "output"] = 2
    states = []
    for noise, name in (
        (Several(by="output", noises=kinds), "tests.several_noises"),
        (Mixed(by="output", kinds=kinds), "tests.mixed_noises"),
    ):
        own = model(noise, name)
        states.append(ms.meta_calibrate(own, read(frame, own), ms.GaussianPrior(iterations=25)).state)
    torch.testing.assert_close(states[0].mean, states[1].mean, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(states[0].covariance, states[1].covariance, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(states[0].log_noise, states[1].log_noise, rtol=1e-9, atol=1e-9)


def test_concentrations_tell_whether_there_will_be_an_effect(tmp_path: Path) -> None:
    model = effect_model()
    prior = ms.meta_calibrate(model, read(patients(150), model))
    initial, rate, level = prior.model.parameters.to_physical(prior.state.mean.numpy()).values()
    assert (initial, rate) == (pytest.approx(10.0, rel=0.1), pytest.approx(0.1, rel=0.15))
    assert level == pytest.approx(-5.0, abs=0.6)
    assert float(prior.state.log_noise.exp()) == pytest.approx(0.15, rel=0.1)
    prior.save(tmp_path / "prior")
    again = ms.load(tmp_path / "prior", model)
    assert again.model.noise == model.noise
    new = read(patients(4, seed=1, answers=False), model)
    fit = again.calibrate(new)
    many = again.calibrate_many(new)
    np.testing.assert_allclose(many["estimate"], fit.to_xarray()["estimate"], atol=1e-9)
    found = fit.predict(time=[24.0, 2.0], output=[2.0, 1.0])
    draws = {
        name: p.to_physical(posterior_draws(fit, 0, 4000).coordinates.numpy()[:, at])
        for at, (name, p) in enumerate(zip(model.parameters.names, model.parameters, strict=True))
    }
    yes = scipy.special.expit(draws["level"] + 1.2 * np.log(draws["initial"] / draws["rate"]))
    assert float(found["mean"][0, 0]) == pytest.approx(yes.mean(), abs=0.02)
    curve = draws["initial"] * np.exp(-2.0 * draws["rate"])
    assert float(found["median"][0, 1]) == pytest.approx(np.median(curve), rel=0.03)
    seen = curve * (
        1.0 + float(prior.state.log_noise.exp()) * np.random.default_rng(0).standard_normal(len(curve))
    )
    assert float(found["upper"][0, 1]) == pytest.approx(np.quantile(seen, 0.95), rel=0.04)
    page = tmp_path / "report.html"
    fit.report(page)
    assert "A row for each output" in page.read_text()
    judged = ms.evaluate(again, read(patients(60, seed=2), model), (0, 3), seeds=2).frame
    prior_alone, after = (
        judged[(judged["method"] == "prior") & (judged["shots"] == k)].iloc[0] for k in (0, 3)
    )
    assert after["log_score_1"] < prior_alone["log_score_1"]
    assert after["log_score_2"] < 0.69  # of a coin
    assert 0.8 < prior_alone["coverage90_1"] < 0.98


def test_a_biomarker_tells_of_the_time_to_an_event() -> None:
    """Joined by a level that both share; on the logarithm."""
    parameters = (
        Parameter("level", "1", 5.0, positive=True, spread=0.5),
        Parameter("usual_time", "1", 40.0, positive=True, spread=0.5, shared=True),
    )

    @equation(
        inputs={"time": "1", "output": "1"}, output=("seen", "1"), parameters=parameters, name="tests.joint",
        noise=Mixed(by="output", kinds=(LogNormal((0.2,)), Exponential())),
    )  # fmt: skip
    def joint(time: Any, output: Any, *, level: Any, usual_time: Any) -> Any:
        """A level that stays (1), and a time that is the shorter the higher it is (2)."""
        return where(output < 1.5, level + 0.0 * time, usual_time * (5.0 / level) ** 2.0)

    random, rows = np.random.default_rng(0), []
    for task in range(200):
        level = 5.0 * np.exp(0.5 * random.normal())
        rows += [(f"p{task}", t, 1, f"{level * np.exp(0.2 * random.normal()):.6g}") for t in (0.0, 1.0)]
        time = random.exponential() * 30.0 * (5.0 / level) ** 2.0
        rows.append((f"p{task}", 0.0, 2, f"{time:.6g}" if time < 60.0 else ">60"))
    frame = pd.DataFrame(rows, columns=["task", "time", "output", "seen"])
    prior = ms.meta_calibrate(joint, read(frame, joint))
    level, usual_time = prior.model.parameters.to_physical(prior.state.mean.numpy()).values()
    assert level == pytest.approx(5.0, rel=0.1)
    assert usual_time == pytest.approx(30.0, rel=0.2)
    assert 0.5 * float(prior.state.covariance[0, 0].sqrt()) == pytest.approx(0.5, rel=0.15)
    few = pd.DataFrame({"task": "new", "time": [0.0, 1.0], "output": 1, "seen": ["10", "10.5"]})
    high = prior.calibrate(few).predict(time=0.0, output=2.0)
    assert float(high["median"][0, 0]) < 0.5 * float(high["prior"][0, 0])
    expected = np.log(2.0) * usual_time * (5.0 / 10.0) ** 2.0
    assert float(high["median"][0, 0]) == pytest.approx(expected, rel=0.15)


def _fall_and_count(noise: Noise, name: str, returns: str) -> Model:
    """A concentration that falls (output 1), and a count of events that rises with the exposure (2)."""

    @equation(
        inputs={"time": "h", "output": "1"},
        output=("seen", "mg/L"),
        parameters=KINETICS,
        name=name,
        noise=noise,
    )
    def model(time: Any, output: Any, *, initial: Any, rate: Any) -> Any:
        count, level = 0.02 * initial / rate, initial * exp(-rate * time)
        if returns == "prediction":
            return where(output < 1.5, level, count)
        return where(output < 1.5, log(level) if returns == "logarithms" else level, log(count))

    return model


def counted(count: int) -> pd.DataFrame:
    """Simulated patients: two concentrations and a count."""
    random, rows = np.random.default_rng(1), []
    for task in range(count):
        initial, rate = 10.0 * np.exp(0.4 * random.normal()), 0.1 * np.exp(0.5 * random.normal())
        for time in (1.0, 6.0):
            level = initial * np.exp(-rate * time) * np.exp(0.15 * random.normal())
            rows.append((f"p{task}", time, 1, round(float(level), 3)))
        rows.append((f"p{task}", 24.0, 2, float(random.poisson(0.02 * initial / rate))))
    return pd.DataFrame(rows, columns=["task", "time [h]", "output", "seen [mg/L]"])


def test_an_equation_of_predictors_learns_what_one_of_predictions_does(tmp_path: Path) -> None:
    """Log-normal noise and counts have one link, so that both ways of writing it are there."""
    kinds, priors = (LogNormal((0.15,)), Poisson()), []
    for returns in ("prediction", "logarithms"):
        noise = Mixed("output", kinds, "prediction" if returns == "prediction" else "predictor")
        model = _fall_and_count(noise, f"tests.count_{returns}", returns)
        priors.append(ms.meta_calibrate(model, read(counted(15), model), ms.GaussianPrior(iterations=15)))
    for name in ("mean", "covariance", "log_noise"):
        torch.testing.assert_close(
            getattr(priors[0].state, name), getattr(priors[1].state, name), rtol=1e-7, atol=1e-9
        )
    forecasts = [prior.calibrate(counted(1)).predict(time=[3.0, 24.0], output=[1.0, 2.0]) for prior in priors]
    for name in ("mean", "median", "lower", "upper"):
        np.testing.assert_allclose(forecasts[0][name], forecasts[1][name], rtol=1e-7)
    priors[1].save(tmp_path / "prior")
    assert ms.load(tmp_path / "prior", model=priors[1].model).model.noise == priors[1].model.noise


def test_kinds_of_unlike_links_stand_in_one_model() -> None:
    """Proportional noise is about the level itself, a count about its logarithm; the cost of each is its own."""
    law = Mixed("output", (Proportional((0.15,)), Poisson()), "predictor")
    model = _fall_and_count(law, "tests.unlike_links", "predictors")
    problem = Problem(model, read(counted(4), model).batch(model))
    at, scales = (
        torch.randn(4, 2, generator=torch.Generator().manual_seed(0)).double(),
        torch.tensor([-1.9], dtype=torch.float64),
    )
    initial, rate = (value.numpy() for value in model.parameters.to_physical(at[:, None]).values())
    seen, time = problem.batch.output.numpy(), problem.batch.inputs["time"].numpy()
    level = initial * np.exp(-rate * time)
    each = st.norm(level, np.exp(-1.9) * level).logpdf(seen)
    each[:, 2] = st.poisson(0.02 * initial[:, 0] / rate[:, 0]).logpmf(seen[:, 2])
    np.testing.assert_allclose(-problem.negative_log_likelihood(at, scales), each.sum(1), rtol=1e-9)
    prior = ms.meta_calibrate(model, read(counted(60), model), ms.GaussianPrior(iterations=30))
    initial, rate = prior.model.parameters.to_physical(prior.state.mean.numpy()).values()
    assert initial == pytest.approx(10.0, rel=0.15)
    assert rate == pytest.approx(0.1, rel=0.25)
    sparse = pd.DataFrame({"time [h]": [1.0], "output": [1], "seen [mg/L]": [20.0]})
    found = prior.calibrate(sparse).predict(time=[24.0, 3.0], output=[2.0, 1.0])
    assert float(found["upper"][0, 0]) == round(float(found["upper"][0, 0]))
    assert float(found["mean"][0, 0]) > float(found["prior"][0, 0])  # a higher level, more events


def test_a_forecast_is_that_of_each_kind_alone() -> None:
    model = effect_model()
    fit = ms.Prior.declared(model).calibrate(patients(3))
    forecast = predictive(fit.problem, fit.adapted)
    assert isinstance(forecast, MixedForecast)
    of_effect = forecast.which == 1
    line = fit.problem.linearise(fit.adapted.coordinates, fit.adapted.log_noise)
    variance = torch.einsum("toi,tij,toj->to", line.jacobian, fit.adapted.covariance, line.jacobian)
    nodes, weights = np.polynomial.hermite_e.hermegauss(41)
    at = line.prediction[of_effect].numpy()[:, None] + nodes * variance[of_effect].sqrt().numpy()[:, None]
    expected = (scipy.special.expit(at) * weights).sum(1) / weights.sum()
    np.testing.assert_allclose(forecast.mean[of_effect], expected, rtol=1e-4)
    drawn = forecast.sample(4000, seed=1)
    assert set(drawn[:, of_effect].unique().tolist()) == {0.0, 1.0}
    np.testing.assert_allclose(drawn[:, of_effect].mean(0), expected, atol=0.03)


@pytest.mark.parametrize(
    ("row", "column", "cell", "words"),
    [
        (3, "seen [mg/L]", "0.5", "row 3: 0.5 is neither 0 nor 1, which a yes or no has to be (output 2)"),
        (3, "output", "3", "of output 3, of which there are 2"),
        (
            3,
            "seen [mg/L]",
            "<2",
            "row 3: <2 is no single outcome of its kind; only measurements and times may be",
        ),
    ],
)
def test_what_an_output_cannot_be_is_told_with_its_row(row: int, column: str, cell: str, words: str) -> None:
    frame = patients(1).astype(str)
    frame.loc[row, column] = cell
    with pytest.raises(InputError) as caught:
        ms.Prior.declared(effect_model()).calibrate(frame)
    assert words in str(caught.value)


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(InputError, match="by one link"):
        Mixed(by="output", kinds=(Proportional(), Poisson()))
    with pytest.raises(InputError, match="neither 'prediction' nor"):
        Mixed(by="output", kinds=(Proportional(), Poisson()), returns="log")
    with pytest.raises(InputError, match="one predictor each"):
        Mixed(by="output", kinds=(Proportional(), Categorical(classes=("a", "b", "c"))))
    with pytest.raises(InputError, match="two or more kinds"):
        Mixed(by="output", kinds=(Bernoulli(),))
    with pytest.raises(InputError, match=r"outcomes\.Mixed"):
        Several(by="output", noises=(Proportional(), Bernoulli()))


def test_the_hierarchical_model_knows_several_kinds() -> None:
    pytest.importorskip("pymc")
    import pytensor
    from pytensor.compile.mode import Mode

    from metasci.bayes import hierarchical

    model = effect_model()
    frame = patients(3).astype(str)
    frame.loc[2, "seen [mg/L]"] = "<3"
    batch = read(frame, model).batch(model)
    built = hierarchical(model, batch)
    density = built.logp(vars=[built["measurement"]], jacobian=False)
    at = pytensor.function(
        built.value_vars, density, mode=Mode(linker="py", optimizer=None), on_unused_input="ignore"
    )
    point = built.initial_point()
    point["coordinate_mean"], point["log_noise"] = np.array([0.3, -0.4, 0.2]), np.array([-1.7])
    truth = torch.as_tensor(point["coordinate_mean"]).expand(3, 3)
    expected = (
        -Problem(model, batch).negative_log_likelihood(truth, torch.as_tensor(point["log_noise"])).sum()
    )
    assert float(at(*[point[value.name] for value in built.value_vars])) == pytest.approx(
        float(expected), rel=1e-9
    )


def test_an_output_that_is_not_there_is_not_predicted() -> None:
    fit = ms.Prior.declared(effect_model()).calibrate(patients(1))
    with pytest.raises(InputError, match="outputs are numbered from 1 to 2"):
        fit.predict(time=1.0, output=3.0)
