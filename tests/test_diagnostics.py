"""Diagnostics against closed forms, finite differences and learners whose faults are known."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import metasci as ms
from metasci.data.tasks import TaskSet
from metasci.diagnostics import (
    composition_gradient,
    composition_hessian,
    gradient_noise,
    gradient_noise_figure,
    inner_loop_curve,
    inner_loop_figure,
    leading_eigenpairs,
    leave_one_task_out,
    leave_one_task_out_figure,
    meta_gradient_noise,
    meta_hessian,
    meta_hessian_figure,
    named_combination,
    nested_variance,
    risk_inflation,
    simulated_tasks,
    validation_split,
    with_steps,
)
from metasci.errors import InputError
from metasci.meta import (
    Composition,
    Descent,
    Displacement,
    Exact,
    FirstOrder,
    Implicit,
    Network,
    NetworkEpisode,
    adapt,
    initial,
    meta_gradient,
    query_loss,
)
from metasci.meta.episodes import sample_support

FLOAT = torch.float64


@ms.equation(
    inputs={"time": "h"},
    output=("fraction", "1"),
    parameters=[
        ms.Parameter("size", typical=1.0, positive=True),
        ms.Parameter("rate", "1/h", typical=0.3, positive=True),
    ],
    noise=ms.Additive((0.03,)),
    name="test.diagnosed_decay",
)
def decay(time, *, size, rate):
    """Exponential decay."""
    return size * ms.math.exp(-rate * time)


@ms.equation(
    inputs={"x": "1"},
    output=("y", "1"),
    parameters=[ms.Parameter("level", spread=1.0)],
    noise=ms.Additive((1.0,)),
    name="test.diagnosed_level",
)
def level(x, *, level):
    """A constant."""
    return level + 0.0 * x


def levels(tasks: int, seed: int = 0) -> TaskSet:
    """Simulated constants that scatter by 0.6 about 2."""
    values = 2.0 + 0.6 * np.random.default_rng(seed).standard_normal(tasks)
    return simulated_tasks(level, {"level": values}, {"x": np.zeros(30)}, seed=seed)


def decays(tasks: int, sd: float, seed: int = 0) -> TaskSet:
    """Simulated tasks whose parameters scatter by so much on the logarithm."""
    draw = np.random.default_rng(seed)
    values = {
        "size": np.exp(sd * draw.standard_normal(tasks)),
        "rate": 0.3 * np.exp(sd * draw.standard_normal(tasks)),
    }
    return simulated_tasks(decay, values, {"time": np.linspace(0.5, 8.0, 8)}, seed=seed)


def test_simulated_tasks_say_so_and_scatter_by_the_noise() -> None:
    tasks = simulated_tasks(decay, {"size": np.ones(500), "rate": 0.3}, {"time": [1.0, 2.0]}, seed=1)
    assert tasks.card.simulated
    off = tasks.dataset["fraction"].values - np.exp(-0.3 * np.array([1.0, 2.0]))
    assert off.std() == pytest.approx(0.03, rel=0.06)
    with pytest.raises(InputError, match="give its parameter 'rate'"):
        simulated_tasks(decay, {"size": [1.0]}, {"time": [1.0]})


# leave one task out -------------------------------------------------------------------------------


def test_risk_ratio_of_the_mean_is_the_closed_form() -> None:
    """A task's distance from the mean of the others is T/(T − 1) times that from the mean of all."""
    truth = np.array([0.0, 1.0, 5.0, -2.0])
    result = risk_inflation(
        lambda index: truth[index].mean(),
        lambda mean, index, seeds: (1 + np.arange(seeds)) * (truth[index, None] - mean) ** 2,
        4,
    )
    assert float(result["ratio"]) == pytest.approx((4 / 3) ** 2, rel=1e-12)
    assert float(result["ratio_upper"]) == pytest.approx(
        float(result["ratio_lower"])
    )  # the same for every seed
    assert "overfits" in result.attrs["verdict"]


def test_a_memorising_learner_on_near_duplicates_is_called_so() -> None:
    leads_nowhere = ms.FOMAML(steps=3, step_size=1e-7, iterations=30)
    result = leave_one_task_out(decay, decays(3, 0.01), leads_nowhere, seeds=5)
    assert result.attrs["verdict"].startswith("The learner memorises")
    assert float(result["use"]) < 0.5
    assert float(result["ratio_task_lower"]) < 1.0  # the ratio alone could not have told
    assert abs(float(result["use"])) < 1e-3  # it does not move at all


def test_a_prior_of_three_near_duplicates_knows_that_they_say_little_of_the_spread() -> None:
    prior = ms.GaussianPrior(regularisation=0.0)
    assert float(leave_one_task_out(decay, decays(3, 0.01), prior, seeds=5)["use"]) > 0.8


@pytest.mark.parametrize(
    "tasks", [decays(15, 0.4), ms.dataset("theophylline")], ids=["simulated", "patients"]
)
def test_a_sound_learner_is_cleared(tasks: TaskSet) -> None:
    model = decay if tasks.card.simulated else ms.load("theophylline").model
    result = leave_one_task_out(model, tasks, seeds=8)
    assert result.attrs["verdict"].startswith("The learner is sound")
    assert float(result["use_lower"]) > 0.85
    assert 1.0 < float(result["ratio"]) < 1.5
    assert result.sizes == {"task": len(tasks), "seed": 8, "probe": result.sizes["probe"]}


def test_leaving_one_out_repeats_to_the_bit() -> None:
    one, other = (leave_one_task_out(decay, decays(3, 0.4), seeds=2) for _ in range(2))
    assert one.identical(other)


@pytest.mark.parametrize(("steps", "verdict"), [(0, "memorises"), (20, "sound")])
def test_a_network_is_judged_by_the_same_core(steps: int, verdict: str) -> None:
    """Lines of slopes near 1, and probes of slopes far from it. A network that takes no step memorises."""
    network = Network(torch.nn.Linear(1, 1))
    slopes = torch.tensor([0.97, 1.0, 1.02, 1.05])
    composition = Composition(Descent(0.3), steps)

    def episode(support: torch.Tensor, query: torch.Tensor, seed: int) -> NetworkEpisode:
        generator = torch.Generator().manual_seed(seed)
        x = torch.rand(2, len(support), 6, 1, generator=generator) * 2 - 1
        noise = 0.05 * torch.randn(len(query), 6, 1, generator=generator)
        return NetworkEpisode(
            network, x[0], support[:, None, None] * x[0], x[1], query[:, None, None] * x[1] + noise
        )

    def learn(index: list[int]):
        zero = {name: torch.zeros_like(value) for name, value in network.start().items()}
        return initial(composition, {**zero, "weight": slopes[index].mean().reshape(1, 1)})

    def risk(learned, support: torch.Tensor, query: torch.Tensor, seed: int) -> np.ndarray:
        made = episode(support, query, seed)
        return made.query(adapt(composition, made, learned)).detach().numpy()

    def each(learned, support: torch.Tensor, query: torch.Tensor, seeds: int) -> np.ndarray:
        return np.stack([risk(learned, support, query, seed) for seed in range(seeds)], 1)

    def use(learned, seeds: int):
        unlike, least = slopes + 1.0, np.full((4, seeds), 0.05**2)
        return each(learned, unlike, unlike, seeds), each(learned, slopes, unlike, seeds), least

    result = risk_inflation(
        learn, lambda weights, index, seeds: each(weights, slopes[index], slopes[index], seeds), 4, use=use
    )
    assert f"The learner {'is ' * (verdict == 'sound')}{verdict}" in result.attrs["verdict"]


def test_leave_one_task_out_refuses_what_cannot_be() -> None:
    with pytest.raises(InputError, match="at least three tasks"):
        leave_one_task_out(decay, decays(2, 0.1))
    with pytest.raises(InputError, match="none is left to judge by"):
        leave_one_task_out(decay, decays(3, 0.1), shots=8)


def test_leave_one_task_out_is_drawn() -> None:
    figure = leave_one_task_out_figure(leave_one_task_out(decay, decays(4, 0.3), seeds=2))
    assert isinstance(figure, Figure)
    assert "simulated" in figure.axes[0].get_title(loc="left")
    assert figure.axes[0].get_ylabel() == "RMSE of fraction"


# the inner loop -----------------------------------------------------------------------------------


def test_inner_loop_of_constants_follows_the_closed_form() -> None:
    """k steps go a share s of the way to the mean of n: the query's risk is τ²(1 − s)² + σ²(s²/n + 1)."""
    tasks, shots, most = levels(400), 4, 40
    prior = ms.meta_calibrate(level, tasks, ms.FOMAML(steps=5, step_size=0.02, iterations=1))
    curve = inner_loop_curve(prior, tasks, most=most, shots=shots, seeds=5)
    variance = float(prior.state.log_noise[0].exp()) ** 2
    share = 1.0 - (1.0 - 0.02 * shots / variance) ** np.arange(most + 1)
    expected = 0.36 * (1 - share) ** 2 + share**2 / shots + 1.0
    loss = 0.5 * (expected / variance + np.log(2 * np.pi * variance))
    np.testing.assert_allclose(curve["mean_query_loss"], loss, atol=0.02)
    best = np.argmin(expected)
    assert 0 < best < most
    assert abs(int(curve["stop_at_steps"]) - best) <= 3
    assert float(curve["excess"][int(curve["stop_at_steps"])]) == 0.0
    assert (np.diff(curve["mean_support_loss"]) < 0).all()


def test_a_u_shape_is_found_and_the_stop_survives_saving(tmp_path) -> None:
    learn, validate = validation_split(levels(300), share=0.7)
    assert (len(learn), len(validate)) == (90, 210)
    prior = ms.meta_calibrate(level, learn, ms.FOMAML(steps=5, step_size=0.05, iterations=1))
    curve = inner_loop_curve(prior, validate, most=60, shots=3, seeds=5)
    assert bool(curve["is_u_shaped"])
    stop = int(curve["stop_at_steps"])
    assert curve.attrs["verdict"].startswith(f"Stop after {stop}: ")
    stopped = with_steps(prior, curve)
    again = ms.load(stopped.save(tmp_path))
    assert again.method.steps == again.training["stop_at_steps"] == stop != prior.method.steps
    assert again.training["validation"]["query_loss"] == float(curve["mean_query_loss"][stop])
    few = validate.select([0, 1])
    np.testing.assert_array_equal(
        again.calibrate(few).adapted.coordinates, stopped.calibrate(few).adapted.coordinates
    )
    assert not torch.equal(
        stopped.calibrate(few).adapted.coordinates, prior.calibrate(few).adapted.coordinates
    )


def test_other_step_rules_get_the_prior_that_the_new_steps_imply() -> None:
    tasks = levels(20)
    method = ms.MAML(4, 0.03, rule="momentum", iterations=2, shots=(3, 3))
    prior = ms.meta_calibrate(level, tasks, method)
    curve = inner_loop_curve(prior, tasks, most=8, seeds=2)
    with pytest.raises(InputError, match="give `tasks`"):
        with_steps(prior, curve.assign(stop_at_steps=2))
    few, many = (with_steps(prior, curve.assign(stop_at_steps=k), tasks) for k in (2, 4))
    assert float(few.state.implied_precision) > float(many.state.implied_precision)
    torch.testing.assert_close(many.state.implied_precision, prior.state.implied_precision)


def test_inner_loop_refuses_what_has_no_steps() -> None:
    with pytest.raises(InputError, match="not by inner steps"):
        inner_loop_curve(ms.load("theophylline"), ms.dataset("theophylline"))
    prior = ms.meta_calibrate(level, levels(5), ms.FOMAML(steps=2, step_size=0.02, iterations=1))
    with pytest.raises(InputError, match="ask for fewer shots"):
        inner_loop_curve(prior, levels(5), shots=30)
    curve = inner_loop_curve(prior, levels(5), seeds=1)
    with pytest.raises(InputError, match="make no step"):
        with_steps(prior, curve.assign(stop_at_steps=0))
    figure = inner_loop_figure(curve)
    assert [axes.get_xlabel() for axes in figure.axes] == ["inner steps"] * 2


# the noise of the meta-gradient -------------------------------------------------------------------


@dataclass(frozen=True)
class Quadratics:
    """Tasks of loss ½(θ − a)ᵀH(θ − a), the optimum a of support and query each seen with noise; an `Episode`."""

    hessian: torch.Tensor  # (task, parameter, parameter)
    seen: torch.Tensor  # (task, parameter), the support's optimum
    judged: torch.Tensor  # (task, parameter), the query's

    def __len__(self) -> int:
        return len(self.seen)

    def start(self, learned):
        return {"theta": learned["theta"].expand(len(self), -1)}, {}

    def _loss(self, parameters, optimum: torch.Tensor) -> torch.Tensor:
        off = parameters["theta"] - optimum
        return 0.5 * torch.einsum("ti,tij,tj->t", off, self.hessian, off)

    def support(self, parameters):
        return self._loss(parameters, self.seen)

    def query(self, parameters):
        return self._loss(parameters, self.judged)

    def select(self, index):
        return Quadratics(self.hessian[index], self.seen[index], self.judged[index])


HESSIAN = torch.tensor([[3.0, 1.0], [1.0, 1.5]], dtype=FLOAT)
START = torch.tensor([0.5, -1.0], dtype=FLOAT)
SPREAD = {"task": 1.0, "support": 0.7, "query": 0.4}


def drawn(task: int, support: int, query: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Optimum of a task, and the noise of a support and of a query."""
    seeds = {"task": [0, task], "support": [1, task, support], "query": [2, task, support, query]}
    parts = (SPREAD[name] * np.random.default_rng(seed).standard_normal(2) for name, seed in seeds.items())
    return tuple(torch.tensor(part) for part in parts)  # type: ignore[return-value]


def closed_form_factors(steps: int, step_size: float, exact: bool) -> dict[str, torch.Tensor]:
    """What task, support and query noise are multiplied by in the meta-gradient.

    With C = (I − αH)ᵏ it is C H [C(θ − a) + (I − C)ξ − ζ], and without the first C in first order.
    """
    one = torch.eye(2, dtype=FLOAT)
    contract = torch.matrix_power(one - step_size * HESSIAN, steps)
    outer = contract @ HESSIAN if exact else HESSIAN
    return {"task": outer @ contract, "support": outer @ (one - contract), "query": outer}


def test_nested_variance_is_unbiased_and_may_be_negative() -> None:
    draw = np.random.default_rng(0)
    many = 4000  # designs at once, in the last dimension
    values = (
        2.0 * draw.standard_normal((4, 1, 1, many))
        + 0.5 * draw.standard_normal((4, 3, 1, many))
        + 1.0 * draw.standard_normal((4, 3, 2, many))
    )
    found = nested_variance(values)
    np.testing.assert_allclose(found.mean(1), [4.0, 0.25, 1.0], atol=4 * found.std(1).max() / np.sqrt(many))
    assert (found[1] < 0).any()
    with pytest.raises(InputError, match="two tasks, supports and queries at least"):
        nested_variance(values[:, :1])


@pytest.mark.parametrize("kind", [Exact(), FirstOrder()], ids=["MAML", "first order"])
@pytest.mark.parametrize("steps", [1, 4])
def test_meta_gradient_noise_of_quadratics_is_the_closed_form(kind, steps: int) -> None:
    """The engine's gradients are the closed form's to rounding, and its variances what the components estimate."""
    sizes = (0.02, 0.1)

    def draw(task: int, support: int, query: int) -> Quadratics:
        a, xi, zeta = drawn(task, support, query)
        return Quadratics(HESSIAN[None], (a + xi)[None], (a + zeta)[None])

    def make(count: int, size: float):
        return composition_gradient(
            Composition(Descent(size), count, kind), draw, {"theta": START}, ["theta"]
        )

    def formula(count: int, size: float):
        factor = closed_form_factors(count, size, isinstance(kind, Exact))

        def gradient(task: int, support: int, query: int) -> torch.Tensor:
            a, xi, zeta = drawn(task, support, query)
            return factor["task"] @ (START - a) + factor["support"] @ xi - factor["query"] @ zeta

        return gradient

    few = {"tasks": 3, "supports": 2, "queries": 2}
    engine, written = (gradient_noise(how, [steps], sizes, **few) for how in (make, formula))
    np.testing.assert_allclose(engine["variance"], written["variance"], rtol=1e-10, atol=1e-12)

    found = gradient_noise(formula, [steps], sizes, tasks=150, supports=6, queries=3)
    for size in sizes:
        factor = closed_form_factors(steps, size, isinstance(kind, Exact))
        for source, sd in SPREAD.items():
            expected = sd**2 * float(factor[source].square().sum())
            here = found.sel(steps=steps, step_size=size, source=source)
            assert float(here["total"]) == pytest.approx(
                expected, abs=4 * float(here["standard_error"]) + 1e-12
            )


def test_support_noise_grows_as_the_square_of_step_size_and_of_curvature() -> None:
    """First order, one step: α²‖H²‖² σ², exactly."""
    one, double = (closed_form_factors(1, size, exact=False)["support"] for size in (0.05, 0.1))
    torch.testing.assert_close(double, 2 * one)
    torch.testing.assert_close(one, 0.05 * HESSIAN @ HESSIAN)


@pytest.fixture(scope="module")
def stepped() -> ms.Prior:
    """A prior of simulated decays, learned by a few steps."""
    return ms.meta_calibrate(decay, decays(8, 0.4), ms.MAML(steps=2, iterations=20))


@pytest.mark.parametrize(
    "composition",
    [
        Composition(Descent(0.01), 3),
        Composition(Descent(0.01), 3, FirstOrder()),
        Composition(Descent(0.01), 3, Displacement()),
        Composition(Descent(0.01), 30, Implicit(), proximal=1.0),
    ],
    ids=["exact", "first order", "Reptile", "implicit"],
)
def test_a_start_for_every_row_gives_each_row_its_own_gradient(stepped: ms.Prior, composition) -> None:
    """So that all draws of a design can run in one batch."""
    batch = stepped.batch(decays(4, 0.4))
    support = sample_support(batch.mask, (3, 3), "random", 0)
    episode = stepped.method.episode(
        stepped.problem(batch), stepped.covariates.design(batch.covariates), support
    )
    learned = stepped.state.beside_rule
    apart = {**learned, "mean": learned["mean"].expand(4, -1)}
    together = 4 * meta_gradient(composition, episode, apart)[1]["mean"]
    for row in range(4):
        alone = meta_gradient(composition, episode.select(torch.tensor([row])), learned)[1]["mean"]
        torch.testing.assert_close(together[row], alone, rtol=1e-6, atol=1e-9)


def test_a_model_without_adaptation_has_no_noise_of_supports(stepped: ms.Prior) -> None:
    tasks = decays(8, 0.4)
    both = [meta_gradient_noise(stepped, part, supports=3, queries=2, steps=[2]) for part in (tasks, tasks)]
    assert both[0].identical(both[1])
    assert list(both[0]["parameter"].values) == ["size", "rate"]
    np.testing.assert_allclose(both[0]["total"], both[0]["variance"].sum("parameter"))
    tiny = meta_gradient_noise(stepped, tasks, step_sizes=[1e-9, 1e-3], supports=4, queries=3)
    mean_square = tiny["total"].sel(source="query")
    # without adaptation no support acts, and what is estimated is minus a third of the queries' mean square at most
    assert abs(float((tiny["total"].sel(source="support") / mean_square).isel(steps=0, step_size=0))) < 1 / 3
    figure = gradient_noise_figure(tiny.assign_coords(step_size=[0.001, 0.01]))
    assert figure.axes[0].get_title(loc="left") == "1 inner step (simulated)"
    with pytest.raises(InputError, match="ask for fewer"):
        meta_gradient_noise(stepped, tasks, shots=4)
    with pytest.raises(InputError, match="no meta-gradient"):
        meta_gradient_noise(ms.load("theophylline"), ms.dataset("theophylline"))


# the Hessian of the meta-loss ---------------------------------------------------------------------


def test_hessian_of_quadratics_is_the_closed_form() -> None:
    """(I − αH)ᵏ H (I − αH)ᵏ, averaged over the tasks; in first order, too, as it is the loss that is looked at."""
    draw = np.random.default_rng(3)
    root = torch.tensor(draw.standard_normal((5, 3, 3)))
    hessian = root @ root.transpose(1, 2) / 3 + 0.2 * torch.eye(3, dtype=FLOAT)
    seen, judged = (torch.tensor(draw.standard_normal((5, 3))) for _ in range(2))
    learned = {"theta": torch.zeros(3, dtype=FLOAT)}
    for kind in (Exact(), Exact(segment=1), FirstOrder()):
        found = composition_hessian(
            Composition(Descent(0.1), 3, kind), Quadratics(hessian, seen, judged), learned, ["theta"]
        )
        contract = torch.matrix_power(torch.eye(3, dtype=FLOAT) - 0.1 * hessian, 3)
        each = contract @ hessian @ contract
        values, vectors = np.linalg.eigh(each.mean(0).numpy())
        np.testing.assert_allclose(found["eigenvalue"], values[::-1], rtol=1e-10)
        overlap = np.abs((found["eigenvector"].values * vectors.T[::-1]).sum(1))
        np.testing.assert_allclose(overlap, 1.0, rtol=1e-8)
        along = np.einsum(
            "di,tij,dj->dt", found["eigenvector"].values, each.numpy(), found["eigenvector"].values
        )
        np.testing.assert_allclose(found["task_curvature"], along, rtol=1e-10)
    assert found.attrs["verdict"].startswith("The tasks agree most on theta[")


def test_lanczos_finds_the_leading_pairs_of_a_network() -> None:
    """Against the dense Hessian, which `torch.autograd.functional` makes by itself."""
    torch.manual_seed(0)
    network = Network(
        torch.nn.Sequential(torch.nn.Linear(1, 6), torch.nn.Tanh(), torch.nn.Linear(6, 1)).double()
    )
    x, y = torch.rand(2, 4, 5, 1, dtype=FLOAT), torch.rand(2, 4, 5, 1, dtype=FLOAT)
    episode = NetworkEpisode(network, x[0], y[0], x[1], y[1])
    composition, learned = Composition(Descent(0.1), 2), network.start()
    names = list(learned)
    found = composition_hessian(composition, episode, learned, names, count=3)

    def loss(*values: torch.Tensor) -> torch.Tensor:
        return query_loss(composition, episode, dict(zip(names, values, strict=True))).mean()

    blocks = torch.autograd.functional.hessian(loss, tuple(learned.values()))
    sizes = [value.numel() for value in learned.values()]
    rows = [torch.cat([b.reshape(m, -1) for b in row], 1) for row, m in zip(blocks, sizes, strict=True)]
    dense = torch.cat(rows)
    values, vectors = np.linalg.eigh(dense.numpy())
    order = np.argsort(-np.abs(values))[:3]
    np.testing.assert_allclose(found["eigenvalue"], values[order], rtol=1e-6)
    np.testing.assert_allclose(
        np.abs((found["eigenvector"].values * vectors.T[order]).sum(1)), 1.0, rtol=1e-5
    )
    assert found.sizes["parameter"] == 19
    again = composition_hessian(composition, episode, learned, names, count=3)
    assert again.identical(found)


def test_hessian_of_a_model_names_its_parameters(stepped: ms.Prior) -> None:
    found = meta_hessian(stepped, decays(8, 0.4), seeds=3)
    assert list(found["parameter"].values) == ["size", "rate"]
    np.testing.assert_allclose(found["task_curvature"].mean("task"), found["eigenvalue"], rtol=1e-9)
    assert "is the freest" in found.attrs["verdict"]
    assert len(meta_hessian_figure(found).axes) == 2
    with pytest.raises(InputError, match="not by inner steps"):
        meta_hessian(ms.load("theophylline"), ms.dataset("theophylline"))
    with pytest.raises(InputError, match="of 2 directions 3 cannot be had"):
        leading_eigenpairs(lambda at: at.square().sum(), torch.zeros(2), 3)


def test_a_direction_is_named_by_its_greatest_parts() -> None:
    assert named_combination([-0.1, -0.5, 0.49, 0.001], list("abcd")) == "b × 1.00 − c × 0.98 + a × 0.20"


def test_naming_the_diagnostics_is_light(root) -> None:
    """Torch and matplotlib load when a diagnostic is first used, matplotlib only when one is drawn."""
    code = """
import sys
import metasci
assert len(dir(metasci.diagnostics)) > 20
heavy = {"torch", "matplotlib", "scipy", "xarray"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
metasci.diagnostics.dersimonian_laird, metasci.diagnostics.meta_hessian
assert "torch" in sys.modules and "matplotlib" not in sys.modules
assert [name for name in metasci.diagnostics.__all__ if not hasattr(metasci.diagnostics, name)] == []
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
