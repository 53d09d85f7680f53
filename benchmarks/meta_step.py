"""One meta-step, side by side: metasci, a hand-written batched floor, a plain loop, higher and torchopt.

    python benchmarks/meta_step.py --json          the network (1-40-40-1, 25 tasks, 10 + 10 points)
    python benchmarks/meta_step.py --equation      a kinetic equation (4 parameters, 30 tasks x 50 points)

Exact second order. The contestants take turns in one run, in an order drawn anew in every round, on one
thread; medians are printed, and quartiles of the ratios within a round. `pip install higher torchopt` for
those two; one that is not installed is named and left out.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

import metasci as ms
from metasci.meta import meta_gradient, named
from metasci.meta.compositions.compiled import compile_meta_gradient
from metasci.studies import sinusoids

RATE = 0.002
Step = Callable[[], list[Tensor]]


def network_contestants(steps: int, compiled: bool) -> dict[str, Step]:
    """Each gives the meta-gradient of the mean query loss of 25 tasks."""
    model = sinusoids.network(0)
    episode = sinusoids.episode(model, 25, 10, 10, 0)
    module, weights = model.module, model.start()
    composition = named.maml(steps, RATE)
    made: dict[str, Step] = {
        "metasci": lambda: list(meta_gradient(composition, episode, weights)[1].values()),
        "floor": lambda: floor(module, episode, steps),
        "loop": lambda: loop(module, episode, steps),
    }
    try:
        import higher

        made["higher"] = lambda: with_higher(higher, module, episode, steps)
    except ImportError:
        print("higher is not installed: left out", file=sys.stderr)
    try:
        import torchopt

        made["torchopt"] = lambda: with_torchopt(torchopt, module, episode, steps)
    except ImportError:
        print("torchopt is not installed: left out", file=sys.stderr)
    if compiled:
        began = time.perf_counter()
        quick = compile_meta_gradient(composition, episode, weights)
        quick(episode, weights)
        print(f"compiling {steps} step(s) took {time.perf_counter() - began:.1f} s", file=sys.stderr)
        made["metasci compiled"] = lambda: list(quick(episode, weights)[1].values())
    return made


def floor(module: nn.Module, episode, steps: int) -> list[Tensor]:
    """What one would write by hand for exactly this network."""
    own = list(module.parameters())
    tasks = len(episode)
    stacked = [w.t().expand(tasks, *w.t().shape) if w.dim() == 2 else w.expand(tasks, 1, len(w)) for w in own]

    def forward(w: list[Tensor], x: Tensor) -> Tensor:
        hidden = torch.baddbmm(w[1], x, w[0]).relu()
        hidden = torch.baddbmm(w[3], hidden, w[2]).relu()
        return torch.baddbmm(w[5], hidden, w[4])

    for _ in range(steps):
        loss = ((forward(stacked, episode.inputs) - episode.targets) ** 2).mean((1, 2)).sum()
        slopes = torch.autograd.grad(loss, stacked, create_graph=True)
        stacked = [w - RATE * slope for w, slope in zip(stacked, slopes, strict=True)]
    loss = ((forward(stacked, episode.query_inputs) - episode.query_targets) ** 2).mean((1, 2)).mean()
    return list(torch.autograd.grad(loss, own))


def loop(module: nn.Module, episode, steps: int) -> list[Tensor]:
    """Task by task with torch.func's functional call."""
    own = dict(module.named_parameters())
    total = []
    for task in range(len(episode)):
        weights = dict(own)
        for _ in range(steps):
            error = functional_call(module, weights, (episode.inputs[task],)) - episode.targets[task]
            slopes = torch.autograd.grad(error.square().mean(), list(weights.values()), create_graph=True)
            weights = {n: w - RATE * slope for (n, w), slope in zip(weights.items(), slopes, strict=True)}
        error = functional_call(module, weights, (episode.query_inputs[task],)) - episode.query_targets[task]
        total.append(error.square().mean())
    return list(torch.autograd.grad(torch.stack(total).mean(), list(own.values())))


def with_higher(higher, module: nn.Module, episode, steps: int) -> list[Tensor]:
    """As in higher's own examples."""
    optimiser = torch.optim.SGD(module.parameters(), lr=RATE)
    module.zero_grad()
    for task in range(len(episode)):
        with higher.innerloop_ctx(module, optimiser, copy_initial_weights=False) as (fast, inner):
            for _ in range(steps):
                inner.step((fast(episode.inputs[task]) - episode.targets[task]).square().mean())
            loss = (fast(episode.query_inputs[task]) - episode.query_targets[task]).square().mean()
            (loss / len(episode)).backward()
    return [w.grad.clone() for w in module.parameters()]


def with_torchopt(torchopt, module: nn.Module, episode, steps: int) -> list[Tensor]:
    """As in torchopt's own examples: state is taken before, and put back after, every task."""
    inner = torchopt.MetaSGD(module, lr=RATE)
    before = torchopt.extract_state_dict(module, by="reference")
    inner_before = torchopt.extract_state_dict(inner, by="reference")
    own = list(module.parameters())
    module.zero_grad()
    total = []
    for task in range(len(episode)):
        for _ in range(steps):
            inner.step((module(episode.inputs[task]) - episode.targets[task]).square().mean())
        total.append((module(episode.query_inputs[task]) - episode.query_targets[task]).square().mean())
        torchopt.recover_state_dict(module, before)
        torchopt.recover_state_dict(inner, inner_before)
    return list(torch.autograd.grad(torch.stack(total).mean(), own))


@ms.equation(
    inputs={"time": "s", "temperature": "K"},
    output=("fraction", "1"),
    parameters=[
        ms.Parameter("rate", "1/s", typical=1e-3, positive=True),
        ms.Parameter("activation_energy", "kJ/mol", typical=120.0, positive=True, spread=0.2),
        ms.Parameter("exponent", "1", typical=2.0, positive=True, spread=0.3),
        ms.Parameter("incubation", "s", typical=20.0, positive=True),
    ],
    noise=ms.Additive((0.05,)),
    name="benchmark.avrami",
)
def avrami(time, temperature, *, rate, activation_energy, exponent, incubation):
    """Transformed fraction with incubation, X = 1 - exp(-(k(T)(t - t0))^n) (Avrami 1939)."""
    inverse = 1.0 / temperature - 1.0 / 900.0
    speed = rate * ms.math.exp(-activation_energy / 8.314e-3 * inverse)
    since = ms.math.softplus((time - incubation) / 5.0) * 5.0
    return -ms.math.expm1(-((speed * since) ** exponent))


def equation_contestants(steps: int, compiled: bool) -> dict[str, Step]:
    """30 simulated tasks of 50 measurements, half of them support."""
    from metasci.data.tasks import Batch
    from metasci.meta import Covariates, Problem

    generator = torch.Generator().manual_seed(0)
    tasks, count = 30, 50
    draw = torch.rand(2, tasks, count, generator=generator, dtype=torch.float64)
    inputs = {"time": 100.0 + 3000.0 * draw[0], "temperature": 850.0 + 100.0 * draw[1]}
    truth = 0.5 * torch.randn(tasks, 1, 4, generator=generator, dtype=torch.float64)
    noise = 0.05 * torch.randn(tasks, count, generator=generator, dtype=torch.float64)
    output = avrami.at(truth, inputs) + noise
    full = torch.ones(tasks, count, dtype=torch.bool)
    names = tuple(f"simulated {i}" for i in range(tasks))
    batch = Batch(inputs, output, full, output.new_zeros(tasks, 0), names)
    support = full & (torch.arange(count) % 2 == 0)
    problem = Problem(avrami, batch)
    design = Covariates.learn((), (), batch.covariates).design(batch.covariates)
    method = ms.MAML(steps=steps, step_size=1e-4)
    state = method.initial(problem, design)
    learned, episode = state.learned, method.episode(problem, design, support)
    composition = method.training(1e-4)
    alone = [episode.select(torch.tensor([task])) for task in range(tasks)]

    def loop() -> list[Tensor]:
        gradients = [meta_gradient(composition, one, learned)[1] for one in alone]
        return [torch.stack([g[name] for g in gradients]).mean(0) for name in learned]

    def plain() -> list[Tensor]:
        mean = learned["mean"].clone().requires_grad_()
        log_noise = learned["log_noise"].clone().requires_grad_()
        total = []
        for task in range(tasks):
            at = mean
            x, y = {k: v[task] for k, v in inputs.items()}, output[task]

            def cost(at: Tensor, rows: Tensor, x=x, y=y) -> Tensor:
                off = (y - avrami.at(at, x))[rows]
                return 0.5 * (off**2 * (-2.0 * log_noise[0]).exp() + 2.0 * log_noise[0]).sum()

            for _ in range(steps):
                (slope,) = torch.autograd.grad(cost(at, support[task]), at, create_graph=True)
                at = at - 1e-4 * slope
            total.append(cost(at, ~support[task]) / (~support[task]).sum())
        return list(torch.autograd.grad(torch.stack(total).mean(), [mean, log_noise]))

    made: dict[str, Step] = {
        "metasci": lambda: list(meta_gradient(composition, episode, learned)[1].values()),
        "loop of metasci's tasks": loop,
        "plain loop": plain,
    }
    if compiled:
        began = time.perf_counter()
        quick = compile_meta_gradient(composition, episode, learned)
        quick(episode, learned)
        print(f"compiling {steps} step(s) took {time.perf_counter() - began:.1f} s", file=sys.stderr)
        made["metasci compiled"] = lambda: list(quick(episode, learned)[1].values())
    return made


def race(contestants: dict[str, Step], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of every contestant in every round."""
    order, taken = list(contestants), {name: [] for name in contestants}
    for name in order:
        contestants[name]()
    shuffle = random.Random(0)
    for _ in range(rounds):
        shuffle.shuffle(order)
        for name in order:
            began = time.perf_counter()
            contestants[name]()
            taken[name].append(1e3 * (time.perf_counter() - began))
    return taken


def check(contestants: dict[str, Step]) -> None:
    """All compute the same, or the race means nothing."""
    reference = contestants["metasci"]()
    for name, step in contestants.items():
        for one, other in zip(reference, step(), strict=False):
            assert bool(torch.isfinite(one).all())
            if one.shape == other.shape and one.numel() > 1:
                torch.testing.assert_close(
                    one, other, rtol=1e-3, atol=1e-5, msg=f"{name} computes something else"
                )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--equation", action="store_true")
    parser.add_argument("--steps", default="1,5")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--compile", action="store_true", help="let the compiled meta-step take part")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    medians: dict[str, dict[str, float]] = {}
    make = equation_contestants if given.equation else network_contestants
    for steps in map(int, given.steps.split(",")):
        contestants = make(steps, given.compile)
        check(contestants)
        taken = race(contestants, given.rounds)
        for name, each in taken.items():
            medians.setdefault(name, {})[str(steps)] = round(statistics.median(each), 3)
            ratio = [one / own for one, own in zip(each, taken["metasci"], strict=True)]
            low, middle, high = statistics.quantiles(ratio, n=4)
            if not given.json:
                print(
                    f"{steps} step(s) | {name:24} | {statistics.median(each):8.2f} ms | "
                    f"{middle:6.2f} times metasci's ({low:.2f} to {high:.2f})"
                )
    if given.json:
        print(json.dumps(medians))


if __name__ == "__main__":
    main()
