"""Ill-conditioned quadratics with noisy gradients (simulated): where plain descent has to be slow.

A task is ½Σᵢ hᵢ(xᵢ − aᵢ)² with curvatures hᵢ log-uniform over a hundredfold, other ones in every task. At every
step the inner rule sees it with the optimum displaced anew by noise, as a new minibatch would; the query is
undisplaced.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from metasci.meta.adaptation.inner import Parameters

__all__ = ["NoisyQuadratics", "noisy_quadratics"]


@dataclass(frozen=True)
class NoisyQuadratics:
    """Simulated tasks; an `Episode` over one vector ``x``.

    Parameters
    ----------
    curvature, optimum : Tensor, (task, coordinate)
    noise : float
        Standard deviation of the displacement of the optimum.
    seed : int
        Of that noise, which is the same whenever adaptation begins anew.
    """

    curvature: Tensor
    optimum: Tensor
    noise: float
    seed: int
    generator: torch.Generator = field(default_factory=torch.Generator, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.curvature)

    def start(self, learned: Parameters) -> tuple[Parameters, Parameters]:
        """Every task starts from the same point."""
        self.generator.manual_seed(self.seed)
        return {"x": learned["x"].expand(self.curvature.shape)}, {}

    def support(self, parameters: Parameters) -> Tensor:
        """Half the weighted squared distance to an optimum displaced by noise, (task,)."""
        noise = torch.randn(self.optimum.shape, generator=self.generator, dtype=self.optimum.dtype)
        displaced = self.optimum + self.noise * noise.to(self.optimum.device)
        return (0.5 * self.curvature * (parameters["x"] - displaced) ** 2).sum(1)

    def query(self, parameters: Parameters) -> Tensor:
        """Half the weighted squared distance, (task,)."""
        return (0.5 * self.curvature * (parameters["x"] - self.optimum) ** 2).sum(1)

    def select(self, index: Tensor) -> NoisyQuadratics:
        """Some of the tasks; their noise is drawn anew."""
        return replace(
            self, curvature=self.curvature[index], optimum=self.optimum[index], generator=torch.Generator()
        )


def noisy_quadratics(tasks: int, size: int, seed: int, noise: float = 0.3) -> NoisyQuadratics:
    """Simulated tasks from a seed.

    Examples
    --------
    >>> noisy_quadratics(3, 10, seed=0).curvature.shape
    torch.Size([3, 10])
    """
    generator = torch.Generator().manual_seed(seed)
    exponent = torch.rand(tasks, size, generator=generator, dtype=torch.float64)
    optimum = torch.randn(tasks, size, generator=generator, dtype=torch.float64)
    return NoisyQuadratics(torch.exp(-math.log(100.0) * exponent), optimum, noise, seed)
