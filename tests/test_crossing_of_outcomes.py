"""When the curve of an outcome reaches a value, and values on other scales: against grids and closed forms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import metasci as ms
from metasci.errors import InputError
from metasci.fits.posterior import posterior_draws
from metasci.math import exp, log, where


def declared(noise: ms.outcomes.Outcome, name: str, **space: object) -> ms.Prior:
    """A straight line in time: of yes and no and grades the log-odds, of others the logarithm."""
    linear = isinstance(noise, ms.outcomes.Bernoulli | ms.outcomes.Ordinal)

    @ms.equation(
        inputs={"time": "h"},
        output=("events", "1"),
        name=f"tests.crossing_{name}",
        parameters=[
            ms.Parameter("level", "1", typical=-1.0, spread=1.0),
            ms.Parameter("slope", "1/h", typical=0.3, spread=0.2),
        ],
        noise=noise,
    )
    def line(time, *, level, slope):
        """A line."""
        at = level + slope * time
        return at if linear else exp(at)

    return ms.Prior.declared(line)


def test_a_probability_reaches_a_half_where_the_posterior_on_a_grid_says_so() -> None:
    """Two parameters: prior times likelihood at each place of a grid, and where the log-odds of each are zero."""
    times, seen = np.array([0.0, 2.0, 4.0, 8.0]), np.array([0.0, 0.0, 1.0, 1.0])
    fit = declared(ms.outcomes.Bernoulli(), "grid").calibrate(
        pd.DataFrame({"time [h]": times, "events": seen})
    )
    found = fit.when("50 %", "time", start=0.0, until=40.0, draws=100_000).table.iloc[0]
    level, slope = np.meshgrid(np.linspace(-10, 8, 801), np.linspace(-1.7, 2.3, 800), indexing="ij")
    predictor = level[..., None] + slope[..., None] * times
    sd_level, sd_slope = fit.adapted.start_covariance[0].diagonal().sqrt().numpy() * [1.0, 0.2]  # in spreads
    weight = stats.norm.pdf(level, -1.0, sd_level) * stats.norm.pdf(slope, 0.3, sd_slope)
    weight = weight * special.expit(np.where(seen > 0.5, predictor, -predictor)).prod(-1)
    with np.errstate(divide="ignore"):
        crossed = -level / slope
    # those that begin above a half and fall lie where most others come to: past it from the start
    reached = np.where(level < 0.0, np.where((slope > 0) & (crossed <= 40.0), crossed, np.inf), -np.inf)
    order = np.argsort(reached.ravel())
    below = weight.ravel()[order].cumsum() / weight.sum()
    for label, p in (("earliest", 0.05), ("median", 0.5), ("latest", 0.95)):
        known = reached.ravel()[order][np.searchsorted(below, p)]
        assert found[label] == pytest.approx(max(known, 0.0), rel=0.03)
    assert found["below"] == pytest.approx(weight[level < 0.0].sum() / weight.sum(), abs=0.01)


@pytest.mark.parametrize(
    ("noise", "value", "called"),
    [
        (ms.outcomes.Bernoulli(of="probit"), 0.5, "probability of events"),
        (ms.outcomes.Poisson(), 2.0, "expected events"),
        (ms.outcomes.NegativeBinomial(), 2.0, "expected events"),
        (ms.outcomes.ZeroInflatedPoisson(), 2.0, "expected events"),
        (ms.outcomes.Ordinal(grades=3), 1.0, "mean events"),
        (ms.outcomes.Weibull(), 2.0, "median events"),
        (ms.outcomes.Deviation(), 2.0, "standard deviation of events"),
        (ms.StudentAdditive((0.5, 3.0)), 2.0, "events"),
    ],
)
def test_the_curve_that_is_followed_is_the_one_that_is_predicted(noise, value, called) -> None:
    """At the median crossing half of the curves that are drawn lie below the value, as `predict` shows curves."""
    prior = declared(noise, type(noise).__name__.lower())
    seen = [1.0, 0.0, 1.0, 1.0] if isinstance(noise, ms.outcomes.Bernoulli) else [1.0, 1.0, 2.0, 2.0]
    fit = prior.calibrate(pd.DataFrame({"time [h]": [0.0, 1.0, 3.0, 5.0], "events": seen}))
    found = fit.when(value, "time", start=0.0, until=60.0, draws=4000)
    assert str(found).startswith(f"task: {called} ")
    at, drawn = float(found.table["median"].item()), posterior_draws(fit, draws=4000)
    values = prior.model.parameters.to_physical(drawn.coordinates.numpy())
    line = values["level"] + values["slope"] * at
    linear = isinstance(noise, ms.outcomes.Bernoulli | ms.outcomes.Ordinal)
    shown = noise.expected(line if linear else noise.link(np.exp(line)), fit.adapted.log_noise.numpy(), {})
    assert (shown < value).mean() == pytest.approx(0.5, abs=0.05)


@ms.equation(
    inputs={"time": "h", "output": "1"},
    output=("seen", "mg/L"),
    name="tests.crossing_mixed",
    parameters=[
        ms.Parameter("initial", "mg/L", typical=10, positive=True, spread=0.4),
        ms.Parameter("rate", "1/h", typical=0.1, positive=True, spread=0.3),
        ms.Parameter("level", "1", typical=-2, spread=0.5),
    ],
    noise=ms.outcomes.Mixed(by="output", kinds=(ms.Proportional((0.1,)), ms.outcomes.Bernoulli())),
)
def concentration_and_effect(time, output, *, initial, rate, level):
    """A concentration that falls (1), and log-odds of an effect that follow it (2)."""
    concentration = initial * exp(-rate * time)
    return where(output < 1.5, concentration, level + log(concentration))


def test_of_several_kinds_the_output_that_is_asked_is_followed() -> None:
    samples = pd.DataFrame({"time [h]": [1, 4], "output": [1, 1], "seen [mg/L]": [18.2, 14.0]})
    fit = ms.Prior.declared(concentration_and_effect).calibrate(samples)
    curve = fit.when("5000 ug/L", "time", start=0, until=100).table  # the only output that was measured
    pd.testing.assert_frame_equal(curve, fit.when("5 mg/L", "time", output=1, start=0, until=100).table)
    effect = fit.when("50 %", "time", output=2, start=0, until=100)
    assert "probability of seen (output 2) reaches 0.5 at" in str(effect)
    at = float(effect.table["median"].item())
    assert float(fit.predict(time=at, output=2)["median"].item()) == pytest.approx(0.5, abs=0.03)
    with pytest.raises(InputError, match="outputs are numbered from 1 to 2; ask for one of these, not 3"):
        fit.when(0.5, "time", output=3)
    with pytest.raises(InputError, match="'mg/L' cannot be converted to '1'"):
        fit.when("5 mg/L", "time", output=2)


def test_each_output_of_differential_equations_is_asked_in_its_own_unit() -> None:
    from metasci.patients import Observed, ode_model

    model = ode_model(
        name="tests_two_outputs",
        states=("parent", "metabolite"),
        doses_into=["parent"],
        parameters={"cl": "4 L/h", "v": "70 L", "clm": "8 L/h"},
        slopes=lambda t, x, p: {
            "parent": -p.cl / p.v * x.parent,
            "metabolite": p.cl / p.v * x.parent - p.clm / p.v * x.metabolite,
        },
        outputs={
            "parent": Observed("mg/L", lambda x, p: x.parent / p.v, ms.Proportional((0.15,))),
            "metabolite": Observed("ug/L", lambda x, p: 1000 * x.metabolite / p.v, ms.Proportional((0.2,))),
        },
    )
    prior = ms.Prior.published(
        model, name="two", source="made up", variability={"cl": 0.1}, noise=model.noise
    )
    doses = pd.DataFrame(
        {
            "ID": "eve",
            "TIME [h]": [0, 2, 12],
            "AMT [mg]": [100, "", ""],
            "parent [mg/L]": ["", 1.2, 0.7],
            "metabolite [ug/L]": ["", 120, ""],
        }
    )
    fit = prior.calibrate(doses)
    found = fit.when("0.1 mg/L", "time", start=20, until=200, output=2)
    assert str(found).startswith("eve: metabolite reaches 100 ug/L at ")
    level = fit.predict(time=float(found.table["median"].item()), output=2)["median"].item()
    assert float(level) == pytest.approx(100.0, rel=0.02)
    assert str(fit.when("500 ug/L", "time", start=1, until=200, output=1)).startswith(
        "eve: parent reaches 0.5 mg/L"
    )


def test_a_hardness_is_asked_on_any_scale_that_the_tables_lead_from() -> None:
    steel = ms.load("steel_tempering").calibrate(ms.dataset("steel_tempering").select([0]))
    asked = {"along": "time", "temperature": "500 degC"}
    own = steel.when("30 HRC", **asked)
    for same in ("302 HV", 302 * ms.unit("HV"), "286 HB"):  # a row of ASTM E140
        pd.testing.assert_frame_equal(steel.when(same, **asked).table, own.table)
    with pytest.raises(InputError, match="100 HV lies outside 238 to 940, where ASTM E140 leads to HRC"):
        steel.when("100 HV", **asked)
    with pytest.raises(InputError, match="no table leads from HRB to HRC"):
        steel.when("90 HRB", **asked)


def test_the_furnace_time_to_a_hardness_on_another_scale_is_that_of_the_table() -> None:
    from metasci.heat_treatment.conditions import in_output_unit

    model = ms.load("steel_tempering").model
    assert in_output_unit(model, "302 HV", "at least") == 30.0


def test_readings_that_are_limits_move_when() -> None:
    """A line with the level known and the slope told by a limit alone: beyond it the slope is steeper."""
    prior = declared(ms.StudentAdditive((0.1, 50.0)), "limits")
    free = pd.DataFrame({"time [h]": [0.0, 4.0], "events": ["0.0", "1.0"]})
    above = free.assign(events=["0.0", ">1.0"])
    at, later = (prior.calibrate(each).when(3.0, "time", until=60.0).table.iloc[0] for each in (free, above))
    assert later["median"] < at["median"]


@pytest.mark.parametrize(
    ("noise", "value", "words"),
    [
        (
            ms.outcomes.Bernoulli(),
            1.5,
            "probability of events could reach, which is at least 0 and at most 1",
        ),
        (ms.outcomes.Ordinal(grades=3), 2.5, "mean events could reach, which is at least 0 and at most 2"),
        (ms.outcomes.Poisson(), -1.0, "expected events could reach, which is at least 0"),
        (ms.outcomes.Bernoulli(), "5 mg", "'mg' cannot be converted to '1'"),
    ],
)
def test_a_value_that_an_outcome_cannot_reach_is_refused(noise, value, words) -> None:
    fit = declared(noise, f"refused_{type(noise).__name__.lower()}").calibrate(
        pd.DataFrame({"time [h]": [0.0, 1.0], "events": [0.0, 1.0]})
    )
    with pytest.raises(InputError, match=words):
        fit.when(value, "time", until=5.0)


def test_classes_have_no_curve_that_reaches_a_value() -> None:
    fit = ms.load("alloy_phases").calibrate(ms.dataset("alloy_phases").select([0]))
    with pytest.raises(InputError, match="has classes, of which no curve reaches a value"):
        fit.when(0.5, "electrons")
