"""A prior of an equation, learned from many tasks at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from metasci.data.batch import check_measurable
from metasci.data.checksums import checksum
from metasci.data.levels import known_groups
from metasci.data.tasks import Batch, TaskSet
from metasci.errors import InputError
from metasci.kinetics.reference import reference_for
from metasci.learned.base import versions
from metasci.learned.equation import LearnedEquation, with_covariates
from metasci.learned.learned_from import noted
from metasci.meta.compositions.training import learn
from metasci.meta.covariates import Covariates
from metasci.meta.discrepancy.method import DiscrepancyPrior
from metasci.meta.laplace.gaussian import GaussianPrior
from metasci.meta.laplace.statistics import statistics_of, why_no_update
from metasci.meta.method import Method
from metasci.meta.problem import Problem
from metasci.model import Model
from metasci.priors.learning import check_learned, tell_single, tell_unsaid
from metasci.units import magnitude

if TYPE_CHECKING:
    from pint import Quantity

__all__ = ["check_finite", "default_method", "learned_from_tasks", "ranges_of"]

P = TypeVar("P", bound=LearnedEquation)


def default_method(model: Model) -> GaussianPrior:
    """The learned Gaussian prior, with the objective that suits the model.

    Expectation–maximisation takes an estimate for a mean, and finds too small a spread where outcomes tell little each.
    """
    plain = model.noise.measures and not any(parameter.shared for parameter in model.parameters)
    return GaussianPrior() if plain else GaussianPrior(objective="marginal")


def learned_from_tasks(
    prior_class: type[P],
    model: Model,
    tasks: TaskSet,
    method: Method[Any],
    *,
    covariates: Sequence[str] | str | None,
    name: str,
    seed: int,
    checkpoint: str | Path | None,
    progress: bool,
    device: torch.device | str,
    reference: float | str | Quantity | None,
) -> P:
    """What `metasci.priors.equation.meta_calibrate` gives, which says what the arguments are.

    Parameters
    ----------
    prior_class : type
        The kind of prior to make.
    """
    if len(tasks) < 2:
        raise InputError(
            f"a prior needs at least two tasks to learn from, but '{tasks.card.name}' has {len(tasks)}."
        )
    if not tasks.counts.any():
        raise InputError(f"a prior needs measurements to learn from, but '{tasks.card.name}' has none.")
    chosen = _chosen(covariates, model, tasks)
    marked = [covariate for covariate in chosen if covariate in tasks.card.covariates]
    model = with_covariates(model, {covariate: tasks.card.column(covariate).unit for covariate in marked})
    if isinstance(method, DiscrepancyPrior) and method.levels is None and tasks.card.levels:
        method = replace(method, levels=tasks.card.levels)
    levels = known_groups(tasks.dataset, tasks.card, dict.fromkeys(getattr(method, "levels", None) or (), ()))
    batch = tasks.batch(model, covariates=chosen, levels=levels)
    check_measurable(batch, model)
    tell_unsaid(levels, batch)
    tell_single(model, batch)
    if reference is None:
        model = reference_for(model, batch)
    else:
        model = model.at_reference(magnitude(reference, "K", "reference"))
    transforms = tuple(model.transforms.get(covariate, "identity") for covariate in chosen)
    scaled = Covariates.learn(chosen, transforms, batch.covariates)
    began = time.perf_counter()
    state, left_out = learn(
        method,
        Problem(model, batch.to(device=device), method.penalty),
        replace(scaled.design(batch.covariates), group=batch.groups).to(device),
        seed=seed,
        checkpoint=checkpoint,
        progress=progress,
    )
    state = method.state_of({name: value.cpu() for name, value in state.tensors().items()})
    check_finite(state, model, tasks)
    training = {
        "seed": seed,
        "tasks": len(tasks),
        "measurements": int(batch.mask.sum()),
        "left_out_as_not_finite": left_out,
        "iterations": int(state.iteration),
        "seconds": round(time.perf_counter() - began, 2),
        "data_sha256": checksum(tasks),
        **noted(batch),
        "ranges": ranges_of(model, batch),
        "versions": versions(),
    }
    seen = None
    if isinstance(method, GaussianPrior) and not why_no_update(method, model.noise):
        seen = statistics_of(Problem(model, batch), scaled.design(batch.covariates), state)
    prior = prior_class(
        name or tasks.card.name, model, method, state, scaled, tasks.card, training, seen, levels
    )
    check_learned(prior, batch, state)
    return prior


def _chosen(covariates: Sequence[str] | str | None, model: Model, tasks: TaskSet) -> tuple[str, ...]:
    """Names of the covariates to learn with: declared ones first, then others in the order of the card."""
    if isinstance(covariates, str) and covariates != "all":
        raise InputError(f"covariates: give their names in a list, or 'all', not '{covariates}'.")
    if covariates is not None and covariates != "all":
        return tuple(covariates)
    known_names = tasks.covariate_names
    declared = tuple(name for name in model.covariates if name in known_names)
    if covariates is None:
        return declared
    others = (name for name in known_names if name not in declared and name not in model.input_names)
    return (*declared, *others)


def check_finite(state: Any, model: Model, tasks: TaskSet) -> None:
    """Refuse to call that a prior which holds no numbers."""
    if not all(bool(torch.isfinite(value).all()) for value in (state.log_noise, state.mean)):
        raise InputError(
            f"nothing could be learned: '{model.name}' under {type(model.noise).__name__} noise gives no finite "
            f"numbers for the tasks of '{tasks.card.name}'."
        )


def ranges_of(model: Model, batch: Batch) -> dict[str, list[float]]:
    """Least and greatest value of every input among what was measured."""
    ranges = {}
    for name in model.inputs:
        values = batch.inputs[name].expand(batch.mask.shape)[batch.mask]
        ranges[name] = [float(values.min()), float(values.max())]
    return ranges
