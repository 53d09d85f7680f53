"""How long propofol takes: one patient, and 100,000 with two samples each. ``python benchmarks/propofol_speed.py``.

The hundred thousand are the patients of the data, with their doses up to the second sample, repeated.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

import numpy as np
import torch

import metasci as ms
from metasci.tasks import TaskSet


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


def main() -> None:
    """Print seconds."""
    torch.set_num_threads(1)
    prior, tasks = ms.load("propofol"), ms.dataset("propofol")
    patients = [tasks.select([name]) for name in tasks.names[10:60:5]]
    prior.calibrate(patients[0])
    each = []
    for patient in patients:
        begin = time.perf_counter()
        prior.calibrate(patient)
        each.append(1000.0 * (time.perf_counter() - begin))
    print(
        f"one patient with all samples: median {statistics.median(each):.1f} ms, {min(each):.1f} to {max(each):.1f}"
    )
    few = two_samples(tasks, 20)
    each = []
    for at in range(20):
        one = few.select([at])
        begin = time.perf_counter()
        prior.calibrate(one)
        each.append(1000.0 * (time.perf_counter() - begin))
    print(
        f"one patient with two samples: median {statistics.median(each):.1f} ms, {min(each):.1f} to {max(each):.1f}"
    )
    many = two_samples(tasks, 100_000)
    print(f"100,000 patients, {many.dataset.sizes['event']} doses at most")
    begin = time.perf_counter()
    result = prior.calibrate_many(many)
    print(
        f"calibrated in {time.perf_counter() - begin:.1f} s; {int((~result['converged']).sum())} did not converge"
    )


if __name__ == "__main__":
    main()
