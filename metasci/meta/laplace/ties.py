"""Parameters that are one quantity on several occasions: one spread for all of them, mean zero, no correlations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from metasci.parameters import ParameterSpace

__all__ = ["free_means", "is_tied", "tied_covariance"]


def is_tied(space: ParameterSpace) -> bool:
    """Whether any parameter is tied to others."""
    return any(parameter.tied for parameter in space)


def free_means(space: ParameterSpace, like: Tensor) -> Tensor:
    """One for parameters whose mean is learned, zero for those that are tied, (parameter,)."""
    return like.new_tensor([0.0 if parameter.tied else 1.0 for parameter in space])


def tied_covariance(covariance: Tensor, space: ParameterSpace) -> Tensor:
    """The most likely covariance of that structure: tied ones share the mean of their variances.

    Examples
    --------
    >>> from metasci.parameters import Parameter, ParameterSpace
    >>> space = ParameterSpace((Parameter("a"), Parameter("b", tied="k"), Parameter("c", tied="k")))
    >>> tied_covariance(torch.full((3, 3), 0.5) + torch.diag(torch.tensor([1.0, 2.0, 4.0])), space).diagonal().tolist()
    [1.5, 3.5, 3.5]
    """
    labels = [parameter.tied for parameter in space]
    device = covariance.device
    alone = torch.tensor([bool(label) for label in labels], device=device)
    off_diagonal = ~torch.eye(len(labels), dtype=torch.bool, device=device)
    kept = covariance.masked_fill((alone[:, None] | alone[None, :]) & off_diagonal, 0.0)
    diagonal = kept.diagonal().clone()
    for label in sorted({label for label in labels if label}):
        members = torch.tensor([own == label for own in labels], device=device)
        diagonal = torch.where(members, diagonal[members].mean(), diagonal)
    return kept - torch.diag(kept.diagonal()) + torch.diag(diagonal)
