"""Sinusoids (simulated): the common yardstick of few-shot regression.

Tasks are y = A sin(ωx + b) on x ∈ [−5, 5] with A ∈ [0.1, 5], ω ∈ [0.8, 1.2], b ∈ [0, π], all uniform (Li et
al. 2017, arXiv 1707.09835, section 4.1). The network is 1-40-40-1 with ReLU.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from metasci.meta.networks.episode import NetworkEpisode
from metasci.meta.networks.network import Network

__all__ = ["episode", "mean_error", "network"]


def network(seed: int, hidden: int = 40, device: torch.device | str = "cpu") -> Network:
    """The network on a device, with random weights from a seed: normal with variance 2/inputs, biases zero."""
    generator = torch.Generator().manual_seed(seed)
    module = nn.Sequential(
        nn.Linear(1, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)
    )
    with torch.no_grad():
        for layer in module:
            if isinstance(layer, nn.Linear):
                sd = math.sqrt(2.0 / layer.in_features)
                layer.weight.copy_(sd * torch.randn(layer.weight.shape, generator=generator))
                layer.bias.zero_()
    return Network(module.to(device))


def episode(model: Network, tasks: int, shots: int, queries: int, seed: int) -> NetworkEpisode:
    """Simulated tasks with so many support and query points each; the same seed gives the same ones.

    Examples
    --------
    >>> made = episode(network(0), tasks=3, shots=5, queries=10, seed=0)
    >>> made.inputs.shape, made.query_targets.shape
    (torch.Size([3, 5, 1]), torch.Size([3, 10, 1]))
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator)

    size, frequency, phase = (
        uniform(low, high, tasks, 1, 1) for low, high in ((0.1, 5.0), (0.8, 1.2), (0.0, math.pi))
    )
    device = next(model.module.parameters()).device
    x = uniform(-5.0, 5.0, tasks, shots + queries, 1)
    y = size * torch.sin(frequency * x + phase)
    x, y = x.to(device), y.to(device)
    return NetworkEpisode(model, x[:, :shots], y[:, :shots], x[:, shots:], y[:, shots:])


def mean_error(losses: Tensor) -> tuple[float, float]:
    """Mean over tasks of the mean squared error, and half the width of its 95 % interval."""
    return float(losses.mean()), float(1.96 * losses.std() / math.sqrt(len(losses)))
