"""Batch normalisation inside few-shot adaptation: where the statistics come from, and what they may not see.

Three sources. ``"task"``: mean and variance of the task's own support at its current weights, used for the
support and the query alike. ``"running"``: averages over the supports of meta-training, the same for every
task. ``"frozen"``: the averages that the module came with. In none of them does a query case influence what is
said about any other case.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from metasci.errors import InputError
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.networks.stateless import called

__all__ = ["Statistics", "TaskNormalisation", "running_statistics", "statistics_from", "with_task_statistics"]

Statistics = Literal["task", "running", "frozen"]

_SUPPORT: ContextVar[Tensor | None] = ContextVar("support", default=None)


@contextmanager
def statistics_from(support: Tensor | None) -> Iterator[None]:
    """Let normalisation layers look at these cases only, (case,); at all without a mask."""
    before = _SUPPORT.set(support)
    try:
        yield
    finally:
        _SUPPORT.reset(before)


class TaskNormalisation(nn.Module):
    """Batch normalisation with the statistics of the task's support.

    Parameters
    ----------
    layer : BatchNorm1d, BatchNorm2d or BatchNorm3d
        Whose scale, shift and ε are taken over.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = layer.weight, layer.bias, layer.eps

    def forward(self, inputs: Tensor) -> Tensor:
        """Normalised inputs, (case, feature, ...)."""
        flat = inputs.flatten(2) if inputs.dim() > 2 else inputs[..., None]
        support = _SUPPORT.get()
        counts = flat.new_ones(len(flat)) if support is None else support.to(flat.dtype)
        # with no support at all there is nothing to normalise by: mean zero, variance one
        empty = counts.sum() == 0
        share = (counts / (counts.sum() * flat.shape[2]).clamp(min=1.0))[:, None, None]
        mean = (share * flat).sum((0, 2))[:, None]
        variance = (share * (flat - mean) ** 2).sum((0, 2))[:, None] + empty
        normal = ((flat - mean) / (variance + self.eps).sqrt()).reshape(inputs.shape)
        if self.weight is None:
            return normal
        shape = (-1, *[1] * (inputs.dim() - 2))
        return normal * self.weight.reshape(shape) + self.bias.reshape(shape)


def with_task_statistics(module: nn.Module, statistics: str) -> nn.Module:
    """The module, changed in place, whose batch normalisation takes its statistics as said.

    Raises
    ------
    InputError
        If the statistics are of no known kind, or are to be kept but the module has none.
    """
    if statistics not in get_args(Statistics):
        raise InputError(
            f"statistics: '{statistics}' is not a source; say one of {', '.join(get_args(Statistics))}."
        )
    layers = [
        name for name, layer in module.named_modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)
    ]
    if not layers:
        return module
    for name in layers:
        layer = module.get_submodule(name)
        if statistics == "task":
            if not name:
                return TaskNormalisation(layer)
            parent, _, own = name.rpartition(".")
            setattr(module.get_submodule(parent), own, TaskNormalisation(layer))
        elif layer.running_mean is None:
            raise InputError(f"the layer '{name}' keeps no running averages; use statistics of the task.")
    return module if statistics == "task" else module.eval()


def running_statistics(
    module: nn.Module, learned: Parameters, inputs: Tensor, mask: Tensor | None = None
) -> Parameters:
    """The learned tensors with running averages that have seen these supports, (task, case, ...).

    To be called once a meta-iteration with supports only, at the start's weights; what the mask leaves out is not seen.

    Raises
    ------
    InputError
        If the inputs are not one tensor.
    """
    if not isinstance(inputs, Tensor):
        raise InputError(
            "running statistics need inputs that are one tensor; use 'frozen' ones for nested inputs."
        )
    cases = inputs.flatten(0, 1) if mask is None else inputs[mask]
    buffers = {n: learned[n].clone() for n, _ in module.named_buffers() if n in learned}
    weights = {name: learned[name] for name, _ in module.named_parameters()}
    modes = {layer: layer.training for layer in module.modules()}
    try:
        for layer in modes:
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.train()
        with torch.no_grad():
            called(module, {**weights, **buffers}, cases)
    finally:
        for layer, mode in modes.items():
            layer.training = mode
    return {**learned, **buffers}
