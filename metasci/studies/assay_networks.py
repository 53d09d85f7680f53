"""Networks of graphs that learn from assays, for the study `assays`: what they say of old assays, and how they adapt.

Beside the graph a network takes, as conditions, the counts and descriptors that forests take. It is learned from old
assays at once; or it learns to adapt, from half of the old assays, on which it was first fitted, to the other half.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metasci.materials.graphs import Graph, joined, molecule_graph, stacked
from metasci.materials.networks import GraphNetwork
from metasci.meta import Composition, Network, NetworkEpisode, Outer, adapt, initial, meta_train, named
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.networks.class_head import ClassHeadEpisode, class_head_start, log_chances
from metasci.meta.networks.episode import cross_entropy

__all__ = ["WAYS", "Adapting", "Molecules", "learn_adapting", "molecules", "odds_of_networks"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.int_]

FOLDS = 3
"""Of molecules: what a network says of one comes from those that have not learned from it."""

_WIDTH, _EPOCHS, _BATCH, _RATE, _DROPPED = 32, 10, 64, 3e-3, 0.3
_FARTHEST = 3.0  # standard deviations of a condition
_BESIDE = 6.0  # atoms by which molecules of a batch may differ, more or less: padding costs time
_SHARE = 0.1  # of an atom in the sum over atoms, so that sums are some ones
_SHOTS, _ASKED, _TASKS = 10, 10, 4  # of an episode: molecules of each class, and assays
_QUICK = {"rule/": 2e-2, "head/log_": 2e-2}  # rates of what there is little of: step sizes and scales
_TOLD = 200  # molecules that are looked at at once


@dataclass(frozen=True)
class Molecules:
    """Graphs of molecules, and numbers beside each, (molecule, condition)."""

    graphs: tuple[Graph, ...]
    conditions: Tensor

    def __len__(self) -> int:
        return len(self.graphs)

    def sizes(self) -> Places:
        """Atoms of each."""
        return np.array([len(graph["node"]) for graph in self.graphs])

    def at(self, places: Places | Sequence[int]) -> Graph:
        """Some of them, joined: molecules differ in size by a factor of a hundred, and padding would cost it."""
        made = joined([self.graphs[place] for place in places])
        made["share"] = _SHARE * made["share"]
        return {**made, "conditions": self.conditions[torch.as_tensor(places)]}


def molecules(smiles: Sequence[str], described: Floats, seen: Flags) -> Molecules:
    """Molecules with their counts and descriptors, standardised by those that are `seen`."""
    mean, spread = described[seen].mean(0), described[seen].std(0)
    standard = (described - mean) / np.where(spread > 0.0, spread, 1.0)
    bounded = np.clip(standard, -_FARTHEST, _FARTHEST)
    return Molecules(tuple(molecule_graph(text) for text in smiles), torch.as_tensor(bounded).float())


def fitted(of: Molecules, labels: Floats, known: Places, seed: int = 0) -> GraphNetwork:
    """A network of graphs that tells the assays of `labels`, (molecule, assay), learned from the molecules `known`."""
    torch.manual_seed(seed)
    network = GraphNetwork(15, 5, _WIDTH, conditions=of.conditions.shape[1], outputs=labels.shape[1])
    network.body.append(nn.Dropout(_DROPPED))
    target, sizes, draw = torch.as_tensor(labels).float(), of.sizes()[known], np.random.default_rng(seed)
    batches = -(-len(known) // _BATCH)
    rule = torch.optim.Adam(network.parameters(), _RATE)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(rule, _EPOCHS * batches)
    for _ in range(_EPOCHS):
        order = known[np.argsort(sizes + draw.uniform(0.0, _BESIDE, len(known)))]
        parts = np.array_split(order, batches)
        for at in draw.permutation(batches):
            wanted = target[torch.as_tensor(parts[at])]
            there = ~wanted.isnan()
            told = network(of.at(parts[at]))
            cost = nn.functional.binary_cross_entropy_with_logits(told[there], wanted[there])
            rule.zero_grad()
            cost.backward()
            rule.step()
            falling.step()
    return network.eval()


def told_by(network: Callable[[Graph], Tensor], of: Molecules, places: Places) -> Tensor:
    """What a network says of some molecules, (molecule, output)."""
    order = places[np.argsort(of.sizes()[places])]
    with torch.no_grad():
        parts = [network(of.at(order[at : at + _TOLD])) for at in range(0, len(order), _TOLD)]
    return torch.cat(parts)[torch.as_tensor(np.argsort(np.argsort(of.sizes()[places])))]


def odds_of_networks(of: Molecules, labels: Floats, seen: Flags) -> Floats:
    """What networks say of every molecule, (molecule, assay), learned from the assays of `labels`.

    They learn from the molecules that are `seen`: of each of these a network tells that has not learned from it, of
    others the mean of all. Standardised over what was seen.
    """
    order = np.random.default_rng(0).permutation(np.flatnonzero(seen))
    new = np.flatnonzero(~seen)
    odds = np.zeros(labels.shape)
    for at, own in enumerate(np.array_split(order, FOLDS)):
        network = fitted(of, labels, np.setdiff1d(order, own), at)
        odds[own] = told_by(network, of, own).numpy()
        if len(new):
            odds[new] += told_by(network, of, new).numpy() / FOLDS
    return np.asarray((odds - odds[seen].mean(0)) / odds[seen].std(0))


# ---------------------------------------------------------------------------------------- adapting


@dataclass(frozen=True)
class Adapting:
    """How a network of graphs adapts to an assay.

    Attributes
    ----------
    method : Composition
    iterations : int
    head : bool
        Whether by a process head by Laplace; else by descent.
    rate : float
        Of what is learned.
    draws : int
        Of the molecules known, by which it is judged at most: descent looks at all molecules anew for each.
    """

    method: Composition
    iterations: int
    head: bool = False
    rate: float = 1e-3
    draws: int = 10

    @property
    def outputs(self) -> int:
        """Of the network: scores of two classes, and features if a head adapts."""
        return 2 + (_WIDTH if self.head else 0)


WAYS = {
    "process head by Laplace": Adapting(named.pooled_training(), 150, head=True),
    "MAML": Adapting(named.maml(2, 0.05, learned="tensor"), 60, draws=3),
}
"""By name."""


@dataclass(frozen=True)
class Adapted:
    """A network that has learned to adapt, and how."""

    way: Adapting
    network: Network
    learned: Parameters

    def odds(self, of: Molecules, who: Places, labels: Floats, supports: Flags) -> Floats:
        """Log-odds of the molecules `who` after each support, (seed, molecule)."""
        kinds = torch.as_tensor(labels).long()
        weights = {name: value for name, value in self.learned.items() if name in self.network.start()}
        start = self._told(weights, of, who)
        told = []
        for drawn in supports[: self.way.draws]:
            support = torch.as_tensor(drawn)
            if not drawn.any():
                told.append(start[:, :2])
            elif self.way.head:
                told.append(self._by_head(start[None], kinds[None], support))
            else:
                told.append(self._told(self._descended(of, who[drawn], kinds[support]), of, who))
        return np.stack([(each[:, 1] - each[:, 0]).double().numpy() for each in told])

    def _by_head(self, told: Tensor, kinds: Tensor, support: Tensor) -> Tensor:
        """Log chances of every molecule, by scores and features of all."""
        means, features = told[..., :2], told[..., 2:]
        scales = {n.removeprefix("head/"): v for n, v in self.learned.items() if n.startswith("head/")}
        known = (features[:, support], features, kinds[:, support], 2, None, (means[:, support], means))
        with torch.no_grad():
            return log_chances(scales, *known)[0]

    def _descended(self, of: Molecules, known: Places, kinds: Tensor) -> Parameters:
        """Weights after the method's steps on some molecules."""
        inputs = {name: value[None] for name, value in of.at(known).items()}
        one = NetworkEpisode(self.network, inputs, kinds[None], inputs, kinds[None], loss=cross_entropy)
        return {name: value[0].detach() for name, value in adapt(self.way.method, one, self.learned).items()}

    def _told(self, weights: Parameters, of: Molecules, who: Places) -> Tensor:
        return told_by(partial(torch.func.functional_call, self.network.module, weights), of, who)


def learn_adapting(of: Molecules, labels: Floats, seen: Flags, way: Adapting) -> list[Adapted]:
    """Two networks, each fitted to one half of the assays of `labels` and taught to adapt to the other half.

    No molecule that teaches it to adapt was among those that it was fitted to, so that neither assay nor molecule is
    known when it adapts, as in what it is learned for.
    """
    order = np.random.default_rng(0).permutation(np.flatnonzero(seen))
    teaching, first = np.split(order, [len(order) // FOLDS])
    places, made = np.random.default_rng(0).permutation(labels.shape[1]), []
    for seed, half in enumerate(np.array_split(places, 2)):
        network = fitted(of, labels[:, np.setdiff1d(places, half)], first, seed)
        del network.body[-1]
        network.head = nn.Linear(_WIDTH, 2)
        if way.head:
            network.head = _Both(network.head)  # type: ignore[assignment]
        own = Network(network)
        pools = [[teaching[labels[teaching, at] == kind] for kind in (0.0, 1.0)] for at in half]
        pools = [pool for pool in pools if min(map(len, pool)) >= 2 * _SHOTS]
        start = class_head_start(own) if way.head else own.start()
        for name in ("head.weight", "head.bias", "head.score.weight", "head.score.bias"):
            if name in start:
                start[name] = torch.zeros_like(start[name])
        learned = initial(way.method, start)
        rates = {
            part: rate for part, rate in _QUICK.items() if any(name.startswith(part) for name in learned)
        }
        done = meta_train(
            way.method,
            partial(_episode, own, of, pools, way.head),
            learned,
            Outer(way.iterations, way.rate, schedule="cosine", clip=10.0, rates=rates),
            seed=seed,
            compile=False,
        )
        made.append(Adapted(way, own, done.learned))
    return made


class _Both(nn.Module):
    """Scores of the classes, and the features beside them."""

    def __init__(self, score: nn.Linear) -> None:
        super().__init__()
        self.score = score

    def forward(self, features: Tensor) -> Tensor:
        """Joined."""
        return torch.cat([self.score(features), features], -1)


def _episode(
    network: Network, of: Molecules, pools: list[list[Places]], head: bool, seed: int
) -> NetworkEpisode:
    """Assays, a support of one to ten molecules of each class, and others that are asked."""
    draw = np.random.default_rng(seed)
    rows, mask = [], []
    for at in draw.integers(len(pools), size=_TASKS):
        kinds = [draw.permutation(kind)[: _SHOTS + _ASKED] for kind in pools[at]]
        rows.append(np.stack(kinds))
        mask.append(np.arange(_SHOTS) < draw.integers(1, _SHOTS + 1))
    places = np.stack(rows)  # (task, class, molecule)
    known, asked = (
        stacked([of.at(own.ravel()) for own in part])
        for part in (places[:, :, :_SHOTS], places[:, :, _SHOTS:])
    )
    labels = torch.arange(2).repeat_interleave(_SHOTS).expand(_TASKS, -1)
    wanted = torch.arange(2).repeat_interleave(_ASKED).expand(_TASKS, -1)
    there = torch.as_tensor(np.stack(mask))[:, None].expand(-1, 2, -1).flatten(1)
    made = NetworkEpisode(network, known, labels, asked, wanted, there, loss=cross_entropy)
    if not head:
        return made
    return ClassHeadEpisode(network, known, labels, asked, wanted, there, None, cross_entropy, 2, True)
