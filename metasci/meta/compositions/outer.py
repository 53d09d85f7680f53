"""The outer loop: what a meta-gradient does to everything learned, and meta-training on episodes drawn anew.

The outer rules are the inner ones. All of the state is tensors with names, so a checkpoint holds it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metasci.errors import InputError
from metasci.files import State
from metasci.meta.adaptation.inner import InnerRule, Memory, Parameters
from metasci.meta.adaptation.rules import Adam, GradientDescent
from metasci.meta.compositions.adapting import meta_gradient
from metasci.meta.compositions.composition import Composition
from metasci.meta.compositions.described import described
from metasci.meta.compositions.distributed import reduced, shard
from metasci.meta.compositions.episode import Episode, which_are_asked
from metasci.meta.compositions.training import iterate

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

_OUTER = "outer/"
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
    """

    iterations: int = 1000
    learning_rate: float = 1e-3
    rule: str = "adam"
    schedule: str = "constant"
    clip: float = math.inf
    decay: tuple[float, float] = (0.9, 0.999)

    def __post_init__(self) -> None:
        if self.rule not in ("adam", "descent"):
            raise InputError(f"rule: '{self.rule}' is not an outer rule; say 'adam' or 'descent'.")
        if self.schedule not in ("constant", "cosine"):
            raise InputError(f"schedule: '{self.schedule}' is not known; say 'constant' or 'cosine'.")

    def rate(self, iteration: int) -> float:
        """Learning rate of an iteration, from 0 on."""
        if self.schedule == "constant":
            return self.learning_rate
        return self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * iteration / self.iterations))

    def bind(self, learned: Parameters, iteration: int) -> InnerRule:
        """The rule of an iteration."""
        sizes = {name: value.new_tensor(self.rate(iteration)) for name, value in learned.items()}
        return GradientDescent(sizes) if self.rule == "descent" else Adam(sizes, self.decay)


@dataclass(frozen=True)
class Trained:
    """What meta-training gave.

    Attributes
    ----------
    learned : dict of Tensor
    loss : Tensor, (iteration,)
        Mean query loss of the tasks of each iteration of this run, from where it began or was resumed; NaN where
        no task gave finite numbers.
    left_out : dict
        Tasks, by their place in the draw, that turned non-finite, and in how many iterations.
    """

    learned: Parameters
    loss: Tensor
    left_out: dict[int, int]


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
    """

    learned: Parameters
    memory: Memory
    iteration: Tensor

    def tensors(self) -> State:
        """All tensors by their names in files."""
        return {
            **self.learned,
            **{_OUTER + name: value for name, value in self.memory.items()},
            "iteration": self.iteration,
        }

    @classmethod
    def of(cls, tensors: State) -> OuterState:
        """The state of named tensors: what is neither memory nor the iteration is learned."""
        memory = {n.removeprefix(_OUTER): value for n, value in tensors.items() if n.startswith(_OUTER)}
        learned = {n: v for n, v in tensors.items() if not n.startswith(_OUTER) and n != "iteration"}
        return cls(learned, memory, tensors["iteration"])


def outer_state(outer: Outer, learned: Parameters) -> OuterState:
    """The state before the first iteration: what is learned, and the outer rule's memory."""
    some = next(iter(learned.values()))
    memory = outer.bind(learned, 0).init(learned)
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
    clipped = dict(gradient)
    if math.isfinite(outer.clip):
        length = math.sqrt(sum(float(slope.square().sum()) for slope in gradient.values()))
        share = min(1.0, outer.clip / max(length, 1e-300))
        clipped = {name: share * slope for name, slope in gradient.items()}
    change, memory = outer.bind(clipped, iteration).update(clipped, state.memory, iteration)
    learned = state.learned | {name: state.learned[name] + change[name] for name in change}
    return OuterState(learned, {**state.memory, **memory}, state.iteration + 1.0)


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
    compile: bool = False,
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
    compile : bool
        Whether to trace and compile the meta-gradient. Takes half a minute at first; every episode must then
        have the same shapes.
    checkpoint : path, optional
        Where to keep the state; if the file exists, learning goes on from it.
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
    after = _refresh if after is None else after
    left_out: Counter[int] = Counter()
    losses: list[Tensor] = []
    gradient: Gradient = partial(meta_gradient, composition)
    if compile:
        from metasci.meta.compositions.compiled import compile_meta_gradient

        example = draw(seed * 1_000_003)
        index = shard(len(example))
        example = example if index is None else example.select(index)
        if len(example):
            gradient = compile_meta_gradient(composition, example, learned)
    names = list(learned)

    def improve(state: OuterState) -> OuterState:
        episode = draw(seed * 1_000_003 + int(state.iteration))
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
        return replace(new, learned={**new.learned, **refreshed})

    state = iterate(
        lambda: outer_state(outer, learned),
        improve,
        lambda state: float(state.iteration) >= outer.iterations,
        OuterState.of,
        run=_run(composition, learned, outer, seed, draw(seed * 1_000_003)),
        checkpoint=None if checkpoint is None else Path(checkpoint),
        every=every,
        title="meta-training",
        total=outer.iterations,
        progress=progress,
        device=next(iter(learned.values())).device,
    )
    final = {name: state.learned[name] for name in names}
    return Trained(final, torch.stack(losses) if losses else torch.zeros(0), dict(left_out))


def _refresh(learned: Parameters, episode: Any) -> Parameters:
    refreshed: Parameters = episode.refreshed(learned) if hasattr(episode, "refreshed") else learned
    return refreshed


def _finite(slopes: Parameters) -> bool:
    return all(bool(torch.isfinite(slope).all()) for slope in slopes.values())


def _run(composition: Composition, learned: Parameters, outer: Outer, seed: int, first: Episode) -> str:
    run = [described(composition), [(n, list(v.shape)) for n, v in learned.items()], repr(outer), seed]
    digest = hashlib.sha256(json.dumps(run).encode())
    shown: list[Tensor] = []
    if hasattr(first, "tensors"):
        tree_map(lambda tensor: shown.append(tensor), first.tensors())
    for value in (*learned.values(), *shown):
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
