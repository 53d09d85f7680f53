"""A learned optimiser: one small recurrent network proposes every coordinate's step from the gradients it has seen.

Andrychowicz et al. 2016 (arXiv 1606.04474): two LSTM layers shared by all coordinates, each coordinate with a
memory of its own, so that the same optimiser serves problems of any size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from metasci.meta.adaptation.inner import Memory, Parameters

__all__ = ["RecurrentOptimiser", "RecurrentRule"]

_LAYERS = 2  # as in Andrychowicz et al. 2016
_CELL = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
_SMALLEST = 10.0  # p of the paper's appendix A: gradients below exp(−p) count as this small


@dataclass(frozen=True)
class RecurrentOptimiser:
    """Learned optimisers; learns the weights of its network.

    Parameters
    ----------
    hidden : int
        Units in each of the two layers.
    scale : float
        Of the proposed steps, before learning.
    """

    hidden: int = 20
    scale: float = 0.1

    def initial(self, start: Parameters, steps: int, seed: int = 0) -> Parameters:
        """Random weights from a seed, as `torch.nn.LSTMCell` draws them."""
        like = next(iter(start.values()))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            weights = dict(_new_network(self.hidden).named_parameters())
        return {name: value.detach().to(like) for name, value in weights.items()}

    def bind(self, start: Parameters, learned: Parameters, steps: int) -> RecurrentRule:
        """The rule of these weights."""
        return RecurrentRule(learned, self.hidden, self.scale)


@dataclass(frozen=True)
class RecurrentRule:
    """Steps that a recurrent network proposes, coordinate by coordinate.

    Parameters
    ----------
    weights : dict of Tensor
    hidden : int
    scale : float
    """

    weights: Parameters
    hidden: int
    scale: float

    def init(self, parameters: Parameters) -> Memory:
        """Empty memories, (coordinate, hidden)."""
        return {
            f"{part}{layer}/{name}": value.new_zeros(value.numel(), self.hidden)
            for layer in range(_LAYERS)
            for part in ("state", "cell")
            for name, value in parameters.items()
        }

    def update(self, gradient: Parameters, memory: Memory, step: int) -> tuple[Parameters, Memory]:
        """One proposal."""
        change, new = {}, dict(memory)
        for name, slope in gradient.items():
            flow = _features(slope.reshape(-1, 1))
            for layer in range(_LAYERS):
                keys = [f"{part}{layer}/{name}" for part in ("state", "cell")]
                cell = {
                    key.removeprefix(f"layer{layer}."): value
                    for key, value in self.weights.items()
                    if key.startswith(f"layer{layer}.")
                }
                flow, kept = torch.lstm_cell(
                    flow, [memory[key] for key in keys], *(cell[part] for part in _CELL)
                )
                new |= {keys[0]: flow, keys[1]: kept}
            out = flow @ self.weights["out.weight"].T + self.weights["out.bias"]
            change[name] = self.scale * out.reshape(slope.shape)
        return change, new


def _new_network(hidden: int) -> nn.ModuleDict:
    return nn.ModuleDict(
        {"layer0": nn.LSTMCell(2, hidden), "layer1": nn.LSTMCell(hidden, hidden), "out": nn.Linear(hidden, 1)}
    )


def _features(slope: Tensor) -> Tensor:
    """Size and sign of a gradient, each of order one (Andrychowicz et al. 2016, appendix A)."""
    size = slope.abs()
    large = size >= math.exp(-_SMALLEST)
    logarithm = torch.where(large, torch.where(large, size, torch.ones_like(size)).log() / _SMALLEST, -1.0)
    sign = torch.where(large, slope.sign(), math.exp(_SMALLEST) * slope)
    return torch.cat([logarithm, sign], 1)
