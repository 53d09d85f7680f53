"""Hypergradients against finite differences, and against ridge regression's closed form."""

from __future__ import annotations

import pytest
import torch

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


def test_tuning_finds_the_penalties_that_made_what_is_kept_aside():
    def solved(outer):
        curvature = X.T @ X / len(X) + torch.diag(outer["log_penalty"].exp())
        return {"w": torch.linalg.solve(curvature, X.T @ Y / len(X))}

    truth = torch.tensor([-1.0, 0.5, -0.3], dtype=torch.float64)
    kept = X_KEPT @ solved({"log_penalty": truth})["w"]
    loop = InnerLoop(
        solved, lambda p, outer, n: p, 0, lambda p, outer: (X_KEPT @ p["w"] - kept).square().mean()
    )
    tuned = tune(loop, {"log_penalty": torch.zeros(3, dtype=torch.float64)}, evaluations=600, rate=0.2)
    assert tuned.loss == min(loss for loss, _ in tuned.path)
    torch.testing.assert_close(tuned.outer["log_penalty"], truth, rtol=0.0, atol=1e-4)


def test_what_cannot_be_tuned_is_said():
    loop = InnerLoop(lambda o: {"w": o["w"] / 0.0}, lambda p, o, n: p, 1, lambda p, o: p["w"].sum())
    with pytest.raises(InputError, match="not finite where tuning begins"):
        tune(loop, {"w": torch.ones(1)})
    with pytest.raises(InputError, match="objective"):
        Implicit()(loop, {"w": torch.ones(1)})
    with pytest.raises(InputError, match="not known"):
        Implicit("guess")
