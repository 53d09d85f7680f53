"""Adaptation by a composition, and the meta-gradient through it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.meta.adaptation.checkpointing import segment_length, unroll_in_segments
from metasci.meta.adaptation.implicit import conjugate_gradients, implicit_gradient, neumann_series, newton
from metasci.meta.adaptation.inner import InnerRule, Loss, Parameters, Visit, by_step, takes, unroll
from metasci.meta.adaptation.slopes import slopes as slopes_of
from metasci.meta.compositions.composition import PROXIMAL, RULE, Composition
from metasci.meta.compositions.episode import Episode, asked
from metasci.meta.compositions.gradients import Displacement, Exact, Implicit

__all__ = ["adapt", "adapted_from", "meta_gradient", "query_loss"]


def adapt(
    composition: Composition, episode: Episode, learned: Parameters, visit: Visit | None = None
) -> Parameters:
    """Adapt every task to its support; returns adapted and shared parameters, without a graph.

    Parameters
    ----------
    composition : Composition
    episode : Episode
        Its query is not looked at.
    learned : dict of Tensor
    visit : callable, optional
        Called at the start and after every step with all parameters.
    """
    fixed = {name: value.detach() for name, value in learned.items()}
    moving, shared, rule = _parts(composition, episode, fixed)
    see: Visit | None = None
    if visit is not None:

        def see(step: int, here: Parameters) -> None:
            visit(step, {**shared, **here})

    bound = composition.rule.bind(moving, rule, composition.steps)
    objective = _inner_objective(composition, episode, moving, shared, fixed)
    adapted = unroll(objective, moving, bound, composition.steps, second_order=False, visit=see)
    how = composition.gradient
    if isinstance(how, Implicit) and takes(episode.support, "step"):
        raise InputError(
            "an implicit meta-gradient is that of one inner problem's solution, but the support's loss changes with "
            "the step: take an exact or a first-order one."
        )
    if isinstance(how, Implicit) and how.newton:
        adapted = newton(objective, adapted, how.newton, how.iterations)
    return {**shared, **{name: value.detach() for name, value in adapted.items()}}


def adapted_from(
    composition: Composition, episode: Episode, learned: Parameters
) -> tuple[Parameters, Parameters]:
    """Every task's start as leaves of its own, and the adapted parameters as an exact function of it.

    The pull of a proximal problem goes to the same start.
    """
    moving, shared, rule = _parts(composition, episode, learned)
    leaves = {name: value.detach().requires_grad_() for name, value in moving.items()}
    bound = composition.rule.bind(leaves, rule, composition.steps)
    objective = _inner_objective(composition, episode, leaves, shared, learned)
    return leaves, unroll(objective, leaves, bound, composition.steps)


def query_loss(composition: Composition, episode: Episode, learned: Parameters) -> Tensor:
    """Loss of every task's query after adaptation, (task,), differentiable through it as the composition says."""
    moving, shared, rule = _parts(composition, episode, learned)
    how = composition.gradient
    exact = isinstance(how, Exact)
    if isinstance(how, Exact) and how.segment is not None:
        adapted = _in_segments(composition, how.segment, episode, moving, shared, rule, learned)
        return episode.query({**shared, **adapted})
    objective = _inner_objective(composition, episode, moving, shared, learned)
    bound = composition.rule.bind(moving, rule, composition.steps)
    if not composition.trajectory:
        adapted = unroll(objective, moving, bound, composition.steps, exact)
        return episode.query({**shared, **adapted})
    losses: list[Tensor] = []

    def judge(step: int, here: Parameters) -> None:
        if step > 0:
            losses.append(episode.query({**shared, **here}))

    unroll(objective, moving, bound, composition.steps, exact, judge)
    return torch.stack(losses).mean(0)


def meta_gradient(
    composition: Composition, episode: Episode, learned: Parameters
) -> tuple[Tensor, Parameters]:
    """Query loss of every task, (task,), and the gradient of its mean for everything learned.

    The mean is over the tasks that have a query (`asked`). Every scalar among the learned tensors that the losses read
    (a penalty's weight, a noise scale, a step size) gets its hypergradient in the same way.

    Parameters
    ----------
    composition : Composition
    episode : Episode
    learned : dict of Tensor

    Returns
    -------
    loss : Tensor, (task,)
    gradient : dict of Tensor
        Zero for what is not learned.
    """
    free = {name: value.detach().requires_grad_() for name, value in learned.items()}
    with torch.enable_grad():  # whoever asks for a gradient wants one, under `torch.no_grad()` too
        if isinstance(composition.gradient, Displacement):
            loss, gradient = _displacement(composition, episode, free)
        elif isinstance(composition.gradient, Implicit):
            loss, gradient = _implicit(composition, composition.gradient, episode, free)
        else:
            each = query_loss(composition, episode, free)
            slopes = slopes_of(_mean(episode, each), list(free.values()), allow_unused=True)
            loss, gradient = each.detach(), dict(zip(free, slopes, strict=True))
    slopes_or_zero: Parameters = {}
    for name, value in learned.items():
        slope = gradient.get(name) if _learns(composition, name) else None
        slopes_or_zero[name] = torch.zeros_like(value) if slope is None else slope
    return loss, slopes_or_zero


def _mean(episode: Episode, each: Tensor) -> Tensor:
    """Mean over the tasks that have a query."""
    judged = asked(episode)
    if judged is None:
        return each.mean()
    return torch.where(judged, each, 0.0).sum() / judged.sum().clamp(min=1)


def _shares(episode: Episode, like: Tensor) -> Tensor | None:
    """Of each task in that mean; None where all are in it."""
    judged = asked(episode)
    return None if judged is None else judged.to(like.dtype) / judged.sum().clamp(min=1).to(like.dtype)


def _learns(composition: Composition, name: str) -> bool:
    return composition.start_learned or name.startswith(RULE)


def _parts(
    composition: Composition, episode: Episode, learned: Parameters
) -> tuple[Parameters, Parameters, Parameters]:
    """What moves, what stays, and what the rule has learned."""
    rule = {name.removeprefix(RULE): value for name, value in learned.items() if name.startswith(RULE)}
    start, shared = episode.start({name: v for name, v in learned.items() if not name.startswith(RULE)})
    moving = {name: value for name, value in start.items() if composition.is_adapted(name)}
    return moving, {**shared, **{n: v for n, v in start.items() if n not in moving}}, rule


def _inner_objective(
    composition: Composition, episode: Episode, start: Parameters, shared: Parameters, learned: Parameters
) -> Loss:
    """The support's loss, with the pull towards the start if there is one."""
    strength, support = _strength(composition, learned), by_step(episode.support)

    def objective(here: Parameters, step: int = 0) -> Tensor:
        cost = support({**shared, **here}, step)
        return cost if strength is None else cost + _pull(here, start, strength)

    return objective


def _strength(composition: Composition, learned: Parameters) -> Tensor | float | None:
    if composition.learn_proximal:
        return learned[PROXIMAL].exp()
    return composition.proximal or None


def _pull(here: Parameters, start: Parameters, strength: Tensor | float) -> Tensor:
    distance = torch.stack([(here[name] - start[name]).square().flatten(1).sum(1) for name in here]).sum(0)
    return 0.5 * strength * distance


def _in_segments(
    composition: Composition,
    segment: int | str,
    episode: Episode,
    moving: Parameters,
    shared: Parameters,
    rule: Parameters,
    learned: Parameters,
) -> Parameters:
    length = segment_length(composition.steps) if segment == "auto" else int(segment)
    beside = dict(shared)
    strength, support = _strength(composition, learned), by_step(episode.support)
    if strength is not None:  # the segments need their origin, and its strength, as tensors of their own
        beside |= {f"pull/{name}": value for name, value in moving.items()}
        like = next(iter(moving.values()))
        beside["pull/ strength"] = torch.as_tensor(strength, dtype=like.dtype, device=like.device)

    def loss(parameters: Parameters, step: int) -> Tensor:
        own = {name: value for name, value in parameters.items() if not name.startswith("pull/")}
        cost = support(own, step)
        if strength is None:
            return cost
        here = {name: parameters[name] for name in moving}
        origin = {name: parameters[f"pull/{name}"] for name in moving}
        return cost + _pull(here, origin, parameters["pull/ strength"])

    def bind(tensors: Parameters) -> InnerRule:
        return composition.rule.bind(moving, tensors, composition.steps)

    return unroll_in_segments(loss, moving, beside, bind, rule, composition.steps, length)


def _displacement(
    composition: Composition, episode: Episode, learned: Parameters
) -> tuple[Tensor, dict[str, Tensor | None]]:
    """Mean over tasks of start less adapted, carried back to what the start is made of; the shared follow the query."""
    adapted = adapt(composition, episode, learned)
    moving, shared, _ = _parts(composition, episode, learned)
    away = {name: (value.detach() - adapted[name]) / len(episode) for name, value in moving.items()}
    values = list(learned.values())
    slopes = list(
        slopes_of(list(moving.values()), values, list(away.values()), retain_graph=True, allow_unused=True)
    )
    loss = episode.query({**{name: adapted[name] for name in moving}, **shared})
    if loss.requires_grad:
        beside = slopes_of(_mean(episode, loss), values, allow_unused=True)
        slopes = [
            slope if other is None else other if slope is None else slope + other
            for slope, other in zip(slopes, beside, strict=True)
        ]
    return loss.detach(), dict(zip(learned, slopes, strict=True))


def _implicit(
    composition: Composition, how: Implicit, episode: Episode, learned: Parameters
) -> tuple[Tensor, dict[str, Tensor | None]]:
    adapted = adapt(composition, episode, learned)
    moving, shared, _ = _parts(composition, episode, learned)
    solve: Callable[..., Parameters] = partial(conjugate_gradients, iterations=how.iterations)
    if how.solver == "neumann":
        solve = partial(neumann_series, iterations=how.iterations, rate=how.rate)
    loss, slopes = implicit_gradient(
        _inner_objective(composition, episode, moving, shared, learned),
        lambda here: episode.query({**shared, **here}),
        {name: adapted[name] for name in moving},
        list(learned.values()),
        solve,
        _shares(episode, next(iter(learned.values()))),
    )
    return loss, dict(zip(learned, slopes, strict=True))
