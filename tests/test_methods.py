"""Methods over equations: what each learns, what it refuses, and what it says when it goes astray."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch
from torch import nn

import metasci as ms
from metasci.data.tasks import Batch
from metasci.errors import InputError
from metasci.meta import (
    ANIL,
    FOMAML,
    IMAML,
    MAML,
    Composition,
    Covariates,
    Descent,
    Displacement,
    Exact,
    FineTuning,
    FirstOrder,
    FromScratch,
    GaussianPrior,
    Implicit,
    LearnedOptimiser,
    MetaCurvature,
    MetaSGD,
    Momentum,
    Network,
    NetworkEpisode,
    Outer,
    Pooled,
    Problem,
    Reptile,
    initial,
    learn,
    meta_train,
    named,
    squared_error,
)
from metasci.meta.adaptation.implicit import neumann_series
from metasci.meta.implied import implied_precision, precision_of_jacobian
from metasci.meta.laplace.gauss_newton import map_estimate

FLOAT = torch.float64


@ms.equation(
    inputs={"x": "1"},
    output=("y", "1"),
    parameters=[ms.Parameter("intercept", spread=1.0), ms.Parameter("slope", spread=1.0)],
    constraints=[ms.NonNegative()],
    noise=ms.Additive((0.5,)),
    name="test.ray",
)
def ray(x, *, intercept, slope):
    """A straight line."""
    return intercept + slope * x


def rays(tasks: int = 6, count: int = 12, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(tasks, count, generator=generator, dtype=FLOAT)
    truth = torch.randn(2, tasks, 1, generator=generator, dtype=FLOAT)
    y = 2.0 + 0.5 * truth[0] + (1.0 + 0.7 * truth[1]) * x
    y = y + 0.5 * torch.randn(tasks, count, generator=generator, dtype=FLOAT)
    mask = torch.ones(tasks, count, dtype=torch.bool)
    batch = Batch({"x": x}, y, mask, x.new_zeros(tasks, 0), tuple(f"simulated {i}" for i in range(tasks)))
    return Problem(ray, batch), Covariates.learn((), (), batch.covariates).design(batch.covariates)


def test_imaml_is_the_estimate_under_its_own_gaussian() -> None:
    """However many measurements: its inner problem is solved, not walked a while."""
    for count in (3, 60):
        problem, design = rays(count=count)
        method = IMAML(iterations=5, proximal=2.0, shots=(1, 2))
        state, _ = learn(method, problem, design)
        adapted = method.adapt(problem, design, state)
        precision = 2.0 * torch.eye(2, dtype=FLOAT).expand(len(problem), 2, 2)
        best = map_estimate(problem, adapted.start, precision, state.log_noise, tolerance=1e-10)
        torch.testing.assert_close(adapted.coordinates, best.coordinates, rtol=0, atol=1e-7)
        torch.testing.assert_close(adapted.covariance, best.covariance, rtol=1e-6, atol=1e-9)
        assert bool(adapted.converged.all())


def test_steps_that_lead_astray_leave_a_task_at_its_start_and_say_so() -> None:
    problem, design = rays(count=60)
    method = MAML(3, step_size=1.0, iterations=1)
    adapted = method.adapt(problem, design, method.initial(problem, design))
    assert not bool(adapted.converged.any())
    assert torch.equal(adapted.coordinates, adapted.start)
    assert any("worse fit" in note and "simulated 0" in note for note in adapted.notes)


@pytest.mark.parametrize("make", [ANIL, lambda frozen: Reptile(frozen=frozen)], ids=["ANIL", "Reptile"])
def test_a_frozen_parameter_is_learned_but_the_same_for_every_task(make) -> None:
    problem, design = rays()
    method = dataclasses.replace(make(("slope",)), iterations=20)
    begun = method.initial(problem, design)
    state, _ = learn(method, problem, design)
    assert float((state.mean[1] - begun.mean[1]).abs()) > 1e-4
    adapted = method.adapt(problem, design, state)
    assert float(adapted.coordinates[:, 1].std()) < 1e-14
    assert float(adapted.coordinates[:, 0].std()) > 0.05
    assert float(adapted.covariance[:, 1, 1].abs().max()) == 0.0


def test_the_jacobian_of_descent_gives_the_prior_of_the_formula() -> None:
    hessian = torch.tensor([[[3.0, 1.0], [1.0, 2.0]]], dtype=FLOAT)
    step = torch.tensor(0.1, dtype=FLOAT)
    expected, _ = implied_precision(hessian, step, 4)
    jacobian = torch.matrix_power(torch.eye(2, dtype=FLOAT) - step * hessian, 4)
    precision, exists = precision_of_jacobian(hessian, jacobian)
    torch.testing.assert_close(precision, expected, rtol=1e-12, atol=1e-12)
    assert bool(exists.all())


@pytest.mark.slow
def test_what_is_learned_pays_on_tasks_not_seen() -> None:
    """Baselines in the same harness: every learner beats the pooled fit, which never adapts."""
    problem, design = rays(40)
    unseen, unseen_design = rays(40, count=20, seed=1)
    support = torch.zeros_like(unseen.batch.mask)
    support[:, :5] = True

    def loss(method) -> float:
        state, _ = learn(method, problem, design)
        adapted = method.adapt(unseen.with_mask(support), unseen_design, state)
        judged = unseen.with_mask(~support)
        each = (judged.target - judged.predict(adapted.coordinates)).square()
        return float(torch.where(~support, each, 0.0).sum() / (~support).sum())

    pooled = loss(Pooled(iterations=100))
    few = {"iterations": 150, "shots": (5, 5)}
    for method in (
        MAML(3, **few), Reptile(5, **few), MetaSGD(3, **few), MetaCurvature(3, **few), IMAML(**few),
        FineTuning(5, iterations=100), GaussianPrior(), LearnedOptimiser(5, **few),
        MAML(rule="nesterov", **few),
    ):  # fmt: skip
        assert loss(method) < 0.85 * pooled, method.name
    assert loss(FromScratch()) > loss(GaussianPrior())


def test_what_never_adapts_says_that_it_has_no_intervals() -> None:
    problem, design = rays()
    method = Pooled(iterations=2)
    adapted = method.adapt(problem, design, learn(method, problem, design)[0])
    assert torch.equal(adapted.coordinates, adapted.start)
    assert float(adapted.covariance.abs().max()) == 0.0
    assert any("never adapts" in note for note in adapted.notes)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: MAML(step_size="learnd"), "step_size"),
        (lambda: MAML(step_size=-1.0), "step_size"),
        (lambda: Reptile(step_size="learned"), "'Reptile' cannot learn it"),
        (lambda: FineTuning(step_size="learned"), "'fine-tuning' cannot learn it"),
        (lambda: MAML(step_size=0.1, per_step=True), "per_step"),
        (lambda: MAML(support="frist"), "support"),
        (lambda: MAML(shots=(10, 1)), "shots"),
        (lambda: MAML(steps=-1), "steps"),
        (lambda: MAML(rule="newton"), "rule"),
        (lambda: MAML(segment=-1), "segment"),
        (lambda: ANIL("volume"), "in a tuple"),
        (lambda: MAML(learn_penalty=True), "above zero"),
        (lambda: FOMAML(penalty=1.0, learn_penalty=True), "learn_penalty"),
        (lambda: FineTuning(penalty=1.0, learn_penalty=True), "learn_penalty"),
    ],
)
def test_options_that_make_no_sense_are_refused(make, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()


def test_learned_tensors_that_could_never_move_are_refused() -> None:
    for gradient in (Displacement(), Implicit()):
        with pytest.raises(InputError, match="nothing of the inner rule"):
            Composition(Descent(0.1, "scalar"), 2, gradient, proximal=1.0)
    with pytest.raises(InputError, match="learn_proximal"):
        Composition(Descent(0.1), 2, FirstOrder(), proximal=1.0, learn_proximal=True)
    with pytest.raises(InputError, match="segment"):
        Exact(-1)
    start = Network(nn.Linear(2, 1)).start()
    with pytest.raises(InputError, match="no parameter begins with 'head'"):
        initial(named.anil(("head",)), start)
    with pytest.raises(InputError, match="nothing is left"):
        initial(named.anil(("weight", "bias")), start)


def test_a_learned_penalty_moves_and_is_used() -> None:
    problem, design = rays()
    low = Problem(ray, dataclasses.replace(problem.batch, output=problem.batch.output - 2.0), 5.0)
    method = MAML(3, penalty=5.0, learn_penalty=True, iterations=20)
    state, _ = learn(method, low, design)
    assert float((state.log_penalty - math.log(5.0)).abs()) > 1e-3


def test_a_task_without_finite_numbers_does_not_stop_the_refinement() -> None:
    problem, design = rays(8)
    broken = problem.batch.output.clone()
    broken[3] = math.nan
    with_it = Problem(ray, dataclasses.replace(problem.batch, output=broken))
    index = torch.tensor([0, 1, 2, 4, 5, 6, 7])
    method = GaussianPrior(objective="marginal", regularisation=0.0)
    one, left_out = learn(method, with_it, design)
    other, _ = learn(method, problem.select(index), design.select(index))
    assert "simulated 3" in left_out
    torch.testing.assert_close(one.covariance, other.covariance, rtol=1e-3, atol=1e-5)


def test_a_checkpoint_of_another_noise_or_rule_is_refused(tmp_path) -> None:
    problem, design = rays()
    path = tmp_path / "run.safetensors"
    learn(MAML(iterations=2), problem, design, checkpoint=path)
    other = Problem(ray.with_noise(ms.Additive((0.7,))), problem.batch)
    with pytest.raises(InputError, match="another run"):
        learn(MAML(iterations=2), other, design, checkpoint=path)

    def composition(decay: float) -> Composition:
        return Composition(Descent(0.01, rule=lambda sizes: Momentum(sizes, decay)), 1)

    network = Network(nn.Linear(1, 1))
    x = torch.ones(2, 3, 1)
    episode = NetworkEpisode(network, x, x, x, x)
    path = tmp_path / "network.safetensors"
    meta_train(composition(0.5), lambda i: episode, network.start(), Outer(2), checkpoint=path)
    meta_train(composition(0.5), lambda i: episode, network.start(), Outer(2), checkpoint=path)
    with pytest.raises(InputError, match="another run"):
        meta_train(composition(0.6), lambda i: episode, network.start(), Outer(2), checkpoint=path)
    moved = dataclasses.replace(episode, targets=2.0 * x)
    with pytest.raises(InputError, match="another run"):
        meta_train(composition(0.5), lambda i: moved, network.start(), Outer(2), checkpoint=path)


def test_a_saved_prior_that_lacks_what_its_rule_learned_is_refused(tmp_path) -> None:
    from safetensors.torch import load_file, save_file

    patients, model = ms.dataset("theophylline"), ms.load("theophylline").model
    for method in (
        MetaCurvature(2, iterations=2),
        MetaSGD(2, per_step=True, iterations=2),
        LearnedOptimiser(2, iterations=2),
    ):
        prior = ms.meta_calibrate(model, patients, method)
        folder = prior.save(tmp_path / method.name)
        again = ms.Prior.load(folder)
        torch.testing.assert_close(
            again.calibrate(patients).adapted.coordinates, prior.calibrate(patients).adapted.coordinates
        )
        tensors = load_file(folder / "prior.safetensors")
        lost = next(name for name in tensors if name.startswith("rule/"))
        save_file(
            {n: v for n, v in tensors.items() if n != lost}, folder / "prior.safetensors", {"format": "1"}
        )
        description = json.loads((folder / "prior.json").read_text())
        del description["tensors_sha256"]  # as if nobody had noticed
        (folder / "prior.json").write_text(json.dumps(description))
        with pytest.raises(InputError, match="missing"):
            ms.Prior.load(folder)


def test_what_is_not_measured_may_be_anything() -> None:
    output, target = torch.zeros(2, 3, 1), torch.ones(2, 3, 1)
    target[0, 2] = math.nan
    mask = torch.tensor([[True, True, False], [True, True, True]])
    free = output.clone().requires_grad_()
    losses = squared_error(free, target, mask)
    (slope,) = torch.autograd.grad(losses.sum(), free)
    assert losses.tolist() == [1.0, 1.0]
    assert bool(torch.isfinite(slope).all())
    with pytest.raises(InputError, match="cannot be compared"):
        squared_error(torch.zeros(4, 4, 1), torch.zeros(4, 4), None)


def test_networks_that_cannot_repeat_or_learn_are_refused() -> None:
    with pytest.raises(InputError, match="drops out"):
        Network(nn.Sequential(nn.Linear(1, 2), nn.Dropout(0.5)))
    network = Network(nn.Linear(1, 1))
    bad = torch.full((2, 3, 1), math.nan)
    with pytest.raises(InputError, match="no task"):
        meta_train(
            named.maml(), lambda i: NetworkEpisode(network, bad, bad, bad, bad), network.start(), Outer(2)
        )


def test_weights_that_require_no_gradient_stay_the_modules_own() -> None:
    module = nn.Sequential(nn.Linear(1, 2), nn.Tanh(), nn.Linear(2, 1))
    module[0].requires_grad_(False)
    network = Network(module)
    assert sorted(network.start()) == ["2.bias", "2.weight"]
    x = torch.randn(3, 4, 1)
    stacked = {name: value.expand(3, *value.shape) for name, value in network.start().items()}
    torch.testing.assert_close(network(stacked, x), module(x))


def test_a_series_that_diverges_gives_no_number() -> None:
    wrong = neumann_series(lambda v: {"x": 100.0 * v["x"]}, {"x": torch.ones(1, 1)}, 20, rate=0.1)
    assert bool(torch.isnan(wrong["x"]).all())
