"""A process over families and networks of graphs, averaged: their errors differ, and the mean errs less than either.

The mean is taken on the noise's linked scale, halves that were not tuned; so is that of their scales, and the tails are
the process's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from metasci.data.cards import Card
from metasci.data.tasks import Batch, TaskSet
from metasci.errors import InputError
from metasci.files import State
from metasci.forecasts import StudentForecast, StudentForecaster
from metasci.learned.familiar import Strange
from metasci.learned.families import LearnedFamilies, LearnedMembers
from metasci.learned.networks import LearnedNetworks
from metasci.learned.record import Record
from metasci.model import Model

__all__ = ["LearnedBlend", "averaged"]

_PARTS = ("process", "networks")


def averaged(process: StudentForecaster, networks: StudentForecaster) -> StudentForecaster:
    """Forecasts half of one and half of the other."""

    def forecast(batch: Batch, support: Tensor, query: Tensor) -> StudentForecast:
        one, other = process(batch, support, query), networks(batch, support, query)
        return replace(one, mean=0.5 * (other.mean + one.mean), scale=0.5 * (other.scale + one.scale))

    return forecast


@dataclass(frozen=True)
class Averaging:
    """How a mean is learned: each part by its own method."""

    process: Any
    networks: Any

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return f"{self.process.name} and {self.networks.name}, averaged"


@dataclass(frozen=True, repr=False)
class LearnedBlend(LearnedMembers):
    """A process over families and networks, learned from the same families.

    Attributes
    ----------
    name : str
    model : Model
        The property: names, units, noise.
    card : Card
        What the columns of its data mean; a user's file is read by it.
    process : LearnedFamilies
    networks : LearnedNetworks
    training : dict
    """

    name: str
    model: Model
    card: Card
    process: LearnedFamilies
    networks: LearnedNetworks
    training: dict[str, Any] = field(default_factory=dict)

    format: ClassVar[str] = "metasci-blended-prior-1"
    kinds: ClassVar[tuple[type[LearnedFamilies], type[LearnedNetworks]]] = (LearnedFamilies, LearnedNetworks)
    """Of what the parts become when they are read."""

    @property
    def method(self) -> Averaging:
        """Those of both."""
        return Averaging(self.process.method, self.networks.method)

    def measurement_variance(self, tasks: TaskSet) -> NDArray[np.float64] | None:
        return self.process.measurement_variance(tasks)

    def strange(self, tasks: TaskSet) -> Strange | None:
        return self.process.strange(tasks)

    def forecaster(self, tasks: TaskSet) -> StudentForecaster:
        """Forecasts of all members of some families, from those that are measured."""
        return averaged(self.process.forecaster(tasks), self.networks.forecaster(tasks))

    def tensors(self) -> State:
        """Those of both."""
        parts = {name: getattr(self, name).tensors() for name in _PARTS}
        return {f"{part}/{name}": value for part, own in parts.items() for name, value in own.items()}

    def description(self) -> dict[str, Any]:
        """What ``prior.json`` says."""
        own = {
            "name": self.name, "model": self.model.name, "training": self.training, "data": self.card.to_dict(),
        }  # fmt: skip
        return {**own, **{name: getattr(self, name).description() for name in _PARTS}}

    @classmethod
    def of_record(cls, record: Record, model: Model | None = None) -> Self:
        """The prior of what `save` wrote; its property is as described there, unless a `model` is given."""
        process, networks = (
            kind.of_record(_part(record, part), model) for kind, part in zip(cls.kinds, _PARTS, strict=True)
        )
        if not isinstance(process, LearnedFamilies) or not isinstance(networks, LearnedNetworks):
            raise TypeError(f"{cls.__name__} is of a process and networks.")
        if process.model.name != networks.model.name or process.card.to_dict() != networks.card.to_dict():
            raise InputError(f"{record.path}: its process and its networks are not of one property.")
        name = record.description.get("name", str)
        return cls(name, process.model, process.card, process, networks, record.training())


def _part(record: Record, part: str) -> Record:
    """The record of one part, within that of both."""
    tensors = {
        name.removeprefix(f"{part}/"): value
        for name, value in record.tensors.items()
        if name.startswith(f"{part}/")
    }
    return Record(record.path, record.description.table(part), tensors)
