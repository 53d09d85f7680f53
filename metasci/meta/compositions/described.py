"""What something is made of, in words that are the same in every process: a checkpoint knows its own run by them."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from functools import partial
from types import FunctionType
from typing import Any

import numpy as np
from torch import Tensor

__all__ = ["described"]


def described(part: Any) -> Any:
    """Classes, fields and code, nested; no addresses of functions.

    Examples
    --------
    >>> from metasci.constraints import Bounded
    >>> described(Bounded(0.0, 1.0))
    ['Bounded', {'weight': '1.0', 'lower': '0.0', 'upper': '1.0'}]
    """
    if isinstance(part, partial):
        return [described(part.func), described(part.args), described(part.keywords)]
    if is_dataclass(part) and not isinstance(part, type):
        return [
            type(part).__qualname__,
            {item.name: described(getattr(part, item.name)) for item in fields(part)},
        ]
    if isinstance(part, dict):
        return {str(key): described(value) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return [described(item) for item in part]
    if isinstance(part, Tensor):
        return part.detach().cpu().flatten().tolist()
    if isinstance(part, np.generic | np.ndarray):
        return described(part.tolist())
    if isinstance(part, FunctionType):
        held = [described(cell.cell_contents) for cell in part.__closure__ or ()]
        return [
            part.__qualname__,
            part.__code__.co_code.hex(),
            described(part.__defaults__ or ()),
            held,
        ]
    if isinstance(part, str | int | float | type | None.__class__):
        return repr(part)
    return [type(part).__qualname__, {key: described(value) for key, value in vars(part).items()}]
