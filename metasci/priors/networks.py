"""Networks of structures, meta-learned on families: learned, adapted to a new family's few members, and judged.

The counterpart of `metasci.learned.families` for networks of graphs, in several ways (`metasci.priors.ways`). All
ways begin with one network that was fitted to all families at once. Several networks, each of which has not seen one
part of the families, forecast together; how wide their intervals are is told by the families that each has not seen
(the idea of CV+: Barber et al. 2021, Ann Stat 49:486).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from metasci.data.tasks import Batch, TaskSet
from metasci.forecasts import StudentForecast
from metasci.learned.families import Forecaster
from metasci.materials.graphs import Graph
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.compositions.adapting import adapt
from metasci.meta.compositions.composition import initial
from metasci.meta.compositions.outer import Outer, meta_train
from metasci.meta.networks.codes import Coded
from metasci.meta.networks.linear_head import LinearHeadEpisode
from metasci.meta.networks.network import Network, NetworkEpisode
from metasci.model import Model
from metasci.priors.members import Choice, Members, Scales, members_of, scales_of
from metasci.priors.ways import POOLED, WAYS, Way, shrunken_error

__all__ = ["Learned", "NetworkMethod", "NetworkPrior", "episode_of"]

_SHOTS = (0, 1, 3, 5, 10)
_QUANTILE_95 = 1.6448536269514722


@dataclass(frozen=True)
class NetworkMethod:
    """How networks are learned.

    Parameters
    ----------
    module : callable
        Makes the network of the numbers of conditions and of outputs.
    graph : callable
        Makes a graph of a structure's text.
    beside : str
        What is told of the whole structure among the conditions, as for `metasci.priors.members.members_of`.
    ways : dict of str to Way
    networks, parts : int
        So many networks, each without another one of so many parts of the families.
    tasks, query : int
        Families of an episode, and members of each that judge.
    first : int
        Iterations of the fit to all families at once.
    rate : float
        Of Adam, in both, falling to zero along a cosine.
    seed : int
    checkpoints : Path, optional
        A folder; interrupted learning goes on from it.
    """

    module: Callable[[int, int], nn.Module]
    graph: Callable[[str], Graph]
    beside: str = "descriptors"
    ways: dict[str, Way] = field(default_factory=lambda: dict(WAYS))
    networks: int = 2
    parts: int = 5
    tasks: int = 12
    query: int = 12
    first: int = 80
    rate: float = 0.01
    seed: int = 0
    checkpoints: Path | None = None

    name = "networks of graphs"

    def learn(self, model: Model, tasks: TaskSet) -> NetworkPrior:
        """Learn every way from families."""
        scales = scales_of(tasks, model, self.beside)
        members = members_of(tasks, model, scales, self.graph, self.beside)
        by_size = np.argsort(-members.mask.sum(1).numpy(), kind="stable")
        told = hashlib.sha256("\n".join(tasks.names).encode()).hexdigest()[:12]
        learned = []
        for number in range(self.networks):
            out = np.zeros(len(tasks), dtype=bool)
            out[by_size[number :: self.parts]] = True
            made = self._network(members, torch.as_tensor(~out).nonzero()[:, 0], number, told)
            for way, one in made.items():
                widths = _widths(one, members, torch.as_tensor(out).nonzero()[:, 0])
                learned.append((way, Learned(one.network, one.way, one.tensors, widths)))
        ways = {name: tuple(one for way, one in learned if way == name) for name in self.ways}
        return NetworkPrior(model, self, scales, ways)

    def _network(self, members: Members, families: Tensor, number: int, told: str) -> dict[str, Learned]:
        """One network, learned in every way from some of the families."""
        width = members.conditions.shape[-1]
        torch.manual_seed(1_000 * self.seed + number)
        pooled: Parameters = {}
        made = {}
        for name, way in {"network, not adapted": POOLED, **self.ways}.items():
            module = self.module(width + way.code, way.outputs)
            network = Network(Coded(module, way.code) if way.code else module)
            start = initial(way.composition, _grown(way.start(network), pooled))

            def draw(seed: int, network: Network = network, way: Way = way) -> NetworkEpisode:
                return episode_of(
                    members, network, way, members.drawn(families, seed, self.tasks, self.query)
                )

            path = None
            if self.checkpoints is not None:
                path = self.checkpoints / f"{told}-{self.seed}-{number}-{'-'.join(name.split())}.safetensors"
            outer = Outer(way.iterations if pooled else self.first, self.rate, schedule="cosine", clip=10.0)
            done = meta_train(
                way.composition, draw, start, outer, seed=1 + number, checkpoint=path, every=60.0
            ).learned
            pooled = pooled or done
            made[name] = Learned(network, way, done)
        return {name: made[name] for name in self.ways}


@dataclass(frozen=True)
class Learned:
    """A network with what was learned in one way, and how far its errors reach beyond what it says, by shots."""

    network: Network
    way: Way
    tensors: Parameters
    widths: tuple[float, ...] = (1.0,) * len(_SHOTS)

    def forecast(self, members: Members, choice: Choice) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the judged members, (task, case), standardised."""
        episode = episode_of(members, self.network, self.way, choice)
        adapted = adapt(self.way.composition, episode, self.tensors)
        with torch.no_grad():
            if isinstance(episode, LinearHeadEpisode):
                mean, sd = episode.predicted(adapted)
            else:
                mean = episode.outputs(adapted)[..., 0]
                sd = torch.ones_like(mean)
        shots = choice.seen_mask.sum(1).numpy()
        width = torch.as_tensor(np.interp(shots, _SHOTS, self.widths), dtype=sd.dtype)
        return mean.double(), (width[:, None] * sd).double()


@dataclass(frozen=True)
class NetworkPrior:
    """Networks learned from families, for `metasci.evaluation.evaluate.evaluate`.

    Attributes
    ----------
    model : Model
    method : NetworkMethod
    scales : Scales
    ways : dict of str to tuple of Learned
        The networks of every way; none in a recipe that is still to be learned.
    """

    model: Model
    method: NetworkMethod
    scales: Scales = field(default_factory=dict)
    ways: dict[str, tuple[Learned, ...]] = field(default_factory=dict)

    def batch(self, tasks: TaskSet) -> Batch:
        """The families as padded tensors."""
        return tasks.batch(self.model)

    def retrain(self, tasks: TaskSet) -> NetworkPrior:
        """The same method learned from other families."""
        return self.method.learn(self.model, tasks)

    def forecasters(self, tasks: TaskSet) -> dict[str, Forecaster]:
        """Each way, its networks averaged; and each of its networks alone."""
        method, noise = self.method, self.model.noise
        members = members_of(tasks, self.model, self.scales, method.graph, method.beside)
        place = {name: at for at, name in enumerate(tasks.names)}
        centre, scale = self.scales["target_centre"], self.scales["target_scale"]
        said: dict[tuple[int, bytes], tuple[Tensor, Tensor]] = {}

        def asked(one: Learned, batch: Batch, support: Tensor) -> tuple[Tensor, Tensor]:
            key = (id(one), support.numpy().tobytes())
            if key not in said:
                said[key] = _forecast(one, members, [place[name] for name in batch.names], support)
            return said[key]

        def forecaster(networks: tuple[Learned, ...]) -> Forecaster:
            def forecast(batch: Batch, support: Tensor, query: Tensor) -> StudentForecast:
                means, spreads = zip(*(asked(one, batch, support) for one in networks), strict=True)
                mean = centre + scale * torch.stack(means).mean(0)
                spread = scale * torch.stack(spreads).square().mean(0).sqrt()
                measured = torch.where(query, batch.output, torch.ones_like(batch.output))
                return StudentForecast(mean, spread, measured, torch.full_like(mean[:, :1], torch.inf), noise)

            return forecast

        made = {name: forecaster(networks) for name, networks in self.ways.items()}
        for name, networks in self.ways.items():
            made |= {f"{name}, network {at + 1}": forecaster((one,)) for at, one in enumerate(networks)}
        return made


def episode_of(members: Members, network: Network, way: Way, choice: Choice) -> NetworkEpisode:
    """Families for a network in a way."""
    return way.episode(
        network,
        members.inputs(choice.family, choice.seen), members.targets(choice.family, choice.seen),
        members.inputs(choice.family, choice.judged), members.targets(choice.family, choice.judged),
        choice.seen_mask, choice.judged_mask, shrunken_error,
    )  # fmt: skip


def _forecast(one: Learned, members: Members, families: list[int], support: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of all members of each row's family, (row, member), given the row's support."""
    mean, sd = torch.zeros(support.shape, dtype=torch.float64), torch.ones(support.shape, dtype=torch.float64)
    width = max(int(support.sum(1).max()), 1)
    for family in dict.fromkeys(families):
        rows = torch.tensor([row for row, other in enumerate(families) if other == family])
        seen = support[rows].int().argsort(dim=1, descending=True, stable=True)[:, :width]
        all_of_it = members.there[family].nonzero()[:, 0].expand(len(rows), -1)
        choice = Choice(
            torch.full((len(rows),), family), seen, support[rows].gather(1, seen),
            all_of_it, torch.ones_like(all_of_it, dtype=torch.bool),
        )  # fmt: skip
        at = (rows[:, None], all_of_it)
        mean[at], sd[at] = one.forecast(members, choice)
    return mean, sd


def _widths(one: Learned, members: Members, unseen: Tensor, draws: int = 2) -> tuple[float, ...]:
    """By what the spread that a network says must be multiplied for 90 % of unseen families' members, by shots."""
    widths: list[float] = []
    generator = torch.Generator().manual_seed(0)
    for shots in _SHOTS:
        far, weight = [], []
        for family in unseen.tolist():
            measured = members.mask[family].nonzero()[:, 0]
            if len(measured) <= shots:
                continue
            orders = [measured[torch.randperm(len(measured), generator=generator)] for _ in range(draws)]
            support = torch.zeros(draws, members.mask.shape[1], dtype=torch.bool)
            for row, order in enumerate(orders):
                support[row, order[:shots]] = True
            mean, sd = _forecast(one, members, [family] * draws, support)
            off = ((members.values[family] - mean).abs() / sd)[members.mask[family] & ~support]
            far.append(off)
            weight.append(torch.full_like(off, 1.0 / len(off)))
        if not far:  # families are too small to tell: as after fewer shots
            widths.append(widths[-1] if widths else 1.0)
            continue
        value, order = torch.cat(far).sort()
        share = torch.cat(weight)[order].cumsum(0)
        widths.append(float(value[int((share < 0.9 * share[-1]).sum())]) / _QUANTILE_95)
    return tuple(widths)


def _grown(start: Parameters, pooled: Parameters) -> Parameters:
    """A start with a smaller network's weights in it; rows and columns that it lacks stay as they are."""
    made = dict(start)  # inputs and outputs that only the larger one has come last
    for name, small in pooled.items():
        key = name if name in start else f"network.{name}"
        grown = start[key].clone()
        grown[tuple(slice(size) for size in small.shape)] = small
        made[key] = grown
    return made
