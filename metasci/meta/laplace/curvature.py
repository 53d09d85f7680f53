"""The full curvature of the negative log posterior, where Gauss and Newton's part of it creeps."""

from __future__ import annotations

import torch
from torch import Tensor

from metasci.meta.problem import Problem

__all__ = ["full_curvature"]

_FEW = 50  # rows at most: one pass in all directions works on a copy of them for each direction


def full_curvature(
    problem: Problem, at: Tensor, mean: Tensor, precision: Tensor, log_noise: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradient and full Hessian of the negative log posterior, (task, parameter) and (task, parameter, parameter)."""
    with torch.enable_grad():
        free = at.detach().requires_grad_()
        off = free - mean.detach()
        cost = problem.negative_log_likelihood(free, log_noise.detach(), weight) + problem.penalty_cost(free)
        cost = cost + 0.5 * torch.einsum("ti,tij,tj->t", off, precision.detach(), off)
        (slope,) = torch.autograd.grad(cost.sum(), free, create_graph=True)
        count, size = at.shape
        if count <= _FEW and not problem.model.joint:  # one pass for all rows costs less than a pass for each
            along = torch.eye(size, dtype=at.dtype, device=at.device)[:, None, :].expand(-1, count, -1)
            (hessian,) = torch.autograd.grad(slope, free, along, is_grads_batched=True)
            return slope.detach(), hessian.movedim(0, 1)
        rows = [torch.autograd.grad(slope[:, i].sum(), free, retain_graph=True)[0] for i in range(size)]
    return slope.detach(), torch.stack(rows, 1)
