"""What was learned of families of materials: a process over families (`metasci.meta.group_process`), no equation."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metasci.data.cards import MEMBER_NAME, NAME, Card
from metasci.data.tasks import Batch, TaskSet
from metasci.errors import InputError
from metasci.files import State
from metasci.forecasts import StudentForecast, StudentForecaster, measured_or_one
from metasci.learned.base import Learned
from metasci.learned.checked import dataclass_of
from metasci.learned.described import described_property, property_described
from metasci.learned.familiar import Familiar, Strange
from metasci.learned.places import linked, places_of, points_of, structure_of
from metasci.learned.reading import read_for
from metasci.learned.record import Record
from metasci.materials.baselines import Known
from metasci.meta.group_process import GroupProcess, Outlook
from metasci.meta.group_state import ProcessState
from metasci.model import Model

if TYPE_CHECKING:
    from metasci.learned.reading import Data

__all__ = ["LearnedFamilies", "LearnedMembers", "with_names"]


class LearnedMembers(Learned):
    """A record of a property of families' members, such as molecules, that follows from their structure."""

    members_may_be_unmeasured: ClassVar[bool] = True

    def read(self, data: Data) -> TaskSet:
        """Families from a file, a DataFrame, a Dataset or a TaskSet; a column ``name`` says what members are called."""
        card = with_names(self.card)
        if isinstance(data, TaskSet) and data.card == card:
            card = data.card  # these have been read by such a card
        return read_for(self.model, card, data, require_output=False)

    def of_largest_molecules(self) -> Self:
        """The same prior, for which of a salt or a solvate the largest molecule is taken, and this told, as a warning.

        A charge stays with the molecule: of sodium acetate it is the acetate ion.

        Raises
        ------
        InputError
            If its structures are not written as SMILES.

        Examples
        --------
        >>> import metasci as ms
        >>> prior = ms.load("boiling_point").of_largest_molecules()
        >>> prior.typical(molecule="CCCN.Cl").warnings[0]
        "of salts and solvates the largest molecule is taken: 'CCCN' of 'CCCN.Cl'."
        """
        if not any(column.kind == "smiles" for column in self.card.columns):
            raise InputError(
                f"the structures of the prior '{self.name}' are not written as SMILES: none is of several molecules."
            )
        columns = tuple(
            replace(column, largest_molecule=True) if column.kind == "smiles" else column
            for column in self.card.columns
        )
        mine: Any = self
        same: Self = replace(mine, card=replace(self.card, columns=columns))
        return same

    def _learned_from(self) -> str:
        return f"learned from {self.training.get('tasks', 'unknown')} families"

    def batch(self, tasks: TaskSet) -> Batch:
        """The families as padded tensors; measurements are numbers, no limits."""
        batch = super().batch(tasks)
        limits = (batch.mask & ~batch.numbers).any(1)
        if bool(limits.any()):
            raise InputError(
                f"task '{batch.names[int(limits.nonzero()[0])]}' has a measurement that is a limit or an interval, "
                "which a prior of families does not take; leave it out."
            )
        return batch

    def strange(self, tasks: TaskSet) -> Strange | None:
        """How far the structures of some families, each once, differ from all that was learned from.

        None where all are alike, or where the prior does not know what it has seen.
        """
        return None

    @abstractmethod
    def forecaster(self, tasks: TaskSet) -> StudentForecaster:
        """Forecasts of all members of some families, from those that are measured."""


@dataclass(frozen=True, repr=False)
class LearnedFamilies(LearnedMembers):
    """What was learned of families, and everything needed to use it on a new one.

    Attributes
    ----------
    name : str
    model : Model
        The property: names, units, noise.
    method : GroupProcess
    state : ProcessState, optional
        None of a recipe that is still to be learned.
    card : Card
        What the columns of its data mean; a user's file is read by it.
    training : dict
    known : Known, optional
        The families it was learned from; not saved, and needed only for baselines.
    """

    name: str
    model: Model
    method: GroupProcess
    state: ProcessState | None
    card: Card
    training: dict[str, Any] = field(default_factory=dict)
    known: Known | None = None

    format: ClassVar[str] = "metasci-structure-prior-1"

    @property
    def learned_state(self) -> ProcessState:
        """The state, refused of a recipe that is still to be learned."""
        if self.state is None:
            raise InputError(f"the prior '{self.name}' is still to be learned.")
        return self.state

    def outlooks(self, tasks: TaskSet) -> list[Outlook]:
        """What is known of each family's members beforehand, on the noise's linked scale; padded places last."""
        batch, points, state = self.batch(tasks), points_of(tasks, self.model), self.learned_state
        if (points.simulated is None) != (state.members.simulated is None):
            raise InputError(
                f"the prior '{self.name}' and its property do not agree on what simulators there are."
            )
        for name in ("counts", "descriptors"):
            known, measured = getattr(state.members, name).shape[1], getattr(points, name).shape[1]
            if measured != known:
                raise InputError(
                    f"the prior '{self.name}' was learned from {known} {name} of a structure, and these data have "
                    f"{measured}: learn it anew with this version of metasci."
                )
        width = batch.mask.shape[1]
        places, strange = places_of(tasks), self.strange(tasks)
        outlooks = []
        for task in range(len(tasks)):
            index = torch.arange(width)[places[task]] + task * width
            outlook = self.method.outlook(points.select(index), state)
            if strange is not None:
                used = batch.inputs[structure_of(tasks, self.model)].ravel()[index].long()
                outlook = outlook.wider(state.deviation, strange.loadings[used])
            outlooks.append(outlook)
        return outlooks

    def measurement_variance(self, tasks: TaskSet) -> NDArray[np.float64] | None:
        places = places_of(tasks)
        variance = np.full(places.shape, np.nan)
        for task, outlook in enumerate(self.outlooks(tasks)):
            variance[task, np.asarray(places[task])] = np.asarray(outlook.expected_noise)
        return variance

    def strange(self, tasks: TaskSet) -> Strange | None:
        if "familiar" not in self.training:
            return None
        texts = tasks.structures(structure_of(tasks, self.model))
        strange = Familiar.of_dict(self.training["familiar"]).strange(texts)
        return strange if any(strange.sentences) else None

    def forecaster(self, tasks: TaskSet) -> StudentForecaster:
        """Forecasts of all members of some families, from those that are measured."""
        at = {name: number for number, name in enumerate(tasks.names)}
        outlooks, places, noise = self.outlooks(tasks), places_of(tasks), self.model.noise

        def forecast(batch: Batch, support: Tensor, query: Tensor) -> StudentForecast:
            mean, scale = torch.zeros_like(batch.output), torch.ones_like(batch.output)
            freedom = torch.ones_like(batch.output[:, :1])
            for row, name in enumerate(batch.names):
                place = places[at[name]]
                values = linked(noise, batch.output[row, place], support[row, place])
                after = outlooks[at[name]].given(support[row, place], values)
                mean[row, place], scale[row, place], freedom[row] = after.mean, after.scale, after.freedom
            return StudentForecast(mean, scale, measured_or_one(batch.output, query), freedom, noise)

        return forecast

    def tensors(self) -> State:
        """The state in single precision, which is half as large and exact enough."""
        return {name: value.to(torch.float32) for name, value in self.learned_state.tensors().items()}

    def description(self) -> dict[str, Any]:
        """What ``prior.json`` says."""
        return {
            "name": self.name,
            "model": self.model.name,
            "property": described_property(self.model),
            "method": asdict(self.method),
            "training": self.training,
            "data": self.card.to_dict(),
        }

    @classmethod
    def of_record(cls, record: Record, model: Model | None = None) -> Self:
        """The prior of what `save` wrote; its property is as described there, unless a `model` is given."""
        description = record.description
        method = dataclass_of(GroupProcess, description.table("method"))
        named = property_described(description.get("model", str), description.table("property"))
        card = record.card()
        check_card(card, model or named, record)
        if "familiar" in (training := record.training()):
            Familiar.of_dict(training["familiar"])
        owed = record.take(ProcessState.shapes(record.tensors))
        record.check_positive("descriptor_scale", "target_scale", "simulated_scale")
        if bool((owed["counts"] < 0).any()):
            raise InputError(f"{record.tensors_path}: 'counts' must not be below zero.")
        state = ProcessState.of({name: value.to(torch.float64) for name, value in owed.items()})
        return cls(description.get("name", str), model or named, method, state, card, training)


def with_names(card: Card) -> Card:
    """The card, by which a table may also have a column ``name`` of what its members are called."""
    if any(NAME in (column.name, column.header) for column in card.columns):
        return card
    return replace(card, columns=(MEMBER_NAME, *card.columns))


def check_card(card: Card, model: Model, record: Record) -> None:
    """Refuse a card that does not tell the property's structure, conditions and output."""
    kinds = [column.name for column in card.with_role("input") if column.structural]
    outputs = [column.name for column in card.columns if column.role == "output"]
    lacking = [name for name in model.inputs if name not in card.inputs]
    if lacking or outputs != [model.output.name] or len(set(kinds) & set(model.inputs)) != 1:
        raise InputError(
            f"{record.path}, data: its columns are not those of the property '{model.name}': "
            f"{', '.join((*model.inputs, model.output.name))}, of which one input is a structure with a `kind`."
        )
