"""Diagrams of a steel's transformations against closed forms, quadrature and an independent solver."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad, solve_ivp

import metasci as ms
from metasci.errors import InputError
from metasci.heat_treatment import (
    CoolingCurve,
    Martensite,
    Transformations,
    by_product,
    constant_rate,
    end_quench,
    hardness_by_composition,
    measured_cooling,
    transformations,
)
from metasci.heat_treatment.cooling import JOMINY_RATES, jominy_rate
from metasci.kinetics import critical_temperature
from metasci.kinetics.transformation import (
    koistinen_marburger,
    transformation_time,
    undercooled_transformation,
)
from metasci.report import cooling_figure, jominy_figure, products_figure

PEARLITE = {"rate": 0.02, "activation_energy": 180.0, "equilibrium_temperature": 1000.0, "exponent": 2.5}
BAINITE = {"rate": 0.2, "activation_energy": 110.0, "equilibrium_temperature": 840.0, "exponent": 2.0}
STEEL = {"carbon": 0.40, "manganese": 0.85, "silicon": 0.25, "chromium": 0.95, "molybdenum": 0.20}
EXAMPLE = Path(__file__).resolve().parents[1] / "docs" / "examples" / "my_ttt.csv"


def known(*laws: dict[str, float], largest: float = 1.0, start: Martensite | None = None) -> Transformations:
    """A steel whose laws are known, one draw."""
    parameters = {name: np.array([[law[name] for law in laws]]) for name in PEARLITE}
    names = ("pearlite", "bainite", "ferrite")[: len(laws)]
    shares = np.full(len(laws), largest)
    return Transformations(names, parameters, shares, start, np.array([start.start if start else 0.0]), True)


def speed(law: dict[str, float], kelvin: float) -> float:
    """k(T) as it is written in the literature, apart from the package."""
    if kelvin >= law["equilibrium_temperature"]:
        return 0.0
    activated = np.exp(-law["activation_energy"] / 8.31446261815324e-3 * (1.0 / kelvin - 1.0 / 900.0))
    return law["rate"] * ((law["equilibrium_temperature"] - kelvin) / 100.0) ** 3 * activated


# the laws ---------------------------------------------------------------------------------------


def test_time_to_a_fraction_is_the_inverse_of_the_fraction_after_a_time() -> None:
    kelvin, fraction = np.meshgrid([720.0, 800.0, 900.0, 960.0], [0.01, 0.3, 0.99])
    time = transformation_time({"temperature": kelvin, "fraction": fraction}, PEARLITE)
    back = undercooled_transformation({"time": time, "temperature": kelvin}, PEARLITE)
    # the corner at equilibrium is rounded over a kelvin: 40 K below it by 6e-4 of the drive
    np.testing.assert_allclose(-np.log1p(-back), -np.log1p(-fraction), rtol=6e-3)
    exact = (-np.log(0.7)) ** 0.4 / speed(PEARLITE, 800.0)
    assert time[1, 1] == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize(
    "truth", [PEARLITE, BAINITE, {**PEARLITE, "equilibrium_temperature": 1330.0, "rate": 2e-5}]
)
def test_a_diagram_gives_its_law_back(truth: dict[str, float]) -> None:
    """Start and finish at seven temperatures, 10 % scatter: every parameter within its 99.9 % interval."""
    generator = np.random.default_rng(3)
    top = truth["equilibrium_temperature"]
    kelvin, fraction = (
        values.ravel() for values in np.meshgrid(np.linspace(top - 260, top - 25, 7), [0.01, 0.99])
    )
    exact = transformation_time({"temperature": kelvin, "fraction": fraction}, truth)
    table = {
        "temperature [K]": kelvin,
        "fraction": fraction,
        "time [s]": exact * np.exp(0.1 * generator.standard_normal(len(kelvin))),
    }
    fit = ms.Prior.declared(transformation_time).calibrate(pd.DataFrame(table))
    found = fit.parameters.set_index("name")
    for name, value in truth.items():
        away = np.log(found.loc[name, ["estimate", "lower", "upper"]].to_numpy(float) / value)
        assert abs(away[0]) < 2.0 * (away[2] - away[1]), name
        assert away[2] - away[1] < 1.5, name  # of a rate the prior leaves a factor of 500,000


def test_what_has_not_begun_counts_as_later() -> None:
    """At 970 K nothing after a day: equilibrium lies lower than without that."""
    rows = {
        "temperature [K]": [800.0, 850.0, 900.0, 940.0],
        "fraction": 0.01,
        "time [s]": [8.0, 9.0, 15.0, 60.0],
    }
    prior = ms.Prior.declared(transformation_time)
    without = prior.calibrate(pd.DataFrame(rows))
    more = pd.DataFrame(rows).astype({"time [s]": str})
    more.loc[4] = [970.0, 0.01, ">86400"]
    told = prior.calibrate(more)
    place = list(told.parameters["name"]).index("equilibrium_temperature")
    assert told.parameters["upper"][place] < without.parameters["upper"][place] - 2.0


def test_martensite_start_is_told_by_fractions() -> None:
    kelvin = np.array([480.0, 500.0, 540.0, 580.0, 620.0])
    exact = np.where(kelvin < 593.0, 1.0 - np.exp(-0.011 * (593.0 - kelvin)), 0.0)
    np.testing.assert_allclose(
        koistinen_marburger({"temperature": kelvin}, {"martensite_start": 593.0, "rate": 0.011}),
        exact,
        atol=1e-3,
    )
    fit = ms.Prior.declared(koistinen_marburger).calibrate(
        pd.DataFrame({"temperature [K]": kelvin, "fraction": exact})
    )
    martensite = Martensite.of_fit(fit)
    assert martensite.start == pytest.approx(593.0, abs=5.0)
    assert 0.5 < martensite.sd < 15.0


def test_critical_temperatures_by_hand() -> None:
    """Each formula worked out on paper, in °C."""
    by_hand = {
        "Ac1": 723 - 10.7 * 0.85 + 29.1 * 0.25 + 16.9 * 0.95 + 290 * 0.01,
        "Ac3": 910 - 203 * 0.4**0.5 + 44.7 * 0.25 + 31.5 * 0.2,
        "Bs": 830 - 270 * 0.4 - 90 * 0.85 - 70 * 0.95 - 83 * 0.2,
        "Ms": 561 - 474 * 0.4 - 33 * 0.85 - 17 * 0.95 - 21 * 0.2,
    }
    for which, celsius in by_hand.items():
        found = critical_temperature(which, {**STEEL, "arsenic": 0.01})
        assert found.value - 273.15 == pytest.approx(celsius, abs=1e-9)
        assert not found.outside
    assert "chromium 12 % (0 to 3.5 %)" in critical_temperature("Ms", {**STEEL, "chromium": 12.0}).outside
    with pytest.raises(InputError, match="known are Ac1"):
        critical_temperature("Mf", STEEL)
    with pytest.raises(InputError, match="weight per cent"):
        critical_temperature("Ms", {"carbon": -0.1})


def test_what_carbon_does_levels_off_where_there_is_much_of_it() -> None:
    """A bearing steel by hand, in °C; a straight line in carbon would have its martensite begin below 60 °C."""
    steel = {
        "carbon": 1.0,
        "manganese": 0.35,
        "silicon": 0.25,
        "chromium": 1.5,
        "nickel": 0.1,
        "molybdenum": 0.05,
    }
    found = critical_temperature("Ms", steel)
    by_hand = 565 - 600 * (1 - math.exp(-0.96)) - 31 * 0.35 - 13 * 0.25 - 10 * 1.5 - 18 * 0.1 - 12 * 0.05
    assert found.value - 273.15 == pytest.approx(by_hand, abs=1e-9)
    assert not found.outside
    assert "Bohemen" in found.source
    bainite = 839 - 270 * (1 - math.exp(-1.33)) - 86 * 0.35 - 23 * 0.25 - 67 * 1.5 - 33 * 0.1 - 75 * 0.05
    assert critical_temperature("Bs", steel).value - 273.15 == pytest.approx(bainite, abs=1e-9)
    assert critical_temperature("Ms", {"carbon": 2.5}).outside == ("carbon 2.5 % (0.1 to 1.9 %)",)
    assert critical_temperature("Ms", {**steel, "chromium": 12.0}).outside == ("chromium 12 % (0 to 3.5 %)",)


@pytest.mark.parametrize("which", ["Ms", "Bs"])
@pytest.mark.parametrize("others", [{}, {"chromium": 3.5}, {"nickel": 5.0}, {"molybdenum": 1.0}])
def test_from_one_formula_to_the_other_nothing_jumps_and_more_carbon_never_raises(
    which: str, others: dict[str, float]
) -> None:
    carbon = np.round(np.arange(0.3, 1.2, 0.001), 3)
    found = [critical_temperature(which, {**others, "carbon": c}) for c in carbon]
    values, sds = (np.array([getattr(each, name) for each in found]) for name in ("value", "sd"))
    steps = np.diff(values)
    assert np.abs(steps).max() < 0.5
    assert steps.max() < 0.0
    assert np.diff(sds).min() >= 0.0
    assert np.diff(sds).max() < 0.1
    middle = found[int(np.searchsorted(carbon, 0.6))].source
    assert "Steven" in middle
    assert "Bohemen" in middle
    assert "Steven" not in found[-1].source


# additivity -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.3, 2.0, 20.0])
def test_at_a_constant_rate_the_fraction_is_the_integral(rate: float) -> None:
    exact = 1.0 - np.exp(-((quad(lambda t: speed(PEARLITE, t), 293.15, 1000.0, limit=200)[0] / rate) ** 2.5))
    found = known(PEARLITE).cool(constant_rate(rate)).courses[0].share[0, 0]
    assert found == pytest.approx(exact, rel=1e-6)


def test_start_and_finish_on_cooling_are_where_scheil_says() -> None:
    course = known(PEARLITE).cool(constant_rate(0.5)).courses[0]
    for (time, kelvin), share in (
        (course.start[0, 0], 0.01),
        (course.finish[0, 0], 0.99 * course.share[0, 0]),
    ):
        passed = quad(lambda t: speed(PEARLITE, t), kelvin, 1000.0)[0] / 0.5
        assert 1.0 - np.exp(-(passed**2.5)) == pytest.approx(share, rel=5e-3)
        assert time == pytest.approx((1123.15 - kelvin) / 0.5)
    # Scheil's sum: the time spent at each temperature over the start there adds up to one
    start = lambda t: (-np.log(0.99)) ** 0.4 / speed(PEARLITE, t)  # noqa: E731
    used = quad(lambda t: 1.0 / start(t) / 0.5, course.start[0, 0, 1], 1000.0 - 1e-9)[0]
    assert used == pytest.approx(1.0, rel=2e-3)


def test_a_hold_follows_the_law_of_one_temperature() -> None:
    held = CoolingCurve(
        "hold", np.array([0.0, 1e-6, 40.0, 40.001]), np.array([1123.15, 850.0, 850.0, 293.15])
    )
    found = known(PEARLITE).cool(held).courses[0].share[0, 0]
    assert found == pytest.approx(1.0 - np.exp(-((speed(PEARLITE, 850.0) * 40.0) ** 2.5)), rel=1e-3)


def test_order_of_temperatures_does_not_matter() -> None:
    def pair(first: float, second: float) -> float:
        time = np.array([0.0, 1e-6, 8.0, 8.000001, 16.0, 16.000001])
        kelvin = np.array([1123.15, first, first, second, second, 293.15])
        return float(known(PEARLITE).cool(CoolingCurve("two", time, kelvin)).courses[0].share[0, 0])

    assert pair(800.0, 900.0) == pytest.approx(pair(900.0, 800.0), rel=1e-6)


def test_products_of_one_law_share_as_their_rates_say() -> None:
    """Equal but for the rate: shares are as k^n, and the whole is that of their sum."""
    slow = {**PEARLITE, "rate": 0.012}
    shares = known(PEARLITE, slow).cool(constant_rate(1.0)).courses[0].share[0]
    assert shares[0] / shares[1] == pytest.approx((0.02 / 0.012) ** 2.5, rel=1e-9)
    alone = (
        known({**PEARLITE, "rate": (0.02**2.5 + 0.012**2.5) ** 0.4})
        .cool(constant_rate(1.0))
        .courses[0]
        .share[0]
    )
    assert shares[0] + shares[1] == pytest.approx(alone[0], rel=1e-9)


def test_competing_products_against_a_solver() -> None:
    bainite = {**BAINITE, "rate": 0.6}
    steel, rate = known(PEARLITE, bainite), 6.0
    shares = steel.cool(constant_rate(rate)).courses[0].share[0]

    def slope(_: float, state: np.ndarray, kelvin: float) -> list[float]:
        passed, whole = state[:2], state[2] + state[3]
        grown = [law["exponent"] * speed(law, kelvin) * max(at, 0.0) ** (law["exponent"] - 1.0)
                 for law, at in zip((PEARLITE, bainite), passed, strict=True)]  # fmt: skip
        return [speed(PEARLITE, kelvin), speed(bainite, kelvin), *((1.0 - whole) * each for each in grown)]

    solved = solve_ivp(
        lambda t, y: slope(t, y, 1123.15 - rate * t),
        (0.0, 830.0 / rate),
        [0.0] * 4,
        rtol=1e-8,
        atol=1e-10,
        max_step=2.0,
    ).y[:, -1]
    np.testing.assert_allclose(shares[:2], solved[2:], atol=2e-4)
    assert 0.05 < shares[0] < 0.95  # both have formed, or nothing would have been compared
    assert shares[1] > 0.05


def test_a_product_alone_comes_to_no_more_than_its_largest_share() -> None:
    whole = known(PEARLITE).cool(constant_rate(2.0)).courses[0].share[0, 0]
    part = known(PEARLITE, largest=0.4).cool(constant_rate(2.0)).courses[0].share[0, 0]
    assert part == pytest.approx(0.4 * whole, rel=1e-9)


def test_martensite_takes_what_is_left_at_its_start() -> None:
    steel = known(PEARLITE, BAINITE, start=Martensite(600.0))
    cooled = steel.cool([1e4, 2.0, 1e-3])
    fast, between, slow = (course.share[0] for course in cooled.courses)
    assert fast[2] == pytest.approx(1.0 - np.exp(-0.011 * (600.0 - 293.15)), rel=1e-3)
    assert between[2] == pytest.approx(
        (1.0 - between[0] - between[1]) * fast[2] / (1.0 - fast[:2].sum()), rel=1e-9
    )
    assert slow[2] == pytest.approx(0.0, abs=1e-6)
    for share in (fast, between, slow):
        assert share.sum() == pytest.approx(1.0, abs=1e-12)
        assert (share >= -1e-12).all()


# cooling curves ---------------------------------------------------------------------------------


def test_a_jominy_curve_has_the_stated_rate_at_704_degrees() -> None:
    for distance, rate in JOMINY_RATES.items():
        curve = end_quench(distance, "870 degC")
        at = int(np.searchsorted(-curve.temperature, -977.15))
        slope = np.diff(curve.temperature)[at - 2 : at + 1] / np.diff(curve.time)[at - 2 : at + 1]
        assert -slope.mean() == pytest.approx(rate, rel=0.02)
    assert jominy_rate(12.7) == pytest.approx(33.0 / 1.8)
    rates = jominy_rate(np.linspace(2.0, 50.0, 60))
    assert (np.diff(rates) < 0.0).all()
    assert end_quench(5.0).rate > end_quench(20.0).rate
    assert end_quench("1 in").name == "25.4 mm"


def test_cooling_curves_take_units_and_refuse_nonsense() -> None:
    assert constant_rate("60 K/min").rate == pytest.approx(1.0)
    curve = measured_cooling([0, 1, 2] * ms.unit("min"), [850, 600, 20] * ms.unit("degC"))
    assert curve.time.tolist() == [0.0, 60.0, 120.0]
    assert curve.temperature.tolist() == pytest.approx([1123.15, 873.15, 293.15])
    known(PEARLITE).cool([0.5, 5.0] * ms.unit("K/s"))
    for wrong, said in (
        (lambda: constant_rate(-1.0), "above zero"),
        (lambda: constant_rate(1.0, "20 degC", "850 degC"), "cannot end"),
        (lambda: end_quench("300 mm"), "have a stated cooling rate"),
        (lambda: end_quench(10.0, "600 degC"), "from above 704"),
        (lambda: measured_cooling([0, 2, 1], [900, 800, 700]), "in order of time"),
        (lambda: measured_cooling([0, 1], [900, np.nan]), "no temperature"),
        (lambda: known(PEARLITE).cool([]), "at least one"),
    ):
        with pytest.raises(InputError, match=said):
            wrong()


# hardness ---------------------------------------------------------------------------------------


def test_hardness_is_the_mixture_of_its_constituents() -> None:
    cooled = known(PEARLITE, start=Martensite(600.0)).cool([2.0])
    share = cooled.courses[0].share[0]
    table = cooled.hardness({"pearlite": 250.0, "martensite": 650.0})
    by_hand = (share[0] * 250.0 + share[1] * 650.0) / (share[0] + share[1])
    assert table["hardness [HV]"][0] == pytest.approx(by_hand)
    with pytest.raises(InputError, match="how hard martensite"):
        cooled.hardness({"pearlite": 250.0})


def test_hardness_of_constituents_by_hand() -> None:
    """Maynier's regressions on paper, at 10 K/s."""
    told, log = hardness_by_composition(STEEL)(10.0), np.log10(36000.0)
    assert told["martensite"] == pytest.approx(127 + 949 * 0.4 + 27 * 0.25 + 11 * 0.85 + 16 * 0.95 + 21 * log)
    assert told["bainite"] == pytest.approx(
        -323 + 185 * 0.4 + 330 * 0.25 + 153 * 0.85 + 144 * 0.95 + 191 * 0.2
        + (89 + 53 * 0.4 - 55 * 0.25 - 22 * 0.85 - 20 * 0.95 - 33 * 0.2) * log
    )  # fmt: skip
    assert told["pearlite"] == pytest.approx(
        42 + 223 * 0.4 + 53 * 0.25 + 30 * 0.85 + 7 * 0.95 + 19 * 0.2 + (10 - 19 * 0.25 + 8 * 0.95) * log
    )
    with pytest.raises(InputError, match=r"carbon 1 %"):
        hardness_by_composition({"carbon": 1.0})


# from a table to pictures -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def steel() -> Transformations:
    fit = by_product(ms.Prior.declared(transformation_time)).calibrate(EXAMPLE)
    return transformations(
        fit, martensite=Martensite.of_composition(STEEL), largest={"ferrite": 0.4}, draws=60
    )


def test_every_product_of_the_table_has_its_curve(steel: Transformations) -> None:
    assert steel.products == ("ferrite", "pearlite", "bainite")
    diagram = steel.diagram([620, 460] * ms.unit("degC"), reaches=(0.01, 0.99))
    pearlite = diagram["median"].sel(product="pearlite").values[:, 0]
    assert pearlite == pytest.approx([70.0, 440.0], rel=0.12)  # the table's own
    assert np.isinf(diagram["median"].sel(product="bainite").values[0, 0])
    assert diagram["never"].sel(product="bainite").values[0, 0] == 1.0


def test_slow_cooling_is_soft_and_the_band_of_the_start_widens_martensite(steel: Transformations) -> None:
    table = steel.cool([30.0, 1.0, 0.1]).hardness(hardness_by_composition(STEEL))
    assert (np.diff(table["hardness [HV]"]) < 0.0).all()
    assert np.isnan(table["hardness [HRC]"].iloc[-1])  # below the scale, and not extrapolated
    assert steel.martensite_start.std() == pytest.approx(steel.martensite.sd, rel=0.3)


def test_what_is_asked_wrongly_is_told(steel: Transformations) -> None:
    other = ms.load("steel_tempering").calibrate(
        pd.DataFrame({"time [h]": [1.0], "temperature [degC]": [400], "hardness [HRC]": [45.0]})
    )
    with pytest.raises(InputError, match="no transformation of austenite"):
        transformations(other)
    fit = by_product(ms.Prior.declared(transformation_time)).calibrate(EXAMPLE)
    with pytest.raises(InputError, match="no product 'ferit'"):
        transformations(fit, largest={"ferit": 0.4})
    with pytest.raises(InputError, match="at most 1"):
        transformations(fit, largest={"ferrite": 40.0})
    with pytest.raises(InputError, match="start and a rate"):
        Martensite(-5.0)


def test_pictures_show_every_product_and_its_start(steel: Transformations) -> None:
    figure = products_figure(steel.diagram(np.linspace(600.0, 1040.0, 40)), martensite=steel.martensite)
    names = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"ferrite, 1 %", "bainite, 99 %"} <= names
    assert any(text.get_text() == "Ms" for text in figure.axes[0].texts)
    cooled = steel.cool(np.geomspace(30.0, 0.1, 5))
    drawn = cooling_figure(cooled, martensite=steel.martensite)
    assert {"pearlite begins", "pearlite ends"} <= {text.get_text() for text in drawn.legends[0].get_texts()}
    assert any("K/s" in text.get_text() for text in drawn.axes[0].texts)
    bar = jominy_figure(np.arange(5.0), cooled.hardness(hardness_by_composition(STEEL)))
    assert bar.axes[0].get_ylabel() == "hardness (HV)"  # one of them has no HRC


def test_fractions_after_times_give_the_same_steel() -> None:
    """The other law's calibration, its rate stated at another temperature, leads to the same shares."""
    time, kelvin = (
        each.ravel() for each in np.meshgrid(np.geomspace(3, 300, 8), [760.0, 800.0, 850.0, 900.0])
    )
    law = undercooled_transformation.at_reference(800.0)
    moved = np.exp(-180.0 / 8.31446261815324e-3 * (1.0 / 800.0 - 1.0 / 900.0))
    truth = {**PEARLITE, "rate": PEARLITE["rate"] * moved}
    rows = {
        "time [s]": time,
        "temperature [K]": kelvin,
        "fraction": law({"time": time, "temperature": kelvin}, truth),
    }
    fit = ms.Prior.declared(law).calibrate(pd.DataFrame(rows))
    share = transformations(fit, draws=40).cool(constant_rate(2.0)).courses[0].share[:, 0]
    exact = known(PEARLITE).cool(constant_rate(2.0)).courses[0].share[0, 0]
    assert np.median(share) == pytest.approx(exact, abs=0.03)


def test_the_command_writes_pictures_and_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from metasci.cli.main import run

    out = tmp_path / "mine"
    contents = ",".join(f"{name}={value}" for name, value in STEEL.items())
    command = [
        "diagram",
        "kinetics.transformation_time",
        str(EXAMPLE),
        "-o",
        str(out),
        "--composition",
        contents,
    ]
    assert run([*command, "--rates", "30,3,0.3 K/s"]) == 0
    said = capsys.readouterr().out
    assert "Ms 323 °C, give or take 25 K (90 %)" in said
    assert "martensite %" in said
    names = {path.name for path in out.iterdir()}
    assert names == {f"{name}.csv" for name in ("cct", "hardness", "jominy", "shares", "ttt")} | {
        f"{name}.png" for name in ("cct", "jominy", "ttt")
    }
    bar = pd.read_csv(out / "jominy.csv")
    assert (np.diff(bar["hardness [HV]"]) < 0.0).all()
    assert run([*command[:-1], "carbon"]) == 2
    assert "names and numbers" in capsys.readouterr().err


def test_a_prior_of_something_else_is_refused_in_its_own_words() -> None:
    """Its card has two columns that say which task a row is of, and a level."""
    fit = by_product(ms.load("steel_tempering")).calibrate(
        pd.DataFrame({"time [h]": [1.0], "temperature [degC]": [400.0], "hardness [HRC]": [45.0]})
    )
    with pytest.raises(InputError, match="tells no transformation of austenite"):
        transformations(fit)
