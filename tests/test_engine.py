"""The engine against closed forms and finite differences."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

import metasci as ms
from metasci.data.tasks import Batch
from metasci.errors import InputError
from metasci.meta import (
    FOMAML,
    MAML,
    Covariates,
    GaussianPrior,
    GradientDescent,
    MetaSGD,
    Problem,
    learn,
    meta_gradient,
    query_loss,
    unroll,
)
from metasci.meta.episodes import sample_support
from metasci.meta.implied import implied_precision
from metasci.meta.laplace.gauss_newton import map_estimate
from metasci.meta.laplace.pooled import pooled_estimate

FLOAT = torch.float64


@ms.equation(
    inputs={"x": "1"},
    output=("y", "1"),
    parameters=[ms.Parameter("intercept", spread=1.0), ms.Parameter("slope", spread=1.0)],
    noise=ms.Additive((0.5,)),
    name="test.line",
)
def line(x, *, intercept, slope):
    """A straight line."""
    return intercept + slope * x


@ms.equation(
    inputs={"time": "h"},
    output=("fraction", "1"),
    parameters=[
        ms.Parameter("size", typical=1.0, positive=True),
        ms.Parameter("rate", "1/h", typical=0.3, positive=True),
    ],
    constraints=[ms.Monotone("time", increasing=False), ms.NonNegative()],
    noise=ms.Combined((0.05, 0.1)),
    name="test.decay",
)
def decay(time, *, size, rate):
    """Exponential decay."""
    return size * ms.math.exp(-rate * time)


def make_batch(
    model, parameters: dict[str, torch.Tensor], count: int = 8, noise: float = 0.05, seed: int = 0
) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    tasks = len(next(iter(parameters.values())))
    name = next(iter(model.inputs))
    x = torch.rand(tasks, count, generator=generator, dtype=FLOAT) * 4.0
    y = model({name: x}, {key: value[:, None] for key, value in parameters.items()})
    y = y + noise * torch.randn(tasks, count, generator=generator, dtype=FLOAT)
    names = tuple(f"task {i}" for i in range(tasks))
    return Batch(
        {name: x}, y, torch.ones(tasks, count, dtype=torch.bool), torch.zeros(tasks, 0, dtype=FLOAT), names
    )


def no_covariates(batch: Batch):
    return Covariates.learn((), (), batch.covariates).design(batch.covariates)


def decays(tasks: int = 5, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    values = {
        "size": torch.exp(0.3 * torch.randn(tasks, generator=generator, dtype=FLOAT)),
        "rate": 0.3 * torch.exp(0.4 * torch.randn(tasks, generator=generator, dtype=FLOAT)),
    }
    return make_batch(decay, values)


def test_one_step_is_a_convex_combination_of_start_and_task() -> None:
    batch = make_batch(
        line, {"intercept": torch.tensor([2.0, -1.0], dtype=FLOAT), "slope": torch.zeros(2, dtype=FLOAT)}
    )
    start, share = torch.tensor([[0.3], [0.3]], dtype=FLOAT), 0.25
    target = batch.output.mean(1, keepdim=True)
    rule = GradientDescent({"theta": torch.tensor(share, dtype=FLOAT)})
    moved = unroll(lambda p: 0.5 * ((p["theta"] - batch.output) ** 2).mean(1), {"theta": start}, rule, 1)[
        "theta"
    ]
    torch.testing.assert_close(moved, (1 - share) * start + share * target, rtol=0, atol=1e-14)


def quadratics(tasks: int = 4, size: int = 3):
    generator = torch.Generator().manual_seed(1)
    root = torch.randn(tasks, size, size, generator=generator, dtype=FLOAT)
    hessian = root @ root.transpose(1, 2) / size + 0.1 * torch.eye(size, dtype=FLOAT)
    optimum = torch.randn(tasks, size, generator=generator, dtype=FLOAT)

    def loss(parameters):
        off = parameters["theta"] - optimum
        return 0.5 * torch.einsum("ti,tij,tj->t", off, hessian, off)

    return hessian, optimum, loss


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_meta_gradient_of_quadratics_is_the_closed_form(steps: int) -> None:
    hessian, optimum, loss = quadratics()
    step_size = 0.05
    theta = torch.zeros(3, dtype=FLOAT, requires_grad=True)
    rule = GradientDescent({"theta": torch.tensor(step_size, dtype=FLOAT)})
    adapted = unroll(loss, {"theta": theta.expand(4, 3)}, rule, steps)
    (gradient,) = torch.autograd.grad(loss(adapted).sum(), theta)
    shrink = torch.matrix_power(torch.eye(3, dtype=FLOAT) - step_size * hessian, steps)
    moved = optimum + torch.einsum("tij,tj->ti", shrink, -optimum)
    expected = torch.einsum("tij,tjk,tk->i", shrink, hessian, moved - optimum)
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-12)


def test_first_order_differs_by_exactly_the_hessian_term() -> None:
    hessian, optimum, loss = quadratics()
    step_size = 0.05
    gradients = []
    for second_order in (True, False):
        theta = torch.zeros(3, dtype=FLOAT, requires_grad=True)
        rule = GradientDescent({"theta": torch.tensor(step_size, dtype=FLOAT)})
        adapted = unroll(loss, {"theta": theta.expand(4, 3)}, rule, 1, second_order)
        gradients.append(torch.autograd.grad(loss(adapted).sum(), theta)[0])
        after = adapted["theta"].detach()
    outer = torch.einsum("tij,tj->ti", hessian, after - optimum)
    term = -step_size * torch.einsum("tij,tj->i", hessian, outer)
    torch.testing.assert_close(gradients[0] - gradients[1], term, rtol=1e-11, atol=1e-12)


def test_optimum_on_quadratics_is_the_weighted_not_the_plain_mean() -> None:
    hessian, optimum, loss = quadratics()
    shrink = torch.eye(3, dtype=FLOAT) - 0.3 * hessian
    weight = shrink @ hessian @ shrink
    expected = torch.linalg.solve(weight.sum(0), torch.einsum("tij,tj->i", weight, optimum))
    theta = torch.zeros(3, dtype=FLOAT, requires_grad=True)
    search = torch.optim.LBFGS([theta], max_iter=200, tolerance_grad=1e-13, tolerance_change=1e-16)
    rule = GradientDescent({"theta": torch.tensor(0.3, dtype=FLOAT)})

    def closure():
        search.zero_grad()
        cost = loss(unroll(loss, {"theta": theta.expand(4, 3)}, rule, 1)).sum()
        cost.backward()
        return cost

    search.step(closure)
    torch.testing.assert_close(theta.detach(), expected, rtol=1e-6, atol=1e-7)
    assert float((expected - optimum.mean(0)).norm()) > 0.1


@pytest.mark.parametrize("steps", [1, 3, 5])
@pytest.mark.parametrize("penalty", [0.0, 2.0])
@pytest.mark.parametrize("make", [MAML, MetaSGD])
def test_meta_gradient_of_an_equation_against_finite_differences(make, steps: int, penalty: float) -> None:
    batch = decays()
    problem, design = Problem(decay, batch, penalty), no_covariates(batch)
    method = make(steps=steps, penalty=penalty)
    state = method.initial(problem, design)
    support = sample_support(batch.mask, (3, 3), "random", 0)
    learned, episode = dict(state.learned), method.episode(problem, design, support)
    composition = method.adaptation(float(state.first_step))
    _, gradient = meta_gradient(composition, episode, learned)
    for name in sorted(set(learned) - {"effects"}):
        flat = learned[name].reshape(-1)
        for index in range(len(flat)):
            values = []
            for shift in (1e-5, -1e-5):
                moved = flat.clone()
                moved[index] += shift
                changed = learned | {name: moved.reshape(learned[name].shape)}
                values.append(query_loss(composition, episode, changed).mean().item())
            numeric = (values[0] - values[1]) / 2e-5
            assert float(gradient[name].reshape(-1)[index]) == pytest.approx(numeric, rel=2e-5, abs=1e-7)


def test_gradient_steps_are_the_map_estimate_under_the_implied_prior() -> None:
    batch = make_batch(
        line,
        {"intercept": torch.tensor([1.0, 0.5], dtype=FLOAT), "slope": torch.tensor([0.2, 1.0], dtype=FLOAT)},
        4,
    )
    problem = Problem(line, batch)
    log_noise, start = torch.tensor([math.log(0.5)], dtype=FLOAT), torch.zeros(2, 2, dtype=FLOAT)
    step, steps = torch.tensor([0.004, 0.002], dtype=FLOAT), 7
    rule = GradientDescent({"z": step})
    walked = unroll(lambda p: problem.negative_log_likelihood(p["z"], log_noise), {"z": start}, rule, steps)[
        "z"
    ]
    design = torch.stack([torch.ones_like(batch.inputs["x"]), batch.inputs["x"]], -1) / 0.5
    precision, exists = implied_precision(design.transpose(1, 2) @ design, step, steps)
    assert bool(exists.all())
    best = map_estimate(problem, start, precision, log_noise)
    torch.testing.assert_close(best.coordinates, walked.detach(), rtol=0, atol=1e-10)


def test_implied_prior_is_refused_where_a_step_overshoots() -> None:
    _, exists = implied_precision(
        torch.diag(torch.tensor([1.0, 30.0]))[None].double(), torch.tensor(0.1).double(), 3
    )
    assert not bool(exists)
    batch = decays()
    problem, design = Problem(decay, batch), no_covariates(batch)
    method = MAML(step_size=1.0, steps=2)
    adapted = method.adapt(problem, design, method.initial(problem, design))
    assert any("does not exist" in note for note in adapted.notes)
    assert bool(torch.isnan(adapted.start_covariance).any())


def test_map_and_laplace_of_a_line_are_the_conjugate_closed_form() -> None:
    batch = make_batch(
        line, {"intercept": torch.tensor([1.0], dtype=FLOAT), "slope": torch.tensor([0.2], dtype=FLOAT)}, 3
    )
    mean, precision = (
        torch.tensor([[0.5, -0.5]], dtype=FLOAT),
        torch.tensor([[[2.0, 0.3], [0.3, 1.0]]], dtype=FLOAT),
    )
    estimate = map_estimate(Problem(line, batch), mean, precision, torch.tensor([math.log(0.5)], dtype=FLOAT))
    design = torch.stack([torch.ones_like(batch.inputs["x"]), batch.inputs["x"]], -1)[0]
    covariance = torch.linalg.inv(precision[0] + design.T @ design / 0.25)
    expected = covariance @ (precision[0] @ mean[0] + design.T @ batch.output[0] / 0.25)
    torch.testing.assert_close(estimate.coordinates[0], expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(estimate.covariance[0], covariance, rtol=1e-9, atol=1e-12)


def test_map_estimate_agrees_with_scipy_under_combined_noise() -> None:
    from scipy.optimize import minimize

    batch = decays(6)
    problem, log_noise = Problem(decay, batch), torch.tensor([math.log(0.05), math.log(0.1)], dtype=FLOAT)
    mean, precision = torch.zeros(6, 2, dtype=FLOAT), torch.eye(2, dtype=FLOAT).expand(6, 2, 2)
    estimate = map_estimate(problem, mean, precision, log_noise, tolerance=1e-9, steps=200)
    for task in range(6):
        one = problem.select(torch.tensor([task]))

        def cost(z, one=one):
            at = torch.tensor(z[None])
            return float(one.negative_log_likelihood(at, log_noise)[0] + 0.5 * at.square().sum())

        best = min(
            (minimize(cost, s, tol=1e-14) for s in np.random.default_rng(0).normal(size=(4, 2))),
            key=lambda r: r.fun,
        )
        np.testing.assert_allclose(estimate.coordinates[task].numpy(), best.x, atol=2e-5)


def test_gaussian_prior_recovers_a_known_population() -> None:
    generator = torch.Generator().manual_seed(3)
    count = 400
    known = torch.randn(count, generator=generator, dtype=FLOAT)
    intercept = 1.0 + 0.5 * known + 0.3 * torch.randn(count, generator=generator, dtype=FLOAT)
    slope = -0.5 + 0.8 * torch.randn(count, generator=generator, dtype=FLOAT)
    batch = make_batch(line, {"intercept": intercept, "slope": slope}, 6, noise=0.4)
    batch = dataclasses.replace(batch, covariates=known[:, None])
    scaled = Covariates.learn(("known",), ("identity",), batch.covariates)
    state, lost = learn(GaussianPrior(), Problem(line, batch), scaled.design(batch.covariates))
    assert not lost
    spread = state.covariance.diagonal().sqrt()
    torch.testing.assert_close(spread, torch.tensor([0.3, 0.8], dtype=FLOAT), rtol=0.1, atol=0.0)
    assert float(state.coefficients[0, 1]) == pytest.approx(0.5 * float(scaled.scale), rel=0.1)
    assert float(state.log_noise.exp()) == pytest.approx(0.4, rel=0.05)


def test_task_noise_finds_the_noisy_tasks() -> None:
    rng = torch.Generator().manual_seed(0)
    tasks = 60
    batch = make_batch(
        line,
        {k: torch.randn(tasks, generator=rng, dtype=FLOAT) for k in ("intercept", "slope")},
        20,
        noise=0.0,
    )
    levels = torch.where(torch.arange(tasks) % 2 == 0, 0.1, 1.0).to(FLOAT)
    noisy = batch.output + levels[:, None] * torch.randn(batch.output.shape, generator=rng, dtype=FLOAT)
    problem = Problem(line, dataclasses.replace(batch, output=noisy))
    method = GaussianPrior(task_noise=True)
    design = no_covariates(batch)
    adapted = method.adapt(problem, design, learn(method, problem, design)[0])
    sd = (adapted.mixture.weight * adapted.mixture.factor.log()).sum(0).mul(
        0.5
    ).exp() * adapted.log_noise.exp()
    assert float(sd[::2].median()) == pytest.approx(0.1, rel=0.2)
    assert float(sd[1::2].median()) == pytest.approx(1.0, rel=0.2)


@pytest.mark.parametrize(
    "method", [GaussianPrior(iterations=12, tolerance=0.0), MAML(iterations=12), FOMAML(iterations=12)]
)
def test_a_killed_run_resumes_to_the_same_bits(method, tmp_path) -> None:
    batch = decays()
    problem, design = Problem(decay, batch), no_covariates(batch)
    unbroken, _ = learn(method, problem, design, seed=5)

    class Killed(Exception):
        pass

    class Dies:
        """The method, until its seventh iteration."""

        def __getattr__(self, name):
            return getattr(method, name)

        def __repr__(self) -> str:
            return repr(method)

        def improve(self, problem, design, state, seed):
            if int(state.iteration) == 7:
                raise Killed
            return method.improve(problem, design, state, seed)

    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Killed):
        learn(Dies(), problem, design, seed=5, checkpoint=path, every=0.0)
    resumed, _ = learn(method, problem, design, seed=5, checkpoint=path)
    expected, tensors = unbroken.tensors(), resumed.tensors()
    assert expected.keys() == tensors.keys()
    for name, value in expected.items():
        assert torch.equal(value, tensors[name]), name
    with pytest.raises(InputError, match="another run"):
        learn(method, problem, design, seed=6, checkpoint=path)


@pytest.mark.parametrize(
    "method", [GaussianPrior(iterations=5), MAML(iterations=5), FOMAML(iterations=5), MetaSGD(iterations=5)]
)
def test_a_task_that_turns_non_finite_is_named_and_the_others_go_on(method) -> None:
    batch = decays(4)
    broken = batch.output.clone()
    broken[2] = float("nan")
    state, lost = learn(
        method, Problem(decay, dataclasses.replace(batch, output=broken)), no_covariates(batch)
    )
    assert set(lost) == {"task 2"}
    assert all(bool(torch.isfinite(value).all()) for value in (state.log_noise, state.mean, state.effects))
    assert float(state.iteration) > 1.0


def test_a_penalty_makes_an_unlawful_model_lawful() -> None:
    @ms.equation(
        inputs={"x": "1"},
        output=("y", "1"),
        constraints=[ms.Monotone("x", increasing=True)],
        parameters=[ms.Parameter("slope", spread=1.0)],
        noise=ms.Additive((1.0,)),
        name="test.rising",
    )
    def rising(x, *, slope):
        """Should rise."""
        return slope * x

    x = torch.tensor([[1.0, 2.0]], dtype=FLOAT)
    batch = Batch({"x": x}, -x, torch.ones(1, 2, dtype=torch.bool), torch.zeros(1, 0, dtype=FLOAT), ("a",))
    flat = torch.zeros(1, 1, 1, dtype=FLOAT) + 1e-4
    free, bound = (
        map_estimate(
            Problem(rising, batch, w), torch.zeros(1, 1, dtype=FLOAT), flat, torch.zeros(1, dtype=FLOAT)
        )
        for w in (0.0, 1e4)
    )
    assert float(free.coordinates) == pytest.approx(-1.0, abs=1e-3)
    assert -0.01 < float(bound.coordinates) <= 0.0
    assert float(Problem(rising, batch, 1.0).penalty_cost(free.coordinates)) > 0.0


def test_pooled_estimate_is_the_least_cost_of_all_tasks_together() -> None:
    problem = Problem(decay, decays(3))
    size = len(decay.parameters)
    mean, log_noise = torch.zeros(1, size, dtype=FLOAT), torch.tensor([0.05, 0.1], dtype=FLOAT).log()
    precision = torch.eye(size, dtype=FLOAT)[None]
    found = pooled_estimate(problem, mean, precision, log_noise)

    def cost(z: np.ndarray) -> float:
        at = torch.as_tensor(z)[None].expand(3, -1)
        return float(problem.negative_log_likelihood(at, log_noise).sum()) + 0.5 * float((z**2).sum())

    best = minimize(
        cost, np.zeros(size), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000}
    )
    assert bool(found.converged)
    np.testing.assert_allclose(found.coordinates[0].numpy(), best.x, atol=1e-6)


def test_a_pooled_estimate_arrives_where_gauss_newton_creeps() -> None:
    """Residuals z + 1 and λz² + z − 1 at λ = −0.99: each step leaves 99 % of the way to zero (Dennis and Schnabel)."""

    @ms.equation(
        inputs={"x": "1"}, output=("y", "1"), parameters=[ms.Parameter("z", spread=1e6)],
        noise=ms.Additive((1.0,)), name="test.creeping",
    )  # fmt: skip
    def creeping(x, *, z):
        """One residual at x = 0, the other at x = 1."""
        return z + x * (-0.99 * z**2)

    x, y = torch.tensor([[0.0, 1.0]], dtype=FLOAT), torch.tensor([[-1.0, 1.0]], dtype=FLOAT)
    both = torch.ones(2, 2, dtype=torch.bool)
    batch = Batch({"x": x.expand(2, -1)}, y.expand(2, -1), both, torch.zeros(2, 0, dtype=FLOAT), ("a", "b"))
    at = (
        torch.zeros(1, 1, dtype=FLOAT),
        torch.full((1, 1, 1), 1e-12, dtype=FLOAT),
        torch.zeros(1, dtype=FLOAT),
    )
    start = torch.full((1, 1), 0.3, dtype=FLOAT)
    found = pooled_estimate(
        Problem(creeping, batch), *at, start=start / creeping.parameters.parameters[0].spread
    )
    assert bool(found.converged)
    assert float(creeping.parameters.to_physical(found.coordinates)["z"]) == pytest.approx(0.0, abs=1e-6)


def test_unknown_covariates_widen_the_prior_and_take_their_expectation() -> None:
    values = torch.tensor([[1.0, 1.1], [2.0, 2.1], [3.0, 2.9], [4.0, 4.0]], dtype=FLOAT)
    scaled = Covariates.learn(("a", "b"), ("identity", "identity"), values)
    design = scaled.design(torch.tensor([[4.0, float("nan")], [4.0, 4.0]], dtype=FLOAT))
    assert 0.0 < float(design.values[0, 1]) <= float(design.values[1, 1])
    r = float(torch.corrcoef(values.T)[0, 1]) * 4 / (4 + 10)  # shrunken by ten tasks' worth of none
    assert float(design.uncertainty[0, 1, 1]) == pytest.approx(1.0 - r**2, rel=1e-6)
    assert float(design.values[0, 1]) == pytest.approx(r * float(design.values[0, 0]), rel=1e-6)
    assert float(design.uncertainty[1].abs().max()) == 0.0
    assert float(design.uncertainty[0, 0].abs().max()) == 0.0
