"""The Gaussian prior that gradient adaptation implies.

On a least-squares loss in units of the noise, k gradient steps with step matrix A from θ₀ are exactly
the maximum a posteriori estimate under N(θ₀, Q) (Santos, IEEE Trans Neural Netw 7 (1996) 1031; Grant et al. 2018, arXiv
1801.08930).
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["implied_precision"]


def implied_precision(hessian: Tensor, step_size: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Precision Q⁻¹ of the implied prior, and whether it exists.

    Q = L U diag(((1 − e)⁻ᵏ − 1)/e) Uᵀ Lᵀ with A = L Lᵀ and (e, U) the eigenpairs of Lᵀ H L. It exists where
    every e < 1. A direction with e ≥ 1 keeps nothing of the start: its precision is zero.

    Parameters
    ----------
    hessian : Tensor, (task, parameter, parameter)
        Of the support's negative log-likelihood, positive semi-definite.
    step_size : Tensor, () or (parameter,)
        Diagonal of A.
    steps : int

    Returns
    -------
    precision : Tensor, (task, parameter, parameter)
    exists : Tensor of bool, (task,)

    Examples
    --------
    With no measurement the implied spread is the way that k steps can go, Q = kA:

    >>> precision, exists = implied_precision(torch.zeros(1, 1, 1), torch.tensor(0.1), 5)
    >>> round(float(1 / precision), 6), bool(exists)
    (0.5, True)
    """
    root = step_size.expand(hessian.shape[-1]).sqrt()
    shrunk, vectors = torch.linalg.eigh(root[:, None] * hessian * root)
    shrunk = shrunk.clamp(min=0.0)
    exists = (shrunk < 1.0).all(-1)
    left = (1.0 - shrunk).clamp(min=0.0)
    # e/((1−e)⁻ᵏ−1) = 1/Σⱼ(1−e)⁻ʲ for j = 1…k: no cancellation at small e
    powers = torch.stack([left ** (steps - j) for j in range(1, steps + 1)]).sum(0)
    weight = left**steps / powers
    scaled = vectors / root[:, None]
    return (scaled * weight[:, None, :]) @ scaled.transpose(-1, -2), exists
