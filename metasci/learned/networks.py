"""Networks of structures that were learned from families: how, their weights, and what they say of a new family.

The counterpart of `metasci.learned.families` for networks of graphs, in several ways (`metasci.learned.ways`). Several
networks, each of which has not seen one part of the families, forecast together; how wide their intervals are is told
by the families that each has not seen (the idea of CV+: Barber et al. 2021, Ann Stat 49:486).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from metasci.data.cards import Card
from metasci.data.tasks import Batch, TaskSet
from metasci.errors import InputError
from metasci.files import State
from metasci.forecasts import StudentForecast, StudentForecaster, measured_or_one
from metasci.learned.checked import Table, dataclass_of
from metasci.learned.described import described_property, property_described
from metasci.learned.families import LearnedMembers, check_card
from metasci.learned.members import BESIDE, Choice, Members, Scales, members_of
from metasci.learned.record import Record
from metasci.learned.ways import WAYS, Way, shrunken_error
from metasci.materials.architectures import Architecture
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.compositions.adapting import adapt
from metasci.meta.compositions.composition import RULE, initial
from metasci.meta.networks.codes import Coded
from metasci.meta.networks.episode import NetworkEpisode
from metasci.meta.networks.linear_head import LinearHeadEpisode
from metasci.meta.networks.network import Network
from metasci.meta.networks.online_laplace import Kept
from metasci.model import Model

__all__ = [
    "SHOTS",
    "LearnedNetworks",
    "NetworkMethod",
    "TrainedNetwork",
    "episode_of",
    "family_forecast",
    "network_of",
]

SHOTS = (0, 1, 3, 5, 10)
"""Numbers of measured members for which the widths of intervals are learned; between them they are interpolated."""
_PRECISION, _CASES, _JUDGES = "kept/precision/", "kept/cases", "kept/judges"
_PREFERRED = "Gaussian-process head"  # the best row of docs/studies/graph-networks.md


@dataclass(frozen=True)
class NetworkMethod:
    """How networks are learned.

    Parameters
    ----------
    architecture : Architecture
    beside : str
        What is told of the whole structure among the conditions, as for `metasci.learned.members.members_of`.
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

    architecture: Architecture
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

    def described(self) -> dict[str, Any]:
        """All of it but the folder of checkpoints, as plain text and numbers.

        Raises
        ------
        InputError
            If a way is none of `metasci.learned.ways.WAYS`: a file can only name it.
        """
        for name, way in self.ways.items():
            if name not in WAYS or replace(way, iterations=WAYS[name].iterations) != WAYS[name]:
                raise InputError(
                    f"the way '{name}' is one of your own, which a file cannot hold: learn with ways of "
                    "`metasci.learned.ways.WAYS` to save them."
                )
        numbers = {
            name: getattr(self, name)
            for name in ("beside", "networks", "parts", "tasks", "query", "first", "rate", "seed")
        }
        ways = [{"name": name, "iterations": way.iterations} for name, way in self.ways.items()]
        return {"architecture": asdict(self.architecture), **numbers, "ways": ways}

    @classmethod
    def of_table(cls, table: Table) -> NetworkMethod:
        """The method of what `described` says."""
        architecture = dataclass_of(Architecture, table.table("architecture"))
        ways = {}
        for row in table.tables("ways"):
            if (name := row.get("name", str)) not in WAYS:
                raise InputError(f"{row.where}: the way '{name}' is not known to this version of metasci.")
            ways[name] = replace(WAYS[name], iterations=row.get("iterations", int))
        rest = {key: value for key, value in table.values.items() if key not in ("architecture", "ways")}
        method: NetworkMethod = dataclass_of(
            cls, Table(rest, table.where), architecture=architecture, ways=ways, checkpoints=None
        )
        if method.beside not in BESIDE:
            raise InputError(f"{table.where}, beside: '{method.beside}' is not one of {', '.join(BESIDE)}.")
        return method


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with what was learned in one way.

    Attributes
    ----------
    network : Network
    way : Way
    tensors : dict of Tensor
    widths : tuple of float
        How far its errors reach beyond what it says, by shots.
    judges : tuple of int
        How many families, unseen by it then, have told each width.
    kept : Kept, optional
        What stands in, about `start`, for the families that it has learned from; none where the prior was saved
        without.
    """

    network: Network
    way: Way
    tensors: Parameters
    widths: tuple[float, ...] = (1.0,) * len(SHOTS)
    judges: tuple[int, ...] = (0,) * len(SHOTS)
    kept: Kept | None = None

    @property
    def start(self) -> Parameters:
        """What of the tensors families start from; the others tell how they adapt."""
        return {name: value for name, value in self.tensors.items() if not name.startswith(RULE)}

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
        width = torch.as_tensor(np.interp(shots, SHOTS, self.widths), dtype=sd.dtype)
        return mean.double(), (width[:, None] * sd).double()


@dataclass(frozen=True, repr=False)
class LearnedNetworks(LearnedMembers):
    """Networks learned from families.

    Attributes
    ----------
    name : str
    model : Model
        The property: names, units, noise.
    method : NetworkMethod
    card : Card
        What the columns of its data mean; a user's file is read by it.
    scales : Scales
    ways : dict of str to tuple of TrainedNetwork
        The networks of every way; none in a recipe that is still to be learned.
    training : dict
    """

    name: str
    model: Model
    method: NetworkMethod
    card: Card
    scales: Scales = field(default_factory=dict)
    ways: dict[str, tuple[TrainedNetwork, ...]] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)

    format: ClassVar[str] = "metasci-network-prior-1"

    @property
    def way(self) -> str:
        """The way that calibrates: the Gaussian-process head where it was learned, else the last one."""
        if not self.ways:
            raise InputError(f"the networks of '{self.name}' are still to be learned.")
        return _PREFERRED if _PREFERRED in self.ways else list(self.ways)[-1]

    def forecaster(self, tasks: TaskSet) -> StudentForecaster:
        """Forecasts of all members of some families, from those that are measured."""
        return self.forecasters_by_way(tasks, {self.way: self.ways[self.way]})[self.way]

    def forecasters_by_way(
        self, tasks: TaskSet, ways: dict[str, tuple[TrainedNetwork, ...]]
    ) -> dict[str, StudentForecaster]:
        """Forecasters of some ways; each averages its networks."""
        noise = self.model.noise
        architecture, beside = self.method.architecture, self.method.beside
        members = members_of(tasks, self.model, self.scales, architecture.graph, beside)
        place = {name: at for at, name in enumerate(tasks.names)}
        centre, scale = self.scales["target_centre"], self.scales["target_scale"]
        asked: dict[tuple[int, tuple[str, ...], bytes], tuple[Tensor, Tensor]] = {}

        def answer(network: TrainedNetwork, batch: Batch, support: Tensor) -> tuple[Tensor, Tensor]:
            """What one network says; several ways ask the same."""
            key = (id(network), batch.names, support.numpy().tobytes())
            if key not in asked:
                asked[key] = family_forecast(network, members, [place[name] for name in batch.names], support)
            return asked[key]

        def forecaster(networks: tuple[TrainedNetwork, ...]) -> StudentForecaster:
            def forecast(batch: Batch, support: Tensor, query: Tensor) -> StudentForecast:
                means, spreads = zip(*(answer(each, batch, support) for each in networks), strict=True)
                mean = centre + scale * torch.stack(means).mean(0)
                spread = scale * torch.stack(spreads).square().mean(0).sqrt()
                gaussian = torch.full_like(mean[:, :1], torch.inf)
                return StudentForecast(mean, spread, measured_or_one(batch.output, query), gaussian, noise)

            return forecast

        return {name: forecaster(networks) for name, networks in ways.items()}

    def tensors(self) -> State:
        """Weights and widths of every network, and how targets and conditions are standardised."""
        tensors = {f"scales/{name}": value for name, value in self.scales.items()}
        for at, networks in enumerate(self.ways.values()):
            for number, trained in enumerate(networks):
                own = {f"weights/{name}": value for name, value in trained.tensors.items()}
                own["widths"] = torch.tensor(trained.widths, dtype=torch.float64)
                if trained.kept is not None:  # about the weights as they are
                    own |= {f"{_PRECISION}{name}": value for name, value in trained.kept.precision.items()}
                    own[_CASES] = torch.tensor(trained.kept.cases, dtype=torch.float64)
                    own[_JUDGES] = torch.tensor(trained.judges, dtype=torch.float64)
                tensors |= {f"{_place(at, number)}{name}": value for name, value in own.items()}
        return tensors

    def description(self) -> dict[str, Any]:
        """What ``prior.json`` says."""
        return {
            "name": self.name,
            "model": self.model.name,
            "property": described_property(self.model),
            "method": self.method.described(),
            "training": self.training,
            "data": self.card.to_dict(),
        }

    @classmethod
    def of_record(cls, record: Record, model: Model | None = None) -> Self:
        """The prior of what `save` wrote; its property is as described there, unless a `model` is given."""
        description = record.description
        method = NetworkMethod.of_table(description.table("method"))
        named = property_described(description.get("model", str), description.table("property"))
        card = record.card()
        check_card(card, model or named, record)
        wide = (
            len(record.tensors["scales/condition_centre"])
            if "scales/condition_centre" in record.tensors
            else 0
        )
        owed = record.take(
            {
                "scales/target_centre": (),
                "scales/target_scale": (),
                "scales/condition_centre": (wide,),
                "scales/condition_scale": (wide,),
            }
        )
        record.check_positive("scales/target_scale", "scales/condition_scale")
        ways = {
            name: tuple(
                _network_at(record, method, way, wide, _place(at, number))
                for number in range(method.networks)
            )
            for at, (name, way) in enumerate(method.ways.items())
        }
        scales = {name.removeprefix("scales/"): value for name, value in owed.items()}
        return cls(
            description.get("name", str), model or named, method, card, scales, ways, record.training()
        )


def _place(way: int, network: int) -> str:
    return f"way {way + 1}/network {network + 1}/"


def _network_at(
    record: Record, method: NetworkMethod, way: Way, conditions: int, place: str
) -> TrainedNetwork:
    """The network whose tensors begin so; a fresh one of the same architecture says which there must be."""
    network = network_of(method.architecture, way, conditions)
    fresh = initial(way.composition, way.start(network))
    shapes = {f"{place}weights/{name}": tuple(value.shape) for name, value in fresh.items()}
    weights = record.take(shapes, torch.float32)
    widths = record.take({f"{place}widths": (len(SHOTS),)}, torch.float64)[f"{place}widths"]
    record.check_positive(f"{place}widths")
    tensors = {name.removeprefix(f"{place}weights/"): value for name, value in weights.items()}
    trained = TrainedNetwork(network, way, tensors, tuple(widths.tolist()))
    if f"{place}{_CASES}" not in record.tensors:
        return trained
    names = {f"{place}{_PRECISION}{name}": tuple(value.shape) for name, value in trained.start.items()}
    precision = record.take(names, torch.float32)
    told = record.take({f"{place}{_CASES}": (), f"{place}{_JUDGES}": (len(SHOTS),)}, torch.float64)
    record.check_not_negative(*precision, *told)
    of_weights = {name.removeprefix(f"{place}{_PRECISION}"): value for name, value in precision.items()}
    kept = Kept(trained.start, of_weights, float(told[f"{place}{_CASES}"]))
    judges = tuple(int(count) for count in told[f"{place}{_JUDGES}"].tolist())
    return replace(trained, judges=judges, kept=kept)


def network_of(architecture: Architecture, way: Way, conditions: int) -> Network:
    """A network for a way, its weights at random."""
    module = architecture.module(conditions + way.code, way.outputs)
    return Network(Coded(module, way.code) if way.code else module)


def episode_of(members: Members, network: Network, way: Way, choice: Choice) -> NetworkEpisode:
    """Families for a network in a way."""
    return way.episode(
        network,
        members.inputs(choice.family, choice.seen),
        members.targets(choice.family, choice.seen),
        members.inputs(choice.family, choice.judged),
        members.targets(choice.family, choice.judged),
        choice.seen_mask,
        choice.judged_mask,
        shrunken_error,
    )


def family_forecast(
    network: TrainedNetwork, members: Members, families: list[int], support: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of all members of each row's family, (row, member), given the row's support."""
    mean, sd = torch.zeros(support.shape, dtype=torch.float64), torch.ones(support.shape, dtype=torch.float64)
    width = max(int(support.sum(1).max()), 1)
    for family in dict.fromkeys(families):
        rows = torch.tensor([row for row, other in enumerate(families) if other == family])
        seen = support[rows].int().argsort(dim=1, descending=True, stable=True)[:, :width]
        all_of_it = members.there[family].nonzero()[:, 0].expand(len(rows), -1)
        choice = Choice(
            torch.full((len(rows),), family),
            seen,
            support[rows].gather(1, seen),
            all_of_it,
            torch.ones_like(all_of_it, dtype=torch.bool),
        )
        at = (rows[:, None], all_of_it)
        mean[at], sd[at] = network.forecast(members, choice)
    return mean, sd
