"""What a model with a discrepancy is built of: measurements and where they lie, and normal variables with names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import torch

from metasci.bayes.hierarchical import flatten
from metasci.errors import InputError
from metasci.meta.discrepancy.kernel import Rows
from metasci.meta.discrepancy.state import DiscrepancyState

if TYPE_CHECKING:
    from metasci.data.batch import Batch
    from metasci.learned.equation import LearnedEquation

__all__ = ["Places", "normal", "state_of"]


def state_of(prior: LearnedEquation) -> DiscrepancyState:
    """The learned process of a prior that has one."""
    if not isinstance(prior.state, DiscrepancyState):
        raise InputError(f"the prior '{prior.name}' has no discrepancy; `hierarchical` builds its model.")
    return prior.state


@dataclass(frozen=True)
class Places:
    """Measurements with where they lie, and their tasks with what is known of these.

    Attributes
    ----------
    rows : metasci.bayes.hierarchical.Rows
    place : array, (row, coordinate)
        Standardised.
    covariates, unknown : array, (task, covariate)
    group : array of int, (task, level)
        A task of which nobody says a group is one of its own.
    """

    rows: Any
    place: np.ndarray
    covariates: np.ndarray
    unknown: np.ndarray
    group: np.ndarray

    @classmethod
    def of(cls, prior: LearnedEquation, batch: Batch, which: Any) -> Places:
        """Of the measurements chosen of a batch."""
        rows = flatten(prior.model, batch, which)
        if rows.limited.any():
            name = batch.names[int(rows.task[rows.limited][0])]
            raise InputError(
                f"task '{name}' has a measurement that is a limit or an interval, which a model with a discrepancy "
                "does not take; leave it out."
            )
        chosen = np.asarray(batch.mask) if which is None else np.asarray(batch.mask) & np.asarray(which, bool)
        design = prior.design(batch)
        place = state_of(prior).places(prior.problem(batch)).numpy()[chosen]
        levels = state_of(prior).levels
        said = np.zeros((len(batch), 0)) if design.group is None else design.group.numpy()
        group = np.zeros((len(batch), levels), int)
        for level in range(levels):
            alone = np.where(np.isnan(said[:, level]), -1.0 - np.arange(len(batch)), said[:, level])
            group[:, level] = np.unique(alone, return_inverse=True)[1]
        unknown = design.uncertainty.diagonal(dim1=1, dim2=2).numpy()
        return cls(rows, place, design.values.numpy(), unknown, group)

    def rows_without_slopes(self, size: int) -> Rows:
        """As rows of the learned process that look at what the equation leaves out, not at its parameters."""
        task, count = self.rows.task, len(self.rows.task)
        parts = (self.covariates[task], self.unknown[task])
        covariates, unknown = (torch.as_tensor(each) for each in parts)
        one = torch.ones(count, dtype=torch.float64)
        nothing = one.new_zeros(count, size)
        group = torch.as_tensor(self.group[task].astype(float))
        return Rows(
            torch.as_tensor(self.place),
            nothing,
            covariates,
            unknown,
            torch.as_tensor(task).double(),
            one,
            group,
        )


def normal(name: str, shape: tuple[int, ...], mean: float = 0.0, sd: float = 1.0) -> Any:
    """A normal variable, with a dimension of its own for each of its axes."""
    dims = {f"{name}_{axis}": range(length) for axis, length in enumerate(shape)}
    pm.modelcontext(None).add_coords(dims)
    return pm.Normal(name, mean, sd, dims=tuple(dims))
