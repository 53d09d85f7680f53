"""Few tasks on NumPy arrays: the same numbers and slopes as on tensors, and as SciPy's; meshes that are kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from metasci import math
from metasci.duals import Dual
from metasci.ode import Doses, solve
from metasci.ode.array_meshes import keeping
from metasci.ode.few import together
from metasci.ode.tangents import along

F64 = torch.float64


def binding(time: Any, state: Any, p: Any) -> Any:
    """A drug that binds to its target, and how far time matters."""
    drug, target = state[..., 0], state[..., 1]
    bound = p["on"] * drug * target
    return math.stack(
        [-p["out"] * drug - bound, 1.0 - 0.1 * target - bound * (1.0 + 0.1 * math.cos(0.3 * time))]
    )


def on_tensors(time: Any, state: Any, p: Any) -> Any:
    """The same, but of tensors only."""
    return binding(time, state, p) + 0.0 * torch.relu(state)


GIVEN = {
    "amount": [[10.0, 5.0], [8.0, 4.0]],
    "time": [[0.0, 6.0], [1.0, 7.0]],
    "duration": [[0.0, 2.0], [0.0, 0.0]],
}


def states(rate: Any, method: str, kind: str, values: dict[str, torch.Tensor]) -> torch.Tensor:
    """States of two patients at three times; what moves with parameters: amounts, and times and durations too."""
    tasks = len(values["on"])
    columns = {name: torch.tensor(v, dtype=F64).repeat(tasks // 2, 1) for name, v in GIVEN.items()}
    if kind == "late":
        columns["time"] = columns["time"] + values["lag"][:, None]
    if kind == "repeated":
        columns = {name: column[:, :1] for name, column in columns.items()}
        columns["interval"] = torch.full_like(columns["time"], 12.0)
    held = {}
    if kind == "held":
        held = {"out": torch.stack([values["out"], 2.0 * values["out"]], 1)}
        values = {name: value for name, value in values.items() if name != "out"}
    columns["amount"] = columns["amount"] * values["share"][:, None]
    initial = torch.stack([0.0 * values["on"], values["base"]], 1)
    times = torch.tensor([[0.5, 6.5, 16.0]], dtype=F64).repeat(tasks, 1)
    kept = {name: value for name, value in values.items() if name in ("on", "out")}
    return solve(
        rate, initial, times, kept, Doses(**columns, held=held), method=method, relative=1e-8, absolute=1e-10
    ).states


NAMES = ("on", "out", "share", "base", "lag")
AT = torch.tensor([[0.4, 0.6], [0.05, 0.1], [1.0, 0.8], [9.0, 10.0], [0.3, 0.6]], dtype=F64)


def jacobian(rate: Any, method: str, kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """States and their slopes along every parameter, a copy of both patients for each."""
    size = len(NAMES)
    values = {name: AT[place].repeat(size) for place, name in enumerate(NAMES)}
    moved = {name: torch.zeros(size, 2, dtype=F64) for name in NAMES}
    for place, name in enumerate(NAMES):
        moved[name][place] = 1.0
    turned = {name: each.reshape(-1) for name, each in moved.items()}
    with torch.no_grad(), together(size):
        return along(lambda v: states(rate, method, kind, v), (values,), (turned,))


@pytest.mark.parametrize("kind", ["plain", "late", "held", "repeated"])
@pytest.mark.parametrize("method", ["explicit", "stiff"])
def test_states_and_their_slopes_are_those_on_tensors(method: str, kind: str) -> None:
    found, slopes = jacobian(binding, method, kind)
    expected, known = jacobian(on_tensors, method, kind)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(slopes, known, rtol=1e-7, atol=1e-8)
    # the slopes differ from zero wherever they should: where a state began does not matter since forever
    matter = 3 if kind == "repeated" else 4
    assert bool((slopes.reshape(5, 2, 3, 2)[:matter].abs() > 1e-9).any(-1)[..., 1:].all())


def test_slopes_are_the_differences_of_scipys_solutions() -> None:
    def solved(on: float, out: float) -> np.ndarray:
        rate = lambda t, x: binding(t, x, {"on": on, "out": out})  # noqa: E731
        at = solve_ivp(rate, (0.0, 6.0), [10.0, 9.0], "LSODA", [0.5, 6.0], rtol=1e-12, atol=1e-12).y
        return at[:, 0]

    _, slopes = jacobian(binding, "stiff", "plain")
    of_first = slopes.reshape(5, 2, 3, 2)[:, 0, 0]
    for place, (more, less) in enumerate([((0.4001, 0.05), (0.3999, 0.05)), ((0.4, 0.0501), (0.4, 0.0499))]):
        np.testing.assert_allclose(
            of_first[place].numpy(), (solved(*more) - solved(*less)) / 2e-4, rtol=1e-5, atol=1e-8
        )


@pytest.mark.parametrize("method", ["explicit", "stiff"])
@pytest.mark.parametrize("kind", ["late", "held", "repeated"])
def test_a_mesh_that_is_kept_gives_the_states_of_one_that_is_searched(method: str, kind: str) -> None:
    factors, found = (1.0, 1.02, 1.8), []
    with keeping():
        for factor in factors:
            values = {name: factor * AT[place] for place, name in enumerate(NAMES)}
            found.append(states(binding, method, kind, values))
    for factor, again in zip(factors, found, strict=True):
        values = {name: factor * AT[place] for place, name in enumerate(NAMES)}
        torch.testing.assert_close(again, states(binding, method, kind, values), rtol=2e-7, atol=1e-8)


def test_a_kept_mesh_is_left_where_its_steps_are_too_long() -> None:
    """A rate a thousand times as fast: the old steps would be off by orders of magnitude."""
    one = torch.ones(1, 1, dtype=F64)
    decay = lambda time, state, p: -p["k"][:, None] * state  # noqa: E731
    with keeping():
        for k in (0.01, 10.0):
            found = solve(decay, one, one, {"k": k * one[0]})
            assert bool(found.converged)
            assert found.states.item() == pytest.approx(np.exp(-k), rel=1e-7)


def test_a_mesh_is_kept_within_the_attempts_that_are_allowed() -> None:
    """A quarter of the tolerance asks for more attempts: as few as do without it must do with it."""
    one = torch.ones(1, 1, dtype=F64)
    turn = lambda time, state, p: -p["k"][:, None] * state * (1.0 + math.cos(8.0 * time))[:, None]  # noqa: E731

    def converges(most: int) -> bool:
        return bool(solve(turn, one, 20.0 * one, {"k": one[0]}, most=most).converged)

    enough = next(most for most in range(10, 400) if converges(most))
    assert enough > 10
    with keeping():
        assert converges(enough)


def test_a_rate_that_is_another_on_arrays_is_left_to_tensors() -> None:
    def odd(time: Any, state: Any, p: Any) -> Any:
        return -state if isinstance(state, torch.Tensor) else -2.0 * state

    one = torch.ones(1, 1, dtype=F64)
    assert solve(odd, one, one, {}).states.item() == pytest.approx(np.exp(-1.0), rel=1e-8)


def test_tasks_that_are_no_copies_of_each_other_keep_their_own_slopes() -> None:
    """Two tasks within a pass for two directions: each is differentiated along its own."""
    k = torch.tensor([0.5, 2.0], dtype=F64)
    decay = lambda time, state, p: -p["k"][:, None] * state  # noqa: E731
    one = torch.ones(2, 1, dtype=F64)
    with torch.no_grad(), together(2):
        _, slope = along(
            lambda k: solve(decay, one, one, {"k": k}).states[:, 0, 0], (k,), (torch.ones_like(k),)
        )
    np.testing.assert_allclose(slope.numpy(), -np.exp(-k.numpy()), rtol=1e-7)


def test_parameters_that_are_broadcast_are_solved() -> None:
    """One number seen by three tasks: it has no place of its own for a tangent of each."""
    k, one = torch.tensor([0.5], dtype=F64).expand(3), torch.ones(3, 1, dtype=F64)
    found = solve(lambda time, state, p: -p["k"][:, None] * state, one, one, {"k": k}).states
    np.testing.assert_allclose(found.ravel().numpy(), np.exp(-0.5), rtol=1e-8)


def test_a_shared_parameter_that_moves_has_its_slope() -> None:
    decay = lambda time, state, p: -p["k"] * state  # noqa: E731
    one = torch.ones(2, 1, dtype=F64)
    k = torch.tensor([0.5, 0.5], dtype=F64)[:1]
    with torch.no_grad():
        _, slope = along(
            lambda k: solve(decay, one + 0.0 * k, one, {"k": k}, shared=["k"]).states[:, 0, 0],
            (k,),
            (torch.ones_like(k),),
        )
    np.testing.assert_allclose(slope.numpy(), -np.exp(-0.5) * np.ones(2), rtol=1e-7)


def of_two(x: Any, y: Any) -> Any:
    """Every function that duals know, of two numbers."""
    first = math.exp(-x) * y**2.5 + math.log(x + y) / math.sqrt(y) - math.tanh(x * y)
    second = math.where(x > 1.0, x * y, x / y) + math.maximum(x, 0.5 * y) ** x + math.minimum(x, y) ** 2
    third = 2.0**x + (x - y) / (1.0 - x * y) + math.expm1(x) * math.log1p(y)
    fourth = math.cos(x) * math.arccos(0.1 * y) + math.log_gamma(x + 1.0) - 3.0 * abs(x - y)
    return math.stack([first + second, third, fourth, math.sum(math.stack([x, y, x * y])) + 1.0 / x])


def test_duals_of_duals_hold_second_derivatives() -> None:
    x, y = 0.7, 0.4
    random = np.random.default_rng(0).normal(size=(3, 2, 1))
    inner = [Dual(np.array([v]), random[:, place]) for place, v in enumerate((x, y))]
    unit = np.eye(2)[..., None]
    outer = [Dual(v, Dual(unit[:, place], np.zeros((3, 2, 1)))) for place, v in enumerate(inner)]
    found = of_two(*outer)
    at = torch.tensor([x, y], dtype=F64)
    for place in range(4):
        component = lambda z, place=place: of_two(z[0:1], z[1:2])[0, place]  # noqa: E731
        slope = torch.autograd.functional.jacobian(component, at).numpy()
        hessian = torch.autograd.functional.hessian(component, at).numpy()
        assert found.value.value[0, place] == pytest.approx(float(component(at)), rel=1e-13)
        np.testing.assert_allclose(found.value.slope[:, 0, place], random[..., 0] @ slope, rtol=1e-10)
        np.testing.assert_allclose(found.slope.value[:, 0, place], slope, rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(
            found.slope.slope[..., 0, place], random[..., 0] @ hessian, rtol=1e-9, atol=1e-12
        )


@pytest.mark.parametrize("method", ["explicit", "stiff"])
def test_tasks_that_take_many_steps_are_led_on_without_the_others(method: str) -> None:
    """Seven oscillators from one turn to hundreds, one that is lost, and one that is only asked where it begins."""
    turns = torch.tensor([1.0, 2.0, 3.0, 5.0, 40.0, 60.0, 300.0, 1.0, 1.0], dtype=F64)
    growth = torch.tensor([0.0] * 7 + [1e6, 0.0], dtype=F64)
    end = torch.tensor([1.0] * 8 + [0.0], dtype=F64)

    def turning(time: Any, state: Any, p: Any) -> Any:
        first, second = state[..., 0], state[..., 1]
        speed = 2.0 * np.pi * p["turns"]
        return math.stack([speed * second + p["growth"] * first * first, -speed * first])

    begin = torch.tensor([[1.0, 0.0]], dtype=F64).repeat(9, 1)
    times = end[:, None] * torch.tensor([0.3, 1.0], dtype=F64)
    found = solve(turning, begin, times, {"turns": turns, "growth": growth}, method=method, most=20_000)
    phase = (2.0 * np.pi * turns[:, None] * times).numpy()
    expected = np.stack([np.cos(phase), -np.sin(phase)], -1)
    sound = np.array([True] * 7 + [False, True])
    assert found.converged.tolist() == sound.tolist()
    np.testing.assert_allclose(found.states.numpy()[sound], expected[sound], atol=1e-4)
    for task in range(9):
        alone = {"turns": turns[task : task + 1], "growth": growth[task : task + 1]}
        own = solve(turning, begin[:1], times[task : task + 1], alone, method=method, most=20_000)
        assert own.steps.tolist() == found.steps[task : task + 1].tolist()
        torch.testing.assert_close(own.states[0], found.states[task], rtol=1e-7, atol=1e-9, equal_nan=True)
