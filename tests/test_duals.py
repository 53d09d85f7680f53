"""One task by itself: derivatives forwards on NumPy duals, and the search on them beside the one on tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import metasci as ms
from metasci import math
from metasci.duals import Dual
from metasci.errors import InputError
from metasci.meta.laplace import few, gauss_newton, levels
from metasci.noise import Combined, LogNormal, Proportional
from metasci.parameters import Parameter
from metasci.patients.disposition import modes

X = np.array([[0.3, 1.7, 2.5]])
FUNCTIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "add": lambda x, y, c: x + y + 1.0 + c,
    "subtract": lambda x, y, c: (2.0 - x) - y - c,
    "multiply": lambda x, y, c: c * x * y * 3.0,
    "divide": lambda x, y, c: x / y + 2.0 / x + y / c,
    "power": lambda x, y, c: x**y + x**2 + x**-1.5 + 2.0**y + x**c,
    "signs": lambda x, y, c: abs(-x) + math.absolute(x - y) + +y,
    "exp": lambda x, y, c: math.exp(-x) * math.expm1(y),
    "log": lambda x, y, c: math.log(x) * math.log1p(y),
    "sqrt": lambda x, y, c: math.sqrt(x * y),
    "tanh": lambda x, y, c: math.tanh(x) * math.softplus(y),
    "cos": lambda x, y, c: math.cos(x) + math.arccos(0.2 * y),
    "extremes": lambda x, y, c: math.maximum(x, y) * math.minimum(y, 1.0) + math.maximum(x, x),
    "where": lambda x, y, c: math.where(x > y, x * y, 0.0) + math.where(y >= 1.0, 2.0, y) + math.floor(x) * y,
    "stack": lambda x, y, c: math.sum(math.stack([x, y, x * y])[..., 1:]),
    "shapes": lambda x, y, c: math.sum(x[..., None] * y[:, None, :]) + (x * y)[:, 0][:, None],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_duals_agree_with_reverse_differentiation(name: str) -> None:
    at = np.array([[1.3, 0.4, 2.2]]), np.array([[0.9, 1.1, 2.0]])
    eye = np.eye(6).reshape(6, 2, 1, 3)
    dual = FUNCTIONS[name](Dual(at[0], eye[:, 0]), Dual(at[1], eye[:, 1]), X)
    tensors = [torch.tensor(value, requires_grad=True) for value in at]
    plain = FUNCTIONS[name](*tensors, torch.from_numpy(X))
    np.testing.assert_allclose(dual.value, plain.detach().numpy(), rtol=1e-14)
    for place in range(3):
        slopes = torch.autograd.grad(plain[0, place], tensors, retain_graph=True)
        wanted = np.concatenate([slope.numpy().ravel() for slope in slopes])
        np.testing.assert_allclose(dual.slope[:, 0, place], wanted, rtol=1e-13, atol=1e-15)


def test_three_compartments_have_exact_derivatives_up_to_the_second() -> None:
    """The roots are known numbers, and two Newton steps carry the derivatives."""
    values = tuple(
        torch.tensor([value], dtype=torch.float64, requires_grad=True)
        for value in (1.2, 4.0, 0.8, 9.0, 0.3, 60.0)
    )

    def response(*given: torch.Tensor) -> torch.Tensor:
        clearance, volume, q2, v2, q3, v3 = given
        found = modes(clearance, volume, (q2, v2), (q3, v3))
        return (found.share * torch.exp(-found.rate * 3.0)).sum(-1)

    assert torch.autograd.gradcheck(response, values, rtol=1e-7)
    assert torch.autograd.gradgradcheck(response, values, rtol=1e-6)


def _both_ways(monkeypatch: pytest.MonkeyPatch, adapt: Callable[[], Any]) -> tuple[Any, Any]:
    quick = adapt()
    monkeypatch.setattr(gauss_newton, "estimate_few", lambda *_: None)
    return quick, adapt()


@pytest.mark.parametrize(("name", "samples"), [("propofol", 2), ("propofol", 10), ("theophylline", 11)])
def test_one_task_ends_where_the_search_on_tensors_ends(
    monkeypatch: pytest.MonkeyPatch, name: str, samples: int
) -> None:
    prior, tasks = ms.load(name), ms.dataset(name)
    batch = prior.batch(prior.read(tasks.select([tasks.names[0]])))
    keep = batch.mask & (batch.mask.cumsum(1) <= samples)
    quick, slow = _both_ways(monkeypatch, lambda: prior.adapt(batch.trimmed(keep)))
    assert few._runs_on_duals[prior.model.function]
    for part in ("coordinates", "covariance", "start", "log_noise"):
        torch.testing.assert_close(getattr(quick, part), getattr(slow, part), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(quick.mixture.weight, slow.mixture.weight, rtol=1e-10, atol=1e-12)
    assert bool(quick.converged.all()) == bool(slow.converged.all())


@pytest.mark.parametrize("noise", [Proportional((0.1,)), Combined((0.02, 0.1)), LogNormal((0.1,))])
def test_a_few_tasks_of_unlike_length_and_creeping_searches(
    monkeypatch: pytest.MonkeyPatch, noise: Any
) -> None:
    """Two tasks, one shorter and one that fits badly; every kind of variance."""

    @ms.equation(
        inputs={"time": "h"}, output=("amount", "mg"), noise=noise,
        parameters=[Parameter("size", "mg", 2.0, positive=True), Parameter("rate", "1/h", 0.5, positive=True)],
    )  # fmt: skip
    def decay(time: Any, *, size: Any, rate: Any) -> Any:
        return size * math.exp(-rate * time)

    problem = _problem(decay)
    mean = torch.zeros(2, 2, dtype=torch.float64)
    precision = torch.eye(2, dtype=torch.float64).expand(2, 2, 2).clone()
    log_noise = torch.tensor(noise.typical, dtype=torch.float64).log()
    weight = torch.tensor([1.0, 0.3], dtype=torch.float64)
    quick, slow = _both_ways(
        monkeypatch, lambda: gauss_newton.map_estimate(problem, mean, precision, log_noise, weight)
    )
    assert few._runs_on_duals[decay.function]
    for part in ("coordinates", "covariance", "squared"):
        torch.testing.assert_close(getattr(quick, part), getattr(slow, part), rtol=1e-10, atol=1e-11)
    assert bool(quick.converged.all())


@pytest.mark.parametrize("name", ["theophylline", "propofol"])
def test_levels_are_weighed_alike_on_arrays_and_on_tensors(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    prior, tasks = ms.load(name), ms.dataset(name)
    problem = prior.problem(prior.batch(prior.read(tasks.select(slice(0, 2)))))
    mean, covariance = prior.method.start(prior.state, prior.design(problem.batch))
    precision, log_noise = torch.linalg.inv(covariance), prior.state.log_noise
    known = levels.levels_of(prior.state, prior.method.task_noise)
    assert len(known) > 1
    estimate = gauss_newton.map_estimate(problem, mean, precision, log_noise)
    given = problem, estimate, mean, precision, log_noise, known
    monkeypatch.setattr(few, "_SMALL", 10**9)
    assert few.few_equations(problem, estimate.coordinates, log_noise, estimate.line) is not None
    quick = levels.level_posteriors(*given)
    monkeypatch.setattr(levels, "few_equations", lambda *_: None)
    slow = levels.level_posteriors(*given)
    for part in ("factor", "weight", "shift", "covariance"):
        torch.testing.assert_close(getattr(quick, part), getattr(slow, part), rtol=1e-9, atol=1e-12)


def test_an_equation_that_takes_tensors_only_is_estimated_on_tensors() -> None:
    @ms.equation(
        inputs={"time": "h"}, output=("amount", "mg"),
        parameters=[Parameter("size", "mg", 2.0, positive=True), Parameter("rate", "1/h", 0.5, positive=True)],
    )  # fmt: skip
    def decay(time: Any, *, size: Any, rate: Any) -> Any:
        return size * torch.exp(-rate * time)

    problem, (mean, precision, log_noise) = _problem(decay), _prior(decay)
    assert bool(gauss_newton.map_estimate(problem, mean, precision, log_noise).finite.all())
    assert not few._runs_on_duals[decay.function]


def test_an_equation_that_hides_from_derivatives_is_not_estimated_on_duals() -> None:
    """Forwards and backwards differ where an equation takes a part out of torch; tensors decide."""

    @ms.equation(
        inputs={"time": "h"}, output=("amount", "mg"),
        parameters=[Parameter("size", "mg", 2.0, positive=True), Parameter("rate", "1/h", 0.5, positive=True)],
    )  # fmt: skip
    def decay(time: Any, *, size: Any, rate: Any) -> Any:
        held = rate.detach() if isinstance(rate, torch.Tensor) else rate
        return size * math.exp(-held * time)

    problem, (mean, precision, log_noise) = _problem(decay), _prior(decay)
    estimate = gauss_newton.map_estimate(problem, mean, precision, log_noise)
    assert not few._runs_on_duals[decay.function]
    assert estimate.coordinates[:, 1].tolist() == [0.0, 0.0]


def test_a_calibration_depends_on_none_before_it() -> None:
    """Numbers that overflow, first or in between, do not change which way others are estimated, to the bit."""

    def equation() -> ms.Model:
        @ms.equation(
            inputs={"time": "h"}, output=("amount", "mg"),
            parameters=[Parameter("size", "mg", 2.0, positive=True), Parameter("rate", "1/h", 0.5, positive=True)],
        )  # fmt: skip
        def decay(time: Any, *, size: Any, rate: Any) -> Any:
            return size * math.exp(-rate * time)

        return decay

    def estimated(model: ms.Model, far: float = 1.0) -> torch.Tensor:
        problem, (mean, precision, log_noise) = _problem(model), _prior(model)
        batch = replace(problem.batch, inputs={"time": far * problem.batch.inputs["time"]})
        return gauss_newton.map_estimate(
            replace(problem, batch=batch), mean, precision, log_noise
        ).coordinates

    expected = estimated(equation())
    for odd in (-1e4, float("nan")):
        model = equation()
        estimated(model, odd)
        assert torch.equal(estimated(model), expected)
        estimated(model, odd)
        assert torch.equal(estimated(model), expected)
        assert few._runs_on_duals[model.function]


def test_a_failing_equation_says_so_as_before() -> None:
    @ms.equation(
        inputs={"time": "h"},
        output=("amount", "mg"),
        parameters=[Parameter("size", "mg", 2.0, positive=True)],
    )
    def broken(time: Any, *, size: Any) -> Any:
        return size * time.no_such_thing

    problem, (mean, precision, log_noise) = _problem(broken), _prior(broken)
    with pytest.raises(InputError, match="broken"):
        gauss_newton.map_estimate(problem, mean, precision, log_noise)


def _prior(model: ms.Model) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    size = len(model.parameters)
    zero = torch.zeros(2, size, dtype=torch.float64)
    noise = torch.tensor(model.noise.typical, dtype=torch.float64).log()
    return zero, torch.eye(size, dtype=torch.float64).expand(2, size, size).clone(), noise


def _problem(model: ms.Model) -> Any:
    import pandas as pd

    from metasci.data.cards import Card, Column
    from metasci.meta.problem import Problem

    card = Card(
        "decay", columns=(
            Column("who", "who", "task"), Column("time", "time", "input", "h"),
            Column("amount", "amount", "output", "mg"),
        ), task=("who",),
    )  # fmt: skip
    frame = pd.DataFrame(
        {
            "who": list("aaabb"),
            "time [h]": [0.5, 2.0, 6.0, 1.0, 3.0],
            "amount [mg]": [1.9, 0.8, 0.05, 9.0, 0.02],
        }
    )
    return Problem(model, ms.TaskSet.from_frame(frame, card, model=model).batch(model))
