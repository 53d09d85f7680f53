"""One step of an ordinary differential equation for many tasks at once, each with a step size of its own.

Explicit: Prince and Dormand, J Comput Appl Math 7 (1981) 67, order 8 (`metasci.ode.order_eight`). Stiff: Rodas5P,
Steinebach, BIT Numer Math 63 (2023) 27, an L-stable Rosenbrock method of order 5 with an embedded 4, which
needs the state's Jacobian but no iteration, so that a step is an explicit formula and can be differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from metasci.errors import FAILURES, InputError, failure
from metasci.ode.order_eight import tableau
from metasci.ode.tangents import along

__all__ = ["METHODS", "Rate", "Step", "System", "method_named", "prince_dormand", "rodas"]

Rate = Callable[[Tensor, Tensor, Mapping[str, Any]], Tensor]
"""``rate(time, state, parameters)``: time (task,), state (task, state), parameters (task,) by name."""


@dataclass(frozen=True, eq=False)
class System:
    """A rate together with its parameters.

    Parameters
    ----------
    rate : callable
        See `metasci.ode.solve`.
    parameters : mapping of str to Tensor or float
    tasks, states : int
        Sizes of the state.
    still : Tensor, (task, 1), optional
        Zeros that move in no direction; see `with_tangents`.
    plain : bool
        Whether nothing is differentiated, in any mode: `linearise` then goes backward, which is quicker.
    own : frozenset of str, optional
        Which parameters have one value a task, the others being shared. By default tensors whose first dimension is the
        number of tasks; it stays the same whatever tasks are selected.
    held : tuple of str
        Parameters that stand behind the states in a supply: those in force during a step.
    copies : int
        How many copies of every task there are, to be solved on arrays (`metasci.ode.few`); zero where on tensors.
    """

    rate: Rate
    parameters: Mapping[str, Any]
    tasks: int
    states: int
    still: Tensor | None = None
    plain: bool = False
    own: frozenset[str] | None = None
    held: tuple[str, ...] = ()
    copies: int = 0

    def __post_init__(self) -> None:
        if self.own is None:
            own = frozenset(
                name
                for name, value in self.parameters.items()
                if isinstance(value, Tensor) and value.dim() > 0 and len(value) == self.tasks
            )
            object.__setattr__(self, "own", own)

    def with_tangents(self, *others: Tensor) -> System:
        """The same, knowing whether one of its parameters or of the others has a forward-mode tangent.

        torch multiplies what has a tangent by what has none a hundred times more slowly than two that have one.
        So `dense` gives constants a tangent of zeros, where there are tangents at all.
        """
        for value in (*others, *(self.parameters[name] for name in sorted(self.own or ()))):
            if forward_ad.unpack_dual(value).tangent is not None:
                return replace(self, still=(value - value).reshape(self.tasks, -1)[:, :1])
        return self

    @property
    def shared_move(self) -> bool:
        """Whether a parameter that tasks share has a forward-mode tangent."""
        shared = (v for n, v in self.parameters.items() if isinstance(v, Tensor) and not self._is_own(n))
        return any(forward_ad.unpack_dual(value).tangent is not None for value in shared)

    def dense(self, value: Tensor) -> Tensor:
        """The same value (task, ...), with a tangent of zeros in forward mode."""
        if self.still is None:
            return value
        return value + self.still.reshape(-1, *(1 for _ in value.shape[1:]))

    def slope(self, time: Tensor, state: Tensor, supply: Tensor | None) -> Tensor:
        """Time derivative of the state, (task, state); `supply` is added, an infusion for instance."""
        slope = self.rate(time, state, self.parameters)
        return slope if supply is None else slope + supply

    def within(self, supply: Tensor | None) -> tuple[System, Tensor | None]:
        """The system during a step, with the parameters that its supply holds, and what runs in."""
        if supply is None or not self.held:
            return self, supply
        values = {name: supply[:, self.states + place] for place, name in enumerate(self.held)}
        return replace(self, parameters={**self.parameters, **values}, held=()), supply[:, : self.states]

    def _is_own(self, name: str) -> bool:
        return self.own is not None and name in self.own

    def identity(self, state: Tensor) -> Tensor:
        """Identity matrices, (1, state, state) or (task, state, state)."""
        return self.dense(torch.eye(self.states, dtype=state.dtype, device=state.device)[None])

    @cached_property
    def _copies(self) -> dict[str, Any]:
        """The parameters once for every direction of `linearise`."""
        count = self.states + 1
        return {
            name: value.repeat(count, *(1 for _ in value.shape[1:])) if self._is_own(name) else value
            for name, value in self.parameters.items()
        }

    def select(self, index: Tensor) -> System:
        """The same on some of the tasks."""
        some = {name: v[index] if self._is_own(name) else v for name, v in self.parameters.items()}
        still = None if self.still is None else self.still[index]
        return replace(self, parameters=some, tasks=len(index), still=still)

    def detach(self) -> System:
        """The same without gradients or tangents."""
        plain = {n: v.detach() if isinstance(v, Tensor) else v for n, v in self.parameters.items()}
        return replace(self, parameters=plain, still=None, plain=False)

    def check(self, time: Tensor, state: Tensor) -> None:
        """Refuse a rate that cannot be computed, or in which tasks do not stand for themselves.

        The rate is computed twice, with the tasks in another order and one of them twice: each must move as before. A
        shared tensor that is taken for one value a task does not pass, nor does a rate that mixes tasks.

        Raises
        ------
        InputError
        """
        with torch.no_grad():
            slope = self._tried(time, state)
            order = torch.arange(1, self.tasks + 1, device=state.device) % max(self.tasks, 1)
            order = torch.cat([order, order.new_zeros(min(1, self.tasks))])
            moved = self.select(order)._tried(time[order], state[order])
            size = torch.finfo(state.dtype).eps ** 0.5
            scale = slope.abs().nan_to_num(0.0, 0.0, 0.0).max() if slope.numel() else 0.0
            same = torch.isclose(moved, slope[order], rtol=size, atol=size * float(scale), equal_nan=True)
        if not bool(same.all()):
            names = ", ".join(sorted(self.own or ())) or "none"
            raise InputError(
                "differential equation: how a task moves depends on which tasks are solved with it. Parameters read "
                f"as one value a task, since they are as long as there are tasks: {names}. Name those that tasks "
                "share in `shared`, and write the rate for any number of tasks."
            )

    def _tried(self, time: Tensor, state: Tensor) -> Tensor:
        """The rate, or what is wrong with it in one sentence."""
        try:
            slope = self.rate(time, state, self.parameters)
        except InputError:
            raise
        except FAILURES as error:
            raise InputError(
                f"differential equation: {failure(self.rate, error)}, for a state (task, state) of shape "
                f"{tuple(state.shape)}. Parameters that tasks share are named in `shared`, if they may be as long as "
                "there are tasks."
            ) from error
        if not isinstance(slope, Tensor) or slope.shape != state.shape:
            shape = tuple(slope.shape) if isinstance(slope, Tensor) else type(slope).__name__
            raise InputError(
                f"differential equation: the rate gives {shape}; it must be of the state's shape {tuple(state.shape)}. "
                "Parameters that tasks share are named in `shared`, if they may be as long as there are tasks."
            )
        return slope

    def linearise(self, time: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Slope (task, state), its Jacobian by the state (task, state, state), and by time (task, state).

        All directions are one forward-mode pass through copies of the tasks: it can be differentiated itself,
        in either mode.
        """
        if self.plain:
            return self._linearise_backward(time, state)
        tasks, states = state.shape
        unit = torch.eye(states + 1, dtype=state.dtype, device=state.device).repeat_interleave(tasks, 0)
        moving = {name: value for name, value in self._copies.items() if isinstance(value, Tensor)}
        slope, change = along(
            lambda t, x, values: self.rate(t, x, {**self._copies, **values}),
            (time.repeat(states + 1), state.repeat(states + 1, 1), moving),
            (
                unit[:, states].contiguous(),
                unit[:, :states].contiguous(),
                # dense zeros, as `with_tangents` explains
                {name: torch.zeros_like(value) for name, value in moving.items()},
            ),
        )
        change = change.reshape(states + 1, tasks, states)
        return slope[:tasks], change[:states].permute(1, 2, 0), change[states]

    def _linearise_backward(self, time: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same by one backward pass, each copy of the tasks for one component of the slope."""
        tasks, states = state.shape
        with torch.enable_grad():
            at = state.detach().repeat(states + 1, 1).requires_grad_()
            when = time.detach().repeat(states + 1).requires_grad_()
            slope = self.rate(when, at, self._copies)
            each = slope.reshape(states + 1, tasks, states)
            total = each[:states].diagonal(dim1=0, dim2=2).sum()
            still = not total.requires_grad
            rows, drift = (None, None) if still else torch.autograd.grad(total, (at, when), allow_unused=True)
        rows = torch.zeros_like(at) if rows is None else rows
        drift = torch.zeros_like(when) if drift is None else drift
        jacobian = rows.reshape(states + 1, tasks, states)[:states].transpose(0, 1)
        return each[0].detach(), jacobian, drift.reshape(states + 1, tasks)[:states].T


@dataclass(frozen=True)
class Step:
    """A method: ``step(system, time, state, size, supply, measured)`` gives the new state and its error where measured.

    Attributes
    ----------
    name : str
    take : callable
    order : int
        Power of the step size with which its estimate of the local error falls.
    """

    name: str
    take: Callable[[System, Tensor, Tensor, Tensor, Tensor | None, bool], tuple[Tensor, Tensor | None]]
    order: int

    def __call__(
        self, system: System, time: Tensor, state: Tensor, size: Tensor, supply: Tensor | None, measured: bool
    ) -> tuple[Tensor, Tensor | None]:
        return self.take(system, time, state, size, supply, measured)


def _combined(start: Tensor, weights: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    for weight, slope in zip(weights, slopes, strict=True):
        if weight:
            start = torch.add(start, slope, alpha=weight)
    return start


def _scaled(value: Tensor, factor: float) -> Tensor:
    """``factor·value``, quickly where `value` has a tangent (`System.with_tangents`)."""
    return torch.add(value, value, alpha=factor - 1.0)


def prince_dormand(
    system: System, time: Tensor, state: Tensor, size: Tensor, supply: Tensor | None, measured: bool = True
) -> tuple[Tensor, Tensor | None]:
    """One explicit step of order 8; its error, from embedded orders 5 and 3, has no gradient.

    Examples
    --------
    >>> decay = System(lambda t, x, p: -x, {}, tasks=1, states=1)
    >>> one = torch.ones(1, dtype=torch.float64)
    >>> new, error = prince_dormand(decay, 0 * one, one[:, None], 0.1 * one, None)
    >>> abs(new.item() - 0.904837418035959573) < 1e-15, abs(error.item()) < 1e-12
    (True, True)
    """
    system, supply = system.within(supply)
    width = size[:, None]
    slopes: list[Tensor] = []
    table = tableau()
    for node, weights in zip(table.nodes, table.weights, strict=True):
        inside = _combined(state, weights, slopes)
        slopes.append(width * system.slope(torch.add(time, size, alpha=node), inside, supply))
    new = _combined(state, table.result, slopes)
    if not measured:
        return new, None
    with torch.no_grad():
        blank = torch.zeros_like(new)
        five, three = _combined(blank, table.error_5, slopes), _combined(blank, table.error_3, slopes)
        beside = torch.hypot(five, 0.1 * three)
        return new, torch.where(beside > 0.0, five * (five / beside).abs(), beside).detach()


# kept in rows of the table: a number a line would hide of which stage it is
GAMMA = 0.21193756319429014
STAGE_NODES = (0.0, 0.6358126895828704, 0.4095798393397535, 0.9769306725060716, 0.4288403609558664, 1.0)
STAGE_DRIFTS = (
    0.21193756319429014, -0.42387512638858027, -0.3384627126235924, 1.8046452872882734, 2.325825639765069, 0.0,
)  # fmt: skip
STAGES = (
    (),
    (3.0,),
    (2.849394379747939, 0.45842242204463923),
    (-6.954028509809101, 2.489845061869568, -10.358996098473584),
    (2.8029986275628964, 0.5072464736228206, -0.3988312541770524, -0.04721187230404641),
    (-7.502846399306121, 2.561846144803919, -11.627539656261098, -0.18268767659942256, 0.030198172008377946),
)
COUPLINGS = (
    (),
    (-14.155112264123755,),
    (-17.97296035885952, -2.859693295451294),
    (147.12150275711716, -1.41221402718213, 71.68940251302358),
    (165.43517024871676, -0.4592823456491126, 42.90938336958603, -5.961986721573306),
    (24.854864614690072, -3.0009227002832186, 47.4931110020768, 5.5814197821558125, -0.6610691825249471),
    (
        30.91273214028599, -3.1208243349937974, 77.79954646070892, 34.28646028294783, -19.097331116725623,
        -28.087943162872662,
    ),
    (
        37.80277123390563, -3.2571969029072276, 112.26918849496327, 66.9347231244047, -40.06618937091002,
        -54.66780262877968, -9.48861652309627,
    ),
)  # fmt: skip


def rodas(
    system: System, time: Tensor, state: Tensor, size: Tensor, supply: Tensor | None, measured: bool = True
) -> tuple[Tensor, Tensor | None]:
    """One step of Rodas5P; its error is the last of eight increments, and costs nothing.

    Examples
    --------
    >>> decay = System(lambda t, x, p: -x, {}, tasks=1, states=1)
    >>> one = torch.ones(1, dtype=torch.float64)
    >>> new, error = rodas(decay, 0 * one, one[:, None], 0.1 * one, None)
    >>> abs(new.item() - 0.904837418036) < 1e-8
    True
    """
    system, supply = system.within(supply)
    width = size[:, None]
    slope, jacobian, drift = system.linearise(time, state)
    slope = slope if supply is None else slope + supply
    # multiplied through by the step size, so that a step of size zero is one as well
    matrix = system.identity(state) - _scaled(width[..., None] * jacobian, GAMMA)
    inverse = _scaled(torch.linalg.inv_ex(matrix).inverse, GAMMA)
    drift = width * width * drift
    increments: list[Tensor] = []
    inside = state
    for stage, couplings in enumerate(COUPLINGS):
        if 0 < stage < len(STAGES):
            inside = _combined(state, STAGES[stage], increments)
            node = STAGE_NODES[stage]
        elif stage:  # stiffly accurate: each of the last stages corrects the one before
            inside = inside + increments[-1]
            node = 1.0
        if stage:
            slope = system.slope(torch.add(time, size, alpha=node), inside, supply)
        right = _combined(width * slope, couplings, increments)
        if stage < len(STAGE_DRIFTS) - 1:
            right = torch.add(right, drift, alpha=STAGE_DRIFTS[stage])
        increments.append((inverse @ right[..., None])[..., 0])
    return inside + increments[-1], increments[-1].detach() if measured else None


METHODS = {
    "explicit": Step("explicit", prince_dormand, order=8),
    "stiff": Step("stiff", rodas, order=5),
}


def method_named(name: str) -> Step:
    """The step of that name, ``"explicit"`` or ``"stiff"``.

    Raises
    ------
    InputError
        If there is none.

    Examples
    --------
    >>> method_named("stiff").order
    5
    """
    if name not in METHODS:
        raise InputError(
            f"there is no method '{name}' for differential equations; known are {', '.join(METHODS)}."
        )
    return METHODS[name]
