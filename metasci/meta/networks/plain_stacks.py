"""Stacks of linear layers and activations, run for all tasks at once as batched matrix products."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metasci.errors import InputError
from metasci.meta.adaptation.inner import Parameters

__all__ = ["is_plain", "stacked"]

_ELEMENTWISE = (
    nn.ReLU,
    nn.Tanh,
    nn.Sigmoid,
    nn.SiLU,
    nn.GELU,
    nn.Softplus,
    nn.ELU,
    nn.LeakyReLU,
    nn.Identity,
)


def is_plain(module: nn.Module) -> bool:
    """Whether a module is a stack of linear layers and activations, of exactly these classes."""
    if module._forward_hooks or module._forward_pre_hooks:
        return False
    if type(module) is nn.Sequential:
        names = [name for name, _ in module.named_parameters(remove_duplicate=False)]
        tied = len(names) > len(list(module.parameters()))
        return not tied and all(is_plain(layer) for layer in module)
    if type(module) is nn.Linear:
        ordinary = {"weight", "bias"} >= {name for name, _ in module.named_parameters()}
        return ordinary and all(value.requires_grad for value in module.parameters())
    return type(module) in _ELEMENTWISE and not getattr(module, "inplace", False)


def _written(tensor: Tensor) -> str:
    """A tensor's type, shape and device."""
    shape = "×".join(str(size) for size in tensor.shape)
    return f"{str(tensor.dtype).removeprefix('torch.')} {shape} on {tensor.device}"


def stacked(module: nn.Module, parameters: Parameters, prefix: str, inputs: Tensor) -> Tensor:
    """The forward pass of a plain stack, with a weight matrix for every task."""
    if isinstance(module, nn.Sequential):
        for name, layer in module.named_children():
            inputs = stacked(layer, parameters, f"{prefix}{name}.", inputs)
        return inputs
    if not isinstance(module, nn.Linear):
        activated: Tensor = module(inputs)
        return activated
    shape = inputs.shape
    flat = inputs if inputs.dim() == 3 else inputs.reshape(shape[0], -1, shape[-1])
    missing = {name for name, _ in module.named_parameters() if f"{prefix}{name}" not in parameters}
    if missing:
        own = {
            f"{prefix}{n}": module.get_parameter(n).expand(len(inputs), *module.get_parameter(n).shape)
            for n in missing
        }
        parameters = {**parameters, **own}
    weight = parameters[f"{prefix}weight"].transpose(1, 2)
    try:
        if module.bias is None:
            output = torch.bmm(flat, weight)
        else:
            output = torch.baddbmm(parameters[f"{prefix}bias"].unsqueeze(1), flat, weight)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise InputError(
            f"the layer '{prefix.removesuffix('.')}', {module} with weights of {_written(weight)}, cannot take inputs "
            f"of {_written(inputs)} (task × case × …)."
        ) from error
    return output if inputs.dim() == 3 else output.reshape(*shape[:-1], -1)
