"""The engine on a graphics processor beside this machine's processor: agreement first, then seconds; five minutes.

    python benchmarks/on_a_gpu.py --tests               # on CUDA, sizes as in docs/scale.md
    python benchmarks/on_a_gpu.py --device cpu --small  # the same script where there is none

Prints tables in Markdown, a row as soon as it is known, so that a run that is cut short is not lost: by how much the
calibrations of every shipped equation differ, the seconds of a meta-step of a network and of an equation, and of
calibrating patients of two samples each. Every device is warmed up first, waits for its work before a clock is read,
and the best of some runs is shown. The processor works with one thread and with all of its threads. `--tests` runs the
engine's tests too; those of them that name a device take CUDA where it is.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from propofol_speed import two_samples
from torch import Tensor, nn

import metasci as ms
from metasci.catalogue import names
from metasci.data.tasks import Batch, TaskSet
from metasci.errors import InputError
from metasci.meta import Network, NetworkEpisode, meta_gradient, named
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.episodes import EquationEpisode, sample_support
from metasci.priors.equation import Prior

ROOT = Path(__file__).resolve().parent.parent
TESTS = ("tests/test_meta_gradients.py", "tests/test_networks.py", "tests/test_devices.py")
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Case:
    """Something to time: what it is, the work on a device, and how many of the device's cases the processor has."""

    what: str
    work: Callable[[torch.device], object]
    share: float = 1.0
    on_processor: Callable[[torch.device], object] | None = None
    runs: int = 5


def clocked(work: Callable[[torch.device], object], device: torch.device, runs: int) -> float:
    """Seconds of the best of some runs, after one that does not count."""

    def once() -> float:
        begun = time.perf_counter()
        work(device)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - begun

    once()
    return min(once() for _ in range(runs))


def difference(one: Tensor, other: Tensor) -> float:
    """Greatest difference over the greatest value."""
    return float((one.cpu() - other.cpu()).abs().max() / other.abs().max().clamp(min=1e-300))


# agreement ----------------------------------------------------------------------------------------


def agreement(device: torch.device) -> Iterator[str]:
    """How far calibrations on the device are from the processor's, of every shipped equation with data at hand."""
    for name in names("models"):
        prior = ms.load(name)
        if not isinstance(prior, Prior):
            continue
        try:
            tasks = ms.dataset(str(prior.card.name))
        except InputError:
            continue
        few = prior.read(tasks.select(tasks.names[:6]))
        batch = prior.batch(few)
        try:
            here, own = prior.adapt(batch, device), prior.adapt(batch, CPU)
        except Exception:  # a row of the table must not end the run
            traceback.print_exc()
            yield f"| {name} | FAILED |"
            continue
        yield f"| {name} | {difference(here.coordinates, own.coordinates):.0e} |"


# what is timed ------------------------------------------------------------------------------------


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


def equation_step(prior: Prior, batch: Batch, device: torch.device) -> tuple[EquationEpisode, Parameters]:
    """An episode of an equation's tasks, and what is learned of them."""
    here = batch.to(device=device)
    design = prior.design(batch).to(device)  # made on the processor, where what is known of covariates lies
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


def meta_step(case: Callable[[torch.device], tuple[object, Parameters]]) -> Callable[[torch.device], object]:
    """The meta-gradient of five inner steps, with what it needs put on each device once."""
    method, ready = named.maml(steps=5, step_size=0.01), {}

    def work(device: torch.device) -> object:
        if device not in ready:
            ready[device] = case(device)
        return meta_gradient(method, *ready[device])

    return work


def first_two(data: str, count: int) -> TaskSet:
    """So many patients of a data set with their first two samples and the doses until then, again and again."""
    tasks = ms.dataset(data)
    if "dose_time" in tasks.dataset:
        return two_samples(tasks, count)
    dataset = tasks.dataset.isel(observation=slice(2)).isel(task=np.arange(count) % len(tasks))
    return replace(tasks, dataset=dataset.assign_coords(task=[f"repeated {i}" for i in range(count)]))


def adaptation(prior: Prior, batch: Batch, piece: int) -> Callable[[torch.device], object]:
    """The estimates of all tasks, in pieces."""
    parts = torch.split(torch.arange(len(batch)), piece)
    return lambda device: [prior.adapt(batch.select(part), device).coordinates for part in parts]


def calibration(prior: Prior, tasks: TaskSet, piece: int | None) -> Callable[[torch.device], object]:
    """What a user calls."""
    return lambda device: prior.calibrate_many(tasks, chunk=piece, device=device.type)


def cases(small: bool) -> Iterator[Case]:
    """What is timed."""
    for tasks, width in ((8, 16),) if small else ((32, 40), (1024, 40), (1024, 256)):
        yield Case(
            f"meta-step, network of width {width}, {tasks} tasks, 5 steps, single precision",
            meta_step(lambda device, t=tasks, w=width: sinusoids(device, t, w)),
        )
    prior = ms.load("theophylline")
    for tasks in (24,) if small else (30, 10_000):
        batch = prior.batch(prior.read(first_two("theophylline", tasks)))
        yield Case(
            f"meta-step, equation of theophylline, {tasks} tasks, 5 steps, double precision",
            meta_step(lambda device, b=batch: equation_step(prior, b, device)),
        )
    for name, whole, part, piece in (
        ("theophylline", 1_000_000, 50_000, 250_000),
        ("propofol", 100_000, 5_000, 100_000),
    ):
        count, fewer = (60, 60) if small else (whole, part)
        prior = ms.load(name)
        many, some = prior.read(first_two(name, count)), prior.read(first_two(name, fewer))
        yield Case(
            f"{count:,} {name} patients of two samples, adapted",
            adaptation(prior, prior.batch(many), piece),
            count / fewer,
            adaptation(prior, prior.batch(some), piece),
            1,
        )
        yield Case(
            f"{count:,} {name} patients of two samples, `calibrate_many`",
            calibration(prior, many, piece),
            count / fewer,
            calibration(prior, some, None),
            1,
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
    threads = os.cpu_count() or 1
    print(f"{shown}, torch {torch.__version__}; the processor has {threads} threads\n", flush=True)
    if asked.tests:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n", "0", *TESTS], cwd=ROOT, check=False
        )
        print(f"\nengine tests: {'passed' if done.returncode == 0 else 'FAILED'}\n", flush=True)
    torch.set_num_threads(1)
    print("| prior | greatest relative difference of the estimates |\n|---|---|")
    for row in agreement(device):
        print(row, flush=True)
    print(f"\n| | device, s | one thread, s | {threads} threads, s | times faster than the better |")
    print("|---|---|---|---|---|")
    for case in cases(asked.small):
        try:
            torch.set_num_threads(1)
            here = clocked(case.work, device, case.runs)
            alone = clocked(case.on_processor or case.work, CPU, case.runs) * case.share
            torch.set_num_threads(threads)
            together = clocked(case.on_processor or case.work, CPU, case.runs) * case.share
        except Exception:  # a row of the table must not end the run
            traceback.print_exc()
            print(f"| {case.what} | FAILED |", flush=True)
            continue
        faster = min(alone, together) / here
        print(f"| {case.what} | {here:.3g} | {alone:.3g} | {together:.3g} | {faster:.2g} |", flush=True)


if __name__ == "__main__":
    main()
