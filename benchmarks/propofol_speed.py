"""How long propofol takes: one patient, and 100,000 with two samples each. ``python benchmarks/propofol_speed.py``.

A number behind it is that of patients, instead of 100,000. They are the patients of the data, with their doses up to
the second sample, repeated. Beside the time that passed stands that of the processor, which is what counts where the
machine is shared.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

import numpy as np
import torch

import metasci as ms
from metasci.data.tasks import TaskSet


def two_samples(tasks: TaskSet, count: int) -> TaskSet:
    """So many patients with their first two samples and the doses until then."""
    enough = tasks.select(np.asarray(tasks.counts) >= 2)
    dataset = enough.dataset.isel(observation=slice(2))
    until = dataset["time"].values[:, 1]
    late = dataset["dose_time"].values > until[:, None]
    for name in {"dose", "dose_time", "dose_duration", "dose_interval", "dose_until"} & set(dataset):
        dataset[name] = dataset[name].where(~late)
    width = int(np.flatnonzero(~np.isnan(dataset["dose"].values).all(0))[-1]) + 1
    index = np.arange(count) % len(enough)
    dataset = dataset.isel(event=slice(width)).isel(task=index)
    return replace(enough, dataset=dataset.assign_coords(task=[f"repeated {i}" for i in range(count)]))


def timed(calls: Iterable[Callable[[], object]]) -> str:
    """Median and range of the milliseconds that calls take, passed and of the processor."""
    passed, used = [], []
    for call in calls:
        begin, busy = time.perf_counter(), time.process_time()
        call()
        passed.append(1000.0 * (time.perf_counter() - begin))
        used.append(1000.0 * (time.process_time() - busy))
    return (
        f"median {statistics.median(passed):.1f} ms, {min(passed):.1f} to {max(passed):.1f}; "
        f"of the processor {statistics.median(used):.1f} ms, {min(used):.1f} to {max(used):.1f}"
    )


def main(count: int = 100_000) -> None:
    """Print seconds."""
    torch.set_num_threads(1)
    prior, tasks = ms.load("propofol"), ms.dataset("propofol")
    patients = [tasks.select([name]) for name in tasks.names[10:60:5]]
    few = two_samples(tasks, 20)
    ones = [few.select([at]) for at in range(20)]
    prior.calibrate(patients[0])
    print(f"one patient with all samples: {timed(partial(prior.calibrate, one) for one in patients)}")
    print(f"one patient with two samples: {timed(partial(prior.calibrate, one) for one in ones)}", flush=True)
    many = two_samples(tasks, count)
    print(f"{count:,} patients, {many.dataset.sizes['event']} doses at most")
    begin, busy = time.perf_counter(), time.process_time()
    result = prior.calibrate_many(many)
    passed, used = time.perf_counter() - begin, time.process_time() - busy
    print(
        f"calibrated in {passed:.1f} s, {used:.1f} s of the processor; "
        f"{int((~result['converged']).sum())} did not converge"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
