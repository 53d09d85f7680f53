"""Members of families as a process takes them: which places of a TaskSet hold one, and its structure as numbers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from metasci.data.cards import SOURCE, UNKNOWN, Column
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.forecasts import measured_or_one
from metasci.materials.structures import features
from metasci.meta.group_process import Points
from metasci.model import Model
from metasci.noise import Noise

__all__ = ["linked", "places_of", "points_of", "simulators_of", "structure_of"]


def structure_of(tasks: TaskSet, model: Model) -> str:
    """The input that is a structure.

    Raises
    ------
    InputError
        If there is not exactly one.
    """
    kinds = {column.name for column in tasks.card.with_role("input") if column.structural}
    chosen = [name for name in model.inputs if name in kinds]
    if len(chosen) != 1:
        raise InputError(
            f"'{model.name}' needs one input that is a structure, but the card of '{tasks.card.name}' has "
            f"{len(chosen)}; give its column a `kind`."
        )
    return chosen[0]


def points_of(tasks: TaskSet, model: Model) -> Points:
    """All places of a TaskSet as points, task by task; conditions of measurement stand among the descriptors.

    A category is told by one descriptor for each, 1 where it holds; one that is not known by none of them. What cheap
    models say of the output stands among the descriptors, too, and once more on the scale on which it is learned.
    """
    batch, structure = tasks.batch(model), structure_of(tasks, model)
    texts = tasks.structures(structure)
    index = batch.inputs[structure].ravel().long()
    used, place = torch.unique(index, return_inverse=True)
    described = features(tasks.card.column(structure).kind, [texts[at] for at in used.tolist()])
    counts, whole = (torch.as_tensor(values)[place] for values in (described.counts, described.descriptors))
    conditions = [
        _as_descriptors(batch.inputs[name].ravel(), tasks.card.column(name))
        for name in model.inputs
        if name != structure
    ]
    simulated = [_on_scale(model, name, batch.inputs[name]).ravel() for name in simulators_of(model)]
    return Points(
        counts,
        torch.cat([whole, *conditions], 1),
        torch.stack(simulated, 1) if simulated else None,
        _sources(tasks, model),
    )


def _sources(tasks: TaskSet, model: Model) -> Tensor | None:
    """A number for each combination of sources, (point,), if the card knows of any; no property depends on them.

    What else is told of a specimen by a category that is no input of the property, such as how it was processed, tells
    specimens of one source apart.
    """
    columns = tasks.card.with_role("input")
    named = [column.name for column in columns if column.kind == SOURCE]
    if not named:
        return None
    named += [column.name for column in columns if column.codes and column.name not in model.inputs]
    numbers = torch.stack([torch.as_tensor(tasks.dataset[name].values).ravel() for name in named], 1)
    return torch.unique(numbers.nan_to_num(nan=-1.0), dim=0, return_inverse=True)[1]


def simulators_of(model: Model) -> list[str]:
    """The inputs that are what cheap models say of the output."""
    return [name for name, quantity in model.inputs.items() if quantity.simulates]


def _on_scale(model: Model, name: str, values: Tensor) -> Tensor:
    """What a cheap model says, on the noise's linked scale; where that has no place for it, it is refused."""
    present = ~values.isnan()
    on_scale = linked(model.noise, values, present)
    wrong = (present & ~on_scale.isfinite()).nonzero()
    if len(wrong):
        raise InputError(
            f"{name} is {float(values[tuple(wrong[0])]):g} in one place, which {model.output.name} cannot be: a "
            "simulator has to say values that could be measured."
        )
    return torch.where(present, on_scale, 0.0)


def places_of(tasks: TaskSet) -> Tensor:
    """Which places hold a member, measured or not, (task, observation)."""
    inputs = [tasks.dataset[name].values for name in tasks.card.inputs]
    return torch.as_tensor(~np.isnan(np.stack(inputs)).any(0))


def linked(noise: Noise, values: Tensor, seen: Tensor) -> Tensor:
    """Values on the noise's linked scale; those of one where nothing was seen."""
    on_scale: Tensor = noise.link(measured_or_one(values, seen))
    return on_scale


def _as_descriptors(values: Tensor, column: Column) -> Tensor:
    """A condition as descriptors, (point, descriptor)."""
    if not column.codes:
        return values[:, None]
    codes = [code for text, code in column.codes.items() if text != UNKNOWN]
    return (values[:, None] == values.new_tensor(codes)).to(values.dtype)
