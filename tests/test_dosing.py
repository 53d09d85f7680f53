"""Recommended doses against closed forms of linear kinetics."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

import metasci as ms
from metasci.dosing import Target, loading_and_maintenance, recommend, solve_dose
from metasci.dosing.course import Course
from metasci.dosing.exposure import exposure
from metasci.errors import InputError
from metasci.fits.posterior import posterior_draws
from metasci.report.curves import axis_of, curve
from metasci.report.regimens import regimen_figure


@pytest.fixture(scope="module")
def infant() -> ms.Calibration:
    return ms.load("phenobarbital").calibrate(ms.dataset("phenobarbital").select(["1"]))


def test_recommended_dose_agrees_with_the_closed_form_of_a_steady_state(infant: ms.Calibration) -> None:
    values = infant.parameters.set_index("name")["estimate"]
    weight = float(infant.batch.inputs["weight"][0, 0])
    rate = values["clearance"] / values["volume"]
    trough = 20.0
    gap = 12.0
    exact = trough * values["volume"] * weight * (1.0 - np.exp(-rate * gap)) / np.exp(-rate * gap)
    sizes = np.arange(0.5, 6.0, 0.1)
    advice = recommend(
        infant, Target("trough", 17.0, 23.0), doses=sizes, intervals=[gap], number=120, draws=400
    )
    assert advice.dose == pytest.approx(exact, rel=0.06)
    assert advice.median == pytest.approx(trough, rel=0.06)
    lower, upper = advice.lower, advice.upper
    assert lower < advice.median < upper


def test_probability_is_the_share_of_draws_and_repeats_to_the_bit(infant: ms.Calibration) -> None:
    target = Target("peak", 20.0, 40.0)
    first, again = (recommend(infant, target, doses=[2.0, 4.0], intervals=[12.0, 24.0]) for _ in range(2))
    assert first.table.equals(again.table)
    wider = recommend(infant, Target("peak", 10.0, 60.0), doses=[2.0, 4.0], intervals=[12.0, 24.0])
    assert (wider.table["probability"] >= first.table["probability"]).all()
    assert first.probability == first.table["probability"].max() or first.reached


def test_area_of_a_steady_state_is_dose_over_clearance(infant: ms.Calibration) -> None:
    advice = recommend(
        infant, Target("auc", low=0.0, per=24.0), doses=[3.0], intervals=[12.0], number=120, draws=400
    )
    clearance = infant.parameters.set_index("name")["estimate"]["clearance"]
    weight = float(infant.batch.inputs["weight"][0, 0])
    assert advice.median == pytest.approx(2 * 3.0 / (clearance * weight), rel=0.02)


def test_a_patient_without_measurements_is_said_to_be_uninformed(infant: ms.Calibration) -> None:
    import torch

    prior, batch = infant.prior, infant.batch
    blank = batch.with_mask(torch.zeros_like(batch.mask))
    unseen = ms.Calibration(prior, infant.tasks, blank, prior.adapt(blank))
    advice = recommend(unseen, Target("trough", 15.0, 25.0), doses=[2.0, 3.0], intervals=[24.0])
    assert any("nothing was measured" in warning for warning in advice.warnings)
    informed = recommend(infant, Target("trough", 15.0, 25.0), doses=[2.0, 3.0], intervals=[24.0])
    assert not any("hardly inform" in warning for warning in informed.warnings)
    assert all("no medical device" in found.warnings[-1] for found in (advice, informed))


def test_a_target_out_of_reach_is_said_to_be(infant: ms.Calibration) -> None:
    advice = recommend(infant, Target("trough", 200.0, 210.0), doses=[1.0, 2.0], intervals=[24.0])
    assert not advice.reached
    assert any("comes nearest" in warning for warning in advice.warnings)
    assert "probability of 0 %" in str(advice)
    assert advice.dose == 2.0  # the least drug would be the farthest from it
    below = recommend(infant, Target("trough", 0.001, 0.002), doses=[1.0, 2.0], intervals=[24.0])
    assert below.dose == 1.0


def given(times: list[float], start: float | None, dose: float = 3.0) -> ms.dosing.Recommendation:
    regimen = ms.Regimen()
    for time in times:
        regimen = regimen.bolus(20.0, at=time)
    fit = ms.load("phenobarbital").calibrate(regimen.table([40.0], [30.0], weight="1.5 kg"))
    return recommend(
        fit, Target("trough", 10.0), doses=[dose], intervals=["12 h"], number=1, start=start, draws=50
    )


def test_the_next_dose_is_given_when_it_is_due() -> None:
    assert given([0.0, 12.0, 24.0, 36.0], None).median == given([0.0, 12.0, 24.0, 36.0], 48.0).median
    late = given([0.0, 12.0, 24.0, 36.0, 60.0], 48.0)
    assert late.median == pytest.approx(given([0.0, 12.0, 24.0, 36.0], 48.0).median, rel=1e-12)
    assert late.warnings[0].startswith("1 dose(s) of the record at or after 48 h are left out")


def test_areas_of_fast_drugs_and_peaks_of_infusions_are_exact() -> None:
    about = {"weight": "64 kg", "age": "58 year", "height": "166 cm", "lean_body_mass": "46.5 kg", "sex": 2}
    fit = ms.load("remifentanil").calibrate(ms.Regimen().bolus(1.0, "ug").table(**about))
    values = fit.parameters.set_index("name")["estimate"]
    advice = recommend(
        fit, Target("auc"), doses=["1 mg"], intervals=["1 day"], number=1, start=10.0, draws=2000
    )
    assert advice.median == pytest.approx(1000.0 / values["clearance"], rel=0.02)
    judged = Course(begins=5000.0, gap=60.0, number=2, duration=7.3).judged()
    assert np.isclose(judged, 5067.3, rtol=0.0, atol=1e-9).any()  # where the concentration is highest
    assert judged[0] == 5060.0
    assert judged[-1] < 5120.0


def test_share_of_time_above_a_threshold_is_exact_on_straight_lines() -> None:
    times, curve = np.array([0.0, 1.0, 2.0]), np.array([[0.0, 2.0, 0.0], [3.0, 3.0, 3.0], [0.0, 0.0, 0.0]])
    found = Target("time_above", low=0.5, threshold=1.0).of(times, curve)
    np.testing.assert_allclose(found, [0.5, 1.0, 0.0])


def test_nonsense_is_refused(infant: ms.Calibration) -> None:
    target = Target("trough", 15.0, 25.0)
    with pytest.raises(InputError, match="doses: give one or more numbers above zero"):
        recommend(infant, target, doses=[0.0], intervals=[12.0])
    everybody = ms.load("phenobarbital").calibrate(ms.dataset("phenobarbital"))
    with pytest.raises(InputError, match="one patient, not to 59"):
        recommend(everybody, target, doses=[1.0], intervals=[12.0])
    patient = ms.load("theophylline").calibrate(ms.dataset("theophylline").select(["1"]))
    with pytest.raises(InputError, match="takes no doses"):
        recommend(patient, target, doses=[1.0], intervals=[12.0])
    with pytest.raises(InputError, match="knows no infusions"):
        recommend(infant, target, doses=[1.0], intervals=[12.0], duration=1.0)
    for wrong, sentence in (
        ({"number": 1.5}, "number: 1.5 is not a whole number"),
        ({"draws": 0}, "draws: 0 is not a whole number"),
        ({"start": -5.0}, "start: -5 lies before time zero"),
        ({"start": float("nan")}, "start: nan is no time"),
        ({"start": float("inf")}, "start: inf is no time"),
        ({"duration": 13.0}, "an infusion lasts from 0 to the interval, 12"),
        ({"doses": ["3 m"]}, "'m' cannot be converted to 'mg'"),
        ({"intervals": ["often"]}, "not a number with a unit"),
    ):
        with pytest.raises(InputError, match=sentence):
            recommend(infant, target, **{"doses": [1.0], "intervals": [12.0], **wrong})
    with pytest.raises(InputError, match="from 0 to 1, and not 50"):
        Target("time_above", low=50, threshold=1.0)
    with pytest.raises(InputError, match="a threshold is a concentration"):
        Target("time_above", low=0.5, threshold=-1.0)
    with pytest.raises(InputError, match="are numbers"):
        Target("trough", low="15 mg/L")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="must lie below"):
        Target("trough", 3.0, 2.0)
    with pytest.raises(InputError, match="a threshold belongs"):
        Target("time_above", 0.5)


def one_compartment(clearance: float, volume: float) -> ms.Calibration:
    """A patient of whom next to everything is known: doses have a closed form."""
    prior = ms.Prior.published(
        ms.patients.Structure(1), name="known", source="an example", noise=ms.Proportional((0.1,)),
        typical={"clearance": clearance, "volume": volume}, variability={"clearance": 1e-8, "volume": 1e-8},
    )  # fmt: skip
    return prior.calibrate(ms.Regimen().bolus("1 mg").table(times=["1 h"], values=[1.0 / volume]))


def test_loading_and_maintenance_doses_are_those_of_the_closed_form() -> None:
    fit, rate, gap, wanted = one_compartment(4.0, 40.0), 0.1, 12.0, np.sqrt(10.0 * 20.0)
    loading, keeping = loading_and_maintenance(
        fit, Target("trough", 10.0, 20.0), interval=gap, number=6, start=1000.0, multiple="50 mg", draws=50
    )
    first = wanted * 40.0 * np.exp(rate * gap)
    assert loading.exact == pytest.approx(first, rel=1e-3)
    assert loading.rounded == 50.0 * round(first / 50.0)
    left = sum(np.exp(-rate * gap * k) for k in range(1, 6))
    exact = (wanted * 40.0 - loading.rounded * np.exp(-6.0 * rate * gap)) / left
    assert keeping.exact == pytest.approx(exact, rel=1e-3)
    assert f"{loading.rounded:g} mg first, then 5 doses" in keeping.words


def test_a_concentration_after_an_infusion_and_a_trough_before_the_third_dose_have_closed_forms() -> None:
    fit, rate, volume = one_compartment(4.0, 40.0), 0.1, 40.0
    common = {"doses": ["500 mg"], "intervals": [12.0], "start": 1000.0, "draws": 20}
    after = recommend(fit, Target("concentration", 5.0, 20.0, at=1.5), number=1, duration=1.0, **common)
    peak = 500.0 / (rate * volume) * (1.0 - np.exp(-rate))
    assert after.median == pytest.approx(peak * np.exp(-rate * 0.5), rel=3e-5)
    third = recommend(fit, Target("trough", 5.0, 20.0), number=2, **common)
    assert third.median == pytest.approx(500.0 / volume * (np.exp(-1.2) + np.exp(-2.4)), rel=2e-4)
    per_day = recommend(fit, Target("auc", 400.0, 600.0, per=24.0), number=2, **common)
    assert per_day.words.count("per 24 h") == 2
    interval = recommend(fit, Target("auc", 40.0, 600.0), number=2, **common)
    assert "of the dosing interval" in interval.words
    assert "in an interval" in interval.words


def test_a_dose_that_is_solved_for_says_per_what_an_area_is() -> None:
    fit = one_compartment(4.0, 40.0)
    dose = solve_dose(
        fit, Target("auc", 400.0, 600.0, per=24.0), interval=12.0, number=60, start=1000.0, draws=20
    )
    assert dose.exact == pytest.approx(
        0.5 * 4.0 * np.sqrt(400.0 * 600.0), rel=2e-3
    )  # two doses a day, CL·AUC
    assert dose.words.count("per 24 h") == 2
    with pytest.raises(InputError, match="two doses or more"):
        solve_dose(fit, Target("trough", 1.0, 2.0), interval=12.0, number=1, first=100.0)


def test_a_dose_that_is_solved_for_is_rounded_to_sizes_that_exist() -> None:
    fit = one_compartment(4.0, 40.0)
    goal, asked = Target("trough", 10.0, 20.0), {"interval": 12.0, "number": 1, "start": 1000.0, "draws": 20}
    exact = np.sqrt(200.0) * 40.0 * np.exp(1.2)  # 1878 mg
    dose = solve_dose(fit, goal, sizes=["1 g", "1.5 g", "2000 mg"], **asked)
    assert dose.exact == pytest.approx(exact, rel=1e-4)
    assert dose.rounded == 2000.0
    assert dose.median == pytest.approx(2000.0 / 40.0 * np.exp(-1.2), rel=1e-4)
    with pytest.raises(InputError, match="not by both"):
        solve_dose(fit, goal, sizes=["1 g"], multiple="250 mg", **asked)


def test_no_loading_dose_is_needed_where_enough_was_given_before() -> None:
    prior = one_compartment(4.0, 40.0).prior
    fit = prior.calibrate(ms.Regimen().bolus("4 g").table(times=["1 h"], values=[100.0 * np.exp(-0.1)]))
    loading, keeping = loading_and_maintenance(
        fit, Target("trough", 10.0, 20.0), interval=12.0, number=6, start=2.0, multiple="50 mg", draws=20
    )
    left = 100.0 * np.exp(-1.4)  # 24.7 mg/L at 14 h without any dose
    assert loading.rounded == 0.0
    assert loading.median == pytest.approx(left, rel=1e-3)
    assert "no loading dose at 2 h: what was given before suffices" in loading.words
    each = sum(np.exp(-1.2 * k) for k in range(1, 7)) / 40.0
    assert keeping.exact == pytest.approx((np.sqrt(200.0) - 100.0 * np.exp(-7.4)) / each, rel=1e-3)
    with pytest.raises(InputError, match="too much for it"):
        solve_dose(fit, Target("trough", 1e-9, 2e-9), interval=12.0, number=2, start=2.0, draws=20)


def test_sizes_by_weight_and_what_they_come_to() -> None:
    prior = ms.Prior.published(
        ms.patients.Structure(1), name="weighed", source="an example", noise=ms.Proportional((0.1,)),
        typical={"clearance": 4.0, "volume": 40.0}, variability={"clearance": 1e-8, "volume": 1e-8},
        covariates={"volume": ms.patients.Power("weight", "kg", 70, 1)},
    )  # fmt: skip
    fit = prior.calibrate(ms.Regimen().bolus("1 mg").table(times=["1 h"], values=[0.05], weight="35 kg"))
    goal, asked = Target("peak", 20.0, 30.0), {"number": 1, "start": 1000.0, "draws": 20}
    best = recommend(fit, goal, doses=["10 mg/kg", "15 mg/kg"], intervals=[12.0], **asked)
    assert best.words.startswith("525 mg (15 mg/kg) every 12 h: peak between 20 and 30 mg/L")
    assert best.words.endswith("after 1 dose from 1000 h on)")
    dose = solve_dose(fit, goal, interval=12.0, multiple="2 mg/kg", **asked)
    assert dose.exact == pytest.approx(np.sqrt(600.0) * 20.0, rel=1e-3)  # 14 mg/kg
    assert dose.rounded == pytest.approx(490.0)


def test_draws_of_two_levels_have_the_median_of_the_posterior_and_not_of_its_approximation() -> None:
    """An area under the curve by numbers on a grid of clearance and volume, with a wide prior and two levels."""
    prior = ms.Prior.published(
        ms.patients.Structure(1), name="wide", source="an example", noise=ms.Proportional((0.3,)),
        typical={"clearance": 4.0, "volume": 40.0}, variability={"clearance": 0.5, "volume": 0.5},
    )  # fmt: skip
    levels, times = np.array([3.0, 2.0]), np.array([4.0, 20.0])
    fit = prior.calibrate(ms.Regimen().bolus("500 mg").table(times=times.tolist(), values=levels.tolist()))
    grid = np.linspace(-2.2, 2.2, 401)
    one, two = np.meshgrid(grid, grid, indexing="ij")
    clearance, volume = 4.0 * np.exp(one), 40.0 * np.exp(two)
    cost = (one**2 + two**2) / 0.5
    for time, level in zip(times, levels, strict=True):
        expected = 500.0 / volume * np.exp(-clearance / volume * time)
        cost = cost + ((level / expected - 1.0) / 0.3) ** 2 + 2.0 * np.log(expected)
    weight = np.exp(-0.5 * (cost - cost.min())).sum(1)
    median = 4.0 * np.exp(np.interp(0.5, np.cumsum(weight) / weight.sum(), grid))
    drawn = posterior_draws(fit, draws=4000, seed=3).coordinates
    found = float(np.median(prior.model.parameters.to_physical(drawn.numpy())["clearance"]))
    assert found == pytest.approx(median, rel=0.02)


def test_a_recommended_regimen_is_drawn_whole_with_its_target() -> None:
    fit = one_compartment(4.0, 40.0)
    figure = regimen_figure(
        fit, Target("trough", 5.0, 9.0), dose="500 mg", interval="12 h", number=4, duration="30 min", first="900 mg",
        draws=20,
    )  # fmt: skip
    (axes,) = figure.axes
    peak = 900.0 / (0.1 * 40.0 * 0.5) * (1.0 - np.exp(-0.05))
    drawn = max(float(np.nanmax(line.get_ydata())) for line in axes.lines if len(line.get_xdata()) > 50)
    assert drawn == pytest.approx(peak, rel=0.01)
    assert axes.get_ylim()[0] == 0.0
    assert axes.get_ylim()[1] > drawn
    labels = [str(text.get_text()) for text in figure.legends[0].get_texts()]
    assert {"target", "dose given"} <= set(labels)
    assert "900 mg, then 500 mg every 12 h" in axes.get_title(loc="left")


def test_the_peak_of_a_short_infusion_and_a_range_are_inside_of_the_axes() -> None:
    prior = ms.Prior.published(
        ms.patients.Structure(2), name="fast", source="an example", noise=ms.Proportional((0.2,)),
        typical={"clearance": 4.0, "central_volume": 5.0, "peripheral_volume": 40.0, "exchange_clearance": 30.0},
        variability={"clearance": 0.1},
    )  # fmt: skip
    fit = prior.calibrate(
        ms.Regimen().infusion("500 mg", over="6 min").table(times=["8 h", "20 h"], values=[4.2, 1.7])
    )
    axes = fit.plot(within=(2.0, 5.0), until="36 h").axes[0]
    curve = next(line for line in axes.lines if len(line.get_xdata()) > 50 and line.get_linestyle() == "-")
    peak = float(fit.predict(time="6 min")["median"].squeeze())
    assert float(curve.get_ydata().max()) == pytest.approx(peak, rel=1e-6)
    assert axes.get_ylim()[0] == 0.0
    assert axes.get_ylim()[1] > peak
    assert axes.get_xlim()[1] == pytest.approx(36.0)
    assert fit.plot(logarithmic=True).axes[0].get_yscale() == "log"


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"doses": ["1e308 mg"]}, "more than anything is given"),
        ({"number": 2_000_000_000}, "more than are computed"),
        ({"doses": list(range(1, 5000)), "intervals": [8.0, 12.0, 24.0]}, "more than are compared"),
        ({"intervals": list(range(1, 3000))}, "more than are compared"),
        ({"intervals": ["0 h"]}, "above zero"),
        ({"start": "-5 h"}, "before time zero"),
    ],
)
def test_what_no_patient_is_given_is_refused(changed: dict[str, Any], sentence: str) -> None:
    infant = ms.load("phenobarbital").calibrate(ms.dataset("phenobarbital").select(["1"]))
    asked = {"doses": [3.0], "intervals": [12.0], "number": 3, "draws": 50, **changed}
    with pytest.raises(InputError, match=sentence):
        recommend(infant, Target("trough", low=15.0, high=25.0), **asked)


@pytest.mark.parametrize("changed", [{"interval": "0 h"}, {"interval": "-2 h"}, {"number": 100_000}])
def test_what_no_patient_is_given_is_not_solved_for(changed: dict[str, Any]) -> None:
    infant = ms.load("phenobarbital").calibrate(ms.dataset("phenobarbital").select(["1"]))
    with pytest.raises(InputError, match=r"above zero|lasts from 0 to the interval|more than are computed"):
        solve_dose(
            infant, Target("trough", low=15.0, high=25.0), **{"interval": 12.0, "draws": 50, **changed}
        )


def test_a_target_that_is_no_number_is_refused() -> None:
    with pytest.raises(InputError, match="not nan"):
        Target("auc", low=10.0, high=20.0, per=math.nan)
    with pytest.raises(InputError, match="not nan"):
        Target("time_above", low=0.4, high=1.0, threshold=math.nan)


def infused(rate: float, t: float, elimination: float, lasting: float) -> float:
    """Amount left of an infusion of `rate` that lasts so long, a time after it began."""
    during = min(t, lasting)
    return rate / elimination * (1.0 - np.exp(-elimination * during)) * np.exp(-elimination * (t - during))


@pytest.mark.parametrize("kind", ["closed form", "along the records", "own equations"])
def test_the_peak_is_where_this_patients_input_ends(kind: str) -> None:
    own = {"clearance": 4.0, "volume": 10.0, "lag": 0.37, "bioavailability": 0.6}
    typical = {"clearance": "4 L/h", "volume": "10 L", "lag": "0.37 h", "bioavailability": 0.6}
    numbers = {
        "variability": {"clearance": 0.09, "lag": 0.04},
        "noise": ms.Proportional((0.1,)),
        "source": "here",
    }
    beside: dict[str, object] = {}
    if kind == "own equations":
        model = ms.patients.ode_model(
            name="late", states=("central",), listed=False,
            parameters={"clearance": "4 L/h", "volume": "10 L", "lag": "0.37 h"},
            slopes=lambda t, x, p: {"central": -p.clearance / p.volume * x.central},
            doses_into=(ms.patients.Entry("central", lag="lag", fraction=lambda p: 0.6 + 0.0 * p.clearance),),
            outputs={"concentration": ms.patients.Observed("mg/L", lambda x, p: x.central / p.volume)},
        )  # fmt: skip
        prior = ms.Prior.published(model, typical={}, **numbers)
    else:
        if kind == "along the records":
            beside = {"weight [kg]": 70.0}
            numbers |= {
                "covariates": {"clearance": ms.patients.Power("weight", "kg", 70, 0.75)},
                "changing": ["weight"],
            }
        prior = ms.Prior.published(
            ms.patients.Structure(1, lag=True, bioavailability=True), typical=typical, **numbers
        )
    data = pd.DataFrame(
        {"ID": 1, "TIME": [0.0, 12.0], "AMT": [100.0, 100.0], "DUR": [2.0, 2.0], "DV": [".", "."], "EVID": 1}
    ).assign(**beside)
    fit = prior.calibrate(data)
    found = exposure(fit).set_index(["quantity", "interval"])["estimate"]
    rate, lasting = 50.0, 1.2  # a fraction of 0.6 shortens an infusion of two hours
    end = own["lag"] + lasting
    peak = sum(infused(rate, lasting + 12.0 * k, 0.4, lasting) for k in (0, 1)) / 10.0
    assert found["peak", "last"] == pytest.approx(peak, rel=1e-6)
    advice = recommend(
        fit, Target("peak", 0.1), doses=[100.0], intervals=[12.0], number=1, duration=2.0, draws=50
    )
    assert "90 % interval" in str(advice)
    line = curve(fit, axis_of(fit, "time"), until=24.0)
    assert np.isclose(line.x, 12.0 + end, atol=1e-9).any()


@pytest.mark.parametrize("rate", [0.0, 25.0, 10.0])
def test_exposure_at_a_steady_state_is_that_of_the_steady_state(rate: float) -> None:
    prior = ms.Prior.published(
        ms.patients.Structure(1), typical={"clearance": "4 L/h", "volume": "50 L"},
        variability={"clearance": 0.1}, noise=ms.Proportional((0.1,)), source="here",
    )  # fmt: skip
    data = pd.DataFrame(
        {"ID": 1, "TIME": [0.0], "AMT": [100.0], "EVID": [1], "DV": ["."], "SS": [1], "II": [8.0]}
    )
    fit = prior.calibrate(data.assign(RATE=rate))  # at once, over half the interval, over more than it
    found = exposure(fit).set_index(["quantity", "interval"])["estimate"]
    for which in ("last", "next"):
        assert found["AUC", which] == pytest.approx(100.0 / 4.0, rel=1e-4)
    assert found["trough", "last"] == pytest.approx(found["trough", "next"], rel=1e-6)


def _two_ways() -> ms.Prior:
    """Half of a dose by mouth is absorbed, all of one into the vein."""
    return ms.Prior.published(
        ms.patients.Structure(1, "first-order", bioavailability=True),
        name="two_ways",
        source="made up",
        typical={"clearance": "4 L/h", "volume": "40 L", "absorption_rate": "1 1/h", "bioavailability": 0.5},
        variability={"clearance": 1e-6},
        noise=ms.Proportional((0.2,)),
        covariates={"volume": ms.patients.Power("wt", "kg", 70.0, 0.0)},
    )


def _given(ways: list[tuple[float, int]]) -> pd.DataFrame:
    """100 mg at each time and into each compartment, and a level at 13 h."""
    doses = [{"TIME": at, "AMT": 100.0, "CMT": way, "EVID": 1} for at, way in ways]
    level = {"TIME": 13.0, "AMT": 0.0, "CMT": 0, "EVID": 0, "DV": 3.0}
    return pd.DataFrame([*doses, level]).assign(ID=1, **{"wt [kg]": 50.0})


def _levels(into_vein: list[float], by_mouth: list[float], times: np.ndarray) -> np.ndarray:
    rate, absorption = 0.1, 1.0
    total = np.zeros_like(times)
    for at in into_vein:
        since = np.maximum(times - at, 0.0)
        total += np.where(times >= at, 2.5 * np.exp(-rate * since), 0.0)
    for at in by_mouth:
        since = np.maximum(times - at, 0.0)
        total += (
            0.5
            * 2.5
            * absorption
            / (absorption - rate)
            * (np.exp(-rate * since) - np.exp(-absorption * since))
        )
    return total


@pytest.mark.parametrize(
    ("ways", "vein", "mouth"),
    [
        ([(0.0, 1), (12.0, 2)], [12.0, 24.0], [0.0]),
        ([(0.0, 2), (12.0, 1)], [0.0], [12.0, 24.0]),
        ([(0.0, 1), (0.0, 2), (12.0, 1), (12.0, 2)], [0.0, 12.0, 24.0], [0.0, 12.0, 24.0]),
    ],
)
def test_what_was_given_last_is_given_again_in_the_same_way(
    ways: list[tuple[float, int]], vein: list[float], mouth: list[float]
) -> None:
    found = exposure(_two_ways().calibrate(_given(ways)))
    following = found[found["interval"] == "next"].set_index("quantity")["estimate"]
    times = np.linspace(24.0, 36.0 - 1e-9, 20_001)
    curve = _levels(vein, mouth, times)
    assert following["AUC"] == pytest.approx(np.trapezoid(curve, times), rel=1e-3)
    assert following["peak"] == pytest.approx(curve.max(), rel=1e-3)
    assert following["trough"] == pytest.approx(curve[-1], rel=1e-3)


def test_new_doses_go_where_the_last_one_went_and_words_say_it() -> None:
    target, asked = (
        ms.Target("trough", low=0.5, high=9.0),
        {"doses": [100.0], "intervals": [12.0], "number": 1},
    )
    times = np.array([36.0 - 1e-9])
    for way, words, level in (
        (2, "into a vein", _levels([0.0, 12.0, 24.0], [], times)),
        (1, "by mouth", _levels([], [0.0, 12.0, 24.0], times)),
    ):
        fit = _two_ways().calibrate(_given([(0.0, way), (12.0, way)]))
        advice = ms.recommend(fit, target, **asked)
        assert f"100 mg (2 mg/kg) {words} every 12 h" in advice.words
        assert advice.median == pytest.approx(float(level[0]), rel=2e-3)
        infused = ms.recommend(fit, target, **asked, duration=1.0)
        assert "into a vein" in infused.words
