"""Data-parallel meta-training: tasks are shared out among processes, their meta-gradients added up.

Every process draws the same episodes and takes its share of the tasks; so the result is that of one process,
but for the order of a sum. The first process (rank 0) alone reads and writes checkpoints, and all begin with its
state. Start with ``torchrun --nproc-per-node 2 script.py`` and enter `joined` in the script. A process that dies
ends the others: their next sum fails, and the checkpoint is what it was.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from safetensors.torch import load, save
from torch import Tensor

from metasci.errors import InputError
from metasci.files import State
from metasci.meta.adaptation.inner import Parameters

__all__ = ["agreed", "is_writer", "joined", "reduced", "shard"]


@contextmanager
def joined(backend: str = "gloo", timeout: float = 120.0) -> Iterator[int]:
    """Be one of the processes that ``torchrun`` started; without it, the only one.

    Parameters
    ----------
    backend : str
        ``"gloo"`` for processors, ``"nccl"`` for GPUs.
    timeout : float
        Seconds after which a process that hears nothing from another gives up.

    Yields
    ------
    int
        This process's rank.
    """
    if "RANK" not in os.environ:
        yield 0
        return
    if backend == "nccl":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group(backend, timeout=timedelta(seconds=timeout))
    try:
        yield dist.get_rank()
    finally:
        dist.destroy_process_group()


def _several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def is_writer() -> bool:
    """Whether this process is the one that writes to disk."""
    return not _several() or dist.get_rank() == 0


def shard(count: int) -> Tensor | None:
    """Positions of this process's share of so many tasks; None where there is one process."""
    if not _several():
        return None
    return torch.arange(dist.get_rank(), count, dist.get_world_size())


def reduced(
    loss: Tensor, gradient: Parameters, used: Tensor, tasks: int
) -> tuple[Tensor, Parameters, Tensor]:
    """What the processes found of their own tasks, put together: one sum, that every process must enter.

    Parameters
    ----------
    loss : Tensor, (task,)
        Of this process's tasks.
    gradient : dict of Tensor
        Mean over this process's tasks in use.
    used : Tensor of bool, (task,)
        Which of this process's tasks are in the gradient.
    tasks : int
        Number of tasks of all processes.

    Returns
    -------
    loss : Tensor, ()
        Mean over the tasks in use of all processes.
    gradient : dict of Tensor
        Mean over the same.
    used : Tensor of bool, (task,)
        Of all tasks.
    """
    count, total = used.sum(), torch.where(used, loss, 0.0).sum()
    if not _several():
        return total / count.clamp(min=1), gradient, used
    everywhere = used.new_zeros(tasks)
    everywhere[shard(tasks)] = used
    parts = [count, total, everywhere, *(count * slope for slope in gradient.values())]
    message = torch.cat([part.detach().ravel().to(torch.float64) for part in parts])
    dist.all_reduce(message)
    count, mean = message[0].clamp(min=1.0), message[1] / message[0].clamp(min=1.0)
    slopes, at = {}, 2 + tasks
    for name, slope in gradient.items():
        slopes[name] = (message[at : at + slope.numel()] / count).reshape(slope.shape).to(slope.dtype)
        at += slope.numel()
    return mean.to(loss.dtype), slopes, message[2 : 2 + tasks] > 0.5


def agreed(state: Callable[[], State]) -> State:
    """The state of the first process, for every process; the others do not make theirs.

    Parameters
    ----------
    state : callable
        Makes the state, or raises.

    Raises
    ------
    InputError
        In the other processes, if the first could not make it.
    """
    if not _several():
        return state()
    device = torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
    size, content = torch.tensor([-1], device=device), b""
    try:
        if is_writer():
            content = save({name: value.detach().cpu().clone() for name, value in state().items()})
            size.fill_(len(content))
    finally:  # also where it raised: the others must not wait
        dist.broadcast(size, 0)
    if int(size) < 0:
        raise InputError("the first process could not begin; it says why.")
    buffer = torch.zeros(int(size), dtype=torch.uint8, device=device)
    if is_writer():
        buffer.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
    dist.broadcast(buffer, 0)
    return {name: value.to(device) for name, value in load(buffer.cpu().numpy().tobytes()).items()}
