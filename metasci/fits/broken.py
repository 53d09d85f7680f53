"""Which reading does not fit: a task's calibration where one of its readings may come from a broken sensor.

Each reading may be the broken one, or none. A broken one scatters so many times as far as the noise about the curve
that the others give; the rest are as the prior has them. Every case is a calibration of its own, by the same prior,
and counts by how probable it makes the readings (Laplace's approximation; exact where the model is linear in its
coordinates). Nothing has to be told but how often sensors break: a reading within the noise is believed, one far out
is not, and one between is half believed.

Source: Box and Tiao, Biometrika 55 (1968) 119, for contaminated normal errors.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.fits.cases import Cases, refuse_unable
from metasci.meta.adapted import Adapted
from metasci.meta.problem import Problem

if TYPE_CHECKING:
    from metasci.data.tasks import Batch
    from metasci.learned.equation import LearnedEquation

__all__ = ["OneMayBeBroken", "one_may_be_broken"]


class OneMayBeBroken(Cases):
    """Calibrations of some tasks, with each reading in doubt: that none is broken, then each reading's case."""

    @property
    def broken(self) -> Tensor:
        """Probability that a reading is the broken one, (task, observation); zero where there is none."""
        return self.weight[1:].T


def one_may_be_broken(
    prior: LearnedEquation, batch: Batch, *, chance: float = 0.05, times: float = 10.0
) -> OneMayBeBroken:
    """Calibrate tasks of which one reading may come from a broken sensor.

    Parameters
    ----------
    prior : Prior
        A learned Gaussian prior with one noise for all tasks.
    batch : Batch
    chance : float
        That a reading is broken.
    times : float
        How many times as far as the noise a broken reading scatters.

    Raises
    ------
    InputError
        If the prior has no Gaussian noise, or each task has one of its own, which explains any scatter; or if
        `chance` is no probability, or `times` not above zero.
    """
    refuse_unable(prior, "a broken reading", times)
    if not 0.0 < chance < 1.0:
        raise InputError(f"chance: {chance:g} is not between 0 and 1.")
    whole, columns = batch.mask, batch.mask.shape[1]
    masks = [whole, *(whole & ~_column(whole, at) for at in range(columns))]
    evidence, coordinates = [], []
    for case, mask in enumerate(masks):
        here = batch.with_mask(mask)
        adapted, problem = prior.adapt(here), Problem(prior.model, here)
        log = _log_evidence(problem, adapted)
        if case:
            doubted = whole & _column(whole, case - 1)
            log = log + _log_density_of_broken(Problem(prior.model, batch.with_mask(doubted)), adapted, times)
            log = torch.where(doubted.any(1), log + math.log(chance / (1.0 - chance)), -torch.inf)
        evidence.append(log)
        coordinates.append(adapted.coordinates)
    weight = torch.softmax(torch.stack(evidence), 0)
    return OneMayBeBroken(weight, torch.stack(coordinates))


def _column(mask: Tensor, at: int) -> Tensor:
    chosen = torch.zeros_like(mask)
    chosen[:, at] = True
    return chosen


def _log_evidence(problem: Problem, adapted: Adapted) -> Tensor:
    """ln p of the measurements under the prior, by Laplace's approximation, (task,)."""
    cost = problem.negative_log_likelihood(adapted.coordinates, adapted.log_noise)
    off = adapted.coordinates - adapted.start
    pull = (off * torch.linalg.solve(adapted.start_covariance, off)).sum(1)
    shrunken = torch.logdet(adapted.covariance) - torch.logdet(adapted.start_covariance)
    return (-cost - 0.5 * pull + 0.5 * shrunken).detach()


def _log_density_of_broken(problem: Problem, adapted: Adapted, times: float) -> Tensor:
    """ln p of the one reading in doubt about the curve of the others, (task,)."""
    line = problem.linearise(adapted.coordinates, adapted.log_noise)
    curve = torch.einsum("toi,tij,toj->to", line.jacobian, adapted.covariance, line.jacobian)
    variance = line.variance * times**2 + curve
    off = problem.residual(line, adapted.log_noise)
    each = -0.5 * (off.square() / variance + torch.log(2.0 * math.pi * variance))
    return torch.where(problem.batch.mask, each, 0.0).sum(1).detach()
