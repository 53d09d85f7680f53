"""What methods say beforehand, against closed forms on tasks that are straight lines."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

import metasci as ms
from metasci.bayes.populations import gaussian_distances, start_against_mean
from metasci.bayes.shrinkage import contraction, of_prior, of_steps
from metasci.data.batch import Batch
from metasci.data.cards import Card
from metasci.fits.predictive import predictive, sampled
from metasci.meta.covariates import Covariates
from metasci.meta.laplace.gauss_newton import map_estimate

pytest.importorskip("pymc")

from metasci.bayes.implied import empirical_prior, implied_prior

FLOAT = torch.float64
NOISE = 0.5


@ms.equation(
    inputs={"x": "1"},
    output=("y", "1"),
    parameters=[ms.Parameter("level", spread=1.0), ms.Parameter("slope", spread=1.0)],
    noise=ms.Additive((NOISE,)),
    name="test.implied_line",
)
def line(x, *, level, slope):
    """Straight line."""
    return level + slope * x


@ms.equation(
    inputs={"a": "1", "b": "1", "c": "1"},
    output=("y", "1"),
    parameters=[ms.Parameter(name, spread=1.0) for name in ("first", "second", "third")],
    noise=ms.Additive((NOISE,)),
    name="test.three_scales",
)
def three(a, b, c, *, first, second, third):
    """Each measurement sees one of three parameters."""
    return a * first + b * second + c * third


def _batch(
    model: ms.Model, inputs: dict[str, torch.Tensor], coordinates: torch.Tensor, seed: int = 0
) -> Batch:
    curve = model.at(coordinates[:, None, :], inputs)
    noise = torch.randn(curve.shape, generator=torch.Generator().manual_seed(seed), dtype=FLOAT)
    return Batch(
        inputs=inputs,
        output=curve + NOISE * noise,
        mask=torch.ones_like(curve, dtype=torch.bool),
        covariates=torch.zeros(len(curve), 0, dtype=FLOAT),
        names=tuple(f"task {i}" for i in range(len(curve))),
    )


def lines(tasks: int = 5) -> Batch:
    """Lines of different design, so that every task has its own curvature."""
    random = torch.Generator().manual_seed(1)
    x = (
        torch.rand(tasks, 6, generator=random, dtype=FLOAT)
        * torch.linspace(0.5, 3.0, tasks, dtype=FLOAT)[:, None]
    )
    return _batch(line, {"x": x}, torch.randn(tasks, 2, generator=random, dtype=FLOAT))


def with_method(model: ms.Model, method: object, state: dict[str, torch.Tensor]) -> ms.Prior:
    none = Covariates.learn((), (), torch.zeros(2, 0, dtype=FLOAT))
    return ms.Prior("test", model, method, state, none, Card.from_model(model))


def descending(steps: int, rate: torch.Tensor, rule: str = "descent") -> ms.Prior:
    method = ms.MetaSGD(steps, rule=rule)
    state = {
        "mean": torch.tensor([0.3, -0.2], dtype=FLOAT),
        "effects": torch.zeros(2, 0, dtype=FLOAT),
        "log_noise": torch.tensor([math.log(NOISE)], dtype=FLOAT),
        "rule/rate/coordinates": rate.log(),
        "first_step": torch.tensor(1.0, dtype=FLOAT),
        "implied_precision": torch.full((2, 2), torch.nan, dtype=FLOAT),
    }
    return with_method(line, method, state)


def hessians(batch: Batch) -> np.ndarray:
    design = torch.stack([torch.ones_like(batch.inputs["x"]), batch.inputs["x"]], -1) / NOISE
    return (design.transpose(1, 2) @ design).numpy()


RATE = torch.tensor([0.004, 0.002], dtype=FLOAT)


@pytest.mark.parametrize("steps", [1, 4, 9])
def test_steps_are_the_estimate_under_the_prior_they_imply(steps: int) -> None:
    batch, prior = lines(), descending(steps, RATE)
    said = implied_prior(prior, batch)
    assert said.attrs["kind"] == "steps"
    assert bool(said["exists"].all())
    assert float(said["e"].min()) > 0.0
    assert float(said["e"].max()) < 1.0
    precision = torch.linalg.inv(torch.tensor(said["covariance"].values))
    walked = prior.adapt(batch)
    best = map_estimate(
        prior.problem(batch),
        torch.tensor(said["mean"].values),
        precision,
        prior.state.log_noise,
        tolerance=1e-12,
    )
    torch.testing.assert_close(walked.coordinates, best.coordinates, rtol=0, atol=1e-10)
    torch.testing.assert_close(walked.covariance, best.covariance, rtol=0, atol=1e-10)


def test_the_implied_prior_is_its_formula_and_shrinks_as_the_steps_do() -> None:
    batch, prior, steps = lines(), descending(4, RATE), 4
    said = implied_prior(prior, batch)
    hessian, step = hessians(batch), np.diag(RATE.numpy())
    for task in range(len(batch)):
        root = np.sqrt(step)
        e, u = np.linalg.eigh(root @ hessian[task] @ root)
        expected = root @ u @ np.diag(((1.0 - e) ** -steps - 1.0) / e) @ u.T @ root
        np.testing.assert_allclose(said["covariance"][task], expected, atol=1e-8)
        np.testing.assert_allclose(np.sort(said["e"][task]), e, atol=1e-10)
    np.testing.assert_allclose(said["average"], said["covariance"].mean("task"), atol=1e-12)
    np.testing.assert_allclose(
        of_steps(hessian, step, steps), of_prior(hessian, said["covariance"].values), atol=1e-8
    )


def test_a_step_that_overshoots_has_no_prior_and_says_so() -> None:
    said = implied_prior(descending(3, 100.0 * RATE), lines())
    assert not bool(said["exists"].all())
    kept = said["exists"].values
    assert np.isnan(said["covariance"].values[~kept]).all()
    assert f"so for {kept.sum()} of 5 tasks" in said.attrs["validity"]
    assert (said["e"].values[~kept].max(1) >= 1.0).all()


def test_trial_finds_the_prior_that_the_formula_gives() -> None:
    """Simulated pairs of opposite noise make it exact for a rule that is linear in the measurements."""
    batch, prior = lines(), descending(4, RATE)
    found, known = empirical_prior(prior, batch, draws=8), implied_prior(prior, batch)
    np.testing.assert_allclose(found["covariance"], known["covariance"], rtol=1e-6)
    np.testing.assert_allclose(
        found["operator"], of_steps(hessians(batch), np.diag(RATE.numpy()), 4), atol=1e-8
    )


def test_other_rules_are_found_by_trial() -> None:
    said = implied_prior(descending(6, 0.3 * RATE, rule="momentum"), lines())
    assert said.attrs["kind"] == "empirical"
    assert bool(said["exists"].any())
    # on squares momentum is linear, too: v ← μv + H e, e ← e − αv, and what is left of the way after six steps
    for task, hessian in enumerate(hessians(lines())):
        left, velocity = np.eye(2), np.zeros((2, 2))
        for _ in range(6):
            velocity = 0.9 * velocity + hessian @ left
            left = left - np.diag(0.3 * RATE.numpy()) @ velocity
        np.testing.assert_allclose(said["operator"].values[task], np.eye(2) - left, rtol=1e-5, atol=1e-8)


def test_stated_priors_are_given_as_they_are() -> None:
    prior = ms.load("theophylline")
    batch = prior.batch(ms.dataset("theophylline"))
    said = implied_prior(prior, batch)
    assert said.attrs["kind"] == "stated"
    np.testing.assert_array_equal(said["covariance"], prior.adapt(batch).start_covariance)
    pulled = ms.IMAML(steps=3, proximal=2.0, iterations=1)
    proximal = ms.meta_calibrate(prior.model, ms.dataset("theophylline"), pulled)
    said = implied_prior(proximal, batch)
    assert said.attrs["kind"] == "proximal"
    np.testing.assert_allclose(said["average"], np.eye(3) / 2.0, atol=1e-12)
    pooled = ms.meta_calibrate(prior.model, ms.dataset("theophylline"), ms.Pooled(iterations=1))
    assert implied_prior(pooled, pooled.batch(ms.dataset("theophylline"))).attrs["kind"] == "none"


def test_meta_sgd_recovers_the_spread_of_a_population() -> None:
    """Step sizes learned on tasks of a known population imply its standard deviations, 0.3, 1 and 2."""
    truth = torch.tensor([0.3, 1.0, 2.0], dtype=FLOAT)
    tasks, each = 3000, 3
    random = torch.Generator().manual_seed(4)
    coordinates = truth * torch.randn(tasks, 3, generator=random, dtype=FLOAT)
    eye = torch.eye(3, dtype=FLOAT).repeat(2 * each, 1).expand(tasks, -1, -1)
    batch = _batch(three, {"a": eye[..., 0], "b": eye[..., 1], "c": eye[..., 2]}, coordinates, seed=5)
    method = ms.MetaSGD(1, shots=(3 * each, 3 * each), support="first", iterations=250, learning_rate=0.1)
    frozen = Covariates.learn((), (), batch.covariates)
    problem, design = ms.meta.Problem(three, batch), frozen.design(batch.covariates)
    state = method.initial(problem, design)
    known = torch.tensor(
        [math.log(NOISE)], dtype=FLOAT
    )  # else it takes up what the estimates leave uncertain
    while not method.finished(state):
        state, _ = method.improve(problem, design, state.with_learned(log_noise=known), seed=0)
    prior = with_method(three, method, state.with_learned(log_noise=known))
    support = torch.zeros_like(batch.mask)
    support[:, : 3 * each] = True
    said = implied_prior(prior, batch.select(range(5)).with_mask(support[:5]))
    spread = np.sqrt(np.diag(said["average"].values))
    np.testing.assert_allclose(spread, truth, rtol=0.1)


def test_sampling_and_linearising_agree_on_a_line() -> None:
    batch, prior = lines(), descending(4, RATE)
    adapted, problem = prior.adapt(batch), prior.problem(batch)
    straight = predictive(problem, adapted)
    curve, measured = sampled(problem, adapted, 20_000, seed=1)
    torch.testing.assert_close(curve.mean(0), straight.median, rtol=0, atol=0.02)
    torch.testing.assert_close(curve.std(0), straight.curve_sd[0], rtol=0.03, atol=0.0)
    torch.testing.assert_close(measured.std(0), straight.total_sd[0], rtol=0.03, atol=0.0)
    again, _ = sampled(problem, adapted, 10, seed=1)
    torch.testing.assert_close(again, sampled(problem, adapted, 10, seed=1)[0], rtol=0, atol=0)


def test_sampling_follows_the_bend_and_the_noise_levels() -> None:
    """Steels have noise levels of their own; from the prior alone the model bends within the spread."""
    prior = ms.load("alloy_fatigue")
    batch = prior.batch(ms.dataset("alloy_fatigue"))
    adapted, problem = prior.adapt(batch), prior.problem(batch)
    curve, _ = sampled(problem, adapted, 4000, prior=True)
    straight = predictive(problem, adapted, prior=True)
    last = int(batch.mask[0].nonzero()[-1])
    drawn = (
        adapted.start[0].numpy()
        + np.random.default_rng(0).standard_normal((4000, 2))
        @ np.linalg.cholesky(adapted.start_covariance[0].numpy()).T
    )
    expected = np.median(
        np.asarray(prior.model.at(drawn, {"cycles": batch.inputs["cycles"][0, last].numpy()}))
    )
    assert float(curve[:, 0, last].median()) == pytest.approx(expected, rel=0.02)
    assert float(curve[:, 0, last].mean()) > float(straight.median[0, last]) * 1.01


def test_distances_of_populations_are_the_closed_forms() -> None:
    random = np.random.default_rng(2)
    root = random.standard_normal((4, 3, 3))
    covariances = root @ root.transpose(0, 2, 1) + 0.3 * np.eye(3)
    means = random.standard_normal((4, 3))
    found = gaussian_distances(means[0], covariances[0], means[1:], covariances[1:])
    for place in range(3):
        p, q = (stats.multivariate_normal(means[i], covariances[i]) for i in (0, place + 1))
        drawn = p.rvs(200_000, random_state=3)
        assert found["kl_forward"][place] == pytest.approx(
            (p.logpdf(drawn) - q.logpdf(drawn)).mean(), rel=0.02
        )
        swapped = gaussian_distances(means[place + 1], covariances[place + 1], means[:1], covariances[:1])
        np.testing.assert_allclose(swapped["kl_forward"], found["kl_backward"][place], atol=1e-8)
        np.testing.assert_allclose(swapped["wasserstein"], found["wasserstein"][place], atol=1e-8)
    same = gaussian_distances(means[0], covariances[0], means[:1], covariances[:1])
    for value in same.values():
        np.testing.assert_allclose(value, 0.0, atol=1e-6)
    # where the matrices commute, W₂ is the distance of means and standard deviations
    one, two = np.array([1.0, 2.0]), np.array([0.5, 3.0])
    diagonal = gaussian_distances([0.0, 0.0], np.diag(one**2), [[1.0, -1.0]], [np.diag(two**2)])
    assert diagonal["wasserstein"][0] == pytest.approx(math.sqrt(2.0 + ((one - two) ** 2).sum()), abs=1e-8)


def test_the_start_against_the_posterior_of_the_mean() -> None:
    draws = np.random.default_rng(0).multivariate_normal([1.0, 2.0], [[0.5, 0.2], [0.2, 0.3]], 5000)
    found = start_against_mean([1.5, 2.0], draws)
    centre, covariance = draws.mean(0), np.cov(draws.T)
    off = np.array([1.5, 2.0]) - centre
    np.testing.assert_allclose(found["z"], off / draws.std(0, ddof=1), atol=1e-8)
    squared = off @ np.linalg.inv(covariance) @ off
    assert found["mahalanobis"] ** 2 == pytest.approx(squared, abs=1e-8)
    assert found["tail"] == pytest.approx(stats.chi2(2).sf(squared), abs=1e-8)


def test_contraction_is_the_conjugate_one() -> None:
    batch = lines()
    spread = np.array([[1.0, 0.3], [0.3, 0.5]])
    posterior = np.linalg.inv(hessians(batch) + np.linalg.inv(spread))
    np.testing.assert_allclose(
        contraction(posterior, np.broadcast_to(spread, posterior.shape)),
        1.0 - np.stack([np.diag(one) / np.diag(spread) for one in posterior]),
        atol=1e-8,
    )
    # the operator carries prior to posterior covariance: (I − W) Σ
    left = np.eye(2) - of_prior(hessians(batch), spread)
    np.testing.assert_allclose(left @ spread, posterior, atol=1e-8)
