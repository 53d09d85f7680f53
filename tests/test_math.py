"""Elementary functions: the same numbers on NumPy, torch and PyTensor, and gradients that stay finite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from metasci import math

VALUES = np.array([-3.5, -1.0, -1e-9, 0.0, 1e-9, 0.3, 1.0, 2.5, 40.0])
POSITIVE = VALUES[VALUES > 0]
UNARY = {
    "absolute": (VALUES, np.abs),
    "exp": (VALUES, np.exp),
    "expm1": (VALUES, np.expm1),
    "log": (POSITIVE, np.log),
    "log1p": (POSITIVE, np.log1p),
    "softplus": (VALUES, lambda x: np.logaddexp(0.0, x)),
    "sqrt": (POSITIVE, np.sqrt),
    "tanh": (VALUES, np.tanh),
}
reals = st.floats(-1e6, 1e6, allow_subnormal=False)


def everywhere(function: Any, *arrays: np.ndarray) -> list[np.ndarray]:
    """What a function gives on NumPy, on torch and, where it is installed, on PyTensor."""
    found = [np.asarray(function(*arrays)), function(*(torch.tensor(a) for a in arrays)).numpy()]
    pytensor = pytest.importorskip("pytensor")
    variables = [pytensor.tensor.dvector() for _ in arrays]
    graph = function(*variables)
    found.append(
        graph.eval(dict(zip(variables, arrays, strict=True)), mode="FAST_COMPILE", on_unused_input="ignore")
    )
    return found


@pytest.mark.parametrize("name", UNARY)
def test_one_function_three_libraries(name: str) -> None:
    values, reference = UNARY[name]
    for found in everywhere(getattr(math, name), values):
        np.testing.assert_allclose(found, reference(values), rtol=1e-14, atol=1e-300)


@pytest.mark.parametrize(
    ("function", "reference"),
    [
        (math.maximum, np.maximum),
        (math.minimum, np.minimum),
        (lambda x, y: math.maximum(x, 0.25), lambda x, y: np.maximum(x, 0.25)),
        (lambda x, y: math.minimum(0.25, y), lambda x, y: np.minimum(0.25, y)),
        (lambda x, y: math.where(x > y, x, 2.0 * y), lambda x, y: np.where(x > y, x, 2.0 * y)),
        (lambda x, y: math.where(x > y, 0.1, 1.0 / 3.0), lambda x, y: np.where(x > y, 0.1, 1.0 / 3.0)),
        (lambda x, y: math.where(x > y, x, 0.1), lambda x, y: np.where(x > y, x, 0.1)),
    ],
)
def test_choices_agree_to_the_last_bit(function: Any, reference: Any) -> None:
    """Also of two plain numbers, which torch alone would round to single precision."""
    x, y = VALUES, VALUES[::-1].copy()
    for found in everywhere(function, x, y):
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, reference(x, y))


def test_a_choice_keeps_single_precision() -> None:
    x = torch.tensor([1.0, -1.0], dtype=torch.float32)
    assert math.where(x > 0, x, 0.1).dtype == torch.float32
    assert math.maximum(x, 0.1).dtype == torch.float32


@pytest.mark.parametrize("function", [math.maximum, math.minimum])
def test_nan_is_not_swallowed(function: Any) -> None:
    x, y = np.array([np.nan, 1.0]), np.array([1.0, np.nan])
    for found in everywhere(function, x, y):
        assert np.isnan(found).all()


@given(reals)
def test_softplus_and_its_slope(value: float) -> None:
    x = torch.tensor(value, dtype=torch.float64, requires_grad=True)
    y = math.softplus(x)
    (slope,) = torch.autograd.grad(y, x)
    assert float(y.detach()) == pytest.approx(np.logaddexp(0.0, value), rel=1e-14)
    assert float(slope) == pytest.approx(float(torch.sigmoid(x.detach())), rel=1e-12, abs=1e-300)


def test_softplus_has_no_overflow_and_no_nan() -> None:
    x = torch.tensor([-torch.inf, -1e308, 0.0, 1e308], dtype=torch.float64, requires_grad=True)
    y = math.softplus(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert y.tolist() == [0.0, 0.0, np.log(2.0), 1e308]
    assert slope.tolist() == [0.0, 0.0, 0.5, 1.0]


def test_a_number_beside_a_tensor_takes_its_precision() -> None:
    assert math.exp(torch.zeros(2, dtype=torch.float64)).dtype == torch.float64
    assert math.maximum(0.1, torch.zeros(1, dtype=torch.float64)).tolist() == [0.1]


def test_sum_over_an_axis() -> None:
    x = np.arange(6.0).reshape(2, 3)
    assert math.sum(x).tolist() == math.sum(torch.tensor(x)).tolist() == [3.0, 12.0]
    assert math.sum(x, 0).tolist() == [3.0, 5.0, 7.0]
