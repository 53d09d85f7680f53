"""From labelled arrays to a batch of tensors, in a model's units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from metasci.data.arrays import above_name, below_name, present, upper_name
from metasci.data.batch import Batch, repeat_last
from metasci.data.cards import Card
from metasci.data.checks import check_codes
from metasci.data.courses import put_in_order
from metasci.data.levels import group_numbers
from metasci.errors import InputError
from metasci.units import convert

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from metasci.model import Model

__all__ = ["batch_of", "values_in"]


def batch_of(
    dataset: xr.Dataset,
    card: Card,
    names: tuple[str, ...],
    model: Model,
    covariates: Sequence[str] = (),
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    levels: Mapping[str, Sequence[str]] | None = None,
) -> Batch:
    """The batch that `TaskSet.batch` describes."""
    import torch

    check_codes(card, model)
    measured = present(dataset, card)
    arrays: dict[str, NDArray[Any]] = {}
    for name, needed in model.inputs.items():
        values = values_in(dataset, card, name, needed.unit, f"model '{model.name}'")
        if values.ndim == 1:
            if np.isnan(values).any():
                task = names[int(np.flatnonzero(np.isnan(values))[0])]
                raise InputError(f"model '{model.name}' needs {name}, which task '{task}' does not give.")
            arrays[name] = np.broadcast_to(values[:, None], measured.shape)
        else:
            arrays[name] = repeat_last(values, measured)
    for name, history in model.histories.items():
        for key, unit in ((name, history.unit), (f"{name}_time", model.inputs[history.at].unit)):
            told_events = _one_or_more(values_in(dataset, card, key, unit, f"model '{model.name}'"))
            arrays[key] = np.nan_to_num(told_events)[:, None, :]
        for column, declared in history.columns.items():
            key = f"{name}_{column}"
            blank = np.full(arrays[name].shape, declared.default)
            if key in dataset:
                values = _one_or_more(values_in(dataset, card, key, declared.unit, f"model '{model.name}'"))[
                    :, None, :
                ]
                blank = np.where(np.isnan(values), blank, values)
            arrays[key] = blank
        if history.course:
            put_in_order(arrays, name, history, measured, names)
    output = values_in(dataset, card, card.output.name, model.output.unit, f"model '{model.name}'")
    known = [_covariate(dataset, card, name, model) for name in covariates]

    def tensor(values: NDArray[Any]) -> Tensor:
        return torch.tensor(np.ascontiguousarray(values), dtype=dtype or torch.float64, device=device)

    below = dataset.get(below_name(card))
    censored = None if below is None else torch.tensor(below.values == 1.0, device=device)
    upper = _upper(dataset, card, model.output.unit)
    return Batch(
        inputs={name: tensor(values) for name, values in arrays.items()},
        output=tensor(np.nan_to_num(output)),
        mask=torch.tensor(~np.isnan(output), device=device),
        covariates=tensor(np.stack(known, axis=1) if known else np.empty((len(names), 0))),
        names=names,
        censored=censored,
        upper=None if upper is None else tensor(upper),
        groups=tensor(group_numbers(dataset, card, levels)) if levels else None,
    )


def _upper(dataset: xr.Dataset, card: Card, unit: str) -> NDArray[np.float64] | None:
    """Upper ends of measurements that lie above what stands there, infinite where that is all that is known."""
    above, upper = above_name(card), upper_name(card)
    if above not in dataset and upper not in dataset:
        return None
    ends = np.full(dataset[card.output.name].shape, np.nan)
    if upper in dataset:
        ends = values_in(dataset, card, upper, unit, "the upper ends")
    if above in dataset:
        ends = np.where(dataset[above].values == 1.0, np.inf, ends)
    return ends


def values_in(
    dataset: xr.Dataset, card: Card, name: str, unit: str | None, asker: str
) -> NDArray[np.float64]:
    """The values of a variable, in a unit."""
    if name not in dataset.data_vars:
        known = ", ".join(str(item) for item in dataset.data_vars)
        raise InputError(f"{asker}: the data '{card.name}' have no '{name}'; they have {known}.")
    stored = dataset.variables[name].attrs.get("units")
    if stored is None:
        raise InputError(f"{asker}: '{name}' of the data '{card.name}' has no unit; say `units` of it.")
    return convert(dataset.variables[name].values, stored, unit or stored, f"{asker}, {name}")


def _covariate(dataset: xr.Dataset, card: Card, name: str, model: Model) -> NDArray[np.float64]:
    """The values of a covariate; all unknown if only the model has heard of it."""
    if name in model.covariates and name not in dataset:
        return np.full(dataset.sizes["task"], np.nan)
    return values_in(dataset, card, name, model.covariates.get(name), "the covariates")


def _one_or_more(events: NDArray[np.float64]) -> NDArray[np.float64]:
    """Events (task, event), with one that is blank where nobody has any."""
    return events if events.shape[1] else np.full((len(events), 1), np.nan)
