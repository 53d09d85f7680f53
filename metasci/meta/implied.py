"""The Gaussian prior that gradient adaptation implies.

On a least-squares loss in units of the noise, k gradient steps with step matrix A from θ₀ are exactly
the maximum a posteriori estimate under N(θ₀, Q) (Santos, IEEE Trans Neural Netw 7 (1996) 1031; Grant et al. 2018, arXiv
1801.08930).
"""

from __future__ import annotations

import torch
from torch import Tensor

from metasci.meta.adaptation.inner import Parameters
from metasci.meta.compositions.adapting import adapted_from
from metasci.meta.compositions.composition import Composition
from metasci.meta.compositions.episode import Episode

__all__ = ["adaptation_jacobian", "implied_precision", "precision_of_jacobian", "step_eigenvalues"]


def implied_precision(hessian: Tensor, step_size: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Precision Q⁻¹ of the implied prior, and whether it exists.

    Q = L U diag(((1 − e)⁻ᵏ − 1)/e) Uᵀ Lᵀ with A = L Lᵀ and (e, U) the eigenpairs of Lᵀ H L. It exists where
    every e < 1. A direction with e ≥ 1 keeps nothing of the start: its precision is zero.

    Parameters
    ----------
    hessian : Tensor, (task, parameter, parameter)
        Of the support's negative log-likelihood, positive semi-definite.
    step_size : Tensor, (), (parameter,) or (parameter, parameter)
        Diagonal of A, or its factor L.
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
    shrunk, vectors, factor = step_eigenvalues(hessian, step_size)
    exists = (shrunk < 1.0).all(-1)
    left = (1.0 - shrunk).clamp(min=0.0)
    # e/((1−e)⁻ᵏ−1) = 1/Σⱼ(1−e)⁻ʲ for j = 1…k: no cancellation at small e
    powers = torch.stack([left ** (steps - j) for j in range(1, steps + 1)]).sum(0)
    weight = left**steps / powers
    scaled = torch.linalg.solve(factor.T.expand_as(vectors), vectors)
    return (scaled * weight[:, None, :]) @ scaled.transpose(-1, -2), exists


def step_eigenvalues(hessian: Tensor, step_size: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Eigenvalues e (task, parameter) and eigenvectors of Lᵀ H L, and L itself.

    e is the share of the way to a task's own best fit that one step goes, in each direction.

    Parameters
    ----------
    hessian : Tensor, (task, parameter, parameter)
    step_size : Tensor, (), (parameter,) or (parameter, parameter)
        Diagonal of A, or its factor L.
    """
    size = hessian.shape[-1]
    factor = step_size if step_size.dim() == 2 else torch.diag(step_size.expand(size).sqrt())
    shares, vectors = torch.linalg.eigh(factor.T @ hessian @ factor)
    return shares.clamp(min=0.0), vectors, factor


def adaptation_jacobian(composition: Composition, episode: Episode, learned: Parameters, name: str) -> Tensor:
    """How the adapted parameters of a task move with their start, ∂φ/∂θ, (task, parameter, parameter).

    Parameters
    ----------
    composition : Composition
    episode : Episode
    learned : dict of Tensor
    name : str
        Of the adapted tensor, (task, parameter).
    """
    fixed = {key: value.detach() for key, value in learned.items()}
    start, after = adapted_from(composition, episode, fixed)
    at, end = start[name], after[name]
    rows = [torch.autograd.grad(end[:, i].sum(), at, retain_graph=True)[0] for i in range(end.shape[1])]
    return torch.stack(rows, 1)


def precision_of_jacobian(hessian: Tensor, jacobian: Tensor) -> tuple[Tensor, Tensor]:
    """Precision of the Gaussian prior that moves estimates as a rule does, and whether it exists.

    Under N(θ₀, Q) the estimate moves with the prior's mean by M = (H + Q⁻¹)⁻¹Q⁻¹. So any rule with M = ∂φ/∂θ acts as
    under Q⁻¹ = H M (I − M)⁻¹, of which the symmetric part is taken. It exists where that is positive definite
    and finite. For k steps of descent on a quadratic this is `implied_precision`.

    Parameters
    ----------
    hessian, jacobian : Tensor, (task, parameter, parameter)

    Examples
    --------
    >>> precision, exists = precision_of_jacobian(torch.full((1, 1, 1), 2.0), torch.full((1, 1, 1), 0.5))
    >>> float(precision), bool(exists)
    (2.0, True)
    """
    left = torch.eye(hessian.shape[-1], dtype=hessian.dtype, device=hessian.device) - jacobian
    raw = torch.linalg.solve_ex(left.transpose(1, 2), (hessian @ jacobian).transpose(1, 2)).result.transpose(
        1, 2
    )
    precision = 0.5 * (raw + raw.transpose(1, 2))
    finite = torch.isfinite(precision).all(-1).all(-1)
    precision = torch.where(finite[:, None, None], precision, torch.zeros_like(precision))
    return precision, finite & (torch.linalg.eigvalsh(precision)[:, 0] > 0)
