"""A density and its gradient as one recorded sequence of array operations; differential equations take fixed steps.

Value and gradient are recorded together, so that nothing of torch's bookkeeping is left when they are run.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from metasci.bayes import versions
from metasci.errors import InputError
from metasci.ode.fixed import FixedSteps

__all__ = ["Recording", "recorded", "with_slope"]

Recording = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Of a vector, to the log density there and its gradient."""


def with_slope(density: Callable[[Tensor], Tensor], at: Tensor) -> tuple[Tensor, Tensor]:
    """A density and its gradient, step by step.

    Examples
    --------
    >>> with_slope(lambda x: (x**2).sum(), torch.tensor([1.0, 3.0]))
    (tensor(10.), tensor([2., 6.]))
    """
    with torch.enable_grad():
        moving = at.detach().requires_grad_()
        value = density(moving)
        (slope,) = torch.autograd.grad(value, moving)
    return value.detach(), slope


def recorded(density: Callable[[Tensor], Tensor], start: Tensor) -> Recording | None:
    """The density as recorded, or None where that does not give what the function itself gives at other points.

    What it is held against here takes the same steps; `TracedModel.recording_error` says what the steps cost.

    Parameters
    ----------
    density : callable
        (size,) → ()
    start : Tensor, (size,)
        Where differential equations find the steps that then stay, and near which it is tried.

    Examples
    --------
    >>> found = recorded(lambda x: (x**2).sum(), torch.zeros(2, dtype=torch.float64))
    >>> found(torch.tensor([1.0, 3.0], dtype=torch.float64))[1].tolist()
    [2.0, 6.0]
    """
    random = torch.Generator().manual_seed(0)
    points = start + 0.1 * torch.randn(3, len(start), generator=random, dtype=torch.float64)
    steps = FixedSteps()

    def staying(at: Tensor) -> Tensor:
        with steps:
            return density(at)

    # torch speaks of what it deprecates, already where it is imported; whether the result holds is checked here
    with versions.quiet():
        from torch.fx.experimental.proxy_tensor import make_fx

        try:
            staying(start)  # where equations find their steps
            graph = make_fx(lambda at: with_slope(staying, at), _error_on_data_dependent_ops=False)(points[0])
            with torch.no_grad():
                program = torch.jit.trace(graph, (points[0],), check_trace=False)
                for point in points[1:]:
                    if not torch.allclose(program(point)[0], staying(point), rtol=1e-9, atol=1e-9):
                        return None
        except (RuntimeError, InputError):
            return None
    function: Recording = program
    return function
