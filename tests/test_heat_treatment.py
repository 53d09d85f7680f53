"""What the metallurgist gets, against closed forms, an exact posterior, and simulated alloys whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from known import as_known

import metasci as ms
from metasci.errors import InputError
from metasci.fits.posterior import posterior_draws
from metasci.heat_treatment import along_cycle, furnace_time, next_test, prior_along, transformation_diagram
from metasci.heat_treatment.conditions import curves
from metasci.heat_treatment.figures import furnace_figure, transformation_figure
from metasci.priors.calibrated import Calibration
from metasci.report.curves import only

READINGS = {
    "time [h]": [1.0, 1.0, 1.0],
    "temperature [degC]": [200, 400, 600],
    "hardness [HRC]": [55.5, 46.5, 33.0],
}


@pytest.fixture(scope="module")
def prior() -> ms.Prior:
    return ms.load("steel_tempering")


@pytest.fixture(scope="module")
def steel(prior: ms.Prior) -> Calibration:
    return prior.calibrate(pd.DataFrame({**READINGS, "task": "mine"}))


# draws ------------------------------------------------------------------------------------------


def test_draws_are_those_of_the_exact_posterior() -> None:
    """Two parameters on a fine grid: prior times likelihood, normalised, against what is drawn."""
    fit = as_known(ms.load("alloy_fatigue")).calibrate(
        pd.DataFrame({"cycles [kcycle]": [20, 60], "relative_length": [1.06, 1.25], "task": "crack"})
    )
    adapted = fit.adapted
    sd = adapted.covariance[0].diagonal().sqrt()
    steps = torch.linspace(-8, 8, 401, dtype=torch.float64)  # a step holds less than a hundredth of the tails
    axes = [adapted.coordinates[0, i] + sd[i] * steps for i in range(2)]
    grid = torch.cartesian_prod(*axes)
    off = grid - adapted.start[0]
    precision = torch.linalg.inv(adapted.start_covariance[0])
    problem = fit.problem.select(torch.zeros(len(grid), dtype=torch.long))
    log = -0.5 * torch.einsum("gi,ij,gj->g", off, precision, off)
    log = log - problem.negative_log_likelihood(grid, adapted.log_noise)
    weight = torch.softmax(log, 0)
    found = posterior_draws(fit, draws=20000, seed=3)
    for place in range(2):
        mean = float(weight @ grid[:, place])
        spread = float((weight @ (grid[:, place] - mean).square()).sqrt())
        assert float(found.coordinates[:, place].mean()) == pytest.approx(mean, abs=0.03 * spread)
        assert float(found.coordinates[:, place].std()) == pytest.approx(spread, rel=0.03)
        order = grid[:, place].argsort()
        cumulative = weight[order].cumsum(0)
        for tail in (0.05, 0.95):
            exact = float(
                grid[order, place][torch.searchsorted(cumulative, torch.tensor(tail, dtype=torch.float64))]
            )
            drawn_share = float((found.coordinates[:, place] <= exact).double().mean())
            assert drawn_share == pytest.approx(tail, abs=0.012)


def test_draws_repeat_to_the_bit(steel: Calibration) -> None:
    first, again = (posterior_draws(steel, draws=300, seed=5) for _ in range(2))
    assert torch.equal(first.coordinates, again.coordinates)
    assert first.effective == again.effective > 100


# furnace ----------------------------------------------------------------------------------------


def certain(fit: Calibration) -> Calibration:
    """The same calibration with hardly any uncertainty left, about its estimate."""
    adapted = fit.adapted
    small = 1e-10 * torch.eye(adapted.coordinates.shape[1], dtype=torch.float64)[None]
    mixture = replace(
        adapted.mixture,
        shift=torch.zeros_like(adapted.mixture.shift),
        covariance=small.expand_as(adapted.mixture.covariance),
    )
    known = replace(
        adapted,
        covariance=small,
        mixture=mixture,
        start=adapted.coordinates,
        start_covariance=small,
        start_mixture=mixture,
    )
    return replace(fit, adapted=known)


def test_of_a_known_steel_the_time_is_the_inverse_of_the_equation(steel: Calibration) -> None:
    fit = certain(steel)
    value = dict(zip(fit.parameters["name"], fit.parameters["estimate"], strict=True))
    factor = np.exp(-value["activation_energy"] / 8.31446261815324e-3 * (1 / 773.15 - 1 / 973.15))
    progress = 2.0 * np.log((116.0 - 40.0) / (116.0 - value["initial_hardness"]))
    exact = progress ** (1.0 / value["exponent"]) / (value["rate"] * factor)
    found = furnace_time(fit, "500 degC", at_most=40.0, shortest=exact / 30, longest=exact * 30, draws=200)
    step = 900.0 ** (1 / 239)
    assert exact <= found.time * 1.001 <= exact * step * 1.002
    assert found.reached
    assert found.probability == 1.0


def test_a_requirement_that_holds_at_once_asks_for_no_long_time(steel: Calibration) -> None:
    """Softening works for a greatest hardness and against a least one, also where the probability is one throughout."""
    soft = furnace_time(steel, "600 degC", at_most=60.0)
    assert soft.table["probability"].min() == soft.probability == 1.0
    assert soft.time == soft.table["time"].min()
    hard = furnace_time(steel, "200 degC", at_least=30.0)
    assert hard.table["probability"].min() == hard.probability == 1.0
    assert hard.time == hard.table["time"].max()
    nowhere = furnace_time(steel, "600 degC", at_least="60 HRC")
    assert not nowhere.reached
    assert nowhere.time == nowhere.table["time"].min()  # comes nearest


def test_window_of_a_requirement_with_two_sides(steel: Calibration) -> None:
    found = furnace_time(steel, "450 degC", at_least=38.0, at_most=46.0, probability=0.7)
    assert found.reached
    assert found.earliest < found.time < found.latest
    assert found.probability == pytest.approx(found.table["probability"].max(), abs=1e-3)
    inside = found.table["probability"][
        (found.table["time"] >= found.earliest) & (found.table["time"] <= found.latest)
    ]
    assert (inside >= 0.7).all()
    strict = furnace_time(steel, "450 degC", at_least=41.9, at_most=42.1, probability=0.9)
    assert not strict.reached
    assert "no time from" in strict.warnings[0]
    assert "probability of" in str(strict)


def test_a_reading_is_less_sure_than_the_steel(steel: Calibration) -> None:
    told = {"at_least": 39.0, "at_most": 45.0, "probability": 0.5}
    own, read = (furnace_time(steel, "450 degC", reading=reading, **told) for reading in (False, True))
    assert read.table["probability"].max() < own.table["probability"].max()


def test_the_probability_is_honest(prior: ms.Prior) -> None:
    """Simulated steels drawn from the learned prior: the probability announced is how often the requirement holds."""
    draw, model, kelvin, target = np.random.default_rng(0), prior.model, 773.15, 38.0
    blank = prior.calibrate(pd.DataFrame({**READINGS, "task": "any"}))
    adapted = blank.adapted
    root = torch.linalg.cholesky(adapted.start_covariance[0])
    tables, truths = [], []
    for number in range(120):
        truth = adapted.start + (root @ torch.tensor(draw.standard_normal(4)))[None]
        time, temperature = draw.choice([600.0, 3600.0, 36000.0], 3), draw.uniform(473.0, 873.0, 3)
        inputs = {"time": torch.tensor(time)[None], "temperature": torch.tensor(temperature)[None]}
        generator = torch.Generator().manual_seed(number)
        level = torch.multinomial(adapted.start_mixture.weight[:, 0], 1, generator=generator)
        sd = float(adapted.log_noise.exp()[0] * adapted.start_mixture.factor[level, 0].sqrt())
        hardness = model.at(truth[:, None, :], inputs)[0].numpy() + sd * draw.standard_normal(3)
        told = {"time [s]": time, "temperature [K]": temperature, "hardness [HRC]": hardness}
        tables.append(pd.DataFrame(told).assign(task=f"simulated {number}"))
        truths.append(truth)
    fits = prior.calibrate(pd.concat(tables))
    announced, held = [], []
    for number, truth in enumerate(truths):
        wanted = float(draw.uniform(0.55, 0.9))
        found = furnace_time(
            only(fits, number),
            kelvin,
            at_most=target,
            probability=wanted,
            draws=300,
            longest="1000 h",
            shortest="1 s",
        )
        at = torch.tensor([[found.time]], dtype=torch.float64)
        real = float(curves(model, truth, at, torch.full_like(at, kelvin), {}))
        announced.append(found.probability)
        held.append(real <= target)
    expected, spread = (
        np.mean(announced),
        np.sqrt(np.sum(np.array(announced) * (1 - np.array(announced)))) / 120,
    )
    assert abs(np.mean(held) - expected) < 2.5 * spread + 0.01


def test_what_cannot_be_asked_is_said(steel: Calibration, prior: ms.Prior) -> None:
    with pytest.raises(InputError, match="say what hardness is required"):
        furnace_time(steel, 800.0)
    with pytest.raises(InputError, match="must lie below at_most"):
        furnace_time(steel, 800.0, at_least=40.0, at_most=30.0)
    with pytest.raises(InputError, match="not between 0 and 1"):
        furnace_time(steel, 800.0, at_most=40.0, probability=90)
    with pytest.raises(InputError, match="cannot be converted"):
        furnace_time(steel, 800.0, at_most=300 * ms.unit("MPa"))
    with pytest.raises(InputError, match="one temperature at a time"):
        furnace_time(steel, [700.0, 800.0], at_most=40.0)
    with pytest.raises(InputError, match="not a model of time and temperature"):
        furnace_time(
            ms.load("alloy_fatigue").calibrate(ms.dataset("alloy_fatigue").select(["1"])), 800.0, at_most=1.0
        )
    two = pd.concat([pd.DataFrame({**READINGS, "task": name}) for name in "ab"])
    both = prior.calibrate(two)
    with pytest.raises(InputError, match="one alloy is asked about, not 2"):
        furnace_time(both, 800.0, at_most=40.0)
    with pytest.raises(InputError, match="at least 1, not 0"):
        furnace_time(steel, 800.0, at_most=40.0, draws=0)
    with pytest.raises(InputError, match="time: give at least one number"):
        next_test(steel, times=[])
    for level in (90, 1.0, float("nan")):
        with pytest.raises(InputError, match="is not between 0 and 1; "):
            along_cycle(steel, [0.0, 60.0], [300.0, 700.0], level=level)
        with pytest.raises(InputError, match="is not between 0 and 1; "):
            transformation_diagram(steel, 800.0, reaches=40.0, level=level)
        with pytest.raises(InputError, match="is not between 0 and 1; "):
            steel.table(level)
    with pytest.raises(InputError, match="reaches must be finite"):
        transformation_diagram(steel, 800.0, reaches=[40.0, float("nan")])
    with pytest.raises(InputError, match="'stress' is no input"):
        furnace_time(steel, 800.0, at_most=40.0, stress=3.0)
    assert any("outside of the" in said for said in furnace_time(steel, "900 degC", at_most=40.0).warnings)


# cycles, diagrams, tests -------------------------------------------------------------------------


def test_along_a_constant_cycle_is_the_forecast_at_that_temperature(steel: Calibration) -> None:
    said = along_cycle(steel, [0.0], [773.15], at=[3600.0, 7200.0])
    plain = steel.predict(time=[3600.0, 7200.0], temperature=773.15)
    for name in ("median", "lower", "upper", "curve_lower", "curve_upper"):
        np.testing.assert_allclose(said[name].values, plain[name].values, rtol=1e-10)
    with pytest.raises(InputError, match="in order of time"):
        along_cycle(steel, [0.0, 60.0, 30.0], [300.0, 700.0, 700.0])
    with pytest.raises(InputError, match="above absolute zero"):
        along_cycle(steel, [0.0, 60.0], [0.0, 700.0])


def test_a_shipped_prior_calibrates_from_cycles_as_from_tests_at_one_temperature(
    prior: ms.Prior, steel: Calibration
) -> None:
    rows = [(n, 0.0, t, np.nan) for n, t in enumerate((200, 400, 600), 1)]
    rows += [(n, 1.0, np.nan, h) for n, h in enumerate((55.5, 46.5, 33.0), 1)]
    table = pd.DataFrame(rows, columns=["cycle", "time [h]", "temperature [degC]", "hardness [HRC]"])
    fit = prior_along(prior).calibrate(table.assign(task="mine"))
    np.testing.assert_allclose(fit.parameters["estimate"], steel.parameters["estimate"], rtol=1e-6)


@pytest.mark.parametrize("celsius", [-300.0, -273.15])
def test_a_point_of_a_cycle_that_is_not_above_absolute_zero_is_named(prior: ms.Prior, celsius: float) -> None:
    rows = [(1, 0.0, celsius, np.nan), (1, 1.0, 400.0, np.nan), (1, 1.0, np.nan, 46.0)]
    table = pd.DataFrame(rows, columns=["cycle", "time [h]", "temperature [degC]", "hardness [HRC]"])
    with pytest.raises(
        InputError, match=r"column 'temperature \[degC\]', row 0: .* is not above absolute zero"
    ):
        prior_along(prior).calibrate(table)


def test_cycles_are_told_by_whole_numbers(prior: ms.Prior) -> None:
    rows = [(n, t, 400.0, np.nan) for n in (1.0, 1.2) for t in (0.0, 1.0)]
    rows += [(1.0, 1.0, np.nan, 46.0), (1.2, 1.0, np.nan, 45.0)]
    table = pd.DataFrame(rows, columns=["cycle", "time [h]", "temperature [degC]", "hardness [HRC]"])
    with pytest.raises(InputError, match=r"cycle 1\.2 is no whole number"):
        prior_along(prior).calibrate(table.assign(task="mine"))


def test_a_diagram_of_a_known_alloy_is_the_closed_form() -> None:
    model = ms.kinetics.undercooled_transformation
    rows = [("alloy", t, k, 0.5) for t in (50.0, 100.0) for k in (850.0, 900.0)]
    table = pd.DataFrame(rows, columns=["task", "time [s]", "temperature [K]", "fraction"])
    tasks = ms.TaskSet.from_frame(
        pd.concat([table.assign(task=f"old {i}") for i in range(3)]), ms.Card.from_model(model), model=model
    )
    fit = certain(ms.meta_calibrate(model, tasks, ms.GaussianPrior(iterations=2)).calibrate(table))
    said = dict(zip(fit.parameters["name"], fit.parameters["estimate"], strict=True))
    kelvin = np.array([700.0, 850.0, 1290.0])
    found = transformation_diagram(fit, kelvin, draws=50)
    speed = ms.kinetics.Undercooled(900.0, 3.0).speed(
        kelvin,
        activation_energy=said["activation_energy"],
        equilibrium_temperature=said["equilibrium_temperature"],
    )
    for place, share in enumerate((0.01, 0.5, 0.99)):
        exact = ms.kinetics.time_to_fraction(share, speed, said["rate"], said["exponent"])
        np.testing.assert_allclose(found["median"][place], exact, rtol=1e-3)
    assert found["never"].values[:, 2].tolist() == [1.0, 1.0, 1.0]
    assert transformation_figure(found).axes[0].get_ylabel() == "temperature (°C)"
    back = transformation_figure(transformation_diagram(fit, kelvin[::-1].copy(), draws=50))
    shown = back.axes[0].lines[0].get_ydata()
    assert (np.diff(np.asarray(shown)) > 0.0).all()
    with pytest.raises(InputError, match="there is nothing to draw"):
        transformation_figure(transformation_diagram(fit, [1290.0, 1295.0], draws=50))
    # long after the end, or above equilibrium, nothing hangs on the parameters
    done = next_test(fit, target={"time": "1 h", "temperature": 1290.0}, times=[10.0], temperatures=[850.0])
    assert done.attrs["advice"].endswith("so that no test would tell more of it.")
    assert "nan" not in done.attrs["verdict"]
    assert "fraction at least 0.5 with" in str(furnace_time(fit, 850.0, at_least=0.5, draws=50))


def test_next_test_is_the_best_of_the_grid(steel: Calibration) -> None:
    found = next_test(
        steel,
        target={"time": "2 h", "temperature": "550 degC"},
        times=[1.0, 10.0] * ms.unit("h"),
        temperatures=[673.0, 873.0],
    )
    assert found.sizes["candidate"] == 4
    assert float(found["expected_target_sd"].min()) < float(found["target_sd"].max())
    assert "for the setting asked about one of" in found.attrs["advice"]
    assert next_test(steel).sizes["candidate"] == 63


def test_furnace_picture_shows_what_is_required(steel: Calibration) -> None:
    found = furnace_time(steel, "450 degC", at_most=44.0, draws=300)
    figure = furnace_figure(steel, found)
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"90 % interval", "required"}
    upper = figure.axes[0]
    bottom, top = upper.get_ylim()
    shaded = upper.patches[0].get_extents().transformed(upper.transData.inverted())
    assert (shaded.y0, shaded.y1) == pytest.approx((bottom, 44.0))
    assert top > 44.0


def test_furnace_picture_shades_neither_all_nor_nothing(steel: Calibration) -> None:
    """A requirement that holds everywhere, or nowhere, lies beside the curve, and the picture reaches as far."""
    for asked in ({"at_most": 70.0}, {"at_least": 70.0}):
        upper = furnace_figure(steel, furnace_time(steel, "450 degC", draws=300, **asked)).axes[0]
        shaded = upper.patches[0].get_extents().transformed(upper.transData.inverted())
        bottom, top = upper.get_ylim()
        assert 0.01 < (shaded.y1 - shaded.y0) / (top - bottom) < 0.99


# another law ------------------------------------------------------------------------------------


def test_a_steel_that_hardens_again_is_told_with_the_law_that_follows(prior: ms.Prior) -> None:
    """A hot-work steel, 53 → 55 → 46 → 33 HRC: no law of softening alone rises."""
    rows = {
        "time [h]": [1.0, 2.0, 2.0, 2.0, 2.0],
        "temperature [degC]": [20, 425, 510, 600, 650],
        "hardness [HRC]": [54.0, 53.0, 55.0, 46.0, 33.0],
    }
    told = [
        line
        for line in prior.calibrate(pd.DataFrame({**rows, "task": "H13"})).warnings
        if "cannot bend" in line
    ]
    assert len(told) == 1
    assert "such as that of secondary hardening (kinetics.secondary_hardening), which follows them" in told[0]
    fit = ms.Prior.declared(ms.kinetics.secondary_hardening).calibrate(pd.DataFrame(rows))
    assert not any("cannot bend" in line for line in fit.warnings)
    forecast = fit.predict(time="2 h", temperature=[425, 510, 600] * ms.unit("degC"))["median"].values[0]
    assert forecast[1] > forecast[0] > forecast[2]


def test_secondary_hardening_is_told_where_a_discrepancy_follows_it() -> None:
    """Equation and discrepancy together pass within 2 HRC; that hardness rises remains against the law."""
    contents = {"carbon": 0.39, "chromium": 5.2, "molybdenum": 1.4, "vanadium": 0.95, "silicon": 1.05}
    rows = {
        "time [h]": [1.0, 2.0, 2.0, 2.0, 2.0],
        "temperature [degC]": [20, 425, 510, 600, 650],
        **{f"{name} [wt%]": content for name, content in contents.items()},
    }
    prior = ms.load("steel_tempering_discrepancy")

    def told(hardness: list[float]) -> list[str]:
        table = pd.DataFrame({**rows, "hardness [HRC]": hardness})
        return [line for line in prior.calibrate(table).warnings if "cannot bend" in line]

    (line,) = told([54.0, 53.0, 55.0, 46.0, 33.0])
    assert "hardness rises from 53 HRC at 425 °C to 55 HRC at 510 °C" in line
    assert "that of secondary hardening (kinetics.secondary_hardening), which follows them" in line
    assert not told([55.0, 54.0, 53.0, 46.0, 33.0])
    assert not told([54.0, 53.0, 53.3, 46.0, 33.0])  # as noise may take it


def test_no_steel_that_was_learned_from_hardens_again() -> None:
    from metasci.fits.turning import turns

    for name in ("steel_tempering", "steel_tempering_discrepancy"):
        assert not turns(ms.load(name).calibrate(ms.dataset("steel_tempering")))


def test_a_steel_that_softens_is_told_of_no_other_law(steel: Calibration) -> None:
    assert not any("another law" in line for line in steel.warnings)


def test_where_no_law_follows_none_is_named(prior: ms.Prior) -> None:
    """Up and down by 20 HRC within a minute: nothing here does so."""
    rows = {
        "time [h]": [1.0, 1.02, 1.04, 1.06, 1.08],
        "temperature [degC]": 400.0,
        "hardness [HRC]": [50.0, 30.0, 50.0, 30.0, 50.0],
        "task": "odd",
    }
    told = [line for line in prior.calibrate(pd.DataFrame(rows)).warnings if "cannot bend" in line]
    assert told
    assert told[0].endswith("and take another law.")
