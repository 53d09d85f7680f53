"""A model held against the measurements of a batch of tasks: predictions, slopes and log-likelihoods, tasks first.

An equation broadcasts, and one measurement's prediction depends on its own copy of the coordinates only. So
one reverse pass through copies spread over the measurements gives the whole Jacobian of every task. A model whose
predictions of a task belong together has one forward pass through copies of the tasks instead, one for each parameter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from metasci.constraints.collocation import with_measured
from metasci.constraints.law import Predict
from metasci.data.tasks import Batch
from metasci.errors import InputError
from metasci.meta.likelihood import Limits, cost, pull_and_curvature
from metasci.meta.outcomes import check_log_odds, log_densities, outcome_of, scores, working_variance
from metasci.meta.ragged import Ragged
from metasci.model import Model
from metasci.ode.few import together
from metasci.ode.tangents import along

__all__ = ["Linearisation", "Problem"]


@dataclass(frozen=True)
class Linearisation:
    """Residuals at some coordinates and how they change.

    Attributes
    ----------
    prediction : Tensor, (task, observation)
        On the noise's linked scale.
    jacobian : Tensor, (task, observation, parameter)
    variance : Tensor, (task, observation)
        Of outcomes that are no Gaussian measurements, one over their information.
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
        Weight of the squared violation of the laws, in units of the typical noise: one for all, or one for each,
        (law,). Zero leaves them out. A law's own weight multiplies it.
    """

    model: Model
    batch: Batch
    penalty: float | Tensor = 0.0

    def __len__(self) -> int:
        return len(self.batch)

    @cached_property
    def target(self) -> Tensor:
        """Measurements on the noise's linked scale; zero where padded, and of outcomes that have none."""
        if not self.model.noise.measures:
            return torch.zeros_like(self.batch.output)
        safe = torch.where(self.batch.mask, self.batch.output, torch.ones_like(self.batch.output))
        return torch.where(self.batch.mask, self.model.noise.link(safe), torch.zeros_like(safe))

    @cached_property
    def limits(self) -> Limits | None:
        """Which measurements are limits or intervals, on the noise's linked scale; nothing where all are numbers."""
        batch = self.batch
        if not self.model.noise.gaussian:
            return None
        if batch.upper is None:
            return None if batch.censored is None else Limits(batch.censored)
        between = torch.isfinite(batch.upper) & batch.mask
        safe = torch.where(between, batch.upper, torch.ones_like(batch.upper))
        linked = torch.where(between, self.model.noise.link(safe) - self.target, batch.upper)
        return Limits(batch.censored, torch.where(batch.mask, linked, torch.full_like(linked, torch.nan)))

    @cached_property
    def checked(self) -> tuple[Mapping[str, Tensor], Tensor]:
        """Inputs of the points where the laws are checked, measured ones first, and which of them count."""
        model = self.model
        return with_measured(self.batch.inputs, self.batch.mask, model.collocation, model.event_names)

    @cached_property
    def share(self) -> Tensor:
        """Of each checked point in its task's mean, (task, point): padding has none, unless there is nothing else."""
        mask = self.checked[1]
        points = torch.where(mask.any(1, keepdim=True), mask, True).to(self.target.dtype)
        return points / points.sum(1, keepdim=True)

    @property
    def penalised(self) -> bool:
        """Whether broken laws cost anything."""
        return bool(self.model.constraints) and (isinstance(self.penalty, Tensor) or self.penalty > 0)

    @cached_property
    def law_weights(self) -> Tensor:
        """What the squared violation of each law costs, (law,)."""
        return self.penalty * self.target.new_tensor([law.weight for law in self.model.constraints])

    def with_mask(self, mask: Tensor) -> Problem:
        """The same problem on some of the measurements."""
        return replace(self, batch=self.batch.with_mask(mask))

    def trimmed(self, mask: Tensor, width: int | None = None) -> Problem:
        """The same problem on some of the measurements, which alone are carried along."""
        return replace(self, batch=self.batch.trimmed(self.batch.mask & mask, width))

    def select(self, index: Tensor) -> Problem:
        """The same problem on some of the tasks."""
        return replace(self, batch=self.batch.select(index))

    @cached_property
    def ragged(self) -> Ragged | None:
        """The tasks in groups of like size, where padding them all to the longest would be a waste."""
        return Ragged.of(self.batch, self.model.joint)

    def predict(self, coordinates: Tensor, inputs: Mapping[str, Tensor] | None = None) -> Tensor:
        """Predictions in the output's unit, (task, observation), from coordinates (task, parameter)."""
        return self._at(coordinates[:, None, :], inputs)

    def _at(self, spread: Tensor, inputs: Mapping[str, Tensor] | None = None) -> Tensor:
        """Predictions from coordinates (task, 1 or observation, parameter)."""
        if inputs is None and self.ragged is not None:
            return self.ragged.evaluate(self.model, spread)
        prediction = self.model.at(spread, self.batch.inputs if inputs is None else inputs)
        if inputs is None:
            self._check(prediction)
        return prediction

    def _check(self, prediction: object) -> None:
        """Refuse what an equation returns if it is not one number a measurement."""
        shape = self.batch.mask.shape
        if not isinstance(prediction, Tensor):
            raise InputError(
                f"equation '{self.model.name}': it returns a {type(prediction).__name__}, not one number a measurement "
                "computed from its parameters; compute with `metasci.math` and operators."
            )
        if prediction.layout is not torch.strided or prediction.is_nested or prediction.dtype is torch.bool:
            kind = "of truth values" if prediction.dtype is torch.bool else "sparse or nested"
            raise InputError(
                f"equation '{self.model.name}': it returns an array that is {kind}; return one number a measurement."
            )
        if self.model.noise.predictors > 1:
            check_log_odds(self.model, prediction, len(shape))
            prediction = prediction[..., 0]
        sizes = zip(prediction.shape[::-1], shape[::-1], strict=False)
        if prediction.dim() != len(shape) or not all(size in (1, whole) for size, whole in sizes):
            raise InputError(
                f"equation '{self.model.name}': it returns an array of shape {tuple(prediction.shape)} for "
                f"measurements (task, measurement) of shape {tuple(shape)}; return one number a measurement."
            )

    def variance(self, prediction: Tensor, log_noise: Tensor) -> Tensor:
        """The noise's variance on the linked scale, from predictions in the output's unit."""
        noise = self.model.noise
        if not noise.gaussian:
            return working_variance(outcome_of(noise), self.batch, noise.link(prediction), log_noise)
        return self.model.noise.variance(prediction, log_noise, self.batch.inputs)

    def residual(self, line: Linearisation, log_noise: Tensor) -> Tensor:
        """Measured less predicted on the linked scale, (task, observation).

        Of an outcome it is its score over its information: how far off a Gaussian of that variance would lie.
        """
        if self.model.noise.gaussian:
            return self.target - line.prediction
        return line.variance * scores(outcome_of(self.model.noise), self.batch, line.prediction, log_noise)

    def costs(
        self, linked: Tensor, variance: Tensor | None, log_noise: Tensor, precision: Tensor | None = None
    ) -> Tensor:
        """Negative log-likelihood of each measurement, (task, observation), at predictions on the linked scale.

        Outcomes ask for no variance; `precision` (task,) multiplies its inverse.
        """
        if variance is None or not self.model.noise.gaussian:
            return -log_densities(outcome_of(self.model.noise), self.batch, linked, log_noise)
        if precision is not None:
            variance = variance / precision[:, None]
        return cost(self.target - linked, variance, self.limits)

    def pull_and_curvature(
        self, residual: Tensor, variance: Tensor, relative: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Minus the slope of each measurement's cost along the prediction, and its curvature, of what was linearised.

        See `metasci.meta.likelihood.pull_and_curvature`; an outcome's are its score and its information.
        """
        if not self.model.noise.gaussian:
            return residual / variance, 1.0 / variance
        return pull_and_curvature(residual, variance, relative, self.limits)

    def linearise(self, coordinates: Tensor, log_noise: Tensor, create_graph: bool = False) -> Linearisation:
        """Prediction on the linked scale, its Jacobian, and the noise variance."""
        if self.model.joint:
            return self._linearise_jointly(coordinates, log_noise, create_graph)
        if self.ragged is not None and not create_graph:
            return self._linearise_by_groups(self.ragged, coordinates, log_noise)
        with torch.enable_grad():
            spread = coordinates[:, None, :].expand(-1, self.batch.mask.shape[1], -1)
            if not create_graph:
                spread = spread.detach().clone().requires_grad_()
            else:
                spread = spread.clone() if spread.requires_grad else spread.clone().requires_grad_()
            raw = self._at(spread)
            linked = self.model.noise.link(raw)
            jacobian = self._slope(linked, spread, create_graph)
        if create_graph:
            # a law such as (k t)^1.5 bends without end at time zero: how its slope moves there is not followed
            spread.register_hook(lambda moved: torch.nan_to_num(moved, 0.0, 0.0, 0.0))
        else:
            raw, linked = raw.detach(), linked.detach()
        return Linearisation(linked, jacobian, self.variance(raw, log_noise))

    def _linearise_by_groups(self, ragged: Ragged, coordinates: Tensor, log_noise: Tensor) -> Linearisation:
        """The same, of one group after the other: no more is kept for the way back than one of them needs."""
        parts = []
        for group in ragged.groups:
            with torch.enable_grad():
                own = coordinates[group.index].detach()[:, None, :].expand(-1, group.width, -1)
                own = own.clone().requires_grad_()
                raw = self.model.at(own, group.inputs)
                linked = self.model.noise.link(raw)
                parts.append((raw.detach(), linked.detach(), self._slope(linked, own, create_graph=False)))
        raw, linked, jacobian = (ragged.together(part) for part in zip(*parts, strict=True))
        return Linearisation(linked, jacobian, self.variance(raw, log_noise))

    def _slope(self, linked: Tensor, spread: Tensor, create_graph: bool) -> Tensor:
        if not linked.requires_grad:
            raise InputError(
                f"equation '{self.model.name}': its prediction depends on none of its parameters, or was taken out "
                "of torch on the way (`float`, `.item()`, `.numpy()`); compute with `metasci.math` and operators."
            )
        try:
            return torch.autograd.grad(linked.sum(), spread, create_graph=create_graph)[0]
        except RuntimeError as error:
            raise InputError(
                f"equation '{self.model.name}': it cannot be differentiated ({str(error).splitlines()[0][:160]}); do "
                "not change arrays in place, and compute with `metasci.math` and operators."
            ) from error

    def _linearise_jointly(self, coordinates: Tensor, log_noise: Tensor, create_graph: bool) -> Linearisation:
        tasks, size = coordinates.shape
        copies = replace(self, batch=self.batch.select(torch.arange(tasks).repeat(size)))
        directions = torch.eye(size, dtype=coordinates.dtype, device=coordinates.device)
        with torch.set_grad_enabled(create_graph), together(size):
            raw, change = along(
                copies.predict, (coordinates.repeat(size, 1),), (directions.repeat_interleave(tasks, 0),)
            )
            # the link acts on every prediction by itself
            linked, change = along(self.model.noise.link, (raw,), (change,))
            raw, linked = raw[:tasks], linked[:tasks]
            jacobian = change.reshape(size, tasks, -1).movedim(0, 2)
            return Linearisation(linked, jacobian, self.variance(raw, log_noise))

    def negative_log_likelihood(
        self, coordinates: Tensor, log_noise: Tensor, precision: Tensor | None = None
    ) -> Tensor:
        """Negative log-likelihood of each task's measurements, (task,): `measurement_costs`, added up."""
        return self.measurement_costs(coordinates, log_noise, precision).sum(1)

    def measurement_costs(
        self, coordinates: Tensor, log_noise: Tensor, precision: Tensor | None = None
    ) -> Tensor:
        """Negative log-likelihood of each measurement, (task, observation), zero where there is none.

        `precision` (task,) multiplies the noise's inverse variance. Constants are kept, so that the
        figure is a density: ½·ln 2π a measurement is in it.
        """
        raw, variance = self.predict(coordinates), None
        if self.model.noise.gaussian:
            # Where the variance is the same for every prediction, one of them is enough to say it.
            sufficient = raw[:, :1] if self.model.noise.constant else raw
            variance = self.variance(sufficient, log_noise)
        each = self.costs(self.model.noise.link(raw), variance, log_noise, precision)
        return torch.where(self.batch.mask, each, torch.zeros_like(each))

    def broken(self, spread: Tensor) -> list[Tensor]:
        """By how much each law is broken at each checked point, (task, point), in the output's unit.

        Coordinates are (task, 1 or point, parameter).
        """
        return self.broken_by(lambda here: self.model.at(spread, here))

    def broken_by(self, predict: Predict) -> list[Tensor]:
        """By how much each law is broken by a curve at each checked point, (task, point), in the output's unit."""
        inputs, mask = self.checked
        each = [law.violation(predict, inputs) for law in self.model.constraints]
        return [values.expand(mask.shape) for values in each]

    def violation(self, coordinates: Tensor) -> Tensor:
        """Violation of the laws in units of typical noise, (law, task, point), at every checked point."""
        spread = coordinates[:, None, :]
        if not self.model.joint:
            spread = spread.expand(-1, self.checked[1].shape[1], -1)
        laws = self.broken(spread)
        if not laws:
            return coordinates.new_zeros(0, *self.checked[1].shape)
        return torch.stack(laws) / self.model.noise.size

    def penalty_cost(self, coordinates: Tensor) -> Tensor:
        """Half the weighted mean squared violation of the model's laws, (task,)."""
        if not self.penalised:
            return coordinates.new_zeros(len(coordinates))
        squared = (self.share * self.violation(coordinates).square()).sum(-1)
        return 0.5 * (self.law_weights[:, None] * squared).sum(0)
