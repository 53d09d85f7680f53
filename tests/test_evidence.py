"""The marginal likelihood of a learned Gaussian prior: closed forms, differences, quadrature, and published fits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import multivariate_normal

import metasci as ms
from metasci.data.tasks import Batch
from metasci.errors import InputError
from metasci.meta import Covariates, GaussianPrior, Problem, learn
from metasci.meta.laplace.evidence import Population, log_marginal, log_predictive
from metasci.meta.laplace.gauss_newton import map_estimate
from metasci.meta.laplace.gaussian_state import GaussianState
from metasci.meta.laplace.refinement import marginal_cost, packed, predictive_cost

FLOAT = torch.float64


@ms.equation(
    inputs={"x": "1"},
    output=("y", "1"),
    parameters=[ms.Parameter("intercept", spread=1.0), ms.Parameter("slope", spread=1.0)],
    noise=ms.Additive((0.5,)),
    name="test.straight",
)
def straight(x, *, intercept, slope):
    """A straight line."""
    return intercept + slope * x


@ms.equation(
    inputs={"time": "h", "dose": "mg/kg"},
    output=("concentration", "mg/L"),
    parameters=[
        ms.Parameter("elimination", "1/h", typical=0.08, positive=True, spread=1.0),
        ms.Parameter("absorption", "1/h", typical=1.5, positive=True, spread=1.0),
        ms.Parameter("clearance", "L/h/kg", typical=0.04, positive=True, spread=1.0),
    ],
    noise=ms.Additive((0.7,)),
    name="test.first_order",
)
def first_order(time, dose, *, elimination, absorption, clearance):
    """One compartment, first-order absorption, as nlme's SSfol (Pinheiro and Bates 2000, appendix C.4)."""
    scale = dose * elimination * absorption / (clearance * (absorption - elimination))
    return scale * (ms.math.exp(-elimination * time) - ms.math.exp(-absorption * time))


def lines(tasks: int = 4, count: int = 5) -> Problem:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(tasks, count, generator=generator, dtype=FLOAT)
    y = 1.0 + 0.5 * x + torch.randn(tasks, count, generator=generator, dtype=FLOAT)
    mask = torch.ones(tasks, count, dtype=torch.bool)
    mask[1, 3:] = False
    mask[2] = False
    names = tuple("abcd")
    return Problem(straight, Batch({"x": x}, y, mask, x.new_zeros(tasks, 0), names))


def population(tasks: int = 4) -> Population:
    factor = torch.tensor([[0.8, 0.0], [0.3, 0.5]], dtype=FLOAT)
    mean = torch.tensor([0.2, -0.1], dtype=FLOAT).expand(tasks, 2)
    return Population(mean, factor, torch.tensor([math.log(0.4)], dtype=FLOAT))


def theophylline() -> tuple[Problem, object]:
    batch = ms.dataset("theophylline").batch(first_order, covariates=())
    design = Covariates.learn((), (), batch.covariates).design(batch.covariates)
    return Problem(first_order, batch), design


def test_evidence_of_lines_is_the_gaussian_it_is() -> None:
    problem, given = lines(), population()
    value, _ = log_marginal(problem, given)
    covariance = (given.factor @ given.factor.T).numpy()
    for task in range(4):
        here = problem.batch.mask[task].numpy()
        design = np.stack([np.ones(5), problem.batch.inputs["x"][task].numpy()], 1)[here]
        y = problem.batch.output[task].numpy()[here]
        expected = 0.0
        if len(y):
            expected = multivariate_normal(
                design @ given.mean[task].numpy(), design @ covariance @ design.T + 0.16 * np.eye(len(y))
            ).logpdf(y)
        assert float(value[task].detach()) == pytest.approx(expected, abs=1e-10)


def test_predictive_density_of_lines_is_the_conditional_gaussian() -> None:
    problem, given = lines(), population()
    support = torch.zeros_like(problem.batch.mask)
    support[:, :2] = True
    query = torch.zeros_like(support)
    query[:, 2] = True
    value, _ = log_predictive(problem.trimmed(support), problem.trimmed(query), given)
    covariance = (given.factor @ given.factor.T).numpy()
    design = np.stack([np.ones(5), problem.batch.inputs["x"][0].numpy()], 1)
    y = problem.batch.output[0].numpy()
    both = multivariate_normal(
        design[:3] @ given.mean[0].numpy(), design[:3] @ covariance @ design[:3].T + 0.16 * np.eye(3)
    ).logpdf(y[:3])
    first = multivariate_normal(
        design[:2] @ given.mean[0].numpy(), design[:2] @ covariance @ design[:2].T + 0.16 * np.eye(2)
    ).logpdf(y[:2])
    assert float(value[0].detach()) == pytest.approx(both - first, abs=1e-10)


@pytest.mark.parametrize("noise", [ms.Additive((0.7,)), ms.Combined((0.3, 0.1)), ms.LogNormal((0.2,))])
def test_gradients_of_both_objectives_against_finite_differences(noise) -> None:
    """The mode moves with the population; leaving that out would show here."""
    problem, design = theophylline()
    batch = problem.batch
    sound = batch.mask & (batch.output > 0.1) & (batch.inputs["time"] > 0)
    batch = batch.trimmed(sound)
    problem = Problem(first_order.with_noise(noise), batch)
    state = GaussianState.of(
        {
            "coefficients": torch.tensor([[0.1], [-0.2], [0.1]], dtype=FLOAT),
            "covariance": torch.diag(torch.tensor([0.04, 0.3, 0.05], dtype=FLOAT)) + 0.01,
            "design_covariance": torch.zeros(1, 1, dtype=FLOAT),
            "log_noise": torch.tensor([math.log(v) for v in noise.typical], dtype=FLOAT),
            "noise_shape": torch.tensor(1e8, dtype=FLOAT),
        }
    )
    support = torch.zeros_like(batch.mask)
    support[:, ::2] = True

    def belief(coefficients, covariance):
        return -0.5 * (coefficients**2).sum()

    objectives = [
        lambda free: marginal_cost(problem, design, free, belief, True)[0],
        lambda free: predictive_cost(problem, design, free, support, belief, True),
    ]
    generator = torch.Generator().manual_seed(1)
    for objective in objectives:
        free = {name: value.clone().requires_grad_() for name, value in packed(state).items()}
        slopes = torch.autograd.grad(objective(free), list(free.values()))
        direction = [torch.randn(v.shape, generator=generator, dtype=FLOAT) for v in free.values()]
        exact = sum(float((s * d).sum()) for s, d in zip(slopes, direction, strict=True))
        values = []
        for sign in (1e-5, -1e-5):
            moved = {n: v.detach() + sign * d for (n, v), d in zip(free.items(), direction, strict=True)}
            values.append(float(objective(moved).detach()))
        assert exact == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-5)


def test_evidence_of_a_patient_against_quadrature() -> None:
    """Laplace's approximation of one patient with a spread of clearance only, beside the integral itself."""
    problem, _ = theophylline()
    one = problem.select(torch.tensor([0]))
    wide = torch.eye(3, dtype=FLOAT)[None] * 0.01
    log_noise = torch.tensor([math.log(0.7)], dtype=FLOAT)
    mean = map_estimate(one, torch.zeros(1, 3, dtype=FLOAT), wide, log_noise).coordinates
    tiny, spread = 1e-5, 0.3
    mean[0, 2] += 0.1
    factor = torch.diag(torch.tensor([tiny, tiny, spread], dtype=FLOAT))
    value, _ = log_marginal(one, Population(mean, factor, log_noise))

    def density(z: float) -> float:
        at = mean.clone()
        at[0, 2] += z
        likelihood = -float(one.negative_log_likelihood(at, log_noise))
        return math.exp(likelihood - 0.5 * (z / spread) ** 2 + 15.0)

    integral = quad(density, -2, 2, epsabs=0, points=[-0.1])[0] / (spread * math.sqrt(2.0 * math.pi))
    assert float(value.detach()) == pytest.approx(math.log(integral) - 15.0, abs=0.01)


@pytest.mark.parametrize(
    ("correlated", "published"), [(False, -177.0237), (True, -173.3203)], ids=["diagonal", "full"]
)
def test_theophylline_reaches_the_likelihood_that_nlme_reports(correlated: bool, published: float) -> None:
    """nlme on Theoph with lKe, lKa, lCl: Pinheiro and Bates 2000, section 8.2.1, fm2Theoph.nlme, fm1Theoph.nlme."""
    problem, design = theophylline()
    fits = {}
    for objective in ("expectation", "marginal"):
        method = GaussianPrior(regularisation=0.0, correlated=correlated, objective=objective, iterations=60)
        state, _ = learn(method, problem, design)
        cost, _ = marginal_cost(problem, design, packed(state), lambda *_: torch.zeros(()), correlated)
        fits[objective] = -float(cost.detach())
    assert fits["marginal"] >= fits["expectation"] - 1e-6
    assert fits["marginal"] == pytest.approx(published, abs=0.5)
    assert fits["marginal"] >= published - 0.01
    means = state.coefficients[:, 0] + torch.tensor([0.08, 1.5, 0.04], dtype=FLOAT).log()
    known = torch.tensor([-2.4547, 0.4655, -3.2272], dtype=FLOAT)
    torch.testing.assert_close(means, known, rtol=0, atol=0.03)


def test_the_predictive_objective_raises_what_it_is_to_raise() -> None:
    problem, design = theophylline()
    support = torch.zeros_like(problem.batch.mask)
    support[:, [2, 5, 9]] = True

    def density(objective: str) -> float:
        method = GaussianPrior(objective=objective, shots=(3, 3), predictive_iterations=40, iterations=40)
        state, _ = learn(method, problem, design)
        return -float(
            predictive_cost(problem, design, packed(state), support, lambda *_: torch.zeros(()), True)
        )

    assert density("predictive") > density("expectation")


def test_objectives_that_do_not_exist_are_refused() -> None:
    with pytest.raises(InputError, match="objective"):
        GaussianPrior(objective="likelihood")
    with pytest.raises(InputError, match="task_noise"):
        GaussianPrior(task_noise=True, objective="marginal")
