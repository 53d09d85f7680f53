"""Networks that learn from new families on top of old ones, whose data may be gone: online Laplace.

A Gaussian about what a network has learned stands in for the families that it has learned from
(`metasci.meta.networks.online_laplace`). Its precision is of a member's share of the loss that is learned from, after
adaptation to others of its family, and so of the start that families share.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from metasci.data.batch import check_measurable
from metasci.data.checksums import checksum
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.learned.base import versions
from metasci.learned.members import Members, members_of
from metasci.learned.networks import (
    SHOTS,
    LearnedNetworks,
    NetworkMethod,
    TrainedNetwork,
    episode_of,
)
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.compositions.adapting import query_loss
from metasci.meta.compositions.outer import Outer, meta_train
from metasci.meta.networks.episode import NetworkEpisode
from metasci.meta.networks.linear_head import LinearHeadEpisode
from metasci.meta.networks.online_laplace import Kept, Remembering
from metasci.priors.widths import also_judged, judged_widths

__all__ = ["TIMES", "learned_also", "remembered"]

TIMES = 10.0
"""How many times what is kept counts by default; benchmarks/families_in_turn.md says how it was chosen."""
_SHARE = 3  # one episode for so many iterations of learning: precisions are known to a quarter from thirty


def remembered(
    trained: TrainedNetwork, method: NetworkMethod, members: Members, families: Tensor
) -> TrainedNetwork:
    """The network with what it keeps of the families that it has just learned from, beside what it kept before."""
    cases = int(members.mask[families].sum())
    squares = _squares(trained, method, members, families)
    before = trained.kept or Kept.nothing(trained.start)
    kept = before.also(trained.start, {name: cases * value for name, value in squares.items()}, cases)
    return replace(trained, kept=kept)


def learned_also(prior: LearnedNetworks, tasks: TaskSet, times: float = TIMES) -> dict[str, Any]:
    """The ways and the training of a prior that has learned from new families, too, as fields to replace.

    Raises
    ------
    InputError
        If the prior keeps nothing of its families, or nothing of the new ones was measured.
    """
    began, method = time.perf_counter(), prior.method
    if not prior.ways:
        raise InputError(f"the networks of '{prior.name}' are still to be learned: use `retrain`.")
    if any(trained.kept is None for networks in prior.ways.values() for trained in networks):
        raise InputError(
            f"the prior '{prior.name}' was saved without what stands in for its families: learn it anew, from old and "
            "new families together, with `retrain`."
        )
    batch = tasks.batch(prior.model)
    check_measurable(batch, prior.model)
    if not bool(batch.mask.any()):
        raise InputError(f"the new families of '{tasks.card.name}' have no member that was measured.")
    members = members_of(tasks, prior.model, prior.scales, method.architecture.graph, method.beside)
    ways = {
        name: tuple(
            _learned_also(each, method, members, number, times) for number, each in enumerate(networks)
        )
        for name, networks in prior.ways.items()
    }
    old = prior.training
    training = {
        **old,
        "tasks": int(old.get("tasks", 0)) + len(tasks),
        "measurements": int(old.get("measurements", 0)) + int(members.mask.sum()),
        "seconds": round(float(old.get("seconds", 0.0)) + time.perf_counter() - began, 2),
        "data_sha256": " ".join(part for part in (old.get("data_sha256", ""), checksum(tasks)) if part),
        "versions": versions(),
    }
    return {"ways": ways, "training": training}


def _learned_also(
    trained: TrainedNetwork, method: NetworkMethod, members: Members, number: int, times: float
) -> TrainedNetwork:
    """One network of one way, which all new families judge before it learns from them."""
    families = members.mask.any(1).nonzero()[:, 0]
    bare = replace(trained, widths=(1.0,) * len(SHOTS))
    widths, judges = also_judged(trained.widths, trained.judges, *judged_widths(bare, members, families))
    kept, total = trained.kept or Kept.nothing(trained.start), float(members.mask.sum())
    seen = round(kept.cases)  # episodes of a second update are others than those of the first

    def draw(seed: int) -> Remembering:
        choice = members.drawn(families, seed + seen, method.tasks, method.query)
        episode = episode_of(members, trained.network, trained.way, choice)
        return Remembering(episode, kept, total, times)

    outer = Outer(trained.way.iterations, method.rate, schedule="cosine", clip=10.0)
    seed = 1 + number + 1_000 * (1 + method.seed)
    learned = meta_train(trained.way.composition, draw, trained.tensors, outer, seed=seed).learned
    new = replace(trained, tensors=learned, widths=widths, judges=judges)
    return remembered(new, method, members, families)


def _squares(
    trained: TrainedNetwork, method: NetworkMethod, members: Members, families: Tensor
) -> Parameters:
    """The mean over members of the squared slope of minus the log-likelihood, in units of the loss."""
    generator = torch.Generator().manual_seed(method.seed)
    free = {name: value.detach().requires_grad_() for name, value in trained.tensors.items()}
    squares, cases = {name: torch.zeros_like(value) for name, value in free.items()}, 0
    episodes = max(4, trained.way.iterations // _SHARE)
    for at in range(episodes):
        unlike_learning = -1 - at - episodes * method.seed
        choice = members.drawn(families, unlike_learning, method.tasks, method.query)
        coins = 2.0 * torch.randint(0, 2, choice.judged.shape, generator=generator) - 1.0
        episode = episode_of(members, trained.network, trained.way, choice)
        loss = query_loss(trained.way.composition, _Signed(episode, choice.judged_mask, coins), free)
        slopes = torch.autograd.grad(loss.sum(), list(free.values()), allow_unused=True)
        for name, slope in zip(free, slopes, strict=True):
            squares[name] += 0.0 if slope is None else slope.square()
        cases += int(choice.judged_mask.sum())
    return {name: value / cases for name, value in squares.items()}


@dataclass(frozen=True)
class _Signed:
    """Families whose members' costs count with signs at random; an `Episode`.

    The squared slope of the sum is, in expectation over the signs, the sum of the members' squared slopes.
    """

    episode: NetworkEpisode
    judged: Tensor
    signs: Tensor

    def __len__(self) -> int:
        return len(self.episode)

    def start(self, learned: Parameters) -> tuple[Parameters, Parameters]:
        """As the episode has it."""
        return self.episode.start(learned)

    def support(self, parameters: Parameters) -> Tensor:
        """As the episode has it, (task,)."""
        return self.episode.support(parameters)

    def query(self, parameters: Parameters) -> Tensor:
        """Costs of each task's judged members, their signs heeded, (task,).

        Squared errors are taken as Gaussian, of the variance that they have. A loss of squares is twice this variance
        times minus the log-likelihood; so divided by the root of that, slopes square to the precision in units of the
        loss.
        """
        episode = self.episode
        if isinstance(episode, LinearHeadEpisode):
            mean, sd = episode.predicted(parameters)
            each = 0.5 * ((episode.query_targets[..., 0] - mean) / sd).square() + sd.log()
        else:
            each = (episode.outputs(parameters) - episode.query_targets).square()[..., 0]
            each = each / (2.0 * each.detach()[self.judged].mean()).sqrt()
        return torch.where(self.judged, self.signs * each, 0.0).sum(1)

    def select(self, index: Tensor) -> _Signed:
        """Some of the tasks, by position."""
        return _Signed(self.episode.select(index), self.judged[index], self.signs[index])
