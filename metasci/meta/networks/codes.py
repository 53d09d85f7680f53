"""A low-dimensional code for each task: a few numbers that the network takes beside its inputs, and that alone adapt.

The weights are learned and the same for all tasks; in the inner loop only the code moves, from zero (CAVIA, Zintgraf et
al. 2019, arXiv 1810.03642). So a task is told from others by a handful of numbers, which can be stored, plotted and
compared. Nothing of the engine is special to it: the code is one more parameter of the module, and in the composition
everything else stays (`metasci.meta.compositions.named.cavia`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from metasci.errors import InputError

__all__ = ["CODE", "Coded", "with_code"]

CODE = "code"
"""The parameter that adapts; the network's own begin with ``"network."``."""
_CONDITIONS = "conditions"


class Coded(nn.Module):
    """A network that takes a code of its task beside the inputs of every case.

    Parameters
    ----------
    network : torch.nn.Module
        Of one tensor (case, input), or of a dict of tensors that takes ``"conditions"``, (case, condition). Give it
        `size` more inputs, or conditions, than the data have: they come last.
    size : int

    Raises
    ------
    InputError
        If the code has no numbers.

    Examples
    --------
    >>> coded = Coded(torch.nn.Linear(1 + 2, 1), size=2)
    >>> sorted(dict(coded.named_parameters())), coded(torch.zeros(5, 1)).shape
    (['code', 'network.bias', 'network.weight'], torch.Size([5, 1]))
    """

    def __init__(self, network: nn.Module, size: int) -> None:
        super().__init__()
        if size < 1:
            raise InputError(f"size: a code of {size} numbers tells nothing; give at least one.")
        like = next(network.parameters())
        self.code = nn.Parameter(torch.zeros(size, dtype=like.dtype, device=like.device))
        self.network = network

    def forward(self, inputs: Any) -> Tensor:
        """The network's outputs for one task's cases, given the task's code."""
        output: Tensor = self.network(with_code(inputs, self.code))
        return output


def with_code(inputs: Any, code: Tensor) -> Any:
    """Inputs of one task's cases with the task's code after them, or after their conditions.

    Examples
    --------
    >>> with_code(torch.zeros(2, 1), torch.ones(2)).tolist()
    [[0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]
    >>> with_code({"node": torch.zeros(2, 4, 3)}, torch.ones(1))["conditions"].tolist()
    [[1.0], [1.0]]
    """
    if isinstance(inputs, Tensor):
        return torch.cat([inputs, code.expand(*inputs.shape[:-1], len(code))], -1)
    if not isinstance(inputs, dict):
        raise InputError(
            f"a code goes with inputs that are one tensor or a dict of tensors, not {type(inputs).__name__}."
        )
    beside = inputs.get(_CONDITIONS)
    if beside is None:
        cases = len(next(iter(inputs.values())))
        return {**inputs, _CONDITIONS: code.expand(cases, len(code))}
    return {**inputs, _CONDITIONS: torch.cat([beside, code.expand(*beside.shape[:-1], len(code))], -1)}
