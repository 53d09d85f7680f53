"""Episodes of meta-training: which measurements of each task calibrate it, the others judging."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from metasci.meta.adaptation.inner import Parameters
from metasci.meta.problem import Problem

__all__ = ["EquationEpisode", "sample_support"]


def sample_support(mask: Tensor, shots: tuple[int, int], how: str, seed: int) -> Tensor:
    """Draw a support for every task.

    Parameters
    ----------
    mask : Tensor of bool, (task, observation)
        What is measured.
    shots : tuple of int
        Least and greatest number; every task keeps at least one measurement for the query.
    how : "random" or "first"
    seed : int
        The same seed gives the same support.

    Returns
    -------
    Tensor of bool, (task, observation)

    Examples
    --------
    >>> sample_support(torch.ones(1, 4, dtype=torch.bool), (2, 2), "first", 0).tolist()
    [[True, True, False, False]]
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(mask.shape, generator=generator, dtype=torch.float64)
    if how == "first":
        order = torch.arange(mask.shape[1], dtype=torch.float64).expand(mask.shape)
    measured = mask.cpu()
    rank = torch.where(measured, order, torch.full_like(order, torch.inf)).argsort(1).argsort(1)
    number = torch.randint(shots[0], shots[1] + 1, (len(mask), 1), generator=generator)
    number = torch.minimum(number, (measured.sum(1, keepdim=True) - 1).clamp(min=0))
    return ((rank < number) & measured).to(mask.device)


@dataclass(frozen=True)
class EquationEpisode:
    """Tasks of a scientific model with some measurements as support, the others as query; an `Episode`.

    The learned tensors are ``mean`` (parameter,), ``effects`` (parameter, covariate), ``log_noise`` (scale,)
    and, where its weight is learned, ``log_penalty``.

    Parameters
    ----------
    seen, judged : Problem
        The support and the query of the same tasks.
    design : Tensor, (task, covariate)
    free : tuple of int
        Which parameters are adapted.
    effect_spread : float
        Standard deviation of the belief about covariate effects.
    tasks : int
        Of the whole set that this episode is a part of: the belief counts once for all of them.
    """

    seen: Problem
    judged: Problem
    design: Tensor
    free: tuple[int, ...]
    effect_spread: float
    tasks: int

    def __len__(self) -> int:
        return len(self.seen)

    @property
    def asked(self) -> Tensor:
        """Which tasks have a query, (task,); the mean of the losses is over them."""
        return self.judged.batch.mask.any(1)

    def start(self, learned: Parameters) -> tuple[Parameters, Parameters]:
        """Every task's coordinates where its covariates put them; the rest is shared."""
        where = learned["mean"] + self.design @ learned["effects"].T
        shared = {name: value for name, value in learned.items() if name != "mean"}
        if len(self.free) == where.shape[1]:
            return {"coordinates": where}, shared
        return {"coordinates": where[:, list(self.free)]}, {**shared, "start": where}

    def coordinates(self, parameters: Parameters, shared: Parameters) -> Tensor:
        """All coordinates, (task, parameter), of the adapted ones and those that are not."""
        if "start" not in shared:
            return parameters["coordinates"]
        place = torch.tensor(self.free, device=self.design.device)
        return shared["start"].index_copy(1, place, parameters["coordinates"])

    def support(self, parameters: Parameters) -> Tensor:
        """Negative log-likelihood of the support and cost of broken laws, (task,)."""
        at = self.coordinates(parameters, parameters)
        seen = self.seen
        if "log_penalty" in parameters:
            seen = replace(seen, penalty=parameters["log_penalty"].exp())
        return seen.negative_log_likelihood(at, parameters["log_noise"]) + seen.penalty_cost(at)

    def query(self, parameters: Parameters) -> Tensor:
        """Mean negative log-likelihood of a query measurement, (task,), with laws and the belief about effects."""
        at = self.coordinates(parameters, parameters)
        count = self.judged.batch.mask.sum(1).clamp(min=1)
        cost = self.judged.negative_log_likelihood(at, parameters["log_noise"]) / count
        belief = 0.5 * parameters["effects"].square().sum() / (self.effect_spread**2 * self.tasks)
        return cost + self.judged.penalty_cost(at) + belief

    def select(self, index: Tensor) -> EquationEpisode:
        """Some of the tasks, by position."""
        return replace(
            self, seen=self.seen.select(index), judged=self.judged.select(index), design=self.design[index]
        )

    def fixed(self) -> tuple[Any, ...]:
        """What is not a tensor: a traced program holds for episodes that share it."""
        return (self.seen.model, self.free, self.effect_spread, self.tasks, self.seen.penalty)

    def tensors(self) -> dict[str, Any]:
        """All tensors that differ between episodes of the same shape."""
        parts: dict[str, Any] = {"design": self.design}
        for name, problem in (("seen", self.seen), ("judged", self.judged)):
            batch = problem.batch
            parts[name] = {"inputs": batch.inputs, "output": batch.output, "mask": batch.mask}
        return parts

    def with_tensors(self, tensors: dict[str, Any]) -> EquationEpisode:
        """The same model on other measurements."""
        seen, judged = (
            replace(problem, batch=replace(problem.batch, **tensors[name]))
            for name, problem in (("seen", self.seen), ("judged", self.judged))
        )
        return replace(self, seen=seen, judged=judged, design=tensors["design"])
