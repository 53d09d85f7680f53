"""Conditions of measurements that were not made: what a design, a candidate or a target is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metasci.data.batch import Batch
from metasci.model import Model

__all__ = ["conditions_batch"]


def conditions_batch(
    model: Model, values: Mapping[str, NDArray[np.float64]], like: Batch | None = None, covariates: int = 0
) -> Batch:
    """One task, or those of another batch, measured under these conditions; the outputs are blank.

    Parameters
    ----------
    model : Model
    values : mapping of array, (point,)
        In the model's units, as `read_conditions` gives them.
    like : Batch, optional
        Its tasks give what is missing: inputs that do not vary, histories, covariates.
    covariates : int
        How many covariates a single task is to have, all unknown.
    """
    size = len(next(iter(values.values())))
    tasks = 1 if like is None else len(like)
    inputs: dict[str, Tensor] = {} if like is None else dict(like.inputs)
    for name in model.inputs:
        if name in values:
            inputs[name] = torch.tensor(np.array(values[name]))[None].expand(tasks, size)
        elif name in inputs:
            inputs[name] = inputs[name][:, :1].expand(tasks, size)
    unknown = torch.full((1, covariates), torch.nan, dtype=torch.float64)
    return Batch(
        inputs=inputs,
        output=torch.ones(tasks, size, dtype=torch.float64),
        mask=torch.ones(tasks, size, dtype=torch.bool),
        covariates=unknown if like is None else like.covariates,
        names=("design",) if like is None else like.names,
    )
