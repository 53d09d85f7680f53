"""A user's own equation or rate that fails: the sentence names it, its line, and what was expected."""

from __future__ import annotations

import functools
import inspect
import math as of_python
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import metasci as ms
from metasci.data.cards import Card
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.meta.laplace.gauss_newton import map_estimate
from metasci.meta.problem import Problem
from metasci.ode import solve


def of_python_math(x: Any, *, a: Any) -> Any:
    return of_python.exp(x) * a


def in_numpy(x: Any, *, a: Any) -> Any:
    return np.asarray(a.numpy()) * x


def by_a_branch(x: Any, *, a: Any) -> Any:
    return a if x > 1.0 else a * x


def nothing(x: Any, *, a: Any) -> None:
    """Forgets its `return`."""


def a_number(x: Any, *, a: Any) -> float:
    return 1.0


def too_many(x: Any, *, a: Any) -> Any:
    return torch.stack([a * x, a * x], -1)


def torn_off(x: Any, *, a: Any) -> Any:
    return a.detach() * x


def in_place(x: Any, *, a: Any) -> Any:
    grown = torch.exp(a * x)
    grown2 = grown * 2.0
    grown += 1.0
    return grown2 * grown.exp()


class Wordless(Exception):
    def __str__(self) -> str:
        raise ValueError


def own_exception(x: Any, *, a: Any) -> Any:
    raise Wordless


def truth(x: Any, *, a: Any) -> Any:
    return a * x > 0.0


def sparse(x: Any, *, a: Any) -> Any:
    return (a * x).to_sparse()


def misspelt(x: Any, *, a: Any) -> Any:
    return a * xx  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("function", "words", "has_line"),
    [
        (of_python_math, "fails", True),
        (in_numpy, "numpy", True),
        (by_a_branch, "ambiguous", True),
        (nothing, "returns nothing", False),
        (a_number, "returns a float", False),
        (too_many, r"shape \(2, 3, 2\)|shape \(1, 1, 3, 2\)|returns an array of shape", False),
        (torn_off, "depends on none of its parameters", False),
        (in_place, "in place", False),
        (own_exception, "Wordless, without a word", True),
        (truth, "truth values", False),
        (sparse, "sparse or nested", False),
        (misspelt, "xx", True),
    ],
)
def test_an_equation_that_fails_is_named(function: Callable[..., Any], words: str, has_line: bool) -> None:
    model = ms.equation(
        inputs={"x": "1"}, output=("y", "1"), parameters=[ms.Parameter("a")], name=f"mine.{function.__name__}"
    )(function)
    rows = [{"task": t, "x [1]": x, "y [1]": x} for t in ("p", "q") for x in (0.5, 1.5, 2.5)]
    tasks = TaskSet.from_frame(pd.DataFrame(rows), Card.from_model(model), model=model)
    problem = Problem(model, tasks.batch(model))
    zero = torch.zeros(2, 1, dtype=torch.float64)
    with pytest.raises(InputError, match=words) as told:
        map_estimate(problem, zero, torch.ones(2, 1, 1, dtype=torch.float64), zero[0])
    sentence = str(told.value)
    assert f"equation 'mine.{function.__name__}'" in sentence
    assert len(sentence) <= 400
    first = inspect.getsourcelines(function)[1]
    assert not has_line or f"test_failing_equations.py, line {first + 1}" in sentence


SHARED = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)


def riccati(time: Any, state: Any, p: Any) -> Any:
    return -p["c"][0] * state + p["c"][1] - p["c"][2] * state**2


@pytest.mark.parametrize("tasks", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("method", ["explicit", "stiff"])
def test_a_shared_tensor_is_shared_however_many_tasks_there_are(tasks: int, method: str) -> None:
    times = torch.tensor([[0.1], [3.0], [50.0], [7.0], [1.0]], dtype=torch.float64)[:tasks]
    start = torch.tensor([[5.0], [0.1], [2.0], [1.0], [0.3]], dtype=torch.float64)[:tasks]
    a, b, c = SHARED.tolist()
    root = (a**2 + 4 * b * c) ** 0.5  # x' = b − a x − c x² has two fixed points
    upper, lower = (-a + root) / (2 * c), (-a - root) / (2 * c)
    gone = (start - upper) / (start - lower) * torch.exp(-root * times)
    expected = ((upper - lower * gone) / (1.0 - gone))[:, 0]

    def found(**options: Any) -> torch.Tensor:
        return solve(riccati, start, times, {"c": SHARED}, method=method, **options).states[:, 0, 0]

    torch.testing.assert_close(found(shared=("c",)), expected, rtol=1e-6, atol=1e-8)
    if tasks == 3:
        with pytest.raises(
            InputError, match=r"one value a task.*: c. Name those that tasks share in `shared`"
        ):
            found()
    else:
        torch.testing.assert_close(found(), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("tasks", [1, 2, 3])
def test_a_shared_matrix_of_any_size_and_its_gradient(tasks: int) -> None:
    matrix = torch.tensor([[-1.0, 0.5], [0.2, -2.0]], dtype=torch.float64, requires_grad=True)
    start = torch.tensor([[1.0, 0.0], [0.5, 1.0], [2.0, 2.0]], dtype=torch.float64)[:tasks]
    times = torch.full((tasks, 1), 0.7, dtype=torch.float64)

    def final(matrix: torch.Tensor) -> torch.Tensor:
        rate = lambda time, state, p: state @ p["m"].T  # noqa: E731
        return solve(rate, start, times, {"m": matrix}, shared=("m",)).states[:, 0]

    torch.testing.assert_close(final(matrix), start @ torch.linalg.matrix_exp(0.7 * matrix).T)
    (slope,) = torch.autograd.grad(final(matrix).square().sum(), matrix)
    exact = (start @ torch.linalg.matrix_exp(0.7 * matrix).T).square().sum()
    torch.testing.assert_close(slope, torch.autograd.grad(exact, matrix)[0])


def test_a_rate_that_mixes_tasks_or_fails_is_refused() -> None:
    one = torch.ones(3, 1, dtype=torch.float64)
    apart = torch.arange(3.0, dtype=torch.float64)[:, None]
    with pytest.raises(InputError, match=r"depends on which tasks"):
        solve(lambda t, x, p: -x + x.mean(), apart, one, {})
    with pytest.raises(InputError, match=r"rate gives .3,.; it must be of the state's shape .3, 1."):
        solve(lambda t, x, p: -x[:, 0], one, one, {})
    with pytest.raises(InputError, match=r"fails .test_failing_equations.py, line \d+.: KeyError, 'k'"):
        solve(lambda t, x, p: -p["k"] * x, one, one, {})
    with pytest.raises(InputError, match=r"shared: 'k' is not a parameter"):
        solve(lambda t, x, p: -x, one, one, {}, shared=("k",))


def test_a_function_of_no_module_or_no_name_is_taken_or_refused_in_a_sentence() -> None:
    def law(x: Any, *, a: Any) -> Any:
        return a * x

    law.__module__ = None  # type: ignore[assignment]  # as a function that `exec` made has it
    declared: dict[str, Any] = {
        "inputs": {"x": "1"},
        "output": ("y", "1"),
        "parameters": [ms.Parameter("a", "1", 1.0)],
    }
    assert ms.equation(**declared)(law).name == "mine.law"
    partly = functools.partial(law)
    with pytest.raises(InputError, match=r'say `equation\(\.\.\., name="mine\.law"\)`'):
        ms.equation(**declared)(partly)
    assert ms.equation(**declared, name="mine.partly")(partly).name == "mine.partly"
