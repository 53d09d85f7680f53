"""A module called with weights other than its own, and what such a module may not do.

The weights are put into the module for the length of one call, so that calls of all threads go one after the other. A
weight that several layers share is one weight, put wherever the module has it. What a module does beside computing its
outputs (drawing at random, renormalising its own weights, hooks on gradients) would be lost, or be done for
the first task only, where all tasks are computed at once; such modules are refused by the layer's name.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from metasci.errors import InputError
from metasci.meta.adaptation.inner import Parameters

__all__ = ["PaddedEmbedding", "called", "check_repeatable", "copied", "with_padding_kept"]

_SWAPPED = threading.RLock()


def called(module: nn.Module, tensors: Parameters, inputs: Any) -> Any:
    """Outputs of the module with these weights and buffers in the place of its own.

    Examples
    --------
    A layer used twice is left as it was:

    >>> layer = nn.Linear(1, 1, bias=False)
    >>> twice = nn.Sequential(layer, layer)
    >>> called(twice, {"0.weight": torch.full((1, 1), 3.0)}, torch.ones(1, 1)).item()
    9.0
    >>> isinstance(layer.weight, nn.Parameter)
    True
    """
    first = {id(value): name for name, value in module.named_parameters()}
    placed = dict(tensors)
    # a weight that is tied has several places, of which `named_parameters` tells the first
    for name, value in module.named_parameters(remove_duplicate=False):
        if (known_as := first[id(value)]) in tensors and name != known_as:
            placed[name] = tensors[known_as]
    own = {  # of a layer that is used twice there is one place, whatever its names
        f"{prefix}.{name}" if prefix else name
        for prefix, layer in module.named_modules()
        for name in (*layer._parameters, *layer._buffers)
    }
    placed = {name: value for name, value in placed.items() if name in own or name in tensors}
    with _SWAPPED, _differentiable_kernels(module):
        return functional_call(module, placed, (inputs,), tie_weights=False)


@contextmanager
def _differentiable_kernels(module: nn.Module) -> Iterator[None]:
    """Without the fused kernels of attention and recurrent layers, which cannot be differentiated twice, or at all."""
    layers = {type(layer) for layer in module.modules()}
    attentive = any(issubclass(kind, nn.MultiheadAttention | nn.TransformerEncoderLayer) for kind in layers)
    recurrent = any(issubclass(kind, nn.RNNBase) for kind in layers)
    fast = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if recurrent:
            # this alone: setting its other flags warns in every call of kernels that Intel's GPUs have
            stack.callback(_alone, *_alone(False))
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        if attentive:
            stack.callback(torch.backends.mha.set_fastpath_enabled, fast)
            torch.backends.mha.set_fastpath_enabled(False)
        yield


def _alone(enabled: bool) -> tuple[bool]:
    """Switch oneDNN's kernels on or off; what was before."""
    before, *_ = torch.backends.mkldnn.set_flags(_enabled=enabled, _fp32_precision=None)
    return (before,)


def copied(module: nn.Module) -> nn.Module:
    """A copy. What hooks compute from the weights before each call (weight norm, pruning) is computed anew in it.

    Raises
    ------
    InputError
        If the module holds another tensor with a history of gradients.
    """
    memo: dict[int, Any] = {}
    for layer in module.modules():
        for hook in layer._forward_pre_hooks.values():
            if isinstance(hook, WeightNorm | SpectralNorm | BasePruningMethod):
                name = hook._tensor_name if isinstance(hook, BasePruningMethod) else hook.name
                made = getattr(layer, name)
                memo[id(made)] = made.detach().clone()
    try:
        return copy.deepcopy(module, memo)
    except RuntimeError as error:
        raise InputError(
            f"the module {type(module).__name__} cannot be copied: it holds a tensor with a history of "
            "gradients; detach what is no weight."
        ) from error


def check_repeatable(module: nn.Module) -> None:
    """Refuse a module whose layers draw at random or change themselves.

    Raises
    ------
    InputError
        That names the layer.
    """
    for name, layer in module.named_modules():
        at = (
            f"the layer '{name}' ({type(layer).__name__})" if name else f"the module ({type(layer).__name__})"
        )
        if isinstance(layer, torch.jit.ScriptModule):
            raise InputError(
                f"{at} is a program of TorchScript, whose weights cannot be replaced; give the module it was made from."
            )
        _check_numbers(at, layer)
        if layer.training and _draws(layer):
            raise InputError(
                f"{at} drops out at random, so that no adaptation could be repeated; "
                "call `module.eval()` first, or leave it out."
            )
        if layer.training and _iterates(layer):
            raise InputError(
                f"{at} goes on with a power iteration in every call, which tasks cannot share; "
                "call `module.eval()` first."
            )
        if getattr(layer, "max_norm", None) is not None:
            raise InputError(f"{at} shortens its own weights by `max_norm` in every call; leave that out.")
        if getattr(layer, "sparse", False) is True:
            raise InputError(
                f"{at} has sparse gradients (`sparse=True`), which no inner step can take; leave that out."
            )
        if getattr(layer, "scale_grad_by_freq", False):
            raise InputError(
                f"{at} scales gradients by how often a row is used (`scale_grad_by_freq`), which is not done for many "
                "tasks at once; leave that out."
            )
        if _has_padding_row(layer):
            raise InputError(
                f"{at} has a padding row, which only a plain `nn.Embedding` keeps in every task; use one."
            )
        if layer._backward_hooks or layer._backward_pre_hooks:
            raise InputError(
                f"{at} has hooks on its gradients, which tasks side by side would not heed; remove them."
            )
        for own, value in layer._parameters.items():
            if value is not None and (value._backward_hooks or value._post_accumulate_grad_hooks):
                raise InputError(
                    f"the weight '{own}' of {at} has a hook on its gradient, which adaptation would not heed; "
                    "remove it."
                )


def _check_numbers(at: str, layer: nn.Module) -> None:
    """Refuse weights that have no values yet."""
    for name, value in layer._parameters.items():
        if isinstance(value, nn.parameter.UninitializedParameter):
            raise InputError(
                f"the weight '{name}' of {at} has no shape yet; call the module once with some inputs first."
            )
        if value is not None and value.is_meta:
            raise InputError(
                f"the weight '{name}' of {at} has no values (its device is 'meta'); load or draw them first."
            )


def _draws(layer: nn.Module) -> bool:
    """Whether a layer in training draws at random."""
    if isinstance(layer, nn.modules.dropout._DropoutNd):
        return layer.p > 0
    if isinstance(layer, nn.MultiheadAttention | nn.RNNBase):
        return layer.dropout > 0
    return isinstance(layer, nn.RReLU)


def _iterates(layer: nn.Module) -> bool:
    """Whether a layer in training is normalised by its spectral norm."""
    hooks = layer._forward_pre_hooks.values()
    return isinstance(layer, _SpectralNorm) or any(isinstance(hook, SpectralNorm) for hook in hooks)


def _has_padding_row(layer: nn.Module) -> bool:
    """Whether a layer, of another kind than those that `with_padding_kept` knows, has a row without gradient."""
    kinds = isinstance(layer, nn.Embedding | nn.EmbeddingBag) and type(layer) is not nn.Embedding
    return kinds and getattr(layer, "padding_idx", None) is not None


class PaddedEmbedding(nn.Module):
    """Rows by number, of which one has no gradient: `nn.Embedding` with `padding_idx`, for each task alike.

    Parameters
    ----------
    layer : nn.Embedding
        Whose weight is taken over.
    """

    def __init__(self, layer: nn.Embedding) -> None:
        super().__init__()
        self.weight = layer.weight
        self.padding_idx = int(layer.padding_idx or 0)
        self.train(layer.training)

    def forward(self, tokens: Tensor) -> Tensor:
        """The rows, (..., feature)."""
        padding = (torch.arange(len(self.weight), device=self.weight.device) == self.padding_idx)[:, None]
        return functional.embedding(tokens, torch.where(padding, self.weight.detach(), self.weight))


def with_padding_kept(module: nn.Module) -> nn.Module:
    """The module, whose embeddings with a padding row are changed, in place, for ones that keep it in every task."""
    if type(module) is nn.Embedding and module.padding_idx is not None:
        return PaddedEmbedding(module)
    padded = {
        layer: PaddedEmbedding(layer)
        for layer in module.modules()
        if type(layer) is nn.Embedding and layer.padding_idx is not None
    }
    for parent in list(module.modules()):
        for name, layer in parent._modules.items():
            if layer in padded:
                parent._modules[name] = padded[layer]
    return module
