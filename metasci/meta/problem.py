"""A model held against the measurements of a batch of tasks: predictions, slopes and log-likelihoods, tasks first.

An equation broadcasts, and one measurement's prediction depends on its own copy of the coordinates only. So
one reverse pass through copies spread over the measurements gives the whole Jacobian of every task.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from metasci.model import Model
from metasci.tasks import Batch

__all__ = ["Linearisation", "Problem", "pooled"]


@dataclass(frozen=True)
class Linearisation:
    """Residuals at some coordinates and how they change.

    Attributes
    ----------
    prediction : Tensor, (task, observation)
        On the noise's linked scale.
    jacobian : Tensor, (task, observation, parameter)
    variance : Tensor, (task, observation)
    """

    prediction: Tensor
    jacobian: Tensor
    variance: Tensor


@dataclass(frozen=True)
class Problem:
    """A model, a batch of measurements, and the weight of the model's physical laws.

    Parameters
    ----------
    model : Model
    batch : Batch
    penalty : float or Tensor
        Weight of the squared violation of each law, in units of the typical noise; zero leaves them out.
    """

    model: Model
    batch: Batch
    penalty: float | Tensor = 0.0

    def __len__(self) -> int:
        return len(self.batch)

    @cached_property
    def target(self) -> Tensor:
        """Measurements on the noise's linked scale; zero where padded."""
        safe = torch.where(self.batch.mask, self.batch.output, torch.ones_like(self.batch.output))
        return torch.where(self.batch.mask, self.model.noise.link(safe), torch.zeros_like(safe))

    @cached_property
    def share(self) -> Tensor:
        """Of each point in its task's mean, (task, observation): padding has none, unless nothing is measured."""
        points = torch.where(self.batch.mask.any(1, keepdim=True), self.batch.mask, True).to(
            self.target.dtype
        )
        return points / points.sum(1, keepdim=True)

    def with_mask(self, mask: Tensor) -> Problem:
        """The same problem on some of the measurements."""
        return replace(self, batch=self.batch.with_mask(mask))

    def trimmed(self, mask: Tensor, width: int | None = None) -> Problem:
        """The same problem on some of the measurements, which alone are carried along."""
        return replace(self, batch=self.batch.trimmed(self.batch.mask & mask, width))

    def select(self, index: Tensor) -> Problem:
        """The same problem on some of the tasks."""
        return replace(self, batch=self.batch.select(index))

    def predict(self, coordinates: Tensor, inputs: Mapping[str, Tensor] | None = None) -> Tensor:
        """Predictions in the output's unit, (task, observation), from coordinates (task, parameter)."""
        return self.model.at(coordinates[:, None, :], self.batch.inputs if inputs is None else inputs)

    def linearise(self, coordinates: Tensor, log_noise: Tensor, create_graph: bool = False) -> Linearisation:
        """Prediction on the linked scale, its Jacobian, and the noise variance."""
        with torch.enable_grad():
            spread = coordinates[:, None, :].expand(-1, self.batch.mask.shape[1], -1)
            if not create_graph:
                spread = spread.detach().clone().requires_grad_()
            elif not spread.requires_grad:
                spread = spread.clone().requires_grad_()
            raw = self.model.at(spread, self.batch.inputs)
            linked = self.model.noise.link(raw)
            (jacobian,) = torch.autograd.grad(linked.sum(), spread, create_graph=create_graph)
        if not create_graph:
            raw, linked = raw.detach(), linked.detach()
        return Linearisation(linked, jacobian, self.model.noise.variance(raw, log_noise))

    def negative_log_likelihood(
        self, coordinates: Tensor, log_noise: Tensor, precision: Tensor | None = None
    ) -> Tensor:
        """Negative log-likelihood of each task's measurements, (task,).

        `precision` (task,) multiplies the noise's inverse variance. Constants are kept, so that the
        figure is a density: ½·ln 2π a measurement is in it.
        """
        raw = self.predict(coordinates)
        # Where the variance is the same for every prediction, one of them is enough to say it.
        one = raw[:, :1] if self.model.noise.constant else raw
        variance = self.model.noise.variance(one, log_noise)
        if precision is not None:
            variance = variance / precision[:, None]
        squared = (self.target - self.model.noise.link(raw)) ** 2 / variance
        each = 0.5 * (squared + torch.log(variance) + math.log(2.0 * math.pi))
        return torch.where(self.batch.mask, each, torch.zeros_like(each)).sum(1)

    def violation(self, coordinates: Tensor) -> Tensor:
        """Violation of the laws in units of typical noise, (law, task, point); points are the measured conditions."""
        spread = coordinates[:, None, :].expand(-1, self.batch.mask.shape[1], -1)
        laws = [
            law.violation(lambda inputs: self.model.at(spread, inputs), self.batch.inputs)
            for law in self.model.constraints
        ]
        if not laws:
            return coordinates.new_zeros(0, *self.batch.mask.shape)
        return torch.stack(laws) / self.model.noise.typical[0]

    def penalty_cost(self, coordinates: Tensor) -> Tensor:
        """Half the weighted squared violation of the model's laws, (task,)."""
        if not self.model.constraints or (not isinstance(self.penalty, Tensor) and not self.penalty):
            return coordinates.new_zeros(len(coordinates))
        return 0.5 * self.penalty * (self.share * self.violation(coordinates).square()).sum(-1).sum(0)


def pooled(batch: Batch) -> Batch:
    """All measurements of a batch as if they were one task's."""
    count = batch.mask.numel()
    width = batch.mask.shape[1]

    def flat(values: Tensor) -> Tensor:
        if values.dim() == 3:  # a history: every measurement keeps its task's events
            return values.expand(-1, width, -1).reshape(1, count, -1)
        return values.reshape(1, count)

    return replace(
        batch,
        inputs={name: flat(values) for name, values in batch.inputs.items()},
        output=flat(batch.output),
        mask=flat(batch.mask),
        covariates=batch.covariates[:1],
        names=("pooled",),
    )
