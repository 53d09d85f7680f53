"""A Bayesian linear head on meta-learned features: a new task is adapted to exactly, with intervals.

A network gives every case a mean m(x) and features φ(x). The targets of a task are y = m(x) + φ(x)·w + e with weights
w ~ N(0, s²I/F) of its own and noise e ~ N(0, σ²). Given the support the query is Gaussian in closed form, and what is
learned, network, s and σ, maximises its density: nothing descends. Sources: Harrison, Sharma and Pavone 2018 (ALPaCA,
arXiv 1807.08912); Bertinetto et al. 2019 (arXiv 1805.08136).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metasci.meta.adaptation.inner import Parameters
from metasci.meta.networks.episode import NetworkEpisode
from metasci.meta.networks.network import Network

__all__ = ["LinearHeadEpisode", "head_start", "linear_head_episode", "posterior"]

_HEAD = "head/"


def head_start(network: Network, spread: float = 0.5, noise: float = 0.2) -> Parameters:
    """What is learned: the network's weights, and logarithms of s and σ, in units of the targets.

    Examples
    --------
    >>> sorted(head_start(Network(torch.nn.Linear(1, 3))))
    ['bias', 'head/log_noise', 'head/log_spread', 'weight']
    """
    start = network.start()
    unit = next(iter(start.values())).new_ones(())
    return {**start, "head/log_noise": unit * math.log(noise), "head/log_spread": unit * math.log(spread)}


def posterior(
    features: Tensor, residual: Tensor, mask: Tensor, new: Tensor, spread: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean and variance, without noise, of φ·w at new cases given measured ones.

    Parameters
    ----------
    features : Tensor, (task, case, feature)
    residual : Tensor, (task, case)
        y − m at the measured cases.
    mask : Tensor of bool, (task, case)
    new : Tensor, (task, query, feature)
    spread, noise : Tensor
        Standard deviations s and σ.

    Examples
    --------
    >>> one, unit = torch.ones(1, 1, 1), torch.tensor(1.0)
    >>> mean, variance = posterior(one, 2 * one[..., 0], torch.ones(1, 1).bool(), one, unit, unit)
    >>> float(mean), float(variance)
    (1.0, 0.5)
    """
    scale = spread / features.shape[-1] ** 0.5
    seen = scale * torch.where(mask[..., None], features, 0.0)
    size = features.shape[-1]
    precision = torch.eye(size, dtype=seen.dtype, device=seen.device) + seen.mT @ seen / noise**2
    factor = torch.linalg.cholesky(precision)
    pulled = (seen.mT @ torch.where(mask, residual, 0.0)[..., None]) / noise**2
    weights = torch.cholesky_solve(pulled, factor)
    at_query = scale * new
    root = torch.linalg.solve_triangular(factor, at_query.mT, upper=False)
    return (at_query @ weights)[..., 0], root.square().sum(-2)


@dataclass(frozen=True)
class LinearHeadEpisode(NetworkEpisode):
    """Episodes whose query is predicted from the support in closed form; see `linear_head_episode`."""

    def start(self, learned: Parameters) -> tuple[Parameters, Parameters]:
        """The network's weights, and the head's scales, which tasks share."""
        weights, shared = super().start({n: v for n, v in learned.items() if not n.startswith(_HEAD)})
        return weights, shared | {n: v for n, v in learned.items() if n.startswith(_HEAD)}

    def support(self, parameters: Parameters) -> Tensor:
        """There is nothing to descend on: the head is the closed form."""
        return parameters["head/log_noise"].new_zeros(len(self))

    def predicted(self, parameters: Parameters) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each query measurement, (task, case)."""
        own = {name: value for name, value in parameters.items() if not name.startswith(_HEAD)}
        spread, noise = parameters["head/log_spread"].exp(), parameters["head/log_noise"].exp()
        seen = self.network(own, self.inputs, self._support_mask if self.network.looks_at_support else None)
        new = super().outputs(own)
        mask = self._support_mask
        mean, variance = posterior(
            seen[..., 1:], self.targets[..., 0] - seen[..., 0], mask, new[..., 1:], spread, noise
        )
        return new[..., 0] + mean, (variance + noise**2).sqrt()

    def outputs(self, parameters: Parameters) -> Tensor:
        """Predicted means of the query, (task, case, 1)."""
        return self.predicted(parameters)[0][..., None]

    def query(self, parameters: Parameters) -> Tensor:
        """Mean −ln p of the query's measurements, (task,)."""
        mean, sd = self.predicted(parameters)
        off = (self.query_targets[..., 0] - mean) / sd
        cost = 0.5 * off.square() + sd.log() + 0.5 * math.log(2.0 * math.pi)
        mask = torch.ones_like(cost, dtype=torch.bool) if self.query_mask is None else self.query_mask
        return torch.where(mask, cost, 0.0).sum(1) / mask.sum(1).clamp(min=1)


def linear_head_episode(
    network: Network,
    inputs: Any,
    targets: Tensor,
    query_inputs: Any,
    query_targets: Tensor,
    mask: Tensor | None = None,
    query_mask: Tensor | None = None,
) -> LinearHeadEpisode:
    """Regression tasks for a linear head.

    Train with ``named.pooled_training()`` (no inner steps) from `head_start`.

    Parameters
    ----------
    network : Network
        To (task, case, 1 + feature): the mean, then the features.
    inputs, query_inputs : Tensor or nested tensors, (task, case, ...)
    targets, query_targets : Tensor, (task, case, 1)
    mask, query_mask : Tensor of bool, (task, case), optional

    Examples
    --------
    >>> line = torch.tensor([[[0.0], [1.0], [2.0]]])
    >>> network = Network(torch.nn.Linear(1, 3))
    >>> made = linear_head_episode(network, line, 2 * line, line, 2 * line)
    >>> weights, scales = made.start(head_start(network))
    >>> made.outputs({**weights, **scales}).shape
    torch.Size([1, 3, 1])
    """
    return LinearHeadEpisode(network, inputs, targets, query_inputs, query_targets, mask, query_mask)
