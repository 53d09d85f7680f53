"""Methods as compositions of three choices: an inner rule, a meta-gradient, and what is learned.

MAML, FOMAML, Reptile, Meta-SGD, ANIL, iMAML and learned optimisers are names for such compositions
(`metasci.meta.compositions.named`). A composition knows nothing of models: an `Episode` says where tasks start and
what their support and query measurements cost, and everything learned is one flat dict of tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.meta.adaptation.checkpointing import segment_length, unroll_in_segments
from metasci.meta.adaptation.implicit import conjugate_gradients, implicit_gradient, neumann_series, newton
from metasci.meta.adaptation.inner import Loss, Parameters, Visit, unroll
from metasci.meta.adaptation.rule_families import Descent, RuleFamily

__all__ = [
    "Composition", "Displacement", "Episode", "Exact", "FirstOrder", "Implicit", "MetaGradient", "adapt",
    "adapted_from", "asked", "initial", "meta_gradient", "query_loss",
]  # fmt: skip

_RULE = "rule/"
_PROXIMAL = "rule/log_proximal"


class Episode(Protocol):
    """Tasks, each with measurements that calibrate it and others that judge.

    Parameters reach the losses merged: the adapted ones, tasks first, and the shared ones.
    """

    def __len__(self) -> int:
        """How many tasks there are."""

    def start(self, learned: Parameters) -> tuple[Parameters, Parameters]:
        """Where every task starts, (task, ...), and what tasks share, both made of what is learned."""

    def support(self, parameters: Parameters) -> Tensor:
        """Loss of each task's support, (task,)."""

    def query(self, parameters: Parameters) -> Tensor:
        """Loss of each task's query, (task,)."""

    def select(self, index: Tensor) -> Episode:
        """Some of the tasks, by position."""


@dataclass(frozen=True)
class Exact:
    """The meta-gradient through every step (Finn et al. 2017, arXiv 1703.03400, eq. 1).

    Parameters
    ----------
    segment : int or "auto", optional
        Hold so many steps in memory at a time and walk them twice; ⌈√steps⌉ with ``"auto"``. By default all.
    """

    segment: int | str | None = None

    def __post_init__(self) -> None:
        whole = self.segment is None or self.segment == "auto"
        if not whole and not (isinstance(self.segment, int) and self.segment > 0):
            raise InputError(f"segment: {self.segment!r} is not a number of steps above zero, nor 'auto'.")


@dataclass(frozen=True)
class FirstOrder:
    """Inner gradients are constants to the meta-gradient (Finn et al. 2017, section 5.2)."""


@dataclass(frozen=True)
class Displacement:
    """Reptile's: move the start towards where adaptation leads, θ + ε(θ′ − θ) (Nichol et al. 2018, arXiv 1803.02999).

    The "gradient" is the tasks' mean of θ − θ′, so that descent of step size ε is Reptile to the bit. Only the
    start is learned.
    """


@dataclass(frozen=True)
class Implicit:
    """The gradient at the solution of the proximal inner problem (iMAML, Rajeswaran et al. 2019, arXiv 1909.04630).

    Any number of inner steps needs the same memory. It is exact as far as they have converged.

    Parameters
    ----------
    solver : "conjugate gradients" or "neumann"
    iterations : int
        Hessian-vector products.
    rate : float
        η of Neumann's series: below 2 over the greatest curvature.
    newton : int
        Newton steps, each by as many Hessian-vector products, after those of the inner rule: where descent would
        take very many steps to converge.
    """

    solver: str = "conjugate gradients"
    iterations: int = 20
    rate: float = 0.1
    newton: int = 0

    def __post_init__(self) -> None:
        if self.solver not in ("conjugate gradients", "neumann"):
            raise InputError(f"solver: '{self.solver}' is not known; say 'conjugate gradients' or 'neumann'.")


MetaGradient = Exact | FirstOrder | Displacement | Implicit


@dataclass(frozen=True)
class Composition:
    """A method: how tasks adapt, how the meta-gradient is taken, what is learned.

    Parameters
    ----------
    rule : RuleFamily
        The inner rule, with what is learned of it.
    steps : int
        Inner steps; with none, tasks do not adapt and learning is joint training on all of them.
    gradient : Exact, FirstOrder, Displacement or Implicit
    frozen : tuple of str
        Prefixes of parameters that are learned but not adapted (ANIL, Raghu et al. 2020, arXiv 1909.09157: all
        but the head).
    proximal : float
        λ of a pull ½λ‖φ − θ‖² towards the start in the inner problem.
    learn_proximal : bool
        Whether λ is learned, too.
    start_learned : bool
        Whether the start is learned, or stays as it is given.
    trajectory : bool
        Whether the query judges every step, not only the last (Andrychowicz et al. 2016, eq. 3).

    Raises
    ------
    InputError
        If the choices do not go together.
    """

    rule: RuleFamily = field(default_factory=Descent)
    steps: int = 1
    gradient: MetaGradient = field(default_factory=Exact)
    frozen: tuple[str, ...] = ()
    proximal: float = 0.0
    learn_proximal: bool = False
    start_learned: bool = True
    trajectory: bool = False

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise InputError(f"steps: {self.steps} is not a number of steps.")
        if isinstance(self.gradient, Implicit) and not self.proximal > 0:
            raise InputError(
                "an implicit meta-gradient needs a proximal inner problem: give `proximal` above zero."
            )
        blind = isinstance(self.gradient, Displacement | Implicit)
        if blind and not (isinstance(self.rule, Descent) and self.rule.learned == "nothing"):
            raise InputError(
                "this meta-gradient does not see how tasks get to where they end, so nothing of the inner rule can be "
                "learned by it: give a `Descent` that learns nothing."
            )
        if self.learn_proximal and isinstance(self.gradient, Displacement | FirstOrder):
            raise InputError(
                "learn_proximal: only an exact or an implicit meta-gradient sees the pull to the start."
            )
        if self.trajectory and not self.steps:
            raise InputError("trajectory: there is no way to judge without steps.")
        if self.learn_proximal and not self.proximal > 0:
            raise InputError("learn_proximal: give `proximal`, a first value above zero.")
        segmented = isinstance(self.gradient, Exact) and self.gradient.segment is not None
        if self.trajectory and (segmented or isinstance(self.gradient, Implicit | Displacement)):
            raise InputError(
                "trajectory: only an exact (in one segment) or first-order meta-gradient sees the whole way."
            )

    def is_adapted(self, name: str) -> bool:
        """Whether a parameter of the start is adapted."""
        return not any(name.startswith(prefix) for prefix in self.frozen)


def initial(composition: Composition, start: Parameters, seed: int = 0) -> Parameters:
    """Everything that a composition learns, at its first values.

    Parameters
    ----------
    composition : Composition
    start : dict of Tensor
        What tasks start from, without task dimension; whatever else the episodes' losses need may be added to
        the result.
    seed : int
        For rules that begin at random.
    """
    moving = {name: value for name, value in start.items() if composition.is_adapted(name)}
    if not moving:
        raise InputError("frozen: nothing is left to adapt; freeze less.")
    for prefix in composition.frozen:
        if not any(name.startswith(prefix) for name in start):
            raise InputError(f"frozen: no parameter begins with '{prefix}'; there are {', '.join(start)}.")
    learned = {name: value.detach().clone() for name, value in start.items()}
    of_rule = composition.rule.initial(moving, composition.steps, seed)
    learned |= {_RULE + name: value for name, value in of_rule.items()}
    if composition.learn_proximal:
        learned[_PROXIMAL] = next(iter(start.values())).new_tensor(composition.proximal).log()
    return learned


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
        see = lambda step, here: visit(step, {**shared, **here})  # noqa: E731
    bound = composition.rule.bind(moving, rule, composition.steps)
    objective = _inner_objective(composition, episode, moving, shared, fixed)
    adapted = unroll(objective, moving, bound, composition.steps, second_order=False, visit=see)
    how = composition.gradient
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
    exact = isinstance(composition.gradient, Exact)
    objective = _inner_objective(composition, episode, moving, shared, learned)
    if exact and composition.gradient.segment is not None:  # type: ignore[union-attr]
        adapted = _in_segments(composition, episode, moving, shared, rule, learned)
        return episode.query({**shared, **adapted})
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
    if isinstance(composition.gradient, Displacement):
        loss, gradient = _displacement(composition, episode, free)
    elif isinstance(composition.gradient, Implicit):
        loss, gradient = _implicit(composition, composition.gradient, episode, free)
    else:
        each = query_loss(composition, episode, free)
        slopes = torch.autograd.grad(_mean(episode, each), list(free.values()), allow_unused=True)
        loss, gradient = each.detach(), dict(zip(free, slopes, strict=True))
    return loss, {
        name: torch.zeros_like(value) if (slope := gradient.get(name)) is None or not _learns(composition,
        name) else slope for name, value in learned.items()
    }  # fmt: skip


def asked(episode: Episode) -> Tensor:
    """Which tasks have a query, (task,): what the episode says by `asked`; else all.

    Examples
    --------
    >>> class Two:
    ...     def __len__(self):
    ...         return 2
    >>> asked(Two()).tolist()
    [True, True]
    """
    told: Tensor | None = getattr(episode, "asked", None)
    return torch.ones(len(episode), dtype=torch.bool) if told is None else told


def _mean(episode: Episode, each: Tensor) -> Tensor:
    """Mean over the tasks that have a query."""
    told: Tensor | None = getattr(episode, "asked", None)
    if told is None:
        return each.mean()
    return torch.where(told, each, 0.0).sum() / told.sum().clamp(min=1)


def _shares(episode: Episode, like: Tensor) -> Tensor | None:
    """Of each task in that mean; None where all are in it."""
    told: Tensor | None = getattr(episode, "asked", None)
    return None if told is None else told.to(like.dtype) / told.sum().clamp(min=1).to(like.dtype)


def _learns(composition: Composition, name: str) -> bool:
    return composition.start_learned or name.startswith(_RULE)


def _parts(
    composition: Composition, episode: Episode, learned: Parameters
) -> tuple[Parameters, Parameters, Parameters]:
    """What moves, what stays, and what the rule has learned."""
    rule = {name.removeprefix(_RULE): value for name, value in learned.items() if name.startswith(_RULE)}
    start, shared = episode.start({name: v for name, v in learned.items() if not name.startswith(_RULE)})
    moving = {name: value for name, value in start.items() if composition.is_adapted(name)}
    return moving, {**shared, **{n: v for n, v in start.items() if n not in moving}}, rule


def _inner_objective(
    composition: Composition, episode: Episode, start: Parameters, shared: Parameters, learned: Parameters
) -> Loss:
    """The support's loss, with the pull towards the start if there is one."""
    strength = _strength(composition, learned)
    if strength is None:
        return lambda here: episode.support({**shared, **here})
    return lambda here: episode.support({**shared, **here}) + _pull(here, start, strength)


def _strength(composition: Composition, learned: Parameters) -> Tensor | float | None:
    if composition.learn_proximal:
        return learned[_PROXIMAL].exp()
    return composition.proximal or None


def _pull(here: Parameters, start: Parameters, strength: Tensor | float) -> Tensor:
    distance = torch.stack([(here[name] - start[name]).square().flatten(1).sum(1) for name in here]).sum(0)
    return 0.5 * strength * distance


def _in_segments(
    composition: Composition, episode: Episode, moving: Parameters, shared: Parameters, rule: Parameters,
    learned: Parameters,
) -> Parameters:  # fmt: skip
    segment = composition.gradient.segment  # type: ignore[union-attr]
    length = segment_length(composition.steps) if segment == "auto" else int(segment or 1)
    beside = dict(shared)
    strength = _strength(composition, learned)
    if strength is not None:  # the segments need their origin, and its strength, as tensors of their own
        beside |= {f"pull/{name}": value for name, value in moving.items()}
        beside["pull/ strength"] = torch.as_tensor(strength).to(next(iter(moving.values())))

    def loss(parameters: Parameters) -> Tensor:
        own = {name: value for name, value in parameters.items() if not name.startswith("pull/")}
        if strength is None:
            return episode.support(own)
        here = {name: parameters[name] for name in moving}
        origin = {name: parameters[f"pull/{name}"] for name in moving}
        return episode.support(own) + _pull(here, origin, parameters["pull/ strength"])

    return unroll_in_segments(
        loss, moving, beside, lambda tensors: composition.rule.bind(moving, tensors, composition.steps),
        rule, composition.steps, length,
    )  # fmt: skip


def _displacement(
    composition: Composition, episode: Episode, learned: Parameters
) -> tuple[Tensor, dict[str, Tensor | None]]:
    """Mean over tasks of start less adapted, carried back to what the start is made of; the shared follow the query."""
    adapted = adapt(composition, episode, learned)
    moving, shared, _ = _parts(composition, episode, learned)
    away = {name: (value.detach() - adapted[name]) / len(episode) for name, value in moving.items()}
    values = list(learned.values())
    slopes = list(
        torch.autograd.grad(
            list(moving.values()), values, list(away.values()), retain_graph=True, allow_unused=True
        )
    )
    loss = episode.query({**{name: adapted[name] for name in moving}, **shared})
    if loss.requires_grad:
        beside = torch.autograd.grad(_mean(episode, loss), values, allow_unused=True)
        slopes = [
            one if other is None else other if one is None else one + other
            for one, other in zip(slopes, beside, strict=True)
        ]
    return loss.detach(), dict(zip(learned, slopes, strict=True))


def _implicit(
    composition: Composition, how: Implicit, episode: Episode, learned: Parameters
) -> tuple[Tensor, dict[str, Tensor | None]]:
    adapted = adapt(composition, episode, learned)
    moving, shared, _ = _parts(composition, episode, learned)
    solve: Callable[..., Parameters] = lambda a, b: conjugate_gradients(a, b, how.iterations)  # noqa: E731
    if how.solver == "neumann":
        solve = lambda a, b: neumann_series(a, b, how.iterations, how.rate)  # noqa: E731
    loss, slopes = implicit_gradient(
        _inner_objective(composition, episode, moving, shared, learned),
        lambda here: episode.query({**shared, **here}),
        {name: adapted[name] for name in moving},
        list(learned.values()),
        solve,
        _shares(episode, next(iter(learned.values()))),
    )
    return loss, dict(zip(learned, slopes, strict=True))
