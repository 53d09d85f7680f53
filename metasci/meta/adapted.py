"""What adaptation gives for a batch of tasks, whatever the method."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from metasci.meta.mixtures import mixture_quantile
from metasci.meta.problem import Linearisation, Problem

__all__ = ["Adapted", "Discrepancy", "NoiseMixture", "moved"]


def moved(value: Any, device: Any) -> Any:
    """The same dataclass or dict with every tensor in it at another place."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {name: moved(item, device) for name, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{item.name: moved(getattr(value, item.name), device) for item in fields(value)}
        )
    return value


class Discrepancy(Protocol):
    """What an equation leaves out of a batch of tasks, as far as their measurements tell."""

    def left_out(
        self, problem: Problem, line: Linearisation, coordinates: Tensor, prior: bool = False
    ) -> Tensor:
        """What is to be added to the equation's linked prediction at a problem's places, (task, observation).

        Parameters
        ----------
        problem : Problem
        line : Linearisation
            Of the equation there.
        coordinates : Tensor, (task, parameter)
            At which it is linearised.
        prior : bool
            Whether to tell what was known before any measurement.
        """

    def covariance_at(self, problem: Problem, line: Linearisation, prior: bool = False) -> Tensor:
        """Of equation and discrepancy together, (task, observation, observation), for a factor of one on all variances
        (`NoiseMixture.factor`).
        """

    def select(self, index: Tensor) -> Discrepancy:
        """Of some of the tasks."""


@dataclass(frozen=True)
class NoiseMixture:
    """A task's Gaussian posterior for each of some noise levels, and how probable each level is.

    Attributes
    ----------
    factor, weight : Tensor, (level, task)
        On the noise's variance; probabilities that add up to one.
    shift : Tensor, (level, task, parameter)
        From the adapted coordinates to those at this level.
    covariance : Tensor, (level, task, parameter, parameter)
    """

    factor: Tensor
    weight: Tensor
    shift: Tensor
    covariance: Tensor

    def select(self, index: Tensor) -> NoiseMixture:
        """Of some of the tasks."""
        return NoiseMixture(
            self.factor[:, index], self.weight[:, index], self.shift[:, index], self.covariance[:, index]
        )

    def to(self, device: torch.device | str) -> NoiseMixture:
        """The same at another place."""
        here: NoiseMixture = moved(self, device)
        return here

    @classmethod
    def single(cls, covariance: Tensor) -> NoiseMixture:
        """One level for all tasks."""
        certain = torch.ones_like(covariance[:, 0, 0])[None]
        return cls(certain, certain, torch.zeros_like(covariance[:, 0])[None], covariance[None])

    def where_lost(self, lost: Tensor, other: NoiseMixture) -> NoiseMixture:
        """The same mixture, but another one for the tasks that were lost."""
        return NoiseMixture(
            torch.where(lost, other.factor, self.factor),
            torch.where(lost, other.weight, self.weight),
            torch.where(lost[:, None], other.shift, self.shift),
            torch.where(lost[:, None, None], other.covariance, self.covariance),
        )

    def bounds(self, level: float) -> tuple[Tensor, Tensor]:
        """Ends of the central interval of each coordinate, from the adapted ones, (task, parameter) each.

        They are the mixture's own: where few tasks were learned from, the levels lie so far apart that its variance
        says little of how much lies where.

        Examples
        --------
        >>> half, one = torch.full((2, 1), 0.5), torch.ones(1, 1)
        >>> wide = NoiseMixture(half, half, torch.zeros(2, 1, 1), torch.tensor([1.0, 10_000.0]).reshape(2, 1, 1, 1))
        >>> low, high = wide.bounds(0.5)
        >>> round(high.item(), 3), round(0.674 * wide.total_covariance.sqrt().item(), 1)
        (2.35, 47.7)
        """
        sd = self.covariance.diagonal(dim1=2, dim2=3).clamp(min=0.0).sqrt()
        tail = 0.5 * (1.0 - level)
        low, high = (mixture_quantile(self.shift, sd, self.weight, p) for p in (tail, 1.0 - tail))
        return low, high

    def along(self, direction: Tensor) -> NoiseMixture:
        """The mixture of one number that changes by `direction` (task, parameter) with the coordinates."""
        shift = torch.einsum("tp,ltp->lt", direction, self.shift)
        variance = torch.einsum("tp,ltpq,tq->lt", direction, self.covariance, direction)
        return NoiseMixture(self.factor, self.weight, shift[..., None], variance[..., None, None])

    @property
    def total_covariance(self) -> Tensor:
        """Covariance of the mixture, (task, parameter, parameter)."""
        mean = torch.einsum("lt,ltp->tp", self.weight, self.shift)
        off = self.shift - mean
        between = torch.einsum("lt,ltp,ltq->tpq", self.weight, off, off)
        return torch.einsum("lt,ltpq->tpq", self.weight, self.covariance) + between


@dataclass(frozen=True)
class Adapted:
    """Adapted coordinates of every task with their Laplace posterior, and the prior they came from.

    Attributes
    ----------
    coordinates, start : Tensor, (task, parameter)
        After and before adaptation.
    covariance, start_covariance : Tensor, (task, parameter, parameter)
        Of the posterior, and of the prior that the method is or implies.
    log_noise : Tensor, (scale,)
    mixture, start_mixture : NoiseMixture
        Posterior and prior given each possible noise level of the task; one level where tasks share a noise.
    converged, finite : Tensor of bool, (task,)
    notes : tuple of str
        What a reader has to know, such as where the implied prior does not exist.
    discrepancy : Discrepancy, optional
        What the equation leaves out of each task, where the method knows of it.
    """

    coordinates: Tensor
    covariance: Tensor
    start: Tensor
    start_covariance: Tensor
    log_noise: Tensor
    mixture: NoiseMixture
    start_mixture: NoiseMixture
    converged: Tensor
    finite: Tensor
    notes: tuple[str, ...] = ()
    discrepancy: Discrepancy | None = None

    def select(self, index: Tensor) -> Adapted:
        """Some of the tasks, by position."""
        return replace(
            self,
            coordinates=self.coordinates[index],
            covariance=self.covariance[index],
            start=self.start[index],
            start_covariance=self.start_covariance[index],
            mixture=self.mixture.select(index),
            start_mixture=self.start_mixture.select(index),
            converged=self.converged[index],
            finite=self.finite[index],
            discrepancy=None if self.discrepancy is None else self.discrepancy.select(index),
        )

    def to(self, device: torch.device | str) -> Adapted:
        """The same at another place."""
        if self.coordinates.device == torch.device(device):
            return self
        here: Adapted = moved(self, device)
        return here
