"""The engine on a graphics processor beside this machine's processor: agreement first, then seconds; five minutes.

    python benchmarks/on_a_gpu.py                       # on CUDA, sizes as in docs/scale.md
    python benchmarks/on_a_gpu.py --device cpu --small  # the same script where there is none

Prints a table in Markdown, a row as soon as it is known, so that a run that is cut short is not lost: what agrees to
how many digits, the seconds of a meta-step of a network and of an equation, and of calibrating patients of two samples
each, in pieces. Every device is warmed up first, waits for its work before a clock is read, and the best of some runs
is shown. `--tests` runs the engine's tests too; those of them that name a device take CUDA where it is.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

import metasci as ms
from metasci.data.tasks import Batch
from metasci.meta import Network, NetworkEpisode, meta_gradient, named
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.episodes import EquationEpisode, sample_support
from metasci.priors.equation import Prior

ROOT = Path(__file__).resolve().parent.parent
TESTS = ("tests/test_meta_gradients.py", "tests/test_networks.py")
PIECE = 50_000


def clocked(work: Callable[[], object], device: torch.device, runs: int) -> float:
    """Seconds of the best of some runs, after one that does not count."""

    def once() -> float:
        begun = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - begun

    once()
    return min(once() for _ in range(runs))


def difference(one: Tensor, other: Tensor) -> float:
    """Greatest difference over the greatest value."""
    return float((one.cpu() - other.cpu()).abs().max() / other.abs().max().clamp(min=1e-300))


def sinusoids(device: torch.device, tasks: int, width: int) -> tuple[NetworkEpisode, Parameters]:
    """Regressions of a perceptron in single precision, made on the processor so that all devices have the same."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
    )
    network = Network(layers.to(device))
    x = 10.0 * torch.rand(tasks, 20, 1) - 5.0
    y = torch.sin(x + 3.0 * torch.rand(tasks, 1, 1))
    parts = (part.to(device) for part in (x[:, :10], y[:, :10], x[:, 10:], y[:, 10:]))
    return NetworkEpisode(network, *parts), network.start()


def patients(prior: Prior, data: str, tasks: int) -> Batch:
    """A data set's patients with their first two samples, again and again."""
    batch = prior.batch(prior.read(ms.dataset(data)))
    first = batch.trimmed(batch.mask & (batch.mask.cumsum(1) <= 2))
    return first.select(torch.arange(tasks) % len(first))


def equation_step(prior: Prior, batch: Batch, device: torch.device) -> tuple[EquationEpisode, Parameters]:
    """An episode of an equation's tasks, and what is learned of them."""
    here = batch.to(device=device)
    design = prior.covariates.design(here.covariates)
    problem = prior.problem(here)
    support = sample_support(here.mask, (1, 1), "first", 0)
    size = len(prior.model.parameters)
    learned = {
        "mean": torch.zeros(size, dtype=torch.float64, device=device),
        "effects": torch.zeros(size, design.values.shape[1], dtype=torch.float64, device=device),
        "log_noise": torch.tensor(prior.model.noise.typical, dtype=torch.float64, device=device).log(),
    }
    seen, judged = problem.with_mask(support), problem.with_mask(~support)
    free = tuple(range(size))
    return EquationEpisode(seen, judged, design.values, free, 0.3, len(problem)), learned


def calibrated(prior: Prior, batch: Batch, device: torch.device) -> Tensor:
    """Estimates of all patients, in pieces."""
    parts = torch.split(torch.arange(len(batch)), PIECE)
    return torch.cat([prior.adapt(batch.select(part), device).coordinates for part in parts])


def rows(device: torch.device, small: bool) -> Iterator[tuple[str, float, float, float]]:
    """What was done, seconds on the device and on the processor, and by how much they differ."""
    cpu, runs = torch.device("cpu"), 2 if small else 5
    method = named.maml(steps=5, step_size=0.01)
    for tasks, width in ((8, 16),) if small else ((32, 40), (1024, 40), (1024, 256)):
        (here, learned), (there, own) = sinusoids(device, tasks, width), sinusoids(cpu, tasks, width)
        one, other = meta_gradient(method, here, learned)[1], meta_gradient(method, there, own)[1]
        yield (
            f"meta-step, network of width {width}, {tasks} tasks, 5 steps, single precision",
            clocked(lambda: meta_gradient(method, here, learned), device, runs),  # noqa: B023
            clocked(lambda: meta_gradient(method, there, own), cpu, runs),  # noqa: B023
            max(difference(one[name], other[name]) for name in other),
        )
    prior = ms.load("theophylline")
    for tasks in (24,) if small else (30, 10_000):
        batch = patients(prior, "theophylline", tasks)
        (here, learned), (there, own) = (equation_step(prior, batch, where) for where in (device, cpu))
        one, other = meta_gradient(method, here, learned)[1], meta_gradient(method, there, own)[1]
        yield (
            f"meta-step, equation, {tasks} tasks, 5 steps, double precision",
            clocked(lambda: meta_gradient(method, here, learned), device, runs),  # noqa: B023
            clocked(lambda: meta_gradient(method, there, own), cpu, runs),  # noqa: B023
            max(difference(one[name], other[name]) for name in other),
        )
    for name, whole, part in (("theophylline", 1_000_000, 50_000), ("propofol", 100_000, 10_000)):
        count, fewer = (60, 60) if small else (whole, part)
        prior = ms.load(name)
        one, other = (
            calibrated(prior, patients(prior, name, min(fewer, 1000)), where) for where in (device, cpu)
        )
        many, some = patients(prior, name, count), patients(prior, name, fewer)
        yield (
            f"{count:,} {name} patients of two samples (the processor: {fewer:,}, scaled)",
            clocked(lambda: calibrated(prior, many, device), device, 1),  # noqa: B023
            clocked(lambda: calibrated(prior, some, cpu), cpu, 1) * count / fewer,  # noqa: B023
            difference(one, other),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="sizes of a trial")
    parser.add_argument("--tests", action="store_true", help="the engine's tests first")
    asked = parser.parse_args()
    device = torch.device(asked.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("there is no CUDA device here; say --device cpu --small to try the script.")
    shown = torch.cuda.get_device_name(device) if device.type == "cuda" else "the processor"
    print(f"{shown}, torch {torch.__version__}, {torch.get_num_threads()} threads of the processor\n")
    if asked.tests:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n", "0", *TESTS], cwd=ROOT, check=False
        )
        print(f"engine tests: {'passed' if done.returncode == 0 else 'FAILED'}\n")
    print(
        "| | device, s | processor, s | times faster | greatest relative difference |\n|---|---|---|---|---|"
    )
    for what, here, there, off in rows(device, asked.small):
        print(f"| {what} | {here:.3g} | {there:.3g} | {there / here:.2g} | {off:.0e} |", flush=True)


if __name__ == "__main__":
    main()
