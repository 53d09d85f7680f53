"""From conditions of measurement to rows of the process: standardised coordinates, with the equation's slopes there."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from metasci.meta.covariates import Design
from metasci.meta.discrepancy.kernel import Rows
from metasci.model import Model

__all__ = ["coordinates_of", "rows_of"]

_NEW = -1.0  # the number of a task that was not learned from


def coordinates_of(model: Model, inputs: Mapping[str, Tensor], shape: torch.Size) -> Tensor:
    """Coordinates in which what the equation leaves out varies, (task, observation, coordinate).

    What the model declares (`Model.discrepancy_inputs`); otherwise its inputs, without those that are the same for all
    measurements of a task, which could tell of the task only.

    Parameters
    ----------
    model : Model
    inputs : mapping of Tensor
    shape : torch.Size
        (task, observation).

    Examples
    --------
    >>> import metasci as ms
    >>> time, temperature = (torch.tensor([row], dtype=torch.float64) for row in ((3600.0, 36000.0), (873.15, 873.15)))
    >>> at = coordinates_of(ms.kinetics.tempering, {"time": time, "temperature": temperature}, time.shape)
    >>> at[0].round(decimals=5).tolist()
    [[17.463, 0.0, 873.15], [18.33615, 1.0, 873.15]]
    """
    if model.discrepancy_inputs is not None:
        chosen = list(model.discrepancy_inputs(inputs))
    else:
        chosen = [inputs[name] for name, declared in model.inputs.items() if not declared.constant]
    some = next(iter(inputs.values()))
    columns = [
        torch.as_tensor(column, dtype=some.dtype, device=some.device).expand(shape) for column in chosen
    ]
    return torch.stack(columns, -1) if columns else some.new_zeros(*shape, 0)


def rows_of(
    place: Tensor, slope: Tensor, design: Design, seen: float = 1.0, task: Tensor | None = None
) -> Rows:
    """Rows of a batch of tasks, each new unless numbers are given, (task, row).

    Parameters
    ----------
    place, slope : Tensor, (task, row, coordinate), (task, row, parameter)
    design : Design
    seen : float
        Zero for rows that look at parameters only.
    task : Tensor, (task,), optional
    """
    tasks, count = place.shape[:2]

    def of_task(values: Tensor) -> Tensor:
        return values[:, None].expand(tasks, count, *values.shape[1:])

    number = place.new_full((tasks,), _NEW) if task is None else task
    group = place.new_zeros(tasks, 0) if design.group is None else design.group
    return Rows(
        place,
        slope,
        of_task(design.values),
        of_task(design.uncertainty.diagonal(dim1=1, dim2=2)),
        of_task(number),
        place.new_full((tasks, count), seen),
        of_task(group),
    )
