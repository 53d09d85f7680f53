"""What travels between server and sites: tensors with names, as bytes of safetensors, checked when they arrive."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from metasci.errors import InputError
from metasci.files import State

__all__ = ["packed", "unpacked"]

_MOST_BYTES = (
    64 * 2**20
)  # of a message whose shapes nobody knows before; a prior has thousands of numbers at most
_DESCRIPTION = 2**16  # bytes for names, types and shapes


def packed(tensors: State) -> bytes:
    """Tensors as bytes; the same tensors give the same bytes.

    Examples
    --------
    >>> import torch
    >>> unpacked(packed({"mean": torch.ones(2, dtype=torch.float64)}), {"mean": (2,)})
    {'mean': tensor([1., 1.], dtype=torch.float64)}
    """
    return save({name: value.detach().cpu().contiguous().clone() for name, value in sorted(tensors.items())})


def unpacked(message: bytes, shapes: Mapping[str, tuple[int, ...]] | None = None) -> State:
    """Tensors of bytes.

    Parameters
    ----------
    message : bytes
    shapes : mapping of str to tuple of int, optional
        The names and shapes that are expected.

    Raises
    ------
    InputError
        If it is no such message, is larger than what is expected, tensors are others than expected, or one of them
        holds what is no finite number.
    """
    most = _MOST_BYTES
    if shapes is not None:
        most = _DESCRIPTION + 8 * sum(math.prod(shape) for shape in shapes.values())
    if not isinstance(message, bytes) or len(message) > most:
        raise InputError(f"the message is no set of tensors of at most {most} bytes.")
    try:
        tensors: State = load(message)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise InputError("the message is no set of tensors.") from error
    if shapes is not None:
        _check_shapes(tensors, shapes)
    for name, value in tensors.items():
        if value.dtype != torch.float64:
            raise InputError(f"'{name}' holds {str(value.dtype).removeprefix('torch.')} and not float64.")
        if not bool(torch.isfinite(value).all()):
            raise InputError(f"'{name}' holds numbers that are not finite.")
    return tensors


def _check_shapes(tensors: State, shapes: Mapping[str, tuple[int, ...]]) -> None:
    if set(tensors) != set(shapes):
        odd = min(set(tensors) ^ set(shapes))
        raise InputError(f"'{odd}' is {'not expected' if odd in tensors else 'missing'}.")
    for name, shape in shapes.items():
        if tuple(tensors[name].shape) != tuple(shape):
            raise InputError(f"'{name}' has the shape {tuple(tensors[name].shape)}, not {tuple(shape)}.")
