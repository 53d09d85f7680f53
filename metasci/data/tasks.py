"""Many tasks of one kind: labelled outside (xarray), padded and masked inside (torch).

A `TaskSet` holds measurements with names and units, in arrays of (task, observation) that end in NaN
where a task has fewer observations than the longest. A `Batch` is the same for a model: tensors in
the model's units, without a NaN that could reach a gradient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from metasci.data.arrays import content_sum, present, width
from metasci.data.batch import Batch
from metasci.data.batching import batch_of
from metasci.data.cards import Card
from metasci.data.copies import counted_once
from metasci.data.frames import frame_of
from metasci.data.netcdf import read_netcdf, write_netcdf
from metasci.data.notes import notes_of
from metasci.data.opening import opened, with_sums
from metasci.data.repeats import repeats_together
from metasci.errors import InputError

if TYPE_CHECKING:
    import torch

    from metasci.model import Model
    from metasci.noise import Noise

__all__ = ["Batch", "TaskSet"]


@dataclass(frozen=True, eq=False)
class TaskSet:
    """Tasks with their measurements, conditions and covariates.

    Make one with `from_csv`, `from_frame`, `from_dataset` or `from_netcdf`.

    Attributes
    ----------
    dataset : xarray.Dataset
        Dimensions ``task``, ``observation`` and, with histories, ``event``; units in each variable's attrs.
    card : Card
        What the columns of the data mean.

    Examples
    --------
    >>> from metasci.data.cards import Card, Column
    >>> card = Card("decay", columns=(Column("sample", "sample", "task"), Column("time", "time", "input", "h"),
    ...                               Column("activity", "activity", "output", "Bq")), task=("sample",))
    >>> frame = pd.DataFrame({"sample": ["a", "a", "b"], "time [min]": [0, 30, 60], "activity": [9.0, 8.0, 7.0]})
    >>> tasks = TaskSet.from_frame(frame, card)
    >>> tasks
    TaskSet('decay': 2 tasks, 3 measurements)
    >>> tasks.dataset["time"].values
    array([[0. , 0.5],
           [1. , nan]])
    """

    dataset: xr.Dataset
    card: Card

    @classmethod
    def from_csv(
        cls, path: str | Path, card: Card, model: Model | None = None, require_output: bool = True
    ) -> TaskSet:
        """Read a table from a file; see `metasci.data.door.read` and `metasci.data.tables.read_table`."""
        return cls(*opened(Path(path), card, model, require_output))

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        card: Card,
        where: str = "table",
        model: Model | None = None,
        require_output: bool = True,
    ) -> TaskSet:
        """Take a frame with headers as in a file; `where` is what errors call it."""
        return cls(*opened(frame, card, model, require_output, where))

    @classmethod
    def from_events(
        cls, source: str | Path | pd.DataFrame, model: Model, card: Card | None = None, **options: Any
    ) -> TaskSet:
        """Take a table of events, doses and observations, as NONMEM reads them;
        see `metasci.data.events.read.read_events`.

        Parameters
        ----------
        source : path or DataFrame
        model : Model
            Whose inputs, doses and covariates are looked for.
        card : Card, optional
            Of the data, if its headers are not NONMEM's: `card.events` says which is which.
        **options
            `columns` and `units` of `read_events`.
        """
        from metasci.data.events.cards import described

        dataset, own = described(source, model, card, options)
        return cls(with_sums(dataset), own)

    @classmethod
    def from_dataset(
        cls,
        dataset: xr.Dataset,
        card: Card | None = None,
        where: str = "the Dataset",
        model: Model | None = None,
    ) -> TaskSet:
        """Take a Dataset of the form that `TaskSet.dataset` has; without a card it must hold one itself."""
        return cls(*opened(dataset, card, model, where=where))

    @classmethod
    def from_netcdf(cls, path: str | Path) -> TaskSet:
        """Read what `to_netcdf` wrote."""
        return cls.from_dataset(read_netcdf(path), where=str(path))

    def to_netcdf(self, path: str | Path) -> Path:
        """Write a NetCDF file, all of it or nothing; numbers come back bit by bit."""
        return write_netcdf(self.dataset, self.card, path)

    def to_frame(self, units: bool = False) -> pd.DataFrame:
        """One row for each observation and each event, task by task, events first.

        Columns are names, with units in ``attrs["units"]``; with `units` they are headers such as ``time [h]``, and
        limits and intervals texts such as ``<0.1``, ready for a CSV file that is read again.
        """
        return frame_of(self.dataset, self.card, units)

    def __len__(self) -> int:
        return int(self.dataset.sizes["task"])

    def __repr__(self) -> str:
        return f"TaskSet('{self.card.name}': {len(self)} tasks, {int(self.counts.sum())} measurements)"

    def _repr_html_(self) -> str:
        from metasci.data.notebook import tasks_html

        return tasks_html(self)

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks' labels."""
        return tuple(str(name) for name in self.dataset.variables["task"].values)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Measurements of each task."""
        return np.asarray((~np.isnan(self.dataset[self.card.output.name].values)).sum(axis=1), dtype=np.int64)

    @property
    def checksum(self) -> str:
        """SHA-256 of the content: names, units and numbers, in order. ``dataset.attrs["checksum"]`` is of the file that
        they come from, where they come from one.
        """
        return content_sum(self.dataset)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the data has to mind, one sentence each: how they were read, what is repeated."""
        return notes_of(self.dataset, self.card)

    def counted_once(self) -> TaskSet:
        """The same without measurements that repeat another of their task to the digit, under the same conditions."""
        dataset = counted_once(self.dataset, self.card)
        return self if dataset is self.dataset else replace(self, dataset=with_sums(dataset))

    def repeats_together(self, noise: Noise, variance: NDArray[np.float64]) -> TaskSet:
        """The same with repeats that share an error as so many readings of their mean as they count for.

        Parameters
        ----------
        noise : Noise
        variance : array, (task, observation)
            Of each measurement about the curve, on the noise's linked scale; see `metasci.data.repeats`.
        """
        dataset = repeats_together(self.dataset, self.card, noise, variance)
        return self if dataset is self.dataset else replace(self, dataset=with_sums(dataset))

    @property
    def covariate_names(self) -> tuple[str, ...]:
        """The covariates that are known of at least one task."""
        return tuple(name for name in self.card.covariates if not np.isnan(self.dataset[name].values).all())

    def select(self, which: Any) -> TaskSet:
        """Some of the tasks, by position, label, slice, or a boolean for each task.

        Raises
        ------
        InputError
            If there is no task of such a label.
        """
        if isinstance(which, slice):
            index = np.arange(len(self))[which]
        else:
            asked = np.atleast_1d(np.asarray(which))
            if asked.dtype.kind in "UOT":
                positions = {name: at for at, name in enumerate(self.names)}
                for label in asked:
                    if str(label) not in positions:
                        raise InputError(f"the data '{self.card.name}' have no task '{label}'.")
                index = np.array([positions[str(label)] for label in asked])
            elif asked.dtype == bool:
                if asked.shape != (len(self),):
                    raise InputError(f"{len(asked)} booleans cannot select from {len(self)} tasks.")
                index = np.flatnonzero(asked)
            else:
                index = asked.astype(np.intp)
        # tasks of a file are still of that file, if nobody has changed its numbers since
        of_file = "content" in self.dataset.attrs and self.dataset.attrs["content"] == self.checksum
        dataset = self.dataset.isel(task=index)
        keep = {"observation": width(present(dataset, self.card))}
        if self.card.histories:
            keep["event"] = max(width(~np.isnan(dataset[name].values)) for name in self.card.histories)
        dataset = dataset.isel({dim: slice(size) for dim, size in keep.items()})
        if of_file:
            dataset = dataset.assign_attrs(content=content_sum(dataset))
        return replace(self, dataset=dataset)

    def structures(self, name: str) -> list[str]:
        """The different chemical structures of an input; its numbers are places in this list."""
        stored = self.dataset[name].attrs.get("structures", [])
        return [stored] if isinstance(stored, str) else [str(text) for text in stored]

    def groups(self, column: str) -> NDArray[Any]:
        """What a task or note column (by name or header), a covariate, or ``"task"`` says of each task."""
        name = column if column == "task" else self.card.column(column).name
        if name not in self.dataset or self.dataset[name].dims != ("task",):
            raise InputError(f"'{column}' is not constant within the tasks of '{self.card.name}'.")
        return np.asarray(self.dataset[name].values)

    def is_in_units_of(self, model: Model) -> bool:
        """Whether the inputs and the output are stated in a model's own units."""
        wanted = {name: declared.unit for name, declared in model.inputs.items()} | {
            model.output.name: model.output.unit
        }
        own = {
            name: self.dataset.variables[name].attrs["units"]
            for name in self.dataset.data_vars
            if name in wanted
        }
        return own == wanted

    def batch(
        self,
        model: Model,
        covariates: Sequence[str] = (),
        dtype: torch.dtype | None = None,
        device: torch.device | str = "cpu",
        levels: Mapping[str, Sequence[str]] | None = None,
    ) -> Batch:
        """Tensors for a model, in its units.

        Parameters
        ----------
        model : Model
            Its inputs may also be covariates of the data, which are then repeated along the observations.
        covariates : sequence of str
            Which covariates to give, in this order; NaN where unknown.
        dtype : torch.dtype, optional
            64-bit floating point unless said otherwise.
        device : torch.device or str
            Where the tensors are to lie.
        levels : mapping of str to sequence of str
            Columns of what tasks have in common, with the groups that are known; see `metasci.data.levels`.

        Raises
        ------
        InputError
            If the data lack what the model needs, or have it in another dimension.
        """
        return batch_of(self.dataset, self.card, self.names, model, covariates, dtype, device, levels)
