"""Even functions that are never below zero (simulated): tasks that share two laws.

Tasks are f(x) = (a + b·cos ωx)² with a ∈ [−1, 1], b ∈ [0.5, 1.5], ω ∈ [0.8, 1.2], all uniform, measured on |x| ≤ 3 with
noise of 0.1. The network has two hidden layers with tanh.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from metasci.meta.networks.episode import NetworkEpisode
from metasci.meta.networks.network import Network

__all__ = ["INSIDE", "NOISE", "OUTSIDE", "EvenAndNonNegative", "Tasks", "network", "simulated"]

INSIDE, OUTSIDE, NOISE = 3.0, 4.5, 0.1


@dataclass(frozen=True)
class Tasks:
    """Simulated tasks: their coefficients (task, 1), and noisy measurements (task, measurement)."""

    coefficients: Tensor
    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def truth(self, x: Tensor) -> Tensor:
        """The functions without noise, (task, point)."""
        a, b, frequency = self.coefficients
        return (a + b * torch.cos(frequency * x)).square()

    def episode(self, network: Network, shots: int, index: Tensor | None = None) -> NetworkEpisode:
        """The first measurements as support, the others as query."""
        x, y = (values if index is None else values[index] for values in (self.x, self.y))
        x, y = x[..., None], y[..., None]
        return NetworkEpisode(network, x[:, :shots], y[:, :shots], x[:, shots:], y[:, shots:])


def simulated(count: int, measured: int, sides: str, seed: int) -> Tasks:
    """Simulated tasks, measured with noise of 0.1 at random places with |x| ≤ 3, on both sides or on the right.

    Examples
    --------
    >>> tasks = simulated(2, 5, "right", seed=0)
    >>> tasks.x.shape, bool((tasks.x >= 0).all())
    (torch.Size([2, 5]), True)
    """
    generator = torch.Generator().manual_seed(seed)
    a, b, frequency = torch.rand(3, count, 1, generator=generator)
    coefficients = torch.stack([2.0 * a - 1.0, 0.5 + b, 0.8 + 0.4 * frequency])
    x = INSIDE * (2.0 * torch.rand(count, measured, generator=generator) - 1.0)
    x = x.abs() if sides == "right" else x
    tasks = Tasks(coefficients, x, x)
    return replace(tasks, y=tasks.truth(x) + NOISE * torch.randn(x.shape, generator=generator))


class EvenAndNonNegative(nn.Module):
    """A network of x² whose outputs are made positive: it obeys both laws whatever its weights."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        """Outputs at places, (point, 1)."""
        return nn.functional.softplus(self.body(x.square() / OUTSIDE))


def network(hidden: int, seed: int, constructed: bool = False) -> Network:
    """Two hidden layers with tanh, of random weights from a seed."""
    generator = torch.Generator().manual_seed(seed)
    module = nn.Sequential(
        nn.Linear(1, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, 1)
    )
    with torch.no_grad():
        for layer in module:
            if isinstance(layer, nn.Linear):
                layer.weight.copy_(
                    torch.randn(layer.weight.shape, generator=generator) / math.sqrt(layer.in_features)
                )
                layer.bias.copy_(torch.randn(layer.bias.shape, generator=generator))
    return Network(EvenAndNonNegative(module) if constructed else module)
