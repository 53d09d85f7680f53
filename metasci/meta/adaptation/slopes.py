"""Gradients by torch, whose errors are told in a sentence of ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from metasci.errors import InputError

__all__ = ["slopes"]


def slopes(
    value: Tensor | Sequence[Tensor],
    at: Sequence[Tensor],
    along: Sequence[Tensor] | None = None,
    **options: Any,
) -> tuple[Tensor, ...]:
    """`torch.autograd.grad` of a value at some tensors.

    Parameters
    ----------
    value : Tensor or sequence of Tensor
    at : sequence of Tensor
    along : sequence of Tensor, optional
        One for each value that is no scalar.
    options
        As `torch.autograd.grad` takes them.

    Raises
    ------
    InputError
        If torch cannot differentiate what was computed.

    Examples
    --------
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> slopes(x**2, [x])[0].item()
    6.0
    """
    try:
        return torch.autograd.grad(value, at, along, **options)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        said = str(error).strip().splitlines()[0].removesuffix(".")[:120]
        raise InputError(
            f"torch has no gradient of what was computed ({said}): {_advice(str(error))}."
        ) from error


def _advice(said: str) -> str:
    if torch.is_inference_mode_enabled():
        return "leave `torch.inference_mode()`, under which torch records nothing"
    if "cannot be empty" in said:
        return "there is no weight that could be adapted or learned"
    if "not implemented" in said:
        return (
            "leave that operation out, or take a first-order meta-gradient, which needs no second derivative"
        )
    if "vmap" in said:
        return "compute nothing anew in the backward pass (`torch.utils.checkpoint`), when tasks are no longer together"
    if "inplace" in said:
        return "change no tensor in place (`x = x + 1` for `x += 1`)"
    return "look for weights or losses that are detached, or computed by another library than torch"
