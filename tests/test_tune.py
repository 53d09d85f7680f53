"""Hypergradients against finite differences, and against ridge regression's closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from metasci.errors import InputError
from metasci.meta.tune import ForwardMode, Implicit, InnerLoop, Unrolled, descent, tune

RANDOM = torch.Generator().manual_seed(0)
X, X_KEPT = (torch.randn(n, 3, generator=RANDOM, dtype=torch.float64) for n in (12, 7))
TRUTH = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
Y, Y_KEPT = (
    x @ TRUTH + 0.3 * torch.randn(len(x), generator=RANDOM, dtype=torch.float64) for x in (X, X_KEPT)
)


def _objective(parameters, outer):
    w = parameters["w"]
    return 0.5 * (X @ w - Y).square().mean() + 0.5 * (outer["log_penalty"].exp() * w.square()).sum()


def _validation(parameters, outer):
    return 0.5 * (X_KEPT @ parameters["w"] - Y_KEPT).square().mean()


def _ridge(steps):
    return InnerLoop(
        start=lambda outer: {"w": outer["start"]},
        step=descent(_objective, lambda outer: outer["log_rate"].exp()),
        steps=steps,
        validation=_validation,
        objective=_objective,
    )


def _outer():
    return {
        "log_rate": torch.tensor(-1.2, dtype=torch.float64),
        "log_penalty": torch.tensor([-1.0, 0.2, -2.0], dtype=torch.float64),
        "start": torch.tensor([0.3, 0.1, -0.4], dtype=torch.float64),
    }


@pytest.mark.parametrize("way", [Unrolled(), ForwardMode()])
def test_hypergradients_are_the_slopes_of_the_loop(way):
    loop, outer, step = _ridge(4), _outer(), 1e-6
    loss, slopes = way(loop, outer)
    assert float(loss) == pytest.approx(float(_validation(loop.trained(outer), outer).detach()))
    for name, value in outer.items():
        for place in range(value.numel()):
            ends = []
            for side in (step, -step):
                moved = {n: v.clone() for n, v in outer.items()}
                moved[name].view(-1)[place] += side
                ends.append(float(_validation(loop.trained(moved), moved).detach()))
            difference = (ends[0] - ends[1]) / (2 * step)
            assert float(slopes[name].view(-1)[place]) == pytest.approx(difference, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("way", [Implicit(), Implicit("neumann", 400, 0.4), Unrolled()])
def test_where_the_loop_has_converged_the_hypergradient_is_that_of_ridge_regression(way):
    outer = _outer()
    penalty = outer["log_penalty"].exp()
    curvature = X.T @ X / len(X) + torch.diag(penalty)
    w = torch.linalg.solve(curvature, X.T @ Y / len(X))
    pull = X_KEPT.T @ (X_KEPT @ w - Y_KEPT) / len(X_KEPT)
    closed = -penalty * w * torch.linalg.solve(curvature, pull)  # dw/dlog λᵢ = −H⁻¹ λᵢ wᵢ eᵢ
    _, slopes = way(_ridge(300), outer)
    torch.testing.assert_close(slopes["log_penalty"], closed, rtol=1e-6, atol=1e-10)
    assert float(slopes["start"].abs().max()) < 1e-8


def test_tuning_ends_where_another_optimiser_does():
    def solved(outer):
        curvature = X.T @ X / len(X) + torch.diag(outer["log_penalty"].exp())
        return {"w": torch.linalg.solve(curvature, X.T @ Y / len(X))}

    loop = InnerLoop(solved, lambda p, outer, n: p, 0, _validation)
    tuned = tune(loop, {"log_penalty": torch.zeros(3, dtype=torch.float64)}, evaluations=80, rate=0.5)
    assert tuned.loss == pytest.approx(min(loss for loss, _ in tuned.path))
    other = minimize(
        lambda at: float(_validation(solved({"log_penalty": torch.from_numpy(at)}), {})),
        np.zeros(3),
        method="L-BFGS-B",
    )
    assert tuned.loss == pytest.approx(other.fun, rel=2e-3)


def test_what_cannot_be_tuned_is_said():
    loop = InnerLoop(lambda o: {"w": o["w"] / 0.0}, lambda p, o, n: p, 1, lambda p, o: p["w"].sum())
    with pytest.raises(InputError, match="not finite where tuning begins"):
        tune(loop, {"w": torch.ones(1)})
    with pytest.raises(InputError, match="objective"):
        Implicit()(loop, {"w": torch.ones(1)})
    with pytest.raises(InputError, match="not known"):
        Implicit("guess")
