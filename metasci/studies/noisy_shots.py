"""Study: a case for adapting the head alone. ``python -m metasci.studies.noisy_shots [FOLDER]`` (some three minutes).

Simulated regressions that are linear in features which all tasks share, known from five noisy measurements each. A
network adapts its head alone (ANIL), or all its weights (MAML), with as many steps as it has learned for and more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from metasci.data.frames import csv_bytes
from metasci.files import write_atomically
from metasci.meta import Composition, Network, NetworkEpisode, Outer, adapt, initial, meta_train, named
from metasci.meta.networks.episode import squared_error

__all__ = ["LEARNED", "METHODS", "STEPS", "drawn", "errors", "main"]

LEARNED, STEPS = (3, 10), (3, 10, 30, 100)
"""Steps that are learned for, and steps that are judged."""

METHODS: dict[str, Callable[[int], Composition]] = {
    "head alone (ANIL)": lambda steps: named.anil(("0.", "2."), steps, 0.05),
    "everything (MAML)": lambda steps: named.maml(steps, 0.05),
}
"""By name, of a number of steps."""

_WIDTH, _SHARED = 32, 4  # features of the network, and of the truth
_SHOTS, _ASKED, _TASKS, _NOISE = 5, 25, 25, 1.0
_ITERATIONS, _RATE, _SEEDS, _JUDGED = 1000, 2e-3, 3, 500


def _features(x: Tensor) -> Tensor:
    """Of the truth, the same in every task: hyperbolic tangents of planes."""
    draw = torch.Generator().manual_seed(123)
    slopes, levels = 1.5 * torch.randn(2, _SHARED, generator=draw), torch.randn(_SHARED, generator=draw)
    return torch.tanh(x @ slopes + levels)


def drawn(network: Network, seed: int, tasks: int = _TASKS, noisy: bool = True) -> NetworkEpisode:
    """Tasks y = φ(x)·w + e with weights w ~ N(0, 1) of their own; what is asked is noisy in learning.

    Parameters
    ----------
    network : Network
    seed : int
    tasks : int
    noisy : bool
        Whether what is asked has noise; the support always has.
    """
    draw = torch.Generator().manual_seed(seed)
    weights = torch.randn(tasks, _SHARED, 1, generator=draw)
    x = 2.0 * torch.rand(tasks, _SHOTS + _ASKED, 2, generator=draw) - 1.0
    clean = _features(x) @ weights
    seen = clean + _NOISE * torch.randn(clean.shape, generator=draw)
    asked = seen if noisy else clean
    return NetworkEpisode(network, x[:, :_SHOTS], seen[:, :_SHOTS], x[:, _SHOTS:], asked[:, _SHOTS:])


def errors(seed: int, iterations: int = _ITERATIONS) -> pd.DataFrame:
    """Mean squared error of the truth by method, steps learned for and steps made, task by task."""
    rows = []
    for steps in LEARNED:
        for name, method in METHODS.items():
            torch.manual_seed(seed)
            network = Network(
                nn.Sequential(
                    nn.Linear(2, _WIDTH),
                    nn.Tanh(),
                    nn.Linear(_WIDTH, _WIDTH),
                    nn.Tanh(),
                    nn.Linear(_WIDTH, 1),
                )
            )
            done = meta_train(
                method(steps),
                partial(drawn, network),
                initial(method(steps), network.start()),
                Outer(iterations, _RATE, schedule="cosine", clip=10.0),
                seed=seed,
                compile=False,
            )
            test = drawn(network, 1_000_000 + seed, _JUDGED, noisy=False)
            for made in STEPS:
                weights = adapt(method(made), test, done.learned)
                with torch.no_grad():
                    each = squared_error(test.outputs(weights), test.query_targets, None)
                row = {"method": name, "learned for": steps, "steps": made, "seed": seed}
                rows += [{**row, "task": at, "error": float(error)} for at, error in enumerate(each)]
    return pd.DataFrame(rows)


def main(out: Path) -> None:
    """Print the table, with the paired difference and its standard error, and write all errors into a folder."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    table = pd.concat([errors(seed) for seed in range(_SEEDS)])
    write_atomically(out / "noisy_shots.csv", csv_bytes(table))
    wide = table.pivot_table("error", ["learned for", "steps", "seed", "task"], "method", sort=False)
    head, whole = (wide[name] for name in METHODS)
    less = (whole - head).groupby(["learned for", "steps"])
    shown = wide.groupby(["learned for", "steps"]).mean()
    shown["MAML less ANIL"] = less.mean()
    shown["± (tasks)"] = less.std() / np.sqrt(less.size())
    print(
        f"Simulated; mean squared error of {_JUDGED} tasks known from {_SHOTS} noisy measurements; {_SEEDS} seeds"
    )
    print(shown.round(3).to_string())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("noisy_shots"))
