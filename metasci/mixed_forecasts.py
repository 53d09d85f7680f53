"""Forecasts of several outputs of different kinds: each measurement's is that of the kind it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.outcome_forecasts import OutcomeForecast
from metasci.outcomes.mixed import Mixed

__all__ = ["MixedForecast", "by_kind"]


@dataclass(frozen=True)
class MixedForecast:
    """What is to be expected of each output, (task, observation).

    Attributes
    ----------
    outcome : Mixed
    parts : tuple of OutcomeForecast
        One for each output, of which only its own places count.
    which : Tensor, (task, observation)
        The output of each place, from zero.
    measured : Tensor, (task, observation)
    """

    outcome: Mixed
    parts: tuple[OutcomeForecast, ...]
    which: Tensor
    measured: Tensor

    @property
    def median(self) -> Tensor:
        """Median of the curve, as each kind has it."""
        return self._chosen(lambda part: part.median)

    @property
    def mean(self) -> Tensor:
        """The mean of the curve: of a yes or no its probability."""
        return self._chosen(lambda part: part.mean)

    def interval(self, level: float = 0.9, noise: bool = True) -> tuple[Tensor, Tensor]:
        """Central interval of an outcome, or without noise of the curve; of yes or no that of the probability."""
        ends = [part.interval(level, noise) for part in self.parts]
        lower, upper = (self._of([end[side] for end in ends]) for side in (0, 1))
        return lower, upper

    def quantile(self, probability: float) -> Tensor:
        """The smallest outcome that is not exceeded with this probability."""
        return self._chosen(lambda part: part.quantile(probability))

    def log_density(self) -> Tensor:
        """Log density of what was measured, log probability of what is whole."""
        return self._chosen(lambda part: part.log_density())

    def cumulative(self) -> Tensor:
        """Probability of less than what was measured, and of half of it where that is whole."""
        return self._chosen(lambda part: part.cumulative())

    def sample(self, draws: int, seed: int = 0) -> Tensor:
        """Drawn at random, (draw, task, observation); outputs of one draw are of one task's parameters no longer."""
        return self._chosen(lambda part: part.sample(draws, seed))

    def _chosen(self, of: Callable[[OutcomeForecast], Tensor]) -> Tensor:
        return self._of([of(part).double() for part in self.parts])

    def _of(self, each: list[Tensor]) -> Tensor:
        chosen = each[0]
        for place, values in enumerate(each[1:], 1):
            chosen = torch.where(self.which == place, values, chosen)
        return chosen


def by_kind(whole: OutcomeForecast) -> MixedForecast:
    """The forecast of several kinds of one whose outcome is `Mixed`; predictors of other kinds stand at one."""
    outcome = whole.outcome
    assert isinstance(outcome, Mixed)
    told = outcome.which(whole.inputs)
    which = told.round().long() - 1
    if bool(((which < 0) | (which >= len(outcome.parts)) | (told != told.round())).any()):
        raise InputError(
            f"{outcome.by}: outputs are numbered from 1 to {len(outcome.parts)}; ask for one of these."
        )
    parts = []
    for place, kind in enumerate(outcome.parts):
        here = which == place
        one, zero = torch.ones_like(whole.centre), torch.zeros_like(whole.curve_sd)
        own = outcome.own_scales(place, whole.log_scales)
        parts.append(
            OutcomeForecast(
                kind,
                torch.where(here, whole.centre, one),
                torch.where(here, whole.shift, zero),
                torch.where(here, whole.curve_sd, zero),
                whole.weight,
                torch.stack(own) if own else whole.log_scales[:0],
                whole.inputs,
                torch.where(here, whole.measured, one),
                whole.below,
                whole.upper,
            )
        )
    return MixedForecast(outcome, tuple(parts), which, whole.measured)
