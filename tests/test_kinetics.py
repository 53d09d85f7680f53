"""Kinetic laws against quadrature, differential equations and published numbers, isothermal and along cycles."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from scipy.integrate import quad, solve_ivp
from scipy.optimize import brentq, minimize_scalar

import metasci as ms
from metasci import kinetics
from metasci.data.batch import Batch
from metasci.data.cards import Card
from metasci.errors import InputError
from metasci.kinetics.arrhenius import GAS_CONSTANT
from metasci.kinetics.clocks import Arrhenius, Clock, Soluble, Undercooled
from metasci.kinetics.histories import equivalent_time
from metasci.library import registered
from metasci.meta.problem import Problem
from metasci.model import Model

FLOAT = torch.float64
ALL = [model for name, model in sorted(registered().items()) if name.startswith("kinetics.")]
ISOTHERMAL = [model for model in ALL if f"{model.name}_along" in registered()]
every_model = pytest.mark.parametrize("model", ALL, ids=lambda model: model.name)
RANGES = {
    "time": (0.0, 1e5), "temperature": (250.0, 1600.0), "cycle": (1.0, 1.0), "strain": (0.0, 1.0),
    "stress": (0.0, 400.0), "cycles": (0.0, 3.0), "stress_range": (0.0, 300.0), "initial_length": (0.1, 20.0),
    "stress_intensity_range": (0.0, 80.0), "heating_rate": (1e-3, 2.0), "fraction": (0.01, 0.99),
}  # fmt: skip


def typical(model: Model, **changed: float) -> dict[str, np.ndarray]:
    values = {parameter.name: parameter.typical for parameter in model.parameters} | changed
    return {name: np.asarray(value, float) for name, value in values.items()}


def numbers(**values: float) -> dict[str, np.ndarray]:
    return {name: np.asarray(value, float) for name, value in values.items()}


def points(*rows: tuple[float, float, float]) -> dict[str, np.ndarray]:
    """A history of (cycle, time, temperature)."""
    cycle, time, temperature = (np.array([column]) for column in zip(*rows, strict=True))
    return {"temperature": temperature, "temperature_time": time, "temperature_cycle": cycle}


def factor(temperature: float, energy: float, reference: float) -> float:
    return float(np.exp(-energy / GAS_CONSTANT * (1.0 / temperature - 1.0 / reference)))


# histories --------------------------------------------------------------------------------------


@pytest.mark.parametrize("energy", [30.0, 250.0, 600.0])
def test_a_history_is_integrated_as_quadrature_does(energy: float) -> None:
    """Heating from room temperature in one line, a hold, a fall, and a hold after the last point."""
    rows = [(1, 0, 298), (1, 1800, 1173), (1, 5400, 1173), (1, 6000, 600)]
    times = np.array([0.0, 900.0, 1800.0, 3000.0, 5700.0, 6000.0, 9000.0])
    _, at, told = zip(*rows, strict=True)

    def rate(t: float) -> float:
        return factor(float(np.interp(t, at, told)), energy, 973.15)

    expected = [
        sum(
            quad(rate, a, b, epsabs=0, epsrel=1e-11, limit=400)[0]
            for a, b in itertools.pairwise(cuts)
            if b > a
        )
        for cuts in ([*[c for c in at if c < t], t] for t in times)
    ]
    found = equivalent_time(
        Arrhenius(973.15), times, np.ones(7), **points(*rows), activation_energy=np.asarray(energy)
    )
    np.testing.assert_allclose(found, expected, rtol=2e-7)


@pytest.mark.parametrize(
    ("clock", "said"),
    [
        (Soluble(448.15, enthalpy=40.0), {"activation_energy": 130.0, "solvus_temperature": 520.0}),
        (Undercooled(900.0, 3.0), {"activation_energy": 150.0, "equilibrium_temperature": 520.0}),
    ],
)
def test_a_line_that_passes_a_corner_of_the_speed_is_integrated_as_quadrature_does(
    clock: Clock, said: dict[str, float]
) -> None:
    rows = [(1, 0, 293), (1, 1, 640), (1, 3, 640), (1, 5, 300)]
    told = numbers(**said)

    def rate(t: float) -> float:
        kelvin = np.interp(t, [0, 1, 3, 5], [293, 640, 640, 300])
        return float(clock.speed(np.asarray(kelvin), **told))

    corners = [0.0, (520 - 293) / (640 - 293), 3.0 + 2.0 * (640 - 520) / (640 - 300), 5.0]
    expected = [quad(rate, *between, epsabs=0, epsrel=1e-11)[0] for between in itertools.pairwise(corners)]
    found = equivalent_time(clock, np.array([corners[1], 1.0, 5.0]), np.ones(3), **points(*rows), **told)
    np.testing.assert_allclose(found, [expected[0], expected[0], expected[0] + expected[2]], rtol=1e-10)


def test_pieces_go_through_their_own_cycles_and_padding_counts_for_nothing() -> None:
    clock, energy = Arrhenius(900.0), np.asarray(150.0)
    one, two = [(1, 0, 800), (1, 100, 900)], [(2, 50, 950), (2, 80, 700)]
    time, cycle = np.array([60.0, 60.0, 500.0, 500.0]), np.array([1.0, 2.0, 1.0, 2.0])
    both = equivalent_time(
        clock, time, cycle, **points(*one, *two, (1, 0, 0), (1, 0, 0)), activation_energy=energy
    )
    for number, rows in ((1, one), (2, two)):
        alone = equivalent_time(clock, time, cycle, **points(*rows), activation_energy=energy)
        np.testing.assert_allclose(both[cycle == number], alone[cycle == number], rtol=1e-13)
    before = equivalent_time(
        clock, np.array([40.0]), np.array([2.0]), **points(*two), activation_energy=energy
    )
    assert before.tolist() == [0.0]  # the piece is not yet in the furnace


def test_a_sudden_change_of_temperature_is_two_points_at_one_time() -> None:
    rows = [(1, 0, 800), (1, 100, 800), (1, 100, 900), (1, 200, 900)]
    found = equivalent_time(
        Arrhenius(900.0), np.array([200.0]), np.ones(1), **points(*rows), activation_energy=np.asarray(150.0)
    )
    assert float(found[0]) == pytest.approx(100.0 * factor(800.0, 150.0, 900.0) + 100.0, rel=1e-12)


@pytest.mark.parametrize("model", ISOTHERMAL, ids=lambda model: model.name)
def test_at_constant_temperature_a_history_is_the_isothermal_law(model: Model) -> None:
    draw = np.random.default_rng(3)
    time = np.sort(draw.uniform(0.0, 5e3, 6))
    extra = {
        name: draw.uniform(*RANGES[name], 6) for name in model.inputs if name not in ("time", "temperature")
    }
    kelvin = float(draw.uniform(700.0, 980.0))
    at_once = model({"time": time, "temperature": np.full(6, kelvin), **extra}, typical(model))
    for rows in ([(1, 0, kelvin)], [(1, 0, kelvin), (1, 1e3, kelvin), (1, 2e3, kelvin)]):
        inputs = {"time": time, "cycle": np.ones(6), **extra, **points(*rows)}
        np.testing.assert_allclose(
            kinetics.along(model)(inputs, typical(model)), at_once, rtol=1e-11, atol=1e-300
        )


@given(st.floats(400.0, 900.0), st.floats(400.0, 900.0), st.floats(0.05, 0.95))
def test_the_order_of_temperatures_does_not_matter(first: float, second: float, share: float) -> None:
    """Additivity: what has come about depends on the sum, for one activation energy."""
    model, time = kinetics.along(kinetics.avrami), np.array([2e4])
    cut = 2e4 * share

    def after(*rows: tuple[float, float, float]) -> float:
        inputs = {"time": time, "cycle": np.ones(1), **points(*rows)}
        return float(model(inputs, typical(kinetics.avrami))[0])

    forth = after((1, 0, first), (1, cut, first), (1, cut, second), (1, 2e4, second))
    back = after((1, 0, second), (1, 2e4 - cut, second), (1, 2e4 - cut, first), (1, 2e4, first))
    assert forth == pytest.approx(back, rel=1e-9, abs=1e-15)


def test_growth_of_grains_along_a_cycle_solves_its_differential_equation() -> None:
    rows = [(1, 0, 900.0), (1, 3600, 1350.0), (1, 7200, 1250.0)]
    _, at, told = zip(*rows, strict=True)

    def slope(t: float, d: np.ndarray) -> np.ndarray:
        rate = 1e-3 * factor(float(np.interp(t, at, told)), 300.0, 1273.15)
        return rate * 10.0**3 / (3.0 * d**2)

    solved = solve_ivp(
        slope, (0.0, 7200.0), [15.0], t_eval=[1800.0, 3600.0, 7200.0], rtol=1e-10, atol=1e-10, max_step=20.0
    )
    inputs = {"time": solved.t, "cycle": np.ones(3), **points(*rows)}
    found = kinetics.along(kinetics.grain_growth)(inputs, typical(kinetics.grain_growth))
    np.testing.assert_allclose(found, solved.y[0], rtol=1e-6)


# closed forms and published numbers -------------------------------------------------------------


def test_hollomon_jaffe_and_larson_miller_arithmetic() -> None:
    """650 °C for 1000 h at C = 20 is 21 231; the same parameter at 700 °C is 65 h (Larson and Miller 1952)."""
    parameter = kinetics.larson_miller(1000.0, 923.15)
    assert float(parameter) == pytest.approx(21232.45)
    hours = float(kinetics.larson_miller_time(parameter, 973.15))
    assert hours == pytest.approx(10 ** (21232.45 / 973.15 - 20.0))
    assert 65.0 < hours < 67.0
    assert float(
        kinetics.hollomon_jaffe(kinetics.hollomon_jaffe_time(17000.0, 800.0), 800.0)
    ) == pytest.approx(17000)
    with pytest.raises(InputError, match="above zero"):
        kinetics.larson_miller(0.0, 900.0)


def test_rupture_follows_the_larson_miller_parameter() -> None:
    said = typical(kinetics.larson_miller_rupture)
    stress, temperature = np.array([50.0, 100.0, 200.0]), np.array([950.0, 873.15, 800.0])
    time = kinetics.larson_miller_rupture({"stress": stress, "temperature": temperature}, said)
    np.testing.assert_allclose(
        kinetics.larson_miller(time, temperature),
        1000.0 * (22.0 - 5.0 * np.log10(stress / 100.0)),
        rtol=1e-12,
    )


def test_half_recrystallised_after_the_half_time() -> None:
    inputs = {
        "time": np.array([1.0, 1.0]),
        "temperature": np.array([1273.15] * 2),
        "strain": np.array([0.3, 0.6]),
    }
    found = kinetics.recrystallisation(inputs, typical(kinetics.recrystallisation))
    assert found[0] == pytest.approx(0.5)
    assert found[1] == pytest.approx(1.0 - 0.5 ** (2.0**2.5))


def test_oxide_grows_with_the_root_of_time() -> None:
    inputs = {"time": np.array([0.0, 25.0, 100.0]), "temperature": np.full(3, 1273.15)}
    found = kinetics.parabolic_oxidation(inputs, typical(kinetics.parabolic_oxidation))
    np.testing.assert_allclose(found, [0.0, np.sqrt(0.5), np.sqrt(2.0)])


def test_ageing_peaks_at_its_peak_time_and_falls_as_the_cube_root() -> None:
    model = kinetics.age_hardening
    said = typical(model)

    def strength(hours: float) -> float:
        return float(model({"time": np.array(hours), "temperature": np.array(448.15)}, said))

    found = minimize_scalar(
        lambda log: -strength(np.exp(log)), bounds=(-2, 6), method="bounded", options={"xatol": 1e-9}
    )
    assert np.exp(found.x) == pytest.approx(8.0, rel=1e-4)
    assert -found.fun == pytest.approx(280.0, rel=1e-9)
    assert strength(0.0) == 80.0
    late = (strength(8e9) - 80.0) / (strength(8e6) - 80.0)
    assert late == pytest.approx(1e-3 ** (1 / 3), rel=1e-2)


def test_the_peak_falls_with_the_root_of_what_is_stable_and_nothing_hardens_above_the_solvus() -> None:
    model, energy, solvus = kinetics.age_hardening, 130.0, 540.0
    said = typical(model, activation_energy=energy, solvus_temperature=solvus)

    def stable(kelvin: float) -> float:
        return 1.0 - np.exp(-40.0 / GAS_CONSTANT * (1.0 / kelvin - 1.0 / solvus))

    for kelvin in (400.0, 448.15, 500.0, 539.0):
        peak = np.asarray(8.0 / factor(kelvin, energy, 448.15))  # the time of the peak follows the rate
        found = float(model({"time": peak, "temperature": np.asarray(kelvin)}, said))
        assert found == pytest.approx(80.0 + 200.0 * np.sqrt(stable(kelvin) / stable(448.15)), rel=1e-9)
    hours = np.array([0.01, 1.0, 100.0])
    for kelvin in (540.0, 541.0, 800.0):
        assert model({"time": hours, "temperature": np.full(3, kelvin)}, said).tolist() == [80.0] * 3


def test_ageing_along_a_history_is_that_at_its_temperature_and_a_solution_anneal_undoes_it() -> None:
    model = kinetics.along(kinetics.age_hardening)
    said = typical(model)
    cycle = {"cycle": np.array([1.0, 1.0, 1.0])}
    aged = points((1, 0.0, 460.0), (1, 4.0, 460.0), (1, 4.1, 293.0))
    found = model({"time": np.array([2.0, 4.0, 5.0]), **cycle, **aged}, said)
    expected = kinetics.age_hardening({"time": np.array([2.0, 4.0]), "temperature": np.full(2, 460.0)}, said)
    np.testing.assert_allclose(found[:2], expected, rtol=1e-9)
    assert found[2] == pytest.approx(found[1], abs=0.5)  # cooling changes next to nothing
    solved = points((1, 0.0, 460.0), (1, 4.0, 460.0), (1, 4.1, 800.0), (1, 4.6, 800.0), (1, 4.7, 293.0))
    undone = model({"time": np.array([4.0, 4.6, 5.0]), **cycle, **solved}, said)
    assert undone[0] == pytest.approx(expected[1])
    assert undone[1] < 80.0 + 0.05 * (undone[0] - 80.0)
    assert undone[2] == pytest.approx(undone[1], abs=0.5)


def test_creep_strain_is_the_rate_times_time() -> None:
    condition = {"stress": np.array([80.0]), "temperature": np.array([900.0])}
    rate = kinetics.minimum_creep_rate(condition, typical(kinetics.minimum_creep_rate))
    strain = kinetics.creep_strain({"time": np.array([50.0]), **condition}, typical(kinetics.creep_strain))
    np.testing.assert_allclose(strain, 50.0 * rate, rtol=1e-12)
    assert float(rate[0]) == pytest.approx(1e-5 * 0.8**5 * factor(900.0, 350.0, 873.15))


def test_crack_in_millimetres_solves_the_law_of_paris() -> None:
    growth, exponent, stress, start = 1e-4, 3.2, 100.0, 5.0

    def slope(_: float, a: np.ndarray) -> np.ndarray:
        return growth * (stress * np.sqrt(np.pi * 1e-3 * a) / 20.0) ** exponent

    cycles = np.linspace(0.0, 3e4, 5)
    solved = solve_ivp(slope, (0.0, 3e4), [start], t_eval=cycles, rtol=1e-11, atol=1e-12)
    inputs = {"cycles": cycles, "stress_range": np.asarray(stress), "initial_length": np.asarray(start)}
    said = {"growth": np.asarray(growth), "paris_exponent": np.asarray(exponent)}
    np.testing.assert_allclose(kinetics.paris_crack_length(inputs, said), solved.y[0], rtol=1e-8)
    rate = kinetics.paris_growth_rate({"stress_intensity_range": np.array([20.0, 40.0])}, said)
    np.testing.assert_allclose(rate, [growth, growth * 2.0**exponent])


def test_softening_stops_at_its_limit() -> None:
    inputs = {"time": np.array([0.0, 1e30]), "temperature": np.full(2, 973.15)}
    found = kinetics.tempering_to_limit(inputs, typical(kinetics.tempering_to_limit))
    np.testing.assert_allclose(found, [650.0, 130.0])


def test_incubation_is_used_up_by_additivity() -> None:
    """Nothing before ∫ dt/t₀(T) = 1, and from then on the law without incubation."""
    model = kinetics.along(kinetics.avrami_incubation)
    rows = [(1, 0, 850.0), (1, 2000, 950.0)]
    used = lambda t: quad(lambda s: factor(850.0 + 0.05 * s, 250.0, 873.15) / 100.0, 0.0, t)[0] - 1.0  # noqa: E731
    begin = brentq(used, 0.0, 2000.0)
    time = np.array([0.999 * begin, 1.001 * begin, 2000.0])
    found = model({"time": time, "cycle": np.ones(3), **points(*rows)}, typical(kinetics.avrami_incubation))
    assert found[0] == 0.0
    assert 0.0 < found[1] < 1e-6
    assert found[2] == pytest.approx(-np.expm1(-((1e-3 * 100.0 * used(2000.0)) ** 2)), rel=1e-9)


def test_time_to_a_fraction_inverts_the_law_and_has_a_nose() -> None:
    model, clock = kinetics.undercooled_transformation, Undercooled(900.0, 3.0)
    said = typical(model)
    temperature = np.linspace(700.0, 990.0, 59)
    speed = clock.speed(
        temperature,
        activation_energy=said["activation_energy"],
        equilibrium_temperature=said["equilibrium_temperature"],
    )
    for share in (0.01, 0.99):
        time = kinetics.time_to_fraction(share, speed, said["rate"], said["exponent"])
        np.testing.assert_allclose(model({"time": time, "temperature": temperature}, said), share, rtol=1e-10)
        nose = temperature[np.argmin(time)]
        # the speed is greatest where 3/(T_e − T) = Q/(R T²)
        assert 3.0 / (1000.0 - nose) == pytest.approx(150.0 / (GAS_CONSTANT * nose**2), rel=0.1)
    hot = clock.speed(np.array([1000.0, 1100.0]), activation_energy=150.0, equilibrium_temperature=1000.0)
    assert hot.tolist() == [0.0, 0.0]
    with pytest.raises(InputError, match="between 0 and 1"):
        kinetics.time_to_fraction(1.0, speed, 1.0, 2.0)


@pytest.mark.parametrize(("energy", "exponent"), [(120.0, 1.0), (200.0, 2.5), (350.0, 3.0)])
def test_kissinger_gives_the_activation_energy_back(energy: float, exponent: float) -> None:
    model = kinetics.heat_flow
    said = typical(model, activation_energy=energy, exponent=exponent)
    rates = np.array([2.0, 5.0, 10.0, 20.0, 40.0]) / 60.0
    peaks = []
    for rate in rates:
        coarse = np.linspace(400.0, 1100.0, 1401)
        flow = model({"temperature": coarse, "heating_rate": np.asarray(rate)}, said)
        near = coarse[np.argmax(flow)]
        peaks.append(
            minimize_scalar(
                lambda t, beta=rate: -float(model(numbers(temperature=t, heating_rate=beta), said)),
                bounds=(near - 2.0, near + 2.0), method="bounded", options={"xatol": 1e-8},
            ).x
        )  # fmt: skip
    found = kinetics.kissinger(rates, np.array(peaks))
    assert found.activation_energy == pytest.approx(energy, rel=0.01)
    assert found.standard_error < 0.01 * energy


def test_all_of_the_heat_is_released_and_the_flow_is_the_slope_of_the_fraction() -> None:
    model, said, rate = kinetics.heat_flow, typical(kinetics.heat_flow), 10.0 / 60.0
    temperature = np.linspace(298.15, 1200.0, 40001)
    flow = model({"temperature": temperature, "heating_rate": np.asarray(rate)}, said)
    assert np.trapezoid(flow, temperature) / rate == pytest.approx(20.0, rel=1e-6)


def test_kissinger_needs_peaks() -> None:
    with pytest.raises(InputError, match="two or more"):
        kinetics.kissinger([1.0, 2.0], [700.0, 700.0])
    with pytest.raises(InputError, match="one peak temperature"):
        kinetics.kissinger([1.0, 2.0], [700.0])


# every model ------------------------------------------------------------------------------------


def random_batch(model: Model, draw: np.random.Generator, tasks: int, size: int) -> Batch:
    inputs = {
        name: torch.tensor(draw.uniform(*RANGES[name], (1, size))).expand(tasks, size)
        for name in model.inputs
    }
    if model.histories:
        moments = np.sort(draw.uniform(0.0, 5e4, (1, 1, 5)))
        told = {"temperature": draw.uniform(*RANGES["temperature"], (1, 1, 5)), "temperature_time": moments}
        told |= {"temperature_cycle": np.ones((1, 1, 5))}
        inputs |= {name: torch.tensor(values).expand(tasks, 1, 5) for name, values in told.items()}
    output = torch.ones(tasks, size, dtype=FLOAT)
    return Batch(inputs, output, output > 0, output[:, :0], tuple(map(str, range(tasks))))


@every_model
@pytest.mark.parametrize(("seed", "scale"), [(0, 0.5), (1, 2.0), (2, 4.0)])
def test_laws_hold_and_derivatives_are_finite(model: Model, seed: int, scale: float) -> None:
    draw = np.random.default_rng(seed)
    coordinates = torch.tensor(scale * draw.standard_normal((20, len(model.parameters))), requires_grad=True)
    problem = Problem(model, random_batch(model, draw, 20, 7))
    prediction = problem.predict(coordinates)
    (slope,) = torch.autograd.grad(prediction.sum(), coordinates, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), coordinates)
    assert all(torch.isfinite(values).all() for values in (prediction, slope, curvature))
    size = 1.0 + prediction.detach().abs().max()
    assert float((problem.violation(coordinates).detach() * model.noise.typical[0]).max()) <= 1e-9 * float(
        size
    )


@every_model
def test_slopes_are_those_of_finite_differences(model: Model) -> None:
    draw = np.random.default_rng(5)
    coordinates = torch.tensor(0.5 * draw.standard_normal((3, len(model.parameters))))
    problem = Problem(model, random_batch(model, draw, 3, 6))
    exact = problem.linearise(coordinates, torch.zeros(len(model.noise.scales), dtype=FLOAT)).jacobian
    step = 1e-6
    for place in range(len(model.parameters)):
        shift = step * torch.eye(len(model.parameters), dtype=FLOAT)[place]
        up, down = (model.noise.link(problem.predict(coordinates + sign * shift)) for sign in (1.0, -1.0))
        size = 1.0 + float(exact[:, :, place].abs().max())
        assert torch.allclose(exact[:, :, place], (up - down) / (2.0 * step), rtol=1e-5, atol=1e-6 * size)


# a law that runs along a history runs at one temperature too
@pytest.mark.parametrize("model", [m for m in ALL if m not in ISOTHERMAL], ids=lambda model: model.name)
def test_one_law_gives_the_same_numbers_on_three_libraries(model: Model) -> None:
    pytensor = pytest.importorskip("pytensor")
    draw = np.random.default_rng(7)
    inputs = {name: values.numpy() for name, values in random_batch(model, draw, 1, 5).inputs.items()}
    coordinates = 0.5 * draw.standard_normal((3, 1, len(model.parameters)))
    on_numpy = np.asarray(model.at(coordinates, inputs))
    on_torch = model.at(
        torch.tensor(coordinates), {name: torch.tensor(value) for name, value in inputs.items()}
    )
    variables = {name: pytensor.tensor.tensor(name, shape=value.shape) for name, value in inputs.items()}
    free = pytensor.tensor.tensor("free", shape=coordinates.shape)
    given_ = {free: coordinates, **{variables[name]: value for name, value in inputs.items()}}
    on_pytensor = model.at(free, variables).eval(given_, mode="FAST_COMPILE")
    np.testing.assert_allclose(on_torch.numpy(), on_numpy, rtol=1e-11)
    np.testing.assert_allclose(on_pytensor, on_numpy, rtol=1e-11)


@every_model
def test_every_model_says_where_it_comes_from_and_in_what_units(model: Model) -> None:
    assert "Source" in model.description
    kinds = {"time": "s", "temperature": "K", "activation_energy": "J/mol"}
    units = {parameter.name: parameter.unit for parameter in model.parameters}
    units |= {name: declared.unit for name, declared in model.inputs.items()}
    units[model.output.name] = model.output.unit
    for name, unit in units.items():  # each is a unit, and of what is named so
        assert ms.unit(unit).is_compatible_with(kinds.get(name, ms.unit(unit))), name
    energies = [parameter for parameter in model.parameters if parameter.name == "activation_energy"]
    assert all(parameter.limits[0] >= 0.0 for parameter in energies)


# tables, and laws of one's own ------------------------------------------------------------------

TABLE = """cycle,time [min],temperature [degC],hardness [HRC]
1,120,600,
1,0,20,
1,60,600,
1,180,20,
1,180,,33.5
2,0,300,
2,60,,52
"""


def test_a_table_of_cycles_is_read_with_one_column_for_the_cycle(tmp_path: Any) -> None:
    model = kinetics.along(kinetics.tempering_rockwell)
    (tmp_path / "mine.csv").write_text(TABLE)
    tasks = ms.TaskSet.from_csv(tmp_path / "mine.csv", Card.from_model(model), model=model)
    inputs = tasks.batch(model).inputs
    assert inputs["cycle"].tolist() == [[1.0, 2.0]]
    assert inputs["temperature_cycle"].tolist() == [[[1.0, 1.0, 1.0, 1.0, 2.0]]]
    assert inputs["temperature_time"].tolist() == [[[0.0, 3600.0, 7200.0, 10800.0, 0.0]]]  # put in order
    np.testing.assert_allclose(inputs["temperature"], [[[293.15, 873.15, 873.15, 293.15, 573.15]]])


def test_a_measurement_of_a_cycle_without_temperatures_is_refused(tmp_path: Any) -> None:
    model = kinetics.along(kinetics.tempering_rockwell)
    (tmp_path / "mine.csv").write_text(TABLE.replace("2,0,300,\n", ""))
    tasks = ms.TaskSet.from_csv(tmp_path / "mine.csv", Card.from_model(model), model=model)
    with pytest.raises(InputError, match="of cycle 2, of which no temperature is told"):
        tasks.batch(model)


def test_a_law_is_one_equation_and_one_table() -> None:
    energy = ms.Parameter("activation_energy", "kJ/mol", 40.0, positive=True)
    rate = ms.Parameter("rate", "1/h", 1.0, positive=True)

    @kinetics.kinetic_law(
        kinetics.Arrhenius(400.0),
        output=("left", "1"),
        parameters=[rate, energy],
        time="h",
        name="own.drying",
    )
    def drying(equivalent_time: Any, *, rate: Any) -> Any:
        return ms.math.exp(-rate * equivalent_time)

    said = {"rate": 2.0, "activation_energy": 40.0}
    assert float(drying({"time": np.array(1.0), "temperature": np.array(400.0)}, said)) == pytest.approx(
        np.exp(-2.0)
    )
    assert kinetics.along(drying).histories["temperature"].unit == "K"
    with pytest.raises(InputError, match="not known along"):
        kinetics.along(kinetics.crack_growth)
    with pytest.raises(InputError, match="clock needs the parameter 'activation_energy'"):
        kinetics.kinetic_law(kinetics.Arrhenius(400.0), output=("left", "1"), parameters=[rate])(
            lambda equivalent_time, rate: rate
        )
    with pytest.raises(InputError, match="has to take 'equivalent_time'"):
        kinetics.kinetic_law(kinetics.Arrhenius(400.0), output=("left", "1"), parameters=[rate, energy])(
            lambda rate: rate
        )
    with pytest.raises(InputError, match="'wrong' is not declared"):
        kinetics.kinetic_law(kinetics.Arrhenius(400.0), output=("left", "1"), parameters=[rate, energy])(
            lambda equivalent_time, rate, wrong: rate
        )
    with pytest.raises(InputError, match="'rate' is declared but not"):
        kinetics.kinetic_law(kinetics.Arrhenius(400.0), output=("left", "1"), parameters=[rate, energy])(
            lambda equivalent_time: equivalent_time
        )


def test_a_law_takes_its_clocks_parameters_in_the_clocks_units() -> None:
    """Joules taken for kilojoules would be an activation energy a thousand times too great."""

    def declare(energy: ms.Parameter, time: str = "h") -> Model:
        rate = ms.Parameter("rate", "1/h", 0.5, positive=True)
        return kinetics.kinetic_law(
            Arrhenius(600.0), output=("left", "1"), time=time, name="own.bakeout", parameters=[rate, energy]
        )(lambda equivalent_time, *, rate: ms.math.exp(-rate * equivalent_time))

    with pytest.raises(InputError, match="takes 'activation_energy' in 'kJ/mol', not in 'J/mol'"):
        declare(ms.Parameter("activation_energy", "J/mol", 40000.0, positive=True))
    with pytest.raises(InputError, match="its time cannot be in 'kg'"):
        declare(ms.Parameter("activation_energy", "kJ/mol", 40.0, positive=True), time="kg")


def test_peaks_that_tell_no_activation_energy_are_refused() -> None:
    with pytest.raises(InputError, match="must rise with the heating rate"):
        kinetics.kissinger([5.0, 10.0], [720.0, 700.0])
    with pytest.raises(InputError, match="two or more heating rates"):
        kinetics.kissinger([5.0, 5.0], [700.0, 710.0])
    with pytest.raises(InputError, match="parameter: numbers above zero"):
        kinetics.hollomon_jaffe_time(np.nan, 873.0)
