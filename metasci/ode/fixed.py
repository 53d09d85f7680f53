"""Steps that stay: the meshes of differential equations, found once and walked ever after.

An adaptive solver looks at numbers before it steps, so that nothing that is recorded of it holds for other
numbers. A sampler asks for the same solutions at a hundred thousand places near each other; along steps that stay
they are a plain sequence of operations, which can be recorded, and whose error can be looked at afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metasci.ode.plan import Plan

__all__ = ["FixedSteps"]


_SLACK = 1e3  # of the tolerance with which steps are chosen: fewer of them, of like size, halved afterwards


class FixedSteps:
    """Within it `metasci.ode.solve` takes the steps that it took the first time.

    They are chosen with a thousandfold tolerance and halved, which at order eight makes up for a third of that and
    leaves as many steps as before: steps of like size are safer elsewhere than ones that were cut to fit.

    Steps belong to calls in their order: what is computed within must always solve the same equations for the same
    times and doses. The error of the steps is not looked at. Doses at steady state are refused with an `InputError`.

    Examples
    --------
    >>> import torch
    >>> from metasci.ode import solve
    >>> one = torch.ones(1, 1, dtype=torch.float64)
    >>> decay = lambda time, state, parameters: -parameters["rate"][:, None] * state
    >>> steps = FixedSteps()
    >>> for rate in (1.0, 2.0):
    ...     with steps:
    ...         round(solve(decay, one, one, {"rate": rate * one[0]}).states.item(), 8)
    0.36787944
    0.13533528
    >>> len(steps.plans)
    1
    """

    _current: ContextVar[FixedSteps | None] = ContextVar("steps", default=None)

    def __init__(self) -> None:
        self.plans: list[Plan] = []
        self._place = 0
        self._token: Token[FixedSteps | None] | None = None

    def __enter__(self) -> FixedSteps:
        self._place, self._token = 0, self._current.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._token is not None
        self._current.reset(self._token)

    def next(self, found_plan: Callable[[float], Plan]) -> Plan:
        """The plan of the equation that is solved next, found with some slack in its tolerance."""
        if self._place == len(self.plans):
            self.plans.append(found_plan(_SLACK).halved())
        self._place += 1
        return self.plans[self._place - 1]

    @classmethod
    def current(cls) -> FixedSteps | None:
        """Within which one we are."""
        return cls._current.get()
