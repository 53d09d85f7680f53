"""Tasks of very different size, in groups of like size: padding them all to the longest would be most of the work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metasci.data.tasks import Batch
from metasci.model import Model

__all__ = ["Ragged"]

_PASS = 3_000  # places that are computed in the time that a further pass takes by itself
_WORTH_IT = (
    200_000  # places of the padded array, below which one pass along all records costs less than several
)
_PLACES = 60_000  # of a group at most: what stays in a processor's cache is several times faster
_ALIKE = 0.35  # difference of logarithms within which sizes are alike
_ALIKE_JOINTLY = 1.0  # where each group costs one pass along all of its records, fewer groups are better


@dataclass(frozen=True)
class Group:
    """Some tasks and their inputs, no wider than they need.

    Attributes
    ----------
    index : Tensor, (member,)
        Which tasks.
    width : int
        Observations of the longest of them.
    inputs : dict of Tensor
    """

    index: Tensor
    width: int
    inputs: dict[str, Tensor]


@dataclass(frozen=True)
class Ragged:
    """The tasks of a batch in groups, and where each is found when the groups are joined."""

    groups: tuple[Group, ...]
    place: Tensor
    width: int

    @classmethod
    def of(cls, batch: Batch, joint: bool = False) -> Ragged | None:
        """The groups of a batch, for a model that predicts a task's points `joint` or one by one; None where padding
        costs little.

        Only what is measured counts towards a task's width.
        """
        observations = _last(batch.mask)
        events = torch.ones_like(observations)
        histories = [values for values in batch.inputs.values() if values.dim() == 3]
        for values in histories:
            events = torch.maximum(events, _last((values[:, 0] != 0.0) & torch.isfinite(values[:, 0])))
        longest = max((values.shape[2] for values in histories), default=1)
        padded = batch.mask.numel() * longest
        least = _WORTH_IT if joint else 2 * _PASS
        if padded < least or padded < 2 * int((observations * events).sum()):
            return None
        order, cuts = _sorted(observations, events, _ALIKE_JOINTLY if joint else _ALIKE)
        if not joint:
            cuts = _joined(observations[order], events[order], cuts)
        groups = []
        for index in torch.tensor_split(order, cuts):
            wide, long = int(observations[index].max()), int(events[index].max())
            inputs = {
                name: values[index, :, :long] if values.dim() == 3 else values[index, :wide]
                for name, values in batch.inputs.items()
            }
            groups.append(Group(index, wide, inputs))
        return cls(tuple(groups), torch.argsort(order), batch.mask.shape[1])

    def evaluate(self, model: Model, spread: Tensor) -> Tensor:
        """Predictions (task, observation) from coordinates (task, 1 or observation, parameter)."""
        parts = []
        for group in self.groups:
            own = spread[group.index]
            parts.append(model.at(own if own.shape[1] == 1 else own[:, : group.width], group.inputs))
        return self.together(parts)

    def together(self, parts: Sequence[Tensor]) -> Tensor:
        """What was computed of each group, (member, observation, …), in the order of the tasks.

        Beyond a group's width its last value stands, as a constant.
        """
        padded = []
        for part in parts:
            last = part[:, -1:].detach()
            padded.append(torch.cat([part, last.expand(-1, self.width - part.shape[1], *part.shape[2:])], 1))
        return torch.cat(padded)[self.place]


def _last(present: Tensor) -> Tensor:
    """One more than the last place of each row that is true, at least one, (row,)."""
    places = torch.arange(1, present.shape[1] + 1, device=present.device)
    return (
        (present * places).amax(1).clamp(min=1)
        if present.shape[1]
        else present.new_ones(len(present), dtype=torch.long)
    )


def _sorted(observations: Tensor, events: Tensor, alike: float) -> tuple[Tensor, list[int]]:
    """An order of tasks in which neighbours are alike, and where to cut it."""
    sizes = (values.double().log() for values in (events, observations))
    long_kind, wide_kind = ((size / alike).floor() for size in sizes)
    kind = 1000 * long_kind + wide_kind
    order = torch.argsort(kind * 1e6 + observations * 1e3, stable=True)
    cuts, start = [], 0
    kinds, wide, long = kind[order].tolist(), observations[order].tolist(), events[order].tolist()
    most = [wide[0], long[0]]
    for place in range(1, len(order)):
        most = [max(most[0], wide[place]), max(most[1], long[place])]
        if kinds[place] != kinds[start] or (place + 1 - start) * most[0] * most[1] > _PLACES:
            cuts.append(place)
            start, most = place, [wide[place], long[place]]
    return order, cuts


def _joined(observations: Tensor, events: Tensor, cuts: list[int]) -> list[int]:
    """The cuts, without those that save less than a pass costs."""
    kept: list[int] = []
    start, ends = 0, [*cuts, len(events)]
    for cut, end in zip(cuts, ends[1:], strict=True):
        before, after = slice(start, cut), slice(cut, end)
        apart, together = (
            _places(observations, events, before),
            _places(observations, events, slice(start, end)),
        )
        whole = apart + _places(observations, events, after)
        if together - whole > _PASS or together > _PLACES:
            kept.append(cut)
            start = cut
    return kept


def _places(observations: Tensor, events: Tensor, of: slice) -> int:
    """How many places a group of tasks takes."""
    return len(events[of]) * int(observations[of].max()) * int(events[of].max())
