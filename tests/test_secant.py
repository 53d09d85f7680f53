"""What steps tell of the curvature that Gauss and Newton drop: the secant's properties, and what it saves a search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import metasci as ms
from metasci.data.tasks import Batch
from metasci.meta.laplace import few, gauss_newton
from metasci.meta.laplace.estimate import GAUSS_NEWTON
from metasci.meta.laplace.secant import bent
from metasci.meta.problem import Problem

AS = {"arrays": np.asarray, "tensors": torch.as_tensor}


@pytest.mark.parametrize("kind", AS)
def test_steps_along_all_axes_tell_the_whole_curvature(kind: str) -> None:
    """Of a quadratic, as many independent steps as parameters do (Conn, Gould and Toint 1991, theorem 2.1)."""
    generator = np.random.default_rng(4)
    root = generator.standard_normal((2, 3, 5))
    known = root @ root.transpose(0, 2, 1)
    lacking = generator.standard_normal((2, 3, 3))
    lacking = lacking + lacking.transpose(0, 2, 1)
    bend = AS[kind](np.zeros((2, 3, 3)))
    for _ in range(3):
        step = generator.standard_normal((2, 3))
        change = ((known + lacking) @ step[..., None])[..., 0]
        bend = bent(bend, AS[kind](known), AS[kind](step), AS[kind](change), AS[kind](np.array([True, True])))
    np.testing.assert_allclose(np.asarray(bend), lacking, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", AS)
def test_steps_that_were_not_taken_or_are_no_numbers_tell_nothing(kind: str) -> None:
    bend = np.arange(12.0).reshape(3, 2, 2)
    step, change = np.ones((3, 2)), np.ones((3, 2))
    change[1] = np.nan
    taken = np.array([False, True, True])
    new = bent(*(AS[kind](each) for each in (bend, 0.0 * bend, step, change)), AS[kind](taken))
    np.testing.assert_array_equal(np.asarray(new)[:2], bend[:2])
    np.testing.assert_allclose((np.asarray(new)[2] @ step[2]), change[2])


@pytest.mark.parametrize("on_tensors", [False, True])
def test_a_creeping_search_arrives_before_the_full_curvature_takes_over(
    monkeypatch: pytest.MonkeyPatch, on_tensors: bool
) -> None:
    """Residuals z + 1 and λz² + z − 1 at λ = −0.7: each Gauss–Newton step leaves 70 % of the way to zero (Dennis and
    Schnabel, Numerical Methods for Unconstrained Optimization, 1983, example 10.2.4).
    """

    @ms.equation(
        inputs={"x": "1"}, output=("y", "1"), noise=ms.Additive((1.0,)), parameters=[ms.Parameter("z", spread=1.0)]
    )  # fmt: skip
    def creeping(x: Any, *, z: Any) -> Any:
        return z + x * (-0.7 * z**2)

    x, y = torch.tensor([[0.0, 1.0]]).double(), torch.tensor([[-1.0, 1.0]]).double()
    problem = Problem(creeping, Batch({"x": x}, y, torch.ones(1, 2).bool(), torch.zeros(1, 0), ("a",)))
    given = torch.zeros(1, 1).double(), torch.full((1, 1, 1), 1e-12).double(), torch.zeros(1).double()
    start = torch.full((1, 1), 0.2).double()
    counts = {"arrays": 0, "tensors": 0}

    def counted(kind: str, function: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            counts[kind] += 1
            return function(*arguments, **named)

        return call

    monkeypatch.setattr(few._Search, "look", counted("arrays", few._Search.look))
    monkeypatch.setattr(gauss_newton, "_look", counted("tensors", gauss_newton._look))
    mine, other = ("tensors", "arrays") if on_tensors else ("arrays", "tensors")
    if on_tensors:
        monkeypatch.setattr(gauss_newton, "estimate_few", lambda *_: None)
    ends, looks = [], []
    for near in (1.0, 0.0):
        monkeypatch.setattr(few, "NEAR", near)
        monkeypatch.setattr(gauss_newton, "NEAR", near)
        counts[mine] = 0
        ends.append(gauss_newton.map_estimate(problem, *given, start=start))
        looks.append(counts[mine])
    assert counts[other] == 0  # what fails on arrays would be left to tensors without a word
    assert all(bool(end.converged.all()) for end in ends)
    assert float(ends[0].coordinates) == pytest.approx(0.0, abs=1e-6)
    assert looks[0] < GAUSS_NEWTON < looks[1]
