"""A prior of networks of structures: learned from families, adapted to a new family's few members, and judged.

All ways begin with one network that was fitted to all families at once.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from metasci.data.batch import check_measurable
from metasci.data.checksums import checksum
from metasci.data.tasks import TaskSet
from metasci.forecasts import StudentForecaster
from metasci.learned.base import versions
from metasci.learned.members import Members, members_of, scales_of
from metasci.learned.networks import (
    LearnedNetworks,
    NetworkMethod,
    TrainedNetwork,
    episode_of,
    network_of,
)
from metasci.learned.ways import POOLED, Way
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.compositions.composition import initial
from metasci.meta.compositions.outer import Outer, meta_train
from metasci.meta.networks.episode import NetworkEpisode
from metasci.meta.networks.network import Network
from metasci.model import Model
from metasci.priors.base import MembersVerbs
from metasci.priors.networks_on_top import TIMES, learned_also, remembered
from metasci.priors.widths import judged_widths
from metasci.progress import bar

__all__ = ["NetworkMethod", "NetworkPrior", "learn_networks"]

_EVERY = 60.0  # seconds between checkpoints


class NetworkPrior(MembersVerbs, LearnedNetworks):
    """Networks learned from families, with all that a prior can do.

    Examples
    --------
    >>> import metasci as ms
    >>> from metasci.materials.architectures import Architecture
    >>> from metasci.materials.properties import boiling_point
    >>> method = NetworkMethod(Architecture("smiles", width=8, layers=1), networks=1, first=2)
    >>> NetworkPrior("mine", boiling_point, method, ms.dataset("boiling_points").card)
    NetworkPrior('mine': materials.boiling_point, learned from unknown families)
    """

    def retrain(self, tasks: TaskSet, *, seed: int | None = None, progress: bool = False) -> NetworkPrior:
        """The same property and method learned anew from other families."""
        method = self.method if seed is None else replace(self.method, seed=seed)
        return learn_networks(self.model, tasks, method, name=self.name, progress=progress)

    def update(self, tasks: TaskSet, *, times: float = TIMES) -> NetworkPrior:
        """A prior that has learned from new families, too, on top of those it was learned from, whose data may be gone.

        For the old families a Gaussian about the weights stands in, of a precision for each weight, which new families
        add to: online Laplace (`metasci.priors.networks_on_top`). This forgets less than to go on learning from the
        new families alone, and more than `retrain` with all of them. The new families judge the networks before these
        learn from them; by their number that widens or narrows the intervals.

        Parameters
        ----------
        tasks : TaskSet
            None of which was learned from before: a family that comes twice counts twice.
        times : float
            How many times what is kept of the old families counts; nothing holds the networks where it is zero.

        Raises
        ------
        InputError
            If the prior keeps nothing of its families, as one does that was saved by an earlier version.
        """
        return replace(self, **learned_also(self, self.read(tasks), times))

    def forecasters(self, tasks: TaskSet) -> dict[str, StudentForecaster]:
        """Each way, its networks averaged; and each of its networks alone."""
        ways = dict(self.ways)
        for name, networks in self.ways.items():
            ways |= {f"{name}, network {at + 1}": (each,) for at, each in enumerate(networks)}
        return self.forecasters_by_way(tasks, ways)


def learn_networks(
    model: Model, tasks: TaskSet, method: NetworkMethod, *, name: str = "", progress: bool = False
) -> NetworkPrior:
    """Learn networks in every way of a method from families.

    Parameters
    ----------
    model : Model
        A property (`metasci.materials.properties`).
    tasks : TaskSet
        Families with their members.
    method : NetworkMethod
    name : str
        What to call it; the data's name by default.
    progress : bool
    """
    began = time.perf_counter()
    check_measurable(tasks.batch(model), model)
    scales = scales_of(tasks, model, method.beside)
    members = members_of(tasks, model, scales, method.architecture.graph, method.beside)
    by_size = np.argsort(-members.mask.sum(1).numpy(), kind="stable")
    run = hashlib.sha256("\n".join(tasks.names).encode()).hexdigest()[:12]
    ways: dict[str, list[TrainedNetwork]] = {way: [] for way in method.ways}
    with bar(method.name, method.networks, progress) as advance:
        for number in range(method.networks):
            out = np.zeros(len(tasks), dtype=bool)
            out[by_size[number :: method.parts]] = True
            learned = _network(method, members, torch.as_tensor(~out).nonzero()[:, 0], number, run)
            for way, trained in learned.items():
                widths, judges = judged_widths(trained, members, torch.as_tensor(out).nonzero()[:, 0])
                known = remembered(trained, method, members, torch.as_tensor(~out).nonzero()[:, 0])
                ways[way].append(replace(known, widths=widths, judges=judges))
            advance(number + 1)
    training = {
        "seed": method.seed,
        "tasks": len(tasks),
        "measurements": int(members.mask.sum()),
        "left_out_as_not_finite": {},
        "seconds": round(time.perf_counter() - began, 2),
        "data_sha256": checksum(tasks),
        "versions": versions(),
    }
    kept = {way: tuple(networks) for way, networks in ways.items()}
    return NetworkPrior(name or tasks.card.name, model, method, tasks.card, scales, kept, training)


def _network(
    method: NetworkMethod, members: Members, families: Tensor, number: int, run: str
) -> dict[str, TrainedNetwork]:
    """One network, learned in every way from some of the families."""
    torch.manual_seed(1_000 * method.seed + number)
    pooled: Parameters = {}
    learned = {}
    for name, way in {"network, not adapted": POOLED, **method.ways}.items():
        network = network_of(method.architecture, way, members.conditions.shape[-1])
        start = initial(way.composition, _grown(way.start(network), pooled))

        def draw(seed: int, network: Network = network, way: Way = way) -> NetworkEpisode:
            return episode_of(
                members, network, way, members.drawn(families, seed, method.tasks, method.query)
            )

        path = None
        if method.checkpoints is not None:
            path = method.checkpoints / f"{run}-{method.seed}-{number}-{'-'.join(name.split())}.safetensors"
        outer = Outer(way.iterations if pooled else method.first, method.rate, schedule="cosine", clip=10.0)
        done = meta_train(
            way.composition, draw, start, outer, seed=1 + number, checkpoint=path, every=_EVERY
        ).learned
        pooled = pooled or done
        learned[name] = TrainedNetwork(network, way, done)
    return {name: learned[name] for name in method.ways}


def _grown(start: Parameters, pooled: Parameters) -> Parameters:
    """A start with a smaller network's weights in it; rows and columns that it lacks stay as they are."""
    larger = dict(start)  # inputs and outputs that only the larger one has come last
    for name, small in pooled.items():
        key = name if name in start else f"network.{name}"
        grown = start[key].clone()
        grown[tuple(slice(size) for size in small.shape)] = small
        larger[key] = grown
    return larger
