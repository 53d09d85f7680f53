"""Draws from a posterior that is a mixture over noise levels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metasci.meta.adapted import NoiseMixture
from metasci.meta.mixtures import chosen_levels

if TYPE_CHECKING:
    pass

__all__ = ["mixture_draws", "root_of"]


def mixture_draws(
    centre: Tensor,
    mixture: NoiseMixture,
    draws: int,
    generator: torch.Generator,
    white: Callable[[], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw from tasks' mixtures of Gaussians over noise levels.

    Parameters
    ----------
    centre : Tensor, (task, parameter)
    mixture : NoiseMixture
    draws : int
    generator : torch.Generator
    white : callable, optional
        Draws what stands in for standard normal numbers (draw, task, parameter), such as numbers with longer tails.

    Returns
    -------
    coordinates : Tensor, (draw, task, parameter)
    level : Tensor of int, (draw, task)
        The noise level of each draw.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> spread = NoiseMixture.single(torch.tensor([[[4.0, 1.9], [1.9, 1.0]]]))
    >>> drawn, _ = mixture_draws(torch.tensor([[1.0, 2.0]]), spread, 20_000, generator)
    >>> drawn[:, 0].T.cov().round(decimals=1).tolist()
    [[4.0, 1.9], [1.9, 1.0]]
    """
    level = chosen_levels(mixture.weight, draws, generator)
    tasks, size = centre.shape
    if white is None:
        drawn = torch.randn(draws, tasks, size, generator=generator, dtype=centre.dtype)
    else:
        drawn = white()
    task = torch.arange(tasks).expand(draws, -1)
    root = root_of(mixture.covariance)[level, task]
    return centre + mixture.shift[level, task] + torch.einsum("dtij,dtj->dti", root, drawn), level


def root_of(covariance: Tensor) -> Tensor:
    """A matrix whose product with its transpose is the covariance: Cholesky's, or where that does not exist, since
    something is known exactly, one of eigenvectors.
    """
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if not bool(failed.any()):
        return factor
    values, vectors = torch.linalg.eigh(covariance)
    return torch.where(
        (failed > 0)[..., None, None], vectors * values.clamp(min=0.0).sqrt()[..., None, :], factor
    )
