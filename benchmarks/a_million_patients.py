"""Simulated patients by the million, calibrated on one machine in bounded memory.

    python benchmarks/a_million_patients.py --tasks 1000000

Patients are simulated from the shipped theophylline prior, two or three samples each, and written piece by
piece to a Zarr store; then all are calibrated from there into another. Printed are seconds, patients a second,
the greatest memory that the process ever held (resource.getrusage) beside what it held before it began, and how
often the 90 % intervals hold the true parameters. `--markdown` prints a row of a_million_patients.md.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import zarr
from numpy.typing import NDArray

import metasci as ms
from metasci.priors.equation import Prior
from metasci.priors.stores import open_store

PIECE = 20_000


def simulate(prior: Prior, count: int, seed: int) -> tuple[dict[str, NDArray], NDArray]:
    """Columns of so many simulated patients, and their true parameters, (patient, parameter)."""
    random = np.random.default_rng(seed)
    weight = random.normal(70.0, 9.0, count).clip(40.0, 110.0)
    design = prior.covariates.design(torch.tensor(weight[:, None]))
    mean, covariance = (value.numpy() for value in prior.method.start(prior.state, design))
    drawn = random.standard_normal(mean.shape)
    coordinates = mean + np.einsum("tij,tj->ti", np.linalg.cholesky(covariance), drawn)
    true = prior.model.parameters.to_physical(coordinates)
    time = random.uniform([0.5, 3.0, 8.0], [2.0, 6.0, 14.0], (count, 3))
    time[random.random(count) < 0.5, 2] = np.nan  # two samples only
    dose = 320.0 / weight
    curve = prior.model({"time": time, "dose": dose[:, None]}, {k: v[:, None] for k, v in true.items()})
    noise = float(prior.state.log_noise.exp()) * random.standard_normal(time.shape)
    columns = {"time": time, "concentration": curve + noise, "dose": dose, "weight": weight}
    return columns, np.stack([true[name] for name in prior.model.parameters.names], 1)


def write(prior: Prior, tasks: int, path: Path) -> None:
    """All patients in a Zarr store, one piece in memory at a time."""
    group = zarr.open_group(path, mode="w", zarr_format=3)
    group.attrs.update({"simulated": "true", "source": f"simulated from the prior '{prior.name}'"})
    units = {"time": "h", "concentration": "mg/L", "dose": "mg/kg", "weight": "kg"}
    wide = ("time", "concentration")
    arrays = {
        name: group.create_array(
            name, shape=(tasks, 3) if name in wide else (tasks,), chunks=(PIECE, 3) if name in wide else (PIECE,),
            dtype="f8", dimension_names=("task", "observation") if name in wide else ("task",),
            attributes={"units": unit},
        ) for name, unit in units.items()
    }  # fmt: skip
    labels = group.create_array("task", shape=(tasks,), chunks=(PIECE,), dtype=str, dimension_names=("task",))
    for at in range(0, tasks, PIECE):
        count = min(PIECE, tasks - at)
        for name, values in simulate(prior, count, seed=at)[0].items():
            arrays[name][at : at + count] = values
        labels[at : at + count] = np.array([f"simulated {at + i}" for i in range(count)], dtype=object)


def coverage(prior: Prior, result: Path, tasks: int) -> float:
    """Share of the true parameters inside their 90 % intervals."""
    inside, found = 0, open_store(result)
    for at in range(0, tasks, PIECE):
        piece = found[["lower", "upper"]].isel(task=slice(at, at + PIECE)).load()
        true = simulate(prior, piece.sizes["task"], seed=at)[1]
        inside += int(((piece["lower"].values < true) & (true < piece["upper"].values)).sum())
    return inside / (tasks * len(prior.model.parameters))


def peak() -> float:
    """Greatest memory that this process has held so far, MB."""
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--chunk", type=int, default=None)
    parser.add_argument("--out", choices=("zarr", "nc"), default="zarr")
    parser.add_argument("--workers", type=int, default=0, help="processes of a local Dask cluster")
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    prior = ms.load("theophylline")
    prior.calibrate_many(ms.dataset("theophylline"))  # everything is imported
    before, tasks, client = peak(), arguments.tasks, None
    if arguments.workers:
        from dask.distributed import Client

        client = Client(n_workers=arguments.workers, threads_per_worker=1, dashboard_address=None)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "patients.zarr", Path(folder) / f"result.{arguments.out}"
        began = time.perf_counter()
        write(prior, tasks, source)
        simulated, after_simulation = time.perf_counter() - began, peak()
        began = time.perf_counter()
        with prior.calibrate_many(
            source, out=target, chunk=arguments.chunk, client=client, progress=sys.stderr.isatty()
        ) as result:
            seconds, most = time.perf_counter() - began, peak()
            converged = int(result["converged"].sum())
        share = coverage(prior, target, tasks)
    if client is not None:
        client.close()
    row = {
        "simulated patients": tasks, "out": arguments.out, "workers": arguments.workers,
        "seconds to simulate": round(simulated, 1), "seconds to calibrate": round(seconds, 1),
        "patients a second": round(tasks / seconds), "memory before, MB": round(before),
        "peak while simulating, MB": round(after_simulation), "peak while calibrating, MB": round(most),
        "not converged": tasks - converged, "true parameters in 90 % intervals": round(share, 4),
    }  # fmt: skip
    if arguments.markdown:
        print("|", " | ".join(f"{v:,}" if isinstance(v, int) else str(v) for v in row.values()), "|")
    else:
        print(json.dumps(row, indent=1))


if __name__ == "__main__":
    main()
