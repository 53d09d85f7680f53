"""Inner rules: pure (init, update) pairs that turn a gradient into a step.

Each differentiates through its memory, and stays finite where a gradient is exactly zero: a square root
is taken only of what is above zero. The outer loop of meta-training uses the same rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metasci.meta.adaptation.inner import Memory, Parameters

__all__ = ["Adam", "GradientDescent", "Momentum", "Preconditioned", "RMSProp", "StepSizes"]

StepSizes = Mapping[str, Tensor | Sequence[Tensor]]
"""Step sizes by parameter name, each broadcasting against the parameter without its task dimension; a
sequence holds one for each step."""


def _size(sizes: StepSizes, name: str, step: int) -> Tensor:
    size = sizes[name]
    return size if isinstance(size, Tensor) else size[step]


@dataclass(frozen=True)
class GradientDescent:
    """Plain gradient descent, Δ = −α∇.

    Parameters
    ----------
    step_size : dict of Tensor
        By parameter name, of a shape that broadcasts against the parameter without its task dimension; a
        sequence of tensors holds one for each step.
    """

    step_size: StepSizes

    def init(self, parameters: Parameters) -> Memory:
        """No memory."""
        return {}

    def update(self, gradient: Parameters, memory: Memory, step: int) -> tuple[Parameters, Memory]:
        """Step against the gradient."""
        return {n: -_size(self.step_size, n, step) * slope for n, slope in gradient.items()}, memory


@dataclass(frozen=True)
class Momentum:
    """Descent with momentum, v ← μv + ∇, Δ = −αv; Nesterov's looks ahead, Δ = −α(∇ + μv).

    Parameters
    ----------
    step_size : dict of Tensor
        As for `GradientDescent`.
    decay : float or Tensor
        μ.
    nesterov : bool

    Notes
    -----
    Sources: Polyak, USSR Comput Math Math Phys 4 (1964) 1; Sutskever et al., ICML 2013, for Nesterov's in this form.

    Examples
    --------
    >>> rule = Momentum({"x": torch.tensor(0.1)}, decay=0.5)
    >>> slope = {"x": torch.tensor([1.0])}
    >>> _, memory = rule.update(slope, rule.init(slope), 0)
    >>> rule.update(slope, memory, 1)[0]["x"].item()
    -0.15
    """

    step_size: StepSizes
    decay: float | Tensor = 0.9
    nesterov: bool = False

    def init(self, parameters: Parameters) -> Memory:
        """Standing still."""
        return {name: torch.zeros_like(value) for name, value in parameters.items()}

    def update(self, gradient: Parameters, memory: Memory, step: int) -> tuple[Parameters, Memory]:
        """Step along the velocity."""
        velocity = {n: self.decay * memory[n] + slope for n, slope in gradient.items()}
        along = velocity
        if self.nesterov:
            along = {n: slope + self.decay * velocity[n] for n, slope in gradient.items()}
        return {n: -_size(self.step_size, n, step) * along[n] for n in gradient}, velocity


@dataclass(frozen=True)
class RMSProp:
    """Descent scaled by a running root mean square, s ← ρs + (1 − ρ)∇², Δ = −α∇/(√s + ε) (Tieleman and Hinton 2012).

    Parameters
    ----------
    step_size : dict of Tensor
        As for `GradientDescent`.
    decay : float
        ρ.
    epsilon : float
    """

    step_size: StepSizes
    decay: float = 0.99
    epsilon: float = 1e-8

    def init(self, parameters: Parameters) -> Memory:
        """Nothing seen."""
        return {name: torch.zeros_like(value) for name, value in parameters.items()}

    def update(self, gradient: Parameters, memory: Memory, step: int) -> tuple[Parameters, Memory]:
        """Step along the scaled gradient."""
        square = {n: self.decay * memory[n] + (1.0 - self.decay) * slope**2 for n, slope in gradient.items()}
        change = {
            n: -_size(self.step_size, n, step) * slope / (_root(square[n]) + self.epsilon)
            for n, slope in gradient.items()
        }
        return change, square


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba 2015, arXiv 1412.6980, algorithm 1).

    Parameters
    ----------
    step_size : dict of Tensor
        As for `GradientDescent`.
    decay : tuple of float
        β₁ and β₂.
    epsilon : float
        Added to the root. Where a gradient has been exactly zero so far, the derivative of the step with
        respect to it is finite, though of the order of α/ε.

    Examples
    --------
    The first step has the length of the step size, and none where there is no slope:

    >>> rule = Adam({"x": torch.tensor(0.1)})
    >>> slope = {"x": torch.tensor([20.0, 0.0])}
    >>> [round(v, 6) for v in rule.update(slope, rule.init(slope), 0)[0]["x"].tolist()]
    [-0.1, -0.0]
    """

    step_size: StepSizes
    decay: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8

    def init(self, parameters: Parameters) -> Memory:
        """Nothing seen."""
        both = ("first", "second")
        return {f"{m}/{name}": torch.zeros_like(value) for m in both for name, value in parameters.items()}

    def update(self, gradient: Parameters, memory: Memory, step: int) -> tuple[Parameters, Memory]:
        """Step along the mean over the root mean square, both freed of their bias towards zero."""
        mean_decay, square_decay = self.decay
        change: Parameters = {}
        new: Memory = {}
        for name, slope in gradient.items():
            first = mean_decay * memory[f"first/{name}"] + (1.0 - mean_decay) * slope
            second = square_decay * memory[f"second/{name}"] + (1.0 - square_decay) * slope**2
            root = _root(second / (1.0 - square_decay ** (step + 1)))
            change[name] = -_size(self.step_size, name, step) * first / (1.0 - mean_decay ** (step + 1))
            change[name] = change[name] / (root + self.epsilon)
            new |= {f"first/{name}": first, f"second/{name}": second}
        return change, new


@dataclass(frozen=True)
class Preconditioned:
    """Descent through a matrix for every dimension of a parameter, Δ = −α (M₁ ⊗ M₂ ⊗ …)∇ with M = FFᵀ.

    A vector has one full matrix, a weight matrix one for its rows and one for its columns. The
    idea is Meta-Curvature's (Park and Oliva 2019, arXiv 1902.03356); here each matrix is positive
    semi-definite, so that a step descends and an implied prior exists.

    Parameters
    ----------
    step_size : dict of Tensor
        As for `GradientDescent`.
    factors : dict of tuple of Tensor
        F for each dimension of each parameter, without its task dimension.
    """

    step_size: StepSizes
    factors: Mapping[str, tuple[Tensor, ...]]

    def init(self, parameters: Parameters) -> Memory:
        """No memory."""
        return {}

    def update(self, gradient: Parameters, memory: Memory, step: int) -> tuple[Parameters, Memory]:
        """Step against the preconditioned gradient."""
        change = {}
        for name, slope in gradient.items():
            turned = slope
            for dimension, factor in enumerate(self.factors[name], start=1):
                matrix = factor @ factor.T
                turned = torch.tensordot(turned, matrix, ([dimension], [1])).movedim(-1, dimension)
            change[name] = -_size(self.step_size, name, step) * turned
        return change, memory


def _root(square: Tensor) -> Tensor:
    """Square root whose derivative is zero, not infinite, where the argument is zero."""
    positive = square > 0
    return torch.where(positive, torch.where(positive, square, torch.ones_like(square)).sqrt(), 0.0)
