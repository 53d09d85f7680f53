"""Differential equations of many tasks, each with its own doses, observations and steps, solved and differentiated.

Other solvers for torch step a whole batch together (torchdiffeq) or tasks apart, too (torchode: Lienen and Günnemann
2022, arXiv 2210.12375), and adapt their steps as they go. Here a mesh of steps is planned first, for every task alone,
and then walked by a map that is smooth in all that carries gradients; doses are a part of the walk.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.ode.array_meshes import SIDE_BY_SIDE, kept_mesh
from metasci.ode.array_tangents import step_along
from metasci.ode.events import Doses, Timeline, moved, timeline
from metasci.ode.few import copies_of
from metasci.ode.fixed import FixedSteps
from metasci.ode.mesh import Forcing, Mesh, Tolerance, follow, forced, walk
from metasci.ode.methods import Rate, Step, System, method_named
from metasci.ode.plan import Plan, Solution
from metasci.ode.steady import find_repetition, steady_state
from metasci.ode.trajectory import Trajectory

__all__ = ["make_plan", "solve"]

_NUMBERS = ("amount", "time", "duration", "until")
"""Of doses, what may depend on parameters."""


def _system(
    rate: Rate, parameters: Mapping[str, Any], initial: Tensor, shared: Collection[str], doses: Doses
) -> System:
    """The rate with its parameters, of which some are the same for all tasks, and some are held from event to event."""
    if twice := sorted(set(doses.held) & set(parameters)):
        raise InputError(f"held: '{twice[0]}' is a parameter, too; it is either told by events or not.")
    parameters = {**parameters, **{name: values[:, 0] for name, values in doses.held.items()}}
    if odd := sorted(set(shared) - set(parameters)):
        raise InputError(
            f"shared: '{odd[0]}' is not a parameter; the parameters are {', '.join(parameters) or 'none'}."
        )
    system = System(rate, parameters, *initial.shape)
    return replace(system, own=(system.own or frozenset()) - set(shared), held=tuple(doses.held))


def _checked(
    initial: Tensor, times: Tensor, doses: Doses | None, start: Tensor | float
) -> tuple[Doses, Tensor]:
    if initial.dim() != 2 or times.dim() != 2 or len(initial) != len(times):
        raise InputError(
            "differential equation: needs an initial state (task, state) and times (task, observation), not "
            f"{tuple(initial.shape)} and {tuple(times.shape)}."
        )
    for name, values in (("initial state", initial), ("times", times)):
        if not values.is_floating_point():
            raise InputError(
                f"differential equation: the {name} must be real floating point numbers, not {values.dtype}."
            )
    if not len(initial):
        raise InputError("differential equation: there is no task to solve it for.")
    if doses is None:
        doses = Doses.none(times)
    if len(doses.time) != len(times):
        raise InputError(f"differential equation: doses of {len(doses.time)} tasks, times of {len(times)}.")
    if doses.into.numel() and not bool(((doses.into >= 0) & (doses.into < initial.shape[1])).all()):
        raise InputError(f"doses: 'into' must be a state between 0 and {initial.shape[1] - 1}.")
    begin = torch.as_tensor(start, dtype=times.dtype, device=times.device).expand(len(times))
    return doses, begin


def make_plan(
    rate: Rate,
    initial: Tensor,
    times: Tensor,
    parameters: Any,
    doses: Doses | None = None,
    *,
    start: Tensor | float = 0.0,
    method: str = "explicit",
    relative: float = 1e-8,
    absolute: Tensor | float = 1e-10,
    most: int = 1000,
    shared: Collection[str] = (),
) -> Plan:
    """Choose steps for `solve`, whose arguments these are.

    Examples
    --------
    >>> one = torch.ones(1, 1, dtype=torch.float64)
    >>> decay = lambda time, state, parameters: -parameters["rate"][:, None] * state
    >>> plan = make_plan(decay, one, 3.0 * one, {"rate": one[0]})
    >>> bool(plan.converged), plan.halved().steps.item() == 2 * plan.steps.item()
    (True, True)
    """
    step = method_named(method)
    if not 0.0 <= relative < 1.0:
        raise InputError(
            f"differential equation: relative={relative!r} is not a share of the state; say 1e-8 or so."
        )
    doses, begin = _checked(initial, times, doses, start)
    allowed = torch.as_tensor(absolute, dtype=initial.dtype, device=initial.device)
    moving = {name: value for name, value in parameters.items() if isinstance(value, Tensor)}
    plans: list[Plan] = []
    beside = len(_NUMBERS) + len(doses.held)

    def work(initial: Tensor, times: Tensor, allowed: Tensor, *values: Tensor) -> None:
        columns, held_values, rest = values[:4], values[4:beside], values[beside:]
        known = {**parameters, **dict(zip(moving, rest, strict=True))}
        held = dict(zip(doses.held, held_values, strict=True))
        plain_doses = replace(doses, **dict(zip(_NUMBERS, columns, strict=True)), held=held)
        plain = replace(_system(rate, known, initial, shared, plain_doses), plain=True)
        plain.check(begin, initial)
        own = [value for name, value in plain.parameters.items() if name in (plain.own or ())]
        of_tasks = (initial, times, begin, *columns, *held_values, *own)
        copies, begun = copies_of(plain, begin, initial, of_tasks), begin
        if copies:  # all copies of a task take the same way
            some = torch.arange(len(initial) // copies)
            plain, plain_doses = replace(plain.select(some), copies=1), plain_doses.select(some)
            initial, times, begun = initial[some], times[some], begin[some]
            allowed = allowed[some] if allowed.dim() == 2 and len(allowed) > 1 else allowed
        line, tolerance = timeline(times, plain_doses, begun), Tolerance(relative, allowed, most)
        plan = _planned(step, plain, line, initial, plain_doses, tolerance)
        plans.append(plan.repeated(copies) if copies else plan)

    columns = (getattr(doses, name) for name in _NUMBERS)
    values = (initial, times, allowed, *columns, *doses.held.values(), *moving.values())
    _Plainly.apply(work, *(value.detach() for value in values))
    return plans[0]


class _Plainly(torch.autograd.Function):
    """Works with tensors as they are beneath `torch.func.jvp`, which makes every operation twice as slow."""

    @staticmethod
    def forward(work: Callable[..., None], *values: Tensor) -> Tensor:
        work(*values)
        return values[0].new_zeros(0)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> None:
        return None


def _planned(
    step: Step, system: System, line: Timeline, initial: Tensor, doses: Doses, tolerance: Tolerance
) -> Plan:
    """The plan of values without gradients or tangents."""
    repetitions = [
        find_repetition(step, system, initial, doses, events, tolerance) for events in line.steady.unbind(1)
    ]
    steady = [initial.index_copy(0, each.tasks, each.state) for each in repetitions]
    mesh, nodes, error = kept_mesh(step, system, line, forced(line, initial, steady, doses), tolerance)
    converged = torch.isfinite(error)
    for each in repetitions:
        error = error.index_copy(0, each.tasks, torch.maximum(error[each.tasks], each.error))
        converged = converged.index_copy(0, each.tasks, converged[each.tasks] & each.converged)
    # what cannot be followed stands still, so that it spoils no gradient of another task
    lost = torch.isinf(error)
    nodes = torch.where(lost[:, None, None], initial[:, None], nodes)
    sound = converged & (error <= 1.0)
    return Plan(step, tolerance, line, mesh.stopped(lost), nodes, tuple(repetitions), error, sound)


def solve(
    rate: Rate,
    initial: Tensor,
    times: Tensor,
    parameters: Any,
    doses: Doses | None = None,
    *,
    start: Tensor | float = 0.0,
    method: str = "explicit",
    relative: float = 1e-8,
    absolute: Tensor | float = 1e-10,
    most: int = 1000,
    plan: Plan | None = None,
    shared: Collection[str] = (),
) -> Solution:
    """Solve d state/dt = rate(time, state, parameters) for many tasks.

    Derivatives of the states by whatever enters `initial`, `parameters` and the doses' amounts are those of the
    walk along a fixed mesh: reverse mode, forward mode (`torch.func.jvp`) and either through the other, to the third
    order, and to the second where there are steady states. By the times of observation there is the first derivative,
    in reverse mode. Times of doses and durations of infusions have the same derivatives as amounts, as long as their
    order stays: so lags and absorption at an even rate are parameters.

    Parameters
    ----------
    rate : callable
        ``rate(time (task,), state (task, state), parameters)``, of the state's shape, of any number of tasks:
        all that differs from task to task must come through `parameters`.
    initial : Tensor, (task, state)
    times : Tensor, (task, observation)
        In any order, repeated or not. An observation at the time of a dose or reset is made just after it, and one
        that is earlier, be it by a rounding error, before it.
    parameters : mapping of str to Tensor or float
        A tensor whose first dimension is the number of tasks has one value a task, unless it is named in `shared`.
    doses : Doses, optional
    start : float or Tensor (task,)
        When the state is the initial one; a task whose first dose is earlier starts at that. Observations before
        see the initial state.
    method : {"explicit", "stiff"}
        Prince and Dormand 1981, of order 8, or Rodas5P (Steinebach 2023) for rates that differ by orders of magnitude.
    relative, absolute : float
        Each step may err by ``absolute + relative·|state|`` in each state; `absolute` may be a Tensor (state,)
        or (task, state). In single precision `relative` is at least about 2e-6.
    most : int
        Attempted steps between two breaks of a task (doses, their ends, resets), at most; a task that needs
        more is stepped from break to break from there on, and the error reported.
    plan : Plan, optional
        Steps to take, from `make_plan`; the five arguments before then do not count, and the error is measured anew.
    shared : collection of str
        Parameters that are the same for all tasks. They must be named where their first dimension is the number of
        tasks, or may become it; a rate in which tasks do not stand for themselves is refused.

    Returns
    -------
    Solution

    Raises
    ------
    InputError
        If shapes do not fit, a time is not finite, there is no such method, the rate fails, or what becomes of a task
        depends on the others.

    Examples
    --------
    >>> one = torch.ones(1, 1, dtype=torch.float64)
    >>> decay = lambda time, state, parameters: -parameters["rate"][:, None] * state
    >>> solution = solve(decay, 0.0 * one, one, {"rate": one[0]}, Doses(amount=2.0 * one, time=0.0 * one))
    >>> round(solution.states.item(), 8)  # 2/e
    0.73575888
    >>> bool(solution.converged)
    True
    """
    ready = plan is not None
    doses, begin = _checked(initial, times, doses, start)

    def planned(slack: float = 1.0) -> Plan:
        return make_plan(
            rate,
            initial,
            times,
            parameters,
            doses,
            start=start,
            method=method,
            relative=slack * relative,
            absolute=slack * absolute,
            most=most,
            shared=shared,
        )

    fixed = FixedSteps.current()
    if plan is None and fixed is not None:
        return _followed(
            fixed.next(planned),
            _system(rate, parameters, initial, shared, doses),
            initial,
            times,
            doses,
            begin,
        )
    plan = plan or planned()
    system = _system(rate, parameters, initial, shared, doses).with_tangents(
        initial, doses.amount, doses.time, doses.duration, *doses.held.values()
    )
    line, mesh = plan.line, _moved(plan, times, doses, begin)
    begun = plan.mesh.time[:, 0]
    latest = torch.maximum(times.detach().amax(1), begun) if times.shape[1] else begun
    if not torch.equal(latest, line.breaks[:, -1]) or line.arrival.shape != doses.time.shape:
        raise InputError("differential equation: the plan was made for other times or doses.")
    error, converged = plan.error, plan.converged
    differentiated = torch.is_grad_enabled() or system.still is not None
    side_by_side = len(initial) <= SIDE_BY_SIDE * plan.copies and not system.shared_move
    if system.still is not None and not ready and not torch.is_grad_enabled() and side_by_side:
        system = replace(system, copies=plan.copies)
    anew = plan.tolerance if ready else None
    repeated = [
        steady_state(plan.step, system, initial, doses, each, anew)
        if ready or differentiated
        else initial.index_copy(0, each.tasks, each.state)
        for each in plan.repetitions
    ]
    forcing, nodes = forced(line, initial, repeated, doses), plan.nodes
    if ready:
        plain = forcing.detach()
        nodes, error = walk(plan.step, system.detach(), mesh.detach(), plain, plan.tolerance)
        converged = (error <= 1.0) & _steady_still(plan, system, repeated, doses)
    if differentiated:
        nodes = Trajectory(plan.step, mesh, nodes).states(system, forcing)
    observed = _observed(plan.step, system, mesh, forcing, nodes, times)
    lost = torch.isinf(plan.error) | torch.isinf(error)
    observed = torch.where(lost[:, None, None], torch.nan, observed)
    return Solution(observed, error, plan.steps, converged)


def _moved(plan: Plan, times: Tensor, doses: Doses, begin: Tensor) -> Mesh:
    """The plan's mesh, moved with the breaks where these have gradients or are other ones."""
    off = moved(plan.line, times.detach(), doses, begin)
    return plan.mesh if off is None else plan.mesh.moved(plan.line.breaks, off)


def _followed(
    plan: Plan, system: System, initial: Tensor, times: Tensor, doses: Doses, begin: Tensor
) -> Solution:
    """The solution along steps that stay, as a plain sequence of operations; the error is the plan's own."""
    if plan.repetitions:
        raise InputError(
            "differential equation: doses at steady state cannot be followed along steps that stay."
        )
    forcing = forced(plan.line, initial, [], doses)
    mesh = _moved(plan, times, doses, begin)
    nodes = follow(plan.step, system, mesh, forcing)
    observed = _observed(plan.step, system, mesh, forcing, nodes, times)
    return Solution(observed, plan.error, plan.steps, plan.converged)


def _observed(
    step: Step, system: System, mesh: Mesh, forcing: Forcing, nodes: Tensor, times: Tensor
) -> Tensor:
    """The states at any times, (task, time, state): one shorter step from the node before, all side by side."""
    tasks, width = times.shape
    states = nodes.shape[2]
    node = mesh.before(times)
    every = torch.arange(tasks, device=times.device).repeat_interleave(width)
    many = system.select(every)

    def rows_at(values: Tensor, place: Tensor) -> Tensor:
        width = values.shape[2]
        return values.gather(1, place[..., None].expand(-1, -1, width)).reshape(-1, width)

    begun = times.detach() >= mesh.time[:, :1].detach()
    time = mesh.time.gather(1, node)
    size = torch.where(begun, times.detach() - time, 0.0).reshape(-1)
    supply = (
        None if forcing.supply is None else many.dense(rows_at(forcing.supply, mesh.place.gather(1, node)))
    )
    at, before = many.dense(time.reshape(-1)), rows_at(nodes, node)
    if many.copies:
        observed = step_along(step, many, at, before, size, supply)
    else:
        observed, _ = step(many, at, before, many.dense(size), supply, False)
    if times.requires_grad:
        inside, running = many.within(supply)
        slope = inside.slope(times.detach().reshape(-1), observed, running)
        observed = observed + slope * (times - times.detach()).reshape(-1, 1)
    return torch.where(begun[..., None], observed.reshape(tasks, width, states), forcing.initial[:, None])


def _steady_still(plan: Plan, system: System, repeated: list[Tensor], doses: Doses) -> Tensor:
    """Whether the steady states of a ready-made plan come back to themselves, (task,)."""
    sound = torch.ones(system.tasks, dtype=torch.bool, device=doses.time.device)
    with torch.no_grad():
        for each, state in zip(plan.repetitions, repeated, strict=True):
            here = state.detach()
            once = replace(each, state=here[each.tasks])
            again = steady_state(plan.step, system.detach(), here, doses, once, plan.tolerance)
            close = plan.tolerance.ratio(again - here, here, again) <= 10.0
            sound = sound & close
    return sound
