"""Prototypical networks: classify a case by the nearest mean of its class's support in a learned embedding.

The metric-based counterpart of gradient adaptation (Snell, Swersky and Zemel 2017, arXiv 1703.05175): what is
learned is the embedding; a new task is adapted to in closed form. With squared distances it is the Bayes rule
for Gaussian classes of one isotropic covariance in the embedding (ibid. section 2.3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.networks.episode import NetworkEpisode, cross_entropy
from metasci.meta.networks.network import Network

__all__ = ["class_scores", "prototypes", "prototypical_episode"]


def prototypes(embedded: Tensor, labels: Tensor, classes: int, mask: Tensor | None = None) -> Tensor:
    """Mean embedding of each class's support, (task, class, feature).

    Parameters
    ----------
    embedded : Tensor, (task, case, feature)
    labels : Tensor of int, (task, case)
        Class numbers from 0 on, negative where there is none; meaning may differ from task to task.
    classes : int
    mask : Tensor of bool, (task, case), optional

    Raises
    ------
    InputError
        If a task has no support of a class, or a label is of none.

    Examples
    --------
    >>> prototypes(torch.tensor([[[0.0], [2.0], [5.0]]]), torch.tensor([[0, 0, 1]]), 2).ravel().tolist()
    [1.0, 5.0]
    """
    if labels.is_floating_point() or (labels.numel() and int(labels.max()) >= classes):
        raise InputError(
            f"labels are whole numbers of classes from 0 to {classes - 1}; these are of {labels.dtype}, the greatest "
            f"of them {labels.max():g}."
        )
    member = torch.nn.functional.one_hot(labels.clamp(min=0), classes).to(embedded.dtype)
    member = member * (labels >= 0)[..., None]
    if mask is not None:
        member = member * mask[..., None]
    count = member.sum(1)
    if bool((count == 0).any()):
        task, missing = (count == 0).nonzero()[0].tolist()
        raise InputError(
            f"task {task} has no support of class {missing}; give at least one case of every class."
        )
    return torch.einsum("tnc,tnf->tcf", member, embedded) / count[..., None]


def class_scores(embedded: Tensor, centres: Tensor) -> Tensor:
    """Log odds of each class up to a constant, (task, case, class): minus squared distances to the prototypes."""
    return -(embedded[:, :, None, :] - centres[:, None, :, :]).square().sum(-1)


@dataclass(frozen=True)
class _Prototypical(NetworkEpisode):
    """Episodes whose query is scored by distance to the support's prototypes; see `prototypical_episode`."""

    classes: int = 2

    def outputs(self, parameters: Parameters) -> Tensor:
        """Class scores of the query, (task, case, class)."""
        embedded = self.network(
            parameters, self.inputs, self._support_mask if self.network.looks_at_support else None
        )
        centres = prototypes(embedded, self.targets, self.classes, self.mask)
        return class_scores(super().outputs(parameters), centres)

    def support(self, parameters: Parameters) -> Tensor:
        """There is nothing to descend on: prototypes are the closed form."""
        return next(iter(parameters.values())).new_zeros(len(self))


def prototypical_episode(
    network: Network,
    inputs: Any,
    labels: Tensor,
    query_inputs: Any,
    query_labels: Tensor,
    classes: int,
    mask: Tensor | None = None,
    query_mask: Tensor | None = None,
    loss: Callable[[Tensor, Tensor, Tensor | None], Tensor] = cross_entropy,
) -> NetworkEpisode:
    """Classification tasks for a prototypical network.

    Train with ``pooled_training()`` (no inner steps); `outputs` are the query's class scores.

    Parameters
    ----------
    network : Network
        The embedding, to (task, case, feature).
    inputs, query_inputs : Tensor or nested tensors, (task, case, ...)
    labels, query_labels : Tensor of int, (task, case)
    classes : int
    mask, query_mask : Tensor of bool, (task, case), optional
    loss : callable

    Examples
    --------
    >>> line = torch.tensor([[[0.0], [1.0]]])
    >>> made = prototypical_episode(Network(torch.nn.Identity()), line, torch.tensor([[0, 1]]),
    ...                             torch.tensor([[[0.9]]]), torch.tensor([[1]]), classes=2)
    >>> int(made.outputs({}).argmax())
    1
    """
    return _Prototypical(network, inputs, labels, query_inputs, query_labels, mask, query_mask, loss, classes)
