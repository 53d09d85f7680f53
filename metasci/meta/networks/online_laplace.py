"""What a network keeps of tasks whose data are gone, and learning from others on top of it: online Laplace.

Of all that was learned from, a Gaussian about the weights stands in: their values where learning ended, and for each
weight a precision, the sum over cases of the squared slope of the case's log-likelihood (the empirical Fisher
information, whose off-diagonal is dropped). New tasks are learned with that Gaussian as the prior, and add to it. For
a model that is linear in its weights, with one weight, this is exact; for a network it is an approximation in two ways,
since the posterior is no Gaussian and its weights are not independent.

Sources: Kirkpatrick et al., PNAS 114 (2017) 3521, for the cost; Huszár, PNAS 115 (2018) E2496, for one Gaussian in the
place of one for each task; Ritter, Botev and Barber, NeurIPS 2018 (arXiv 1805.07810), for the name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, vmap

from metasci.errors import InputError
from metasci.files import State
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.compositions.episode import Episode

__all__ = ["Kept", "Remembering", "squared_slopes"]

_COST = "online_laplace/cost"
_MEAN, _PRECISION = "mean/", "precision/"


@dataclass(frozen=True)
class Kept:
    """A Gaussian over weights that stands in for all cases learned from.

    Attributes
    ----------
    mean : dict of Tensor
    precision : dict of Tensor
        Of each weight, zero where nothing is known of it.
    cases : float

    Examples
    --------
    The mean of the numbers 1 and 3 is learned from one after the other, in units of their scatter:

    >>> first = Kept.nothing({"w": torch.zeros(1)}).also({"w": torch.ones(1)}, {"w": torch.ones(1)}, 1)
    >>> float(first.cost({"w": torch.full((1,), 2.0)}))
    0.5
    """

    mean: Parameters
    precision: Parameters
    cases: float = 0.0

    @classmethod
    def nothing(cls, weights: Mapping[str, Tensor]) -> Kept:
        """Of no case."""
        return cls(
            {name: value.detach().clone() for name, value in weights.items()},
            {name: torch.zeros_like(value) for name, value in weights.items()},
        )

    def also(self, weights: Mapping[str, Tensor], squares: Mapping[str, Tensor], cases: float) -> Kept:
        """With new cases, after whose learning the weights are where they are.

        Parameters
        ----------
        weights, squares : dict of Tensor
            Where learning ended, and sums over the new cases (`squared_slopes`). Weights that were not there before,
            such as another head's, are added.
        cases : float
        """
        if lost := set(self.mean) - set(weights):
            raise InputError(f"weights: '{min(lost)}', of which something is kept, is not among them.")
        precision = {
            name: self.precision.get(name, torch.zeros_like(value)) + squares[name].detach()
            for name, value in weights.items()
        }
        mean = {name: value.detach().clone() for name, value in weights.items()}
        return replace(self, mean=mean, precision=precision, cases=self.cases + cases)

    def cost(self, weights: Mapping[str, Tensor], times: float = 1.0) -> Tensor:
        """Minus the Gaussian's log density up to a constant, ½ Σ λ (w - m)².

        Parameters
        ----------
        weights : dict of Tensor
            Others than those of which something is kept cost nothing.
        times : float
            How many times the precision counts; one is what was kept.
        """
        missing = set(self.mean) - set(weights)
        if missing:
            raise InputError(f"weights: '{min(missing)}', of which something is kept, is not among them.")
        parts = [
            (value * (weights[name] - self.mean[name]).square()).sum()
            for name, value in self.precision.items()
        ]
        return 0.5 * times * torch.stack(parts).sum()

    def tensors(self) -> State:
        """All by name, for a file."""
        return {
            "cases": torch.tensor(self.cases, dtype=torch.float64),
            **{_MEAN + name: value for name, value in self.mean.items()},
            **{_PRECISION + name: value for name, value in self.precision.items()},
        }

    @classmethod
    def of_tensors(cls, tensors: State) -> Kept:
        """What `tensors` gave."""

        def part(prefix: str) -> Parameters:
            return {
                name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)
            }

        return cls(part(_MEAN), part(_PRECISION), float(tensors["cases"]))


def squared_slopes(
    cost: Callable[[Parameters, Any], Tensor], weights: Parameters, cases: Any, chunk: int | None = None
) -> Parameters:
    """Σ (∂cost/∂w)² over cases, for each weight.

    Parameters
    ----------
    cost : callable
        Of weights and one case, minus its log-likelihood, ().
    weights : dict of Tensor
    cases : Tensor or nested tensors, (case, ...)
    chunk : int, optional
        So many at a time.

    Examples
    --------
    Numbers that scatter by one about a mean tell of it, in the mean, as much each:

    >>> numbers = torch.tensor([-1.0, 1.0])
    >>> squared_slopes(lambda w, x: 0.5 * (x - w["m"]).square(), {"m": torch.tensor(0.0)}, numbers)
    {'m': tensor(2.)}
    """
    slopes = vmap(grad(cost), in_dims=(None, 0), chunk_size=chunk)(
        {name: value.detach() for name, value in weights.items()}, cases
    )
    return {name: value.square().sum(0) for name, value in slopes.items()}


@dataclass(frozen=True)
class Remembering:
    """Tasks of a composition whose learned start is also held by what was kept of others; an `Episode`.

    Parameters
    ----------
    episode : Episode
    kept : Kept
    total : float
        Cases that all new tasks have together. The loss of a task is a mean over its cases, as is what is learned
        from; the cost is divided by this, so that both are on one scale.
    times : float
        As for `Kept.cost`.

    Notes
    -----
    What is kept is of the start that tasks share, and says nothing of how a task adapts from it.
    """

    episode: Episode
    kept: Kept
    total: float
    times: float = 1.0

    def __len__(self) -> int:
        return len(self.episode)

    @property
    def asked(self) -> Tensor | None:
        """Which tasks have a query, as the episode says."""
        judged: Tensor | None = getattr(self.episode, "asked", None)
        return judged

    def start(self, learned: Parameters) -> tuple[Parameters, Parameters]:
        """As the episode has it, and what the start costs."""
        own, shared = self.episode.start(learned)
        return own, {**shared, _COST: self.kept.cost(learned, self.times) / self.total}

    def support(self, parameters: Parameters) -> Tensor:
        """Loss of each task's support, (task,)."""
        return self.episode.support(_without(parameters))

    def query(self, parameters: Parameters) -> Tensor:
        """Loss of each task's query with the cost of the start, (task,)."""
        return self.episode.query(_without(parameters)) + parameters[_COST]

    def select(self, index: Tensor) -> Remembering:
        """Some of the tasks, by position."""
        return replace(self, episode=self.episode.select(index))

    def tensors(self) -> dict[str, Any]:
        """What it is made of, for a checkpoint's name."""
        of_episode: Any = self.episode
        return {**of_episode.tensors(), **self.kept.tensors()}


def _without(parameters: Parameters) -> Parameters:
    return {name: value for name, value in parameters.items() if name != _COST}
