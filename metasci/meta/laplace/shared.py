"""Parameters that all tasks share: how well they are known once they are learned.

They have no spread between tasks, but what is known of them is no more than the tasks together say. A new task's prior
carries that uncertainty in the place of a spread.

Source: Harville, JASA 72 (1977) 320, for the generalised least squares that are linearised here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from metasci.meta.laplace.evidence import Population
from metasci.meta.problem import Problem

__all__ = ["with_shared_uncertainty"]


def with_shared_uncertainty(
    problem: Problem, population: Population, at: Tensor, shared: Tensor, covariance: Tensor
) -> tuple[Tensor, Tensor]:
    """The covariance of a new task's coordinates, with that of the estimates where coordinates are shared.

    Parameters
    ----------
    problem : Problem
        Of the tasks that were learned from.
    population : Population
    at : Tensor, (task, parameter)
        The tasks' estimates.
    shared : Tensor of bool, (parameter,)
    covariance : Tensor, (parameter, parameter)
        Between tasks.

    Returns
    -------
    covariance : Tensor, (parameter, parameter)
    own : Tensor, (task, own parameter, own parameter)
        What is left unknown of each task's own coordinates, those that are shared being known.
    """
    line = problem.linearise(at, population.log_noise)
    information = torch.where(problem.batch.mask, 1.0 / line.variance, 0.0)
    whole = torch.einsum("toi,to,toj->tij", line.jacobian, information, line.jacobian)
    differ = (~shared).nonzero()[:, 0]
    # what is left of the information once each task's own coordinates have taken their part
    prior = torch.linalg.inv(covariance[differ][:, differ])
    own = torch.linalg.inv(whole[:, differ][:, :, differ] + prior)
    left = whole - whole[:, :, differ] @ own @ whole[:, differ]
    estimates = torch.linalg.pinv(left.sum(0), hermitian=True)
    both = shared[:, None] & shared[None, :]
    return torch.where(both, estimates, covariance), own
