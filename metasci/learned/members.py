"""Families of structures as tensors that networks of graphs take, and episodes drawn of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.learned.places import linked, places_of, points_of, structure_of
from metasci.materials.graphs import Graph, stacked
from metasci.materials.structures import features
from metasci.model import Model

__all__ = ["BESIDE", "Choice", "Members", "Scales", "members_of", "scales_of"]

Scales = dict[str, Tensor]
"""Centre and spread of the targets and of every condition, of the families that are learned from."""

BESIDE = ("nothing", "descriptors", "descriptors and parts")
"""What networks may be told of a whole structure beside its graph."""
_MOST = 10  # measured members that an episode shows: the most that tables of results ask for


@dataclass(frozen=True)
class Choice:
    """A support and a query of some families: positions of members, (task, case), and which of them count."""

    family: Tensor
    seen: Tensor
    seen_mask: Tensor
    judged: Tensor
    judged_mask: Tensor


@dataclass(frozen=True)
class Members:
    """Members of families as networks take them, standardised.

    Attributes
    ----------
    graphs : Graph
        Every structure once, (structure, ...).
    place : Tensor of int, (family, member)
        Which structure each member is.
    conditions : Tensor, (family, member, condition)
    values : Tensor, (family, member)
        On the noise's linked scale; zero where not measured.
    mask, there : Tensor of bool, (family, member)
        What is measured, and where there is a member at all.
    """

    graphs: Graph
    place: Tensor
    conditions: Tensor
    values: Tensor
    mask: Tensor
    there: Tensor

    @cached_property
    def nodes(self) -> Tensor:
        """How many nodes each structure has."""
        return (self.graphs["share"] > 0).sum(1)

    @cached_property
    def edges(self) -> Tensor:
        """How many edges each structure has."""
        return (self.graphs["weight"] > 0).sum(1)

    def inputs(self, family: Tensor, member: Tensor) -> Graph:
        """Inputs of a network, (task, case, ...), trimmed to the largest structure among them.

        Parameters
        ----------
        family : Tensor of int, (task,)
        member : Tensor of int, (task, case)
        """
        place = self.place[family[:, None], member]
        nodes, edges = int(self.nodes[place].max()), int(self.edges[place].max())
        longest = {"node": nodes, "share": nodes}
        trimmed = {name: values[:, : longest.get(name, edges)][place] for name, values in self.graphs.items()}
        return trimmed | {"conditions": self.conditions[family[:, None], member]}

    def targets(self, family: Tensor, member: Tensor) -> Tensor:
        """Values of members, (task, case, 1)."""
        return self.values[family[:, None], member][..., None]

    def drawn(self, families: Tensor, seed: int, tasks: int = 12, query: int = 12) -> Choice:
        """Supports of 0 to 10 members and queries of others, at random; large families a little more often.

        Structures larger than 95 % of the others are only ever judged: their padding would be everyone's.
        """
        generator = torch.Generator().manual_seed(seed)
        usual = self.nodes <= self.nodes.double().quantile(0.95)
        drawable = self.mask & usual[self.place]
        weight = drawable[families].sum(1).double().sqrt()
        family = families[torch.multinomial(weight, tasks, replacement=True, generator=generator)]
        count = drawable[family].sum(1)
        last = 2.0 * (~drawable[family]).double()
        shuffled = (torch.rand(last.shape, generator=generator, dtype=torch.float64) + last).argsort(1)
        shots = (torch.rand(tasks, generator=generator) * count.clamp(max=_MOST + 1)).long()
        width = _MOST + query
        order = torch.nn.functional.pad(shuffled, (0, width))[:, :width]
        rank = torch.arange(width)
        at = shots[:, None] + rank[:query]
        return Choice(
            family,
            order[:, :_MOST],
            rank[:_MOST] < shots[:, None],
            order.gather(1, at.clamp(max=width - 1)),
            at < count[:, None],
        )


def scales_of(tasks: TaskSet, model: Model, beside: str) -> Scales:
    """Centre and spread of targets, on the noise's linked scale, and of conditions, (condition,)."""
    batch = tasks.batch(model)
    linked = model.noise.link(batch.output[batch.mask])
    conditions = _conditions(tasks, model, beside)[batch.mask]
    spread = (
        conditions.std(0) if len(conditions) > 1 and conditions.shape[1] else torch.ones_like(conditions[0])
    )
    varies = spread > 1e-9 * (1.0 + conditions.mean(0).abs())
    return {
        "target_centre": linked.mean(),
        "target_scale": linked.std().clamp(min=1e-12),
        "condition_centre": conditions.mean(0),
        "condition_scale": torch.where(varies, spread, torch.ones_like(spread)),
    }


def members_of(
    tasks: TaskSet,
    model: Model,
    scales: Scales,
    graph: Callable[[str], Graph],
    beside: str = "nothing",
) -> Members:
    """Families as tensors.

    Parameters
    ----------
    tasks : TaskSet
    model : Model
        A property; what it depends on beside the structure becomes conditions.
    scales : Scales
        Of the families that are learned from.
    graph : callable
        Of a structure's text.
    beside : "nothing", "descriptors" or "descriptors and parts"
        What is told of the whole structure among the conditions: descriptors, and counts or fractions of its parts.
    """
    batch, present = tasks.batch(model), places_of(tasks)
    name = structure_of(tasks, model)
    values = (linked(model.noise, batch.output, batch.mask) - scales["target_centre"]) / scales[
        "target_scale"
    ]
    conditions = (_conditions(tasks, model, beside) - scales["condition_centre"]) / scales["condition_scale"]
    return Members(
        stacked([graph(text) for text in tasks.structures(name)]),
        torch.where(present, batch.inputs[name], 0.0).long(),
        torch.where(present[..., None], conditions, 0.0).float(),
        torch.where(batch.mask, values, 0.0).float(),
        batch.mask,
        present,
    )


def _conditions(tasks: TaskSet, model: Model, beside: str) -> Tensor:
    """What a property depends on beside the graph, (family, member, condition)."""
    if beside not in BESIDE:
        raise InputError(f"beside: '{beside}' is not known; say {', '.join(BESIDE)}.")
    batch = tasks.batch(model)
    if beside == "nothing" and len(model.inputs) == 1:
        return batch.output.new_zeros(*batch.output.shape, 0)
    points = points_of(tasks, model)  # of whose descriptors conditions of measurement are the last
    if beside == "nothing":
        name = structure_of(tasks, model)
        kind = str(tasks.card.column(name).kind)
        first = features(kind, tasks.structures(name)[:1]).descriptors.shape[1]
        return points.descriptors[:, first:].reshape(*batch.output.shape, -1)
    described = [points.descriptors] + [points.counts] * (beside == "descriptors and parts")
    return torch.cat(described, 1).reshape(*batch.output.shape, -1)
