"""Least squares on NIST's 27 certified problems of non-linear regression, from the start that is farther away."""

from __future__ import annotations

import nist
import pytest
import torch

import metasci as ms
from metasci.errors import InputError
from metasci.meta.laplace.gauss_newton import map_estimate
from metasci.meta.laplace.least_squares import least_squares

FLOAT = torch.float64


def _certified(name: str, start: str = "start1") -> tuple[torch.Tensor, torch.Tensor]:
    """Certified coordinates, and the size of a coordinate."""
    size = torch.tensor(nist.PROBLEMS[name][start], dtype=FLOAT).abs()
    return torch.tensor(nist.PROBLEMS[name]["certified"], dtype=FLOAT) / size, size


@pytest.mark.parametrize("name", nist.PROBLEMS)
def test_the_data_and_the_equation_are_those_certified(name: str) -> None:
    """A slip in a datum, a certified value or an equation would show in the sum of squares."""
    problem, given = nist.problem(name), nist.PROBLEMS[name]
    best, _ = _certified(name)
    squares = float((problem.target - problem.model.noise.link(problem.predict(best[None]))).square().sum())
    if (
        name == "Lanczos1"
    ):  # made to fit to the thirteenth digit: what certified values leave is their own rounding
        assert squares < 1e-20
    else:
        assert squares == pytest.approx(given["rss"], rel=1e-8)
    freedom = len(given["y"]) - len(given["certified"])
    assert (given["rss"] / freedom) ** 0.5 == pytest.approx(given["residual_sd"], rel=1e-9)


@pytest.mark.parametrize("name", nist.PROBLEMS)
def test_every_parameter_from_the_farther_start(name: str) -> None:
    problem, given = nist.problem(name), nist.PROBLEMS[name]
    best, size = _certified(name)
    fit = least_squares(problem, torch.tensor(given["start1"], dtype=FLOAT).sign())
    assert fit.converged, fit.reason
    digits = -torch.log10(((fit.coordinates - best) / best).abs() + 1e-16)
    assert float(digits.min()) > 6.0, f"{float(digits.min()):.1f} digits after {fit.steps} steps"
    if name == "Lanczos1":  # the residuals are rounding
        return
    sd = fit.covariance.diagonal().sqrt() * size
    torch.testing.assert_close(sd, torch.tensor(given["sd"], dtype=FLOAT), rtol=1e-4, atol=0.0)


def test_agrees_with_the_estimate_under_a_prior_that_says_nothing() -> None:
    patients = ms.dataset("theophylline")
    model = ms.load("theophylline").model
    problem = ms.meta.Problem(model, patients.select(["3"]).batch(model))
    fit = least_squares(problem)
    nothing = 1e-12 * torch.eye(3, dtype=FLOAT)[None]
    other = map_estimate(
        problem, torch.zeros(1, 3, dtype=FLOAT), nothing, torch.zeros(1, dtype=FLOAT), tolerance=1e-9
    )
    torch.testing.assert_close(fit.coordinates, other.coordinates[0], rtol=0, atol=1e-6)


def test_what_cannot_be_fitted_is_refused() -> None:
    patients = ms.dataset("theophylline")
    model = ms.load("theophylline").model
    with pytest.raises(InputError, match="one task, not 12"):
        least_squares(ms.meta.Problem(model, patients.batch(model)))
    with pytest.raises(InputError, match="not finite"):
        least_squares(nist.problem("MGH09"), torch.full((4,), torch.nan, dtype=FLOAT))
    short = least_squares(nist.problem("MGH10"), torch.ones(3, dtype=FLOAT), steps=3)
    assert not short.converged
    assert "3 steps" in short.reason
