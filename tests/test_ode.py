"""Differential equations against SciPy, closed forms, differences, and against themselves in other modes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from metasci.errors import InputError
from metasci.ode import Doses, Solution, make_plan, solve
from metasci.ode.methods import System
from metasci.ode.order_eight import tableau

FLOAT = torch.float64
both_methods = pytest.mark.parametrize("method", ["explicit", "stiff"])


def numbers(*values: object) -> Tensor:
    return torch.tensor(values, dtype=FLOAT)


def saturable(time: Tensor, state: Tensor, p: Mapping[str, Tensor]) -> Tensor:
    gut, blood = state.unbind(-1)
    absorbed = p["absorption"] * gut
    return torch.stack([-absorbed, absorbed - p["most"] * blood / (p["half"] + blood)], -1)


def decay(time: Tensor, state: Tensor, p: Mapping[str, Tensor]) -> Tensor:
    return -p["rate"][:, None] * state


# An oral dose, then an infusion and two boluses at once, one of them into the other state; one padded event.
TIMES = numbers([5.0, 1.0, 9.5, 8.0, 12.0, 12.0], [0.0, 20.0, 3.0, 8.5, 10.0, 20.0])
GIVEN = numbers([0.0, 8.0, 8.0, 8.0, 0.0]).expand(2, 5)
AMOUNT = numbers([40.0, 30.0, 10.0, 5.0, 0.0]).expand(2, 5)
DURATION = numbers([0.0, 2.0, 0.0, 0.0, 0.0]).expand(2, 5)
INTO = torch.tensor([0, 1, 0, 1, 0])
THETA = numbers([1.0, 4.0, 6.0], [0.7, 5.0, 5.0])  # absorption, half, most


def run(
    theta: Tensor, method: str = "explicit", interval: float = 0.0, tasks: slice = slice(None), **options
) -> Solution:  # type: ignore[no-untyped-def]
    p = {"absorption": theta[:, 0], "half": theta[:, 1], "most": theta[:, 2]}
    every = torch.zeros_like(GIVEN)
    every[0, 0] = interval
    # amounts and initial states depend on parameters too
    amount = AMOUNT[tasks] * theta[:, 1:2] / 4.0
    given = Doses(amount, GIVEN[tasks], DURATION[tasks], every[tasks], into=INTO)
    start = torch.stack([0.0 * theta[:, 0], 0.1 * theta[:, 1]], -1)
    return solve(saturable, start, TIMES[tasks], p, given, method=method, **options)


def by_scipy(task: int) -> np.ndarray:
    absorption, half, most = THETA[task].tolist()
    scale = half / 4.0

    def slope(_: float, x: np.ndarray, supply: float) -> list[float]:
        return [-absorption * x[0], absorption * x[0] - most * x[1] / (half + x[1]) + supply]

    state, found = np.array([0.0, 0.1 * half]), {}
    times = sorted({0.0, 8.0, 10.0, *TIMES[task].tolist()})
    for at, to in zip(times, [*times[1:], None], strict=True):
        if at == 0.0:
            state = state + np.array([40.0, 0.0]) * scale
        if at == 8.0:
            state = state + np.array([10.0, 5.0]) * scale
        found[at] = state
        if to is not None:
            supply = 15.0 * scale if 8.0 <= at < 10.0 else 0.0
            solved = solve_ivp(
                slope, (at, to), state, rtol=1e-12, atol=1e-13, method="DOP853", args=(supply,)
            )
            state = solved.y[:, -1]
    return np.array([found[time] for time in TIMES[task].tolist()])


@both_methods
def test_doses_of_all_kinds_agree_with_scipy(method: str) -> None:
    found = run(THETA, method, relative=1e-10)
    assert bool(found.converged.all())
    assert float(found.error.max()) <= 1.0
    for task in range(2):
        np.testing.assert_allclose(found.states[task], by_scipy(task), rtol=1e-8, atol=1e-10)


@both_methods
def test_default_tolerance_is_about_eight_digits(method: str) -> None:
    found = run(THETA, method)
    for task in range(2):
        np.testing.assert_allclose(found.states[task], by_scipy(task), rtol=2e-7, atol=1e-8)


@both_methods
def test_linear_elimination_of_boluses_and_infusions_is_the_closed_form(method: str) -> None:
    rate = numbers(0.3, 0.1)
    times = numbers([0.0, 6.0, 2.0, 24.0], [1.0, 1.0, 2.5, 7.0])
    given, amount = numbers([0.0, 2.0], [0.0, 2.0]), numbers([3.0, 8.0], [2.0, 8.0])
    duration = numbers([0.0, 4.0], [1.0, 0.5])
    found = solve(
        decay, torch.zeros(2, 1, dtype=FLOAT), times, {"rate": rate}, Doses(amount, given, duration),
        method=method, relative=1e-10, absolute=1e-12,
    )  # fmt: skip
    elapsed = (times[..., None] - given[:, None]).clamp(min=0.0)
    k = rate[:, None, None]
    during = torch.minimum(elapsed, duration[:, None])
    infused = (
        -torch.expm1(-k * during)
        * torch.exp(-k * (elapsed - during))
        / (k * duration[:, None].clamp(min=1e-9))
    )
    left = torch.where(duration[:, None] > 0.0, infused, torch.exp(-k * elapsed))
    left = torch.where(times[..., None] >= given[:, None], left, 0.0)
    torch.testing.assert_close(found.states[..., 0], (amount[:, None] * left).sum(-1), rtol=1e-9, atol=1e-11)


def test_a_reset_ends_the_effect_of_what_was_given() -> None:
    one = numbers([1.0])
    until = numbers([5.0])
    given = Doses(10.0 * one, 0.0 * one, 8.0 * one, until=until)
    times = numbers([4.0, 5.0, 6.0, 7.0])
    found = solve(decay, 2.0 * one, times, {"rate": 0.5 * one[0]}, given).states[0, :, 0]
    np.testing.assert_allclose(found[1:], 2.0 * np.exp(-0.5 * np.array([0.0, 1.0, 2.0])), rtol=1e-7)
    running = 2.5 + (2.0 - 2.5) * np.exp(-2.0)  # an infusion of 10 over 8, cut short
    np.testing.assert_allclose(found[0], running, rtol=1e-7)


# stiff --------------------------------------------------------------------------------------------


def robertson(time: Tensor, state: Tensor, p: Mapping[str, Tensor]) -> Tensor:
    a, b, c = state.unbind(-1)
    slow, fast, quick = p["slow"] * a, p["fast"] * b * c, p["quick"] * b * b
    return torch.stack([fast - slow, slow - fast - quick, quick], -1)


def test_stiff_method_follows_robertson_and_explicit_reports_that_it_cannot() -> None:
    times = numbers([0.4, 40.0, 4e3, 4e5])
    constants = {"slow": numbers(0.04), "fast": numbers(1e4), "quick": numbers(3e7)}
    start = numbers([1.0, 0.0, 0.0])

    def slope(_: float, x: np.ndarray) -> list[float]:
        fast, quick = 1e4 * x[1] * x[2], 3e7 * x[1] ** 2
        return [fast - 0.04 * x[0], 0.04 * x[0] - fast - quick, quick]

    expected = solve_ivp(
        slope, (0.0, 4e5), [1.0, 0.0, 0.0], t_eval=times[0], method="Radau", rtol=1e-11, atol=1e-16
    )
    found = solve(robertson, start, times, constants, method="stiff", relative=1e-9, absolute=1e-13)
    assert bool(found.converged.all())
    np.testing.assert_allclose(found.states[0], expected.y.T, rtol=1e-7)
    lost = solve(robertson, start, times, constants, relative=1e-9, absolute=1e-13, most=50)
    assert not bool(lost.converged.any())
    assert float(lost.error.min()) > 1.0


def test_time_in_the_rate_is_followed_by_both_methods() -> None:
    def swing(time: Tensor, state: Tensor, p: Mapping[str, Tensor]) -> Tensor:
        return -50.0 * (state - torch.cos(time)[:, None])

    times = numbers([0.1, 1.0, 3.0])
    at = times.numpy()
    exact = (2500.0 * np.cos(at) + 50.0 * np.sin(at)) / 2501.0 - 2500.0 / 2501.0 * np.exp(-50.0 * at)
    for method in ("explicit", "stiff"):
        found = solve(swing, numbers([0.0]), times, {}, method=method)
        np.testing.assert_allclose(found.states[0, :, 0], exact[0], rtol=1e-7)


# steady states ------------------------------------------------------------------------------------


@both_methods
def test_steady_state_of_a_linear_system_is_the_closed_form(method: str) -> None:
    rate = numbers(0.05, 0.4).requires_grad_()
    times, one = numbers([0.0, 5.0], [0.0, 5.0]), torch.ones(2, 1, dtype=FLOAT)
    every = Doses(10.0 * one, 0.0 * one, interval=12.0 * one)
    found = solve(decay, 0.0 * one, times, {"rate": rate}, every, method=method, relative=1e-10)
    exact = 10.0 * torch.exp(-rate[:, None] * times) / -torch.expm1(-12.0 * rate[:, None])
    torch.testing.assert_close(found.states[..., 0], exact, rtol=1e-9, atol=0.0)
    assert bool(found.converged.all())

    def derivatives(values: Tensor) -> tuple[Tensor, Tensor]:
        (first,) = torch.autograd.grad(values.sum(), rate, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), rate)
        return first, second

    first, second = derivatives(found.states)
    exact_first, exact_second = derivatives(exact)
    torch.testing.assert_close(first, exact_first, rtol=1e-7, atol=0.0)
    torch.testing.assert_close(second, exact_second, rtol=1e-6, atol=0.0)


def test_steady_state_of_a_saturable_system_is_where_many_doses_lead() -> None:
    p = {"absorption": numbers(1.0), "half": numbers(4.0), "most": numbers(6.0)}
    start, times = numbers([0.0, 0.0]), numbers([0.5, 3.0, 12.0])
    one = numbers([1.0])
    steady = solve(
        saturable, start, times, p, Doses(40.0 * one, 0.0 * one, interval=12.0 * one), relative=1e-6
    )
    many = torch.arange(-20.0, 1.0, dtype=FLOAT)[None] * 12.0
    lived = solve(saturable, start, times, p, Doses(40.0 + 0.0 * many, many), relative=1e-6)
    assert bool(steady.converged.all())
    torch.testing.assert_close(steady.states, lived.states, rtol=1e-5, atol=1e-6)


def test_doses_beyond_what_can_be_eliminated_have_no_steady_state() -> None:
    p = {"absorption": numbers(1.0), "half": numbers(4.0), "most": numbers(2.0)}
    one = numbers([1.0])
    given = Doses(40.0 * one, 0.0 * one, interval=12.0 * one)
    found = solve(saturable, numbers([0.0, 0.0]), numbers([1.0]), p, given, relative=1e-3)
    assert not bool(found.converged.any())


# derivatives --------------------------------------------------------------------------------------

WEIGHT = torch.randn(2, 6, 2, generator=torch.Generator().manual_seed(3), dtype=FLOAT)
ALONG = torch.randn(2, 3, generator=torch.Generator().manual_seed(4), dtype=FLOAT)


@pytest.mark.parametrize(("method", "interval"), [("explicit", 0.0), ("explicit", 12.0), ("stiff", 0.0)])
def test_derivatives_of_every_mode_agree_with_each_other_and_with_differences(
    method: str, interval: float
) -> None:
    def total(theta: Tensor) -> Tensor:
        return (run(theta, method, interval, relative=1e-5).states * WEIGHT).sum()

    def slope(at: Tensor, build: bool = False) -> Tensor:
        free = at.clone().requires_grad_()
        (found,) = torch.autograd.grad(total(free), free, create_graph=build)
        return found

    theta = THETA.clone().requires_grad_()
    value = total(theta)
    (gradient,) = torch.autograd.grad(value, theta, create_graph=True)
    (curved,) = torch.autograd.grad((gradient * ALONG).sum(), theta)
    free = THETA.clone().requires_grad_()
    same, forward = torch.func.jvp(total, (free,), (ALONG,))
    same, tangent = same.detach(), forward.detach()
    (through,) = torch.autograd.grad(forward, free)
    assert float(same) == pytest.approx(float(value.detach()), rel=1e-12)
    assert float(tangent) == pytest.approx(float((gradient * ALONG).sum().detach()), rel=1e-9)
    torch.testing.assert_close(through, curved, rtol=1e-8, atol=1e-8)
    # along one grid the map is smooth, and differences measure its derivatives alone
    plans = {}

    def with_plan(at: Tensor) -> Tensor:
        plans.setdefault("one", plan_of(THETA, method, interval))
        return (run(at, method, interval, plan=plans["one"]).states * WEIGHT).sum()

    step = 1e-5 * ALONG
    if not interval:
        up, down = (with_plan(THETA + sign * step) for sign in (1.0, -1.0))
        assert float((up - down) / 2e-5) == pytest.approx(float(tangent), rel=1e-6)
        slopes = []
        for sign in (1.0, -1.0):
            moved = (THETA + sign * step).requires_grad_()
            slopes.append(torch.autograd.grad(with_plan(moved), moved)[0])
        torch.testing.assert_close((slopes[0] - slopes[1]) / 2e-5, curved, rtol=1e-5, atol=1e-5)


def plan_of(theta: Tensor, method: str, interval: float):  # type: ignore[no-untyped-def]
    p = {"absorption": theta[:, 0], "half": theta[:, 1], "most": theta[:, 2]}
    given = Doses(AMOUNT * theta[:, 1:2] / 4.0, GIVEN, DURATION, into=INTO)
    start = torch.stack([0.0 * theta[:, 0], 0.1 * theta[:, 1]], -1)
    return make_plan(saturable, start, TIMES, p, given, method=method, relative=1e-5)


def test_coefficients_are_those_of_the_published_code() -> None:
    """A few of DOP853's as Hairer, Nørsett and Wanner print them, and conditions that all of them must meet."""
    table = tableau()
    assert table.result[0] == 5.42937341165687622380535766363e-2
    assert table.weights[11][10] == 6.43392746015763530355970484046e-1
    assert table.error_5[5] == -0.1225156446376204440720569753e01
    assert table.nodes[1] == 0.526001519587677318785587544488e-1
    for node, weights in zip(table.nodes, table.weights, strict=True):
        assert sum(weights) == pytest.approx(node, abs=1e-14)
    for power in range(8):  # quadrature of order 8
        moment = sum(b * c**power for b, c in zip(table.result, table.nodes, strict=True))
        assert moment == pytest.approx(1.0 / (power + 1), abs=1e-14)
    for estimate in (table.error_5, table.error_3):
        assert sum(estimate) == pytest.approx(0.0, abs=1e-14)


@both_methods
def test_third_derivatives_are_those_of_the_closed_form(method: str) -> None:
    """A third derivative of 3·e^(−rt) by r is −3·t³·e^(−rt), whatever modes it is made of."""
    times = numbers([0.5, 2.0])

    def total(rate: Tensor) -> Tensor:
        return solve(decay, numbers([3.0]), times, {"rate": rate}, method=method, relative=1e-10).states.sum()

    def once(rate: Tensor) -> Tensor:
        return torch.func.jvp(total, (rate,), (torch.ones_like(rate),))[1]

    rate = numbers(0.7).requires_grad_()
    (second,) = torch.autograd.grad(once(rate), rate, create_graph=True)
    (third,) = torch.autograd.grad(second.sum(), rate)
    exact = -(3.0 * times**3 * torch.exp(-0.7 * times)).sum()
    assert float(third) == pytest.approx(float(exact), rel=1e-6)


def test_samples_before_the_first_dose_see_the_initial_state() -> None:
    one = numbers([1.0])
    given = Doses(10.0 * one, 0.0 * one)
    found = solve(decay, 2.0 * one, numbers([-3.0, -1e-300, 0.0, 2.0]), {"rate": 0.5 * one[0]}, given)
    np.testing.assert_allclose(found.states[0, :, 0], [2.0, 2.0, 12.0, 12.0 * np.exp(-1.0)], rtol=1e-7)


def test_slope_by_the_times_of_observation() -> None:
    times = numbers([0.5, 2.0]).requires_grad_()
    rate = numbers(0.7).requires_grad_()
    found = solve(decay, numbers([3.0]), times, {"rate": rate}).states
    (slope,) = torch.autograd.grad(found.sum(), times, create_graph=True)
    torch.testing.assert_close(slope, -0.7 * 3.0 * torch.exp(-0.7 * times), rtol=1e-7, atol=0.0)
    (mixed,) = torch.autograd.grad(slope.sum(), rate)
    exact = (3.0 * (0.7 * times - 1.0) * torch.exp(-0.7 * times)).sum()
    assert float(mixed) == pytest.approx(float(exact), rel=1e-6)


# batches, budgets, errors -------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "interval"), [("explicit", 12.0), ("stiff", 0.0)])
def test_a_task_has_the_same_solution_in_any_company(method: str, interval: float) -> None:
    together = run(THETA, method, interval, relative=1e-5).states
    for task in range(2):
        alone = run(
            THETA[task : task + 1], method, interval, tasks=slice(task, task + 1), relative=1e-5
        ).states
        torch.testing.assert_close(together[task], alone[0], rtol=1e-12, atol=1e-13)


def test_too_few_steps_are_reported() -> None:
    found = run(THETA, most=5)
    assert not bool(found.converged.any())
    assert bool((found.error > 1.0).all())


def test_a_task_that_explodes_is_lost_alone() -> None:
    def square(time: Tensor, state: Tensor, p: Mapping[str, Tensor]) -> Tensor:
        return p["rate"][:, None] * state**2

    rate = numbers(-1.0, 2.0).requires_grad_()  # the second is infinite at time 0.5
    found = solve(square, torch.ones(2, 1, dtype=FLOAT), numbers([1.0], [1.0]), {"rate": rate}, most=200)
    assert found.converged.tolist() == [True, False]
    assert float(found.states[0, 0, 0]) == pytest.approx(0.5, rel=1e-7)
    assert bool(found.states[1].isnan().all())
    (slope,) = torch.autograd.grad(found.states[0].sum(), rate)
    assert float(slope[0]) == pytest.approx(0.25, rel=1e-6)
    assert float(slope[1]) == 0.0


@pytest.mark.parametrize(("method", "order"), [("explicit", 8), ("stiff", 5)])
def test_halving_steps_divides_the_error_by_two_to_the_order(method: str, order: int) -> None:
    start, times, p = numbers([1.0]), numbers([2.0]), {"rate": numbers(1.0)}

    def logistic(time: Tensor, state: Tensor, p: Mapping[str, Tensor]) -> Tensor:
        return p["rate"][:, None] * state * (3.0 - state)

    exact = 3.0 / (1.0 + 2.0 * np.exp(-6.0))
    plan = make_plan(logistic, start, times, p, method=method, relative=1e-6, absolute=1e-6).halved()
    errors, estimates = [], []
    for _ in range(2):
        found = solve(logistic, start, times, p, plan=plan)
        errors.append(abs(float(found.states) - exact))
        estimates.append(float(found.error))
        plan = plan.halved()
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.7)
    # the estimate is that of embedded orders: it falls as fast, and lies above the true error of a step
    assert np.log2(estimates[0] / estimates[1]) == pytest.approx(order, abs=1.0)


def test_jacobian_of_the_rate_is_that_of_autograd() -> None:
    p = {"absorption": THETA[:, 0], "half": THETA[:, 1], "most": THETA[:, 2]}
    state = numbers([3.0, 2.0], [1.0, 5.0])
    system, time = System(saturable, p, 2, 2), torch.zeros(2, dtype=FLOAT)
    slope, jacobian, drift = system.linearise(time, state)
    backward = System(saturable, p, 2, 2, plain=True).linearise(time, state)
    torch.testing.assert_close(backward, (slope, jacobian, drift))
    torch.testing.assert_close(slope, saturable(torch.zeros(2), state, p))
    absorption, half, most = THETA.unbind(1)
    torch.testing.assert_close(jacobian[:, 1, 0], absorption)
    torch.testing.assert_close(jacobian[:, 1, 1], -most * half / (half + state[:, 1]) ** 2)
    assert not bool(drift.any())


ONE = torch.ones(1, 1, dtype=FLOAT)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Doses(ONE, ONE, -ONE), "'duration' must be finite"),
        (lambda: Doses(ONE, ONE.expand(1, 2)), "does not fit"),
        (lambda: Doses(ONE, ONE, 3.0 * ONE, 2.0 * ONE), "longer than its interval"),
        (lambda: Doses(ONE, ONE * torch.nan), "not numbers"),
        (lambda: solve(decay, ONE, ONE, {"rate": ONE[0]}, method="magic"), "no method 'magic'"),
        (lambda: solve(decay, ONE[0], ONE, {"rate": ONE[0]}), "initial state"),
        (lambda: solve(decay, ONE, ONE * torch.inf, {"rate": ONE[0]}), "must be finite"),
        (lambda: solve(decay, ONE, ONE, {"rate": ONE[0]}, Doses(ONE, ONE, into=1)), "'into' must be"),
        (lambda: solve(decay, ONE.long(), ONE, {"rate": ONE[0]}), "initial state must be real .* not torch.int64"),
        (lambda: solve(decay, ONE.cfloat(), ONE, {"rate": ONE[0]}), "must be real .* not torch.complex64"),
        (lambda: solve(decay, ONE, ONE.long(), {"rate": ONE[0]}), "times must be real"),
        (lambda: solve(decay, ONE[:0], ONE[:0], {"rate": ONE[0, :0]}), "there is no task"),
        (lambda: solve(decay, ONE, ONE, {"rate": ONE[0]}, relative=-1.0), "relative=-1.0 is not a share"),
        (lambda: solve(lambda t, y, p: y.sum(1), ONE, ONE, {}), "gives .1,.; .* named in `shared`"),
        (
            lambda: solve(
                decay, ONE, 9.0 * ONE, {"rate": ONE[0]},
                Doses(ONE.expand(1, 2), ONE.expand(1, 2), interval=ONE.expand(1, 2)),
            ),
            "two doses at steady state",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said_in_a_sentence(make: Callable[[], object], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        make()
