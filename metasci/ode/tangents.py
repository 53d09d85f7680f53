"""Forward-mode derivatives, one thread at a time.

The level of torch's forward mode (`torch.autograd.forward_ad`, and the nesting of `torch.func.jvp`) is one number for
the whole process, not one a thread: two threads within it mix each other's tangents, at best with an error. So whatever
in this package goes forward does it through here, under one lock; the same thread may enter again, as it does where the
rate of a differential equation is differentiated within the derivative of its solution.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch

__all__ = ["along"]

_LEVEL = threading.RLock()


def along(function: Callable[..., Any], at: tuple[Any, ...], directions: tuple[Any, ...]) -> tuple[Any, Any]:
    """Value of a function and its derivative along directions, `torch.func.jvp` that threads may call.

    Examples
    --------
    >>> value, slope = along(torch.square, (torch.tensor(3.0),), (torch.tensor(1.0),))
    >>> value.item(), slope.item()
    (9.0, 6.0)
    """
    with _LEVEL:
        value, change = torch.func.jvp(function, at, directions)  # type: ignore[misc]
    return value, change
