"""The outer loop: what a meta-gradient does to everything learned, and meta-training on episodes drawn anew.

The outer rules are the inner ones. All of the state is tensors with names, so a checkpoint holds it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metasci.errors import InputError
from metasci.files import State, tensor_bytes
from metasci.meta.adaptation.inner import InnerRule, Memory, Parameters
from metasci.meta.adaptation.rules import Adam, GradientDescent
from metasci.meta.compositions.adapting import meta_gradient
from metasci.meta.compositions.chunks import in_chunks
from metasci.meta.compositions.composition import Composition, begins
from metasci.meta.compositions.described import described
from metasci.meta.compositions.distributed import reduced, shard
from metasci.meta.compositions.episode import Episode, which_are_asked
from metasci.meta.compositions.training import iterate
from metasci.meta.compositions.validation import Validation, best, history, validated
from metasci.meta.compositions.watching import Moment, Watcher

__all__ = [
    "Gradient",
    "Outer",
    "OuterState",
    "Trained",
    "finite_meta_gradient",
    "meta_train",
    "outer_state",
    "outer_step",
]

_OUTER, _KEPT = "outer/", "kept/"
Gradient = Callable[[Any, Parameters], tuple[Tensor, Parameters]]


@dataclass(frozen=True)
class Outer:
    """How learned tensors follow their meta-gradient.

    Parameters
    ----------
    iterations : int
    learning_rate : float
    rule : "adam" or "descent"
    schedule : "constant" or "cosine"
        Whether the learning rate falls to zero along a cosine.
    clip : float
        Greatest length of the meta-gradient; longer ones are shortened.
    decay : tuple of float
        β₁ and β₂ of Adam.
    rates : dict of float
        Learning rates of parts, by how their names begin (a number is read whole), in place of `learning_rate`:
        ``{"body.": 1e-4, "rule/": 0.01}``. The longest beginning that fits holds; zero leaves a part as it is.
    """

    iterations: int = 1000
    learning_rate: float = 1e-3
    rule: str = "adam"
    schedule: str = "constant"
    clip: float = math.inf
    decay: tuple[float, float] = (0.9, 0.999)
    rates: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.rule not in ("adam", "descent"):
            raise InputError(f"rule: '{self.rule}' is not an outer rule; say 'adam' or 'descent'.")
        if self.schedule not in ("constant", "cosine"):
            raise InputError(f"schedule: '{self.schedule}' is not known; say 'constant' or 'cosine'.")
        if not isinstance(self.iterations, Integral) or self.iterations < 0:
            raise InputError(f"iterations: {self.iterations!r} is not a number of iterations.")
        for name, rate in {"learning_rate": self.learning_rate, **self.rates}.items():
            if not isinstance(rate, Real) or not (math.isfinite(rate) and rate >= 0):
                raise InputError(
                    f"{name}: {rate!r} is not a learning rate; it must be a number from zero on."
                )
        if not isinstance(self.clip, Real) or not self.clip > 0:
            raise InputError(f"clip: {self.clip!r} is not a greatest length; it must be a number above zero.")

    def rate(self, iteration: int, name: str = "") -> float:
        """Learning rate of an iteration, from 0 on, and of a part."""
        fitting = [start for start in self.rates if begins(name, start)]
        greatest = self.rates[max(fitting, key=len)] if fitting else self.learning_rate
        if self.schedule == "constant":
            return greatest
        return greatest * 0.5 * (1.0 + math.cos(math.pi * iteration / self.iterations))

    def bind(self, learned: Parameters, iteration: int) -> InnerRule:
        """The rule of an iteration."""
        sizes = {name: value.new_tensor(self.rate(iteration, name)) for name, value in learned.items()}
        return GradientDescent(sizes) if self.rule == "descent" else Adam(sizes, self.decay)


@dataclass(frozen=True)
class Trained:
    """What meta-training gave.

    Attributes
    ----------
    learned : dict of Tensor
        At the lowest loss of validation, where there was any; else at the end.
    loss : Tensor, (iteration,)
        Mean query loss of the tasks of each iteration of this run, from where it began or was resumed; NaN where
        no task gave finite numbers.
    left_out : dict
        Tasks, by their place in the draw, that turned non-finite, and in how many iterations.
    state : OuterState
        Where learning stood at the end, the outer rule's memory with it: `meta_train` goes on from there.
    validation : dict of Tensor, (look,)
        ``iteration``, ``loss`` and metrics of the tasks kept aside.
    """

    learned: Parameters
    loss: Tensor
    left_out: dict[int, int]
    state: OuterState
    validation: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class OuterState:
    """Where the outer loop stands.

    Attributes
    ----------
    learned : dict of Tensor
    memory : dict of Tensor
        The outer rule's; empty where learning is over.
    iteration : Tensor, ()
        Iterations made.
    kept : dict of Tensor
        What validation has seen, and the best state.
    """

    learned: Parameters
    memory: Memory
    iteration: Tensor
    kept: State = field(default_factory=dict)

    def tensors(self) -> State:
        """All tensors by their names in files."""
        return {
            **self.learned,
            **{_OUTER + name: value for name, value in self.memory.items()},
            **{_KEPT + name: value for name, value in self.kept.items()},
            "iteration": self.iteration,
        }

    @classmethod
    def of(cls, tensors: State) -> OuterState:
        """The state of named tensors: what is neither memory, validation's nor the iteration is learned."""
        memory = {n.removeprefix(_OUTER): value for n, value in tensors.items() if n.startswith(_OUTER)}
        kept = {n.removeprefix(_KEPT): value for n, value in tensors.items() if n.startswith(_KEPT)}
        other = (_OUTER, _KEPT)
        learned = {n: v for n, v in tensors.items() if not n.startswith(other) and n != "iteration"}
        return cls(learned, memory, tensors["iteration"], kept)


def outer_state(outer: Outer, learned: Parameters) -> OuterState:
    """The state before the first iteration: what is learned, and the outer rule's memory."""
    some = next(iter(learned.values()))
    parts = _real(learned)
    memory = outer.bind(parts, 0).init(parts)
    return OuterState(learned, memory, some.new_zeros((), dtype=torch.float64))


def outer_step(outer: Outer, state: OuterState, gradient: Parameters) -> OuterState:
    """The state after one iteration.

    Parameters
    ----------
    outer : Outer
    state : OuterState
    gradient : dict of Tensor
        Names that it lacks stay as they are.
    """
    iteration = int(state.iteration)
    gradient = _real(gradient)
    clipped = dict(gradient)
    if math.isfinite(outer.clip):
        length = math.sqrt(sum(float(slope.square().sum()) for slope in gradient.values()))
        share = min(1.0, outer.clip / max(length, 1e-300))
        clipped = {name: share * slope for name, slope in gradient.items()}
    change, memory = outer.bind(clipped, iteration).update(clipped, state.memory, iteration)
    parts = _real(state.learned)
    moved = {name: parts[name] + change[name] for name in change}
    learned = {
        **state.learned,
        **{n: torch.view_as_complex(v) if state.learned[n].is_complex() else v for n, v in moved.items()},
    }
    return OuterState(learned, {**state.memory, **memory}, state.iteration + 1.0, state.kept)


def _real(tensors: Parameters) -> Parameters:
    """Complex tensors as their real and imaginary parts, each of which moves by itself, as in torch's optimisers."""
    return {n: torch.view_as_real(v.resolve_conj()) if v.is_complex() else v for n, v in tensors.items()}


def finite_meta_gradient(
    episode: Episode, learned: Parameters, gradient: Gradient
) -> tuple[Tensor, Parameters, Tensor]:
    """Query losses, the meta-gradient without the tasks that turn non-finite, and which tasks are in it.

    Parameters
    ----------
    episode : Episode
    learned : dict of Tensor
    gradient : callable
        Of an episode and the learned tensors.

    Returns
    -------
    loss : Tensor, (task,)
        NaN where a task was left out.
    gradient : dict of Tensor
        Zero if no task remains.
    used : Tensor of bool, (task,)
    """
    if not len(episode):  # the share of a process that has more company than there are tasks
        some = next(iter(learned.values()))
        nothing = {name: torch.zeros_like(value) for name, value in learned.items()}
        return some.new_zeros(0), nothing, some.new_ones(0, dtype=torch.bool)
    loss, slopes = gradient(episode, learned)
    used = torch.ones(len(episode), dtype=torch.bool, device=loss.device)
    if _finite(slopes) and bool(torch.isfinite(loss).all()):
        return loss, slopes, used
    for task in range(len(episode)):
        alone, own = gradient(episode.select(torch.tensor([task], device=loss.device)), learned)
        used[task] = _finite(own) and bool(torch.isfinite(alone).all())
    index = used.nonzero()[:, 0]
    loss = torch.full_like(loss, math.nan)
    if not len(index):
        return loss, {name: torch.zeros_like(value) for name, value in learned.items()}, used
    loss[index], slopes = gradient(episode.select(index), learned)
    return loss, slopes, used


def meta_train(
    composition: Composition,
    draw: Callable[[int], Episode],
    learned: Parameters,
    outer: Outer | None = None,
    *,
    seed: int = 0,
    compile: bool | None = None,
    chunk: int | None = None,
    validation: Validation | None = None,
    watchers: Sequence[Watcher] = (),
    state: OuterState | None = None,
    checkpoint: str | Path | None = None,
    every: float = 10.0,
    progress: bool = False,
    after: Callable[[Parameters, Episode], Parameters] | None = None,
) -> Trained:
    """Learn from episodes drawn anew in every iteration.

    Under ``torchrun`` (once `metasci.meta.compositions.distributed.joined` has been entered) each process takes its
    share of the tasks; the result is that of one process but for the order of sums.

    Parameters
    ----------
    composition : Composition
    draw : callable
        Gives the episode of an integer; the same integer must give the same episode.
    learned : dict of Tensor
        From `initial`.
    outer : Outer, optional
    seed : int
        Iteration i draws the episode ``seed * 1_000_003 + i``.
    compile : bool, optional
        Whether to trace and compile the meta-gradient. Takes half a minute at first; every episode must then
        have the same shapes. By default it is done where it can be and so many iterations are asked for that it pays
        (`metasci.meta.compositions.compiled.worth_compiling`).
    chunk : int, optional
        Most tasks whose graph is in memory at a time; by default all of an episode. The result is the same but for the
        order of sums.
    validation : Validation, optional
        Tasks kept aside: learning is judged on them, stops early if asked to, and gives the best state.
    watchers : sequence of callable
        Called with a `metasci.meta.compositions.watching.Moment` after every iteration; learning stops if one returns
        True.
    state : OuterState, optional
        Where to go on from, with the outer rule's memory: `Trained.state` of a run before. Its tensors take the
        place of `learned`, whose names are kept.
    checkpoint : path, optional
        Where to keep the state; if the file exists, learning goes on from it. With a constant schedule `outer` may ask
        for more iterations than the run that wrote it; the result is that of one run.
    every : float
        Seconds between checkpoints.
    progress : bool
    after : callable, optional
        Called with the learned tensors and the iteration's episode once the step is made; gives the learned tensors to
        go on with. By default the episode's own ``refreshed``, if it has one: running averages of batch normalisation.

    Returns
    -------
    Trained

    Raises
    ------
    InputError
        If in the first iteration no task gives finite numbers, or the checkpoint belongs to another run.
    """
    outer = outer or Outer()
    for start in outer.rates:
        # one outer step serves several methods, of which some learn nothing of their inner rule
        if not (start.startswith("rule/") or any(begins(name, start) for name in learned)):
            raise InputError(
                f"rates: nothing that is learned begins with '{start}'; there are {', '.join(learned)}."
            )
    _check_learned(learned)
    seed = _whole(seed)
    after = _refresh if after is None else after
    left_out: Counter[int] = Counter()
    losses: list[Tensor] = []
    first = _drawn(draw, seed * 1_000_003)
    gradient = _gradient(composition, first, learned, outer, compile, chunk)
    names, stopped = list(learned), False
    begun = outer_state(outer, learned) if state is None else _going_on(state, learned)

    def improve(state: OuterState) -> OuterState:
        episode = _drawn(draw, seed * 1_000_003 + int(state.iteration))
        if not len(episode):
            raise InputError("an episode was drawn that has no tasks; give one at least.")
        index = shard(len(episode))
        own = episode if index is None else episode.select(index)
        # in the caller's order, which a file does not keep
        here = {name: state.learned[name] for name in names}
        loss, slopes, used = finite_meta_gradient(own, here, gradient)
        judged = which_are_asked(own).to(used.device)
        mean, slopes, used = reduced(loss, slopes, used & judged, len(episode))
        none = not bool(used.any())
        if none and not int(state.iteration):
            raise InputError(
                "the first iteration: no task of the episode gave finite numbers; look at its inputs and targets, or "
                "take a smaller step size."
            )
        left_out.update((~used & which_are_asked(episode).to(used.device)).nonzero()[:, 0].tolist())
        losses.append(mean * math.nan if none else mean)
        new = outer_step(outer, state, slopes)
        refreshed = after({name: new.learned[name] for name in names}, episode)
        return watched(replace(new, learned={**new.learned, **refreshed}))

    def watched(new: OuterState) -> OuterState:
        nonlocal stopped
        here, iteration, seen = {name: new.learned[name] for name in names}, int(new.iteration), {}
        if validation is not None and validation.due(iteration):
            new = replace(new, kept=validated(validation, composition, here, iteration, new.kept))
            seen = {
                name: float(values[-1]) for name, values in history(new.kept).items() if name != "iteration"
            }
        if watchers:
            moment = Moment(iteration, float(losses[-1]), here, seen)
            answers = [watch(moment) for watch in watchers]  # every one of them is to be asked
            stopped = any(answer is True for answer in answers)
        return new

    def finished(state: OuterState) -> bool:
        enough = validation is not None and validation.stops(state.kept)
        return stopped or enough or float(state.iteration) >= outer.iterations

    end = iterate(
        lambda: begun,
        improve,
        finished,
        OuterState.of,
        run=_run(composition, begun.learned, outer, seed, first),
        checkpoint=None if checkpoint is None else Path(checkpoint),
        every=every,
        title="meta-training",
        total=outer.iterations,
        progress=progress,
        device=next(iter(learned.values())).device,
    )
    final = (best(end.kept) if validation is not None else {}) or end.learned
    loss = torch.stack(losses) if losses else torch.zeros(0)
    return Trained({name: final[name] for name in names}, loss, dict(left_out), end, history(end.kept))


def _gradient(
    composition: Composition,
    first: Episode,
    learned: Parameters,
    outer: Outer,
    compile: bool | None,
    chunk: int | None,
) -> Gradient:
    """The meta-gradient as it is computed: compiled or not, in parts or not."""
    from metasci.meta.compositions.compiled import compile_meta_gradient, worth_compiling

    gradient: Gradient = partial(meta_gradient, composition)
    index = shard(len(first))
    example = first if index is None else first.select(index)
    if chunk is not None and 0 < chunk < len(example):
        example = example.select(torch.arange(chunk))
    wanted = worth_compiling(composition, example, outer.iterations) if compile is None else compile
    if wanted and len(example):
        gradient = compile_meta_gradient(composition, example, learned)
    return gradient if chunk is None else in_chunks(gradient, chunk, composition.gradient)


def _drawn(draw: Callable[[int], Episode], seed: int) -> Episode:
    """The episode of an integer, if it is one."""
    if not callable(draw):
        raise InputError(
            f"draw: give a function from an integer to an episode, not a {type(draw).__name__}; `lambda seed: episode` "
            "draws the same tasks again."
        )
    episode = draw(seed)
    if not all(hasattr(episode, part) for part in ("start", "support", "query", "select", "__len__")):
        raise InputError(
            f"draw: it gives a {type(episode).__name__}, and not an episode, such as `NetworkEpisode`, of all tasks."
        )
    return episode


def _whole(seed: Any) -> int:
    if not isinstance(seed, Integral):
        raise InputError(f"seed: {seed!r} is not a whole number.")
    return int(seed)


def _check_learned(learned: Parameters) -> None:
    """Refuse what no gradient could move."""
    for name, value in learned.items():
        if not isinstance(value, Tensor) or not (value.is_floating_point() or value.is_complex()):
            what = f"of {value.dtype}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
            raise InputError(
                f"'{name}' is to be learned, and is {what}; give tensors of floating-point numbers, as `initial` does."
            )


def _going_on(state: OuterState, learned: Parameters) -> OuterState:
    """The state to go on from, refused where it is of other tensors."""
    for name, value in learned.items():
        if name not in state.learned or state.learned[name].shape != value.shape:
            raise InputError(f"state: it is of other tensors than are to be learned; '{name}' does not fit.")
    return state


def _refresh(learned: Parameters, episode: Any) -> Parameters:
    refreshed: Parameters = episode.refreshed(learned) if hasattr(episode, "refreshed") else learned
    return refreshed


def _finite(slopes: Parameters) -> bool:
    return all(bool(torch.isfinite(slope).all()) for slope in slopes.values())


def _run(composition: Composition, learned: Parameters, outer: Outer, seed: int, first: Episode) -> str:
    # what was learned at a constant rate does not depend on how many iterations were to follow
    plan = replace(outer, iterations=0) if outer.schedule == "constant" else outer
    run = [described(composition), [(n, list(v.shape)) for n, v in learned.items()], repr(plan), seed]
    digest = hashlib.sha256(json.dumps(run).encode())
    shown: list[Tensor] = []
    if hasattr(first, "tensors"):
        tree_map(lambda tensor: shown.append(tensor), first.tensors())
    for value in (*learned.values(), *shown):
        digest.update(tensor_bytes(value))
    return digest.hexdigest()
