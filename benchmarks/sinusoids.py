"""Meta-SGD's table of sinusoids (simulated), with every method of the engine.

    python benchmarks/sinusoids.py --methods maml,meta-sgd --seeds 0,1,2

Trained with 5 shots and one step (as arXiv 1707.09835, table 1), judged on 5, 10 and 20 shots by 100 query
points in each of 1,000 tasks that training never draws. Results are added to benchmarks/sinusoids.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from metasci.meta import Composition, Outer, adapt, initial, meta_train, named
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.networks.episode import NetworkEpisode
from metasci.meta.networks.linear_head import LinearHeadEpisode, head_start
from metasci.meta.networks.network import Network
from metasci.meta.networks.process_head import ProcessHeadEpisode, process_start
from metasci.studies import sinusoids

TEST = 10_000_019
SHOTS = (5, 10, 20)
OUT = Path(__file__).with_name("sinusoids.json")
BODY = ("0.", "2.")

# name: (trained as, adapted as, number of tasks an iteration)
METHODS: dict[str, tuple[Composition, Composition]] = {
    name: (made, made)
    for name, made in {
        "MAML": named.maml(1, 0.01),
        "MAML, learned rate": named.maml(1, 0.01, learned="scalar"),
        "FOMAML": named.fomaml(1, 0.01),
        "Reptile": named.reptile(10, 0.01),
        "Meta-SGD": named.meta_sgd(1, 0.01),
        "Meta-SGD, 5 steps": named.meta_sgd(5, 0.01, per_step=True),
        "Meta-SGD, 5 steps, positive rates": named.meta_sgd(5, 0.01, per_step=True, positive=True),
        "MAML, 5 steps": named.maml(5, 0.01, learned="scalar"),
        "ANIL": named.anil(BODY, 1, 0.01),
        "iMAML": named.imaml(16, 0.01, 2.0, iterations=5, newton=0),
        "MAML with Nesterov momentum, 5 steps": named.maml_with_momentum(5, 0.003, nesterov=True),
        "MAML with Adam, 5 steps": named.maml_with_adam(5, 0.01, epsilon=1e-3),
        "Meta-Curvature": named.meta_curvature(1, 0.01),
        "Meta-Curvature, 5 steps": named.meta_curvature(5, 0.01),
    }.items()
}
METHODS["joint training, then 10 steps"] = (named.pooled_training(), named.fine_tuning(10, 0.001)[1])
METHODS["from scratch, 100 Adam steps"] = (named.pooled_training(), named.from_scratch(100, 0.01))
# heads in closed form: the same body, with a mean and forty features in place of the one output
HEADS: dict[str, tuple[type[LinearHeadEpisode], Callable[[Network], Parameters]]] = {
    "linear head (ALPaCA)": (LinearHeadEpisode, head_start),
    "Gaussian-process head (deep kernel)": (ProcessHeadEpisode, process_start),
}
METHODS |= {name: (named.pooled_training(), named.pooled_training()) for name in HEADS}
OUTER = {"Reptile": Outer(60_000, 0.1, "descent", "cosine")}


def with_features(seed: int) -> Network:
    """The body of `sinusoids.network`, with a mean and forty features."""
    layers = list(sinusoids.network(seed).module)
    torch.manual_seed(seed)
    return Network(torch.nn.Sequential(*layers[:-1], torch.nn.Linear(layers[-1].in_features, 41)))


def episode(name: str, network: Network, tasks: int, shots: int, queries: int, seed: int) -> NetworkEpisode:
    """Simulated tasks, as the method takes them."""
    made = sinusoids.episode(network, tasks, shots, queries, seed)
    if name not in HEADS:
        return made
    return HEADS[name][0](network, made.inputs, made.targets, made.query_inputs, made.query_targets)


def squared_errors(made: NetworkEpisode, adapted: Parameters) -> torch.Tensor:
    """Mean squared error of every task's query."""
    if isinstance(made, LinearHeadEpisode):
        return (made.outputs(adapted) - made.query_targets).square().mean((1, 2))
    return made.query(adapted)


def run(name: str, seed: int, iterations: int, tasks: int, rate: float, compile: bool) -> dict[str, object]:
    trained_as, adapted_as = METHODS[name]
    network = with_features(seed) if name in HEADS else sinusoids.network(seed)
    start = initial(trained_as, HEADS[name][1](network) if name in HEADS else network.start(), seed)
    began = time.perf_counter()
    if name.startswith("from scratch"):
        learned, curve = start, []
    else:
        outer = OUTER.get(name, Outer(iterations, rate, schedule="cosine", clip=10.0))
        outer = Outer(iterations, outer.learning_rate, outer.rule, outer.schedule, outer.clip)
        shots, queries = 5, 15
        done = meta_train(
            trained_as,
            lambda i: episode(name, network, tasks, shots, queries, i),
            start,
            outer,
            seed=seed,
            compile=compile,
            progress=True,
        )
        learned = done.learned
        chunk = max(iterations // 20, 1)
        curve = [round(float(done.loss[i : i + chunk].mean()), 3) for i in range(0, len(done.loss), chunk)]
    seconds = time.perf_counter() - began
    row: dict[str, object] = {
        "method": name,
        "seed": seed,
        "iterations": iterations,
        "tasks": tasks,
        "seconds": round(seconds),
    }
    for shots in SHOTS:
        test = episode(name, network, 1000, shots, 100, TEST)
        with torch.no_grad():
            losses = squared_errors(test, adapt(adapted_as, test, learned))
        finite = torch.isfinite(losses)
        row[f"{shots} lost"] = int((~finite).sum())
        row[str(shots)], row[f"{shots} +-"] = (round(v, 4) for v in sinusoids.mean_error(losses[finite]))
    return row | {"curve": curve}


def table(rows: list[dict]) -> str:
    lines = ["| method | 5 shots | 10 shots | 20 shots | seeds | training, s |", "|---|---|---|---|---|---|"]
    for name in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == name]
        cells = []
        for shots in SHOTS:
            values = [row[str(shots)] for row in own]
            spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
            lost = sum(row.get(f"{shots} lost", 0) for row in own)
            note = f" ({lost} of {1000 * len(own)} tasks diverged)" if lost else ""
            mean = statistics.mean(values)
            cells.append(f"{mean:.3f}{spread}{note}" if mean >= 0.01 else f"{mean:.4f}{spread}{note}")
        seconds = statistics.mean(row["seconds"] for row in own)
        lines.append(f"| {name} | {' | '.join(cells)} | {len(own)} | {seconds:.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", default="MAML;Meta-SGD", help="separated by ';'")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--iterations", type=int, default=60_000)
    parser.add_argument("--tasks", type=int, default=25)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--table", action="store_true", help="only print the table of what is there")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = json.loads(given.out.read_text()) if given.out.exists() else []
    if not given.table:
        for name in given.methods.split(";"):
            for seed in map(int, given.seeds.split(",")):
                row = run(name, seed, given.iterations, given.tasks, given.rate, given.compile)
                print(json.dumps(row), flush=True)
                rows = json.loads(given.out.read_text()) if given.out.exists() else []
                rows = [r for r in rows if (r["method"], r["seed"]) != (name, seed)] + [row]
                given.out.write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
