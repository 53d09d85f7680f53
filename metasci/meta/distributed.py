"""Data-parallel meta-training: tasks are shared out among processes, their meta-gradients added up.

Every process draws the same episodes and takes its share of the tasks; so the result is that of one process,
but for the order of a sum. Start with ``torchrun --nproc-per-node 2 script.py`` and enter `joined` in the script.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from metasci.meta.inner import Parameters

__all__ = ["everyone", "is_writer", "joined", "reduced", "shard"]


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


def reduced(loss: Tensor, gradient: Parameters, used: Tensor) -> tuple[Tensor, Parameters]:
    """Mean loss and mean gradient over the tasks of all processes.

    Parameters
    ----------
    loss : Tensor, (task,)
    gradient : dict of Tensor
        Mean over this process's tasks in use.
    used : Tensor of bool, (task,)
    """
    total = torch.where(used, loss, 0.0).sum()
    if not _several():
        return total / used.sum().clamp(min=1), gradient
    count = used.sum()
    flat = [count.to(loss.dtype)[None], total[None]]
    flat += [(count * slope).ravel().to(loss.dtype) for slope in gradient.values()]
    message = torch.cat(flat)
    dist.all_reduce(message)
    everyone = message[0].clamp(min=1.0)
    slopes, at = {}, 2
    for name, slope in gradient.items():
        slopes[name] = (message[at : at + slope.numel()] / everyone).reshape(slope.shape).to(slope.dtype)
        at += slope.numel()
    return message[1] / everyone, slopes


def everyone(used: Tensor, count: int) -> Tensor:
    """What the processes say of their own tasks, put together for all of them, (task,)."""
    if not _several():
        return used
    total = torch.zeros(count, dtype=torch.int64, device=used.device)
    total[shard(count)] = used.to(torch.int64)
    dist.all_reduce(total)
    return total.bool()
