"""A start for hard networks: ``python benchmarks/hard_starts.py [FOLDER]`` (some five minutes).

Stacks of twenty layers of tanh or sigmoid units on families of fast sinusoids (simulated), descended from random starts
by Xavier, He, orthogonal and data-dependent rules, and from a start that was learned on other members of the family,
from the data-dependent one on. How many steps to a loss, how many runs diverge, and does the learned start saturate its
units, more so where it was learned on hard members than on easy ones?
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
import xarray as xr
from torch import Tensor, nn

from metasci.diagnostics import initialisation, initialisation_figure, unit_variance
from metasci.meta import Outer, initial, meta_train, named
from metasci.meta.networks.episode import NetworkEpisode
from metasci.meta.networks.network import Network
from metasci.report.style import save_figure

__all__ = ["descended", "family", "stack", "starts", "table"]

WIDTH, CASES, TASKS, STEPS = 24, 32, 6, 200
RATES = (0.001, 0.003, 0.01, 0.03)
REACHED = 0.1  # of the targets' variance
SEEDS_OF = {"tanh": 2, "sigmoid": 1}
DEPTH, ITERATIONS, DRAWN = 20, 300, 4
FAST, SLOW = (6.0, 10.0), (1.0, 3.0)
HARD, EASY = "learned", "learned on slow members"
_ACTIVATION: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


def stack(activation: str, depth: int, seed: int) -> nn.Sequential:
    """So many layers with biases of zero; weights are set by `starts`."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for place in range(depth):
        width = 1 if place == 0 else WIDTH
        last = place == depth - 1
        layers.append(nn.Linear(width, 1 if last else WIDTH))
        nn.init.zeros_(layers[-1].bias)
        if not last:
            layers.append(_ACTIVATION[activation]())
    return nn.Sequential(*layers)


def family(network: Network, tasks: int, seed: int, speeds: tuple[float, float] = FAST) -> NetworkEpisode:
    """Members y = √2·sin(ωx + b) with ω from 6 to 10 on x from −1 to 1, of variance near one (simulated)."""
    generator = torch.Generator().manual_seed(seed)
    speed = speeds[0] + (speeds[1] - speeds[0]) * torch.rand(tasks, 1, 1, generator=generator)
    phase = 6.2832 * torch.rand(tasks, 1, 1, generator=generator)
    x = torch.rand(tasks, 2 * CASES, 1, generator=generator) * 2.0 - 1.0
    y = 2.0**0.5 * torch.sin(speed * x + phase)
    return NetworkEpisode(network, x[:, :CASES], y[:, :CASES], x[:, CASES:], y[:, CASES:])


def starts(
    activation: str, depth: int, seed: int, iterations: int
) -> dict[str, tuple[nn.Module, dict[str, Tensor]]]:
    """Modules by what their start is called, and the learned rates of the learned one's tensors."""
    gain = nn.init.calculate_gain(activation)
    rules: dict[str, Callable[[Tensor], object]] = {
        "Xavier": lambda w: nn.init.xavier_normal_(w, gain),
        "He": lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"),
        "orthogonal": lambda w: nn.init.orthogonal_(w, gain),
    }
    made: dict[str, tuple[nn.Module, dict[str, Tensor]]] = {}
    for name, rule in rules.items():
        module = stack(activation, depth, seed)
        for layer in module:
            if isinstance(layer, nn.Linear):
                rule(layer.weight)
        made[name] = module, {}
    inputs = family(Network(made["Xavier"][0]), 1, 999).inputs[0]
    made["data-dependent (LSUV)"] = unit_variance(stack(activation, depth, seed), inputs, seed=seed), {}
    for name, speeds in ((HARD, FAST), (EASY, SLOW)):
        network = Network(made["data-dependent (LSUV)"][0])
        learned = _learned(network, speeds, seed, iterations)
        weights = {key: learned[key] for key in network.start()}
        module = stack(activation, depth, seed)
        module.load_state_dict(weights)
        made[name] = module, {}
        if name == HARD:
            rates = {key: learned[f"rule/rate/{key}"] for key in weights}
            made["learned, with its rates"] = module, rates
    return made


def _learned(network: Network, speeds: tuple[float, float], seed: int, iterations: int) -> dict[str, Tensor]:
    """Start and step sizes of each tensor, learned so that five steps go far on new members."""
    method = named.fomaml(5, 0.003, learned="tensor")
    return meta_train(
        method,
        lambda i: family(network, DRAWN, 10_000 + i, speeds),
        initial(method, network.start(), seed),
        Outer(iterations, 1e-3, schedule="cosine", clip=1.0),
        seed=seed,
    ).learned


def descended(module: nn.Module, episode: NetworkEpisode, rate: float | dict[str, Tensor]) -> Tensor:
    """Support loss over the targets' variance along plain descent, (step, task); not finite where it diverged."""
    network = Network(module)
    here = {n: v.expand(len(episode), *v.shape) for n, v in network.start().items()}
    scale = episode.targets.flatten(1).var(1)
    path = []
    for _ in range(STEPS):
        here = {n: v.detach().requires_grad_() for n, v in here.items()}
        loss = episode.support(here)
        path.append(loss.detach() / scale)
        slopes = torch.autograd.grad(loss.sum(), list(here.values()))
        speeds = {n: rate if isinstance(rate, float) else rate[n] for n in here}
        here = {n: v - speeds[n] * s for (n, v), s in zip(here.items(), slopes, strict=True)}
    return torch.stack(path)


def table(
    activation: str, depth: int = DEPTH, seed: int = 0, iterations: int = ITERATIONS
) -> tuple[pd.DataFrame, dict[str, xr.Dataset]]:
    """A row for each start: its best rate on members of the family that are not judged, and what came out on others."""
    rows, looks = [], {}
    for name, (module, rates) in starts(activation, depth, seed, iterations).items():
        network = Network(module)
        chosen, judged = family(network, TASKS, 1), family(network, TASKS, 2)
        tried: list[float | dict[str, Tensor]] = [rates] if rates else list(RATES)
        best = (
            min(tried, key=lambda rate: _cost(descended(module, chosen, rate)))
            if len(tried) > 1
            else tried[0]
        )
        path = descended(module, judged, best)
        reached = (path < REACHED).any(0)
        first = torch.where(reached, (path < REACHED).float().argmax(0), STEPS)
        looks[name] = initialisation(module, judged.inputs[0], judged.targets[0])
        rows += [
            {
                "start": name,
                "rate": float("nan") if rates else best,
                "steps": float(first[at]),
                "reached": float(reached[at]),
                "diverged": float(not bool(path[-1, at] <= path[0, at])),
                "loss left": float(torch.nan_to_num(path[-1, at], nan=1e3, posinf=1e3)),
                "saturated (%)": 100.0 * float(looks[name]["saturated"].mean(skipna=True)),
                "curvature": abs(float(looks[name]["curvature"])),
            }
            for at in range(TASKS)
        ]
    return pd.DataFrame(rows).assign(seed=seed), looks


def _cost(path: Tensor) -> float:
    return float(torch.nan_to_num(path[-1], nan=1e3, posinf=1e3).clamp(max=1e3).mean())


def main(folder: Path | None = None) -> None:
    """Print the tables and draw the figures."""
    torch.set_num_threads(1)
    folder = folder or (Path(sys.argv[1]) if len(sys.argv) > 1 else Path("hard-starts"))
    folder.mkdir(parents=True, exist_ok=True)
    print(
        f"Fast sinusoids (simulated), {DEPTH} layers of {WIDTH} units, {STEPS} steps of descent on {TASKS} members "
        "that nothing was chosen on; medians, and means of shares"
    )
    for activation, seeds in SEEDS_OF.items():
        made = [table(activation, seed=seed) for seed in range(seeds)]
        rows = pd.concat([each for each, _ in made])
        grouped = rows.drop(columns="seed").groupby("start", sort=False)
        shown = grouped.median().assign(
            reached=grouped["reached"].mean(), diverged=grouped["diverged"].mean()
        )
        print(f"\n{activation}, {seeds} seeds\n{shown.round(3).to_string()}", flush=True)
        looks = {name: look for name, look in made[0][1].items() if name != "learned, with its rates"}
        by_layer = pd.DataFrame({name: 100.0 * look["saturated"].to_series() for name, look in looks.items()})
        print(
            f"\nsaturated (%) by layer, first seed\n{by_layer.dropna().iloc[::3].round(1).to_string()}",
            flush=True,
        )
        save_figure(initialisation_figure(looks), folder / f"hard_starts_{activation}.png", dpi=130)


if __name__ == "__main__":
    main()
