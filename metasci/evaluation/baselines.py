"""What a learned prior is held against that knows no equation: learned and shifted by the same tasks.

A plain multi-task Gaussian process, a random forest and gradient boosting. They see the inputs (in the coordinates in
which the model declares that what it leaves out is smooth, where it does) and the covariates, and forecast on the scale
on which the noise is Gaussian. Limits and intervals they cannot learn from; they leave these out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metasci.data.batch import Batch
from metasci.errors import InputError
from metasci.evaluation.offsets import shifted
from metasci.evaluation.plain_process import PlainProcess
from metasci.extras import needed
from metasci.forecasts import Forecaster
from metasci.model import Model

__all__ = ["BASELINES", "baseline_forecasters", "check_baselines", "features_of"]

_TREES = 200  # more change a forest's error by less than what another seed does


def features_of(model: Model, batch: Batch) -> tuple[Tensor, Tensor]:
    """What a regression sees of every measurement: (task, observation, coordinate) and (task, observation, property).

    Coordinates vary within a task; properties, its covariates and whatever input is the same all along, do not. Of
    doses and whatever else is a list, a measurement has the sum and the last.
    """
    shape, columns, properties = batch.mask.shape, [], []
    declared = model.discrepancy_inputs
    for name, kind in model.inputs.items():
        values = batch.inputs[name]
        if values.dim() == 3:
            properties += [values.sum(-1).expand(shape), values[..., -1].expand(shape)]
        elif kind.constant:
            properties.append(values.expand(shape))
        elif declared is None:
            columns.append(values.expand(shape))
    if declared is not None:
        columns += [torch.as_tensor(each).expand(shape) for each in declared(batch.inputs)]
    properties += [batch.covariates[:, [at]].expand(shape) for at in range(batch.covariates.shape[1])]
    nothing = batch.output.new_zeros(*shape, 0)
    return (
        torch.stack(columns, -1) if columns else nothing,
        torch.stack(properties, -1) if properties else nothing,
    )


def _process(model: Model, old: Batch, group: Sequence[Any]) -> Forecaster:
    place, own = features_of(model, old)
    learned = PlainProcess.learn(place, own, model.noise.link(_filled(old)), old.mask & old.numbers)

    def forecast(batch: Batch, support: Tensor, query: Tensor) -> Any:
        place, own = features_of(model, batch)
        seen = support & batch.numbers
        mean, sd = learned.given(place, own, model.noise.link(_filled(batch)), seen)
        return _gaussian(model, batch, mean, sd)

    return forecast


def _regression(make: Callable[[], Any]) -> Callable[[Model, Batch, Sequence[Any]], Forecaster]:
    def learn(model: Model, old: Batch, group: Sequence[Any]) -> Forecaster:
        learned = shifted(
            make, _table(model, old), model.noise.link(_filled(old)).numpy(), (old.mask & old.numbers).numpy(),
            np.asarray(group),
        )  # fmt: skip

        def forecast(batch: Batch, support: Tensor, query: Tensor) -> Any:
            target = model.noise.link(_filled(batch)).numpy()
            mean, sd = learned(_table(model, batch), target, (support & batch.numbers).numpy())
            return _gaussian(model, batch, torch.as_tensor(mean), torch.as_tensor(sd))

        return forecast

    return learn


def _forest() -> Any:
    ensemble = needed("sklearn.ensemble", "studies", "the baseline 'forest'")
    return ensemble.RandomForestRegressor(_TREES, min_samples_leaf=2, max_features=0.5, random_state=0)


def _boosting() -> Any:
    ensemble = needed("sklearn.ensemble", "studies", "the baseline 'boosting'")
    return ensemble.HistGradientBoostingRegressor(max_iter=_TREES, min_samples_leaf=5, random_state=0)


BASELINES: Mapping[str, tuple[str, Callable[[Model, Batch, Sequence[Any]], Forecaster]]] = {
    "process": ("multi-task process", _process),
    "forest": ("forest, shifted", _regression(_forest)),
    "boosting": ("boosting with an offset", _regression(_boosting)),
}
"""By the name that one asks for them by: what tables call them, and how they learn from a batch and its groups."""


def check_baselines(names: Sequence[str], model: Model, leave_out: str | None) -> None:
    """Refuse, before any work, what cannot be held against a prior.

    Raises
    ------
    InputError
        If a baseline is not known, nothing is left out to learn it from, or the model's outcomes are no measurements.
    """
    if not names:
        return
    if unknown := [name for name in names if name not in BASELINES]:
        raise InputError(
            f"the baseline '{unknown[0]}' is not known; there are {', '.join(BASELINES)}, and 'all' of them."
        )
    if leave_out is None:
        raise InputError(
            "baselines are learned from the tasks that are not left out: say which column to leave out by, "
            "`leave_out` or --leave-out."
        )
    if not model.noise.measures:
        raise InputError(f"these baselines are of measurements, and '{model.name}' has outcomes.")
    if not len(model.inputs) or not len(model.parameters):
        raise InputError(f"these baselines see numbers, and '{model.name}' is of structures.")
    for name in names:
        if name != "process":
            needed("sklearn.ensemble", "studies", f"the baseline '{name}'")


def baseline_forecasters(
    names: Sequence[str], model: Model, old: Batch, group: Sequence[Any]
) -> dict[str, Forecaster]:
    """The named baselines, learned from old tasks whose groups are told, by what tables call them."""
    return {BASELINES[name][0]: BASELINES[name][1](model, old, group) for name in names}


def _filled(batch: Batch) -> Tensor:
    """Measurements where there are any; one elsewhere, which every link takes."""
    return torch.where(batch.mask & torch.isfinite(batch.output), batch.output, torch.ones_like(batch.output))


def _table(model: Model, batch: Batch) -> np.ndarray:
    return torch.cat(features_of(model, batch), -1).numpy()


def _gaussian(model: Model, batch: Batch, mean: Tensor, sd: Tensor) -> Any:
    from metasci.forecasts import StudentForecast, measured_or_one

    known = torch.full_like(mean[:, :1], torch.inf)
    return StudentForecast(mean, sd, measured_or_one(batch.output, batch.mask), known, model.noise)
