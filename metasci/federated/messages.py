"""What travels between server and sites: tensors with names, as bytes of safetensors, checked when they arrive."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from metasci.errors import InputError
from metasci.files import State

__all__ = ["packed", "unpacked"]


def packed(tensors: State) -> bytes:
    """Tensors as bytes; the same tensors give the same bytes.

    Examples
    --------
    >>> import torch
    >>> unpacked(packed({"mean": torch.ones(2)}), {"mean": (2,)})
    {'mean': tensor([1., 1.])}
    """
    return save({name: value.detach().cpu().contiguous() for name, value in sorted(tensors.items())})


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
        If it is no such message, tensors are others than expected, or one of them holds what is no finite number.
    """
    try:
        tensors: State = load(message)
    except (SafetensorError, ValueError, KeyError) as error:
        raise InputError("the message is no set of tensors.") from error
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise InputError(f"'{name}' holds numbers that are not finite.")
    if shapes is None:
        return tensors
    if set(tensors) != set(shapes):
        odd = min(set(tensors) ^ set(shapes))
        raise InputError(f"'{odd}' is {'not expected' if odd in tensors else 'missing'}.")
    for name, shape in shapes.items():
        if tuple(tensors[name].shape) != tuple(shape):
            raise InputError(f"'{name}' has the shape {tuple(tensors[name].shape)}, not {tuple(shape)}.")
    return tensors
