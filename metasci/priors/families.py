"""A prior of families of materials: what many families say about the members of a new one.

The same face as `metasci.priors.equation.Prior`, for properties that follow from a chemical structure. What is learned
is a process over families (`metasci.meta.group_process`), not an equation's parameters.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from metasci.data.batch import check_measurable
from metasci.data.checksums import checksum
from metasci.data.tasks import Batch, TaskSet
from metasci.forecasts import StudentForecast, StudentForecaster, measured_or_one
from metasci.learned.base import versions
from metasci.learned.familiar import Familiar
from metasci.learned.families import LearnedFamilies
from metasci.learned.places import linked, places_of, points_of, structure_of
from metasci.materials.baselines import Known, baselines
from metasci.meta.group_process import GroupProcess, Points
from metasci.model import Model
from metasci.priors.base import MembersVerbs
from metasci.progress import bar

__all__ = ["StructurePrior", "learn_structures"]


class StructurePrior(MembersVerbs, LearnedFamilies):
    """What was learned of families, with all that a prior can do; its parts are those of `LearnedFamilies`.

    Examples
    --------
    >>> import metasci as ms
    >>> prior = ms.load("boiling_point")
    >>> prior
    StructurePrior('boiling_point': materials.boiling_point, learned from 41 families)
    """

    def retrain(self, tasks: TaskSet, *, seed: int | None = None, progress: bool = False) -> StructurePrior:
        """The same property and method learned anew from other families."""
        own = int(self.training.get("seed", 0)) if seed is None else seed
        return learn_structures(self.model, tasks, self.method, name=self.name, seed=own, progress=progress)

    def update(self, tasks: TaskSet) -> StructurePrior:
        """A prior that knows new families, too, beside those it was learned from, whose data may be gone.

        The covariances, and the members that stand for all, stay as they were learned; given these it is the same,
        whether families come at once or one after the other.

        Parameters
        ----------
        tasks : TaskSet
            None of which was learned from before: a family that comes twice counts twice.
        """
        tasks = self.read(tasks)
        points, values, group = _measured(self.model, tasks)
        known = None if self.known is None else self.known.join(_known(points, values, group))
        seen = self.training.get("familiar")
        new = familiar(self.model, tasks)
        training = {
            **self.training,
            **({} if seen is None else {"familiar": Familiar.of_dict(seen).join(new).to_dict()}),
            "tasks": int(self.training.get("tasks", 0)) + len(tasks),
            "measurements": int(self.training.get("measurements", 0)) + len(values),
            "versions": versions(),
        }
        state = self.method.update(points, values, group, self.learned_state)
        return replace(self, state=state, training=training, known=known)

    def forecasters(self, tasks: TaskSet) -> dict[str, StudentForecaster]:
        """Ways to forecast some families from a few of their members: this prior, and what it is held against."""
        ways: dict[str, StudentForecaster] = {"prior": self.forecaster(tasks)}
        if self.known is None:
            return ways
        at = {name: number for number, name in enumerate(tasks.names)}
        places, noise, points = places_of(tasks), self.model.noise, points_of(tasks, self.model)
        table = _features(points).reshape(*places.shape, -1)

        def forecaster(baseline: Any) -> StudentForecaster:
            def forecast(batch: Batch, support: Tensor, query: Tensor) -> StudentForecast:
                mean, sd = torch.zeros_like(batch.output), torch.ones_like(batch.output)
                for row, name in enumerate(batch.names):
                    place = places[at[name]]
                    values = linked(noise, batch.output[row, place], support[row, place])
                    described = table[at[name]][place].numpy()
                    centre, spread = baseline(described, values.numpy(), support[row, place].numpy())
                    mean[row, place], sd[row, place] = torch.as_tensor(centre), torch.as_tensor(spread)
                gaussian = torch.full_like(mean[:, :1], torch.inf)
                return StudentForecast(mean, sd, measured_or_one(batch.output, query), gaussian, noise)

            return forecast

        return ways | {title: forecaster(baseline) for title, baseline in baselines(self.known).items()}


def learn_structures(
    model: Model,
    tasks: TaskSet,
    method: GroupProcess | None = None,
    *,
    name: str = "",
    seed: int = 0,
    progress: bool = False,
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
    progress : bool
        Whether to show a bar on the terminal.
    """
    method = method or GroupProcess()
    began = time.perf_counter()
    points, values, group = _measured(model, tasks)
    with bar(method.name, method.iterations, progress) as advance:
        state = method.learn(points, values, group, seed, advance)
    training = {
        "seed": seed,
        "tasks": len(tasks),
        "measurements": len(values),
        "left_out_as_not_finite": {},
        "seconds": round(time.perf_counter() - began, 2),
        "data_sha256": checksum(tasks),
        "familiar": familiar(model, tasks).to_dict(),
        "versions": versions(),
    }
    known = _known(points, values, group)
    return StructurePrior(name or tasks.card.name, model, method, state, tasks.card, training, known)


def familiar(model: Model, tasks: TaskSet) -> Familiar:
    """Of what the structures of some families are."""
    structure = structure_of(tasks, model)
    rows = tasks.to_frame()
    families = [list(dict.fromkeys(texts)) for _, texts in rows.groupby("task", sort=False)[structure]]
    return Familiar.of(str(tasks.card.column(structure).kind), families)


def _measured(model: Model, tasks: TaskSet) -> tuple[Points, Tensor, Tensor]:
    """Members that were measured: as points, their values on the noise's linked scale, and their family's number."""
    batch = tasks.batch(model)
    check_measurable(batch, model)
    seen = batch.mask
    values: Tensor = model.noise.link(batch.output[seen])
    group = torch.arange(len(tasks))[:, None].expand(seen.shape)[seen]
    return points_of(tasks, model).select(seen.ravel()), values, group


def _features(points: Points) -> Tensor:
    """What baselines are told of each point: descriptors, then counts."""
    return torch.cat([points.descriptors, points.counts], 1)


def _known(points: Points, values: Tensor, group: Tensor) -> Known:
    return Known(_features(points).numpy(), points.descriptors.shape[1], values.numpy(), group.numpy())
