"""A task's own process: parameters and what the equation leaves out, jointly Gaussian, given the task's measurements.

Whether they vary much in a task its measurements tell, too. So the whole distribution has a common factor on its
variance, s = 1/g with g ~ Gamma(ν/2, ν/2) up to a learned scale, which makes it Student's (Shah, Wilson and
Ghahramani, AISTATS 2014): means do not depend on it, and measurements that surprise make large factors likelier.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from metasci.meta.adapted import NoiseMixture, moved
from metasci.meta.covariates import Design
from metasci.meta.discrepancy.kernel import Rows
from metasci.meta.discrepancy.places import rows_of
from metasci.meta.discrepancy.state import DiscrepancyState
from metasci.meta.laplace.task_noise import noise_levels
from metasci.meta.problem import Linearisation, Problem

__all__ = ["TaskProcess"]


@dataclass(frozen=True)
class TaskProcess:
    """The processes of a batch of new tasks, with what was measured of each.

    Attributes
    ----------
    state : DiscrepancyState
    design : Design
    coordinates : Tensor, (task, parameter)
        Where the equation is linearised.
    rows : Rows, (task, observation)
        The measurements.
    left : Tensor, (task, observation)
        What the equation linearised at the coordinates leaves of them at z₀; zero where nothing was measured.
    variance : Tensor, (task, observation)
        The noise's; infinite where nothing was measured.
    """

    state: DiscrepancyState
    design: Design
    coordinates: Tensor
    rows: Rows
    left: Tensor
    variance: Tensor

    @classmethod
    def of(
        cls, state: DiscrepancyState, problem: Problem, design: Design, coordinates: Tensor
    ) -> TaskProcess:
        """The processes given a problem's measurements, linearised at some coordinates."""
        line, mask = problem.linearise(coordinates, state.log_noise), problem.batch.mask
        rows = rows_of(state.places(problem), line.jacobian, design)
        way = torch.einsum("top,tp->to", line.jacobian, coordinates - state.origin_of(design.values))
        left = torch.where(mask, problem.target - line.prediction + way, 0.0)
        return cls(state, design, coordinates, rows, left, torch.where(mask, line.variance, torch.inf))

    def to(self, device: torch.device | str) -> TaskProcess:
        """The same at another place."""
        here: TaskProcess = moved(self, device)
        return here

    def select(self, index: Tensor) -> TaskProcess:
        """Of some of the tasks."""
        return TaskProcess(
            self.state.of_tasks(index),
            self.design.select(index),
            self.coordinates[index],
            self.rows.select(index),
            self.left[index],
            self.variance[index],
        )

    @cached_property
    def _solved(self) -> tuple[Tensor, Tensor]:
        """Inverse of the factor of the measurements' covariance in units of the noise, and the whitened surprises."""
        covariance = self.state.covariance(self.rows, self.rows)
        quiet = 1.0 / self.variance.sqrt()
        scaled = quiet[..., :, None] * covariance * quiet[..., None, :]
        eye = torch.eye(len(self.rows), dtype=scaled.dtype, device=scaled.device)
        root = torch.linalg.cholesky(scaled + eye)
        whitening = torch.linalg.solve_triangular(root, torch.diag_embed(quiet), upper=False)
        return whitening, torch.einsum("tij,tj->ti", whitening, self.left - self.state.mean_of(self.rows))

    def mean_of(self, rows: Rows, prior: bool = False) -> Tensor:
        """Of any rows of the tasks, (task, row), about the linearised equation at z₀."""
        mean = self.state.mean_of(rows)
        if prior:
            return mean
        whitening, surprise = self._solved
        gain = whitening @ self.state.covariance(self.rows, rows)
        return mean + torch.einsum("tor,to->tr", gain, surprise)

    def covariance(self, first: Rows, second: Rows, prior: bool = False) -> Tensor:
        """Of any rows of the tasks, (task, row, row'), for a factor of one."""
        before = self.state.covariance(first, second)
        if prior:
            return before
        whitening, _ = self._solved
        left, right = (whitening @ self.state.covariance(self.rows, rows) for rows in (first, second))
        return before - left.mT @ right

    def parameters(self, prior: bool = False) -> tuple[Tensor, Tensor]:
        """Mean and covariance of the tasks' coordinates."""
        rows = self._looking_at_parameters
        return self.state.origin_of(self.design.values) + self.mean_of(rows, prior), self.covariance(
            rows, rows, prior
        )

    @property
    def _looking_at_parameters(self) -> Rows:
        tasks, size = self.coordinates.shape
        eye = torch.eye(size, dtype=self.left.dtype, device=self.left.device).expand(tasks, -1, -1)
        return rows_of(eye.new_zeros(tasks, size, len(self.state.centre)), eye, self.design, seen=0.0)

    def rows_at(self, problem: Problem, line: Linearisation) -> Rows:
        """A problem's places, with the equation's slopes there."""
        return rows_of(self.state.places(problem), line.jacobian, self.design)

    def left_out(
        self, problem: Problem, line: Linearisation, coordinates: Tensor, prior: bool = False
    ) -> Tensor:
        """What is to be added to the equation at a problem's places; see `Discrepancy`."""
        way = torch.einsum(
            "top,tp->to", line.jacobian, coordinates - self.state.origin_of(self.design.values)
        )
        return self.mean_of(self.rows_at(problem, line), prior) - way

    def covariance_at(self, problem: Problem, line: Linearisation, prior: bool = False) -> Tensor:
        """Covariance of the curve at a problem's places; see `Discrepancy`."""
        rows = self.rows_at(problem, line)
        return self.covariance(rows, rows, prior)

    def rarity(self) -> Tensor:
        """With which probability a task's measurements would surprise as much, if it were one of those learned from.

        Of n of a Student distribution with ν degrees of freedom the mean square in units of its scale is F(n, ν).
        """
        from scipy.special import fdtrc

        far, count = self._solved[1].square().sum(1), torch.isfinite(self.variance).sum(1)
        mean_square = far / (count.clamp(min=1) * self.state.stretch)
        rare = fdtrc(count.clamp(min=1).numpy(), float(self.state.freedom), mean_square.numpy())
        return torch.where(count > 0, torch.as_tensor(rare, dtype=far.dtype), torch.ones_like(far))

    def mixture(self, prior: bool = False) -> NoiseMixture:
        """Coordinates at each factor on all variances, and how probable each is."""
        precision, probability = noise_levels(0.5 * self.state.freedom)
        factor = (self.state.stretch / precision)[:, None].expand(-1, len(self.left))
        log_weight = probability.log()[:, None].expand_as(factor)
        if not prior:
            far, count = self._solved[1].square().sum(1), torch.isfinite(self.variance).sum(1)
            log_weight = log_weight - 0.5 * (count * factor.log() + far / factor)
        _, covariance = self.parameters(prior)
        return NoiseMixture(
            factor,
            torch.softmax(log_weight, 0),
            torch.zeros_like(self.coordinates).expand(len(factor), -1, -1),
            factor[..., None, None] * covariance,
        )
