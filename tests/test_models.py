"""Equations against SciPy, against their differential equations, and against the laws they promise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from scipy.integrate import solve_ivp

from metasci.constraints import Bounded, Monotone, NonNegative
from metasci.data.batch import Batch
from metasci.kinetics import avrami, crack_growth, tempering, tempering_rockwell
from metasci.kinetics.tempering import REFERENCE_TEMPERATURE
from metasci.meta.problem import Problem
from metasci.model import Model
from metasci.patients import one_compartment_bolus, one_compartment_oral
from metasci.patients.superposition import exponential_difference

FLOAT = torch.float64
GAS = 8.31446261815324e-3
MODELS = [avrami, crack_growth, tempering, tempering_rockwell, one_compartment_bolus, one_compartment_oral]
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)


def numbers(**values: float) -> dict[str, np.ndarray]:
    return {name: np.asarray(value, dtype=float) for name, value in values.items()}


def by_ode(slope: Any, start: float, times: np.ndarray) -> np.ndarray:
    solved = solve_ivp(
        slope, (0.0, times[-1]), np.atleast_1d(start), t_eval=times, rtol=1e-11, atol=1e-13, method="LSODA"
    )
    assert solved.success
    return solved.y[-1]


# patients ---------------------------------------------------------------------------------------

TIMES = np.array([0.0, 0.1, 0.5, 1.0, 3.0, 8.0, 24.0])


@pytest.mark.parametrize("absorption", [0.3, 1.5, 0.08, 0.0800001, 30.0])
def test_oral_dose_solves_its_differential_equation(absorption: float) -> None:
    clearance, volume, dose = 0.04, 0.5, 4.5

    def slope(_: float, amounts: np.ndarray) -> list[float]:
        gut, blood = amounts
        return [-absorption * gut, absorption * gut - clearance / volume * blood]

    expected = by_ode(slope, np.array([dose, 0.0]), TIMES) / volume
    given = numbers(absorption_rate=absorption, clearance=clearance, volume=volume)
    found = one_compartment_oral({"time": TIMES, "dose": np.asarray(dose)}, given)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-10)


def derivatives(
    gap: float, time: float = 2.0, slow: float = 0.5
) -> tuple[float, list[float], list[list[float]]]:
    """Value, gradient and Hessian of the difference of exponentials by the two rates."""
    rates = torch.tensor([slow, slow + gap], dtype=FLOAT)

    def function(r: torch.Tensor) -> torch.Tensor:
        return exponential_difference(r[0], r[1], torch.tensor(time, dtype=FLOAT))

    hessian = torch.autograd.functional.hessian(function, rates)
    gradient = torch.autograd.functional.jacobian(function, rates)
    return float(function(rates)), gradient.tolist(), hessian.tolist()


def moments(slow: float, gap: float, time: float, a: int, b: int) -> float:
    """∫₀ᵗ (−s)ᵃ (−(t−s))ᵇ e^(−slow·s − fast·(t−s)) ds: its derivatives, a times by slow and b times by fast."""
    s, weight = np.polynomial.legendre.leggauss(60)
    s = 0.5 * time * (s + 1.0)
    inside = (-s) ** a * (s - time) ** b * np.exp(-slow * s - (slow + gap) * (time - s))
    return float(0.5 * time * np.sum(weight * inside))


@pytest.mark.parametrize(
    "gap", [0.0, 1e-12, -1e-9, 1e-6, 4.9e-4, 4.999e-4, 5.001e-4, -5.1e-4, 1e-2, 0.3, -0.2]
)
def test_where_absorption_meets_elimination_value_and_two_derivatives_are_right(gap: float) -> None:
    value, gradient, hessian = derivatives(gap)
    assert value == pytest.approx(moments(0.5, gap, 2.0, 0, 0), rel=1e-11)
    expected = [moments(0.5, gap, 2.0, 1, 0), moments(0.5, gap, 2.0, 0, 1)]
    assert gradient == pytest.approx(expected, rel=1e-8)
    for row, (first, second) in enumerate([((2, 0), (1, 1)), ((1, 1), (0, 2))]):
        expected = [moments(0.5, gap, 2.0, *first), moments(0.5, gap, 2.0, *second)]
        assert hessian[row] == pytest.approx(expected, rel=1e-5)


@given(st.floats(-7, 6), st.floats(-7, 6), st.floats(0, 1e3))
def test_oral_dose_is_symmetric_finite_and_not_negative(
    log_slow: float, log_fast: float, time: float
) -> None:
    slow, fast, at = (
        torch.tensor(v, dtype=FLOAT, requires_grad=True) for v in (10**log_slow, 10**log_fast, time)
    )
    found = exponential_difference(slow, fast, at)
    gradients = torch.autograd.grad(found, (slow, fast, at))
    assert torch.isfinite(found)
    assert all(torch.isfinite(gradient) for gradient in gradients)
    found = found.detach()
    assert float(found) >= 0.0
    assert float(found) == pytest.approx(
        float(exponential_difference(fast, slow, at).detach()), rel=1e-6, abs=1e-300
    )


def test_repeated_bolus_solves_its_equation_with_jumps() -> None:
    clearance, volume, weight = 0.006, 1.1, 1.4
    doses = [(0.0, 25.0), (12.0, 3.5), (24.0, 3.5), (30.5, 10.0)]
    times = np.array([0.0, 2.0, 11.999, 12.0, 20.0, 30.4, 60.0, 120.0])
    level, now, expected = 0.0, 0.0, []
    events = sorted([(t, 1, None) for t in times] + [(t, 0, d) for t, d in doses], key=lambda e: e[:2])
    for at, _, dose in events:
        if at > now:
            rate = clearance / volume
            level = float(by_ode(lambda _t, c, rate=rate: -rate * c, level, np.array([at - now]))[0])
            now = at
        if dose is None:
            expected.append(level)
        else:
            level += dose / (volume * weight)
    inputs = {
        "time": times,
        "weight": np.asarray(weight),
        "dose": np.array([[d for _, d in doses] + [0.0, 0.0]]),  # padded as a batch is
        "dose_time": np.array([[t for t, _ in doses] + [0.0, 0.0]]),
    }
    found = one_compartment_bolus(inputs, numbers(clearance=clearance, volume=volume))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


# alloys -----------------------------------------------------------------------------------------


@given(st.floats(0.05, 4.0), st.floats(0.5, 10.0))
def test_crack_solves_the_law_of_paris(exponent: float, rate: float) -> None:
    failure = 1.0 / (exponent * rate)
    cycles = np.linspace(0.0, 0.97 * failure, 7)
    expected = by_ode(lambda _n, a: rate * a ** (exponent + 1.0), 1.0, cycles)
    found = crack_growth({"cycles": cycles}, numbers(exponent=exponent, growth_rate=rate))
    np.testing.assert_allclose(found, expected, rtol=2e-7)


@given(st.floats(-5.0, 2.0), st.floats(-3.0, 5.0))
def test_crack_goes_on_rising_beyond_failure(log_exponent: float, log_rate: float) -> None:
    given_ = numbers(exponent=np.exp(log_exponent), growth_rate=np.exp(log_rate))
    failure = 1.0 / float(given_["exponent"] * given_["growth_rate"])
    cycles = np.concatenate([np.linspace(0.0, 1.2, 401), [2.0, 10.0, 1e3, 1e6]]) * failure
    length = crack_growth({"cycles": cycles}, given_)
    assert np.isfinite(length).all()
    assert (length >= 1.0).all()
    assert (np.diff(length) >= 0.0).all()
    at = torch.tensor(cycles, requires_grad=True)
    parameters = {
        name: torch.tensor(float(value), dtype=FLOAT, requires_grad=True) for name, value in given_.items()
    }
    slopes = torch.autograd.grad(crack_growth({"cycles": at}, parameters).sum(), [at, *parameters.values()])
    assert all(torch.isfinite(slope).all() for slope in slopes)


def test_crack_joins_its_continuation_with_value_and_slope() -> None:
    given_ = {"exponent": torch.tensor(0.8, dtype=FLOAT), "growth_rate": torch.tensor(4.0, dtype=FLOAT)}
    joint = (1.0 - 0.02) / (0.8 * 4.0)
    step = 1e-9
    at = torch.tensor([joint - step, joint + step], dtype=FLOAT, requires_grad=True)
    length = crack_growth({"cycles": at}, given_)
    (slope,) = torch.autograd.grad(length.sum(), at)
    assert float((length[1] - length[0]).detach()) == pytest.approx(2.0 * step * float(slope[0]), rel=1e-3)
    assert float(slope[1]) == pytest.approx(float(slope[0]), rel=1e-5)


def arrhenius(rate: float, energy: float, temperature: np.ndarray, reference: float) -> np.ndarray:
    return rate * np.exp(-energy / GAS * (1.0 / temperature - 1.0 / reference))


SOFT = {"initial_hardness": 58.0, "rate": 3e-4, "activation_energy": 210.0, "exponent": 0.13}


def test_tempering_is_the_stretched_exponential() -> None:
    time, temperature = np.meshgrid([0.0, 10.0, 3600.0, 86400.0], [373.15, 673.15, 973.15, 1100.0])
    progress = (arrhenius(3e-4, 210.0, temperature, REFERENCE_TEMPERATURE) * time) ** 0.13
    inputs = {"time": time, "temperature": temperature}
    np.testing.assert_allclose(tempering(inputs, numbers(**SOFT)), 58.0 * np.exp(-progress), rtol=1e-12)


def test_tempering_on_the_rockwell_scale_is_the_decay_of_vickers_hardness() -> None:
    time, temperature = np.meshgrid([0.0, 10.0, 3600.0, 86400.0], [373.15, 673.15, 873.15])
    progress = (arrhenius(3e-4, 210.0, temperature, REFERENCE_TEMPERATURE) * time) ** 0.13
    vickers = (1500.0 / (116.0 - 58.0)) ** 2 * np.exp(-progress)
    expected = 116.0 - 1500.0 / np.sqrt(vickers)
    found = tempering_rockwell({"time": time, "temperature": temperature}, numbers(**SOFT))
    readable = expected > 15.0
    assert readable.sum() >= 8
    np.testing.assert_allclose(
        found[readable], expected[readable], atol=2e-3
    )  # 2·softplus(x/2) − x at 15 is 1e-3
    assert (found >= 0.0).all()


@pytest.mark.parametrize(
    ("rockwell", "vickers"), [(20, 238), (30, 302), (40, 392), (50, 513), (60, 697), (65, 832)]
)
def test_rockwell_and_vickers_against_the_table_of_astm_e140(rockwell: float, vickers: float) -> None:
    """The equation itself must hit the table: a steel of 832 HV that has decayed to the given Vickers hardness."""
    initial = 116.0 - 1500.0 / np.sqrt(832.0)
    given_ = numbers(initial_hardness=initial, rate=1.0, activation_energy=200.0, exponent=1.0)
    time = np.log(832.0 / vickers)
    inputs = {"time": np.asarray(time), "temperature": np.asarray(REFERENCE_TEMPERATURE)}
    assert float(tempering_rockwell(inputs, given_)) == pytest.approx(rockwell, abs=1.3)


@pytest.mark.parametrize("model", [tempering, tempering_rockwell], ids=lambda model: model.name)
@pytest.mark.parametrize("exponent", [0.02, 0.12, 1.0])
def test_at_time_zero_the_steel_is_as_quenched(model: Model, exponent: float) -> None:
    inputs = {"time": np.zeros(2), "temperature": np.array([300.0, 1000.0])}
    found = model(inputs, numbers(**{**SOFT, "exponent": exponent}))
    np.testing.assert_allclose(found, 58.0, rtol=1e-12)


def test_avrami_is_the_direct_formula() -> None:
    time, temperature = np.meshgrid([0.0, 1.0, 100.0, 1e4], [773.15, 873.15, 973.15])
    given_ = numbers(rate=2e-3, activation_energy=240.0, exponent=2.5)
    progress = (arrhenius(2e-3, 240.0, temperature, 873.15) * time) ** 2.5
    found = avrami({"time": time, "temperature": temperature}, given_)
    np.testing.assert_allclose(found, -np.expm1(-progress), rtol=1e-11, atol=0)
    assert (np.diff(found, axis=1) >= 0).all()


# every model ------------------------------------------------------------------------------------


def random_inputs(model: Model, draw: np.random.Generator, points: int) -> dict[str, np.ndarray]:
    ranges = {
        "time": (0.0, 1e6 if "temperature" in model.inputs else 400.0),
        "temperature": (1.0, 2500.0),
        "cycles": (0.0, 3.0),
        "dose": (0.0, 50.0),
        "weight": (0.3, 5.0),
    }
    inputs = {name: draw.uniform(*ranges[name], size=(1, points)) for name in model.inputs}
    for name in inputs:
        inputs[name][0, 0] = ranges[name][0]  # the edge, above all time zero
    for name in model.histories:
        inputs[name] = draw.uniform(0.0, 30.0, size=(1, 1, 4))
        inputs[f"{name}_time"] = np.sort(draw.uniform(0.0, 100.0, size=(1, 1, 4)))
    return inputs


def batch_of(inputs: Mapping[str, np.ndarray], tasks: int) -> Batch:
    tensors = {name: torch.tensor(value).expand(tasks, *value.shape[1:]) for name, value in inputs.items()}
    points = max(value.shape[1] for value in inputs.values())
    output = torch.ones(tasks, points, dtype=FLOAT)
    return Batch(tensors, output, output > 0, output[:, :0], tuple(map(str, range(tasks))))


@each_model
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([0.5, 2.0, 5.0]))
def test_laws_hold_for_any_parameters(model: Model, seed: int, scale: float) -> None:
    draw = np.random.default_rng(seed)
    coordinates = torch.tensor(scale * draw.standard_normal((6, len(model.parameters))))
    problem = Problem(model, batch_of(random_inputs(model, draw, 12), 6))
    broken = problem.violation(coordinates)
    assert broken.shape == (len(model.constraints), 6, 12)
    assert torch.isfinite(broken).all()
    assert float(broken.detach().max()) <= 1e-9


@each_model
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([0.5, 2.0, 5.0]))
def test_predictions_and_gradients_are_finite_everywhere(model: Model, seed: int, scale: float) -> None:
    draw = np.random.default_rng(seed)
    coordinates = torch.tensor(scale * draw.standard_normal((6, len(model.parameters))), requires_grad=True)
    problem = Problem(model, batch_of(random_inputs(model, draw, 12), 6))
    prediction = problem.predict(coordinates)
    (slope,) = torch.autograd.grad(prediction.sum(), coordinates, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), coordinates)
    assert torch.isfinite(prediction).all()
    assert torch.isfinite(slope).all()
    assert torch.isfinite(curvature).all()


@each_model
def test_one_equation_gives_the_same_numbers_on_three_libraries(model: Model) -> None:
    pytensor = pytest.importorskip("pytensor")
    draw = np.random.default_rng(7)
    inputs = random_inputs(model, draw, 9)
    coordinates = draw.standard_normal((5, 1, len(model.parameters)))
    on_numpy = np.asarray(model.at(coordinates, inputs))
    on_torch = model.at(
        torch.tensor(coordinates), {name: torch.tensor(value) for name, value in inputs.items()}
    )
    variables = {name: pytensor.tensor.tensor(name, shape=value.shape) for name, value in inputs.items()}
    free = pytensor.tensor.tensor("free", shape=coordinates.shape)
    graph = model.at(free, variables)
    given_ = {free: coordinates, **{variables[name]: value for name, value in inputs.items()}}
    on_pytensor = graph.eval(given_, mode="FAST_COMPILE")
    assert on_numpy.shape == on_pytensor.shape == tuple(on_torch.shape) == (5, 9)
    np.testing.assert_allclose(on_torch.numpy(), on_numpy, rtol=1e-12)
    np.testing.assert_allclose(on_pytensor, on_numpy, rtol=1e-12)


# the laws themselves ----------------------------------------------------------------------------


def test_what_breaks_a_law_is_measured_in_the_outputs_unit() -> None:
    x = torch.tensor([[-2.0, 0.0, 3.0]], dtype=FLOAT)
    assert NonNegative().violation(lambda i: i["x"], {"x": x}).tolist() == [[2.0, 0.0, 0.0]]
    assert Bounded(-1.0, 2.0).violation(lambda i: i["x"], {"x": x}).tolist() == [[1.0, 0.0, 1.0]]
    falling = Monotone("x", increasing=False).violation(lambda i: 0.5 * i["x"], {"x": x})
    np.testing.assert_allclose(falling.detach(), [[1.5, 1.5, 1.5]])  # slope 0.5 over the task's range of 3
    assert Monotone("x", increasing=True).violation(lambda i: 0.5 * i["x"], {"x": x}).tolist() == [
        [0.0, 0.0, 0.0]
    ]


def test_what_one_task_breaks_does_not_depend_on_another() -> None:
    law = Monotone("x", increasing=False)
    both = torch.tensor([[1.0, 2.0], [100.0, 200.0]], dtype=FLOAT)
    together = law.violation(lambda i: i["x"] ** 2, {"x": both})[0]
    alone = law.violation(lambda i: i["x"] ** 2, {"x": both[:1]})[0]
    np.testing.assert_array_equal(together.detach(), alone.detach())


def test_laws_in_words() -> None:
    assert NonNegative().law == "not below zero"
    assert Bounded(0.0, 1.0).law == "between 0 and 1"
    assert Bounded(lower=1.0).law == "not below 1"
    assert Bounded(upper=1.0).law == "not above 1"
    assert Monotone("time", increasing=False).law == "falling with time"
    assert NonNegative().limits == (0.0, float("inf"))


def test_bases_that_say_nothing_of_their_own_cannot_be_made() -> None:
    from metasci.constraints.law import Constraint
    from metasci.meta.named_tensors import NamedTensors
    from metasci.noise import Noise
    from metasci.patients.effects import Effect

    for base, arguments in ((Constraint, ()), (NamedTensors, ()), (Noise, ((1.0,),)), (Effect, ("weight",))):
        with pytest.raises(TypeError, match="abstract"):
            base(*arguments)
