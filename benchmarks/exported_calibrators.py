"""Exported calibrators of all shipped equation priors beside `Prior.calibrate`: the same numbers, size and time.

    python benchmarks/exported_calibrators.py [PRIOR …]

Real data where the prior has some that ship; for published priors three tasks drawn from the prior (simulated).
Seconds are the processor's, of one thread. Called again from where it ended until its last step is below 1e-6
posterior standard deviations, as `metasci.programs.settled` does. Where ExecuTorch is installed, the same program as
its file, by its portable kernels.
"""

from __future__ import annotations

import importlib.util
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import torch

import metasci as ms
from metasci.data.batch import Batch
from metasci.errors import InputError
from metasci.meta.problem import Problem
from metasci.programs import Program, Sizes, calibrator, given_of, onnx_bytes, settled
from metasci.programs.executorch_file import executorch_bytes, taken

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
READINGS, TASKS, REPEATS = 12, 6, 10


def measured(name: str) -> tuple[ms.Prior, Batch, str]:
    """A prior, a few tasks of its data, and whether they are real."""
    from metamorphic import table

    prior = ms.load(name)
    real = (Path("datasets") / name).exists()
    data = ms.dataset(name) if real else table(prior, name)
    prior = prior.for_data(data)
    batch = prior.batch(prior.read(data))
    batch = batch.select(torch.arange(min(TASKS, len(batch))))
    batch = batch.trimmed(batch.mask & (batch.mask.cumsum(1) <= READINGS))
    if not real:
        generator = torch.Generator().manual_seed(0)
        mean, covariance = prior.method.start(prior.state, prior.covariates.design(batch.covariates))
        noise = torch.randn(*mean.shape, 1, generator=generator, dtype=mean.dtype)
        problem = Problem(prior.model, batch)
        curve = problem.predict(mean + (torch.linalg.cholesky(covariance) @ noise)[..., 0])
        sd = problem.variance(curve, prior.state.log_noise).sqrt()
        scatter = sd * torch.randn(curve.shape, generator=generator, dtype=curve.dtype)
        batch = replace(batch, output=prior.model.noise.unlink(prior.model.noise.link(curve) + scatter))
    return prior, batch, "real" if real else "simulated"


def row(name: str) -> str:
    prior, batch, kind = measured(name)
    width = batch.mask.shape[1]
    events = max([v.shape[-1] for k, v in batch.inputs.items() if k in prior.model.event_names] or [1])
    program = calibrator(prior, Sizes(width, width, events))
    content = onnx_bytes(program)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    adapted = prior.adapt(batch)
    difference, calls, times = [], [], []

    def once(given):
        began = time.thread_time()
        results = dict(zip(program.results, session.run(None, given), strict=True))
        times.append(time.thread_time() - began)
        calls[-1] += 1
        return results

    for task in range(len(batch)):
        calls.append(0)
        found = settled(once, given_of(prior, program, batch, task))
        difference.append(np.abs(found["coordinates"] - adapted.coordinates[task].numpy()).max())
    alone = batch.select(torch.tensor([0]))
    began = time.thread_time()
    for _ in range(REPEATS):
        prior.adapt(alone)
    python = (time.thread_time() - began) / REPEATS
    return (
        f"{name:28s} {kind:9s} {len(batch):3d} {program.operations:6d} {len(content) / 1e3:5.0f} "
        f"{1e3 * min(times):8.2f} {max(calls):6d} {1e3 * python:10.1f} {max(difference):12.0e}"
        + by_executorch(program, given_of(prior, program, batch, 0))
    )


def by_executorch(program: Program, given: dict) -> str:
    """Size, time and greatest difference of any result from the program's own, in units of the greatest."""
    if importlib.util.find_spec("executorch") is None:
        return ""
    from executorch.runtime import Runtime

    content = executorch_bytes(program)
    with tempfile.NamedTemporaryFile(suffix=".pte") as file:
        file.write(content)
        file.flush()
        method = Runtime.get().load_program(file.name).load_method("forward")
        tensors = [
            torch.as_tensor(np.asarray(given[each.name], bool if each.flags else float))
            for each in taken(program)
        ]
        times = []
        for _ in range(10 * REPEATS):
            began = time.thread_time()
            found = method.execute(tensors)
            times.append(time.thread_time() - began)
    expected = program.run(given)
    off = max(
        float(np.abs(value.numpy() - expected[name]).max() / np.abs(expected[name]).max())
        for name, value in zip(program.results, found, strict=True)
        if name in ("estimate", "prediction", "reading_lower", "reading_upper")
    )
    return f" {len(content) / 1e3:6.0f} {1e3 * min(times):8.2f} {off:8.0e}"


def main() -> None:
    torch.set_num_threads(1)
    print(
        "prior                        data    tasks    ops    kB  ms/call  calls  ms, Python   difference"
        "  of ExecuTorch: kB, ms/call, difference"
    )
    for folder in sorted(Path("models").iterdir()):
        if not folder.is_dir() or (len(sys.argv) > 1 and folder.name not in sys.argv[1:]):
            continue
        try:
            print(row(folder.name), flush=True)
        except (InputError, AttributeError) as error:
            print(f"{folder.name:28s} {error}"[:160], flush=True)
    print(
        f"greatest memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB"
    )


if __name__ == "__main__":
    main()
