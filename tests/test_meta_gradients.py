"""Meta-gradients of every composition: finite differences and closed forms; an equation, an MLP, a graph network."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import nn

import metasci as ms
from metasci.data.tasks import Batch
from metasci.errors import InputError
from metasci.meta import (
    MAML,
    Adam,
    Composition,
    Covariates,
    Descent,
    Displacement,
    Exact,
    Implicit,
    Momentum,
    Network,
    NetworkEpisode,
    Outer,
    Problem,
    RecurrentOptimiser,
    RMSProp,
    adapt,
    initial,
    meta_gradient,
    meta_train,
    named,
    query_loss,
)
from metasci.meta.adaptation.checkpointing import segment_length
from metasci.meta.adaptation.implicit import conjugate_gradients, neumann_series
from metasci.meta.adaptation.inner import unroll
from metasci.meta.adaptation.recurrent import _features
from metasci.meta.compositions.compiled import compile_meta_gradient
from metasci.meta.compositions.outer import outer_state, outer_step

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
FLOAT = torch.float64


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=FLOAT).to(DEVICE)


@ms.equation(
    inputs={"time": "h"},
    output=("fraction", "1"),
    parameters=[
        ms.Parameter("size", typical=1.0, positive=True),
        ms.Parameter("rate", "1/h", typical=0.3, positive=True),
    ],
    constraints=[ms.Monotone("time", increasing=False), ms.Bounded(0.1, 0.9)],
    noise=ms.Combined((0.05, 0.1)),
    name="test.saturating_decay",
)
def saturating(time, *, size, rate):
    """Exponential decay."""
    return size * ms.math.exp(-rate * time)


def equation_episode(**options: object):
    method = MAML(step_size=0.002, penalty=1.0, **options)  # type: ignore[arg-type]
    time = 4.0 * torch.sigmoid(draw(5, 8))
    output = torch.exp(0.3 * draw(5, 1, seed=1) - 0.3 * time) + 0.05 * draw(5, 8, seed=2)
    mask = torch.ones(5, 8, dtype=torch.bool, device=DEVICE)
    mask[1, 6:] = False
    known = draw(5, 2, seed=3)
    batch = Batch({"time": time}, output, mask, known, tuple("abcde"))
    design = Covariates.learn(("x", "y"), ("identity",) * 2, known).design(known)
    problem = Problem(saturating, batch, method.penalty)
    state = method.initial(problem, design)
    support = torch.zeros_like(mask)
    support[:, ::2] = True
    episode = method.episode(problem, design, support)
    return episode, {"coordinates": state.mean}, dict(state.learned)


class Graph(nn.Module):
    """Two rounds of message passing over the edges of a batch of graphs, then a sum over the nodes of each."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.message = nn.Linear(3, 4), nn.Linear(4, 4)
        self.head = nn.Linear(4, 1)

    def forward(self, graph: dict[str, torch.Tensor]) -> torch.Tensor:
        node = torch.tanh(self.embed(graph["node"]))
        for _ in range(2):
            sent = self.message(node)[graph["source"]]
            node = torch.tanh(node + node.new_zeros(node.shape).index_add(0, graph["target"], sent))
        cases = node.new_zeros(4, node.shape[1]).index_add(0, graph["case"], node)
        return self.head(cases)


def graphs(tasks: int, seed: int) -> dict[str, torch.Tensor]:
    """Four graphs of three nodes in each task."""
    generator = torch.Generator().manual_seed(seed)
    case = torch.arange(4).repeat_interleave(3)
    return {
        "node": draw(tasks, 12, 3, seed=seed),
        "source": (3 * case + torch.randint(0, 3, (tasks, 12), generator=generator)).to(DEVICE),
        "target": (3 * case + torch.randint(0, 3, (tasks, 12), generator=generator)).to(DEVICE),
        "case": case.expand(tasks, 12).to(DEVICE),
    }


def network_episode(kind: str) -> tuple[NetworkEpisode, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    if kind == "graph":
        module: nn.Module = Graph()
        inputs, query = graphs(3, 1), graphs(3, 2)
    elif kind == "geometric":
        from torch_geometric.nn import DenseGraphConv

        class Dense(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layer, self.head = DenseGraphConv(3, 4), nn.Linear(4, 1)

            def forward(self, graph):
                return self.head(torch.tanh(self.layer(graph["node"], graph["edge"])).sum(1))

        module = Dense()
        inputs, query = (
            {
                "node": draw(3, 4, 5, 3, seed=s),
                "edge": (draw(3, 4, 5, 5, seed=s + 10) > 0).to(FLOAT),
            }
            for s in (1, 2)
        )
    else:
        module = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 6), nn.Softplus(), nn.Linear(6, 1))
        inputs, query = draw(3, 4, 2, seed=1), draw(3, 4, 2, seed=2)
    network = Network(module.to(device=DEVICE, dtype=FLOAT))
    mask = torch.ones(3, 4, dtype=torch.bool, device=DEVICE)
    mask[0, 3] = False
    episode = NetworkEpisode(network, inputs, draw(3, 4, 1, seed=3), query, draw(3, 4, 1, seed=4), mask, mask)
    return episode, network.start()


def case(kind: str):
    if kind == "equation":
        episode, start, learned = equation_episode()
        beside = {name: value for name, value in learned.items() if not name.startswith("rule/")}
        return episode, start, beside
    episode, start = network_episode(kind)
    return episode, start, {}


def everything_learned(composition: Composition, start, beside) -> dict[str, torch.Tensor]:
    learned = initial(composition, start, seed=1)
    if beside:
        learned.pop("coordinates")
    return {**learned, **beside}


def directional(composition, episode, learned, seed: int) -> tuple[float, float]:
    """The derivative along a random direction of everything learned: by the gradient, and by central differences."""
    loss, gradient = meta_gradient(composition, episode, learned)
    direction = {
        name: draw(*value.shape, seed=seed + place) for place, (name, value) in enumerate(learned.items())
    }
    exact = sum(float((gradient[name] * direction[name]).sum()) for name in learned)
    width, values = 1e-5, []
    for sign in (1.0, -1.0):
        moved = {name: value + sign * width * direction[name] for name, value in learned.items()}
        values.append(float(query_loss(composition, episode, moved).mean().detach()))
    assert loss.shape == (len(episode),)
    return exact, (values[0] - values[1]) / (2.0 * width)


EXACT = {
    "MAML": lambda steps, a: named.maml(steps, a),
    "MAML, learned rate": lambda steps, a: named.maml(steps, a, learned="scalar"),
    "rate a tensor": lambda steps, a: Composition(Descent(a, "tensor"), steps),
    "Meta-SGD": lambda steps, a: named.meta_sgd(steps, a),
    "Meta-SGD, a step": lambda steps, a: named.meta_sgd(steps, a, per_step=True, positive=True),
    "momentum": lambda steps, a: named.maml_with_momentum(steps, a),
    "Nesterov": lambda steps, a: named.maml_with_momentum(steps, a, nesterov=True),
    "RMSprop": lambda steps, a: named.maml_with_rmsprop(steps, a, decay=0.9, epsilon=0.1),
    "Adam": lambda steps, a: named.maml_with_adam(steps, a, epsilon=0.1),
    "Meta-Curvature": lambda steps, a: named.meta_curvature(steps, a),
    "proximal": lambda steps, a: Composition(Descent(a), steps, proximal=0.7, learn_proximal=True),
    "in segments": lambda steps, a: dataclasses.replace(
        named.maml_with_adam(steps, a, epsilon=0.1), gradient=Exact(2)
    ),
    "whole way": lambda steps, a: Composition(Descent(a, "scalar"), steps, trajectory=True),
    "recurrent": lambda steps, a: Composition(RecurrentOptimiser(3, a), steps),
}


@pytest.mark.parametrize("kind", ["equation", "perceptron", "graph"])
@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("name", EXACT)
def test_meta_gradient_against_finite_differences(name: str, steps: int, kind: str) -> None:
    episode, start, beside = case(kind)
    composition = EXACT[name](steps, 0.002 if kind == "equation" else 0.05)
    learned = everything_learned(composition, start, beside)
    exact, numeric = directional(composition, episode, learned, seed=7)
    assert exact == pytest.approx(numeric, rel=2e-6, abs=2e-8)


@pytest.mark.parametrize("steps", [1, 3])
def test_a_torch_geometric_layer_runs_in_the_engine(steps: int) -> None:
    pytest.importorskip("torch_geometric")
    episode, start = network_episode("geometric")
    learned = initial(named.meta_sgd(steps, 0.002), start)
    exact, numeric = directional(named.meta_sgd(steps, 0.002), episode, learned, seed=3)
    assert exact == pytest.approx(numeric, rel=1e-5)


@pytest.mark.parametrize("steps", [1, 5])
def test_what_is_frozen_is_learned_but_not_adapted(steps: int) -> None:
    episode, start = network_episode("perceptron")
    composition = named.anil(("0.", "2."), steps, 0.05)
    learned = initial(composition, start)
    adapted = adapt(composition, episode, learned)
    assert torch.equal(adapted["0.weight"][0], start["0.weight"])
    assert not torch.equal(adapted["4.weight"][0], start["4.weight"])
    exact, numeric = directional(composition, episode, learned, seed=5)
    assert exact == pytest.approx(numeric, rel=1e-6)
    assert float(meta_gradient(composition, episode, learned)[1]["0.weight"].abs().max()) > 0


def test_first_order_leaves_out_exactly_the_hessian_term() -> None:
    """For one step of a network: g − g₁ = −α Hₛ(θ) ∇Q(θ′), the Hessian taken densely and task by task."""
    episode, start = network_episode("perceptron")
    rate = 0.05
    exact = meta_gradient(named.maml(1, rate), episode, start)[1]
    first = meta_gradient(named.fomaml(1, rate), episode, start)[1]
    adapted = adapt(named.maml(1, rate), episode, start)
    names = list(start)
    sizes = [start[name].numel() for name in names]

    def unflat(vector: torch.Tensor) -> dict[str, torch.Tensor]:
        parts = vector.split(sizes)
        return {n: part.reshape(1, *start[n].shape) for n, part in zip(names, parts, strict=True)}

    flat = torch.cat([start[name].ravel() for name in names])
    term = torch.zeros_like(flat)
    for task in range(len(episode)):
        one = episode.select(torch.tensor([task], device=DEVICE))
        hessian = torch.autograd.functional.hessian(lambda v, one=one: one.support(unflat(v))[0], flat)
        after = torch.cat([adapted[name][task].ravel() for name in names]).requires_grad_()
        (slope,) = torch.autograd.grad(one.query(unflat(after))[0], after)
        term -= rate * hessian @ slope / len(episode)
    difference = torch.cat([(exact[name] - first[name]).ravel() for name in names])
    assert float(term.abs().max()) > 1e-4
    torch.testing.assert_close(difference, term, rtol=1e-9, atol=1e-12)


@dataclasses.dataclass(frozen=True)
class Quadratics:
    """Support ½(φ − a)ᵀH(φ − a) and query ½‖φ − b‖² for every task."""

    hessian: torch.Tensor
    support_at: torch.Tensor
    query_at: torch.Tensor

    def __len__(self) -> int:
        return len(self.hessian)

    def start(self, learned):
        return {"x": learned["x"].expand(len(self), -1)}, {}

    def support(self, parameters):
        off = parameters["x"] - self.support_at
        return 0.5 * torch.einsum("ti,tij,tj->t", off, self.hessian, off)

    def query(self, parameters):
        return 0.5 * (parameters["x"] - self.query_at).square().sum(1)

    def select(self, index):
        return Quadratics(self.hessian[index], self.support_at[index], self.query_at[index])


def quadratics(tasks: int = 6, size: int = 4) -> Quadratics:
    root = draw(tasks, size, size)
    hessian = root @ root.transpose(1, 2) / size + 0.1 * torch.eye(size, dtype=FLOAT, device=DEVICE)
    return Quadratics(hessian, draw(tasks, size, seed=1), draw(tasks, size, seed=2))


@pytest.mark.parametrize("solver", ["conjugate gradients", "neumann"])
def test_implicit_gradient_of_quadratics_is_the_closed_form(solver: str) -> None:
    episode, strength = quadratics(), 0.8
    composition = named.imaml(
        4000, 0.1, strength, solver=solver, iterations=10 if solver != "neumann" else 4000, rate=0.1
    )
    start = {"x": draw(4, seed=3)}
    eye = torch.eye(4, dtype=FLOAT, device=DEVICE)
    inverse = torch.linalg.inv(episode.hessian + strength * eye)
    right = torch.einsum("tij,tj->ti", episode.hessian, episode.support_at) + strength * start["x"]
    solution = torch.einsum("tij,tj->ti", inverse, right)
    expected = strength * torch.einsum("tij,tj->i", inverse, solution - episode.query_at) / len(episode)
    _, gradient = meta_gradient(composition, episode, start)
    torch.testing.assert_close(gradient["x"], expected, rtol=1e-9, atol=1e-11)


def test_implicit_gradient_tends_to_the_exact_one_as_the_inner_problem_converges() -> None:
    episode, start = network_episode("perceptron")
    best = Composition(Descent(0.04), 200, proximal=6.0)
    exact = meta_gradient(best, episode, start)[1]
    errors = []
    for steps in (2, 10, 50, 200):
        how = Composition(Descent(0.04), steps, Implicit(iterations=60), proximal=6.0)
        gradient = meta_gradient(how, episode, start)[1]
        errors.append(math.sqrt(sum(float((gradient[name] - exact[name]).square().sum()) for name in start)))
    assert errors[0] > errors[1] > errors[2] > errors[3], errors
    assert errors[3] < 1e-8 < 1e-4 < errors[0]


def test_conjugate_gradients_and_neumann_solve_every_task() -> None:
    episode = quadratics()
    apply = lambda v: {"x": torch.einsum("tij,tj->ti", episode.hessian, v["x"])}  # noqa: E731
    expected = torch.linalg.solve(episode.hessian, episode.support_at)
    right = {"x": episode.support_at}
    torch.testing.assert_close(conjugate_gradients(apply, right, 8)["x"], expected, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(
        neumann_series(apply, right, 5000, rate=0.2)["x"], expected, rtol=1e-6, atol=1e-6
    )
    # a task that is done stays as it is, whatever others still need
    rough = 0.6
    with_others = conjugate_gradients(apply, right, 8, tolerance=rough)["x"]
    for task in range(len(episode)):
        alone = lambda v, task=task: {"x": v["x"] @ episode.hessian[task]}  # noqa: E731
        found = conjugate_gradients(alone, {"x": episode.support_at[[task]]}, 8, tolerance=rough)["x"]
        torch.testing.assert_close(with_others[[task]], found, rtol=1e-12, atol=1e-14)


def test_segments_are_as_long_as_there_are_of_them() -> None:
    """⌈√steps⌉ steps each, so that starts of segments and steps within one take as little memory as they can."""
    assert [segment_length(steps) for steps in range(1, 101)] == [math.ceil(n**0.5) for n in range(1, 101)]


def test_a_learned_optimiser_sees_sizes_and_signs_of_gradients() -> None:
    """Andrychowicz et al. 2016, appendix A, with p = 10: (ln|g| / p, sign g), or (−1, eᵖ g) where |g| < e⁻ᵖ."""
    slopes = [0.5, -2.0, -1e-3, math.exp(-9.9), 1e-6, -math.exp(-10.1), 0.0]
    expected = [
        (math.log(abs(g)) / 10.0, math.copysign(1.0, g))
        if abs(g) >= math.exp(-10.0)
        else (-1.0, math.exp(10.0) * g)
        for g in slopes
    ]
    found = _features(torch.tensor(slopes, dtype=FLOAT)[:, None])
    torch.testing.assert_close(found, torch.tensor(expected, dtype=FLOAT))


def test_newton_steps_finish_what_descent_begins() -> None:
    episode, start = network_episode("perceptron")
    far = Composition(Descent(0.04), 400, Implicit(iterations=60), proximal=6.0)
    near = Composition(Descent(0.04), 3, Implicit(iterations=60, newton=8), proximal=6.0)
    one, other = (adapt(composition, episode, start) for composition in (far, near))
    for name in start:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=1e-9)
    exact = meta_gradient(far, episode, start)[1]
    for name, value in meta_gradient(near, episode, start)[1].items():
        torch.testing.assert_close(value, exact[name], rtol=1e-7, atol=1e-10)


def test_reptile_is_its_formula_to_the_bit() -> None:
    episode, start = network_episode("perceptron")
    composition, epsilon = named.reptile(5, 0.05), 0.3
    outer = Outer(1, epsilon, "descent")
    _, gradient = meta_gradient(composition, episode, start)
    state = outer_step(outer, outer_state(outer, start), gradient)
    adapted = adapt(composition, episode, start)
    for name, value in start.items():
        towards = ((adapted[name] - value) / len(episode)).sum(0)
        assert torch.equal(state.learned[name], value + epsilon * towards), name
    walked = unroll(
        episode.support, {n: v.expand(3, *v.shape) for n, v in start.items()}, descent(start, 0.05), 5
    )
    for name in start:
        torch.testing.assert_close(adapted[name], walked[name].detach(), rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("composition", "optimiser"),
    [
        (named.maml_with_rmsprop(6, 0.03), torch.optim.RMSprop),
        (named.maml_with_adam(6, 0.03), torch.optim.Adam),
    ],
    ids=["RMSprop", "Adam"],
)
def test_rules_by_name_walk_as_torchs_optimisers_do(composition, optimiser) -> None:
    """With nothing said but the step size, on both sides."""
    episode, start = quadratics(3), {"x": draw(4, seed=3)}
    adapted = adapt(composition, episode, start)["x"]
    for task in range(len(episode)):
        x = start["x"][None].clone().requires_grad_()
        walk = optimiser([x], lr=0.03)
        for _ in range(6):
            walk.zero_grad()
            episode.select([task]).support({"x": x}).sum().backward()
            walk.step()
        torch.testing.assert_close(adapted[[task]], x.detach(), rtol=1e-6, atol=1e-7)


def descent(start, rate: float):
    return Descent(rate).bind(start, {}, 1)


@pytest.mark.parametrize(
    "make",
    [lambda s: Adam(s), lambda s: RMSProp(s), lambda s: Momentum(s)],
    ids=["Adam", "RMSprop", "momentum"],
)
def test_rules_stay_finite_where_a_gradient_is_exactly_zero(make) -> None:
    """A coordinate that the loss does not see has a gradient of exactly zero at every step."""
    theta = torch.tensor([[1.0, 2.0]], dtype=FLOAT, device=DEVICE, requires_grad=True)
    rate = torch.tensor(0.1, dtype=FLOAT, device=DEVICE, requires_grad=True)
    moved = unroll(
        lambda p: (p["x"][:, 0] - 3.0) ** 2 + 0.0 * p["x"][:, 1], {"x": theta}, make({"x": rate}), 3
    )
    slopes = torch.autograd.grad((moved["x"] ** 2).sum(), [theta, rate])
    assert all(bool(torch.isfinite(slope).all()) for slope in slopes)
    assert float(slopes[0][0, 1]) == pytest.approx(4.0)


def test_adam_as_others_write_it_is_not_finite_there() -> None:
    """What the test above guards against: √v has an infinite slope at v = 0."""
    slope = torch.zeros(1, dtype=FLOAT, requires_grad=True)
    naive = slope / ((slope**2).sqrt() + 1e-8)
    (wrong,) = torch.autograd.grad(naive.sum(), slope)
    assert bool(torch.isnan(wrong).any())
    rule = Adam({"x": torch.tensor(1.0, dtype=FLOAT)})
    (change, _) = rule.update({"x": slope}, rule.init({"x": slope}), 0)
    (right,) = torch.autograd.grad(change["x"].sum(), slope)
    assert bool(torch.isfinite(right).all())


@pytest.mark.parametrize("name", ["MAML", "Meta-SGD, a step", "Nesterov", "Adam", "proximal"])
@pytest.mark.parametrize("segment", [1, 3, "auto"])
def test_segments_change_memory_and_nothing_else(name: str, segment) -> None:
    episode, start = network_episode("perceptron")
    whole = EXACT[name](7, 0.05)
    parted = dataclasses.replace(whole, gradient=Exact(segment))
    learned = initial(whole, start)
    loss, gradient = meta_gradient(whole, episode, learned)
    loss_parted, gradient_parted = meta_gradient(parted, episode, learned)
    torch.testing.assert_close(loss_parted, loss, rtol=1e-13, atol=0)
    for key, value in gradient.items():
        torch.testing.assert_close(gradient_parted[key], value, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("gradient", ["exact", "implicit"])
def test_hypergradients_of_a_penalty_a_noise_and_a_pull(gradient: str) -> None:
    """Through the unroll, and by the implicit function theorem at the solution."""
    converged = gradient == "implicit"
    episode, _, learned = equation_episode(learn_penalty=True)
    composition = Composition(
        Descent(0.0005 if converged else 0.002), 300 if converged else 5,
        Implicit(iterations=30) if converged else Exact(), proximal=200.0, learn_proximal=True,
    )  # fmt: skip
    learned = {**learned, "rule/log_proximal": torch.tensor(math.log(200.0), dtype=FLOAT, device=DEVICE)}
    _, slopes = meta_gradient(composition, episode, learned)
    unrolled = dataclasses.replace(composition, gradient=Exact("auto"))
    for name in ("log_penalty", "log_noise", "rule/log_proximal"):
        values = []
        for shift in (1e-4, -1e-4):
            changed = {**learned, name: learned[name] + shift}
            values.append(float(query_loss(unrolled, episode, changed).mean().detach()))
        numeric = (values[0] - values[1]) / 2e-4
        assert abs(numeric) > 1e-6
        assert float(slopes[name].sum()) == pytest.approx(numeric, rel=1e-4)


def test_padding_has_no_part_in_the_cost_of_broken_laws() -> None:
    episode, _, learned = equation_episode()
    problem = episode.seen
    padded = Problem(saturating, problem.batch.join(problem.batch.trimmed(problem.batch.mask)), 1.0)
    wider = dataclasses.replace(
        padded,
        batch=Batch(
            {"time": torch.cat([padded.batch.inputs["time"], 50.0 + padded.batch.inputs["time"]], 1)},
            torch.cat([padded.batch.output, padded.batch.output], 1),
            torch.cat([padded.batch.mask, torch.zeros_like(padded.batch.mask)], 1),
            padded.batch.covariates,
            padded.batch.names,
        ),
    )
    at = learned["mean"].expand(len(padded), -1)
    assert float(padded.penalty_cost(at).max()) > 0
    torch.testing.assert_close(wider.penalty_cost(at), padded.penalty_cost(at), rtol=1e-14, atol=0)


def test_a_network_gives_each_task_the_same_as_the_module_alone() -> None:
    for kind in ("perceptron", "graph"):
        episode, start = network_episode(kind)
        stacked = {n: v + 0.1 * draw(3, *v.shape, seed=9) for n, v in start.items()}
        together = episode.network(stacked, episode.inputs)
        for task in range(3):
            own = {name: value[task] for name, value in stacked.items()}
            inputs = torch.utils._pytree.tree_map(lambda t, task=task: t[task], episode.inputs)
            alone = torch.func.functional_call(episode.network.module, own, (inputs,))
            torch.testing.assert_close(together[task], alone, rtol=1e-12, atol=1e-13)


@pytest.mark.slow
def test_a_traced_meta_step_is_the_eager_one() -> None:
    for kind in ("perceptron", "equation"):
        episode, start, beside = case(kind)
        composition = named.meta_sgd(3, 0.002)
        learned = everything_learned(composition, start, beside)
        quick = compile_meta_gradient(composition, episode, learned, backend="eager")
        moved = {name: value + 0.01 for name, value in learned.items()}
        loss, gradient = meta_gradient(composition, episode, moved)
        traced_loss, traced = quick(episode, moved)
        torch.testing.assert_close(traced_loss, loss, rtol=1e-10, atol=1e-12)
        for name, value in gradient.items():
            torch.testing.assert_close(traced[name], value, rtol=1e-9, atol=1e-11)
    with pytest.raises(InputError, match="can be compiled"):
        compile_meta_gradient(named.imaml(), episode, learned)


def test_learning_with_a_compiled_step_is_learning(monkeypatch) -> None:
    """Tracing is tested here, without the minute that a compiler takes."""
    monkeypatch.setattr(torch, "compile", lambda graph, backend: graph)
    tasks, model = ms.dataset("theophylline"), ms.load("theophylline").model
    eager, compiled = (
        ms.meta_calibrate(model, tasks, ms.MAML(2, iterations=4, shots=(1, 3), compile=compile))
        for compile in (False, True)
    )
    for name, value in eager.state.tensors().items():
        torch.testing.assert_close(compiled.state.tensors()[name], value, rtol=1e-9, atol=1e-11)
    one, other = (prior.calibrate(tasks).adapted.coordinates for prior in (eager, compiled))
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


def test_choices_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(InputError, match="proximal"):
        Composition(gradient=Implicit())
    with pytest.raises(InputError, match="whole way"):
        Composition(gradient=Displacement(), trajectory=True)
    with pytest.raises(InputError, match="step_size"):
        Descent(-0.1)
    with pytest.raises(InputError, match="learned"):
        Descent(0.1, "everything")


def test_a_task_that_turns_non_finite_is_left_out_and_named() -> None:
    episode, start = network_episode("perceptron")
    broken = dataclasses.replace(episode, targets=episode.targets.clone())
    broken.targets[1] = math.nan
    with_two = episode.select(torch.tensor([0, 2], device=DEVICE))
    outer = Outer(3, 0.01)
    done = meta_train(named.maml(2, 0.05), lambda i: broken, start, outer)
    alone = meta_train(named.maml(2, 0.05), lambda i: with_two, start, outer)
    assert done.left_out == {1: 3}
    for name, value in alone.learned.items():
        torch.testing.assert_close(done.learned[name], value, rtol=1e-12, atol=1e-14)


def test_meta_training_resumes_to_the_same_bits(tmp_path) -> None:
    def draws(i: int):
        episode, _ = network_episode("perceptron")
        return dataclasses.replace(episode, targets=draw(3, 4, 1, seed=i % 1000))

    start = network_episode("perceptron")[1]
    composition, outer = (
        named.maml_with_adam(2, 0.01, epsilon=0.1),
        Outer(8, 0.01, schedule="cosine", clip=1.0),
    )
    unbroken = meta_train(composition, draws, start, outer, seed=3)
    path = tmp_path / "run.safetensors"

    def dies(i: int):
        if i % 1_000_003 - 9 == 5 or i - 3 * 1_000_003 == 5:
            raise KeyboardInterrupt
        return draws(i)

    with pytest.raises(KeyboardInterrupt):
        meta_train(composition, dies, start, outer, seed=3, checkpoint=path)
    resumed = meta_train(composition, draws, start, outer, seed=3, checkpoint=path)
    assert len(resumed.loss) == 3
    for name, value in unbroken.learned.items():
        assert torch.equal(value, resumed.learned[name])
