"""The training loop that every method shares: progress, reports of tasks left out, checkpoints, resumption."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.files import State, read_tensors, tensors_checksum, write_tensors
from metasci.meta.compositions.described import described
from metasci.meta.compositions.distributed import agreed, is_writer
from metasci.meta.covariates import Design
from metasci.meta.method import Method
from metasci.meta.problem import Problem
from metasci.progress import bar

__all__ = ["Carried", "iterate", "learn"]

_HOPELESS = 10  # iterations without a finite task: nothing has moved meanwhile, so later ones are no better


class Carried(Protocol):
    """What an iteration hands on to the next."""

    @property
    def iteration(self) -> Tensor:
        """Iterations made, ()."""

    def tensors(self) -> State:
        """All of it by name, as files keep it."""


S = TypeVar("S", bound=Carried)


def learn(
    method: Method[S],
    problem: Problem,
    design: Design,
    *,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    every: float = 10.0,
    progress: bool = False,
) -> tuple[S, dict[str, int]]:
    """Learn from a batch of tasks until the method is done.

    Parameters
    ----------
    method : Method
    problem : Problem
    design : Design
    seed : int
        Every iteration draws from this seed and its own number: runs repeat to the bit, also when resumed.
    checkpoint : path, optional
        Where to keep the state. If the file exists, learning goes on from it.
    every : float
        Seconds between checkpoints.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    state
        The method's own: `GaussianState`, `GradientState`.
    left_out : dict
        Names of tasks that turned non-finite, and in how many iterations.

    Raises
    ------
    InputError
        If the checkpoint belongs to another run, or no task gives finite numbers in ten iterations one after another.
    """
    path = None if checkpoint is None else Path(checkpoint)
    left_out: Counter[str] = Counter()
    lost_in_a_row = 0

    def improve(state: S) -> S:
        nonlocal lost_in_a_row
        state, lost = method.improve(problem, design, state, seed)
        left_out.update(problem.batch.names[i] for i in lost.nonzero()[:, 0].tolist())
        lost_in_a_row = lost_in_a_row + 1 if bool(lost.all()) else 0
        if lost_in_a_row >= _HOPELESS:
            raise InputError(
                f"nothing can be learned: '{problem.model.name}' gave no finite numbers for any task in {_HOPELESS} "
                "iterations one after another; check units and typical values, or take smaller steps."
            )
        return state

    state = iterate(
        lambda: method.initial(problem, design),
        improve,
        method.finished,
        method.state_of,
        run=_fingerprint(method, problem, design, seed),
        checkpoint=path,
        every=every,
        title=method.name,
        total=method.iterations,
        progress=progress,
        device=problem.batch.output.device,
    )
    return state, dict(left_out)


def iterate(
    initial: Callable[[], S],
    improve: Callable[[S], S],
    finished: Callable[[S], bool],
    of: Callable[[State], S],
    *,
    run: str = "",
    checkpoint: Path | None = None,
    every: float = 10.0,
    title: str = "",
    total: int = 0,
    progress: bool = False,
    device: torch.device | str = "cpu",
) -> S:
    """Improve a state until it is finished, keeping it on disk on the way and when interrupted.

    Where several processes learn together, the first alone reads and writes the checkpoint and shows progress,
    and all begin with its state.

    Parameters
    ----------
    initial, improve, finished : callable
    of : callable
        Makes a state of its tensors.
    run : str
        What the state belongs to; a checkpoint of another run is refused.
    checkpoint : Path, optional
    every : float
        Seconds between checkpoints.
    title, total, progress
        Of the progress bar.
    device : torch.device or str
        Where the state belongs: a file has no device.
    """
    writes = is_writer()
    resumes = writes and checkpoint is not None and checkpoint.exists()

    def begin() -> State:
        return _resume(checkpoint, run) if resumes and checkpoint is not None else initial().tensors()

    # files keep no order, and sums depend on it: one order for every process and for runs that go on
    state = of({name: value.to(device) for name, value in sorted(agreed(begin).items())})
    kept = state if resumes else None
    saved = time.monotonic()

    def keep() -> None:
        nonlocal kept, saved
        if checkpoint is not None and writes and kept is not state:
            tensors = state.tensors()
            write_tensors(checkpoint, tensors, {"run": run, "sum": tensors_checksum(tensors)})
        kept, saved = state, time.monotonic()

    try:
        with bar(title, total, progress and writes) as advance:
            while not finished(state):
                state = improve(state)
                advance(int(state.iteration))
                if time.monotonic() - saved > every:
                    keep()
    finally:
        keep()
    return state


def _resume(path: Path, run: str) -> State:
    state, metadata = read_tensors(path)
    if metadata.get("run") != run:
        raise InputError(
            f"{path}: this checkpoint is of another run (other data, model, method or seed); "
            "delete it or name another file."
        )
    if metadata.get("sum", "") not in ("", tensors_checksum(state)):
        raise InputError(
            f"{path}: this checkpoint is broken: it holds other numbers than were written; delete it."
        )
    return state


def _fingerprint(method: Method[S], problem: Problem, design: Design, seed: int) -> str:
    digest = hashlib.sha256()
    model = problem.model
    declared = [repr(part) for part in (model.parameters, model.noise, model.output)]
    laws = described((model.constraints, model.collocation))
    run = [repr(method), model.name, declared, laws, problem.batch.names, seed]
    digest.update(json.dumps(run).encode())
    for values in (*problem.batch.inputs.values(), problem.batch.output, problem.batch.mask, design.values):
        digest.update(values.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
