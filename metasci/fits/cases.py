"""Calibrations of the same tasks in several cases of what was wrong with their readings, each weighed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.meta.laplace.gaussian import GaussianPrior
from metasci.meta.problem import Problem

if TYPE_CHECKING:
    from metasci.learned.equation import LearnedEquation

__all__ = ["Cases", "refuse_unable"]


@dataclass(frozen=True)
class Cases:
    """Calibrations in each case; the first is that nothing is wrong.

    Attributes
    ----------
    weight : Tensor, (case, task)
        How probable each case is.
    coordinates : Tensor, (case, task, parameter)
        Estimates in each case.
    """

    weight: Tensor
    coordinates: Tensor

    def mean(self, problem: Problem) -> Tensor:
        """Mean prediction over the cases, (task, observation), of a problem of the same tasks."""
        each = torch.stack([problem.predict(at) for at in self.coordinates])
        return (self.weight[..., None] * each).sum(0)


def refuse_unable(prior: LearnedEquation, what: str, times: float) -> None:
    """Refuse what is wrong where it cannot be told from what is not.

    Parameters
    ----------
    prior : Prior
    what : str
        What may be wrong, as a sentence begins.
    times : float
        How many times as far as the noise it scatters.

    Raises
    ------
    InputError
        If the prior has no Gaussian noise, or each task has one of its own; or `times` is no number above zero.
    """
    if not (math.isfinite(times) and times > 0.0):
        raise InputError(f"times: {times:g} is no number above zero.")
    if not isinstance(prior.method, GaussianPrior) or not prior.model.noise.gaussian:
        raise InputError(f"{what} is told by a Gaussian prior of Gaussian measurements only.")
    if prior.method.task_noise:
        raise InputError(f"a noise of each task's own explains {what}: learn one without `task_noise`.")
