"""A prior of families of materials: what many families say about the members of a new one.

The same face as `metasci.learned.equation.Prior`, for properties that follow from a chemical structure: `calibrate`,
`retrain`, `save`, `load`. What is learned is a process over families (`metasci.meta.group_process`), not an
equation's parameters.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from metasci.data.batch import check_measurable
from metasci.data.cards import UNKNOWN, Card, Column
from metasci.data.checksums import checksum
from metasci.data.tasks import Batch, TaskSet
from metasci.errors import InputError
from metasci.files import State, read_tensors, write_atomically, write_tensors
from metasci.forecasts import StudentForecast
from metasci.learned.files import described_property, property_described
from metasci.materials.baselines import Known, baselines
from metasci.materials.structures import features
from metasci.meta.group_process import GroupProcess, Outlook, Points
from metasci.model import Model
from metasci.noise import Noise

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from metasci.fits.families import StructureCalibration

__all__ = ["FORMAT", "StructurePrior", "learn_structures"]

FORMAT = "metasci-structure-prior-1"


Forecaster = Callable[[Batch, Tensor, Tensor], StudentForecast]


@dataclass(frozen=True, repr=False)
class StructurePrior:
    """What was learned of families, and everything needed to use it on a new one.

    Attributes
    ----------
    name : str
    model : Model
        The property: names, units, noise.
    method : GroupProcess
    state : dict of Tensor
    card : Card
        What the columns of its data mean; a user's file is read by it.
    training : dict
    known : Known, optional
        The families it was learned from; not saved, and needed only for baselines.

    Examples
    --------
    >>> import metasci as ms
    >>> prior = ms.load("boiling_point")
    >>> prior
    StructurePrior('boiling_point': materials.boiling_point, learned from 41 families)
    """

    name: str
    model: Model
    method: GroupProcess
    state: State
    card: Card
    training: dict[str, Any] = field(default_factory=dict)
    known: Known | None = None

    def __repr__(self) -> str:
        families = self.training.get("tasks", "unknown")
        return f"StructurePrior('{self.name}': {self.model.name}, learned from {families} families)"

    def read(self, data: str | Path | TaskSet | pd.DataFrame | xr.Dataset) -> TaskSet:
        """Families from a CSV file, a DataFrame, a Dataset or a TaskSet; members need not be measured."""
        import xarray as xr

        if isinstance(data, TaskSet):
            return data
        if isinstance(data, str | Path):
            return TaskSet.from_csv(Path(data), self.card, self.model, require_output=False)
        if isinstance(data, xr.Dataset):
            return TaskSet.from_dataset(data, self.card, model=self.model)
        return TaskSet.from_frame(data, self.card, model=self.model, require_output=False)

    def batch(self, tasks: TaskSet) -> Batch:
        """The families as padded tensors, refused where the property's noise cannot have produced a measurement."""
        batch = tasks.batch(self.model)
        check_measurable(batch, self.model)
        return batch

    def outlooks(self, tasks: TaskSet) -> list[Outlook]:
        """What is known of each family's members beforehand, on the noise's linked scale; padded places last."""
        batch, points = self.batch(tasks), points_of(tasks, self.model)
        width = batch.mask.shape[1]
        there = there_of(tasks)
        made = []
        for task in range(len(tasks)):
            index = torch.arange(width)[there[task]] + task * width
            made.append(self.method.outlook(points.select(index), self.state))
        return made

    def calibrate(self, data: str | Path | TaskSet | pd.DataFrame | xr.Dataset) -> StructureCalibration:
        """Calibrate to one new family, or to a few.

        Parameters
        ----------
        data : path, DataFrame, Dataset or TaskSet
            Members with their structure, and the property of those that were measured; of the others the cell stays
            empty, and is predicted.

        Raises
        ------
        InputError
            If the data do not make sense, such as a structure that cannot be read; the sentence names file, column and
            row.
        """
        from metasci.fits.families import StructureCalibration

        tasks = self.read(data)
        return StructureCalibration(self, tasks, self.batch(tasks), tuple(self.outlooks(tasks)))

    def calibrate_many(
        self,
        data: str | Path | TaskSet | pd.DataFrame | xr.Dataset,
        *,
        level: float = 0.9,
        chunk: int = 100,
        out: str | Path | None = None,
    ) -> xr.Dataset:
        """Calibrate any number of families, some at a time, with the results of `calibrate`.

        Parameters
        ----------
        data : path, DataFrame, Dataset or TaskSet
            What `calibrate` takes.
        level : float
            Probability of the intervals.
        chunk : int
            Families at a time.
        out : path, optional
            A new ``.nc``, which appears when all is done.

        Returns
        -------
        xarray.Dataset
            The structure, conditions and measurement of each member, ``predicted``, ``lower``, ``upper``, ``prior``,
            ``prior_lower`` and ``prior_upper``, (task, member), as `StructureCalibration.to_xarray` gives them.

        Examples
        --------
        >>> import metasci as ms
        >>> families = ms.dataset("boiling_points").select(["aliphatic thiol", "aliphatic iodide"])
        >>> result = ms.load("boiling_point").calibrate_many(families, chunk=1)
        >>> result["predicted"].dims, len(result["task"]), result["predicted"].attrs["units"]
        (('task', 'member'), 2, 'K')
        """
        import pandas as pd

        from metasci.files import write_dataset
        from metasci.fits.families import members_as_dataset

        if chunk < 1:
            raise InputError(f"`chunk` is a number of families, at least 1, not {chunk}.")
        tasks = self.read(data)
        pieces = [tasks.select(slice(at, at + chunk)) for at in range(0, len(tasks), chunk)]
        tables = [self.calibrate(piece).table(level) for piece in pieces]
        result = members_as_dataset(pd.concat(tables, ignore_index=True), self.model)
        if out is not None:
            write_dataset(result, Path(out))
        return result

    def retrain(self, tasks: TaskSet, *, seed: int | None = None, progress: bool = False) -> StructurePrior:
        """The same property and method learned anew from other families."""
        own = int(self.training.get("seed", 0)) if seed is None else seed
        return learn_structures(self.model, tasks, self.method, name=self.name, seed=own)

    def forecasters(self, tasks: TaskSet) -> dict[str, Forecaster]:
        """Ways to forecast some families from a few of their members: this prior, and what it is held against."""
        place = {name: at for at, name in enumerate(tasks.names)}
        outlooks, noise = self.outlooks(tasks), self.model.noise
        there = there_of(tasks)

        def by_prior(batch: Batch, support: Tensor, query: Tensor) -> StudentForecast:
            mean, scale = torch.zeros_like(batch.output), torch.ones_like(batch.output)
            freedom = torch.ones_like(batch.output[:, :1])
            for row, name in enumerate(batch.names):
                at = there[place[name]]
                values = _linked(noise, batch.output[row, at], support[row, at])
                after = outlooks[place[name]].given(support[row, at], values)
                mean[row, at], scale[row, at], freedom[row] = after.mean, after.scale, after.freedom
            return StudentForecast(mean, scale, _safe(batch.output, query), freedom, noise)

        made: dict[str, Forecaster] = {"prior": by_prior}
        if self.known is None:
            return made
        points = points_of(tasks, self.model)
        table = torch.cat([points.descriptors, points.counts], 1).numpy().reshape(*there.shape, -1)
        for title, baseline in baselines(self.known).items():

            def by_baseline(
                batch: Batch, support: Tensor, query: Tensor, baseline: Any = baseline
            ) -> StudentForecast:
                mean, sd = torch.zeros_like(batch.output), torch.ones_like(batch.output)
                for row, name in enumerate(batch.names):
                    at = there[place[name]]
                    values = _linked(noise, batch.output[row, at], support[row, at])
                    described = table[place[name]][at.numpy()]
                    centre, spread = baseline(described, values.numpy(), support[row, at].numpy())
                    mean[row, at], sd[row, at] = torch.as_tensor(centre), torch.as_tensor(spread)
                gaussian = torch.full_like(mean[:, :1], torch.inf)
                return StudentForecast(mean, sd, _safe(batch.output, query), gaussian, noise)

            made[title] = by_baseline
        return made

    def save(self, folder: str | Path) -> Path:
        """Write ``prior.safetensors`` and ``prior.json`` into a folder, each atomically, in single precision."""
        folder = Path(folder)
        small = {name: value.to(torch.float32) for name, value in self.state.items()}
        write_tensors(folder / "prior.safetensors", small, {"format": FORMAT})
        description = {
            "format": FORMAT,
            "name": self.name,
            "model": self.model.name,
            "property": described_property(self.model),
            "method": dataclasses.asdict(self.method),
            "training": self.training,
            "data": self.card.to_dict(),
        }
        text = json.dumps(description, indent=1, ensure_ascii=False)
        write_atomically(folder / "prior.json", (text + "\n").encode())
        return folder

    @classmethod
    def load(cls, folder: str | Path, model: Model | None = None) -> StructurePrior:
        """Read a prior from its folder; its property is as the folder describes it, unless a `model` is given."""
        path = Path(folder) / "prior.json"
        description = json.loads(path.read_text(encoding="utf-8"))
        state, _ = read_tensors(path.with_name("prior.safetensors"))
        try:
            method = GroupProcess(**description["method"])
            state = {key: value.to(torch.float64) for key, value in state.items()}
            _check_state(state, path)
            card = Card.from_dict(description["data"], where=f"{path}, data")
            return cls(
                str(description["name"]),
                model or property_described(str(description["model"]), description["property"], path),
                method,
                state,
                card,
                dict(description["training"]),
            )
        except (KeyError, TypeError) as error:
            raise InputError(f"{path}: this is not the description of a learned prior.") from error


def learn_structures(
    model: Model, tasks: TaskSet, method: GroupProcess | None = None, *, name: str = "", seed: int = 0
) -> StructurePrior:
    """Learn a prior from many families.

    Parameters
    ----------
    model : Model
        A property (`metasci.materials.properties`).
    tasks : TaskSet
        Families with their members.
    method : GroupProcess, optional
    name : str
        What to call it; the data's name by default.
    seed : int
    """
    from metasci.learned.equation import _versions

    method = method or GroupProcess()
    began = time.perf_counter()
    batch = tasks.batch(model)
    check_measurable(batch, model)
    seen = batch.mask
    values = model.noise.link(batch.output[seen])
    group = torch.arange(len(tasks))[:, None].expand(seen.shape)[seen]
    points = points_of(tasks, model).select(seen.ravel())
    state = method.learn(points, values, group, seed)
    known = Known(
        torch.cat([points.descriptors, points.counts], 1).numpy(), points.descriptors.shape[1], values.numpy(),
        group.numpy(),
    )  # fmt: skip
    training = {
        "seed": seed,
        "tasks": len(tasks),
        "measurements": int(seen.sum()),
        "left_out_as_not_finite": {},
        "seconds": round(time.perf_counter() - began, 2),
        "data_sha256": checksum(tasks),
        "versions": dict(_versions()),
    }
    return StructurePrior(name or tasks.card.name, model, method, state, tasks.card, training, known)


def points_of(tasks: TaskSet, model: Model) -> Points:
    """All places of a TaskSet as points, task by task; conditions of measurement stand among the descriptors.

    A category is told by one descriptor for each, 1 where it holds; one that is not known by none of them.
    """
    batch = tasks.batch(model)
    kinds = {column.name: column.kind for column in tasks.card.with_role("input") if column.kind}
    chosen = [name for name in model.inputs if name in kinds]
    if len(chosen) != 1:
        raise InputError(
            f"'{model.name}' needs one input that is a structure, but the card of '{tasks.card.name}' has "
            f"{len(chosen)}; give its column a `kind`."
        )
    texts = tasks.structures(chosen[0])
    index = batch.inputs[chosen[0]].ravel().long()
    used, place = torch.unique(index, return_inverse=True)
    described = features(kinds[chosen[0]], [texts[at] for at in used.tolist()])
    counts, whole = (torch.as_tensor(values)[place] for values in (described.counts, described.descriptors))
    conditions = [
        _told(batch.inputs[name].ravel(), tasks.card.column(name))
        for name in model.inputs
        if name != chosen[0]
    ]
    return Points(counts, torch.cat([whole, *conditions], 1))


def _told(values: Tensor, column: Column) -> Tensor:
    """A condition as descriptors, (point, descriptor)."""
    if not column.codes:
        return values[:, None]
    codes = [code for text, code in column.codes.items() if text != UNKNOWN]
    return (values[:, None] == values.new_tensor(codes)).to(values.dtype)


def there_of(tasks: TaskSet) -> Tensor:
    """Which places hold a member, measured or not, (task, observation)."""
    inputs = [tasks.dataset[name].values for name in tasks.card.inputs]
    return torch.as_tensor(~np.isnan(np.stack(inputs)).any(0))


def _linked(noise: Noise, values: Tensor, seen: Tensor) -> Tensor:
    """Values on the noise's linked scale; ones where nothing was seen."""
    linked: Tensor = noise.link(torch.where(seen, values, torch.ones_like(values)))
    return linked


def _safe(values: Tensor, wanted: Tensor) -> Tensor:
    return torch.where(wanted, values, torch.ones_like(values))


def _check_state(state: State, path: Path) -> None:
    """Refuse tensors that are missing or not finite."""
    needed = {
        "counts",
        "descriptors",
        "weights",
        "factor",
        "descriptor_centre",
        "target_centre",
        "log/lengths",
        "log/noise_slopes",
        "log/freedom",
    }
    for name in needed:
        if name not in state or not bool(torch.isfinite(state[name]).all()):
            raise InputError(f"{path.with_name('prior.safetensors')}: '{name}' is missing or not finite.")
