"""Compartments in closed form and along records, against SciPy's solvers and against each other."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

import metasci as ms
from metasci.data.tasks import Batch
from metasci.errors import InputError
from metasci.meta.problem import Problem
from metasci.parameters import Parameter
from metasci.patients.compartments import Structure, compartment_model
from metasci.patients.disposition import modes
from metasci.patients.effects import Category, Exponential, Linear, Maturation, Occasion, Power, factors
from metasci.patients.regimen import DoseArrays
from metasci.patients.superposition import mean_survival
from metasci.units import convert

FLOAT = torch.float64
NEVER = float("inf")
KINDS = [(n, absorption) for n in (1, 2, 3) for absorption in ("none", "first-order", "zero-order")]


def doses(amount, time, duration=0.0, interval=0.0, until=NEVER) -> DoseArrays:
    rows = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(v, float)) for v in (amount, time, duration, interval, until))
    )
    return DoseArrays(*(row[None] for row in rows))


def solved(structure: Structure, values: dict[str, float], given: DoseArrays, at: np.ndarray) -> np.ndarray:
    """Concentrations by SciPy, restarted at every break."""
    amount, start, duration = given.amount[0], given.time[0] + values.get("lag", 0.0), given.duration[0]
    if structure.bioavailability and structure.bioavailability_keeps == "rate":
        duration = values["bioavailability"] * duration
    if structure.absorption == "zero-order":
        duration = np.full_like(start, values["absorption_duration"])
    if structure.absorption == "first-order":
        duration = np.zeros_like(start)
    size = structure.compartments
    volume = [values[name] for name in structure.volumes]
    exchange = [values[name] for name in structure.exchanges]
    oral = structure.absorption == "first-order"
    fraction = values.get("bioavailability", 1.0)

    def rate(state: np.ndarray, inflow: float) -> np.ndarray:
        change = np.zeros_like(state)
        change[0] = inflow - values["clearance"] / volume[0] * state[0]
        for k in range(1, size):
            flux = exchange[k - 1] * (state[0] / volume[0] - state[k] / volume[k])
            change[0] -= flux
            change[k] += flux
        if oral:
            change[0] += values["absorption_rate"] * state[-1]
            change[-1] = -values["absorption_rate"] * state[-1]
        return change

    breaks = np.unique(np.concatenate([[0.0], start, start + duration, at]))
    state, found = np.zeros(size + oral), {}
    for here, there in zip(breaks, np.append(breaks[1:], breaks[-1]), strict=True):
        state[-1 if oral else 0] += fraction * amount[(start == here) & (duration == 0.0)].sum()
        found[here] = state[0] / volume[0]
        middle = 0.5 * (here + there)
        on = (start <= middle) & (middle < start + duration)
        inflow = fraction * (amount[on] / duration[on]).sum() if on.any() else 0.0
        if there > here:
            state = solve_ivp(
                lambda _, x, inflow=inflow: rate(x, inflow),
                (here, there),
                state,
                "DOP853",
                rtol=1e-12,
                atol=1e-13,
            ).y[:, -1]
    return np.array([found[time] for time in at])


@pytest.mark.parametrize(("compartments", "absorption"), KINDS)
@pytest.mark.parametrize("lag", [False, True])
def test_closed_forms_agree_with_a_solver(compartments: int, absorption: str, lag: bool) -> None:
    random = np.random.default_rng(10 * compartments + lag)
    structure = Structure(compartments, absorption, lag, bioavailability=lag)
    for _ in range(3):
        values = {p.name: float(p.to_physical(random.normal())) for p in structure.parameters("h", "L")}
        start = np.sort(random.uniform(0, 24, 4))
        given = doses(random.uniform(50, 200, 4), start, np.where(random.random(4) < 0.5, 0.0, 3.0))
        at = np.sort(random.uniform(0, 40, 8))
        expected = solved(structure, values, given, at)
        np.testing.assert_allclose(
            structure.concentration(at, given, values), expected, rtol=1e-8, atol=1e-8 * expected.max()
        )


@pytest.mark.parametrize(("compartments", "absorption"), KINDS)
@pytest.mark.parametrize("duration", [0.0, 2.0])
def test_steady_state_is_what_a_very_long_treatment_leads_to(
    compartments: int, absorption: str, duration: float
) -> None:
    structure = Structure(compartments, absorption, lag=absorption != "none")
    values = {p.name: p.typical for p in structure.parameters("h", "L")}
    at = np.array([0.0, 0.1, 0.25, 1.0, 3.0, 8.0, 20.0])
    steady = structure.concentration(at, doses(100.0, 0.0, duration, 8.0), values)
    long = structure.concentration(at, doses(100.0, -8.0 * np.arange(3000), duration), values)
    np.testing.assert_allclose(steady, long, rtol=1e-10)


def test_a_long_infusion_beside_a_steady_state_stays_finite() -> None:
    zero = np.zeros((2, 1, 1))
    amount, lasting, interval = (
        np.array(pair)[:, None, None] for pair in ((100.0, 20000.0), (0.0, 2000.0), (12.0, 0.0))
    )
    given_doses = DoseArrays(amount, zero, lasting, interval, zero + NEVER)
    values = {"clearance": np.full((2, 1), 40.0), "volume": np.full((2, 1), 40.0)}
    found = Structure(1).concentration(np.full((2, 1), 10.0), given_doses, values)
    np.testing.assert_allclose(found[1], 10.0 / 40.0 * (1.0 - np.exp(-10.0)), rtol=1e-12)


def test_a_lag_of_more_than_an_interval_at_steady_state_moves_the_curve() -> None:
    structure, zero = Structure(1, lag=True), np.zeros((1, 1))
    given_doses = DoseArrays(zero + 100.0, zero, zero, zero + 4.0, zero + NEVER)
    at = np.array([0.5, 1.5, 3.9])
    values = {"clearance": 5.0, "volume": 40.0, "lag": 9.0}
    short = structure.concentration(at, given_doses, {**values, "lag": 1.0})
    np.testing.assert_allclose(structure.concentration(at, given_doses, values), short, rtol=1e-12)


def test_rates_that_meet_lose_no_accuracy() -> None:
    at, given = np.array([0.5, 2.0, 9.0]), doses(100.0, 0.0)
    structure = Structure(1, "first-order")
    for apart in (0.0, 1e-12, 1e-9, 1e-6, 1e-4, 1e-3):
        values = {"clearance": 5.0, "volume": 10.0, "absorption_rate": 0.5 * (1.0 + apart)}
        np.testing.assert_allclose(
            structure.concentration(at, given, values), solved(structure, values, given, at), rtol=1e-9
        )
    three = {"clearance": 5.0, "central_volume": 10.0, "peripheral_volume": 20.0, "deep_volume": 40.0,
             "exchange_clearance": 2.0, "deep_exchange_clearance": 4.0}  # fmt: skip
    for values in (three, {**three, "exchange_clearance": 1e-9}):  # equal returns; a compartment cut off
        np.testing.assert_allclose(
            Structure(3).concentration(at, given, values), solved(Structure(3), values, given, at), rtol=1e-8
        )
    fast = modes(*(np.array(v) for v in (1.0, 1.0)), (np.array(1e-14), np.array(1e-14)))
    assert np.isfinite(fast.rate).all()
    assert np.isfinite(fast.share).all()


@pytest.mark.parametrize("compartments", [1, 2, 3])
def test_derivatives_are_those_of_finite_differences_where_rates_meet(compartments: int) -> None:
    structure = Structure(compartments, "first-order")
    names = [p.name for p in structure.parameters("h", "L")]
    start = {p.name: p.typical for p in structure.parameters("h", "L")}
    start["absorption_rate"] = float(
        modes(start["clearance"], *(start[v] for v in structure.volumes[:1]),
              *((start[q], start[v]) for q, v in zip(structure.exchanges, structure.volumes[1:], strict=True))).rate[-1]
    ) if compartments > 1 else start["clearance"] / start["volume"]  # fmt: skip
    at = torch.tensor([1.0, 6.0], dtype=FLOAT)
    given = DoseArrays(*(torch.as_tensor(v) for v in vars(doses(100.0, 0.0)).values() if v is not None))

    def total(logs: torch.Tensor) -> torch.Tensor:
        values = {name: logs[i].exp() for i, name in enumerate(names)}
        return structure.concentration(at, given, values).sum()

    here = torch.tensor([np.log(start[name]) for name in names], dtype=FLOAT)
    assert torch.autograd.gradcheck(total, here.clone().requires_grad_(), rtol=1e-5, atol=1e-7)
    assert torch.autograd.gradgradcheck(total, here.clone().requires_grad_(), rtol=1e-4, atol=1e-5)


WEIGHT = {"clearance": [Power("weight", "kg", 70.0, 0.75)]}


def random_inputs(
    absorption: str, tasks: int = 5, events: int = 4, observed: int = 6
) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=FLOAT)

    time, start = uniform(tasks, observed) * 40.0, uniform(tasks, 1, events) * 24.0
    duration = torch.where(uniform(tasks, 1, events) < 0.5, 0.0, 3.0 * uniform(tasks, 1, events))
    if absorption != "none":
        duration = torch.zeros_like(duration)
    interval, until = torch.zeros_like(start), torch.full_like(start, NEVER)
    interval[0, 0, 2] = 6.0
    until[0, 0] = torch.where(start[0, 0] < start[0, 0, 2], start[0, 0, 2], NEVER)
    until[1, 0] = torch.where(start[1, 0] < 12.0, 12.0, NEVER)
    return {
        "time": time, "weight": torch.full_like(time, 50.0), "dose": 100.0 * uniform(tasks, 1, events),
        "dose_time": start, "dose_duration": duration, "dose_interval": interval, "dose_until": until,
    }  # fmt: skip


@pytest.mark.parametrize("compartments", [1, 2, 3])
@pytest.mark.parametrize("absorption", ["none", "first-order"])
def test_records_agree_with_superposition_where_nothing_changes(compartments: int, absorption: str) -> None:
    structure, inputs = Structure(compartments, absorption), random_inputs(absorption)
    still = compartment_model(structure, name="test_still", effects=WEIGHT)
    moving = compartment_model(structure, name="test_moving", effects=WEIGHT, changing=("weight",))
    z = torch.zeros(5, 1, len(still.parameters), dtype=FLOAT)
    told = {"dose_weight": torch.full_like(inputs["dose"], 50.0)}
    torch.testing.assert_close(moving.at(z, inputs | told), still.at(z, inputs), rtol=1e-9, atol=1e-12)
    # every half an hour, so that infusions run beside each other
    again = inputs["dose_interval"] > 0.0
    often = inputs | {"dose_interval": torch.where(again, 0.5, 0.0).to(FLOAT)}
    if absorption == "none":
        often |= {"dose_duration": torch.where(again, 1.3, inputs["dose_duration"])}
    torch.testing.assert_close(moving.at(z, often | told), still.at(z, often), rtol=1e-9, atol=1e-12)


def test_records_with_a_weight_that_changes_agree_with_a_solver() -> None:
    model = compartment_model(
        Structure(1, "first-order"), name="test_change", effects=WEIGHT, changing=("weight",)
    )
    row = {"dose": [100.0, 80.0, 0.0], "dose_time": [0.0, 6.0, 10.0], "dose_weight": [70.0, 35.0, 140.0]}
    inputs = {key: torch.tensor([[value]], dtype=FLOAT) for key, value in row.items()}
    blank = torch.zeros_like(inputs["dose"])
    inputs |= {"dose_duration": blank, "dose_interval": blank, "dose_until": blank + NEVER}
    inputs |= {"time": torch.tensor([[3.0, 8.0, 15.0]], dtype=FLOAT),
               "weight": torch.tensor([[70.0, 35.0, 140.0]], dtype=FLOAT)}  # fmt: skip
    found = model.at(torch.zeros(1, 1, 3, dtype=FLOAT), inputs)[0].numpy()
    clearance, volume, speed = 5.0, 40.0, 1.0

    def rate(time: float, state: np.ndarray) -> list[float]:
        weight = 70.0 if time < 6.0 else (35.0 if time < 10.0 else 140.0)
        out = clearance * (weight / 70.0) ** 0.75 / volume
        return [-speed * state[0], speed * state[0] - out * state[1]]

    state, expected = np.array([100.0, 0.0]), {}
    for here, there in ((0.0, 3.0), (3.0, 6.0), (6.0, 8.0), (8.0, 10.0), (10.0, 15.0)):
        state = solve_ivp(rate, (here, np.nextafter(there, 0)), state, "DOP853", rtol=1e-12, atol=1e-13).y[
            :, -1
        ]
        expected[there] = state[1] / volume
        if there == 6.0:
            state = state + np.array([80.0, 0.0])
    np.testing.assert_allclose(found, [expected[time] for time in (3.0, 8.0, 15.0)], rtol=1e-8)


@pytest.mark.parametrize("compartments", [1, 2, 3])
def test_doses_by_mouth_and_into_a_vein_of_one_patient_agree_with_a_solver(compartments: int) -> None:
    structure = Structure(compartments, "first-order", lag=True, bioavailability=True)
    model = compartment_model(structure, name="test_routes")
    rows = {"dose": [50.0, 100.0, 80.0], "dose_time": [0.0, 4.0, 9.0], "dose_duration": [0.0, 0.0, 2.0],
            "dose_compartment": [2.0, 1.0, 2.0], "dose_interval": [0.0] * 3, "dose_until": [NEVER] * 3}  # fmt: skip
    inputs = {name: np.array([values]) for name, values in rows.items()}
    values = {parameter.name: parameter.typical for parameter in model.parameters}
    at = np.array([1.0, 4.2, 6.0, 10.0, 14.0])
    exchange = [
        (values[q], values[v]) for q, v in zip(structure.exchanges, structure.volumes[1:], strict=True)
    ]
    centre = values[structure.volumes[0]]

    def rate(time: float, state: np.ndarray) -> np.ndarray:
        gut, central, *others = state
        entering = 40.0 if 9.0 <= time < 11.0 else 0.0
        slopes = [-values["absorption_rate"] * gut,
                  values["absorption_rate"] * gut - values["clearance"] / centre * central + entering]  # fmt: skip
        for (flow, volume), amount in zip(exchange, others, strict=True):
            net = flow * (central / centre - amount / volume)
            slopes[1] -= net
            slopes.append(net)
        return np.array(slopes)

    stops = sorted({0.0, 4.25, 9.0, 11.0, *at})
    state, expected = np.zeros(compartments + 1), {}
    for here, there in pairwise(stops):
        state[1] += 50.0 * (here == 0.0)
        state[0] += values["bioavailability"] * 100.0 * (here == 4.25)
        span = (here, np.nextafter(there, 0.0))
        state = solve_ivp(rate, span, state, "DOP853", rtol=1e-12, atol=1e-12).y[:, -1]
        expected[there] = state[1] / centre
    found = model({"time": at, **inputs}, values)
    np.testing.assert_allclose(found, [expected[time] for time in at], rtol=1e-8)


def test_a_steady_state_without_elimination_is_lost_alone() -> None:
    structure, inputs = Structure(1, "first-order"), random_inputs("first-order")
    moving = compartment_model(structure, name="test_moving", effects=WEIGHT, changing=("weight",))
    inputs |= {"dose_weight": torch.full_like(inputs["dose"], 50.0)}
    z = torch.zeros(5, 1, 3, dtype=FLOAT)
    usual = moving.at(z, inputs)
    z[0, 0, 0] = -300.0  # of a clearance that is nothing; this task has a steady state
    found = moving.at(z, inputs)
    assert not bool(torch.isfinite(found[0]).all())
    torch.testing.assert_close(found[1:], usual[1:], rtol=0.0, atol=0.0)


def test_slopes_of_a_model_that_follows_records_are_those_of_the_closed_form() -> None:
    structure, inputs = Structure(2, "first-order"), random_inputs("first-order")
    still = compartment_model(structure, name="test_still", effects=WEIGHT)
    moving = compartment_model(structure, name="test_moving", effects=WEIGHT, changing=("weight",))
    told = inputs | {"dose_weight": torch.full_like(inputs["dose"], 50.0)}
    mask = torch.ones(5, 6, dtype=torch.bool)
    z = 0.3 * torch.randn(5, len(still.parameters), generator=torch.Generator().manual_seed(2), dtype=FLOAT)
    lines = []
    for model, given in ((still, inputs), (moving, told)):
        batch = Batch(given, mask.to(FLOAT), mask, torch.zeros(5, 0), tuple("abcde"))
        lines.append(Problem(model, batch).linearise(z, torch.tensor([-1.0], dtype=FLOAT)))
    torch.testing.assert_close(lines[1].jacobian, lines[0].jacobian, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(lines[1].variance, lines[0].variance, rtol=1e-8, atol=1e-12)


def test_tasks_in_groups_are_predicted_as_in_one_padded_batch() -> None:
    model = compartment_model(Structure(2), name="test_ragged")
    tasks, events, observed = 300, 60, 20
    generator = torch.Generator().manual_seed(3)
    few = torch.randint(1, events, (tasks,), generator=generator) ** 2 // events + 1
    seen = torch.randint(0, observed + 1, (tasks,), generator=generator)
    given = (torch.arange(events) < few[:, None]).to(FLOAT)[:, None]
    blank = torch.zeros_like(given)
    inputs = {
        "time": torch.arange(observed, dtype=FLOAT).expand(tasks, -1).clone(), "dose": 10.0 * given,
        "dose_time": given * torch.arange(events, dtype=FLOAT), "dose_duration": 0.3 * given,
        "dose_interval": blank, "dose_until": blank + NEVER,
    }  # fmt: skip
    mask = torch.arange(observed) < seen[:, None]
    batch = Batch(inputs, mask.to(FLOAT), mask, torch.zeros(tasks, 0), tuple(map(str, range(tasks))))
    problem = Problem(model, batch)
    assert problem.ragged is not None
    assert len(problem.ragged.groups) > 5
    for group in problem.ragged.groups:  # no wider than its members need: neither padding nor what is never
        assert group.inputs["dose"].shape[-1] == int(few[group.index].max())
    z = torch.randn(tasks, len(model.parameters), generator=generator, dtype=FLOAT)
    whole = model.at(z[:, None, :], inputs)
    torch.testing.assert_close(problem.predict(z)[mask], whole[mask], rtol=1e-12, atol=1e-14)
    jacobian = problem.linearise(z, torch.zeros(1, dtype=FLOAT)).jacobian
    few_tasks = problem.select(torch.arange(3))
    assert few_tasks.ragged is None
    alone = few_tasks.linearise(z[:3], torch.zeros(1, dtype=FLOAT)).jacobian
    torch.testing.assert_close(jacobian[:3][mask[:3]], alone[mask[:3]], rtol=1e-10, atol=1e-13)


def test_effects_are_what_their_formulas_say() -> None:
    slope = Parameter("slope", typical=0.1)
    effects = {
        "clearance": [
            Power("weight", "kg", 70.0, 0.75),
            Maturation("age", "week", 47.7, 3.4),
            Linear("albumin", "g/L", 40.0, slope),
        ],
        "volume": [Exponential("age", "week", 40.0, 0.01), Category("sex", code=2.0, times=0.8)],
    }  # fmt: skip
    covariates = {
        "weight": np.array(35.0),
        "age": np.array(60.0),
        "albumin": np.array(45.0),
        "sex": np.array(2.0),
    }
    found = factors(effects, {"clearance": 10.0, "volume": 50.0, "slope": 0.1}, covariates)
    ripe = 60.0**3.4 / (60.0**3.4 + 47.7**3.4)
    assert float(found["clearance"]) == pytest.approx(10.0 * 0.5**0.75 * ripe * 1.5, rel=1e-12)
    assert float(found["volume"]) == pytest.approx(50.0 * np.exp(0.2) * 0.8, rel=1e-12)
    with pytest.raises(InputError, match="an effect is on 'flow'"):
        factors({"flow": effects["volume"]}, {"clearance": 1.0}, covariates)


def test_a_straight_effect_ends_at_a_thousandth() -> None:
    """1 + slope (x − centre), and never less than 0.001."""
    found = Linear("albumin", "g/L", 40.0, -0.1).factor(np.array([40.0, 49.0, 49.985, 49.995, 60.0]), {})
    np.testing.assert_allclose(found, [1.0, 0.1, 0.0015, 0.001, 0.001], rtol=1e-9)


def test_occasions_move_a_parameter_each_on_its_own() -> None:
    effect = Occasion(parameter="clearance", count=2)
    learned = {"clearance_occasion_1": 0.5, "clearance_occasion_2": -0.5}
    number = np.array([0.0, 1.0, 2.0, 3.0])  # none is 0, as where a record was padded
    np.testing.assert_allclose(effect.factor(number, learned), np.exp([0.0, 0.5, -0.5, 0.0]))


def test_what_is_left_of_a_very_short_infusion_has_its_value_and_both_slopes() -> None:
    """(1 − e⁻ˣ)/x = 1 − x/2 + x²/6 − …, however small x is: no line of a formula divides by it."""
    small = torch.tensor([0.0, 1e-9, 1e-6, 9.9e-6, 1.1e-5, 1e-3], dtype=FLOAT, requires_grad=True)
    left = mean_survival(small)
    x = small.detach()
    torch.testing.assert_close(left.detach(), 1.0 - x / 2.0 + x**2 / 6.0 - x**3 / 24.0, rtol=1e-13, atol=0.0)
    (slope,) = torch.autograd.grad(left.sum(), small, create_graph=True)
    torch.testing.assert_close(slope.detach(), -0.5 + x / 3.0 - x**2 / 8.0, rtol=1e-7, atol=0.0)
    (bend,) = torch.autograd.grad(slope.sum(), small)
    assert bend[x < 1e-5].tolist() == pytest.approx([1.0 / 3.0] * 4, abs=1e-5)


def test_a_structure_that_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="1, 2 or 3 compartments, not 4"):
        Structure(4)
    with pytest.raises(InputError, match="absorption is one of"):
        Structure(1, "by magic")
    with pytest.raises(InputError, match="'height' changes, but no effect takes it"):
        compartment_model(Structure(1), name="test_odd", changing=("height",))
    assert dataclasses.asdict(Structure(2))["compartments"] == 2


@pytest.mark.parametrize(("time", "volume"), [("s", "L"), ("min", "mL"), ("week", "L")])
def test_ordinary_values_are_the_same_in_any_unit(time: str, volume: str) -> None:
    """Five litres an hour are five litres an hour, whatever they are told in."""
    known = {
        parameter.name: parameter for parameter in Structure(2, "first-order", lag=True).parameters("h", "L")
    }
    for parameter in Structure(2, "first-order", lag=True).parameters(time, volume):
        other = known[parameter.name]
        assert float(convert(parameter.typical, parameter.unit, other.unit)) == pytest.approx(other.typical)


def test_a_unit_that_is_no_time_is_refused() -> None:
    with pytest.raises(InputError, match="time: 'kg' cannot be converted to 'h'"):
        compartment_model(Structure(1), name="wrong_time", time="kg")


def test_the_old_name_of_dose_arrays_says_the_new() -> None:
    with pytest.warns(DeprecationWarning, match="DoseArrays"):
        from metasci.patients import Doses
    assert Doses is ms.patients.DoseArrays is DoseArrays
    assert not hasattr(ms.patients, "Dozes")
