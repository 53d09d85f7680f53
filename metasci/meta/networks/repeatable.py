"""Whether a module gives the same outputs and slopes again.

Adaptation calls a module many times and differentiates what it computed. A module that draws at random by whatever
library, counts its calls, changes its inputs in place, or computes a part anew in the backward pass, by when its
weights are its own again, would go astray without a word. So one task is computed twice before the first call of all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from metasci.errors import InputError
from metasci.meta.adaptation.inner import Parameters

__all__ = ["check_same_again", "is_traced"]

_MOVED = 1.1  # times the module's own weights, so that slopes at its own would be others


def is_traced() -> bool:
    """Whether operations are being recorded or batched from outside, so that values cannot be looked at."""
    return (
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._functorch.peek_interpreter_stack() is not None
    )


def check_same_again(
    module: nn.Module, call: Callable[[Parameters, Any], Tensor], weights: Parameters, inputs: Any
) -> None:
    """Compute one task's cases again and again.

    Parameters
    ----------
    module : nn.Module
    call : callable
        The module's outputs of weights and inputs.
    weights : dict of Tensor
    inputs : Tensor or nested tensors, (case, ...)

    Raises
    ------
    InputError
        If outputs, inputs, buffers or slopes are others. What fails altogether is told of by the call itself.
    """
    name = type(module).__name__
    before = {key: value.clone() for key, value in module.named_buffers()}
    here = tree_map(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, inputs)
    with torch.random.fork_rng():
        try:
            with torch.no_grad():
                first = call(weights, here)
        except InputError:
            raise
        except Exception:
            return
        for leaf, own in zip(tree_leaves(here), tree_leaves(inputs), strict=True):
            if isinstance(own, Tensor) and not _alike(leaf, own):
                raise InputError(
                    f"the network {name} changes its inputs in place, so that no adaptation could be repeated; "
                    "let it compute on a copy (`x = 2 * x` for `x.mul_(2)`)."
                )
        for key, value in module.named_buffers():
            if not _alike(value, before[key]):
                raise InputError(
                    f"the network {name} changes its '{key}' whenever it is called, which tasks cannot share; "
                    "call `module.eval()` first."
                )
        with torch.no_grad():
            again = call(weights, inputs)
    if not _alike(first, again):
        raise InputError(
            f"the network {name} draws at random, or remembers what it was called with, so that no adaptation could be "
            "repeated; call `module.eval()` first, or leave it out."
        )
    _check_slopes(module, call, weights, inputs)


def _check_slopes(
    module: nn.Module, call: Callable[[Parameters, Any], Tensor], weights: Parameters, inputs: Any
) -> None:
    """That slopes while the weights are in the module are those afterwards."""
    at = {key: (_MOVED * value).requires_grad_() for key, value in weights.items()}
    within: list[tuple[Tensor | None, ...]] = []
    checkpoints: list[bool] = []

    def differentiate(*arguments: Any) -> None:
        checkpoints.append(_has_checkpoint(arguments[-1]))
        within.append(_slopes(arguments[-1], at))

    hook = module.register_forward_hook(differentiate)
    with torch.enable_grad():
        try:
            call(at, inputs)
        except Exception:
            within.clear()
        finally:
            hook.remove()
        try:
            after = _slopes(call(at, inputs), at) if within else ()
        except Exception:
            after = ()
    if any(checkpoints) or (within and not _all_alike(after, within[0])):
        raise InputError(
            f"the network {type(module).__name__} computes a part of itself anew in the backward pass "
            "(`torch.utils.checkpoint`?), when a task's weights are no longer in it; leave that out, and take "
            "`segment` of the exact meta-gradient where memory is short."
        )


def _all_alike(some: tuple[Tensor | None, ...], others: tuple[Tensor | None, ...]) -> bool:
    return len(some) == len(others) and all(
        (one is None and other is None) or (one is not None and other is not None and _alike(one, other))
        for one, other in zip(some, others, strict=True)
    )


def _has_checkpoint(outputs: Tensor) -> bool:
    """Whether a part is recomputed by torch's older checkpoints, beyond which no gradient of a weight is seen."""
    ahead, seen = [outputs.grad_fn], set()
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        if node.name().startswith("CheckpointFunction"):
            return True
        seen.add(node)
        ahead += [other for other, _ in node.next_functions]
    return False


def _slopes(outputs: Tensor, at: Parameters) -> tuple[Tensor | None, ...]:
    return torch.autograd.grad(outputs.abs().sum(), list(at.values()), allow_unused=True)


def _alike(one: Tensor, other: Tensor) -> bool:
    """Whether tensors are the same, but for the order of sums."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if not (one.is_floating_point() or one.is_complex()):
        return torch.equal(one, other)
    scale = float(other.detach().abs().nan_to_num(posinf=0.0).max()) if other.numel() else 0.0
    return torch.allclose(one, other, rtol=1e-3, atol=1e-5 * scale, equal_nan=True)
