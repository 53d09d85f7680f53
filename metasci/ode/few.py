"""Which tasks are solved on NumPy arrays: few of them, of a rate that runs there as it stands.

One patient's search for the most probable parameters solves the same small system some ten times: torch would take a
millisecond to record what NumPy computes in a few microseconds (`metasci.ode.array_meshes`,
`metasci.ode.array_tangents`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from metasci.duals import Dual
from metasci.ode.array_walks import on_arrays
from metasci.ode.methods import System
from metasci.ode.tangents import along

__all__ = ["copies_of", "together"]

_FEW = 1_000  # tasks at most: beyond, arithmetic outweighs what an operation costs to call

_directions: ContextVar[int] = ContextVar("directions", default=1)
"""How many copies of all tasks are solved together, each along a direction of its own."""


@contextmanager
def together(copies: int) -> Iterator[None]:
    """Within it tasks come so many times over, one copy for each direction along which derivatives are asked for.

    What is solved within is differentiated in forward mode only, once.
    """
    token = _directions.set(copies)
    try:
        yield
    finally:
        _directions.reset(token)


_ALIKE = 1e-9  # of the greatest: by how much two correct numbers may differ
_runs_on_arrays: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
"""What was found of rates, by what they belong to: the first time both ways of computing are compared."""


def copies_of(system: System, time: Tensor, state: Tensor, of_tasks: Sequence[Tensor]) -> int:
    """How many copies of each task there are to be solved on arrays; zero where that will not do.

    `of_tasks` is whatever has a row for each task: copies are taken for such if they are alike in all of it. The rate
    and its derivatives are once computed both ways: one that takes tensors only, or that is another on arrays, is left
    to tensors.
    """
    copies = _directions.get()
    if copies > 1 and not _copied(of_tasks, copies):
        copies = 1
    if len(state) > _FEW * copies or state.dtype != torch.float64 or state.device.type != "cpu":
        return 0
    try:
        owner = getattr(system.rate, "__self__", system.rate)
        if owner not in _runs_on_arrays:
            _runs_on_arrays[owner] = _alike(system, time, state)
        return copies if _runs_on_arrays[owner] else 0
    except TypeError:  # a callable that cannot be remembered
        return 0


def _copied(of_tasks: Sequence[Tensor], copies: int) -> bool:
    """Whether rows are the same so many times over."""
    return all(
        not len(rows) % copies
        and bool((rows.unflatten(0, (copies, -1)) == rows[: len(rows) // copies]).all())
        for rows in of_tasks
        if len(rows)
    )


def _alike(system: System, time: Tensor, state: Tensor) -> bool:
    """Whether the rate, its Jacobian, and how both change along the parameters, are the same on tensors and arrays."""
    own = system.own or frozenset()
    moving_names = [n for n, v in system.parameters.items() if n in own and v.is_floating_point()]
    # what is broadcast has no place of its own for a tangent
    values = [system.parameters[name].contiguous() for name in moving_names]

    def looked(state: Tensor, *values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        known = {**system.parameters, **dict(zip(moving_names, values, strict=True))}
        return replace(system, parameters=known, plain=False).linearise(time, state)

    place = state + 1.0
    ones = tuple(torch.ones_like(value) for value in (place, *values))
    by_torch = [each.numpy() for both in along(looked, (place, *values), ones) for each in both]
    arrays = on_arrays(system)
    turned = {n: Dual(arrays.parameters[n], np.ones((1, *arrays.parameters[n].shape))) for n in moving_names}
    try:
        with np.errstate(all="ignore"):
            moved = replace(arrays, parameters={**arrays.parameters, **turned})
            by_duals = moved.linearise(time.numpy(), Dual(place.numpy(), np.ones((1, *place.shape))))
    except Exception:  # of a rate that takes tensors only
        return False
    values_and_slopes = [
        *(each.value if isinstance(each, Dual) else each for each in by_duals),
        *(each.slope[0] if isinstance(each, Dual) else np.zeros_like(each) for each in by_duals),
    ]
    return all(
        first.shape == second.shape
        and np.allclose(
            second, first, 0.0, _ALIKE * max(1e-300, np.abs(first[np.isfinite(first)]).max(initial=0.0)), True
        )
        for first, second in zip(by_torch, values_and_slopes, strict=True)
    )
