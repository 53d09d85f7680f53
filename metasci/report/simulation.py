"""Measurements drawn from a learned prior, each task with its own covariates and design; they are simulated, not real.

A task is drawn from z ~ N(B x, Σ), or from whatever prior the method implies, and is measured with the learned noise.
Every task has a random stream of its own, keyed by the seed and its name: what is drawn of it depends neither on the
other tasks nor on how much is drawn at a time.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metasci.data.arrays import below_name
from metasci.data.batch import Batch
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.learned.equation import LearnedEquation
from metasci.meta.adapted import Adapted
from metasci.meta.problem import Problem

__all__ = ["Simulator", "limits_of", "lower_limit", "simulated_like", "unmeasured"]

_PLACES = 250_000  # predictions, or doses times predictions, worked out at a time: some tens of megabytes
_HELD = 4_000_000  # numbers held at a time: 32 megabytes


def unmeasured(prior: LearnedEquation, batch: Batch) -> Adapted:
    """What the prior says of the tasks before anything is measured in them."""
    return prior.adapt(batch.with_mask(torch.zeros_like(batch.mask)))


class Simulator:
    """Draws measurements of the tasks of a batch from a prior.

    Parameters
    ----------
    prior : Prior
    batch : Batch
        Its conditions and covariates are used, and where it has measurements; not what they say.
    seed : int

    Raises
    ------
    InputError
        If the prior of a task has no finite mean and spread.

    Examples
    --------
    >>> import metasci as ms
    >>> prior = ms.load("theophylline")
    >>> batch = prior.batch(ms.dataset("theophylline"))
    >>> Simulator(prior, batch, seed=0).draw(5).shape
    (5, 12, 11)
    """

    def __init__(self, prior: LearnedEquation, batch: Batch, seed: int = 0) -> None:
        self.batch, self.model = batch, prior.model
        self.adapted = unmeasured(prior, batch)
        if self.adapted.discrepancy is not None:
            raise InputError(
                f"the prior '{prior.name}' knows what its equation leaves out, which simulated measurements would "
                "lack; draw them with `metasci.fits.predictive.sampled`."
            )
        self._spread = _roots(self.adapted)
        self._streams = [
            np.random.default_rng([seed, zlib.crc32(name.encode())]) for name in self.batch.names
        ]

    def population(self) -> NDArray[np.float64]:
        """Prediction at the prior's mean, with the task's covariates, in the output's unit, (task, observation)."""
        values: NDArray[np.float64] = Problem(self.model, self.batch).predict(self.adapted.start).numpy()
        return values

    def draw(self, count: int) -> NDArray[np.float64]:
        """Further measurements, (simulation, task, observation), NaN where the batch has none.

        They are on the output's scale, and may lie beyond the model's limits, as noise may carry them there.
        """
        drawn = np.full((count, *self.batch.mask.shape), np.nan)
        for start, size in self._pieces(count):
            drawn[start : start + size] = self._piece(size).numpy()
        return drawn

    def pieces(self, count: int) -> Iterator[NDArray[np.float64]]:
        """The same as `draw`, no more at a time than fits into little memory."""
        most = max(1, _HELD // max(self.batch.mask.numel(), 1))
        for start in range(0, count, most):
            yield self.draw(min(most, count - start))

    def _pieces(self, count: int) -> Iterator[tuple[int, int]]:
        events = max(
            (values.shape[-1] for values in self.batch.inputs.values() if values.dim() == 3), default=1
        )
        most = max(1, _PLACES // max(self.batch.mask.numel() * events, 1))
        return ((start, min(most, count - start)) for start in range(0, count, most))

    def _piece(self, count: int) -> Tensor:
        tasks, size = self.adapted.start.shape
        level, normal, noise = self._random(count, size)
        mixture, task = self.adapted.start_mixture, torch.arange(tasks)
        centre = self.adapted.start + mixture.shift[level, task]
        coordinates = centre + torch.einsum("ctij,ctj->cti", self._spread[level, task], normal)
        copies = Problem(self.model, self.batch.select(task.repeat(count)))
        curve = copies.predict(coordinates.reshape(count * tasks, size))
        variance = copies.variance(curve, self.adapted.log_noise) * mixture.factor[level, task].reshape(-1, 1)
        linked = self.model.noise.link(curve) + variance.sqrt() * noise.reshape(curve.shape)
        measured: Tensor = self.model.noise.unlink(linked).detach()
        return measured.masked_fill(~copies.batch.mask, torch.nan).reshape(count, tasks, -1)

    def _random(self, count: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Noise level, coordinates and noise of every simulation; a task takes as many numbers as it needs."""
        mask = self.batch.mask.numpy()
        normal, noise = np.zeros((count, len(mask), 1 + size)), np.zeros((count, *mask.shape))
        for task, stream in enumerate(self._streams):
            own = stream.standard_normal((count, 1 + size + int(mask[task].sum())))
            normal[:, task], noise[:, task, mask[task]] = own[:, : 1 + size], own[:, 1 + size :]
        chosen = torch.special.ndtr(torch.from_numpy(normal[:, :, 0]))
        steps = self.adapted.start_mixture.weight.cumsum(0)[:-1]
        level = (chosen[None] > steps[:, None]).sum(0)
        return level, torch.from_numpy(normal[:, :, 1:]), torch.from_numpy(noise)


def _roots(adapted: Adapted) -> Tensor:
    """A square root of every covariance of the prior, (level, task, parameter, parameter); it may be singular."""
    covariance = adapted.start_mixture.covariance
    if not bool(torch.isfinite(covariance).all() and torch.isfinite(adapted.start).all()):
        raise InputError("this prior has no finite spread, so nothing can be simulated from it.")
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp(min=0.0).sqrt()[..., None, :]


def limits_of(batch: Batch) -> NDArray[np.float64]:
    """Below which value each measurement would not have been quantified, (task, observation); −∞ where there is none.

    Of one that was quantified it is the greatest limit in these data that does not exceed it.

    Examples
    --------
    >>> values = torch.tensor([[0.5, 3.0, 0.2]])
    >>> batch = Batch({}, values, values > 0, values[:, :0], ("a",), censored=torch.tensor([[True, False, False]]))
    >>> limits_of(batch).tolist()
    [[0.5, 0.5, -inf]]
    """
    values = batch.output.numpy().astype(np.float64)
    if batch.censored is None or not bool((batch.censored & batch.mask).any()):
        return np.full(values.shape, -np.inf)
    censored = (batch.censored & batch.mask).numpy()
    known = np.unique(values[censored])
    below = np.searchsorted(known, values, side="right") - 1
    limits = np.where(below >= 0, known[below.clip(min=0)], -np.inf)
    return np.where(censored, values, limits)


def lower_limit(prior: LearnedEquation) -> float:
    """Least value that the output can have: a physical law's, zero where noise is on the logarithm, otherwise −∞."""
    model = prior.model
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = [0.0] if not np.isfinite(model.noise.link(np.float64(0.0))) else []
    return max([*ends, *(float(law.reading_limits[0]) for law in model.constraints)], default=-np.inf)


def simulated_like(prior: LearnedEquation, tasks: TaskSet, seed: int = 0) -> TaskSet:
    """The same tasks with measurements drawn from a prior in place of their own; its card says that it is simulated.

    A value below the limit of quantification that would have held for it becomes that limit.

    Examples
    --------
    >>> import metasci as ms
    >>> made = simulated_like(ms.load("theophylline"), ms.dataset("theophylline"))
    >>> made, made.card.simulated
    (TaskSet('theophylline': 12 tasks, 132 measurements), True)
    """
    tasks = prior.read(tasks)
    batch = prior.batch(tasks)
    values, limits = Simulator(prior, batch, seed).draw(1)[0], limits_of(batch)
    output = tasks.card.output.name
    variables = {output: (("task", "observation"), np.fmax(values, limits), tasks.dataset[output].attrs)}
    variables[output][1][np.isnan(values)] = np.nan
    if (name := below_name(tasks.card)) in tasks.dataset:
        below = np.where(np.isnan(values), np.nan, values < limits)
        variables[name] = (("task", "observation"), below, tasks.dataset[name].attrs)
    dataset = tasks.dataset.assign(variables).assign_attrs(simulated="true")
    dataset.attrs.pop("checksum", None)
    return TaskSet(dataset, replace(tasks.card, simulated=True, sha256=""))
