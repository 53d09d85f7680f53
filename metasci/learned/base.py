"""What the records of all kinds of priors have in common: a name, a model, a card, and two files on disk."""

from __future__ import annotations

import hashlib
import json
import platform
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from metasci import __version__
from metasci.data.batch import check_measurable
from metasci.data.cards import Card
from metasci.data.repeats import repeats
from metasci.data.tasks import Batch, TaskSet
from metasci.files import State, tensors_checksum
from metasci.learned.reading import read_for
from metasci.learned.record import Record, write_record
from metasci.model import Model

if TYPE_CHECKING:
    from metasci.learned.reading import Data

__all__ = ["Learned", "versions"]


class Learned(ABC):
    """A record of what was learned.

    Attributes
    ----------
    name : str
    model : Model
    card : Card
        What the columns of its data mean; a user's file is read by it.
    training : dict
        Of what it was learned: seed, tasks, measurements, checksum of the data, versions.
    """

    name: str
    model: Model
    card: Card
    training: dict[str, Any]

    format: ClassVar[str]
    """What ``prior.json`` calls this kind of record."""
    members_may_be_unmeasured: ClassVar[bool] = False
    """Whether a table may hold rows that are only to be predicted."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}('{self.name}': {self.model.name}, {self._learned_from()})"

    def _repr_html_(self) -> str:
        from metasci.learned.notebook import prior_html

        return prior_html(self)

    def _learned_from(self) -> str:
        return f"learned from {self.training.get('tasks', 'unknown')} tasks"

    def read(self, data: Data) -> TaskSet:
        """Tasks from a CSV file, a DataFrame, a Dataset or a TaskSet, by this prior's card, in the model's units."""
        return read_for(self.model, self.card, data, require_output=not self.members_may_be_unmeasured)

    def counted(self, tasks: TaskSet) -> TaskSet:
        """The tasks with copies counted once, and repeats that share an error as the few that they count for."""
        once = tasks.counted_once()
        if not self.model.noise.gaussian or repeats(once.dataset, once.card).empty:
            return once
        variance = self.measurement_variance(once)
        return once if variance is None else once.repeats_together(self.model.noise, variance)

    def measurement_variance(self, tasks: TaskSet) -> NDArray[np.float64] | None:
        """Of each measurement about the curve, (task, observation), on the noise's linked scale; where it is known."""
        return None

    def batch(self, tasks: TaskSet) -> Batch:
        """The tasks as padded tensors, refused where the model's noise cannot have produced a measurement."""
        batch = tasks.batch(self.model, covariates=self._covariate_names(), levels=self.known_groups)
        check_measurable(batch, self.model)
        return batch

    def _covariate_names(self) -> tuple[str, ...]:
        return ()

    @property
    def known_groups(self) -> Mapping[str, Sequence[str]]:
        """The groups of each level that the prior knows, by its column."""
        return {}

    def save(self, folder: str | Path) -> Path:
        """Write ``prior.safetensors`` and ``prior.json`` into a folder: both, or neither."""
        return write_record(folder, self.format, self.description(), self.tensors())

    def digest(self) -> str:
        """What no other prior has: a checksum of all that `save` writes."""
        content = json.dumps(
            [self.format, self.description(), tensors_checksum(self.tensors())], sort_keys=True
        )
        return hashlib.sha256(content.encode()).hexdigest()

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """What ``prior.json`` says, as plain text and numbers."""

    @abstractmethod
    def tensors(self) -> State:
        """What ``prior.safetensors`` holds."""

    @classmethod
    @abstractmethod
    def of_record(cls, record: Record, model: Model | None = None) -> Self:
        """The prior of what `save` wrote, all of it checked.

        Raises
        ------
        InputError
            If something in the record is missing, of a wrong type, or does not fit the rest; the sentence names file
            and place.
        """


def versions() -> dict[str, str]:
    """Of what a prior was learned with."""
    import numpy as np
    import torch

    return {
        "metasci": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
