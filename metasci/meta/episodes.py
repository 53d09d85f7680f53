"""Episodes of meta-training: which measurements of each task calibrate it, the others judging."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["sample_support"]


def sample_support(mask: Tensor, shots: tuple[int, int], how: str, seed: int) -> Tensor:
    """Draw a support for every task.

    Parameters
    ----------
    mask : Tensor of bool, (task, observation)
        What is measured.
    shots : tuple of int
        Least and greatest number; every task keeps at least one measurement for the query.
    how : "random" or "first"
    seed : int
        The same seed gives the same support.

    Returns
    -------
    Tensor of bool, (task, observation)

    Examples
    --------
    >>> sample_support(torch.ones(1, 4, dtype=torch.bool), (2, 2), "first", 0).tolist()
    [[True, True, False, False]]
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(mask.shape, generator=generator, dtype=torch.float64)
    if how == "first":
        order = torch.arange(mask.shape[1], dtype=torch.float64).expand(mask.shape)
    measured = mask.cpu()
    rank = torch.where(measured, order, torch.full_like(order, torch.inf)).argsort(1).argsort(1)
    number = torch.randint(shots[0], shots[1] + 1, (len(mask), 1), generator=generator)
    number = torch.minimum(number, (measured.sum(1, keepdim=True) - 1).clamp(min=0))
    return ((rank < number) & measured).to(mask.device)
